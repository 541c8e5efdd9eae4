"""Pieces that the stories of a return are made of: labelled, handed over, through hubs, delivered, checked in."""

from datetime import datetime

from simulation.business_days import add_business_days, is_business_day
from simulation.journey import DAY, HOUR, Journey, SimParcel


def labelled(journey: Journey, returns: int = 1) -> SimParcel:
    """Requested, approved and labelled; now and then the carrier announces it."""
    approved = journey.request(returns)
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
    journey: Journey, parcel: SimParcel, since: datetime, least: int = 1, most: int = 4
) -> datetime:
    """From hub to hub, 8 to 26 hours each; returns the time of the last scan."""
    at = since
    for _ in range(journey.rng.randint(least, most)):
        at += journey.hours(8, 26)
        journey.hub(parcel, at)
    return at


def deliver(journey: Journey, since: datetime, *parcels: SimParcel, seen: bool = True) -> datetime:
    """Out for delivery on the facility's next working morning (now and then a Saturday), delivered the same day.

    Over long weekends the parcels wait in hubs. `seen`: the carrier says delivered.
    """
    calendar, dock = journey.lane.facility.calendar, journey.lane.facility.place
    morning = calendar.at_clock(since + 5 * HOUR, 7) + journey.hours(0, 1)
    saturday_too = journey.rng.random() < 0.3
    while morning < since + 4 * HOUR or not (
        is_business_day(morning, calendar) or (saturday_too and calendar.local(morning).weekday() == 5)
    ):
        morning = calendar.at_clock(morning + DAY, 7) + journey.hours(0, 1)
    at = since
    while morning - at > 44 * HOUR:
        at += journey.hours(24, 30)
        for parcel in parcels:
            journey.hub(parcel, at)
    delivered = morning + journey.hours(1.5, 6)
    for parcel in parcels:
        depot = {**dock, "site": f"{dock['city'][:3].upper()}-DEPOT"}
        journey.scan(parcel, parcel.lane.carrier.last_leg, morning, depot)
        if seen:
            journey.scan(parcel, parcel.lane.carrier.delivered, delivered, dock, soon=True)
    return delivered


def check_in(journey: Journey, parcel: SimParcel, delivered: datetime) -> None:
    """Checked in as an ordinary dock does."""
    journey.check_in(parcel, dock_time(journey, delivered))


def dock_time(journey: Journey, delivered: datetime) -> datetime:
    """When an ordinary dock checks a delivery in: within hours, a Saturday's on the next working morning."""
    calendar = journey.lane.facility.calendar
    if is_business_day(delivered, calendar):
        return delivered + journey.hours(0.3, 3.5)
    morning = calendar.at_clock(delivered + DAY, 8)
    while not is_business_day(morning, calendar):
        morning = calendar.at_clock(morning + DAY, 8)
    return morning + journey.hours(0.2, 2)


def check_in_due(journey: Journey, delivered: datetime) -> datetime:
    """Deadline of the check-in after a delivery."""
    return add_business_days(delivered, 1, journey.lane.facility.calendar)


def arrive(journey: Journey, parcel: SimParcel, since: datetime) -> None:
    """Delivered and checked in."""
    check_in(journey, parcel, deliver(journey, since, parcel))


def until_delivered(journey: Journey, parcel: SimParcel, most_hubs: int = 4) -> datetime:
    """The ordinary way from label to dock; returns the time of the delivery."""
    at = through_hubs(journey, parcel, handed_over(journey, parcel), most=most_hubs)
    return deliver(journey, at, parcel)


def scans_all_along(journey: Journey, parcel: SimParcel, since: datetime, until: datetime) -> datetime:
    """The parcel moves from hub to hub, a scan every 20 to 30 hours, until after `until`."""
    at = since
    while at < until:
        at += journey.hours(20, 30)
        journey.hub(parcel, at)
    return at
