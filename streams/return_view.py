"""One return as its rules see it: the facts by milestone, the parcels that its labels link, what accounts for them.

Everything is in order of event time. What a rule yields is `Awaited`: waiting for something since a time and until a
deadline, and what stopped the waiting, whenever that was.
"""

from collections.abc import Callable, Collection, Iterable
from operator import attrgetter
from typing import NamedTuple

from schemas.facts import ReturnTerms, Source
from schemas.vocabulary import Milestone, Reason, RuleId
from streams.held import Worth
from streams.keys import split_parcel_key
from streams.returns import Carried, ReturnState, Told, received_by_number
from streams.terms import CompiledPolicy, Deadline, ParcelTerms, Tolerance

_REASONS: dict[int, Reason] = {
    Milestone.RETURN_CANCELLED: Reason.RETURN_CANCELLED,
    Milestone.LABEL_CREATED: Reason.LABEL_CREATED,
    Milestone.CHECKED_IN: Reason.CHECKED_IN_BY_RETURN,
    Milestone.INSPECTED: Reason.INSPECTED,
    Milestone.RESTOCKED: Reason.RESTOCKED,
    Milestone.REFUND_APPROVED: Reason.REFUND_APPROVED,
    Milestone.REFUND_REFUSED: Reason.REFUND_REFUSED,
    Milestone.REFUND_ISSUED: Reason.REFUND_ISSUED,
    Milestone.REFUND_SETTLED: Reason.REFUND_SETTLED,
    Milestone.REFUND_FAILED: Reason.REFUND_FAILED,
    Milestone.REPLACEMENT_SENT: Reason.REPLACEMENT_SENT,
}
_USUAL = ReturnTerms()


class Stop(NamedTuple):
    """What stopped a waiting: when it happened, what it is called, where it was read (none for what a parcel reports)."""

    at_ms: int
    reason: Reason
    source: Source | None = None


CaseKey = tuple[str, str, str]
"""(rule, parcel, anchor)."""


class Awaited(NamedTuple):
    """Something that is waited for. `parcel`: "" when it is about the whole return."""

    rule: RuleId
    parcel: str
    anchor: str
    """Names the case, with rule, return and parcel."""
    since_ms: int
    due_ms: int
    stop: Stop | None
    evidence: tuple[Source, ...]
    deadline: Deadline | None = None
    """What gives `due_ms`, from `since_ms` and `arrived_ms`; None: a promise or a law does (streams/rules/promises.py)."""
    arrived_ms: int = 0


Rule = Callable[["ReturnView"], Iterable[Awaited]]


_label_order = attrgetter("label_ms", "parcel")


