"""The carrier delivered it to our dock, and the dock has not checked it in.

Starts: the first delivery that somebody saw. Fulfilled by: a dock check-in of the parcel; by the return stage: a check-in by the
return's number that accounts for this parcel. Ends with: the void of the label. Anchor: the delivery scan.
"""

from collections.abc import Iterator

from schemas.vocabulary import Reason, RuleId
from streams.expectation import Expectation
from streams.journeys import End, Journey, first_of, name_of
from streams.terms import ParcelTerms


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """At most one."""
    start, deadline = journey.delivered, terms.dock
    if start is None or not deadline.enabled:
        return
    ends = []
    if journey.checked_in is not None:
        if journey.checked_in.at_ms <= start.at_ms + deadline.least_ms:
            return
        ends.append(End(journey.checked_in, Reason.CHECKED_IN))
    if journey.voids and (void := journey.voided()) is not None:
        ends.append(End(void, Reason.LABEL_VOIDED))
    due_ms = deadline.due_ms(start.at_ms, start.arrived_ms)
    end = first_of(ends)
    yield Expectation(RuleId.DELIVERED_NOT_CHECKED_IN, name_of(start), start, due_ms, end)
