"""A label was made, and nobody has seen the parcel.

Starts: the label. Fulfilled by: a scan by an agent or by the carrier; a dock check-in proves that it travelled unseen. Explained
by: the void of the label, the carrier giving up; by the return stage: cancellation, check-in by return number.
Not by: announcements (the carrier has the data), claims of the customer, codes that nobody has mapped.
Anchor: the journey. A scan older than the label counts: labels are often told late.
"""

from collections.abc import Iterator

from schemas.vocabulary import Reason, RuleId
from streams.expectation import Expectation
from streams.journeys import End, Journey, first_of
from streams.terms import ParcelTerms


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """At most one."""
    label, deadline = journey.waiting_label(), terms.first_scan
    if label is None or not deadline.enabled:
        return
    start = label[0]
    if journey.scan_times and journey.scan_times[0] <= start.at_ms + deadline.least_ms:
        return
    ends = [End(journey.scan(0), Reason.FIRST_SCAN)] if journey.scans else []
    end = first_of([*ends, *journey.ends(since_ms=start.at_ms)])
    due_ms = deadline.due_ms(start.at_ms, start.arrived_ms)
    yield Expectation(RuleId.MISSING_FIRST_SCAN, journey.name, start, due_ms, end)
