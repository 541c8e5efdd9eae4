"""Columns of a database as Kafka Connect writes them in JSON: with the schema beside a row, numbers become what they stand for.

A time of a column without a zone is written without one: the database does not know of which place it is, and neither do we.
"""

from base64 import b64decode
from binascii import Error as NotBase64Error
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from schemas.vocabulary import DeadLetterReason
from streams.json_objects import tree_of
from streams.payload_tree import json_in_text
from streams.refusal import RefusalError

Plain = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of a column without a zone
_MAX_SCALE = 128
_MAX_DECIMAL_BYTES = 64
_KNOWN_SCHEMAS = 64
"""A connector repeats its schema in every record; there are as many as tables, and versions of them."""


def decimal_text(unscaled: bytes, scale: int) -> str:
    """Return a decimal as it is written. Raises ValueError: too large to be one."""
    if not (-_MAX_SCALE <= scale <= _MAX_SCALE and len(unscaled) <= _MAX_DECIMAL_BYTES):
        raise ValueError("too large")
    number = int.from_bytes(unscaled, "big", signed=True)
    digits = tuple(int(digit) for digit in str(abs(number)))
    return format(Decimal((int(number < 0), digits, -scale)), "f")


def time_text(micros: int) -> str:
    """Return a time of day as ISO 8601. Raises OverflowError or ValueError."""
    if not 0 <= micros <= 86_400_000_000:
        raise ValueError("no time of day")
    return (_EPOCH + timedelta(microseconds=micros % 86_400_000_000)).time().isoformat()


def local_text(micros: int) -> str:
    """Return a time without a zone as ISO 8601. Raises OverflowError."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat()


def instant_text(micros: int) -> str:
    """Return a moment as ISO 8601, in UTC. Raises OverflowError."""
    return (_EPOCH.replace(tzinfo=UTC) + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


def date_text(days: int) -> str:
    """Return a date as ISO 8601. Raises OverflowError."""
    return (_EPOCH + timedelta(days=days)).date().isoformat()


NUMBER_TYPES: Final[Mapping[str, Callable[[int], str]]] = {
    "io.debezium.time.Timestamp": lambda ms: local_text(ms * 1000),
    "io.debezium.time.MicroTimestamp": local_text,
    "io.debezium.time.NanoTimestamp": lambda ns: local_text(ns // 1000),
    "io.debezium.time.Date": date_text,
    "io.debezium.time.Time": lambda ms: time_text(ms * 1000),
    "io.debezium.time.MicroTime": time_text,
    "io.debezium.time.NanoTime": lambda ns: time_text(ns // 1000),
    "org.apache.kafka.connect.data.Timestamp": lambda ms: instant_text(ms * 1000),
    "org.apache.kafka.connect.data.Date": date_text,
    "org.apache.kafka.connect.data.Time": lambda ms: time_text(ms * 1000),
}
"""Type of a column -> what its number stands for."""
JSON_TYPE: Final = "io.debezium.data.Json"
_DECIMAL: Final = "org.apache.kafka.connect.data.Decimal"
ANY_SCALE_TYPE: Final = "io.debezium.data.VariableScaleDecimal"


def plain_row(row: Any, schema: bytes, inside: str = "") -> Any:
    """Return a row with plain values. `inside`: the field of the schema's struct that holds the row. Raises RefusalError."""
    plain = _row_type(schema, inside)
    return row if plain is None else plain(row)


@lru_cache(maxsize=_KNOWN_SCHEMAS)
def _row_type(schema: bytes, inside: str) -> Plain | None:
    told = tree_of(schema)
    if inside and isinstance(told, dict):
        fields = told.get("fields")
        named = (one for one in fields if isinstance(one, dict)) if isinstance(fields, list) else ()
        told = next((one for one in named if one.get("field") == inside), None)
    try:
        return _type(told)
    except RecursionError:
        raise RefusalError(DeadLetterReason.TOO_DEEP, "the schema nests too deep") from None


def _type(schema: Any) -> Plain | None:
    """Return what makes a column's value plain; None: it is."""
    if not isinstance(schema, dict):
        return None
    name, kind = schema.get("name"), schema.get("type")
    number = NUMBER_TYPES.get(name) if isinstance(name, str) else None
    if number is not None:
        return _checked(schema, int, number)
    if name == _DECIMAL:
        scale = _scale(schema.get("parameters"))
        return _checked(schema, str, lambda text: decimal_text(b64decode(text, validate=True), scale))
    if name == ANY_SCALE_TYPE:
        return _checked(schema, dict, any_scale_text)
    if name == JSON_TYPE:
        return _json
    if not isinstance(kind, str):
        return None
    if kind == "struct":
        return _struct(schema.get("fields"))
    if kind in {"array", "map"}:
        return _items(_type(schema.get("items" if kind == "array" else "values")))
    return None


def _scale(parameters: Any) -> int:
    text = parameters.get("scale") if isinstance(parameters, dict) else None
    return int(text) if isinstance(text, str) and text.removeprefix("-").isdecimal() and len(text) < 5 else 0


def any_scale_text(value: dict[str, Any]) -> str:
    """Return a decimal that brings its own scale. Raises KeyError or ValueError."""
    return decimal_text(b64decode(value["value"], validate=True), int(value["scale"]))


def _json(value: Any) -> Any:
    """A document in a column is part of the row; what is no document stays a text."""
    found = json_in_text(value) if isinstance(value, str) else None
    return value if found is None else found


def _checked(schema: dict[str, Any], kind: type, plain: Callable[[Any], str]) -> Plain:
    field, name = schema.get("field", "?"), schema["name"]

    def read(value: Any) -> Any:
        if value is None:
            return None
        try:
            if isinstance(value, kind) and not isinstance(value, bool):
                return plain(value)
        except (ValueError, OverflowError, KeyError, TypeError, NotBase64Error):
            pass
        detail = f"{str(field)[:64]}: the value is no {str(name)[:64]}"
        raise RefusalError(DeadLetterReason.BAD_VALUE, detail)

    return read


def _struct(fields: Any) -> Plain | None:
    if not isinstance(fields, list):
        return None
    plain = {
        one["field"]: read
        for one in fields
        if isinstance(one, dict) and isinstance(one.get("field"), str) and (read := _type(one)) is not None
    }

    def read_all(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: plain[name](one) if name in plain else one for name, one in value.items()}

    return read_all if plain else None


def _items(plain: Plain | None) -> Plain | None:
    if plain is None:
        return None

    def read_all(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value

    return read_all
