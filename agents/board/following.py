"""Follows the output topics into the board's index, from where it stopped, until it is told to end."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Collection, Coroutine, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Counter, Gauge

from agents.board.index_reading import IndexReader
from agents.board.index_writing import IndexWriter
from agents.errors import BrokerUnreachableError, TopicsError
from agents.health import Readiness
from agents.kafka_connection import open_admin, open_consumer, reachable
from agents.log_reading import partitions_of
from agents.settings import Settings

log = structlog.get_logger(__name__)

WAIT_FOR_BROKER: Final = timedelta(seconds=30)
POLL_MS: Final = 500
MOST_RECORDS: Final = 2_000
LOOK_EVERY_S: Final = 5.0
LOOK_WITHIN_S: Final = 10.0
PRUNE_EVERY: Final = timedelta(minutes=10)
LONGEST_ABSENCE: Final = timedelta(days=6)
"""Deletions stay in the compacted topics for seven days; who was away for longer could have missed one."""
RHYTHM_READ: Final = timedelta(days=14)
FETCH: Final = {"max_partition_fetch_bytes": 4 * 1024 * 1024}


class _DoubtError(Exception):
    """The index cannot be gone on with; says why."""


class FollowerMetrics:
    """What the board tells of its index."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = Counter(
            "returnwatch_board_records", "Records taken into the index.", registry=registry
        )
        self.unreadable = Gauge(
            "returnwatch_board_unreadable_records",
            "Records passed over since the start, because they are not what their topic holds.",
            registry=registry,
        )
        self.behind = Gauge(
            "returnwatch_board_behind_records",
            "Records that the index has not taken in yet.",
            registry=registry,
        )


