"""The workload that is measured: what it writes is what the contract takes, in the order in which it happened."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel

from benchmarks.__main__ import BEGIN, END
from benchmarks.figures import FULL, MEASURES
from benchmarks.stock_faust.rules import EVENT, Parcel, apply, overdue
from benchmarks.workload import LABELS, SCANS, WAREHOUSE, Event, Workload
from schemas.events import EVENT_MODELS, CarrierScan, CheckedIn, LabelCreated, event_type

ENDS_AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return list(Workload(100, ENDS_AT).events)


def test_every_event_is_one_of_the_contract(events: list[Event]) -> None:
    models: dict[str, type[BaseModel]] = {LABELS: LabelCreated, SCANS: CarrierScan, WAREHOUSE: CheckedIn}
    for event in events:
        read = models[event.topic].model_validate_json(event.value)
        assert getattr(read, "tracking_number", "") == event.key.decode()


def test_events_come_in_the_order_in_which_they_happened_and_the_last_one_just_did(
    events: list[Event],
) -> None:
    times = [json.loads(event.value)["occurred_at"] for event in events]
    assert times == sorted(times)
    assert ENDS_AT - timedelta(hours=12) < datetime.fromisoformat(times[-1]) <= ENDS_AT


def test_most_parcels_live_a_whole_life_and_some_of_each_kind_go_wrong(events: list[Event]) -> None:
    lives = Counter(Counter(event.key for event in events).values())
    assert lives == {8: 94, 7: 2, 4: 2, 1: 2}
    assert len(events) == Workload(100, ENDS_AT).count()


def test_a_life_with_its_shop_goes_from_the_request_to_the_refund() -> None:
    workload = Workload(100, ENDS_AT, with_shop=True)
    events = [json.loads(event.value) for event in workload.events]
    times = [event["occurred_at"] for event in events]
    assert times == sorted(times)
    assert len(events) == workload.count() == 94 * 14 + 2 * 9 + 2 * 6 + 2 * 3
    models = {event_type(model): model for kind in EVENT_MODELS.values() for model in kind}
    for event in events:
        models[event["type"]].model_validate(event)
    one = [event["type"] for event in events if event.get("return_id") == "RMA-1"]
    assert one == [
        "return_requested",
        "return_approved",
        "inspected",
        "refund_approved",
        "refund_issued",
        "restocked",
    ]


def test_a_second_workload_brings_other_parcels(events: list[Event]) -> None:
    more = Workload(50, ENDS_AT, label_only=True, first=100)
    assert {event.key for event in more.events}.isdisjoint(event.key for event in events)
    assert len(list(more.events)) == more.count() == 50


def test_the_full_scale_is_a_million_events_and_a_million_open_parcels() -> None:
    assert FULL.parcels * 8 == 1_000_000
    assert FULL.open_parcels == (100_000, 1_000_000)


def test_the_stock_application_finds_the_same_three_kinds(events: list[Event]) -> None:
    parcels: dict[bytes, Parcel] = {}
    for event in events:
        apply(parcels.setdefault(event.key, Parcel()), EVENT.validate_json(event.value))
    later = (ENDS_AT + timedelta(days=30)).timestamp()
    found = Counter(rule for parcel in parcels.values() for rule in overdue(parcel, later))
    assert found == {"missing_first_scan": 2, "stalled_silent": 2, "delivered_not_checked_in": 2}


def test_the_document_has_a_place_for_what_was_measured() -> None:
    text = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text()
    assert text.index(BEGIN) < text.index(END)
    assert MEASURES
