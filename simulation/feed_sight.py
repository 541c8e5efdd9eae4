"""How finely a log tells when the events of the watched feed came.

Where it does not tell it, because a worker was away and the log has no append times, or lost count (simulation/marks_seen.py),
nobody can know when in between it was: such hours teach nothing of the feed's rhythm, and all of such a time may count as life.
And where whoever plays the world, or the broker, stood still for a moment, the feed truly was silent meanwhile.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

from schemas.vocabulary import RuleId
from simulation.feed_story import HOUR, FeedStory
from simulation.marks_seen import FINE

_WEEK: Final = timedelta(days=7)
_TWO_WEEKS: Final = 2 * _WEEK
_THREE_WEEKS: Final = 3 * _WEEK
_USUAL_SILENCES: Final = 3
_LEAST_GAP: Final = timedelta(minutes=2)
_NOTHING: Final = timedelta(0)


class Arrival(NamedTuple):
    """One event of the feed."""

    appended_at: datetime
    lateness: timedelta = _NOTHING


class Sight:
    """What can be known of a feed in one world."""

    def __init__(
        self,
        story: FeedStory,
        blurred: Iterable[tuple[datetime, datetime]] | None = None,
        came: Iterable[Arrival] = (),
    ) -> None:
        """`blurred`: times of which the log does not tell what came when; None: it tells everything to the minute.

        `came`: the feed's events as they were appended; none: as the world wants it.
        """
        self.story = story
        arrivals = sorted(came)
        self._came = [one.appended_at for one in arrivals]
        self._late = [one.appended_at for one in arrivals if one.lateness > HOUR]
        self._blur = _NOTHING if blurred is None else FINE
        self._blurred = sorted(set(blurred or ()))
        self._fine: dict[datetime, bool] = {}

    def unseen(self, since: datetime, until: datetime) -> timedelta:
        """How long, in all, are the times around or between two times of which it is not known what came when."""
        total, reached = _NOTHING, None
        for begin, end in self._spans(since, until):
            total += max(_NOTHING, end - (begin if reached is None else max(begin, reached)))
            reached = end if reached is None else max(end, reached)
        return total

    def _spans(self, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
        return [(begin, end) for begin, end in self._blurred if begin < until and since < end]

    def is_fine(self, hour: datetime) -> bool:
        """Whether it is known what came in an hour."""
        if hour not in self._fine:
            self._fine[hour] = not self._spans(hour, hour + HOUR)
        return self._fine[hour]

    def learned(self, at: datetime) -> float:
        """The least that may have been learned of what usually comes in the hour of `at`, from any week before."""
        hour = at.replace(minute=0, second=0, microsecond=0)
        least = self.story.at_least(hour)
        if self._exact:
            return least
        before = [hour - weeks * _WEEK for weeks in range(1, (hour - self.story.starts_at) // _WEEK + 1)]
        counts = [self._per_hour[one] if self._came else least for one in before if self.is_fine(one)]
        return min(least, *counts) if counts else 0

    @property
    def _exact(self) -> bool:
        return not self._came and not self._blurred

    @cached_property
    def _per_hour(self) -> Counter[datetime]:
        return _by_hour(self._came)

    def late_hours(self, share: float) -> list[datetime]:
        """Hours in which about so much of what came, or more, was late because whoever plays the world was."""
        story, late = self.story, _by_hour(self._late)
        return [
            hour
            for hour, count in sorted(late.items())
            if count >= share * self._per_hour[hour] and story.spell(hour) is not RuleId.FEED_LAGGING
        ]

    def time_for(self, arrivals: float, at: datetime) -> timedelta | None:
        """How long it takes at most until so many are missed when none comes from `at` on; None: longer than two days."""
        until, missed = at, 0.0
        while missed < arrivals:
            if until >= at + 2 * timedelta(days=1):
                return None
            missed += self.learned(until) / 60
            until += timedelta(minutes=1)
        return until - at

    def gaps(self, arrivals: float) -> list[tuple[datetime, datetime]]:
        """Times besides the outage in which so many may have been missed: what is usual may be twice what is sure.

        None in the first two weeks, in which a feed is never doubted.
        """
        learned_at = self.story.starts_at + _TWO_WEEKS
        return [gap for gap, missed in self._gaps if 2 * missed >= arrivals and gap[1] > learned_at]

    def usual_gap(self, silent: float) -> float:
        """The most that may be missed at a time without being a silence; `silent`: what is one where no gaps are usual.

        No silence is less than twice what is usual, and a silence is usual when there were three in three weeks.
        """
        usual = 0.0
        silences: list[tuple[datetime, float]] = []
        for (_, until), missed in self._gaps:
            least, most = missed / 2, 2 * missed
            if least < max(silent, 2 * usual):
                usual = max(usual, min(most, max(silent, 2 * usual)))
            if most >= silent:
                silences = [one for one in silences if until - one[0] < _THREE_WEEKS] + [(until, most)]
                if len(silences) >= _USUAL_SILENCES:
                    usual = max(usual, sorted(gap for _, gap in silences)[-_USUAL_SILENCES])
        return usual

    @cached_property
    def _gaps(self) -> list[tuple[tuple[datetime, datetime], float]]:
        outage, found = self.story.outage, []
        for earlier, later in pairwise(self._came):
            in_outage = earlier < outage.until_at and outage.from_at < later
            if not in_outage and later - earlier > _LEAST_GAP:
                # What came between two marks may have come anywhere between them.
                spans = [until - since for since, until in self._spans(earlier, later)]
                blur = max([self._blur, *spans])
                gap = (earlier - blur, later + blur)
                found.append((gap, self._missed(earlier, later)))
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


def _by_hour(moments: Iterable[datetime]) -> Counter[datetime]:
    return Counter(one.replace(minute=0, second=0, microsecond=0) for one in moments)
