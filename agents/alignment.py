"""Lets the input partitions of a worker go on together in time; streams/alignment.py says why.

Nobody is held for long: a partition that has records which do not come (they may lie behind an open transaction) is waited for
GRACE_SECONDS and then left behind, and one that is ahead of all others gets a few records through every PATIENCE_SECONDS,
whatever the times in its records say.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from time import monotonic
from typing import Any, Protocol

from faust.types.tuples import TP

from agents.transport import Chunk
from streams.alignment import Waiting, never_falling, next_slice

ABOUT_RECORDS = 8_000
"""Records of one slice: enough for large batches to the broker, few enough to be in order across partitions."""
GRACE_SECONDS = 0.25
HURRY_SECONDS = 1.0
"""After somebody was waited for in vain nobody is waited for, so that many who are silent do not add up (at a stop, all are)."""
START_SECONDS = 0.5
"""After an assignment the first records of many partitions have to come."""
PATIENCE_SECONDS = 5.0
PATIENCE_RECORDS = 64

Part = tuple[TP, Sequence[Any], int]
"""(partition, records, offset behind them)."""


class AlignmentHost(Protocol):
    """What is known about partitions, and what is done with their records."""

    def place(self, tp: TP) -> int:
        """Of two partitions' records with about the same time, those with the lower place go first."""
        ...

    def unread(self, tp: TP, offset: int) -> bool:
        """Whether the partition has records at or behind an offset, as far as it is known."""
        ...

    def behind(self) -> Collection[TP]:
        """Partitions that have records which were not forwarded yet, as far as it is known."""
        ...

    async def forward(self, parts: list[Part]) -> None:
        """Forward a slice; returns when it is acknowledged. Never called twice at a time."""
        ...


@dataclass(slots=True)
class _Offer:
    """A chunk that waits, and how far it was taken."""

    chunk: Chunk
    times_ms: list[int]
    done: asyncio.Future[None]
    at: int = 0
    taken_at: float = field(default_factory=monotonic)

    def take(self, count: int) -> Sequence[Any]:
        """Take the next records, `count` or as many as there are."""
        start, self.at = self.at, min(self.at + count, len(self.chunk))
        self.taken_at = monotonic()
        return self.chunk[start : self.at]

    @property
    def next_offset(self) -> int:
        """Everything below has been taken."""
        chunk = self.chunk
        return chunk.next if self.at == len(chunk) else int(chunk[self.at].offset)


class Alignment:
    """One task that takes slices of what all partitions offer, in order of time, and forwards them."""

    def __init__(self, host: AlignmentHost) -> None:
        self._host = host
        self._offers: dict[TP, _Offer] = {}
        self._missed: dict[TP, float] = {}
        """Partition that is behind and offers nothing -> until when it is waited for."""
        self._began_at = self._hurry_until = 0.0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Say that a new assignment has begun."""
        self._began_at = monotonic()
        self._missed.clear()

    async def pass_on(self, tp: TP, chunk: Chunk) -> None:
        """Return when all records of the chunk were forwarded and acknowledged; raises what forwarding them raised."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="alignment")
        times_ms = never_falling(map(attrgetter("timestamp"), chunk))
        offer = self._offers[tp] = _Offer(chunk, times_ms, asyncio.Future())
        self._missed.pop(tp, None)
        self._changed.set()
        try:
            await offer.done
        finally:
            if self._offers.get(tp) is offer:
                del self._offers[tp]

    async def close(self) -> None:
        """Stop; what is being forwarded is cut off."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._gather()
                parts = self._parts(self._slices())
                if parts:
                    await self._host.forward(parts)
                else:  # all that is left was called off, and goes when its lane has its turn
                    await asyncio.sleep(0)
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends those who wait for it
                self._fail(error)
            self._let_go()

    async def _gather(self) -> None:
        """Wait until there is something to take, and nobody who is behind is waited for any more."""
        while True:
            wait = self._wait_seconds() if self._offers else None
            if wait is not None and wait <= 0:
                return
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                self._hurry_until = monotonic() + HURRY_SECONDS

    def _wait_seconds(self) -> float:
        now = monotonic()
        if now < self._hurry_until:
            return 0.0
        until = max(now + GRACE_SECONDS, self._began_at + START_SECONDS)
        missing = [tp for tp in self._host.behind() if tp not in self._offers]
        return max((self._missed.setdefault(tp, until) - now for tp in missing), default=0.0)

    def _slices(self) -> list[tuple[TP, _Offer, int]]:
        offers = sorted(self._offers.items(), key=lambda one: self._host.place(one[0]))
        waiting = [
            Waiting(offer.times_ms, offer.at, self._host.unread(tp, offer.chunk.next)) for tp, offer in offers
        ]
        counts = next_slice(waiting, ABOUT_RECORDS)
        impatient = monotonic() - PATIENCE_SECONDS
        return [
            (tp, offer, count or (PATIENCE_RECORDS if offer.taken_at < impatient else 0))
            for (tp, offer), count in zip(offers, counts, strict=True)
        ]

    @staticmethod
    def _parts(slices: list[tuple[TP, _Offer, int]]) -> list[Part]:
        return [
            (tp, records, offer.next_offset)
            for tp, offer, count in slices
            if count and (records := offer.take(count))
        ]

    def _let_go(self) -> None:
        """Tell those whose chunk is through."""
        for tp, offer in list(self._offers.items()):
            if offer.at >= len(offer.chunk) and not offer.done.done():
                offer.done.set_result(None)
                del self._offers[tp]

    def _fail(self, error: Exception) -> None:
        for offer in self._offers.values():
            if not offer.done.done():
                offer.done.set_exception(error)
        self._offers.clear()
