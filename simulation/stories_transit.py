"""The carrier has it, and it does not arrive: silence, detours, failed deliveries, and what the carrier gives up."""

from datetime import datetime
from typing import Final

from schemas.vocabulary import RuleId
from simulation.aftermath import beyond, lapsed, made_good, received
from simulation.journey import HOUR, Journey, SimParcel
from simulation.legs import (
    clearly_late,
    deliver,
    dock_time,
    handed_over,
    labelled,
    scans_all_along,
    through_hubs,
)
from simulation.margins import DELIVERY_FAILED, MISROUTED, NO_PROGRESS, PICKUP_POINT, SILENT
from simulation.story import story


def _on_its_way(journey: Journey, least: int = 0, most: int = 1) -> tuple[SimParcel, datetime]:
    """A parcel between hubs, and the time of its last scan."""
    parcel = labelled(journey)
    return parcel, through_hubs(journey, parcel, handed_over(journey, parcel), least, most)


def _arrives(journey: Journey, parcel: SimParcel, since: datetime) -> None:
    received(journey, parcel, dock_time(journey, deliver(journey, since, parcel)))


def _arrives_late(journey: Journey, parcel: SimParcel, since: datetime) -> None:
    """It goes on, but so much was lost that the whole way takes too long."""
    _arrives(journey, parcel, scans_all_along(journey, since, clearly_late(parcel), parcel))


# ---- nothing happens --------------------------------------------------------------------------------------


def lost_in_silence(journey: Journey) -> None:
    """Some scans, then never another."""
    _on_its_way(journey, 0, 2)
    made_good(journey)


def resumed_late(journey: Journey) -> None:
    """Silent for too long, then it goes on from another place."""
    parcel, at = _on_its_way(journey)
    at = beyond(journey, at + SILENT[journey.lane.international], 30)
    journey.hub(parcel, at)
    _arrives_late(journey, parcel, at)


def scans_posted_late(journey: Journey) -> None:
    """It moved all the time, but the carrier's feed was stuck: a case opens and is taken back."""
    parcel, at = _on_its_way(journey, 1)
    posted = beyond(journey, at + SILENT[journey.lane.international], 20)
    journey.hold_scans(at, posted)
    _arrives_late(journey, parcel, scans_all_along(journey, at, posted, parcel))


def stuck_for_ever(journey: Journey) -> None:
    """Scanned again and again in the same hub, every day or two, until the end."""
    parcel, at = _on_its_way(journey, 1)
    where = journey.hub(parcel, at + 0.5 * HOUR)
    while (at := at + journey.hours(20, 44)) < journey.ends_at:
        journey.hub(parcel, at, where)
    made_good(journey)


def stuck_then_moves(journey: Journey) -> None:
    """Scanned again and again in the same hub, and on its way more than a day after the deadline."""
    parcel, at = _on_its_way(journey, 1)
    where = journey.hub(parcel, at + 0.5 * HOUR)
    moves = beyond(journey, at + 0.5 * HOUR + NO_PROGRESS[journey.lane.international], 20)
    while (at := at + journey.hours(20, 44)) < moves - HOUR:
        journey.hub(parcel, at, where)
    journey.hub(parcel, moves)
    _arrives_late(journey, parcel, moves)


def all_too_slow(journey: Journey) -> None:
    """Scanned every day and in another place each time, and a day or two later than it may be."""
    parcel, at = _on_its_way(journey)
    _arrives_late(journey, parcel, at)


def moves_for_ever(journey: Journey) -> None:
    """From hub to hub until somebody stops looking."""
    parcel, at = _on_its_way(journey)
    scans_all_along(journey, at, clearly_late(parcel) + journey.between(30 * HOUR, 60 * HOUR), parcel)
    made_good(journey)


# ---- it goes wrong ----------------------------------------------------------------------------------------


def misrouted_and_back(journey: Journey) -> None:
    """Sent to another depot, once or twice, and found days later."""
    misrouted = journey.code(lambda carrier: carrier.misrouted)
    parcel, at = _on_its_way(journey)
    at += journey.hours(8, 16)
    journey.scan(parcel, misrouted, at, parcel.move())
    back = beyond(journey, at + MISROUTED, 20)
    if journey.rng.random() < 0.4:
        journey.scan(parcel, misrouted, at + journey.hours(8, 30), parcel.move())
    journey.hub(parcel, back)
    _arrives(journey, parcel, back)


