"""What was appended to the input topics, read plainly: records in, things that happened to parcels and returns out.

This is the oracle's own reading of the input contract, one record at a time; records that break the contract are
skipped, since they can prove nothing.
"""

import json
import unicodedata
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from schemas.carrier_codes import CarrierCodes, load_carrier_codes
from schemas.events import KIND_OF_TYPE
from schemas.vocabulary import PHYSICAL_CARRIER_EVIDENCE, Evidence, Milestone
from simulation.happenings import Headers, SimEvent


class Route(NamedTuple):
    """What the label says about the way of a parcel; "" for what it does not say."""

    carrier: str
    origin: str
    destination: str
    facility: str
    service: str = ""
    shop: str = ""
    worth: tuple[Decimal, str] | None = None
    """Amount in the currency's main unit, and the currency."""


NOWHERE: Final = Route("", "", "", "")
"""Of a return without a parcel: no carrier, no lane, no facility."""


class LedgerEvent(NamedTuple):
    """A record as it lies in an input topic. `appended_at`: the log's time, aware, in simulated time."""

    kind: str
    value: bytes
    headers: Headers
    appended_at: datetime


class Spot(NamedTuple):
    """A place as a carrier writes it, without accents, capitals and punctuation; "" for what it does not say."""

    country: str
    city: str
    postal_code: str
    site: str

    @classmethod
    def of(cls, country: str | None, city: str | None, postal_code: str | None, site: str | None) -> "Spot":
        """From the words of an event or of a policy."""
        return cls(*map(_folded, (country, city, postal_code, site)))

    @property
    def token(self) -> tuple[str, ...]:
        """Equal for places that count as the same: the country and the most precise other part; () for nowhere."""
        precise = next(filter(None, (self.site, self.city, self.postal_code)), "")
        return (self.country, precise) if self.country or precise else ()

    def is_surely_one_of(self, places: "Sequence[Wanted]") -> bool:
        """Whether it is one of the places, by the most precise that it says of itself besides its country."""
        part = next((name for name in ("site", "city", "postal_code") if getattr(self, name)), None)
        return part is not None and any(
            (self.country, getattr(self, part)) == (_folded(one.country), _folded(getattr(one, part)))
            for one in places
        )


class Wanted(Protocol):
    """A place as a policy writes it."""

    @property
    def country(self) -> str: ...
    @property
    def site(self) -> str | None: ...
    @property
    def city(self) -> str | None: ...
    @property
    def postal_code(self) -> str | None: ...


@lru_cache(maxsize=10_000)
def _folded(text: str | None) -> str:
    letters = unicodedata.normalize("NFKD", (text or "").casefold())
    plain = [letter for letter in letters if not unicodedata.combining(letter)]
    return " ".join("".join(letter if letter.isalnum() else " " for letter in plain).split())


_NO_SPOT: Final = Spot("", "", "", "")


@dataclass(frozen=True, slots=True)
class ParcelNews:
    """Something that a producer says about a parcel. `physical`: a person or machine of the carrier had it in hand."""

    identity: Hashable
    milestone: Milestone
    evidence: Evidence
    at: datetime
    appended_at: datetime
    spot: Spot = _NO_SPOT
    place: tuple[str, ...] = ()
    """The spot's token."""
    returns: tuple[str, ...] = ()
    """Which returns a label, its void or a dock scan names."""
    route: Route = NOWHERE
    retracts: Hashable = None
    physical: bool = False
    grams: int = 0
    """What a label says that the parcel should weigh, or what the dock weighed; 0: nothing that a parcel may weigh."""


@dataclass(frozen=True, slots=True)
class ReturnNews:
    """Something that the shop or the warehouse says about a return.

    Which fields mean something depends on the milestone: those from `promised_at` to `reason` of a request; `complete` and
    `count` of a check-in; `disposition` and `mismatch` of an inspection.
    """

    identity: Hashable
    milestone: Milestone
    at: datetime
    appended_at: datetime
    parcels: tuple[str, ...] = ()
    complete: bool = False
    count: int = 1
    retracts: Hashable = None
    promised_at: datetime | None = None
    method: str = "parcel"
    resolution: str = "refund"
    withdrawal: bool = False
    country: str = ""
    shop: str = ""
    worth: tuple[Decimal, str] | None = None
    risk: str = "normal"
    category: str = ""
    reason: str = ""
    disposition: str = ""
    mismatch: bool = False

    @property
    def all_right(self) -> bool:
        """Of an inspection: the goods are as announced, and taken back."""
        return not self.mismatch and self.disposition != "reject"


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
            body, envelope_id = opened(event)
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


ProducerId = tuple[str, str, str]
"""(source or topic kind, event type, the producer's id)"""


def opened(event: LedgerEvent | SimEvent) -> tuple[dict[str, Any], ProducerId | None]:
    """The event's fields, and the id that its producer gave it (None without one).

    Raises ValueError, KeyError, TypeError or AttributeError for what is none.
    """
    headers = dict(event.headers)
    body = json.loads(event.value)
    if b"cloudevents+json" in headers.get("content-type", b""):
        data = {"type": body["type"].rpartition(".")[2], **body["data"]}
        return data, (body["source"], data["type"], body["id"])
    if "ce_type" in headers:
        body = {"type": headers["ce_type"].decode().rpartition(".")[2], **body}
        return body, (headers["ce_source"].decode(), body["type"], headers["ce_id"].decode())
    return body, (event.kind, body["type"], body["id"]) if "id" in body else None


def _namespace(event: LedgerEvent, producer_id: ProducerId | None) -> str:
    """In which the ids that a retraction names are unique: the CloudEvents source, else the kind of topic."""
    return event.kind if producer_id is None else producer_id[0]


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at


