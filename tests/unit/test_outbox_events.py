"""Rows of an outbox table: the payload is the message and the header's id its producer's id, however converters wrote them."""

import json
from typing import Any

import pytest

from schemas.adapter_loading import shipped_adapter
from schemas.source_checks import load_source
from schemas.topics import InputKind
from schemas.vocabulary import DeadLetterReason
from streams.adapting import Adapter
from streams.message_reading import MessageSource
from tests.envelopes import TOPIC, no_events, refusal, take_wrapped
from tests.input_events import NOON, Record, only_parcel_fact, scan, take_in

R = DeadLetterReason
SCANS = InputKind.CARRIER_SCANS
ID = "5f0f1f3e-8c9e-4a5c-9d7e-0d3f4a1b2c3d"
HEADERS = [("id", ID.encode()), ("eventType", b"carrier_scan")]


def _payload(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in scan(**fields).items() if name not in {"type", "id"}}


def _record(payload: Any, headers: Any = HEADERS) -> Record:
    value = payload if payload is None or isinstance(payload, bytes) else json.dumps(payload).encode()
    return Record(value, headers=list(headers))


def _fact(record: Record) -> Any:
    return only_parcel_fact(take_wrapped("outbox", record))


@pytest.mark.parametrize(
    "payload",
    [
        _payload(),
        json.dumps(_payload()),
        {"schema": {"type": "string", "name": "io.debezium.data.Json"}, "payload": json.dumps(_payload())},
        {"schema": {"type": "struct", "fields": []}, "payload": _payload()},
        {"schema": None, "payload": _payload()},
    ],
    ids=["bytes or expanded", "text", "text with schema", "expanded with schema", "schema is null"],
)
@pytest.mark.parametrize(
    "headers",
    [
        HEADERS,
        [("id", b'"' + ID.encode() + b'"'), ("eventType", b'"carrier_scan"')],
        [("ID", ID.encode()), ("type", b"com.shop.carrier_scan.v1")],
        [
            ("id", json.dumps({"schema": {"type": "string"}, "payload": ID}).encode()),
            ("eventType", b"carrier_scan"),
        ],
    ],
)
def test_payload_and_id_are_found_however_they_are_written(payload: Any, headers: Any) -> None:
    key, fact = _fact(_record(payload, headers))
    want_key, want = only_parcel_fact(take_in(SCANS, scan(id=ID)))
    assert (key, fact.identity, fact.milestone) == (want_key, want.identity, want.milestone)


def test_what_the_payload_says_of_itself_goes_before_the_headers() -> None:
    _, fact = _fact(_record(scan(id="mine"), [("id", b"row-7"), ("eventType", b"something_else")]))
    assert fact.identity == only_parcel_fact(take_in(SCANS, scan(id="mine")))[1].identity


def test_without_an_id_in_the_headers_the_content_is_the_identity() -> None:
    _, fact = _fact(_record(_payload(), [("eventType", b"carrier_scan")]))
    assert (
        fact.identity == only_parcel_fact(take_in(SCANS, {"type": "carrier_scan", **_payload()}))[1].identity
    )


@pytest.mark.parametrize("strange", [b"{broken", b'{"payload": 7}', b'"', b"{}"])
def test_a_strange_id_is_an_id(strange: bytes) -> None:
    _, fact = _fact(_record(_payload(), [("id", strange), ("eventType", b"carrier_scan")]))
    assert fact.identity == only_parcel_fact(take_in(SCANS, scan(id=strange.decode())))[1].identity


@pytest.mark.parametrize("value", [None, b"null", {"schema": None, "payload": None}, b'""'])
def test_a_row_without_a_payload_is_counted(value: Any) -> None:
    assert no_events(take_wrapped("outbox", _record(value))) == {"tombstone": 1}


@pytest.mark.parametrize("as_text", [True, False])
def test_a_cloud_event_in_a_payload_is_opened_and_keeps_its_own_identity(as_text: bool) -> None:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "42",
        "source": "/carriers/ups",
        "type": "com.shop.carrier_scan.v1",
    }
    event |= {"time": NOON, "data": _payload()}
    _, fact = _fact(_record(json.dumps(event) if as_text else event))
    outside = [("content-type", b"application/cloudevents+json")]
    same = only_parcel_fact(take_in(SCANS, Record(json.dumps(event).encode(), headers=list(outside))))[1]
    assert fact.identity == same.identity


def test_a_payload_for_an_adapter_is_handed_on_as_it_is() -> None:
    history: dict[str, Any] = {"carrier": "usps", "tracking_number": "N1", "tracking_history": []}
    event = {"status": "TRANSIT", "status_details": "Arrived", "status_date": "2026-03-01T10:00:00Z"}
    history["tracking_history"] = [event]
    adapters = {TOPIC: Adapter(shipped_adapter("shippo_tracks"))}
    intake = take_wrapped("outbox", _record(json.dumps(history)), adapters=adapters)
    assert not intake.refused
    assert only_parcel_fact(intake)[0] == "usps:N1"


def test_a_source_can_ask_for_the_headers_of_an_outbox_row() -> None:
    file = """
source: outbox
format: json
events:
  type:
    from: '"$headers".eventtype'
    values: {Scanned: carrier_scan}
  fields:
    id: '"$headers".id'
    carrier: by
    tracking_number: number
    code: code
    occurred_at: at
"""
    rows = MessageSource(load_source(file, "outbox.yaml"))
    payload = json.dumps({"by": "ups", "number": "1Z999", "code": "OR", "at": NOON})
    headers = [
        ("id", ID.encode()),
        ("eventType", b"Scanned"),
        ("content-type", b"application/cloudevents+avro"),
    ]
    intake = take_wrapped("outbox", _record(payload, headers), adapters={TOPIC: rows})
    assert not intake.refused
    assert only_parcel_fact(intake)[1].identity == only_parcel_fact(take_in(SCANS, scan(id=ID)))[1].identity


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        ("hello", HEADERS, R.NOT_JSON),
        (b"hello", HEADERS, R.NOT_JSON),
        (7, HEADERS, R.NOT_AN_OBJECT),
        ([1], HEADERS, R.NOT_AN_OBJECT),
        (b'"\\ud800"', HEADERS, R.NOT_JSON),
        ('{"a": "\\ud800"}', HEADERS, R.NOT_JSON),
        (b'"{}', HEADERS, R.NOT_JSON),
        (_payload(), [("id", b"x" * 2000)], R.BAD_ENVELOPE),
        (_payload(), [("id", b"\x00\x00\x00\x00\x07\x02a")], R.BAD_ENVELOPE),
        (_payload(), [("id", b"\xff")], R.BAD_ENVELOPE),
        (_payload(), [], R.MISSING_FIELD),
        (_payload(), [("eventType", b"OrderPlaced")], R.UNKNOWN_TYPE),
        (
            {"schema": None, "payload": '{"specversion": "1.0", "id": "", "source": "", "type": ""}'},
            [],
            R.BAD_ENVELOPE,
        ),
        ("[" * 100_000, HEADERS, R.TOO_DEEP),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_event_is_refused(value: Any, headers: Any, reason: DeadLetterReason) -> None:
    assert refusal(take_wrapped("outbox", _record(value, headers)))[0] == reason
