"""What agents/store.py relies on in rocksdict."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

pytestmark = pytest.mark.seam("local store", adr="0002-engine-seams-on-faust")

ROWS = 5_000


def options(block_bytes: int = 1 << 10) -> Options:
    made = Options(raw_mode=True)
    made.create_if_missing(True)
    made.create_missing_column_families(True)
    table = BlockBasedOptions()
    table.set_block_size(block_bytes)
    made.set_block_based_table_factory(table)
    return made


def opened(path: Path) -> Rdict:
    return Rdict(str(path), options=options(), column_families={"timers": options()})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Rdict]:
    database = opened(tmp_path / "store")
    yield database
    database.close()


def test_one_batch_writes_states_and_timers_together(store: Rdict) -> None:
    timers, handle = store.get_column_family("timers"), store.get_column_family_handle("timers")
    batch = WriteBatch(raw_mode=True)
    batch.put(b"parcel", b"state")
    batch.put(b"due", b"", handle)
    batch.put(b"stale", b"", handle)
    batch.delete(b"stale", handle)
    batch.delete(b"never there")
    store.write(batch)
    assert store.get([b"parcel", b"unknown"]) == [b"state", None]
    assert timers.get([b"due", b"stale"]) == [b"", None]


def test_a_scan_seeks_and_goes_on_in_the_order_of_the_bytes(store: Rdict) -> None:
    for due in (300, 2, 70_000):
        store.put(due.to_bytes(8, "big"), b"")
    found = []
    iterator = store.iter()
    iterator.seek((3).to_bytes(8, "big"))
    while iterator.valid():
        found.append(int.from_bytes(iterator.key(), "big"))
        iterator.next()
    iterator.status()
    assert found == [300, 70_000]


def test_a_damaged_block_ends_keys_in_silence_but_not_the_status_of_a_scan(tmp_path: Path) -> None:
    """The reason why `keys()` and `items()` are never used."""
    path = tmp_path / "damaged"
    database = opened(path)
    for row in range(ROWS):
        database.put(b"%08d" % row, os.urandom(40))
    database.flush()
    database.close()
    _flip_a_byte(max(path.glob("*.sst"), key=lambda file: file.stat().st_size))

    database = opened(path)
    assert len(list(database.keys())) < ROWS, "no error, and rows are missing"
    iterator = database.iter()
    iterator.seek_to_first()
    while iterator.valid():
        iterator.next()
    with pytest.raises(Exception, match="Corruption"):
        iterator.status()
    with pytest.raises(Exception, match="Corruption"):
        database.get([b"%08d" % row for row in range(ROWS)])
    database.close()


def _flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0xFF
    file.write_bytes(content)


def test_a_living_column_family_keeps_the_lock_of_a_closed_database(tmp_path: Path) -> None:
    """The reason why column families are closed first."""
    path = tmp_path / "locked"
    database = opened(path)
    timers = database.get_column_family("timers")
    database.close()
    with pytest.raises(Exception, match="lock"):
        opened(path)
    timers.close()
    del timers
    opened(path).close()


def test_partitions_can_share_one_cache_and_one_budget_of_write_buffers(tmp_path: Path) -> None:
    cache = Cache(8 << 20)
    buffers = WriteBufferManager.new_write_buffer_manager_with_cache(8 << 20, False, cache)
    shared = options()
    shared.set_write_buffer_manager(buffers)
    shared.set_compression_type(DBCompressionType.lz4())
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_bloom_filter(10, False)
    shared.set_block_based_table_factory(table)
    for number in range(2):
        database = Rdict(str(tmp_path / str(number)), options=shared)
        database.put(b"key", b"value")
        assert database.get(b"key") == b"value"
        assert database.property_int_value("rocksdb.estimate-num-keys") == 1
        assert (database.property_int_value("rocksdb.cur-size-all-mem-tables") or 0) > 0
        database.close()
