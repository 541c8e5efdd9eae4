"""Traces at the door: which of an input partition's records are in one, and what intake's facts say of it (docs/adr/0029)."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from streams.intake import InputRecord, Intake
from streams.traces import (
    TRACE_BYTES,
    TRACEPARENT,
    Context,
    context_of,
    derived,
    derived_span,
    read_traceparent,
)

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
IGNORED: Final = "ignored"
_SHARE_BYTES = 8
_CLOUD_EVENT = b"application/cloudevents"

Headers = list[tuple[str, bytes]]


class _Structured(msgspec.Struct):
    """Of a CloudEvent in structured mode, what is in its JSON."""

    traceparent: str = ""


_structured = msgspec.json.Decoder(_Structured).decode


class ReadSpan(NamedTuple):
    """What intake did with one traced record."""

    offset: int
    context: Context
    parent: bytes | None
    """The producer's span; None: the trace was begun here."""
    outcome: str
    reason: str
    """Why it was refused, else ""."""


class Door(NamedTuple):
    """Where records come in: two installations that read one topic are two doors."""

    app_id: str
    topic: str
    partition: int


def begun(place: Sequence[str], value: bytes | None, share: float) -> Context | None:
    """A trace for a record that has none, if it is of the share for which one is begun. `place`: its door and its offset.

    Its id is also of the contents: on other clusters there are other records in the same place.
    """
    if share <= 0:
        return None
    drawn = int.from_bytes(derived(_SHARE_BYTES, b"share", place)) / 256**_SHARE_BYTES
    if drawn >= share:
        return None
    contents = blake2b(value or b"", digest_size=TRACE_BYTES).hexdigest()
    return Context(derived(TRACE_BYTES, b"trace", (*place, contents)), derived_span(*place))


def traced(
    records: Sequence[InputRecord], taken: Intake, door: Door, started_share: float
) -> tuple[list[Headers], list[ReadSpan]]:
    """The headers of each of intake's facts, and a span for each record that is in a trace.

    A record whose producer did not want it recorded is in none. `taken` tells where each record's facts begin.
    """
    prefix = (door.app_id, door.topic, str(door.partition))
    refused = {one.record.offset: one.reason for one in taken.refused}
    headers: list[Headers] = [[] for _ in taken.facts]
    spans = []
    for record, (begin, end) in zip(records, pairwise([*taken.begins, len(taken.facts)]), strict=True):
        place = (*prefix, str(record.offset))
        parent = _context_of_record(record) if record.headers else None
        if parent is None:
            own = begun(place, record.value, started_share)
        else:
            own = parent._replace(span=derived_span(*place)) if parent.is_sampled else None
        if own is None:
            continue
        if begin < end:
            headers[begin:end] = [[(TRACEPARENT, own.header)]] * (end - begin)
        outcome = REFUSED if record.offset in refused else ACCEPTED if begin < end else IGNORED
        reason = refused.get(record.offset, "")
        spans.append(ReadSpan(record.offset, own, parent.span if parent else None, outcome, reason))
    return headers, spans


def _context_of_record(record: InputRecord) -> Context | None:
    """Its headers go before what a CloudEvent in structured mode says."""
    found = context_of(record.headers)
    if found is None and record.value is not None and _is_structured(record.headers):
        try:
            return read_traceparent(_structured(record.value).traceparent.encode())
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None  # what it is instead, its dead letter says
    return found


def _is_structured(headers: Sequence[tuple[str, bytes | None]]) -> bool:
    return any(
        name.lower() == "content-type" and (value or b"").lower().startswith(_CLOUD_EVENT)
        for name, value in headers
    )