class Follower:
    """Keeps the index as new as its topics."""

    def __init__(
        self,
        settings: Settings,
        file: Path,
        reader: IndexReader,
        readiness: Readiness,
        metrics: FollowerMetrics,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._readiness = readiness
        self._metrics = metrics
        self._writer = IndexWriter(file, settings.topics)
        self.silent_since: datetime | None = None
        """Since when Kafka does not tell how long its topics are: what is shown is not newer than that."""
        self.read_share: float | None = 0.0
        """How much of what was there at the start has been read; None: all."""
        self._total = 0
        self._taking_in = 0
        self._writing = asyncio.Lock()

    async def run(self, *, rebuild: bool) -> None:
        """Follow until cancelled. An index that turns out to be damaged or too old is read anew.

        Raises:
            BrokerUnreachableError: no broker answered, and there is nothing to show meanwhile.
            TopicsError: a topic is not there.
        """
        self._readiness.waits_for("index", "the topics have not been read to their ends yet")
        why, was_damaged = "asked" if rebuild else "", False
        try:
            while True:
                try:
                    await self._follow(why)
                except _DoubtError as doubt:
                    why = str(doubt)
                except sqlite3.DatabaseError as error:
                    # A full disk or a file that may not be written is an OperationalError: a new index has it, too.
                    if isinstance(error, sqlite3.OperationalError) or was_damaged:
                        raise
                    why, was_damaged = "", True
                    self._begin_anew(f"it is damaged: {error}")
        finally:
            self._writer.close()

    async def _follow(self, why: str) -> None:
        await self._reach()
        partitions, cluster = await followed_partitions(self._settings), await cluster_of(self._settings)
        async with open_consumer(self._settings, **FETCH) as consumer:
            await self._begin(consumer, partitions, cluster, why)
            await _all_of(self._look(consumer, partitions), self._read(consumer))

    async def _reach(self) -> None:
        """Return when a broker answers. What the index has is shown meanwhile; where it has nothing, that is an error."""
        if self._writer.positions():
            self.silent_since = self.silent_since or self._writer.last_written_at()
        while True:
            try:
                await reachable(self._settings, WAIT_FOR_BROKER)
            except BrokerUnreachableError:
                if not self._writer.positions():
                    raise
                log.warning("board_no_kafka", since=self.silent_since and self.silent_since.isoformat())
            else:
                self.silent_since = None
                return

    def _begin_anew(self, why: str) -> None:
        log.info("board_index_read_anew", why=why)
        self._writer.begin_anew()
        self._reader.reopen()
        self.read_share, self._taking_in = 0.0, 0
        self._readiness.waits_for("index", "the topics are read anew")

    async def _begin(
        self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition], cluster: str, why: str
    ) -> None:
        consumer.assign(partitions)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        why = why or self._doubt(ends, cluster)
        if why:
            self._begin_anew(why)
        self._writer.is_of(cluster)
        known = self._writer.positions()
        for partition in partitions:
            offset = known.get((partition.topic, partition.partition))
            if offset is not None:
                consumer.seek(partition, offset)
            elif partition.topic == self._settings.topics.returns:
                await self._seek_rhythm(consumer, partition, ends[partition])
            else:
                await consumer.seek_to_beginning(partition)
        starts = {each: known.get((each.topic, each.partition), 0) for each in partitions}
        self._total = sum(max(0, ends[each] - starts[each]) for each in partitions)

    def _doubt(self, ends: dict[TopicPartition, int], cluster: str) -> str:
        """Why the index cannot be gone on with; "": it can."""
        known = self._writer.positions()
        if known and self._writer.cluster() != cluster:
            return "it is of another cluster"
        if any(known.get((each.topic, each.partition), 0) > end for each, end in ends.items()):
            return "a topic is shorter than what was read of it"
        return self._age_doubt(datetime.now(UTC))

    def _age_doubt(self, now: datetime) -> str:
        is_too_old = now - self._writer.last_written_at() > LONGEST_ABSENCE
        return "deletions may have been missed" if is_too_old and self._writer.positions() else ""

    async def _seek_rhythm(self, consumer: AIOKafkaConsumer, partition: TopicPartition, end: int) -> None:
        """Of `returns` only the marks of the last two weeks are wanted."""
        since_ms = round((datetime.now(UTC) - RHYTHM_READ).timestamp() * 1_000)
        found = (await consumer.offsets_for_times({partition: since_ms}))[partition]
        consumer.seek(partition, found.offset if found is not None else end)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            chunks: dict[TopicPartition, list[Any]] = await consumer.getmany(
                timeout_ms=POLL_MS, max_records=MOST_RECORDS
            )
            if not chunks:
                continue
            # Behind the last record: what a compacted topic has no longer is passed over by the next fetch.
            positions = {
                (each.topic, each.partition): records[-1].offset + 1 for each, records in chunks.items()
            }
            records = [record for found in chunks.values() for record in found]
            self._taking_in = len(records)
            await self._write(self._writer.apply, records, positions)
            self._taking_in = 0
            self._metrics.records.inc(len(records))
            self._metrics.unreadable.set(self._writer.unreadable)

    async def _look(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        """See how far the index is behind, and now and then let go of what the topics no longer hold."""
        pruned_at: datetime | None = None
        wanted: tuple[dict[TopicPartition, int], datetime] | None = None
        while True:
            now = datetime.now(UTC)
            try:
                async with asyncio.timeout(LOOK_WITHIN_S):
                    ends = await consumer.end_offsets(partitions)
                    if doubt := self._age_doubt(now):
                        raise _DoubtError(doubt)
                    places = {each: await consumer.position(each) for each in partitions}
                    self.silent_since = None
                    self._note_behind(sum(max(0, ends[each] - places[each]) for each in partitions))
                    # By an earlier look's ends: where something is written all the time, those of now are never reached.
                    until, since = wanted or (ends, now)
                    if all(places[each] >= until[each] for each in partitions):
                        await self._write(self._writer.is_whole, since)
                        wanted = ends, now
                        if pruned_at is None or now - pruned_at > PRUNE_EVERY:
                            await self._prune(consumer, partitions, now)
                            pruned_at = now
                    else:
                        wanted = until, since
            except (TimeoutError, KafkaError, OSError):
                self.silent_since = self.silent_since or now
                log.warning("board_no_kafka", since=self.silent_since.isoformat())
            await self._write(self._writer.overwrite)
            await asyncio.sleep(LOOK_EVERY_S if self.read_share is None else 0.5)

    async def _write(self, what: Callable[..., None], *arguments: object) -> None:
        """One thing after the other, in a thread: a page is served meanwhile. What has begun is ended, also by a stop."""
        async with self._writing:
            await _to_its_end(asyncio.to_thread(what, *arguments))

    def _note_behind(self, unread: int) -> None:
        behind = unread + self._taking_in
        self._metrics.behind.set(behind)
        if self.read_share is None:
            return
        self.read_share = 1 - behind / self._total if self._total else 1.0
        if behind:
            self._readiness.waits_for("index", f"{max(0.0, self.read_share):.0%} of the topics has been read")
        else:
            self.read_share = None
            self._readiness.has("index")
            log.info("board_index_is_whole")

    async def _prune(
        self, consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition], now: datetime
    ) -> None:
        starts: dict[TopicPartition, int] = await consumer.beginning_offsets(list(partitions))
        places = {(each.topic, each.partition): offset for each, offset in starts.items()}
        await self._write(self._writer.prune, places, now)


async def _all_of(*works: Coroutine[Any, Any, None]) -> None:
    """Do all at once until one fails, and raise what it raises: as it is, not in a group.

    Not by `asyncio.gather`: of a stop and a failure in the same turn of the loop that raises the failure, and the stop is lost.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await _to_its_end(_ended(tasks))
    for task in done:
        task.result()


async def _ended(tasks: Collection[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for what must not be left in its middle; cancellations, also a second one, are passed on when it is done."""
    task = asyncio.ensure_future(work)
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            is_cancelled = True
    error = task.exception()
    if is_cancelled:
        raise asyncio.CancelledError
    if error is not None:
        raise error


async def followed_partitions(settings: Settings) -> list[TopicPartition]:
    """Of all topics that are followed. Raises TopicsError for one that is not there."""
    names = settings.topics
    found: list[TopicPartition] = []
    for topic in (
        *(
            names.cases,
            names.escalations,
            names.command_answers,
            names.journeys,
            names.kpis,
            names.dead_letters,
        ),
    ):
        found += await partitions_of(settings, topic)
    # Each partition of `returns` has the same marks.
    found.append((await partitions_of(settings, names.returns))[0])
    with contextlib.suppress(TopicsError):  # before the first decision it need not be there
        found += await partitions_of(settings, names.dead_letter_outcomes)
    return found


async def cluster_of(settings: Settings) -> str:
    """Which Kafka cluster it is, as its brokers tell."""
    async with open_admin(settings) as admin:
        return str((await admin.describe_cluster()).get("cluster_id") or "")
