"""A worker as a process of its own, with what its plan (tests/chaos/plan.py) wants built in.

The product's code runs unchanged; delays and stops come through the engine's checkpoints and through classes that take
the place of the engine's parts. A planted mistake is one that a careful person could make.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types.tuples import TP

from agents import engine as engine_module
from agents import markers as markers_module
from agents import worker as worker_module
from agents.fencing import send_grouped
from agents.intake import IntakeStage
from agents.lanes import Done
from agents.log_clock import LogClock
from agents.logging_setup import configure_logging
from agents.markers import MarkerPlan, Markers, Progress
from agents.settings import Settings
from agents.stage import Owned, Stage
from agents.transport import Chunk, ChunkConsumer
from streams.partition import Batch, Partition
from tests.chaos.plan import PLAN_VARIABLE, Plan, Stop

HOUR_MS = 3_600_000
ASKED_TOO_EARLY_S = 0.4
CACHED_S = 1.0

plan = msgspec.json.decode(os.environ[PLAN_VARIABLE], type=Plan)
rnd = random.Random(plan.seed)
in_hand: ContextVar[tuple[str, Batch] | None] = ContextVar("in_hand", default=None)
"""Stage and batch that the running task is about to commit."""
fetched: dict[TP, int] = {}
"""Ends of the chunks that intake was handed."""
lost: list[Chunk] = []
"""Chunks that it was not."""


async def delay(longest_s: float = plan.longest_delay_s) -> None:
    """Sleep for a while, often not at all."""
    if longest_s and rnd.random() < 0.5:
        await asyncio.sleep(rnd.random() ** 2 * longest_s)


async def checkpoint(step: str, _partition: int) -> None:
    """Stop here if the plan says so, else delay."""
    if plan.stop is not None and _is_here(plan.stop, step):
        sys.stdout.flush()
        if plan.stop.action == "exit":
            os._exit(9)
        os.kill(os.getpid(), signal.SIGSTOP)
    await delay()


def _is_here(stop: Stop, step: str) -> bool:
    held = in_hand.get()
    if held is None or (stop.stage, stop.step) != (held[0], step):
        return False
    return any(message.topic == stop.says for message in held[1].outgoing)


class WatchedStage(Stage):
    """Tells the checkpoints which batch they are in."""

    async def _commit(self, owned: Owned, engine: Partition, batch: Batch) -> None:
        token = in_hand.set((self.topics.name, batch))
        try:
            await super()._commit(owned, engine, batch)
        finally:
            in_hand.reset(token)


class DelayedProbe:
    """The markers' probe, with delays around its questions and, if planned, wrong answers."""

    def __init__(self, probe: AIOKafkaConsumer, mistake: str) -> None:
        self._probe = probe
        self._mistake = mistake
        self._known: dict[TopicPartition, int] = {}
        self._asked_at = 0.0
        self._counts: dict[str, set[int]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._probe, name)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await delay(plan.longest_marker_delay_s)
        if self._must_ask(partitions):
            await self.ask(partitions)
        await delay(plan.longest_marker_delay_s)
        return {tp: self._known[tp] for tp in partitions}

    def _must_ask(self, partitions: Sequence[TopicPartition]) -> bool:
        if not self._known.keys() >= set(partitions):
            return True
        if self._mistake == "cached_high_watermark":
            return time.monotonic() - self._asked_at > CACHED_S
        return self._mistake != "ends_before_heartbeat"

    async def ask(self, partitions: Sequence[TopicPartition]) -> None:
        self._asked_at = time.monotonic()
        self._known.update(await self._probe.end_offsets(list(partitions)))

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        found: set[int] | None = self._probe.partitions_for_topic(topic)
        if self._mistake == "frozen_roster" and found:
            return self._counts.setdefault(topic, found)
        return found


