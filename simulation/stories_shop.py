"""The goods have come, and nobody looks at them, nobody shelves them, or they are not what was announced."""

from datetime import datetime
from typing import Any, Final

from schemas.vocabulary import RuleId
from simulation.aftermath import (
    beyond,
    beyond_days,
    dealt_with,
    inspect,
    inspected_in_time,
    made_good,
    paid,
    received,
    restock,
)
from simulation.journey import HOUR, Journey, SimParcel
from simulation.legs import deliver, dock_time, handed_over, labelled, scans_all_along, until_delivered
from simulation.margins import INSPECTION, RESTOCK_DAYS
from simulation.story import story


def _came(journey: Journey, weight: float | None = None) -> tuple[SimParcel, datetime]:
    """A parcel that the dock has checked in in its time."""
    parcel = labelled(journey)
    came = dock_time(journey, until_delivered(journey, parcel))
    journey.check_in(parcel, came, weight=weight)
    return parcel, came


def _refunded(journey: Journey, return_id: str, inspected: datetime) -> None:
    """Decided and paid within hours of the inspection."""
    approved = inspected + journey.hours(0.1, 4)
    journey.order("refund_approved", approved, return_id)
    paid(journey, return_id, approved + journey.hours(0.1, 4))


# ---- nobody looks -----------------------------------------------------------------------------------------


def inspected_late(journey: Journey) -> None:
    """The goods lie about for days before somebody looks at them."""
    parcel, came = _came(journey)
    inspected = beyond(journey, came + INSPECTION)
    inspect(journey, parcel.returns[0], inspected, disposition="refurbish")
    _refunded(journey, parcel.returns[0], inspected)


def never_inspected(journey: Journey) -> None:
    """The customer gets the money, and the goods lie about for ever."""
    _came(journey)
    made_good(journey)


def inspection_posted_late(journey: Journey) -> None:
    """Looked at in time, told days later."""
    parcel, came = _came(journey)
    inspected = came + journey.hours(2, 17)
    posted = beyond(journey, came + INSPECTION, 20)
    inspect(journey, parcel.returns[0], inspected, disposition="refurbish", appears_at=posted)
    _refunded(journey, parcel.returns[0], inspected)


def second_parcel_not_inspected(journey: Journey) -> None:
    """Two parcels come days apart, and only the first one is looked at."""
    first, second = labelled(journey), journey.label(journey.requested_at + 5 * HOUR)
    delivered = until_delivered(journey, first, most_hubs=1)
    received(journey, first, dock_time(journey, delivered))
    at = handed_over(journey, second)
    moving = scans_all_along(journey, at, max(at, delivered + 40 * HOUR), second)
    journey.check_in(second, dock_time(journey, deliver(journey, moving, second)))


# ---- not what was announced -------------------------------------------------------------------------------

_MISMATCHES: Final = ("weight", "empty_box", "wrong_item", "quantity", "damaged")


def mismatch_decided_late(journey: Journey) -> None:
    """Not what was announced; after days the shop refunds it, or does not."""
    return_id, inspected = _not_as_announced(journey)
    decided = beyond(journey, inspected, 20)
    if journey.rng.random() < 0.5:
        journey.order("refund_refused", decided, return_id)
    else:
        journey.order("refund_approved", decided, return_id)
        paid(journey, return_id, decided + journey.hours(0.1, 4))


def mismatch_never_decided(journey: Journey) -> None:
    """Not what was announced, and nobody ever decides whether it is exchanged."""
    _not_as_announced(journey, resolution="exchange", promised_refund_at=None)


def mismatch_cleared_up(journey: Journey) -> None:
    """A colleague looks again days later and finds everything in order."""
    return_id, inspected = _not_as_announced(journey)
    again = beyond(journey, inspected, 20)
    inspect(journey, return_id, again, disposition="refurbish")
    _refunded(journey, return_id, again)


