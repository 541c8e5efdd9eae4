"""The local stores in a worker's data directory, looked at from outside and never changed: only by nobody's worker, read only."""

import fcntl
import os
import re
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rocksdict import AccessType, Options, Rdict

from agents.errors import Finding, StateError
from agents.positions import newer_state
from agents.store import CORRUPT_FLAG, OFFSET, POLICY, POSITION, REBUILDING, RHYTHMS
from streams.batch import HIDDEN_MARK
from streams.cells import ROSTER_PREFIX, decode_cell, decode_roster, is_cell
from streams.forgetting import decode_hidden
from streams.parcel import decode_parcel
from streams.returns import decode_return
from streams.state_version import NewerStateError
from streams.traces import decode_kept, is_trace
from streams.watermark import Position, decode_position

STAGES = ("parcels", "returns")
_NAME = re.compile(r"(parcels|returns)-(\d{1,4})")
MOST_TOLD = 10
"""Findings of one kind and partition that are told one by one."""


class Kept(NamedTuple):
    """One partition's directory."""

    stage: str
    number: int
    path: Path

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.stage}/{self.number}"


class StoreFacts(NamedTuple):
    """What one store holds. `states` are of parcels or returns; `armed`: records of any kind with a timer."""

    stage: str
    partition: int
    size_bytes: int
    changelog_offset: int
    next_offset: int
    watermark_ms: int
    policy_hash: str
    states: int
    armed: int
    timers: int
    cells: int
    hidden: int
    traces: int
    marks: tuple[str, ...]
    """What a worker would wipe it for: `corrupt`, `rebuilding`."""


def kept_in(data_dir: Path) -> list[Kept]:
    """The stores of a data directory. Raises StateError when there is none."""
    found = [
        Kept(match[1], int(match[2]), path)
        for path in (data_dir.iterdir() if data_dir.is_dir() else ())
        if (match := _NAME.fullmatch(path.name)) and path.is_dir()
    ]
    if not found:
        why = "a worker makes it at its first assignment"
        todo = "name the worker's own directory with --data-dir"
        raise StateError([Finding(str(data_dir), "holds no state", why, todo)])
    return sorted(found, key=lambda one: (one.stage, one.number))


def refuse_in_use(kept: list[Kept]) -> None:
    """Raise StateError if a running process has one of them open: what is read beside a writer is of no one moment."""
    findings = [
        Finding(
            str(one.path),
            "is in use by a running worker",
            "what is read while it writes would be of no one moment, and what is removed it would write again",
            "stop that worker first, or look at its /metrics",
        )
        for one in kept
        if _in_use(one.path)
    ]
    if findings:
        raise StateError(findings)


