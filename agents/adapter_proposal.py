"""An adapter file proposed from sample payloads of a carrier, and rows for a table of its codes (docs/adapters.md)."""

import csv
import io
from collections.abc import Sequence

from agents.message_fields import FieldSeen, is_tracking, item_of, outer, steps_to
from agents.proposal_lines import clock_of, comment, flow, quoted, some, time_lines
from schemas.carrier_tables import CODE_COLUMNS
from schemas.field_words import folded, words
from streams.message_paths import EACH, Names, path_of

NO_NAME = "name_the_carrier"
_PLACE = {"country": "country", "city": "city", "postal_code": "postal_code", "site": "site"}


class AdapterProposal:
    """Finds the events, the parcel around them, and what its codes may mean."""

    def __init__(self, name: str, fields: Sequence[FieldSeen], carrier: str | None, *, is_json: bool) -> None:
        self._name, self._is_json, self._carrier = name, is_json, carrier or NO_NAME
        self._fields = [one for one in fields if not one.is_personal and one.values]
        self._personal = [one for one in fields if one.is_personal]
        self._time = max(
            (one for one in self._fields if one.time is not None),
            key=lambda one: (one.lists, one.fits("time") is not None),
            default=None,
        )
        self._event: Names = item_of(self._time) if self._time is not None else ()
        numbers = [one for one in self._fields if one.fits("field") == "tracking_number" or is_tracking(one)]
        self._number = min(numbers, key=lambda one: one.lists, default=None)
        self._package: Names = item_of(self._number) if self._number is not None else outer(self._event)
        inside = [one for one in self._fields if item_of(one) == self._event]
        self._code = next(
            (one for one in inside if one.fits("status") is not None and one.time is None), None
        )
        self._text = next(
            (one for one in inside if one.fits("text") is not None and one is not self._code), None
        )
        self._inside = inside

    def text(self) -> str:
        """The whole file."""
        events = steps_to(self._event[len(self._package) :]) or ["@"]
        lines = [
            "# Proposed by `returnwatch sources infer`: read it line by line. What says `decide` is for you to answer;",
            "# then `returnwatch sources test` shows what your payloads become.",
            f"adapter: {self._name}",
            "about: Proposed from samples.",
            "documents: [unknown]  # decide: where its format is written down",
            f"format: {'json' if self._is_json else 'xml'}",
            "# All that is known so far, old events again; or `event`: each event when it happens.",
            "tells: history",
            f"expects: {quoted(self._expects())}",
            *self._carrier_lines(),
            f"packages: {flow(steps_to(self._package) or ['@'])}",
            *self._number_lines(),
            f"events: {flow(events)}",
            "event:",
            *self._code_lines(),
            *self._time_lines(),
            *self._place_lines(),
        ]
        if self._personal:
            lines.append(
                f"# Left out, looks personal or like free text: {comment(', '.join(one.path for one in self._personal))}"
            )
        return "\n".join([*lines, *self._undecided()]) + "\n"

    def codes(self) -> str:
        """Rows for a table of one's own, of the codes whose words are known."""
        out = io.StringIO()
        writer = csv.DictWriter(out, CODE_COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for code, means in self._meanings().items():
            if not means:
                continue
            word, told = means
            milestone, _, evidence = told.partition(" by ")
            where = {"carrier": self._carrier, "api": self._name, "code_type": "event_code", "code": code}
            why = {"confidence": "inferred", "source": f"sample payload: its text says `{word}`"}
            writer.writerow({**where, "milestone": milestone, "evidence": evidence, **why})
        return out.getvalue()

    def aliases(self) -> str:
        """The carrier's name, for the same directory."""
        return f"alias,carrier\n{self._carrier.replace('_', ' ')},{self._carrier}\n"

    def _expects(self) -> str:
        return path_of((next(iter(self._package or self._event or ("@",))),)) if self._first_name() else "@"

    def _first_name(self) -> bool:
        way = self._package or self._event
        return bool(way) and way[0] != EACH

    def _carrier_lines(self) -> list[str]:
        if self._carrier != NO_NAME:
            return [f"carrier: {{is: {self._carrier}}}"]
        return [f"carrier: {{is: {NO_NAME}}}  # decide: whose payloads they are, as labels name it"]

    def _number_lines(self) -> list[str]:
        if self._number is None:
            return [
                "package:",
                "  # decide: nothing looks like a tracking number. Where answers do not repeat it, the record's key has it.",
                """  number: '"$key"'""",
            ]
        return ["package:", f"  number: {quoted(path_of(self._number.way[len(self._package) :]) or '@')}"]

    def _code_lines(self) -> list[str]:
        lines = ["  codes:"]
        if self._code is None:
            lines += ["    # decide: no code was found; the text alone decides.", "    - {type: text}"]
        else:
            lines.append(f"    - {{type: event_code, code: {quoted(self._from_event(self._code))}}}")
        if self._text is not None:
            lines += ["  # Looked at by the table of codes, and goes no further.",
                      f"  text: {quoted(self._from_event(self._text))}"]  # fmt: skip
        return lines

    def _time_lines(self) -> list[str]:
        if self._time is None:
            return ["  # decide: no time was found; each event then happened at the latest when it was told.",
                    "  without_time: arrival"]  # fmt: skip
        clock = clock_of(self._time, self._fields)
        beside = (self._from_event(clock), clock) if clock is not None else None
        zone = "place" if any(one.fits("place") == "country" for one in self._inside) else ""
        return time_lines("  ", "times", self._from_event(self._time), self._time, beside, zone)

    def _place_lines(self) -> list[str]:
        found = {
            one.fits("place"): self._from_event(one) for one in reversed(self._inside) if one.fits("place")
        }
        if not found:
            return []
        return ["  place:", *(f"    {name}: {quoted(found[name])}" for name in _PLACE if name in found)]

    def _from_event(self, one: FieldSeen) -> str:
        return path_of(one.way[len(self._event) :]) or "@"

    def _undecided(self) -> list[str]:
        unknown = [code for code, means in self._meanings().items() if not means]
        known = len(self._meanings()) - len(unknown)
        lines = (
            [f"# {known} codes have words that are known: see --codes. Check each of them."] if known else []
        )
        if unknown:
            lines.append(
                f"# decide: what {some(unknown)} prove: rows for a table of your own (docs/carriers.md)."
            )
        return lines

    def _meanings(self) -> dict[str, tuple[str, str] | None]:
        """Code -> the words that were found beside it, and what they mean; None: not known, or not always the same."""
        if self._code is None or self._text is None or len(self._code.values) != len(self._text.values):
            return {} if self._code is None else dict.fromkeys(self._code.texts)
        found: dict[str, tuple[str, str] | None] = {}
        for code, text in zip(self._code.values, self._text.values, strict=True):
            means = _words_in(folded(str(text)))
            before = found.setdefault(str(code), means)
            if before is not None and means is not None and before[1] != means[1]:
                found[str(code)] = None
        return found


def _words_in(text: str) -> tuple[str, str] | None:
    """The longest words of the table in a text, and what they mean; None where several say different things."""
    found = [(word, means) for word, means in words("scan").items() if f" {word} " in f" {text} "]
    if not found or " not " in f" {text} ":
        return None
    return max(found, key=lambda one: len(one[0])) if len({means for _, means in found}) == 1 else None
