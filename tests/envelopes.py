"""Records of wrapped topics, for the tests of envelopes."""

import io
import json
from collections.abc import Mapping
from typing import Any

import fastavro
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

from schemas.carrier_codes import load_carrier_codes
from schemas.envelopes import CHAINS
from schemas.topics import InputKind
from streams.intake import Intake, IntakeMapper
from streams.topic_envelopes import TopicEnvelope
from tests.input_events import NOON_MS, records

TOPIC = "wrapped"


def wrapped_mapper(chain: str, **more: Any) -> IntakeMapper:
    """An intake whose one topic is written in a chain of envelopes."""
    return IntakeMapper(load_carrier_codes(), envelopes={TOPIC: TopicEnvelope(CHAINS[chain])}, **more)


def framed(number: int, body: bytes) -> bytes:
    """A record as a schema registry's serializer writes it."""
    return b"\x00" + number.to_bytes(4, "big") + body


def take_wrapped(chain: str, *values: Any, kind: InputKind = InputKind.CARRIER_SCANS, **more: Any) -> Intake:
    """What intake makes of the records of such a topic."""
    mapper = wrapped_mapper(chain, **more)
    return mapper.map_chunk(records(*values), kind, NOON_MS, topic=TOPIC, partition=0)


def refusal(intake: Intake) -> tuple[str, str]:
    """Reason and detail of the one record that was refused."""
    ((_, reason, detail, action),) = intake.refused
    assert action
    return reason.value, detail


def no_events(intake: Intake) -> Mapping[str, int]:
    """How many records of each kind told of nothing; they are neither facts nor refused."""
    assert not intake.facts
    assert not intake.refused
    return {label: count for (name, label), count in intake.counters.items() if name == "no_event"}


def maybe(kind: Any) -> dict[str, Any]:
    return {"type": ["null", kind], "default": None}


AVRO_PLACE = {
    "type": "record",
    "name": "Place",
    "fields": [{"name": "country", "type": "string"}, {"name": "city", "type": "string"}],
}
AVRO_SCAN = {
    "type": "record",
    "name": "Scan",
    "namespace": "shop.returns",
    "fields": [
        {
            "name": "type",
            "type": {"type": "enum", "name": "T", "symbols": ["carrier_scan", "scan_retracted"]},
        },
        {"name": "id", **maybe("string")},
        {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "carrier", "type": "string"},
        {"name": "tracking_number", "type": "string"},
        {"name": "code", **maybe("string")},
        {"name": "direction", **maybe({"type": "enum", "name": "Dir", "symbols": ["return", "outbound"]})},
        {"name": "place", **maybe(AVRO_PLACE)},
    ],
}


def written(schema: Any, value: Any) -> bytes:
    """The value in Avro, by a writer that is not ours."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), value)
    return out.getvalue()


def field(message: Any, name: str, number: int, kind: Any = Field.TYPE_STRING, of: str = "") -> None:
    made = message.field.add(name=name, number=number, type=kind, label=1)
    if of:
        made.type_name = of


def scan_file() -> descriptor_pb2.FileDescriptorProto:
    """What a registry gives serialized for a schema with events of the contract, and an enum by the style guide."""
    file = descriptor_pb2.FileDescriptorProto(name="default", package="shop", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    file.message_type.add(name="Other")
    event = file.message_type.add(name="Scan")
    field(event, "type", 1, Field.TYPE_ENUM, ".shop.EventType")
    field(event, "id", 2)
    field(event, "occurred_at", 3, Field.TYPE_MESSAGE, ".google.protobuf.Timestamp")
    for number, name in enumerate(("carrier", "tracking_number", "code", "text"), 4):
        field(event, name, number)
    field(event, "direction", 8, Field.TYPE_ENUM, ".shop.Direction")
    field(event, "place", 9, Field.TYPE_MESSAGE, ".shop.Scan.Place")
    place = event.nested_type.add(name="Place")
    field(place, "country", 1)
    field(place, "city", 2)
    types = file.enum_type.add(name="EventType")
    for number, name in enumerate(("EVENT_TYPE_UNSPECIFIED", "EVENT_TYPE_CARRIER_SCAN")):
        types.value.add(name=name, number=number)
    directions = file.enum_type.add(name="Direction")
    for number, name in enumerate(("unknown", "return", "outbound")):
        directions.value.add(name=name, number=number)
    return file
