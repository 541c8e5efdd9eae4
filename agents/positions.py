"""Where every partition of both stages stands, as its changelog says: for a person who asks from outside."""

from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.errors import Finding, UnreadableStateError
from agents.kafka_connection import open_consumer
from agents.log_reading import POLL_MS, partitions_of
from agents.settings import Settings
from streams.state_version import NewerStateError
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
    """The newest position of every partition.

    Raises:
        TopicsError: a changelog does not exist.
        UnreadableStateError: newer versions have written some; all of them are named.
    """
    names = settings.topics
    stands: list[Stand] = []
    findings: list[Finding] = []
    async with open_consumer(settings) as consumer:
        for stage, topic in (("parcels", names.parcel_changelog), ("returns", names.return_changelog)):
            partitions = await partitions_of(settings, topic)
            for one in partitions:
                raw = await _newest(consumer, one)
                try:
                    position = position_of(f"{topic}/{one.partition}", raw) if raw is not None else None
                except UnreadableStateError as error:
                    findings += error.findings
                else:
                    stands.append(Stand(stage, one.partition, position))
    if findings:
        raise UnreadableStateError(findings)
    return stands


def position_of(where: str, raw: bytes) -> Position:
    """The position in a record. Raises UnreadableStateError when only a newer version can go on from it."""
    try:
        return decode_position(raw)
    except NewerStateError as error:
        raise UnreadableStateError([newer_state(where, error)]) from error


def newer_state(where: str, error: NewerStateError) -> Finding:
    """What to do about state of a newer version."""
    return Finding(
        where,
        str(error),
        "to go on from it would lose what only that version knows",
        "use the version of the workers, or a later one; there is no way back but a restored back-up (docs/state.md)",
    )


async def _newest(consumer: AIOKafkaConsumer, partition: TopicPartition) -> bytes | None:
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
    return found


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
