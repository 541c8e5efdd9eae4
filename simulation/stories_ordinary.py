"""All is well: returns that nobody has to look after, however odd they look."""

from typing import Any, Final

from simulation.aftermath import dealt_with, inspect, lapsed, paid, received, received_by_return
from simulation.carriers import COLISSIMO
from simulation.journey import DAY, HOUR, Journey
from simulation.legs import (
    deliver,
    dock_time,
    handed_over,
    labelled,
    scans_all_along,
    through_hubs,
    until_delivered,
)
from simulation.margins import MARGIN, SILENT
from simulation.story import story


def smooth(journey: Journey) -> None:
    """Everything in its time."""
    parcel = labelled(journey)
    received(journey, parcel, dock_time(journey, until_delivered(journey, parcel)))


def checked_in_by_return_number(journey: Journey) -> None:
    """The dock could not read the label and typed the number of the return."""
    parcel = labelled(journey)
    delivered = until_delivered(journey, parcel)
    received_by_return(journey, parcel.returns[0], dock_time(journey, delivered))


def brought_to_a_shop(journey: Journey) -> None:
    """No label and no parcel: the customer brings it to a shop within a day, and has the money two days later."""
    approved = journey.request(method="in_store", promised_refund_at=None)
    came = approved + journey.hours(2, 24)
    received_by_return(journey, journey.return_ids[0], came)


def exchanged(journey: Journey) -> None:
    """Other goods instead of money."""
    parcel = labelled(journey, resolution="exchange", promised_refund_at=None)
    received(journey, parcel, dock_time(journey, until_delivered(journey, parcel)))


def withdrawn(journey: Journey) -> None:
    """A notice of withdrawal, which the law gives two weeks; the goods come quickly."""
    journey.choose_lane(lambda lane: lane.origin not in {"US", "CA"})
    parcel = labelled(journey, withdrawal=True)
    received(journey, parcel, dock_time(journey, until_delivered(journey, parcel, most_hubs=1)))


def disputed(journey: Journey) -> None:
    """The customer disputes the refund with the bank; the shop sorts it out."""
    parcel = labelled(journey, customer_risk="high")
    came = dock_time(journey, until_delivered(journey, parcel))
    journey.check_in(parcel, came)
    refunded = dealt_with(journey, parcel.returns[0], came, parcel)
    opened = refunded + journey.hours(20, 100)
    journey.order("dispute_opened", opened, parcel.returns[0])
    journey.order("dispute_closed", opened + journey.hours(20, 200), parcel.returns[0])


def refused(journey: Journey) -> None:
    """Worn goods: no refund, within hours of the inspection."""
    parcel = labelled(journey)
    came = dock_time(journey, until_delivered(journey, parcel))
    journey.check_in(parcel, came)
    inspected = came + journey.hours(2, 17)
    inspect(journey, parcel.returns[0], inspected, disposition="reject")
    journey.order("refund_refused", inspected + journey.hours(0.5, 4), parcel.returns[0])


def refunded_at_once(journey: Journey) -> None:
    """A good customer has the money before the goods have left; they come in their time."""
    parcel = labelled(journey, loyal=True, customer_risk="low")
    return_id = parcel.returns[0]
    journey.decided.add(return_id)
    approved = parcel.labelled_at + journey.hours(0.5, 3)
    journey.order("refund_approved", approved, return_id)
    paid(journey, return_id, approved + journey.hours(0.1, 2))
    received(journey, parcel, dock_time(journey, until_delivered(journey, parcel)))


def scanned_before_label(journey: Journey) -> None:
    """The shop's label message comes hours after the first scan, and in half of the cases is dated so, too."""
    approved = journey.request()
    printed, posted = approved + 0.2 * HOUR, approved + journey.hours(2, 4)
    parcel = journey.label(journey.rng.choice((printed, posted)), appears_at=posted)
    scanned = printed + journey.hours(0.5, 2)
    journey.first_scan(parcel, scanned)
    delivered = deliver(journey, through_hubs(journey, parcel, max(scanned, posted)), parcel)
    received(journey, parcel, dock_time(journey, delivered))


def wrong_delivery_taken_back(journey: Journey) -> None:
    """Delivered by mistake, taken back within hours, delivered in truth some days later."""
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel), most=2)
    wrong = at + journey.hours(1, 3)
    journey.scan(parcel, parcel.lane.carrier.delivered, wrong, journey.lane.facility.place, soon=True)
    journey.retract_last_scan(parcel, wrong + journey.hours(1, 4))
    delivered = deliver(journey, through_hubs(journey, parcel, wrong + 6 * HOUR, most=2), parcel)
    received(journey, parcel, dock_time(journey, delivered))


