"""Debezium change events: the row after a change is the message; what is no event is counted, never a fact or a dead letter."""

import gzip
import json
from typing import Any

import pytest

from schemas.source_checks import load_source
from schemas.topics import InputKind
from schemas.vocabulary import DeadLetterReason
from streams.change_events import open_change
from streams.message_reading import MessageSource
from tests.envelopes import TOPIC, no_events, refusal, take_wrapped
from tests.input_events import order, scan, take_in

R = DeadLetterReason
SCANS = InputKind.CARRIER_SCANS
SOURCE = {"connector": "postgresql", "db": "shop", "table": "scans", "snapshot": "false"}


def _change(op: str, after: Any = None, **more: Any) -> dict[str, Any]:
    return {"before": None, "after": after, "source": SOURCE, "op": op, "ts_ms": 1772449200000, **more}


def _column(name: str, kind: str, meaning: str = "", **more: Any) -> dict[str, Any]:
    column: dict[str, Any] = {"type": kind, "optional": True, "field": name, **more}
    return column | ({"name": meaning, "version": 1} if meaning else {})


def _with_schema(columns: list[dict[str, Any]], row: dict[str, Any]) -> dict[str, Any]:
    struct = {"type": "struct", "fields": columns, "optional": True, "name": "shop.public.scans.Value"}
    fields = [struct | {"field": "before"}, struct | {"field": "after"}, _column("op", "string")]
    return {"schema": {"type": "struct", "fields": fields, "name": "Envelope"}, "payload": _change("c", row)}


def _facts(*values: Any) -> list[tuple[Any, ...]]:
    return take_wrapped("debezium", *values).facts


@pytest.mark.parametrize("op", ["c", "u", "r"])
def test_the_row_after_is_the_message_whatever_is_around_it(op: str) -> None:
    plain = take_in(SCANS, scan()).facts
    value = json.loads(json.dumps(plain[0][2].decode()))
    around = [
        scan(),
        scan(__deleted="false", __op=op, __table="scans", __source_ts_ms=1),
        _change(op, scan()),
        {"schema": None, "payload": _change(op, scan())},
        {"schema": None, "payload": scan()},
        _with_schema([_column("type", "string")], scan()),
        gzip.compress(json.dumps(_change(op, scan())).encode(), mtime=0),
        _change(op, json.dumps(scan())),  # MongoDB
    ]
    for wrapped in around:
        (fact,) = _facts(wrapped)
        assert fact[:2] == plain[0][:2]
        assert fact[2].decode() == value.replace('"carrier-scans-topic",3', '"wrapped",0')


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "tombstone"),
        ({"schema": None, "payload": None}, "tombstone"),
        (_change("d", None, before=scan()), "deleted"),
        ({"schema": None, "payload": _change("d", None, before=scan())}, "deleted"),
        (scan(__deleted="true"), "deleted"),
        (scan(__deleted=True), "deleted"),
        (scan(__op="d"), "deleted"),
        ({"op": "t", "source": SOURCE, "ts_ms": 1}, "truncated"),
    ],
)
def test_what_is_deleted_is_counted_and_nothing_is_claimed_of_the_return(value: Any, kind: str) -> None:
    intake = take_wrapped("debezium", value)
    assert no_events(intake) == {kind: 1}
    assert not intake.arrivals


def test_a_deleted_return_is_not_a_cancelled_one() -> None:
    row = order("return_cancelled")
    deleted = take_wrapped("debezium", _change("d", None, before=row), kind=InputKind.ORDERS)
    assert no_events(deleted) == {"deleted": 1}


def test_numbers_become_what_the_schema_says_they_are() -> None:
    columns = [
        _column("occurred_at", "string", "io.debezium.time.ZonedTimestamp"),
        _column("promised_refund_at", "int64", "org.apache.kafka.connect.data.Timestamp"),
        _column(
            "value",
            "struct",
            fields=[
                _column("amount", "bytes", "org.apache.kafka.connect.data.Decimal", parameters={"scale": "2"})
            ],
        ),
        _column("items", "string", "io.debezium.data.Json"),
    ]
    row = order("return_requested", promised_refund_at=1773000000123)
    row |= {"value": {"amount": "B8Y=", "currency": "EUR"}}
    columns[3] = _column("ignored", "string", "io.debezium.data.Json")
    intake = take_wrapped(
        "debezium", _with_schema(columns, row | {"ignored": '{"a": 1}'}), kind=InputKind.ORDERS
    )
    plain = order("return_requested", promised_refund_at="2026-03-08T20:00:00.123Z")
    plain |= {"value": {"amount": "19.90", "currency": "EUR"}}
    want = take_in(InputKind.ORDERS, plain).facts
    assert not intake.refused
    assert intake.facts[0][:2] == want[0][:2]
    assert b"1990" in intake.facts[0][2]


