"""What is held while a feed is not believed: which rule waits for which feed, what is never held, and what became of it.

Holding changes no deadline. A waiting whose deadline lies behind what is believed of its feed is no breach yet; it is looked at
again until the feed is believed, or has been held for as long as the policy allows. Then it was explained by the backlog, or it
is told, and says that it was held.
"""

from collections.abc import Iterable, Sequence

from schemas.topics import InputKind
from schemas.vocabulary import RuleId
from streams.feeds import Feeds, FeedsState
from streams.held import HeldWait, Worth
from streams.terms import WAITS_FOR_CARRIER
from streams.watermark import HELD, HELD_NO_MORE

HELD_EXPLAINED = "held_explained"
"""Note: something was held, and it turned out that nothing was wrong; its label is the rule."""

_KIND = {
    RuleId.UNEXPECTED_PARCEL: InputKind.LABELS.value,
    RuleId.LATE_LABEL: InputKind.LABELS.value,
    RuleId.DELIVERED_NOT_CHECKED_IN: InputKind.WAREHOUSE.value,
    RuleId.LATE_INSPECTION: InputKind.WAREHOUSE.value,
    RuleId.LATE_RESTOCK: InputKind.WAREHOUSE.value,
    RuleId.REFUNDED_NOT_RETURNED: InputKind.WAREHOUSE.value,
    RuleId.LATE_REFUND_DECISION: InputKind.ORDERS.value,
    RuleId.LATE_REFUND: InputKind.ORDERS.value,
    RuleId.REFUND_NOT_SETTLED: InputKind.ORDERS.value,
    RuleId.REFUND_PROMISE_AT_RISK: InputKind.ORDERS.value,
    RuleId.REFUND_PROMISE_BROKEN: InputKind.ORDERS.value,
}
"""Rules that wait for what comes on one kind of input. Never held are rules that wait for nothing, and what the law wants."""
_BY_CARRIER = {rule.value for rule in WAITS_FOR_CARRIER}
_BY_KIND = {rule.value: kind for rule, kind in _KIND.items()}


def feed_of(rule: str, carrier: str) -> str:
    """The feed that a rule's waiting needs; "": none."""
    return carrier if rule in _BY_CARRIER else _BY_KIND.get(rule, "")


class Holding:
    """What is held of one key, during one look."""

    __slots__ = ("_before", "_feeds", "_now_ms", "again_ms", "held")

    def __init__(self, feeds: Feeds, before: Sequence[HeldWait], now_ms: int) -> None:
        self._feeds, self._now_ms = feeds, now_ms
        self._before = {(one.rule, one.parcel, one.anchor): one for one in before}
        self.held: list[HeldWait] = []
        self.again_ms = 1 << 62
        """When to look again at what is held."""

    def holds(self, key: tuple[str, str, str], carrier: str, due_ms: int, worth: Worth) -> bool:
        """Whether a waiting (rule, parcel, anchor), which is over, must not be told yet."""
        rule, parcel, anchor = key
        feed = feed_of(rule, carrier)
        if not feed or self._feeds.believed_ms(feed, self._now_ms) >= due_ms:
            return False
        value_minor, currency = worth
        if self._feeds.is_high_value(value_minor, currency):
            return False
        if any(one.feed == feed for one in self.held):
            value_minor = 0
        self.held.append(HeldWait(rule, parcel, anchor, feed, currency, value_minor, due_ms))
        self.again_ms = min(self.again_ms, self._feeds.again_ms(feed, due_ms, self._now_ms))
        return True

    def raised_ms(self, key: tuple[str, str, str], due_ms: int) -> int:
        """When something that is over may be told: at its deadline, unless it was held."""
        held = self._before.get(key)
        return self._feeds.released_ms(held.feed, due_ms, self._now_ms) if held is not None else due_ms


def told_of(
    before: Iterable[HeldWait], after: Sequence[HeldWait], told: Iterable[tuple[str, str, str]]
) -> list[tuple[str, str]]:
    """Notes of what is held now and was not, or the other way round. `told`: keys of which there is a breach now."""
    if not before and not after:
        return []
    kept = {(one.rule, one.parcel, one.anchor) for one in after} | set(told)
    notes = [(HELD_NO_MORE, one.label) for one in before if one not in after]
    notes += [(HELD, one.label) for one in after if one not in before]
    notes += [(HELD_EXPLAINED, one.rule) for one in before if (one.rule, one.parcel, one.anchor) not in kept]
    return notes


UNWATCHED = Feeds(FeedsState(), None)
"""Where nobody watches any feed: all of them are believed."""
