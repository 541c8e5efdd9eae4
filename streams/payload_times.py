"""When something happened, as a payload says it: a moment, or as much as is known of it.

A payload may write a local time without its zone, or only a date. Such a time is an interval, from the earliest moment that
it may be to the latest, and the later end is used: what happened later is due later, so no deadline ends too early by
what nobody wrote. It is never later than the payload itself.
"""

import re
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache, partial
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from schemas.adapter_files import EPOCH_MS, EPOCH_S, ISO, OFFSETS, PLACE
from schemas.place_zones import Zones, place_zones
from schemas.vocabulary import TimeQuality
from streams.epoch import epoch_ms, wall_ms

_SAMPLES = (datetime(2011, 12, 10, 9, 8, 7), datetime(2027, 3, 4, 15, 26, 37))  # noqa: DTZ001 - no zone is asked for
_DIRECTIVE = re.compile("%([a-zA-Z])")
_DAY = timedelta(days=1)
_FARTHEST_OFFSET = timedelta(hours=14)
_DAY_S = 24 * 60 * 60
_QUARTER_S = 15 * 60
"""Every zone's offset is so many of these."""
_QUARTERS = range(-12 * 4, 14 * 4 + 1)
"""From the date line to the date line."""
_SLACK_S = 3 * 60
_DATE_CHARS = 10
_LAST_EPOCH_S = 253_370_764_800
_ANY_ZONE: Final = (timezone(timedelta(hours=14)), timezone(timedelta(hours=-12)))
_ABBREVIATIONS: Final = {
    **{
        "UTC": 0,
        "GMT": 0,
        "Z": 0,
        "WET": 0,
        "BST": 60,
        "WEST": 60,
        "CET": 60,
        "CEST": 120,
        "EET": 120,
        "EEST": 180,
    },
    **{"MSK": 180, "NST": -210, "NDT": -150, "AST": -240, "ADT": -180, "EST": -300, "EDT": -240, "CST": -360},
    **{
        "CDT": -300,
        "MST": -420,
        "MDT": -360,
        "PST": -480,
        "PDT": -420,
        "AKST": -540,
        "AKDT": -480,
        "HST": -600,
    },
}
"""Minutes ahead of UTC. CST and BST as carriers of North America and Europe mean them."""


class ReadTime(NamedTuple):
    """A time as it was read."""

    written: str
    """As the payload has it: part of the event's identity."""
    at: datetime | None
    """The same, with a zone if it says one; None: the payload says no time."""
    start_ms: int
    end_ms: int
    quality: TimeQuality


class When(NamedTuple):
    """What a zone may be told from, of one event."""

    country: str = ""
    region: str = ""
    abbreviation: str = ""
    offset: str = ""
    utc: str = ""


NOTHING_MORE: Final = When()


