"""From one event of the contract to the facts that it states: what, about which parcel or return, when, seen by whom.

An event states all of its facts or, when it is refused, none. `_MAKERS` at the end is the whole map.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import astuple

from schemas.canary import is_canary
from schemas.carrier_codes import CarrierCodes
from schemas.commands import Command, Forget
from schemas.decoding import struct_of
from schemas.event_fields import AboutParcelOrReturn, InputEvent
from schemas.events import (
    EVENT_MODELS,
    KIND_OF_TYPE,
    CarrierScan,
    CheckedIn,
    CheckinRetracted,
    DisputeClosed,
    DisputeOpened,
    DropoffClaimed,
    Inspected,
    LabelCreated,
    LabelVoided,
    RefundApproved,
    RefundFailed,
    RefundIssued,
    RefundRefused,
    RefundSettled,
    ReplacementSent,
    Restocked,
    ReturnApproved,
    ReturnCancelled,
    ReturnRequested,
    ScanRetracted,
    Value,
    event_type,
)
from schemas.facts import (
    FORGET_KEY,
    LATE_MS,
    Arrivals,
    Erasure,
    LabelTerms,
    ParcelFact,
    ReturnFact,
    ReturnTerms,
    Source,
    encode_json,
)
from schemas.money import minor_units
from schemas.topics import InputKind
from schemas.vocabulary import CommandType, DeadLetterReason, Evidence, Milestone, TimeQuality
from streams.check_digits import doubt_of
from streams.epoch import YEAR_9999_MS, epoch_ms
from streams.facts_of_commands import case_command, forget_command
from streams.gaps import NotUnderstood
from streams.identity import identity_of_content, identity_of_id
from streams.keys import FEED, parcel_key, split_parcel_key
from streams.parcel_look import OWN_KEY
from streams.payload_times import ReadTime
from streams.places import place_token
from streams.refusal import RefusalError

Stage = Literal["parcels", "returns"]

EVENTS: Final = "events"
UNMAPPED: Final = "unmapped"
UNKNOWN_CARRIER: Final = "unknown_carrier"
CLAMPED: Final = "clamped"
DOUBTFUL_NUMBER: Final = "doubtful_number"
OTHER: Final = "other"

_MILLISECOND = timedelta(milliseconds=1)
_DAY_MS = 24 * 60 * 60 * 1000
"""Later times cannot be written in every time zone."""
_NO_SUCH_PROMISE = "promised_refund_at: needs a time between the years 1970 and 9999"
_UNUSABLE_NUMBER = "carrier and tracking_number need a letter or a digit, and no control characters"
_NAMES_FEEDS = f"no carrier can be called `{FEED}`: in commands it names feeds; give the carrier another name"
_VOIDED = Milestone.LABEL_VOIDED
_MAX_PLACES = 20_000
_HEAVIEST_GRAMS = 1_000_000
_USUAL = ReturnTerms()
_LABEL_FACTS = {
    "label_created": (Milestone.LABEL_CREATED, Evidence.ANNOUNCED),
    "label_voided": (Milestone.LABEL_VOIDED, Evidence.SYSTEM),
}

LATENESS_SAMPLE = 32
"""Lateness is a distribution: one record in 32, chosen by its offset, tells it."""

_FEEDS = frozenset({InputKind.ORDERS.value, InputKind.LABELS.value, InputKind.WAREHOUSE.value})
"""Kinds of input that are one feed each; of scans each carrier's are one."""
_Place = tuple[str | None, str | None, str | None, str | None]
"""(country, city, postal code, site) as an event says them."""


@dataclass(slots=True)
class Chunk:
    """The records of one input partition, on their way: where they are from and what has come of them."""

    kind: str
    topic: str
    partition: int
    arrived_ms: int
    appended_ms: int
    """When it came to us, which may be long before we read it."""
    facts: list[tuple[Stage, bytes, bytes]] = field(default_factory=list)
    arrivals: dict[str, Arrivals] = field(default_factory=dict)
    """Feed -> what came of it."""
    events: dict[str, int] = field(default_factory=dict)
    """Event type -> how many."""
    counters: dict[tuple[str, str], int] = field(default_factory=dict)
    lateness_ms: list[int] = field(default_factory=list)
    """How long after its own time an event arrived, of every LATENESS_SAMPLE-th record."""
    gaps: list[NotUnderstood] | None = None
    """What was not understood; None: nobody asks."""
    begins: list[int] = field(default_factory=list)
    """For each record, how many facts there were before it, if somebody asks."""

    def arrived(self, feed: str, written_ms: int, *, clamped: bool, unmapped: bool = False) -> None:
        """Add one to what came of a feed."""
        came = self.arrivals.get(feed)
        if came is None:
            came = self.arrivals[feed] = Arrivals()
        came.count += 1
        came.late += written_ms < self.appended_ms - LATE_MS
        came.clamped += clamped
        came.unmapped += unmapped

    def count(self, name: str, label: str, more: int = 1) -> None:
        """Add to a counter."""
        counted = (name, label)
        self.counters[counted] = self.counters.get(counted, 0) + more


