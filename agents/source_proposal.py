"""A source file proposed from sample messages: to be edited, loadable at once, with the reason of each line beside it."""

import re
from collections.abc import Sequence

from agents.message_fields import (
    FieldSeen,
    is_carrier,
    is_currency,
    is_number,
    is_tracking,
    item_of,
    path_from,
    steps_to,
)
from agents.proposal_lines import clock_of, comment, flow, quoted, some, table_lines, time_lines
from agents.time_forms import is_clock
from schemas.carrier_codes import CarrierCodes
from schemas.event_fields import AboutParcelOrReturn
from schemas.events import KIND_OF_TYPE
from schemas.field_words import About, meaning, words
from schemas.source_files import MODEL_OF_TYPE, TIME_FIELD, mapped_fields
from schemas.topics import InputKind
from streams.message_paths import Names

_FIRST_TYPE = {
    InputKind.ORDERS: "return_requested",
    InputKind.LABELS: "label_created",
    InputKind.WAREHOUSE: "checked_in",
    InputKind.CARRIER_SCANS: "carrier_scan",
}
_TABLES: tuple[About, ...] = ("disposition", "resolution", "method")
_NAMES = frozenset({"shop", "category", "return_reason"})
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ORDER = (
    "id", "return_id", "order_id", "carrier", "tracking_number", "facility", "weight_grams", "items", "country", "shop",
    "category", "return_reason", "resolution", "method", "service", "disposition",
)  # fmt: skip
_TIME_TAIL = re.compile(r" (at|on|date|time|timestamp|datetime)$")
_UNIT = re.compile(r"\b(kg|lb|oz)\b")
_MOST_STATUSES = 40