class TimeReader:
    """Reads times written in one way."""

    def __init__(
        self,
        formats: tuple[str, ...],
        zones: tuple[str, ...],
        *,
        midnight_is_a_day: bool,
        assumed: bool,
        home: str | None = None,
    ) -> None:
        self._formats = formats
        self._home = _named(home) if home is not None else None
        self._is_iso = formats[0] == ISO
        self._zones = zones
        self._midnight_is_a_day = midnight_is_a_day
        self._assumed = assumed
        first = zones[0] if zones and zones[0] not in {PLACE, OFFSETS} else None
        zone = None if first is None else _named(first)
        self._at_home = None if zone is None else (zone, zone, _quality_of_named(zones[0], sure=True))
        """Zones and quality of a time of which nothing more is known; None: they have to be looked for."""

    def read_moment(self, text: str) -> ReadTime | None:
        """Return the time in a text that says its offset and is no day: nothing else has to be asked for it."""
        if not self._is_iso or self._home is not None:
            return None
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            return None
        if (
            at.tzinfo is None
            or not MINYEAR < at.year < MAXYEAR
            or (self._midnight_is_a_day and not (at.hour or at.minute or at.second))
        ):
            return None
        moment = epoch_ms(at)
        quality = TimeQuality.ASSUMED if self._assumed else TimeQuality.OFFSET
        return ReadTime(text, at, moment, moment, quality)

    def read(self, text: str, when: When) -> ReadTime | None:
        """Return the time in a text, or None if it is written in another way."""
        for form in self._formats:
            found = _parsed(text, form)
            if found is not None:
                at, is_date = found
                try:
                    return self._placed(text, at, form, is_date, when)
                except OverflowError:
                    return None  # at the ends of the calendar
        return None

    def _placed(self, text: str, at: datetime, form: str, is_date: bool, when: When) -> ReadTime:
        if not MINYEAR < at.year < MAXYEAR:
            raise OverflowError
        local = _on_the_wall(at)
        is_date = is_date or (self._midnight_is_a_day and local.time() == time.min)
        first, last, quality = self._zone(at, form, when)
        start, end = _moments(local, first)
        if first is not last:
            end = _moments(local, last)[1]
        if is_date:
            end = _moments(local + _DAY, last)[1] - 1
            quality = TimeQuality.DATE_ONLY
        elif self._home is not None and quality is TimeQuality.OFFSET:
            start, end, quality = self._away(local, start, when)
        elif self._assumed or start != end:  # not sure of the zone, or of the hour: in it clocks were changed
            quality = TimeQuality.ASSUMED
        return ReadTime(text, at, start, end, quality)

    def _away(self, local: datetime, written_ms: int, when: When) -> tuple[int, int, TimeQuality]:
        """Return from when to when a time may be that has an offset, where the account's home may have given it the offset."""
        home = self._home or UTC
        if written_ms not in _moments(local, home):
            return written_ms, written_ms, TimeQuality.OFFSET
        zones = place_zones().zones(when.country, when.region) if when.country else None
        if zones is None:
            return written_ms, written_ms, TimeQuality.ASSUMED
        there = _moments(local, zones.first)[0], _moments(local, zones.last)[1]
        if set(there) == {written_ms}:
            return written_ms, written_ms, TimeQuality.OFFSET
        return min(written_ms, *there), max(written_ms, *there), TimeQuality.ASSUMED

    def _zone(self, at: datetime, form: str, when: When) -> tuple[tzinfo, tzinfo, TimeQuality]:
        """Return the zones where the time is earliest and latest, and how they are known."""
        if self._at_home is not None and at.tzinfo is None and when is NOTHING_MORE:
            return self._at_home
        zone: tzinfo | None = at.tzinfo or _written_offset(when.offset)
        if zone is None and when.utc:
            zone = _offset_from_utc(at, _parsed(when.utc, form))
        if zone is not None:
            return zone, zone, TimeQuality.OFFSET
        for place, option in enumerate(self._zones):
            if option == PLACE:
                zones = place_zones().zones(when.country, when.region) if when.country else None
                if zones is not None:
                    return (*zones, _quality_of(zones))
            elif option == OFFSETS:
                minutes = _ABBREVIATIONS.get(when.abbreviation.upper())
                if minutes is not None:
                    zone = timezone(timedelta(minutes=minutes))
                    return zone, zone, TimeQuality.OFFSET
            else:
                return (zone := _named(option)), zone, _quality_of_named(option, sure=place == 0)
        return (*_ANY_ZONE, TimeQuality.ASSUMED)


def at_arrival(arrived_ms: int) -> ReadTime:
    """Return the time of something that says none: it happened at the latest when it was told."""
    return ReadTime("", None, arrived_ms, arrived_ms, TimeQuality.ASSUMED)


def _quality_of(zones: Zones) -> TimeQuality:
    return TimeQuality.DERIVED_FROM_PLACE if zones.first is zones.last else TimeQuality.ASSUMED


def _quality_of_named(name: str, *, sure: bool) -> TimeQuality:
    if not sure:
        return TimeQuality.ASSUMED
    return TimeQuality.OFFSET if name == "UTC" else TimeQuality.DERIVED_FROM_PLACE


def _moments(local: datetime, zone: tzinfo) -> tuple[int, int]:
    """Return the epoch milliseconds of a local time: twice the same, but where a clock change makes it two moments."""
    ahead_ms = _ahead_ms(zone, local.date())
    if ahead_ms is not None:
        moment = wall_ms(local) - ahead_ms
        return moment, moment
    moments = [epoch_ms(local.replace(tzinfo=zone, fold=fold).astimezone(UTC)) for fold in (0, 1)]
    return min(moments), max(moments)


