"""A user's own messages at intake: the same facts as of the contract's events, and a reason for what cannot be read."""

import gzip
import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.carrier_codes import load_carrier_codes
from schemas.facts import decode_parcel_fact, decode_return_record
from schemas.source_checks import load_source
from schemas.vocabulary import DeadLetterReason, TimeQuality
from streams.adapting import MAX_EVENTS
from streams.intake import ANSWERS, Intake, IntakeMapper
from streams.message_reading import MessageSource
from tests.golden_payloads import ARRIVED_MS, PayloadRecord

HEAD = "source: mine\nformat: json\n"
CHECK_IN = """\
events:
  type: checked_in
  fields:
    id: scan
    return_id: rma
    occurred_at: at
"""
AT = "2026-03-03T10:00:00+01:00"


def _take(text: str, message: Any, kind: str = "warehouse", **about: Any) -> Intake:
    intake = IntakeMapper(load_carrier_codes(), adapters={"t": MessageSource(load_source(text, "mine.yaml"))})
    value = message if isinstance(message, bytes) else json.dumps(message).encode()
    return intake.map_chunk([PayloadRecord(value, **about)], kind, ARRIVED_MS, topic="t", partition=0)


def _native(event: dict[str, Any], kind: str) -> Intake:
    value = json.dumps(event).encode()
    return IntakeMapper(load_carrier_codes()).map_chunk(
        [PayloadRecord(value)], kind, ARRIVED_MS, topic="t", partition=0
    )


def _facts(result: Intake) -> list[Any]:
    return [
        decode_parcel_fact(value) if stage == "parcels" else decode_return_record(value)
        for stage, _, value in result.facts
    ]


def _refusal(result: Intake) -> tuple[DeadLetterReason, str]:
    (refused,) = result.refused
    return refused.reason, refused.detail


NATIVE = [
    ("orders", {"type": "return_requested", "id": "e1", "return_id": "R1", "order_id": "O1", "items": 2,
                "value": {"amount": "19.90", "currency": "EUR"}, "promised_refund_at": "2026-04-01T00:00:00Z",
                "method": "in_store", "resolution": "exchange", "withdrawal": True, "country": "fr", "shop": "s",
                "category": "c", "return_reason": "r", "customer_risk": "high", "loyal": True}),
    ("orders", {"type": "refund_issued", "return_id": "R1", "value": {"amount": 19.9, "currency": "eur"}}),
    ("orders", {"type": "dropoff_claimed", "return_id": "R1", "carrier": "UPS", "tracking_number": "1Z 1"}),
    ("labels", {"type": "label_created", "carrier": "GLS", "tracking_number": "12", "return_ids": ["R1", "R2"],
                "service": "x", "origin_country": "FR", "destination_country": "DE", "facility": "L", "shop": "s",
                "value": {"amount": "5", "currency": "EUR"}, "weight_grams": 900}),
    ("labels", {"type": "label_voided", "carrier": "GLS", "tracking_number": "12", "return_id": "R1"}),
    ("carrier-scans", {"type": "carrier_scan", "carrier": "ups", "tracking_number": "1Z1", "code": "OR",
                       "api": "ups_rest_track_v1", "code_type": "activity_code", "direction": "return",
                       "place": {"country": "FR", "city": "Lyon", "site": "L1"}}),
    ("carrier-scans", {"type": "scan_retracted", "carrier": "ups", "tracking_number": "1Z1", "retracts": "e9"}),
    ("warehouse", {"type": "checked_in", "return_id": "R1", "facility": "L", "complete": True, "count": 2,
                   "parcels": [{"carrier": "ups", "tracking_number": "1Z1"}]}),
    ("warehouse", {"type": "checkin_retracted", "return_id": "R1", "retracts": "e9"}),
    ("warehouse", {"type": "inspected", "return_id": "R1", "disposition": "reject", "mismatch": ["damaged"],
                   "parcels": [{"carrier": "ups", "tracking_number": "1Z1"}]}),
]  # fmt: skip
RULES = {
    "value": "{amount: value.amount, currency: value.currency}",
    "return_ids": "return_ids",
    "parcels": "{each: parcels, carrier: carrier, tracking_number: tracking_number}",
    "mismatch": "mismatch",
    "place": "{country: place.country, city: place.city, site: place.site}",
}


