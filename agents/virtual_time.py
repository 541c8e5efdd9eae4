"""Intake and both stages in one process, without Kafka: the topics are lists, and time is what the caller says.

It is the code of the workers, fed as workers feed it: input records through `IntakeMapper` into the logs of `parcels` and
`returns`, and markers that move the watermarks. Nothing ever fails here, so nothing is written down.

    engine = VirtualTime(policy.to_log())
    engine.append([InputRecord(0, value)], InputKind.LABELS, at_ms)    # appended at this log time
    engine.advance(until_ms)                                           # all that was appended before is in, and W is there
    engine.news()                                                      # what was said since the last call
"""

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import islice

from schemas.carrier_codes import load_carrier_codes
from schemas.command_answers import CommandAnswer, decode_command_answer
from schemas.facts import BACKFILL_KEY, MARKER_KEY, POLICY_KEY, Arrivals, Mark, Marker, encode_json
from schemas.outputs import Escalation, decode_escalation
from schemas.topics import InputKind
from streams.arrival_marks import Span, Told, marks_of
from streams.batch import Batch
from streams.cells import is_cell
from streams.feed_terms import MINUTE_MS
from streams.intake import Intake, IntakeMapper, Stage
from streams.keys import partition_of
from streams.parcel_stage import parcel_logic
from streams.partition import PARCELS_SOURCE, Outgoing, Partition
from streams.return_stage import return_logic
from streams.traces import SaidSpan

Headers = Sequence[tuple[str, bytes | None]]
ONE_TOPIC_OF_EACH_KIND: Mapping[str, int] = {kind.value: 1 for kind in InputKind}


@dataclass(slots=True)
class InputRecord:
    """A record of an input topic."""

    offset: int
    value: bytes | None
    headers: Headers = ()
    key: bytes | None = None


