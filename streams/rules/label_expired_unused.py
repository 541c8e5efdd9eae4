"""A label that nobody has used for so long that nobody will.

Starts: the label. Fulfilled by: any scan. Ends with: dock check-in, void, the carrier giving up; by the return stage:
cancellation, check-in by the return's number. It takes the place of `missing_first_scan`. Anchor: the journey.
"""

from collections.abc import Iterator

from schemas.vocabulary import Reason, RuleId
from streams.expectation import Expectation
from streams.journeys import End, Journey, first_of
from streams.terms import ParcelTerms


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """At most one."""
    label, deadline = journey.waiting_label(), terms.unused
    if label is None or not deadline.enabled:
        return
    start = label[0]
    if journey.scan_times and journey.scan_times[0] <= start.at_ms + deadline.least_ms:
        return
    ends = [End(journey.scan(0), Reason.FIRST_SCAN)] if journey.scans else []
    end = first_of([*ends, *journey.ends(since_ms=start.at_ms)])
    due_ms = deadline.due_ms(start.at_ms, start.arrived_ms)
    yield Expectation(RuleId.LABEL_EXPIRED_UNUSED, journey.name, start, due_ms, end)
