"""Take-over of a partition on a real broker: who was replaced cannot write any more, whatever it was doing."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import ProducerFenced

from agents.embedded_kafka import EmbeddedKafka
from agents.fencing import (
    MAX_BATCH_BYTES,
    OWNER_KEY,
    BatchTooLargeError,
    FencedProducer,
    Message,
    new_producer,
    send_grouped,
    start_producer,
)
from streams.watermark import POSITION_KEY

pytestmark = pytest.mark.kafka

Connection = dict[str, Any]


@pytest.fixture
def connection(kafka: EmbeddedKafka) -> Connection:
    return {"bootstrap_servers": kafka.bootstrap_servers}


@pytest.fixture
async def coordinator(connection: Connection) -> AsyncIterator[AIOKafkaProducer]:
    producer = new_producer(connection, "test-coordinator")
    await start_producer(producer)
    yield producer
    await producer.stop()


@pytest.fixture
async def topic(connection: Connection) -> str:
    return await _new_topic(connection)


NewOwner = Callable[[], FencedProducer]


@pytest.fixture
async def new_owner(connection: Connection, topic: str) -> AsyncIterator[NewOwner]:
    """Owners of partition 0 of the topic; none of them knows of the others."""
    owners: list[FencedProducer] = []

    def make() -> FencedProducer:
        owners.append(FencedProducer(connection, f"{topic}-0"))
        return owners[-1]

    yield make
    for owner in owners:
        with suppress(ProducerFenced):
            await owner.stop()


async def _new_topic(connection: Connection, **config: str) -> str:
    name = f"changelog-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(**connection)
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic(name, 2, 1, topic_configs={"cleanup.policy": "compact", **config})]
        )
    finally:
        await admin.close()
    return name


async def _read(connection: Connection, topic: str, partition: int = 0) -> list[Any]:
    consumer = AIOKafkaConsumer(**connection, enable_auto_commit=False)
    await consumer.start()
    try:
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        consumer.seek(tp, 0)
        end = (await consumer.end_offsets([tp]))[tp]
        records: list[Any] = []
        while await consumer.position(tp) < end:
            for chunk in (await consumer.getmany(timeout_ms=300)).values():
                records += chunk
        return records
    finally:
        await _stop(consumer.stop)


async def _stop(stop: Callable[[], Awaitable[None]]) -> None:
    with suppress(asyncio.CancelledError):  # a groupless consumer's own, when stopped right after its start
        await stop()


# -- what one owner can rely on


async def test_the_take_over_record_is_the_first_thing_in_the_log(
    connection: Connection, coordinator: AIOKafkaProducer, topic: str, new_owner: NewOwner
) -> None:
    assert await new_owner().take_over(coordinator, topic, 0) == 0
    assert [record.key for record in await _read(connection, topic)] == [OWNER_KEY]


async def test_a_batch_is_appended_whole_and_in_order_and_tells_its_base_offset(
    connection: Connection, coordinator: AIOKafkaProducer, topic: str, new_owner: NewOwner
) -> None:
    owner = new_owner()
    taken = await owner.take_over(coordinator, topic, 0)
    records: list[tuple[bytes, bytes | None]] = [(b"k%d" % n, b"v" * 200) for n in range(3_000)]
    records.append((b"gone", None))
    assert await owner.write(topic, 0, records) == taken + 1
    assert [(record.key, record.value) for record in (await _read(connection, topic))[1:]] == records
    assert await owner.write(topic, 0, [(b"next", b"")]) == taken + 1 + len(records)


async def test_a_batch_that_does_not_fit_is_not_sent_and_poisons_nothing(
    connection: Connection, coordinator: AIOKafkaProducer, topic: str, new_owner: NewOwner
) -> None:
    owner = new_owner()
    await owner.take_over(coordinator, topic, 0)
    with pytest.raises(BatchTooLargeError):
        await owner.write(topic, 0, [(b"k%d" % n, b"v" * 1_000) for n in range(MAX_BATCH_BYTES // 1_000 + 1)])
    assert await owner.write(topic, 0, [(b"small", b"")]) == 1
    assert [record.key for record in await _read(connection, topic)] == [OWNER_KEY, b"small"]


async def test_what_is_said_keeps_its_order_over_many_batches(
    connection: Connection, coordinator: AIOKafkaProducer, topic: str, new_owner: NewOwner
) -> None:
    owner = new_owner()
    await owner.take_over(coordinator, topic, 0)
    said: list[Message] = [
        (b"k%d" % (n % 7), b"%d" % n + b" " * 900, [("n", b"%d" % n)]) for n in range(3_000)
    ]
    await owner.say({(topic, 1): said})
    read = await _read(connection, topic, 1)
    assert [(record.key, record.value) for record in read] == [(key, value) for key, value, _ in said]
    assert read[5].headers == (("n", b"5"),)


async def test_taking_over_again_keeps_an_owner_at_work(
    connection: Connection, coordinator: AIOKafkaProducer, topic: str, new_owner: NewOwner
) -> None:
    owner = new_owner()
    await owner.take_over(coordinator, topic, 0)
    await owner.write(topic, 0, [(b"a", b"1")])
    assert await owner.take_over(coordinator, topic, 0) == 2
    assert await owner.write(topic, 0, [(b"a", b"2")]) == 3
    await owner.say({(topic, 1): [(b"out", b"", [])]})
    keys = [record.key for record in await _read(connection, topic)]
    assert keys == [OWNER_KEY, b"a", OWNER_KEY, b"a"]


async def test_a_take_over_that_was_cut_off_anywhere_is_made_up_for(
    connection: Connection, coordinator: AIOKafkaProducer, topic: str, new_owner: NewOwner
) -> None:
    """A rebalance cuts it off at any of its steps: the next must neither fail nor meet the first one's record."""
    for steps in range(60):
        owner = new_owner()
        cut = asyncio.create_task(owner.take_over(coordinator, topic, 0))
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        cut.cancel()
        with suppress(asyncio.CancelledError):
            await cut
        taken = await owner.take_over(coordinator, topic, 0)
        assert await owner.write(topic, 0, [(b"step", b"%d" % steps)]) == taken + 1
    records = await _read(connection, topic)
    assert [int(record.value) for record in records if record.key == b"step"] == list(range(60))


