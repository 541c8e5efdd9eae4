"""What a stopped worker's directory holds, as `returnwatch state` tells it: whole, in use, damaged, written by halves."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from agents.store import CORRUPT_FLAG, PartitionStore, SharedMemory
from streams.cells import CellName, cell_key, with_added
from streams.parcel import ParcelState, encode_parcel
from streams.partition import Write
from streams.returns import ReturnState, encode_return
from streams.state_version import STATE_VERSION, VERSION_AT
from streams.traces import Context, encode_kept, trace_key, with_latest
from streams.watermark import Position, encode_position
from tests.command_line import Answer, returnwatch

CONTEXT = encode_kept(with_latest((), "ups:1", Context(b"t" * 16, b"s" * 8)))
AT_MS = 1_767_571_200_000
MEMORY = SharedMemory()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two partitions of `parcels` and one of `returns`, as a worker leaves them."""
    for number in range(2):
        writes = [
            Write(
                b"ups:%d" % one, encode_parcel(ParcelState()), AT_MS + one if one % 2 else 0, 0, durable=True
            )
            for one in range(10)
        ]
        _write(tmp_path / f"parcels-{number}", writes)
    cell = Write(
        cell_key(CellName("day", 20_000, "")), with_added(None, {1: 2}, AT_MS), AT_MS, 0, durable=True
    )
    trace = Write(trace_key(b"RMA-1"), CONTEXT, 0, 0, durable=True)
    _write(
        tmp_path / "returns-0",
        [Write(b"RMA-1", encode_return(ReturnState()), 0, 0, durable=True), cell, trace],
    )
    return tmp_path


def _write(path: Path, writes: list[Write]) -> None:
    store = PartitionStore(path, MEMORY, pytest.fail)
    position = encode_position(Position(next_offset=77, watermark_ms=AT_MS, policy_hash="abcdef"))
    store.apply(writes, position=position, policy=None, offset=41)
    store.compact()
    store.close()


def state(command: str, data: Path, *more: str) -> Answer:
    return returnwatch("state", command, *more, "--data-dir", str(data))


def test_inspect_counts_what_is_there(data: Path) -> None:
    answer = state("inspect", data, "--json")
    assert answer.code == 0, answer.err
    facts = [json.loads(line) for line in answer.out.splitlines()]
    assert [(one["stage"], one["partition"]) for one in facts] == [
        ("parcels", 0),
        ("parcels", 1),
        ("returns", 0),
    ]
    parcels, returns = facts[0], facts[2]
    assert (parcels["states"], parcels["armed"], parcels["timers"]) == (10, 5, 5)
    assert (returns["states"], returns["cells"], returns["traces"], returns["timers"]) == (1, 1, 1, 1)
    assert (parcels["changelog_offset"], parcels["next_offset"], parcels["watermark_ms"]) == (41, 77, AT_MS)
    shown = state("inspect", data, "returns/0")
    assert "2026-01-05 00:00" in shown.out
    assert "parcels" not in shown.out


def test_state_of_a_newer_version_is_told_as_that_and_not_as_damage(data: Path) -> None:
    fields = msgspec.msgpack.decode(encode_position(Position()))
    newer = msgspec.msgpack.encode([*fields[:VERSION_AT], STATE_VERSION + 1, STATE_VERSION + 1])
    store = PartitionStore(data / "returns-0", MEMORY, pytest.fail)
    store.apply([], position=newer, policy=None, offset=42)
    store.close()
    for command in ("inspect", "verify"):
        answer = state(command, data)
        told = " ".join(answer.err.split())
        assert answer.code == 1
        assert f"was written by a newer version (state version {STATE_VERSION + 1}" in told
        assert "use the version of the workers, or a later one" in told
        assert "rebuild" not in told, "that would throw away what is whole"


def test_looking_changes_nothing(data: Path) -> None:
    before = {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}
    assert state("inspect", data).code == 0
    assert state("verify", data).code == 0
    assert {file: file.read_bytes() for file in data.rglob("*") if file.is_file()} == before


