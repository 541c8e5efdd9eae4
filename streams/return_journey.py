"""Where one return is, as the customer-facing side is told (topic `journeys`); not the journeys of a parcel's number.

A journey is a function of the return's state and of the policy alone, so a look that finds nothing new says nothing, and facts in
any order lead to the same last record but for its revision, the last scans and when it took effect. What a record would say
is first put into a small tuple (`_Gist`); only when the digest of that is not the one of what was last said is a record made.
A scan between two milestones is not in it.

Told of: every return, asked for or not, of which a milestone is known, a parcel, or that it was cancelled. A label of which only
the return has heard so far is told with its parcel's first report.
"""

from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from schemas.journey_messages import rendered
from schemas.outputs import Severity, utc
from schemas.return_journeys import (
    MOST_CASES_TOLD,
    CustomerMessage,
    JourneyCase,
    JourneyParcel,
    JourneyRefund,
    MilestoneReached,
    NextStep,
    PortalStatus,
    ReturnJourney,
    Witness,
    encode_journey,
    journey_headers,
)
from schemas.vocabulary import Milestone, Resolution, RuleId
from streams.cases import STANDING, Telling, case_id
from streams.findings import Findings
from streams.journey_message import message_of
from streams.journey_outlook import (
    CHECKED_IN,
    DROPPED_OFF,
    NOWHERE,
    REFUNDED,
    STAGES,
    Money,
    Next,
    estimate,
    money,
    next_step,
)
from streams.keys import split_parcel_key
from streams.return_view import ReturnView
from streams.returns import Carried, CaseRecord, ReturnState
from streams.rules.goods import inspects
from streams.rules.promises import promised_ms
from streams.watermark import Outgoing

TOPIC = "journeys"
HARMLESS = frozenset(
    {
        RuleId.CHECKED_IN_NOT_DELIVERED,
        RuleId.LATE_RESTOCK,
        RuleId.REFUND_PROMISE_AT_RISK,
        RuleId.REFUND_PROMISE_BROKEN,
        RuleId.STATUTORY_REFUND_DEADLINE,
        RuleId.REFUNDED_NOT_RETURNED,
        RuleId.REFUND_NOT_SETTLED,
    }
)
"""Cases of these do not say that the goods or the decision come later than their budgets say."""

Reached = tuple[int, str]
"""(when, seen by whom); (0, ""): not reached."""
_NOT_REACHED: Reached = (0, "")
_BY_CARRIER, _BY_CLAIM = Witness.CARRIER_SCAN.value, Witness.CLAIMED.value
_BY_SYSTEM, _ANNOUNCED = Witness.SYSTEM.value, Witness.ANNOUNCED.value
_UNREACHED = tuple(MilestoneReached(milestone) for milestone in STAGES)
_WITNESSES = {witness.value: witness for witness in Witness}
_utc = lru_cache(maxsize=8192)(utc)
"""Each record of a return tells the times of the one before, and one more."""
_digest_input = msgspec.msgpack.Encoder().encode


class _Gist(NamedTuple):
    """All that a record says but for its number, the last scans, the policy's hash and the time it took effect."""

    stage: int
    status: PortalStatus
    reached: tuple[Reached, ...]
    parcels: tuple[tuple[str, int, int, int], ...]
    """(parcel, first scan, delivered, checked in)."""
    next_step: Next | None
    promised_ms: int
    estimate: tuple[int, int]
    released: bool
    money: Money
    cases: tuple[tuple[str, str, str, Severity, int, int], ...]
    """(rule, parcel, anchor, severity, since, due)."""
    case_count: int
    message: tuple[str, tuple[tuple[str, str], ...]]

    @property
    def digest(self) -> int:
        """64 bits of it, the same in every process."""
        return int.from_bytes(blake2b(_digest_input(self), digest_size=8).digest()) or 1


def told(view: ReturnView, telling: Telling, now_ms: int, found: Findings | None) -> list[Outgoing]:
    """What is to be said of the journey now; `telling.state` remembers it. `found`: None, if no rule was asked.

    `now_ms` decides only whether it is too late to begin: an old history sent again after the return was forgotten.
    """
    state = telling.state
    if not telling.policy.tells_journeys:
        return _told_no_more(telling)
    if not state.journey_digest and state.newest_ms <= now_ms - telling.policy.accept_age_ms:
        return []
    gist = _gist(view, telling, found)
    if gist is None:
        return _told_no_more(telling)
    digest = gist.digest
    if digest == state.journey_digest:
        return []
    state.journey_digest = digest
    state.journey_revision += 1
    journey = _journey(gist, view, telling)
    key = telling.return_id.encode()
    return [Outgoing(TOPIC, key, encode_journey(journey), journey_headers(journey), telling.partition)]


