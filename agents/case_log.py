"""The cases as they stand and as they changed, read from the topics that everybody else reads them from."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from aiokafka import TopicPartition

from agents.case_subject import state_key
from agents.kafka_connection import open_consumer
from agents.log_reading import partitions_of, read_to_end
from agents.settings import Settings
from schemas.outputs import Case, Escalation, decode_case, decode_escalation
from streams.keys import partition_of

MAX_REMEMBERED = 100_000
FETCH = {"max_partition_fetch_bytes": 4 * 1024 * 1024}


@dataclass(slots=True)
class CaseTable:
    """The current truth about every case."""

    cases: dict[str, Case] = field(default_factory=dict)
    """By case id."""
    unreadable: list[str] = field(default_factory=list)
    """`topic/partition@offset` of records that are not cases."""

    def apply(self, key: bytes | None, value: bytes | None, where: str) -> None:
        """Take in one record. A null value deletes its case; of several revisions the highest is the truth."""
        if key is None:
            self.unreadable.append(where)
            return
        case_id = key.decode("utf-8", "replace")
        if value is None:
            self.cases.pop(case_id, None)
            return
        try:
            case = decode_case(value)
        except msgspec.DecodeError:
            self.unreadable.append(where)
            return
        known = self.cases.get(case_id)
        if known is None or case.revision >= known.revision:
            self.cases[case_id] = case

    def now(self, clock: datetime) -> datetime:
        """The time that ages are told by: the clock's, or in a simulated future that of the newest change."""
        return max(clock, max((case.effective_at for case in self.cases.values()), default=clock))


async def read_cases(settings: Settings) -> CaseTable:
    """Every case in the `cases` topic as it stands now."""
    topic = settings.topics.cases
    partitions = await partitions_of(settings, topic)
    table = CaseTable()
    async with open_consumer(settings, **FETCH) as consumer:
        async for records in read_to_end(consumer, partitions):
            for record in records:
                where = f"{record.topic}/{record.partition}@{record.offset}"
                table.apply(record.key, record.value, where)
    return table


async def read_history(settings: Settings, cases: list[Case]) -> dict[str, list[Escalation]]:
    """Case id -> its changes by revision, each once, as far back as `escalations` keeps them."""
    topic = settings.topics.escalations
    partitions = await partitions_of(settings, topic)
    numbers = {partition_of(state_key(case), len(partitions)) for case in cases}
    wanted = {case.case_id: dict[int, Escalation]() for case in cases}
    async with open_consumer(settings, **FETCH) as consumer:
        async for records in read_to_end(
            consumer, [TopicPartition(topic, number) for number in sorted(numbers)]
        ):
            for record in records:
                change = _change(record.value)
                if change is not None and change.case_id in wanted:
                    wanted[change.case_id][change.revision] = change
    return {case_id: [changes[number] for number in sorted(changes)] for case_id, changes in wanted.items()}


async def follow_escalations(settings: Settings, *, from_start: bool) -> AsyncGenerator[Escalation]:
    """Changes as they are published, each once, until the caller stops."""
    partitions = await partitions_of(settings, settings.topics.escalations)
    seen = dict[tuple[str, int], None]()
    async with open_consumer(settings, **FETCH) as consumer:
        consumer.assign(partitions)
        await (consumer.seek_to_beginning if from_start else consumer.seek_to_end)(*partitions)
        while True:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                for record in records:
                    change = _change(record.value)
                    if change is None or (change.case_id, change.revision) in seen:
                        continue
                    seen[change.case_id, change.revision] = None
                    if len(seen) > MAX_REMEMBERED:
                        del seen[next(iter(seen))]
                    yield change


def _change(value: bytes | None) -> Escalation | None:
    if value is None:
        return None
    try:
        return decode_escalation(value)
    except msgspec.DecodeError:
        return None
