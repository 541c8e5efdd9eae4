"""What a real broker and aiokafka together must do for take-over, markers and outputs to be sound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import ProducerFenced

from agents.embedded_kafka import EmbeddedKafka
from agents.fencing import FencedProducer, new_producer

TAKE_OVER = "0004-take-over-and-delivery-guarantees"
MARKERS = "0003-watermark-and-markers"


@pytest.fixture
async def topic(kafka: EmbeddedKafka) -> str:
    return await new_topic(kafka, {})


async def new_topic(kafka: EmbeddedKafka, config: dict[str, str]) -> str:
    name = f"contract-{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=config)])
    finally:
        await admin.close()
    return name


@asynccontextmanager
async def started(client: Any) -> AsyncIterator[Any]:
    await client.start()
    try:
        yield client
    finally:
        with suppress(asyncio.CancelledError):  # aiokafka's stop() of a groupless consumer can raise one
            await client.stop()


@pytest.mark.seam("fenced producers", adr=TAKE_OVER)
async def test_after_a_take_over_the_broker_refuses_the_former_owner(
    kafka: EmbeddedKafka, topic: str
) -> None:
    connection = {"bootstrap_servers": kafka.bootstrap_servers}
    identity = f"contract-{uuid4().hex}"
    former, newer = FencedProducer(connection, identity), FencedProducer(connection, identity)
    async with started(new_producer(connection, "contract")) as coordinator:
        try:
            assert await former.take_over(coordinator, topic, 0) == 0
            assert await former.write(topic, 0, [(b"a", b"1"), (b"b", b"2")]) == 1
            assert await newer.take_over(coordinator, topic, 0) == 3
            with pytest.raises(ProducerFenced):
                await former.write(topic, 0, [(b"a", b"stale")])
            assert await newer.write(topic, 0, [(b"a", b"3")]) == 4
        finally:
            await newer.stop()
            with suppress(ProducerFenced):
                await former.stop()


@pytest.mark.seam("fenced producers", adr=TAKE_OVER)
async def test_an_owner_may_take_its_own_partition_over_again_and_go_on(
    kafka: EmbeddedKafka, topic: str
) -> None:
    connection = {"bootstrap_servers": kafka.bootstrap_servers}
    owner = FencedProducer(connection, f"contract-{uuid4().hex}")
    async with started(new_producer(connection, "contract")) as coordinator:
        try:
            assert await owner.take_over(coordinator, topic, 0) == 0
            assert await owner.write(topic, 0, [(b"a", b"1")]) == 1
            assert await owner.take_over(coordinator, topic, 0) == 2
            assert await owner.write(topic, 0, [(b"a", b"2")]) == 3
        finally:
            await owner.stop()


@pytest.mark.seam("markers", adr=MARKERS)
async def test_an_append_time_topic_answers_with_the_brokers_time(kafka: EmbeddedKafka, topic: str) -> None:
    stamped = await new_topic(kafka, {"message.timestamp.type": "LogAppendTime"})
    async with started(new_producer({"bootstrap_servers": kafka.bootstrap_servers}, "contract")) as producer:
        by_broker = await producer.send_and_wait(stamped, b"", timestamp_ms=1_000)
        by_client = await producer.send_and_wait(topic, b"", timestamp_ms=1_000)
    assert by_broker.timestamp_type == 1
    assert by_broker.timestamp > 1_000
    assert (by_client.timestamp_type, by_client.timestamp) == (0, 1_000)


@pytest.mark.seam("markers", adr=MARKERS)
async def test_only_an_uncommitted_probe_sees_the_end_behind_an_open_transaction(
    kafka: EmbeddedKafka, topic: str
) -> None:
    servers = kafka.bootstrap_servers
    partition = TopicPartition(topic, 0)
    transactional = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=f"contract-{uuid4().hex}")
    ends = {}
    async with started(transactional):
        await transactional.begin_transaction()
        await transactional.send_and_wait(topic, b"appended, not committed")
        for isolation in ("read_uncommitted", "read_committed"):
            async with started(
                AIOKafkaConsumer(bootstrap_servers=servers, isolation_level=isolation)
            ) as probe:
                ends[isolation] = (await probe.end_offsets([partition]))[partition]
        await transactional.abort_transaction()
    assert ends == {"read_uncommitted": 1, "read_committed": 0}


@pytest.mark.seam("chunk transport", adr="0002-engine-seams-on-faust")
async def test_a_position_moves_past_an_aborted_transaction_to_the_end(
    kafka: EmbeddedKafka, topic: str
) -> None:
    servers = kafka.bootstrap_servers
    partition = TopicPartition(topic, 0)
    transactional = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=f"contract-{uuid4().hex}")
    async with started(transactional):
        await transactional.begin_transaction()
        await transactional.send_and_wait(topic, b"never happened")
        await transactional.abort_transaction()
    async with started(
        AIOKafkaConsumer(bootstrap_servers=servers, isolation_level="read_committed")
    ) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        async with asyncio.timeout(90):
            while await consumer.position(partition) < end:
                assert not await consumer.getmany(timeout_ms=100)
    assert end == 2, "the record and the abort marker"