def too_light(journey: Journey) -> None:
    """The dock weighs little more than cardboard, and days later somebody looks into the box and finds nothing else."""
    parcel, came = _came(journey, weight=0.1)
    inspected = beyond(journey, came + INSPECTION, 10)
    inspect(journey, parcel.returns[0], inspected, disposition="reject", mismatch=["empty_box"])
    journey.order("refund_refused", inspected + journey.hours(0.05, 0.3), parcel.returns[0])


def weighed_again(journey: Journey) -> None:
    """The scale was wrong, and shows the right weight days later."""
    parcel, came = _came(journey, weight=2.5)
    again = beyond(journey, came, 10)
    journey.check_in(parcel, again, weight=1.04)
    inspected = beyond(journey, came + INSPECTION, 20)
    inspect(journey, parcel.returns[0], inspected, disposition="refurbish")
    _refunded(journey, parcel.returns[0], inspected)


def a_little_heavier(journey: Journey) -> None:
    """Weighed, and within what the policy puts up with."""
    parcel, came = _came(journey, weight=1.1)
    for return_id in parcel.returns:
        dealt_with(journey, return_id, came, parcel)


def _not_as_announced(journey: Journey, **request: Any) -> tuple[str, datetime]:
    parcel = labelled(journey, **request)
    came = dock_time(journey, until_delivered(journey, parcel))
    journey.check_in(parcel, came)
    inspected = came + journey.hours(2, 17)
    found = journey.rng.sample(_MISMATCHES, journey.rng.randint(1, 2))
    inspect(journey, parcel.returns[0], inspected, disposition="reject", mismatch=found)
    return parcel.returns[0], inspected


# ---- not on the shelf -------------------------------------------------------------------------------------


def restocked_late(journey: Journey) -> None:
    """It may be sold again, and lies about for days."""
    return_id, inspected = _for_the_shelf(journey)
    restock(journey, return_id, beyond_days(journey, inspected, RESTOCK_DAYS))


def never_restocked(journey: Journey) -> None:
    """It may be sold again, and is not."""
    _for_the_shelf(journey)


def restocking_posted_late(journey: Journey) -> None:
    """On the shelf in time, told days later."""
    return_id, inspected = _for_the_shelf(journey)
    posted = beyond_days(journey, inspected, RESTOCK_DAYS, 20)
    restock(journey, return_id, inspected + journey.hours(1, 17), appears_at=posted)


def _for_the_shelf(journey: Journey) -> tuple[str, datetime]:
    parcel, came = _came(journey)
    inspected = came + journey.hours(2, 17)
    inspect(journey, parcel.returns[0], inspected, disposition="restock")
    _refunded(journey, parcel.returns[0], inspected)
    return parcel.returns[0], inspected


def exchange_forgotten(journey: Journey) -> None:
    """Looked at, shelved, and the customer never gets the other goods."""
    parcel = labelled(journey, resolution="exchange", promised_refund_at=None)
    came = dock_time(journey, until_delivered(journey, parcel))
    journey.check_in(parcel, came)
    inspected_in_time(journey, parcel.returns[0], came, parcel)


_INSPECTION, _MISMATCH, _SHELF = RuleId.LATE_INSPECTION, RuleId.CONTENT_MISMATCH, RuleId.LATE_RESTOCK
_DECISION = RuleId.LATE_REFUND_DECISION
SHOP: Final = (
    story(0.010, inspected_late, _INSPECTION),
    story(0.005, never_inspected, _INSPECTION),
    story(0.005, inspection_posted_late, _INSPECTION),
    story(0.004, second_parcel_not_inspected, _INSPECTION),
    story(0.008, mismatch_decided_late, _MISMATCH),
    story(0.004, mismatch_never_decided, _MISMATCH),
    story(0.004, mismatch_cleared_up, _MISMATCH, may_find=(_DECISION,)),
    story(0.005, too_light, _MISMATCH, may_find=(_INSPECTION,)),
    story(0.004, weighed_again, _MISMATCH, may_find=(_INSPECTION,)),
    story(0.004, a_little_heavier),
    story(0.008, restocked_late, _SHELF),
    story(0.005, never_restocked, _SHELF),
    story(0.004, restocking_posted_late, _SHELF),
    story(0.005, exchange_forgotten, _DECISION),
)
