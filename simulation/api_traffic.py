"""A world as its carriers' APIs tell it: what is appended to which topic, and which of the world's events are told by it.

The oracle goes by the world's own events, in the contract's words (`Sending.tells`), and never sees a payload. What an API cannot
say of an event is taken off it first (`Shape.says`), so the oracle knows no more of a place than a payload can tell.

- A history is told whole each time. Some are sent again, later than newer ones; some reword what they said before; some leave
  out old scans, which takes nothing back; some carry several parcels; some are asked for now and then and tell several
  scans at once; before the first scan there may be an answer that nothing is known. Some bodies are gzip.
- What is taken back: EPCIS has error declarations. No other shape can say it, so there the scan and its retraction stay
  events of the contract, as does whatever has codes that are no API's here.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from gzip import compress
from hashlib import sha256
from itertools import groupby, islice
from typing import Any, Final, NamedTuple
from zlib import crc32

from simulation.api_carriers import API_CARRIERS
from simulation.api_shapes import SHAPES, History, Scan, Shape
from simulation.happenings import SCANS, Headers, SimEvent, encode_json
from simulation.ledger import LedgerEvent, opened

_BY_CODES: Final = {shape.codes_of: shape for shape in SHAPES}
_CARRIER_OF: Final = {carrier.hub[0].api: carrier.name for carrier in API_CARRIERS}
_WORDS: Final = {
    (code.api, code.code_type, code.code): code.text
    for carrier in API_CARRIERS
    for code in (*carrier.first_scan, *carrier.hub)
}
"""What a carrier writes beside a code, where the world left it out."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEFT_AFTER_CUT: Final = 3
_MINUTE: Final = timedelta(minutes=1)


class Sending(NamedTuple):
    """One record. `tells`: the world's events that are told by it for the first time, or the very event that it is."""

    appears_at: datetime
    kind: str
    api: str
    """The adapter that reads it, which names its topic; "": it is an event of the contract."""
    key: bytes
    value: bytes
    headers: Headers
    tells: tuple[SimEvent, ...]


class _News(NamedTuple):
    event: SimEvent
    """As far as the API can tell it."""
    scan: Scan
    carrier: str
    number: str
    moment: datetime


@dataclass(slots=True)
class _Known:
    """What was told of a parcel."""

    scans: dict[bytes, Scan] = field(default_factory=dict)
    sent: int = 0


def native(events: Iterable[SimEvent]) -> list[Sending]:
    """Every event as the contract's own."""
    return [Sending(one.appears_at, one.kind, "", one.key, one.value, one.headers, (one,)) for one in events]


def by_apis(events: Sequence[SimEvent], until_at: datetime) -> list[Sending]:
    """The events with the carriers' in payloads, in the order of appearance, until then."""
    bodies = [(event, _body(event)) for event in events]
    ids = _ids_of_epcis(bodies)
    taken_back = {body["retracts"] for _, body in bodies if "retracts" in body} - ids.keys()
    news: dict[str, list[_News]] = {shape.adapter: [] for shape in SHAPES}
    as_they_are: list[SimEvent] = []
    for event, body in bodies:
        shape = _BY_CODES.get(body.get("api", ""))
        if body.get("type") == "scan_retracted" and body["retracts"] in ids:
            news["epcis_2"].append(_declared_wrong(event, ids[body["retracts"]]))
        elif shape is None or body.get("id") in taken_back:
            as_they_are.append(event)
        else:
            news[shape.adapter].append(_news(event, body, shape))
    sendings = native(as_they_are)
    for shape in SHAPES:
        sendings += _told(shape, news[shape.adapter])
    sendings.sort(key=lambda one: (one.appears_at, one.value))
    return [one for one in sendings if one.appears_at <= until_at]


def ledger_of(sendings: Iterable[Sending], appended_at: datetime | None = None) -> list[LedgerEvent]:
    """What is known by records that were appended then; None: each at the very moment at which it appears."""
    return [
        LedgerEvent(event.kind, event.value, event.headers, appended_at or sending.appears_at)
        for sending in sendings
        for event in sending.tells
    ]


# ---- the world's events -----------------------------------------------------------------------------------


