"""What a mark tells of arrivals: all that came, or that it does not know; and what is late is so by no fault of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from faust.types.tuples import TP
from prometheus_client import CollectorRegistry

from agents import intake as intake_module
from agents import markers as markers_module
from agents.fencing import Message
from agents.intake import IntakeHost, IntakeStage
from agents.lanes import Flow
from agents.markers import MarkerHost, MarkerPlan, Markers, Progress
from agents.metrics import Metrics
from agents.settings import Settings
from schemas.carrier_codes import load_carrier_codes
from schemas.facts import Arrivals, Mark, decode_marker
from simulation.marks_seen import MarksSeen
from streams.arrival_marks import WHEN_UNKNOWN
from tests.input_events import HOUR_MS, NOON_MS, records, scan

SCANS = TP("carrier-scans", 0)
MINUTE_MS = 60_000


class Clock:
    def __init__(self) -> None:
        self.known = asyncio.Event()
        self.known.set()
        self.ms = NOON_MS

    def now_ms(self) -> int:
        return self.ms

    def log_ms(self, append_ms: int) -> int:
        return append_ms

    def through_ms(self, append_ms: int) -> int:
        return append_ms - MINUTE_MS


class Worker:
    """Intake and markers of one process, without a broker: what they write is in `marks`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tracer = None
        self.clock, self.progress, self.producer = Clock(), Progress(), None
        self.metrics = Metrics(CollectorRegistry())
        self.dead_letters = cast(Any, None)
        self.marks: list[Mark] = []
        self.hangs = False
        monkeypatch.setattr(markers_module, "send_grouped", self._write_marks)
        monkeypatch.setattr(intake_module, "send_grouped", self._forward)
        plan = MarkerPlan("heartbeats", "w1", (SCANS.topic,), (("parcels", 1),), 1.0, MINUTE_MS)
        self.markers = Markers({"bootstrap_servers": "127.0.0.1:1"}, plan, cast(MarkerHost, self))
        monkeypatch.setattr(self.markers, "_roster", lambda: {SCANS.topic: 1})
        flow = cast(Flow, None)
        self.intake = IntakeStage(Settings(), cast(IntakeHost, self), flow, load_carrier_codes())

    async def _write_marks(
        self, _producer: object, messages: Mapping[tuple[str, int], Sequence[Message]]
    ) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        self.marks += decode_marker(messages["parcels", 0][0][1] or b"").marks

    async def _forward(self, _producer: object, _messages: object) -> None:
        await asyncio.sleep(0)

    def begin(self, committed: int) -> None:
        """An assignment begins, from what was committed."""
        self.markers.reset()
        self.progress.reset({SCANS: committed}, {SCANS: committed})

    def beat(self, at_ms: int, end: int) -> None:
        """A heartbeat was appended, and the partition ended there then."""
        self.clock.ms = at_ms
        self.markers._pending[SCANS].append((at_ms, end))

    async def read(self, first: int, stop: int, *appended_ms: int) -> None:
        """Forward the records from one offset until before another, which the broker has stamped with these times, if any."""
        taken = records(*(scan(id=f"s{offset}") for offset in range(first, stop)))
        for record, at_ms in zip(taken, appended_ms, strict=False):
            record.timestamp, record.timestamp_type = at_ms, 1
        await self.intake.forward([(SCANS, taken, stop)])


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    made = Worker(monkeypatch)
    yield made
    await made.markers.stop()


def told(mark: Mark) -> tuple[int, int, int]:
    """From which offset until before which, and how many."""
    came = mark.arrivals.get("ups", 0)
    return mark.first_offset, mark.next_offset, came.count if isinstance(came, Arrivals) else came


async def test_a_mark_tells_of_what_records_it_tells_and_the_next_goes_on_there(worker: Worker) -> None:
    worker.begin(5)
    worker.beat(NOON_MS, 7)
    await worker.read(5, 8)
    await worker.markers.flush()
    worker.beat(NOON_MS + 1_000, 8)
    await worker.markers.flush()
    assert [told(mark) for mark in worker.marks] == [(5, 8, 3), (8, 8, 0)]