class _Stamp(msgspec.Struct, frozen=True, gc=False):
    """What every fact of an event shares."""

    event_id: str
    namespace: str
    """In which `event_id`, and the ids that retractions name, are unique."""
    written_ms: int
    """The event's time as its producer wrote it: part of the identity."""
    occurred_ms: int
    arrived_ms: int
    source: Source
    clamped: bool
    quality: int = 0
    written: str | None = None
    """Of a time whose offset nobody wrote: the time as it is written, in place of `written_ms`."""

    def seen(self) -> tuple[int, int, Source]:
        """Return when it happened, when it arrived and where it was read: the middle of every fact."""
        return self.occurred_ms, self.arrived_ms, self.source

    def identity(self, name: str, *content: str) -> int:
        """Return the event's identity: by its id, else by its content and the time as written."""
        if self.event_id:
            return identity_of_id(self.namespace, name, self.event_id)
        written = str(self.written_ms) if self.written is None else self.written
        return identity_of_content(name, written, *content)

    def retracted(self, name: str, event_id: str) -> int:
        """Return the identity of the event of a type that a retraction names."""
        return identity_of_id(self.namespace, name, event_id)


class FactMaker:
    """Makes the facts of events. Keeps small caches, no state."""

    def __init__(
        self, codes: CarrierCodes, max_future: timedelta, max_past: timedelta, salt: str = ""
    ) -> None:
        """Take the carrier codes and how far an event's time may be from its arrival. `salt`: see schemas.facts.CaseCommand."""
        self._codes = codes
        self._salt = salt
        self._max_future_ms = max_future // _MILLISECOND
        self._max_past_ms = max_past // _MILLISECOND
        self._places: dict[_Place, str] = {}
        self._known_carriers = codes.carriers
        self._makers: dict[type, tuple[str, _Maker, str]] = {}
        """Event -> its type, what makes its facts, and the kind of topic it belongs on: within that its id is unique."""
        for model, maker in _MAKERS.items():
            name = event_type(model)
            made = (name, maker, KIND_OF_TYPE[name].value)
            self._makers[model] = self._makers[struct_of(model)] = made

    def add(
        self,
        chunk: Chunk,
        event: InputEvent,
        offset: int,
        ce_source: str,
        ce_id: str,
        read: ReadTime | None = None,
    ) -> None:
        """Add the facts of an event to the chunk. Raises RefusalError, and then adds nothing.

        `read`: its time, where that is not as the contract wants it (streams/message_reading.py).
        """
        if read is not None and read.quality is not TimeQuality.OFFSET:
            self._add_unsure(chunk, event, offset, read)
            return
        name, maker, kind = self._makers[type(event)]
        written_ms = epoch_ms(event.occurred_at)
        arrived_ms = chunk.arrived_ms
        clamped = written_ms > arrived_ms + self._max_future_ms
        if written_ms < arrived_ms - self._max_past_ms:
            raise self._too_old(written_ms, arrived_ms)
        stamp = _Stamp(
            ce_id or event.id or "",
            f"source {ce_source}" if ce_id else kind,
            written_ms,
            arrived_ms if clamped else written_ms,
            arrived_ms,
            Source(chunk.topic, chunk.partition, offset),
            clamped,
        )
        self._state(chunk, event, stamp, name, maker)

    def _add_unsure(self, chunk: Chunk, event: InputEvent, offset: int, read: ReadTime) -> None:
        """Add the facts of an event whose time is an interval: its later end counts, but not behind the arrival."""
        name, maker, kind = self._makers[type(event)]
        arrived_ms = chunk.arrived_ms
        if read.end_ms < arrived_ms - self._max_past_ms:
            raise self._too_old(read.end_ms, arrived_ms)
        clamped = read.start_ms > arrived_ms + self._max_future_ms
        occurred_ms = arrived_ms if clamped else max(read.start_ms, min(read.end_ms, arrived_ms))
        source = Source(chunk.topic, chunk.partition, offset)
        seen = (occurred_ms, occurred_ms, arrived_ms, source, clamped, int(read.quality), read.written)
        self._state(chunk, event, _Stamp(event.id or "", kind, *seen), name, maker)

    def _state(self, chunk: Chunk, event: InputEvent, stamp: _Stamp, name: str, maker: "_Maker") -> None:
        """Add what an event states to the chunk, and count it."""
        maker(self, chunk, event, stamp)
        # A canary comes from a machine beside us: it would make a silent shop look alive.
        if chunk.kind in _FEEDS and not is_canary(getattr(event, "return_id", None) or ""):
            chunk.arrived(chunk.kind, stamp.written_ms, clamped=stamp.clamped)
        if not stamp.source.offset % LATENESS_SAMPLE:
            chunk.lateness_ms.append(max(0, stamp.arrived_ms - stamp.written_ms))
        chunk.events[name] = chunk.events.get(name, 0) + 1
        if stamp.clamped:
            chunk.count(CLAMPED, name)

    def _too_old(self, written_ms: int, arrived_ms: int) -> RefusalError:
        days = (arrived_ms - written_ms) // _DAY_MS
        limit = self._max_past_ms // _DAY_MS
        detail = f"occurred_at is {days} days before the arrival, the limit is {limit}"
        return RefusalError(DeadLetterReason.TIME_OUT_OF_RANGE, detail)

    def _scan(self, chunk: Chunk, event: CarrierScan, stamp: _Stamp) -> None:
        carrier, key = self.parcel_of(chunk, event.carrier, event.tracking_number)
        code = event.code or ""
        meaning = self._codes.lookup(
            carrier, event.api, event.code_type, event.code, event.text, event.direction
        )
        where = event.place
        place = (
            self.place_of((where.country, where.city, where.postal_code, where.site))
            if where is not None
            else ""
        )
        if stamp.event_id:
            identity = identity_of_id(stamp.namespace, "carrier_scan", stamp.event_id)
        else:
            what = (event.api or "", event.code_type or "", code or f"milestone {meaning.milestone.value}")
            identity = stamp.identity("carrier_scan", key, *what, event.direction or "", place)
        if not meaning.understood:
            chunk.count(UNMAPPED, carrier if carrier in self._known_carriers else OTHER)
            if chunk.gaps is not None:
                asked = ((event.api or "", event.code_type or "", code),)
                chunk.gaps.append(NotUnderstood(key, carrier, asked, event.text or "", event.direction or ""))
        fact = ParcelFact(
            identity,
            meaning.milestone,
            meaning.evidence,
            stamp.occurred_ms,
            stamp.arrived_ms,
            stamp.source,
            stamp.quality,
            place,
            self._codes.kept(code) if code else "",
            LabelTerms((), carrier) if meaning.milestone is _VOIDED else None,
            "",
            0,
            stamp.clamped,
        )
        chunk.facts.append(("parcels", key.encode(), encode_json(fact)))
        feed = carrier if carrier in self._known_carriers else OTHER
        chunk.arrived(feed, stamp.written_ms, clamped=stamp.clamped, unmapped=not meaning.understood)

    def _scan_retracted(self, chunk: Chunk, event: ScanRetracted, stamp: _Stamp) -> None:
        _, key = self.parcel_of(chunk, event.carrier, event.tracking_number)
        identity = stamp.identity("scan_retracted", key, event.retracts)
        retracts = stamp.retracted("carrier_scan", event.retracts)
        fact = ParcelFact(identity, Milestone.UNMAPPED, Evidence.SYSTEM, *stamp.seen(), retracts=retracts)
        _to_parcel(chunk, key, fact)

    def _label_created(self, chunk: Chunk, event: LabelCreated, stamp: _Stamp) -> None:
        carrier, key = self.parcel_of(chunk, event.carrier, event.tracking_number)
        if doubt_of(*split_parcel_key(key)):
            chunk.count(DOUBTFUL_NUMBER, carrier)
        value_minor, currency = _money(event.value)
        terms = LabelTerms(
            _returns_of(event),
            carrier,
            service=event.service or "",
            origin=(event.origin_country or "").upper(),
            destination=(event.destination_country or "").upper(),
            facility=event.facility or "",
            value_minor=value_minor,
            currency=currency,
            shop=event.shop or "",
            weight_grams=_plausible(event.weight_grams),
        )
        self._label(chunk, key, stamp, "label_created", terms)

    def _label_voided(self, chunk: Chunk, event: LabelVoided, stamp: _Stamp) -> None:
        carrier, key = self.parcel_of(chunk, event.carrier, event.tracking_number)
        self._label(chunk, key, stamp, "label_voided", LabelTerms(_returns_of(event), carrier))

    @staticmethod
    def _label(chunk: Chunk, key: str, stamp: _Stamp, name: str, terms: LabelTerms) -> None:
        content = (terms.service, terms.origin, terms.destination, terms.facility, str(terms.value_minor))
        shop: tuple[str, ...] = (terms.shop,) if terms.shop else ()
        if terms.weight_grams:
            shop += (f"{terms.weight_grams} g",)
        identity = stamp.identity(name, key, *terms.returns, "", *content, *shop)
        seen, clamped = stamp.seen(), stamp.clamped
        milestone, evidence = _LABEL_FACTS[name]
        told = ParcelFact(
            identity, milestone, evidence, *seen, quality=stamp.quality, label=terms, clamped=clamped
        )
        _to_parcel(chunk, key, told)
        minor, currency = terms.value_minor, terms.currency
        fact = ReturnFact(identity, milestone, *seen, parcels=(key,), value_minor=minor, currency=currency)
        for return_id in terms.returns:
            _to_return(chunk, return_id, fact)

    def _dropoff_claimed(self, chunk: Chunk, event: DropoffClaimed, stamp: _Stamp) -> None:
        return_id, key = _return_id(event.return_id), self._parcel_if_named(chunk, event)
        identity = stamp.identity("dropoff_claimed", return_id, key)
        milestone, seen, clamped = Milestone.DROPOFF_CLAIMED, stamp.seen(), stamp.clamped
        if key:
            claim = ParcelFact(identity, milestone, Evidence.CLAIMED, *seen, stamp.quality, clamped=clamped)
            _to_parcel(chunk, key, claim)
        _to_return(chunk, return_id, ReturnFact(identity, milestone, *seen, parcels=(key,) if key else ()))

    def _return_requested(self, chunk: Chunk, event: ReturnRequested, stamp: _Stamp) -> None:
        return_id, (value_minor, currency) = _return_id(event.return_id), _money(event.value)
        promised = event.promised_refund_at
        promised_ms = epoch_ms(promised) if promised is not None else 0
        if not 0 <= promised_ms < YEAR_9999_MS:
            raise RefusalError(DeadLetterReason.BAD_VALUE, _NO_SUCH_PROMISE)
        terms = ReturnTerms(
            event.method,
            event.resolution,
            event.withdrawal,
            (event.country or "").upper(),
            event.shop or "",
            event.category or "",
            event.return_reason or "",
            event.customer_risk,
            event.loyal,
        )
        content = (return_id, str(value_minor), currency, str(promised_ms), *map(str, astuple(terms)))
        fact = ReturnFact(
            stamp.identity("return_requested", *content),
            Milestone.RETURN_REQUESTED,
            *stamp.seen(),
            value_minor=value_minor,
            currency=currency,
            promised_ms=promised_ms,
            terms=None if terms == _USUAL else terms,
        )
        _to_return(chunk, return_id, fact)

    def _inspected(self, chunk: Chunk, event: Inspected, stamp: _Stamp) -> None:
        return_id, facility = _return_id(event.return_id), event.facility or ""
        named = {self.parcel_of(chunk, ref.carrier, ref.tracking_number)[1] for ref in event.parcels or ()}
        parcels, mismatches = tuple(sorted(named)), tuple(sorted(set(event.mismatch or ())))
        disposition = event.disposition or ""
        identity = stamp.identity("inspected", return_id, facility, *parcels, "", disposition, *mismatches)
        fact = ReturnFact(
            identity,
            Milestone.INSPECTED,
            *stamp.seen(),
            parcels,
            facility=facility,
            disposition=disposition,
            mismatches=mismatches,
        )
        _to_return(chunk, return_id, fact)

    def _checked_in(self, chunk: Chunk, event: CheckedIn, stamp: _Stamp) -> None:
        parcel = self._parcel_if_named(chunk, event)
        named = [self.parcel_of(chunk, ref.carrier, ref.tracking_number)[1] for ref in event.parcels or ()]
        return_id = _return_id(event.return_id) if event.return_id is not None else ""
        parcels = tuple(sorted({parcel, *named} - {""}))
        facility, complete, count = event.facility or "", event.complete, max(event.count, len(parcels))
        content = (return_id, *parcels, "", facility, str(complete), str(count))
        weight_grams = _plausible(event.weight_grams) if parcel else 0
        if weight_grams:
            content += (f"{weight_grams} g",)
        identity, milestone, seen = stamp.identity("checked_in", *content), Milestone.CHECKED_IN, stamp.seen()
        if parcel:
            evidence = Evidence.WAREHOUSE_MATCH if return_id else Evidence.WAREHOUSE_SCAN
            clamped = stamp.clamped
            dock_scan = ParcelFact(
                identity,
                milestone,
                evidence,
                *seen,
                stamp.quality,
                facility=facility,
                clamped=clamped,
                weight_grams=weight_grams,
            )
            _to_parcel(chunk, parcel, dock_scan)
        if return_id:
            receipt = ReturnFact(identity, milestone, *seen, parcels, complete, count, facility)
            _to_return(chunk, return_id, receipt)

    def _checkin_retracted(self, chunk: Chunk, event: CheckinRetracted, stamp: _Stamp) -> None:
        parcel = self._parcel_if_named(chunk, event)
        return_id = _return_id(event.return_id) if event.return_id is not None else ""
        identity = stamp.identity("checkin_retracted", return_id, parcel, event.retracts)
        retracts, seen = stamp.retracted("checked_in", event.retracts), stamp.seen()
        if parcel:
            fact = ParcelFact(identity, Milestone.UNMAPPED, Evidence.SYSTEM, *seen, retracts=retracts)
            _to_parcel(chunk, parcel, fact)
        if return_id:
            _to_return(chunk, return_id, ReturnFact(identity, Milestone.UNMAPPED, *seen, retracts=retracts))

    def _forget(self, chunk: Chunk, event: Forget, stamp: _Stamp) -> None:
        """To the return, and to every partition of `parcels`: nobody here knows which parcels carry it."""
        return_id = _return_id(event.return_id)
        told = forget_command(event, return_id, stamp, self._salt)
        chunk.facts.append(
            ("parcels", FORGET_KEY, encode_json(Erasure(self._salt, stamp.occurred_ms, return_id)))
        )
        chunk.facts.append(("returns", return_id.encode(), encode_json(told)))

    def _parcel_if_named(self, chunk: Chunk, event: AboutParcelOrReturn | DropoffClaimed) -> str:
        if event.carrier is None or event.tracking_number is None:
            return ""
        return self.parcel_of(chunk, event.carrier, event.tracking_number)[1]

    def parcel_of(self, chunk: Chunk, carrier_name: str, tracking_number: str) -> tuple[str, str]:
        """Return the canonical carrier and the parcel's key; count carriers that the tables do not know."""
        carrier = self._codes.carrier(carrier_name)
        key = parcel_key(carrier, tracking_number)
        if not carrier or key[-1] == ":" or not key.isprintable():
            raise RefusalError(DeadLetterReason.BAD_VALUE, _UNUSABLE_NUMBER)
        if carrier == FEED and chunk.kind != InputKind.COMMANDS.value:
            raise RefusalError(
                DeadLetterReason.BAD_VALUE, _NAMES_FEEDS
            )  # its parcels would have a feed's cases
        if carrier not in self._known_carriers:
            chunk.count(UNKNOWN_CARRIER, OTHER)
        return carrier, key

    def place_of(self, asked: _Place) -> str:
        """Return the token of a place."""
        token = self._places.get(asked)
        return self._remember_place(asked) if token is None else token

    def _remember_place(self, asked: _Place) -> str:
        if len(self._places) >= _MAX_PLACES:
            self._places.clear()
        token = self._places[asked] = place_token(*asked)
        return token


