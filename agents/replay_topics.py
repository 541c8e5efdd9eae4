"""Recorded events from the input topics of a cluster: all that they hold, or what was appended in a range of time."""

from collections.abc import Callable, Sequence
from datetime import datetime

from aiokafka.structs import ConsumerRecord

from agents.errors import Finding, ReplayError
from agents.explain_log import FETCH
from agents.kafka_connection import open_consumer, reachable
from agents.log_reading import partitions_of, read_to_end
from agents.replay_reading import Recorded, in_order
from agents.schema_registry import schemas_of
from agents.settings import Settings
from schemas.topics import InputKind
from schemas.vocabulary import DeadLetterReason
from streams.epoch import epoch_ms
from streams.wire_format import Schemas, Unusable


async def read_topics(
    settings: Settings,
    since_at: datetime | None,
    before_at: datetime | None,
    told: Callable[[int], None],
) -> list[Recorded]:
    """Every record with a timestamp from `since_at` to before `before_at`, the first first.

    `told`: called with the number of records read so far.

    Raises:
        ReplayError: there are none.
        TopicsError: a topic is missing.
    """
    since_ms = _ms(since_at) if since_at is not None else 0
    before_ms = _ms(before_at) if before_at is not None else 1 << 62
    records: list[Recorded] = []
    await reachable(settings)
    async with open_consumer(settings, **FETCH) as consumer:
        for topic, kind in settings.topics.kinds().items():
            partitions = await partitions_of(settings, topic)
            async for chunk in read_to_end(consumer, partitions, since_ms=since_ms):
                records += [_recorded(one, kind) for one in chunk if since_ms <= one.timestamp < before_ms]
                told(len(records))
    if not records:
        where = ", ".join(settings.topics.kinds())
        todo = "check --from, --to and the names of the topics"
        raise ReplayError([Finding(where, "no records", "a replay of nothing would say nothing", todo)])
    return in_order(records)


async def schemas_of_records(
    settings: Settings, records: "Sequence[Recorded | ConsumerRecord[bytes, bytes]]"
) -> Schemas:
    """Return the schemas that recorded events are written with.

    Raises:
        ReplayError: the registry cannot be asked: a replay without these records would tell something else.
    """
    schemas = await schemas_of(settings, [(one.topic, one.value) for one in records])
    for known in schemas.values():
        if isinstance(known, Unusable) and known.reason is DeadLetterReason.SCHEMA_REGISTRY_UNAVAILABLE:
            why = "events that cannot be read would be missing in what is told"
            todo = "correct its address or credentials; `returnwatch check --connect` tells how it answers"
            raise ReplayError([Finding("schema_registry_url", known.detail, why, todo)])
    return schemas


def _recorded(one: "ConsumerRecord[bytes, bytes]", kind: InputKind) -> Recorded:
    return Recorded(
        one.timestamp, kind, one.topic, one.partition, one.offset, one.value, tuple(one.headers), one.key
    )


def _ms(at: datetime) -> int:
    return epoch_ms(at)
