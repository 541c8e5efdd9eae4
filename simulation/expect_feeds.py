"""The cases about feeds that have to be found: one for each time in which something was the matter with the watched feed.

When exactly one opens and ends depends on how much came when. What is asked for follows from the policy's numbers, from the least
that the world promises of the feed's traffic, and from what the log tells of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from schemas.vocabulary import CaseState, Reason, RuleId
from simulation.feed_sight import Sight
from simulation.feed_story import BACKLOG, DAY, HOUR, Spell
from simulation.oracle import ExpectedCase
from simulation.terms import Terms

LATE_SHARE: Final = 0.4
"""Half of an hour's events have to be late, beyond what is usual."""
HOURS_KNOWN: Final = 8
"""So many hours tell what share of a feed's events usually is late, or unknown."""


def expected_of_feeds(sight: Sight | None, terms: Terms, until_at: datetime) -> list[ExpectedCase]:
    """Every case about a feed that must, or may, be found by the log time `until_at`."""
    if sight is None or not terms.policy.feeds.watched:
        return []
    spells = [one for one in sight.story.spells if one.rule in terms.applied and one.from_at < until_at]
    told = [
        (_Silence if spell.rule is RuleId.FEED_SILENT else _Share)(sight, terms, spell, until_at)
        for spell in spells
    ]
    return [*(one.case() for one in told), *_stutters(sight, terms, until_at)]


def _stutters(sight: Sight, terms: Terms, until_at: datetime) -> Iterator[ExpectedCase]:
    """Whoever plays the world may stand still for a moment. Then the feed may be called silent, or what comes afterwards late."""
    numbers = terms.policy.feeds
    for since, until in sight.gaps(numbers.silent_after):
        if RuleId.FEED_SILENT in terms.applied and since < until_at:
            yield _Stutter(sight, terms, Spell(RuleId.FEED_SILENT, since, until), until_at).case()
    for hour in sight.late_hours(LATE_SHARE):
        if RuleId.FEED_LAGGING in terms.applied and hour < until_at:
            yield _Backlog(sight, terms, Spell(RuleId.FEED_LAGGING, hour, hour + HOUR), until_at).case()


class _Told(ABC):
    """How one spell is told."""

    def __init__(self, sight: Sight, terms: Terms, spell: Spell, until_at: datetime) -> None:
        self.sight, self.spell, self.until_at = sight, spell, until_at
        self.numbers = terms.policy.feeds

    def case(self) -> ExpectedCase:
        """What is asked for."""
        (opens_at, opens_by), (ends_at, ends_by) = self.opens(), self.ends()
        states = set[CaseState]()
        if ends_at <= self.until_at:
            states |= {CaseState.RESOLVED}
        if ends_by > self.until_at:
            states |= {CaseState.OPEN, CaseState.ESCALATED}
        return ExpectedCase(
            rule=self.spell.rule,
            return_id="",
            parcel=self.sight.story.feed,
            occurrence=0,
            since_at=self.spell.from_at,
            due_at=opens_at,
            due_by=opens_by,
            opens_at=opens_by,
            opens_by=opens_by,
            opens=True if opens_by <= self.until_at and self.is_sure() else "either",
            retracted=False,
            final_states=frozenset(states),
            reasons=frozenset({Reason.FEED_RECOVERED}),
            ended_at=None,
            ends_between=(ends_at, ends_by),
        )

    @abstractmethod
    def is_sure(self) -> bool:
        """Whether the log tells enough of it."""

    @abstractmethod
    def opens(self) -> tuple[datetime, datetime]:
        """When it is certain, at the earliest and at the latest."""

    @abstractmethod
    def ends(self) -> tuple[datetime, datetime]:
        """When all is as before, at the earliest and at the latest."""

    def stretch(self, spell: Spell) -> tuple[datetime, datetime]:
        """A silence, with those that it may be one with."""
        return self.sight.stretch(spell.from_at, spell.until_at, self.numbers.silent_after, self.drained())

    def drained(self) -> timedelta:
        """How long after a silence its backlog is waited for, at most."""
        return max(self.numbers.drain_longest, BACKLOG) + HOUR


