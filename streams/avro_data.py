"""Avro data as plain JSON, by the schema that they were written with.

Schemas are checked and their names resolved by fastavro. Data are read here, with bounds: fastavro's reader dies of a stack
overflow on one deep record of a recursive schema, and never ends on an array of a billion nulls, which takes six bytes.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, Final
from uuid import UUID

from schemas.vocabulary import DeadLetterReason
from streams.column_types import (
    ANY_SCALE_TYPE,
    JSON_TYPE,
    NUMBER_TYPES,
    any_scale_text,
    date_text,
    decimal_text,
    instant_text,
    local_text,
    time_text,
)
from streams.json_objects import json_of, tree_of
from streams.payload_tree import json_in_text
from streams.reading import MAX_DEPTH, check_json
from streams.refusal import RefusalError
from streams.wire_format import SchemaReader

MAX_VALUES: Final = 250_000
"""In one record; fields and items count, also those that take no bytes."""
_LONG_BITS: Final = 63
_FLOAT, _DOUBLE = Struct("<f"), Struct("<d")


class _MismatchError(ValueError):
    pass


@dataclass(slots=True)
class _Data:
    """The bytes of one record, and how far they are read."""

    data: bytes
    at: int = 0
    depth: int = 0
    values: int = 0

    def count(self, more: int) -> None:
        self.values += more
        if self.values > MAX_VALUES:
            raise RefusalError(DeadLetterReason.TOO_MANY, f"more than {MAX_VALUES} values")

    def take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self.data):
            raise _MismatchError("a length that the data do not have")
        taken = self.data[self.at : end]
        self.at = end
        return taken


_Read = Callable[[_Data], Any]


def avro_reader(schema: str, references: Sequence[str] = ()) -> SchemaReader:
    """Return what reads data of a schema. `references`: schemas it names, each behind those that it names itself.

    Raises RefusalError: no Avro schema, or one that cannot be read.
    """
    named: dict[str, Any] = {}
    for text in references:
        _parsed(text, named)
    try:
        parsed = _parsed(schema, named)
        read = _bytes if parsed in ("bytes", {"type": "bytes"}) else _Compiler(named).reader(parsed)
    except RefusalError:
        raise
    except (RecursionError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad_schema(f"it cannot be used: {type(error).__name__}") from None

    def to_json(data: bytes) -> bytes:
        source = _Data(data)
        try:
            tree = read(source)
        except RefusalError:
            raise
        except (IndexError, OverflowError, ValueError) as error:
            what = str(error) if isinstance(error, _MismatchError) else "a value that its type does not have"
            raise _mismatch(f"{what}, at byte {source.at} of {len(data)}") from None
        if source.at != len(data):
            raise _mismatch(f"{len(data) - source.at} bytes are left over")
        return tree if isinstance(tree, bytes) else json_of(tree)

    return to_json


def _parsed(text: str, named: dict[str, Any]) -> Any:
    import fastavro  # noqa: PLC0415 - of the extra `registry`

    try:
        check_json(b'{"":' + text.encode() + b"}")
        return fastavro.parse_schema(tree_of(text.encode()), named_schemas=named, _write_hint=False)
    except RefusalError as refusal:
        raise _bad_schema(f"it is no Avro schema: {refusal.detail}") from None
    except (
        fastavro.schema.SchemaParseException,
        fastavro.schema.UnknownType,
        RecursionError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise _bad_schema(f"it is no Avro schema: {type(error).__name__}") from None


class _Compiler:
    """Makes one function of each part of a schema."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._made: dict[str, _Later] = {}

    def reader(self, schema: Any) -> _Read:
        if isinstance(schema, list):
            return _union([self.reader(one) for one in schema])
        if isinstance(schema, str):
            return _PRIMITIVES.get(schema) or self._by_name(schema)
        kind = schema["type"]
        if isinstance(kind, dict | list):
            return self.reader(kind)
        return self._with_meaning(schema, kind) or self._plain(schema, kind)

    def _by_name(self, name: str) -> _Read:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = _Later()
            made.then = self.reader(self._named[name])
        return made

    def _plain(self, schema: Mapping[str, Any], kind: str) -> _Read:
        if kind in {"record", "error"}:
            return self._record(schema)
        if kind == "array":
            return _array(self.reader(schema["items"]))
        if kind == "map":
            return _map(self.reader(schema["values"]))
        if kind == "enum":
            return _enum(schema["symbols"])
        if kind == "fixed":
            return _as_base64(_fixed(int(schema["size"])))
        return _PRIMITIVES.get(kind) or self._by_name(kind)

    def _record(self, schema: Mapping[str, Any]) -> _Read:
        made = self._made.setdefault(schema["name"], _Later())
        fields = [(one["name"], self.reader(one["type"])) for one in schema["fields"]]

        def read(data: _Data) -> Any:
            data.count(len(fields) or 1)
            data.depth += 1
            if data.depth > MAX_DEPTH:
                raise RefusalError(DeadLetterReason.TOO_DEEP, f"nested deeper than {MAX_DEPTH}")
            row = {name: read_field(data) for name, read_field in fields}
            data.depth -= 1
            return row

        made.then = read
        return _then(read, any_scale_text) if schema.get("connect.name") == ANY_SCALE_TYPE else read

    def _with_meaning(self, schema: Mapping[str, Any], kind: str) -> _Read | None:
        """Return what reads a type with a meaning beyond its bytes, as JSON writes that."""
        name, logical = schema.get("connect.name"), schema.get("logicalType")
        number = NUMBER_TYPES.get(name) if isinstance(name, str) else None
        number = number or _LOGICAL_NUMBERS.get(logical if isinstance(logical, str) else "")
        if number is not None and kind in {"int", "long"}:
            return _then(_long, number)
        if kind == "string" and name == JSON_TYPE:
            return _then(_string, lambda text: found if (found := json_in_text(text)) is not None else text)
        if kind not in {"bytes", "fixed"}:
            return None
        raw = _bytes if kind == "bytes" else _fixed(int(schema["size"]))
        if logical == "decimal":
            scale = int(schema.get("scale", 0))
            return _then(raw, lambda unscaled: decimal_text(unscaled, scale))
        return _then(raw, lambda sixteen: str(UUID(bytes=sixteen))) if logical == "uuid" else None


