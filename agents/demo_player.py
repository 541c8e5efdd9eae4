"""Plays a simulated world into the input topics, each record at its time, and remembers when it was appended."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

from aiokafka import AIOKafkaProducer

from agents.kafka_security import client_arguments
from agents.settings import Settings, SimulatedTime
from schemas.topics import InputKind
from simulation.happenings import SimEvent
from simulation.ledger import LedgerEvent

TICK_SECONDS = 0.02
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_of(ms: int) -> datetime:
    """Aware UTC time of epoch milliseconds."""
    return EPOCH + timedelta(milliseconds=ms)


class Player:
    """One pass over a world's events. `ledger` is complete when `run` has returned."""

    def __init__(self, settings: Settings, events: Sequence[SimEvent], clock: SimulatedTime) -> None:
        self._settings = settings
        self._events = events
        self._clock = clock
        self._sent: list[tuple[SimEvent, asyncio.Future[Any]]] = []
        self.position = 0
        self.ledger: list[LedgerEvent] = []

    def simulated_now(self) -> datetime:
        """What the simulated clock shows, by the local clock (only for playing and for showing)."""
        return moment_of(self._clock.simulated_ms(int(time() * 1000)))

    async def run(self) -> None:
        """Send every event when its time has come; returns when all are acknowledged.

        Events whose time has passed already are sent at once, in their order.
        """
        producer = AIOKafkaProducer(**client_arguments(self._settings), enable_idempotence=True, acks="all")
        await producer.start()
        try:
            while self.position < len(self._events):
                await self._send_due(producer)
                await asyncio.sleep(TICK_SECONDS)
            await producer.flush()
            for event, acknowledged in self._sent:
                metadata = await acknowledged
                appended_at = moment_of(self._clock.simulated_ms(metadata.timestamp))
                self.ledger.append(LedgerEvent(event.kind, event.value, event.headers, appended_at))
        finally:
            await producer.stop()

    async def _send_due(self, producer: AIOKafkaProducer) -> None:
        now = self.simulated_now()
        while self.position < len(self._events) and self._events[self.position].appears_at <= now:
            event = self._events[self.position]
            topic = self._settings.topics.inputs[InputKind(event.kind)][0]
            acknowledged = await producer.send(topic, event.value, key=event.key, headers=list(event.headers))
            self._sent.append((event, acknowledged))
            self.position += 1
