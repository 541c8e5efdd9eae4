"""Intake: from the records of one input partition to keyed facts, each on its way to `parcels` or `returns`.

Stateless and pure: the same records give the same facts. A record that is not an event of the contract is refused
with a reason and never affects the ones around it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from schemas.carrier_codes import CarrierCodes
from schemas.envelopes import NoEvent
from schemas.facts import Arrivals
from schemas.topics import MAX_RECORD_BYTES, InputKind
from schemas.vocabulary import DeadLetterReason
from streams.adapting import Adapter, Trouble
from streams.envelope import Wrapped, open_envelope, open_payload, with_defaults
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
from streams.payload_tree import GZIP, unpacked
from streams.reading import EventReader, sized
from streams.refusal import ACTIONS, RefusalError
from streams.topic_envelopes import TopicEnvelope
from streams.wire_format import Schemas

__all__ = [
    "ANSWERS",
    "CLAMPED",
    "DOUBTFUL_NUMBER",
    "EVENTS",
    "NO_EVENT",
    "OTHER",
    "UNKNOWN_CARRIER",
    "UNMAPPED",
    "Acceptance",
    "Intake",
    "IntakeMapper",
    "Refused",
    "Stage",
]


NO_EVENT: Final = "no_event"


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
    """(name, label) -> count: EVENTS and CLAMPED by type, ANSWERS and NO_EVENT by kind, the others by carrier."""
    lateness_ms: list[int] = field(default_factory=list)
    """How long after its own time an event arrived, of one record in 32."""
    gaps: list[NotUnderstood] = field(default_factory=list)
    """The scans that were not understood, if the mapper was made to tell them."""
    begins: list[int] = field(default_factory=list)
    """For each record, where its facts begin, if the mapper was made to tell that."""


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
        tells_begins: bool = False,
        envelopes: Mapping[str, TopicEnvelope] | None = None,
        schemas: Schemas | None = None,
    ) -> None:
        """`salt`: random, for the keyed hashes of what is forgotten (streams/forgetting.py). `adapters`: topic -> what
        reads its payloads or messages; topics that are not there carry the contract's events. `tells_gaps`, `tells_begins`:
        fill `Intake.gaps`, `Intake.begins`.
        `envelopes`: topic -> what is around either; topics that are not there have what can be seen by itself. `schemas`: those
        of a registry that are known, for chunks that do not bring theirs.
        """
        self._tells_gaps, self._tells_begins = tells_gaps, tells_begins
        accept = acceptance or Acceptance()
        self._adapters = dict(adapters or {})
        self._envelopes = dict(envelopes or {})
        self._schemas = schemas or {}
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
        schemas: Schemas | None = None,
    ) -> Intake:
        """Map the records of one input partition that arrived at `arrived_ms` (the log's clock).

        `kind` is an InputKind: it says which events the topic carries. `appended_ms`: when they had been appended at the latest,
        if that is known to be earlier: what we read late was not late itself. `schemas`: those of a registry that the
        records name.
        """
        reader = self._readers[InputKind(kind)]
        appended_ms = arrived_ms if appended_ms is None else min(arrived_ms, appended_ms)
        chunk = Chunk(kind, topic, partition, arrived_ms, appended_ms)
        adapter, envelope = self._adapters.get(topic), self._envelopes.get(topic)
        schemas = self._schemas if schemas is None else schemas
        if self._tells_gaps:
            chunk.gaps = []
        records_in_turn = _noting_begins(chunk, records) if self._tells_begins else records
        if adapter is not None:
            return _intake(chunk, self._adapt(chunk, records_in_turn, adapter, envelope, schemas))
        refused = []
        for record in records_in_turn:
            try:
                value, headers = record.value, record.headers
                defaults: dict[str, str] = {}
                if envelope is not None:
                    inside = self._inside(chunk, record, envelope, schemas)
                    if inside is None:
                        continue
                    value, headers, defaults = inside
                elif value is not None and value.startswith(GZIP):
                    value = unpacked(sized(value, self._max_bytes), self._max_bytes)
                value = reader.check(value)
                source, event_id = "", ""
                if headers:
                    value, source, event_id = open_envelope(value, headers)
                    value = reader.check(value)
                elif defaults:
                    value = with_defaults(value, defaults)
                self._facts.add(chunk, reader.read(value), record.offset, source, event_id)
            except RefusalError as refusal:
                refused.append(Refused(record, refusal.reason, refusal.detail, refusal.action))
        return _intake(chunk, refused)

    def _inside(
        self, chunk: Chunk, record: InputRecord, envelope: TopicEnvelope, schemas: Schemas
    ) -> Wrapped | None:
        """Return what is in the envelope that the settings name; None: no event, and that is counted. Raises RefusalError."""
        value = record.value
        if value is not None:
            value = unpacked(sized(value, self._max_bytes), self._max_bytes)
        inside = envelope.open(value, record.headers, schemas)
        if isinstance(inside, NoEvent):
            chunk.count(NO_EVENT, inside)
            return None
        return inside

    def _adapt(
        self,
        chunk: Chunk,
        records: Iterable[InputRecord],
        reader: Adapter | MessageSource,
        envelope: TopicEnvelope | None,
        schemas: Schemas,
    ) -> list[Refused]:
        """Map payloads or messages; a record is refused for what of it could not be read, and what could be read counts."""
        refused = []
        for record in records:
            try:
                whole, headers = record.value, record.headers
                if envelope is not None:
                    inside = self._inside(chunk, record, envelope, schemas)
                    if inside is None:
                        continue
                    whole, headers = inside.value, inside.headers
                whole = sized(whole, self._max_bytes)
                if headers and whole.startswith(GZIP):
                    whole = unpacked(whole, self._max_bytes)  # what the headers tell of is inside
                value = open_payload(whole, headers)
                if envelope is not None:
                    # The others may still tell something: of an outbox row its id and type.
                    others = [one for one in record.headers if one[0].lower() != "content-type"]
                    headers = [*others, *headers]
                trouble = self._read(chunk, record, value, reader, Wrapped(whole, headers, {}))
            except RefusalError as refusal:
                refused.append(Refused(record, refusal.reason, refusal.detail, refusal.action))
                continue
            if trouble is not None:
                refused.append(Refused(record, trouble.reason, trouble.detail, ACTIONS[trouble.reason]))
        return refused

    def _read(
        self,
        chunk: Chunk,
        record: InputRecord,
        value: bytes,
        reader: Adapter | MessageSource,
        around: Wrapped,
    ) -> Trouble | None:
        """Add what one record tells; returns what of it could not be read. `around`: what the value came out of."""
        if isinstance(reader, MessageSource):
            headers = attributes_of(around.value, around.headers) if around.headers else None
            message = reader.read(value, chunk.arrived_ms, self._max_bytes, record.key, headers)
            return self._messages.add(chunk, message, record.offset)
        payload = reader.read(value, chunk.arrived_ms, self._max_bytes, record.key)
        return self._payloads.add(
            chunk, payload, reader.name, history=reader.tells_history, offset=record.offset
        )


def _noting_begins(chunk: Chunk, records: Sequence[InputRecord]) -> Iterator[InputRecord]:
    """The records, and before each how many facts there are by then."""
    for record in records:
        chunk.begins.append(len(chunk.facts))
        yield record


def _intake(chunk: Chunk, refused: list[Refused]) -> Intake:
    counters = {(EVENTS, name): count for name, count in chunk.events.items()} | chunk.counters
    return Intake(
        chunk.facts,
        refused,
        chunk.arrivals,
        counters,
        chunk.lateness_ms,
        chunk.gaps or [],
        chunk.begins or [],
    )