def _body(event: SimEvent) -> dict[str, Any]:
    """What an event of a carrier says; nothing for all others, and for what is no event."""
    if event.kind != SCANS:
        return {}
    try:
        body, producer_id = opened(event)
        datetime.fromisoformat(body["occurred_at"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return body if producer_id is None else {**body, "id": producer_id[-1]}


def _ids_of_epcis(bodies: Iterable[tuple[SimEvent, dict[str, Any]]]) -> dict[str, _News]:
    """Producer's id -> the scan, of all that are told by EPCIS."""
    shape = _BY_CODES["epcis_2"]
    told = [(event, body) for event, body in bodies if body.get("api") == shape.codes_of and "id" in body]
    return {body["id"]: _news(event, body, shape) for event, body in told}


def _news(event: SimEvent, body: dict[str, Any], shape: Shape) -> _News:
    place = {part: text for part, text in (body.get("place") or {}).items() if part in shape.says}
    if shape.home and "country" not in place:
        place["country"] = shape.home
    known_by = body.get("id") or sha256(event.value).hexdigest()[:16]
    code = body["code_type"], body["code"]
    text = body.get("text") or _WORDS.get((shape.codes_of, *code), "")
    scan = Scan(datetime.fromisoformat(body["occurred_at"]), *code, text, place, known_by)
    number, moment = event.key.decode(), _moment(event.appears_at, shape)
    return _News(_as_told(event, place, text), scan, _CARRIER_OF[shape.codes_of], number, moment)


def _declared_wrong(event: SimEvent, of: _News) -> _News:
    return of._replace(event=event, scan=of.scan._replace(taken_back=True), moment=event.appears_at)


def _as_told(event: SimEvent, place: dict[str, str], text: str) -> SimEvent:
    """The event with no more of its place than the API says, and with words, which every API has."""
    document = json.loads(event.value)
    said = document.get("data", document)
    said |= {"place": place, "text": text}
    if not place:
        del said["place"]
    return event._replace(value=encode_json(document))


def _moment(at: datetime, shape: Shape) -> datetime:
    """When the shop hears of it: at once, or when it asks next."""
    if not shape.asked_every:
        return at
    return _EPOCH - (_EPOCH - at) // shape.asked_every * shape.asked_every


# ---- what an API sends ------------------------------------------------------------------------------------


def _told(shape: Shape, news: list[_News]) -> Iterator[Sending]:
    """Every record of one API."""
    if shape.tells == "event":
        for one in news:
            yield from _sent(shape, one.moment, [History(one.carrier, one.number, [one.scan])], [one.event])
        return
    known: dict[str, _Known] = {}
    for moment, some in groupby(sorted(news, key=lambda one: one.moment), key=lambda one: one.moment):
        by_parcel: dict[str, list[_News]] = {}
        for one in some:
            by_parcel.setdefault(one.number, []).append(one)
        for parcels in _batched(by_parcel, shape.parcels):
            yield from _nothing_yet(shape, moment, [number for number in parcels if number not in known])
            histories = [
                _history(known.setdefault(number, _Known()), by_parcel[number]) for number in parcels
            ]
            told = [one.event for number in parcels for one in by_parcel[number]]
            yield from _sent(shape, moment, histories, told)


def _history(known: _Known, news: Sequence[_News]) -> History:
    """All that is known of a parcel, or what is left of it."""
    known.scans |= {one.event.value: one.scan for one in news}
    known.sent += 1
    scans = sorted(known.scans.values(), key=lambda scan: scan.at, reverse=True)
    number = news[0].number
    if not crc32(number.encode()) % 5:
        new = [one.scan for one in news]
        scans = [scan for place, scan in enumerate(scans) if place < _LEFT_AFTER_CUT or scan in new]
    if not known.sent % 3:
        scans = [_reworded(scan) for scan in scans]
    return History(news[0].carrier, number, scans)


def _reworded(scan: Scan) -> Scan:
    """The same scan in other words, where words are not all that it has."""
    return scan._replace(text=f"{scan.text}.".upper()) if scan.code else scan


def _nothing_yet(shape: Shape, moment: datetime, numbers: Sequence[str]) -> Iterator[Sending]:
    """What was answered, an hour or two before, when these parcels were asked for."""
    if shape.without_news and numbers:
        before = moment - timedelta(minutes=60 + crc32(numbers[0].encode()) % 60)
        unknown = [History(_CARRIER_OF[shape.codes_of], number, ()) for number in numbers]
        yield _sending(shape, before, unknown, ())


def _sent(
    shape: Shape, moment: datetime, histories: Sequence[History], told: Sequence[SimEvent]
) -> Iterator[Sending]:
    """The record, and now and then the same once more when newer ones are there already."""
    sending = _sending(shape, moment, histories, told)
    yield sending
    chance = crc32(sending.value)
    if not chance % 20:
        yield sending._replace(appears_at=moment + (5 + chance % 600) * _MINUTE, tells=())


def _sending(
    shape: Shape, moment: datetime, histories: Sequence[History], told: Sequence[SimEvent]
) -> Sending:
    value = shape.write(histories)
    if not crc32(value) % 10:
        value = compress(value, mtime=0)
    key = histories[0].number.encode()
    return Sending(moment, SCANS, shape.adapter, key, value, (), tuple(told))


def _batched(numbers: Iterable[str], most: int) -> Iterator[list[str]]:
    waiting = iter(numbers)
    while some := list(islice(waiting, most)):
        yield some
