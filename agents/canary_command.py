"""`returnwatch canary`: tells a canary every few minutes, and exports how late its case is there, until it is told to stop."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from agents.canary import Canaries, CanaryMetrics, approval, cancellation
from agents.errors import Finding, SettingsError
from agents.health import HealthServer, Liveness, Readiness, health_app
from agents.kafka_connection import open_consumer, open_producer, reachable, run
from agents.log_reading import partitions_of, read_to_end
from agents.logging_setup import configure_logging
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import say
from schemas.outputs import Escalation, decode_escalation
from schemas.topics import InputKind

log = structlog.get_logger(__name__)

WAIT_FOR_BROKER = timedelta(seconds=30)
LOOK_BACK = timedelta(days=2)
"""Canaries whose case a run before this one has left open are of this time."""
POLL_MS = 500


def canary(flags: Mapping[str, object], every: timedelta) -> int:
    """Run. Raises UserError for what the user can mend."""
    settings = load_settings(flags)
    if settings.simulated is not None:
        todo = "leave the settings simulated_* out, or the canary"
        why = "a canary measures by the clock of the wall"
        raise SettingsError([Finding("canary", "time is simulated here", why, todo)])
    configure_logging(settings.log_format, settings.log_level)
    return run(_run(settings, every))


async def _run(settings: Settings, every: timedelta) -> int:
    await reachable(settings, WAIT_FOR_BROKER)
    escalations = await partitions_of(settings, settings.topics.escalations)
    orders = settings.topics.inputs[InputKind.ORDERS][0]
    await partitions_of(settings, orders)
    registry, readiness = CollectorRegistry(), Readiness()
    metrics = CanaryMetrics(registry)
    server = HealthServer(
        health_app(registry, Liveness(monotonic), readiness), settings.metrics_host, settings.metrics_port
    )
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    try:
        address = await server.start()
        async with open_producer(settings) as producer, open_consumer(settings) as consumer:
            work = _Work(orders, Canaries(metrics, every, _now), metrics, producer, consumer)
            await work.cancel_what_was_left(escalations)
            readiness.has("start")
            say(f"a canary every {every.total_seconds():.0f} s; {address}/metrics")
            await work.until(stop, every)
    finally:
        await server.stop()
    return 0


class _Work:
    def __init__(
        self,
        orders: str,
        canaries: Canaries,
        metrics: CanaryMetrics,
        producer: AIOKafkaProducer,
        consumer: AIOKafkaConsumer,
    ) -> None:
        self._orders = orders
        self._canaries = canaries
        self._metrics = metrics
        self._producer = producer
        self._consumer = consumer

    async def cancel_what_was_left(self, partitions: Sequence[Any]) -> None:
        """A run that was killed may have left canaries whose cases nobody resolves."""
        since_ms = int((_now() - LOOK_BACK).timestamp() * 1000)
        newest: dict[str, Escalation] = {}
        async for records in read_to_end(self._consumer, partitions, since_ms=since_ms):
            for change in _changes(records):
                newest[change.case_id] = change
        for change in newest.values():
            await self._take(change)

    async def until(self, stop: asyncio.Event, every: timedelta) -> None:
        """Tell and watch until `stop` is set; then cancel what is on its way, so that no case is left."""
        stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        tasks: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._tell(every)),
            asyncio.ensure_future(self._watch()),
        ]
        try:
            await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            for return_id in self._canaries.on_their_way():
                await self._cancel(return_id)
        finally:
            for task in (*tasks, stopped):
                task.cancel()
            await asyncio.gather(*tasks, stopped, return_exceptions=True)

    async def _tell(self, every: timedelta) -> None:
        while True:
            return_id = self._canaries.next_id()
            try:
                await self._producer.send_and_wait(
                    self._orders, approval(return_id, _now()), key=return_id.encode()
                )
                self._canaries.told(return_id)
            except KafkaError as error:
                self._metrics.failures.inc()
                log.warning("canary_not_taken", error=repr(error)[:200])
            await asyncio.sleep(every.total_seconds())

    async def _watch(self) -> None:
        while True:
            for records in (await self._consumer.getmany(timeout_ms=POLL_MS)).values():
                for change in _changes(records):
                    await self._take(change)

    async def _take(self, change: Escalation) -> None:
        if self._canaries.seen(change):
            await self._cancel(change.return_id)

    async def _cancel(self, return_id: str) -> None:
        with suppress(KafkaError):  # the next run cancels it
            value = cancellation(return_id, _now())
            await self._producer.send_and_wait(self._orders, value, key=return_id.encode())


def _changes(records: Sequence[Any]) -> list[Escalation]:
    """What can be read of them; a record of somebody else's is passed over."""
    found = []
    for record in records:
        with suppress(msgspec.DecodeError, TypeError):
            found.append(decode_escalation(record.value))
    return found


def _now() -> datetime:
    return datetime.now(UTC)
