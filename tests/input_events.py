"""Input records and events for the tests of the contracts and of intake."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from schemas.carrier_codes import load_carrier_codes
from schemas.facts import ParcelFact, ReturnFact, decode_parcel_fact, decode_return_record
from schemas.topics import InputKind
from streams.intake import Acceptance, Intake, IntakeMapper

NOON = "2026-03-02T12:00:00+01:00"
NOON_MS = int(datetime(2026, 3, 2, 11, tzinfo=UTC).timestamp()) * 1000
HOUR_MS = 3_600_000

Headers = list[tuple[str, bytes | None]]


@dataclass
class Record:
    value: bytes | None
    offset: int = 0
    headers: Headers = field(default_factory=list)
    key: bytes | None = None
    timestamp: int = 0
    timestamp_type: int = 0
    """1: the broker's, when it appended the record."""


@cache
def mapper() -> IntakeMapper:
    return IntakeMapper(load_carrier_codes(), Acceptance())


def scan(**fields: Any) -> dict[str, Any]:
    event = {"type": "carrier_scan", "id": "scan-1", "occurred_at": NOON, "carrier": "ups"}
    return {
        **event,
        "tracking_number": "1Z999",
        "code": "OR",
        "place": {"country": "FR", "city": "Lyon"},
        **fields,
    }


def label(**fields: Any) -> dict[str, Any]:
    event = {"type": "label_created", "id": "label-1", "occurred_at": NOON, "carrier": "UPS"}
    return {**event, "tracking_number": "1z 99-9", "return_ids": ["R1"], **fields}


def order(event_type: str, **fields: Any) -> dict[str, Any]:
    return {"type": event_type, "id": f"{event_type}-1", "occurred_at": NOON, "return_id": "R1", **fields}


def dock(event_type: str = "checked_in", **fields: Any) -> dict[str, Any]:
    return {"type": event_type, "id": "dock-1", "occurred_at": NOON, **fields}


CASE = "6c7a0b4e-90de-5f0a-8a57-3d8d5a2c6a11"


def command(event_type: str, **fields: Any) -> dict[str, Any]:
    said = {"type": event_type, "id": f"{event_type}-1", "occurred_at": NOON, "return_id": "R1"}
    return {**said, "case_id": CASE, "by": "ops-1", **fields}


def records(*events: Any) -> list[Record]:
    """Records with offsets from 0; an event is a dict, or bytes taken as they are, or a Record."""
    made = []
    for offset, event in enumerate(events):
        if isinstance(event, Record):
            made.append(event)
        elif event is None or isinstance(event, bytes):
            made.append(Record(event, offset))
        else:
            made.append(Record(json.dumps(event).encode(), offset))
    return made


def take_in(kind: InputKind, *events: Any, arrived_ms: int = NOON_MS) -> Intake:
    return mapper().map_chunk(records(*events), kind, arrived_ms, topic=f"{kind}-topic", partition=3)


def counts(intake: Intake) -> dict[str, int]:
    """Feed -> how many arrivals."""
    return {feed: came.count for feed, came in intake.arrivals.items()}


def parcel_facts(intake: Intake) -> list[tuple[str, ParcelFact]]:
    return [
        (key.decode(), decode_parcel_fact(value)) for stage, key, value in intake.facts if stage == "parcels"
    ]


def return_facts(intake: Intake) -> list[tuple[str, ReturnFact]]:
    found = []
    for stage, key, value in intake.facts:
        if stage == "returns":
            fact = decode_return_record(value)
            assert isinstance(fact, ReturnFact)
            found.append((key.decode(), fact))
    return found


def only_parcel_fact(intake: Intake) -> tuple[str, ParcelFact]:
    assert not intake.refused
    (found,) = parcel_facts(intake)
    return found
