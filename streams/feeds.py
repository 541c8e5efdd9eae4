"""All feeds of one partition: folded from its markers, and asked how far the silence of each can be believed.

A feed is a carrier's scans, or the orders, labels or warehouse events. A mark tells what came of it in a span of append time:
from the source's mark before to this one. Arrivals anywhere in a span are life through its end; a span without them is
silence that is proved, for everything else of that span has been read. While we are down, or behind, there are no marks, and
afterwards one long span: our own downtime is nobody's silence.

Marks are folded as they come, ahead of the watermark, and `advance` goes through the minutes that it has passed, in order. So a
walk and a jump of the watermark over the same marks find the same at every time.
"""

from collections.abc import Mapping

import msgspec

from schemas.facts import Arrivals, Mark
from streams.feed_rhythm import Rhythm
from streams.feed_state import QUARTER, Feed, Passage, Phase, forgets
from streams.feed_terms import MINUTE_MS, FeedTerms

MOST_FEEDS = 53
"""Carriers beyond these are not watched."""
RHYTHM_BYTES = 1_300
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
        for name in [name for name in self.state.feeds if not terms.watched(name)]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        del self.state.feeds[name], self._rhythms[name]
        self.state.due.append((self.state.minute, name))
        self._changed = True

    # -- what comes in ---------------------------------------------------------------------------------------

    def fold(self, mark: Mark, since_ms: int) -> None:
        """Take in what a mark tells of the time since `since_ms`; 0: nobody knows since when."""
        if self._terms is None:
            return
        last = (mark.through_ms - 1) // MINUTE_MS
        first = max(since_ms // MINUTE_MS, self.state.minute) if since_ms else last
        for name, told in mark.arrivals.items():
            came = Arrivals(told) if isinstance(told, int) else told
            if not came.count or name in UNWATCHED or last < self.state.minute:
                continue
            feed = self._feed(name, last)
            if feed is None:
                continue
            if not since_ms or last - first > QUARTER:
                feed.hear_lump(first, last)
            else:
                feed.hear(first, last, came)

    def _feed(self, name: str, minute: int) -> Feed | None:
        feeds = self.state.feeds
        feed = feeds.get(name)
        if feed is None and len(feeds) < MOST_FEEDS and self._terms is not None and self._terms.watched(name):
            feed = feeds[name] = Feed(minute, minute)
            self._rhythms[name] = Rhythm()
            self._changed = True
        return feed

    def advance(self, until_ms: int) -> bool:
        """Go through the whole minutes before a time that the watermark has reached; False: cases are to be looked at first."""
        state, until = self.state, until_ms // MINUTE_MS
        if until <= state.minute or self._terms is None:
            return not state.due
        if not state.minute:
            state.minute = until
        while state.minute < until and state.feeds and not state.due:
            stop = min(until, (state.minute // QUARTER + 1) * QUARTER)
            for name in list(state.feeds):
                self._through(name, state.feeds[name], stop, self._terms)
            state.minute = stop
        if state.due:
            state.due.sort()
            return False
        state.minute = until
        return True

    def _through(self, name: str, feed: Feed, stop: int, terms: FeedTerms) -> None:
        if forgets(feed, stop):
            self._forget(name)
            return
        passage = Passage(name, feed, self._rhythms[name], terms)
        passage.through(self.state.minute, stop)
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

    def again_ms(self, name: str, now_ms: int) -> int:
        """When to look again at what waits for a feed that is not believed."""
        feed = self.state.feeds[name]
        return now_ms + (SUSPECTED_STEP_MS if feed.phase == Phase.OK else HELD_STEP_MS)

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
        """What the rhythms take in the changelog, at most."""
        return RHYTHM_BYTES * len(self.state.feeds)


encode_rhythms = msgspec.msgpack.Encoder().encode
decode_rhythms = msgspec.msgpack.Decoder(dict[str, Rhythm]).decode