def _returns_of(event: LabelCreated | LabelVoided) -> tuple[str, ...]:
    """Return the label's return ids, each once, in the same order whatever order the event has."""
    named = [*(event.return_ids or ())]
    if event.return_id is not None:
        named.append(event.return_id)
    return tuple(sorted({_return_id(return_id) for return_id in named}))


def _return_id(return_id: str) -> str:
    stripped = return_id.strip()
    if not stripped or not stripped.isprintable():
        detail = "a return id needs more than spaces, and no control characters"
        raise RefusalError(DeadLetterReason.BAD_VALUE, detail)
    return stripped


def _money(value: Value | None) -> tuple[int, str]:
    if value is None:
        return 0, ""
    return minor_units(value.amount, value.currency), value.currency.upper()


def _to_parcel(chunk: Chunk, key: str, fact: ParcelFact) -> None:
    chunk.facts.append(("parcels", key.encode(), encode_json(fact)))


def _to_return(chunk: Chunk, return_id: str, fact: ReturnFact) -> None:
    chunk.facts.append(("returns", return_id.encode(), encode_json(fact)))


def _plausible(weight_grams: int | None) -> int:
    """A weight that a parcel may have, else 0."""
    return weight_grams if weight_grams is not None and 0 < weight_grams <= _HEAVIEST_GRAMS else 0


