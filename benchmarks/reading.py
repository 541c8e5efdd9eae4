"""What reading costs, from a record's bytes to the facts that are written: events of the contract, payloads of aggregators and
carriers. All in one process and in turns, so that a ratio holds whatever the machine does meanwhile.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from agents.adapters import Reader, read_file, ready
from agents.garbage import tame_garbage_collection
from agents.virtual_time import InputRecord
from schemas.carrier_codes import load_carrier_codes
from schemas.facts import decode_parcel_fact, encode_json
from schemas.source_checks import load_source
from schemas.topics import MAX_RECORD_BYTES, InputKind
from streams.intake import IntakeMapper
from streams.message_reading import MessageSource
from streams.reading import EventReader

EVENTS = 2_000
EVENTS_OF_A_HISTORY = 10
TURNS = 40
SCANS = InputKind.CARRIER_SCANS
FIRST_AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
ARRIVED_MS = int((FIRST_AT + timedelta(days=30)).timestamp() * 1000)


class Cost(NamedTuple):
    """CPU of one event, in microseconds: the least of all turns."""

    contract: float
    aggregator: float
    carrier: float
    own: float
    """A shop's own scans, by a source; times with their offset."""
    own_local: float
    """The same in local time: the zone has to be asked."""
    decoded: float
    """Of `contract`: checked and decoded."""
    encoded: float
    """Of `contract`: the facts written as JSON."""


def reading_costs() -> Cost:
    """Measure all of them, in turns."""
    topics = {"aftership": "aftership_v4", "ups": "ups_track_alert"}
    adapters: dict[str, Reader] = {topic: ready(read_file(name)) for topic, name in topics.items()}
    adapters["own"] = MessageSource(load_source(_SOURCE, "own.yaml"))
    mapper = IntakeMapper(load_carrier_codes(), adapters=adapters)
    contract = _records(_scan(number) for number in range(EVENTS))
    histories = _records(_history(number) for number in range(EVENTS // EVENTS_OF_A_HISTORY))
    alerts = _records(_alert(number) for number in range(EVENTS))
    own = _records(_own(number, _at(number).isoformat()) for number in range(EVENTS))
    own_local = _records(_own(number, f"{_at(number):%Y-%m-%dT%H:%M:%S}") for number in range(EVENTS))
    reader = EventReader(SCANS, MAX_RECORD_BYTES)
    facts = [decode_parcel_fact(value) for _, _, value in _taken(mapper, contract, "carrier-scans")]
    tame_garbage_collection()
    least = _least_seconds(
        {
            "contract": lambda: _taken(mapper, contract, "carrier-scans"),
            "aggregator": lambda: _taken(mapper, histories, "aftership"),
            "carrier": lambda: _taken(mapper, alerts, "ups"),
            "own": lambda: _taken(mapper, own, "own"),
            "own_local": lambda: _taken(mapper, own_local, "own"),
            "decoded": lambda: [reader.read(reader.check(one.value)) for one in contract],
            "encoded": lambda: [encode_json(fact) for fact in facts],
        }
    )
    return Cost(**{name: seconds / EVENTS * 1_000_000 for name, seconds in least.items()})


_SOURCE = """\
source: own
format: json
fields:
  id: scanId
  carrier: {from: parcel.carrier, values: {U: ups}}
  tracking_number: parcel.number
  occurred_at: {from: scannedAt, zone: Europe/Paris}
  code: status
  text: words
  place: {country: where.country, city: where.town}
events: {type: carrier_scan}
"""


def _own(number: int, scanned_at: str) -> dict[str, Any]:
    """The same scan as a shop's own service writes it."""
    return {
        "scanId": f"scan-{number:08}",
        "parcel": {"carrier": "U", "number": f"1Z999AA1{number:010}", "shop": "fr"},
        "scannedAt": scanned_at,
        "status": "DP",
        "words": "Departed from facility",
        "where": {"country": "FR", "town": f"City {chr(65 + number % 26)}"},
    }


def _least_seconds(works: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    least = dict.fromkeys(works, float("inf"))
    for _ in range(TURNS):
        for name, work in works.items():
            began = time.process_time()
            work()
            least[name] = min(least[name], time.process_time() - began)
    return least


def _taken(
    mapper: IntakeMapper, records: Sequence[InputRecord], topic: str
) -> list[tuple[str, bytes, bytes]]:
    taken = mapper.map_chunk(records, SCANS, ARRIVED_MS, topic=topic, partition=0)
    if len(taken.facts) != EVENTS or taken.refused:
        raise RuntimeError(f"{topic}: {len(taken.facts)} facts of {EVENTS} events")
    return list(taken.facts)


def _records(messages: Any) -> list[InputRecord]:
    return [InputRecord(offset, json.dumps(message).encode()) for offset, message in enumerate(messages)]


def _at(number: int) -> datetime:
    return FIRST_AT + timedelta(seconds=97 * number)


def _scan(number: int) -> dict[str, Any]:
    return {
        "type": "carrier_scan",
        "id": f"scan-{number:08}",
        "occurred_at": _at(number).isoformat(),
        "carrier": "ups",
        "tracking_number": f"1Z999AA1{number:010}",
        "code": "DP",
        "text": "Departed from facility",
        "place": {"country": "FR", "city": f"City {chr(65 + number % 26)}"},
    }


def _history(number: int) -> dict[str, Any]:
    """As the webhook `tracking_update` tells it, after ten checkpoints."""
    return {
        "event": "tracking_update",
        "event_id": f"e{number}",
        "is_tracking_first_tag": False,
        "msg": {
            "id": f"t{number}",
            "tracking_number": f"1Z999AA1{number:010}",
            "slug": "ups",
            "tag": "InTransit",
            "subtag": "InTransit_001",
            "checkpoints": [_checkpoint(number, step) for step in range(EVENTS_OF_A_HISTORY)],
        },
        "ts": 1_772_000_000,
    }


def _checkpoint(number: int, step: int) -> dict[str, Any]:
    at = (_at(number) + timedelta(hours=7 * step)).isoformat()
    return {
        "slug": "ups",
        "city": f"City {chr(65 + (number + step) % 26)}",
        "created_at": at,
        "location": "somewhere",
        "country_region": "FRA",
        "country_region_name": "France",
        "message": "Departed from facility",
        "subtag": "InTransit_001",
        "subtag_message": "Shipment on the way",
        "checkpoint_time": at,
        "tag": "InTransit",
        "zip": None,
        "coordinates": [],
        "state": None,
        "raw_tag": "DP",
    }


def _alert(number: int) -> dict[str, Any]:
    at = _at(number)
    local = at - timedelta(hours=5)
    return {
        "trackingNumber": f"1Z999AA1{number:010}",
        "localActivityDate": f"{local:%Y%m%d}",
        "localActivityTime": f"{local:%H%M%S}",
        "activityLocation": {
            "city": "Charlotte",
            "stateProvince": "NC",
            "postalCode": "28209",
            "country": "US",
        },
        "activityStatus": {"type": "I", "code": "DP", "description": "Departed from Facility"},
        "gmtActivityDate": f"{at:%Y%m%d}",
        "gmtActivityTime": f"{at:%H%M%S}",
    }
