"""Handing over goes wrong: no label, no pickup, no first scan."""

from typing import Any, Final

from schemas.vocabulary import RuleId
from simulation.aftermath import beyond, beyond_days, lapsed, never_sent, received
from simulation.business_days import Calendar, add_business_days
from simulation.carriers import UNKNOWN_CODES, Code
from simulation.journey import HOUR, Journey
from simulation.legs import deliver, dock_time, labelled, scans_all_along, through_hubs, until_delivered
from simulation.margins import CLAIM, FIRST_SCAN, LABEL_DAYS, PICKUP
from simulation.story import story

_UTC: Final = Calendar(time_zone="UTC", country="")
"""By which a return without a parcel is judged."""

# ---- no label ---------------------------------------------------------------------------------------------


def label_late(journey: Journey) -> None:
    """The label comes more than a day after it should have; then all goes well."""
    approved = journey.request()
    parcel = journey.label(
        max(
            beyond_days(journey, approved, LABEL_DAYS),
            beyond(journey, add_business_days(approved, LABEL_DAYS, _UTC)),
        )
    )
    received(journey, parcel, dock_time(journey, until_delivered(journey, parcel, most_hubs=2)))


def label_never_made(journey: Journey) -> None:
    """The shop forgets the label; the customer gives up."""
    journey.request()
    lapsed(journey)


def label_posted_late(journey: Journey) -> None:
    """The label was made in time, the shop's message about it came days later."""
    approved = journey.request()
    posted = max(
        beyond_days(journey, approved, LABEL_DAYS, 20),
        beyond(journey, add_business_days(approved, LABEL_DAYS, _UTC), 20),
    )
    parcel = journey.label(approved + journey.hours(0.1, 2), appears_at=posted)
    journey.first_scan(parcel, parcel.labelled_at + journey.hours(2, 36))
    moving = scans_all_along(journey, parcel.labelled_at + 36 * HOUR, posted, parcel)
    received(journey, parcel, dock_time(journey, deliver(journey, moving, parcel)))


# ---- no first scan ----------------------------------------------------------------------------------------


def never_handed_over(journey: Journey) -> None:
    """A label, and nothing more."""
    never_sent(journey, labelled(journey))


def only_announced(journey: Journey) -> None:
    """The carrier has the data, again and again, and never the parcel."""
    parcel = labelled(journey)
    for _ in range(journey.rng.randint(1, 3)):
        journey.announce(parcel, parcel.labelled_at + journey.hours(1, 130))
    never_sent(journey, parcel)


def only_unknown_codes(journey: Journey) -> None:
    """Codes that nobody has published prove nothing."""
    parcel = labelled(journey)
    api = parcel.lane.carrier.hub[0]
    for _ in range(journey.rng.randint(1, 3)):
        code = Code(api.api, api.code_type, journey.rng.choice(UNKNOWN_CODES), "Status updated")
        journey.scan(parcel, code, parcel.labelled_at + journey.hours(1, 130), parcel.stops[0])
    never_sent(journey, parcel)


def first_scan_taken_back(journey: Journey) -> None:
    """The only scan was of another parcel and is taken back."""
    parcel = labelled(journey)
    at = parcel.labelled_at + journey.hours(2, 24)
    journey.first_scan(parcel, at)
    journey.retract_last_scan(parcel, at + journey.hours(1, 15))
    never_sent(journey, parcel)


def first_scan_late(journey: Journey) -> None:
    """Handed over more than a day after the deadline."""
    parcel = labelled(journey)
    at = beyond(journey, parcel.labelled_at + FIRST_SCAN, 50)
    journey.first_scan(parcel, at)
    delivered = deliver(journey, through_hubs(journey, parcel, at), parcel)
    received(journey, parcel, dock_time(journey, delivered))


def first_scan_posted_late(journey: Journey) -> None:
    """Handed over in time, but the carrier's feed was stuck: a case opens and is taken back."""
    parcel = labelled(journey)
    posted = beyond(journey, parcel.labelled_at + FIRST_SCAN, 24)
    journey.hold_scans(parcel.labelled_at + 2 * HOUR, posted)
    at = parcel.labelled_at + journey.hours(3, 36)
    journey.first_scan(parcel, at)
    delivered = deliver(journey, scans_all_along(journey, at, posted, parcel), parcel)
    received(journey, parcel, dock_time(journey, delivered))


def cancelled_late(journey: Journey) -> None:
    """Cancelled when the case had been open for more than a day."""
    parcel = labelled(journey)
    at = beyond(journey, parcel.labelled_at + FIRST_SCAN, 60)
    journey.order("return_cancelled", at, parcel.returns[0])


def cancelled_posted_late(journey: Journey) -> None:
    """Cancelled in time, told late: the case is taken back."""
    parcel = labelled(journey)
    posted = beyond(journey, parcel.labelled_at + FIRST_SCAN, 24)
    at = parcel.labelled_at + journey.hours(3, 40)
    journey.order("return_cancelled", at, parcel.returns[0], appears_at=posted)


def voided_late(journey: Journey) -> None:
    """The label is voided when the case had been open for more than a day."""
    parcel = labelled(journey)
    journey.void(parcel, beyond(journey, parcel.labelled_at + FIRST_SCAN, 60))
    lapsed(journey)


