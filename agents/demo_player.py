"""Plays a simulated world into the input topics, each record at its time, and remembers when it was appended."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from time import time
from typing import Any

from aiokafka import AIOKafkaProducer

from agents.demo_traffic import topic_of
from agents.kafka_security import client_arguments
from agents.settings import Settings, SimulatedTime
from schemas.topics import InputKind
from simulation.api_traffic import Sending, ledger_of
from simulation.ledger import LedgerEvent
from streams.epoch import moment_of

TICK_SECONDS = 0.02


class Player:
    """One pass over a world's records. `ledger` is complete when `run` has returned."""

    def __init__(self, settings: Settings, sendings: Sequence[Sending], clock: SimulatedTime) -> None:
        self._settings = settings
        self._sendings = sendings
        self._clock = clock
        self._sent: list[tuple[Sending, asyncio.Future[Any]]] = []
        self.position = 0
        self.ledger: list[LedgerEvent] = []

    @property
    def total(self) -> int:
        """How many records there are to send."""
        return len(self._sendings)

    def simulated_now(self) -> datetime:
        """What the simulated clock shows, by the local clock (only for playing and for showing)."""
        return moment_of(self._clock.simulated_ms(int(time() * 1000)))

    async def run(self) -> None:
        """Send every record when its time has come; returns when all are acknowledged.

        Records whose time has passed already are sent at once, in their order.
        """
        producer = AIOKafkaProducer(**client_arguments(self._settings), enable_idempotence=True, acks="all")
        await producer.start()
        try:
            while self.position < len(self._sendings):
                await self._send_due(producer)
                await asyncio.sleep(TICK_SECONDS)
            await producer.flush()
            for sending, acknowledged in self._sent:
                metadata = await acknowledged
                appended_at = moment_of(self._clock.simulated_ms(metadata.timestamp))
                self.ledger += ledger_of([sending], appended_at)
        finally:
            await producer.stop()

    async def _send_due(self, producer: AIOKafkaProducer) -> None:
        now = self.simulated_now()
        while self.position < len(self._sendings) and self._sendings[self.position].appears_at <= now:
            sending = self._sendings[self.position]
            topic = self._topic(sending)
            acknowledged = await producer.send(
                topic, sending.value, key=sending.key, headers=list(sending.headers)
            )
            self._sent.append((sending, acknowledged))
            self.position += 1

    def _topic(self, sending: Sending) -> str:
        if sending.api:
            return topic_of(sending.api)
        return self._settings.topics.inputs[InputKind(sending.kind)][0]