@lru_cache(maxsize=8192)
def _ahead_ms(zone: tzinfo, day: date) -> int | None:
    """Return how far ahead of UTC a zone's clocks are all that day; None: they are changed."""
    times = [datetime.combine(day, at) for at in (time.min, time(12), time.max)]
    offsets = {zone.utcoffset(at.replace(fold=fold)) for at in times for fold in (0, 1)}
    ahead = offsets.pop()
    return None if offsets or ahead is None else ahead // timedelta(milliseconds=1)


def _on_the_wall(at: datetime) -> datetime:
    return at if at.tzinfo is None else at.replace(tzinfo=None)


def _parsed(text: str, form: str) -> tuple[datetime, bool] | None:
    """Return a time, with its offset if it has one, and whether it is a date only; None: not in this form."""
    try:
        if form == ISO:
            return datetime.fromisoformat(text), len(text) <= _DATE_CHARS
        if form in {EPOCH_S, EPOCH_MS}:
            seconds = float(text) / (1000 if form == EPOCH_MS else 1)
            if not 0 <= seconds < _LAST_EPOCH_S:
                return None
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds), False
        return _of_digits(text, form) or datetime.strptime(text, form), _is_date(form)  # noqa: DTZ007 - the zone comes later
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=256)
def _is_date(form: str) -> bool:
    return "%H" not in form and "%I" not in form


def _of_digits(text: str, form: str) -> datetime | None:
    """Return what strptime would for a form of numbers only, written in full, in a tenth of the time; None: ask strptime."""
    pattern, order, is_iso = _digits(form)
    found = pattern.fullmatch(text) if pattern is not None else None
    if found is None:
        return None
    if is_iso:
        return datetime.fromisoformat(text)
    parts = dict(zip(order, map(int, found.groups()), strict=True))
    return datetime(  # noqa: DTZ001 - the zone comes later
        parts["Y"], parts["m"], parts["d"], parts.get("H", 0), parts.get("M", 0), parts.get("S", 0)
    )


@lru_cache(maxsize=256)
def _digits(form: str) -> tuple[re.Pattern[str] | None, tuple[str, ...], bool]:
    """Return the pattern of a form of numbers only, which numbers they are, and whether ISO 8601 writes it so, too."""
    order = tuple(_DIRECTIVE.findall(form))
    if not {"Y", "m", "d"} <= set(order) <= set("YmdHMS"):
        return None, (), False
    pattern = _DIRECTIVE.sub(lambda found: "([0-9]{4})" if found[1] == "Y" else "([0-9]{2})", re.escape(form))
    return re.compile(pattern), order, all(map(partial(_is_iso, form), _SAMPLES))


def _is_iso(form: str, at: datetime) -> bool:
    try:
        return datetime.fromisoformat(at.strftime(form)) == datetime.strptime(at.strftime(form), form)  # noqa: DTZ007 - both
    except ValueError:
        return False


@lru_cache(maxsize=256)
def _written_offset(text: str) -> tzinfo | None:
    """Return the zone of `-04:00`, `+0200`, `-04.00` or `Z`; None: it says none."""
    sign = {"+": 1, "-": -1}.get(text[:1])
    if sign is None:
        return UTC if text.upper() == "Z" else None
    digits = "".join(letter for letter in text[1:] if letter.isdecimal())
    if len(digits) not in {3, 4}:
        return None
    hours, minutes = int(digits[:-2]), int(digits[-2:])
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(sign * ahead) if ahead <= _FARTHEST_OFFSET and minutes < 60 else None


def _offset_from_utc(local: datetime, found: tuple[datetime, bool] | None) -> tzinfo | None:
    """Return the offset between a local time and the same moment in UTC, also where the UTC date was not rolled over."""
    if found is None:
        return None
    ahead = _on_the_wall(local) - _on_the_wall(found[0])
    seconds = ahead.days * _DAY_S + ahead.seconds
    for rolled in (seconds, seconds - _DAY_S, seconds + _DAY_S):
        quarters = round(rolled / _QUARTER_S)
        if quarters in _QUARTERS and abs(rolled - quarters * _QUARTER_S) < _SLACK_S:
            return _fixed(quarters)
    return None


@lru_cache(maxsize=256)
def _fixed(quarters: int) -> tzinfo:
    return timezone(timedelta(seconds=quarters * _QUARTER_S))


@lru_cache(maxsize=256)
def _named(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