def _in_use(path: Path) -> bool:
    """RocksDB holds a POSIX lock on this file for as long as the database is open."""
    try:
        handle = os.open(path / "LOCK", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def opened(one: Kept) -> Iterator["OpenStore"]:
    """A store, read only. Raises StateError when RocksDB cannot open it, as when it was written by halves."""
    options, families = Options(raw_mode=True), {name: Options(raw_mode=True) for name in ("timers", "meta")}
    try:
        database = Rdict(
            str(one.path), options=options, column_families=families, access_type=AccessType.read_only()
        )
    except Exception as error:  # rocksdict raises bare Exception
        raise StateError([_damaged(one, f"cannot be opened: {_short(error)}")]) from error
    store = OpenStore(one, database)
    try:
        yield store
    finally:
        store.close()


class OpenStore:
    """The families of an open store."""

    def __init__(self, kept: Kept, database: Any) -> None:
        self.kept = kept
        self._database = database
        self._families = {name: database.get_column_family(name) for name in ("timers", "meta")}
        meta = self._families["meta"]
        offset, self.policy, self.raw_position, self.rhythms, rebuilding = (
            meta.get(name) for name in (OFFSET, POLICY, POSITION, RHYTHMS, REBUILDING)
        )
        self.changelog_offset = int(offset) if offset else -1
        flagged = (kept.path / CORRUPT_FLAG).exists()
        self.marks = (*(["corrupt"] if flagged else []), *(["rebuilding"] if rebuilding is not None else []))

    def close(self) -> None:
        """Families first, as PartitionStore does."""
        for family in self._families.values():
            family.close()
        self._database.close()

    def position(self) -> Position:
        """Raises msgspec.DecodeError."""
        return decode_position(self.raw_position) if self.raw_position else Position()

    def states(self) -> Iterator[tuple[bytes, int, bytes]]:
        """Key, time of its timer (0: none) and state of each record. Raises StateError where it cannot be read on."""
        for key, value in self._scan(self._database):
            yield key, int.from_bytes(value[:8], "big"), value[8:]

    def timers(self) -> Iterator[tuple[int, bytes]]:
        """Due time and key of each timer."""
        for entry, _ in self._scan(self._families["timers"]):
            yield int.from_bytes(entry[:8], "big"), entry[8:]

    def _scan(self, family: Any) -> Iterator[tuple[bytes, bytes]]:
        iterator = family.iter()
        iterator.seek_to_first()
        while iterator.valid():
            yield iterator.key(), iterator.value()
            iterator.next()
        try:
            iterator.status()
        except Exception as error:
            raise StateError([_damaged(self.kept, f"cannot be read to its end: {_short(error)}")]) from error


def facts_of(one: Kept) -> StoreFacts:
    """Count what a store holds. Raises StateError."""
    counts = {"states": 0, "armed": 0, "cells": 0, "hidden": 0, "traces": 0}
    with opened(one) as store:
        for key, armed_ms, _ in store.states():
            kind = kind_of(key)
            counts[kind] += 1
            counts["armed"] += armed_ms > 0
        timers = sum(1 for _ in store.timers())
        try:
            position = store.position()
        except (msgspec.DecodeError, ValueError) as error:
            raise StateError([_bad_position(one, error)]) from error
        return StoreFacts(
            stage=one.stage,
            partition=one.number,
            size_bytes=sum(file.stat().st_size for file in one.path.iterdir() if file.is_file()),
            changelog_offset=store.changelog_offset,
            next_offset=position.next_offset,
            watermark_ms=position.watermark_ms,
            policy_hash=position.policy_hash,
            timers=timers,
            marks=store.marks,
            **counts,
        )


def kind_of(key: bytes) -> str:
    """What a record is: `states`, `cells`, `hidden` (the name of something that was forgotten) or `traces` (their contexts)."""
    if is_cell(key):
        return "cells"
    if is_trace(key):
        return "traces"
    return "hidden" if key.startswith(HIDDEN_MARK) else "states"


def doubts_of(one: Kept) -> list[Finding]:
    """Read every record and every timer of a store, and tell what is wrong with them."""
    try:
        with opened(one) as store:
            return _doubts(store)
    except StateError as error:
        return list(error.findings)


def _doubts(store: OpenStore) -> list[Finding]:
    one, wrong = store.kept, list[str]()
    findings = list[Finding]()
    wrong += [f"is marked `{mark}`: a worker wipes it at its start" for mark in store.marks]
    armed = dict[bytes, int]()
    unreadable, total = 0, 0
    for key, armed_ms, raw in store.states():
        total += 1
        if armed_ms:
            armed[key] = armed_ms
        unreadable += not _is_readable(one.stage, key, raw)
    if unreadable:
        wrong.append(f"{unreadable} of {total} records cannot be read by this version")
    stray = sum(armed.pop(key, None) != due_ms for due_ms, key in store.timers())
    if stray:
        wrong.append(f"{stray} timers belong to no record, or to another time of it")
    if armed:
        wrong.append(f"{len(armed)} records wait for a timer that is not there")
    if total and store.changelog_offset < 0:
        wrong.append("has records, and not the offset that is written with them")
    try:
        store.position()
    except (msgspec.DecodeError, ValueError) as error:
        findings.append(_bad_position(one, error))
    return [*(_damaged(one, what) for what in wrong), *findings]


def _is_readable(stage: str, key: bytes, raw: bytes) -> bool:
    try:
        if is_cell(key):
            (decode_roster if key.startswith(ROSTER_PREFIX) else decode_cell)(raw)
        elif is_trace(key):
            decode_kept(raw)
        elif key.startswith(HIDDEN_MARK):
            decode_hidden(raw)
        elif stage == "parcels":
            decode_parcel(raw)
        else:
            decode_return(raw)
    except (msgspec.DecodeError, struct.error, ValueError):
        return False
    return True


def remove(one: Kept) -> None:
    """Remove a store. The changelog has all of it."""
    try:
        shutil.rmtree(one.path)
    except OSError as error:
        what = f"cannot be removed: {error.strerror}"
        raise StateError(
            [Finding(str(one.path), what, todo="correct the rights of the directory")]
        ) from error


def _damaged(one: Kept, what: str) -> Finding:
    todo = f"`returnwatch state rebuild {one.name} --yes`, or start the worker: what it cannot open it wipes and rebuilds"
    return Finding(str(one.path), what, "it is a copy of the changelog, which is whole", todo)


def _bad_position(one: Kept, error: Exception) -> Finding:
    if isinstance(error, NewerStateError):
        return newer_state(str(one.path), error)
    return _damaged(one, f"its position cannot be read: {_short(error)}")


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
