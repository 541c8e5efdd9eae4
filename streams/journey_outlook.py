"""What comes next for a return and by when, and when its refund may be expected.

All of it is a function of what is known and of the policy, never of the time of the look: nothing is said anew because time
passes. A leg that the return itself waits for has the deadline that its rule gave (streams/findings.py). The legs on the
carrier's way are watched by the parcel stage; here their deadlines follow from what the parcel reports, holds on the way
not counted.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.policy import ReleaseAt
from schemas.return_journeys import ExpectedStep, JourneyMilestone
from schemas.vocabulary import Method, Milestone, Resolution, RuleId
from streams.return_view import ReturnView
from streams.returns import Carried

STAGES = tuple(JourneyMilestone)
NOWHERE = -1
"""Stage of a return of which everything known was taken back."""
REQUESTED, APPROVED, LABELLED, DROPPED_OFF, IN_TRANSIT, DELIVERED, CHECKED_IN, INSPECTED, REFUNDED = range(9)

_LEGS: tuple[tuple[int, RuleId], ...] = (
    (LABELLED, RuleId.LATE_LABEL),
    (IN_TRANSIT, RuleId.MISSING_FIRST_SCAN),
    (DELIVERED, RuleId.TRANSIT_OVERDUE),
    (CHECKED_IN, RuleId.DELIVERED_NOT_CHECKED_IN),
    (INSPECTED, RuleId.LATE_INSPECTION),
    (REFUNDED, RuleId.LATE_REFUND_DECISION),
    (REFUNDED, RuleId.LATE_REFUND),
)
"""Where a leg ends, and the rule whose budget it has."""
_RELEASED_AT = {
    ReleaseAt.FIRST_SCAN: IN_TRANSIT,
    ReleaseAt.DELIVERED: DELIVERED,
    ReleaseAt.INSPECTED: INSPECTED,
}
_OF_RETURN: dict[int, tuple[ExpectedStep, RuleId | None]] = {
    REQUESTED: (ExpectedStep.RETURN_APPROVED, None),
    APPROVED: (ExpectedStep.LABEL_CREATED, RuleId.LATE_LABEL),
    CHECKED_IN: (ExpectedStep.INSPECTED, RuleId.LATE_INSPECTION),
    INSPECTED: (ExpectedStep.REFUND_APPROVED, RuleId.LATE_REFUND_DECISION),
}
"""Stage -> what comes next, and the rule of the return that waits for it."""


class Next(NamedTuple):
    """`due_ms` 0, `rule` "": nothing waits for it."""

    step: ExpectedStep
    due_ms: int = 0
    rule: str = ""


class Money(NamedTuple):
    """What is known of the refund; 0: not known."""

    approved_ms: int
    refused_ms: int
    issued_ms: int
    settled_ms: int
    failed_ms: int
    replaced_ms: int

    @property
    def paid_ms(self) -> int:
        """When the customer got money or goods."""
        return min(
            (at_ms for at_ms in (self.issued_ms, self.settled_ms, self.replaced_ms) if at_ms), default=0
        )


_NO_MONEY = Money(0, 0, 0, 0, 0, 0)
_OF_MONEY = frozenset(
    int(milestone)
    for milestone in (
        Milestone.REFUND_APPROVED,
        Milestone.REFUND_REFUSED,
        Milestone.REFUND_ISSUED,
        Milestone.REFUND_SETTLED,
        Milestone.REFUND_FAILED,
        Milestone.REPLACEMENT_SENT,
    )
)


def money(view: ReturnView) -> Money:
    """What happened since the last failure counts; a refusal, if no approval came later; an approval, if no refusal did."""
    if not view.has_any(_OF_MONEY):
        return _NO_MONEY
    failures = view.all(Milestone.REFUND_FAILED)
    failed_ms = failures[-1].at_ms if failures else 0
    found = [
        view.stop(milestone, since_ms=failed_ms, after=bool(failures))
        for milestone in (Milestone.REFUND_ISSUED, Milestone.REFUND_SETTLED, Milestone.REPLACEMENT_SENT)
    ]
    issued_ms, settled_ms, replaced_ms = (stop.at_ms if stop is not None else 0 for stop in found)
    approvals, refusals = view.all(Milestone.REFUND_APPROVED), view.all(Milestone.REFUND_REFUSED)
    approved_ms = approvals[-1].at_ms if approvals else 0
    refused_ms = refusals[-1].at_ms if refusals else 0
    if refused_ms and refused_ms >= approved_ms:
        approved_ms = 0
    else:
        refused_ms = 0
    paid = issued_ms or settled_ms or replaced_ms
    return Money(approved_ms, refused_ms, issued_ms, settled_ms, 0 if paid else failed_ms, replaced_ms)


def next_step(view: ReturnView, stage: int, paid: Money, awaited: Mapping[str, int]) -> Next | None:
    """What is waited for, and until when; None: nothing comes any more. Not for what is closed."""
    if stage == REFUNDED:
        if not paid.issued_ms or paid.settled_ms:
            return None
        return _waited_for(ExpectedStep.REFUND_SETTLED, RuleId.REFUND_NOT_SETTLED, awaited)
    if paid.approved_ms:
        return _waited_for(ExpectedStep.REFUND_ISSUED, RuleId.LATE_REFUND, awaited)
    if stage == APPROVED and view.terms.method == Method.IN_STORE:
        return Next(ExpectedStep.CHECKED_IN)
    if stage == INSPECTED and view.terms.resolution == Resolution.EXCHANGE:
        return _waited_for(ExpectedStep.REPLACEMENT_SENT, RuleId.LATE_REFUND_DECISION, awaited)
    if stage in _OF_RETURN:
        step, rule = _OF_RETURN[stage]
        return _waited_for(step, rule, awaited)
    return _on_the_carriers_way(view, stage, awaited) if stage != NOWHERE else None


def _waited_for(step: ExpectedStep, rule: RuleId | None, awaited: Mapping[str, int]) -> Next:
    due_ms = awaited.get(rule, 0) if rule is not None else 0
    return Next(step, due_ms, rule.value) if due_ms and rule is not None else Next(step)


def _on_the_carriers_way(view: ReturnView, stage: int, awaited: Mapping[str, int]) -> Next:
    if stage == IN_TRANSIT:
        on_the_way = [(one, one.first_scan_ms) for one in view.parcels if not one.delivered_ms]
        return _earliest(view, ExpectedStep.DELIVERED, RuleId.TRANSIT_OVERDUE, on_the_way)
    if stage == DELIVERED:
        there = [(one, one.delivered_ms) for one in view.parcels]
        return _earliest(view, ExpectedStep.CHECKED_IN, RuleId.DELIVERED_NOT_CHECKED_IN, there)
    labelled = [(one, one.label_ms) for one in view.parcels if not one.first_scan_ms]
    if stage == LABELLED:
        return _earliest(view, ExpectedStep.DROPPED_OFF, RuleId.MISSING_FIRST_SCAN, labelled)
    scanned = _earliest(view, ExpectedStep.IN_TRANSIT, RuleId.MISSING_FIRST_SCAN, labelled)
    claimed = _waited_for(ExpectedStep.IN_TRANSIT, RuleId.DROPOFF_CLAIM_UNCONFIRMED, awaited)
    return min((one for one in (claimed, scanned) if one.due_ms), key=lambda one: one.due_ms, default=scanned)


def _earliest(
    view: ReturnView, step: ExpectedStep, rule: RuleId, since: Iterable[tuple[Carried, int]]
) -> Next:
    """The earliest deadline of the parcels that the warehouse does not have."""
    due = []
    for parcel, since_ms in since:
        deadline = view.deadline(rule, parcel) if since_ms and not view.received_ms(parcel) else None
        if deadline is not None:
            due.append(deadline.due_ms(since_ms, 0))
    return Next(step, min(due), rule.value) if due else Next(step)


def estimate(view: ReturnView, stage: int, since_ms: int, paid: Money) -> tuple[int, int]:
    """The range in which the refund may be expected; zeros: the policy has no budget for what lies ahead.

    See schemas.return_journeys.JourneyRefund. `since_ms`: when the stage was reached.
    """
    request = view.request
    if request is None or stage < APPROVED or view.terms.resolution == Resolution.EXCHANGE:
        return 0, 0
    if stage < CHECKED_IN and view.terms.method == Method.IN_STORE:
        return 0, 0
    worth = request.value_minor, request.currency
    tier = next((one for one in view.policy.refund_tiers if one.fits(view.terms, *worth)), None)
    released_at = _RELEASED_AT[tier.release_at] if tier is not None else INSPECTED
    at_ms = earliest_ms = paid.approved_ms or since_ms
    for end, rule in _LEGS:
        if end <= stage or (paid.approved_ms and rule is not RuleId.LATE_REFUND):
            continue
        claimed = rule is RuleId.MISSING_FIRST_SCAN and stage == DROPPED_OFF
        deadline = view.deadline(RuleId.DROPOFF_CLAIM_UNCONFIRMED if claimed else rule)
        if deadline is None:
            return 0, 0
        at_ms = deadline.due_ms(at_ms, 0)
        if end <= released_at:
            earliest_ms = at_ms
    return earliest_ms, at_ms


def hours_of_first_scan(view: ReturnView, claimed_ms: int) -> str:
    """Within how many hours of the customer's claim the first scan is expected, as 24-72; "": nothing waits for it."""
    parcel = view.parcels[0] if view.parcels else None
    hours = set()
    for rule in (RuleId.DROPOFF_CLAIM_UNCONFIRMED, RuleId.MISSING_FIRST_SCAN):
        deadline = view.deadline(rule, parcel)
        if deadline is not None:
            hours.add(-((claimed_ms - deadline.due_ms(claimed_ms, 0)) // 3_600_000))
    return "-".join(str(number) for number in sorted(hours))
