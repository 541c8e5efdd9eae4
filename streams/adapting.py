"""Reads a carrier's payload as its adapter file says: which parcels it is about, and what happened to each of them.

Pure and the same for every API: what differs is data (schemas/adapter_files.py). A payload is read as far as it can be read:
what cannot, is told by its place in it, and the rest counts. Free text is looked at by the carrier tables and goes no further.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from schemas.adapter_files import AdapterFile, CodeOf, TimeOf, Unpack
from schemas.adapter_paths import asks_around, compile_path, names_in
from schemas.place_zones import place_zones
from schemas.vocabulary import DeadLetterReason
from streams.payload_times import ReadTime, TimeReader, When, at_arrival
from streams.payload_tree import TEXT, json_in_text, json_tree, unpacked, xml_tree
from streams.refusal import RefusalError

MAX_PACKAGES: Final = 500
MAX_EVENTS: Final = 2000
"""Of one payload; with more it is refused whole."""
_MAX_TEXT_CHARS = 256
_MAX_KEY_CHARS = 128
_SHOWN_TROUBLES = 3


class CodeSeen(NamedTuple):
    """One question to the carrier tables. `code` is "" where the text decides."""

    api: str
    type: str
    code: str
    only_for: tuple[str, ...]


class ScanSeen(NamedTuple):
    """One event of a parcel's history."""

    carrier: str
    """Whose parcel it is, as the payload or the file names it."""
    seen_by: str
    """Whose tables are asked: another carrier where one hands the parcel on."""
    number: str
    codes: tuple[CodeSeen, ...]
    text: str
    time: ReadTime
    direction: str
    place: tuple[str, str, str, str]
    """Country, city, postal code, site."""
    event_id: str
    retracted: bool


class Trouble(NamedTuple):
    """What could not be read: why, and where; names places in the payload, never contents."""

    reason: DeadLetterReason
    detail: str


class Payload(NamedTuple):
    """What a payload tells."""

    histories: list[list[ScanSeen]]
    """One for each parcel that has events."""
    errors: int
    """Parcels, or the whole payload, with an error or a "not found" in place of a history."""
    empty: int
    """Parcels without any event yet."""
    troubles: list[Trouble]

    def trouble(self) -> Trouble | None:
        """All that could not be read, as one; None: everything was."""
        if not self.troubles:
            return None
        shown = "; ".join(trouble.detail for trouble in self.troubles[:_SHOWN_TROUBLES])
        more = len(self.troubles) - _SHOWN_TROUBLES
        return Trouble(self.troubles[0].reason, f"{shown}; and {more} more" if more > 0 else shown)


_Find = Callable[["_Scope"], str]
_Truth = Callable[["_Scope"], bool]


class _Scope:
    """What paths are asked of: an event or a package, and what is around it."""

    __slots__ = ("document", "here", "key", "package", "parent")

    def __init__(self, here: Any, parent: Any, package: Any, document: Any, key: str) -> None:
        self.here, self.parent, self.package, self.document, self.key = here, parent, package, document, key

    def at(self, item: Any) -> "_Scope":
        """Return the scope of something inside."""
        return _Scope(item, self.here, self.package, self.document, self.key)

    def as_package(self) -> "_Scope":
        """Return the same, as what the steps to its events go out from."""
        return _Scope(self.here, self.parent, self.here, self.document, self.key)

    def around(self) -> dict[str, Any]:
        """Return the value with its surroundings as fields of it."""
        here = self.here if isinstance(self.here, dict) else {}
        around = {
            "$document": self.document,
            "$package": self.package,
            "$parent": self.parent,
            "$key": self.key,
        }
        return {**here, **around}


