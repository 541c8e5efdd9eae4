"""Reads a user's own message as its source file says: which events of the contract it tells.

Pure, as adapters are, and beside them: a message is read as far as it can be read; what cannot, is told by its place in it, and
the rest counts. What comes out are events like those of the contract, so their facts are made by the same code.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from schemas.adapter_files import Unpack
from schemas.adapter_paths import compile_path
from schemas.decoding import struct_of
from schemas.event_fields import InputEvent
from schemas.events import KIND_OF_TYPE
from schemas.source_files import MODEL_OF_TYPE, TIME_FIELD, EventRule, SourceFile, mapped_fields, rules_of
from schemas.topics import InputKind
from schemas.vocabulary import DeadLetterReason, TimeQuality
from streams.adapting import MAX_EVENTS, Trouble
from streams.envelope import structured
from streams.epoch import YEAR_9999_MS, moment_of
from streams.message_finding import (
    FindValue,
    MessageScope,
    field_rule,
    times_rule,
    types_rule,
)
from streams.payload_finding import Scope, steps_of, truth, walk_steps
from streams.payload_times import ReadTime, at_arrival
from streams.payload_tree import json_tree, unpacked, xml_tree
from streams.reading import EventReader
from streams.refusal import RefusalError

_NO_HEADERS: Final[Mapping[str, str]] = {}
_LIMIT: Final = f"{MAX_EVENTS} items"
_SAME_ID = (
    "id: several events of this message have the same and say different things; take an id of each of them"
)


def attributes_of(value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    """Return a record's headers as texts, by lower-case names; of a structured CloudEvent its attributes as `ce_id` and so on."""
    if not headers:
        return {}
    named = {name.lower(): (content or b"").decode("utf-8", "replace") for name, content in headers}
    if named.get("content-type", "").lower().startswith("application/cloudevents"):
        event = structured(value)
        texts = {"id": event.id, "source": event.source, "type": event.type, "time": event.time}
        named |= {f"ce_{name}": text for name, text in texts.items() if text}
    return named


class Told(NamedTuple):
    """One event that a message tells."""

    type: str
    fields: dict[str, Any]
    """As the contract has them."""
    event: InputEvent
    time: ReadTime
    where: str


class Message(NamedTuple):
    """What a message tells."""

    told: list[Told]
    skipped: int
    """Items that tell nothing, by the file's own words."""
    troubles: list[Trouble]