async def test_what_was_forwarded_and_not_marked_before_an_assignment_is_not_told_as_silence(
    worker: Worker,
) -> None:
    worker.begin(0)
    worker.beat(NOON_MS, 2)
    await worker.read(0, 2)
    await worker.markers.flush()
    await worker.read(2, 9)  # committed, and no mark tells of it
    worker.begin(9)
    worker.beat(NOON_MS + HOUR_MS, 9)
    await worker.markers.flush()
    assert [told(mark) for mark in worker.marks] == [(0, 2, 2), (9, 9, 0)], "2 to 8 are told by none"


async def test_what_was_under_way_when_an_assignment_began_is_read_again(worker: Worker) -> None:
    worker.begin(0)
    under_way = asyncio.create_task(worker.read(0, 4))
    await asyncio.sleep(0)
    worker.begin(2)
    await under_way
    assert worker.progress.at(SCANS) == 2
    await worker.read(2, 4)
    worker.beat(NOON_MS, 4)
    await worker.markers.flush()
    assert [told(mark) for mark in worker.marks] == [(2, 4, 2)]


async def test_a_mark_that_was_called_off_is_told_again(worker: Worker) -> None:
    worker.begin(0)
    worker.beat(NOON_MS, 3)
    await worker.read(0, 3)
    worker.hangs = True
    flush = asyncio.create_task(worker.markers.flush())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    flush.cancel()
    await asyncio.wait([flush])
    worker.hangs = False
    worker.beat(NOON_MS + 1_000, 3)
    await worker.markers.flush()
    assert [told(mark) for mark in worker.marks] == [(0, 3, 3)]


async def test_what_retention_removed_unread_is_told_by_no_mark(worker: Worker) -> None:
    worker.begin(0)
    await worker.read(0, 3)
    worker.progress.trimmed(SCANS, 50)
    worker.beat(NOON_MS, 50)
    await worker.markers.flush()
    assert [told(mark) for mark in worker.marks] == [(50, 50, 3)]


async def test_what_we_read_late_did_not_come_late(worker: Worker) -> None:
    worker.begin(0)
    worker.beat(NOON_MS + MINUTE_MS, 3)
    worker.beat(NOON_MS + 3 * HOUR_MS, 6)
    await worker.read(0, 3)
    assert worker.progress.came[SCANS][WHEN_UNKNOWN]["ups"].late == 0, "it had come by the first heartbeat"
    await worker.read(3, 6)
    assert worker.progress.came[SCANS][WHEN_UNKNOWN]["ups"].late == 3, "it had not"


