"""Stop-clocks: while customs hold a parcel, or a pickup point keeps it, its clocks on the way stand still.

(While the carrier does not work at all they do so, too: streams/closures.py. What lies in both counts once.)

A hold begins with a fact of the carrier and lasts until the next scan after it, or for ever. What one expectation is given for
holds is limited for each kind (policy `stop_clocks`): a parcel that customs never let go is found in the end.
"""

from collections.abc import Iterator
from typing import NamedTuple

from schemas.vocabulary import Evidence, Milestone
from streams.closures import closed_ms
from streams.journeys import Journey
from streams.terms import ParcelTerms

_HOLDS = frozenset({int(Milestone.CUSTOMS_HOLD), int(Milestone.AVAILABLE_FOR_PICKUP)})
_SYSTEM = int(Evidence.SYSTEM)
_FOR_EVER = 1 << 62


class Hold(NamedTuple):
    """A hold, and by how much it puts a deadline off."""

    milestone: int
    from_ms: int
    more_ms: int


def later_by_holds(journey: Journey, terms: ParcelTerms, since_ms: int, due_ms: int) -> int:
    """The deadline `due_ms` of what began at `since_ms`, put off by the holds that begin before it."""
    if not journey.notable:
        return due_ms
    return due_ms + sum(hold.more_ms for hold in holds_before(journey, terms, since_ms, due_ms))


def holds_before(journey: Journey, terms: ParcelTerms, since_ms: int, due_ms: int) -> Iterator[Hold]:
    """The holds that put the deadline `due_ms` off, each with by how much."""
    left = dict(terms.hold_ms)
    closed = [one for one in terms.closed if one.from_ms < due_ms]
    for milestone, from_ms, until_ms in _holds(journey):
        if since_ms <= from_ms < due_ms:
            more_ms = min(until_ms - from_ms, left[milestone])
            left[milestone] -= more_ms
            if closed:
                more_ms -= closed_ms(closed, from_ms, from_ms + more_ms)
            due_ms += more_ms
            yield Hold(milestone, from_ms, more_ms)


def _holds(journey: Journey) -> Iterator[tuple[int, int, int]]:
    """Milestone, beginning and end of each hold, by time; of several before the same scan only the first."""
    until_ms = 0
    for fact in journey.notable:
        if fact.milestone not in _HOLDS or fact.evidence == _SYSTEM or fact.at_ms < until_ms:
            continue
        until_ms = next((at_ms for at_ms in journey.scan_times if at_ms > fact.at_ms), _FOR_EVER)
        yield fact.milestone, fact.at_ms, until_ms
