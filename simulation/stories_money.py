"""The money: decided late, paid late, promised and not kept, failed on the way, or paid for what never came."""

from datetime import datetime
from typing import Any, Final

from schemas.vocabulary import RuleId
from simulation.aftermath import (
    beyond,
    beyond_days,
    dealt_with,
    inspected_in_time,
    made_good,
    never_sent,
    paid,
    received,
)
from simulation.journey import DAY, Journey
from simulation.legs import (
    deliver,
    dock_time,
    handed_over,
    labelled,
    scans_all_along,
    through_hubs,
    until_delivered,
)
from simulation.margins import (
    AT_RISK,
    DECISION_DAYS,
    LABEL_EXPIRES,
    MARGIN,
    NOT_RETURNED,
    PROMISE,
    REFUND_DAYS,
    SETTLE_DAYS,
    STATUTE,
)
from simulation.story import story


def _inspected(journey: Journey, **request: Any) -> tuple[str, datetime]:
    """A return whose goods have come and been looked at in their time."""
    parcel = labelled(journey, **request)
    came = dock_time(journey, until_delivered(journey, parcel, most_hubs=2))
    journey.check_in(parcel, came)
    return parcel.returns[0], inspected_in_time(journey, parcel.returns[0], came, parcel)


def _approved(journey: Journey, **request: Any) -> tuple[str, datetime]:
    """One whose refund is approved as well."""
    return_id, inspected = _inspected(journey, **request)
    approved = inspected + journey.hours(0.1, 4)
    journey.order("refund_approved", approved, return_id)
    return return_id, approved


def _issued(journey: Journey) -> tuple[str, datetime]:
    """One whose refund is issued as well, and not yet settled."""
    return_id, approved = _approved(journey)
    issued = approved + journey.hours(0.1, 4)
    journey.order("refund_issued", issued, return_id)
    return return_id, issued


# ---- decided late, paid late ------------------------------------------------------------------------------


def decided_late(journey: Journey) -> None:
    """Looked at, and then nobody decides for days."""
    return_id, inspected = _inspected(journey)
    decided = beyond_days(journey, inspected, DECISION_DAYS)
    journey.order("refund_approved", decided, return_id)
    paid(journey, return_id, decided + journey.hours(0.1, 4))


def decision_posted_late(journey: Journey) -> None:
    """Refused within hours, told days later."""
    return_id, inspected = _inspected(journey)
    posted = beyond_days(journey, inspected, DECISION_DAYS, 20)
    journey.order("refund_refused", inspected + journey.hours(0.1, 4), return_id, appears_at=posted)


def paid_late(journey: Journey) -> None:
    """Approved, and then the money lies about for days."""
    return_id, approved = _approved(journey)
    paid(journey, return_id, beyond_days(journey, approved, REFUND_DAYS))


def paid_posted_late(journey: Journey) -> None:
    """Paid within hours, told days later."""
    return_id, approved = _approved(journey)
    posted = beyond_days(journey, approved, REFUND_DAYS, 20)
    issued = approved + journey.hours(0.1, 4)
    journey.order("refund_issued", issued, return_id, appears_at=posted)
    journey.order("refund_settled", issued + journey.hours(5, 40), return_id)


def never_paid(journey: Journey) -> None:
    """Approved and promised within ten days, and never paid."""
    return_id, approved = _approved(journey)
    journey.promise(return_id, max(journey.requested_at + 10 * DAY, approved + DAY))


# ---- promises ---------------------------------------------------------------------------------------------


def promise_broken(journey: Journey) -> None:
    """Everything takes its ordinary time, but a refund was promised a day or two earlier."""
    parcel = labelled(journey)
    at = scans_all_along(journey, handed_over(journey, parcel), parcel.labelled_at + 3 * DAY, parcel)
    came = dock_time(journey, deliver(journey, at, parcel))
    journey.check_in(parcel, came)
    refunded = dealt_with(journey, parcel.returns[0], came, parcel)
    journey.promise(parcel.returns[0], refunded - MARGIN - journey.hours(0, 20))


