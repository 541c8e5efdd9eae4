"""All feeds of one partition: folded from its markers, and asked how far the silence of each can be believed.

A feed is a carrier's scans, or the orders, labels or warehouse events. A mark tells what came of it in a span of append time:
from the source's mark before to this one. Arrivals anywhere in a span are life through its end; a span without them is
silence that is proved, for everything else of that span has been read. While we are down, or behind, there are no marks, and
afterwards one long span: our own downtime is nobody's silence.

Marks are folded as they come, ahead of the watermark, and `advance` goes through the minutes that it has passed, in order. So a
walk and a jump of the watermark over the same marks find the same at every time.
"""

from collections.abc import Iterable, Mapping

import msgspec

from schemas.facts import Arrivals, Mark
from streams.feed_rhythm import Rhythm
from streams.feed_state import FORGET_AFTER, HOUR, MOST_AHEAD, QUARTER, Feed, Passage, Phase
from streams.feed_terms import MINUTE_MS, FeedTerms
from streams.minute_spans import bits_within, with_span

MOST_FEEDS = 53
"""Carriers beyond these are not watched."""
RHYTHM_BYTES = 2_400
FEED_BYTES, SPELLS_BYTES, QUARTER_BYTES = 160, 200, 48
"""What a feed takes in the position, with its name; what is the matter with it; what came of it in a quarter of an hour."""
MOST_UNKNOWN = 32
UNWATCHED = frozenset({"other"})
"""What no table knows is many carriers, and no feed."""
SUSPECTED_STEP_MS = 5 * MINUTE_MS
HELD_STEP_MS = 30 * MINUTE_MS
"""When what is held is looked at again: a suspicion is soon over, a silence is not."""


class FeedsState(msgspec.Struct, array_like=True):
    """Part of a position."""

    minute: int = 0
    """Everything before it has been gone through; 0: nothing yet."""
    feeds: dict[str, Feed] = msgspec.field(default_factory=dict)
    due: list[tuple[int, str]] = msgspec.field(default_factory=list)
    """(minute, feed) whose cases have to be looked at."""
    unknown: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """Times, from and to, of which nobody knows all that came: who was not heard in them was not silent."""


