"""A seeded world of returns: a shop's month, with its carriers, warehouses and everything that goes wrong there.

The same arguments give the same events, byte for byte. By default 5,000 requests come within 30 days; the world
goes on for 20 more, so that every deadline that matters plays out: 50 simulated days in all. It starts on
2026-03-16, so that a change to summer time, Easter and the first of May lie on the way.

With `feeds`, the feed of one carrier can be watched: its traffic is steady, and something is the matter with it now and then.
"""

import random
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

from simulation import faults, stories_outage
from simulation.carriers import LANES, Lane
from simulation.feed_story import FeedStory
from simulation.happenings import SimEvent, write_plain
from simulation.journey import Journey
from simulation.outgoing import kept_back, outgoing
from simulation.stories import STORIES
from simulation.story import Story

DEFAULT_START: Final = datetime(2026, 3, 16, 6, tzinfo=UTC)
TAIL: Final = timedelta(days=26)
"""How long the world goes on after the last request."""
AFTERWARDS: Final = timedelta(days=3)
"""So much longer a feed that is watched goes on: whoever looks at the end of the world must not find it silent."""

_STORY_BOUNDS: Final = list(accumulate(story.share for story in STORIES))
_GOLDEN: Final = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class Told:
    """What happened to one request: its story and the returns and parcels (carrier, number) in it."""

    story: Story
    return_ids: tuple[str, ...]
    parcels: tuple[tuple[str, str], ...]


class World:
    """The events of `returns` requests between `start_at` and `start_at + days`, and of all that follows from them."""

    def __init__(
        self,
        seed: int,
        returns: int = 5_000,
        start_at: datetime = DEFAULT_START,
        days: float = 30,
        *,
        feeds: bool = False,
        lanes: Sequence[tuple[float, Lane]] = LANES,
    ) -> None:
        """`lanes`: (share of the requests, lane)."""
        self.seed = seed
        self.returns = returns
        self.start_at = start_at.astimezone(UTC).replace(microsecond=0)
        self.last_request_at = self.start_at + timedelta(days=days)
        self.until_at = self.last_request_at + TAIL
        self._lanes = lanes
        self._lane_bounds = list(accumulate(share for share, _ in lanes))
        self.feed = FeedStory(returns / days, self.start_at, self.last_request_at) if feeds else None
        """What happens to the feed that is watched; None: none is."""
        self.afterwards: list[SimEvent] = []
        """What still comes of that feed when the world has ended."""
        self.told: list[Told] = []
        """What happened to each request."""
        self.dead_letters: Counter[str] = Counter()
        """How many records must be refused, by reason."""
        self.events = self._build()
        """Every record in the order in which it appears."""

    def stories(self) -> Counter[str]:
        """How often each story is told."""
        return Counter(told.story.name for told in self.told)

    def _build(self) -> list[SimEvent]:
        events: list[SimEvent] = []
        for serial in range(self.returns):
            # One generator per request: a longer world begins like a shorter one, and a story can be told alone.
            rng = random.Random(f"{self.seed}/{serial}")
            journey = self._play(serial, rng)
            events.extend(faults.write(journey.drafts, rng))
        if self.feed is not None:
            for number in range(stories_outage.how_many(self.returns)):
                events.extend(self._meanwhile(number, self.feed))
        rng = random.Random(f"{self.seed}/strays")
        strays = faults.strays(
            round(self.returns * faults.STRAYS), rng, self.start_at, self.until_at, self._lanes
        )
        events.extend(write_plain(draft) for draft in strays)
        bad = max(8, round(self.returns * faults.MALFORMED))
        for reason, event in faults.malformed(bad, rng, self.start_at, self.until_at):
            self.dead_letters[reason] += 1
            events.append(event)
        if self.feed is not None:
            events = self._with_traffic(events, self.feed)
        events.sort(key=lambda event: (event.appears_at, event.value))
        in_time = [event for event in events if event.appears_at <= self.until_at]
        self.afterwards = events[len(in_time) :] if self.feed is not None else []
        return in_time

    def _meanwhile(self, number: int, feed: FeedStory) -> Iterator[SimEvent]:
        """The events of a request beside the others, which is due while the feed is silent."""
        serial = self.returns + number
        rng = random.Random(f"{self.seed}/{serial}/outage")

        def requested(at: datetime) -> Journey:
            return Journey(rng, serial, self._lane(rng), at, self.until_at, self._lanes)

        journey, story = stories_outage.begin(number, feed, requested)
        self._note(journey, story)
        return faults.write(journey.drafts, rng)

    def _with_traffic(self, events: list[SimEvent], feed: FeedStory) -> list[SimEvent]:
        """The events, and those of the parcels that the shop sends out."""
        until_at = self.until_at + AFTERWARDS
        events = [event for event in events if event.appears_at <= until_at]
        rng = random.Random(f"{self.seed}/outgoing")
        traffic = list(outgoing(events, feed, rng, self.start_at, until_at))
        return [*kept_back(events, feed), *traffic]

    def _play(self, serial: int, rng: random.Random) -> Journey:
        span = int((self.last_request_at - self.start_at).total_seconds())
        requested = self.start_at + timedelta(seconds=int(span * (serial + rng.random()) / self.returns))
        story = self._story(serial)
        journey = Journey(rng, serial, self._lane(rng), requested, self.until_at, self._lanes)
        story.play(journey)
        self._note(journey, story)
        return journey

    def _note(self, journey: Journey, story: Story) -> None:
        parcels = tuple((parcel.lane.carrier.name, parcel.number) for parcel in journey.parcels)
        self.told.append(Told(story, tuple(journey.return_ids), parcels))

    def _story(self, serial: int) -> Story:
        """Steps of the golden ratio spread the requests over the stories more evenly than chance would."""
        at = (random.Random(f"{self.seed}/stories").random() + serial * _GOLDEN) % 1 * _STORY_BOUNDS[-1]
        return STORIES[min(bisect(_STORY_BOUNDS, at), len(STORIES) - 1)]

    def _lane(self, rng: random.Random) -> Lane:
        return self._lanes[min(bisect(self._lane_bounds, rng.random()), len(self._lanes) - 1)][1]