@dataclass(slots=True)
class _Later:
    """A type that is named before it is made: it may hold itself."""

    then: _Read = field(default=lambda _: None)

    def __call__(self, data: _Data) -> Any:
        return self.then(data)


def _long(data: _Data) -> int:
    byte = data.data[data.at]
    data.at += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1)
    number, bits = byte & 0x7F, 7
    while True:
        byte = data.data[data.at]
        data.at += 1
        number |= (byte & 0x7F) << bits
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1)
        bits += 7
        if bits > _LONG_BITS:
            raise _MismatchError("a number of more than 64 bits")


def _boolean(data: _Data) -> bool:
    byte = data.take(1)[0]
    if byte > 1:
        raise _MismatchError("neither true nor false")
    return bool(byte)


def _bytes(data: _Data) -> bytes:
    return data.take(_long(data))


def _string(data: _Data) -> str:
    return data.take(_long(data)).decode()


def _float(data: _Data) -> float:
    return float(_FLOAT.unpack(data.take(4))[0])


def _double(data: _Data) -> float:
    return float(_DOUBLE.unpack(data.take(8))[0])


def _fixed(size: int) -> Callable[[_Data], bytes]:
    return lambda data: data.take(size)


def _then(read: Callable[[_Data], Any], meaning: Callable[[Any], Any]) -> _Read:
    return lambda data: meaning(read(data))


def _as_base64(read: Callable[[_Data], bytes]) -> _Read:
    return lambda data: b64encode(read(data)).decode()


def _union(branches: list[_Read]) -> _Read:
    def read(data: _Data) -> Any:
        index = _long(data)
        if not 0 <= index < len(branches):
            raise _MismatchError("a branch that the union does not have")
        return branches[index](data)

    return read


def _enum(symbols: list[str]) -> _Read:
    def read(data: _Data) -> str:
        index = _long(data)
        if not 0 <= index < len(symbols):
            raise _MismatchError("a symbol that the enum does not have")
        return symbols[index]

    return read


def _array(item: _Read) -> _Read:
    def read(data: _Data) -> list[Any]:
        items: list[Any] = []
        while count := _block(data):
            items += [item(data) for _ in range(count)]
        return items

    return read


def _map(value: _Read) -> _Read:
    def read(data: _Data) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while count := _block(data):
            for _ in range(count):
                name = _string(data)
                found[name] = value(data)
        return found

    return read


def _block(data: _Data) -> int:
    """Return how many items follow; 0: no more."""
    count = _long(data)
    if count < 0:
        count = -count
        _long(data)  # its size in bytes, for who skips it
    data.count(count)
    return count


_PRIMITIVES: Final[Mapping[str, _Read]] = {
    "null": lambda _: None,
    "boolean": _boolean,
    "int": _long,
    "long": _long,
    "float": _float,
    "double": _double,
    "bytes": _as_base64(_bytes),
    "string": _string,
}
_LOGICAL_NUMBERS: Final[Mapping[str, Callable[[int], str]]] = {
    "timestamp-millis": lambda ms: instant_text(ms * 1000),
    "timestamp-micros": instant_text,
    "timestamp-nanos": lambda ns: instant_text(ns // 1000),
    "local-timestamp-millis": lambda ms: local_text(ms * 1000),
    "local-timestamp-micros": local_text,
    "local-timestamp-nanos": lambda ns: local_text(ns // 1000),
    "date": date_text,
    "time-millis": lambda ms: time_text(ms * 1000),
    "time-micros": time_text,
}


def _bad_schema(detail: str) -> RefusalError:
    return RefusalError(DeadLetterReason.BAD_SCHEMA, detail)


def _mismatch(detail: str) -> RefusalError:
    return RefusalError(DeadLetterReason.SCHEMA_MISMATCH, detail)
