"""Payloads of carriers through intake: bad ones are refused with a reason, and what can be read of the others counts."""

import gzip
import json
from typing import Any

import pytest

from schemas.facts import decode_parcel_fact
from schemas.vocabulary import DeadLetterReason, Milestone
from streams.adapting import MAX_EVENTS, MAX_PACKAGES
from streams.intake import ANSWERS, EVENTS, OTHER, UNMAPPED, Intake
from streams.payload_news import PayloadNews
from tests.golden_payloads import ARRIVED_MS, PayloadRecord, mapper, taken, timelines

R = DeadLetterReason
DAY_MS = 24 * 60 * 60 * 1000
ALERT = "ups_track_alert"
SHIPPO = "shippo_tracks"
FEDEX = "fedex_ws_track_v7"
INTAKE = mapper(ALERT, SHIPPO, FEDEX, "ups_rest_track_v1", "gls_group_v1", "epcis_2", "novaposhta_v2")


def _event(**fields: Any) -> dict[str, Any]:
    return {
        "status": "TRANSIT",
        "status_details": "Your shipment has been accepted at the office.",
        "status_date": "2026-03-10T10:00:00Z",
    } | fields


def _history(*events: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"carrier": "usps", "tracking_number": "N1", "tracking_history": list(events)} | fields


def _take(payload: Any, topic: str = SHIPPO, **more: Any) -> Intake:
    value = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return taken(INTAKE, topic, PayloadRecord(value, **more))


