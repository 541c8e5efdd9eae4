"""What can happen to a return: one function per story, with its share of all requests.

Every decisive time lies at least MARGIN before or after the deadline that it decides about, so that neither a
feed's ordinary lateness nor the speed at which a simulation is played can change the outcome. The one exception
is the ordinary check-in, which has to come within one business day: it comes within four hours of the delivery, or
in the first hours of the next working day, and so at least 20 hours before its deadline. Budgets are those of the
default policy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from simulation.carriers import UNKNOWN_CODES, Code
from simulation.journey import HOUR, Journey
from simulation.legs import (
    arrive,
    check_in,
    check_in_due,
    deliver,
    dock_time,
    handed_over,
    labelled,
    scans_all_along,
    through_hubs,
    until_delivered,
)

MARGIN: Final = timedelta(hours=30)
FIRST_SCAN_BUDGET: Final = timedelta(hours=72)
SILENT_BUDGET: Final = {False: timedelta(days=5), True: timedelta(days=7)}
"""International? -> budget"""
NO_PROGRESS_BUDGET: Final = {False: timedelta(days=7), True: timedelta(days=10)}


@dataclass(frozen=True, slots=True)
class Story:
    """`share` of all requests; `faulty` where a case, or a case taken back, is the expected outcome."""

    name: str
    share: float
    faulty: bool
    play: Callable[[Journey], None]


# ---- all is well ------------------------------------------------------------------------------------------


def smooth(journey: Journey) -> None:
    """Everything in its time."""
    parcel = labelled(journey)
    check_in(journey, parcel, until_delivered(journey, parcel))


def checked_in_by_return_number(journey: Journey) -> None:
    """The dock could not read the label and typed the number of the return."""
    parcel = labelled(journey)
    delivered = until_delivered(journey, parcel)
    journey.check_in_by_return(parcel.returns[0], dock_time(journey, delivered))


def delivery_not_scanned(journey: Journey) -> None:
    """The dock has it though the carrier never said delivered."""
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel))
    check_in(journey, parcel, deliver(journey, at, parcel, seen=False))


def scanned_before_label(journey: Journey) -> None:
    """The shop's label message comes hours after the first scan, and in half of the cases is dated so, too."""
    approved = journey.request()
    printed, posted = approved + 0.2 * HOUR, approved + journey.hours(4, 10)
    parcel = journey.label(journey.rng.choice((printed, posted)), appears_at=posted)
    scanned = printed + journey.hours(0.5, 3)
    journey.first_scan(parcel, scanned)
    arrive(journey, parcel, through_hubs(journey, parcel, max(scanned, posted)))


def wrong_delivery_taken_back(journey: Journey) -> None:
    """Delivered by mistake, taken back within hours, delivered in truth some days later."""
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel), most=2)
    wrong = at + journey.hours(1, 3)
    journey.scan(parcel, parcel.lane.carrier.delivered, wrong, journey.lane.facility.place, soon=True)
    journey.retract_last_scan(parcel, wrong + journey.hours(1, 4))
    arrive(journey, parcel, through_hubs(journey, parcel, wrong + 6 * HOUR))


def cancelled_in_time(journey: Journey) -> None:
    """The customer keeps it and says so."""
    parcel = labelled(journey)
    journey.order("return_cancelled", parcel.labelled_at + journey.hours(3, 40), parcel.returns[0])


def label_replaced(journey: Journey) -> None:
    """The first label is voided, its successor does the journey."""
    first = labelled(journey)
    voided = first.labelled_at + journey.hours(1, 12)
    journey.void(first, voided)
    second = journey.label(voided + 0.2 * HOUR)
    check_in(journey, second, until_delivered(journey, second))


def turned_back(journey: Journey) -> None:
    """The carrier brings it back to the customer, where its interface has a code for that."""
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel))
    if parcel.lane.carrier.turned_back is None:
        arrive(journey, parcel, at)
    else:
        journey.scan(parcel, parcel.lane.carrier.turned_back, at + journey.hours(8, 30), parcel.stops[0])


