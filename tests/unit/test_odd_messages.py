"""Odd messages and records: refused with a reason or read as they are meant, and never more than one record's matter."""

import gzip
import json
from typing import Any

import pytest

from schemas.adapter_loading import shipped_adapter
from schemas.adapter_paths import compile_path
from schemas.carrier_codes import load_carrier_codes
from schemas.facts import decode_return_record
from schemas.source_checks import load_source
from schemas.topics import InputKind
from schemas.vocabulary import DeadLetterReason
from schemas.yaml_models import ModelError
from streams.adapting import Adapter
from streams.intake import Intake, IntakeMapper
from streams.message_reading import MessageSource
from tests.input_events import NOON_MS, Headers, Record

R = DeadLetterReason
REQUESTS = """
source: mine
format: json
fields:
  return_id: rma
  order_id: order
  occurred_at: {from: at, formats: [iso, epoch_s], zone_of: {from: site, values: {LYS1: Europe/Paris}}}
  promised_refund_at: {from: due}
  value: {amount: sum, currency: {is: EUR}, decimal: comma}
  withdrawal: withdrawn
events:
  - type: return_requested
"""
ROW = {"rma": "R1", "order": "O1", "at": "2026-03-02T10:00:00Z"}
STRUCTURED: Headers = [("content-type", b"application/cloudevents+json")]
EVENT = {"specversion": "1.0", "id": "a", "source": "b", "type": "c"}


def intake(text: str = REQUESTS) -> IntakeMapper:
    readers: dict[str, Adapter | MessageSource] = {
        "t": MessageSource(load_source(text, "mine.yaml")),
        "ups": Adapter(shipped_adapter("ups_track_alert")),
    }
    return IntakeMapper(load_carrier_codes(), adapters=readers)


def take(value: Any, headers: Headers | None = None, topic: str = "t", text: str = REQUESTS) -> Intake:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    record = Record(raw, headers=headers or [])
    return intake(text).map_chunk([record], InputKind.ORDERS, NOON_MS, topic=topic, partition=0)


def reason(taken: Intake) -> DeadLetterReason:
    (refused,) = taken.refused
    return refused.reason


def fact(taken: Intake) -> Any:
    assert not taken.refused, taken.refused[0].detail
    ((_, _, value),) = taken.facts
    return decode_return_record(value)


@pytest.mark.parametrize("topic", ["t", "ups", "orders"])
def test_an_event_that_is_nested_too_deep_is_refused(topic: str) -> None:
    deep = json.dumps({**EVENT, "data": 0}).replace("0}", "[" * 1100 + "]" * 1100 + "}").encode()
    assert reason(take(deep, STRUCTURED, topic)) is R.TOO_DEEP


@pytest.mark.parametrize("due", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "9999-12-31"])
def test_a_time_at_the_ends_of_the_calendar_is_refused(due: str) -> None:
    assert reason(take({**ROW, "due": due})) is R.BAD_VALUE


@pytest.mark.parametrize("path", ["rows[::0]", "rows[1:2:0]", "rows[ : : -0 ]"])
def test_a_slice_that_goes_nowhere_is_an_error_of_the_file(path: str) -> None:
    with pytest.raises(ValueError, match="steps of 0"):
        compile_path(path)


def test_a_sum_beyond_all_numbers_finds_nothing() -> None:
    assert compile_path("avg(rows)")({"rows": [10**400, 1]}) is None


def test_a_message_of_another_shape_is_no_empty_one() -> None:
    listed = REQUESTS.replace("format: json", "format: json\nitems: rows")
    assert fact(take({"rows": [ROW]}, text=listed)).milestone
    assert take({"rows": []}, text=listed).counters == {("answers", "empty"): 1}
    assert reason(take({"orders": [ROW]}, text=listed)) is R.UNKNOWN_SHAPE


@pytest.mark.parametrize(
    ("written", "minor"),
    [("1249,00", 124_900), ("1.249,00", 124_900), (12.5, 1_250), (12, 1_200), ("-3,5", -350), ("12", 1_200)],
)
def test_money_with_a_comma_is_read_as_it_is_meant(written: object, minor: int) -> None:
    taken = take({**ROW, "sum": written})
    if minor < 0:
        assert reason(taken) is R.BAD_VALUE
    else:
        assert fact(taken).value_minor == minor


@pytest.mark.parametrize("written", ["12.50", "1,249.00", "1_0", "12,5,0", "1.24,00"])
def test_money_that_is_not_written_so_is_refused(written: str) -> None:
    assert reason(take({**ROW, "sum": written})) is R.BAD_VALUE


def test_seconds_with_a_fraction_are_a_time() -> None:
    assert fact(take({**ROW, "at": 1_772_440_000.5})).occurred_ms == 1_772_440_000_500


def test_a_site_that_the_table_does_not_have_is_refused() -> None:
    local = {**ROW, "at": "2026-03-02T10:00:00"}
    assert fact(take({**local, "site": "LYS1"})).occurred_ms == 1_772_442_000_000
    taken = take({**local, "site": "LSY1"})
    assert reason(taken) is R.BAD_VALUE
    assert "'LSY1', which `values` does not have" in taken.refused[0].detail


@pytest.mark.parametrize(
    ("written", "is_so"),
    [
        (True, True),
        ("TRUE", True),
        ("1", True),
        (False, False),
        ("False", False),
        ("0", False),
        ("N", False),
        (None, False),
    ],
)
def test_a_flag_is_what_it_says(written: object, is_so: bool) -> None:
    terms = fact(take({**ROW, "withdrawn": written})).terms
    assert (terms is not None and terms.withdrawal) is is_so


def test_a_flag_in_other_words_is_refused() -> None:
    assert reason(take({**ROW, "withdrawn": "vielleicht"})) is R.BAD_VALUE


def test_gzip_around_a_cloud_event_is_opened() -> None:
    packed = gzip.compress(json.dumps({**EVENT, "data": ROW}).encode(), mtime=0)
    assert fact(take(packed, STRUCTURED)) == fact(take({**EVENT, "data": ROW}, STRUCTURED))


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("%d.%m.%Y %Q", "'Q' is a bad directive"),
        ("%d.%m.%Y %I:%M", "%I needs %p"),
        ("%H:%M", "needs year, month and day"),
        ("yyyy-MM-dd", "needs year, month and day"),
    ],
)
def test_a_form_of_times_that_can_give_none_is_an_error_of_the_file(form: str, why: str) -> None:
    with pytest.raises(ModelError) as refused:
        load_source(REQUESTS.replace("[iso, epoch_s]", f"[iso, '{form}']"), "mine.yaml")
    (finding,) = refused.value.findings
    assert finding.where == "mine.yaml:7:42"
    assert why in finding.what


CHECK_IN = """
source: scale
format: json
fields:
  return_id: rma
  facility: {is: LYS1}
  occurred_at: at
  weight_grams: {from: kg, unit: kg, decimal: comma}
events:
  - type: checked_in
"""


@pytest.mark.parametrize(
    ("written", "grams"), [("1,25", 1250), ("1.250,5", 1_250_500), (0.4, 400), (2, 2000)]
)
def test_a_weight_with_a_comma_is_read_as_it_is_meant(written: object, grams: int) -> None:
    source = load_source(CHECK_IN, "scale.yaml")
    (told,) = (
        MessageSource(source)
        .read(
            json.dumps({"rma": "R1", "at": "2026-03-02T10:00:00Z", "kg": written}).encode(), NOON_MS, 10_000
        )
        .told
    )
    assert told.fields["weight_grams"] == grams