@pytest.mark.parametrize(
    ("kind", "event"), NATIVE, ids=lambda one: one["type"] if isinstance(one, dict) else one
)
def test_mapped_field_by_field_an_event_is_the_same_facts(kind: str, event: dict[str, Any]) -> None:
    event = {"occurred_at": AT, **event}
    rules = "".join(f"    {name}: {RULES.get(name, name)}\n" for name in event if name != "type")
    text = f"{HEAD}events:\n  type: {event['type']}\n  fields:\n{rules}"
    mapped, native = _take(text, event, kind), _native(event, kind)
    assert mapped.facts == native.facts
    assert mapped.facts
    assert (mapped.arrivals, mapped.counters) == (native.arrivals, native.counters)


def test_a_word_that_no_table_has_is_a_dead_letter_that_names_path_and_word() -> None:
    text = HEAD + (
        "fields: {return_id: rma, occurred_at: at}\n"
        "events:\n  type: {from: status, values: {IN: checked_in}, nothing: [MOVED]}\n"
    )
    reason, detail = _refusal(_take(text, {"rma": "R1", "at": AT, "status": "WAT_7"}))
    assert (reason, detail) == (
        DeadLetterReason.BAD_VALUE,
        "type: status says 'WAT_7', which `values` does not have",
    )
    _, detail = _refusal(_take(text, {"rma": "R1", "at": AT, "status": "Mrs. Jane Canary, 0611223344"}))
    assert "28 characters" in detail
    assert "Canary" not in detail
    assert _take(text, {"status": "moved"}).counters == {(ANSWERS, "empty"): 1}
    skipping = text.replace("nothing: [MOVED]", "unknown: skip")
    assert not _take(skipping, {"rma": "R1", "at": AT, "status": "WAT_7"}).refused


@pytest.mark.parametrize(
    ("unknown", "disposition"), [("leave_out", ""), ("keep", None), ("refuse", None)], ids=str
)
def test_what_an_unknown_word_of_a_field_does_is_said_by_the_file(
    unknown: str, disposition: str | None
) -> None:
    text = HEAD + (
        "events:\n  type: inspected\n  fields:\n    return_id: rma\n    occurred_at: at\n"
        f"    disposition: {{from: grade, values: {{A: restock}}, unknown: {unknown}}}\n"
    )
    result = _take(text, {"rma": "R1", "at": AT, "grade": "Q"})
    if disposition is None:
        reason, detail = _refusal(result)
        assert reason is DeadLetterReason.BAD_VALUE
        assert "disposition" in detail
    else:
        assert [fact.disposition for fact in _facts(result)] == [disposition]


def test_what_can_be_read_counts_and_the_rest_is_told_by_its_place() -> None:
    text = HEAD + "items: lines\n" + CHECK_IN
    lines = [
        {"scan": "1", "rma": "R1", "at": AT},
        {"scan": "2", "at": AT},
        {"scan": "3", "rma": "R3", "at": "soon"},
    ]
    result = _take(text, {"lines": lines})
    assert [key for _, key, _ in result.facts] == [b"R1"]
    _, detail = _refusal(result)
    assert detail.startswith(
        "items[1] checked_in: Value error, needs carrier and tracking_number, or return_id; items[2]"
    )
    assert "items[2] checked_in: occurred_at: a time in a form that the source does not know" in detail


def test_events_of_one_message_that_share_an_id_are_refused_unless_they_are_the_same() -> None:
    text = HEAD + "items: lines\n" + CHECK_IN
    lines = [
        {"scan": "1", "rma": "R1", "at": AT},
        {"scan": "1", "rma": "R2", "at": AT},
        {"scan": "2", "rma": "R3", "at": AT},
    ]
    result = _take(text, {"lines": lines})
    assert [key for _, key, _ in result.facts] == [b"R3"]
    assert "take an id of each" in _refusal(result)[1]
    assert not _take(text, {"lines": [lines[0], lines[0]]}).refused


