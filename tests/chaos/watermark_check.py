"""What a watermark promises, checked on the logs themselves, by a reading of the markers that shares no code with ours.

Promise: where a partition's watermark reaches W, everything that was appended to any input before W, and that belongs
to the partition, lies before that place of its log. For `returns` the reports of parcels belong to it too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from agents.settings import Settings
from schemas.carrier_codes import load_carrier_codes
from schemas.vocabulary import Evidence, Milestone
from streams.intake import IntakeMapper
from streams.keys import partition_of
from streams.watermark import PARCELS_SOURCE, POSITION_KEY, decode_position
from tests.chaos.installation import read_all

MARKER, POLICY = b"\x00marker", b"\x00policy"
PHYSICAL = (Evidence.AGENT_SCAN, Evidence.CARRIER_SCAN)

Proof = tuple[object, ...]
"""What must be found in a partition's log: a fact, by its event's coordinates; or a report, by parcel and return."""


class Due(NamedTuple):
    """`proof` must lie before every place where the watermark is above `appended_ms`."""

    appended_ms: int
    proof: Proof


VISIBLE_WITHIN_MS = 250
"""What `skew` is for: a broker dates a batch before it lets readers see it. 7 ms were seen once, on a busy machine, and taken for
that; it was not proved. A watermark that is wrong by less than this is not found here; the planted mistakes still are."""


@dataclass
class Verdict:
    """What was found in all logs of an installation."""

    violations: list[str] = field(default_factory=list)
    """An event or report that a watermark passed."""
    wrong_positions: list[str] = field(default_factory=list)
    """A changelog whose watermark is not the one of its log's prefix, or that went back."""
    missing: list[str] = field(default_factory=list)
    """Never processed, although the log is behind it by the end."""
    events: int = 0
    advances: int = 0
    """How often a watermark moved, all partitions together."""
    positions: int = 0

    def __str__(self) -> str:
        return (
            f"{self.events} events, {self.advances} advances, {self.positions} positions: "
            f"{len(self.violations)} violations, {len(self.wrong_positions)} wrong positions, "
            f"{len(self.missing)} never processed"
        )


class MarkerReading:
    """The watermark by the letter of docs/adr/0003: the least of the newest marks of all sources there are."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._sources = frozenset(sources)
        self._marks: dict[tuple[str, int], int] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._has_policy = False
        self.watermark_ms = 0

    def read(self, record: Any) -> None:
        """Take one record of the log in."""
        if record.key == POLICY:
            self._has_policy = True
        if record.key != MARKER:
            return
        marker = json.loads(record.value)
        for topic, count in marker["roster"].items():
            self._counts[topic] = max(self._counts[topic], count)
        for mark in marker["marks"]:
            source = (mark["topic"], mark["partition"])
            self._counts[source[0]] = max(self._counts[source[0]], source[1] + 1)
            self._marks[source] = max(self._marks.get(source, 0), mark["through_ms"])
        if self._has_policy and self._sources <= self._counts.keys():
            every = [(topic, number) for topic, count in self._counts.items() for number in range(count)]
            self.watermark_ms = max(self.watermark_ms, min(self._marks.get(source, 0) for source in every))


class Dues:
    """What every partition owes, by the inputs as they are in the log at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._mapper = IntakeMapper(load_carrier_codes())
        self._kinds = settings.topics.kinds()
        self._counts = {"parcels": settings.parcels_partitions, "returns": settings.returns_partitions}
        self._labels: dict[tuple[str, str], int] = {}
        self._scans: dict[str, int] = {}
        self.events = 0
        self.of: dict[tuple[str, int], list[Due]] = defaultdict(list)
        """(stage, partition) -> dues."""

    def add(self, tp: TopicPartition, record: Any) -> None:
        """Take an input record in."""
        self.events += 1
        kind = self._kinds[tp.topic]
        taken = self._mapper.map_chunk(
            [record], kind, record.timestamp, topic=tp.topic, partition=tp.partition
        )
        proof = (tp.topic, tp.partition, record.offset)
        for stage, key, value in taken.facts:
            where = (str(stage), partition_of(key, self._counts[str(stage)]))
            self.of[where].append(Due(record.timestamp, proof))
            if stage == "parcels":
                self._note(key.decode(), json.loads(value), record.timestamp)

    def _note(self, parcel: str, fact: dict[str, Any], appended_ms: int) -> None:
        if fact["milestone"] == Milestone.LABEL_CREATED:
            for return_id in fact["label"]["returns"]:
                earliest = self._labels.get((parcel, return_id), appended_ms)
                self._labels[parcel, return_id] = min(earliest, appended_ms)
        elif fact["evidence"] in PHYSICAL:
            self._scans[parcel] = min(self._scans.get(parcel, appended_ms), appended_ms)

    def add_reports(self) -> None:
        """When every input is in: each return is owed the reports of its parcels, with a first scan if there is one."""
        for (parcel, return_id), labelled_ms in self._labels.items():
            where = ("returns", partition_of(return_id.encode(), self._counts["returns"]))
            self.of[where].append(Due(labelled_ms, ("report", parcel, return_id)))
            if parcel in self._scans:
                due_ms = max(labelled_ms, self._scans[parcel])
                self.of[where].append(Due(due_ms, ("scanned", parcel, return_id)))


