"""The carrier says that the parcel went the wrong way, and this has not been put right.

Starts: the carrier says so. Fulfilled by: a scan that tells of no more trouble. Ends with: dock check-in, void, the carrier
giving up. Anchor: the first time it was said since it was last on its way.
"""

from collections.abc import Iterator

from schemas.vocabulary import Milestone, RuleId
from streams.expectation import Expectation
from streams.journeys import Journey
from streams.rules.runs import of_milestone, runs
from streams.terms import ParcelTerms

_TROUBLE = frozenset(
    {Milestone.MISROUTED, Milestone.DELAYED, Milestone.DELIVERY_EXCEPTION, Milestone.DAMAGED}
)


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """One for each time that it went astray."""
    facts = of_milestone(journey, Milestone.MISROUTED)
    if facts:
        yield from runs(RuleId.MISROUTED, journey, terms, facts, lambda scan: scan.milestone not in _TROUBLE)
