"""When things came: a mark for each step of append time in which something did, as if marks had been made all the time.

Where marks lie far apart, after our own downtime above all, one mark would tell that something came since the one before, and
not when: the rhythm of those hours would be lost, and a feed that died meanwhile would be believed alive. Where the broker stamps
append times, each record tells its own.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from schemas.facts import Arrivals, Mark
from streams.feed_terms import MINUTE_MS

STEP_MS = 5 * MINUTE_MS
"""Of append time. Feeds are reckoned in quarters of an hour: what lies as close as this is told as finely as can be used."""
WHEN_UNKNOWN = -1
"""The step of what came before all others, and nobody knows when: no append time was stamped, or it is too long ago."""
MOST_STEPS = 288
"""The latest day of them, for each partition. Of what came before it is only kept that it came."""

Came = Mapping[int, Mapping[str, Arrivals]]
"""Step -> feed -> what came of it."""


class Told(NamedTuple):
    """What is told of the records of a partition from one offset until before another."""

    came: Came
    first_offset: int = 0
    next_offset: int = 0


class Span(NamedTuple):
    """Of which time marks tell: from the mark before (0: nobody knows), until this."""

    before_ms: int
    through_ms: int


def add_to(steps: dict[int, dict[str, Arrivals]], step: int, came: Mapping[str, Arrivals]) -> None:
    """Take in what came after everything that `steps` tell of, or in their last step."""
    if step == WHEN_UNKNOWN:
        forget_when(steps)
    _merge(steps, step, came)
    forget_when(steps, keep=MOST_STEPS)


def add_before(steps: dict[int, dict[str, Arrivals]], earlier: Came) -> None:
    """Take in what came before everything that `steps` tell of."""
    when = WHEN_UNKNOWN if WHEN_UNKNOWN in steps else None
    for step, came in earlier.items():
        _merge(steps, step if when is None else when, came)
    forget_when(steps, keep=MOST_STEPS)


def forget_when(steps: dict[int, dict[str, Arrivals]], keep: int = 0) -> None:
    """Of all but the latest steps it is only kept that something came."""
    if len(steps) <= keep:
        return
    known = sorted(step for step in steps if step != WHEN_UNKNOWN)
    for step in known[: max(0, len(known) - keep)]:
        _merge(steps, WHEN_UNKNOWN, steps.pop(step))


def _merge(steps: dict[int, dict[str, Arrivals]], step: int, came: Mapping[str, Arrivals]) -> None:
    feeds = steps.setdefault(step, {})
    for feed, more in came.items():
        feeds.setdefault(feed, Arrivals()).add(more)


def marks_of(topic: str, partition: int, span: Span, told: Told, step_ms: int = STEP_MS) -> Iterator[Mark]:
    """Marks of one partition, in order of time, the last one through the end of the span; at least one.

    All of them name the same offsets: what a mark before these did not tell of came before the first step.
    """
    before_ms, through_ms = span
    steps = _within(span, told.came, step_ms)
    offsets = told.first_offset, told.next_offset
    when_unknown = _told(steps.pop(WHEN_UNKNOWN, {}))
    for step in sorted(steps):
        begin_ms, end_ms = step * step_ms, min((step + 1) * step_ms, through_ms)
        if begin_ms > before_ms:
            yield Mark(topic, partition, begin_ms, when_unknown, *offsets)
            when_unknown = {}
        yield Mark(topic, partition, end_ms, _told(steps[step]), *offsets)
        before_ms = end_ms
    if before_ms < through_ms or not steps:
        yield Mark(topic, partition, through_ms, when_unknown, *offsets)


def _within(span: Span, came: Came, step_ms: int) -> dict[int, dict[str, Arrivals]]:
    """What came, by steps of the span: clocks of brokers differ a little."""
    first, last = span.before_ms // step_ms, max(span.before_ms, span.through_ms - 1) // step_ms
    steps: dict[int, dict[str, Arrivals]] = {}
    for step, feeds in came.items():
        if step != WHEN_UNKNOWN:
            _merge(steps, min(max(step, first), last), feeds)
    if WHEN_UNKNOWN in came:
        known = min(steps, default=last)
        # It came before everything else: where that began with the span, in the same step.
        at_once = known in steps and known * step_ms <= span.before_ms
        _merge(steps, known if at_once else WHEN_UNKNOWN, came[WHEN_UNKNOWN])
    return steps


def _told(feeds: Mapping[str, Arrivals]) -> dict[str, int | Arrivals]:
    return {feed: came.told() for feed, came in feeds.items()}
