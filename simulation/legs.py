"""Pieces that the way of a parcel is made of: labelled, handed over, through hubs, delivered."""

from datetime import datetime
from typing import Any

from simulation.business_days import add_business_days, is_business_day
from simulation.carriers import Code
from simulation.journey import DAY, HOUR, Journey, SimParcel
from simulation.margins import MARGIN, TRANSIT


def labelled(journey: Journey, returns: int = 1, **request: Any) -> SimParcel:
    """Requested, approved and labelled; now and then the carrier announces it."""
    approved = journey.request(returns, **request)
    parcel = journey.label(approved + journey.hours(0.02, 0.4))
    if journey.rng.random() < 0.3:
        journey.announce(parcel, parcel.labelled_at + journey.hours(0.1, 2))
    return parcel


def handed_over(journey: Journey, parcel: SimParcel) -> datetime:
    """First scan within 2 to 36 hours of the label; returns its time."""
    at = parcel.labelled_at + journey.hours(2, 36)
    if journey.rng.random() < 0.15:
        said = at + journey.hours(0.1, 1)
        journey.order("dropoff_claimed", said, parcel.returns[0], carrier=parcel.lane.carrier.name)
    journey.first_scan(parcel, at)
    return at


def through_hubs(
    journey: Journey, parcel: SimParcel, since: datetime, least: int = 1, most: int = 3
) -> datetime:
    """From hub to hub, 8 to 16 hours each; returns the time of the last scan."""
    at = since
    for _ in range(journey.rng.randint(least, most)):
        at += journey.hours(8, 16)
        journey.hub(parcel, at)
    return at


def deliver(
    journey: Journey,
    since: datetime,
    *parcels: SimParcel,
    seen: bool = True,
    code: Code | None = None,
    place: dict[str, str] | None = None,
) -> datetime:
    """Out for delivery on the facility's next working morning (now and then a Saturday), delivered the same day.

    Over long weekends the parcels wait in hubs, and so they do until a deadline for their whole way has clearly passed,
    if they cannot be there clearly before it. `seen`: the carrier says delivered; `code` and `place`: how, and where,
    if not to the dock.
    """
    morning = _delivery_morning(journey, since)
    for parcel in parcels:
        late_at = transit_due(parcel)
        if late_at - MARGIN < morning + 8 * HOUR and morning < late_at + MARGIN:
            since = scans_all_along(journey, since, late_at + MARGIN, *parcels)
            morning = _delivery_morning(journey, since)
    at, dock = since, journey.lane.facility.place
    while morning - at > 44 * HOUR:
        at += journey.hours(24, 30)
        for parcel in parcels:
            journey.hub(parcel, at)
    delivered = morning + journey.hours(1.5, 6)
    for parcel in parcels:
        depot = {**dock, "site": f"{dock['city'][:3].upper()}-DEPOT"}
        journey.scan(parcel, parcel.lane.carrier.last_leg, morning, depot)
        if seen:
            journey.scan(parcel, code or parcel.lane.carrier.delivered, delivered, place or dock, soon=True)
    return delivered


def _delivery_morning(journey: Journey, since: datetime) -> datetime:
    calendar = journey.lane.facility.calendar
    morning = calendar.at_clock(since + 5 * HOUR, 7) + journey.hours(0, 1)
    saturday_too = journey.rng.random() < 0.3
    while morning < since + 4 * HOUR or not (
        is_business_day(morning, calendar) or (saturday_too and calendar.local(morning).weekday() == 5)
    ):
        morning = calendar.at_clock(morning + DAY, 7) + journey.hours(0, 1)
    return morning


def transit_due(parcel: SimParcel) -> datetime:
    """Until when the carrier may have it."""
    assert parcel.first_scan_at is not None
    return parcel.first_scan_at + TRANSIT[parcel.lane.international] + parcel.held


def dock_time(journey: Journey, delivered: datetime) -> datetime:
    """When an ordinary dock checks a delivery in: within hours, a Saturday's on the next working morning."""
    calendar = journey.lane.facility.calendar
    if is_business_day(delivered, calendar):
        return delivered + journey.hours(0.3, 3.5)
    morning = calendar.at_clock(delivered + DAY, 8)
    while not is_business_day(morning, calendar):
        morning = calendar.at_clock(morning + DAY, 8)
    return morning + journey.hours(0.2, 2)


def business_due(journey: Journey, since: datetime, days: int = 1) -> datetime:
    """Deadline of so many business days of the facility."""
    return add_business_days(since, days, journey.lane.facility.calendar)


def until_delivered(journey: Journey, parcel: SimParcel, most_hubs: int = 3) -> datetime:
    """The ordinary way from label to dock; returns the time of the delivery."""
    at = through_hubs(journey, parcel, handed_over(journey, parcel), most=most_hubs)
    return deliver(journey, at, parcel)


def scans_all_along(journey: Journey, since: datetime, until: datetime, *parcels: SimParcel) -> datetime:
    """The parcels move from hub to hub, a scan every 20 to 30 hours, until after `until`."""
    at = since
    while at < until:
        at += journey.hours(20, 30)
        for parcel in parcels:
            journey.hub(parcel, at)
    return at


def clearly_late(parcel: SimParcel) -> datetime:
    """When the deadline for its whole way has clearly passed."""
    return transit_due(parcel) + MARGIN
