"""A disk without room: work stops and says why, nothing is wiped or lost, and it goes on when there is room."""

import asyncio
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from agents import disk_room
from agents.disk_room import DiskRoom, free_bytes, says_full
from agents.health import Readiness
from agents.metrics import Metrics
from agents.stage import Stage, StageHost, StageTopics
from agents.store import PartitionStore, SharedMemory, StoreCorruptError
from streams.batch import Batch
from streams.parcel_stage import parcel_logic
from streams.partition import Write
from tests.receivers import eventually

FULL = Exception("IO error: No space left on device: While appending to file: /data/000004.log")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_room, "LOOK_SECONDS", 0.01)


class Disk:
    """A disk whose free room a test sets, and the room that watches it."""

    def __init__(self) -> None:
        self.free = 1_000
        self.readiness = Readiness()
        self.readiness.has("start")
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry, log_clock=lambda: 0.0)
        self.room = DiskRoom(Path("/data"), 100, metrics, self.readiness, free=lambda _: self.free)

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"returnwatch_{name}")


@pytest.fixture
def disk() -> Disk:
    return Disk()


async def test_work_stops_at_the_reserve_says_why_and_goes_on_with_ample_room(disk: Disk) -> None:
    await asyncio.wait_for(disk.room.wait(), 10)
    assert (disk.metric("disk_full"), disk.metric("disk_free_bytes")) == (0, 1_000)
    disk.free = 99
    waiting = asyncio.create_task(disk.room.wait())
    await eventually(lambda: disk.room.is_full)
    assert "make room" in disk.readiness.missing()["disk"]
    assert (disk.metric("disk_full"), disk.metric("disk_free_bytes")) == (1, 99)
    disk.free = 124
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.2)
    disk.free = 125
    await asyncio.wait_for(waiting, 10)
    assert disk.readiness.missing() == {}
    assert (disk.room.is_full, disk.metric("disk_full")) == (False, 0)


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (FULL, True),
        (OSError(errno.ENOSPC, "anything"), True),
        (OSError(errno.EDQUOT, "anything"), True),
        (OSError(errno.EIO, "Input/output error"), False),
        (Exception("Corruption: block checksum mismatch"), False),
    ],
)
def test_a_full_disk_is_told_from_a_broken_one(error: Exception, is_full: bool) -> None:
    assert says_full(error) == is_full


def test_what_is_free_is_what_the_system_says(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 0


class Refusing:
    """Stands before an open database: some writes are refused."""

    def __init__(self, database: Any, error: Exception) -> None:
        self._database = database
        self._error = error

    def write(self, _batch: Any) -> None:
        # A new one each time: the traceback of one that lives on keeps the database open.
        raise type(self._error)(*self._error.args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    opened = PartitionStore(tmp_path / "parcels-0", SharedMemory(), pytest.fail)
    opened.apply([_put(b"a")], position=b"p", policy=None, offset=4)
    yield opened
    opened.close()


def _put(key: bytes) -> Write:
    return Write(key, b"state of " + key, 0, 0, durable=True)


def _batch(*keys: bytes) -> Batch:
    return Batch(b"q", [_put(key) for key in keys], [], 1, 1, 1, False, None, {}, [])


def _stage(disk: Disk) -> Stage:
    host = cast(StageHost, type("Host", (), {"room": disk.room})())
    return Stage(cast(StageTopics, None), lambda: parcel_logic(1), host)


async def test_a_batch_that_the_disk_refused_is_written_when_there_is_room(
    disk: Disk, store: PartitionStore
) -> None:
    store._db = cast(Any, Refusing(store._db, FULL))
    disk.free = 10
    keeping = asyncio.create_task(_stage(disk)._keep(store, _batch(b"b", b"c"), 7))
    await eventually(lambda: disk.room.is_full)
    disk.free = 1_000
    await asyncio.wait_for(keeping, 10)
    assert store.changelog_offset == 7
    assert store.get_many([b"a", b"b", b"c"]) == [(0, b"state of a"), (0, b"state of b"), (0, b"state of c")]
    store.open_again()
    assert (store.changelog_offset, store.position, len(store.keys_after(b"", 9))) == (7, b"q", 3)


async def test_any_other_error_of_the_disk_ends_the_work(disk: Disk, store: PartitionStore) -> None:
    store._db = cast(Any, Refusing(store._db, Exception("IO error: Input/output error")))
    with pytest.raises(Exception, match="Input/output"):
        await asyncio.wait_for(_stage(disk)._keep(store, _batch(b"b"), 5), 10)
    assert not disk.room.is_full


async def test_a_store_that_lost_something_to_the_full_disk_is_not_believed(
    disk: Disk, store: PartitionStore
) -> None:
    store._db = cast(Any, Refusing(store._db, FULL))
    store.changelog_offset = 9
    with pytest.raises(StoreCorruptError, match="stands at 4, not at 9"):
        await asyncio.wait_for(_stage(disk)._keep(store, _batch(b"b"), 12), 10)


def test_a_store_that_cannot_be_opened_on_a_full_disk_is_not_wiped(
    store: PartitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.path
    store.close()
    with monkeypatch.context() as patched:

        def refuse(_store: PartitionStore) -> None:
            raise FULL

        patched.setattr(PartitionStore, "_open", refuse)
        with pytest.raises(Exception, match="No space left"):
            PartitionStore(path, SharedMemory(), pytest.fail)
    again = PartitionStore(path, SharedMemory(), pytest.fail)
    assert again.changelog_offset == 4
    again.close()
