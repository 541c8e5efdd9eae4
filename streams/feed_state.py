"""The state of one feed, and how it goes through time: heard, quiet, suspected, silent, draining, and heard of as before.

Time goes in whole minutes, and in order: what a minute does depends on what came in it and on the minutes before, never on how
many of them were gone through at once. `through` takes a feed through minutes of one quarter of an hour that the watermark has
passed, so that everything that came in them is known.

    ok ──(suspect_after arrivals missing)──▶ suspected ──(silent_after missing, silent_for)──▶ silent
     ▲                                           │ heard: at once                               │ heard
     └───────────────────────────────────────────┴──────────── draining ◀───────────────────────┘
                                                    (backlog is in)

From `suspected` on until it is `ok` again its silence is believed no further than through `frozen`.
"""

from enum import IntEnum

import msgspec

from schemas.facts import Arrivals
from schemas.vocabulary import RuleId
from streams.feed_rhythm import Rhythm
from streams.feed_terms import ARRIVAL, HOLIDAY, FeedTerms
from streams.minute_spans import bits_within, with_span

QUARTER = 15
HOUR = 60
DAY = 24 * HOUR
WARM_UP = 14 * DAY
"""A feed is not silent in its first two weeks: nobody knows its rhythm yet."""
FORGET_AFTER = 14 * DAY
"""A feed that was not heard of for so long is no longer expected."""
BACKLOG_WAIT = 2 * HOUR
"""So long a backlog that has not come is waited for after a silence."""
MOST_AHEAD = 96
"""Quarters that are kept while something holds the watermark; of more it is only kept that something came."""
MOST_LUMPS = 32
LEAST_JUDGED = 20
"""Shares of fewer arrivals in an hour say nothing."""
LAGGING, GAP, SKEW = 500, 200, 50
"""Thousandths by which the share of late arrivals, of unknown codes and of future dates has to exceed the usual."""
STILL_LATE = 100
QUIET = 8
"""When so many times less is expected of an hour than of the one before, work is over."""
_ALL = (1 << QUARTER) - 1


class Phase(IntEnum):
    """Where a feed stands. Lives in changelogs: a number is never used again."""

    OK = 0
    """Also while it is suspected."""
    SILENT = 1
    DRAINING = 2


class Quarter(msgspec.Struct, array_like=True, gc=False):
    """What came in a quarter of an hour."""

    heard: int = 0
    """One bit for each minute in which something came."""
    came: Arrivals = msgspec.field(default_factory=Arrivals)


class Spell(msgspec.Struct, array_like=True, gc=False):
    """A time in which something was the matter with a feed. Minutes."""

    since: int
    told: int
    """When it was certain."""
    ended: int = 0
    """0: it goes on."""
    expected: int = 0
    """Arrivals that were to be expected meanwhile."""
    seen: int = 0
    """Arrivals that came; of a silence: until it was over."""