_Maker = Callable[[FactMaker, Chunk, Any, _Stamp], None]


def _order_fact(name: str, milestone: Milestone) -> _Maker:
    """Return a maker for events that say one thing about one return."""

    def make(_: FactMaker, chunk: Chunk, event: ReturnApproved, stamp: _Stamp) -> None:
        return_id, (value_minor, currency) = _return_id(event.return_id), _money(event.value)
        identity, seen = stamp.identity(name, return_id, str(value_minor), currency), stamp.seen()
        fact = ReturnFact(identity, milestone, *seen, value_minor=value_minor, currency=currency)
        _to_return(chunk, return_id, fact)

    return make


def _goods_fact(name: str, milestone: Milestone) -> _Maker:
    """Return a maker for what a warehouse does with a return's goods."""

    def make(_: FactMaker, chunk: Chunk, event: Restocked, stamp: _Stamp) -> None:
        return_id, facility = _return_id(event.return_id), event.facility or ""
        identity = stamp.identity(name, return_id, facility)
        _to_return(chunk, return_id, ReturnFact(identity, milestone, *stamp.seen(), facility=facility))

    return make


def _command_fact(command: CommandType) -> _Maker:
    """Return a maker for what people tell about cases."""

    def make(maker: FactMaker, chunk: Chunk, event: Command, stamp: _Stamp) -> None:
        parcel = maker._parcel_if_named(chunk, event)
        key = _return_id(event.return_id) if event.return_id is not None else OWN_KEY + parcel
        until = getattr(event, "until", None)  # only a snooze has one
        until_ms = epoch_ms(until) if until is not None else 0
        told = case_command(command, event, key, stamp, until_ms)
        chunk.facts.append(("returns", key.encode(), encode_json(told)))

    return make


