"""How finely a log tells when the events of the watched feed came.

Each mark tells what came since the one before. Where two lie far apart, because the world is played fast or a worker was
away, nobody can know when in between it was: such hours teach nothing of the feed's rhythm, and all of such a time may count as
life. And where whoever plays the world, or the broker, stood still for a moment, the feed truly was silent meanwhile.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Final

from simulation.feed_story import HOUR, FeedStory

FINE: Final = timedelta(minutes=14)
"""Feeds are reckoned in quarters of an hour (docs/adr/0011): marks that lie so close tell in which one things came."""
_WEEK: Final = timedelta(days=7)
_TWO_WEEKS: Final = 2 * _WEEK
_LEAST_GAP: Final = timedelta(minutes=2)
_NOTHING: Final = timedelta(0)


class Sight:
    """What can be known of a feed in one world."""

    def __init__(
        self,
        story: FeedStory,
        marked: Iterable[datetime] | None = None,
        came: Iterable[datetime] = (),
    ) -> None:
        """`marked`: through when each mark of the feed's topic tells what came; None: there was one every minute.

        `came`: when the feed's events were appended; none: as the world wants it.
        """
        self.story = story
        self._came = sorted(came)
        self._marked = None if marked is None else sorted(set(marked))
        self._fine: dict[datetime, bool] = {}

    def unseen(self, since: datetime, until: datetime) -> timedelta:
        """How long, in all, the marks lay too far apart between two times."""
        spans = [later - earlier for earlier, later in self._spans(since, until)]
        return sum((span for span in spans if span > FINE), _NOTHING)

    def _spans(self, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
        """Between marks, as far as they touch this time."""
        if self._marked is None:
            return []
        first, last = bisect_right(self._marked, since), bisect_left(self._marked, until)
        inside = self._marked[max(0, first - 1) : last + 1]
        edges = [min(since, inside[0]), *inside, max(until, inside[-1])] if inside else [since, until]
        return list(pairwise(edges))

    def is_fine(self, hour: datetime) -> bool:
        """Whether it is known what came in an hour."""
        if hour not in self._fine:
            self._fine[hour] = not self.unseen(hour, hour + HOUR)
        return self._fine[hour]

    def is_learned(self, at: datetime) -> bool:
        """Whether it was known in any week before what usually comes in the hour of `at`."""
        if self._marked is None:
            return True
        hour = at.replace(minute=0, second=0, microsecond=0) - _WEEK
        while hour >= self.story.starts_at:
            if self.is_fine(hour):
                return True
            hour -= _WEEK
        return False

    def time_for(self, arrivals: float, at: datetime) -> timedelta | None:
        """How long it takes at most until so many are missed when none comes from `at` on; None: longer than two days."""
        until, missed = at, 0.0
        while missed < arrivals:
            if until >= at + 2 * timedelta(days=1):
                return None
            if self.is_learned(until):
                missed += self.story.at_least(until) / 60
            until += timedelta(minutes=1)
        return until - at

    def gaps(self, arrivals: float) -> list[tuple[datetime, datetime]]:
        """Times besides the outage in which so many may have been missed: what is usual may be twice what is sure.

        None in the first two weeks, in which a feed is never doubted.
        """
        return [gap for gap, missed in self._gaps if 2 * missed >= arrivals]

    @cached_property
    def _gaps(self) -> list[tuple[tuple[datetime, datetime], float]]:
        outage, found = self.story.outage, []
        for earlier, later in pairwise(self._came):
            in_outage = earlier < outage.until_at and outage.from_at < later
            if not in_outage and later - earlier > _LEAST_GAP and later > self.story.starts_at + _TWO_WEEKS:
                # What came between two marks may have come anywhere between them.
                blur = max((until - since for since, until in self._spans(earlier, later)), default=_NOTHING)
                gap = (earlier - blur, later + blur)
                found.append((gap, self._missed(*gap)))
        return found

    def stretch(
        self, since: datetime, until: datetime, arrivals: float, drained: timedelta
    ) -> tuple[datetime, datetime]:
        """A silence with the gaps just before and after it: before the backlog of one is in, another may begin."""
        gaps = self.gaps(arrivals)
        for earlier, later in (*gaps, *reversed(gaps)):
            if since <= later + drained and earlier <= until + drained:
                since, until = min(since, earlier), max(until, later)
        return since, until

    def _missed(self, since: datetime, until: datetime) -> float:
        missed, at = 0.0, since
        while at < until:
            step = min(HOUR, until - at)
            missed += max(self.story.at_least(at), self.story.at_least(at + step)) * (step / HOUR)
            at += step
        return missed