def misrouted_and_gone(journey: Journey) -> None:
    """Sent to another depot, and never seen again."""
    misrouted = journey.code(lambda carrier: carrier.misrouted)
    parcel, at = _on_its_way(journey)
    journey.scan(parcel, misrouted, at + journey.hours(8, 16), parcel.move())
    made_good(journey)


def misrouted_scans_posted_late(journey: Journey) -> None:
    """Sent back within hours, but the carrier's feed was stuck."""
    misrouted = journey.code(lambda carrier: carrier.misrouted)
    parcel, at = _on_its_way(journey)
    at += journey.hours(8, 16)
    journey.scan(parcel, misrouted, at, parcel.move(), soon=True)
    posted = beyond(journey, at + MISROUTED, 20)
    journey.hold_scans(at, posted)
    journey.hub(parcel, at + journey.hours(4, 10))
    _arrives(journey, parcel, scans_all_along(journey, at + 10 * HOUR, posted, parcel))


def delivered_days_after_an_attempt(journey: Journey) -> None:
    """Nobody opened, and the driver comes again days later."""
    attempted = journey.code(lambda carrier: carrier.attempted)
    parcel, at = _on_its_way(journey)
    at += journey.hours(8, 16)
    journey.scan(parcel, attempted, at, journey.lane.facility.place)
    _arrives(journey, parcel, beyond(journey, at + DELIVERY_FAILED, 20))


def attempted_in_vain(journey: Journey) -> None:
    """Nobody opened, and the driver never came again."""
    attempted = journey.code(lambda carrier: carrier.attempted)
    parcel, at = _on_its_way(journey)
    journey.scan(parcel, attempted, at + journey.hours(8, 16), journey.lane.facility.place)
    made_good(journey)


def fetched_late(journey: Journey) -> None:
    """It lies at a pickup point for more than a week before it is fetched."""
    parcel, at, fetched = _at_a_pickup_point(journey)
    parcel.held = fetched - at
    journey.hub(parcel, fetched)
    _arrives(journey, parcel, fetched)


def never_fetched(journey: Journey) -> None:
    """It lies at a pickup point, and nobody comes."""
    _at_a_pickup_point(journey)
    made_good(journey)


def _at_a_pickup_point(journey: Journey) -> tuple[SimParcel, datetime, datetime]:
    """The parcel, since when it lies there, and a time at which it is clearly too late to fetch it."""
    at_point = journey.code(lambda carrier: carrier.pickup_point)
    parcel, at = _on_its_way(journey)
    at += journey.hours(8, 16)
    journey.scan(parcel, at_point, at, parcel.move())
    return parcel, at, beyond(journey, at + PICKUP_POINT)


# ---- the carrier says so ----------------------------------------------------------------------------------


def turned_back(journey: Journey) -> None:
    """The carrier brings it back to the customer, who keeps it."""
    back = journey.code(lambda carrier: carrier.turned_back)
    parcel, at = _on_its_way(journey)
    journey.scan(parcel, back, at + journey.hours(8, 30), parcel.stops[0])
    lapsed(journey)


def turned_back_and_sent_again(journey: Journey) -> None:
    """On its way back to the customer it is sent to the warehouse after all."""
    back = journey.code(lambda carrier: carrier.turned_back)
    parcel, at = _on_its_way(journey)
    at += journey.hours(8, 30)
    journey.scan(parcel, back, at, parcel.stops[0])
    _arrives(journey, parcel, beyond(journey, at, 20))


def lost_by_the_carrier(journey: Journey) -> None:
    """The carrier says that it is lost or destroyed."""
    lost = journey.code(lambda carrier: carrier.lost)
    parcel, at = _on_its_way(journey)
    journey.scan(parcel, lost, at + journey.hours(20, 90), None)
    made_good(journey)


