"""Both stateful stages in memory, for tests: a log of facts and markers in, escalations out."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.command_answers import CommandAnswer, decode_command_answer
from schemas.facts import (
    MARKER_KEY,
    POLICY_KEY,
    CaseCommand,
    LabelTerms,
    Mark,
    Marker,
    ParcelFact,
    ReturnFact,
    Source,
    encode_json,
)
from schemas.outputs import Escalation, decode_escalation
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from schemas.vocabulary import CommandType, Evidence, Milestone, RuleId
from streams.batch import Write
from streams.cells import is_cell
from streams.parcel_look import OWN_KEY
from streams.parcel_stage import parcel_logic
from streams.partition import Batch, Logic, Outgoing, Partition
from streams.return_stage import return_logic
from streams.traces import SaidSpan, is_trace
from streams.watermark import PARCELS_SOURCE

Headers = Sequence[tuple[str, bytes | None]]

ON_THE_ROAD = (
    RuleId.MISSING_FIRST_SCAN,
    RuleId.STALLED_SILENT,
    RuleId.STALLED_NO_PROGRESS,
    RuleId.DELIVERED_NOT_CHECKED_IN,
)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
MONDAY = 1_767_571_200_000
"""Monday 2026-01-05 00:00 UTC."""


def only(*rules: RuleId, **changes: Any) -> Policy:
    """The default policy with all other rules switched off (none given: with those on the road switched on)."""
    numbers = default_policy().model_dump(mode="json")
    for rule, each in numbers["rules"].items():
        each["enabled"] = rule in (rules or ON_THE_ROAD)
    return Policy.model_validate({**numbers, **changes})


@dataclass
class Record:
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class MemoryStore:
    """A StateReader over dicts, as simple as can be."""

    def __init__(self) -> None:
        self.rows: dict[bytes, tuple[int, bytes]] = {}
        self.position: bytes | None = None
        self.policy: bytes | None = None
        self.rhythms: bytes | None = None

    @property
    def states(self) -> dict[bytes, tuple[int, bytes]]:
        """The rows but for cells and contexts of traces."""
        return {key: row for key, row in self.rows.items() if not (is_cell(key) or is_trace(key))}

    def get_many(self, keys: Sequence[bytes]) -> list[tuple[int, bytes] | None]:
        return [self.rows.get(key) for key in keys]

    def due(self, after: tuple[int, bytes], until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        timers = ((armed, key) for key, (armed, _) in self.rows.items() if armed)
        return sorted(timer for timer in timers if after < timer and timer[0] <= until_ms)[:limit]

    def keys_after(self, key: bytes, limit: int) -> list[bytes]:
        return sorted(known for known in self.rows if known > key)[:limit]

    def apply(self, batch: Batch) -> None:
        self.position = batch.position
        self.policy = batch.policy or self.policy
        self.rhythms = batch.rhythms or self.rhythms
        for write in batch.writes:
            self._write(write)

    def _write(self, write: Write) -> None:
        armed = self.rows.get(write.key, (0, b""))[0]
        assert write.disarm_ms in {0, armed}, "a timer entry would be left behind"
        assert write.disarm_ms or not armed or armed == write.armed_ms, "a timer entry would be left behind"
        if write.raw is None:
            self.rows.pop(write.key, None)
        else:
            self.rows[write.key] = (write.armed_ms, write.raw)


def batch_bytes(batch: Batch) -> int:
    """Size of the changelog batch, as its limit counts it."""
    policy = len(batch.policy) + 32 if batch.policy else 0
    policy += len(batch.rhythms) + 32 if batch.rhythms else 0
    return (
        policy
        + len(batch.position)
        + sum(len(w.key) + len(w.raw or b"") + 24 for w in batch.writes if w.durable)
    )


@dataclass
class StageRun:
    """One partition of a stage with its store; feeds records in chunks."""

    logic_of: Callable[[], Logic]
    sources: tuple[str, ...]
    max_facts: int = 8_000
    max_bytes: int = 900_000
    store: MemoryStore = field(default_factory=MemoryStore)
    said: list[Outgoing] = field(default_factory=list)
    counters: dict[tuple[str, str], int] = field(default_factory=dict)
    largest_batch: int = 0
    last_said: list[Outgoing] = field(default_factory=list)
    """Messages of the last batch."""
    traces: bool = False
    spans: list[SaidSpan] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    @property
    def said_of_cases(self) -> list[Outgoing]:
        """All messages but journeys and snapshots of KPIs."""
        return [message for message in self.said if message.topic not in {"journeys", "kpis"}]

    def start(self) -> None:
        """Open the partition from what is stored, as after a restart."""
        self.logic = self.logic_of()
        self.engine = Partition(
            self.logic,
            0,
            position=self.store.position,
            policy=self.store.policy,
            rhythms=self.store.rhythms,
            sources=self.sources,
            max_facts=self.max_facts,
            max_bytes=self.max_bytes,
            traces=self.traces,
        )

    def lose_disk(self) -> None:
        """Restart with the timers rebuilt from the states alone, as recovery does."""
        self.start()
        self.store.rows = {
            key: (self.logic.armed_ms(key, raw), raw) for key, (_, raw) in self.store.rows.items()
        }

    def feed(self, records: Sequence[Record]) -> None:
        """Work through one chunk."""
        if not records:
            return
        start, next_offset = 0, records[-1].offset + 1
        for _ in range(3_000):
            batch = self.engine.step(records, start, self.store, next_offset)
            self.largest_batch = max(self.largest_batch, batch_bytes(batch))
            self.store.apply(batch)
            self.last_said = batch.outgoing
            self.said += batch.outgoing
            self.spans += batch.spans
            for name, count in batch.counters.items():
                self.counters[name] = self.counters.get(name, 0) + count
            start += batch.consumed
            if self.engine.next_offset >= next_offset:
                return
        raise AssertionError("the partition makes no progress")


def parcels_run(max_facts: int = 8_000, max_bytes: int = 900_000) -> StageRun:
    return StageRun(lambda: parcel_logic(1), ("inputs",), max_facts, max_bytes)


def returns_run(max_facts: int = 8_000, max_bytes: int = 900_000) -> StageRun:
    return StageRun(lambda: return_logic(1), ("inputs", PARCELS_SOURCE), max_facts, max_bytes)


def marker(through_ms: int, topic: str = "inputs") -> bytes:
    return encode_json(
        Marker(marks=(Mark(topic=topic, partition=0, through_ms=through_ms),), roster={topic: 1})
    )


class Shop:
    """Both stages, one partition each, wired together. Times: ms after MONDAY."""

    def __init__(self, policy: Policy | None = None, *, traces: bool = False) -> None:
        self.parcels, self.returns = parcels_run(), returns_run()
        self.switch_traces(traces)
        self._forwarded = 0
        self._told = 0
        self.apply_policy(policy or default_policy())

    def apply_policy(self, policy: Policy) -> None:
        self._to(self.parcels, POLICY_KEY, policy.to_log())
        self._to(self.returns, POLICY_KEY, policy.to_log())
        self._forward()

    def switch_traces(self, on: bool) -> None:
        """Restart both stages with traces on or off."""
        for stage in (self.parcels, self.returns):
            stage.traces = on
            stage.start()

    def _to(self, stage: StageRun, key: bytes, value: bytes, headers: Headers = ()) -> None:
        stage.feed([Record(stage.engine.next_offset, key, value, headers)])

    def _forward(self) -> None:
        said = self.parcels.said[self._forwarded :]
        self._forwarded = len(self.parcels.said)
        for message in said:
            assert message.value is not None
            self._to(self.returns, message.key, message.value, message.headers)

    def parcel_fact(self, parcel: str, fact: ParcelFact, headers: Headers = ()) -> None:
        self._to(self.parcels, parcel.encode(), encode_json(fact), headers)
        self._forward()

    def return_fact(self, return_id: str, fact: ReturnFact, headers: Headers = ()) -> None:
        self._to(self.returns, return_id.encode(), encode_json(fact), headers)

    def command(self, key: str, command: CaseCommand, headers: Headers = ()) -> CommandAnswer:
        """The command comes to where the case lives; returns the answer."""
        self._to(self.returns, key.encode(), encode_json(command), headers)
        answer = self.returns.last_said[-1]
        assert (answer.topic, answer.key.decode()) == ("command-answers", key.removeprefix(OWN_KEY))
        return decode_command_answer(answer.value or b"")

    def reach(self, at_ms: int) -> None:
        """The watermark of both stages comes to this time."""
        through = MONDAY + at_ms
        self._to(self.parcels, MARKER_KEY, marker(through))
        self._forward()
        self._to(self.returns, MARKER_KEY, marker(through))
        passed_on = self.parcels.engine.marks_to_forward()
        if passed_on is not None:
            self._to(self.returns, MARKER_KEY, passed_on)

    def news(self) -> list[Escalation]:
        """Escalations since the last call."""
        said = [message for message in self.returns.said[self._told :] if message.topic == "escalations"]
        self._told = len(self.returns.said)
        return [decode_escalation(message.value or b"") for message in said]


def case_command(
    command: CommandType, case_id: str, at_ms: int, *, by: str = "ops-1", command_id: str = "", **more: Any
) -> CaseCommand:
    """A command of `at_ms` after MONDAY; times in `more`, too, are after MONDAY."""
    if "until_ms" in more:
        more["until_ms"] += MONDAY
    command_id = command_id or f"{command}-{at_ms}-{by}"
    return CaseCommand(
        identity=identity_of(command, command_id),
        content=identity_of(command, case_id, by, sorted(more.items())),
        command=command,
        command_id=command_id,
        audit_id=command_id,
        case_id=case_id,
        by=by,
        occurred_ms=MONDAY + at_ms,
        source=Source("commands", 0, at_ms // MINUTE),
        **more,
    )


def identity_of(*parts: object) -> int:
    """A 48-bit identity, the same for the same parts."""
    text = repr(parts).encode()
    return (zlib.crc32(text) << 16 | zlib.adler32(text) & 0xFFFF) & ((1 << 48) - 1) or 1


def parcel_fact(
    milestone: Milestone,
    at_ms: int,
    *,
    evidence: Evidence = Evidence.CARRIER_SCAN,
    arrived_ms: int | None = None,
    identity: int | None = None,
    place: str = "",
    label: LabelTerms | None = None,
    retracts: int = 0,
    source: Source | None = None,
) -> ParcelFact:
    """A fact at `at_ms` after MONDAY."""
    return ParcelFact(
        identity=identity if identity is not None else identity_of(milestone, at_ms, place, label, retracts),
        milestone=milestone,
        evidence=evidence,
        occurred_ms=MONDAY + at_ms,
        arrived_ms=MONDAY + (at_ms if arrived_ms is None else arrived_ms),
        source=source or Source("carrier-scans", 0, at_ms // MINUTE),
        place=place,
        label=label,
        retracts=retracts,
    )


def label(*returns: str, origin: str = "FR", destination: str = "FR", facility: str = "") -> LabelTerms:
    return LabelTerms(
        returns=returns, carrier="ups", origin=origin, destination=destination, facility=facility
    )


def label_fact(at_ms: int, *returns: str, arrived_ms: int | None = None, **terms: str) -> ParcelFact:
    return parcel_fact(
        Milestone.LABEL_CREATED,
        at_ms,
        evidence=Evidence.SYSTEM,
        arrived_ms=arrived_ms,
        label=label(*returns, **terms),
        source=Source("labels", 0, at_ms // MINUTE),
    )


def return_fact(milestone: Milestone, at_ms: int, arrived_ms: int | None = None, **more: Any) -> ReturnFact:
    return msgspec.convert(
        {
            "kind": "fact",
            "identity": identity_of(milestone, at_ms, sorted(more.items())),
            "milestone": int(milestone),
            "occurred_ms": MONDAY + at_ms,
            "arrived_ms": MONDAY + (at_ms if arrived_ms is None else arrived_ms),
            "source": ("orders", 0, at_ms // MINUTE),
            **more,
        },
        ReturnFact,
    )


def keyed(facts: Iterable[tuple[str, ParcelFact]]) -> list[tuple[bytes, bytes]]:
    return [(key.encode(), encode_json(fact)) for key, fact in facts]