@pytest.mark.parametrize(
    ("rule", "message", "at", "quality"),
    [
        ("{from: at, zone: Europe/Paris}", {"at": "2026-03-03T10:00:00"}, "09:00", TimeQuality.DERIVED_FROM_PLACE),
        ("{from: at, zone_of: {from: s, values: {DTW: America/Detroit}}}", {"at": "2026-03-03T10:00:00", "s": "dtw"},
         "15:00", TimeQuality.DERIVED_FROM_PLACE),
        ("{from: at}", {"at": "2026-03-03T10:00:00"}, "22:00", TimeQuality.ASSUMED),
        ("{from: at, zone: UTC}", {"at": "2026-03-03"}, "23:59", TimeQuality.DATE_ONLY),
        ("{from: [d, t], formats: '%d.%m.%Y %H%M', zone: UTC}", {"d": "03.03.2026", "t": "1000"}, "10:00",
         TimeQuality.OFFSET),
        ("{from: at, formats: epoch_ms}", {"at": 1772532000000}, "10:00", TimeQuality.OFFSET),
    ],
)  # fmt: skip
def test_time_is_as_sure_as_it_is_written(
    rule: str, message: dict[str, Any], at: str, quality: TimeQuality
) -> None:
    text = HEAD + (
        "events:\n  type: checked_in\n  fields:\n    carrier: {is: ups}\n    tracking_number: n\n"
        f"    occurred_at: {rule}\n"
    )
    (fact,) = _facts(_take(text, {"n": "1Z1", **message}))
    assert datetime.fromtimestamp(fact.occurred_ms / 1000, UTC).strftime("%H:%M") == at
    assert fact.quality == quality


def test_a_zone_that_is_put_right_later_makes_no_second_fact() -> None:
    text = (
        HEAD
        + "events:\n  type: restocked\n  fields: {return_id: r, occurred_at: {from: at, zone: Europe/Paris}}\n"
    )
    message = {"r": "R1", "at": "2026-03-03T10:00:00"}
    first, then = (_facts(_take(one, message))[0] for one in (text, text.replace("Paris", "London")))
    assert first.identity == then.identity
    assert first.occurred_ms != then.occurred_ms


def test_without_a_time_the_arrival_is_the_latest_and_a_repeat_is_the_same() -> None:
    text = HEAD + "events:\n  type: restocked\n  without_time: arrival\n  fields: {return_id: r}\n"
    (fact,) = _facts(_take(text, {"r": "R1"}))
    assert fact.occurred_ms == ARRIVED_MS
    intake = IntakeMapper(load_carrier_codes(), adapters={"t": MessageSource(load_source(text, "mine.yaml"))})
    later = intake.map_chunk(
        [PayloadRecord(b'{"r": "R1"}')], "warehouse", ARRIVED_MS + 9, topic="t", partition=0
    )
    assert _facts(later)[0].identity == fact.identity


@pytest.mark.parametrize(
    ("rule", "amount", "minor"),
    [
        ("{amount: a, currency: {is: EUR}}", 19.9, 1990),
        ("{amount: a, currency: {is: EUR}}", "19.90", 1990),
        ("{amount: a, currency: {is: EUR}, unit: minor}", 1990, 1990),
        ("{amount: a, currency: {is: JPY}, unit: minor}", 1990, 1990),
        ("{amount: a, currency: {is: EUR}, decimal: comma}", "1.249,50", 124950),
        ("{amount: a, currency: {from: c, values: {E: EUR}}}", "5", 500),
    ],
)
def test_money_is_read_as_it_is_written(rule: str, amount: Any, minor: int) -> None:
    text = (
        HEAD + f"events:\n  type: refund_issued\n  fields: {{return_id: r, occurred_at: at, value: {rule}}}\n"
    )
    (fact,) = _facts(_take(text, {"r": "R1", "at": AT, "a": amount, "c": "e"}, "orders"))
    assert fact.value_minor == minor


