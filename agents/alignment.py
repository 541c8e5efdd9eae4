"""Lets the input partitions of a worker go on together in time; streams/alignment.py says why.

A partition is never held for long: one that has nothing to offer is waited for GRACE_SECONDS and then left behind, and one that
is ahead of all others gets a few records through every PATIENCE_SECONDS, whatever the times in its records say.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from time import monotonic
from typing import Any, Protocol

from faust.types.tuples import TP

from agents.transport import Chunk
from streams.alignment import Waiting, never_falling, next_slice

ABOUT_RECORDS = 4_000
"""Records of one slice: enough for large batches to the broker, few enough to be in order across partitions."""
LARGE_CHUNK_RECORDS = 500
"""Who sent so many at once has probably more."""
GRACE_SECONDS = 0.1
PATIENCE_SECONDS = 5.0
PATIENCE_RECORDS = 64

Part = tuple[TP, Sequence[Any], int]
"""(partition, records, offset behind them)."""


class Forward(Protocol):
    """What is done with a slice."""

    def __call__(self, parts: list[Part]) -> Awaitable[None]:
        """Forward all of it; returns when it is acknowledged."""
        ...


@dataclass(slots=True)
class _Offer:
    """A chunk that waits, and how far it was taken."""

    chunk: Chunk
    times_ms: list[int]
    more_follow: bool
    done: asyncio.Future[None]
    at: int = 0
    taken_at: float = field(default_factory=monotonic)

    def take(self, count: int) -> Sequence[Any]:
        """Take the next records."""
        start, self.at, self.taken_at = self.at, self.at + count, monotonic()
        return self.chunk[start : self.at]

    @property
    def next_offset(self) -> int:
        """Everything below has been taken."""
        chunk = self.chunk
        return chunk.next if self.at == len(chunk) else int(chunk[self.at].offset)


class Alignment:
    """One task that takes slices of what all partitions offer, in order of time, and forwards them."""

    def __init__(self, order: Callable[[TP], int], forward: Forward) -> None:
        """Make it.

        Args:
            order: of two partitions' records with about the same time, those with the lower number go first.
            forward: what is done with a slice; never called twice at a time.
        """
        self._order, self._forward = order, forward
        self._offers: dict[TP, _Offer] = {}
        self._expected: dict[TP, float] = {}
        """Partition that has more to offer soon -> until when it is waited for."""
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def expect(self, tp: TP) -> None:
        """Say that the partition will offer more in a moment."""
        if tp not in self._offers:
            self._expected[tp] = monotonic() + GRACE_SECONDS

    async def pass_on(self, tp: TP, chunk: Chunk, *, more_follow: bool) -> None:
        """Return when all records of the chunk were forwarded and acknowledged; raises what forwarding them raised."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="alignment")
        times_ms = never_falling(map(attrgetter("timestamp"), chunk))
        more_follow |= len(chunk) >= LARGE_CHUNK_RECORDS
        offer = self._offers[tp] = _Offer(chunk, times_ms, more_follow, asyncio.Future())
        self._expected.pop(tp, None)
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
            await self._gather()
            slices = self._slices()
            try:
                await self._forward(self._parts(slices))
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends those who wait for it
                self._fail(error)
            self._let_go()

    async def _gather(self) -> None:
        """Wait until there is something to take, and nobody is expected any more."""
        while True:
            now = monotonic()
            self._expected = {tp: until for tp, until in self._expected.items() if until > now}
            if self._offers and not self._expected:
                return
            self._changed.clear()
            wait = min(self._expected.values()) - now if self._offers else None
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    def _slices(self) -> list[tuple[TP, _Offer, int]]:
        offers = sorted(self._offers.items(), key=lambda one: self._order(one[0]))
        counts = next_slice(
            [Waiting(offer.times_ms, offer.at, offer.more_follow) for _, offer in offers], ABOUT_RECORDS
        )
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
                if offer.more_follow:
                    self.expect(tp)

    def _fail(self, error: Exception) -> None:
        for offer in self._offers.values():
            if not offer.done.done():
                offer.done.set_exception(error)
        self._offers.clear()
