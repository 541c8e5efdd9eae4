"""What was appended to the input topics, read plainly: records in, things that happened to parcels and returns out.

This is the oracle's own reading of the input contract, one record at a time; records that break the contract are
skipped, since they can prove nothing.
"""

import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from schemas.carrier_codes import CarrierCodes, load_carrier_codes
from schemas.events import KIND_OF_TYPE
from schemas.vocabulary import PHYSICAL_CARRIER_EVIDENCE, Milestone
from simulation.happenings import Headers


@dataclass(frozen=True, slots=True)
class Route:
    """What the label says about the way of a parcel; "" for what it does not say."""

    carrier: str
    origin: str
    destination: str
    facility: str


class LedgerEvent(NamedTuple):
    """A record as it lies in an input topic. `appended_at`: the log's time, aware, in simulated time."""

    kind: str
    value: bytes
    headers: Headers
    appended_at: datetime


@dataclass(frozen=True, slots=True)
class ParcelNews:
    """Something that a producer says about a parcel. `physical`: a person or machine of the carrier had it in hand."""

    identity: Hashable
    milestone: Milestone
    physical: bool
    at: datetime
    appended_at: datetime
    place: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()
    route: Route = Route("", "", "", "")
    retracts: Hashable = None


@dataclass(frozen=True, slots=True)
class ReturnNews:
    """Something that a producer says about a return: it is cancelled, or it was checked in by its number."""

    identity: Hashable
    milestone: Milestone
    at: datetime
    appended_at: datetime
    parcels: tuple[str, ...] = ()
    complete: bool = False
    count: int = 1
    retracts: Hashable = None


@dataclass(slots=True)
class Ledger:
    """Everything known about each parcel (`carrier:NUMBER`) and each return id, each thing once, in append order."""

    parcels: dict[str, list[ParcelNews]] = field(default_factory=dict)
    returns: dict[str, list[ReturnNews]] = field(default_factory=dict)
    parcels_of: dict[str, list[str]] = field(default_factory=dict)
    """Return id -> the parcels whose labels name it."""
    unreadable: int = 0


_NOISE: Final = (" ", "-", ".", "\t")


def _parcel(codes: CarrierCodes, body: dict[str, Any]) -> str:
    number = body["tracking_number"]
    for noise in _NOISE:
        number = number.replace(noise, "")
    return f"{codes.carrier(body['carrier'])}:{number.upper()}"


def read_ledger(events: Iterable[LedgerEvent]) -> Ledger:
    """Read records in any order; of the same thing said twice the first one appended counts."""
    ledger, codes = Ledger(), load_carrier_codes()
    seen: set[Hashable] = set()
    for event in sorted(events, key=lambda event: event.appended_at):
        try:
            body, envelope_id = _open(event)
            news = _understand(event, body, envelope_id, codes)
        except (ValueError, KeyError, TypeError, AttributeError):
            ledger.unreadable += 1
            continue
        for subject, item in news:
            if (subject, item.identity) in seen:
                continue
            seen.add((subject, item.identity))
            if isinstance(item, ParcelNews):
                ledger.parcels.setdefault(subject, []).append(item)
                _link(ledger, subject, item)
            else:
                ledger.returns.setdefault(subject, []).append(item)
    return ledger


def _link(ledger: Ledger, parcel: str, item: ParcelNews) -> None:
    if item.milestone is Milestone.LABEL_CREATED:
        for return_id in item.returns:
            parcels = ledger.parcels_of.setdefault(return_id, [])
            if parcel not in parcels:
                parcels.append(parcel)


_ProducerId = tuple[str, str, str]
"""(source or topic kind, event type, the producer's id)"""


def _open(event: LedgerEvent) -> tuple[dict[str, Any], _ProducerId | None]:
    """The event's fields, and the id that its producer gave it (None without one)."""
    headers = dict(event.headers)
    body = json.loads(event.value)
    if b"cloudevents+json" in headers.get("content-type", b""):
        data = {"type": body["type"].rpartition(".")[2], **body["data"]}
        return data, (body["source"], data["type"], body["id"])
    if "ce_type" in headers:
        body = {"type": headers["ce_type"].decode().rpartition(".")[2], **body}
        return body, (headers["ce_source"].decode(), body["type"], headers["ce_id"].decode())
    return body, (event.kind, body["type"], body["id"]) if "id" in body else None