def two_parcels_scanned(journey: Journey) -> None:
    """Two parcels, each with its own dock scan."""
    first, second = labelled(journey), journey.label(journey.requested_at + 5 * HOUR)
    for parcel in (first, second):
        check_in(journey, parcel, until_delivered(journey, parcel))


def two_parcels_complete(journey: Journey) -> None:
    """Two parcels, one check-in by number that accounts for both: complete, counted or naming them."""
    first, second = labelled(journey), journey.label(journey.requested_at + 5 * HOUR)
    at = handed_over(journey, first)
    journey.first_scan(second, at + 0.1 * HOUR)
    end = at
    for _ in range(journey.rng.randint(1, 3)):
        end += journey.hours(8, 26)
        where = journey.hub(first, end)
        journey.hub(second, end + 0.1 * HOUR, where)
    delivered = deliver(journey, end, first, second)
    name = first.lane.carrier.name
    ways: list[dict[str, Any]] = [
        {"complete": True},
        {"count": 2},
        {"parcels": [{"carrier": name, "tracking_number": parcel.number} for parcel in (first, second)]},
    ]
    journey.check_in_by_return(first.returns[0], dock_time(journey, delivered), **journey.rng.choice(ways))


def two_parcels_last_by_number(journey: Journey) -> None:
    """Two parcels: the first is scanned at the dock, so the number typed later can only mean the second."""
    first, second = labelled(journey), journey.label(journey.requested_at + 5 * HOUR)
    delivered = until_delivered(journey, first, most_hubs=2)
    check_in(journey, first, delivered)
    journey.first_scan(second, second.labelled_at + journey.hours(2, 36))
    moving = scans_all_along(journey, second, second.labelled_at + 36 * HOUR, delivered + 6 * HOUR)
    journey.check_in_by_return(second.returns[0], dock_time(journey, deliver(journey, moving, second)))


def shared_parcel(journey: Journey) -> None:
    """One parcel for two or three returns."""
    parcel = labelled(journey, journey.rng.randint(2, 3))
    check_in(journey, parcel, until_delivered(journey, parcel))


# ---- missing first scan -----------------------------------------------------------------------------------


def never_handed_over(journey: Journey) -> None:
    """A label, and nothing more; some customers say that they dropped it off."""
    parcel = labelled(journey)
    if journey.rng.random() < 0.4:
        journey.order("dropoff_claimed", parcel.labelled_at + journey.hours(5, 60), parcel.returns[0])


def only_announced(journey: Journey) -> None:
    """The carrier has the data, again and again, and never the parcel."""
    parcel = labelled(journey)
    for _ in range(journey.rng.randint(1, 3)):
        journey.announce(parcel, parcel.labelled_at + journey.hours(1, 130))


def only_unknown_codes(journey: Journey) -> None:
    """Codes that nobody has published prove nothing."""
    parcel = labelled(journey)
    api = parcel.lane.carrier.hub[0]
    for _ in range(journey.rng.randint(1, 3)):
        code = Code(api.api, api.code_type, journey.rng.choice(UNKNOWN_CODES), "Status updated")
        journey.scan(parcel, code, parcel.labelled_at + journey.hours(1, 130), parcel.stops[0])


def first_scan_taken_back(journey: Journey) -> None:
    """The only scan was of another parcel and is taken back."""
    parcel = labelled(journey)
    at = parcel.labelled_at + journey.hours(2, 24)
    journey.first_scan(parcel, at)
    journey.retract_last_scan(parcel, at + journey.hours(1, 15))


def first_scan_late(journey: Journey) -> None:
    """Handed over more than a day after the deadline."""
    parcel = labelled(journey)
    at = parcel.labelled_at + FIRST_SCAN_BUDGET + MARGIN + journey.hours(0, 50)
    journey.first_scan(parcel, at)
    arrive(journey, parcel, through_hubs(journey, parcel, at))


