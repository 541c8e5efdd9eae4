"""The input contract, version 1: what it takes, what it drops, and that its published schemas are true."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.contracts_generation import contract_files
from schemas.event_fields import InputEvent
from schemas.events import EVENT_MODELS, KIND_OF_TYPE, CarrierScan, CheckedIn, event_type
from schemas.topics import InputKind
from tests.input_events import NOON, command, dock, label, order, scan

_CONTRACTS = Path(__file__).parents[2] / "schemas" / "contracts"

_ONE_OF_EACH: list[dict[str, Any]] = [
    order(
        "return_requested",
        order_id="O1",
        items=2,
        promised_refund_at=NOON,
        value={"amount": "19.90", "currency": "EUR"},
        method="in_store",
        resolution="exchange",
        withdrawal=True,
        country="FR",
        shop="main",
        category="shoes",
        return_reason="too_small",
        customer_risk="high",
        loyal=True,
    ),
    order("replacement_sent"),
    order("dispute_opened"),
    order("dispute_closed"),
    order("return_approved"),
    order("return_cancelled"),
    order("dropoff_claimed", carrier="ups", tracking_number="1Z999"),
    order("refund_approved"),
    order("refund_refused"),
    order("refund_issued", value={"amount": 19.9, "currency": "eur"}),
    order("refund_settled"),
    order("refund_failed"),
    label(service="standard", origin_country="FR", destination_country="DE", facility="BER1"),
    label(type="label_voided"),
    scan(api="ups_rest_track_v1", code_type="activity_code", text="Origin Scan", direction="return"),
    {
        "type": "scan_retracted",
        "occurred_at": NOON,
        "carrier": "ups",
        "tracking_number": "1Z",
        "retracts": "scan-1",
    },
    dock(carrier="ups", tracking_number="1Z999", facility="BER1"),
    dock(return_id="R1", complete=True, count=2, parcels=[{"carrier": "ups", "tracking_number": "1Z999"}]),
    dock("checkin_retracted", return_id="R1", retracts="dock-1"),
    dock("inspected", return_id="R1"),
    dock(
        "inspected",
        return_id="R1",
        parcels=[{"carrier": "ups", "tracking_number": "1Z999"}],
        disposition="reject",
        mismatch=["empty_box", "weight"],
    ),
    dock("restocked", return_id="R1"),
    command("acknowledge", audit_id="A1"),
    command("snooze", until=NOON),
    command("assign", to="team.north"),
    command("note", text="The customer will bring the receipt."),
    command("resolve", reason="written_off"),
    command("reopen"),
    command("forget", reason="data_subject_request"),
]


def _model_of(event: dict[str, Any]) -> type[InputEvent]:
    models = EVENT_MODELS[KIND_OF_TYPE[event["type"]]]
    return next(model for model in models if event_type(model) == event["type"])


def _published_schema(kind: InputKind) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(
        (_CONTRACTS / f"{kind.value}.v1.schema.json").read_text(encoding="utf-8")
    )
    return schema


def test_one_of_each_event_is_here() -> None:
    assert {event["type"] for event in _ONE_OF_EACH} == set(KIND_OF_TYPE)


@pytest.mark.parametrize("event", _ONE_OF_EACH, ids=lambda event: event["type"])
def test_every_event_is_taken_by_its_model_and_by_its_published_schema(event: dict[str, Any]) -> None:
    _model_of(event).model_validate_json(json.dumps(event))
    jsonschema.validate(event, _published_schema(KIND_OF_TYPE[event["type"]]))


@pytest.mark.parametrize("event", _ONE_OF_EACH, ids=lambda event: event["type"])
def test_an_event_without_its_time_is_refused_by_model_and_schema(event: dict[str, Any]) -> None:
    timeless = {name: value for name, value in event.items() if name != "occurred_at"}
    with pytest.raises(ValidationError):
        _model_of(event).model_validate_json(json.dumps(timeless))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(timeless, _published_schema(KIND_OF_TYPE[event["type"]]))


def test_personal_data_in_fields_we_do_not_know_is_dropped() -> None:
    event = CarrierScan.model_validate_json(json.dumps(scan(customer_name="Ada L.", signed_by="Ada")))
    assert "Ada" not in event.model_dump_json()


@pytest.mark.parametrize(
    "time",
    [
        "2026-03-02T12:00:00",  # 26 hours of doubt
        "2026-03-02",
        1_772_449_200,  # seconds? milliseconds?
        "1772449200",
        "yesterday",
        "2026-02-30T12:00:00Z",
    ],
)
def test_a_time_that_can_be_read_in_two_ways_is_refused(time: object) -> None:
    with pytest.raises(ValidationError):
        CarrierScan.model_validate_json(json.dumps(scan(occurred_at=time)))


@pytest.mark.parametrize("number", [1, 1.5, None, "", "x" * 129, ["1Z"], "1Z\u0000", "1Z\n"])
def test_a_tracking_number_is_a_short_text(number: object) -> None:
    with pytest.raises(ValidationError):
        CarrierScan.model_validate_json(json.dumps(scan(tracking_number=number)))


@pytest.mark.parametrize("amount", ["NaN", "Infinity", -1, "1e13", "much", True])
def test_an_amount_is_a_finite_number_that_a_return_can_be_worth(amount: object) -> None:
    model = _model_of(order("refund_issued"))
    with pytest.raises(ValidationError):
        model.model_validate_json(
            json.dumps(order("refund_issued", value={"amount": amount, "currency": "EUR"}))
        )


def test_a_check_in_names_a_parcel_or_a_return() -> None:
    for half in ({}, {"carrier": "ups"}, {"tracking_number": "1Z999"}):
        with pytest.raises(ValidationError, match="needs carrier and tracking_number, or return_id"):
            CheckedIn.model_validate_json(json.dumps(dock(**half)))


def test_another_version_of_the_contract_is_not_read_as_this_one() -> None:
    with pytest.raises(ValidationError):
        CarrierScan.model_validate_json(json.dumps(scan(schema_version=2)))


def test_the_committed_contracts_are_what_the_models_say() -> None:
    committed = {file.name: file.read_text(encoding="utf-8") for file in _CONTRACTS.glob("*.json")}
    assert committed == contract_files(), "run: python -m schemas.contracts_generation"


@pytest.mark.parametrize("file", sorted(contract_files()))
def test_every_contract_is_a_valid_json_schema(file: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(contract_files()[file]))


def test_every_event_type_belongs_to_one_kind_of_topic() -> None:
    types = [event_type(model) for models in EVENT_MODELS.values() for model in models]
    assert len(types) == len(set(types)) == len(KIND_OF_TYPE)
    assert TypeAdapter(InputKind).validate_python("carrier-scans") is InputKind.CARRIER_SCANS
