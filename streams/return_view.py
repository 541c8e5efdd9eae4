"""One return as its rules see it: the facts by milestone, the parcels that its labels link, what accounts for them.

Everything is in order of event time. What a rule yields is `Awaited`: waiting for something since a time and until a
deadline, and what stopped the waiting, whenever that was.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from schemas.facts import ReturnTerms, Source
from schemas.vocabulary import Milestone, Reason, RuleId
from streams.keys import split_parcel_key
from streams.returns import Carried, ReturnState, Told, received_by_number
from streams.terms import CompiledPolicy, Deadline, ParcelTerms

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


Rule = Callable[["ReturnView"], Iterable[Awaited]]


class ReturnView:
    """See the head of this file. Good for one look."""

    __slots__ = ("_facts", "_own_terms", "at_the_dock", "parcels", "policy", "received", "request")

    def __init__(self, state: ReturnState, policy: CompiledPolicy) -> None:
        self.policy = policy
        self._facts: dict[int, list[Told]] = {}
        for fact in state.true_facts():
            self._facts.setdefault(fact.milestone, []).append(fact)
        linked = [one for one in state.carried if one.linked]
        self.parcels: list[Carried] = sorted(linked, key=lambda one: (one.label_ms, one.parcel))
        """Those that a label links with the return, the earliest label first."""
        self.at_the_dock = [
            one for one in state.carried if not one.linked and one.label_ms and one.checked_in_ms
        ]
        """Those whose label was voided although the dock has them."""
        self.received: dict[str, Told] = received_by_number(state)
        """Parcel -> the check-in by the return's number that accounts for it."""
        self.request: Told | None = next(iter(self.all(Milestone.RETURN_REQUESTED)), None)
        self._own_terms: ParcelTerms | None = None

    @property
    def terms(self) -> ReturnTerms:
        """What the request says of the return."""
        return self.request.terms or _USUAL if self.request is not None else _USUAL

    def has(self, milestone: Milestone) -> bool:
        """Whether it has come to this, by orders or the warehouse, or by a dock scan of a parcel."""
        return milestone in self._facts or (
            milestone == Milestone.CHECKED_IN and any(one.checked_in_ms for one in self.parcels)
        )

    def all(self, *milestones: Milestone) -> list[Told]:
        """The facts of these milestones, by time."""
        if len(milestones) == 1:
            return self._facts.get(milestones[0], [])
        found = [fact for milestone in milestones for fact in self._facts.get(milestone, ())]
        return sorted(found, key=lambda fact: (fact.at_ms, fact.identity))

    def first(self, milestone: Milestone) -> Told | None:
        """The earliest fact of a milestone."""
        found = self._facts.get(milestone)
        return found[0] if found else None

    def stops(self, *milestones: Milestone, since_ms: int = 0, after: bool = False) -> list[Stop]:
        """The first fact of each milestone at or after `since_ms`; `after`: only later than it."""
        found = []
        for milestone in milestones:
            for fact in self._facts.get(milestone, ()):
                if fact.at_ms > since_ms or (fact.at_ms == since_ms and not after):
                    found.append(stop_of(fact))
                    break
        return found

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


def first_stop(stops: Iterable[Stop]) -> Stop | None:
    """The earliest; of two at the same time the one named first."""
    return min(stops, key=lambda stop: stop.at_ms, default=None)


def awaited(
    view: ReturnView,
    rule: RuleId,
    start: Told,
    stops: Iterable[Stop],
    *,
    anchor: str = "",
    parcel: Carried | None = None,
    of_no_parcel: bool = False,
) -> list[Awaited]:
    """What begins with a fact and has the rule's ordinary deadline; nothing when the rule is switched off."""
    deadline = view.deadline_of_nowhere(rule) if of_no_parcel else view.deadline(rule, parcel)
    if deadline is None:
        return []
    due_ms = deadline.due_ms(start.at_ms, start.arrived_ms)
    subject = parcel.parcel if parcel is not None else ""
    return [Awaited(rule, subject, anchor, start.at_ms, due_ms, first_stop(stops), (start.source,))]


def anchor_of(fact: Told) -> str:
    """A fact's identity as text: anchor of cases."""
    return f"{fact.identity:012x}"