@pytest.mark.parametrize(
    ("topic", "value", "reason"),
    [
        (SHIPPO, b"<a/>", R.NOT_JSON),
        (SHIPPO, b"not json", R.NOT_JSON),
        (SHIPPO, b"7", R.NOT_AN_OBJECT),
        (SHIPPO, b'{"tracking_number": NaN}', R.NOT_FINITE),
        (SHIPPO, b'{"tracking_number": "\xff"}', R.WRONG_ENCODING),
        (SHIPPO, '{"a": 1}'.encode("utf-16"), R.WRONG_ENCODING),
        (SHIPPO, b'{"a":' * 100 + b"1" + b"}" * 100, R.TOO_DEEP),
        (SHIPPO, b'{"someone": "else"}', R.UNKNOWN_SHAPE),
        (SHIPPO, b"[]", R.UNKNOWN_SHAPE),
        (SHIPPO, b'{"tracking_number": ' + b"9" * 9000 + b"}", R.NOT_JSON),
        (SHIPPO, gzip.compress(b'{"a": 1}', mtime=0)[:-6], R.BAD_ENVELOPE),
        (SHIPPO, gzip.compress(b" " * 3_000_000, mtime=0), R.TOO_LARGE),
        (SHIPPO, b" " * 3_000_000, R.TOO_LARGE),
        (SHIPPO, b"", R.NOT_JSON),
        (SHIPPO, b'{"tracking_number": "\\ud83d"}', R.NOT_JSON),
        (FEDEX, b'{"a": 1}', R.NOT_XML),
        (FEDEX, b"<TrackReply>", R.NOT_XML),
        (FEDEX, b"<a/><b/>", R.NOT_XML),
        (FEDEX, b"", R.NOT_XML),
        (FEDEX, b'<?xml version="1.0" encoding="klingon"?><a/>', R.WRONG_ENCODING),
        (FEDEX, b'<!DOCTYPE a [<!ENTITY x "y">]><TrackReply>&x;</TrackReply>', R.NOT_XML),
        (FEDEX, b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><TrackReply/>', R.NOT_XML),
        (FEDEX, b"<a>" * 100 + b"</a>" * 100, R.TOO_DEEP),
        (FEDEX, b"<oops/>", R.UNKNOWN_SHAPE),
    ],
    ids=lambda part: repr(part[:30]) if isinstance(part, bytes) else str(part),
)
def test_what_is_no_payload_of_the_api_is_refused(topic: str, value: bytes, reason: DeadLetterReason) -> None:
    result = _take(value, topic)
    assert [one.reason for one in result.refused] == [reason]
    assert not result.facts
    assert result.refused[0].record.value == value  # the bytes as they came


def test_a_record_without_a_value_is_refused() -> None:
    result = taken(INTAKE, SHIPPO, PayloadRecord(None))
    assert [one.reason for one in result.refused] == [R.NULL_VALUE]


@pytest.mark.parametrize(
    "value",
    [
        b"not json",
        b'{"specversion": "\xff"}',
        b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": "\xff"}',
        b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": "\xc3\xa9"}',
        b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": "Ig=="}',  # one quotation mark
    ],
)
def test_a_broken_envelope_around_a_payload_is_refused_as_such(value: bytes) -> None:
    refused = _take(value, headers=(("content-type", b"application/cloudevents+json"),)).refused
    assert [(one.reason, one.record.value) for one in refused] == [(R.BAD_ENVELOPE, value)]


def test_a_gzip_body_and_an_envelope_are_opened() -> None:
    payload = json.dumps(_history(_event())).encode()
    envelope = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": payload.decode()}
    headers = (("content-type", b"application/cloudevents+json"),)
    plain = timelines(_take(payload))
    assert plain
    assert timelines(_take(gzip.compress(payload))) == plain
    assert timelines(_take(json.dumps(envelope).encode(), headers=headers)) == plain
    assert (
        timelines(_take(json.dumps(envelope | {"data": json.loads(payload)}).encode(), headers=headers))
        == plain
    )


@pytest.mark.parametrize(
    "payload",
    [
        _history(*[_event()] * (MAX_EVENTS + 1)),
        {"parcels": [{"requested": str(number)} for number in range(MAX_PACKAGES + 1)]},
    ],
)
def test_more_than_one_payload_may_hold_is_refused_whole(payload: dict[str, Any]) -> None:
    topic = "gls_group_v1" if "parcels" in payload else SHIPPO
    result = _take(payload, topic)
    assert [one.reason for one in result.refused] == [R.TOO_MANY]
    assert not result.facts


def test_what_cannot_be_read_is_told_and_the_rest_counts() -> None:
    bad = [
        _event(status_date="yesterday"),
        _event(status_date=""),
        _event(status_date=7),
        _event(status_date=[]),
    ]
    result = _take(_history(_event(), *bad))
    assert [line.split()[1] for line in timelines(result)["usps:N1"]] == ["accepted"]
    (refused,) = result.refused
    assert refused.reason is R.BAD_VALUE
    assert "packages[0].events[1]: a time in a form" in refused.detail
    assert "and 1 more" in refused.detail
    assert "yesterday" not in refused.detail


@pytest.mark.parametrize("number", ["", None, {}, "x" * 129, "---", "\u0007", 1.5])
def test_a_parcel_without_a_usable_number_is_refused_and_the_others_count(number: object) -> None:
    good = {"Number": "59000000000001", "StatusCode": "9", "TrackingUpdateDate": "2026-03-08 15:16:53"}
    result = _take({"success": True, "data": [good | {"Number": number}, good]}, "novaposhta_v2")
    assert list(timelines(result)) == ["nova_poshta:59000000000001"]
    assert len(result.refused) == 1


def test_a_history_of_nothing_that_is_an_event_counts_as_an_empty_one() -> None:
    result = _take({"trackingNumber": "1Z1"}, ALERT)  # `skip` is true of it: there is no activity in it
    assert (result.facts, result.refused, result.counters) == ([], [], {(ANSWERS, "empty"): 1})


def test_a_number_of_thirty_digits_keeps_them() -> None:
    payload = json.dumps(_history(_event())).replace('"N1"', "123456789012345678901234567890")
    assert list(timelines(_take(payload.encode()))) == ["usps:123456789012345678901234567890"]


def test_other_alphabets_are_read() -> None:
    result = _take(_history(_event(location={"city": "東京", "country": "日本"})))
    assert len(result.facts) == 1


def test_fields_of_tomorrow_and_of_another_kind_do_not_crash() -> None:
    odd: list[Any] = [None, 1, 1.5, True, "x", [], {}, [[]], {"a": []}]
    for value in odd:
        event = _event() | {"location": value, "status_details": value, "status": value, "new": value}
        _take(_history(event, carrier=value, tracking_history=[event, value]))


def test_an_unseen_code_proves_nothing_and_is_counted() -> None:
    result = _take(_history(_event(status="NEVER_SEEN", status_details="?")))
    (fact,) = [decode_parcel_fact(value) for _, _, value in result.facts]
    assert fact.milestone == Milestone.UNMAPPED
    assert result.counters[UNMAPPED, "usps"] == 1


def test_a_parcel_of_nobody_is_counted_with_the_others() -> None:
    result = _take(_history(_event(status="NEVER_SEEN", status_details="?"), carrier="a new one"))
    assert list(timelines(result)) == ["a_new_one:N1"]
    assert result.counters[UNMAPPED, OTHER] == 1


def test_a_history_is_one_arrival_however_long_it_is() -> None:
    events = [_event(status_date=f"2026-03-{day:02}T10:00:00Z") for day in range(1, 11)]
    result = _take(_history(*events))
    assert result.arrivals["usps"].count == 1
    assert result.arrivals["usps"].late == 0  # a history tells old events by its nature
    assert result.counters[EVENTS, "carrier_scan"] == 10
    assert not result.lateness_ms


def test_a_history_that_is_asked_for_again_is_no_life_of_the_feed_until_it_tells_something_new() -> None:
    intake = mapper(SHIPPO)
    first, second = _event(), _event(status_date="2026-03-10T12:00:00Z")
    told = [_history(first), _history(first), _history(second, first), _history(second)]
    told.append(_history(second | {"status_details": "YOUR SHIPMENT HAS BEEN ACCEPTED AT THE OFFICE!"}))
    records = [
        PayloadRecord(json.dumps(history).encode(), offset=offset) for offset, history in enumerate(told)
    ]

    def came(*offsets: int) -> list[int]:
        taken_one_by_one = [taken(intake, SHIPPO, records[offset]) for offset in offsets]
        assert all(result.facts for result in taken_one_by_one)
        return [result.arrivals["usps"].count if result.arrivals else 0 for result in taken_one_by_one]

    assert came(0, 1, 2, 3, 4) == [1, 0, 1, 0, 0]
    assert came(0, 1, 2) == [1, 0, 1], "read once more from an earlier offset, the same counts"
    intake = mapper(SHIPPO)
    assert came(3) == [1], "after a restart nothing is remembered: it may be new"


def test_only_so_many_latest_scans_are_remembered() -> None:
    news = PayloadNews(most=10)
    assert [news.is_new(scan, "t", 0, scan) for scan in range(10)] == [True] * 10
    assert [news.is_new(scan, "t", 0, 100 + scan) for scan in range(10)] == [False] * 10
    assert [news.is_new(scan, "t", 0, scan) for scan in range(15, 45)] == [True] * 30
    assert news.is_new(0, "t", 0, 200), "forgotten: it counts as new"
    assert not news.is_new(44, "t", 1, 44), "the same offset of another partition is another record"


def test_an_event_told_late_by_itself_is_late() -> None:
    alert = {
        "trackingNumber": "1Z1",
        "localActivityDate": "20260301",
        "localActivityTime": "101500",
        "activityLocation": {"country": "US", "stateProvince": "NC"},
        "activityStatus": {"type": "D", "code": "FS"},
    }
    result = _take(alert, ALERT)
    assert result.arrivals["ups"].late == 1


def test_scans_that_are_too_old_do_not_count_and_are_no_reason_to_refuse_the_others() -> None:
    old, new = _event(status_date="2023-01-01T10:00:00Z"), _event()
    result = _take(_history(old, new))
    assert len(result.facts) == 1
    assert not result.refused
    assert result.counters[ANSWERS, "too_old"] == 1
    assert [one.reason for one in _take(_history(old)).refused] == [R.TIME_OUT_OF_RANGE]


def test_a_scan_of_the_future_is_set_back_to_its_arrival() -> None:
    result = _take(_history(_event(status_date="2026-05-01T10:00:00Z")))
    (fact,) = [decode_parcel_fact(value) for _, _, value in result.facts]
    assert fact.occurred_ms == ARRIVED_MS
    assert fact.clamped


def test_a_day_is_not_behind_its_own_arrival() -> None:
    result = _take(_history(_event(status_date="2026-03-31T00:00:00Z")))
    (fact,) = [decode_parcel_fact(value) for _, _, value in result.facts]
    assert fact.occurred_ms == ARRIVED_MS
    assert not fact.clamped


def test_a_step_of_a_day_is_not_put_behind_the_delivery_of_that_day() -> None:
    out = _event(
        status="TRANSIT",
        status_details="Your shipment is out for delivery.",
        status_date="2026-03-10T00:00:00Z",
    )
    done = _event(
        status="DELIVERED",
        status_details="Your shipment has been delivered",
        status_date="2026-03-10T13:00:00Z",
    )
    told = timelines(_take(_history(out, done)))["usps:N1"]
    assert told == [
        "2026-03-10T13:00:00Z delivered carrier_scan offset",
        "2026-03-10T13:00:00Z out_for_delivery carrier_scan date_only",
    ]


def test_a_reworded_repeat_is_the_same_scan_and_another_time_is_another() -> None:
    first, reworded = _event(status="DELIVERED"), _event(status="DELIVERED", status_details="In other words")
    later = _event(status="DELIVERED", status_date="2026-03-11T10:00:00Z")
    assert len(timelines(_take(_history(first, reworded)))["usps:N1"]) == 1
    assert len(timelines(_take(_history(first, later)))["usps:N1"]) == 2


def test_a_retraction_names_the_scan_that_came_in_another_record() -> None:
    def document(*more: dict[str, Any]) -> dict[str, Any]:
        event = {
            "eventID": "urn:uuid:7",
            "eventTime": "2026-03-10T10:00:00+01:00",
            "epcList": ["urn:epc:id:sscc:4012345.0000000009"],
            "bizStep": "accepting",
        }
        return {"epcisBody": {"eventList": [event | extra for extra in more]}}

    scan = _take(document({}), "epcis_2")
    taken_back = _take(document({"errorDeclaration": {"reason": "did_not_occur"}}), "epcis_2")
    (seen,), (retraction,) = (
        [decode_parcel_fact(value) for _, _, value in result.facts] for result in (scan, taken_back)
    )
    assert retraction.retracts == seen.identity


def test_topics_without_an_adapter_are_read_by_the_contract() -> None:
    result = _take(_history(_event()), "carrier-scans")
    assert [one.reason for one in result.refused] == [R.MISSING_FIELD]
