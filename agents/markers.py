"""Markers: how each input's progress becomes part of the log, and the watermark with it (docs/adr/0003).

Every period: append a heartbeat to a topic with LogAppendTime (its append time is `t`), then ask for the end offsets
of the input partitions owned here. When everything below those ends has been forwarded and acknowledged, write
"everything of this source appended before t lies before me" into every partition of both stages. The order of the
two questions matters, and so does the isolation: ends are read uncommitted, for an open transaction's events were
appended before `t` too. The roster, which partitions there are, is asked for after the heartbeat for the same reason.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types.tuples import TP

from agents.fencing import NO_HEADERS, Message, send_grouped
from agents.log_clock import LogClock
from agents.metrics import Metrics
from schemas.facts import MARKER_KEY, Arrivals, Mark, Marker, encode_json
from streams.arrival_marks import STEP_MS, Span, Told, add_before, add_to, forget_when, marks_of

log = structlog.get_logger(__name__)

PROBE_TIMEOUT_SECONDS = 10.0
SHRUNK_SECONDS = 30.0
"""A topic whose end stays below what we have read of it for this long is another topic of the same name."""
MOST_MARKS = 500
"""In one record, or as many as one partition has: it stays below what a topic takes."""
TRIM_LOOK_MS = 3_000
"""A mark this late makes us ask whether retention has removed what it waits for."""


class TimestampTypeError(RuntimeError):
    """The heartbeat topic does not stamp append times: its times are a client's, and prove nothing."""


class Progress:
    """How far each input partition is durably forwarded. Shared by intake (writes) and markers (reads)."""

    def __init__(self) -> None:
        self.done: dict[TP, int] = {}
        self.base: dict[TP, int] = {}
        self.floor: dict[TP, int] = {}
        self.ends: dict[TP, int] = {}
        """Where each owned partition ended when last asked."""
        self.came: dict[TP, dict[int, dict[str, Arrivals]]] = defaultdict(dict)
        """Partition -> step (streams/arrival_marks.py) -> feed -> what was forwarded since the last mark that was written."""
        self._firsts: dict[TP, dict[int, int]] = defaultdict(dict)
        """Partition -> step -> the first offset of what came in it."""
        self._counted: dict[TP, int] = {}
        """The offset from which on `came` tells all that came; not named: the base."""
        self.assignment = 0
        """Grows with each assignment: what was begun before belongs to none."""

    def behind(self) -> list[TP]:
        """Partitions with records that were not handled yet, by the ends last heard of."""
        return [tp for tp, end in self.ends.items() if end > self.at(tp)]

    def at(self, tp: TP) -> int:
        """Everything below this offset is handled: forwarded here, committed before us, or removed by retention."""
        return max(self.done.get(tp, 0), self.base.get(tp, 0), self.floor.get(tp, 0))

    def note_arrivals(self, tp: TP, step: int, came: Mapping[str, Arrivals], first_offset: int) -> None:
        """Take in what came in a step, from this offset on."""
        add_to(self.came[tp], step, came)
        self._firsts[tp].setdefault(step, first_offset)

    def take_arrivals(self, tp: TP, through_ms: int) -> Told:
        """What came through a time and was not told yet, for a mark. What is forwarded already, and came later, is for the next.

        Told now, it would be missing in the time in which it came.
        """
        steps, firsts = self.came.pop(tp, {}), self._firsts.pop(tp, {})
        later = {step: came for step, came in steps.items() if step * STEP_MS >= through_ms}
        if later:
            self.came[tp] = later
            self._firsts[tp] = {step: firsts[step] for step in later}
        first_offset = self._counted.get(tp, self.base.get(tp, 0))
        self._counted[tp] = min((firsts[step] for step in later), default=self.at(tp))
        told = {step: came for step, came in steps.items() if step not in later}
        return Told(told, first_offset, self._counted[tp])

    def tell_again(self, tp: TP, told: Told) -> None:
        """No mark was written, or not everywhere: what came goes into the next. Twice is harmless, never is a false silence."""
        add_before(self.came[tp], told.came)
        for step in told.came:
            self._firsts[tp][step] = told.first_offset
        self._counted[tp] = min(told.first_offset, self._counted.get(tp, told.first_offset))

    def trimmed(self, tp: TP, start: int) -> None:
        """Everything below an offset was removed by retention: nobody will know what it was, nor when it came."""
        # What came before it must not be told with times, or the time after it would be told as silence.
        forget_when(self.came[tp])
        self.floor[tp] = self._counted[tp] = start

    def forget(self, tp: TP) -> None:
        """Nothing of this partition is known any more: it is read from its start."""
        for offsets in (self.done, self.base, self.floor, self.ends, self._counted):
            offsets.pop(tp, None)
        self.came.pop(tp, None)
        self._firsts.pop(tp, None)

    def reset(self, base: Mapping[TP, int], ends: Mapping[TP, int]) -> None:
        """Start over at an assignment: from what the group has committed, and where the logs end."""
        self.ends = dict(ends)
        self.done.clear()
        self.floor.clear()
        self.came.clear()
        self._firsts.clear()
        self._counted.clear()
        self.assignment += 1
        self.base = dict(base)


