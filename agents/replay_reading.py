"""Recorded input events from JSONL and Parquet files, in the order in which they were appended.

A line is a record, {"kind", "appended_at", "value" or "value_base64", ...}, or a bare event. All records are held in
memory: only when the last line is read is it known which was appended first.
"""

import gzip
import zlib
from base64 import b64decode
from binascii import Error as NotBase64Error
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from agents import replay_parquet
from agents.errors import Finding, ReplayError, did_you_mean
from schemas.events import KIND_OF_TYPE
from schemas.topics import InputKind
from streams.epoch import epoch_ms

MOST_FINDINGS = 20
TOLD_EVERY = 2_000
"""Lines between two calls of `read_bytes`."""
HOW_TO_WRITE = "write it as docs/replay.md says"

_ORDER = {kind: number for number, kind in enumerate(InputKind)}
_ABSENT = msgspec.Raw(b"")

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Headers = tuple[tuple[str, bytes], ...]


class Recorded(NamedTuple):
    """A record of an input topic, and when it was appended there (streams.intake.InputRecord)."""

    at_ms: int
    kind: InputKind
    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: Headers
    key: bytes | None = None


class _Line(msgspec.Struct):
    kind: InputKind
    appended_at: Time
    value: msgspec.Raw = _ABSENT
    value_base64: str | None = None
    key: str | None = None
    headers: dict[str, str] = {}
    topic: str = ""
    partition: Count = 0
    offset: Count | None = None


class _Shape(msgspec.Struct):
    kind: msgspec.Raw = _ABSENT
    type: msgspec.Raw = _ABSENT


class _WrongLineError(ValueError):
    def __init__(self, what: str, why: str = "", todo: str = HOW_TO_WRITE) -> None:
        super().__init__(what)
        self.what, self.why, self.todo = what, why, todo


NO_OFFSET = -1
"""Of a record that does not say where it stood."""
_line = msgspec.json.Decoder(_Line).decode
_shape = msgspec.json.Decoder(_Shape).decode
_columns = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_time = msgspec.json.Decoder(Time).decode
_text = msgspec.json.Decoder(str).decode


def read_records(
    files: Sequence[Path], arrival: str, read_bytes: Callable[[int], None] = lambda _: None
) -> list[Recorded]:
    """Every record of the files, the first appended first; which line or file it stood in makes no difference.

    `arrival`: the column of bare events that tells when they were appended. `read_bytes`: called with how much of all files
    has been read.

    Raises:
        ReplayError: with the first findings, each with its file and line.
    """
    records: list[Recorded] = []
    findings: list[Finding] = []
    for found in each_record(files, arrival, read_bytes):
        if isinstance(found, Recorded):
            records.append(found)
            continue
        findings.append(found)
        if len(findings) >= MOST_FINDINGS:
            raise ReplayError(findings)
    if findings:
        raise ReplayError(findings)
    if not records:
        why = "a replay of nothing would say nothing"
        raise ReplayError([Finding(", ".join(map(str, files)), "no records", why, "give files with records")])
    return in_order(records)


def each_record(
    files: Sequence[Path], arrival: str, read_bytes: Callable[[int], None] = lambda _: None
) -> Iterator[Recorded | Finding]:
    """Every record of the files as they are written, one at a time, and what is wrong with those that are none."""
    before = 0
    for file in dict.fromkeys(files):
        at = [before]

        def told(here: int, at: list[int] = at) -> None:
            read_bytes(at[0] + here)

        yield from _read_file(file, arrival, told)
        before += file.stat().st_size if file.exists() else 0


