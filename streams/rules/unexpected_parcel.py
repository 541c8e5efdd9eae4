"""The dock has a parcel that no label speaks of.

Starts: the dock check-in. Fulfilled by: a label; a dock scan that itself names a return needs none. The case is the parcel's
own: it has no return yet. Anchor: the check-in.
"""

from collections.abc import Iterator

from schemas.vocabulary import Evidence, Reason, RuleId
from streams.expectation import Expectation
from streams.journeys import End, Journey, name_of
from streams.terms import ParcelTerms

_MATCHED = int(Evidence.WAREHOUSE_MATCH)


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """At most one."""
    start, deadline = journey.checked_in, terms.deadlines[RuleId.UNEXPECTED_PARCEL]
    if start is None or not deadline.enabled or start.evidence == _MATCHED:
        return
    end = End(journey.labels[0][0], Reason.LABEL_CREATED) if journey.labels else None
    if end is not None and end.at_ms <= start.at_ms + deadline.least_ms:
        return
    due_ms = deadline.due_ms(start.at_ms, start.arrived_ms)
    yield Expectation(RuleId.UNEXPECTED_PARCEL, name_of(start), start, due_ms, end)