def shared_never_handed_over(journey: Journey) -> None:
    """One label for two returns and no parcel: one case for each of them."""
    never_sent(journey, labelled(journey, 2))


# ---- claims and pickups -----------------------------------------------------------------------------------


def claimed_never_scanned(journey: Journey) -> None:
    """The customer says that it was handed over, and no carrier has it."""
    parcel = labelled(journey)
    named = {"carrier": parcel.lane.carrier.name, "tracking_number": parcel.number}
    ways: list[dict[str, Any]] = [{}, named]
    said = parcel.labelled_at + journey.hours(3, 12)
    journey.order("dropoff_claimed", said, parcel.returns[0], **journey.rng.choice(ways))
    never_sent(journey, parcel)


def claimed_scanned_late(journey: Journey) -> None:
    """The carrier's first scan comes days after the customer's claim."""
    parcel = labelled(journey)
    said = parcel.labelled_at + journey.hours(2, 12)
    journey.order("dropoff_claimed", said, parcel.returns[0])
    at = beyond(journey, said + CLAIM)
    journey.first_scan(parcel, at)
    delivered = deliver(journey, through_hubs(journey, parcel, at), parcel)
    received(journey, parcel, dock_time(journey, delivered))


def claimed_scan_posted_late(journey: Journey) -> None:
    """The claim was true, but the carrier's feed was stuck."""
    parcel = labelled(journey)
    at = parcel.labelled_at + journey.hours(2, 12)
    posted = beyond(journey, at + CLAIM, 24)
    journey.hold_scans(parcel.labelled_at + HOUR, posted)
    journey.first_scan(parcel, at)
    journey.order("dropoff_claimed", at + 0.2 * HOUR, parcel.returns[0])
    delivered = deliver(journey, scans_all_along(journey, at, posted, parcel), parcel)
    received(journey, parcel, dock_time(journey, delivered))


def picked_up_days_later(journey: Journey) -> None:
    """The driver does not find the parcel, and comes again days later."""
    failed = journey.code(lambda carrier: carrier.pickup_failed)
    parcel = labelled(journey)
    at = parcel.labelled_at + journey.hours(5, 20)
    journey.scan(parcel, failed, at, None)
    again = beyond(journey, at + PICKUP)
    journey.first_scan(parcel, again)
    delivered = deliver(journey, through_hubs(journey, parcel, again), parcel)
    received(journey, parcel, dock_time(journey, delivered))


def never_picked_up(journey: Journey) -> None:
    """The driver comes once or twice, and never gets the parcel."""
    failed = journey.code(lambda carrier: carrier.pickup_failed)
    parcel = labelled(journey)
    at = parcel.labelled_at + journey.hours(2, 12)
    journey.scan(parcel, failed, at, None)
    if journey.rng.random() < 0.5:
        journey.scan(parcel, failed, at + journey.hours(20, 60), None)
    never_sent(journey, parcel)


def pickup_posted_late(journey: Journey) -> None:
    """The second driver got it the same day, but the carrier's feed was stuck after the first one."""
    failed = journey.code(lambda carrier: carrier.pickup_failed)
    parcel = labelled(journey)
    at = parcel.labelled_at + journey.hours(2, 12)
    journey.scan(parcel, failed, at, None)
    posted = beyond(journey, at + PICKUP, 24)
    journey.hold_scans(at, posted)
    again = at + journey.hours(3, 8)
    journey.first_scan(parcel, again)
    delivered = deliver(journey, scans_all_along(journey, again, posted, parcel), parcel)
    received(journey, parcel, dock_time(journey, delivered))


_F, _EXPIRED = RuleId.MISSING_FIRST_SCAN, (RuleId.LABEL_EXPIRED_UNUSED,)
_CLAIM, _PICKUP = RuleId.DROPOFF_CLAIM_UNCONFIRMED, RuleId.PICKUP_FAILED
HAND_OVER: Final = (
    story(0.008, label_late, RuleId.LATE_LABEL),
    story(0.005, label_never_made, RuleId.LATE_LABEL),
    story(0.004, label_posted_late, RuleId.LATE_LABEL),
    story(0.018, never_handed_over, _F, may_find=_EXPIRED),
    story(0.008, only_announced, _F, may_find=_EXPIRED),
    story(0.004, only_unknown_codes, _F, may_find=_EXPIRED),
    story(0.004, first_scan_taken_back, _F, may_find=_EXPIRED),
    story(0.012, first_scan_late, _F),
    story(0.008, first_scan_posted_late, _F),
    story(0.006, cancelled_late, _F),
    story(0.004, cancelled_posted_late, _F),
    story(0.006, voided_late, _F),
    story(0.004, shared_never_handed_over, _F, may_find=_EXPIRED),
    story(0.008, claimed_never_scanned, _CLAIM, may_find=_EXPIRED),
    story(0.006, claimed_scanned_late, _CLAIM),
    story(0.004, claimed_scan_posted_late, _CLAIM),
    story(0.005, picked_up_days_later, _PICKUP),
    story(0.004, never_picked_up, _PICKUP, may_find=_EXPIRED),
    story(0.004, pickup_posted_late, _PICKUP),
)
