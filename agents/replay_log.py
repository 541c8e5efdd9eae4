"""`returnwatch replay --log`: what `parcels` and `returns` hold goes through the same stages again, in memory, and what these say
is compared with what the workers have said: the same to the byte, or the code decides otherwise than it did.
"""

from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich import box
from rich.table import Table

from agents.errors import Finding, ReplayError
from agents.explain_log import FETCH
from agents.kafka_connection import open_consumer, reachable, run
from agents.log_reading import partitions_of, read_to_end
from agents.positions import position_of
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.stage import StageTopics
from agents.stage_topics import parcels_topics, returns_topics
from agents.terminal import out, say
from agents.virtual_time import Store
from schemas.facts import ParcelReport, decode_return_record
from streams.keys import partition_of
from streams.logic import Logic
from streams.parcel_stage import parcel_logic
from streams.partition import Outgoing, Partition
from streams.return_stage import return_logic
from streams.watermark import POSITION_KEY

MOST_SHOWN = 20
COMPACTED = frozenset({"cases", "journeys", "kpis"})
COLUMNS = ("same", "said again", "gone since", "missing", "different")


class Said(NamedTuple):
    """A message as it is in a topic."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class Likeness:
    """How what was said is like what the replay says."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLUMNS, 0))
    different: list[str] = field(default_factory=list)
    """Where, and of which key."""

    def add(self, other: "Likeness") -> None:
        """Add the counts of another partition."""
        for name, count in other.counts.items():
            self.counts[name] += count
        self.different += other.different