@pytest.mark.parametrize("amount", ["12 apples", "1e400", "NaN", "-3", "9" * 30])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    text = HEAD + (
        "events:\n  type: refund_issued\n"
        "  fields: {return_id: r, occurred_at: at, value: {amount: a, currency: {is: EUR}}}\n"
    )
    reason, detail = _refusal(_take(text, {"r": "R1", "at": AT, "a": amount}, "orders"))
    assert reason is DeadLetterReason.BAD_VALUE
    assert "value" in detail or "amount" in detail


def test_key_headers_and_what_is_around_can_be_asked_for() -> None:
    text = HEAD + (
        "items: [docks, lines]\nevents:\n  type: checked_in\n  fields:\n    id: '\"$headers\".ce_id'\n"
        "    return_id: '\"$key\"'\n    facility: '\"$document\".site'\n    carrier: '\"$parent\".by'\n"
        "    tracking_number: n\n    occurred_at: '\"$headers\".ce_time'\n"
    )
    message = {"site": "L", "docks": [{"by": "ups", "lines": [{"n": "1Z1"}]}]}
    event = {"specversion": "1.0", "id": "e1", "source": "s", "type": "x", "time": AT, "data": message}
    structured = json.dumps(event).encode()
    headers = (("content-type", b"application/cloudevents+json"),)
    told = _take(text, structured, key=b"R1", headers=headers)
    binary = _take(text, message, key=b"R1", headers=(("ce_id", b"e1"), ("ce_time", AT.encode())))
    assert [key for _, key, _ in told.facts] == [b"ups:1Z1", b"R1"]
    assert told.facts == binary.facts
    in_text = {**event, "data": None, "data_base64": b64encode(json.dumps(message).encode()).decode()}
    in_text.pop("data")
    assert _take(text, json.dumps(in_text).encode(), key=b"R1", headers=headers).facts == told.facts


def test_gzip_and_xml_are_read() -> None:
    text = HEAD.replace("json", "xml") + (
        "items: Batch.Line\nevents:\n  type: restocked\n  fields: {return_id: '\"@rma\"', occurred_at: At}\n"
    )
    body = f'<Batch xmlns="urn:x"><Line rma="R1"><At>{AT}</At></Line></Batch>'.encode()
    assert [key for _, key, _ in _take(text, gzip.compress(body)).facts] == [b"R1"]
    assert _refusal(_take(text, b"{}"))[0] is DeadLetterReason.NOT_XML


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"other": 1}', DeadLetterReason.UNKNOWN_SHAPE),
        (b"<a/>", DeadLetterReason.NOT_JSON),
        (gzip.compress(b"{}", mtime=0)[:-4], DeadLetterReason.BAD_ENVELOPE),
        (json.dumps({"a": {"lines": [{"x": 1}] * (MAX_EVENTS + 1)}}).encode(), DeadLetterReason.TOO_MANY),
    ],
)
def test_what_is_no_message_of_the_source_is_refused_whole(value: bytes, reason: DeadLetterReason) -> None:
    text = HEAD + "items: [a, lines]\n" + CHECK_IN
    assert _refusal(_take(text, value))[0] is reason


def test_one_word_may_be_several_events() -> None:
    text = HEAD + (
        "events:\n  type: {from: s, values: {DONE: [inspected, restocked]}}\n  fields: {return_id: r, occurred_at: at}\n"
    )
    result = _take(text, {"s": "done", "r": "R1", "at": AT})
    assert result.counters == {("events", "inspected"): 1, ("events", "restocked"): 1}


def test_a_comparison_of_text_and_number_finds_nothing() -> None:
    text = HEAD + CHECK_IN.replace("  type: checked_in", "  type: checked_in\n  when: n >= `4`")
    assert not _take(text, {"n": "x", "rma": "R1", "at": AT}).facts
    assert _take(text, {"n": 5, "rma": "R1", "at": AT}).facts
