"""Reads a topic from its start to where it ended when the reading began, and so comes to an end."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.errors import BrokerUnreachableError, Finding, TopicsError
from agents.kafka_connection import open_admin, partition_counts
from agents.settings import Settings

POLL_MS = 500
QUIET_POLLS = 60
"""After so many polls without progress (30 s) the partition's leader is taken for gone."""


async def partitions_of(settings: Settings, topic: str) -> list[TopicPartition]:
    """Partitions of a topic. Raises TopicsError if it does not exist."""
    async with open_admin(settings) as admin:
        count = (await partition_counts(admin)).get(topic)
    if count is not None:
        return [TopicPartition(topic, number) for number in range(count)]
    where = f"topic {topic}"
    why = "it is not there, or this user may not see it (Describe)"
    todo = "check --bootstrap-servers and --topic-prefix; on a new cluster run `returnwatch topics create`"
    raise TopicsError([Finding(where, "is missing", why, todo)])


async def read_to_end(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], *, since_ms: int = 0
) -> AsyncIterator[list[Any]]:
    """Chunks of records (aiokafka ConsumerRecord) up to the end offsets of now, in order per partition.

    `since_ms`: leave out those before the first with this timestamp or a later one.

    Raises:
        BrokerUnreachableError: a partition makes no progress for 30 s.
    """
    consumer.assign(list(partitions))
    await consumer.seek_to_beginning(*partitions)
    ends = await consumer.end_offsets(list(partitions))
    if since_ms > 0:
        for each, found in (await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))).items():
            consumer.seek(each, found.offset if found is not None else ends[each])
    waiting = set(partitions)
    quiet = 0
    while True:
        # A position also moves over transaction markers and compacted gaps, which bring no record.
        waiting = {each for each in waiting if await consumer.position(each) < ends[each]}
        if not waiting:
            return
        chunks = await consumer.getmany(timeout_ms=POLL_MS)
        quiet = 0 if chunks else quiet + 1
        if quiet > QUIET_POLLS:
            raise BrokerUnreachableError([_stuck(each, ends[each]) for each in sorted(waiting)])
        for partition, records in chunks.items():
            yield [record for record in records if record.offset < ends[partition]]


def _stuck(partition: TopicPartition, end: int) -> Finding:
    where = f"{partition.topic}/{partition.partition}"
    return Finding(where, f"cannot be read up to its end at {end}", todo="is the partition's leader up?")