class Adapter:
    """An adapter file, ready to read payloads."""

    def __init__(self, file: AdapterFile) -> None:
        self.name = file.adapter
        self.tells_history = file.tells == "history"
        self._is_json = file.format == "json"
        self._expects = [compile_path(path) for path in file.expects]
        self._error = _truth(file.error)
        self._packages, self._events = _steps(file.packages), _steps(file.events)
        self._number = _first(file.package.number, _MAX_KEY_CHARS + 1)
        self._package_error = _truth(file.package.error)
        self._carrier, self._direction = _carrier(file), _direction(file)
        self._event = _EventReader(file)

    def read(self, value: bytes, arrived_ms: int, max_bytes: int, key: bytes | None = None) -> Payload:
        """Return what a payload tells; `key`: the record's. Raises RefusalError if it is none of this API, or too large."""
        body = unpacked(value, max_bytes)
        tree = json_tree(body) if self._is_json else xml_tree(body)
        whole = _Scope(tree, None, None, tree, (key or b"").decode("utf-8", "replace"))
        if self._error is not None and self._error(whole):
            return Payload([], 1, 0, [])
        if all(path(tree) is None for path in self._expects):
            detail = f"nothing that {self.name} payloads have was found in it"
            raise RefusalError(DeadLetterReason.UNKNOWN_SHAPE, detail)
        packages = _walk(self._packages, whole, MAX_PACKAGES, "packages")
        payload, left = Payload([], 0, 0, []), MAX_EVENTS
        errors, empty = 0, int(not packages)
        for place, package in enumerate(packages):
            if self._package_error is not None and self._package_error(package):
                errors += 1
                continue
            events = _walk(self._events, package.as_package(), left, "events")
            left -= len(events)
            if events and not self._history(package, events, place, arrived_ms, payload):
                continue
            empty += not events
        return payload._replace(histories=_by_parcel(payload.histories), errors=errors, empty=empty)

    def _history(
        self, package: _Scope, events: list[_Scope], place: int, arrived_ms: int, payload: Payload
    ) -> bool:
        """Add a parcel's events to the payload; whether there is any that is to be read."""
        number = self._number(package)
        if not 0 < len(number) <= _MAX_KEY_CHARS:
            why = f"packages[{place}]: no tracking number of 1 to {_MAX_KEY_CHARS} characters"
            payload.troubles.append(Trouble(DeadLetterReason.MISSING_FIELD, why))
            return True
        carrier, direction, skipped = self._carrier(package), self._direction(package), 0
        seen: list[ScanSeen] = []
        for at, event in enumerate(events):
            read = self._event.read(event, carrier, number, direction, arrived_ms)
            if isinstance(read, ScanSeen):
                seen.append(read)
            elif read is None:
                skipped += 1
            else:
                payload.troubles.append(
                    read._replace(detail=f"packages[{place}].events[{at}]: {read.detail}")
                )
        if seen:
            payload.histories.append(seen)
        return skipped < len(events)


def _by_parcel(histories: list[list[ScanSeen]]) -> list[list[ScanSeen]]:
    """Return one history for each parcel: some payloads repeat the parcel with each event."""
    together: dict[tuple[str, str], list[ScanSeen]] = {}
    for scans in histories:
        together.setdefault((scans[0].carrier, scans[0].number), []).extend(scans)
    return list(together.values())