class VirtualTime:
    """See the head of this file. Log times are epoch milliseconds and never go back."""

    def __init__(
        self,
        policy: bytes,
        *,
        inputs: Mapping[str, int] = ONE_TOPIC_OF_EACH_KIND,
        partitions: int = 1,
        mapper: IntakeMapper | None = None,
    ) -> None:
        """`policy`: a POLICY_KEY record. `inputs`: topic -> partition count. `partitions`: of `parcels`, and of `returns`."""
        self._inputs = dict(inputs)
        self._mapper = mapper or IntakeMapper(load_carrier_codes())
        self._partitions = partitions
        roads = tuple(self._inputs)
        self._parcels = [StageLog(_parcels(partitions, number, roads)) for number in range(partitions)]
        self._returns = [StageLog(_returns(partitions, number, roads)) for number in range(partitions)]
        self._said: list[Outgoing] = []
        self._arrivals: dict[tuple[str, int], dict[int, dict[str, Arrivals]]] = {}
        """(topic, partition) -> minute -> feed -> what came, since the last marker."""
        self._marked_ms = 0
        self._lost = 0
        """1: marks tell that there are records of which they do not tell."""
        self.apply_policy(policy)

    def append(
        self,
        records: Sequence[InputRecord],
        kind: InputKind,
        at_ms: int,
        *,
        topic: str | None = None,
        partition: int = 0,
    ) -> Intake:
        """Take in records that were appended to an input partition at `at_ms`; returns what intake made of them.

        `topic`: None for the one that is called like its kind.
        """
        intake = self._mapper.map_chunk(records, kind, at_ms, topic=topic or kind.value, partition=partition)
        self.take_in(intake.facts, at_ms)
        self.arrived(topic or kind.value, partition, at_ms, intake.arrivals)
        return intake

    def arrived(self, topic: str, partition: int, at_ms: int, arrivals: Mapping[str, Arrivals]) -> None:
        """What the next markers tell of the feeds whose records were appended at `at_ms`."""
        minutes = self._arrivals.setdefault((topic, partition), {})
        for feed, came in arrivals.items():
            minutes.setdefault(at_ms // MINUTE_MS, {}).setdefault(feed, Arrivals()).add(came)

    def records_end(self) -> None:
        """Nothing is known of what comes from now on: that nothing is appended is no feed's silence."""
        self._lost = 1

    def take_in(self, facts: Iterable[tuple[Stage, bytes, bytes]], at_ms: int) -> None:
        """What intake has made of records that were appended at `at_ms`: the same for every policy."""
        for stage, key, value in facts:
            count = self._partitions
            for number in (partition_of(key, count),) if key[0] else range(count):
                if stage == "parcels":
                    self._parcels[number].append(key, value)
                else:
                    self.to_returns(number, key, value, at_ms)

    def apply_policy(self, policy: bytes) -> None:
        """Decide by this policy (a POLICY_KEY record) from here on."""
        for log in (*self._parcels, *self._returns):
            log.append(POLICY_KEY, policy)

    def load_history(self, told: bytes) -> None:
        """A backfill begins or ends here (a BACKFILL_KEY record): meanwhile the watermarks stand, whatever `advance` asks for."""
        for log in (*self._parcels, *self._returns):
            log.append(BACKFILL_KEY, told)

    def advance(self, until_ms: int) -> None:
        """Work through everything that was appended, and let the watermarks reach `until_ms`."""
        marker = self._marker(until_ms)
        for number, parcels in enumerate(self._parcels):
            parcels.append(MARKER_KEY, marker)
            self.to_returns(number, MARKER_KEY, marker, until_ms)
        for parcels in self._parcels:
            for report in parcels.work():
                self._returns[partition_of(report.key, self._partitions)].append(report.key, report.value)
        for passed_on in [parcels.partition.marks_to_forward() for parcels in self._parcels]:
            if passed_on is not None:
                for returns in self._returns:
                    returns.append(MARKER_KEY, passed_on)
        for returns in self._returns:
            self._said += returns.work()

    def said(self) -> list[Outgoing]:
        """Everything that `returns` said since the last call, in order within each partition."""
        said, self._said = self._said, []
        return said

    def news(self) -> list[Escalation]:
        """The changes of cases among it."""
        return escalations_of(self.said())

    def states(self, stage: Stage) -> dict[bytes, bytes]:
        """Key -> state of every parcel, or of every return, as the stage keeps it now."""
        return {key: raw for key, _, raw in self.kept(stage)}

    def kept(self, stage: Stage) -> list[tuple[bytes, int, bytes]]:
        """(key, when to look again, state) of every parcel, or of every return."""
        logs = self._parcels if stage == "parcels" else self._returns
        return [
            (key, armed_ms, raw)
            for log in logs
            for key, (armed_ms, raw) in log.store.states.items()
            if not is_cell(key)
        ]

    def counts(self) -> Counter[tuple[str, str]]:
        """(name, label) -> how often, of both stages so far; the names are in streams/partition.py."""
        return sum((log.counts for log in (*self._parcels, *self._returns)), Counter())

    def partitions(self) -> list[Partition]:
        """Of both stages."""
        return [log.partition for log in (*self._parcels, *self._returns)]

    def held(self) -> Counter[str]:
        """Feed -> how many things wait for it now beyond their deadline."""
        held: Counter[str] = Counter()
        for partition in self.partitions():
            for (feed, _), (count, _) in partition.held().items():
                held[feed] += count
        return held

    def to_returns(self, number: int, key: bytes, value: bytes, at_ms: int) -> None:  # noqa: ARG002 - for subclasses
        """What intake and its markers write to `returns`, at `at_ms`. A subclass may make this road longer than the reports'."""
        self._returns[number].append(key, value)

    def _marker(self, through_ms: int) -> bytes:
        """One marker, with marks for each minute in which something came: as if there had been one a minute."""
        marks = [
            mark
            for topic, count in self._inputs.items()
            for number in range(count)
            for mark in self._marks(topic, number, through_ms)
        ]
        self._marked_ms = max(self._marked_ms, through_ms)
        return encode_json(Marker(marks=tuple(marks), roster=self._inputs))

    def _marks(self, topic: str, number: int, through_ms: int) -> Iterator[Mark]:
        waiting = self._arrivals.get((topic, number), {})
        if 0 < through_ms <= self._marked_ms:
            return  # what came since is told when time goes on
        came = {minute: waiting.pop(minute) for minute in sorted(waiting) if minute * MINUTE_MS < through_ms}
        span = Span(self._marked_ms, through_ms)
        yield from marks_of(topic, number, span, Told(came, first_offset=self._lost), MINUTE_MS)


def escalations_of(said: Iterable[Outgoing]) -> list[Escalation]:
    """The changes of cases among messages."""
    values = [message.value for message in said if message.topic == "escalations"]
    return [decode_escalation(value) for value in values if value is not None]


def answers_of(said: Iterable[Outgoing]) -> list[CommandAnswer]:
    """The answers to commands among messages."""
    values = [message.value for message in said if message.topic == "command-answers"]
    return [decode_command_answer(value) for value in values if value is not None]


@dataclass(slots=True)
class _Record:
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class StageLog:
    """One partition of a stage with its log and its store. What has been worked through is let go."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self._waiting: list[_Record] = []
        self._end = 0
        self.store = Store()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.spans: list[SaidSpan] = []
        """Of what was said, if the partition carries traces."""

    def append(self, key: bytes, value: bytes | None, headers: Headers = ()) -> None:
        """Put a record at the end of the log."""
        self._waiting.append(_Record(self._end, key, value, headers))
        self._end += 1

    def work(self) -> list[Outgoing]:
        """Work through what waits in the log; returns what is to be said."""
        said: list[Outgoing] = []
        start = 0
        while self.partition.next_offset < self._end:
            batch = self.partition.step(self._waiting, start, self.store, self._end)
            self.store.apply(batch)
            self.counts.update(batch.counters)
            self.spans += batch.spans
            said += batch.outgoing
            start += batch.consumed
        self._waiting.clear()
        return said


@dataclass
class Store:
    """States and timers of one partition (streams.batch.StateReader)."""

    states: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    _far: list[tuple[int, bytes]] = field(default_factory=list)
    """Heap of timers. One that was disarmed stays, here and in `_near`: the state's own time is the truth."""
    _near: list[tuple[int, bytes]] = field(default_factory=list)
    """Timers that have been asked for, in order."""
    _keys: list[bytes] | None = None
    """Keys in order, among them some that are gone; None: to be sorted anew."""

    def get_many(self, keys: Sequence[bytes]) -> Sequence[tuple[int, bytes] | None]:
        """(armed_ms, raw) per key, None where there is no state."""
        return [self.states.get(key) for key in keys]

    def due(self, after: tuple[int, bytes], until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Timers strictly after `after` and due at or before `until_ms`, in order."""
        self._near = [entry for entry in self._near if self._is_armed(entry)]
        while self._far and self._far[0][0] <= until_ms:
            entry = heappop(self._far)
            at = bisect_right(self._near, entry)
            if self._is_armed(entry) and (not at or self._near[at - 1] != entry):
                insort(self._near, entry)
        start, end = bisect_right(self._near, after), bisect_right(self._near, until_ms, key=_time_of)
        return self._near[start : min(end, start + limit)]

    def keys_after(self, key: bytes, limit: int) -> list[bytes]:
        """Keys of states strictly after `key`, in order."""
        if self._keys is None:
            self._keys = sorted(self.states)
        following = islice(self._keys, bisect_right(self._keys, key), None)
        return list(islice((known for known in following if known in self.states), limit))

    def apply(self, batch: Batch) -> None:
        """Take over what a batch decided."""
        for write in batch.writes:
            if write.raw is None:
                self.states.pop(write.key, None)
                continue
            if write.key not in self.states:
                self._keys = None
            elif self.states[write.key][0] == write.armed_ms:
                self.states[write.key] = (write.armed_ms, write.raw)
                continue
            self.put(write.key, write.armed_ms, write.raw)

    def put(self, key: bytes, armed_ms: int, raw: bytes) -> None:
        """Keep a state, and arm its timer."""
        self.states[key] = (armed_ms, raw)
        if armed_ms:
            heappush(self._far, (armed_ms, key))

    def _is_armed(self, entry: tuple[int, bytes]) -> bool:
        state = self.states.get(entry[1])
        return state is not None and state[0] == entry[0]


def _time_of(entry: tuple[int, bytes]) -> int:
    return entry[0]


def _parcels(count: int, number: int, roads: tuple[str, ...]) -> Partition:
    return Partition(parcel_logic(count), number, position=None, policy=None, sources=roads)


def _returns(count: int, number: int, roads: tuple[str, ...]) -> Partition:
    return Partition(
        return_logic(count), number, position=None, policy=None, sources=(*roads, PARCELS_SOURCE)
    )
