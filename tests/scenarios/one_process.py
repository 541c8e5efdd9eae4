"""The whole path in one process, without Kafka: intake, both stages and their logs, driven by the events of a world.

Every `period` of simulated time what has appeared is taken in, a marker is written, and both stages work through
their logs: exactly what workers do, only that the topics are lists and nothing ever fails.
"""

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from schemas.carrier_codes import load_carrier_codes
from schemas.facts import MARKER_KEY, POLICY_KEY, Mark, Marker, encode_json
from schemas.outputs import decode_escalation
from schemas.policy import Policy
from simulation.happenings import Headers, SimEvent
from simulation.scoreboard import Observed
from streams.intake import IntakeMapper
from streams.keys import partition_of
from streams.parcel_stage import parcel_logic
from streams.partition import PARCELS_SOURCE, Batch, Outgoing, Partition
from streams.return_stage import return_logic

INPUTS = ("orders", "labels", "carrier-scans", "warehouse")
PARTITIONS = 2
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Record:
    """A record of an internal topic."""

    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class InputRecord:
    """A record of an input topic."""

    offset: int
    value: bytes | None
    headers: Headers


@dataclass
class Store:
    """The local store of one partition."""

    states: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    timers: list[tuple[int, bytes]] = field(default_factory=list)

    def get_many(self, keys: Sequence[bytes]) -> Sequence[tuple[int, bytes] | None]:
        return [self.states.get(key) for key in keys]

    def due(self, after: tuple[int, bytes], until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        start = bisect_right(self.timers, after)
        return [entry for entry in self.timers[start : start + limit] if entry[0] <= until_ms]

    def keys_after(self, key: bytes, limit: int) -> list[bytes]:
        return sorted(known for known in self.states if known > key)[:limit]

    def apply(self, batch: Batch) -> None:
        for write in batch.writes:
            if write.disarm_ms:
                self.timers.remove((write.disarm_ms, write.key))
            if write.raw is None:
                self.states.pop(write.key, None)
                continue
            known = self.states.get(write.key)
            if write.armed_ms and (known is None or known[0] != write.armed_ms):
                insort(self.timers, (write.armed_ms, write.key))
            self.states[write.key] = (write.armed_ms, write.raw)


class Stage:
    """All partitions of a stateful stage, with their logs and stores."""

    def __init__(self, partitions: Sequence[Partition]) -> None:
        self.partitions = partitions
        self.logs: list[list[Record]] = [[] for _ in partitions]
        self.stores = [Store() for _ in partitions]

    def append(self, number: int, key: bytes, value: bytes | None) -> None:
        log = self.logs[number]
        log.append(Record(len(log), key, value))

    def run(self) -> list[Outgoing]:
        """Work through everything that lies in the logs; returns what is to be said."""
        said: list[Outgoing] = []
        for partition, log, store in zip(self.partitions, self.logs, self.stores, strict=True):
            while partition.next_offset < len(log):
                batch = partition.step(log, partition.next_offset, store, len(log))
                store.apply(batch)
                said += batch.outgoing
        return said


class OneProcess:
    """Feed it with `play`; `observed` holds every escalation with the simulated time at which it was said."""

    def __init__(self, policy: Policy, *, slow_road: timedelta = timedelta(0)) -> None:
        """`slow_road`: how much later than reports what intake writes to `returns` comes there."""
        self.observed: list[Observed] = []
        self.refused: list[str] = []
        self.slow_road = slow_road
        self.mapper = IntakeMapper(load_carrier_codes())
        self.offsets = dict.fromkeys(INPUTS, 0)
        self.parcels = Stage([_partition("parcels", number) for number in range(PARTITIONS)])
        self.returns = Stage([_partition("returns", number) for number in range(PARTITIONS)])
        self.on_the_road: deque[tuple[datetime, int, bytes, bytes]] = deque()
        """From intake to `returns`: (when it comes, partition, key, value)."""
        for stage in (self.parcels, self.returns):
            for number in range(PARTITIONS):
                stage.append(number, POLICY_KEY, policy.to_log())

    def play(self, events: Iterable[SimEvent], until_at: datetime, period: timedelta) -> None:
        """Take the events in as they appear, and go on until `until_at`."""
        waiting = sorted(events, key=lambda event: event.appears_at)
        taken = 0
        now = waiting[0].appears_at
        while now < until_at:
            now = min(now + period, until_at)
            end = bisect_right(waiting, now, lo=taken, key=lambda event: event.appears_at)
            self._take_in(waiting[taken:end])
            taken = end
            self._mark(now)
        self._arrive(until_at + self.slow_road)
        self._decide(until_at)

    def _take_in(self, events: Sequence[SimEvent]) -> None:
        for event in events:
            record = InputRecord(self.offsets[event.kind], event.value, event.headers)
            self.offsets[event.kind] += 1
            arrived_ms = _ms(event.appears_at)
            taken = self.mapper.map_chunk([record], event.kind, arrived_ms, topic=event.kind, partition=0)
            self.refused += [refused.reason.value for refused in taken.refused]
            for stage, key, value in taken.facts:
                where = partition_of(key, PARTITIONS)
                if stage == "parcels":
                    self.parcels.append(where, key, value)
                else:
                    self.on_the_road.append((event.appears_at + self.slow_road, where, key, value))

    def _mark(self, now: datetime) -> None:
        marks = tuple(Mark(topic=topic, partition=0, through_ms=_ms(now)) for topic in INPUTS)
        marker = encode_json(Marker(marks=marks, roster=dict.fromkeys(INPUTS, 1)))
        for number in range(PARTITIONS):
            self.parcels.append(number, MARKER_KEY, marker)
            self.on_the_road.append((now + self.slow_road, number, MARKER_KEY, marker))
        self._arrive(now)
        for report in self.parcels.run():
            self.returns.append(partition_of(report.key, PARTITIONS), report.key, report.value)
        for partition in self.parcels.partitions:
            forwarded = partition.marks_to_forward()
            if forwarded is not None:
                for number in range(PARTITIONS):
                    self.returns.append(number, MARKER_KEY, forwarded)
        self._decide(now)

    def _arrive(self, now: datetime) -> None:
        while self.on_the_road and self.on_the_road[0][0] <= now:
            _, where, key, value = self.on_the_road.popleft()
            self.returns.append(where, key, value)

    def _decide(self, now: datetime) -> None:
        for message in self.returns.run():
            if message.topic == "escalations" and message.value is not None:
                self.observed.append(Observed.of(decode_escalation(message.value), now))


def _partition(stage: str, number: int) -> Partition:
    if stage == "parcels":
        return Partition(parcel_logic(PARTITIONS), number, position=None, policy=None, sources=INPUTS)
    return Partition(return_logic(), number, position=None, policy=None, sources=(*INPUTS, PARCELS_SOURCE))


def _ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)