class Feed(msgspec.Struct, array_like=True, gc=False):
    """What a position keeps of a feed. Minutes since the epoch."""

    born: int
    """When it was first heard of."""
    heard: int
    """End of the last minute in which it was heard."""
    ahead: dict[int, Quarter] = msgspec.field(default_factory=dict)
    """Quarter -> what came in it, from the one that the watermark is in on."""
    lumps: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """Long times, from and to, in which something came and nobody knows when: all of them count as heard."""
    expected: int = 0
    """What was to be expected since it was heard."""
    frozen: int = 0
    """Its silence is believed no further than this; 0: as far as the watermark goes."""
    released: int = 0
    """When it was last believed again."""
    phase: int = 0
    heard_again: int = 0
    """Of a feed that drains: since when."""
    missed: int = 0
    """What was to be expected while it was silent, and did not come."""
    caught_up: int = 0
    """What came while it drained, besides what was to be expected."""
    hour: Arrivals = msgspec.field(default_factory=Arrivals)
    """What came in the hour that has not closed."""
    spoiled: bool = False
    """That hour tells nothing of the feed's rhythm."""
    spells: dict[str, Spell] = msgspec.field(default_factory=dict)
    """Rule -> the last time that it broke."""
    drained: int = 0
    """Arrivals since it was heard again."""
    gap: int = 0
    """The most that was to be expected in vain at a time, in the hour that has not closed."""
    excused: int = 0
    """So much was missing when work was over, and it was not silent: a doubt begins anew from there."""

    def hear(self, first: int, last: int, came: Arrivals) -> None:
        """Take in what came between two minutes that are not more than a quarter apart."""
        if len(self.ahead) >= MOST_AHEAD and not first // QUARTER == last // QUARTER in self.ahead:
            self.hear_lump(first, last)
            return
        for quarter in range(first // QUARTER, last // QUARTER + 1):
            one = self.ahead.get(quarter)
            if one is None:
                one = self.ahead[quarter] = Quarter()
            begin, end = max(first, quarter * QUARTER), min(last, quarter * QUARTER + QUARTER - 1)
            one.heard |= ((1 << (end - begin + 1)) - 1) << (begin - quarter * QUARTER)
        self.ahead[first // QUARTER].came.add(came)

    def next_heard(self) -> int | None:
        """The first minute ahead in which something came."""
        quarters = [(quarter, one.heard) for quarter, one in self.ahead.items() if one.heard]
        minutes = [quarter * QUARTER + (bits & -bits).bit_length() - 1 for quarter, bits in quarters]
        return min([*minutes, *(begin for begin, _ in self.lumps)], default=None)

    def hear_lump(self, first: int, last: int) -> None:
        """Take in that something came in a long time."""
        self.lumps = with_span(self.lumps, first, last, MOST_LUMPS)


class Passage:
    """Takes one feed through time."""

    __slots__ = ("changes", "feed", "name", "rhythm", "rhythm_changed", "terms")

    def __init__(self, name: str, feed: Feed, rhythm: Rhythm, terms: FeedTerms) -> None:
        self.name, self.feed, self.rhythm, self.terms = name, feed, rhythm, terms
        self.rhythm_changed = False
        self.changes: list[int] = []
        """Minutes in which a spell began or ended."""

    def through(self, start: int, stop: int, unknown: int = 0) -> None:
        """Go through the minutes from `start` until before `stop`, all of one quarter.

        `unknown`: a bit for each minute of the quarter of which nobody knows whether something came.
        """
        feed = self.feed
        quarter = start // QUARTER
        ahead = feed.ahead.get(quarter)
        heard = ahead.heard if ahead is not None else 0
        if feed.lumps:
            heard |= self._heard_in_lumps(quarter)
        slot = self.terms.week(self.name).slot(start // HOUR)
        rate = self.rhythm.rate(slot)
        mask = ((1 << (stop - start)) - 1) << (start % QUARTER)
        quiet = mask & ~heard & ~unknown
        feed.spoiled |= bool(unknown & mask)
        if quiet == mask:
            self._quiet(start, stop, slot)
        elif heard & mask == mask and not feed.expected:
            feed.heard = stop
        else:
            for minute in range(start, stop):
                if heard >> (minute % QUARTER) & 1:
                    self._hear(minute)
                elif quiet >> (minute % QUARTER) & 1:
                    self._quiet(minute, minute + 1, slot)
        if stop % QUARTER == 0:
            self._close_quarter(quarter, rate, feed.ahead.pop(quarter, None))
        if stop % HOUR == 0:
            self._close_hour(stop, slot)

    def _heard_in_lumps(self, quarter: int) -> int:
        feed, first = self.feed, quarter * QUARTER
        heard = bits_within(feed.lumps, first, QUARTER)
        if heard:
            feed.spoiled = True
        feed.lumps = [(begin, end) for begin, end in feed.lumps if end >= first]
        return heard

    # -- minutes ---------------------------------------------------------------------------------------------

    def _quiet(self, start: int, stop: int, slot: int) -> None:
        """Nothing came: more is missing, or, where nothing is to be expected, it is missing for longer."""
        feed, terms, rate = self.feed, self.terms, self.rhythm.rate(slot)
        before = feed.expected
        feed.expected += rate * (stop - start)
        if start // QUARTER * QUARTER < feed.born + WARM_UP or self.rhythm.per_week < terms.least_per_week:
            return
        silent = self._silent()
        doubtful = min(silent, max(feed.excused + terms.suspect, self.rhythm.doubtful_gap(slot)))
        if rate and not feed.frozen and feed.expected >= doubtful:
            feed.frozen = _reached(start, before, doubtful, rate)
        if feed.phase != Phase.SILENT and feed.expected >= silent:
            at = max(_reached(start, before, silent, rate), feed.heard + terms.silent_minutes)
            if at <= stop:
                self._falls_silent(at, before + rate * (at - start))

    def _silent(self) -> int:
        """What has to be expected in vain before the feed is silent: more of one that sends in batches."""
        return max(self.terms.silent, self.rhythm.twice_the_longest_gap)

    def _falls_silent(self, at: int, expected: int) -> None:
        feed = self.feed
        told = feed.spells.get(RuleId.FEED_SILENT.value)
        if told is None or told.ended:  # one that stutters may be draining, and nobody was told of anything
            feed.spells[RuleId.FEED_SILENT.value] = Spell(feed.heard, at, expected=expected // ARRIVAL)
            self.changes.append(at)
        feed.phase = int(Phase.SILENT)
        feed.frozen = feed.frozen or at
        feed.spoiled = True

    def _hear(self, minute: int) -> None:
        feed, rhythm = self.feed, self.rhythm
        missing = feed.expected
        if missing:
            long = missing >= self._silent()
            if feed.phase == Phase.SILENT or (feed.frozen and long):
                self._drain(minute)
            elif feed.phase == Phase.OK:
                feed.frozen, feed.released = 0, minute if feed.frozen else feed.released
            if long:
                rhythm.note_long_gap(minute, missing)
            elif feed.phase == Phase.OK:
                self.rhythm_changed |= missing > rhythm.longest_gap
                rhythm.learn_gap(missing)
            self.rhythm_changed |= long
            feed.gap = max(feed.gap, missing)
            feed.expected = feed.excused = 0
        feed.heard = minute + 1

    # -- draining --------------------------------------------------------------------------------------------

    def _drain(self, minute: int) -> None:
        feed = self.feed
        feed.missed += feed.expected
        if feed.phase != Phase.DRAINING:
            feed.heard_again = minute
        feed.phase = int(Phase.DRAINING)
        feed.spoiled = True

    def _close_quarter(self, quarter: int, rate: int, closed: Quarter | None) -> None:
        feed = self.feed
        came = closed.came if closed is not None else Arrivals()
        feed.hour.add(came)
        if feed.phase == Phase.OK:
            return
        feed.spoiled = True
        if feed.phase == Phase.SILENT:
            return
        feed.caught_up += came.count * ARRIVAL - rate * QUARTER
        feed.drained += came.count
        end = (quarter + 1) * QUARTER
        if self._is_drained(end - feed.heard_again, came):
            self._release(end)

    def _is_drained(self, passed: int, came: Arrivals) -> bool:
        feed, terms = self.feed, self.terms
        if passed >= terms.drain_longest_minutes:
            return True
        if passed < terms.drain_least_minutes or feed.expected >= self._silent():
            return False
        if came.late * 1_000 > came.count * (self.rhythm.late + STILL_LATE):
            return False
        return 2 * feed.caught_up >= feed.missed or passed >= BACKLOG_WAIT

    def _release(self, minute: int) -> None:
        feed = self.feed
        spell = self.feed.spells.get(RuleId.FEED_SILENT.value)
        if spell is not None and not spell.ended:
            spell.expected, spell.seen = feed.missed // ARRIVAL, feed.drained
            self._end(spell, minute)
        feed.phase, feed.frozen, feed.released = int(Phase.OK), 0, minute
        feed.missed = feed.caught_up = feed.drained = feed.heard_again = 0

    def _end(self, spell: Spell, minute: int) -> None:
        spell.ended = minute
        self.changes.append(minute)

    # -- hours -----------------------------------------------------------------------------------------------

    def _close_hour(self, end: int, slot: int) -> None:
        feed, rhythm = self.feed, self.rhythm
        came, feed.hour = feed.hour, Arrivals()
        gap, feed.gap = max(feed.gap, feed.expected), 0
        spoiled, feed.spoiled = feed.spoiled, feed.phase != Phase.OK
        if feed.born > end - HOUR:
            return  # it has not been heard of for the whole hour
        if self._work_is_over(end, slot):
            feed.frozen, feed.released, feed.excused = 0, end, feed.expected
        if slot != HOLIDAY:
            if not spoiled:
                rhythm.learn_usual_gap(slot, gap)
            doubtful = spoiled or bool(feed.frozen) or self._is_backlog(came)
            rhythm.leave_out(slot, came.count) if doubtful else rhythm.learn(slot, came.count)
            self.rhythm_changed = True
        if end % DAY == 0:
            rhythm.fade()
        if came.count >= LEAST_JUDGED and not spoiled and not feed.frozen:
            self._judge_shares(end, came)

    def _work_is_over(self, end: int, slot: int) -> bool:
        """Whether it is doubted, and only for what is missing now and then, when so little is expected from now on that what
        waits overnight would wait for nothing.
        """
        feed = self.feed
        usual = min(self._silent(), self.rhythm.twice_the_longest_gap)
        if not feed.frozen or feed.phase != Phase.OK or feed.expected >= usual:
            return False
        after = self.rhythm.rate(self.terms.week(self.name).slot(end // HOUR))
        return QUIET * after < self.rhythm.rate(slot)

    def _is_backlog(self, came: Arrivals) -> bool:
        """Whether much of what came in an hour is old, and unusually so: history, or what somebody sends again."""
        old = came.late - came.count * self.rhythm.late // 1_000
        return old >= LEAST_JUDGED and 3 * old > came.count

    def _judge_shares(self, end: int, came: Arrivals) -> None:
        rhythm = self.rhythm
        late, unmapped, clamped = (
            1_000 * some // came.count for some in (came.late, came.unmapped, came.clamped)
        )
        known = rhythm.hours >= 8
        wrong = (
            self._judge(RuleId.FEED_LAGGING, end, came.count, came.late, late - rhythm.late, LAGGING * known),
            self._judge(
                RuleId.MAPPING_GAP, end, came.count, came.unmapped, unmapped - rhythm.unmapped, GAP * known
            ),
            self._judge(RuleId.CLOCK_SKEW, end, came.count, came.clamped, clamped, SKEW),
        )
        if not any(wrong):
            rhythm.learn_shares(late, unmapped)

    def _judge(self, rule: RuleId, end: int, count: int, seen: int, excess: int, limit: int) -> bool:
        """Whether the share exceeds the usual by so much; `limit` 0: nobody knows what is usual."""
        spell = self.feed.spells.get(rule.value)
        goes_on = spell is not None and not spell.ended
        if not limit or excess < (limit // 2 if goes_on else limit):
            if spell is not None and goes_on:
                self._end(spell, end)
            return False
        if not goes_on:
            self.feed.spells[rule.value] = Spell(end - HOUR, end, expected=count, seen=seen)
            self.changes.append(end)
        return True


def _reached(start: int, before: int, limit: int, rate: int) -> int:
    """The end of the minute, from `start` on, in which so much is missing; the first one where it was so before."""
    return start + 1 if before >= limit else start + max(1, -(-(limit - before) // rate))
