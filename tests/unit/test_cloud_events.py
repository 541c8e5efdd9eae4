"""CloudEvents 1.0 on Kafka: both modes state the same facts as plain JSON; a broken envelope is refused as such."""

import base64
import json
from typing import Any

import pytest

from schemas.topics import InputKind
from schemas.vocabulary import DeadLetterReason, Milestone
from tests.input_events import HOUR_MS, NOON, NOON_MS, Record, only_parcel_fact, scan, take_in

SCANS = InputKind.CARRIER_SCANS

_CE = [("ce_specversion", b"1.0"), ("ce_id", b"42"), ("ce_source", b"/carriers/ups")]
_CE_SCAN = [*_CE, ("ce_type", b"com.shop.carrier_scan.v1"), ("ce_time", b"2026-03-02T11:00:00Z")]


def _binary(event: dict[str, Any], headers: Any = _CE_SCAN) -> Record:
    return Record(json.dumps(event).encode(), headers=list(headers))


def _structured(**changes: Any) -> Record:
    data = {name: value for name, value in scan().items() if name not in {"type", "occurred_at"}}
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "42",
        "source": "/carriers/ups",
        "type": "com.shop.carrier_scan.v1",
    }
    event |= {"time": "2026-03-02T11:00:00Z", "data": data, **changes}
    headers: list[tuple[str, bytes | None]] = [
        ("content-type", b"application/cloudevents+json; charset=UTF-8")
    ]
    return Record(json.dumps(event).encode(), headers=headers)


def _in_base64(data: str) -> Record:
    record = _structured()
    event = json.loads(record.value or b"")
    del event["data"]
    record.value = json.dumps({**event, "data_base64": data}).encode()
    return record


def test_a_cloud_event_in_either_mode_is_the_same_fact() -> None:
    bare = {name: value for name, value in scan().items() if name not in {"type", "occurred_at"}}
    (binary, structured) = (take_in(SCANS, record) for record in (_binary(bare), _structured()))
    assert binary.facts == structured.facts
    key, fact = only_parcel_fact(binary)
    assert (key, fact.milestone, fact.occurred_ms) == ("ups:1Z999", Milestone.ACCEPTED, NOON_MS)


def test_the_identity_of_a_cloud_event_is_its_source_and_id() -> None:
    other_source = [
        ("ce_source", b"/carriers/dhl") if name == "ce_source" else (name, content)
        for name, content in _CE_SCAN
    ]
    facts = [
        take_in(SCANS, _binary(scan(id=number), headers))
        for number, headers in (("a", _CE_SCAN), ("b", _CE_SCAN), ("a", other_source))
    ]
    first, same, other = (only_parcel_fact(intake)[1].identity for intake in facts)
    assert first == same != other


def test_a_cloud_event_can_take_back_another_of_the_same_source() -> None:
    seen = only_parcel_fact(take_in(SCANS, _binary(scan())))[1]
    headers = [*_CE[:1], ("ce_id", b"43"), *_CE[2:], ("ce_type", b"scan_retracted")]
    taken_back = {"occurred_at": NOON, "carrier": "ups", "tracking_number": "1Z999", "retracts": "42"}
    assert only_parcel_fact(take_in(SCANS, _binary(taken_back, headers)))[1].retracts == seen.identity


def test_what_the_event_says_itself_goes_before_its_envelope() -> None:
    later = only_parcel_fact(take_in(SCANS, _binary(scan(occurred_at="2026-03-02T10:00:00Z"))))[1]
    assert later.occurred_ms == NOON_MS - HOUR_MS


def test_headers_of_other_tools_are_no_envelope() -> None:
    traced = Record(json.dumps(scan()).encode(), headers=[("traceparent", b"\xff\x00"), ("ce_time", None)])
    assert take_in(SCANS, traced).facts == take_in(SCANS, scan()).facts


def test_data_in_base64_is_read() -> None:
    coded = base64.b64encode(json.dumps(scan()).encode()).decode()
    assert only_parcel_fact(take_in(SCANS, _in_base64(coded)))[0] == "ups:1Z999"


def test_data_in_base64_are_as_suspect_as_others() -> None:
    for data, reason in (
        (b"\xff{}", DeadLetterReason.WRONG_ENCODING),
        (b"[" * 999, DeadLetterReason.TOO_DEEP),
    ):
        (refused,) = take_in(SCANS, _in_base64(base64.b64encode(data).decode())).refused
        assert refused.reason is reason


@pytest.mark.parametrize(
    "record",
    [
        _binary(scan(), _CE),  # no type
        _binary(scan(), [*_CE_SCAN[1:]]),  # no specversion
        _binary(scan(), [("ce_specversion", b"0.3"), *_CE_SCAN[1:]]),
        _binary(scan(), [*_CE_SCAN, ("content-type", b"application/xml")]),
        _binary(scan(), [("ce_id", b"\xff"), *_CE_SCAN[:1], *_CE_SCAN[2:]]),
        _binary(scan(), [("ce_id", b"x" * 2000), *_CE_SCAN[:1], *_CE_SCAN[2:]]),
        _structured(id=""),
        _structured(specversion="2.0"),
        _structured(id=42),
        _structured(datacontenttype="text/plain"),
        Record(b"[]", headers=[("content-type", b"application/cloudevents-batch+json")]),
        Record(
            b'{"specversion":"1.0","id":"1","source":"s","type":"t"}',
            headers=[("content-type", b"application/cloudevents+json")],
        ),
        Record(b"not json", headers=[("content-type", b"application/cloudevents+json")]),
        _in_base64("\u00e9"),
        _in_base64("Zm9"),
    ],
)
def test_a_broken_envelope_is_refused_as_such(record: Record) -> None:
    (refused,) = take_in(SCANS, record).refused
    assert refused.reason is DeadLetterReason.BAD_ENVELOPE
    assert refused.record is record
