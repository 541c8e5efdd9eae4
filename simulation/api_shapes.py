"""What a carrier has told of its parcels so far, as its API or an aggregator writes it: pure functions, one for each shape.

Written after the documents that the adapters of `schemas/adapters/` name, not after those files: what a shape writes and its
adapter reads is compared by tests with what the world wanted told. A history is newest first.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from simulation.carriers import UNKNOWN_CODES
from simulation.happenings import encode_json, stamp


class Scan(NamedTuple):
    """One step of a parcel, as its carrier knows it. `place`: country, city and site, as far as the API says them."""

    at: datetime
    code_type: str
    code: str
    text: str
    place: Mapping[str, str]
    event_id: str
    taken_back: bool = False


class History(NamedTuple):
    """A parcel and what is told of it now, the newest first."""

    carrier: str
    number: str
    scans: Sequence[Scan]


_ZONES: Final = {
    "FR": ZoneInfo("Europe/Paris"),
    "DE": ZoneInfo("Europe/Berlin"),
    "IT": ZoneInfo("Europe/Rome"),
    "ES": ZoneInfo("Europe/Madrid"),
    "GB": ZoneInfo("Europe/London"),
    "US": ZoneInfo("America/New_York"),
    "CA": ZoneInfo("America/Toronto"),
}
_NO_PLACE: Final = ZoneInfo("UTC")


def _local(scan: Scan, elsewhere: ZoneInfo = _NO_PLACE) -> datetime:
    """The time as a clock on the wall of the place shows it; `elsewhere`: where no place is told."""
    return scan.at.astimezone(_ZONES.get(scan.place.get("country", ""), elsewhere))


def _offset(local: datetime) -> str:
    """As +02:00."""
    return local.isoformat()[-6:]


def _wall(local: datetime) -> str:
    """Without the offset."""
    return local.replace(tzinfo=None).isoformat()


def ups_track_alert(histories: Sequence[History]) -> bytes:
    """One event, with the local time and the same moment in GMT."""
    ((_, number, (scan, *_)),) = histories
    local, gmt = _local(scan), scan.at.astimezone(UTC)
    kind = "U" if scan.code in UNKNOWN_CODES else scan.code_type.removeprefix("type ")
    alert = {
        "trackingNumber": number,
        "localActivityDate": local.strftime("%Y%m%d"),
        "localActivityTime": local.strftime("%H%M%S"),
        "activityLocation": {"city": scan.place.get("city", ""), "country": scan.place.get("country", "")},
        "activityStatus": {"type": kind, "code": scan.code, "description": scan.text},
        "gmtActivityDate": gmt.strftime("%Y%m%d"),
        "gmtActivityTime": gmt.strftime("%H%M%S"),
    }
    return encode_json(alert)


def fedex_rest_track_v1(histories: Sequence[History]) -> bytes:
    """Several numbers asked at once; those not known yet are errors among the others."""

    def event(scan: Scan) -> dict[str, Any]:
        where = {"countryCode": scan.place.get("country", ""), "city": scan.place.get("city", "").upper()}
        return {
            "date": _local(scan).isoformat(),
            "eventType": scan.code,
            "eventDescription": scan.text,
            "exceptionCode": "",
            "scanLocation": where,
            "locationId": scan.place.get("site", ""),
        }

    def result(one: History) -> dict[str, Any]:
        number = {"trackingNumber": one.number}
        if not one.scans:
            return {"trackingNumberInfo": number, "error": {"code": "TRACKING.TRACKINGNUMBER.NOTFOUND"}}
        return {"trackingNumberInfo": number, "scanEvents": [event(scan) for scan in one.scans]}

    results = [{"trackingNumber": one.number, "trackResults": [result(one)]} for one in histories]
    return encode_json({"transactionId": "simulated", "output": {"completeTrackResults": results}})


def dhl_mydhl_track(histories: Sequence[History]) -> bytes:
    """Several shipments; of a place only the service area."""

    def event(scan: Scan) -> dict[str, Any]:
        local = _local(scan, _ZONES["DE"])
        told = {
            "date": local.strftime("%Y-%m-%d"),
            "time": local.strftime("%H:%M:%S"),
            "GMTOffset": _offset(local),
            "typeCode": scan.code,
            "description": scan.text,
        }
        return told | ({"serviceArea": [{"code": scan.place["site"]}]} if "site" in scan.place else {})

    if not any(one.scans for one in histories):
        return encode_json({"status": 404, "title": "No shipments found", "detail": "no result found"})
    shipments = [
        {"shipmentTrackingNumber": one.number, "events": [event(scan) for scan in one.scans]}
        for one in histories
    ]
    return encode_json({"shipments": shipments})


def usps_rest_track_v3(histories: Sequence[History]) -> bytes:
    """One parcel; local time, its offset, and GMT."""
    ((_, number, scans),) = histories
    if not scans:
        return encode_json({"error": {"code": "404", "message": "not on file yet"}})

    def event(scan: Scan) -> dict[str, Any]:
        local = _local(scan, _ZONES["US"])
        return {
            "eventType": scan.text,
            "eventCode": scan.code,
            "eventTimestamp": _wall(local),
            "GMTTimestamp": stamp(scan.at),
            "GMTOffset": _offset(local),
            "eventCity": scan.place.get("city", "").upper(),
            "eventCountry": scan.place.get("country", ""),
        }

    return encode_json({"trackingNumber": number, "trackingEvents": [event(scan) for scan in scans]})


def laposte_suivi_v2(histories: Sequence[History]) -> bytes:
    """Answers of several numbers in one list; no places, and the offset of France."""

    def answer(one: History) -> dict[str, Any]:
        if not one.scans:
            return {"returnCode": 404, "returnMessage": "Ressource non trouvée", "idShip": one.number}
        events = [
            {"code": scan.code, "label": scan.text, "date": _local(scan, _ZONES["FR"]).isoformat()}
            for scan in one.scans
        ]
        shipment = {"idShip": one.number, "holder": 4, "product": one.carrier, "event": events}
        return {"lang": "fr_FR", "scope": "open", "returnCode": 200, "shipment": shipment}

    return encode_json([answer(one) for one in histories])


def dpd_geo_events(histories: Sequence[History]) -> bytes:
    """One parcel; local times, whose zone nothing but the country tells."""
    ((_, number, scans),) = histories

    def event(scan: Scan) -> dict[str, Any]:
        local = _local(scan, ZoneInfo("Europe/Amsterdam"))
        told = {
            "date": local.strftime("%Y-%m-%d"),
            "time": local.strftime("%H:%M:%S"),
            "eventType": scan.code,
            "eventTypeText": scan.text,
        }
        return told | {part: scan.place[part] for part in ("country", "city") if part in scan.place}

    return encode_json({"parcelNumber": number, "parcelEvents": [event(scan) for scan in scans]})


def mondialrelay_wsi2(histories: Sequence[History]) -> bytes:
    """One parcel, whose number the answer does not repeat; local times, empty lines, and words in place of codes."""
    ((_, _, scans),) = histories
    lines = "".join(_wsi2_line(scan) for scan in scans) or _WSI2_EMPTY
    state = "81" if scans else "94"
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        '<WSI2_TracingColisDetailleResponse xmlns="http://www.mondialrelay.fr/webservice/">'
        f"<WSI2_TracingColisDetailleResult><STAT>{state}</STAT><Tracing>{lines}{_WSI2_EMPTY}</Tracing>"
        "</WSI2_TracingColisDetailleResult></WSI2_TracingColisDetailleResponse></soap:Body></soap:Envelope>"
    ).encode()


_WSI2_EMPTY: Final = (
    "<ret_WSI2_sub_TracingColisDetaille><Libelle/><Date/><Heure/></ret_WSI2_sub_TracingColisDetaille>"
)


def _wsi2_line(scan: Scan) -> str:
    local = _local(scan, _ZONES["FR"])
    parts = {
        "Libelle": scan.text,
        "Date": local.strftime("%d/%m/%Y"),
        "Heure": local.strftime("%H:%M:%S"),
        "Emplacement": scan.place.get("city", "").upper(),
        "Relais_Num": scan.place.get("site", ""),
        "Relais_Pays": scan.place.get("country", ""),
    }
    told = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in parts.items())
    return f"<ret_WSI2_sub_TracingColisDetaille>{told}</ret_WSI2_sub_TracingColisDetaille>"


_SLUGS: Final = {"royal_mail": "royal-mail"}
_ALPHA_3: Final = {"FR": "FRA", "GB": "GBR"}


def aftership_v4(histories: Sequence[History]) -> bytes:
    """The webhook of one tracking; local times without a zone where there is a place, else with an offset."""
    ((carrier, number, scans),) = histories

    def checkpoint(scan: Scan) -> dict[str, Any]:
        local, country = _local(scan), scan.place.get("country", "")
        return {
            "slug": _SLUGS[carrier],
            "checkpoint_time": _wall(local) if country else local.isoformat(),
            "subtag": scan.code,
            "tag": scan.code.partition("_")[0],
            "message": scan.text,
            "country_iso3": _ALPHA_3.get(country),
            "city": scan.place.get("city"),
        }

    tracking = {
        "id": f"tr-{number}",
        "tracking_number": number,
        "slug": _SLUGS[carrier],
        "checkpoints": [checkpoint(scan) for scan in reversed(scans)],
    }
    return encode_json({"event": "tracking_update", "msg": tracking, "ts": 0})


def easypost_v2(histories: Sequence[History]) -> bytes:
    """The webhook `tracker.updated`; UTC, whatever the carrier wrote."""
    ((_, number, scans),) = histories

    def detail(scan: Scan) -> dict[str, Any]:
        where = {"city": scan.place.get("city"), "country": scan.place.get("country"), "zip": None}
        return {
            "object": "TrackingDetail",
            "message": scan.text,
            "status": "unknown",
            "status_detail": scan.code,
            "datetime": stamp(scan.at),
            "carrier_code": "",
            "tracking_location": {"object": "TrackingLocation", **where},
        }

    tracker = {
        "object": "Tracker",
        "tracking_code": number,
        "carrier": "CanadaPost",
        "is_return": True,
        "tracking_details": [detail(scan) for scan in reversed(scans)],
    }
    return encode_json({"object": "Event", "description": "tracker.updated", "result": tracker})


def seventeen_track_v2(histories: Sequence[History]) -> bytes:
    """Several numbers asked at once, the ones not known yet rejected beside the others."""

    def event(scan: Scan) -> dict[str, Any]:
        return {
            "time_iso": _local(scan).isoformat(),
            "time_utc": stamp(scan.at),
            "description": scan.text,
            "stage": None,
            "sub_status": scan.code,
            "address": {"country": scan.place.get("country"), "city": scan.place.get("city")},
        }

    def accepted(one: History) -> dict[str, Any]:
        provider = {"provider": {"key": 100005}, "events": [event(scan) for scan in one.scans]}
        return {
            "number": one.number,
            "carrier": 100005,
            "track_info": {"tracking": {"providers": [provider]}},
        }

    unknown = [
        {"number": one.number, "error": {"code": -18019909, "message": "No tracking information"}}
        for one in histories
        if not one.scans
    ]
    told = [accepted(one) for one in histories if one.scans]
    return encode_json({"code": 0, "data": {"accepted": told, "rejected": unknown}})


def epcis_2(histories: Sequence[History]) -> bytes:
    """A document with one event; what is taken back is the same event with an error declaration."""
    ((_, number, (scan, *_)),) = histories
    local = _local(scan, _ZONES["DE"])
    event: dict[str, Any] = {
        "type": "ObjectEvent",
        "action": "OBSERVE",
        "eventID": f"urn:uuid:{scan.event_id}",
        "eventTime": local.isoformat(),
        "eventTimeZoneOffset": _offset(local),
        "epcList": [number],
        "bizStep": scan.code,
    }
    if "site" in scan.place:
        event["readPoint"] = {"id": scan.place["site"]}
    if scan.taken_back:
        declared = scan.at + timedelta(hours=1)
        event["errorDeclaration"] = {"declarationTime": stamp(declared), "reason": "did_not_occur"}
    return encode_json({"type": "EPCISDocument", "schemaVersion": "2.0", "epcisBody": {"eventList": [event]}})


class Shape(NamedTuple):
    """How an API tells of parcels."""

    adapter: str
    """The shipped adapter that reads it, and the topic it is played to."""
    codes_of: str
    """The list of codes that its events are from, as events of the contract name it."""
    write: Callable[[Sequence[History]], bytes]
    says: frozenset[str]
    """The parts of a place that it tells."""
    home: str = ""
    """The country that is meant where it tells none."""
    tells: str = "history"
    """`event`: each event alone, when it happens."""
    asked_every: timedelta = timedelta(0)
    """The shop asks so often, and hears of everything since; nothing: it is told at once."""
    parcels: int = 1
    """At most so many in a payload."""
    without_news: bool = False
    """Whether it can be asked of a parcel of which it knows nothing, and says so."""


def _says(*parts: str) -> frozenset[str]:
    return frozenset(parts)


_HALF_HOUR: Final = timedelta(minutes=30)
_LAND_AND_CITY: Final = _says("country", "city")
SHAPES: Final = (
    Shape("ups_track_alert", "ups_track_alert", ups_track_alert, _LAND_AND_CITY, tells="event"),
    Shape(
        "fedex_rest_track_v1",
        "fedex_rest_track_v1",
        fedex_rest_track_v1,
        _says("country", "city", "site"),
        asked_every=_HALF_HOUR,
        parcels=30,
        without_news=True,
    ),
    Shape(
        "dhl_mydhl_track",
        "dhl_xmlpi_track",
        dhl_mydhl_track,
        _says("site"),
        asked_every=timedelta(minutes=20),
        parcels=10,
        without_news=True,
    ),
    Shape(
        "usps_rest_track_v3",
        "usps_webtools_track",
        usps_rest_track_v3,
        _LAND_AND_CITY,
        home="US",
        asked_every=timedelta(hours=1),
        without_news=True,
    ),
    Shape("laposte_suivi_v2", "laposte_suivi_v2", laposte_suivi_v2, _says(), without_news=True),
    Shape("dpd_geo_events", "dpd_geo_events", dpd_geo_events, _LAND_AND_CITY, asked_every=_HALF_HOUR),
    Shape(
        "mondialrelay_wsi2",
        "mondialrelay_web_api",
        mondialrelay_wsi2,
        _says("country", "city", "site"),
        asked_every=timedelta(hours=1),
        without_news=True,
    ),
    Shape("aftership_v4", "aftership_v4", aftership_v4, _LAND_AND_CITY),
    Shape("easypost_v2", "easypost_v2", easypost_v2, _LAND_AND_CITY),
    Shape(
        "17track_v2",
        "17track_v2",
        seventeen_track_v2,
        _LAND_AND_CITY,
        asked_every=timedelta(hours=2),
        parcels=40,
        without_news=True,
    ),
    Shape("epcis_2", "epcis_2", epcis_2, _says("site"), tells="event"),
)