def second_attempt(journey: Journey) -> None:
    """Nobody opened at first; the driver comes again the same day, and says so, which Colissimo's do not."""
    journey.choose_lane(lambda lane: lane.carrier.attempted and lane.carrier.name != COLISSIMO.name)
    attempted = journey.code(lambda carrier: carrier.attempted)
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel), most=2)
    journey.scan(parcel, attempted, at + journey.hours(2, 4), journey.lane.facility.place, soon=True)
    morning = at + journey.hours(5, 7)
    journey.scan(parcel, parcel.lane.carrier.last_leg, morning, journey.lane.facility.place, soon=True)
    received(journey, parcel, dock_time(journey, deliver(journey, morning, parcel)))


def fetched_from_a_pickup_point(journey: Journey) -> None:
    """It waits at a pickup point for a day or three before it is fetched."""
    at_point = journey.code(lambda carrier: carrier.pickup_point)
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel), most=1) + journey.hours(6, 12)
    journey.scan(parcel, at_point, at, parcel.move())
    moved_on = at + journey.hours(20, 80)
    parcel.held = moved_on - at
    journey.hub(parcel, moved_on)
    received(journey, parcel, dock_time(journey, deliver(journey, moved_on, parcel)))


def held_by_customs(journey: Journey) -> None:
    """Longer without a scan than anything may be, but customs say that they have it."""
    journey.choose_lane(lambda lane: lane.international and lane.carrier.customs)
    customs = journey.code(lambda carrier: carrier.customs)
    parcel = labelled(journey)
    at = through_hubs(journey, parcel, handed_over(journey, parcel), most=1)
    held = at + journey.hours(4, 10)
    journey.scan(parcel, customs, held, parcel.move(), soon=True)
    released = at + SILENT[True] + MARGIN + journey.hours(0, 8)
    parcel.held = min(released - held, 7 * DAY)
    journey.hub(parcel, released)
    received(journey, parcel, dock_time(journey, deliver(journey, released, parcel)))


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
    received(journey, second, dock_time(journey, until_delivered(journey, second)))


def label_voided(journey: Journey) -> None:
    """The shop takes the label back within hours, and pays nothing."""
    parcel = labelled(journey)
    journey.void(parcel, parcel.labelled_at + journey.hours(1, 12))
    lapsed(journey)


def two_parcels_scanned(journey: Journey) -> None:
    """Two parcels, each with its own dock scan."""
    first, second = labelled(journey), journey.label(journey.requested_at + 5 * HOUR)
    came = [(dock_time(journey, until_delivered(journey, parcel)), parcel) for parcel in (first, second)]
    for at, parcel in sorted(came, key=lambda one: one[0]):
        received(journey, parcel, at)


def two_parcels_complete(journey: Journey) -> None:
    """Two parcels, one check-in by number that accounts for both: complete, counted or naming them."""
    first, second = labelled(journey), journey.label(journey.requested_at + 5 * HOUR)
    at = handed_over(journey, first)
    journey.first_scan(second, at + 0.1 * HOUR)
    end = at
    for _ in range(journey.rng.randint(1, 3)):
        end += journey.hours(8, 16)
        where = journey.hub(first, end)
        journey.hub(second, end + 0.1 * HOUR, where)
    delivered = deliver(journey, end, first, second)
    name = first.lane.carrier.name
    ways: list[dict[str, Any]] = [
        {"complete": True},
        {"count": 2},
        {"parcels": [{"carrier": name, "tracking_number": parcel.number} for parcel in (first, second)]},
    ]
    way = journey.rng.choice(ways)
    received_by_return(journey, first.returns[0], dock_time(journey, delivered), **way)


def two_parcels_last_by_number(journey: Journey) -> None:
    """Two parcels: the first is scanned at the dock, so the number typed later can only mean the second."""
    first, second = labelled(journey), journey.label(journey.requested_at + 5 * HOUR)
    delivered = until_delivered(journey, first, most_hubs=1)
    received(journey, first, dock_time(journey, delivered))
    journey.first_scan(second, second.labelled_at + journey.hours(2, 36))
    moving = scans_all_along(journey, second.labelled_at + 36 * HOUR, delivered + 6 * HOUR, second)
    received_by_return(journey, second.returns[0], dock_time(journey, deliver(journey, moving, second)))


def shared_parcel(journey: Journey) -> None:
    """One parcel for two or three returns."""
    parcel = labelled(journey, journey.rng.randint(2, 3))
    received(journey, parcel, dock_time(journey, until_delivered(journey, parcel)))


ORDINARY: Final = (
    story(0.550, smooth),
    story(0.030, checked_in_by_return_number),
    story(0.025, brought_to_a_shop),
    story(0.020, exchanged),
    story(0.025, withdrawn),
    story(0.008, disputed),
    story(0.010, refused),
    story(0.015, refunded_at_once),
    story(0.015, scanned_before_label),
    story(0.010, wrong_delivery_taken_back),
    story(0.010, second_attempt),
    story(0.010, fetched_from_a_pickup_point),
    story(0.010, held_by_customs),
    story(0.020, cancelled_in_time),
    story(0.015, label_replaced),
    story(0.005, label_voided),
    story(0.015, two_parcels_scanned),
    story(0.010, two_parcels_complete),
    story(0.008, two_parcels_last_by_number),
    story(0.015, shared_parcel),
)
