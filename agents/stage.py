"""A stateful stage (`parcels` or `returns`): the I/O around `streams.partition.Partition`.

One task per owned partition; everything that touches a partition goes through its queue or its lock, so there are
no races inside one. The order of effects for each batch (docs/adr/0004): changelog batch acknowledged, then outbox
said, then local store written, then the chunk is done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.types.tuples import TP

from agents.disk_room import DiskRoom, says_full
from agents.errors import UnreadableStateError
from agents.fencing import NO_HEADERS, FencedProducer, Message
from agents.lanes import Done, Flow, Lane
from agents.metrics import Metrics
from agents.positions import newer_state
from agents.store import PartitionStore, SharedMemory
from agents.transport import Chunk
from schemas.facts import MARKER_KEY
from streams.cells import Cell, CellName, cells_prefix, decode_cell, name_of_cell
from streams.keys import partition_of
from streams.partition import (
    POLICY_STATE_KEY,
    POSITION_KEY,
    RHYTHMS_STATE_KEY,
    Batch,
    Logic,
    Outgoing,
    Partition,
)
from streams.state_version import NewerStateError

if TYPE_CHECKING:  # its packages are an extra
    from agents.tracing import Tracer

log = structlog.get_logger(__name__)

CELLS_PAGE = 1_000
TAKE_OVER_AGAIN_SECONDS = 24 * 3600.0
"""The coordinator forgets an id without news after 7 days, and then fences nobody."""


@dataclass(frozen=True)
class StageTopics:
    """Names and partition counts that a stage reads and writes."""

    name: str
    """"parcels" or "returns": the label in metrics and logs."""
    input: str
    changelog: str
    outputs: Mapping[str, tuple[str, int]]
    """Name in `Outgoing.topic` -> (topic, partition count)."""
    markers_to: tuple[str, int] | None
    """Topic and partition count that the stage passes its watermark on to."""
    sources: tuple[str, ...]
    """Topics that must be in the roster before the watermark may move."""


@dataclass
class StageHost:
    """What a stage needs from the worker."""

    connection: Mapping[str, Any]
    transactional_prefix: str
    data_dir: Path
    memory: SharedMemory
    metrics: Metrics
    coordinator: Callable[[], AIOKafkaProducer]
    flow: Flow
    on_said: Callable[[str, Batch], None]
    """Called with the stage's name after a batch's outbox was acknowledged."""
    first_offset: Callable[[TP], Awaitable[int]]
    """Where the log of a partition begins now."""
    checkpoint: Callable[[str, int], Awaitable[None]]
    """Awaited between the steps of the order of effects: (step, partition). Tests stop the process there."""
    room: DiskRoom
    secret: bytes = b""
    """For the hidden names of what is forgotten (streams/forgetting.py)."""
    tracer: "Tracer | None" = None


@dataclass
class Owned:
    """One partition that this worker owns, or is about to."""

    number: int
    producer: FencedProducer
    store: PartitionStore
    taken_offset: int | None = None
    taken_at: float = 0.0
    ready: bool = False
    engine: Partition | None = None
    repeat_due: bool = False
    batches: int = 0
    """Batches written: progress that liveness sees also within one long marker or sweep."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    lane: Lane | None = None