_MAKERS: Final[dict[type[InputEvent], _Maker]] = {
    ReturnRequested: FactMaker._return_requested,
    ReturnApproved: _order_fact("return_approved", Milestone.RETURN_APPROVED),
    ReturnCancelled: _order_fact("return_cancelled", Milestone.RETURN_CANCELLED),
    DropoffClaimed: FactMaker._dropoff_claimed,
    RefundApproved: _order_fact("refund_approved", Milestone.REFUND_APPROVED),
    RefundRefused: _order_fact("refund_refused", Milestone.REFUND_REFUSED),
    RefundIssued: _order_fact("refund_issued", Milestone.REFUND_ISSUED),
    RefundSettled: _order_fact("refund_settled", Milestone.REFUND_SETTLED),
    RefundFailed: _order_fact("refund_failed", Milestone.REFUND_FAILED),
    ReplacementSent: _order_fact("replacement_sent", Milestone.REPLACEMENT_SENT),
    DisputeOpened: _order_fact("dispute_opened", Milestone.DISPUTE_OPENED),
    DisputeClosed: _order_fact("dispute_closed", Milestone.DISPUTE_CLOSED),
    LabelCreated: FactMaker._label_created,
    LabelVoided: FactMaker._label_voided,
    CarrierScan: FactMaker._scan,
    ScanRetracted: FactMaker._scan_retracted,
    CheckedIn: FactMaker._checked_in,
    CheckinRetracted: FactMaker._checkin_retracted,
    Inspected: FactMaker._inspected,
    Restocked: _goods_fact("restocked", Milestone.RESTOCKED),
    **{model: _command_fact(CommandType(event_type(model))) for model in EVENT_MODELS[InputKind.COMMANDS]},
    Forget: FactMaker._forget,
}
