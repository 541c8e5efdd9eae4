"""The board's follower over a log that is a list: when it goes on, when it reads anew, and what it does without Kafka."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from agents.board import following
from agents.board.case_query import CaseQuery
from agents.board.following import LONGEST_ABSENCE, Follower, FollowerMetrics, _all_of, _DoubtError
from agents.board.index_reading import IndexReader
from agents.board.index_writing import IndexWriter
from agents.errors import BrokerUnreachableError, Finding
from agents.health import Readiness
from agents.settings import Settings
from schemas.outputs import Escalation, Severity, encode_case
from schemas.vocabulary import CaseState, Reason, RuleId
from tests.board_shop import NAMES, Record

NOW = datetime.now(UTC)
TURNS = 2_000
CASES = TopicPartition(NAMES.cases, 0)


class Kafka:
    """One partition of `cases`, and what its brokers tell. It has what a consumer is asked for."""

    def __init__(self) -> None:
        self.cluster = "here"
        self.is_there = True
        self.grows_by_looking = False
        self.records: list[Record] = []
        self._next = 0

    def say(self, *return_ids: str) -> None:
        for return_id in return_ids:
            case = a_case(return_id)
            record = Record(NAMES.cases, case.case_id.encode(), encode_case(case), offset=len(self.records))
            self.records.append(record)

    def assign(self, _partitions: object) -> None:
        self._next = 0

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self._next = offset

    async def seek_to_beginning(self, _partition: TopicPartition) -> None:
        self._next = 0

    async def end_offsets(self, _partitions: object) -> dict[TopicPartition, int]:
        if self.grows_by_looking:
            self.say(f"R{len(self.records) + 100}")
        return {CASES: len(self.records)}

    async def beginning_offsets(self, _partitions: object) -> dict[TopicPartition, int]:
        return {CASES: 0}

    async def position(self, _partition: TopicPartition) -> int:
        return self._next

    async def getmany(self, **_how: object) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0.001)
        found = self.records[self._next :]
        self._next = len(self.records)
        return {CASES: found} if found else {}


def a_case(return_id: str) -> Escalation:
    return Escalation(
        case_id=f"case-{return_id}",
        revision=1,
        rule=RuleId.STALLED_SILENT,
        state=CaseState.OPEN,
        reason=Reason.DUE,
        level=1,
        severity=Severity.WARNING,
        action="ask the carrier",
        return_id=return_id,
        since_at=NOW,
        due_at=NOW,
        effective_at=NOW,
    )


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    broker = Kafka()

    async def reachable(*_arguments: object) -> None:
        await asyncio.sleep(0)
        if not broker.is_there:
            raise BrokerUnreachableError([Finding("127.0.0.1:9092", "cannot connect")])

    async def partitions(_settings: Settings) -> list[TopicPartition]:
        return [CASES]

    async def cluster(_settings: Settings) -> str:
        return broker.cluster

    @asynccontextmanager
    async def consumer(*_arguments: object, **_more: object) -> AsyncIterator[Kafka]:
        yield broker

    monkeypatch.setattr(following, "reachable", reachable)
    monkeypatch.setattr(following, "followed_partitions", partitions)
    monkeypatch.setattr(following, "cluster_of", cluster)
    monkeypatch.setattr(following, "open_consumer", consumer)
    monkeypatch.setattr(following, "LOOK_EVERY_S", 0.2)
    return broker


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


def a_follower(file: Path) -> Follower:
    metrics = FollowerMetrics(CollectorRegistry())
    return Follower(Settings(), file, IndexReader(file), Readiness(), metrics)


async def until(follower: Follower, done: Callable[[], bool]) -> list[str]:
    """Let it follow until something is so; returns why it read anew."""
    with capture_logs() as logs:
        work = asyncio.create_task(follower.run(rebuild=False))
        for _ in range(TURNS):
            if done() or work.done():
                break
            await asyncio.sleep(0.01)
        was_done = done()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    assert was_done, logs if work.cancelled() else repr(work.exception())
    return [entry["why"] for entry in logs if entry["event"] == "board_index_read_anew"]


async def until_shown(file: Path, *return_ids: str) -> list[str]:
    follower = a_follower(file)

    def is_shown() -> bool:
        return follower.read_share is None and shown(file) == set(return_ids)

    return await until(follower, is_shown)


def shown(file: Path) -> set[str]:
    return {case.return_id for case in IndexReader(file).cases(CaseQuery(), NOW).cases}


def note(file: Path, **notes: str) -> None:
    """As if that had been noted."""
    writer = IndexWriter(file, NAMES)
    writer._base.execute("DELETE FROM about WHERE name IN ('begun_at', 'whole_at')")
    for name, text in notes.items():
        writer._note(name, text)
    writer.close()


LONG_AGO = (NOW - LONGEST_ABSENCE - timedelta(hours=1)).isoformat()
LATELY = (NOW - LONGEST_ABSENCE + timedelta(hours=1)).isoformat()


async def test_it_goes_on_where_it_stopped(kafka: Kafka, file: Path) -> None:
    kafka.say("R1")
    assert await until_shown(file, "R1") == []
    kafka.say("R2")
    assert await until_shown(file, "R1", "R2") == []


@pytest.mark.parametrize(
    ("notes", "why"),
    [
        ({"whole_at": LATELY, "begun_at": LONG_AGO}, []),
        ({"whole_at": LONG_AGO, "begun_at": LONG_AGO}, ["deletions may have been missed"]),
        ({"begun_at": LATELY}, []),
        ({"begun_at": LONG_AGO}, ["deletions may have been missed"]),
    ],
)
async def test_an_index_that_could_have_missed_a_deletion_is_read_anew_whether_or_not_it_was_ever_whole(
    kafka: Kafka, file: Path, notes: dict[str, str], why: list[str]
) -> None:
    kafka.say("R1")
    await until_shown(file, "R1")
    note(file, **notes)
    assert await until_shown(file, "R1") == why


async def test_a_board_that_was_cut_off_for_too_long_while_it_ran_reads_anew(
    kafka: Kafka, file: Path
) -> None:
    kafka.say("R1")
    follower, told, begun = a_follower(file), False, 0
    written_at, begin_anew = follower._writer.last_written_at, follower._writer.begin_anew

    def or_long_ago() -> datetime:
        nonlocal told
        if follower.read_share is None and not told:
            told = True
            return datetime.fromisoformat(LONG_AGO)
        return written_at()

    def counted() -> None:
        nonlocal begun
        begin_anew()
        begun += 1

    follower._writer.last_written_at = or_long_ago  # type: ignore[method-assign]
    follower._writer.begin_anew = counted  # type: ignore[method-assign]
    why = await until(follower, lambda: begun > 0 and follower.read_share is None and shown(file) == {"R1"})
    assert why == ["deletions may have been missed"]


@pytest.mark.parametrize("turns", range(1, 6))
async def test_a_stop_is_never_lost_to_a_doubt_of_the_same_moment(turns: int) -> None:
    async def doubts() -> None:
        raise _DoubtError

    async def reads() -> None:
        await asyncio.Event().wait()

    work = asyncio.create_task(_all_of(doubts(), reads()))
    for _ in range(turns):
        await asyncio.sleep(0)
    is_too_late = work.done()
    work.cancel()
    with pytest.raises(_DoubtError if is_too_late else asyncio.CancelledError):
        await work


async def test_where_something_is_written_all_the_time_the_index_is_whole_all_the_same(
    kafka: Kafka, file: Path
) -> None:
    kafka.say("R1")
    await until_shown(file, "R1")
    note(file, begun_at=LATELY)
    kafka.grows_by_looking = True
    follower = a_follower(file)
    lately = datetime.fromisoformat(LATELY)
    await until(
        follower, lambda: IndexReader(file)._one("SELECT 1 FROM about WHERE name = 'whole_at'") is not None
    )
    writer = IndexWriter(file, NAMES)
    assert writer.last_written_at() > lately
    writer.close()


async def test_the_index_of_another_cluster_is_not_gone_on_with(kafka: Kafka, file: Path) -> None:
    kafka.say("R1", "R2")
    await until_shown(file, "R1", "R2")
    kafka.cluster, kafka.records = "elsewhere", []
    kafka.say("R7", "R8", "R9")
    assert await until_shown(file, "R7", "R8", "R9") == ["it is of another cluster"]
    assert await until_shown(file, "R7", "R8", "R9") == []


async def test_a_damaged_index_is_read_anew_while_it_runs(kafka: Kafka, file: Path) -> None:
    kafka.say("R1")
    await until_shown(file, "R1")
    damage(file)
    kafka.say("R2")
    (why,) = await until_shown(file, "R1", "R2")
    assert "damaged" in why


def damage(file: Path) -> None:
    """As a disk does, where neither whose index it is nor the positions are."""
    base = sqlite3.connect(file, isolation_level=None)
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = base.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'facets'").fetchone()
    base.close()
    content = bytearray(file.read_bytes())
    size = int.from_bytes(content[16:18], "big")
    content[(page - 1) * size : page * size] = b"\xff" * size
    file.write_bytes(content)


async def test_without_kafka_what_was_known_is_shown_and_since_when(kafka: Kafka, file: Path) -> None:
    kafka.say("R1")
    await until_shown(file, "R1")
    whole_at = IndexWriter(file, NAMES).last_written_at()
    kafka.is_there = False
    follower = a_follower(file)
    assert await until(follower, lambda: follower.silent_since == whole_at) == []
    assert shown(file) == {"R1"}
    kafka.say("R2")
    again = a_follower(file)
    turns = 0

    def comes_back() -> bool:
        nonlocal turns
        turns += 1
        kafka.is_there = turns > 5
        return again.silent_since is None and shown(file) == {"R1", "R2"}

    assert await until(again, comes_back) == []


async def test_without_kafka_and_an_index_it_ends_and_says_what_is_wrong(kafka: Kafka, file: Path) -> None:
    kafka.is_there = False
    with pytest.raises(BrokerUnreachableError, match="cannot connect"):
        await a_follower(file).run(rebuild=False)


async def test_what_a_thread_does_is_waited_for_however_often_it_is_cancelled() -> None:
    begun, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        goes_on.wait()
        ended.set()

    work = asyncio.create_task(following._to_its_end(asyncio.to_thread(write)))
    await asyncio.to_thread(begun.wait)
    for _ in range(2):
        work.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    was_done = work.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (was_done, ended.is_set()) == (False, True), "the file would be closed under it"
