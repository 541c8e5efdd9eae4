"""Scanned again and again, but always in the same places and at the same stage.

Starts: every scan that shows a place or a stage not seen before on this journey, or that finds what the carrier called lost.
Fulfilled by: the next such scan. Ends with: delivery (elsewhere, too), dock check-in, void, the carrier giving up. Waiting in
customs or at a pickup point does not count. Anchor: the scan that showed the last progress.

A parcel that nobody scans is silent, not stuck: that is `stalled_silent`, and would be told twice. So there is no breach at a
deadline at which the parcel is silent, that is, when the last scan before the deadline has a silence deadline at or before
it. If it is scanned later and has still not moved, the deadline is that scan's time (or, when later, its arrival plus
settle).
"""

from collections.abc import Iterator

from schemas.vocabulary import Milestone, RuleId
from streams.expectation import Expectation
from streams.journeys import End, Journey, first_of, name_of
from streams.parcel import Seen
from streams.rules.runs import moved_on
from streams.rules.stop_clocks import later_by_holds
from streams.terms import Deadline, ParcelTerms

STAGES = frozenset(
    int(milestone)
    for milestone in (
        Milestone.DROPPED_OFF,
        Milestone.ACCEPTED,
        Milestone.IN_TRANSIT,
        Milestone.CUSTOMS_HOLD,
        Milestone.OUT_FOR_DELIVERY,
        Milestone.AVAILABLE_FOR_PICKUP,
        Milestone.DELIVERY_ATTEMPTED,
        Milestone.DELIVERED,
    )
)
"""Milestones that are a step forward when first seen. A delay or a misrouting is not."""


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """One for each time that too long passed between two steps forward, or after the last."""
    times, deadline = journey.scan_times, terms.progress
    if not times or not deadline.enabled:
        return
    ends = journey.ends(delivery=True) if journey.ended or journey.voids else []
    ended = first_of(ends)
    if ended is not None and ended.at_ms - times[0] <= deadline.least_ms:
        return
    steps = _steps_forward(journey)
    last = len(steps) - 1
    for index, position in enumerate(steps):
        at_ms = times[position]
        if ended is not None and at_ms >= ended.at_ms:
            return
        if index < last and times[steps[index + 1]] - at_ms <= deadline.least_ms:
            continue
        if journey.given_ups:
            if journey.is_given_up_at(at_ms):
                continue
            ends = journey.ends(delivery=True, since_ms=at_ms)
        following = journey.scan(steps[index + 1]) if index < last else None
        end = first_of([*([End(following, moved_on(following))] if following else []), *ends])
        stop = steps[index + 1] if index < last else len(times)
        due_ms, holds = _raised(journey, range(position, stop), terms)
        step = journey.scan(position)
        yield Expectation(RuleId.STALLED_NO_PROGRESS, name_of(step), step, due_ms, end, holds)


def _steps_forward(journey: Journey) -> list[int]:
    """Indexes of the scans that show a new place or a new stage, or that it was found."""
    places: set[int] = set()
    stages: set[int] = set()
    steps = []
    for index, (content, _, _, _, place) in enumerate(journey.scans):
        milestone = (content >> 8) & 255
        new = (place and place not in places) or (milestone not in stages and milestone in STAGES)
        if new or (journey.given_ups and journey.was_found_at(content >> 16)):
            steps.append(index)
        places.add(place)
        stages.add(milestone)
    return steps


def _raised(journey: Journey, indexes: range, terms: ParcelTerms) -> tuple[int, bool]:
    """When the case is due, and whether there is one: `indexes` are the step forward and the scans until the next."""
    latest = journey.scan(indexes[0])
    due_ms = _due_ms(journey, terms, latest, terms.progress)
    for index in indexes[1:]:
        scan = journey.scan(index)
        if scan.at_ms > due_ms:
            if _due_ms(journey, terms, latest, terms.silence) > due_ms:
                break
            due_ms = max(scan.at_ms, scan.arrived_ms + terms.progress.settle_ms)
        latest = scan
    scanned_again = latest.at_ms > journey.scan_times[indexes[0]]
    return due_ms, scanned_again and _due_ms(journey, terms, latest, terms.silence) > due_ms


def _due_ms(journey: Journey, terms: ParcelTerms, scan: Seen, deadline: Deadline) -> int:
    return later_by_holds(journey, terms, scan.at_ms, deadline.due_ms(scan.at_ms, scan.arrived_ms))
