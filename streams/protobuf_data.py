"""Protobuf data as plain JSON, by the descriptors of the schema that they were written with.

Fields have the names of the schema. What Protobuf does not write, because it has its type's empty value, is not there.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from schemas.vocabulary import DeadLetterReason
from streams.column_types import decimal_text, instant_text
from streams.json_objects import json_of
from streams.refusal import RefusalError
from streams.wire_format import SchemaReader

_MAIN: Final = "returnwatch-main.proto"
_MAX_INDEXES: Final = 16
_MOST_MESSAGES: Final = 100_000
UNSPECIFIED: Final = object()
"""Of an enum: as good as a field that is not there."""


class ProtoFile(NamedTuple):
    """A `.proto` file as a descriptor; `name`: how others import it."""

    name: str
    descriptor: bytes


def protobuf_reader(descriptor: bytes, imports: Sequence[ProtoFile] = ()) -> SchemaReader:
    """Return what reads messages of a schema. `imports`: each behind those that it imports itself.

    Raises RefusalError: no descriptor, or an import is missing.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - of the extra `registry`

    messages = _messages(descriptor, imports)

    def to_json(data: bytes) -> bytes:
        indexes, body = _indexes(data)
        try:
            message = messages(indexes).FromString(body)
        except DecodeError:
            raise _mismatch("the bytes are no such message") from None
        except (IndexError, KeyError):
            raise _mismatch(f"the schema has no message {list(indexes)}") from None
        try:
            return json_of(_plain(message))
        except (OverflowError, ValueError) as error:
            if isinstance(error, RefusalError):
                raise
            raise _mismatch("a value that its type does not have") from None

    return to_json


def _messages(descriptor: bytes, imports: Sequence[ProtoFile]) -> Callable[[tuple[int, ...]], Any]:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto  # noqa: PLC0415
    from google.protobuf.descriptor_pool import DescriptorPool  # noqa: PLC0415
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415

    pool = DescriptorPool()
    added: set[str] = set()

    def add(name: str, content: bytes) -> Any:
        file = FileDescriptorProto.FromString(content)
        file.name = name
        for needed in file.dependency:
            if needed not in added:
                add(needed, _well_known(needed))
        pool.AddSerializedFile(file.SerializeToString())
        added.add(name)
        return file

    try:
        for one in imports:
            if one.name not in added:
                add(one.name, one.descriptor)
        main = add(_MAIN, descriptor)
        pool.FindFileByName(_MAIN)
    except (DecodeError, TypeError, KeyError, RecursionError) as error:
        raise _bad_schema(f"it is no Protobuf schema: {type(error).__name__}") from None

    @cache
    def message(indexes: tuple[int, ...]) -> Any:
        nested, names = main.message_type, [main.package] if main.package else []
        for index in indexes:
            names.append(nested[index].name)
            nested = nested[index].nested_type
        return GetMessageClass(pool.FindMessageTypeByName(".".join(names)))

    return message


def _well_known(name: str) -> bytes:
    """Return a file that registries take as known. Raises RefusalError: it is none."""
    from google.protobuf import (  # noqa: PLC0415
        any_pb2,
        descriptor_pb2,
        descriptor_pool,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )

    bundled = (
        any_pb2, descriptor_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2,
    )  # fmt: skip
    if name in {module.DESCRIPTOR.name for module in bundled}:
        return bytes(descriptor_pool.Default().FindFileByName(name).serialized_pb)
    fields = _OTHER_KNOWN.get(name)
    if fields is None:
        raise _bad_schema(f"it imports {name[:100]!r}, which the registry does not name as a reference")
    file = descriptor_pb2.FileDescriptorProto(package=fields.package)
    if fields.message:
        message = file.message_type.add(name=fields.message)
        for number, (field, kind) in enumerate(fields.fields, 1):
            message.field.add(name=field, number=number, type=kind, label=1)  # 1: optional
    return bytes(file.SerializeToString())


class _Known(NamedTuple):
    package: str
    message: str = ""
    fields: tuple[tuple[str, int], ...] = ()
    """(name, type by its number in descriptor.proto)."""


