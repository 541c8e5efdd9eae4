"""A scan, and then no other for too long.

Starts: every physical scan, until the carrier's part has ended. Fulfilled by: the next physical scan. Ends with: delivery, dock
check-in, void, the carrier giving up. Anchor: the scan that the silence began with; a late scan in between retracts the case
and may begin another.
"""

from collections.abc import Iterator

from schemas.vocabulary import Milestone, Reason, RuleId
from streams.expectation import Expectation
from streams.journeys import End, Journey, first_of, name_of
from streams.parcel import Seen
from streams.terms import ParcelTerms


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """One for each gap between two scans, or after the last, that is too long."""
    times, deadline = journey.scan_times, terms.silence
    if not times or not deadline.enabled:
        return
    ends = journey.ends(delivery=True) if journey.ended or journey.voids else []
    ended = first_of(ends)
    least_ms = deadline.least_ms
    last = len(times) - 1
    for index, at_ms in enumerate(times):
        if ended is not None and at_ms >= ended.at_ms:
            return
        if index < last and times[index + 1] - at_ms <= least_ms:
            continue
        scan = journey.scan(index)
        due_ms = deadline.due_ms(at_ms, scan.arrived_ms)
        following = journey.scan(index + 1) if index < last else None
        end = first_of([*([End(following, progress_reason(following))] if following else []), *ends])
        if end is None or end.at_ms > due_ms:
            yield Expectation(RuleId.STALLED_SILENT, name_of(scan), scan, due_ms, end)


def progress_reason(scan: Seen) -> Reason:
    """What to call a scan that ends a stall."""
    return Reason.DELIVERED if scan.milestone == Milestone.DELIVERED else Reason.PROGRESS