def _told_no_more(telling: Telling) -> list[Outgoing]:
    """The policy has switched journeys off, or all that was known was taken back."""
    if not telling.state.journey_digest:
        return []
    telling.state.journey_digest = 0
    return [forgotten(telling)]


def forgotten(telling: Telling) -> Outgoing:
    """Takes the journey out of the compacted topic."""
    return Outgoing(TOPIC, telling.return_id.encode(), None, [], telling.partition)


# -- what there is to say -----------------------------------------------------------------------------------------


def _gist(view: ReturnView, telling: Telling, found: Findings | None) -> _Gist | None:
    """None: too little is known of the return to tell of it."""
    state = telling.state
    paid = money(view)
    reached = _reached(view, paid)
    stage = REFUNDED
    while stage != NOWHERE and not reached[stage][0]:
        stage -= 1
    cancelled = view.first(Milestone.RETURN_CANCELLED) is not None
    if stage == NOWHERE and not state.carried and not cancelled:
        return None
    status = _status(stage, paid, cancelled=cancelled)
    closed = status is PortalStatus.CLOSED
    standing = _standing(state)
    awaited = found.awaited if found is not None else {}
    ahead = None if closed else next_step(view, stage, paid, awaited)
    late = closed or stage == REFUNDED or any(case.rule not in HARMLESS for case in standing)
    return _Gist(
        stage,
        status,
        reached,
        tuple((one.parcel, one.first_scan_ms, one.delivered_ms, one.checked_in_ms) for one in _parcels(view)),
        ahead,
        _promised_ms(view),
        (0, 0) if late else estimate(view, stage, reached[stage][0], paid),
        any(not record.revoked for record in state.signals),
        paid,
        tuple(_case(telling, case) for case in standing[:MOST_CASES_TOLD]),
        len(standing),
        message_of(
            view, status, stage, reached[DROPPED_OFF][0], paid, ahead, {case.rule for case in standing}
        ),
    )


def _standing(state: ReturnState) -> list[CaseRecord]:
    """The open cases, the one that has been due longest first."""
    cases = [case for case in state.cases if case.state in STANDING]
    return sorted(cases, key=lambda case: (case.due_ms, case.rule, case.parcel, case.anchor))


def _case(telling: Telling, case: CaseRecord) -> tuple[str, str, str, Severity, int, int]:
    severity = telling.policy.severity(RuleId(case.rule), case.level, disputed=case.disputed)
    return case.rule, case.parcel, case.anchor, severity, case.since_ms, case.due_ms


def _status(stage: int, paid: Money, *, cancelled: bool) -> PortalStatus:
    if stage == REFUNDED:
        return PortalStatus.REFUNDED
    if cancelled or paid.refused_ms or stage == NOWHERE:
        return PortalStatus.CLOSED
    if stage >= CHECKED_IN:
        return PortalStatus.RECEIVED
    if stage >= DROPPED_OFF:
        return PortalStatus.SHIPPED
    return PortalStatus.APPROVED if stage else PortalStatus.PENDING_APPROVAL


def _promised_ms(view: ReturnView) -> int:
    request = view.request
    if request is None or view.terms.resolution == Resolution.EXCHANGE:
        return 0
    return promised_ms(request, view.deadline(RuleId.REFUND_PROMISE_BROKEN))


# -- the nine milestones ------------------------------------------------------------------------------------------


def _parcels(view: ReturnView) -> list[Carried]:
    """Those that a label links; without any, those that the dock has."""
    return view.parcels or view.at_the_dock


def _reached(view: ReturnView, paid: Money) -> tuple[Reached, ...]:
    parcels = _parcels(view)
    received = [view.received_ms(one) for one in parcels]
    scans = [one.first_scan_ms for one in parcels if one.first_scan_ms]
    scanned = (min(scans), _BY_CARRIER) if scans else _NOT_REACHED
    claim = view.first(Milestone.DROPOFF_CLAIMED)
    dropped_off = scanned
    if claim is not None and (not scans or claim.at_ms < scanned[0]):
        dropped_off = (claim.at_ms, _BY_CLAIM)
    return (
        _of_shop(view, Milestone.RETURN_REQUESTED),
        _of_shop(view, Milestone.RETURN_APPROVED),
        (min([one.label_ms for one in parcels]), _ANNOUNCED) if parcels else _NOT_REACHED,
        dropped_off,
        scanned,
        _delivered(parcels, received),
        _checked_in(view, parcels, received),
        _inspected(view),
        (paid.paid_ms, _BY_SYSTEM) if paid.paid_ms else _NOT_REACHED,
    )


def _of_shop(view: ReturnView, milestone: Milestone) -> Reached:
    fact = view.first(milestone)
    return (fact.at_ms, _BY_SYSTEM) if fact is not None else _NOT_REACHED