class HastyEngine(engine_module.Engine):
    """The group's commits move on while it asks where to begin."""

    async def _begin_at(self, owned: list[TP]) -> dict[TP, int]:
        committed = await super()._begin_at(owned)
        return {tp: max(0, offset - plan.begins_before) for tp, offset in committed.items()}


class HastyConsumer(ChunkConsumer):
    """Whatever it reads between its seek and the resuming of the flow is still in a queue then."""

    async def perform_seek(self) -> None:
        await super().perform_seek()
        if plan.resumes_late:
            await asyncio.sleep(2.0)

    async def _deliver(self, tp: TP, chunk: Chunk, generation: int) -> None:
        recovered: asyncio.Event = self.app.tables.recovery.completed
        if recovered.is_set() or not plan.resumes_late:
            await super()._deliver(tp, chunk, generation)


class FetchedProgress:
    """Takes what has been fetched for what has been forwarded and acknowledged."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __getattr__(self, name: str) -> Any:
        return getattr(self._progress, name)

    def at(self, tp: TP) -> int:
        return max(self._progress.at(tp), fetched.get(tp, 0))


class DelayedMarkers(Markers):
    """Markers whose every step takes its time."""

    def __init__(self, connection: Any, marker_plan: MarkerPlan, host: Any) -> None:
        super().__init__(connection, marker_plan, host)
        if plan.mistake == "fetch_position":
            self._progress: Any = FetchedProgress(self._progress)
        probe = self._probe
        if plan.mistake == "last_stable_offset":
            probe = AIOKafkaConsumer(**connection, client_id="planted", isolation_level="read_committed")
        self._probe: Any = DelayedProbe(probe, plan.mistake)

    async def start(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, show_tasks)
        await super().start()

    async def beat(self) -> None:
        if plan.mistake == "ends_before_heartbeat":
            await self._probe.ask([TopicPartition(*tp) for tp in self._host.open_inputs()])
            await asyncio.sleep(ASKED_TOO_EARLY_S)
        await delay(plan.longest_marker_delay_s)
        await super().beat()


class DelayedIntake(IntakeStage):
    """Intake whose every chunk takes its time."""

    def accept(self, tp: TP, chunk: Chunk, done: Done) -> None:
        fetched[tp] = chunk.next
        if "labels" in tp.topic and len(lost) < plan.loses_chunks and len(chunk):
            lost.append(chunk)
            return
        super().accept(tp, chunk, done)

    async def _forward(self, tp: TP, chunk: Chunk) -> None:
        await delay()
        await super()._forward(tp, chunk)
        await delay()


async def send_slowly(*arguments: Any) -> None:
    """Take the place of agents.fencing.send_grouped in agents.markers."""
    await delay(plan.longest_marker_delay_s)
    await send_grouped(*arguments)
    await delay(plan.longest_marker_delay_s)


class LyingBrokerClock(LogClock):
    """The log's clock of a broker that is an hour ahead while the plan's file exists."""

    def heartbeat(self, append_ms: int, sent_at: float) -> bool:
        ahead_ms = HOUR_MS if Path(plan.broker_ahead_file).exists() else 0
        return super().heartbeat(append_ms + ahead_ms, sent_at)


def show_tasks() -> None:
    """Tell where every task stands, for a failure's message."""
    for task in asyncio.all_tasks():
        task.print_stack(limit=6, file=sys.stderr)
    sys.stderr.flush()


def main() -> None:
    """Run the worker; its settings come from the environment as in production."""
    settings = Settings()
    configure_logging("json", "info")
    parts: Any = engine_module
    parts.Stage, parts.Markers, parts.IntakeStage = WatchedStage, DelayedMarkers, DelayedIntake
    markers: Any = markers_module
    markers.send_grouped = send_slowly
    worker: Any = worker_module
    worker.Engine = HastyEngine
    worker.ChunkTransport.Consumer = HastyConsumer
    if plan.broker_ahead_file:
        worker.LogClock = LyingBrokerClock
    sys.exit(worker_module.run(settings, checkpoint))


if __name__ == "__main__":
    main()