def _read_file(file: Path, arrival: str, told: Callable[[int], None]) -> Iterator[Recorded | Finding]:
    try:
        if file.suffix == replay_parquet.SUFFIX and file.is_file():
            yield from _read_parquet(file, arrival, told)
            return
        with ExitStack() as stack:
            raw = stack.enter_context(file.open("rb"))
            lines: Iterable[bytes] = raw
            if file.suffix == ".gz":
                lines = stack.enter_context(gzip.open(raw))
            for number, line in enumerate(lines, 1):
                if not number % TOLD_EVERY:
                    told(raw.tell())
                if line.isspace():
                    continue
                yield _found(line, arrival, f"{file}:{number}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Finding(str(file), f"is not a whole gzip file: {error}", todo="compress or copy it anew")
    except OSError as error:
        todo = "correct the path or the file's permissions"
        yield Finding(str(file), f"cannot be read: {error.strerror}", todo=todo)


def _read_parquet(file: Path, arrival: str, told: Callable[[int], None]) -> Iterator[Recorded | Finding]:
    for found in replay_parquet.lines_of(file, arrival, told):
        yield found if isinstance(found, Finding) else _found(found[1], arrival, f"{file}:{found[0]}")


def _found(line: bytes, arrival: str, where: str) -> Recorded | Finding:
    try:
        return _record(line, arrival)
    except _WrongLineError as wrong:
        return Finding(where, wrong.what, wrong.why, wrong.todo)
    except RecursionError:
        return Finding(where, "is nested too deep to be read", todo="give such a value as value_base64")


def _record(line: bytes, arrival: str) -> Recorded:
    try:
        told = _line(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _bare_event(line, arrival, error)
    value = _value(told)
    headers = tuple((name, text.encode()) for name, text in sorted(told.headers.items()))
    offset = NO_OFFSET if told.offset is None else told.offset
    at_ms = epoch_ms(told.appended_at)
    key = None if told.key is None else told.key.encode()
    return Recorded(
        at_ms, told.kind, told.topic or told.kind.value, told.partition, offset, value, headers, key
    )


def _value(told: _Line) -> bytes | None:
    raw = bytes(told.value)
    if told.value_base64 is not None:
        if raw:
            raise _WrongLineError("has both value and value_base64", todo="give one of the two")
        try:
            return b64decode(told.value_base64, validate=True)
        except (NotBase64Error, ValueError) as error:
            raise _WrongLineError(f"value_base64 is not base64: {error}") from None
    if not raw:
        todo = "give the event as `value`, what is no JSON as `value_base64`, or `value: null` for a deletion"
        raise _WrongLineError("has neither value nor value_base64", todo=todo)
    return None if raw == b"null" else raw


def _bare_event(line: bytes, arrival: str, refusal: Exception) -> Recorded:
    """The record of a line that is an event; else the refusal is what is wrong with it."""
    try:
        shape = _shape(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        why = "each line is one JSON object"
        raise _WrongLineError(f"is not a record: {_sentence(refusal)}", why) from None
    if bytes(shape.kind):
        raise _WrongLineError(f"is not a record: {_sentence(refusal)}") from None
    if not bytes(shape.type):
        why = "nothing says to which input topic it belongs"
        todo = "give a record its `kind`, or an event its `type`"
        raise _WrongLineError("has neither kind nor type", why, todo)
    kind = _kind(shape)
    return Recorded(_appended_ms(line, arrival), kind, kind.value, 0, NO_OFFSET, line.strip(), ())


def _kind(shape: _Shape) -> InputKind:
    try:
        name = _text(shape.type)
    except (msgspec.DecodeError, UnicodeDecodeError):
        todo = "write it as a record, with `kind`, `appended_at` and `value`"
        raise _WrongLineError("type is not a text", todo=todo) from None
    kind = KIND_OF_TYPE.get(name)
    if kind is None:
        why = "an event alone is read by its type"
        todo = (
            did_you_mean(name, KIND_OF_TYPE) or "write it as a record, with `kind`, `appended_at` and `value`"
        )
        raise _WrongLineError(f"type {name[:64]!r} is not in the contract", why, todo)
    return kind


def _appended_ms(line: bytes, arrival: str) -> int:
    raw = _columns(line).get(arrival)
    if raw is None:
        why = "an event alone is appended at the time in this column"
        raise _WrongLineError(f"has no {arrival!r}", why, "name another column with --arrival")
    try:
        return epoch_ms(_time(raw))
    except (msgspec.DecodeError, OverflowError) as error:
        todo = "write it like 2026-03-01T12:00:00Z, or name another column with --arrival"
        raise _WrongLineError(f"{arrival!r} is no time: {_sentence(error)}", todo=todo) from None


def _sentence(error: Exception) -> str:
    return str(error).replace("`$.", "`").replace(" - at ", " at ")


def in_order(records: list[Recorded]) -> list[Recorded]:
    """Sorted, and those without an offset numbered behind the ones that have it: case evidence names offsets."""
    records.sort(key=_place)
    following: dict[tuple[str, int], int] = {}
    for one in records:
        place = one.topic, one.partition
        following[place] = max(following.get(place, 0), one.offset + 1)
    for index, one in enumerate(records):
        if one.offset == NO_OFFSET:
            place = one.topic, one.partition
            records[index] = one._replace(offset=following[place])
            following[place] += 1
    return records


def _place(one: Recorded) -> tuple[int, int, str, int, int, bytes, Headers]:
    return one.at_ms, _ORDER[one.kind], one.topic, one.partition, one.offset, one.value or b"", one.headers
