"""The local store of a partition: a cache of the changelog that knows when it must not be believed."""

import random
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.store import CORRUPT_FLAG, PartitionStore, SharedMemory, StoreCorruptError
from streams.cells import CellName, cell_key, roster_key
from streams.parcel import ParcelState, encode_parcel
from streams.parcel_stage import parcel_logic
from streams.partition import POLICY_STATE_KEY, POSITION_KEY, RHYTHMS_STATE_KEY, Write
from streams.traces import Context, encode_kept, trace_key, with_latest


@dataclass
class Record:
    """A changelog record."""

    offset: int
    key: bytes
    value: bytes | None


class Opener:
    """Opens stores on one directory and keeps the reasons of every wipe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wipes: list[str] = []
        self._memory = SharedMemory()

    def __call__(self) -> PartitionStore:
        return PartitionStore(self.path, self._memory, self.wipes.append)


@pytest.fixture
def opener(tmp_path: Path) -> Opener:
    return Opener(tmp_path / "parcels-0")


@pytest.fixture
def store(opener: Opener) -> Iterator[PartitionStore]:
    store = opener()
    yield store
    store.close()


def _put(key: bytes, raw: bytes, armed_ms: int = 0, disarm_ms: int = 0) -> Write:
    return Write(key, raw, armed_ms, disarm_ms, durable=True)


def _delete(key: bytes, disarm_ms: int = 0) -> Write:
    return Write(key, None, 0, disarm_ms, durable=True)


def _apply(store: PartitionStore, *writes: Write, offset: int = 0) -> None:
    store.apply(writes, position=b"position", policy=None, offset=offset)


def _armed_by_state(_key: bytes, state: bytes) -> int:
    """The tests' states say themselves when they want to be looked at."""
    return int(state)


def _restore(store: PartitionStore, records: Iterable[Record], next_offset: int | None = None) -> None:
    records = list(records)
    store.restore(records, records[-1].offset + 1 if next_offset is None else next_offset, _armed_by_state)


def _finish(store: PartitionStore) -> list[int]:
    return list(store.finish_restore(_armed_by_state))


def _timers(store: PartitionStore) -> list[tuple[int, bytes]]:
    return store.due((0, b""), 1 << 60, 1_000_000)


# -- states and timers


def test_states_come_back_with_their_timers_in_the_order_asked_for(store: PartitionStore) -> None:
    _apply(store, _put(b"ups:1", b"one", 100), _put(b"ups:2", b"two"))
    assert store.get_many([b"ups:2", b"ups:9", b"ups:1"]) == [(0, b"two"), None, (100, b"one")]


def test_a_timer_is_due_once_it_was_armed_and_not_after_it_was_moved(store: PartitionStore) -> None:
    _apply(store, _put(b"a", b"1", 100), _put(b"b", b"1", 50))
    assert store.due((0, b""), 100, 10) == [(50, b"b"), (100, b"a")]
    _apply(store, _put(b"a", b"2", 300, disarm_ms=100))
    assert store.due((0, b""), 100, 10) == [(50, b"b")]
    assert _timers(store) == [(50, b"b"), (300, b"a")]


def test_a_state_that_is_rewritten_with_the_same_deadline_keeps_its_timer(store: PartitionStore) -> None:
    _apply(store, _put(b"a", b"1", 100))
    _apply(store, _put(b"a", b"2", 100))
    assert _timers(store) == [(100, b"a")]


def test_a_deleted_state_takes_its_timer_with_it(store: PartitionStore) -> None:
    _apply(store, _put(b"a", b"1", 100), _put(b"b", b"1", 100))
    _apply(store, _delete(b"a", disarm_ms=100))
    assert store.get_many([b"a"]) == [None]
    assert _timers(store) == [(100, b"b")]


