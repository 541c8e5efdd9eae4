"""Protobuf data become the JSON of the contract, by descriptors as a registry gives them."""

import base64
import json
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

from schemas.topics import InputKind
from schemas.vocabulary import DeadLetterReason
from streams.protobuf_data import ProtoFile, protobuf_reader
from streams.registered_schemas import Reference, Registered, reader_of
from streams.wire_format import Unusable
from tests.envelopes import field, framed, refusal, scan_file, take_wrapped
from tests.input_events import scan, take_in

R = DeadLetterReason
SCANS = InputKind.CARRIER_SCANS


def message_of(file: descriptor_pb2.FileDescriptorProto, name: str, *others: Any) -> Any:
    """A message of a file, by Google's own classes."""
    pool = descriptor_pool.DescriptorPool()
    for known in (timestamp_pb2, struct_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    for other in others:
        pool.AddSerializedFile(other.SerializeToString())
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()


def scan_message(**fields: Any) -> bytes:
    event = message_of(scan_file(), "shop.Scan")
    event.occurred_at.FromJsonString("2026-03-02T11:00:00Z")
    event.type, event.direction = 1, 1
    event.place.country, event.place.city = "FR", "Lyon"
    for name, value in scan(**fields).items():
        if name in {"id", "carrier", "tracking_number", "code", "text"}:
            setattr(event, name, value)
    return bytes(event.SerializeToString())


SECOND = b"\x02\x02"
"""Message indexes: one, and that is 1."""


def _schemas(file: descriptor_pb2.FileDescriptorProto, *references: Any) -> dict[int, Any]:
    text = base64.b64encode(file.SerializeToString()).decode()
    return {1: reader_of(Registered(1, "PROTOBUF", text, references))}


def test_an_event_of_the_contract_in_protobuf_is_the_same_fact() -> None:
    intake = take_wrapped("confluent", framed(1, SECOND + scan_message()), schemas=_schemas(scan_file()))
    assert not intake.refused
    same = take_in(SCANS, scan(direction="return", occurred_at="2026-03-02T11:00:00Z"))
    assert [fact[2].replace(b'"wrapped",0', b'"carrier-scans-topic",3') for fact in intake.facts] == [
        fact[2] for fact in same.facts
    ]


def _everything() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="e.proto", package="e", syntax="proto3")
    file.dependency.extend(
        [
            "google/protobuf/timestamp.proto", "google/protobuf/struct.proto", "google/protobuf/wrappers.proto",
            "confluent/meta.proto", "confluent/type/decimal.proto", "google/type/decimal.proto",
            "google/type/date.proto", "google/type/money.proto", "google/protobuf/duration.proto",
        ]
    )  # fmt: skip
    row = file.message_type.add(name="Row")
    kinds = [
        Field.TYPE_INT64, Field.TYPE_UINT64, Field.TYPE_DOUBLE, Field.TYPE_BOOL, Field.TYPE_BYTES,
    ]  # fmt: skip
    for number, kind in enumerate(kinds, 1):
        field(row, f"f{number}", number, kind)
    row.field.add(name="many", number=6, type=Field.TYPE_INT32, label=3)
    entry = row.nested_type.add(name="NamesEntry")
    entry.options.map_entry = True
    field(entry, "key", 1)
    field(entry, "value", 2, Field.TYPE_INT64)
    row.field.add(name="names", number=7, type=Field.TYPE_MESSAGE, type_name=".e.Row.NamesEntry", label=3)
    row.field.add(name="rows", number=8, type=Field.TYPE_MESSAGE, type_name=".e.Row", label=3)
    for number, kind in (
        (9, "confluent.type.Decimal"),
        (10, "google.type.Decimal"),
        (11, "google.type.Date"),
        (12, "google.protobuf.Struct"),
        (13, "google.protobuf.Int64Value"),
        (14, "google.protobuf.Timestamp"),
        (15, "google.protobuf.BytesValue"),
        (16, "google.protobuf.Duration"),
    ):
        field(row, f"f{number}", number, Field.TYPE_MESSAGE, f".{kind}")
    return file


def _tag(number: int, kind: int, body: bytes) -> bytes:
    head = (
        bytes([number << 3 | kind]) if number < 16 else bytes([(number << 3 | kind) & 127 | 128, number >> 4])
    )
    return head + (bytes([len(body)]) + body if kind == 2 else body)