# -- who was replaced


async def test_a_replaced_owner_can_write_neither_state_nor_output(
    connection: Connection, coordinator: AIOKafkaProducer, topic: str, new_owner: NewOwner
) -> None:
    """It had written outputs before; its late outbox must be refused as well as its late state."""
    old, new = new_owner(), new_owner()
    await old.take_over(coordinator, topic, 0)
    await old.say({(topic, 1): [(b"case", b"old", [])]})
    await new.take_over(coordinator, topic, 0)
    await new.say({(topic, 1): [(b"case", b"new", [])]})
    with pytest.raises(ProducerFenced):
        await old.say({(topic, 1): [(b"case", b"stale", [])]})
    with pytest.raises(ProducerFenced):
        await old.write(topic, 0, [(b"state", b"stale")])
    assert [record.value for record in await _read(connection, topic, 1)] == [b"old", b"new"]
    assert b"stale" not in [record.value for record in await _read(connection, topic)]


async def test_owners_of_different_partitions_do_not_fence_each_other(
    connection: Connection, coordinator: AIOKafkaProducer, topic: str
) -> None:
    owners = [FencedProducer(connection, f"{topic}-{partition}") for partition in (0, 1)]
    for partition, owner in enumerate(owners):
        await owner.take_over(coordinator, topic, partition)
    for partition, owner in enumerate(owners):
        assert await owner.write(topic, partition, [(b"a", b"1")]) == 1
        await owner.stop()


# -- owners that race


@dataclass
class Round:
    """One changelog partition, and owners who each believe it is theirs."""

    connection: Connection
    topic: str
    seed: int
    facts: list[bytes]
    fenced: int = 0
    batches: int = 0
    errors: list[BaseException] = field(default_factory=list)

    def truth(self, upto: int) -> dict[bytes, list[int]]:
        """The state that the first facts make: per key, the numbers of its facts."""
        state: dict[bytes, list[int]] = {}
        for number, key in enumerate(self.facts[:upto]):
            state.setdefault(key, []).append(number)
        return state

    async def own(self, coordinator: AIOKafkaProducer, rnd: random.Random) -> None:
        """Take over, recover, work on to the end or until somebody else has taken over."""
        producer = FencedProducer(self.connection, f"{self.topic}-0")
        try:
            taken = await producer.take_over(coordinator, self.topic, 0)
            records = await _read(self.connection, self.topic)
            position, state = _fold(record for record in records if record.offset < taken)
            while position < len(self.facts):
                ahead = min(len(self.facts), position + rnd.randint(1, 12))
                changed: dict[bytes, None] = {}
                for number in range(position, ahead):
                    state.setdefault(self.facts[number], []).append(number)
                    changed[self.facts[number]] = None
                await asyncio.sleep(rnd.choice((0, 0, 0, 0.002, 0.02)))
                batch: list[tuple[bytes, bytes | None]] = [(POSITION_KEY, b"%d" % ahead)]
                batch += [(key, msgspec.json.encode(state[key])) for key in changed]
                await producer.write(self.topic, 0, batch)
                position = ahead
                self.batches += 1
        except ProducerFenced:
            self.fenced += 1
        finally:
            with suppress(ProducerFenced):
                await producer.stop()


