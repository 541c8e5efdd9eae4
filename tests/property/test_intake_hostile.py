"""Bad input: refused with a reason, and never at the cost of the records around it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.events import EVENT_MODELS
from schemas.topics import MIB, InputKind
from schemas.vocabulary import DeadLetterReason
from tests.input_events import (
    HOUR_MS,
    NOON,
    NOON_MS,
    Record,
    command,
    counts,
    dock,
    label,
    order,
    scan,
    take_in,
)

R = DeadLetterReason
SCANS = InputKind.CARRIER_SCANS
_GOOD = json.dumps(scan()).encode()


def _with(raw_field: bytes) -> bytes:
    """A scan with one more field, written as given."""
    return _GOOD[:-1] + b"," + raw_field + b"}"


def _without(*names: str) -> bytes:
    return json.dumps({name: value for name, value in scan().items() if name not in names}).encode()


_BAD_SCANS: list[tuple[str, bytes | None, DeadLetterReason]] = [
    ("null value", None, R.NULL_VALUE),
    ("empty", b"", R.NOT_JSON),
    ("spaces", b"  \n", R.NOT_JSON),
    ("words", b"hello", R.NOT_JSON),
    ("cut in the middle", _GOOD[:100], R.NOT_JSON),
    ("two events", _GOOD + b"," + _GOOD, R.NOT_JSON),
    ("two events without a comma", _GOOD + _GOOD, R.NOT_JSON),
    ("two events on two lines", _GOOD + b"\n" + _GOOD, R.NOT_JSON),
    ("closes a list around it", _GOOD + b"],[" + _GOOD, R.NOT_JSON),
    ("half of an object", _GOOD[:-1], R.NOT_JSON),
    ("single quotes", _GOOD.replace(b'"', b"'"), R.NOT_JSON),
    ("trailing comma", _GOOD[:-1] + b",}", R.NOT_JSON),
    ("comment", _GOOD + b"// ok", R.NOT_JSON),
    ("raw newline in a text", _with(b'"text":"a\nb"'), R.NOT_JSON),
    ("half of a surrogate pair", _with(b'"text":"\\ud800"'), R.NOT_JSON),
    ("registry format", b"\x00\x00\x00\x00\x07" + _GOOD, R.NOT_JSON),
    ("list", b"[" + _GOOD + b"]", R.NOT_AN_OBJECT),
    ("text", b'"carrier_scan"', R.NOT_AN_OBJECT),
    ("number", b"42", R.NOT_AN_OBJECT),
    ("null", b"null", R.NOT_AN_OBJECT),
    ("NaN in a field we do not know", _with(b'"weight":NaN'), R.NOT_FINITE),
    ("Infinity", _with(b'"weight":-Infinity'), R.NOT_FINITE),
    ("latin-1", _with('"text":"café"'.encode("latin-1")), R.WRONG_ENCODING),
    ("latin-1 in a field we do not know", _with('"note":"café"'.encode("latin-1")), R.WRONG_ENCODING),
    ("overlong UTF-8", _with(b'"text":"\xc0\xaf"'), R.WRONG_ENCODING),
    ("UTF-16", _GOOD.decode().encode("utf-16"), R.WRONG_ENCODING),
    ("UTF-16 without a mark", _GOOD.decode().encode("utf-16-le"), R.WRONG_ENCODING),
    ("UTF-32 without a mark", _GOOD.decode().encode("utf-32-be"), R.WRONG_ENCODING),
    ("byte order mark", b"\xef\xbb\xbf" + _GOOD, R.WRONG_ENCODING),
    ("100,000 lists", _with(b'"deep":' + b"[" * 100_000 + b"]" * 100_000), R.TOO_DEEP),
    ("100,000 objects", _with(b'"deep":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000), R.TOO_DEEP),
    ("400 lists never closed", _with(b'"deep":' + b"[" * 400), R.TOO_DEEP),
    (
        "small, 200 deep, and wrong",
        b'{"type":"carrier_scan","x":' + b"[" * 200 + b"]" * 200 + b"}",
        R.TOO_DEEP,
    ),
    ("only brackets", b"[" * 100_000, R.TOO_DEEP),
    ("5 MiB", _with(b'"text":"' + b"x" * (5 * MIB) + b'"'), R.TOO_LARGE),
    ("5 MiB of zeros", b"\x00" * (5 * MIB), R.TOO_LARGE),
    ("no type", _without("type"), R.MISSING_FIELD),
    ("no time", _without("occurred_at"), R.MISSING_FIELD),
    ("no carrier", _without("carrier"), R.MISSING_FIELD),
    ("type is a number", json.dumps(scan(type=7)).encode(), R.WRONG_TYPE),
    ("type is a list", json.dumps(scan(type=["carrier_scan"])).encode(), R.WRONG_TYPE),
    ("unknown type", json.dumps(scan(type="carrier_dream")).encode(), R.UNKNOWN_TYPE),
    ("empty type", json.dumps(scan(type="")).encode(), R.UNKNOWN_TYPE),
    ("type of another topic", json.dumps(label()).encode(), R.WRONG_TOPIC),
    ("number as an id", json.dumps(scan(tracking_number=1234567)).encode(), R.WRONG_TYPE),
    ("30 digits as an id", _with(b'"id":' + b"9" * 30), R.WRONG_TYPE),
    ("time as a number", json.dumps(scan(occurred_at=1_772_449_200)).encode(), R.WRONG_TYPE),
    ("place is a text", json.dumps(scan(place="Lyon")).encode(), R.WRONG_TYPE),
    ("time as digits", json.dumps(scan(occurred_at="1772449200")).encode(), R.BAD_VALUE),
    ("time without an offset", json.dumps(scan(occurred_at="2026-03-02T12:00:00")).encode(), R.BAD_VALUE),
    ("30 February", json.dumps(scan(occurred_at="2026-02-30T12:00:00Z")).encode(), R.BAD_VALUE),
    ("empty number", json.dumps(scan(tracking_number="")).encode(), R.BAD_VALUE),
    ("control character in a key", json.dumps(scan(tracking_number="\x00marker")).encode(), R.BAD_VALUE),
    ("version 2", json.dumps(scan(schema_version=2)).encode(), R.BAD_VALUE),
    ("id of 129 characters", json.dumps(scan(id="x" * 129)).encode(), R.BAD_VALUE),
    ("year 1970", json.dumps(scan(occurred_at="1970-01-01T00:00:00Z")).encode(), R.TIME_OUT_OF_RANGE),
    ("year 1", json.dumps(scan(occurred_at="0001-01-01T00:00:00Z")).encode(), R.TIME_OUT_OF_RANGE),
]


@pytest.mark.parametrize(
    ("value", "reason"), [bad[1:] for bad in _BAD_SCANS], ids=[bad[0] for bad in _BAD_SCANS]
)
def test_a_bad_record_is_refused_with_its_reason_and_its_neighbours_are_not(
    value: bytes | None, reason: DeadLetterReason
) -> None:
    before, after = scan(id="before"), scan(id="after", tracking_number="1Z998")
    bad = Record(value, 1)
    intake = take_in(SCANS, before, bad, Record(json.dumps(after).encode(), 2))
    (refused,) = intake.refused
    assert refused.record is bad
    assert refused.reason is reason
    assert refused.detail
    assert refused.action
    assert len(refused.detail) < 1000
    alone = (
        take_in(SCANS, before).facts
        + take_in(SCANS, Record(b"", 1), Record(b"", 1), Record(json.dumps(after).encode(), 2)).facts
    )
    assert intake.facts == alone
    assert counts(intake) == {"ups": 2}


def test_all_bad_records_together_leave_the_good_one_alone() -> None:
    everything: list[Any] = [Record(value, offset) for offset, (_, value, _) in enumerate(_BAD_SCANS)]
    middle = len(everything) // 2
    intake = take_in(SCANS, *everything[:middle], scan(), *everything[middle:])
    assert len(intake.facts) == 1
    assert [refused.reason for refused in intake.refused] == [reason for _, _, reason in _BAD_SCANS]


def test_a_refusal_never_repeats_what_the_record_said() -> None:
    for field in ("tracking_number", "occurred_at", "direction", "place", "id"):
        (refused,) = take_in(SCANS, scan(**{field: ["Ada Lovelace"]})).refused
        assert "Ada" not in refused.detail


@pytest.mark.parametrize(
    "records",
    [
        # each set has as many objects as records when joined by commas: counting alone would not find it out
        [b'{"type":"x","a":"}', b'{","id":"y"}', _GOOD + b"," + _GOOD],
        [b'{"a":[{}', b"{}]}", _GOOD + b"," + _GOOD],
        [_GOOD[:-1] + b',"a":[{}', b"{}]}", _GOOD + b",{}"],
        [b"{}]", b"[{}", b"{}"],
    ],
)
def test_records_cannot_be_joined_or_split_into_other_events(records: list[bytes]) -> None:
    intake = take_in(SCANS, *records)
    assert intake.facts == []
    assert [refused.record.value for refused in intake.refused] == records


def test_of_two_equal_fields_the_last_counts_in_every_way_of_reading() -> None:
    doubled = _with(b'"tracking_number":"1Z000"')
    ((_, key, _),) = take_in(SCANS, doubled).facts
    assert key == b"ups:1Z000"
    with_escape = _with(b'"text":"a\\nb","tracking_number":"1Z000"')
    ((_, key, _),) = take_in(SCANS, with_escape).facts
    assert key == b"ups:1Z000"
    (refused,) = take_in(SCANS, _with(b'"type":"label_created"')).refused
    assert refused.reason is R.WRONG_TOPIC


def test_a_good_record_too_small_to_nest_deep_enough_for_harm_is_not_measured() -> None:
    nested = _with(b'"deep":' + b"[" * 150 + b"]" * 150)
    assert len(nested) <= 512
    assert len(take_in(SCANS, nested).facts) == 1


def test_brackets_in_texts_are_not_nesting() -> None:
    assert len(take_in(SCANS, scan(text="[{" * 1000 + '\\"')).facts) == 1


def test_an_event_far_in_the_future_never_moves_past_its_arrival() -> None:
    ((_, _, value),) = take_in(SCANS, scan(occurred_at="9999-12-31T23:59:59Z")).facts
    assert json.loads(value)["occurred_ms"] == NOON_MS
    assert json.loads(value)["clamped"] is True


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_ODD_TIMES = st.sampled_from(
    [
        NOON,
        "2026-03-02 12:00:00Z",
        "2026-03-02T12:00Z",
        "2026-03-02t12:00:00z",
        "2026-03-02T24:00:00Z",
        "2026-03-02T12:00:60Z",
        "2026-03-02T12:00:00.1234567Z",
        "2026-03-02T12:00:00+24:00",
        "2026-03-02T12:00:00-00:00",
        "20260302T120000Z",
        "1",
        0,
    ]
)
_ODD_AMOUNTS = st.sampled_from(
    ["1", 1, 1.5, "NaN", "Infinity", "1e400", -1, True, None, " 1 ", "1_0", "0x1", "\u0661"]
)
_EVENTS = {
    InputKind.CARRIER_SCANS: [scan(), {**scan(), "type": "scan_retracted", "retracts": "scan-1"}],
    InputKind.LABELS: [label(value={"amount": "1", "currency": "EUR"}), label(type="label_voided")],
    InputKind.ORDERS: [
        order("return_requested", items=1, value={"amount": "1", "currency": "EUR"}, promised_refund_at=NOON),
        order("dropoff_claimed", carrier="ups", tracking_number="1Z999"),
    ],
    InputKind.WAREHOUSE: [
        dock(carrier="ups", tracking_number="1Z999", return_id="R1", complete=False, count=1),
        dock(return_id="R1", parcels=[{"carrier": "ups", "tracking_number": "1Z999"}]),
        dock("checkin_retracted", return_id="R1", retracts="dock-1"),
    ],
    InputKind.COMMANDS: [
        command("snooze", until=NOON),
        command("note", text="x", carrier="ups", tracking_number="1Z999"),
        command("resolve", reason="other", audit_id="A1"),
    ],
}


@st.composite
def _damaged_event(draw: st.DrawFn) -> tuple[InputKind, bytes]:
    kind = draw(st.sampled_from(list(InputKind)))
    event = dict(draw(st.sampled_from(_EVENTS[kind])))
    name = draw(st.sampled_from([*event, "unknown", "value", "occurred_at", "return_id"]))
    change = draw(st.sampled_from(["drop", "replace", "time", "amount", "keep"]))
    if change == "drop":
        event.pop(name, None)
    elif change == "replace":
        event[name] = draw(_JSON)
    elif change == "time":
        event["occurred_at"] = draw(_ODD_TIMES)
    elif change == "amount":
        event["value"] = {
            "amount": draw(_ODD_AMOUNTS),
            "currency": draw(st.sampled_from(["EUR", "eu", "EUR\n", 1])),
        }
    return kind, json.dumps(event, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")


def _contract_takes(kind: InputKind, value: bytes) -> bool:
    for model in EVENT_MODELS[kind]:
        try:
            model.model_validate_json(value)
        except ValidationError:
            continue
        return True
    return False


@settings(max_examples=300, deadline=None)
@given(_damaged_event())
def test_no_fact_comes_from_an_event_that_the_contract_refuses(damaged: tuple[InputKind, bytes]) -> None:
    """The fast decoder is derived from the models and must not be more lenient than they are."""
    kind, value = damaged
    intake = take_in(kind, value)
    assert len(intake.refused) == (0 if intake.facts else 1)
    if intake.facts:
        assert _contract_takes(kind, value)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([_GOOD, b"{}", b"[", None]), max_size=8))
def test_any_bytes_at_all_are_a_fact_or_a_dead_letter(values: list[bytes | None]) -> None:
    intake = take_in(SCANS, *values)
    assert len(intake.facts) == sum(value == _GOOD for value in values)
    assert len(intake.refused) == len(values) - len(intake.facts)


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 3 * HOUR_MS))
def test_an_event_makes_the_same_facts_in_whatever_company_it_comes(
    order_of: list[int], late_ms: int
) -> None:
    events = [Record(json.dumps(scan(id=str(number))).encode(), number) for number in range(5)] + [
        Record(b"{", 5)
    ]
    together = take_in(SCANS, *(events[number] for number in order_of), arrived_ms=NOON_MS + late_ms)
    alone = [take_in(SCANS, events[number], arrived_ms=NOON_MS + late_ms) for number in order_of]
    assert together.facts == [fact for intake in alone for fact in intake.facts]