def _delivered(parcels: list[Carried], received: list[int]) -> Reached:
    times = [one.delivered_ms or came_ms for one, came_ms in zip(parcels, received, strict=True)]
    if not times or not all(times) or not any(one.delivered_ms for one in parcels):
        return _NOT_REACHED
    return max(times), _BY_CARRIER


def _checked_in(view: ReturnView, parcels: list[Carried], received: list[int]) -> Reached:
    if not parcels:
        by_number = view.first(Milestone.CHECKED_IN)
        return (by_number.at_ms, Witness.WAREHOUSE_MATCH.value) if by_number is not None else _NOT_REACHED
    if not all(received):
        return _NOT_REACHED
    last_ms = max(received)
    by_scan = any(one.checked_in_ms == last_ms for one in parcels)
    return last_ms, (Witness.WAREHOUSE_SCAN if by_scan else Witness.WAREHOUSE_MATCH).value


def _inspected(view: ReturnView) -> Reached:
    inspections = view.all(Milestone.INSPECTED)
    if not inspections:
        return _NOT_REACHED
    last_ms = 0
    only = len(view.parcels) == 1
    for parcel in view.parcels:
        received_ms = view.received_ms(parcel)
        if not received_ms and not only:
            inspections_of_it = [fact for fact in inspections if parcel.parcel in fact.parcels]
        else:
            inspections_of_it = inspections
        of_it = (fact for fact in inspections_of_it if inspects(fact, parcel, received_ms, only=only))
        first = next(of_it, None)
        if first is None:
            return _NOT_REACHED
        last_ms = max(last_ms, first.at_ms)
    return last_ms or inspections[0].at_ms, Witness.WAREHOUSE_SCAN.value


# -- the record ---------------------------------------------------------------------------------------------------


def _journey(gist: _Gist, view: ReturnView, telling: Telling) -> ReturnJourney:
    return_id, state = telling.return_id, telling.state
    key, parameters = gist.message[0], dict(gist.message[1])
    return ReturnJourney(
        return_id=return_id,
        revision=state.journey_revision,
        stage=STAGES[gist.stage] if gist.stage != NOWHERE else None,
        status=gist.status,
        milestones=tuple(
            MilestoneReached(milestone, utc(at_ms), Witness(seen_by))
            if at_ms
            else MilestoneReached(milestone)
            for milestone, (at_ms, seen_by) in zip(STAGES, gist.reached, strict=True)
        ),
        parcels=tuple(_parcel(one) for one in _parcels(view)),
        next_step=_next(gist.next_step),
        refund=_refund(gist),
        open_cases=tuple(
            JourneyCase(
                case_id=case_id(rule, return_id, parcel, anchor),
                rule=RuleId(rule),
                severity=severity,
                parcel=parcel,
                since_at=_utc(since_ms),
                due_at=_utc(due_ms),
            )
            for rule, parcel, anchor, severity, since_ms, due_ms in gist.cases
        ),
        open_case_count=gist.case_count,
        message=CustomerMessage(key, parameters, rendered(key, parameters)),
        effective_at=_utc(_newest_ms(state)),
        policy_hash=telling.policy.hash,
    )


def _newest_ms(state: ReturnState) -> int:
    """When the newest of what is known now happened; scans between milestones are not counted."""
    times = [state.facts[-1].at_ms if state.facts else 0, state.marked_ms]
    times += [case.effective_ms for case in state.cases]
    for one in state.carried:
        times += (one.label_ms, one.first_scan_ms, one.delivered_ms, one.checked_in_ms)
    return max(times)


def _parcel(carried: Carried) -> JourneyParcel:
    carrier, number = split_parcel_key(carried.parcel)
    return JourneyParcel(
        carrier=carrier,
        tracking_number=number,
        first_scan_at=_at(carried.first_scan_ms),
        last_scan_at=_at(carried.last_scan_ms),
        delivered_at=_at(carried.delivered_ms),
        checked_in_at=_at(carried.checked_in_ms),
    )


def _next(ahead: Next | None) -> NextStep | None:
    if ahead is None:
        return None
    return NextStep(ahead.step, _at(ahead.due_ms), RuleId(ahead.rule) if ahead.rule else None)


def _refund(gist: _Gist) -> JourneyRefund:
    earliest_ms, latest_ms = gist.estimate
    return JourneyRefund(
        promised_at=_at(gist.promised_ms),
        earliest_at=_at(earliest_ms),
        latest_at=_at(latest_ms),
        released=gist.released,
        approved_at=_at(gist.money.approved_ms),
        refused_at=_at(gist.money.refused_ms),
        issued_at=_at(gist.money.issued_ms),
        settled_at=_at(gist.money.settled_ms),
        failed_at=_at(gist.money.failed_ms),
    )


def _at(at_ms: int) -> datetime | None:
    return _utc(at_ms) if at_ms else None