class _EventReader:
    """Reads one event."""

    def __init__(self, file: AdapterFile) -> None:
        event, place = file.event, file.event.place
        self._seen_by = _seen_by(file)
        self._codes = [_code(code, file.adapter) for code in event.codes]
        self._times = [_time(one) for one in event.times]
        self._at_arrival = event.without_time == "arrival"
        self._text = _first(event.text, _MAX_TEXT_CHARS)
        self._skip = _truth(event.skip)
        self._country, self._region = _country(place.country, place.country_otherwise), _first(place.region)
        self._city, self._postal_code, self._site = (
            _city(place.city),
            _first(place.postal_code),
            _first(place.site),
        )
        self._id = _first((event.id,) if event.id else (), _MAX_KEY_CHARS)
        self._retracted = _truth(event.retracted)

    def read(
        self, event: _Scope, carrier: str, number: str, direction: str, arrived_ms: int
    ) -> ScanSeen | Trouble | None:
        """Return the event; None: it is none of this parcel."""
        if self._skip is not None and self._skip(event):
            return None
        country, region = self._country(event), self._region(event)
        time = self._time(event, country, region, arrived_ms)
        if isinstance(time, Trouble):
            return time
        codes = tuple(seen for code in self._codes if (seen := code(event)) is not None)
        event_id = self._id(event)
        retracted = bool(event_id) and self._retracted is not None and self._retracted(event)
        place = (country, self._city(event), self._postal_code(event), self._site(event))
        return ScanSeen(
            carrier,
            self._seen_by(event) or carrier,
            number,
            codes,
            self._text(event),
            time,
            direction,
            place,
            event_id,
            retracted,
        )

    def _time(self, event: _Scope, country: str, region: str, arrived_ms: int) -> ReadTime | Trouble:
        unread = False
        for find in self._times:
            text, read = find(event, country, region)
            if read is not None:
                return read
            unread = unread or bool(text)
        if self._at_arrival and not unread:
            return at_arrival(arrived_ms)
        if unread:
            return Trouble(DeadLetterReason.BAD_VALUE, "a time in a form that the adapter does not know")
        return Trouble(DeadLetterReason.MISSING_FIELD, "no time")


def text_of(value: Any) -> str:
    """Return a payload's value as text; "" for what is none."""
    if value is None:
        return ""
    if type(value) is str:
        return value.strip()
    if isinstance(value, dict):
        return text_of(value.get(TEXT))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else ""


# -- from the file to functions ------------------------------------------------------------------------------------


def _found(path: str) -> Callable[[_Scope], Any]:
    find = compile_path(path)
    if asks_around(path):
        return lambda scope: find(scope.around())
    return lambda scope: find(scope.here)


def _first(paths: tuple[str, ...], most: int = _MAX_TEXT_CHARS) -> _Find:
    """Return a function that gives the first text that one of the paths finds, cut to `most` characters."""
    finds = [_text_at(path, most) for path in paths]
    if not finds:
        return _nothing
    if len(finds) == 1:
        return finds[0]

    def first(scope: _Scope) -> str:
        for find in finds:
            text = find(scope)
            if text:
                return text
        return ""

    return first


def _text_at(path: str, most: int) -> _Find:
    """Return a function that gives the text at a path."""
    names = names_in(path)
    if not names:
        find = _found(path)
        return lambda scope: text_of(find(scope))[:most]

    def walk(scope: _Scope) -> str:
        value = scope.here
        for name in names:
            if type(value) is not dict:
                return ""
            value = value.get(name)
        return value.strip()[:most] if type(value) is str else text_of(value)[:most]

    return walk


def _nothing(_: _Scope) -> str:
    return ""


def _truth(path: str | None) -> _Truth | None:
    """Return a function that says whether a path finds something: JMESPath's idea of true, and a text `false` is not."""
    if path is None:
        return None
    negated = path.startswith("!") and len(names_in(path[1:])) == 1
    find = _found(path[1:] if negated else path)
    return lambda scope: (find(scope) not in (None, "", False, [], {}, "false")) is not negated


def _steps(steps: tuple[str | Unpack, ...]) -> list[tuple[Callable[[_Scope], Any], bool]]:
    """Return for each step what finds, and whether what it finds is JSON in a text."""
    return [
        (_found(step.json_in), True) if isinstance(step, Unpack) else (_found(step), False) for step in steps
    ]


def _walk(
    steps: list[tuple[Callable[[_Scope], Any], bool]], start: _Scope, most: int, what: str
) -> list[_Scope]:
    """Return what the steps lead to. Raises RefusalError when it is too much."""
    found = [start]
    for find, is_json in steps:
        found = [scope for each in found for scope in _step(each, find, is_json=is_json)]
        if len(found) > most:
            limit = MAX_EVENTS if what == "events" else most
            raise RefusalError(DeadLetterReason.TOO_MANY, f"more than {limit} {what} in one payload")
    return found