def first_scan_posted_late(journey: Journey) -> None:
    """Handed over in time, but the carrier's feed was stuck: a case opens and is taken back."""
    parcel = labelled(journey)
    posted = parcel.labelled_at + FIRST_SCAN_BUDGET + MARGIN + journey.hours(0, 24)
    journey.hold_scans(parcel.labelled_at + 2 * HOUR, posted)
    at = parcel.labelled_at + journey.hours(3, 36)
    journey.first_scan(parcel, at)
    arrive(journey, parcel, scans_all_along(journey, parcel, at, posted))


def cancelled_late(journey: Journey) -> None:
    """Cancelled when the case had been open for more than a day."""
    parcel = labelled(journey)
    at = parcel.labelled_at + FIRST_SCAN_BUDGET + MARGIN + journey.hours(0, 60)
    journey.order("return_cancelled", at, parcel.returns[0])


def cancelled_posted_late(journey: Journey) -> None:
    """Cancelled in time, told late: the case is taken back."""
    parcel = labelled(journey)
    posted = parcel.labelled_at + FIRST_SCAN_BUDGET + MARGIN + journey.hours(0, 24)
    at = parcel.labelled_at + journey.hours(3, 40)
    journey.order("return_cancelled", at, parcel.returns[0], appears_at=posted)


def voided_late(journey: Journey) -> None:
    """The label is voided when the case had been open for more than a day."""
    parcel = labelled(journey)
    journey.void(parcel, parcel.labelled_at + FIRST_SCAN_BUDGET + MARGIN + journey.hours(0, 60))


def shared_never_handed_over(journey: Journey) -> None:
    """One label for two returns and no parcel: one case for each of them."""
    labelled(journey, 2)


# ---- stalled ----------------------------------------------------------------------------------------------


def lost_in_silence(journey: Journey) -> None:
    """Some scans, then never another."""
    parcel = labelled(journey)
    through_hubs(journey, parcel, handed_over(journey, parcel), 0, 3)


def resumed_late(journey: Journey) -> None:
    """Silent for too long, then it goes on from another place."""
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel), 0, 1)
    at += SILENT_BUDGET[journey.lane.international] + MARGIN + journey.hours(0, 30)
    journey.hub(parcel, at)
    arrive(journey, parcel, at)


def scans_posted_late(journey: Journey) -> None:
    """It moved all the time, but the carrier's feed was stuck: a case opens and is taken back."""
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel), 1, 1)
    posted = at + SILENT_BUDGET[journey.lane.international] + MARGIN + journey.hours(0, 20)
    journey.hold_scans(at, posted)
    arrive(journey, parcel, scans_all_along(journey, parcel, at, posted))


def stuck_for_ever(journey: Journey) -> None:
    """Scanned again and again in the same hub, every day or two, until the end."""
    parcel = labelled(journey)
    at = handed_over(journey, parcel) + journey.hours(8, 26)
    where = journey.hub(parcel, at)
    while (at := at + journey.hours(20, 44)) < journey.ends_at:
        journey.hub(parcel, at, where)


def stuck_then_moves(journey: Journey) -> None:
    """Scanned again and again in the same hub, and on its way more than a day after the deadline."""
    parcel = labelled(journey)
    at = handed_over(journey, parcel) + journey.hours(8, 26)
    where = journey.hub(parcel, at)
    moves = at + NO_PROGRESS_BUDGET[journey.lane.international] + MARGIN + journey.hours(0, 20)
    while (at := at + journey.hours(20, 44)) < moves - HOUR:
        journey.hub(parcel, at, where)
    journey.hub(parcel, moves)
    arrive(journey, parcel, moves)


# ---- delivered, not checked in ----------------------------------------------------------------------------


def never_checked_in(journey: Journey) -> None:
    """Delivered, and lost on the dock."""
    until_delivered(journey, labelled(journey))


def shared_never_checked_in(journey: Journey) -> None:
    """One parcel of two returns is lost on the dock: one case for each."""
    until_delivered(journey, labelled(journey, 2))


def checked_in_late(journey: Journey) -> None:
    """Found on the dock more than a day after the deadline; one in three by the number of the return."""
    parcel = labelled(journey)
    found = check_in_due(journey, until_delivered(journey, parcel)) + MARGIN + journey.hours(0, 40)
    if journey.rng.random() < 1 / 3:
        journey.check_in_by_return(parcel.returns[0], found)
    else:
        journey.check_in(parcel, found)


