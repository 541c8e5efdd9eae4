"""The carrier stood before our dock and could not deliver, and has not tried again with success.

Starts: a failed attempt; several in a row are one. Fulfilled by: another attempt (out for delivery), delivery, or a pickup
point. Ends with: dock check-in, void, the carrier giving up. Anchor: the first failed attempt of the row.
"""

from collections.abc import Iterator

from schemas.vocabulary import Milestone, RuleId
from streams.expectation import Expectation
from streams.journeys import Journey
from streams.rules.runs import of_milestone, runs
from streams.terms import ParcelTerms

_NEXT = frozenset(
    {
        Milestone.OUT_FOR_DELIVERY,
        Milestone.DELIVERED,
        Milestone.DELIVERED_ELSEWHERE,
        Milestone.AVAILABLE_FOR_PICKUP,
    }
)


def expectations(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """One for each row of failed attempts."""
    facts = of_milestone(journey, Milestone.DELIVERY_ATTEMPTED)
    if facts:
        yield from runs(RuleId.DELIVERY_FAILED, journey, terms, facts, lambda scan: scan.milestone in _NEXT)