def promise_kept_narrowly(journey: Journey) -> None:
    """A refund that comes late in the time that was promised: a warning, and no more."""
    journey.choose_lane(lambda lane: lane.international)
    parcel = labelled(journey)
    at = scans_all_along(journey, handed_over(journey, parcel), parcel.labelled_at + 8 * DAY, parcel)
    came = dock_time(journey, deliver(journey, at, parcel))
    journey.check_in(parcel, came)
    refunded = dealt_with(journey, parcel.returns[0], came, parcel)
    warned_after = refunded - MARGIN - journey.requested_at
    journey.promise(parcel.returns[0], journey.requested_at + warned_after / AT_RISK)


def nothing_promised(journey: Journey) -> None:
    """No date in the request, so the shop's usual days hold; the parcel alone takes longer."""
    parcel = labelled(journey, promised_refund_at=None)
    late = beyond(journey, journey.requested_at + PROMISE, 10)
    at = scans_all_along(journey, handed_over(journey, parcel), late, parcel)
    received(journey, parcel, dock_time(journey, deliver(journey, at, parcel)))


# ---- the law ----------------------------------------------------------------------------------------------


def withdrawn_refunded_late(journey: Journey) -> None:
    """A notice of withdrawal, and a decision that takes longer than the law allows."""
    return_id, decided = _withdrawn(journey)
    journey.order("refund_approved", decided, return_id)
    paid(journey, return_id, decided + journey.hours(0.1, 4))


def withdrawn_refund_posted_late(journey: Journey) -> None:
    """Refunded within hours, told days after the law's deadline."""
    journey.choose_lane(lambda lane: lane.origin not in {"US", "CA"})
    return_id, approved = _approved(journey, withdrawal=True)
    posted = beyond(journey, journey.requested_at + STATUTE + 2 * DAY, 10)
    issued = approved + journey.hours(0.1, 4)
    journey.order("refund_issued", issued, return_id, appears_at=posted)
    journey.order("refund_settled", issued + journey.hours(5, 40), return_id)


def _withdrawn(journey: Journey) -> tuple[str, datetime]:
    """The return, and a time that is clearly too late for the law of its country."""
    journey.choose_lane(lambda lane: lane.origin not in {"US", "CA"})
    return_id, inspected = _inspected(journey, withdrawal=True)
    # Great Britain counts from the first scan, which comes at most two days after the notice.
    by_law = journey.requested_at + STATUTE + 2 * DAY
    return return_id, max(beyond(journey, by_law, 20), beyond_days(journey, inspected, DECISION_DAYS))


# ---- it does not arrive -----------------------------------------------------------------------------------


def refund_repeated(journey: Journey) -> None:
    """The payment comes back, and is made again days later."""
    return_id, issued = _issued(journey)
    failed = issued + journey.hours(5, 20)
    journey.order("refund_failed", failed, return_id)
    paid(journey, return_id, beyond(journey, failed))


def refund_failed_for_good(journey: Journey) -> None:
    """The payment comes back, and nobody cares."""
    return_id, issued = _issued(journey)
    journey.order("refund_failed", issued + journey.hours(5, 20), return_id)


def refund_failed_before_it_was_issued(journey: Journey) -> None:
    """The payment fails at once, so it is not the shop's lateness that it is paid days later."""
    return_id, approved = _approved(journey)
    journey.order("refund_failed", approved + journey.hours(0.1, 1), return_id)
    paid(journey, return_id, beyond_days(journey, approved, REFUND_DAYS))


def settled_late(journey: Journey) -> None:
    """The payment provider takes days longer than it may."""
    return_id, issued = _issued(journey)
    journey.order("refund_settled", beyond_days(journey, issued, SETTLE_DAYS), return_id)


def never_settled(journey: Journey) -> None:
    """The payment provider never says anything."""
    _issued(journey)


