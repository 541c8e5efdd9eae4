"""Scanned again and again, but always in the same places and at the same stage.

Starts: every scan that shows a place or a stage not seen before on this journey. Fulfilled by: the next such scan. Ends with:
delivery, dock check-in, void, the carrier giving up. Anchor: the scan that showed the last progress.

A parcel that nobody scans is silent, not stuck: that is `stalled_silent`, and would be told twice. So there is no breach
at a deadline at which the parcel is silent, that is, when the last scan before the deadline has a silence deadline at or before
it. If it is scanned later and has still not moved, the deadline is that scan's time (or, when later, its arrival plus settle).
"""

from collections.abc import Iterator
from typing import NamedTuple

from schemas.vocabulary import Milestone, RuleId
from streams.expectation import Expectation
from streams.journeys import End, Journey, first_of, name_of
from streams.parcel import Seen
from streams.rules.stalled_silent import progress_reason
from streams.terms import Deadline, ParcelTerms

STAGES = frozenset(
    {
        Milestone.DROPPED_OFF,
        Milestone.ACCEPTED,
        Milestone.IN_TRANSIT,
        Milestone.CUSTOMS_HOLD,
        Milestone.OUT_FOR_DELIVERY,
        Milestone.AVAILABLE_FOR_PICKUP,
        Milestone.DELIVERY_ATTEMPTED,
        Milestone.DELIVERED,
    }
)
"""Milestones that are a step forward when first seen. A delay or a misrouting is not."""


class _Raise(NamedTuple):
    due_ms: int
    holds: bool


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """One for each time that too long passed between two steps forward, or after the last."""
    scans, deadline = journey.scans, terms.progress
    if not scans or not deadline.enabled:
        return
    ends = journey.ends(delivery=True) if journey.ended or journey.voids else []
    ended = first_of(ends)
    steps = _steps_forward(scans)
    last = len(steps) - 1
    for index, position in enumerate(steps):
        step = scans[position]
        if ended is not None and step.at_ms >= ended.at_ms:
            return
        following = scans[steps[index + 1]] if index < last else None
        if following is not None and following.at_ms - step.at_ms <= deadline.least_ms:
            continue
        end = first_of([*([End(following, progress_reason(following))] if following else []), *ends])
        stop = steps[index + 1] if index < last else len(scans)
        due_ms, holds = _raised(scans[position:stop], deadline, terms.silence)
        if end is None or end.at_ms > due_ms:
            yield Expectation(RuleId.STALLED_NO_PROGRESS, name_of(step), step, due_ms, end, holds)


def _steps_forward(scans: list[Seen]) -> list[int]:
    places: set[int] = set()
    stages: set[int] = set()
    steps = []
    for index, scan in enumerate(scans):
        new_place = bool(scan.place) and scan.place not in places
        if new_place or (scan.milestone in STAGES and scan.milestone not in stages):
            steps.append(index)
        places.add(scan.place)
        stages.add(scan.milestone)
    return steps


def _raised(scans: list[Seen], deadline: Deadline, silence: Deadline) -> _Raise:
    """When the case is due, given the step forward and the scans without progress after it."""
    step = scans[0]
    due_ms = deadline.due_ms(step.at_ms, step.arrived_ms)
    latest = step
    for scan in scans[1:]:
        if scan.at_ms > due_ms:
            if silence.due_ms(latest.at_ms, latest.arrived_ms) > due_ms:
                break
            due_ms = max(scan.at_ms, scan.arrived_ms + deadline.settle_ms)
        latest = scan
    return _Raise(due_ms, latest is not step and silence.due_ms(latest.at_ms, latest.arrived_ms) > due_ms)
