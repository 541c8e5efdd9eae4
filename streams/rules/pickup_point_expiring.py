"""The parcel waits at a pickup point, which will soon send it back.

Starts: it can be collected. Fulfilled by: any other scan. Ends with: dock check-in, void, the carrier giving up. The budget
is the time that pickup points keep a parcel, less what it takes to fetch it. Anchor: the first such scan of the stay.
"""

from collections.abc import Iterator

from schemas.vocabulary import Milestone, RuleId
from streams.expectation import Expectation
from streams.journeys import Journey
from streams.rules.runs import of_milestone, runs
from streams.terms import ParcelTerms


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """One for each stay."""
    facts = of_milestone(journey, Milestone.AVAILABLE_FOR_PICKUP)
    if facts:
        yield from runs(
            RuleId.PICKUP_POINT_EXPIRING,
            journey,
            terms,
            facts,
            lambda scan: scan.milestone != Milestone.AVAILABLE_FOR_PICKUP,
        )
