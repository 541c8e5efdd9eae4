"""The newest events of an input topic, as the facts they would become."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.adapters import readers_of
from agents.carrier_tables import read_carrier_codes
from agents.envelopes import envelopes_of
from agents.kafka_connection import open_consumer
from agents.log_reading import POLL_MS, partitions_of
from agents.schema_registry import schemas_of
from agents.settings import Settings
from schemas.facts import FORGET_KEY, CaseCommand, ParcelFact, decode_parcel_fact, decode_return_record
from schemas.topics import InputKind
from schemas.vocabulary import Evidence, Milestone
from streams.check_digits import doubts_of
from streams.intake import DOUBTFUL_NUMBER, NO_EVENT, Acceptance, IntakeMapper
from streams.parcel_look import OWN_KEY

QUIET_POLLS = 10


class Sample(NamedTuple):
    """One input record and what intake makes of it."""

    where: str
    """`partition@offset`"""
    becomes: tuple[str, ...]
    """One line for each fact."""
    refused: str = ""
    """Why it would go to the dead letters, and what to do about it."""
    proves_nothing: bool = False
    """A carrier code that the tables do not know."""
    no_event: str = ""
    """A NoEvent: it is in order, and nothing is made of it."""


async def newest_samples(settings: Settings, topic: str, kind: InputKind, count: int) -> list[Sample]:
    """The newest `count` records of a topic, oldest first, through the same intake as in a worker."""
    partitions = await partitions_of(settings, topic)
    async with open_consumer(settings) as consumer:
        records = await _newest(consumer, partitions, count)
    envelopes = envelopes_of(settings.envelopes)
    schemas = await schemas_of(settings, [(record.topic, record.value) for record in records])
    acceptance = Acceptance(settings.max_future, settings.max_past, settings.max_record_bytes)
    codes, adapters = read_carrier_codes(settings.carrier_codes), readers_of(settings)
    mapper = IntakeMapper(codes, acceptance, adapters=adapters, envelopes=envelopes, schemas=schemas)
    return [_sample(mapper, record, kind) for record in records]


def _sample(mapper: IntakeMapper, record: Any, kind: InputKind) -> Sample:
    where = f"{record.partition}@{record.offset}"
    intake = mapper.map_chunk(
        [record], kind, record.timestamp, topic=record.topic, partition=record.partition
    )
    if intake.refused:
        refused = intake.refused[0]
        return Sample(where, (), f"{refused.reason.value}: {refused.detail}; {refused.action}")
    lines = tuple(_line(stage, key, value) for stage, key, value in intake.facts)
    if any(name == DOUBTFUL_NUMBER for name, _ in intake.counters):
        keys = dict.fromkeys(
            key.decode("utf-8", "replace") for stage, key, _ in intake.facts if stage == "parcels"
        )
        lines += tuple(doubts_of(keys))
    no_event = next((label for name, label in intake.counters if name == NO_EVENT), "")
    return Sample(
        where, lines, proves_nothing=any(name == "unmapped" for name, _ in intake.counters), no_event=no_event
    )


def _line(stage: str, key: bytes, value: bytes) -> str:
    if key == FORGET_KEY:
        return f"{stage}: forget the return, in all parcels"
    fact = decode_parcel_fact(value) if stage == "parcels" else decode_return_record(value)
    name = key.decode("utf-8", "replace")
    if isinstance(fact, CaseCommand):
        return f"{stage} {name.removeprefix(OWN_KEY)}: {fact.command.value} {fact.case_id and 'case ' + fact.case_id}".rstrip()
    if not hasattr(fact, "milestone"):
        return f"{stage} {name}"
    at = datetime.fromtimestamp(fact.occurred_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(fact, ParcelFact) and fact.milestone == Milestone.UNMAPPED:
        return f"{stage} {name}: unmapped code {fact.code!r} proves nothing, {at}"
    milestone = Milestone(fact.milestone).name.lower()
    seen = f" ({Evidence(fact.evidence).name.lower()})" if isinstance(fact, ParcelFact) else ""
    return f"{stage} {name}: {milestone}{seen}, {at}"


async def _newest(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], count: int) -> list[Any]:
    consumer.assign(list(partitions))
    firsts = await consumer.beginning_offsets(list(partitions))
    ends = await consumer.end_offsets(list(partitions))
    for each in partitions:
        consumer.seek(each, max(firsts[each], ends[each] - count))
    found: list[Any] = []
    for _ in range(QUIET_POLLS):
        # A deleted or compacted end has fewer records than offsets: stop at the position, not at a number.
        if all([await consumer.position(each) >= ends[each] for each in partitions]):
            break
        for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
            found += records
    found.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
    return found[-count:]