class ReturnView:
    """See the head of this file. Good for one look."""

    __slots__ = (
        "_facts",
        "_own_terms",
        "_state",
        "_told",
        "goods",
        "parcels",
        "policy",
        "received",
        "request",
        "terms",
    )

    def __init__(self, state: ReturnState, policy: CompiledPolicy) -> None:
        self.policy = policy
        self._state = state
        self._facts: dict[int, list[Told]] = {}
        for fact in state.true_facts():
            self._facts.setdefault(fact.milestone, []).append(fact)
        self.parcels: list[Carried] = [one for one in state.carried if one.linked]
        """Those that a label links with the return, the earliest label first."""
        if len(self.parcels) > 1:
            self.parcels.sort(key=_label_order)
        self.goods: list[Carried] = self.parcels
        """What is weighed, inspected and paid for: those, and what the dock has although its label was voided."""
        if len(self.parcels) < len(state.carried):
            self.goods = [*self.parcels, *self.at_the_dock]
        self.received: dict[str, Told] = (
            received_by_number(state) if Milestone.CHECKED_IN in self._facts else {}
        )
        """Parcel -> the check-in by the return's number that accounts for it."""
        self.request = state.request()
        self.terms = (self.request.terms or _USUAL) if self.request is not None else _USUAL
        """What the request says of the return."""
        self._own_terms: ParcelTerms | None = None
        self._told: Collection[CaseKey] = {(case.rule, case.parcel, case.anchor) for case in state.cases}

    @property
    def worth(self) -> Worth:
        """What the request says that it is worth, else the earliest label."""
        if self.request is not None and self.request.currency:
            return Worth(self.request.value_minor, self.request.currency)
        return Worth(self.parcels[0].value_minor, self.parcels[0].currency) if self.parcels else Worth()

    @property
    def at_the_dock(self) -> list[Carried]:
        """Parcels whose label was voided although the dock has them."""
        return [one for one in self.taken_back if one.checked_in_ms]

    @property
    def taken_back(self) -> list[Carried]:
        """Parcels whose label was voided."""
        return [one for one in self._state.carried if not one.linked and one.label_ms]

    @property
    def last_read_ms(self) -> int:
        """When the last was read of all that is known of the return, and of what decides whether its parcels have come."""
        state = self._state
        times = [state.marked_arrived_ms, *(fact.arrived_ms for fact in state.facts)]
        return max([*times, *(max(one.decisive_arrived_ms, one.weighed_arrived_ms) for one in state.carried)])

    @property
    def milestones(self) -> frozenset[int]:
        """What it has come to, by orders or the warehouse, or by a dock scan of a parcel."""
        by_scan = any(one.checked_in_ms for one in self.goods)
        return frozenset((*self._facts, Milestone.CHECKED_IN) if by_scan else self._facts)

    def was_in_time(self, deadline: Deadline, since_ms: int, stop: Stop | None, key: CaseKey) -> bool:
        """Whether a waiting ended so early that its deadline need not be worked out, and no case was made of it."""
        return stop is not None and stop.at_ms <= since_ms + deadline.least_ms and key not in self._told

    def is_told(self, key: CaseKey) -> bool:
        """Whether there is a case of this rule, parcel and anchor, in whatever state."""
        return key in self._told

    def all(self, *milestones: Milestone) -> list[Told]:
        """The facts of these milestones, by time."""
        if len(milestones) == 1:
            return self._facts.get(milestones[0], [])
        found = [fact for milestone in milestones for fact in self._facts.get(milestone, ())]
        return sorted(found, key=lambda fact: (fact.at_ms, fact.identity))

    def has_any(self, milestones: frozenset[int]) -> bool:
        """Whether there is a fact of any of these."""
        return not milestones.isdisjoint(self._facts)

    def first(self, milestone: Milestone) -> Told | None:
        """The earliest fact of a milestone."""
        found = self._facts.get(milestone)
        return found[0] if found else None

    def stop(self, *milestones: Milestone, since_ms: int = 0, after: bool = False) -> Stop | None:
        """The earliest fact of these milestones at or after `since_ms`; `after`: only later than it.

        Of two at the same time the one that is named first.
        """
        earliest: Told | None = None
        for milestone in milestones:
            for fact in self._facts.get(milestone, ()):
                if fact.at_ms > since_ms or (fact.at_ms == since_ms and not after):
                    if earliest is None or fact.at_ms < earliest.at_ms:
                        earliest = fact
                    break
        return stop_of(earliest) if earliest is not None else None

    def deadline(self, rule: RuleId, parcel: Carried | None = None) -> Deadline | None:
        """The rule's deadline for a parcel, or for the return as its earliest parcel has it; None: switched off."""
        if parcel is not None:
            terms = self._terms_of(parcel)
        else:
            if self._own_terms is None:
                self._own_terms = self._terms_of(self.parcels[0] if self.parcels else None)
            terms = self._own_terms
        deadline = terms.deadlines[rule]
        return deadline if deadline.enabled else None

    def tolerance(self, parcel: Carried) -> Tolerance:
        """How far a parcel may be from the weight that it should have."""
        return self._terms_of(parcel).tolerance

    def deadline_of_nowhere(self, rule: RuleId) -> Deadline | None:
        """The rule's deadline before anybody knows by which carrier and where to; None: switched off."""
        deadline = self._terms_of(None).deadlines[rule]
        return deadline if deadline.enabled else None

    def _terms_of(self, parcel: Carried | None) -> ParcelTerms:
        """Of a parcel, or of a return that has none; what the request says of shop and value goes before the label."""
        request, shop = self.request, self.terms.shop
        valued = request if request is not None and request.currency else parcel
        worth = (valued.value_minor, valued.currency) if valued is not None else (0, "")
        if parcel is None:
            return self.policy.terms("", "", "", "", "", shop, *worth)
        carrier = split_parcel_key(parcel.parcel)[0]
        lane = (parcel.origin, parcel.destination)
        return self.policy.terms(carrier, *lane, parcel.facility, parcel.service, shop or parcel.shop, *worth)

    def received_ms(self, parcel: Carried) -> int:
        """When the warehouse got it, by a dock scan or by the return's number; 0: it has not."""
        return self.receipt(parcel)[0]

    def receipt(self, parcel: Carried) -> tuple[int, int]:
        """When the warehouse got it, and when that was read; zeros: it has not."""
        by_number = self.received.get(parcel.parcel)
        times = [(parcel.checked_in_ms, parcel.checked_in_arrived_ms)]
        times += [(by_number.at_ms, by_number.arrived_ms)] if by_number is not None else []
        return min((time for time in times if time[0]), default=(0, 0))


def stop_of(fact: Told) -> Stop:
    """A fact of orders or warehouse as what stops a waiting."""
    return Stop(fact.at_ms, _REASONS[fact.milestone], fact.source)


def first_stop(*stops: Stop | None) -> Stop | None:
    """The earliest; of two at the same time the one named first."""
    return min((stop for stop in stops if stop is not None), key=_at_ms, default=None)


_at_ms = attrgetter("at_ms")


def awaited(
    view: ReturnView,
    rule: RuleId,
    start: Told,
    stop: Stop | None,
    *,
    anchor: str = "",
    parcel: Carried | None = None,
    of_no_parcel: bool = False,
) -> tuple[Awaited, ...]:
    """What begins with a fact and has the rule's ordinary deadline; nothing when the rule is switched off."""
    deadline = view.deadline_of_nowhere(rule) if of_no_parcel else view.deadline(rule, parcel)
    subject = parcel.parcel if parcel is not None else ""
    if deadline is None or view.was_in_time(deadline, start.at_ms, stop, (rule, subject, anchor)):
        return ()
    due_ms = deadline.due_ms(start.at_ms, start.arrived_ms)
    evidence = (start.source,)
    return (Awaited(rule, subject, anchor, start.at_ms, due_ms, stop, evidence, deadline, start.arrived_ms),)


def anchor_of(fact: Told) -> str:
    """A fact's identity as text: anchor of cases."""
    return f"{fact.identity:012x}"
