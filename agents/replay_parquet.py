"""Recorded events from Parquet files: each row as the line of JSON that would say the same (agents/replay_reading.py).

A row is a record, with a column `value` (text, bytes or a struct) and those of a JSON line, or a bare event, whose fields
are the columns. What is null is absent.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agents.errors import Finding
from schemas.events import KIND_OF_TYPE

SUFFIX = ".parquet"
ROWS_AT_ONCE = 2_000
_HOW_TO_INSTALL = "pip install 'returnwatch[parquet]', or write it as JSON Lines"


class _Typed(msgspec.Struct):
    type: str


_typed = msgspec.json.Decoder(_Typed).decode
_encode = msgspec.json.encode


def lines_of(file: Path, arrival: str, told: Callable[[int], None]) -> Iterator[tuple[int, bytes] | Finding]:
    """The number of each row, from 1, and its line; at the first that cannot be read on, why.

    `told`: called with how many bytes have about been read.
    """
    try:
        from pyarrow import ArrowException  # noqa: PLC0415 - an extra, and half a second
        from pyarrow.parquet import ParquetFile  # noqa: PLC0415
    except ImportError:
        yield Finding(str(file), "is Parquet", "for which pyarrow is needed", _HOW_TO_INSTALL)
        return
    number = 0
    try:
        with ParquetFile(file) as rows:
            of_bytes = file.stat().st_size / max(1, rows.metadata.num_rows)
            for batch in rows.iter_batches(ROWS_AT_ONCE):
                for row in _by_microseconds(batch).to_pylist(maps_as_pydicts="strict"):
                    number += 1
                    try:
                        yield number, _line(row, arrival)
                    except ValueError as error:
                        yield Finding(f"{file}:{number}", str(error), todo="write it as docs/replay.md says")
                told(int(number * of_bytes))
    except KeyError as error:
        what = f"has a map with the same key twice, in one of {ROWS_AT_ONCE} rows from here: {error}"
        yield Finding(f"{file}:{number + 1}", what, todo="write it with every key once")
    except ArrowException as error:
        what = f"cannot be read as Parquet: {str(error).partition(chr(10))[0]}"
        yield Finding(f"{file}:{number + 1}" if number else str(file), what, todo="write or copy it anew")


def _by_microseconds(batch: Any) -> Any:
    """Python has no nanoseconds."""
    from pyarrow import schema, timestamp, types  # noqa: PLC0415 - loaded already

    fields = [
        field.with_type(timestamp("us", field.type.tz)) if types.is_timestamp(field.type) else field
        for field in batch.schema
    ]
    return batch.cast(schema(fields), safe=False)


def _line(row: Mapping[str, Any], arrival: str) -> bytes:
    told = {name: value for name, value in row.items() if value is not None}
    if "value" not in row or ("type" in told and "kind" not in told):
        return _encode(_plain(told))
    value = row["value"]
    raw = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else None
    if raw is None and value is not None:
        raw = _encode(_plain(value))
    names = ("kind", "appended_at", "topic", "partition", "offset")
    line: dict[str, Any] = {name: told[name] for name in names if name in told}
    if "kind" not in line:
        line["kind"] = _kind(raw)
    if arrival in told:
        line.setdefault("appended_at", told[arrival])
    if "key" in told:
        line["key"] = _plain(told["key"])
    line["headers"] = _plain(told.get("headers", {}))
    line.update({"value": None} if raw is None else {"value_base64": b64encode(raw).decode()})
    return _encode(line)


def _kind(raw: bytes | None) -> str:
    """Of a record that does not say it: by the type of the event in it."""
    try:
        return KIND_OF_TYPE[_typed(raw or b"").type].value
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        raise ValueError("has no kind, and its value no type of the contract") from None


def _plain(value: Any) -> Any:
    """Without nulls, and with bytes as the text that they are. Raises ValueError."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"has bytes that are no UTF-8 text: {error.reason}") from None
    return value