class MessageSource:
    """A source file, ready to read messages."""

    def __init__(self, file: SourceFile) -> None:
        self.name = file.source
        self._is_json = file.format == "json"
        first = file.items[0]
        expects = file.expects or ((first,) if not isinstance(first, Unpack) and first != "@" else ())
        self._expects = [compile_path(path) for path in expects]
        self._items, self._skip = _steps(file.items), truth(file.skip)
        self._rules = [_RuleReader(file, rule) for rule in file.events]

    def read(
        self,
        value: bytes,
        arrived_ms: int,
        max_bytes: int,
        key: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        """Return what a message tells. Raises RefusalError if it is none of this source, or too large."""
        body = unpacked(value, max_bytes)
        tree = json_tree(body) if self._is_json else xml_tree(body)
        named = "" if key is None else key.decode("utf-8", "replace")
        whole = MessageScope(tree, None, tree, tree, named, headers or _NO_HEADERS)
        message = Message([], 0, [])
        if self._skip is not None and self._skip(whole):
            return message._replace(skipped=1)
        if self._expects and all(path(tree) is None for path in self._expects):
            detail = f"nothing that messages of {self.name} have was found in it"
            raise RefusalError(DeadLetterReason.UNKNOWN_SHAPE, detail)
        skipped = 0
        items = walk_steps(self._items, whole, MAX_EVENTS, _LIMIT) if self._items else [whole]
        for number, item in enumerate(items):
            if item is not whole and self._skip is not None and self._skip(item):
                skipped += 1
                continue
            if item is not whole:
                item = item.as_package()  # noqa: PLW2901 - the same item
            here = f"items[{number}]" if len(items) > 1 else ""
            for rule in self._rules:
                rule.add(message, item, here, arrived_ms)
            if len(message.told) > MAX_EVENTS:
                raise RefusalError(DeadLetterReason.TOO_MANY, f"more than {MAX_EVENTS} events in one message")
        if len(message.told) < 2:
            return message._replace(skipped=skipped) if skipped else message
        told, troubles = _apart(message.told)
        return Message(told, skipped, message.troubles + troubles)


def _steps(steps: tuple[str | Unpack, ...]) -> list[tuple[Callable[[Scope], Any], bool]]:
    """Return what finds, step by step; nothing where the steps lead nowhere else."""
    return [] if steps == ("@",) else steps_of(steps)


class _RuleReader:
    """Reads the events of one rule."""

    def __init__(self, file: SourceFile, rule: EventRule) -> None:
        rules = {**rules_of(file.fields), **rules_of(rule.fields)}
        times = rules.pop(TIME_FIELD, ())
        assert isinstance(times, tuple)  # Fields says so
        self._types, self._when = types_rule(rule.type), truth(rule.when)
        self._each = _steps(rule.each)
        self._time, self._at_arrival = times_rule(times), rule.without_time == "arrival"
        finds = {name: field_rule(name, one) for name, one in rules.items()}
        self._events = {name: _EventMaker(name, finds) for name in file.types_of(rule)}

    def add(self, message: Message, item: Scope, where: str, arrived_ms: int) -> None:
        """Add what an item tells to the message."""
        if self._when is not None and not self._when(item):
            return
        found = walk_steps(self._each, item, MAX_EVENTS, _LIMIT) if self._each else [item]
        for number, each in enumerate(found):
            here = f"{where}[{number}]" if len(found) > 1 else where
            try:
                types = self._types(each)
            except RefusalError as refusal:
                message.troubles.append(_trouble(refusal, here))
                continue
            for name in types:
                try:
                    message.told.append(self._one(name, each, here, arrived_ms))
                except RefusalError as refusal:
                    message.troubles.append(_trouble(refusal, f"{here} {name}".strip()))

    def _one(self, name: str, scope: Scope, where: str, arrived_ms: int) -> Told:
        text, time = self._time(scope)
        if time is None:
            if text:
                what = f"{TIME_FIELD}: a time in a form that the source does not know"
                raise RefusalError(DeadLetterReason.BAD_VALUE, what)
            if not self._at_arrival:
                raise RefusalError(DeadLetterReason.MISSING_FIELD, f"{TIME_FIELD}: no time")
            time = at_arrival(arrived_ms)
        if not 0 <= time.start_ms <= time.end_ms < YEAR_9999_MS:
            raise RefusalError(
                DeadLetterReason.BAD_VALUE, f"{TIME_FIELD}: needs a time between the years 1970 and 9999"
            )
        fields, event = self._events[name].make(scope, time)
        return Told(name, fields, event, time, where)


class _EventMaker:
    """Makes events of one type."""

    def __init__(self, name: str, finds: Mapping[str, FindValue]) -> None:
        model = MODEL_OF_TYPE[name]
        self._name = name
        self._fields = [(field, finds[field]) for field in mapped_fields(model) if field in finds]
        self._struct = struct_of(model)
        self._kind: InputKind = KIND_OF_TYPE[name]

    def make(self, scope: Scope, time: ReadTime) -> tuple[dict[str, Any], InputEvent]:
        """Return the fields, and the event that they are. Raises RefusalError as for the contract's own events."""
        at = time.at
        is_moment = at is not None and at.tzinfo is not None and time.quality is TimeQuality.OFFSET
        fields: dict[str, Any] = {"type": self._name, TIME_FIELD: at if is_moment else moment_of(time.end_ms)}
        for field, find in self._fields:
            value = find(scope)
            if value is not None and value != "":
                fields[field] = value
        try:
            event: Any = msgspec.convert(fields, self._struct)
        except msgspec.ValidationError:
            reader = EventReader(self._kind, MAX_EVENTS)  # says why, in the words of the contract
            event = reader.read(msgspec.json.encode(fields))
        return fields, event


def _apart(told: list[Told]) -> tuple[list[Told], list[Trouble]]:
    """Return the events without those that share an id and are not the same."""
    by_id: dict[tuple[str, str], Told] = {}
    shared = set[tuple[str, str]]()
    for one in told:
        event_id = one.fields.get("id")
        if event_id is not None and one.fields != by_id.setdefault((one.type, event_id), one).fields:
            shared.add((one.type, event_id))
    if not shared:
        return told, []
    kept = [one for one in told if (one.type, one.fields.get("id")) not in shared]
    return kept, [Trouble(DeadLetterReason.BAD_VALUE, f"{name}: {_SAME_ID}") for name, _ in sorted(shared)]


def _trouble(refusal: RefusalError, where: str) -> Trouble:
    return Trouble(refusal.reason, f"{where}: {refusal.detail}" if where else refusal.detail)
