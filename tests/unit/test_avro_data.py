"""Avro data become the JSON of the contract; what their schema does not describe is refused, in bounded time and space."""

import io
import json
from datetime import UTC, date, datetime
from datetime import time as clock_time
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest

from schemas.topics import InputKind
from schemas.vocabulary import DeadLetterReason
from streams.avro_data import avro_reader
from streams.refusal import RefusalError
from streams.registered_schemas import MAX_SCHEMA_BYTES, Registered, reader_of
from streams.wire_format import Unusable
from tests.envelopes import AVRO_PLACE, AVRO_SCAN, framed, maybe, no_events, refusal, take_wrapped, written
from tests.input_events import order, records, scan, take_in

R = DeadLetterReason
SCANS = InputKind.CARRIER_SCANS
WHEN = datetime(2026, 3, 2, 11, tzinfo=UTC)


def _scan(**fields: Any) -> bytes:
    row = scan(**fields) | {"occurred_at": WHEN}
    return written(AVRO_SCAN, row)


def _schemas(*schemas: Any) -> dict[int, Any]:
    return {
        number: reader_of(Registered(number, "AVRO", one if isinstance(one, str) else json.dumps(one)))
        for number, one in enumerate(schemas, 1)
    }


def _read(schema: Any, value: Any) -> Any:
    return json.loads(avro_reader(json.dumps(schema))(written(schema, value)))


def test_an_event_of_the_contract_in_avro_is_the_same_fact() -> None:
    value = framed(1, _scan(direction="return"))
    intake = take_wrapped("confluent", value, schemas=_schemas(AVRO_SCAN))
    same = take_in(SCANS, scan(direction="return", occurred_at="2026-03-02T11:00:00Z"))
    assert not intake.refused
    assert [fact[2].replace(b'"wrapped",0', b'"carrier-scans-topic",3') for fact in intake.facts] == [
        fact[2] for fact in same.facts
    ]


def test_a_change_event_of_debezium_in_avro_is_opened_twice() -> None:
    source = {"type": "record", "name": "Source", "fields": [{"name": "table", "type": "string"}]}
    envelope = {
        "type": "record",
        "name": "Envelope",
        "fields": [
            {"name": "before", **maybe(AVRO_SCAN)},
            {"name": "after", **maybe("shop.returns.Scan")},
            {"name": "source", "type": source},
            {"name": "op", "type": "string"},
        ],
    }
    row = scan() | {"occurred_at": WHEN}
    change = {"before": None, "source": {"table": "scans"}}
    schemas = _schemas(envelope)
    created = framed(1, written(envelope, change | {"after": row, "op": "c"}))
    assert len(take_wrapped("confluent+debezium", created, schemas=schemas).facts) == 1
    deleted = framed(1, written(envelope, change | {"before": row, "after": None, "op": "d"}))
    intake = take_wrapped("confluent+debezium", deleted, None, schemas=schemas)
    assert no_events(intake) == {"deleted": 1, "tombstone": 1}


@pytest.mark.parametrize("schema", ['"string"', '"bytes"'])
def test_a_payload_of_an_outbox_in_avro_is_a_text_or_bytes(schema: str) -> None:
    payload = json.dumps(scan())
    value = written(json.loads(schema), payload if schema == '"string"' else payload.encode())
    intake = take_wrapped("confluent+outbox", framed(1, value), schemas=_schemas(schema))
    assert len(intake.facts) == 1


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ({"type": "long", "logicalType": "timestamp-millis"}, WHEN, "2026-03-02T11:00:00Z"),
        ({"type": "long", "logicalType": "timestamp-micros"}, WHEN, "2026-03-02T11:00:00Z"),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, WHEN.replace(tzinfo=None), "2026-03-02T11:00:00"),
        ({"type": "long", "logicalType": "local-timestamp-micros"}, WHEN.replace(tzinfo=None), "2026-03-02T11:00:00"),
        ({"type": "int", "logicalType": "date"}, date(2026, 3, 2), "2026-03-02"),
        ({"type": "int", "logicalType": "time-millis"}, clock_time(11, 0), "11:00:00"),
        ({"type": "long", "logicalType": "time-micros"}, clock_time(11, 0), "11:00:00"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, Decimal("-19.90"), "-19.90"),
        (
            {"type": "fixed", "name": "F", "size": 6, "logicalType": "decimal", "precision": 9, "scale": 2},
            Decimal("19.90"),
            "19.90",
        ),
        ({"type": "string", "logicalType": "uuid"}, UUID(int=7), str(UUID(int=7))),
        ({"type": "fixed", "name": "F", "size": 3}, b"\x00\x01\xff", "AAH/"),
        ({"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}, 1_000_000, "1970-01-01T00:00:01"),
        ({"type": "int", "connect.name": "io.debezium.time.Date"}, 1, "1970-01-02"),
        ({"type": "string", "connect.name": "io.debezium.data.Json"}, '{"a": [1]}', {"a": [1]}),
        ({"type": "string", "connect.name": "io.debezium.data.Json"}, "{", "{"),
        ({"type": "map", "values": "long"}, {"a": -(2**63), "b": 2**63 - 1}, {"a": -(2**63), "b": 2**63 - 1}),
        ({"type": "array", "items": ["null", "boolean", "double"]}, [None, True, 0.5], [None, True, 0.5]),
        ({"type": "record", "name": "E", "fields": []}, {}, {}),
    ],
    ids=str,
)  # fmt: skip
def test_each_type_is_written_as_json_has_it(kind: Any, value: Any, text: Any) -> None:
    schema = {"type": "record", "name": "Row", "fields": [{"name": "it", **maybe(kind)}]}
    assert _read(schema, {"it": value}) == {"it": text}
    assert _read(schema, {"it": None}) == {"it": None}