class Stage:
    """All owned partitions of one stateful stage."""

    def __init__(self, topics: StageTopics, new_logic: Callable[[], Logic], host: StageHost) -> None:
        self.topics = topics
        self._new_logic = new_logic
        self._logic = new_logic()
        self._host = host
        self._owned: dict[int, Owned] = {}

    # -- ownership -------------------------------------------------------------------------------------------

    def assignment_changed(self) -> None:
        """Close every partition for work until it has been taken over and restored again."""
        for owned in self._owned.values():
            owned.ready = False

    async def take_over(self, partitions: set[int]) -> None:
        """Own exactly these partitions: fence former owners, let go of the others."""
        for number in [n for n in self._owned if n not in partitions]:
            await self._release(self._owned.pop(number))
        await asyncio.gather(*(self._take_over(number) for number in sorted(partitions)))

    async def _take_over(self, number: int) -> None:
        owned = self._owned.get(number)
        if owned is None:
            owned = self._owned[number] = await self._new_owned(number)
        async with owned.lock:
            owned.ready = False
            await self._fence(owned)
        if owned.lane is None:
            tp = TP(self.topics.input, number)
            owned.lane = Lane(tp, partial(self._handle_chunk, owned), self._host.flow)

    async def _fence(self, owned: Owned) -> None:
        coordinator = self._host.coordinator()
        owned.taken_offset = await owned.producer.take_over(coordinator, self.topics.changelog, owned.number)
        owned.taken_at = monotonic()
        self._host.metrics.takeovers.inc()
        if owned.store.changelog_offset >= owned.taken_offset:
            log.warning("local_store_stale", stage=self.topics.name, partition=owned.number)
            self._host.metrics.state_corruption.inc()
            owned.store.wipe()

    async def _new_owned(self, number: int) -> Owned:
        store = await self._opened(self._host.data_dir / f"{self.topics.name}-{number}")
        producer_id = f"{self._host.transactional_prefix}-{self.topics.name}-{number}"
        return Owned(number, FencedProducer(self._host.connection, producer_id), store)

    async def _opened(self, path: Path) -> PartitionStore:
        """A store, when there is room to open it."""
        metrics, room = self._host.metrics, self._host.room
        await room.wait()
        while True:
            try:
                return PartitionStore(path, self._host.memory, lambda _reason: metrics.state_corruption.inc())
            except Exception as error:
                if not says_full(error):
                    raise
                await room.refused(error)

    async def _release(self, owned: Owned) -> None:
        if owned.lane is not None:
            await owned.lane.close()
        async with owned.lock:
            await owned.producer.stop()
            owned.store.close()
        self._host.metrics.forget_partition(self.topics.name, owned.number)

    async def close(self) -> None:
        """Let go of everything (orderly stop)."""
        await self.take_over(set())

    # -- recovery --------------------------------------------------------------------------------------------

    def restored_offset(self, number: int) -> int | None:
        """Last changelog offset in the local store; None when it holds nothing or is not open."""
        owned = self._owned.get(number)
        return None if owned is None or owned.store.changelog_offset < 0 else owned.store.changelog_offset

    def is_restored(self, number: int) -> bool:
        """The take-over record of this assignment has come back out of the changelog."""
        owned = self._owned.get(number)
        if owned is None or owned.taken_offset is None:
            return False
        return owned.store.changelog_offset >= owned.taken_offset

    def restore(self, number: int, chunk: Chunk) -> None:
        """Apply a changelog chunk; chunks for a partition that is at work are not for recovery."""
        owned = self._owned.get(number)
        if owned is None or owned.ready:
            return
        self._host.metrics.recovery_records.inc(len(chunk))
        if owned.store.policy is not None:
            self._logic.adopt(owned.store.policy)
        owned.store.restore(chunk, chunk.next, self._logic.armed_ms)

    async def restored(self) -> None:
        """Build timers, load positions, open every restored partition for work."""
        for owned in list(self._owned.values()):
            async with owned.lock:
                if not self.is_restored(owned.number):
                    continue
                # First of all: no record of a newer version is looked into.
                owned.engine = self._engine_of(owned)
                if owned.store.policy is not None:
                    self._logic.adopt(owned.store.policy)
                for _ in owned.store.finish_restore(self._logic.armed_ms):
                    await asyncio.sleep(0)
                owned.repeat_due = True
                owned.ready = True
                # Not known to the outside before what it brought has been said again.
                self._host.metrics.progress(self.topics.name, owned.number, 0)

    def _engine_of(self, owned: Owned) -> Partition:
        try:
            return Partition(
                self._new_logic(),
                owned.number,
                position=owned.store.position,
                policy=owned.store.policy,
                rhythms=owned.store.rhythms,
                sources=self.topics.sources,
                secret=self._host.secret,
                traces=self._host.tracer is not None,
            )
        except NewerStateError as error:
            found = newer_state(f"{self.topics.changelog}/{owned.number}", error)
            raise UnreadableStateError([found]) from error

    # -- work ------------------------------------------------------------------------------------------------

    def ready_partitions(self) -> dict[int, Partition]:
        """Partitions open for work."""
        return {n: o.engine for n, o in self._owned.items() if o.ready and o.engine is not None}

    def policy(self, number: int) -> bytes | None:
        """The policy record in force in a partition; None before the first."""
        return self._owned[number].store.policy

    def batches(self, number: int) -> int:
        """How many batches the partition has written since it is ours."""
        return self._owned[number].batches

    def cells(self, number: int, family: str, beginning: str) -> list[tuple[CellName, Cell]]:
        """The cells of a family in a partition, by day and member, whose name goes on with `beginning`."""
        store, prefix = self._owned[number].store, cells_prefix(family, beginning)
        keys: list[bytes] = []
        while page := store.keys_after(keys[-1] if keys else prefix, CELLS_PAGE):
            keys += [key for key in page if key.startswith(prefix)]
            if len(page) < CELLS_PAGE or not page[-1].startswith(prefix):
                break
        found = zip(keys, store.get_many(keys), strict=True)
        return [(name_of_cell(key), decode_cell(stored[1])) for key, stored in found if stored is not None]

    def key_count(self, number: int) -> int:
        """About how many keys the partition holds."""
        return self._owned[number].store.key_count()

    def size_bytes(self) -> int:
        """Bytes of all local stores of the stage."""
        return sum(owned.store.size_bytes() for owned in self._owned.values())

    async def accept(self, number: int, chunk: Chunk, done: Done) -> None:
        """Queue a chunk for its partition. `done` is awaited when it is handled or found to be stale."""
        owned = self._owned.get(number)
        if owned is None or not owned.ready or owned.lane is None:
            self._host.metrics.stale_chunks.inc()
            await done()
            return
        owned.lane.put(chunk, done)

    async def _handle_chunk(self, owned: Owned, chunk: Chunk) -> None:
        async with owned.lock:
            if owned.ready and owned.engine is not None:
                await self._handle(owned, owned.engine, chunk)
            else:
                self._host.metrics.stale_chunks.inc()

    async def _handle(self, owned: Owned, engine: Partition, chunk: Chunk) -> None:
        if owned.repeat_due:
            await self._say(owned, engine.repeat(owned.store))
            await self._pass_watermark_on(owned, engine)
            owned.repeat_due = False
            self._host.metrics.progress(self.topics.name, owned.number, engine.watermark_ms)
        if monotonic() - owned.taken_at > TAKE_OVER_AGAIN_SECONDS:
            await self._renew(owned)
        if chunk.next <= engine.next_offset:
            return
        if chunk.start > engine.next_offset:
            await self._skip_what_is_gone(owned, engine)
        if chunk.start > engine.next_offset:
            self._host.metrics.stale_chunks.inc()
            log.info(
                "chunk_does_not_follow",
                stage=self.topics.name,
                partition=owned.number,
                position=engine.next_offset,
                start=chunk.start,
            )
            await self._host.flow.seek(TP(self.topics.input, owned.number), engine.next_offset)
            return
        await self._work_through(owned, engine, chunk)

    async def _skip_what_is_gone(self, owned: Owned, engine: Partition) -> None:
        """Retention may have removed records behind our position: nobody will ever read them. Counted and told."""
        tp = TP(self.topics.input, owned.number)
        try:
            first = await self._host.first_offset(tp)
        except (KafkaError, TimeoutError):
            return  # the broker is away: the seek that follows waits for it
        lost = first - engine.next_offset
        if lost > 0:
            self._host.metrics.lost_to_retention.labels(tp.topic).inc(lost)
            log.error("lost_to_retention", topic=tp.topic, partition=tp.partition, records=lost)
            await self._commit(owned, engine, engine.step((), 0, owned.store, first))

    async def _work_through(self, owned: Owned, engine: Partition, chunk: Chunk) -> None:
        start = 0
        while True:
            await self._host.room.wait()
            batch = engine.step(chunk, start, owned.store, chunk.next)
            await self._commit(owned, engine, batch)
            start += batch.consumed
            if engine.next_offset >= chunk.next:
                return
            await asyncio.sleep(0)

    async def _commit(self, owned: Owned, engine: Partition, batch: Batch) -> None:
        records: list[tuple[bytes, bytes | None]] = [(POSITION_KEY, batch.position)]
        if batch.policy is not None:
            records.append((POLICY_STATE_KEY, batch.policy))
        if batch.rhythms is not None:
            records.append((RHYTHMS_STATE_KEY, batch.rhythms))
        records.extend((write.key, write.raw) for write in batch.writes if write.durable)
        expected = owned.store.changelog_offset + 1
        await self._host.checkpoint("before_changelog", owned.number)
        base = await owned.producer.write(self.topics.changelog, owned.number, records)
        if base != expected:
            message = (
                f"changelog of {self.topics.name}/{owned.number}: expected offset {expected}, got {base}"
            )
            raise ForeignWriteError(message)
        await self._host.checkpoint("before_outbox", owned.number)
        await self._say(owned, batch.outgoing)
        self._host.on_said(self.topics.name, batch)
        if batch.spans and self._host.tracer is not None:
            for span in batch.spans:
                self._host.tracer.said(*self._place_of(span.message), span)
        await self._host.checkpoint("before_store", owned.number)
        await self._keep(owned.store, batch, base + len(records) - 1)
        if batch.advanced:
            await self._pass_watermark_on(owned, engine)
        owned.batches += 1
        self._host.metrics.progress(self.topics.name, owned.number, engine.watermark_ms)

    async def _keep(self, store: PartitionStore, batch: Batch, offset: int) -> None:
        """Write a batch to the local store. It is in the changelog already: where the disk is full it can wait."""
        before = store.changelog_offset
        while True:
            try:
                store.apply(
                    batch.writes,
                    position=batch.position,
                    policy=batch.policy,
                    rhythms=batch.rhythms,
                    offset=offset,
                )
            except Exception as error:
                if not says_full(error):
                    raise
            else:
                return
            # Behind the handler: the error's traceback holds what keeps the database from being closed.
            await self._make_whole(store, {before, offset})

    async def _make_whole(self, store: PartitionStore, offsets: set[int]) -> None:
        """Open a store again that the disk has refused a write, when there is room.

        Raises:
            StoreCorruptError: it has not all that was written before. The next start recovers it.
        """
        error: Exception = RuntimeError("a write to the local store was refused")
        while True:
            await self._host.room.refused(error)
            try:
                store.open_again()
            except Exception as again:
                if not says_full(again):
                    raise
                error = again
            else:
                break
        if store.changelog_offset not in offsets:
            lacks = RuntimeError(
                f"after a full disk it stands at {store.changelog_offset}, not at {min(offsets)}"
            )
            raise store.flag_corrupt(lacks)

    async def _renew(self, owned: Owned) -> None:
        """Take over again, between two chunks, so that the coordinator does not forget us."""
        before = owned.store.changelog_offset
        await self._fence(owned)
        if owned.taken_offset != before + 1:
            message = (
                f"changelog of {self.topics.name}/{owned.number} grew without us before {owned.taken_offset}"
            )
            raise ForeignWriteError(message)
        owned.store.note_offset(before + 1)

    async def _say(self, owned: Owned, outgoing: Sequence[Outgoing]) -> None:
        if not outgoing:
            return
        messages: dict[tuple[str, int], list[Message]] = {}
        for out in outgoing:
            messages.setdefault(self._place_of(out), []).append((out.key, out.value, out.headers))
        await owned.producer.say(messages)

    def _place_of(self, out: Outgoing) -> tuple[str, int]:
        """Topic and partition."""
        topic, partitions = self.topics.outputs[out.topic]
        return topic, partition_of(out.key, partitions) if out.partition is None else out.partition

    async def _pass_watermark_on(self, owned: Owned, engine: Partition) -> None:
        marker = engine.marks_to_forward()
        if marker is None or self.topics.markers_to is None:
            return
        topic, partitions = self.topics.markers_to
        await owned.producer.say({(topic, p): [(MARKER_KEY, marker, NO_HEADERS)] for p in range(partitions)})


class ForeignWriteError(RuntimeError):
    """Somebody else, or a bug of our own, wrote into a changelog partition that we own."""
