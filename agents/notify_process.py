"""The process of `returnwatch notify run`: `escalations` in, one queue for each receiver, and positions behind what is done."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic, time
from typing import Any

import aiohttp
import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from agents.health import HealthServer, Liveness, Readiness, health_app
from agents.kafka_connection import open_consumer, reachable
from agents.log_reading import partitions_of
from agents.notify_delivery import Endpoint
from agents.notify_record import NotifyRecord, Queued
from agents.notify_sender import NotifyMetrics, Sender
from agents.notify_tracing import DeliveryTraces
from agents.settings import Settings
from agents.terminal import say
from agents.tracing_settings import tracer_of
from schemas.notify_routes import NotifyRoutes
from schemas.outputs import Escalation, decode_escalation, escalation_id
from streams.notify_routing import Told, action_of, told_of
from streams.traces import context_of

log = structlog.get_logger(__name__)

WAIT_FOR_BROKER = timedelta(seconds=60)
MOST_PENDING = 200_000
"""With so many changes still to be sent, no more are read: Kafka keeps them as well as the record does."""
COMMIT_SECONDS = 5.0
KEPT = timedelta(days=30)
"""How long the record knows what was sent and what was given up."""
_POLL_MS = 500


class Notifier:
    """One installation's notifications. Only one runs at a time: the record's lock says so."""

    def __init__(
        self,
        settings: Settings,
        routes: NotifyRoutes,
        endpoints: Mapping[str, Endpoint],
        record: NotifyRecord,
    ) -> None:
        self._settings = settings
        self._routes = routes
        self._endpoints = endpoints
        self._record = record
        self._registry = CollectorRegistry()
        self._metrics = NotifyMetrics(self._registry)
        self._tracer = tracer_of(settings, "notify", self._registry)
        self._readiness = Readiness()
        self._senders: dict[str, Sender] = {}
        self._topic = settings.topics.escalations

    async def run(self, *, from_start: bool) -> None:
        """Serve until SIGTERM or SIGINT. `from_start`: the first run begins with everything that the topic has."""
        health = HealthServer(
            health_app(self._registry, Liveness(monotonic), self._readiness),
            self._settings.metrics_host,
            self._settings.metrics_port,
        )
        metrics_url = await health.start()
        try:
            self._readiness.waits_for("kafka", "no broker has answered yet")
            await reachable(self._settings, WAIT_FOR_BROKER)
            partitions = await partitions_of(self._settings, self._topic)
            # Positions are committed in its name for who has lost the record; it never joins the group.
            group = f"{self._settings.app_id}-notify"
            async with (
                open_consumer(self._settings, group_id=group, max_poll_records=2_000) as consumer,
                http_session() as session,
            ):
                await self._begin(consumer, partitions, from_start=from_start)
                traces = DeliveryTraces(self._tracer, self._record) if self._tracer is not None else None
                self._senders = {
                    name: Sender(name, endpoint, self._record, session, self._metrics, traces)
                    for name, endpoint in self._endpoints.items()
                }
                self._readiness.has("kafka")
                self._readiness.has("start")
                log.info("notifying", receivers=sorted(self._senders), metrics=metrics_url)
                say(f"notifying of {self._topic}; {metrics_url}/metrics")
                await self._until_told(consumer)
        finally:
            await health.stop()
            if self._tracer is not None:
                await self._tracer.close()

    async def _begin(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], *, from_start: bool
    ) -> None:
        """Go on where the record stands; without one where was committed; else begin, and note where at once."""
        consumer.assign(list(partitions))
        known = self._record.positions(self._topic)
        ends = await consumer.end_offsets(list(partitions))
        starts = await consumer.beginning_offsets(list(partitions))
        for each in partitions:
            committed = await consumer.committed(each) if each.partition not in known else None
            begin = starts[each] if from_start else ends[each]
            offset = known.get(each.partition, committed if committed is not None else begin)
            if offset < starts[each]:
                log.error(
                    "notify_gap", topic=each.topic, partition=each.partition, missing=starts[each] - offset
                )
            elif offset > ends[each]:
                # The topic was made anew.
                offset = starts[each]
            consumer.seek(each, max(offset, starts[each]))
            known[each.partition] = max(offset, starts[each])
        self._record.queue([], self._topic, known, time())
        if gone := self._record.orphaned(list(self._endpoints), time()):
            log.warning("notify_receivers_gone", given_up=gone)
        # Not behind what is only queued: who loses the record now has to read that again.
        done = self._record.done_up_to(self._topic)
        await consumer.commit({each: done[each.partition] for each in partitions})

    async def _until_told(self, consumer: AIOKafkaConsumer) -> None:
        async with asyncio.TaskGroup() as tasks:
            work = [
                tasks.create_task(one)
                for one in (
                    self._read(consumer),
                    self._commit(consumer),
                    self._keep_house(),
                    *(sender.run() for sender in self._senders.values()),
                )
            ]

            def stop() -> None:
                self._readiness.waits_for("stop", "notify is stopping")
                for task in work:
                    task.cancel()

            for one in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(one, stop)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            waiting = sum(count for count, _ in self._record.pending_counts().values())
            too_many = (
                f"{waiting} changes wait to be sent: no more are read" if waiting >= MOST_PENDING else None
            )
            self._readiness.note("queue", too_many)
            if too_many:
                await asyncio.sleep(1)
                continue
            chunks = await consumer.getmany(timeout_ms=_POLL_MS)
            if chunks:
                self._take([record for chunk in chunks.values() for record in chunk])

    def _take(self, records: Sequence[Any]) -> None:
        changes = [(record, change) for record in records if (change := self._decoded(record)) is not None]
        earlier = self._record.told_of([change.case_id for _, change in changes])
        queued: list[Queued] = []
        for record, change in changes:
            told = told_of(self._routes, change, earlier.get(change.case_id, {}))
            if not told:
                self._metrics.changes.labels("no_route").inc()
            for one in told:
                earlier.setdefault(change.case_id, {}).setdefault(one.receiver, one.route)
            queued += [_queued(record, change, one) for one in told]
        positions = dict[int, int]()
        for record in records:
            positions[record.partition] = max(positions.get(record.partition, 0), record.offset + 1)
        traces = _traces_of(changes) if self._tracer is not None else {}
        new = self._record.queue(queued, self._topic, positions, time(), traces)
        self._metrics.changes.labels("queued").inc(new)
        self._metrics.changes.labels("repeated").inc(len(queued) - new)
        for name in {one.receiver for one in queued} & self._senders.keys():
            self._senders[name].wake()

    def _decoded(self, record: Any) -> Escalation | None:
        try:
            return decode_escalation(record.value or b"")
        except msgspec.DecodeError:
            self._metrics.changes.labels("unreadable").inc()
            place = f"{record.topic}/{record.partition}@{record.offset}"
            log.error("notify_unreadable", place=place)  # noqa: TRY400 - a traceback shows what it holds
            return None

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """Commit behind what was sent or given up: who has lost the record goes on there, and tells some again."""
        before: dict[int, int] = {}
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            done = self._record.done_up_to(self._topic)
            if done == before:
                continue
            try:
                await consumer.commit(
                    {TopicPartition(self._topic, number): offset for number, offset in done.items()}
                )
                before = done
            except KafkaError as error:
                log.warning("notify_not_committed", error=type(error).__name__)

    async def _keep_house(self) -> None:
        forgotten_at = 0.0
        while True:
            counts = self._record.pending_counts()
            for name in self._senders:
                count, since = counts.get(name, (0, time()))
                self._metrics.pending.labels(name).set(count)
                self._metrics.oldest.labels(name).set(max(0.0, time() - since))
            if time() - forgotten_at >= 3_600:
                self._record.forget_before(time() - KEPT.total_seconds())
                forgotten_at = time()
            await asyncio.sleep(1)


def _traces_of(changes: Sequence[tuple[Any, Escalation]]) -> dict[str, str]:
    """`ce_id` -> the context that its record carries, of those that are in a trace."""
    found = ((change, context_of(record.headers)) for record, change in changes)
    return {
        escalation_id(change.case_id, change.revision): context.header.decode()
        for change, context in found
        if context is not None and context.is_sampled
    }


def http_session() -> aiohttp.ClientSession:
    """Connections without a bound of their own: each sender has one, and receivers of one host do not wait for each other."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, limit_per_host=0))


def _queued(record: Any, change: Escalation, told: Told) -> Queued:
    return Queued(
        receiver=told.receiver,
        ce_id=escalation_id(change.case_id, change.revision),
        case_id=change.case_id,
        rule=change.rule.value,
        route=told.route,
        action=action_of(change).value,
        topic=record.topic,
        partition=record.partition,
        place=record.offset,
        change=record.value,
    )