async def test_after_a_time_away_marks_tell_when_things_came_by_the_brokers_times(worker: Worker) -> None:
    worker.begin(0)
    worker.beat(NOON_MS, 0)
    await worker.markers.flush()
    worker.beat(NOON_MS + 2 * HOUR_MS, 3)
    await worker.read(0, 3, *(NOON_MS + minute * MINUTE_MS for minute in (1, 3, 61)))
    await worker.markers.flush()
    through = [(mark.through_ms - NOON_MS) // MINUTE_MS for mark in worker.marks]
    assert list(zip(through, map(told, worker.marks), strict=True)) == [
        (-1, (0, 0, 0)),
        (0, (0, 3, 0)),
        (5, (0, 3, 2)),
        (60, (0, 3, 0)),
        (65, (0, 3, 1)),
        (119, (0, 3, 0)),
    ]


async def test_what_was_not_marked_before_a_kill_leaves_only_the_time_until_the_next_is_known_untold(
    worker: Worker,
) -> None:
    worker.begin(0)
    worker.beat(NOON_MS, 2)
    await worker.read(0, 2, NOON_MS - MINUTE_MS, NOON_MS)
    await worker.markers.flush()
    await worker.read(2, 9)  # committed, and no mark tells of it
    worker.begin(9)
    worker.beat(NOON_MS + 3 * HOUR_MS, 10)
    await worker.read(9, 10, NOON_MS + HOUR_MS)
    await worker.markers.flush()
    seen = MarksSeen(["carrier-scans"], "ups")
    seen.add(worker.marks)
    ((since_at, until_at),) = seen.blurred
    assert until_at == datetime.fromtimestamp((NOON_MS + HOUR_MS) / 1000, UTC), "and not three hours"
    assert since_at < until_at


async def test_a_heartbeat_that_tells_no_later_time_takes_nothing_from_the_next(worker: Worker) -> None:
    worker.begin(0)
    for at_ms in (NOON_MS, NOON_MS, NOON_MS + 1_000):
        end = worker.progress.at(SCANS) + 1
        worker.beat(at_ms, end)
        await worker.read(end - 1, end)
        await worker.markers.flush()
    assert [told(mark)[2] for mark in worker.marks] == [1, 2]


async def test_what_the_broker_stamped_is_late_by_that(worker: Worker) -> None:
    worker.begin(0)
    worker.beat(NOON_MS + 9 * HOUR_MS, 2)
    await worker.read(0, 2, NOON_MS + MINUTE_MS, NOON_MS + 2 * HOUR_MS)
    late = [feeds["ups"].late for _, feeds in sorted(worker.progress.came[SCANS].items())]
    assert late == [0, 1]


LYON = TP("carrier-scans", 1)


async def test_marks_of_one_partition_are_in_one_record_however_many_there_are(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    records_of: list[set[int]] = []

    async def write(_producer: object, messages: Mapping[tuple[str, int], Sequence[Message]]) -> None:
        for _, value, _ in messages["parcels", 0]:
            marks = decode_marker(value or b"").marks
            records_of.append({mark.partition for mark in marks})
            worker.marks += marks

    monkeypatch.setattr(markers_module, "send_grouped", write)
    monkeypatch.setattr(markers_module, "MOST_MARKS", 4)
    worker.begin(0)
    stamps = [NOON_MS + minute * MINUTE_MS for minute in (1, 21, 41, 61, 81)]
    for tp in (SCANS, LYON):
        worker.markers._pending[tp].append((NOON_MS + 2 * HOUR_MS, 5))
        taken = records(*(scan(id=f"s{number}") for number in range(5)))
        for record, at_ms in zip(taken, stamps, strict=True):
            record.timestamp, record.timestamp_type = at_ms, 1
        await worker.intake.forward([(tp, taken, 5)])
    await worker.markers.flush()
    assert records_of == [{0}, {1}]
    assert sum(told(mark)[2] for mark in worker.marks) == 10


def silences(marks: Sequence[Mark]) -> list[tuple[int, int]]:
    """Minutes after noon, from and to, that marks tell as silent: in the order in which a stage folds them."""
    found, seen, counted = [], marks[0].through_ms, marks[0].next_offset
    for mark in marks[1:]:
        if mark.through_ms > seen:
            if mark.first_offset <= counted and not told(mark)[2]:
                found.append(((seen - NOON_MS) // MINUTE_MS, (mark.through_ms - NOON_MS) // MINUTE_MS))
            seen, counted = mark.through_ms, mark.next_offset
    return found


@pytest.mark.parametrize("trouble", ["none", "removed by retention", "no stamps for a while"])
async def test_a_time_of_which_not_all_is_known_is_never_told_as_silence(
    worker: Worker, trouble: str
) -> None:
    worker.begin(0)
    worker.beat(NOON_MS, 0)
    await worker.markers.flush()
    worker.beat(NOON_MS + 6 * HOUR_MS, 60)
    await worker.read(0, 3, *(NOON_MS + minute * MINUTE_MS for minute in (1, 2, 3)))
    if trouble == "removed by retention":
        worker.progress.trimmed(SCANS, 57)
    elif trouble == "no stamps for a while":
        await worker.read(3, 57)
    await worker.read(57, 60, *(NOON_MS + minute * MINUTE_MS for minute in (341, 342, 343)))
    await worker.markers.flush()
    silent = silences(worker.marks)
    assert silent[-1] == (345, 359)
    assert silent[:-1] == ([(-1, 0), (5, 340)] if trouble == "none" else [])


async def test_what_is_forwarded_ahead_of_a_mark_is_told_by_the_one_of_its_time(worker: Worker) -> None:
    worker.begin(0)
    worker.beat(NOON_MS + MINUTE_MS, 1)
    await worker.read(0, 3, *(NOON_MS + minute * MINUTE_MS for minute in (-1, 31, 62)))
    await worker.markers.flush()
    assert [told(mark) for mark in worker.marks][-1][1] == 1, "a kill now must not make the others a silence"
    worker.beat(NOON_MS + 91 * MINUTE_MS, 3)
    await worker.markers.flush()
    through = [(mark.through_ms - NOON_MS) // MINUTE_MS for mark in worker.marks]
    heard = [(at, told(mark)[2]) for at, mark in zip(through, worker.marks, strict=True) if told(mark)[2]]
    assert heard == [(0, 1), (35, 1), (65, 1)]
    assert told(worker.marks[-1])[:2] == (1, 3)
