"""The fields of sample messages, and what each of them looks like: a time, a number of a parcel, a carrier, a status."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.errors import Finding, SourcesError
from agents.message_files import MessageFile
from agents.source_trial import tree_of
from agents.time_forms import TimeForm, time_form
from schemas.carrier_codes import CarrierCodes
from schemas.field_words import About, folded, looks_personal, meaning
from schemas.money import CURRENCIES
from streams.message_paths import EACH, Names, path_of, written
from streams.payload_finding import text_of
from streams.payload_tree import TEXT
from streams.refusal import RefusalError

_MOST_NAMED = 3
_TRACKING = re.compile(r"1Z[0-9A-Z]{16}|[A-Z]{2}\d{9}[A-Z]{2}|\d{12,22}|6[A-Z]\d{11}")
MOST_SHOWN = 8


@dataclass(slots=True)
class FieldSeen:
    """One field, in all messages."""

    way: Names
    values: list[Any] = field(default_factory=list)
    """Where something stands."""
    time: TimeForm | None = None

    @property
    def lists(self) -> int:
        """In how many lists it is, one inside the other."""
        return self.way.count(EACH)

    @property
    def name(self) -> str:
        """Its own name, in small words."""
        return folded(next((one.lstrip("@") for one in reversed(self.way) if one != EACH), ""))

    @property
    def path(self) -> str:
        """The way to it, as JMESPath writes it."""
        return path_of(self.way)

    @property
    def texts(self) -> list[str]:
        """Its values as texts, each once, in their order."""
        return list(dict.fromkeys(text for value in self.values if (text := as_text(value))))

    @property
    def is_personal(self) -> bool:
        """Whether it looks personal."""
        return looks_personal(self.path)

    def fits(self, about: About) -> str | None:
        """What its name means, by itself or with the name around it."""
        around = [folded(one.lstrip("@")) for one in self.way if one != EACH][-2:]
        alone = meaning(about, self.name)
        return alone if alone is not None else meaning(about, " ".join(around))


def as_text(value: Any) -> str:
    """A value as the engine reads it, and a number with a fraction."""
    return str(value) if isinstance(value, float) else text_of(value)


def fields_of(messages: Sequence[MessageFile]) -> tuple[list[FieldSeen], bool]:
    """Every field, in the order in which they come, and whether the messages are JSON. Raises SourcesError."""
    trees, findings, forms = [], [], set[bool]()
    for message in messages:
        try:
            tree, is_json = tree_of(message)
        except RefusalError as refusal:
            findings.append(_unreadable(message, refusal))
            continue
        trees.append(tree)
        forms.add(is_json)
    if len(forms) > 1:
        what = "some messages are JSON and some are XML"
        findings.append(Finding(messages[0].where, what, "one file reads one format", "give them apart"))
    if findings:
        raise SourcesError(findings)
    lists = {way for tree in trees for way in _lists(tree)}
    seen: dict[Names, FieldSeen] = {}
    for tree in trees:
        for way, value in _leaves(tree, lists):
            one = seen.setdefault(way, FieldSeen(way))
            if as_text(value):
                one.values.append(value)
    for one in seen.values():
        one.time = time_form(one.name, one.values)
    if not any(way and one.values for way, one in seen.items()):
        what, why = "no field with a value", "a file is proposed from the names and values of fields"
        where = ", ".join(message.where for message in messages[:_MOST_NAMED])
        raise SourcesError([Finding(where, what, why, "give messages that tell something")])
    return list(seen.values()), forms == {True}


def _unreadable(message: MessageFile, refusal: RefusalError) -> Finding:
    detail = f"{refusal.reason.value}: {refusal.detail}"
    if message.value.lstrip()[:1] in {b"{", b"[", b"<"}:
        return Finding(message.where, detail, todo="give the whole message as it is on the topic")
    why = "a message begins with {, [ or <, and may be gzipped"
    todo = "give messages as they are on the topic; several in one file: one a line, in a .jsonl"
    return Finding(message.where, f"is neither JSON nor XML ({refusal.detail})", why, todo)


def is_tracking(one: FieldSeen) -> bool:
    """Whether all values look like numbers of parcels."""
    texts = [text.replace(" ", "").upper() for text in one.texts]
    return bool(texts) and all(_TRACKING.fullmatch(text) for text in texts) and one.time is None


def is_carrier(one: FieldSeen, codes: CarrierCodes) -> bool:
    """Whether all values are names of carriers."""
    texts = one.texts
    return bool(texts) and all(codes.carrier(text) in codes.carriers for text in texts)


def is_currency(one: FieldSeen) -> bool:
    """Whether all values are currencies."""
    return bool(one.texts) and all(text.upper() in CURRENCIES for text in one.texts)


def is_number(one: FieldSeen) -> bool:
    """Whether all values are numbers, written with a point or a comma."""
    return bool(one.texts) and all(re.fullmatch(r"-?[\d.,]*\d", text) for text in one.texts)


def _lists(tree: Any, way: Names = ()) -> Iterator[Names]:
    """The ways to lists: in XML one child is none, and in another message it is."""
    if isinstance(tree, dict):
        for name, inner in tree.items():
            yield from _lists(inner, (*way, name))
    elif isinstance(tree, list):
        yield way
        for inner in tree:
            yield from _lists(inner, way)


def _leaves(tree: Any, lists: set[Names], way: Names = (), bare: Names = ()) -> Iterator[tuple[Names, Any]]:
    if bare in lists and (not way or way[-1] != EACH):
        for item in tree if isinstance(tree, list) else [tree]:
            yield from _leaves(item, lists, (*way, EACH), bare)
    elif isinstance(tree, dict):
        for name, inner in tree.items():
            inside = () if name == TEXT else (name,)  # the element itself is asked for its text
            yield from _leaves(inner, lists, (*way, *inside), (*bare, *inside))
    elif not isinstance(tree, list):
        yield way, tree


def steps_to(way: Names) -> list[str]:
    """The steps that lead to the items of the list in which a field is; none: it is in no list."""
    steps, part = list[str](), list[str]()
    for name in way:
        if name == EACH:
            steps.append(".".join(part) or "@")
            part = []
        else:
            part.append(written(name))
    return steps


def path_from(one: FieldSeen, item: Names) -> str | None:
    """How a field is asked of an item (the way to it, up to its `[]`); None: it cannot be, being in other lists."""
    if one.way[: len(item)] == item and EACH not in one.way[len(item) :]:
        return path_of(one.way[len(item) :]) or "@"
    around = outer(item)
    if around and around != item and one.way[: len(around)] == around and EACH not in one.way[len(around) :]:
        return f'"$parent".{path_of(one.way[len(around) :])}'
    if EACH not in one.way:
        return f'"$document".{path_of(one.way)}'
    return None


def outer(item: Names) -> Names:
    """The way to the list's item around an item."""
    inner = item[:-1]
    while inner and inner[-1] != EACH:
        inner = inner[:-1]
    return inner


def item_of(one: FieldSeen) -> Names:
    """The way to the item in which a field is."""
    way = one.way
    while way and way[-1] != EACH:
        way = way[:-1]
    return way
