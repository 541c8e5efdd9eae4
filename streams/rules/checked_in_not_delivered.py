"""The dock has it, and the carrier never said that it delivered: the carrier's feed has a gap.

Starts: the dock check-in. Fulfilled by: a delivery scan, whenever it happened. Anchor: the check-in.
"""

from collections.abc import Iterator

from schemas.vocabulary import Reason, RuleId
from streams.expectation import Expectation
from streams.journeys import End, Journey, name_of
from streams.terms import ParcelTerms


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """At most one."""
    start, deadline = journey.checked_in, terms.deadlines[RuleId.CHECKED_IN_NOT_DELIVERED]
    if start is None or not deadline.enabled:
        return
    end = End(journey.delivered, Reason.DELIVERED) if journey.delivered is not None else None
    if end is not None and end.at_ms <= start.at_ms + deadline.least_ms:
        return
    due_ms = deadline.due_ms(start.at_ms, start.arrived_ms)
    yield Expectation(RuleId.CHECKED_IN_NOT_DELIVERED, name_of(start), start, due_ms, end)