def replay_log(flags: Mapping[str, object]) -> int:
    """Replay the log, show how it compares; 1 when anything differs.

    Raises:
        ReplayError: the log no longer begins at its beginning.
    """
    settings = load_settings(flags)
    found = run(_of_cluster(settings))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("messages", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for name, likeness in found.items():
        table.add_row(name, *(f"{count:,}" if count else "-" for count in likeness.counts.values()))
    out.print(table)
    different = [one for likeness in found.values() for one in likeness.different]
    for one in different[:MOST_SHOWN]:
        say(one)
    return 1 if different else 0


async def _of_cluster(settings: Settings) -> dict[str, Likeness]:
    await reachable(settings)
    async with open_consumer(settings, **FETCH) as consumer:
        return await replayed(settings, consumer)


async def replayed(settings: Settings, consumer: AIOKafkaConsumer) -> dict[str, Likeness]:
    """Kind of message -> how what the workers said of it is like what the replay says."""
    logs = Logs(settings, consumer)
    names = settings.topics
    count = len(await partitions_of(settings, names.parcels))
    reports = await logs.said_by(parcels_topics(settings), lambda: parcel_logic(count))
    returns = len(await partitions_of(settings, names.returns))
    told = await logs.said_by(returns_topics(settings), lambda: return_logic(returns))
    found = {"reports": await _reports(logs, names.returns, reports, count)}
    for role, (topic, _) in returns_topics(settings).outputs.items():
        likeness = found[role] = Likeness()
        for tp in await partitions_of(settings, topic):
            expected = [_said(one) for one in told[tp.partition] if one.topic == role]
            live = [(record.offset, _read(record)) async for record in logs.records(tp)]
            trimmed = role in COMPACTED or await logs.first_offset(tp) > 0
            likeness.add(compare(expected, live, f"{tp.topic}/{tp.partition}", may_be_gone=trimmed))
    return found


async def _reports(logs: "Logs", topic: str, told: Mapping[int, Sequence[Outgoing]], count: int) -> Likeness:
    """What each partition of the parcel stage wrote to each of `returns`."""
    likeness = Likeness()
    partitions = await partitions_of(logs.settings, topic)
    for tp in partitions:
        live: dict[int, list[tuple[int, Said]]] = {number: [] for number in told}
        async for record in logs.records(tp):
            parcel = _reporting(record)
            if parcel is not None:
                live[partition_of(parcel.encode(), count)].append((record.offset, _read(record)))
        for number, said in told.items():
            mine = [_said(one) for one in said if partition_of(one.key, len(partitions)) == tp.partition]
            where = f"{tp.topic}/{tp.partition}"
            likeness.add(compare(mine, live[number], where, may_be_gone=False, same=_revision))
    return likeness


class Logs:
    """Topics of a cluster, each read as far as it goes now."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer) -> None:
        self.settings, self._consumer = settings, consumer

    async def records(self, tp: TopicPartition) -> AsyncIterator[Any]:
        """Every record of a partition."""
        async for records in read_to_end(self._consumer, [tp]):
            for record in records:
                yield record

    async def first_offset(self, tp: TopicPartition) -> int:
        """Where a partition begins."""
        first: dict[TopicPartition, int] = await self._consumer.beginning_offsets([tp])
        return first[tp]

    async def said_by(self, topics: StageTopics, new_logic: Callable[[], Logic]) -> dict[int, list[Outgoing]]:
        """Partition -> what a stage says to the records that its workers have worked through."""
        said = {}
        for tp in await partitions_of(self.settings, topics.input):
            first = await self.first_offset(tp)
            if first:
                what = f"begins at offset {first:,}, and what was before is gone"
                why = "a state is made of all its records"
                todo = "replay the input topics, or a log that is whole; see docs/replay.md"
                raise ReplayError([Finding(f"{tp.topic}/{tp.partition}", what, why, todo)])
            reached = await self._reached(TopicPartition(topics.changelog, tp.partition))
            engine = Partition(
                new_logic(),
                tp.partition,
                position=None,
                policy=None,
                sources=topics.sources,
                secret=self.settings.forget_key.get_secret_value().encode(),
            )
            said[tp.partition] = await self._said(tp, engine, reached)
        return said

    async def _said(self, tp: TopicPartition, engine: Partition, reached: int) -> list[Outgoing]:
        said: list[Outgoing] = []
        store = Store()
        async for chunk in read_to_end(self._consumer, [tp]):
            records = [record for record in chunk if record.offset < reached]
            start, end = 0, records[-1].offset + 1 if records else 0
            while engine.next_offset < end:
                batch = engine.step(records, start, store, end)
                store.apply(batch)
                said += batch.outgoing
                start += batch.consumed
        return said

    async def _reached(self, changelog: TopicPartition) -> int:
        """How far the workers have come."""
        reached = 0
        async for record in self.records(changelog):
            if record.key == POSITION_KEY and record.value is not None:
                reached = position_of(changelog.topic, record.value).next_offset
        return reached


def _itself(said: Said) -> Hashable:
    return said


def compare(
    expected: Sequence[Said],
    live: Iterable[tuple[int, Said]],
    where: str,
    *,
    may_be_gone: bool,
    same: Callable[[Said], Hashable] = _itself,
) -> Likeness:
    """How (offset, message) of one partition is like what is expected there, in order.

    After a crash messages are said again: what is the `same` as one before. `may_be_gone`: retention or compaction may
    have removed messages.
    """
    places: dict[Said, list[int]] = {}
    for place, one in enumerate(expected):
        places.setdefault(one, []).append(place)
    likeness, at, before = Likeness(), 0, set[Hashable]()
    counts = likeness.counts
    for offset, one in live:
        ahead = places.get(one, [])
        following = bisect_left(ahead, at)
        if (same(one) in before and expected[at : at + 1] != [one]) or following == len(ahead):
            again = same(one) in before
            counts["said again" if again else "different"] += 1
            if not again:
                likeness.different.append(f"{where}@{offset}: the replay does not say this of {_name(one)}")
            continue
        skipped = expected[at : ahead[following]]
        counts["gone since" if may_be_gone else "missing"] += len(skipped)
        likeness.different += _missing(skipped, where, may_be_gone=may_be_gone)
        counts["same"] += 1
        at = ahead[following] + 1
        before.add(same(one))
    counts["missing"] += len(expected) - at
    likeness.different += _missing(expected[at:], where, may_be_gone=False)
    return likeness


def _missing(expected: Sequence[Said], where: str, *, may_be_gone: bool) -> list[str]:
    return [] if may_be_gone else [f"{where}: only the replay says this of {_name(one)}" for one in expected]


def _name(said: Said) -> str:
    return (said.key or b"").decode(errors="replace")


def _said(message: Outgoing) -> Said:
    return Said(message.key, message.value, tuple((name, bytes(value)) for name, value in message.headers))


def _read(record: Any) -> Said:
    return Said(record.key, record.value, tuple(record.headers))


def _reporting(record: Any) -> str | None:
    """The parcel whose report a record of `returns` is."""
    if not record.key or not record.key[0] or record.value is None:
        return None
    try:
        told = decode_return_record(record.value)
    except msgspec.MsgspecError:
        return None
    return told.parcel if isinstance(told, ParcelReport) else None


def _revision(said: Said) -> Hashable:
    """A report that is said again after a crash may know of a newer last scan."""
    report = decode_return_record(said.value or b"")
    return (said.key, report.parcel, report.revision) if isinstance(report, ParcelReport) else said
