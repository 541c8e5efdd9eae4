"""Intake: input records in, one keyed fact each onto `parcels` and `returns`, or a dead letter. Stateless.

What it has done is told by offsets: everything below `Progress.done` is forwarded and acknowledged. After a crash a
chunk is forwarded again, and merging by identity makes that harmless.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby, repeat
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.types.tuples import TP

from agents.adapters import readers_of
from agents.alignment import Alignment, Part
from agents.dead_letters import DeadLetterWriter
from agents.envelopes import envelopes_of
from agents.fencing import NO_HEADERS, Message, send_grouped
from agents.intake_tracing import IntakeTraces
from agents.lanes import Done, Flow, Lane
from agents.log_clock import LogClock
from agents.markers import Markers, Progress
from agents.metrics import Metrics
from agents.schema_registry import registry_of
from agents.settings import Settings
from agents.transport import Chunk
from schemas.carrier_codes import CarrierCodes
from schemas.topics import InputKind
from streams.arrival_marks import STEP_MS, WHEN_UNKNOWN
from streams.intake import (
    ANSWERS,
    CLAMPED,
    DOUBTFUL_NUMBER,
    NO_EVENT,
    UNKNOWN_CARRIER,
    UNMAPPED,
    Acceptance,
    Intake,
    IntakeMapper,
)
from streams.keys import partition_of
from streams.wire_format import Schemas

if TYPE_CHECKING:  # its packages are an extra
    from agents.tracing import Tracer

log = structlog.get_logger(__name__)

BY_BROKER = 1
"""Type of a timestamp that says when the broker has appended a record; others say what a client believed."""

_KINDS = tuple(InputKind)
NONE_HAS_ANY = repeat(NO_HEADERS)


class IntakeHost(Protocol):
    """What intake needs from the worker."""

    clock: LogClock
    progress: Progress
    markers: Markers
    metrics: Metrics
    producer: AIOKafkaProducer
    dead_letters: DeadLetterWriter
    tracer: "Tracer | None"

    def is_open(self, tp: TP) -> bool:
        """Whether an input partition is open for work in this assignment."""


class IntakeStage:
    """Every input partition of this worker, one lane each."""

    def __init__(self, settings: Settings, host: IntakeHost, flow: Flow, codes: CarrierCodes) -> None:
        names = settings.topics
        self._kinds = names.kinds()
        self._targets = {
            "parcels": (names.parcels, settings.parcels_partitions),
            "returns": (names.returns, settings.returns_partitions),
        }
        self._host = host
        self._flow = flow
        self._envelopes = envelopes_of(settings.envelopes)
        self._mapper = IntakeMapper(
            codes,
            Acceptance(settings.max_future, settings.max_past, settings.max_record_bytes),
            salt=token_hex(16),
            adapters=readers_of(settings),
            envelopes=self._envelopes,
            tells_begins=host.tracer is not None,
        )
        self._settings = settings
        self._registry = registry_of(settings, host.metrics)
        self._schemas: dict[TP, Schemas] = {}
        """Partition -> those that the chunk in hand is read with."""
        self._lanes: dict[TP, Lane] = {}
        self._alignment = Alignment(self)

    def accept(self, tp: TP, chunk: Chunk, done: Done) -> None:
        """Queue a chunk; `done` is awaited when it is handled or found to be stale."""
        lane = self._lanes.get(tp)
        if lane is None:
            lane = self._lanes[tp] = Lane(tp, partial(self._handle, tp), self._flow)
        lane.put(chunk, done)

    def begin(self) -> None:
        """Say that a new assignment has begun."""
        self._alignment.begin()

    async def close(self) -> None:
        """Stop all lanes."""
        await self._alignment.close()
        for lane in self._lanes.values():
            await lane.close()
        self._lanes.clear()
        if self._registry is not None:
            await self._registry.close()

    async def _handle(self, tp: TP, chunk: Chunk) -> None:
        host, progress = self._host, self._host.progress
        await self._learn(tp, chunk)
        if not host.is_open(tp) or chunk.next <= progress.at(tp):
            host.metrics.stale_chunks.inc()
            return
        if chunk.start > progress.at(tp):
            with suppress(KafkaError, TimeoutError):  # the broker is away: the seek below waits for it
                await host.markers.look_for_trimmed([tp])
        if chunk.start > progress.at(tp):
            host.metrics.stale_chunks.inc()
            log.info(
                "chunk_does_not_follow",
                topic=tp.topic,
                partition=tp.partition,
                position=progress.at(tp),
                start=chunk.start,
            )
            await self._flow.seek(tp, progress.at(tp))
            return
        await host.clock.known.wait()
        assignment = progress.assignment
        await self._forward(tp, chunk)
        if assignment != progress.assignment:
            host.metrics.stale_chunks.inc()  # it is read again, from what was committed, and counted then
            return
        progress.done[tp] = chunk.next
        await host.markers.flush()

    async def _learn(self, tp: TP, chunk: Chunk) -> None:
        """Have at hand the schemas that a chunk is written with. Only this partition waits, and not for long."""
        envelope = self._envelopes.get(tp.topic)
        if envelope is None or self._registry is None:
            return
        ids = envelope.needs(record.value for record in chunk)
        self._schemas[tp] = await self._registry.known(ids) if ids else {}

    async def _forward(self, tp: TP, chunk: Chunk) -> None:
        """Forward a chunk; returns when all of it is acknowledged."""
        if len(chunk):
            await self._alignment.pass_on(tp, chunk)

    def place(self, tp: TP) -> int:
        """Orders before labels before scans before check-ins, as in a return's life."""
        return _KINDS.index(InputKind(self._kinds[tp.topic]))

    def unread(self, tp: TP, offset: int) -> bool:
        """Whether the partition has records at or behind an offset, as far as it is known."""
        return self._host.progress.ends.get(tp, 0) > offset

    def behind(self) -> Collection[TP]:
        """Partitions that have records which were not forwarded yet, as far as it is known."""
        return self._host.progress.behind()

    async def forward(self, parts: list[Part]) -> None:
        """Forward records of several partitions; returns when all is acknowledged."""
        host, targets = self._host, self._targets
        traces = IntakeTraces(host.tracer, self._settings) if host.tracer is not None else None
        now_ms, assignment = host.clock.now_ms(), host.progress.assignment
        messages: dict[tuple[str, int], list[Message]] = {}
        mapped: list[tuple[TP, int, Sequence[Any], Intake]] = []
        for tp, step, records, appended_ms in self._by_step(parts):
            taken = self._mapper.map_chunk(
                records,
                self._kinds[tp.topic],
                now_ms,
                topic=tp.topic,
                partition=tp.partition,
                appended_ms=appended_ms,
                schemas=self._schemas.get(tp),
            )
            headers = traces.headers(tp, records, taken) if traces is not None else NONE_HAS_ANY
            for (stage, key, value), said in zip(taken.facts, headers, strict=False):
                topic, count = targets[stage]
                for number in (partition_of(key, count),) if key[0] else range(count):
                    where = (topic, number)
                    group = messages.get(where)
                    if group is None:
                        group = messages[where] = []
                    group.append((key, value, said))
            if taken.refused:
                await host.dead_letters.write(tp, taken.refused)
            mapped.append((tp, step, records, taken))
        await send_grouped(host.producer, messages)
        if assignment != host.progress.assignment:
            return
        if traces is not None:
            traces.forwarded()
        for tp, _, next_offset in parts:
            host.progress.done[tp] = next_offset
        for tp, step, records, taken in mapped:
            host.progress.note_arrivals(tp, step, taken.arrivals, records[0].offset)
            self._count(tp, len(records), taken)

    def _by_step(self, parts: list[Part]) -> Iterator[tuple[TP, int, Sequence[Any], int | None]]:
        """(partition, step, records, when they had been appended at the latest, if that is known)."""
        log_ms = self._host.clock.log_ms
        for tp, records, next_offset in parts:
            appended_by_ms = self._host.markers.appended_by_ms(tp, next_offset)
            for step, some in _steps(records, log_ms):
                yield tp, step, some, appended_by_ms if step == WHEN_UNKNOWN else log_ms(some[-1].timestamp)

    def _count(self, tp: TP, records: int, taken: Intake) -> None:
        metrics = self._host.metrics
        refused = len(taken.refused)
        ignored = sum(count for (name, _), count in taken.counters.items() if name == NO_EVENT)
        metrics.events_consumed.labels(tp.topic, "accepted").inc(records - refused - ignored)
        if ignored:
            metrics.events_consumed.labels(tp.topic, "ignored").inc(ignored)
        if refused:
            metrics.events_consumed.labels(tp.topic, "refused").inc(refused)
        for (name, label), count in taken.counters.items():
            if name == UNMAPPED:
                metrics.unmapped_codes.labels(metrics.carrier(label)).inc(count)
            elif name == DOUBTFUL_NUMBER:
                metrics.doubtful_numbers.labels(metrics.carrier(label)).inc(count)
            elif name == ANSWERS:
                metrics.answers.labels(label).inc(count)
            elif name == NO_EVENT:
                metrics.no_events.labels(label).inc(count)
            elif name == CLAMPED:
                metrics.clamped_times.inc(count)
            elif name == UNKNOWN_CARRIER:
                metrics.unknown_carriers.inc(count)
        metrics.event_lateness.observe_many(ms / 1000 for ms in taken.lateness_ms)


def _steps(records: Sequence[Any], log_ms: Callable[[int], int]) -> Iterator[tuple[int, Sequence[Any]]]:
    """Records of a partition by the steps of log time in which they were appended."""

    def step_of(record: Any) -> int:
        return log_ms(record.timestamp) // STEP_MS if record.timestamp_type == BY_BROKER else WHEN_UNKNOWN

    step = step_of(records[0])
    if step == step_of(records[-1]):
        yield step, records
    else:
        yield from ((step, list(some)) for step, some in groupby(records, step_of))
