"""What the log of a stage tells of when the watched feed's events came: read from its marks, as anybody may.

A mark tells what came of a partition since the mark before it. Of a time in which something came, and which is long, nobody knows
when in it that was; of a time of which a mark does not tell all, nobody knows whether something came.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.facts import Mark

FINE: Final = timedelta(minutes=14)
"""Feeds are reckoned in quarters of an hour (docs/adr/0011): marks that lie so close tell in which one things came."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class MarksSeen:
    """The marks of some topics, in the order of one partition's log."""

    def __init__(self, topics: Iterable[str], feed: str) -> None:
        self._topics, self._feed = frozenset(topics), feed
        self._through: dict[tuple[str, int], datetime] = {}
        self._offsets: dict[tuple[str, int], int] = {}
        self.blurred: list[tuple[datetime, datetime]] = []
        """Times, from and to, of which it is not known what came when."""
        self.told = 0
        """Arrivals of the feed, in all."""

    @property
    def sources(self) -> int:
        """How many partitions have a mark."""
        return len(self._through)

    def add(self, marks: Iterable[Mark]) -> None:
        """Take in the marks of a record."""
        for mark in marks:
            if mark.topic in self._topics:
                self._add(mark)

    def _add(self, mark: Mark) -> None:
        source = (mark.topic, mark.partition)
        through_at = _EPOCH + mark.through_ms * _MILLISECOND
        since_at = self._through.get(source)
        if since_at is not None and through_at <= since_at:
            return
        came = mark.arrivals.get(self._feed, 0)
        self.told += came if isinstance(came, int) else came.count
        if since_at is None:
            self._through[source], self._offsets[source] = through_at, mark.next_offset
            return
        coarse = through_at - since_at > FINE and self._feed in mark.arrivals
        if coarse or mark.first_offset > self._offsets[source]:
            self.blurred.append((since_at, through_at))
        self._through[source], self._offsets[source] = through_at, mark.next_offset