_INT64, _INT32, _STRING, _BYTES, _UINT32 = 3, 5, 9, 12, 13
_OTHER_KNOWN: Final[Mapping[str, _Known]] = {
    "confluent/meta.proto": _Known("confluent"),
    "confluent/type/decimal.proto": _Known(
        "confluent.type", "Decimal", (("value", _BYTES), ("precision", _UINT32), ("scale", _INT32))
    ),
    "google/type/decimal.proto": _Known("google.type", "Decimal", (("value", _STRING),)),
    "google/type/date.proto": _Known(
        "google.type", "Date", (("year", _INT32), ("month", _INT32), ("day", _INT32))
    ),
    "google/type/money.proto": _Known(
        "google.type", "Money", (("currency_code", _STRING), ("units", _INT64), ("nanos", _INT32))
    ),
}
"""What Confluent's registry knows without being told, and Protobuf's own library does not bring."""


def _indexes(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """Return which message of the file it is (the first of all, or the path to it), and its bytes."""
    try:
        count, at = _varint(data, 0)
        if not 0 <= count <= _MAX_INDEXES:
            raise _mismatch("no list of message indexes stands behind the schema's id")
        if count == 0:
            return (0,), data[at:]
        indexes = []
        for _ in range(count):
            index, at = _varint(data, at)
            indexes.append(index)
    except IndexError:
        raise _mismatch("the message indexes are cut off") from None
    if not all(0 <= index < _MOST_MESSAGES for index in indexes):
        raise _mismatch("a message index that no schema has")
    return tuple(indexes), data[at:]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = bits = 0
    while bits < 64:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << bits
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        bits += 7
    raise _mismatch("a number of more than 64 bits")


def _plain(message: Any) -> Any:
    special = _SPECIAL.get(message.DESCRIPTOR.full_name)
    if special is not None:
        return special(message)
    row: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of = field.message_type.fields_by_name["value"]
            row[field.name] = {str(key): _value(of, one) for key, one in value.items()}
        elif field.is_repeated:
            row[field.name] = [_value(field, one) for one in value]
        else:
            row[field.name] = _value(field, value)
    return {name: value for name, value in row.items() if value is not UNSPECIFIED}


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return _plain(value)
    if field.enum_type is not None:
        return _symbols(field.enum_type).get(value, value)
    return b64encode(value).decode() if isinstance(value, bytes) else value


@cache
def _symbols(enum: Any) -> dict[int, Any]:
    """Number -> name. Where all names begin with the enum's own, as the style guide has it, they are written as we write them."""
    prefix = (
        "".join(
            f"_{char}" if char.isupper() and at and not enum.name[at - 1].isupper() else char
            for at, char in enumerate(enum.name)
        ).upper()
        + "_"
    )
    if not all(value.name.startswith(prefix) for value in enum.values):
        return {value.number: value.name for value in enum.values}
    short = {value.number: value.name.removeprefix(prefix) for value in enum.values}
    return {number: UNSPECIFIED if name == "UNSPECIFIED" else name.lower() for number, name in short.items()}


def _timestamp(message: Any) -> str:
    return instant_text(message.seconds * 1_000_000 + message.nanos // 1000)


def _json(message: Any) -> Any:
    from google.protobuf import json_format  # noqa: PLC0415 - of the extra `registry`

    try:
        return json_format.MessageToDict(message)
    except json_format.SerializeToJsonError:
        raise _mismatch(f"a value that {message.DESCRIPTOR.full_name} does not have") from None


_WRAPPERS = ("Bool", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
_SPECIAL: Final[Mapping[str, Callable[[Any], Any]]] = {
    "google.protobuf.Timestamp": _timestamp,
    "confluent.type.Decimal": lambda message: decimal_text(message.value, message.scale),
    "google.type.Decimal": lambda message: message.value,
    "google.type.Date": lambda message: f"{message.year:04}-{message.month:02}-{message.day:02}",
    "google.protobuf.BytesValue": lambda message: b64encode(message.value).decode(),
    **{f"google.protobuf.{name}Value": lambda message: message.value for name in _WRAPPERS},
    **{
        f"google.protobuf.{name}": _json for name in ("Duration", "FieldMask", "ListValue", "Struct", "Value")
    },
}
"""Messages that stand for one value."""


def _bad_schema(detail: str) -> RefusalError:
    return RefusalError(DeadLetterReason.BAD_SCHEMA, detail)


def _mismatch(detail: str) -> RefusalError:
    return RefusalError(DeadLetterReason.SCHEMA_MISMATCH, detail)