def test_timers_are_read_page_by_page_strictly_after_the_cursor(store: PartitionStore) -> None:
    _apply(store, *(_put(b"k%02d" % n, b"s", 1_000 + n // 4) for n in range(40)))
    expected = sorted((1_000 + n // 4, b"k%02d" % n) for n in range(40))
    pages, cursor = [], (0, b"")
    while page := store.due(cursor, 1_007, 3):
        pages += page
        cursor = page[-1]
    assert pages == [entry for entry in expected if entry[0] <= 1_007]


def test_keys_are_walked_in_order_without_control_keys_in_between(store: PartitionStore) -> None:
    _apply(store, *(_put(key, b"s") for key in (b"c", b"a", b"b")))
    assert store.keys_after(b"", 2) == [b"a", b"b"]
    assert store.keys_after(b"b", 2) == [b"c"]
    assert store.keys_after(b"c", 2) == []


def test_deadlines_compare_as_numbers_however_long_they_are(store: PartitionStore) -> None:
    _apply(store, _put(b"a", b"s", 255), _put(b"b", b"s", 256), _put(b"c", b"s", 1_760_000_000_000))
    assert [key for _, key in _timers(store)] == [b"a", b"b", b"c"]


# -- reopening


def test_a_reopened_store_stands_where_it_stood(opener: Opener) -> None:
    store = opener()
    store.apply([_put(b"a", b"1", 100)], position=b"p7", policy=b"rules", offset=41)
    store.note_offset(42)
    store.close()
    again = opener()
    assert (again.changelog_offset, again.position, again.policy) == (42, b"p7", b"rules")
    assert again.get_many([b"a"]) == [(100, b"1")]
    assert opener.wipes == []
    again.close()


def test_a_new_store_knows_that_it_holds_nothing(store: PartitionStore) -> None:
    assert (store.changelog_offset, store.position, store.policy) == (-1, None, None)


def test_a_killed_worker_finds_whole_batches_or_nothing_of_them(opener: Opener, tmp_path: Path) -> None:
    """A copy of the files of an open store is what a kill leaves behind."""
    store = opener()
    for n in range(50):
        _apply(store, _put(b"k%d" % n, b"%d" % n, 100 + n), offset=n)
    shutil.copytree(opener.path, tmp_path / "killed")
    store.close()
    killed = Opener(tmp_path / "killed")()
    last = killed.changelog_offset
    assert last == 49, "a process that was killed loses nothing that it had written"
    assert _timers(killed) == [(100 + n, b"k%d" % n) for n in range(last + 1)]
    killed.close()


# -- rebuilding from the changelog


def _history(seed: int, count: int) -> list[Record]:
    rnd = random.Random(seed)
    records = []
    for offset in range(count):
        key = b"k%d" % rnd.randrange(30)
        value = None if rnd.random() < 0.2 else b"%d" % rnd.choice((0, rnd.randrange(1, 1_000)))
        records.append(Record(offset, key, value))
    return records


def _truth(records: Iterable[Record]) -> dict[bytes, bytes]:
    newest = {record.key: record.value for record in records}
    return {key: value for key, value in newest.items() if value is not None}


def _assert_holds(store: PartitionStore, truth: dict[bytes, bytes]) -> None:
    keys = store.keys_after(b"", 1_000)
    assert dict(zip(keys, (found[1] for found in store.get_many(keys) if found), strict=True)) == truth
    assert _timers(store) == sorted((int(raw), key) for key, raw in truth.items() if int(raw))


@pytest.mark.parametrize("seed", range(5))
def test_a_rebuilt_store_holds_the_newest_state_of_every_key_and_its_timer(
    store: PartitionStore, seed: int
) -> None:
    records = _history(seed, 400)
    for start in range(0, 400, 37):
        _restore(store, records[start : start + 37])
    assert _finish(store)[-1] == len(_truth(records))
    _assert_holds(store, _truth(records))


@pytest.mark.parametrize("seed", range(5))
def test_a_store_that_is_only_behind_catches_up_and_moves_its_timers(
    store: PartitionStore, seed: int
) -> None:
    records = _history(seed, 400)
    _restore(store, records[:200])
    _finish(store)
    _restore(store, records[200:310])
    _restore(store, records[310:])
    assert _finish(store) == [], "nothing is left to rebuild"
    _assert_holds(store, _truth(records))


def test_records_that_are_in_the_store_already_are_skipped(store: PartitionStore) -> None:
    _restore(store, [Record(0, b"a", b"10"), Record(1, b"a", b"20")])
    _finish(store)
    _restore(store, [Record(0, b"a", b"10")])
    assert store.changelog_offset == 1
    _assert_holds(store, {b"a": b"20"})


def test_position_and_policy_are_restored_and_are_no_states(store: PartitionStore) -> None:
    _restore(
        store,
        [
            Record(0, b"\x00owner", b"1/0"),
            Record(1, POSITION_KEY, b"p1"),
            Record(2, POLICY_STATE_KEY, b"rules"),
            Record(3, b"a", b"10"),
            Record(4, POSITION_KEY, b"p2"),
            Record(5, RHYTHMS_STATE_KEY, b"weeks"),
        ],
    )
    _finish(store)
    assert (store.position, store.policy, store.changelog_offset) == (b"p2", b"rules", 5)
    assert store.rhythms == b"weeks"
    assert store.keys_after(b"", 10) == [b"a"]


def test_cells_come_back_like_states(store: PartitionStore) -> None:
    cell, roster = cell_key(CellName("carrier", 20_458, "ups")), roster_key("carrier", 20_458)
    _restore(store, [Record(0, cell, b"10"), Record(1, roster, b"30"), Record(2, cell, b"20")])
    _finish(store)
    assert store.get_many([cell, roster]) == [(20, b"20"), (30, b"30")]
    assert store.due((0, b""), 30, 10) == [(20, cell), (30, roster)]


def test_contexts_of_traces_come_back_without_a_timer(store: PartitionStore) -> None:
    logic, context = parcel_logic(1), encode_kept(with_latest((), "", Context(b"t" * 16, b"s" * 8)))
    records = [
        Record(0, b"ups:1", encode_parcel(ParcelState(look_ms=40))),
        Record(1, trace_key(b"ups:1"), context),
    ]
    store.restore(records, 2, logic.armed_ms)
    list(store.finish_restore(logic.armed_ms))
    later = [Record(2, trace_key(b"ups:1"), context), Record(3, trace_key(b"ups:2"), context)]
    store.restore(later, 4, logic.armed_ms)
    found = store.get_many([trace_key(b"ups:1"), trace_key(b"ups:2")])
    assert found == [(0, context), (0, context)]
    assert store.due((0, b""), 1 << 60, 10) == [(40, b"ups:1")]
    store.restore([Record(4, trace_key(b"ups:1"), None)], 5, logic.armed_ms)
    assert store.get_many([trace_key(b"ups:1")]) == [None]


def test_gaps_at_the_end_of_the_changelog_count_as_read(store: PartitionStore) -> None:
    store.restore([Record(3, b"a", b"0")], 10, _armed_by_state)
    assert store.changelog_offset == 9
    store.restore([], 12, _armed_by_state)
    assert store.changelog_offset == 11


def test_a_rebuild_that_was_cut_off_starts_over(opener: Opener) -> None:
    """The states may be there, but nobody knows which timers are."""
    store = opener()
    _restore(store, _history(1, 100))
    store.close()
    again = opener()
    assert again.changelog_offset == -1
    assert again.keys_after(b"", 10) == []
    assert opener.wipes == [], "a cut-off rebuild is no corruption"
    _restore(again, _history(1, 100))
    _finish(again)
    _assert_holds(again, _truth(_history(1, 100)))
    again.close()


def test_a_rebuild_tells_how_far_it_is_so_that_the_worker_can_breathe(store: PartitionStore) -> None:
    _restore(store, [Record(n, b"k%05d" % n, b"%d" % (n + 1)) for n in range(12_000)])
    assert _finish(store) == [5_000, 10_000, 12_000]


# -- what must not be believed


def _filled(opener: Opener) -> dict[bytes, bytes]:
    """A closed store of many blocks, everything in SST files."""
    rnd = random.Random(7)
    store = opener()
    truth = {}
    for start in range(0, 20_000, 1_000):
        writes = [_put(b"k%06d" % n, rnd.randbytes(60), n + 1) for n in range(start, start + 1_000)]
        truth.update({write.key: write.raw for write in writes if write.raw})
        _apply(store, *writes, offset=start)
    store.compact()
    store.close()
    return truth


def _largest_table(path: Path) -> Path:
    return max(path.glob("*.sst"), key=lambda file: file.stat().st_size)


def _flip(file: Path, at: float) -> None:
    content = bytearray(file.read_bytes())
    where = int(len(content) * at)
    content[where] ^= 0xFF
    file.write_bytes(content)


def test_a_damaged_block_is_an_error_and_never_a_shorter_answer(opener: Opener) -> None:
    truth = _filled(opener)
    _flip(_largest_table(opener.path), 0.5)
    store = opener()
    with pytest.raises(StoreCorruptError):
        store.keys_after(b"", len(truth) + 1)
    store.close()


def test_a_damaged_block_is_found_by_reading_its_keys_too(opener: Opener) -> None:
    truth = _filled(opener)
    _flip(_largest_table(opener.path), 0.5)
    store = opener()
    with pytest.raises(StoreCorruptError):
        store.get_many(list(truth))
    store.close()


def test_a_damaged_timer_block_does_not_hide_deadlines(opener: Opener) -> None:
    truth = _filled(opener)
    _states, timers = sorted(opener.path.glob("*.sst"), key=lambda file: -file.stat().st_size)[:2]
    _flip(timers, 0.4)
    store = opener()
    with pytest.raises(StoreCorruptError):
        store.due((0, b""), 1 << 60, len(truth) + 1)
    store.close()


def test_after_corruption_the_next_start_wipes_counts_and_rebuilds(opener: Opener) -> None:
    truth = _filled(opener)
    _flip(_largest_table(opener.path), 0.5)
    store = opener()
    with pytest.raises(StoreCorruptError):
        store.keys_after(b"", len(truth) + 1)
    store.close()
    assert (opener.path / CORRUPT_FLAG).exists()
    again = opener()
    assert len(opener.wipes) == 1
    assert again.changelog_offset == -1
    _restore(again, [Record(0, b"a", b"5")])
    _finish(again)
    _assert_holds(again, {b"a": b"5"})
    again.close()
    healthy = opener()
    assert len(opener.wipes) == 1, "a rebuilt store is not wiped again"
    healthy.close()


@pytest.mark.parametrize("victim", ["MANIFEST-*", "CURRENT", "*.sst"])
@pytest.mark.parametrize("damage", ["emptied", "garbled"])
def test_a_store_that_cannot_be_opened_is_wiped_and_counted(opener: Opener, victim: str, damage: str) -> None:
    _filled(opener)
    file = max(opener.path.glob(victim), key=lambda file: file.stat().st_size)
    file.write_bytes(b"" if damage == "emptied" else b"\xfe" * file.stat().st_size)
    store = opener()
    assert len(opener.wipes) == 1
    assert store.changelog_offset == -1
    assert store.keys_after(b"", 10) == []
    store.close()


@pytest.mark.parametrize("cut", range(0, 100, 7))
def test_a_truncated_manifest_never_leaves_states_of_an_unknown_age(opener: Opener, cut: int) -> None:
    """RocksDB opens some of these without an error, as an older store with families of different ages."""
    truth = _filled(opener)
    manifest = next(opener.path.glob("MANIFEST-*"))
    manifest.write_bytes(manifest.read_bytes()[: manifest.stat().st_size * cut // 100])
    store = opener()
    assert store.changelog_offset == -1 or store.keys_after(b"", 30_000) == sorted(truth)
    if store.changelog_offset == -1:
        assert store.keys_after(b"", 1) == []
        assert _timers(store) == []
    store.close()


def test_a_missing_table_file_is_noticed_when_the_store_is_opened(opener: Opener) -> None:
    _filled(opener)
    _largest_table(opener.path).unlink()
    store = opener()
    assert len(opener.wipes) == 1
    assert store.changelog_offset == -1
    store.close()


def test_a_store_of_another_life_can_be_wiped_and_filled_again(store: PartitionStore) -> None:
    _apply(store, _put(b"old", b"1", 100), offset=500)
    store.wipe()
    assert (store.changelog_offset, store.position, store.policy) == (-1, None, None)
    assert _timers(store) == []
    _restore(store, [Record(0, b"new", b"7")])
    _finish(store)
    _assert_holds(store, {b"new": b"7"})
