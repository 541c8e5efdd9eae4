"""What comes next for a return and by when, and when its refund may be expected.

A leg that the return itself waits for has the deadline that its rule gave (streams/findings.py). The legs on the carrier's way
are watched by the parcel stage; here their deadlines follow from what the parcel reports, holds on the way not counted. What is
told with a date is told only until that date.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from schemas.policy import ReleaseAt
from schemas.return_journeys import ExpectedStep
from schemas.vocabulary import Method, Resolution, RuleId
from streams.journey_progress import (
    APPROVED,
    CHECKED_IN,
    DELIVERED,
    DROPPED_OFF,
    IN_TRANSIT,
    INSPECTED,
    REFUNDED,
    REQUESTED,
    Progress,
    claims,
)
from streams.refund_signals import is_held, next_tier
from streams.return_view import ReturnView
from streams.returns import Carried, SignalRecord

_ON_THE_WAY: tuple[tuple[int, ExpectedStep, RuleId], ...] = (
    (IN_TRANSIT, ExpectedStep.IN_TRANSIT, RuleId.MISSING_FIRST_SCAN),
    (DELIVERED, ExpectedStep.DELIVERED, RuleId.TRANSIT_OVERDUE),
    (CHECKED_IN, ExpectedStep.CHECKED_IN, RuleId.DELIVERED_NOT_CHECKED_IN),
)
"""The legs of a parcel: where each ends, what is waited for then, and the rule whose budget it has."""
_RELEASED_AT = {
    ReleaseAt.FIRST_SCAN: IN_TRANSIT,
    ReleaseAt.DELIVERED: DELIVERED,
    ReleaseAt.INSPECTED: INSPECTED,
}
GONE = frozenset({RuleId.CARRIER_REPORTED_LOST, RuleId.RETURNED_TO_CUSTOMER})
"""Parcels with an open case of these do not come."""
_FIRST_SCAN = (RuleId.DROPOFF_CLAIM_UNCONFIRMED, RuleId.MISSING_FIRST_SCAN)
_HOUR_MS = 3_600_000
Awaited = Mapping[tuple[str, str], int]
"""(rule of the return, parcel) -> the deadline of what it waits for."""


class Next(NamedTuple):
    """`due_ms` 0, `rule` "": nothing waits for it."""

    step: ExpectedStep
    due_ms: int = 0
    rule: str = ""
    last_ms: int = 0
    """When the last of several parcels is due."""


class Leg(NamedTuple):
    """Where a parcel is that the warehouse does not have, and what is waited for."""

    end: int
    """The stage that the parcel reaches by it."""
    ahead: Next
    parcel: Carried


class Estimate(NamedTuple):
    """When the refund may be expected. `earliest_ms` 0: any time; `latest_ms` 0: nobody knows."""

    earliest_ms: int = 0
    latest_ms: int = 0
    until_ms: int = 0
    """If what is waited for has not come by then, this is no longer so."""


NOBODY_KNOWS = Estimate()


def legs(view: ReturnView, come: Progress, awaited: Awaited) -> list[Leg]:
    """One for each parcel that the warehouse does not have."""
    if all(come.received):
        return []
    claimed = _claimed(view, come) if come.stage >= DROPPED_OFF else ()
    found = []
    for parcel, received_ms in zip(come.parcels, come.received, strict=True):
        if received_ms:
            continue
        leg, since_ms = _leg_of(parcel)
        end, step, rule = _ON_THE_WAY[leg]
        deadline = view.deadline(rule, parcel)
        ahead = Next(step)
        if deadline is not None and not parcel.diverted:
            ahead = Next(step, deadline.due_ms(since_ms, 0), rule.value)
        if end == IN_TRANSIT:
            ahead = _handing_over(
                ahead, parcel.parcel, awaited, claimed=parcel.parcel in claimed or "" in claimed
            )
        found.append(Leg(end, ahead, parcel))
    return found


def _leg_of(parcel: Carried) -> tuple[int, int]:
    """Which of the legs it is on, since when."""
    if parcel.delivered_ms:
        return 2, parcel.delivered_ms
    return (1, parcel.first_scan_ms) if parcel.first_scan_ms else (0, parcel.label_ms)


def _claimed(view: ReturnView, come: Progress) -> set[str]:
    """The parcels of which somebody says that they were handed over; "": all of them."""
    return {parcel for claim in claims(view, come.parcels) for parcel in claim.parcels or ("",)}


def _handing_over(ahead: Next, parcel: str, awaited: Awaited, *, claimed: bool) -> Next:
    if not claimed:
        return Next(ExpectedStep.DROPPED_OFF, ahead.due_ms, ahead.rule)
    rule = RuleId.DROPOFF_CLAIM_UNCONFIRMED
    due_ms = awaited.get((rule, parcel), 0) or awaited.get((rule, ""), 0)
    return Next(ahead.step, due_ms, rule.value) if due_ms and due_ms < (ahead.due_ms or due_ms + 1) else ahead


def _deadlines(awaited: Awaited, rule: RuleId) -> tuple[int, int]:
    """The first and the last of what a rule waits for; 0, 0: nothing."""
    due = [due_ms for (of_rule, _), due_ms in awaited.items() if of_rule == rule]
    return (min(due), max(due)) if due else (0, 0)


def next_step(
    view: ReturnView, come: Progress, ahead: Sequence[Leg], awaited: Awaited, gone: Mapping[str, str]
) -> Next | None:
    """What is waited for, and until when; None: nothing comes any more. `gone`: parcel -> which of GONE says that it does not."""
    if come.closed:
        return None
    if gone:
        ahead = [leg for leg in ahead if leg.parcel.parcel not in gone]
    if come.stage == REFUNDED:
        return _behind_the_refund(view, come, awaited) or _earliest(ahead)
    exchange, paid = view.terms.resolution == Resolution.EXCHANGE, come.paid
    if paid.approved_ms or paid.failed_ms:
        step = ExpectedStep.REPLACEMENT_SENT if exchange else ExpectedStep.REFUND_ISSUED
        return Next(step) if paid.failed_ms else _waited_for(step, RuleId.LATE_REFUND, awaited)
    if come.stage == INSPECTED:
        step = ExpectedStep.REPLACEMENT_SENT if exchange else ExpectedStep.REFUND_APPROVED
        return _waited_for(step, RuleId.LATE_REFUND_DECISION, awaited)
    if come.stage == CHECKED_IN:
        return _waited_for(ExpectedStep.INSPECTED, RuleId.LATE_INSPECTION, awaited)
    if gone and not ahead:
        lost = RuleId.CARRIER_REPORTED_LOST in gone.values()
        return Next(ExpectedStep.REFUND_APPROVED) if lost else None
    return _earliest(ahead) or _before_the_parcel(view, come, awaited)


def _behind_the_refund(view: ReturnView, come: Progress, awaited: Awaited) -> Next | None:
    """The word of the bank, where one is expected."""
    if come.paid.settled_ms or not come.paid.issued_ms or view.deadline(RuleId.REFUND_NOT_SETTLED) is None:
        return None
    return _waited_for(ExpectedStep.REFUND_SETTLED, RuleId.REFUND_NOT_SETTLED, awaited)


def _before_the_parcel(view: ReturnView, come: Progress, awaited: Awaited) -> Next:
    """What is waited for while there is no parcel."""
    if come.stage == REQUESTED:
        return Next(ExpectedStep.RETURN_APPROVED)
    if come.stage == DROPPED_OFF:
        return Next(ExpectedStep.IN_TRANSIT)
    if view.terms.method == Method.IN_STORE:
        return Next(ExpectedStep.CHECKED_IN)
    return _waited_for(ExpectedStep.LABEL_CREATED, RuleId.LATE_LABEL, awaited)


def _earliest(ahead: Sequence[Leg]) -> Next | None:
    """Of several parcels, what is due first."""
    if len(ahead) < 2:
        return ahead[0].ahead if ahead else None
    return min(ahead, key=lambda leg: (not leg.ahead.due_ms, leg.ahead.due_ms, leg.end)).ahead


def _waited_for(step: ExpectedStep, rule: RuleId, awaited: Awaited) -> Next:
    due_ms, last_ms = _deadlines(awaited, rule)
    return Next(step, due_ms, rule.value, last_ms) if due_ms else Next(step)


# -- the refund ---------------------------------------------------------------------------------------------------


def estimate(
    view: ReturnView,
    come: Progress,
    ahead: Sequence[Leg],
    awaited: Awaited,
    now_ms: int,
    said: Sequence[SignalRecord],
) -> Estimate:
    """The range in which the refund may be expected; see schemas.return_journeys.JourneyRefund. `said`: the refund's signals.

    Nobody knows once a step is late, while anything speaks against paying, nor while the policy has no budget for what is ahead.
    """
    request, paid = view.request, come.paid
    if request is None or come.closed or view.terms.resolution == Resolution.EXCHANGE:
        return NOBODY_KNOWS
    if come.stage == REFUNDED or come.stage < APPROVED or paid.failed_ms:
        return NOBODY_KNOWS
    if paid.approved_ms:
        due_ms, last_ms = _deadlines(awaited, RuleId.LATE_REFUND)
        return Estimate(0, last_ms, due_ms) if due_ms > now_ms else NOBODY_KNOWS
    if is_held(view):
        return NOBODY_KNOWS
    released_at = _released_at(view, said)
    way = _on_the_way(view, come, ahead, awaited, released_at)
    if way is None:
        return NOBODY_KNOWS
    return _after_the_way(view, come, way, awaited, now_ms)


def _released_at(view: ReturnView, said: Sequence[SignalRecord]) -> int:
    """The stage with which it may be released, or was; a tier that was revoked releases no more."""
    if any(not one.revoked for one in said):
        return REQUESTED
    tier = next_tier(view, said)
    return _RELEASED_AT[tier.release_at] if tier is not None else INSPECTED


class _Way(NamedTuple):
    """Until the goods have been inspected."""

    inspected_ms: int
    """When the goods will be inspected, each leg taking its whole budget; 0: nobody knows."""
    released_ms: int
    """When a refund may be released on the way; 0: it may be by now, or only behind it."""
    until_ms: int
    """The first deadline on the way; 0: it lies behind."""


def _on_the_way(
    view: ReturnView, come: Progress, ahead: Sequence[Leg], awaited: Awaited, released_at: int
) -> _Way | None:
    if come.stage == INSPECTED:
        return _Way(come.reached[INSPECTED][0], 0, 0)
    # Of the parcels that are there; each that comes is inspected after it.
    until_ms, inspected_ms = _deadlines(awaited, RuleId.LATE_INSPECTION)
    released_ms = 0
    if come.stage < CHECKED_IN:
        if view.terms.method == Method.IN_STORE:
            return None
        if not come.parcels:
            return _before_the_label(view, come, awaited, released_at)
    elif not inspected_ms:
        return None
    for leg in ahead:
        due_ms, first = leg.ahead.due_ms, leg.end - IN_TRANSIT
        rest = _ends(view, first + 1, due_ms, leg.parcel) if due_ms else None
        if rest is None:
            return None
        ends = [due_ms, *rest]
        inspected_ms = max(inspected_ms, ends[-1])
        released_ms = max(released_ms, _released(ends, first, released_at))
        until_ms = min(until_ms or due_ms, due_ms)
    return _Way(inspected_ms, inspected_ms if released_at == INSPECTED else released_ms, until_ms)


def _before_the_label(view: ReturnView, come: Progress, awaited: Awaited, released_at: int) -> _Way | None:
    label_ms = _deadlines(awaited, RuleId.LATE_LABEL)[0] if come.stage == APPROVED else 0
    ends = _ends(view, 0, label_ms, None) if label_ms else None
    return _Way(ends[-1], _released(ends, 0, released_at), label_ms) if ends is not None else None


def _ends(view: ReturnView, first: int, since_ms: int, parcel: Carried | None) -> list[int] | None:
    """When the legs from the first on end, and the inspection after them; None: a rule is switched off."""
    ends = []
    for rule in (*(rule for _, _, rule in _ON_THE_WAY[first:]), RuleId.LATE_INSPECTION):
        deadline = view.deadline(rule, parcel)
        if deadline is None:
            return None
        since_ms = deadline.due_ms(since_ms, 0)
        ends.append(since_ms)
    return ends


def _released(ends: Sequence[int], first: int, released_at: int) -> int:
    """When the leg ends at which a refund may be released; 0: it has ended, or is none of these."""
    wanted = len(ends) - 1 if released_at == INSPECTED else released_at - IN_TRANSIT - first
    return ends[wanted] if 0 <= wanted < len(ends) else 0


def _after_the_way(view: ReturnView, come: Progress, way: _Way, awaited: Awaited, now_ms: int) -> Estimate:
    decision, refund = view.deadline(RuleId.LATE_REFUND_DECISION), view.deadline(RuleId.LATE_REFUND)
    if decision is None or refund is None:
        return NOBODY_KNOWS
    until_ms, decided_ms = way.until_ms, decision.due_ms(way.inspected_ms, 0)
    if come.stage == INSPECTED:
        until_ms, decided_ms = _deadlines(awaited, RuleId.LATE_REFUND_DECISION)
    if not decided_ms or until_ms <= now_ms:
        return NOBODY_KNOWS
    return Estimate(way.released_ms, refund.due_ms(decided_ms, 0), until_ms)


def hours_of_first_scan(view: ReturnView, claimed_ms: int, now_ms: int) -> tuple[str, int]:
    """Within how many hours of the customer's claim the first scan is expected, as 24-72, and until when that is so.

    "", 0: nobody knows, or no longer.
    """
    parcel = view.parcels[0] if view.parcels else None
    deadlines = [view.deadline(rule, parcel) for rule in _FIRST_SCAN]
    due = sorted({deadline.due_ms(claimed_ms, 0) for deadline in deadlines if deadline is not None})
    if not due or due[0] <= now_ms:
        return "", 0
    return "-".join(str(-((claimed_ms - due_ms) // _HOUR_MS)) for due_ms in due), due[0]
