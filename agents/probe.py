"""Looks at the log from outside the group: lag per partition, what holds the watermark, and whether we are stuck.

Liveness is progress: for a minute there was something to read on a partition that is ours, ready and not paused, and
its position did not move. Before that, it is read again from its position, once: a chunk that got lost between the
broker and a lane would never come by itself where nothing new follows.

A failing probe means that the broker is away; that is no reason to restart.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types.tuples import TP

from agents.health import Liveness, Readiness
from agents.metrics import Metrics

log = structlog.get_logger(__name__)

PROBE_SECONDS = 5.0
PROBE_TIMEOUT_SECONDS = 10.0


class StuckError(RuntimeError):
    """There was something to read for a minute and the position did not move."""


class ProbeHost(Protocol):
    """What the probe looks at."""

    metrics: Metrics

    def positions(self) -> Mapping[TP, tuple[int, int, bool]]:
        """Every partition open for work -> (position, work done at it, expected to move)."""

    async def read_again(self, tp: TP) -> None:
        """Go on reading a partition at its position."""

    def observe_stages(self) -> None:
        """Export what stages can tell of themselves: sizes, keys, what holds each watermark."""


class Probe:
    """A groupless, read-committed consumer that only ever asks for offsets."""

    def __init__(
        self, connection: Mapping[str, Any], host: ProbeHost, liveness: Liveness, readiness: Readiness
    ) -> None:
        self._consumer = AIOKafkaConsumer(
            **connection,
            client_id="returnwatch-lag",
            isolation_level="read_committed",
            request_timeout_ms=int(PROBE_TIMEOUT_SECONDS * 1000),
        )
        self._host = host
        self._liveness = liveness
        self._readiness = readiness
        self._watched: set[TP] = set()

    async def start(self) -> None:
        """Connect."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect; a groupless aiokafka consumer that stops may raise a CancelledError of its own making."""
        with suppress(asyncio.CancelledError):
            await self._consumer.stop()

    def forget_all(self) -> None:
        """A new assignment has begun."""
        for tp in self._watched:
            self._liveness.forget(tp.topic, tp.partition)
            self._host.metrics.forget_lag(tp.topic, tp.partition)
        self._watched.clear()
        self._readiness.waits_for("assignment", "partitions are being assigned and restored")

    async def run(self) -> None:
        """Look for ever, every few seconds."""
        while True:
            try:
                await self.look()
            except (KafkaError, TimeoutError, OSError) as error:
                self._liveness.probe_failed()
                log.warning("probe_failed", error=repr(error)[:200])
            for topic, partition in self._liveness.to_help():
                await self._host.read_again(TP(topic, partition))
            stuck = self._liveness.stuck()
            if stuck:
                raise StuckError(f"no progress although there is something to read: {stuck}")
            await asyncio.sleep(PROBE_SECONDS)

    async def look(self) -> None:
        """Compare positions with last stable offsets, once."""
        positions = self._host.positions()
        if positions:
            self._readiness.has("assignment")
            ends = await asyncio.wait_for(
                self._consumer.end_offsets([TopicPartition(*tp) for tp in positions]), PROBE_TIMEOUT_SECONDS
            )
            for tp, (position, work, moving) in positions.items():
                self._watched.add(tp)
                self._liveness.probed(tp.topic, tp.partition, position, ends[tp], expected=moving, work=work)
                self._host.metrics.lag_records.labels(tp.topic, str(tp.partition)).set(
                    max(0, ends[tp] - position)
                )
        self._host.observe_stages()
