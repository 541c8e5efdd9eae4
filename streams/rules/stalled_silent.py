"""A scan, and then no other for too long.

Starts: every physical scan, until the carrier's part has ended. Fulfilled by: the next physical scan. Ends with: delivery
(elsewhere, too), dock check-in, void, the carrier giving up; what was lost and found is waited for again. Waiting in customs
or at a pickup point does not count (streams/rules/stop_clocks.py). Anchor: the scan that the silence began with; a late scan
in between retracts the case and may begin another.
"""

from collections.abc import Iterator

from schemas.vocabulary import RuleId
from streams.expectation import Expectation
from streams.journeys import End, Journey, first_of, name_of
from streams.rules.runs import moved_on
from streams.rules.stop_clocks import later_by_holds
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
        if journey.given_ups:
            if journey.is_given_up_at(at_ms):
                continue
            ends = journey.ends(since_ms=at_ms)  # a delivery is a scan, and before it nothing has ended
        scan = journey.scan(index)
        due_ms = later_by_holds(journey, terms, at_ms, deadline.due_ms(at_ms, scan.arrived_ms))
        following = journey.scan(index + 1) if index < last else None
        end = first_of([*([End(following, moved_on(following))] if following else []), *ends])
        yield Expectation(RuleId.STALLED_SILENT, name_of(scan), scan, due_ms, end)