def test_references_are_resolved_and_a_type_may_hold_itself() -> None:
    tree = {
        "type": "record",
        "name": "Tree",
        "fields": [
            {"name": "place", "type": "Place"},
            {"name": "in", "type": {"type": "array", "items": "Tree"}},
        ],
    }
    place = {"country": "FR", "city": "Lyon"}
    value = {"place": place, "in": [{"place": place, "in": []}]}
    out = io.BytesIO()
    named: dict[str, Any] = {}
    fastavro.parse_schema(json.loads(json.dumps(AVRO_PLACE)), named_schemas=named)
    fastavro.schemaless_writer(
        out, fastavro.parse_schema(json.loads(json.dumps(tree)), named_schemas=named), value
    )
    assert json.loads(avro_reader(json.dumps(tree), [json.dumps(AVRO_PLACE)])(out.getvalue())) == value


NODE = '{"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}'
ITSELF = '{"type": "record", "name": "N", "fields": [{"name": "next", "type": "N"}]}'
DOUBLING: Any = {"type": "record", "name": "R0", "fields": []}
for _depth in range(1, 20):
    _halves = [{"name": "a", "type": DOUBLING}, {"name": "b", "type": f"R{_depth - 1}"}]
    DOUBLING = {"type": "record", "name": f"R{_depth}", "fields": _halves}