def settlement_posted_late(journey: Journey) -> None:
    """Settled in time, told days later."""
    return_id, issued = _issued(journey)
    posted = beyond_days(journey, issued, SETTLE_DAYS, 20)
    journey.order("refund_settled", issued + journey.hours(5, 40), return_id, appears_at=posted)


# ---- paid before the goods came ---------------------------------------------------------------------------


def refunded_and_kept(journey: Journey) -> None:
    """A good customer has the money at once, and never sends the goods."""
    parcel = labelled(journey, loyal=True)
    if _ends_in_doubt(journey):
        never_sent(journey, parcel)
        return
    journey.order("refund_approved", parcel.labelled_at + journey.hours(0.5, 3), parcel.returns[0])
    paid(journey, parcel.returns[0], parcel.labelled_at + journey.hours(4, 6))


def refunded_and_sent_weeks_later(journey: Journey) -> None:
    """A good customer has the money at once; the parcel lies at the dock for weeks before it is found."""
    parcel = labelled(journey, loyal=True)
    return_id = parcel.returns[0]
    delivered = deliver(journey, through_hubs(journey, parcel, handed_over(journey, parcel)), parcel)
    refunded = parcel.labelled_at + journey.hours(4, 6)
    found = beyond(journey, refunded + NOT_RETURNED, 10)
    if _ends_in_doubt(journey) or found > journey.ends_at - 3 * DAY:
        made_good(journey)
        return
    journey.order("refund_approved", parcel.labelled_at + journey.hours(0.5, 3), return_id)
    paid(journey, return_id, refunded)
    journey.decided.add(return_id)
    assert found > delivered
    received(journey, parcel, found)


def _ends_in_doubt(journey: Journey) -> bool:
    """Whether a month from now comes too close to the end of the world."""
    month = max(NOT_RETURNED, LABEL_EXPIRES)
    return any(journey.undecided(journey.requested_at + month + days * DAY) for days in (-1, 0, 1))


_LAW, _FAILED, _SETTLED = (
    RuleId.STATUTORY_REFUND_DEADLINE,
    RuleId.REFUND_FAILED,
    RuleId.REFUND_NOT_SETTLED,
)
_DECISION, _REFUND = RuleId.LATE_REFUND_DECISION, RuleId.LATE_REFUND
_AT_RISK, _BROKEN = RuleId.REFUND_PROMISE_AT_RISK, RuleId.REFUND_PROMISE_BROKEN
_KEPT = RuleId.REFUNDED_NOT_RETURNED
MONEY: Final = (
    story(0.008, decided_late, _DECISION),
    story(0.004, decision_posted_late, _DECISION),
    story(0.008, paid_late, _REFUND),
    story(0.004, paid_posted_late, _REFUND),
    story(0.005, never_paid, _REFUND, _AT_RISK, _BROKEN),
    story(0.008, promise_broken, _AT_RISK, _BROKEN),
    story(0.005, promise_kept_narrowly, _AT_RISK),
    story(0.006, nothing_promised, _AT_RISK, _BROKEN),
    story(0.006, withdrawn_refunded_late, _LAW, _DECISION),
    story(0.004, withdrawn_refund_posted_late, _LAW, _REFUND),
    story(0.006, refund_repeated, _FAILED),
    story(0.004, refund_failed_for_good, _FAILED),
    story(0.004, refund_failed_before_it_was_issued, _FAILED),
    story(0.005, settled_late, _SETTLED),
    story(0.004, never_settled, _SETTLED),
    story(0.004, settlement_posted_late, _SETTLED),
    story(0.008, refunded_and_kept, RuleId.MISSING_FIRST_SCAN, may_find=(_KEPT, RuleId.LABEL_EXPIRED_UNUSED)),
    story(
        0.004,
        refunded_and_sent_weeks_later,
        RuleId.DELIVERED_NOT_CHECKED_IN,
        may_find=(_KEPT, RuleId.TRANSIT_OVERDUE),
    ),
)