def _step(scope: _Scope, find: Callable[[_Scope], Any], *, is_json: bool) -> Iterator[_Scope]:
    value = find(scope)
    if is_json:
        value = json_in_text(value) if isinstance(value, str) else None
    for item in value if isinstance(value, list) else [value]:
        if item is scope.here:
            yield scope
        elif item or item == 0:
            yield scope.at(item)


def _carrier(file: AdapterFile) -> _Find:
    rule = file.carrier
    if rule.always is not None:
        name = rule.always
        return lambda _: name
    find, values, otherwise = _first(rule.found), rule.values, rule.otherwise
    return lambda package: values.get(found := find(package), found) or otherwise


def _seen_by(file: AdapterFile) -> _Find:
    if not file.event.carrier:
        return _nothing
    find, values = _first(file.event.carrier), file.carrier.values
    return lambda event: values.get(found := find(event), found)


def _direction(file: AdapterFile) -> _Find:
    rule = file.package.direction
    if rule is None:
        return _nothing
    find = _first(rule.found)
    words = {**dict.fromkeys(rule.outbound, "outbound"), **dict.fromkeys(rule.returns, "return")}
    return lambda scope: words.get(find(scope), "")


def _country(paths: tuple[str, ...], otherwise: str | None) -> _Find:
    find, known, default = _first(paths), lru_cache(maxsize=4096)(place_zones().country), otherwise or ""

    def country(scope: _Scope) -> str:
        name = find(scope)
        return (known(name) or name) if name else default

    return country


def _city(paths: tuple[str, ...]) -> _Find:
    """Return a function that gives a city without what stands beside it: where a number is, a street may be."""
    find = _first(paths)

    def city(scope: _Scope) -> str:
        text = find(scope)
        if not any(letter.isdigit() for letter in text):
            return text
        parts = [part.strip() for part in text.split(",")]
        return ", ".join(part for part in parts if not any(letter.isdigit() for letter in part))

    return city


def _code(code: CodeOf, adapter: str) -> Callable[[_Scope], CodeSeen | None]:
    api, parts = code.api or adapter, [_first((path,)) for path in code.code]
    of_type = _first((code.type_from,)) if code.type_from is not None else None

    if len(parts) == 1 and of_type is None:
        only, kind_of_only, owners = parts[0], code.type, code.only_for

        def find_one(scope: _Scope) -> CodeSeen | None:
            word = only(scope)
            return CodeSeen(api, kind_of_only, word, owners) if word else None

        return find_one

    def find(scope: _Scope) -> CodeSeen | None:
        kind = code.type
        if of_type is not None:
            named = of_type(scope)
            if not named:
                return None
            kind += named
        words = [part(scope) for part in parts]
        return CodeSeen(api, kind, "/".join(words), code.only_for) if all(words) else None

    return find


def _time(time: TimeOf) -> Callable[[_Scope, str, str], tuple[str, ReadTime | None]]:
    pieces, utc_pieces = [_first((path,)) for path in time.found], [_first((path,)) for path in time.utc]
    abbreviation = _first((time.abbreviation,) if time.abbreviation else ())
    offset = _first((time.offset,) if time.offset else ())
    reader = TimeReader(
        time.formats,
        time.zone,
        midnight_is_a_day=time.midnight == "date_only",
        assumed=time.quality == "assumed",
    )

    def find(scope: _Scope, country: str, region: str) -> tuple[str, ReadTime | None]:
        text = _joined(pieces, scope)
        if not text:
            return "", None
        moment = reader.read_moment(text)
        if moment is not None:
            return text, moment
        when = When(country, region, abbreviation(scope), offset(scope), _joined(utc_pieces, scope))
        return text, reader.read(text, when)

    return find


def _joined(finds: list[_Find], scope: _Scope) -> str:
    if len(finds) == 1:
        return finds[0](scope)
    return " ".join(text for find in finds if (text := find(scope)))