class SourceProposal:
    """Finds what the events are told by, then each field that they may have."""

    def __init__(
        self,
        name: str,
        fields: Sequence[FieldSeen],
        kind: InputKind | None,
        codes: CarrierCodes,
        *,
        is_json: bool,
    ) -> None:
        self._name, self._is_json, self._codes, self._kind = name, is_json, codes, kind
        self._fields = [one for one in fields if not one.is_personal]
        self._personal = [one for one in fields if one.is_personal]
        self._empty = [one for one in self._fields if not one.values]
        self._used = set[Names]()
        self._columns = self._columns_of()
        self._status = None if len(self._columns) >= 2 else self._status_of()
        lead = self._status or next(iter(self._columns.values()), None) or self._any_time()
        self._item = item_of(lead) if lead is not None else ()
        self._types = self._types_of()

    @property
    def is_sure(self) -> bool:
        """Whether words or columns were found that tell events."""
        return self._status is not None or bool(self._columns)

    def text(self) -> str:
        """The whole file."""
        steps = steps_to(self._item)
        lines = [
            "# Proposed by `returnwatch sources infer`: read it line by line. What says `decide` is for you to answer;",
            "# then `returnwatch sources test` shows what your messages become.",
            f"source: {self._name}",
            f"format: {'json' if self._is_json else 'xml'}",
        ]
        if steps:
            lead = self._status or next(iter(self._columns.values()), None)
            why = f", by `{comment(lead.name)}` in them" if lead is not None else ""
            lines += [f"# The list whose items tell events{why}.", f"items: {flow(steps)}"]
        shared = self._shared_lines()
        lines += ["fields:", *shared] if shared else []
        lines += ["events:", *self._event_lines()]
        return "\n".join([*lines, *self._left_out()]) + "\n"

    def _columns_of(self) -> dict[str, FieldSeen]:
        """Event -> the time that tells it, of rows with a time for each step."""
        found: dict[str, FieldSeen] = {}
        for one in self._fields:
            stem = _TIME_TAIL.sub("", one.name)
            means = meaning("type", stem) if stem != one.name else None
            if means and self._is_wanted(means) and (one.time is not None or not one.values):
                found.setdefault(means, one)
        return found if any(one.time for one in found.values()) else {}

    def _status_of(self) -> FieldSeen | None:
        """The field whose words tell which event it is."""
        best, most = None, 0.0
        for one in self._fields:
            texts = one.texts
            if not texts or len(texts) > _MOST_STATUSES or one.time is not None:
                continue
            known = sum(self._is_wanted(meaning("type", text)) for text in texts) / len(texts)
            score = known + (0.2 if known and one.fits("status") is not None else 0)
            if score > most:
                best, most = one, score
        return best

    def _is_wanted(self, means: str | None) -> bool:
        return means is not None and (self._kind is None or KIND_OF_TYPE[means] is self._kind)

    def _any_time(self) -> FieldSeen | None:
        times = [one for one in self._fields if one.time is not None]
        return max(times, key=lambda one: (one.fits("time") is not None, one.lists), default=None)

    def _types_of(self) -> list[str]:
        if self._status is not None:
            told = [meaning("type", text) for text in self._status.texts]
            return list(dict.fromkeys(one for one in told if one is not None and self._is_wanted(one)))
        return list(self._columns) or [_FIRST_TYPE[self._kind or InputKind.WAREHOUSE]]

    # -- fields -----------------------------------------------------------------------------------------------------

    def _shared_lines(self) -> list[str]:
        wanted = {field for name in self._types for field in mapped_fields(MODEL_OF_TYPE[name])}
        lines = [] if self._columns and self._status is None else self._time_lines()
        told = set[str]()
        for field in _ORDER:
            if field in wanted and (found := self._candidate(field)) is not None:
                lines += self._field_lines(field, *found)
                told.add(field)
        if "tracking_number" in told and "carrier" not in told and "carrier" in wanted:
            lines += self._unnamed_carrier("  carrier")
            told.add("carrier")
        if "parcels" in wanted and "tracking_number" not in told:
            lines += self._parcel_lines()
        lines += self._money_lines() if "value" in wanted else []
        return lines + self._missing_lines(told)

    def _candidate(self, field: str) -> tuple[str, FieldSeen] | None:
        """The field nearest to the item whose name or looks say that it is this one, and how it is asked for."""
        found: list[tuple[bool, int, int, str, FieldSeen]] = []
        for one in self._fields:
            path = path_from(one, self._item)
            if path is None or not one.values or one.way in self._used or one is self._status:
                continue
            by_name = one.fits("field") == field
            by_looks = (field == "tracking_number" and is_tracking(one)) or (
                field == "carrier" and is_carrier(one, self._codes)
            )
            if (by_name or by_looks) and self._can_be(field, path, one):
                found.append((by_name, one.lists, -len(found), path, one))
        if not found:
            return None
        *_, path, one = max(found, key=lambda each: each[:3])
        self._used.add(one.way)
        return path, one

    def _can_be(self, field: str, path: str, one: FieldSeen) -> bool:
        texts = one.texts
        if one.time is not None:
            return False
        if field == "id":
            return '"$' not in path and not self._columns and len(texts) == len(one.values)
        if field == "country":
            return all(re.fullmatch(r"[A-Za-z]{2}", text) for text in texts)
        if field in _NAMES:
            return all(_NAME.fullmatch(text) for text in texts)
        if field in {"items", "weight_grams"}:
            return is_number(one)
        return True

    def _field_lines(self, field: str, path: str, one: FieldSeen) -> list[str]:
        for about in _TABLES:
            if field == about:
                return self._table(about, path, one)
        if field == "carrier":
            return self._carrier_lines("  carrier", path, one)
        if field == "weight_grams":
            unit = _UNIT.search(one.name)
            if unit is None and not {"g", "grams"} & set(one.name.split()):
                return [f"  weight_grams: {{from: {quoted(path)}, unit: g}}  # decide: g, kg, oz or lb"]
            return [f"  weight_grams: {{from: {quoted(path)}, unit: {unit[0] if unit else 'g'}}}"]
        if field == "id":
            return ["  # Different in each: taken as your id of the event. A repeat has to carry the same.",
                    f"  id: {quoted(path)}"]  # fmt: skip
        why = "by its name" if one.fits("field") == field else "by what stands there"
        return [f"  {field}: {quoted(path)}  # {why}"]

    def _table(self, field: About, path: str, one: FieldSeen) -> list[str]:
        known = {text: means for text in one.texts if (means := meaning(field, text))}
        unknown = [text for text in one.texts if text not in known]
        means = " or ".join(sorted(set(words(field).values())))
        if not known:
            what = f"what {some(unknown)} means: {means}"
            return [f"  # {field}: {{from: {quoted(path)}, values: {{}}}}  # decide: {what}"]
        lines = [f"  {field}:", f"    from: {quoted(path)}", "    values:", *table_lines("      ", known)]
        return lines + [f"      # {quoted(text)}:  # decide: {means}" for text in unknown]

    def _carrier_lines(self, key: str, path: str, one: FieldSeen) -> list[str]:
        unknown = [text for text in one.texts if self._codes.carrier(text) not in self._codes.carriers]
        if not unknown:
            return [f"{key}: {quoted(path)}  # names that are known: {some(one.texts)}"]
        what = f"whose {some(unknown)} is, as {{DPDX: dpd}}; left as it is where nothing is said"
        return [f"{key}: {{from: {quoted(path)}, unknown: keep, values: {{}}}}  # decide: {what}"]

    def _unnamed_carrier(self, key: str) -> list[str]:
        return [f"{key}: {{is: name_the_carrier}}  # decide: which one it always is"]

    def _parcel_lines(self) -> list[str]:
        inner = [one for one in self._fields if self._is_inside(one)]
        numbers = [one for one in inner if one.fits("field") == "tracking_number" or is_tracking(one)]
        if not numbers:
            return []
        number, item = numbers[0], item_of(numbers[0])
        self._used.add(number.way)
        steps = steps_to(item[len(self._item) :])
        lines = ["  parcels:", f"    each: {flow(steps)}"]
        lines.append(f"    tracking_number: {quoted(path_from(number, item) or '@')}")
        carrier = next(
            (one for one in self._fields if one.fits("field") == "carrier" or is_carrier(one, self._codes)),
            None,
        )
        path = path_from(carrier, item) if carrier is not None else None
        if carrier is None or path is None:
            return lines + self._unnamed_carrier("    carrier")
        self._used.add(carrier.way)
        return lines + self._carrier_lines("    carrier", path, carrier)

    def _is_inside(self, one: FieldSeen) -> bool:
        """Whether a field is in one more list of the item."""
        size = len(self._item)
        return one.way[:size] == self._item and one.way[size:].count("[]") == 1

    def _money_lines(self) -> list[str]:
        reach = [(path, one) for one in self._fields if (path := path_from(one, self._item)) and one.values]
        amounts = [each for each in reach if each[1].fits("money") is not None and is_number(each[1])]
        if not amounts:
            return []
        path, one = amounts[0]
        self._used.add(one.way)
        currencies = [each for each in reach if is_currency(each[1])]
        lines = ["  value:", f"    amount: {quoted(path)}"]
        if currencies:
            lines.append(f"    currency: {quoted(currencies[0][0])}")
            self._used.add(currencies[0][1].way)
        else:
            lines.append("    currency: {is: XXX}  # decide: no currency is written")
        if any(re.search(r",\d{1,2}$", text) for text in one.texts):
            lines.append("    decimal: comma")
        if {"cents", "minor"} & set(one.name.split()):
            lines.append("    unit: minor")
        return lines

    def _missing_lines(self, told: set[str]) -> list[str]:
        """What an event needs and nothing looks like: a path that finds nothing, to be put right."""
        needed = set[str]()
        for name in self._types:
            model = MODEL_OF_TYPE[name]
            needed |= {field for field, about in model.model_fields.items() if about.is_required()}
            about_either = issubclass(model, AboutParcelOrReturn)
            if about_either and "return_id" not in told and not {"carrier", "tracking_number"} <= told:
                needed.add("return_id")
        what = "# decide: nothing looks like it, and every event here needs it"
        return [
            f"  {field}: decide_{field}  {what}" for field in sorted(needed - told - {"type", TIME_FIELD})
        ]

    # -- times and events -------------------------------------------------------------------------------------------

    def _time_lines(self) -> list[str]:
        reach = [(path, one) for one in self._fields if (path := path_from(one, self._item)) and one.time]
        found = max(reach, key=lambda each: (each[1].lists, each[1].fits("time") is not None), default=None)
        if found is None:
            what = (
                "  # decide: no time was found; each event then happened at the latest when its message came."
            )
            return [what]
        why = "by its name" if found[1].fits("time") is not None else "a time beside it"
        first, *rest = self._one_time("  ", *found)
        return [f"{first}  # {why}", *rest]

    def _one_time(self, indent: str, path: str, one: FieldSeen) -> list[str]:
        clock = clock_of(one, self._fields)
        self._used |= {one.way} | ({clock.way} if clock is not None else set())
        clock_path = path_from(clock, self._item) if clock is not None else None
        beside = (clock_path, clock) if clock is not None and clock_path is not None else None
        return time_lines(indent, TIME_FIELD, path, one, beside)

    def _has_time(self) -> bool:
        return any(one.time is not None and path_from(one, self._item) for one in self._fields)

    def _event_lines(self) -> list[str]:
        if self._status is not None:
            return self._status_lines(self._status)
        if self._columns:
            return [line for name, one in self._columns.items() for line in self._column_lines(name, one)]
        (name,) = self._types
        what = "  # decide: no word was found that says which event it is: always this, or {from: ..., values: ...}"
        lines = [f"  - type: {name}{what}"]
        return lines + ([] if self._has_time() else ["    without_time: arrival"])

    def _status_lines(self, status: FieldSeen) -> list[str]:
        self._used.add(status.way)
        path = path_from(status, self._item) or "@"
        table, unknown = dict[str, str](), list[str]()
        for text in status.texts:
            means = meaning("type", text)
            if means is not None and self._is_wanted(means):
                table[text] = means
            else:
                unknown.append(text)
        lines = ["  - type:", f"      from: {quoted(path)}", "      values:", *table_lines("        ", table)]
        if unknown:
            what = f"{some(unknown)}: events (in `values`), or nothing (in this list)"
            lines.append(f"      nothing: []  # decide: {what}")
        return lines + ([] if self._has_time() else ["    without_time: arrival"])

    def _column_lines(self, name: str, one: FieldSeen) -> list[str]:
        self._used.add(one.way)
        path = path_from(one, self._item) or "@"
        lines = [f"  - type: {name}", f"    when: {quoted(path)}", "    fields:"]
        if one.time is None:
            return [
                *lines,
                "      # Empty in all messages: read as ISO 8601.",
                f"      {TIME_FIELD}: {quoted(path)}",
            ]
        if one.time.form == "iso" and one.time.has_offset:
            return [*lines, f"      {TIME_FIELD}: {quoted(path)}"]
        return lines + self._one_time("      ", path, one)

    def _left_out(self) -> list[str]:
        lines = []
        if self._personal:
            lines.append(
                f"# Left out, looks personal or like free text: {comment(', '.join(one.path for one in self._personal))}"
            )
        others = [one.path for one in self._fields if one.way not in self._used and not is_clock(one.texts)]
        if others:
            lines.append(f"# Not used: {comment(', '.join(others))}")
        return lines