@pytest.mark.parametrize(
    ("meaning", "number", "text"),
    [
        ("io.debezium.time.Timestamp", 1773000000123, "2026-03-08T20:00:00.123000"),
        ("io.debezium.time.MicroTimestamp", 1773000000123456, "2026-03-08T20:00:00.123456"),
        ("io.debezium.time.NanoTimestamp", 1773000000123456789, "2026-03-08T20:00:00.123456"),
        ("io.debezium.time.Date", 20520, "2026-03-08"),
        ("org.apache.kafka.connect.data.Date", 20520, "2026-03-08"),
        ("io.debezium.time.Time", 43200000, "12:00:00"),
        ("io.debezium.time.MicroTime", 43200000000, "12:00:00"),
        ("io.debezium.time.NanoTime", 43200000000000, "12:00:00"),
        ("org.apache.kafka.connect.data.Timestamp", 1773000000123, "2026-03-08T20:00:00.123000Z"),
    ],
)
def test_each_type_of_time_is_written_as_text_and_without_a_zone_where_there_is_none(
    meaning: str, number: int, text: str
) -> None:
    wrapped = _with_schema([_column("at", "int64", meaning)], {"at": number, "n": 1})
    row = open_change(json.dumps(wrapped).encode())
    assert isinstance(row, bytes)
    assert json.loads(row) == {"at": text, "n": 1}


def test_a_time_without_a_zone_is_not_taken_for_utc() -> None:
    wrapped = _with_schema(
        [_column("occurred_at", "int64", "io.debezium.time.MicroTimestamp")],
        scan(occurred_at=1773000000123456),
    )
    assert refusal(take_wrapped("debezium", wrapped))[0] in {R.BAD_VALUE, R.WRONG_TYPE}


def test_a_source_gives_the_zone_that_a_column_does_not_have() -> None:
    file = """
source: rows
format: json
events:
  type: checked_in
  fields:
    return_id: rma
    occurred_at: {from: scanned, zone: Europe/Paris}
"""
    rows = MessageSource(load_source(file, "rows.yaml"))
    wrapped = _with_schema(
        [_column("scanned", "int64", "io.debezium.time.MicroTimestamp")],
        {"rma": "R1", "scanned": 1772452800000000},
    )
    deleted = _change("d", None, before={"rma": "R1"})
    intake = take_wrapped("debezium", wrapped, deleted, kind=InputKind.WAREHOUSE, adapters={TOPIC: rows})
    assert not intake.refused
    ((stage, key, fact),) = intake.facts
    assert (stage, key) == ("returns", b"R1")
    assert b'"occurred_ms":1772449200000,' in fact  # noon in Paris


def test_decimals_of_any_scale_are_written_out() -> None:
    columns = [
        _column("a", "struct", "io.debezium.data.VariableScaleDecimal"),
        _column("b", "bytes", "org.apache.kafka.connect.data.Decimal", parameters={"scale": "0"}),
        _column("c", "array", items={"type": "int32", "name": "io.debezium.time.Date"}),
    ]
    row = {"a": {"scale": 3, "value": "/w=="}, "b": "fw==", "c": [0, None]}
    opened = open_change(json.dumps(_with_schema(columns, row)).encode())
    assert isinstance(opened, bytes)
    assert json.loads(opened) == {"a": "-0.001", "b": "127", "c": ["1970-01-01", None]}


def test_a_large_value_that_the_database_did_not_send_is_a_field_that_is_not_there() -> None:
    intake = take_wrapped("debezium", _change("u", scan(text="__debezium_unavailable_value")))
    assert intake.facts == take_wrapped("debezium", _change("u", scan())).facts


