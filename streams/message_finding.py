"""From the rules of a source file to functions that find the fields of an event in a user's own message. Compiled once.

A word that a table does not have is refused, unless the file says what to do with it: nothing is guessed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, DecimalException
from functools import lru_cache
from typing import Any, Final

from schemas.adapter_files import PlaceOf
from schemas.money import minor_units_of
from schemas.source_rules import (
    GRAMS_OF_UNIT,
    CountOf,
    EventTimeOf,
    FlagOf,
    IdsOf,
    MoneyOf,
    ParcelsOf,
    Rule,
    TextOf,
    TypeRule,
    WeightOf,
    WordsOf,
)
from schemas.vocabulary import DeadLetterReason
from streams.epoch import YEAR_9999_MS, moment_of
from streams.payload_finding import (
    MAX_TEXT_CHARS,
    Scope,
    first_text,
    place_of,
    steps_of,
    text_of,
    time_of,
    truth,
    walk_steps,
)
from streams.payload_times import ReadTime
from streams.refusal import RefusalError

FindValue = Callable[[Scope], Any]
FindTime = Callable[[Scope], tuple[str, ReadTime | None]]
FindTypes = Callable[[Scope], tuple[str, ...]]

MOST_PARTS: Final = 1000
"""Of a list inside one event; the contract allows fewer."""
_ID_CHARS = 129
"""One more than the contract takes: a longer id is refused, not cut to one that another event may have."""
_IDS = frozenset({"id", "return_id", "order_id", "carrier", "tracking_number", "retracts"})
_MOST_SHOWN_CHARS = 40
_WITH_COMMA = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d+)?")
"""1249,00 and 1.249,00; a point that does not group thousands is no number in this writing."""
_YES, _NO = frozenset({"true", "yes", "y", "1"}), frozenset({"false", "no", "n", "0", "null"})
_BAD, _MISSING = DeadLetterReason.BAD_VALUE, DeadLetterReason.MISSING_FIELD


class MessageScope(Scope):
    """What the paths of a source are asked of: an item of a message, and what is around it."""

    __slots__ = ("headers",)

    def __init__(
        self, here: Any, parent: Any, package: Any, document: Any, key: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(here, parent, package, document, key)
        self.headers = headers

    def at(self, item: Any) -> "MessageScope":
        """Return the scope of something inside."""
        return MessageScope(item, self.here, self.package, self.document, self.key, self.headers)

    def as_package(self) -> "MessageScope":
        """Return the same, as the item that events are told by."""
        return MessageScope(self.here, self.parent, self.here, self.document, self.key, self.headers)

    def around(self) -> dict[str, Any]:
        """Return the value with its surroundings as fields of it."""
        return {**super().around(), "$item": self.package, "$headers": self.headers}


def shown(text: str) -> str:
    """Return a word as a dead letter may show it: whole if it looks like a code, else only its length."""
    plain = text.replace("_", "").replace("-", "").replace(".", "").replace("/", "")
    digits = sum(letter.isdigit() for letter in text)
    if len(text) <= _MOST_SHOWN_CHARS and plain.isalnum() and digits <= 4:
        return repr(text)
    return f"a text of {len(text)} characters"


def types_rule(rule: TypeRule) -> FindTypes:
    """Return a function that gives the types of the events that a message tells. It raises RefusalError."""
    if rule.always is not None:
        only = (rule.always,)
        return lambda _: only
    find, where = first_text(rule.found), " or ".join(rule.found)
    table = {word.casefold(): types for word, types in rule.values.items()}
    table |= dict.fromkeys((word.casefold() for word in rule.nothing), ())
    as_written = {**rule.values, **dict.fromkeys(rule.nothing, ())}
    otherwise = (rule.otherwise,) if rule.otherwise else None
    passes = rule.unknown == "skip"

    def types(scope: Scope) -> tuple[str, ...]:
        word = find(scope)
        if word in as_written:
            return as_written[word]
        if not word:
            if otherwise is None:
                raise RefusalError(_MISSING, f"type: nothing stands at {where}")
            return otherwise
        known = table.get(word.casefold())
        if known is None and not passes:
            raise _unknown("type", where, word)
        return known or ()

    return types


def field_rule(name: str, rule: Rule) -> FindValue:
    """Return a function that gives a field as the contract has it; None or "": the message does not say it."""
    if isinstance(rule, TextOf):
        return _text(name, rule)
    if isinstance(rule, CountOf):
        return _number(name, rule)
    if isinstance(rule, FlagOf):
        return _flag(name, rule)
    if isinstance(rule, MoneyOf):
        return _money(name, rule)
    if isinstance(rule, PlaceOf):
        return _place(rule)
    if isinstance(rule, ParcelsOf):
        return _parcels(name, rule)
    if isinstance(rule, IdsOf):
        return _ids(name, rule)
    if isinstance(rule, WordsOf):
        return _words(name, rule)
    return _later_end(name, rule)


def _text(name: str, rule: TextOf) -> FindValue:
    if rule.always is not None:
        always = rule.always
        return lambda _: always
    find = first_text(rule.found, _ID_CHARS if name.rpartition(".")[2] in _IDS else MAX_TEXT_CHARS)
    otherwise = rule.otherwise
    if not rule.values:
        return find if otherwise is None else lambda scope: find(scope) or otherwise
    as_written = dict(rule.values)
    table = {word.casefold(): value for word, value in rule.values.items()}
    where, unknown = " or ".join(rule.found), rule.unknown

    def text(scope: Scope) -> str | None:
        word = find(scope)
        if word in as_written:
            return as_written[word]
        return _looked_up(name, where, word, table, unknown) if word else otherwise

    return text


def _looked_up(name: str, where: str, word: str, table: dict[str, str], unknown: str) -> str | None:
    value = table.get(word.casefold())
    if value is None and unknown == "refuse":
        raise _unknown(name, where, word)
    return word if value is None and unknown == "keep" else value


def _number(name: str, rule: CountOf) -> FindValue:
    if rule.always is not None:
        always = rule.always
        return lambda _: always
    comma = isinstance(rule, WeightOf) and rule.decimal == "comma"
    find, otherwise = _amount_at(name, rule.found, comma=comma), rule.otherwise
    first = _value_at(rule.found[0])
    grams = Decimal(GRAMS_OF_UNIT[rule.unit]) if isinstance(rule, WeightOf) else None

    def number(scope: Scope) -> int | None:
        plain = first(scope)
        if type(plain) is int and (grams is None or grams == 1):
            return plain
        found = find(scope)
        if found is None:
            return otherwise
        if grams is not None:
            return int((found * grams).to_integral_value())
        if found != found.to_integral_value():
            raise RefusalError(_BAD, f"{name}: not a whole number")
        return int(found)

    return number


def _amount_at(name: str, paths: Sequence[str], *, comma: bool) -> Callable[[Scope], Decimal | None]:
    """Return a function that gives the number at the first path that has one. It raises RefusalError."""
    finds = [_value_at(path) for path in paths]

    def amount(scope: Scope) -> Decimal | None:
        for find in finds:
            value = find(scope)
            text = str(value) if isinstance(value, float) else text_of(value)
            if not text:
                continue
            if comma and isinstance(value, str | dict):
                text = text.replace(".", "").replace(",", ".") if _WITH_COMMA.fullmatch(text) else "?"
            try:
                number = Decimal(text) if "_" not in text else Decimal("NaN")
            except DecimalException:
                raise RefusalError(_BAD, f"{name}: no number stands at {paths[0]}") from None
            if not number.is_finite() or abs(number.adjusted()) > 15:
                raise RefusalError(_BAD, f"{name}: a number that nothing has")
            return number
        return None

    return amount


def _value_at(path: str) -> FindValue:
    ((find, _),) = steps_of((path,))
    return find


def _flag(name: str, rule: FlagOf) -> FindValue:
    if rule.always is not None:
        always = rule.always
        return lambda _: always
    if rule.values:
        find, where = first_text(rule.found), " or ".join(rule.found)
        table = {word.casefold(): value for word, value in rule.values.items()}

        def flag(scope: Scope) -> bool | None:
            word = find(scope)
            if word and word.casefold() not in table:
                raise _unknown(name, where, word)
            return table[word.casefold()] if word else None

        return flag
    asked = [(path, _value_at(path), found) for path in rule.found if (found := truth(path)) is not None]

    def is_so(scope: Scope) -> bool | None:
        for path, value, is_true in asked:
            found = value(scope)
            word = found.strip().casefold() if isinstance(found, str) else ""
            if word and word not in _YES | _NO:
                raise RefusalError(_BAD, f"{name}: {path} says {shown(word)}; give `values` for it")
            if word in _YES or (not word and is_true(scope)):
                return True
        return None

    return is_so


def _money(name: str, rule: MoneyOf) -> FindValue:
    find = _amount_at(f"{name}.amount", rule.amount, comma=rule.decimal == "comma")
    currency, in_minor = _text(f"{name}.currency", rule.currency), rule.unit == "minor"

    def money(scope: Scope) -> dict[str, Any] | None:
        amount = find(scope)
        if amount is None:
            return None
        code = currency(scope)
        if not code:
            raise RefusalError(_MISSING, f"{name}.currency: an amount without its currency")
        if in_minor and amount != amount.to_integral_value():
            raise RefusalError(_BAD, f"{name}.amount: not a whole number of minor units")
        return {"amount": amount / minor_units_of(code) if in_minor else amount, "currency": code}

    return money


def _place(rule: PlaceOf) -> FindValue:
    find = place_of(rule)

    return lambda scope: _place_of(find(scope).place)


@lru_cache(maxsize=4096)
def _place_of(texts: tuple[str, str, str, str]) -> dict[str, str] | None:
    told = zip(("country", "city", "postal_code", "site"), texts, strict=True)
    return {part: text for part, text in told if text} or None


def _parcels(name: str, rule: ParcelsOf) -> FindValue:
    steps = steps_of(rule.each)
    carrier = _text(f"{name}.carrier", rule.carrier)
    number = _text(f"{name}.tracking_number", rule.tracking_number)

    def parcels(scope: Scope) -> list[dict[str, Any]] | None:
        found = walk_steps(steps, scope, MOST_PARTS, f"{MOST_PARTS} {name}")
        told = [{"carrier": carrier(each), "tracking_number": number(each)} for each in found]
        for one in told:
            if not all(one.values()):
                raise RefusalError(_MISSING, f"{name}: one has no carrier or no tracking number")
        return told or None

    return parcels


def _ids(name: str, rule: IdsOf) -> FindValue:
    steps, find = steps_of(rule.each), first_text(rule.id, _ID_CHARS)

    def ids(scope: Scope) -> list[str] | None:
        found = walk_steps(steps, scope, MOST_PARTS, f"{MOST_PARTS} {name}")
        return list(dict.fromkeys(text for each in found if (text := find(each)))) or None

    return ids


def _words(name: str, rule: WordsOf) -> FindValue:
    steps, find, where = steps_of(rule.each), first_text(rule.word), " or ".join(map(str, rule.each))
    table = {word.casefold(): value for word, value in rule.values.items()}
    unknown = rule.unknown if rule.values else "keep"

    def words(scope: Scope) -> list[str] | None:
        found = walk_steps(steps, scope, MOST_PARTS, f"{MOST_PARTS} {name}")
        told = (_looked_up(name, where, text, table, unknown) for each in found if (text := find(each)))
        return list(dict.fromkeys(word for word in told if word)) or None

    return words


def times_rule(rules: Sequence[EventTimeOf]) -> FindTime:
    """Return a function that gives the first time that can be read, or what stands there and cannot."""
    finds = [_time(rule) for rule in rules]

    def first(scope: Scope) -> tuple[str, ReadTime | None]:
        unread = ""
        for find in finds:
            text, read = find(scope)
            if read is not None:
                return text, read
            unread = unread or text
        return unread, None

    return first


def _time(rule: EventTimeOf) -> FindTime:
    usual = time_of(rule)
    if rule.zone_of is None:
        return lambda scope: usual(scope, "", "")
    word = first_text(rule.zone_of.found)
    zoned = {
        name.casefold(): time_of(rule.model_copy(update={"zone": (zone,)}))
        for name, zone in rule.zone_of.values.items()
    }
    where = " or ".join(rule.zone_of.found)

    def timed(scope: Scope) -> tuple[str, ReadTime | None]:
        named = word(scope)
        find = zoned.get(named.casefold()) if named else usual
        if find is None:
            raise _unknown("zone_of", where, named)
        return find(scope, "", "")

    return timed


def _later_end(name: str, rules: Sequence[EventTimeOf]) -> FindValue:
    """Return a function that gives a time as a moment: of what is known only as a day, its end."""
    find = times_rule(rules)

    def moment(scope: Scope) -> datetime | None:
        text, read = find(scope)
        if read is None:
            if text:
                raise RefusalError(_BAD, f"{name}: a time in a form that the source does not know")
            return None
        if not 0 <= read.end_ms < YEAR_9999_MS:
            raise RefusalError(_BAD, f"{name}: needs a time between the years 1970 and 9999")
        return moment_of(read.end_ms)

    return moment


def _unknown(name: str, where: str, word: str) -> RefusalError:
    return RefusalError(_BAD, f"{name}: {where} says {shown(word)}, which `values` does not have")
