"""Producers that write events in every way that Kafka allows, and remember nothing: the log is read afterwards."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.settings import Settings

PARCELS = 400
TEN_DAYS = timedelta(days=10)


def at(age: timedelta = timedelta(0)) -> str:
    """A time of `age` ago, as events write it."""
    return (datetime.now(UTC) - age).isoformat()


def label(number: object, *, age: timedelta = TEN_DAYS) -> dict[str, Any]:
    """A label of parcel `number` for return `number`."""
    return {
        "type": "label_created",
        "id": f"label-{number}",
        "occurred_at": at(age),
        "carrier": "ups",
        "tracking_number": f"1Z{number}",
        "return_ids": [f"R{number}"],
    }


def scan(number: object, *, age: timedelta = timedelta(0)) -> dict[str, Any]:
    """A physical scan of parcel `number`: it left a facility."""
    return {
        "type": "carrier_scan",
        "id": f"scan-{uuid.uuid4().hex}",
        "occurred_at": at(age),
        "carrier": "ups",
        "tracking_number": f"1Z{number}",
        "api": "ups_rest_track_v1",
        "code_type": "activity_code",
        "code": "DP",
    }


def check_in(number: object) -> dict[str, Any]:
    """A dock scan of parcel `number`."""
    return {
        "type": "checked_in",
        "id": f"dock-{uuid.uuid4().hex}",
        "occurred_at": at(),
        "carrier": "ups",
        "tracking_number": f"1Z{number}",
    }


def request(number: object) -> dict[str, Any]:
    """A customer's request for return `number`."""
    return {
        "type": "return_requested",
        "id": f"request-{uuid.uuid4().hex}",
        "occurred_at": at(),
        "return_id": f"R{number}",
    }


MAKERS = {"orders": request, "labels": label, "scans": scan, "warehouse": check_in}


class Traffic:
    """Writes random events until told to stop. The same seed makes the same choices, not the same timing."""

    def __init__(self, settings: Settings, seed: int, events_per_second: float) -> None:
        self._servers = list(settings.bootstrap_servers)
        self._seed = seed
        self._rate = events_per_second
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self.troubles: list[str] = []

    def plain(self, kind: str, topic: str, partitions: Sequence[int]) -> None:
        """Write into these partitions of the topic, one event after the other."""
        rnd = random.Random(f"{self._seed} {topic}")
        self._tasks.append(asyncio.create_task(self._plain(kind, topic, partitions, rnd)))

    def transactional(self, kind: str, topic: str, partitions: Sequence[int]) -> None:
        """Write transactions of some events; 30 % are aborted."""
        rnd = random.Random(f"{self._seed} {topic}")
        self._tasks.append(asyncio.create_task(self._transactional(kind, topic, partitions, rnd)))

    async def stop(self) -> None:
        """Finish what is open."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    def _event(self, kind: str, rnd: random.Random) -> bytes:
        return json.dumps(MAKERS[kind](rnd.randrange(PARCELS))).encode()

    async def _plain(self, kind: str, topic: str, partitions: Sequence[int], rnd: random.Random) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            enable_idempotence=True,
            acks="all",
            linger_ms=rnd.choice((0, 20)),
        )
        await producer.start()
        due = time.monotonic()
        while not self._stopping.is_set():
            try:
                await producer.send(topic, self._event(kind, rnd), partition=rnd.choice(partitions))
            except KafkaError as error:
                self.troubles.append(repr(error))
            due = max(due + rnd.expovariate(self._rate), time.monotonic() - 1.0)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await producer.stop()

    async def _transactional(
        self, kind: str, topic: str, partitions: Sequence[int], rnd: random.Random
    ) -> None:
        while not self._stopping.is_set():
            producer = AIOKafkaProducer(
                bootstrap_servers=self._servers,
                transactional_id=f"shop-{topic}",
                transaction_timeout_ms=15_000,
                request_timeout_ms=10_000,
            )
            try:
                await producer.start()
                while not self._stopping.is_set():
                    await self._transaction(producer, kind, topic, partitions, rnd)
            except (KafkaError, TimeoutError) as error:
                self.troubles.append(repr(error))
                await asyncio.sleep(1)
            finally:
                with suppress(KafkaError, TimeoutError):
                    await asyncio.wait_for(producer.stop(), 5)

    async def _transaction(
        self, producer: AIOKafkaProducer, kind: str, topic: str, partitions: Sequence[int], rnd: random.Random
    ) -> None:
        await producer.begin_transaction()
        for _ in range(rnd.randint(1, max(2, int(self._rate / 2)))):
            await producer.send(topic, self._event(kind, rnd), partition=rnd.choice(partitions))
            await asyncio.sleep(rnd.expovariate(self._rate))
        if rnd.random() < 0.3:  # left open, as by a producer that waits for its database
            await asyncio.sleep(rnd.uniform(1, 3))
        if rnd.random() < 0.3:
            await producer.abort_transaction()
        else:
            await producer.commit_transaction()


async def send_events(settings: Settings, topic: str, *events: dict[str, Any], partition: int = 0) -> None:
    """Append some events and wait until they are in the log."""
    async with AIOKafkaProducer(
        bootstrap_servers=list(settings.bootstrap_servers), enable_idempotence=True, acks="all"
    ) as producer:
        for event in events:
            await producer.send(topic, json.dumps(event).encode(), partition=partition)
        await producer.flush()
