"""What is not told while a feed is silent, as the oracle sees it: a deadline stays what it is, and is told later.

A feed falls silent for sure only after a while, and is believed again only when its backlog has come. Nobody needs to know when
exactly: it is no earlier and no later than the policy's numbers and the traffic allow.
"""

from collections.abc import Set
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from simulation.dossier import Dossier
from simulation.expectation import CaseKey, Expectation
from simulation.feed_story import HOUR, FeedStory
from simulation.terms import WAIT_FOR_A_CARRIER, Terms


class Hold(NamedTuple):
    """A time in which nothing is told of what waits for a feed."""

    feed: str
    from_at: datetime | None
    """What was due at or before this is told."""
    until_at: datetime | None
    longest: timedelta

    def told_at(self, due_at: datetime) -> datetime:
        """When something is told that waits for the feed."""
        if self.from_at is None or self.until_at is None or not self.from_at < due_at < self.until_at:
            return due_at
        return min(self.until_at, due_at + self.longest)


NEVER_HELD: Final = Hold("", None, None, timedelta(0))
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


def holds(story: FeedStory | None, terms: Terms, blur: timedelta = timedelta(0)) -> tuple[Hold, ...]:
    """The shortest and the longest time for which the outage may hold things; without one nothing is held.

    `blur`: how long workers were held up. Of that time they do not know when in it things came, and take all of it for life.
    """
    if story is None or not terms.policy.feeds.watched:
        return (NEVER_HELD,)
    numbers, outage = terms.policy.feeds, story.outage
    suspected_after = story.time_for(2 * numbers.suspect_after, outage.from_at)
    backlog_at = max(outage.until_at + numbers.drain_least, story.backlog_until_at)
    released_by = outage.until_at + numbers.drain_longest + LOOK
    longest = Hold(story.feed, outage.from_at - suspected_after, released_by, numbers.hold_longest)
    shortest = longest._replace(from_at=outage.from_at + suspected_after, until_at=backlog_at)
    if not blur:
        return shortest, longest
    from_at, until_at = outage.from_at + suspected_after + blur, backlog_at - blur
    blurred = shortest._replace(from_at=from_at, until_at=until_at) if from_at < until_at else NEVER_HELD
    return shortest, longest, blurred
