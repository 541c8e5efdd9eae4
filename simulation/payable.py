"""Whether the goods of a return may be paid for by what is known: how far they have come, and what speaks against it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from schemas.money import minor_units
from schemas.outputs import Money
from schemas.policy import RefundTier, ReleaseAt
from schemas.vocabulary import Milestone, RuleId, SignalReason
from simulation.dossier import Stories
from simulation.expect_parcels_way import is_refused, went_astray
from simulation.expect_shop import came, found_right, wrong_weights
from simulation.ledger import ReturnNews
from simulation.parcel_story import ParcelStory
from simulation.return_story import ReturnStory
from simulation.terms import Terms

_OFF: Final = {
    Milestone.RETURN_CANCELLED: SignalReason.RETURN_CANCELLED,
    Milestone.REPLACEMENT_SENT: SignalReason.REPLACEMENT_SENT,
}
_ASTRAY: Final = {
    RuleId.RETURNED_TO_CUSTOMER: SignalReason.RETURNED_TO_CUSTOMER,
    RuleId.DELIVERED_ELSEWHERE_SUSPECTED: SignalReason.DELIVERED_ELSEWHERE,
}
ASKED_OTHERWISE: Final = {SignalReason.EXCHANGE_REQUESTED, SignalReason.REQUEST_AMENDED}
"""Nothing is wrong with the goods."""
_Came = tuple[datetime, datetime]
"""When the goods had come so far, and when the last that shows it was appended."""
Why = tuple[SignalReason, datetime | None]
"""A reason, and since when it is one; None: since it is told."""


class Asked(NamedTuple):
    """What the customer asks for, and who it is."""

    value: Money | None
    resolution: str
    risk: str
    category: str

    def is_same_money(self, other: "Asked") -> bool:
        """Whether the same is to be paid by the same means."""
        return (self.value, self.resolution) == (other.value, other.resolution)


def may_stand(stories: Stories, stage: ReleaseAt) -> bool:
    """Whether any of the goods have come so far, for all that is known."""
    goods = stories.whole.goods
    return came_to(stories, stage, {}) is not None or any(
        came_to(stories, stage, dict([one])) is not None for one in goods.items()
    )


def is_paid(whole: ReturnStory) -> bool:
    """Whether the money has gone."""
    return bool(whole.news(Milestone.REFUND_ISSUED, Milestone.REFUND_SETTLED))


def is_under_way(whole: ReturnStory, parcel: ParcelStory) -> bool:
    """Whether anybody has seen the parcel itself."""
    return bool(parcel.scans) or came(whole, parcel) is not None


def asked_by(request: ReturnNews | None) -> Asked:
    """What a request asks for; as good as nothing without one."""
    if request is None:
        return Asked(None, "refund", "normal", "")
    value = None
    if request.worth is not None:
        amount, currency = request.worth
        value = Money(minor_units(amount, currency), currency)
    return Asked(value, request.resolution, request.risk, request.category)


def amended(whole: ReturnStory) -> Why:
    """That the newest request asks for something else than the one before."""
    return SignalReason.REQUEST_AMENDED, whole.news(Milestone.RETURN_REQUESTED)[-1].at


def fits(tier: RefundTier, request: ReturnNews) -> bool:
    """Whether such a return may be refunded by the tier."""
    if request.risk not in tier.customer_risk or (
        tier.categories and request.category not in tier.categories
    ):
        return False
    if tier.max_value is None:
        return True
    amount, currency = request.worth or (None, "")
    return amount is not None and currency in tier.max_value and amount <= tier.max_value[currency]


def left_of(tiers: Sequence[str], told: Mapping[str, SignalReason | None]) -> list[str]:
    """The tiers that may still release. `told`: those that have, and what was said of each last; None: that it is released."""
    last = max((place for place, tier in enumerate(tiers) if tier in told), default=0)
    return [tier for tier in tiers[last:] if tier not in told or told[tier] in ASKED_OTHERWISE]


def speaks_against(stories: Stories, terms: Terms) -> Iterator[Why]:
    """All that says that these goods are not to be paid for."""
    whole = stories.whole
    for milestone, reason in _OFF.items():
        if over := whole.first(milestone):
            yield reason, over.at
    if is_refused(whole):
        yield SignalReason.REFUND_REFUSED, whole.news(Milestone.REFUND_REFUSED)[-1].at
    if whole.request is not None and whole.request.resolution == "exchange":
        yield SignalReason.EXCHANGE_REQUESTED, whole.news(Milestone.RETURN_REQUESTED)[-1].at
    for wrong in whole.news(Milestone.INSPECTED):
        if not wrong.all_right and not found_right(whole, wrong):
            amiss = SignalReason.CONTENT_MISMATCH if wrong.mismatch else SignalReason.GOODS_REJECTED
            yield amiss, wrong.at
    yield from _wrong_parcels(whole, terms)


def _wrong_parcels(whole: ReturnStory, terms: Terms) -> Iterator[Why]:
    for _, weighed, looked_into in wrong_weights(whole, terms):
        if not looked_into:
            yield SignalReason.CONTENT_MISMATCH, weighed.at
    for parcel in whole.goods.values():
        if came(whole, parcel) is None:
            yield from ((_ASTRAY[rule], since) for rule, since in went_astray(parcel, terms))


def came_to(stories: Stories, stage: ReleaseAt, goods: Mapping[str, ParcelStory]) -> _Came | None:
    """Since when all of these have come so far; without any, the goods themselves."""
    whole = stories.whole
    if stage is ReleaseAt.INSPECTED:
        return _inspected(stories, goods)
    if goods:
        each = [_parcel_came_to(stories, parcel, stage) for parcel in goods.values()]
        there = [one for one in each if one is not None]
        if len(there) < len(each):
            return None
        return max(at for at, _ in there), max(appended_at for _, appended_at in there)
    by_number = whole.first(Milestone.CHECKED_IN)
    return None if by_number is None else (by_number.at, by_number.appended_at)


def _parcel_came_to(stories: Stories, parcel: ParcelStory, stage: ReleaseAt) -> _Came | None:
    seen = parcel.scans[0] if parcel.scans else None
    if stage is ReleaseAt.DELIVERED:
        seen = parcel.delivered
    received = came(stories.whole, parcel)
    found = [] if received is None else [received]
    if seen is not None:
        found.append((seen.at, seen.appended_at))
    return min(found, default=None)


def _inspected(stories: Stories, goods: Mapping[str, ParcelStory]) -> _Came | None:
    whole = stories.whole
    inspections = whole.news(Milestone.INSPECTED)
    if not inspections:
        return None
    times, read = [inspections[0].at], [news.appended_at for news in inspections]
    for name, parcel in goods.items():
        received = came(whole, parcel)
        if received is None:
            return None
        means_it = [
            news.at
            for news in inspections
            if (name in news.parcels if news.parcels else len(goods) == 1 or news.at >= received[0])
        ]
        if not means_it:
            return None
        times.append(means_it[0])
        read.append(received[1])
    return max(times), max(read)
