"""What the simulated world writes: one SimEvent per input record, with the time it happened and the time it appears."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

ORDERS: Final = "orders"
LABELS: Final = "labels"
SCANS: Final = "carrier-scans"
WAREHOUSE: Final = "warehouse"

Headers = tuple[tuple[str, bytes], ...]

encode_json = msgspec.json.Encoder().encode


class SimEvent(NamedTuple):
    """One record of an input topic. `occurred_at` and `appears_at` are aware UTC, in simulated time.

    `kind` is "orders", "labels", "carrier-scans" or "warehouse"; `event_id` is the producer's id, "" for none.
    """

    kind: str
    key: bytes
    value: bytes
    headers: Headers
    occurred_at: datetime
    appears_at: datetime
    event_id: str


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it is written down: its body still is a dictionary, so that faults can be added to it."""

    kind: str
    key: str
    body: dict[str, Any]
    occurred_at: datetime
    appears_at: datetime
    event_id: str

    def delayed_to(self, appears_at: datetime) -> "Draft":
        """The same event, appended later."""
        return replace(self, appears_at=appears_at)


def stamp(at: datetime) -> str:
    """RFC 3339 text of an aware time, in UTC, to the second, as most shop systems write it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_plain(draft: Draft) -> SimEvent:
    """The draft as plain JSON."""
    body = {"type": draft.body["type"], "occurred_at": stamp(draft.occurred_at), **draft.body}
    if draft.event_id:
        body["id"] = draft.event_id
    return _event(draft, encode_json(body), ())


def write_structured_cloudevent(draft: Draft, source: str) -> SimEvent:
    """The draft as one CloudEvents 1.0 JSON document (structured mode)."""
    data = {key: value for key, value in draft.body.items() if key != "type"}
    envelope = {
        "specversion": "1.0",
        "id": draft.event_id,
        "source": source,
        "type": f"com.example.shop.{draft.body['type']}",
        "time": stamp(draft.occurred_at),
        "datacontenttype": "application/json",
        "data": {**data, "occurred_at": stamp(draft.occurred_at)},
    }
    headers = (("content-type", b"application/cloudevents+json; charset=utf-8"),)
    return _event(draft, encode_json(envelope), headers)


def write_binary_cloudevent(draft: Draft, source: str) -> SimEvent:
    """The draft as a CloudEvents 1.0 message in binary mode: attributes in headers, data in the value."""
    data = {key: value for key, value in draft.body.items() if key != "type"}
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", draft.event_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", f"com.example.shop.{draft.body['type']}".encode()),
        ("ce_time", stamp(draft.occurred_at).encode()),
        ("content-type", b"application/json"),
    )
    return _event(draft, encode_json({**data, "occurred_at": stamp(draft.occurred_at)}), headers)


def _event(draft: Draft, value: bytes, headers: Headers) -> SimEvent:
    key = draft.key.encode()
    return SimEvent(draft.kind, key, value, headers, draft.occurred_at, draft.appears_at, draft.event_id)
