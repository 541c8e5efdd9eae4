"""Where every partition of both stages stands, as its changelog says: for a person who asks from outside."""

from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.kafka_connection import open_consumer
from agents.log_reading import POLL_MS, partitions_of
from agents.settings import Settings
from streams.watermark import POSITION_KEY, Position, decode_position

FEWEST_RECORDS, MORE = 2_000, 16
"""Every batch of a changelog begins with the position, so it is seldom far from the end."""
QUIET_POLLS = 20


class Stand(NamedTuple):
    """One partition's position; None: it has never written one."""

    stage: str
    number: int
    position: Position | None


async def read_stands(settings: Settings) -> list[Stand]:
    """The newest position of every partition. Raises TopicsError where a changelog does not exist."""
    names = settings.topics
    stands: list[Stand] = []
    async with open_consumer(settings) as consumer:
        for stage, topic in (("parcels", names.parcel_changelog), ("returns", names.return_changelog)):
            partitions = await partitions_of(settings, topic)
            stands += [Stand(stage, one.partition, await _newest(consumer, one)) for one in partitions]
    return stands


async def _newest(consumer: AIOKafkaConsumer, partition: TopicPartition) -> Position | None:
    consumer.assign([partition])
    first = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    records, found = FEWEST_RECORDS, None
    while found is None:
        start = max(first, end - records)
        found = await _last_between(consumer, partition, start, end)
        if start == first:
            break
        records *= MORE
    return decode_position(found) if found is not None else None


async def _last_between(
    consumer: AIOKafkaConsumer, partition: TopicPartition, start: int, end: int
) -> bytes | None:
    consumer.seek(partition, start)
    found: bytes | None = None
    quiet = 0
    while await consumer.position(partition) < end and quiet < QUIET_POLLS:
        chunks = await consumer.getmany(timeout_ms=POLL_MS)
        quiet = 0 if chunks else quiet + 1
        for record in (record for records in chunks.values() for record in records):
            if record.key == POSITION_KEY and record.offset < end:
                found = record.value
    return found
