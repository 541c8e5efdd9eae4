"""Scanned on the way after it was delivered: redirected, delivered to the wrong door, or the number is used again.

Starts: the first such scan after a delivery. Fulfilled by: another delivery. Ends with: dock check-in, void, the carrier giving
up. What is scanned after the dock has checked the parcel in is of another parcel. Anchor: the first scan since the last delivery.
"""

from collections.abc import Iterator

from schemas.vocabulary import Milestone, RuleId
from streams.expectation import Expectation
from streams.journeys import Journey
from streams.rules.runs import runs
from streams.terms import ParcelTerms

ON_THE_WAY = frozenset(
    int(milestone)
    for milestone in (
        Milestone.DROPPED_OFF,
        Milestone.ACCEPTED,
        Milestone.IN_TRANSIT,
        Milestone.CUSTOMS_HOLD,
        Milestone.OUT_FOR_DELIVERY,
        Milestone.AVAILABLE_FOR_PICKUP,
        Milestone.DELIVERY_ATTEMPTED,
        Milestone.MISROUTED,
    )
)


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """One for each time that it was seen to move again."""
    delivered = journey.delivered
    if delivered is None or journey.scan_times[-1] <= delivered.at_ms:
        return
    until_ms = journey.checked_in.at_ms if journey.checked_in is not None else None
    later = (journey.scan(index) for index, at_ms in enumerate(journey.scan_times) if at_ms > delivered.at_ms)
    moving = [
        scan for scan in later if scan.milestone in ON_THE_WAY and (until_ms is None or scan.at_ms < until_ms)
    ]
    if moving:
        yield from runs(
            RuleId.MOVING_AFTER_DELIVERY,
            journey,
            terms,
            moving,
            lambda scan: scan.milestone == Milestone.DELIVERED,
        )
