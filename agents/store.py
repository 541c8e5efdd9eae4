"""The local store of one stateful partition: RocksDB with states, timers and bookkeeping, written in one batch.

It is a cache of the changelog: whatever is wrong with it (corrupt, stale, from another life of the topic), it is
wiped, counted and rebuilt. `Rdict.keys()` and `items()` are never used: after a damaged block they stop without an
error; every scan here ends by asking the iterator's status.

Layout, all keys and values raw bytes:
  default    record key, cells and contexts of traces among them  -> 8 bytes armed time (ms, big-endian, 0: no timer) + state
  `timers`   8 bytes due (ms, big-endian) + record key -> empty
  `meta`     `offset` (last changelog offset applied), `position`, `policy`, `rhythms` (of feeds), `rebuilding` (timers not
             yet built)
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import structlog
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

from agents.disk_room import says_full
from streams.partition import POLICY_STATE_KEY, POSITION_KEY, RHYTHMS_STATE_KEY, Write
from streams.traces import is_stored

log = structlog.get_logger(__name__)

BLOCK_CACHE_BYTES = 32 << 20
WRITE_BUFFERS_BYTES = 48 << 20
CORRUPT_FLAG = "CORRUPT"

OFFSET, POSITION, POLICY, REBUILDING = b"offset", b"position", b"policy", b"rebuilding"
RHYTHMS = b"rhythms"
NOT_ARMED = b"\x00" * 8
RESTORE_STEP = 5_000
RECENT_STATES = 4_000
"""States of a partition that are kept in memory as they were last written: what is on its way is soon asked for again."""


class StoreCorruptError(RuntimeError):
    """The local store cannot be read. The next start wipes and rebuilds it."""


class ChangelogRecord(Protocol):
    """One record of a changelog, as the consumer gives it."""

    offset: int
    key: bytes
    value: bytes | None


class SharedMemory:
    """Block cache and write buffers shared by every partition of the process (stock Faust: 2 GiB cache each)."""

    def __init__(self, cache_bytes: int = BLOCK_CACHE_BYTES, buffer_bytes: int = WRITE_BUFFERS_BYTES) -> None:
        self.cache = Cache(cache_bytes)
        self.buffers = WriteBufferManager.new_write_buffer_manager_with_cache(buffer_bytes, False, self.cache)

    def options(self) -> Options:
        """Options of one database or column family."""
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        options.set_write_buffer_size(8 << 20)
        options.set_max_write_buffer_number(3)
        options.set_write_buffer_manager(self.buffers)
        options.set_max_open_files(128)
        options.set_max_background_jobs(2)
        options.set_level_zero_file_num_compaction_trigger(8)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_keep_log_file_num(2)
        table = BlockBasedOptions()
        table.set_block_cache(self.cache)
        table.set_cache_index_and_filter_blocks(True)
        table.set_bloom_filter(10, False)
        table.set_block_size(16 << 10)
        options.set_block_based_table_factory(table)
        return options


class PartitionStore:
    """States and timers of one partition. Implements `streams.partition.StateReader`."""

    def __init__(self, path: Path, shared: SharedMemory, on_corrupt: Callable[[str], None]) -> None:
        """Open, or wipe and start empty where it cannot be opened.

        Args:
            path: directory of this partition; made when missing.
            shared: memory budget of the process.
            on_corrupt: called with a reason for every wipe that corruption caused.

        Raises what RocksDB raises when the disk is full (agents/disk_room.py).
        """
        self.path = path
        self._shared = shared
        self._on_corrupt = on_corrupt
        self._recent: dict[bytes, tuple[int, bytes]] = {}
        if (path / CORRUPT_FLAG).exists():
            self._wipe_files("flagged by an earlier run")
        try:
            self._open()
            self._refuse_remains()
        except Exception as error:  # rocksdict raises bare Exception for every failure to open
            self.close()
            if says_full(error):
                # Nothing is wrong with what is there: to wipe it would turn a full disk into a recovery.
                raise
            self._wipe_files(str(error))
            self._open()

    def _open(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._recent.clear()
        families = {"timers": self._shared.options(), "meta": self._shared.options()}
        self._db = Rdict(str(self.path), options=self._shared.options(), column_families=families)
        self._timers = self._db.get_column_family("timers")
        self._meta = self._db.get_column_family("meta")
        self._timers_handle = self._db.get_column_family_handle("timers")
        self._meta_handle = self._db.get_column_family_handle("meta")
        stored: Any = self._meta.get([OFFSET, POSITION, POLICY, REBUILDING, RHYTHMS])
        self.changelog_offset = int(stored[0]) if stored[0] else -1
        self.position: bytes | None = stored[1]
        self.policy: bytes | None = stored[2]
        self.rhythms: bytes | None = stored[4]
        self.rebuilding = stored[3] is not None
        if self.rebuilding:
            # An earlier rebuild was cut off: which timers exist is not known.
            self.wipe()

    def _refuse_remains(self) -> None:
        """A damaged MANIFEST can open as an older store in which some families are back at their start."""
        if self.changelog_offset < 0 and (self.keys_after(b"", 1) or self.due((0, b""), 1 << 62, 1)):
            raise StoreCorruptError("states or timers without the offset that was written with them")

    def _wipe_files(self, reason: str) -> None:
        log.warning("local_store_wiped", partition=self.path.name, reason=reason[:200])
        self._on_corrupt(reason)
        shutil.rmtree(self.path, ignore_errors=True)

    def open_again(self) -> None:
        """Begin from what is on disk: after a write that failed, RocksDB refuses every other."""
        self.close()
        self._open()

    def wipe(self) -> None:
        """Forget everything; recovery then reads the changelog from its start."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)
        self._open()

    def close(self) -> None:
        """Close column families before the database: the lock is kept while one is alive. Does nothing twice."""
        for name in ("_timers", "_meta", "_timers_handle", "_meta_handle", "_db"):
            opened = self.__dict__.pop(name, None)
            if hasattr(opened, "close"):
                with contextlib.suppress(Exception):
                    opened.close()

    def flag_corrupt(self, error: Exception) -> StoreCorruptError:
        """Remember on disk that this store must be wiped at the next start."""
        (self.path / CORRUPT_FLAG).touch()
        return StoreCorruptError(f"local store {self.path.name} cannot be read: {error}")

    # -- reading ---------------------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[bytes]) -> list[tuple[int, bytes] | None]:
        """(armed_ms, state) of each key, None where there is none; same order as `keys`."""
        recent = self._recent
        unknown = [key for key in keys if key not in recent]
        try:
            values: Any = self._db.get([*unknown]) if unknown else ()
        except Exception as error:
            raise self.flag_corrupt(error) from error
        stored = {
            key: (int.from_bytes(value[:8], "big"), value[8:])
            for key, value in zip(unknown, values, strict=True)
            if value is not None
        }
        found: list[tuple[int, bytes] | None] = [recent.get(key) or stored.get(key) for key in keys]
        return found

    def due(self, after: tuple[int, bytes], until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Timers strictly after `after` and due at or before `until_ms`, in order, at most `limit`.

        Seeks to `after`, never to the front: half a million fired timers leave as many tombstones there.
        """
        start = after[0].to_bytes(8, "big") + after[1]
        found: list[tuple[int, bytes]] = []
        iterator = self._timers.iter()
        iterator.seek(start)
        while iterator.valid() and len(found) < limit:
            entry = iterator.key()
            due_ms = int.from_bytes(entry[:8], "big")
            if due_ms > until_ms:
                break
            if entry != start:
                found.append((due_ms, entry[8:]))
            iterator.next()
        self._check(iterator)
        return found

    def keys_after(self, key: bytes, limit: int) -> list[bytes]:
        """Record keys greater than `key`, in order, at most `limit` (b"" starts at the beginning)."""
        found: list[bytes] = []
        iterator = self._db.iter()
        iterator.seek(key)
        while iterator.valid() and len(found) < limit:
            entry = iterator.key()
            if entry != key:
                found.append(entry)
            iterator.next()
        self._check(iterator)
        return found

    def _check(self, iterator: Any) -> None:
        try:
            iterator.status()
        except Exception as error:
            raise self.flag_corrupt(error) from error

    # -- writing ---------------------------------------------------------------------------------------------

    def apply(
        self,
        writes: Sequence[Write],
        *,
        position: bytes,
        policy: bytes | None,
        offset: int,
        rhythms: bytes | None = None,
    ) -> None:
        """Write one batch of the partition: states, timers, position and the changelog offset, atomically."""
        batch = WriteBatch(raw_mode=True)
        timers = self._timers_handle
        for key, raw, armed_ms, disarm_ms, _durable in writes:
            if disarm_ms:
                batch.delete(disarm_ms.to_bytes(8, "big") + key, timers)
            if raw is None:
                batch.delete(key)
                continue
            batch.put(key, armed_ms.to_bytes(8, "big") + raw)
            if armed_ms and armed_ms != disarm_ms:
                batch.put(armed_ms.to_bytes(8, "big") + key, b"", timers)
        self._finish(batch, position=position, policy=policy, rhythms=rhythms, offset=offset)
        self._remember(writes)

    def _remember(self, writes: Sequence[Write]) -> None:
        recent = self._recent
        for key, raw, armed_ms, _, _ in writes:
            recent.pop(key, None)  # what is written goes to the end
            if raw is not None:
                recent[key] = (armed_ms, raw)
        for key in list(islice(recent, max(0, len(recent) - RECENT_STATES))):
            del recent[key]

    def note_offset(self, offset: int) -> None:
        """Remember that the changelog is applied up to `offset` (a record without state)."""
        self._finish(WriteBatch(raw_mode=True), position=None, policy=None, rhythms=None, offset=offset)

    def _finish(
        self,
        batch: WriteBatch,
        *,
        position: bytes | None,
        policy: bytes | None,
        rhythms: bytes | None,
        offset: int,
    ) -> None:
        meta = self._meta_handle
        batch.put(OFFSET, b"%d" % offset, meta)
        if position is not None:
            batch.put(POSITION, position, meta)
            self.position = position
        if policy is not None:
            batch.put(POLICY, policy, meta)
            self.policy = policy
        if rhythms is not None:
            batch.put(RHYTHMS, rhythms, meta)
            self.rhythms = rhythms
        self._db.write(batch)
        self.changelog_offset = offset

    # -- recovery --------------------------------------------------------------------------------------------

    def restore(
        self, records: Sequence[ChangelogRecord], next_offset: int, armed_ms: Callable[[bytes, bytes], int]
    ) -> None:
        """Apply a run of changelog records in bulk; those at or below `changelog_offset` are skipped.

        A store that began empty gets its timers at the end (`finish_restore`), one computation per key however
        often the key was written; one that is only behind gets them at once.
        """
        self._recent.clear()
        latest: dict[bytes, bytes | None] = {}
        seen = self.changelog_offset
        for record in records:
            if record.offset > seen:
                latest[record.key] = record.value
        position, policy, rhythms = (
            latest.get(key) for key in (POSITION_KEY, POLICY_STATE_KEY, RHYTHMS_STATE_KEY)
        )
        latest = {key: value for key, value in latest.items() if is_stored(key)}
        batch = WriteBatch(raw_mode=True)
        if seen < 0:
            batch.put(REBUILDING, b"1", self._meta_handle)
            self.rebuilding = True
        if self.rebuilding:
            for key, state in latest.items():
                if state is None:
                    batch.delete(key)
                else:
                    batch.put(key, NOT_ARMED + state)
        else:
            self._catch_up(batch, latest, armed_ms)
        at = max(next_offset - 1, seen)
        self._finish(batch, position=position, policy=policy, rhythms=rhythms, offset=at)

    def _catch_up(
        self,
        batch: WriteBatch,
        latest: dict[bytes, bytes | None],
        armed_ms: Callable[[bytes, bytes], int],
    ) -> None:
        timers = self._timers_handle
        for (key, state), old in zip(latest.items(), self.get_many(list(latest)), strict=True):
            if old is not None and old[0]:
                batch.delete(old[0].to_bytes(8, "big") + key, timers)
            if state is None:
                batch.delete(key)
                continue
            armed = armed_ms(key, state).to_bytes(8, "big")
            batch.put(key, armed + state)
            if armed != NOT_ARMED:
                batch.put(armed + key, b"", timers)

    def finish_restore(self, armed_ms: Callable[[bytes, bytes], int]) -> Iterator[int]:
        """Build the timers of a rebuilt store. Yields the number of keys done so far, every few thousand keys.

        Until it has run to its end the store says so on disk, and a crash in between wipes it.
        """
        if not self.rebuilding:
            return
        done = 0
        batch, timers = WriteBatch(raw_mode=True), self._timers_handle
        iterator = self._db.iter()
        iterator.seek_to_first()
        while iterator.valid():
            key, state = iterator.key(), iterator.value()[8:]
            armed = armed_ms(key, state)
            if armed:
                due = armed.to_bytes(8, "big")
                batch.put(key, due + state)
                batch.put(due + key, b"", timers)
            done += 1
            if done % RESTORE_STEP == 0:
                self._db.write(batch)
                batch = WriteBatch(raw_mode=True)
                yield done
            iterator.next()
        self._check(iterator)
        batch.delete(REBUILDING, self._meta_handle)
        self._db.write(batch)
        self.rebuilding = False
        yield done

    def key_count(self) -> int:
        """About how many keys there are (RocksDB's estimate)."""
        return self._db.property_int_value("rocksdb.estimate-num-keys") or 0

    def size_bytes(self) -> int:
        """Bytes of live SST files plus memtables, as RocksDB counts them."""
        total = 0
        for family in (self._db, self._timers):
            for name in ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables"):
                total += family.property_int_value(name) or 0
        return total

    def compact(self) -> None:
        """Compact everything now (benchmarks measure the settled size)."""
        self._db.flush()
        self._timers.flush()
        self._db.compact_range(None, None)
        self._timers.compact_range(None, None)