def lost_in_a_long_silence(journey: Journey) -> None:
    """The carrier says so when it has been silent for more than a week: the silence is explained then."""
    lost = journey.code(lambda carrier: carrier.lost)
    parcel, at = _on_its_way(journey)
    journey.scan(parcel, lost, beyond(journey, at + SILENT[journey.lane.international], 30), None)
    made_good(journey)


def lost_and_found(journey: Journey) -> None:
    """The carrier says that it is lost, and finds it days later."""
    lost = journey.code(lambda carrier: carrier.lost)
    parcel, at = _on_its_way(journey)
    at += journey.hours(10, 30)
    journey.scan(parcel, lost, at, None, soon=True)
    found = beyond(journey, at, 20)
    journey.hub(parcel, found)
    _arrives(journey, parcel, found)


def damaged_on_the_way(journey: Journey) -> None:
    """The carrier says that it is damaged, and brings it days later."""
    damaged = journey.code(lambda carrier: carrier.damaged)
    parcel, at = _on_its_way(journey)
    at += journey.hours(8, 16)
    journey.scan(parcel, damaged, at, parcel.move())
    _arrives(journey, parcel, scans_all_along(journey, at, at + 24 * HOUR, parcel))


def damaged_and_lost(journey: Journey) -> None:
    """The carrier says that it is damaged, and throws it away days later."""
    journey.choose_lane(lambda lane: lane.carrier.damaged and lane.carrier.lost)
    damaged = journey.code(lambda carrier: carrier.damaged)
    lost = journey.code(lambda carrier: carrier.lost)
    parcel, at = _on_its_way(journey)
    at += journey.hours(8, 16)
    journey.scan(parcel, damaged, at, parcel.move())
    journey.scan(parcel, lost, beyond(journey, at, 30), None)
    made_good(journey)


_SILENT, _STUCK, _OVERDUE = RuleId.STALLED_SILENT, RuleId.STALLED_NO_PROGRESS, RuleId.TRANSIT_OVERDUE
_LOST, _DAMAGED = RuleId.CARRIER_REPORTED_LOST, RuleId.CARRIER_REPORTED_DAMAGED
_GONE = (RuleId.REFUNDED_NOT_RETURNED,)
_SLOW = (_OVERDUE,)
TRANSIT: Final = (
    story(0.012, lost_in_silence, _SILENT, may_find=_GONE + _SLOW),
    story(0.010, resumed_late, _SILENT, _OVERDUE),
    story(0.006, scans_posted_late, _SILENT, _OVERDUE),
    story(0.006, stuck_for_ever, _STUCK, may_find=_GONE + _SLOW),
    story(0.008, stuck_then_moves, _STUCK, _OVERDUE),
    story(0.008, all_too_slow, _OVERDUE),
    story(0.005, moves_for_ever, _OVERDUE, may_find=(*_GONE, _SILENT, _STUCK)),
    story(0.006, misrouted_and_back, RuleId.MISROUTED, may_find=_SLOW),
    story(0.004, misrouted_and_gone, RuleId.MISROUTED, may_find=_GONE),
    story(0.004, misrouted_scans_posted_late, RuleId.MISROUTED, may_find=_SLOW),
    story(0.006, delivered_days_after_an_attempt, RuleId.DELIVERY_FAILED, may_find=_SLOW),
    story(0.004, attempted_in_vain, RuleId.DELIVERY_FAILED, may_find=_GONE),
    story(0.005, fetched_late, RuleId.PICKUP_POINT_EXPIRING, may_find=_SLOW),
    story(0.004, never_fetched, RuleId.PICKUP_POINT_EXPIRING, may_find=_GONE),
    story(0.008, turned_back, RuleId.RETURNED_TO_CUSTOMER),
    story(0.004, turned_back_and_sent_again, RuleId.RETURNED_TO_CUSTOMER),
    story(0.006, lost_by_the_carrier, _LOST, may_find=_GONE),
    story(0.004, lost_in_a_long_silence, _LOST, _SILENT, may_find=_GONE + _SLOW),
    story(0.004, lost_and_found, _LOST, may_find=_SLOW),
    story(0.006, damaged_on_the_way, _DAMAGED, may_find=_SLOW),
    story(0.004, damaged_and_lost, _DAMAGED, _LOST, may_find=_GONE),
)
