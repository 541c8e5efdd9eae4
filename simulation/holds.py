"""What is not told while a feed is silent, as the oracle sees it: a deadline stays what it is, and is told later.

A feed falls silent for sure only after a while, and is believed again only when its backlog has come. Nobody needs to know when
exactly: it is no earlier and no later than the policy's numbers and the traffic allow.
"""

from bisect import bisect_left
from collections.abc import Set
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final, NamedTuple

from simulation.dossier import Dossier
from simulation.expectation import CaseKey, Expectation
from simulation.feed_sight import Sight
from simulation.feed_story import HOUR
from simulation.terms import WAIT_FOR_A_CARRIER, Terms


class Hold(NamedTuple):
    """Times in which nothing is told of what waits for a feed."""

    feed: str
    spans: tuple[tuple[datetime, datetime], ...]
    """In order. What was due at or before the beginning of one is told; none ends before an earlier one."""
    longest: timedelta

    def told_at(self, due_at: datetime) -> datetime:
        """When something is told that waits for the feed."""
        begun = bisect_left(self.spans, (due_at,))
        until_at = self.spans[begun - 1][1] if begun else due_at
        return min(until_at, due_at + self.longest) if until_at > due_at else due_at


NEVER_HELD: Final = Hold("", (), timedelta(0))
LOOK: Final = HOUR
"""What was held is told within half an hour (docs/feeds.md), and quarters of an hour are counted as wholes."""


class Telling(NamedTuple):
    """What is told of what is due, and when."""

    terms: Terms
    hold: Hold
    untold: Set[CaseKey]
    """Cases that explain nothing."""

    def told_at(self, breach: Expectation, dossier: Dossier, linked: Set[str]) -> datetime:
        """When a breach is told. `linked`: the parcels of the return."""
        if breach.rule not in WAIT_FOR_A_CARRIER or not self.hold.feed:
            return breach.due_at
        parcel = breach.parcel or min(linked, default="")
        if parcel.partition(":")[0] != self.hold.feed or self.terms.is_dear(dossier.worth(breach)):
            return breach.due_at
        return self.hold.told_at(breach.due_at)


def holds(sight: Sight | None, terms: Terms) -> tuple[Hold, ...]:
    """The shortest and the longest time for which the outage may hold things; without one nothing is held."""
    if sight is None or not terms.policy.feeds.watched:
        return (NEVER_HELD,)
    numbers, story, outage = terms.policy.feeds, sight.story, sight.story.outage
    usual = sight.usual_gap(numbers.silent_after)
    suspected_after = sight.time_for(2 * max(numbers.suspect_after, 2 * usual), outage.from_at)
    silent_after = sight.time_for(2 * max(numbers.silent_after, 2 * usual), outage.from_at)
    released_after = numbers.drain_longest + LOOK
    released_by = outage.until_at + released_after
    silent = ((since, until + released_after) for since, until in sight.gaps(numbers.silent_after))
    # What was only doubted is told after as long again as it was held.
    doubted = ((since, until + (until - since) + LOOK) for since, until in sight.gaps(numbers.suspect_after))
    spans = sorted([(outage.from_at - HOUR, released_by), *silent, *doubted])
    spans = list(
        zip((since for since, _ in spans), accumulate((until for _, until in spans), max), strict=True)
    )
    longest = Hold(story.feed, tuple(spans), numbers.hold_longest)
    if suspected_after is None or silent_after is None:
        return NEVER_HELD, longest
    # All of a time of which nobody knows when in it things came counts as life.
    unseen = sight.unseen(outage.from_at - HOUR, released_by)
    backlog_at = max(outage.until_at + numbers.drain_least, story.backlog_until_at)
    if not outage.from_at + silent_after + unseen < outage.until_at - unseen:
        return NEVER_HELD, longest
    surely = (outage.from_at + suspected_after + unseen, backlog_at - unseen)
    return longest._replace(spans=(surely,)), longest
