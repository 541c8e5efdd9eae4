"""Intake: from the records of one input partition to keyed facts, each on its way to `parcels` or `returns`.

Stateless and pure: the same records give the same facts. A record that is not an event of the contract is refused
with a reason and never affects the ones around it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, Protocol

from schemas.carrier_codes import CarrierCodes
from schemas.facts import Arrivals
from schemas.topics import MAX_RECORD_BYTES, InputKind
from schemas.vocabulary import DeadLetterReason
from streams.adapting import Adapter, Trouble
from streams.envelope import open_envelope, open_payload
from streams.facts_of_events import (
    CLAMPED,
    DOUBTFUL_NUMBER,
    EVENTS,
    OTHER,
    UNKNOWN_CARRIER,
    UNMAPPED,
    Chunk,
    FactMaker,
    Stage,
)
from streams.facts_of_messages import MessageFacts
from streams.facts_of_payloads import ANSWERS, PayloadFacts
from streams.gaps import NotUnderstood
from streams.message_reading import MessageSource, attributes_of
from streams.reading import EventReader, sized
from streams.refusal import ACTIONS, RefusalError

__all__ = [
    "ANSWERS",
    "CLAMPED",
    "DOUBTFUL_NUMBER",
    "EVENTS",
    "OTHER",
    "UNKNOWN_CARRIER",
    "UNMAPPED",
    "Acceptance",
    "Intake",
    "IntakeMapper",
    "Refused",
    "Stage",
]


class InputRecord(Protocol):
    """A record as the transport hands it over."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How far an event's time may be from its arrival, and how large a record may be."""

    max_future: timedelta = timedelta(minutes=10)
    """Further in the future, the time is clamped to the arrival, flagged and counted."""
    max_past: timedelta = timedelta(days=730)
    """Further in the past, the record is refused as `time_out_of_range`."""
    max_bytes: int = MAX_RECORD_BYTES


class Refused(NamedTuple):
    """A record for `dead-letters`."""

    record: InputRecord
    reason: DeadLetterReason
    detail: str
    action: str


@dataclass(slots=True)
class Intake:
    """What came of a chunk of records."""

    facts: list[tuple[Stage, bytes, bytes]] = field(default_factory=list)
    """(stage, record key, record value), in the order of the records."""
    refused: list[Refused] = field(default_factory=list)
    arrivals: dict[str, Arrivals] = field(default_factory=dict)
    """Feed -> what came of it in this chunk, for the marker: a carrier of scans (`other` for those that no table knows), or
    the kind of another input.
    """
    counters: dict[tuple[str, str], int] = field(default_factory=dict)
    """(name, label) -> count: EVENTS and CLAMPED by type, ANSWERS by kind, the others by carrier."""
    lateness_ms: list[int] = field(default_factory=list)
    """How long after its own time an event arrived, of one record in 32."""
    gaps: list[NotUnderstood] = field(default_factory=list)
    """The scans that were not understood, if the mapper was made to tell them."""


class IntakeMapper:
    """Maps chunks of every kind of input topic."""

    def __init__(
        self,
        codes: CarrierCodes,
        acceptance: Acceptance | None = None,
        *,
        salt: str = "",
        adapters: Mapping[str, Adapter | MessageSource] | None = None,
        tells_gaps: bool = False,
    ) -> None:
        """`salt`: random, for the keyed hashes of what is forgotten (streams/forgetting.py). `adapters`: topic -> what
        reads its payloads or messages; topics that are not there carry the contract's events. `tells_gaps`: fill `Intake.gaps`.
        """
        self._tells_gaps = tells_gaps
        accept = acceptance or Acceptance()
        self._adapters = dict(adapters or {})
        self._max_bytes = accept.max_bytes
        self._readers = {kind: EventReader(kind, accept.max_bytes) for kind in InputKind}
        self._facts = FactMaker(codes, accept.max_future, accept.max_past, salt)
        self._messages = MessageFacts(self._facts)
        self._payloads = PayloadFacts(codes, self._facts, accept.max_future, accept.max_past)

    def map_chunk(
        self,
        records: Sequence[InputRecord],
        kind: str,
        arrived_ms: int,
        *,
        topic: str,
        partition: int,
        appended_ms: int | None = None,
    ) -> Intake:
        """Map the records of one input partition that arrived at `arrived_ms` (the log's clock).

        `kind` is an InputKind: it says which events the topic carries. `appended_ms`: when they had been appended at the latest,
        if that is known to be earlier: what we read late was not late itself.
        """
        reader = self._readers[InputKind(kind)]
        appended_ms = arrived_ms if appended_ms is None else min(arrived_ms, appended_ms)
        chunk = Chunk(kind, topic, partition, arrived_ms, appended_ms)
        if self._tells_gaps:
            chunk.gaps = []
        adapter = self._adapters.get(topic)
        if adapter is not None:
            return _intake(chunk, self._adapt(chunk, records, adapter))
        refused = []
        for record in records:
            try:
                value = reader.check(record.value)
                source, event_id = "", ""
                if record.headers:
                    value, source, event_id = open_envelope(value, record.headers)
                    value = reader.check(value)
                self._facts.add(chunk, reader.read(value), record.offset, source, event_id)
            except RefusalError as refusal:
                refused.append(Refused(record, refusal.reason, refusal.detail, refusal.action))
        return _intake(chunk, refused)

    def _adapt(
        self, chunk: Chunk, records: Sequence[InputRecord], reader: Adapter | MessageSource
    ) -> list[Refused]:
        """Map payloads or messages; a record is refused for what of it could not be read, and what could be read counts."""
        refused = []
        for record in records:
            try:
                value = open_payload(sized(record.value, self._max_bytes), record.headers)
                trouble = self._read(chunk, record, value, reader)
            except RefusalError as refusal:
                refused.append(Refused(record, refusal.reason, refusal.detail, refusal.action))
                continue
            if trouble is not None:
                refused.append(Refused(record, trouble.reason, trouble.detail, ACTIONS[trouble.reason]))
        return refused

    def _read(
        self, chunk: Chunk, record: InputRecord, value: bytes, reader: Adapter | MessageSource
    ) -> Trouble | None:
        """Add what one record tells; returns what of it could not be read."""
        if isinstance(reader, MessageSource):
            headers = attributes_of(record.value or b"", record.headers)
            message = reader.read(value, chunk.arrived_ms, self._max_bytes, record.key, headers)
            return self._messages.add(chunk, message, record.offset)
        payload = reader.read(value, chunk.arrived_ms, self._max_bytes, record.key)
        return self._payloads.add(
            chunk, payload, reader.name, history=reader.tells_history, offset=record.offset
        )


def _intake(chunk: Chunk, refused: list[Refused]) -> Intake:
    counters = {(EVENTS, name): count for name, count in chunk.events.items()} | chunk.counters
    return Intake(chunk.facts, refused, chunk.arrivals, counters, chunk.lateness_ms, chunk.gaps or [])