def _fold(records: Iterable[Any]) -> tuple[int, dict[bytes, list[int]]]:
    position, state = 0, {}
    for record in records:
        if record.key == POSITION_KEY:
            position = int(record.value)
        elif record.key != OWNER_KEY:
            state[record.key] = msgspec.json.decode(record.value, type=list[int])
    return position, state


async def _race(connection: Connection, coordinator: AIOKafkaProducer, seed: int) -> Round:
    rnd = random.Random(seed)
    topic = await _new_topic(connection)
    contest = Round(connection, topic, seed, [b"k%d" % rnd.randrange(30) for _ in range(400)])
    owners = []
    for _ in range(5):
        owners.append(asyncio.create_task(contest.own(coordinator, random.Random(rnd.random()))))
        await asyncio.sleep(rnd.random() * 0.12)
    await asyncio.gather(*owners)
    return contest


@pytest.mark.parametrize(
    "rounds", [pytest.param(3, id="short"), pytest.param(20, id="long", marks=pytest.mark.slow)]
)
async def test_owners_racing_for_a_partition_leave_one_linear_history(
    connection: Connection, coordinator: AIOKafkaProducer, rounds: int
) -> None:
    fenced = 0
    for seed in range(rounds):
        contest = await _race(connection, coordinator, seed)
        records = await _read(connection, contest.topic)
        position, state = _fold(records)
        assert position == len(contest.facts), f"seed {seed}"
        assert state == contest.truth(position), f"seed {seed}: a fact was lost or counted twice"
        positions = [int(record.value) for record in records if record.key == POSITION_KEY]
        assert positions == sorted(positions), f"seed {seed}: the history went back"
        assert len(positions) == contest.batches, f"seed {seed}: a batch that nobody was told of"
        fenced += contest.fenced
    assert fenced >= 2 * rounds, "the owners hardly raced: the test shows nothing"


async def test_without_take_over_the_same_race_would_lose_facts(connection: Connection, topic: str) -> None:
    """What the fence is for: two plain idempotent producers, and the slower one writes its old state over the newer."""
    slow, quick = new_producer(connection, "slow"), new_producer(connection, "quick")
    for producer in (slow, quick):
        await start_producer(producer)
    await send_grouped(quick, {(topic, 0): [(b"parcel", b"two facts", [])]})
    await send_grouped(slow, {(topic, 0): [(b"parcel", b"one fact", [])]})
    assert (await _read(connection, topic))[-1].value == b"one fact"
    for producer in (slow, quick):
        await producer.stop()


# -- the broker goes away


async def test_a_write_waits_for_a_paused_broker_and_is_appended_once(own_kafka: EmbeddedKafka) -> None:
    connection: Connection = {"bootstrap_servers": own_kafka.bootstrap_servers}
    topic = await _new_topic(connection)
    coordinator = new_producer(connection, "test-coordinator")
    await start_producer(coordinator)
    owner = FencedProducer(connection, f"{topic}-0")
    await owner.take_over(coordinator, topic, 0)
    own_kafka.pause()
    writing = asyncio.create_task(owner.write(topic, 0, [(b"a", b"1"), (b"b", b"2")]))
    saying = asyncio.create_task(owner.say({(topic, 1): [(b"out", b"", [])]}))
    await asyncio.sleep(2)
    assert not writing.done()
    own_kafka.resume()
    assert await writing == 1
    await saying
    assert [record.key for record in await _read(connection, topic)] == [OWNER_KEY, b"a", b"b"]
    assert len(await _read(connection, topic, 1)) == 1
    await owner.stop()
    await coordinator.stop()


async def test_a_killed_broker_costs_an_owner_time_and_nothing_else(own_kafka: EmbeddedKafka) -> None:
    connection: Connection = {"bootstrap_servers": own_kafka.bootstrap_servers}
    topic = await _new_topic(connection)
    coordinator = new_producer(connection, "test-coordinator")
    await start_producer(coordinator)
    owner = FencedProducer(connection, f"{topic}-0")
    await owner.take_over(coordinator, topic, 0)
    await owner.write(topic, 0, [(b"a", b"1")])
    own_kafka.kill()
    writing = asyncio.create_task(owner.write(topic, 0, [(b"b", b"2")]))
    taking = asyncio.create_task(FencedProducer(connection, "another").take_over(coordinator, topic, 1))
    await asyncio.sleep(3)
    assert not writing.done()
    assert not taking.done()
    await asyncio.to_thread(own_kafka.start)
    assert await asyncio.wait_for(writing, 60) == 2
    await asyncio.wait_for(taking, 60)
    assert await owner.write(topic, 0, [(b"c", b"3")]) == 3
    await owner.stop()
    await coordinator.stop()