def _namespace(event: LedgerEvent, producer_id: _ProducerId | None) -> str:
    """In which the ids that a retraction names are unique: the CloudEvents source, else the kind of topic."""
    return event.kind if producer_id is None else producer_id[0]


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at


def _understand(
    event: LedgerEvent, body: dict[str, Any], producer_id: _ProducerId | None, codes: CarrierCodes
) -> list[tuple[str, ParcelNews | ReturnNews]]:
    kind, at = body["type"], _time(body["occurred_at"])
    identity = (kind, at, *_content(body)) if producer_id is None else producer_id
    if kind in {"label_created", "label_voided"}:
        milestone = Milestone.LABEL_CREATED if kind == "label_created" else Milestone.LABEL_VOIDED
        return [(_parcel(codes, body), _label(event, body, identity, milestone, at, codes))]
    if kind == "carrier_scan":
        return [(_parcel(codes, body), _scan(event, body, identity, at, codes))]
    if kind == "scan_retracted":
        taken_back = (_namespace(event, producer_id), "carrier_scan", body["retracts"])
        news = ParcelNews(identity, Milestone.UNMAPPED, False, at, event.appended_at, retracts=taken_back)
        return [(_parcel(codes, body), news)]
    if kind in {"checked_in", "checkin_retracted"}:
        return _check_in(event, body, identity, at, codes, _namespace(event, producer_id))
    if kind == "return_cancelled":
        return [(body["return_id"], ReturnNews(identity, Milestone.RETURN_CANCELLED, at, event.appended_at))]
    if kind not in KIND_OF_TYPE or not isinstance(body["return_id"], str):
        raise ValueError(kind)
    return []  # nothing that a rule waits for


def _content(body: dict[str, Any]) -> tuple[str, ...]:
    """What makes two events without an id the same: everything said but the free text."""
    return tuple(f"{name}={body[name]}" for name in sorted(body) if name != "text")


def _label(
    event: LedgerEvent,
    body: dict[str, Any],
    identity: Hashable,
    milestone: Milestone,
    at: datetime,
    codes: CarrierCodes,
) -> ParcelNews:
    returns = list(body.get("return_ids") or [])
    if body.get("return_id"):
        returns.append(body["return_id"])
    return ParcelNews(
        identity,
        milestone,
        False,
        at,
        event.appended_at,
        returns=tuple(dict.fromkeys(returns)),
        route=Route(
            codes.carrier(body["carrier"]),
            (body.get("origin_country") or "").upper(),
            (body.get("destination_country") or "").upper(),
            body.get("facility") or "",
        ),
    )


def _scan(
    event: LedgerEvent, body: dict[str, Any], identity: Hashable, at: datetime, codes: CarrierCodes
) -> ParcelNews:
    said = [body.get(name) or "" for name in ("api", "code_type", "code", "text", "direction")]
    meaning = codes.lookup(codes.carrier(body["carrier"]), *said)
    where = body.get("place") or {}
    said_of_place = [
        str(where.get(part) or "").strip().casefold() for part in ("site", "city", "postal_code")
    ]
    place = (str(where.get("country") or "").strip().casefold(), next(filter(None, said_of_place), ""))
    physical = meaning.evidence in PHYSICAL_CARRIER_EVIDENCE and meaning.milestone is not Milestone.UNMAPPED
    return ParcelNews(
        identity, meaning.milestone, physical, at, event.appended_at, place=place if any(place) else ()
    )


def _check_in(
    event: LedgerEvent,
    body: dict[str, Any],
    identity: Hashable,
    at: datetime,
    codes: CarrierCodes,
    namespace: str,
) -> list[tuple[str, ParcelNews | ReturnNews]]:
    retracts = (namespace, "checked_in", body["retracts"]) if body["type"] == "checkin_retracted" else None
    milestone = Milestone.CHECKED_IN if retracts is None else Milestone.UNMAPPED
    if body.get("tracking_number"):
        news = ParcelNews(identity, milestone, False, at, event.appended_at, retracts=retracts)
        return [(_parcel(codes, body), news)]
    by_number = ReturnNews(
        identity,
        milestone,
        at,
        event.appended_at,
        parcels=tuple(_parcel(codes, named) for named in body.get("parcels") or ()),
        complete=body.get("complete", False),
        count=body.get("count", 1),
        retracts=retracts,
    )
    return [(body["return_id"], by_number)]
