"""It has arrived, or seems to have: deliveries that nobody checks in, that went elsewhere, and parcels that nobody knows."""

from datetime import datetime
from typing import Final

from schemas.vocabulary import RuleId
from simulation.aftermath import (
    beyond,
    beyond_days,
    dealt_with,
    made_good,
    received,
    received_by_return,
)
from simulation.journey import HOUR, Journey, SimParcel
from simulation.legs import (
    deliver,
    dock_time,
    handed_over,
    labelled,
    scans_all_along,
    through_hubs,
    until_delivered,
)
from simulation.margins import INSPECTION, MOVING_DAYS, NOT_DELIVERED, UNEXPECTED
from simulation.story import story

# ---- delivered, not checked in ----------------------------------------------------------------------------


def never_checked_in(journey: Journey) -> None:
    """Delivered, and lost on the dock."""
    until_delivered(journey, labelled(journey))
    made_good(journey)


def shared_never_checked_in(journey: Journey) -> None:
    """One parcel of two returns is lost on the dock: one case for each."""
    until_delivered(journey, labelled(journey, 2))
    made_good(journey)


def checked_in_late(journey: Journey) -> None:
    """Found on the dock more than a day after the deadline; one in three by the number of the return."""
    parcel = labelled(journey)
    found = beyond_days(journey, until_delivered(journey, parcel), 1)
    if journey.rng.random() < 1 / 3:
        received_by_return(journey, parcel.returns[0], found)
    else:
        received(journey, parcel, found)


def check_in_posted_late(journey: Journey) -> None:
    """Checked in within hours, told more than a day after the deadline: the case is taken back."""
    parcel = labelled(journey)
    delivered = until_delivered(journey, parcel)
    posted = beyond_days(journey, delivered, 1, 24)
    if journey.rng.random() < 1 / 3:
        received_by_return(journey, parcel.returns[0], dock_time(journey, delivered), appears_at=posted)
    else:
        received(journey, parcel, dock_time(journey, delivered), appears_at=posted)


def check_in_taken_back(journey: Journey) -> None:
    """The dock scanned the wrong label and takes it back within hours; the right parcel never turns up."""
    parcel = labelled(journey)
    at = dock_time(journey, until_delivered(journey, parcel))
    journey.check_in_by_mistake(parcel, at, at + journey.hours(0.2, 3))
    made_good(journey)


def two_parcels_one_counted(journey: Journey) -> None:
    """Two parcels are delivered, days apart, one number is typed: the second parcel's case stays true."""
    first, second = labelled(journey), journey.label(journey.requested_at + 5 * HOUR)
    delivered = until_delivered(journey, first, most_hubs=1)
    received_by_return(journey, first.returns[0], dock_time(journey, delivered))
    journey.first_scan(second, second.labelled_at + journey.hours(2, 36))
    moving = scans_all_along(journey, second.labelled_at + 36 * HOUR, delivered + 6 * HOUR, second)
    deliver(journey, moving, second)


# ---- delivered elsewhere, moving on -----------------------------------------------------------------------


def left_with_a_neighbour(journey: Journey) -> None:
    """The carrier's own code says so; half of the neighbours bring it over days later."""
    elsewhere = journey.code(lambda carrier: carrier.elsewhere)
    parcel = labelled(journey)
    at = deliver(journey, through_hubs(journey, parcel, handed_over(journey, parcel)), parcel, code=elsewhere)
    if journey.rng.random() < 0.5:
        received(journey, parcel, beyond_days(journey, at, 1))
    else:
        made_good(journey)


def delivered_to_another_town(journey: Journey) -> None:
    """The carrier says delivered, and names a place that is not the warehouse's."""
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel))
    deliver(journey, at, parcel, place=_another_town(journey, parcel))
    made_good(journey)


def delivered_again_rightly(journey: Journey) -> None:
    """Delivered to another town first, and to the warehouse days later."""
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel))
    astray = deliver(journey, at, parcel, place=_another_town(journey, parcel))
    rightly = beyond_days(journey, astray, 1)
    dock = journey.lane.facility.place
    journey.scan(parcel, parcel.lane.carrier.delivered, rightly, dock, soon=True)
    received(journey, parcel, dock_time(journey, rightly))


def _another_town(journey: Journey, parcel: SimParcel) -> dict[str, str]:
    town = journey.rng.choice(parcel.stops)["city"]
    return {"country": journey.lane.facility.country, "city": town, "site": f"SHOP-{journey.serial % 89}"}


def moving_on_for_ever(journey: Journey) -> None:
    """Delivered, and scanned in hubs from the next day on."""
    parcel, delivered = _moving_on(journey)
    scans_all_along(journey, delivered + 20 * HOUR, delivered + 90 * HOUR, parcel)
    made_good(journey)


def moved_on_and_came_back(journey: Journey) -> None:
    """Delivered, scanned in hubs from the next day on, and delivered again days later."""
    parcel, delivered = _moving_on(journey)
    again = beyond_days(journey, delivered + 20 * HOUR, MOVING_DAYS)
    received(journey, parcel, dock_time(journey, deliver(journey, again, parcel)))


