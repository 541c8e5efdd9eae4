"""One producer per owned partition, fenced by the broker.

A new owner of a partition takes it over: `InitProducerId(transactional.id)` gives it the same producer id with a
higher epoch, and the first batch it writes (the take-over record) teaches the partition's leader that epoch. From
then on the broker refuses every batch of the former owner, without transactions (docs/adr/0004).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.producer.transaction_manager import PidAndEpoch
from aiokafka.protocol.transaction import InitProducerIdRequest

OWNER_KEY = b"\x00owner"
MAX_BATCH_BYTES = 900_000
"""Below every default `max.message.bytes`; one batch over the limit poisons an idempotent producer's partition."""

Headers = list[tuple[str, bytes]]
Message = tuple[bytes, bytes | None, Headers]
NO_HEADERS: Headers = []
"""aiokafka wants a list; this one is never changed."""


class BatchTooLargeError(RuntimeError):
    """A bug of our own: a batch that must be atomic does not fit into one record batch."""


def new_producer(connection: Mapping[str, Any], client_id: str) -> AIOKafkaProducer:
    """An idempotent producer with acks=all, not started yet. Its sends never expire: they wait for the broker."""
    producer = AIOKafkaProducer(
        **connection,
        client_id=client_id,
        enable_idempotence=True,
        acks="all",
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=64 * 1024 * 1024,
        request_timeout_ms=15_000,
        metadata_max_age_ms=60_000,
    )
    # Else a batch whose partition has no leader for a moment after an outage fails by its age.
    producer._message_accumulator._batch_ttl = float("inf")
    return producer


async def start_producer(producer: AIOKafkaProducer) -> None:
    """Start it; waits, trying every half second, while no broker can be reached."""
    while True:
        try:
            await producer.start()
        except KafkaConnectionError:
            await asyncio.sleep(0.5)
        else:
            return


async def submit(producer: AIOKafkaProducer, batch: Any, topic: str, partition: int) -> Any:
    """Hand a closed batch to the producer, however long the broker is away. Returns the future of its metadata."""
    while True:
        try:
            return await producer.send_batch(batch, topic, partition=partition)
        except (KafkaTimeoutError, UnknownTopicOrPartitionError):
            # Not accepted: no metadata, or the batch before it is still waiting for the broker.
            await asyncio.sleep(0.1)


async def init_producer_id(coordinator: AIOKafkaProducer, transactional_id: str) -> PidAndEpoch:
    """Ask the transaction coordinator for the id's producer id and next epoch; waits while the broker is away.

    Raises:
        KafkaError: the broker refused for good (authorization, for example).
    """
    client = coordinator.client
    while True:
        try:
            node = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
            request = InitProducerIdRequest(transactional_id=transactional_id, transaction_timeout_ms=60_000)
            response = await client.send(node, request, group=ConnectionGroup.COORDINATION)
            if response.error_code == 0:
                return PidAndEpoch(response.producer_id, response.producer_epoch)
            error = for_code(response.error_code)()
        except KafkaError as caught:
            error = caught
        if not error.retriable and not isinstance(error, ConcurrentTransactions | KafkaTimeoutError):
            raise error
        await asyncio.sleep(0.05)


class FencedProducer:
    """All that one partition says goes through here: changelog, outputs, reports and markers.

    Not safe for concurrent use: the partition's one task awaits each call.
    """

    def __init__(self, connection: Mapping[str, Any], transactional_id: str) -> None:
        self._transactional_id = transactional_id
        self._producer = new_producer(connection, f"returnwatch-{transactional_id}")
        self._started = False
        self._taking: asyncio.Task[int] | None = None

    async def take_over(self, coordinator: AIOKafkaProducer, changelog: str, partition: int) -> int:
        """Fence every former owner. Returns the offset of the take-over record: recover up to it.

        No batch of this producer may be in flight. A rebalance may cut a take-over off anywhere, with its record on the way
        or the producer half started: what was begun goes on, and the next one waits for its end.
        """
        if self._taking is not None:
            await asyncio.wait([self._taking])
            if not self._taking.cancelled():
                self._taking.exception()  # whoever was cut off does not hear of it: else asyncio would complain
        self._taking = asyncio.create_task(
            self._take_over(coordinator, changelog, partition), name=f"take-over-{self._transactional_id}"
        )
        return await asyncio.shield(self._taking)

    async def _take_over(self, coordinator: AIOKafkaProducer, changelog: str, partition: int) -> int:
        identity = await init_producer_id(coordinator, self._transactional_id)
        manager = self._producer._txn_manager
        if self._started:
            manager._pid_and_epoch = identity
            manager._sequence_numbers.clear()
        else:
            manager.set_pid_and_epoch(*identity)
            await start_producer(self._producer)
            self._started = True
        return await self.write(changelog, partition, [(OWNER_KEY, b"%d/%d" % identity)])

    async def write(self, topic: str, partition: int, records: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Append records as one atomic batch and wait for all replicas. Returns the batch's base offset.

        Raises:
            ProducerFenced: a newer owner has taken over; this process must end.
            BatchTooLargeError: they do not fit into one batch; nothing was sent.
        """
        batch = self._producer.create_batch()
        append = batch.append
        for key, value in records:
            if append(key=key, value=value, timestamp=None) is None:
                message = f"{batch.size()} bytes in {batch.record_count()} records do not fit into one batch"
                raise BatchTooLargeError(message)
        batch.close()
        metadata = await (await submit(self._producer, batch, topic, partition))
        return int(metadata.offset)

    async def say(self, messages: Mapping[tuple[str, int], Sequence[Message]]) -> None:
        """Send messages, keeping their order within each (topic, partition), and wait for all of them."""
        await send_grouped(self._producer, messages)

    async def stop(self) -> None:
        """Close the connections; batches in flight are awaited."""
        if self._taking is not None and not self._taking.done():
            self._taking.cancel()
            await asyncio.wait([self._taking])
        await self._producer.stop()


async def send_grouped(
    producer: AIOKafkaProducer, messages: Mapping[tuple[str, int], Sequence[Message]]
) -> None:
    """Send messages grouped by (topic, partition) in few large batches (0.7 us a message against 7.4 by `send`).

    Order within a group is kept. Returns when every message is acknowledged; raises the first error.
    """
    await asyncio.gather(
        *(_send_group(producer, topic, partition, group) for (topic, partition), group in messages.items())
    )


async def _send_group(
    producer: AIOKafkaProducer, topic: str, partition: int, group: Sequence[Message]
) -> None:
    acknowledgements = []
    batch = producer.create_batch()
    for key, value, headers in group:
        if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
            batch.close()
            acknowledgements.append(await submit(producer, batch, topic, partition))
            batch = producer.create_batch()
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                message = (
                    f"one message of {len(value or b'')} bytes for {topic} is larger than a batch may be"
                )
                raise BatchTooLargeError(message)
    batch.close()
    acknowledgements.append(await submit(producer, batch, topic, partition))
    await asyncio.gather(*acknowledgements)
