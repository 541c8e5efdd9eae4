"""On the way for too long, however often it is scanned.

Starts: the first scan. Fulfilled by: delivery. Ends with: delivery elsewhere, dock check-in, void, the carrier giving up (but
not if it was found again). Waiting in customs or at a pickup point does not count (streams/rules/stop_clocks.py).
Anchor: the journey.
"""

from collections.abc import Iterator

from schemas.vocabulary import RuleId
from streams.expectation import Expectation
from streams.journeys import Journey, first_of
from streams.rules.stop_clocks import later_by_holds
from streams.terms import ParcelTerms


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """At most one."""
    deadline = terms.transit
    if not journey.scans or not deadline.enabled:
        return
    end = first_of(journey.ends(delivery=True)) if journey.ended or journey.voids else None
    first_ms = journey.scan_times[0]
    if end is not None and end.at_ms <= first_ms + deadline.least_ms:
        return
    start = journey.scan(0)
    due_ms = later_by_holds(journey, terms, first_ms, deadline.due_ms(first_ms, start.arrived_ms))
    yield Expectation(RuleId.TRANSIT_OVERDUE, journey.name, start, due_ms, end)