def _moving_on(journey: Journey) -> tuple[SimParcel, datetime]:
    parcel = labelled(journey)
    delivered = until_delivered(journey, parcel)
    journey.hub(parcel, delivered + journey.hours(8, 20), parcel.stops[0])
    return parcel, delivered


# ---- checked in, not delivered ----------------------------------------------------------------------------


def delivery_not_scanned(journey: Journey) -> None:
    """The dock has it though the carrier never said delivered."""
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel))
    received(journey, parcel, dock_time(journey, deliver(journey, at, parcel, seen=False)))


def delivery_dated_late(journey: Journey) -> None:
    """The carrier says delivered days after the dock had it."""
    parcel, came = _came_unseen(journey)
    said = beyond(journey, came + NOT_DELIVERED)
    journey.scan(parcel, parcel.lane.carrier.delivered, said, journey.lane.facility.place)


def delivery_posted_late(journey: Journey) -> None:
    """The carrier's scan of the delivery is right, but comes days later."""
    parcel, came = _came_unseen(journey)
    posted = beyond(journey, came + NOT_DELIVERED, 24)
    dock = journey.lane.facility.place
    journey.scan(parcel, parcel.lane.carrier.delivered, came - 0.2 * HOUR, dock, appears_at=posted)


def _came_unseen(journey: Journey) -> tuple[SimParcel, datetime]:
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel))
    came = dock_time(journey, deliver(journey, at, parcel, seen=False))
    received(journey, parcel, came)
    return parcel, came


# ---- nobody's parcel --------------------------------------------------------------------------------------


def sent_without_a_label(journey: Journey) -> None:
    """The customer cancels and then sends it anyway, with a label of the customer's own."""
    journey.request()
    cancelled = journey.requested_at + journey.hours(3, 10)
    journey.order("return_cancelled", cancelled, journey.return_ids[0])
    parcel = journey.stranger(cancelled)
    journey.first_scan(parcel, cancelled + journey.hours(2, 36))
    at = through_hubs(journey, parcel, cancelled + 36 * HOUR)
    journey.check_in(parcel, dock_time(journey, deliver(journey, at, parcel)))


def label_told_after_all(journey: Journey) -> None:
    """The dock has a parcel that nobody knows; the shop's message about its label is days late."""
    approved = journey.request()
    parcel = journey.stranger(approved + journey.hours(0.1, 2))
    journey.first_scan(parcel, parcel.labelled_at + journey.hours(2, 36))
    at = through_hubs(journey, parcel, parcel.labelled_at + 36 * HOUR)
    came = dock_time(journey, deliver(journey, at, parcel))
    parcel.returns = list(journey.return_ids)
    journey.write_label(parcel, beyond(journey, came + UNEXPECTED))
    received(journey, parcel, came)


def label_made_after_all(journey: Journey) -> None:
    """The dock has a parcel that nobody knows; the shop makes a label when it has found out whose it is."""
    approved = journey.request()
    parcel = journey.stranger(approved)
    journey.first_scan(parcel, approved + journey.hours(2, 36))
    at = through_hubs(journey, parcel, approved + 36 * HOUR)
    came = dock_time(journey, deliver(journey, at, parcel))
    journey.check_in(parcel, came)
    known = beyond(journey, came + INSPECTION, 20)
    parcel.returns, parcel.labelled_at = list(journey.return_ids), known
    journey.write_label(parcel, known)
    dealt_with(journey, parcel.returns[0], known)


_LOST, _ELSEWHERE = RuleId.DELIVERED_NOT_CHECKED_IN, RuleId.DELIVERED_ELSEWHERE_SUSPECTED
_MOVING, _UNSEEN = RuleId.MOVING_AFTER_DELIVERY, RuleId.CHECKED_IN_NOT_DELIVERED
_GONE = (RuleId.REFUNDED_NOT_RETURNED,)
_STRANGE = (RuleId.UNEXPECTED_PARCEL,)
DOCK: Final = (
    story(0.010, never_checked_in, _LOST, may_find=_GONE),
    story(0.004, shared_never_checked_in, _LOST, may_find=_GONE),
    story(0.010, checked_in_late, _LOST),
    story(0.006, check_in_posted_late, _LOST),
    story(0.004, check_in_taken_back, _LOST, may_find=_GONE),
    story(0.006, two_parcels_one_counted, _LOST),
    story(0.006, left_with_a_neighbour, _ELSEWHERE, may_find=(*_GONE, _UNSEEN)),
    story(0.006, delivered_to_another_town, _ELSEWHERE, may_find=_GONE),
    story(0.004, delivered_again_rightly, _ELSEWHERE, may_find=(_LOST,)),
    story(0.004, moving_on_for_ever, _MOVING, may_find=(*_GONE, _LOST)),
    story(0.004, moved_on_and_came_back, _MOVING, may_find=(_LOST,)),
    story(0.008, delivery_not_scanned, _UNSEEN),
    story(0.004, delivery_dated_late, _UNSEEN),
    story(0.004, delivery_posted_late, _UNSEEN),
    story(0.006, sent_without_a_label, may_find=_STRANGE),
    story(0.004, label_told_after_all, RuleId.LATE_LABEL, may_find=_STRANGE),
    story(0.004, label_made_after_all, RuleId.LATE_LABEL, RuleId.LATE_INSPECTION, may_find=_STRANGE),
)