def test_a_directory_that_a_worker_has_open_is_refused(data: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from agents.store import *\n"
        "store = PartitionStore(Path(sys.argv[1]), SharedMemory(), print); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(data / "parcels-1")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"open\n"
        for command in (["inspect"], ["verify"], ["rebuild", "--all", "--yes"]):
            answer = state(command[0], data, *command[1:])
            assert answer.code == 1
            assert "parcels-1: is in use by a running worker" in answer.err.replace("\n", "")
        assert (data / "parcels-1").exists()
        assert state("inspect", data, "parcels/0").code == 0
        worker.kill()


def test_a_table_with_a_flipped_byte_is_found_by_reading_everything(data: Path) -> None:
    table = max((data / "parcels-0").glob("*.sst"), key=lambda file: file.stat().st_size)
    content = bytearray(table.read_bytes())
    for place in range(10, 60):
        content[place] ^= 0xFF
    table.write_bytes(content)
    answer = state("verify", data)
    assert answer.code == 1
    assert "parcels-0" in answer.err
    assert "cannot be" in answer.err
    assert "state rebuild parcels/0 --yes" in answer.err
    assert "returns-0" not in answer.err


def test_a_directory_written_by_halves_is_told_and_not_touched(data: Path) -> None:
    manifest = next((data / "parcels-1").glob("MANIFEST-*"))
    manifest.write_bytes(manifest.read_bytes()[:20])
    (data / "returns-0" / "CURRENT").unlink()
    before = {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}
    for command in ("inspect", "verify"):
        answer = state(command, data)
        assert answer.code == 1
        assert "parcels-1" in answer.err
        assert "returns-0" in answer.err
        assert "parcels-0" not in answer.err
    assert {file: file.read_bytes() for file in data.rglob("*") if file.is_file()} == before


def test_a_record_that_nobody_can_read_is_counted(data: Path) -> None:
    store = PartitionStore(data / "parcels-0", MEMORY, pytest.fail)
    store.apply(
        [Write(key, b"\xff no state", 0, 0, durable=True) for key in (b"ups:new", trace_key(b"ups:new"))],
        position=encode_position(Position()),
        policy=None,
        offset=42,
    )
    store.close()
    answer = state("verify", data)
    assert answer.code == 1
    assert "2 of 12 records cannot be read by this version" in answer.err


def test_timers_and_records_that_do_not_fit_are_counted(data: Path) -> None:
    store = PartitionStore(data / "parcels-0", MEMORY, pytest.fail)
    store._timers[(AT_MS + 500).to_bytes(8, "big") + b"ups:2"] = b""
    del store._timers[(AT_MS + 1).to_bytes(8, "big") + b"ups:1"]
    store.close()
    answer = state("verify", data)
    assert "1 timers belong to no record" in answer.err
    assert "1 records wait for a timer that is not there" in answer.err


def test_a_store_that_is_flagged_says_so(data: Path) -> None:
    (data / "parcels-0" / CORRUPT_FLAG).touch()
    assert "corrupt" in state("inspect", data).out
    assert "is marked `corrupt`" in state("verify", data).err


def test_rebuild_removes_what_was_named_and_only_when_told(data: Path) -> None:
    dry = state("rebuild", data, "parcels/1")
    assert dry.code == 0
    assert "nothing was removed" in dry.err
    assert (data / "parcels-1").exists()
    assert state("rebuild", data, "parcels/1", "--yes").code == 0
    assert sorted(one.name for one in data.iterdir()) == ["parcels-0", "returns-0"]
    assert state("rebuild", data).code == 1
    assert "did you mean `parcels/0`?" in state("rebuild", data, "parcel/0").err
    assert state("rebuild", data, "--all", "--yes").code == 0
    assert list(data.iterdir()) == []


def test_a_directory_without_state_is_told(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none"):
        answer = state("inspect", directory)
        assert answer.code == 1
        assert "holds no state" in answer.err