def test_each_type_is_written_as_json_has_it() -> None:
    struct = struct_pb2.Struct()
    struct.update({"a": [1, None, "x"]})
    data = b"".join(
        [
            _tag(1, 0, b"\xff" * 9 + b"\x01"), _tag(2, 0, b"\xff" * 9 + b"\x01"), _tag(4, 0, b"\x01"),
            _tag(5, 2, b"\x00\xff"), _tag(6, 2, b"\x01\x02"), _tag(7, 2, b"\x0a\x01k\x10\x05"),
            _tag(8, 2, _tag(4, 0, b"\x01")), _tag(8, 2, b""), _tag(9, 2, b"\x0a\x02\x07\xc6\x18\x02"),
            _tag(10, 2, b"\x0a\x0519.90"), _tag(11, 2, b"\x08\xea\x0f\x10\x03\x18\x02"),
            _tag(12, 2, struct.SerializeToString()), _tag(13, 2, b"\x08\x07"), _tag(14, 2, b"\x08\x01"),
            _tag(15, 2, b"\x0a\x01\xff"), _tag(16, 2, b"\x08\x3c"),
        ]
    )  # fmt: skip
    read = protobuf_reader(_everything().SerializeToString())
    assert json.loads(read(b"\x00" + data)) == {
        "f1": -1, "f2": 2**64 - 1, "f4": True, "f5": "AP8=", "many": [1, 2], "names": {"k": 5},
        "rows": [{"f4": True}, {}], "f9": "19.90", "f10": "19.90", "f11": "2026-03-02",
        "f12": {"a": [1.0, None, "x"]}, "f13": 7, "f14": "1970-01-01T00:00:01Z", "f15": "/w==", "f16": "60s",
    }  # fmt: skip


def test_a_message_is_found_by_its_indexes_also_inside_another() -> None:
    read = protobuf_reader(scan_file().SerializeToString())
    place = message_of(scan_file(), "shop.Scan").place
    place.country = "FR"
    assert json.loads(read(b"\x04\x02\x00" + place.SerializeToString())) == {"country": "FR"}
    assert json.loads(read(b"\x00")) == {}


def test_imports_are_resolved_by_the_names_that_the_registry_gives() -> None:
    shared = descriptor_pb2.FileDescriptorProto(name="whatever", package="shared", syntax="proto3")
    field(shared.message_type.add(name="Parcel"), "number", 1)
    file = descriptor_pb2.FileDescriptorProto(name="default", package="shop", syntax="proto3")
    file.dependency.append("shared/parcel.proto")
    field(file.message_type.add(name="Label"), "parcel", 1, Field.TYPE_MESSAGE, ".shared.Parcel")
    imports = [ProtoFile("shared/parcel.proto", shared.SerializeToString())]
    read = protobuf_reader(file.SerializeToString(), imports)
    assert json.loads(read(b"\x00" + _tag(1, 2, b"\x0a\x011"))) == {"parcel": {"number": "1"}}
    reference = Reference("shared/parcel.proto", base64.b64encode(shared.SerializeToString()).decode())
    assert not isinstance(_schemas(file, reference)[1], Unusable)
    alone = _schemas(file)[1]
    assert isinstance(alone, Unusable)
    assert alone.reason is R.BAD_SCHEMA
    assert "shared/parcel.proto" in alone.detail


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02",
        b"\xff" * 12,
        b"\x01",
        b"\x7e" + b"\x00" * 40,
        b"\x02\x0e" + b"\x00",
        b"\x02\x01",
        b"\x02" + b"\xfe" * 9 + b"\x01",
        b"\x04\x02\x0c",
        SECOND + scan_message()[:-2],
        SECOND + b"\xff\xff\xff",
        SECOND + _tag(4, 2, b"\xff\xfe"),
        SECOND + _tag(3, 2, b"\x08" + b"\xff" * 8 + b"\x7f"),
    ],
    ids=lambda data: str(data)[:40],
)
def test_data_that_their_schema_does_not_describe_are_refused(data: bytes) -> None:
    intake = take_wrapped("confluent", framed(1, data), schemas=_schemas(scan_file()))
    assert refusal(intake)[0] == R.SCHEMA_MISMATCH


def test_what_nests_too_deep_is_refused() -> None:
    data = b""
    for _ in range(20_000):
        data = b"\x42" + _length(len(data)) + data
        if len(data) > 60_000:
            break
    intake = take_wrapped("confluent", framed(1, b"\x00" + data), schemas=_schemas(_everything()))
    assert refusal(intake)[0] in {R.SCHEMA_MISMATCH, R.TOO_DEEP}


def _length(size: int) -> bytes:
    out = b""
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size])


@pytest.mark.parametrize(
    "schema",
    [
        'syntax = "proto3"; message A { string x = 1; }',
        base64.b64encode(b"\xff\xff\xff").decode(),
        base64.b64encode(b"\x22\x08\x0a\x01A\x12\x03\x0a\x01x").decode(),
        "",
    ],
)
def test_a_schema_that_is_none_is_told(schema: str) -> None:
    known = reader_of(Registered(1, "PROTOBUF", schema))
    if isinstance(known, Unusable):
        assert known.reason is R.BAD_SCHEMA
    else:  # a file without messages
        assert (
            refusal(take_wrapped("confluent", framed(1, b"\x00"), schemas={1: known}))[0] == R.SCHEMA_MISMATCH
        )
