"""From the paths of an adapter file to functions that find texts in a payload. Compiled once; nothing is kept of a payload."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from schemas.adapter_files import EPOCH_MS, EPOCH_S, PLACE, AdapterFile, CodeOf, PlaceOf, TimeOf, Unpack
from schemas.adapter_paths import asks_around, compile_path, names_in
from schemas.place_zones import place_zones
from schemas.vocabulary import DeadLetterReason
from streams.payload_times import NOTHING_MORE, ReadTime, TimeReader, When
from streams.payload_tree import TEXT, json_in_text
from streams.refusal import RefusalError

MAX_TEXT_CHARS: Final = 256
MAX_PLACES: Final = 4096
MAX_WORDS: Final = 1024
"""That are at hand, of an adapter, and of one of its codes."""


class CodeSeen(NamedTuple):
    """One question to the carrier tables. `code` is "" where the text decides."""

    api: str
    type: str
    code: str
    only_for: tuple[str, ...]


Find = Callable[["Scope"], str]
Truth = Callable[["Scope"], bool]


class Scope:
    """What paths are asked of: an event or a package, and what is around it."""

    __slots__ = ("document", "here", "key", "package", "parent")

    def __init__(self, here: Any, parent: Any, package: Any, document: Any, key: str) -> None:
        self.here, self.parent, self.package, self.document, self.key = here, parent, package, document, key

    def at(self, item: Any) -> "Scope":
        """Return the scope of something inside."""
        return Scope(item, self.here, self.package, self.document, self.key)

    def as_package(self) -> "Scope":
        """Return the same, as what the steps to its events go out from."""
        return Scope(self.here, self.parent, self.here, self.document, self.key)

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


def _found(path: str) -> Callable[[Scope], Any]:
    find = compile_path(path)
    if asks_around(path):
        return lambda scope: find(scope.around())
    return lambda scope: find(scope.here)


def first_text(paths: tuple[str, ...], most: int = MAX_TEXT_CHARS) -> Find:
    """Return a function that gives the first text that one of the paths finds, cut to `most` characters."""
    finds = [_text_at(path, most) for path in paths]
    if not finds:
        return _nothing
    if len(finds) == 1:
        return finds[0]

    def first(scope: Scope) -> str:
        for find in finds:
            text = find(scope)
            if text:
                return text
        return ""

    return first


def _text_at(path: str, most: int = MAX_TEXT_CHARS) -> Find:
    """Return a function that gives the text at a path."""
    names = names_in(path)
    if not names:
        find = _found(path)
        return lambda scope: text_of(find(scope))[:most]

    return _text_of(names[0], most) if len(names) == 1 else _text_inside(names[:-1], names[-1], most)


def _text_of(name: str, most: int) -> Find:
    def look(scope: Scope) -> str:
        value = scope.here
        if type(value) is not dict:
            return ""
        value = value.get(name)
        if value is None:
            return ""
        return value.strip()[:most] if type(value) is str else text_of(value)[:most]

    return look


def _text_inside(outer: list[str], name: str, most: int) -> Find:
    def walk(scope: Scope) -> str:
        value = scope.here
        for each in outer:
            if type(value) is not dict:
                return ""
            value = value.get(each)
        if type(value) is not dict:
            return ""
        value = value.get(name)
        return value.strip()[:most] if type(value) is str else text_of(value)[:most]

    return walk


def _nothing(_: Scope) -> str:
    return ""


def truth(path: str | None) -> Truth | None:
    """Return a function that says whether a path finds something: JMESPath's idea of true, and a text `false` is not."""
    if path is None:
        return None
    negated = path.startswith("!") and len(names_in(path[1:])) == 1
    find = _found(path[1:] if negated else path)
    return lambda scope: (find(scope) not in (None, "", False, [], {}, "false")) is not negated


def steps_of(steps: tuple[str | Unpack, ...]) -> list[tuple[Callable[[Scope], Any], bool]]:
    """Return for each step what finds, and whether what it finds is JSON in a text."""
    return [
        (_found(step.json_in), True) if isinstance(step, Unpack) else (_found(step), False) for step in steps
    ]


def walk_steps(
    steps: list[tuple[Callable[[Scope], Any], bool]], start: Scope, most: int, limit: str
) -> list[Scope]:
    """Return what the steps lead to. Raises RefusalError when it is more than `most`; `limit`: of the whole payload."""
    found = [start]
    for find, is_json in steps:
        found = _step(found, find, is_json=is_json)
        if len(found) > most:
            raise RefusalError(DeadLetterReason.TOO_MANY, f"more than {limit} in one payload")
    return found


def _step(scopes: list[Scope], find: Callable[[Scope], Any], *, is_json: bool) -> list[Scope]:
    led_to: list[Scope] = []
    for scope in scopes:
        value = find(scope)
        if is_json:
            value = json_in_text(value) if isinstance(value, str) else None
        if value is scope.here and not isinstance(value, list):
            led_to.append(scope)
        elif isinstance(value, list):
            led_to += [scope.at(item) for item in value if item or item == 0]
        elif value or value == 0:
            led_to.append(scope.at(value))
    return led_to