def test_a_snapshot_is_history_and_the_same_row_read_again_is_the_same_fact() -> None:
    first, again = _facts(_change("r", scan()), _change("c", scan()))
    assert first[2].replace(b",0]", b",1]") == again[2]


_DECIMAL = _column("n", "bytes", "org.apache.kafka.connect.data.Decimal", parameters={"scale": "999"})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (_change("c", None), R.BAD_ENVELOPE),
        ({"op": "c", "source": SOURCE}, R.BAD_ENVELOPE),
        ({"before": None, "after": scan(), "source": SOURCE}, R.BAD_ENVELOPE),
        (_change("x", scan()), R.BAD_ENVELOPE),
        (_change("m", None), R.BAD_ENVELOPE),
        ({"op": 7, "source": SOURCE, "after": {}}, R.BAD_ENVELOPE),
        (_change("c", [1]), R.NOT_AN_OBJECT),
        (_change("c", "no document"), R.NOT_JSON),
        ({"schema": None, "payload": 7}, R.NOT_AN_OBJECT),
        ({"schema": {"type": "struct"}, "payload": scan(occurred_at=None)}, R.WRONG_TYPE),
        (b"[]", R.NOT_AN_OBJECT),
        (b"not json", R.NOT_AN_OBJECT),
        (b'{"op": "c"', R.NOT_JSON),
        (b'{"op": "c", "source": {}, "after": {"a": "\xff"}}', R.WRONG_ENCODING),
        (b'{"op": "c", "source": {}, "after": {"a": "\\ud800"}}', R.NOT_JSON),
        (b'{"op": "c", "source": {}, "after": ' + b'{"a":' * 90_000, R.TOO_DEEP),
        (b'{"schema": ' + b"[" * 90 + b"]" * 90 + b', "payload": {"type": 7}}', R.WRONG_TYPE),
        (_change("c", {"a": {"b": [[[[{}]]]]}}), R.MISSING_FIELD),
        (_with_schema([_column("at", "int64", "io.debezium.time.MicroTimestamp")], {"at": 10**20}), R.BAD_VALUE),
        (_with_schema([_column("at", "int64", "io.debezium.time.Time")], {"at": -5}), R.BAD_VALUE),
        (_with_schema([_column("at", "int64", "io.debezium.time.Date")], {"at": "x"}), R.BAD_VALUE),
        (_with_schema([_DECIMAL], {"n": "fw=="}), R.BAD_VALUE),
        (_with_schema([_DECIMAL], {"n": "no base64"}), R.BAD_VALUE),
        (gzip.compress(json.dumps(_change("c", scan())).encode(), mtime=0)[:-5], R.BAD_ENVELOPE),
        (gzip.compress(b" " * 3_000_000, mtime=0), R.TOO_LARGE),
        (b" " * 3_000_000, R.TOO_LARGE),
        (b"", R.NOT_AN_OBJECT),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_change_event_is_refused_and_the_records_around_it_count(
    value: Any, reason: DeadLetterReason
) -> None:
    intake = take_wrapped("debezium", _change("c", scan(id="a")), value, _change("c", scan(id="b")))
    ((record, refused, detail, action),) = intake.refused
    assert (record.offset, refused) == (1, reason)
    assert detail
    assert action
    assert len(intake.facts) == 2


def test_a_refusal_names_the_column_and_not_what_is_in_it() -> None:
    secret = _with_schema([_column("at", "int64", "io.debezium.time.Date")], {"at": "Ms Canary"})
    assert refusal(take_wrapped("debezium", secret)) == (
        "bad_value",
        "at: the value is no io.debezium.time.Date",
    )


def _row(change: dict[str, Any]) -> Any:
    row = open_change(json.dumps(change).encode())
    assert isinstance(row, bytes)
    return json.loads(row)


def test_types_that_are_none_leave_the_row_as_it_is() -> None:
    for schema in ({"type": {"a": 1}}, {"type": "struct", "fields": [{"type": ["x"], "field": "code"}]}):
        assert _row({"schema": schema, "payload": {"code": 1}}) == {"code": 1}


def test_a_list_that_the_database_did_not_send_is_left_out() -> None:
    assert _row({"id": 1, "return_ids": ["__debezium_unavailable_value"]}) == {"id": 1}