class Feeds:
    """See the head of this file."""

    def __init__(self, state: FeedsState, rhythms: bytes | None) -> None:
        self.state = state
        self._rhythms: dict[str, Rhythm] = decode_rhythms(rhythms) if rhythms else {}
        for name in state.feeds:
            self._rhythms.setdefault(name, Rhythm())
        self._terms: FeedTerms | None = None
        self._changed = False

    def adopt(self, terms: FeedTerms) -> None:
        """Go by this policy from now on."""
        self._terms = terms
        hour = self.state.minute // HOUR
        for name in list(self.state.feeds):
            if not terms.watched(name):
                self._forget(name, self.state.minute)
            elif self._rhythms[name].zone != terms.zone(name):
                self._rhythms[name].move_to(terms.zone(name), hour)
                self._changed = True

    def _forget(self, name: str, minute: int) -> Feed:
        self.state.due.append((minute, name))
        del self._rhythms[name]
        self._changed = True
        return self.state.feeds.pop(name)

    # -- what comes in ---------------------------------------------------------------------------------------

    def fold(self, mark: Mark, since_ms: int, *, complete: bool = True, history: bool = False) -> None:
        """Take in what a mark tells of the time since `since_ms`; 0: nobody knows since when.

        Not `complete`: something may have come of which no mark tells. `history`: what came tells nothing, it is old.
        """
        if self._terms is None or not self._terms.watches:
            return
        state, last = self.state, (mark.through_ms - 1) // MINUTE_MS
        if last < state.minute:
            return
        first = max(since_ms // MINUTE_MS, state.minute) if since_ms else last
        if history or not complete:
            state.unknown = with_span(state.unknown, first, last, MOST_UNKNOWN)
        if history:
            return
        for name, told in mark.arrivals.items():
            came = Arrivals(told) if isinstance(told, int) else told
            feed = self._feed(name, first) if came.count and name not in UNWATCHED else None
            if feed is None:
                continue
            if not since_ms or last - first > QUARTER:
                feed.hear_lump(first, last)
            else:
                feed.hear(first, last, came)

    def _feed(self, name: str, minute: int) -> Feed | None:
        feeds, terms = self.state.feeds, self._terms
        feed = feeds.get(name)
        if feed is None and len(feeds) < MOST_FEEDS and terms is not None and terms.watched(name):
            feed = self._begin(name, Feed(minute, minute), terms)
        return feed

    def _begin(self, name: str, feed: Feed, terms: FeedTerms) -> Feed:
        self.state.feeds[name], self._rhythms[name] = feed, Rhythm(zone=terms.zone(name))
        self._changed = True
        return feed

    def most_growth(self, marks: Iterable[Mark]) -> int:
        """By how many bytes position and rhythms may grow when marks are folded."""
        more, quarters, begun = 0, set[tuple[str, int]](), set[str]()
        for mark in marks:
            quarter = (mark.through_ms - 1) // MINUTE_MS // QUARTER
            for name in mark.arrivals:
                feed = self.state.feeds.get(name)
                if feed is None and name not in begun and len(self.state.feeds) + len(begun) < MOST_FEEDS:
                    begun.add(name)
                    more += len(name) + FEED_BYTES + SPELLS_BYTES + RHYTHM_BYTES
                if feed is None or quarter not in feed.ahead:
                    quarters.add((name, quarter))
        return more + 2 * QUARTER_BYTES * min(len(quarters), MOST_FEEDS * MOST_AHEAD)

    def advance(self, until_ms: int) -> bool:
        """Go through the whole minutes before a time that the watermark has reached; False: cases are to be looked at first."""
        state, until = self.state, until_ms // MINUTE_MS
        if until <= state.minute or self._terms is None:
            return not state.due
        if not state.minute:
            # What was folded before the first watermark counts from its beginning, wherever that watermark is.
            begin = min((feed.born for feed in state.feeds.values()), default=until)
            if until < begin:
                return not state.due
            state.minute = begin
        while state.minute < until and state.feeds and not state.due:
            quarter = state.minute // QUARTER
            stop = min(until, (quarter + 1) * QUARTER)
            unknown = bits_within(state.unknown, quarter * QUARTER, QUARTER)
            for name in list(state.feeds):
                self._through(name, stop, unknown, self._terms)
            state.minute = stop
        if state.due:
            state.due.sort()
            return False
        state.minute = until
        state.unknown = [span for span in state.unknown if span[1] >= until]
        return True

    def _through(self, name: str, stop: int, unknown: int, terms: FeedTerms) -> None:
        state, start = self.state, self.state.minute
        feed = state.feeds[name]
        ends = feed.heard + FORGET_AFTER
        if start < ends <= stop:
            self._pass(name, feed, (start, ends), unknown, terms)
            if feed.heard + FORGET_AFTER == ends:
                self._forget(name, ends)
                again = feed.next_heard()
                if again is None:
                    return
                feed = self._begin(name, Feed(again, again, ahead=feed.ahead, lumps=feed.lumps), terms)
            start = ends
        if start < stop:
            self._pass(name, feed, (start, stop), unknown, terms)

    def _pass(self, name: str, feed: Feed, minutes: tuple[int, int], unknown: int, terms: FeedTerms) -> None:
        passage = Passage(name, feed, self._rhythms[name], terms)
        passage.through(*minutes, unknown)
        self._changed |= passage.rhythm_changed
        self.state.due += [(minute, name) for minute in passage.changes]

    def take_rhythms(self) -> bytes | None:
        """What was learned, for the changelog; None: nothing since it was last taken."""
        if not self._changed:
            return None
        self._changed = False
        return encode_rhythms(self._rhythms)

    # -- what is asked ---------------------------------------------------------------------------------------

    def believed_ms(self, name: str, now_ms: int) -> int:
        """Through when the silence of a feed can be believed, at a time up to which it has been gone through. Never goes back."""
        feed = self.state.feeds.get(name)
        if feed is None or not feed.frozen or self._terms is None:
            return now_ms
        return min(now_ms, max(feed.frozen * MINUTE_MS, now_ms - self._terms.hold_longest_ms))

    def again_ms(self, name: str, due_ms: int, now_ms: int) -> int:
        """When to look again at what waits, since `due_ms`, for a feed that is not believed.

        Of a feed that is only doubted soon, and less often the longer that lasts: it is told late by no more than it was held.
        """
        if self.state.feeds[name].phase != Phase.OK:
            return now_ms + HELD_STEP_MS
        return now_ms + min(HELD_STEP_MS, max(SUSPECTED_STEP_MS, now_ms - due_ms))

    def released_ms(self, name: str, due_ms: int, now_ms: int) -> int:
        """When something that was held, and is no longer, was let go."""
        feed = self.state.feeds.get(name)
        if feed is None or self._terms is None:
            return now_ms
        if feed.frozen and due_ms > feed.frozen * MINUTE_MS:
            return due_ms + self._terms.hold_longest_ms
        return min(now_ms, max(due_ms, feed.released * MINUTE_MS))

    def is_high_value(self, value_minor: int, currency: str) -> bool:
        """Whether something is worth so much that it is never held."""
        return self._terms is not None and self._terms.is_high_value(value_minor, currency)

    @property
    def by_name(self) -> Mapping[str, Feed]:
        """Every feed that is watched."""
        return self.state.feeds

    @property
    def most_bytes(self) -> int:
        """What the rhythms take in the changelog, at most, and what goes on may add to the position."""
        return (RHYTHM_BYTES + SPELLS_BYTES) * len(self.state.feeds)


encode_rhythms = msgspec.msgpack.Encoder().encode
decode_rhythms = msgspec.msgpack.Decoder(dict[str, Rhythm]).decode