def carrier_of(file: AdapterFile) -> Find:
    rule = file.carrier
    if rule.always is not None:
        name = rule.always
        return lambda _: name
    find, values, otherwise = first_text(rule.found), rule.values, rule.otherwise
    return lambda package: values.get(found := find(package), found) or otherwise


def seen_by_of(file: AdapterFile) -> Find:
    if not file.event.carrier:
        return _nothing
    find, values = first_text(file.event.carrier), file.carrier.values
    return lambda event: values.get(found := find(event), found)


def direction_of(file: AdapterFile) -> Find:
    rule = file.package.direction
    if rule is None:
        return _nothing
    find = first_text(rule.found)
    words = {**dict.fromkeys(rule.outbound, "outbound"), **dict.fromkeys(rule.returns, "return")}
    return lambda scope: words.get(find(scope), "")


class Where(NamedTuple):
    """The place of an event. `region` is for the time zone only."""

    region: str
    place: tuple[str, str, str, str]
    """Country (alpha-2 where it is known), city, postal code, site."""


def place_of(place: PlaceOf) -> Callable[[Scope], Where]:
    """Return a function that gives an event's place. Carriers name the same places all day long: those are at hand."""
    found = (place.country, place.region, place.city, place.postal_code, place.site)
    default = place.country_otherwise or ""
    named = [number for number, paths in enumerate(found) if paths]
    finds = [first_text(found[number]) for number in named]

    @lru_cache(maxsize=MAX_PLACES)
    def read(*said: str) -> Where:
        texts = [""] * len(found)
        for number, text in zip(named, said, strict=True):
            texts[number] = text
        country, region, city, postal_code, site = texts
        country = (place_zones().country(country) or country) if country else default
        return Where(region, (country, _without_a_street(city), postal_code, site))

    if len(finds) == 2:  # as most have it
        first, second = finds
        return lambda scope: read(first(scope), second(scope))
    return lambda scope: read(*[find(scope) for find in finds])


def _without_a_street(city: str) -> str:
    """Return a city without what stands beside it: where a number is, a street may be."""
    if not any(letter.isdigit() for letter in city):
        return city
    parts = [part.strip() for part in city.split(",")]
    return ", ".join(part for part in parts if not any(letter.isdigit() for letter in part))


def code_of(code: CodeOf, adapter: str) -> Callable[[Scope], CodeSeen | None]:
    api, parts = code.api or adapter, [first_text((path,)) for path in code.code]
    of_type = first_text((code.type_from,)) if code.type_from is not None else None

    if not parts and of_type is None:
        of_text = CodeSeen(api, code.type, "", code.only_for)
        return lambda _: of_text
    if len(parts) == 1 and of_type is None:
        only, kind_of_only, owners = parts[0], code.type, code.only_for

        @lru_cache(maxsize=MAX_WORDS)
        def seen(word: str) -> CodeSeen | None:
            return CodeSeen(api, kind_of_only, word, owners) if word else None

        return lambda scope: seen(only(scope))

    def find(scope: Scope) -> CodeSeen | None:
        kind = code.type
        if of_type is not None:
            named = of_type(scope)
            if not named:
                return None
            kind += named
        words = [part(scope) for part in parts]
        return CodeSeen(api, kind, "/".join(words), code.only_for) if all(words) else None

    return find


def time_of(time: TimeOf) -> Callable[[Scope, str, str], tuple[str, ReadTime | None]]:
    find_piece = _number_at if {EPOCH_S, EPOCH_MS} & set(time.formats) else _text_at
    pieces, utc_pieces = [find_piece(path) for path in time.found], [first_text((path,)) for path in time.utc]
    abbreviation = first_text((time.abbreviation,) if time.abbreviation else ())
    offset = first_text((time.offset,) if time.offset else ())
    is_alone = not (time.abbreviation or time.offset or time.utc)
    reader = TimeReader(
        time.formats,
        time.zone,
        midnight_is_a_day=time.midnight == "date_only",
        assumed=time.quality == "assumed",
        home=time.home,
    )

    if is_alone and PLACE not in time.zone and time.home is None:

        def find_alone(scope: Scope, _country: str, _region: str) -> tuple[str, ReadTime | None]:
            text = _joined(pieces, scope)
            return (text, reader.read(text, NOTHING_MORE)) if text else ("", None)

        return find_alone

    def find(scope: Scope, country: str, region: str) -> tuple[str, ReadTime | None]:
        text = _joined(pieces, scope)
        if not text:
            return "", None
        moment = reader.read_moment(text)
        if moment is not None:
            return text, moment
        if is_alone:
            return text, reader.read(text, When(country, region))
        when = When(country, region, abbreviation(scope), offset(scope), _joined(utc_pieces, scope))
        return text, reader.read(text, when)

    return find


def _number_at(path: str) -> Find:
    """Return a function that gives a text or a number; seconds may have a fraction."""
    find = _found(path)

    def number(scope: Scope) -> str:
        value = find(scope)
        return repr(value) if isinstance(value, float) else text_of(value)[:MAX_TEXT_CHARS]

    return number


def _joined(finds: list[Find], scope: Scope) -> str:
    if len(finds) == 1:
        return finds[0](scope)
    return " ".join(text for find in finds if (text := find(scope)))
