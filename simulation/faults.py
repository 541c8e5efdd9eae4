"""What goes wrong on the way into the topics: records twice, other dialects, strays and records that are no events."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from simulation.carriers import LANES, Lane
from simulation.happenings import (
    SCANS,
    WAREHOUSE,
    Draft,
    SimEvent,
    write_binary_cloudevent,
    write_plain,
    write_structured_cloudevent,
)

REPEATED: Final = 0.03
"""Share of the events that come again, seconds to hours later, with the same id or without any."""
WITHOUT_ID: Final = 0.05
"""Share of the events whose producer sends no id, so that only their content says that two are the same."""
BINARY_CLOUDEVENTS: Final = 0.05
STRUCTURED_CLOUDEVENTS: Final = 0.05
STRAYS: Final = 0.006
"""Scans and check-ins of parcels and returns that nobody knows, per return."""
MALFORMED: Final = 0.002
"""Records that are no events, per return, at least one of each kind."""

_WEEK: Final = timedelta(days=7)
_SOURCE: Final = "//shop.example/returns"

_MALFORMED: Final[tuple[tuple[str, str, bytes], ...]] = (
    ("not_json", SCANS, b'{"type": "carrier_scan", "carrier": '),
    ("wrong_encoding", SCANS, '{"type":"carrier_scan","text":"livré"}'.encode("latin-1")),
    ("not_an_object", "orders", b'["return_requested"]'),
    ("missing_field", SCANS, b'{"type":"carrier_scan","carrier":"ups","occurred_at":"2026-03-20T08:00:00Z"}'),
    (
        "wrong_type",
        "orders",
        b'{"type":"return_requested","return_id":4711,"occurred_at":"2026-03-20T08:00:00Z"}',
    ),
    ("unknown_type", WAREHOUSE, b'{"type":"pallet_moved","occurred_at":"2026-03-20T08:00:00Z"}'),
    (
        "bad_value",
        "orders",
        b'{"type":"return_requested","return_id":"R1","occurred_at":"2026-03-20T08:00:00"}',
    ),
    ("too_deep", "labels", b'{"type":"label_created","x":' + b"[" * 200 + b"]" * 200 + b"}"),
)
"""(reason of the dead letter, topic kind, value)"""


def write(drafts: Iterable[Draft], rng: random.Random) -> Iterator[SimEvent]:
    """Write each draft down, in one of the accepted dialects, some of them twice."""
    waiting = list(drafts)
    retracted = {draft.body["retracts"] for draft in waiting if "retracts" in draft.body}
    for draft in waiting:
        plain = "retracts" in draft.body or draft.event_id in retracted
        event = write_plain(draft) if plain else _in_some_dialect(draft, rng)
        yield event
        if rng.random() < REPEATED:
            yield event._replace(
                appears_at=draft.appears_at + timedelta(seconds=rng.choice((2, 60, 3_600, 20_000)))
            )


def _in_some_dialect(draft: Draft, rng: random.Random) -> SimEvent:
    dialect = rng.random()
    if dialect < WITHOUT_ID:
        return write_plain(replace(draft, event_id=""))
    if dialect < WITHOUT_ID + BINARY_CLOUDEVENTS:
        return write_binary_cloudevent(draft, _SOURCE)
    if dialect < WITHOUT_ID + BINARY_CLOUDEVENTS + STRUCTURED_CLOUDEVENTS:
        return write_structured_cloudevent(draft, _SOURCE)
    return write_plain(draft)


def strays(
    count: int,
    rng: random.Random,
    since: datetime,
    until: datetime,
    lanes: Sequence[tuple[float, Lane]] = LANES,
) -> Iterator[Draft]:
    """Scans of parcels that nobody knows, by carriers and docks, and check-ins of returns that nobody asked for.

    None in the last week: of what comes to a dock, the outcome has to be known.
    """
    span = max(0, int((until - since - _WEEK).total_seconds()))
    for number in range(count):
        at = since + timedelta(seconds=rng.randint(0, span))
        lane = rng.choice(lanes)[1]
        carrier, facility = lane.carrier, lane.facility.facility_id
        tracking = carrier.tracking_number(rng, 9_000_000 + number)
        parcel = {"carrier": carrier.name, "tracking_number": tracking}
        kind, key = SCANS, tracking
        body: dict[str, Any]
        if number % 10 < 5:
            code = rng.choice(carrier.hub)
            said = {"api": code.api, "code_type": code.code_type, "code": code.code}
            body = {"type": "carrier_scan", **parcel, **said, "place": rng.choice(lane.stops())}
        elif number % 10 < 8:
            kind = WAREHOUSE
            body = {"type": "checked_in", **parcel, "facility": facility}
        else:
            kind, key = WAREHOUSE, f"X{number:06d}"
            body = {"type": "checked_in", "return_id": key, "facility": facility}
        yield Draft(kind, key, body, at, at, f"stray-{number}")


def malformed(
    count: int, rng: random.Random, since: datetime, until: datetime
) -> Iterator[tuple[str, SimEvent]]:
    """(reason, record) of `count` records that must end as dead letters, every kind in turn."""
    for number in range(count):
        reason, kind, value = _MALFORMED[number % len(_MALFORMED)]
        at = since + timedelta(seconds=rng.randint(0, int((until - since).total_seconds())))
        yield reason, SimEvent(kind, f"bad-{number}".encode(), value, (), at, at, "")