def _understand(
    event: LedgerEvent, body: dict[str, Any], producer_id: ProducerId | None, codes: CarrierCodes
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
        news = ParcelNews(
            identity, Milestone.UNMAPPED, Evidence.SYSTEM, at, event.appended_at, retracts=taken_back
        )
        return [(_parcel(codes, body), news)]
    if kind in {"checked_in", "checkin_retracted"}:
        return _check_in(event, body, identity, at, codes, _namespace(event, producer_id))
    if kind not in KIND_OF_TYPE or not isinstance(body["return_id"], str):
        raise ValueError(kind)
    return [(body["return_id"], _of_return(event, body, identity, at, codes))]


def _content(body: dict[str, Any]) -> tuple[str, ...]:
    """What makes two events without an id the same: everything said but the free text."""
    return tuple(f"{name}={body[name]}" for name in sorted(body) if name != "text")


def _worth(body: dict[str, Any]) -> tuple[Decimal, str] | None:
    """What an event says that its goods are worth."""
    value = body.get("value")
    return None if not value else (Decimal(str(value["amount"])), value["currency"].upper())


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
        Evidence.ANNOUNCED if milestone is Milestone.LABEL_CREATED else Evidence.SYSTEM,
        at,
        event.appended_at,
        returns=tuple(dict.fromkeys(returns)),
        route=Route(
            codes.carrier(body["carrier"]),
            (body.get("origin_country") or "").upper(),
            (body.get("destination_country") or "").upper(),
            body.get("facility") or "",
            body.get("service") or "",
            body.get("shop") or "",
            _worth(body),
        ),
        grams=_grams(body),
    )


def _grams(body: dict[str, Any]) -> int:
    """A weight of more than nothing and at most a ton."""
    said = body.get("weight_grams") or 0
    return said if 1 <= said <= 1_000 * 1_000 else 0


def _scan(
    event: LedgerEvent, body: dict[str, Any], identity: Hashable, at: datetime, codes: CarrierCodes
) -> ParcelNews:
    said = [body.get(name) or "" for name in ("api", "code_type", "code", "text", "direction")]
    meaning = codes.lookup(codes.carrier(body["carrier"]), *said)
    where = body.get("place") or {}
    spot = Spot.of(*(where.get(part) for part in ("country", "city", "postal_code", "site")))
    return ParcelNews(
        identity,
        meaning.milestone,
        meaning.evidence,
        at,
        event.appended_at,
        spot=spot,
        place=spot.token,
        physical=meaning.evidence in PHYSICAL_CARRIER_EVIDENCE and meaning.milestone not in _NEVER_IN_HAND,
    )


_NEVER_IN_HAND: Final = {Milestone.UNMAPPED, Milestone.PICKUP_FAILED, Milestone.PICKUP_SCHEDULED}
"""What proves nothing about where the parcel is, whoever says it."""


def _check_in(
    event: LedgerEvent,
    body: dict[str, Any],
    identity: Hashable,
    at: datetime,
    codes: CarrierCodes,
    namespace: str,
) -> list[tuple[str, ParcelNews | ReturnNews]]:
    """A dock scan, a check-in by the number of the return, or both in one."""
    retracts = (namespace, "checked_in", body["retracts"]) if body["type"] == "checkin_retracted" else None
    milestone = Milestone.CHECKED_IN if retracts is None else Milestone.UNMAPPED
    evidence = Evidence.WAREHOUSE_SCAN if retracts is None else Evidence.SYSTEM
    news: list[tuple[str, ParcelNews | ReturnNews]] = []
    scanned, return_id = _named(codes, body), body.get("return_id")
    if scanned:
        named = () if return_id is None else (return_id,)
        dock_scan = ParcelNews(
            identity,
            milestone,
            evidence,
            at,
            event.appended_at,
            returns=named,
            retracts=retracts,
            grams=_grams(body) if retracts is None else 0,
        )
        news.append((scanned, dock_scan))
    if return_id is not None:
        others = [_parcel(codes, named) for named in body.get("parcels") or ()]
        by_number = ReturnNews(
            identity,
            milestone,
            at,
            event.appended_at,
            parcels=tuple(filter(None, (scanned, *others))),
            complete=body.get("complete", False),
            count=body.get("count", 1),
            retracts=retracts,
        )
        news.append((return_id, by_number))
    if not news:
        raise ValueError(body["type"])
    return news


def _named(codes: CarrierCodes, body: dict[str, Any]) -> str:
    """The parcel that an event names; "" when it names none for certain."""
    return _parcel(codes, body) if body.get("carrier") and body.get("tracking_number") else ""


def _of_return(
    event: LedgerEvent, body: dict[str, Any], identity: Hashable, at: datetime, codes: CarrierCodes
) -> ReturnNews:
    """Anything that orders or warehouse say about a return and that is no check-in."""
    promised = body.get("promised_refund_at")
    named = [_parcel(codes, parcel) for parcel in body.get("parcels") or ()]
    return ReturnNews(
        identity,
        Milestone[body["type"].upper()],
        at,
        event.appended_at,
        parcels=tuple(filter(None, (_named(codes, body), *named))),
        promised_at=None if promised is None else _time(promised),
        method=body.get("method", "parcel"),
        resolution=body.get("resolution", "refund"),
        withdrawal=body.get("withdrawal", False),
        country=(body.get("country") or "").upper(),
        shop=body.get("shop") or "",
        worth=_worth(body),
        risk=body.get("customer_risk") or "normal",
        category=body.get("category") or "",
        reason=body.get("return_reason") or "",
        disposition=body.get("disposition") or "",
        mismatch=bool(body.get("mismatch")),
    )
