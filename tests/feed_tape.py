"""Feeds of one partition, played minute by minute: what comes of them, by a weekly rhythm that the test gives."""

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from schemas.facts import Arrivals, Mark
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from streams.feed_state import Feed, Phase, Spell
from streams.feed_terms import FeedTerms
from streams.feeds import Feeds
from streams.watermark import Position, decode_position, encode_position
from tests.outage_world import DAY, HOUR, MINUTE, MONDAY, rate

WEEK = 7 * DAY
FOURTH_MONDAY = MONDAY + 3 * WEEK
WEDNESDAY_NOON = FOURTH_MONDAY + 2 * DAY + 12 * HOUR

Came = Callable[[int], int | Arrivals]
"""What comes in the minute that begins at a time."""


def terms(**feeds: Any) -> FeedTerms:
    numbers = default_policy().model_dump(mode="json")
    return FeedTerms(
        Policy.model_validate({**numbers, "feeds": {**numbers["feeds"], "watched": True, **feeds}})
    )


def busy(per_hour: int, seed: int = 1) -> Came:
    """So much at its busiest, by the rhythm of a carrier's week; drawn, and the same each time."""
    draw = Random(seed)

    def came(at_ms: int) -> int:
        wanted = per_hour * rate(at_ms) / 100 / 60
        return int(wanted) + (draw.random() < wanted % 1)

    return came


def but(came: Came, *quiet: tuple[int, int]) -> Came:
    """The same, with nothing at all between some times."""
    return lambda at_ms: 0 if any(begin <= at_ms < end for begin, end in quiet) else came(at_ms)


class Tape:
    """See the head of this file. Time begins on a Monday."""

    def __init__(self, policy: FeedTerms | None = None, *, begin_ms: int = MONDAY, **came: Came) -> None:
        self.came = came
        self.policy = policy or terms()
        self.position = Position()
        self.feeds = Feeds(self.position.feeds, None)
        self.feeds.adopt(self.policy)
        self.now_ms = begin_ms
        self.heard = False
        self.rhythms: bytes | None = None
        self.looked: list[tuple[int, str]] = []
        """(time, feed) at which cases were to be looked at."""

    def until(self, to_ms: int, *, marked: bool = True) -> "Tape":
        """Play on, a mark a minute. Not `marked`: we are down, and what comes is told by the first mark afterwards."""
        step = MINUTE if marked else to_ms - self.now_ms
        while self.now_ms < to_ms:
            for at_ms in range(self.now_ms + step, min(self.now_ms + 2 * HOUR, to_ms) + 1, step):
                self.fold(at_ms)
            if not marked:
                self.fold(to_ms)
            self.advance(self.now_ms)
        return self

    def markers(self, times: Iterable[int]) -> None:
        """Play on with a marker at each of these times, and the watermark after each."""
        for at_ms in times:
            self.fold(at_ms)
            self.advance(at_ms)

    def fold(self, at_ms: int) -> None:
        """One marker, of all that came since the one before; the watermark stays."""
        arrivals: dict[str, int | Arrivals] = {}
        for name, came in self.came.items():
            told = [came(minute) for minute in range(self.now_ms, at_ms, MINUTE)]
            if len(told) == 1:
                arrivals[name] = told[0]
            else:
                arrivals[name] = together = Arrivals()
                for more in told:
                    together.add(Arrivals(more) if isinstance(more, int) else more)
        mark = Mark("scans", 0, at_ms, arrivals)
        self.feeds.fold(mark, self.now_ms if self.heard else 0)
        self.now_ms, self.heard = at_ms, True

    def advance(self, at_ms: int) -> None:
        """The watermark reaches a time."""
        while not self.feeds.advance(at_ms):
            self.looked += [(minute * MINUTE, name) for minute, name in self.feeds.state.due]
            self.feeds.state.due.clear()

    def restart(self) -> None:
        """As after a crash: what the changelog has is all that is left."""
        self.rhythms = self.feeds.take_rhythms() or self.rhythms
        self.position = decode_position(encode_position(self.position))
        self.feeds = Feeds(self.position.feeds, self.rhythms)
        self.feeds.adopt(self.policy)

    def feed(self, name: str = "ups") -> Feed:
        return self.feeds.by_name[name]

    def is_silent(self, name: str = "ups") -> bool:
        return self.feed(name).phase == Phase.SILENT

    def believed(self, name: str = "ups") -> int:
        return self.feeds.believed_ms(name, self.now_ms)

    def spell(self, rule: str = "feed_silent", name: str = "ups") -> Spell | None:
        return self.feed(name).spells.get(rule)


def learned(came: Came, policy: dict[str, object] | None = None) -> Tape:
    """Three weeks of a feed."""
    return Tape(terms(**(policy or {})), ups=came).until(FOURTH_MONDAY)


def never_silent(tape: Tape) -> bool:
    return tape.looked == []


__all__ = ["DAY", "HOUR", "MINUTE", "MONDAY", "Tape", "busy", "but", "terms"]
