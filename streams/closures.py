"""Closures that carriers announce: hours inside them do not count for what waits for the carrier.

A clock that runs into a closure stands still until it ends, whether it counts hours or business days. So a deadline comes
later by the closed time that lies before it, and the closed time that this brings before it, too.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class Closed(NamedTuple):
    """A time in which the carrier does not work. `why`: the reason and where it was announced, for people."""

    from_ms: int
    until_ms: int
    why: str


def without_overlaps(closures: Iterable[Closed]) -> tuple[Closed, ...]:
    """By time; what several of them close is the first one's."""
    found: list[Closed] = []
    for closed in sorted(closures):
        from_ms = max(closed.from_ms, found[-1].until_ms if found else closed.from_ms)
        if from_ms < closed.until_ms:
            found.append(closed._replace(from_ms=from_ms))
    return tuple(found)


def closed_before(closures: Sequence[Closed], since_ms: int, due_ms: int) -> Iterator[Closed]:
    """The parts of closures by which the deadline `due_ms` of what began at `since_ms` comes later."""
    for closed in closures:
        from_ms = max(closed.from_ms, since_ms)
        if from_ms >= due_ms:
            return
        if from_ms < closed.until_ms:
            due_ms += closed.until_ms - from_ms
            yield closed._replace(from_ms=from_ms)


def closed_ms(closures: Sequence[Closed], from_ms: int, until_ms: int) -> int:
    """How much of a time is closed."""
    return sum(max(0, min(until_ms, closed.until_ms) - max(from_ms, closed.from_ms)) for closed in closures)