@pytest.mark.parametrize(
    ("schema", "data", "reason"),
    [
        (AVRO_SCAN, b"", R.SCHEMA_MISMATCH),
        (AVRO_SCAN, _scan()[:-3], R.SCHEMA_MISMATCH),
        (AVRO_SCAN, _scan() + b"x", R.SCHEMA_MISMATCH),
        (AVRO_SCAN, b"\x7f" + _scan()[1:], R.SCHEMA_MISMATCH),
        (AVRO_SCAN, written("string", "another schema's"), R.SCHEMA_MISMATCH),
        ('"string"', b"\x02\xff", R.SCHEMA_MISMATCH),
        ('"string"', b"\x01", R.SCHEMA_MISMATCH),
        ('"long"', b"\xff" * 12, R.SCHEMA_MISMATCH),
        ('"boolean"', b"\x07", R.SCHEMA_MISMATCH),
        ('"double"', b"\x07", R.SCHEMA_MISMATCH),
        ('["null", "int"]', b"\x06", R.SCHEMA_MISMATCH),
        ('{"type": "long", "logicalType": "timestamp-millis"}', b"\xff" * 9 + b"\x01", R.SCHEMA_MISMATCH),
        ('{"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}', b"\x90\x03" + b"1" * 200, R.SCHEMA_MISMATCH),
        (NODE, b"\x02" * 900_000, R.TOO_DEEP),
        (ITSELF, b"", R.TOO_DEEP),
        (json.dumps(DOUBLING), b"", R.TOO_MANY),
        ('{"type": "array", "items": "null"}', b"\x80\x80\x80\x80\x80\x80\x01", R.TOO_MANY),
        ('{"type": "array", "items": {"type": "record", "name": "E", "fields": []}}', b"\xfe\xff\xff\x0f", R.TOO_MANY),
        ('{"type": "map", "values": "null"}', b"\xff\xff\xff\xff\x0f", R.SCHEMA_MISMATCH),
        ('"int"', b"\x02", R.NOT_AN_OBJECT),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_data_that_their_schema_does_not_describe_are_refused(
    schema: Any, data: bytes, reason: DeadLetterReason
) -> None:
    intake = take_wrapped("confluent", framed(1, data), schemas=_schemas(schema))
    assert refusal(intake)[0] == reason


@pytest.mark.parametrize(
    "schema",
    [
        "{",
        "7",
        "null",
        "[]7",
        '"nothing"',
        '{"type": "record"}',
        '{"type": "record", "name": "A", "fields": [{"name": "x", "type": "Missing"}]}',
        '{"type": "record", "name": "A", "fields": 7}',
        '{"type": "enum", "name": "A", "symbols": 7}',
        '{"type": "array"}',
        '{"type": "fixed", "name": "A"}',
        '{"type": {"type": ' * 100 + '"int"' + "}}" * 100,
        '{"type": "record", "name": "' + "x" * MAX_SCHEMA_BYTES + '", "fields": []}',
        '"\ud800"',
    ],
    ids=lambda schema: str(schema)[:40].encode("ascii", "replace").decode(),
)
def test_a_schema_that_is_none_is_told_and_no_record_of_it_is_read(schema: str) -> None:
    known = reader_of(Registered(9, "AVRO", schema))
    assert isinstance(known, Unusable)
    assert known.reason is R.BAD_SCHEMA
    assert known.detail.startswith("schema 9: ")
    assert refusal(take_wrapped("confluent", framed(9, b"\x00"), schemas={9: known}))[0] == R.BAD_SCHEMA


@pytest.mark.parametrize(
    "value", [b"", b"\x00", b"\x00\x00\x00\x00", b"\x07\x00\x00\x00\x01", b'{"type": 1}', b"\x01" * 30]
)
def test_what_is_no_frame_of_a_registry_is_refused(value: bytes) -> None:
    assert refusal(take_wrapped("confluent", value, schemas={}))[0] == R.BAD_ENVELOPE


def test_a_null_value_is_refused_where_no_row_can_have_been_deleted() -> None:
    assert refusal(take_wrapped("confluent", None, schemas={}))[0] == R.NULL_VALUE


def test_a_schema_that_nobody_asked_for_is_no_reason_to_stop() -> None:
    good, lost = framed(1, _scan(id="a")), framed(2, _scan(id="b"))
    intake = take_wrapped("confluent", good, lost, good, schemas=_schemas(AVRO_SCAN))
    assert [(one.record.offset, one.reason.value) for one in intake.refused] == [
        (1, "schema_registry_unavailable")
    ]
    assert len(intake.facts) == 2


def test_data_of_a_json_schema_are_json() -> None:
    schemas = {1: reader_of(Registered(1, "JSON", '{"type": "object"}'))}
    assert len(take_wrapped("confluent", framed(1, json.dumps(scan()).encode()), schemas=schemas).facts) == 1
    assert refusal(take_wrapped("confluent", framed(1, b"\x02"), schemas=schemas))[0] == R.NOT_JSON


def test_a_schema_of_another_type_is_refused() -> None:
    known = reader_of(Registered(1, "THRIFT", "struct"))
    assert isinstance(known, Unusable)
    assert known.reason is R.BAD_SCHEMA


def test_the_same_event_in_json_and_in_avro_has_one_identity() -> None:
    avro = take_wrapped("confluent", framed(1, _scan()), schemas=_schemas(AVRO_SCAN)).facts
    plain = take_in(SCANS, scan(occurred_at="2026-03-02T11:00:00Z")).facts
    assert avro[0][2].split(b",")[0] == plain[0][2].split(b",")[0]


def test_a_decimal_is_an_amount_of_the_contract() -> None:
    value = {
        "type": "record",
        "name": "V",
        "fields": [
            {
                "name": "amount",
                "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            },
            {"name": "currency", "type": "string"},
        ],
    }
    fields = [{"name": name, "type": "string"} for name in ("type", "id", "occurred_at", "return_id")]
    schema = {"type": "record", "name": "Order", "fields": [*fields, {"name": "value", "type": value}]}
    row = order("return_requested", value={"amount": Decimal("19.90"), "currency": "EUR"})
    intake = take_wrapped(
        "confluent", framed(1, written(schema, row)), schemas=_schemas(schema), kind=InputKind.ORDERS
    )
    plain = order("return_requested", value={"amount": "19.90", "currency": "EUR"})
    assert not intake.refused
    assert b"1990" in intake.facts[0][2]
    assert len(take_in(InputKind.ORDERS, plain).facts) == len(intake.facts)


def test_a_refusal_says_where_and_not_what() -> None:
    data = _scan(carrier="Ms Canary")[:-4]
    with pytest.raises(RefusalError) as told:
        avro_reader(json.dumps(AVRO_SCAN))(data)
    assert "Canary" not in str(told.value)
    assert "at byte" in told.value.detail
    assert records(framed(1, data))