def proofs(record: Any) -> list[Proof]:
    """What a record of `parcels` or `returns` proves to be there."""
    if record.key[:1] == b"\x00":
        return []
    value = json.loads(record.value)
    if value.get("kind") != "report":
        return [tuple(value["source"])]
    about = (value["parcel"], record.key.decode())
    return [("report", *about)] + ([("scanned", *about)] if value.get("first_scan_ms") else [])


def check_partition(
    name: str, records: Sequence[Any], sources: Iterable[str], dues: list[Due], verdict: Verdict
) -> list[tuple[int, int]]:
    """Walk one partition's log. Returns (next offset, watermark) wherever the watermark moved, in order."""
    reading, present = MarkerReading(sources), set[Proof]()
    waiting = sorted(dues, key=lambda due: due.appended_ms)
    steps, at = [(0, 0)], 0
    for record in records:
        before_ms = reading.watermark_ms
        reading.read(record)
        present.update(proofs(record))
        if reading.watermark_ms == before_ms:
            continue
        steps.append((record.offset + 1, reading.watermark_ms))
        while at < len(waiting) and waiting[at].appended_ms + VISIBLE_WITHIN_MS < reading.watermark_ms:
            due = waiting[at]
            if due.proof not in present:
                late_ms = reading.watermark_ms - due.appended_ms
                verdict.violations.append(
                    f"{name}@{record.offset}: W passed {due.proof} of {due.appended_ms} by {late_ms} ms"
                )
            at += 1
    verdict.advances += len(steps) - 1
    verdict.missing += [f"{name}: {due}" for due in waiting if due.proof not in present]
    return steps


def check_changelog(
    name: str, records: Sequence[Any], steps: Sequence[tuple[int, int]], verdict: Verdict
) -> None:
    """Every position record has the watermark that its prefix of the log gives, and positions never go back."""
    last = 0
    for record in records:
        if record.key != POSITION_KEY:
            continue
        position = decode_position(record.value)
        verdict.positions += 1
        expected_ms = next(w for offset, w in reversed(steps) if offset <= position.next_offset)
        if position.watermark_ms != expected_ms:
            verdict.wrong_positions.append(
                f"{name}@{record.offset}: position {position.next_offset} says W={position.watermark_ms}, "
                f"its log says {expected_ms}"
            )
        if position.next_offset < last:
            verdict.wrong_positions.append(
                f"{name}@{record.offset}: back from {last} to {position.next_offset}"
            )
        last = max(last, position.next_offset)


async def check_installation(settings: Settings, trimmed: Collection[TopicPartition] = ()) -> Verdict:
    """Read everything that an installation wrote and judge it. Its workers and producers have stopped.

    What lies in `trimmed` partitions is owed by nobody: a broker that is killed before it has noted where their log
    begins brings deleted records back, after they were rightly counted as lost.
    """
    names, verdict = settings.topics, Verdict()
    inputs: Mapping[TopicPartition, list[Any]] = await read_all(settings, names.kinds())
    dues = Dues(settings)
    for tp, records in inputs.items():
        for record in records if tp not in trimmed else ():
            dues.add(tp, record)
    dues.add_reports()
    verdict.events = dues.events
    sources = {"parcels": set(names.kinds()), "returns": {*names.kinds(), PARCELS_SOURCE}}
    logs = {"parcels": names.parcels, "returns": names.returns}
    changelogs = {"parcels": names.parcel_changelog, "returns": names.return_changelog}
    for stage, topic in logs.items():
        changelog = await read_all(settings, [changelogs[stage]])
        for tp, records in (await read_all(settings, [topic])).items():
            name = f"{stage}/{tp.partition}"
            steps = check_partition(name, records, sources[stage], dues.of[stage, tp.partition], verdict)
            of_changelog = changelog[TopicPartition(changelogs[stage], tp.partition)]
            check_changelog(f"{name} changelog", of_changelog, steps, verdict)
    return verdict
