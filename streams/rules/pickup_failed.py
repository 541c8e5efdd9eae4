"""The carrier came to fetch the parcel and did not get it.

Starts: the carrier says so; again and again is one. Fulfilled by: any scan. Ends with: dock check-in, void, the carrier
giving up; by the return stage: cancellation, check-in by the return's number. Anchor: the first failure since the last scan.
"""

from collections.abc import Iterator

from schemas.vocabulary import Milestone, Reason, RuleId
from streams.expectation import Expectation
from streams.journeys import Journey
from streams.parcel import Seen
from streams.rules.runs import of_milestone, runs
from streams.terms import ParcelTerms


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """One for each time that the carrier began to fail."""
    failures = of_milestone(journey, Milestone.PICKUP_FAILED)
    if failures:
        yield from runs(
            RuleId.PICKUP_FAILED,
            journey,
            terms,
            failures,
            lambda _: True,
            lambda scan: _reason(journey, scan),
            by_any_at_once=True,
        )


def _reason(journey: Journey, scan: Seen) -> Reason:
    return Reason.FIRST_SCAN if scan.identity == journey.scan(0).identity else Reason.PROGRESS
