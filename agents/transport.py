"""Chunk transport: one Faust event carries one `[start, next)` chunk of one partition.

Stock Faust moves records one by one (11,000 a second) and commits past messages that are still in flight
(faust-streaming#606). Here the consumer hands over whole runs of records, says exactly which offsets they cover,
and commits the offset that the stages call done. The names overridden are private to faust-streaming and aiokafka:
tests/contract/ asserts each of them (docs/adr/0002).
"""

import asyncio
import functools
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Protocol

import structlog
from aiokafka import TopicPartition
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as FaustConsumer
from faust.transport.drivers.aiokafka import Transport as FaustTransport
from faust.types.tuples import TP, ConsumerMessage

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.2
"""A partition that was resumed during a poll waits at most this long for the next one."""


class Chunk(list[Any]):
    """Records of one partition with offsets in `[start, next)`, in order.

    `next` is the consumer's position: past transaction markers, aborted records and compacted gaps, so a chunk can
    be empty and still true (the position moved). Records have `offset`, `timestamp`, `key`, `value`, `headers`.
    """

    __slots__ = ("next", "start")

    start: int
    next: int

    def __bool__(self) -> bool:
        return self.next > self.start


class ChunkHost(Protocol):
    """What the transport asks of the worker."""

    def done_offsets(self) -> Mapping[TP, int]:
        """Everything below these offsets is durably handled: what may be committed."""

    def next_offsets(self) -> Mapping[TP, int]:
        """Where each partition that is open for work goes on."""


class _Run(list[Any]):
    """The records of one batch, which pass through aiokafka's iterators as if they were one record."""

    __slots__ = ("offset",)

    offset: int


class _RunOfBatch:
    """A record batch whose iterator gives all its records at once: one step for a batch instead of three a record."""

    __slots__ = ("_batch",)

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)  # the one record of a control batch

    def __iter__(self) -> Iterator[_Run]:
        run = _Run(self._batch)
        if run:
            run.offset = run[-1].offset
            yield run


class _Runs:
    """The batches of a fetch response, each as a `_RunOfBatch`."""

    def __init__(self, records: Any) -> None:
        self.has_next = records.has_next
        self._next_batch = records.next_batch

    def next_batch(self) -> _RunOfBatch:
        """Return the next of them."""
        return _RunOfBatch(self._next_batch())


def _unpack_runs(self: Any) -> Any:
    self._records = _Runs(self._records)
    return _original_unpack(self)


def _light_record(_self: Any, _tp: Any, record: Any) -> Any:
    """Keep aiokafka's own C records; building a ConsumerRecord costs 0.4-0.7 us each."""
    return record


def _getall(self: Any, max_records: int | None = None) -> Chunk:
    records, chunk = self._partition_records, Chunk()
    if records is None:
        chunk.start = chunk.next = 0
        return chunk
    chunk.start = chunk.next = records.next_fetch_offset
    # When the assignment is gone or the position was moved by a seek, nothing is read and nothing is claimed.
    if not self.check_assignment(self._topic_partition):
        return chunk
    most = sys.maxsize if max_records is None else max_records
    left = self.__dict__.pop("_left", [])
    for run in chain([left] if left else [], records):
        if run[0].offset < chunk.start:  # a batch is fetched whole, also when only its end was asked for
            run = [record for record in run if record.offset >= chunk.start]  # noqa: PLW2901 - it is the same run
        chunk.extend(run)
        if len(chunk) >= most:
            self._left = chunk[most:]
            del chunk[most:]
            if self._left:
                records.next_fetch_offset = chunk[-1].offset + 1
            break
    else:
        self._partition_records = None
    chunk.next = records.next_fetch_offset
    self._assignment.state_value(self._topic_partition).consumed_to(chunk.next)
    return chunk


def _telling_broken_connections(write: Any) -> Any:
    """Make uvloop's RuntimeError for a connection that was lost the error that aiokafka expects.

    Else it ends the client's metadata task, unseen, and its producer waits for metadata for ever.
    """

    @functools.wraps(write)
    def send(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return write(self, *arguments, **named)
        except RuntimeError as error:
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"connection at {self.host}:{self.port} broken: {error}") from error

    return send