def check_in_posted_late(journey: Journey) -> None:
    """Checked in within hours, told more than a day after the deadline: the case is taken back."""
    parcel = labelled(journey)
    delivered = until_delivered(journey, parcel)
    posted = check_in_due(journey, delivered) + MARGIN + journey.hours(0, 24)
    if journey.rng.random() < 1 / 3:
        journey.check_in_by_return(parcel.returns[0], dock_time(journey, delivered), appears_at=posted)
    else:
        journey.check_in(parcel, dock_time(journey, delivered), appears_at=posted)


def check_in_taken_back(journey: Journey) -> None:
    """The dock scanned the wrong label and takes it back within hours; the right parcel never turns up."""
    parcel = labelled(journey)
    at = dock_time(journey, until_delivered(journey, parcel))
    journey.check_in_by_mistake(parcel, at, at + journey.hours(0.2, 3))


def two_parcels_one_counted(journey: Journey) -> None:
    """Two parcels are delivered, days apart, one number is typed: the second parcel's case stays true."""
    first, second = labelled(journey), journey.label(journey.requested_at + 5 * HOUR)
    delivered = until_delivered(journey, first, most_hubs=2)
    journey.check_in_by_return(first.returns[0], dock_time(journey, delivered))
    journey.first_scan(second, second.labelled_at + journey.hours(2, 36))
    moving = scans_all_along(journey, second, second.labelled_at + 36 * HOUR, delivered + 6 * HOUR)
    deliver(journey, moving, second)


STORIES: Final = (
    Story("smooth", 0.51, False, smooth),
    Story("checked_in_by_return_number", 0.04, False, checked_in_by_return_number),
    Story("delivery_not_scanned", 0.015, False, delivery_not_scanned),
    Story("scanned_before_label", 0.02, False, scanned_before_label),
    Story("wrong_delivery_taken_back", 0.01, False, wrong_delivery_taken_back),
    Story("cancelled_in_time", 0.03, False, cancelled_in_time),
    Story("label_replaced", 0.02, False, label_replaced),
    Story("turned_back", 0.01, False, turned_back),
    Story("two_parcels_scanned", 0.02, False, two_parcels_scanned),
    Story("two_parcels_complete", 0.015, False, two_parcels_complete),
    Story("two_parcels_last_by_number", 0.01, False, two_parcels_last_by_number),
    Story("shared_parcel", 0.02, False, shared_parcel),
    Story("never_handed_over", 0.03, True, never_handed_over),
    Story("only_announced", 0.015, True, only_announced),
    Story("only_unknown_codes", 0.005, True, only_unknown_codes),
    Story("first_scan_taken_back", 0.005, True, first_scan_taken_back),
    Story("first_scan_late", 0.025, True, first_scan_late),
    Story("first_scan_posted_late", 0.015, True, first_scan_posted_late),
    Story("cancelled_late", 0.01, True, cancelled_late),
    Story("cancelled_posted_late", 0.005, True, cancelled_posted_late),
    Story("voided_late", 0.01, True, voided_late),
    Story("shared_never_handed_over", 0.005, True, shared_never_handed_over),
    Story("lost_in_silence", 0.025, True, lost_in_silence),
    Story("resumed_late", 0.025, True, resumed_late),
    Story("scans_posted_late", 0.015, True, scans_posted_late),
    Story("stuck_for_ever", 0.01, True, stuck_for_ever),
    Story("stuck_then_moves", 0.015, True, stuck_then_moves),
    Story("never_checked_in", 0.015, True, never_checked_in),
    Story("shared_never_checked_in", 0.005, True, shared_never_checked_in),
    Story("checked_in_late", 0.02, True, checked_in_late),
    Story("check_in_taken_back", 0.005, True, check_in_taken_back),
    Story("check_in_posted_late", 0.01, True, check_in_posted_late),
    Story("two_parcels_one_counted", 0.01, True, two_parcels_one_counted),
)
"""Shares add up to 1."""