class _Silence(_Told):
    """The feed is silent, and nothing comes until its backlog does."""

    def is_sure(self) -> bool:
        """Whether enough is missed before it is heard again, and it does not go on with another silence."""
        missed, since = self._silent_after, self._whole[0]
        seen = self.spell.until_at - self.spell.from_at - 2 * self._unseen
        return missed is not None and missed < seen and since == self.spell.from_at

    def opens(self) -> tuple[datetime, datetime]:
        """At least `silent_for` after something came."""
        longest = self.spell.until_at - self.spell.from_at
        missed = self._silent_after or longest
        opens_at = self._whole[0] - HOUR + self.numbers.silent_for
        return opens_at, self.spell.from_at + min(longest, missed + self._unseen)

    def ends(self) -> tuple[datetime, datetime]:
        """After the backlog; all of a time of which little is known counts as life."""
        ends_at = self.spell.until_at + self.numbers.drain_least - self._unseen
        return ends_at, self._whole[1] + self.drained() + self._unseen

    @cached_property
    def _silent_after(self) -> timedelta | None:
        silent_after = self.numbers.silent_after
        arrivals = max(silent_after, 2 * self.sight.usual_gap(silent_after))
        missed = self.sight.time_for(2 * arrivals, self.spell.from_at)
        return None if missed is None else max(missed, self.numbers.silent_for)

    @cached_property
    def _unseen(self) -> timedelta:
        return self.sight.unseen(self.spell.from_at - HOUR, self.spell.until_at + self.numbers.drain_longest)

    @cached_property
    def _whole(self) -> tuple[datetime, datetime]:
        return self.stretch(self.spell)


class _Stutter(_Told):
    """Nobody knows whether it was long enough, nor whether another follows before its backlog has come in."""

    def is_sure(self) -> bool:
        """Never."""
        return False

    def opens(self) -> tuple[datetime, datetime]:
        """Somewhere in it."""
        return self.spell.from_at, self.spell.until_at

    def ends(self) -> tuple[datetime, datetime]:
        """Soon after it, or after the last of several, of which the outage may be one."""
        _, until_at = self.stretch(self.spell)
        outage = self.sight.story.outage
        if outage.from_at <= until_at + self.drained() and until_at < outage.until_at:
            _, until_at = self.stretch(outage)
        return self.spell.from_at, until_at + self.drained()


class _Backlog(_Stutter):
    """Nobody knows whether enough came in the hour to be judged, nor in which of the hours behind it again."""

    def ends(self) -> tuple[datetime, datetime]:
        """With an hour that can be judged, on the other side of a weekend with a holiday."""
        return self.spell.from_at, self.spell.until_at + 5 * DAY


class _Share(_Told):
    """Of the events of an hour too many are late, unknown or ahead of time. It is judged by hours in which much comes."""

    def is_sure(self) -> bool:
        """Whether what came is known of each of its hours, and of enough hours before it."""
        since = self.sight.story.starts_at
        return len(self._judged(since, self.spell.from_at)) >= HOURS_KNOWN and all(
            self.sight.is_fine(hour) for hour in _hours(self.spell.from_at, self.spell.until_at)
        )

    def opens(self) -> tuple[datetime, datetime]:
        """When its first hour has closed; if little is known of that, a later one."""
        if self.is_sure():
            return self.spell.from_at, self.spell.from_at + 2 * HOUR
        return self.spell.from_at, self.spell.until_at + HOUR

    def ends(self) -> tuple[datetime, datetime]:
        """With the next hour that can be judged."""
        after = self._judged(self.spell.until_at, self.until_at)
        ends_at = self.spell.until_at if self.is_sure() else self.spell.from_at
        return ends_at, after[0] + 2 * HOUR if after else self.until_at + DAY

    def _judged(self, since: datetime, until: datetime) -> list[datetime]:
        """The hours in which much comes, and of which it is known what."""
        story = self.sight.story
        return [hour for hour in _hours(since, until) if story.is_busy(hour) and self.sight.is_fine(hour)]


def _hours(since: datetime, until: datetime) -> list[datetime]:
    hour = since.replace(minute=0, second=0, microsecond=0)
    return [hour + number * HOUR for number in range(int((until - hour) / HOUR))]