_original_send = AIOKafkaConnection.send
_original_sasl = AIOKafkaConnection._send_sasl_token
_original_getall = aiokafka_fetcher.FetchResult.getall
_original_unpack = aiokafka_fetcher.PartitionRecords._unpack_records
_original_consumer_record = aiokafka_fetcher.PartitionRecords._consumer_record


def install() -> None:
    """Patch aiokafka for this process.

    Every consumer made afterwards yields chunks and light records; every client survives a lost connection on uvloop.
    """
    AIOKafkaConnection.send = _telling_broken_connections(_original_send)
    AIOKafkaConnection._send_sasl_token = _telling_broken_connections(_original_sasl)
    aiokafka_fetcher.FetchResult.getall = _getall
    aiokafka_fetcher.PartitionRecords._unpack_records = _unpack_runs
    aiokafka_fetcher.PartitionRecords._consumer_record = _light_record


def uninstall() -> None:
    """Undo `install` (contract tests run in one process)."""
    AIOKafkaConnection.send = _original_send
    AIOKafkaConnection._send_sasl_token = _original_sasl
    aiokafka_fetcher.FetchResult.getall = _original_getall
    aiokafka_fetcher.PartitionRecords._unpack_records = _original_unpack
    aiokafka_fetcher.PartitionRecords._consumer_record = _original_consumer_record


class ChunkConsumerThread(AIOKafkaConsumerThread):
    """Reads committed transactions only, and survives a refused commit."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = 200
        return consumer

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        owned = {tp: offset for tp, offset in offsets.items() if tp in self.assignment()}
        try:
            await consumer.commit({TopicPartition(*tp): offset for tp, offset in owned.items()})
        except (CommitFailedError, IllegalStateError) as error:
            # The group moved on. Commits only say where an intake starts; the next owner reads again, by identity.
            log.info("commit_refused", error=str(error))
            return False
        return True


class ChunkConsumer(FaustConsumer):
    """Delivers chunks, feeds changelog chunks to bulk recovery, commits what the stages call done."""

    def _new_consumer_thread(self) -> ChunkConsumerThread:
        return ChunkConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await self._drain_once()
        except asyncio.CancelledError:
            if self.transport.app.should_stop:
                return
            raise

    async def _drain_once(self) -> None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = self._get_active_partitions()
        if not active:
            await asyncio.sleep(POLL_SECONDS / 10)
            return
        generation = self.app.consumer_generation_id
        chunks = await self._getmany(active_partitions=set(active), timeout=POLL_SECONDS)
        if not chunks:
            await asyncio.sleep(0)
            return
        recovery = self.app.tables.recovery
        for tp, chunk in chunks.items():
            if self._is_changelog_tp(tp):
                recovery.bulk(TP(*tp), chunk)
                await asyncio.sleep(0)
            else:
                await self._deliver(TP(*tp), chunk, generation)

    async def seek_to_positions(self) -> None:
        """Go on where intake and stages have got to, whatever has been read since."""
        assigned = self.assignment()
        await self.seek_wait(
            {tp: at for tp, at in self.app.chunk_host.next_offsets().items() if tp in assigned}
        )

    async def _deliver(self, tp: TP, chunk: Chunk, generation: int) -> None:
        # A chunk fetched between Faust's own seek and the resume of the flow is delivered too: its `start` does not
        # fit the position of its partition, which then seeks. (Dropping it here is what loses chunks.)
        message = ConsumerMessage(
            tp.topic,
            tp.partition,
            max(chunk.next - 1, 0),
            0.0,
            0,
            (),
            None,
            chunk,
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )
        await self.callback(message)
        self._read_offset[tp] = chunk.next - 1

    async def verify_all_partitions_active(self) -> None:
        """Nothing: Faust's watchdog knows single messages only; agents/probe.py watches progress."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[TP]:  # noqa: ARG002 - Faust's signature
        return [TP(*tp) for tp in self.app.chunk_host.done_offsets()]

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        for acked in self._acked.values():
            acked.clear()
        for index in self._acked_index.values():
            index.clear()
        done = self.app.chunk_host.done_offsets()
        return {tp: done[tp] for tp in tps if tp in done and self._should_commit(tp, done[tp])}


class ChunkTransport(FaustTransport):
    """Give it to a Faust app as `app.transport` before the app starts; the app needs a `chunk_host`."""

    Consumer = ChunkConsumer
