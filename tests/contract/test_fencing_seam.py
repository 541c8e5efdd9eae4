"""What agents/fencing.py touches in aiokafka's producer, and what it asks a transaction coordinator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    InvalidProducerIdMapping,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    ProducerFenced,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator
from aiokafka.producer.transaction_manager import PidAndEpoch, TransactionManager
from aiokafka.protocol.transaction import InitProducerIdRequest

from agents.fencing import MAX_BATCH_BYTES, new_producer
from tests.contract.internals import names_used, parameters

pytestmark = pytest.mark.seam("fenced producers", adr="0004-take-over-and-delivery-guarantees")

PARTITION = TopicPartition("changelog", 0)


@pytest.fixture
async def producer() -> AsyncIterator[AIOKafkaProducer]:
    made = new_producer({"bootstrap_servers": "127.0.0.1:9"}, "contract")
    yield made
    made._closed = True  # never started: nothing to close, and nothing to warn about


async def test_an_idempotent_producer_has_a_manager_of_its_id_but_no_transactional_id(
    producer: AIOKafkaProducer,
) -> None:
    manager = producer._txn_manager
    assert isinstance(manager, TransactionManager)
    assert manager.transactional_id is None
    assert not manager.has_pid()


async def test_a_producer_that_is_given_an_id_before_its_start_asks_for_no_other(
    producer: AIOKafkaProducer,
) -> None:
    manager = producer._txn_manager
    manager.set_pid_and_epoch(41, 2)
    assert manager.has_pid()
    assert (manager.producer_id, manager.producer_epoch) == (41, 2)
    await asyncio.wait_for(manager.wait_for_pid(), 1)


async def test_a_later_epoch_starts_its_sequence_numbers_at_zero(producer: AIOKafkaProducer) -> None:
    manager = producer._txn_manager
    manager.set_pid_and_epoch(41, 2)
    manager.increment_sequence_number(PARTITION, 500)
    manager._pid_and_epoch = PidAndEpoch(41, 3)
    manager._sequence_numbers.clear()
    assert manager.producer_epoch == 3
    assert manager.sequence_number(PARTITION) == 0


async def test_a_batch_that_waits_for_a_leader_never_expires(producer: AIOKafkaProducer) -> None:
    assert isinstance(producer._message_accumulator, MessageAccumulator)
    waiting = producer._message_accumulator._append_batch(producer.create_batch(), PARTITION)
    waiting._ctime -= 10 * 365 * 86_400
    assert not waiting.expired()


async def test_a_full_batch_says_so_and_keeps_what_it_has(producer: AIOKafkaProducer) -> None:
    batch = producer.create_batch()
    assert isinstance(batch, BatchBuilder)
    half = bytes(MAX_BATCH_BYTES // 2)
    assert batch.append(key=b"k", value=half, timestamp=None, headers=[("h", b"x")]) is not None
    assert batch.append(key=b"k", value=half, timestamp=None) is None
    assert batch.record_count() == 1
    assert batch.size() > len(half)
    batch.close()
    assert batch.append(key=b"k", value=b"", timestamp=None) is None


def test_the_request_for_a_producer_id_still_takes_what_we_give() -> None:
    request = InitProducerIdRequest(transactional_id="returnwatch-parcels-0", transaction_timeout_ms=60_000)
    built = request.build(InitProducerIdRequest.CLASSES[0])
    assert built.transactional_id == "returnwatch-parcels-0"
    assert {"error_code", "producer_id", "producer_epoch"} <= set(built.RESPONSE_TYPE.SCHEMA.names)


async def test_the_client_still_finds_a_coordinator_and_speaks_to_it(producer: AIOKafkaProducer) -> None:
    assert parameters(AIOKafkaClient.coordinator_lookup) == ["self", "coordinator_type", "coordinator_key"]
    assert parameters(AIOKafkaClient.send) == ["self", "node_id", "request", "group"]
    assert CoordinationType.TRANSACTION in CoordinationType
    assert ConnectionGroup.COORDINATION
    assert isinstance(producer.client, AIOKafkaClient)


def test_a_batch_is_sent_whole_and_its_place_is_awaited() -> None:
    assert parameters(AIOKafkaProducer.send_batch) == ["self", "batch", "topic", "partition"]
    assert "KafkaTimeoutError" in names_used(MessageAccumulator.add_batch), (
        "a batch not accepted is tried again"
    )


def test_errors_say_whether_to_try_again() -> None:
    assert KafkaConnectionError().retriable
    assert not ProducerFenced().retriable
    assert not for_code(TransactionalIdAuthorizationFailed.errno)().retriable
    assert for_code(ConcurrentTransactions.errno) is ConcurrentTransactions
    assert issubclass(KafkaTimeoutError, KafkaError)
    assert issubclass(InvalidProducerIdMapping, KafkaError)