@dataclass(frozen=True)
class MarkerPlan:
    """What is beaten, how often, and where the marks go."""

    heartbeats: str
    instance: str
    inputs: tuple[str, ...]
    targets: tuple[tuple[str, int], ...]
    """Topics that receive every marker, with their partition counts."""
    period_seconds: float
    skew_ms: int


class MarkerHost(Protocol):
    """What the markers need from the worker."""

    clock: LogClock
    progress: Progress
    producer: AIOKafkaProducer
    metrics: Metrics

    def open_inputs(self) -> list[TP]:
        """Input partitions that are owned and open for work."""


class Markers:
    """Writes the markers for the input partitions that are owned and open for work."""

    def __init__(self, connection: Mapping[str, Any], plan: MarkerPlan, host: MarkerHost) -> None:
        self._plan = plan
        self._clock, self._progress = host.clock, host.progress
        self._producer, self._metrics = host.producer, host.metrics
        self._host = host
        self._shrunk: dict[TP, float] = {}
        self._through: dict[TP, int] = {}
        """Through when the last mark of this assignment tells what came."""
        self._pending: dict[TP, deque[tuple[int, int]]] = defaultdict(deque)
        self._probe = AIOKafkaConsumer(
            **connection,
            client_id="returnwatch-probe",
            isolation_level="read_uncommitted",
            request_timeout_ms=int(PROBE_TIMEOUT_SECONDS * 1000),
        )

    async def start(self) -> None:
        """Connect the probe and load the metadata of every input."""
        await self._probe.start()
        await self._probe._client.set_topics(self._plan.inputs)

    async def stop(self) -> None:
        """Disconnect; a groupless aiokafka consumer that stops may raise a CancelledError of its own making."""
        with suppress(asyncio.CancelledError):
            await self._probe.stop()

    def reset(self) -> None:
        """Forget what was asked for: a new assignment has begun."""
        self._pending.clear()
        self._through.clear()

    async def run(self) -> None:
        """Beat for ever. A step that fails yields no marker and is tried again."""
        while True:
            began = monotonic()
            try:
                await self.beat()
            except (KafkaError, TimeoutError, OSError) as error:
                self._metrics.heartbeat_failures.inc()
                log.warning("no_marker", error=repr(error)[:200])
            await asyncio.sleep(
                max(self._plan.period_seconds / 10, self._plan.period_seconds - (monotonic() - began))
            )

    async def beat(self) -> None:
        """Do one period's work: heartbeat, end offsets, and the marks that are due."""
        sent_at = monotonic()
        sent = await self._producer.send(
            self._plan.heartbeats, b"", key=self._plan.instance.encode(), partition=0
        )
        metadata = await sent
        if metadata.timestamp_type != 1:
            message = f"topic {self._plan.heartbeats} must have message.timestamp.type=LogAppendTime"
            raise TimestampTypeError(message)
        vetoed = not self._clock.heartbeat(metadata.timestamp, sent_at)
        self._metrics.clock_skew.set(max(0.0, self._clock.ahead_ms / 1000))
        self._metrics.clock_skew_frozen.set(vetoed)
        if vetoed:
            log.error("clock_skew", ahead_seconds=round(self._clock.ahead_ms / 1000, 1))
            return
        owned = self._host.open_inputs()
        if not owned:
            return
        # After the heartbeat too: metadata from before it may lack a partition that has events from before it, however
        # long ago they were appended (this process may have been paused for minutes).
        if not await asyncio.wait_for(self._probe._client.force_metadata_update(), PROBE_TIMEOUT_SECONDS):
            raise KafkaError("the metadata of the inputs could not be read")
        ends = await self.end_offsets(owned)
        self._progress.ends.update(ends)
        owned = [tp for tp in owned if not self._is_another_topic(tp, ends[tp])]
        for tp in owned:
            pending = self._pending[tp]
            if len(pending) > 1 and pending[-1][1] == ends[tp]:
                pending.pop()  # the same end at a later time says more; the oldest stays, to tell how late it is
            pending.append((metadata.timestamp, ends[tp]))
        late = [tp for tp in owned if metadata.timestamp - self._pending[tp][0][0] > TRIM_LOOK_MS]
        if late:
            await self.look_for_trimmed(late)
        await self.flush()

    def _is_another_topic(self, tp: TP, end: int) -> bool:
        """An end below what we have done: the topic was deleted and made again. No mark may be made of it.

        A new leader can be behind for a moment, so only after a while all that was known is forgotten, and the new
        topic is read from its start.
        """
        if end >= self._progress.at(tp):
            self._shrunk.pop(tp, None)
            return False
        since = self._shrunk.setdefault(tp, monotonic())
        if monotonic() - since > SHRUNK_SECONDS:
            log.error("topic_was_made_again", topic=tp.topic, partition=tp.partition, end=end)
            self._progress.forget(tp)
            self._pending.pop(tp, None)
            del self._shrunk[tp]
        return True

    async def first_offsets(self, partitions: list[TP]) -> dict[TP, int]:
        """Where the log of each partition begins now."""
        if not partitions:
            return {}
        starts = await asyncio.wait_for(
            self._probe.beginning_offsets([TopicPartition(*tp) for tp in partitions]), PROBE_TIMEOUT_SECONDS
        )
        return {tp: starts[tp] for tp in partitions}

    async def end_offsets(self, partitions: list[TP]) -> dict[TP, int]:
        """Where the log of each partition ends now (high watermark)."""
        if not partitions:
            return {}
        ends = await asyncio.wait_for(
            self._probe.end_offsets([TopicPartition(*tp) for tp in partitions]), PROBE_TIMEOUT_SECONDS
        )
        return {tp: ends[tp] for tp in partitions}

    async def look_for_trimmed(self, partitions: list[TP]) -> None:
        """Count as reached what retention has removed unread: nobody will ever read it."""
        starts = await self.first_offsets(partitions)
        for tp in partitions:
            lost = starts[tp] - self._progress.at(tp)
            if lost > 0:
                self._progress.trimmed(tp, starts[tp])
                self._metrics.lost_to_retention.labels(tp.topic).inc(lost)
                log.error("lost_to_retention", topic=tp.topic, partition=tp.partition, records=lost)

    async def flush(self) -> None:
        """Write one marker with every mark whose partition has reached its end offset."""
        roster = self._roster()
        if roster is None:
            return  # the next beat tries again
        marks: list[list[Mark]] = []
        told: dict[TP, Told] = {}
        through_ms: dict[TP, int] = {}
        for tp, pending in self._pending.items():
            through = None
            while pending and pending[0][1] <= self._progress.at(tp):
                through = pending.popleft()[0]
            span = None if through is None else self._span(tp, through)
            if span is not None:
                told[tp] = self._progress.take_arrivals(tp, span.through_ms)
                through_ms[tp] = span.through_ms
                marks.append(list(marks_of(tp.topic, tp.partition, span, told[tp])))
        if not marks:
            return
        messages: list[Message] = [
            (MARKER_KEY, encode_json(Marker(some, roster)), NO_HEADERS) for some in _records(marks)
        ]
        written = False
        try:
            await send_grouped(
                self._producer,
                {(topic, number): messages for topic, count in self._plan.targets for number in range(count)},
            )
            written = True
            self._through |= through_ms
        finally:
            if not written:  # refused, or called off
                for tp, came in told.items():
                    self._progress.tell_again(tp, came)

    def _span(self, tp: TP, through: int) -> Span | None:
        """The time since the last mark of a partition; None when no more time has passed than that one tells of."""
        span = Span(self._through.get(tp, 0), self._clock.through_ms(through))
        return span if span.through_ms > span.before_ms else None

    def appended_by_ms(self, tp: TP, next_offset: int) -> int | None:
        """Log time by which all records below an offset had been appended, as far as heartbeats tell: they may be read later."""
        ends = self._pending.get(tp, ())
        return next((self._clock.log_ms(sent_ms) for sent_ms, end in ends if end >= next_offset), None)

    def _roster(self) -> dict[str, int] | None:
        """Every input and its partition count; None while the metadata lacks one."""
        known = {topic: self._probe.partitions_for_topic(topic) for topic in self._plan.inputs}
        counts = {topic: len(partitions) for topic, partitions in known.items() if partitions}
        if len(counts) < len(known):
            log.warning("no_metadata", topics=sorted(known.keys() - counts.keys()))
            return None
        return counts


def _records(marks: Sequence[Sequence[Mark]]) -> Iterator[tuple[Mark, ...]]:
    """What goes into each record. All marks of a partition into one: they tell together of the same records, or not at all."""
    record: list[Mark] = []
    for some in marks:
        if record and len(record) + len(some) > MOST_MARKS:
            yield tuple(record)
            record = []
        record += some
    yield tuple(record)
