"""What a carrier's code proves: tables of facts in `schemas/carriers/`, each row with its source.

A code means something only together with its carrier, API and code type (the same two letters are an origin
scan at one carrier and an announcement at another), sometimes only with its text or with the direction of the
parcel. What is not in the tables is `UNMAPPED` and proves nothing: there is no guess.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from schemas.carrier_table_checks import read_tables
from schemas.carrier_tables import AMBIGUOUS, ANY_CARRIER, CodeRow, Key, Tables, folded_name
from schemas.vocabulary import Evidence, Milestone

OUTBOUND = "outbound"
RETURN = "return"

_CACHE_SIZE = 50_000
_MOST_CODE_CHARS = 64
_FOLDER = "schemas/carriers"


class Meaning(NamedTuple):
    """What a code proves, who saw it, and whether the tables know the code at all."""

    milestone: Milestone
    evidence: Evidence
    known: bool
    ambiguous: bool = False
    """A row says that it can mean several things, and neither text nor direction told which."""

    @property
    def understood(self) -> bool:
        """Whether somebody knows what it means; what nobody does is counted as unmapped."""
        return self.known and not self.ambiguous


UNKNOWN = Meaning(Milestone.UNMAPPED, Evidence.SYSTEM, known=False)

_PROVES_NOTHING_HERE = Meaning(Milestone.UNMAPPED, Evidence.SYSTEM, known=True)
_WAY_OUT = frozenset({Milestone.DELIVERED, Milestone.DELIVERED_ELSEWHERE})


_Question = tuple[str, str | None, str | None, str | None, str | None]
"""(canonical carrier, api, code type, code, direction) as an event says them."""


class _Reading(NamedTuple):
    row: CodeRow
    pattern: re.Pattern[str] | None
    meaning: Meaning


_Answer = tuple[Meaning | None, list[_Reading]]
"""What a code means, or None and the readings among which the text decides."""


class PassedOver(NamedTuple):
    """A row of the code that did not decide, and why."""

    row: CodeRow
    why: str


class Answer(NamedTuple):
    """What a code proves, and how that was found."""

    meaning: Meaning
    row: CodeRow | None
    """The row that decided."""
    asked: tuple[Key, ...]
    """What was looked for, one after the other, with the defaults filled in."""
    direction: str
    passed_over: tuple[PassedOver, ...]


class CarrierCodes:
    """Lookup over rows; a repeated question is one dictionary hit. Not shared between threads."""

    def __init__(
        self,
        rows: Iterable[CodeRow],
        aliases: Mapping[str, str],
        defaults: Iterable[tuple[str, str, str]],
    ) -> None:
        """Build the tables. `defaults`: (carrier, api, code type); the first of a carrier is its default."""
        self.rows = tuple(rows)
        """Every row, ours first."""
        self._readings: dict[Key, list[_Reading]] = {}
        for row in self.rows:
            pattern = re.compile(row.text_pattern, re.IGNORECASE) if row.text_pattern else None
            meaning = Meaning(row.milestone, row.evidence, known=True, ambiguous=row.confidence == AMBIGUOUS)
            self._readings.setdefault(row.key, []).append(_Reading(row, pattern, meaning))
        self.aliases = {folded_name(alias): carrier for alias, carrier in aliases.items()}
        self._code_types: dict[tuple[str, str], str] = {}
        self._apis: dict[str, str] = {}
        self.defaults = tuple(defaults)
        """(carrier, api, code type), the user's first."""
        for carrier, api, code_type in self.defaults:
            self._code_types.setdefault((carrier, api.casefold()), code_type.casefold())
            self._apis.setdefault(carrier, api.casefold())
        self.carriers = frozenset(self.aliases.values())
        """The carriers that the tables know, by their canonical names."""
        self._texts = frozenset(row.key[3] for row in self.rows if not _is_plain(row.key[3]))
        """Codes that are texts."""
        self._names: dict[str, str] = {}
        self._cache: dict[_Question, _Answer] = {}
        self._wordings: dict[tuple[_Question, str], Meaning] = {}
        """What the text of an event decides: most texts of a carrier are one of some hundred."""

    def carrier(self, name: str) -> str:
        """Return the canonical name of a carrier: by alias, else in lower case with `_` for all but a-z, 0-9.

        Empty when nothing is left of the name.
        """
        known = self._names.get(name)
        if known is None:
            folded = folded_name(name)
            known = self.aliases.get(folded, folded.replace(" ", "_"))
            if len(self._names) >= _CACHE_SIZE:
                self._names.clear()
            self._names[name] = known
        return known

    def default_api(self, carrier: str) -> str:
        """Return the api of a carrier's event that names none; empty: there is none."""
        return self._apis.get(carrier, "")

    def default_code_type(self, carrier: str, api: str) -> str:
        """Return the code type of an event of an api that names none; empty: there is none."""
        folded = api.casefold()
        return self._code_types.get((carrier, folded)) or self._code_types.get((ANY_CARRIER, folded), "")

    def kept(self, code: str) -> str:
        """Return a code as it may be kept: a text in the place of a code may be about somebody, unless a row has it."""
        return code if _is_plain(code) or code.strip().casefold() in self._texts else ""

    def lookup(
        self,
        carrier: str,
        api: str | None,
        code_type: str | None,
        code: str | None,
        text: str | None,
        direction: str | None,
    ) -> Meaning:
        """Return what a code proves. None or "" for what the event did not say; a canonical `carrier`.

        Without an api or a code type the carrier's defaults are used; without a direction, `return`.
        """
        question = (carrier, api, code_type, code, direction)
        answer = self._cache.get(question)
        if answer is None:
            answer = self._remember(question)
        meaning, candidates = answer
        if meaning is not None:
            return meaning
        wording = (question, text or "")
        meaning = self._wordings.get(wording)
        if meaning is None:
            if len(self._wordings) >= _CACHE_SIZE:
                self._wordings.clear()
            meaning = self._wordings[wording] = _meaning(_by_text(candidates, text or ""))
        return meaning

    def explain(
        self,
        carrier: str,
        api: str | None,
        code_type: str | None,
        code: str | None,
        text: str | None,
        direction: str | None,
    ) -> Answer:
        """Return what `lookup` returns for the same, with the row that decided and those that did not."""
        question = (carrier, api, code_type, code, direction)
        candidates, keys, way = self._candidates(question), self._keys(question), _way(direction)
        decided = _by_text(candidates, text or "")
        passed = [
            PassedOver(one.row, _why_not(one.row, way, text or ""))
            for one in (one for key in keys for one in self._readings.get(key, []))
            if decided is None or one.row is not decided.row
        ]
        row = decided.row if decided is not None else None
        return Answer(_meaning(decided), row, tuple(keys), way, tuple(passed))

    def _remember(self, question: _Question) -> _Answer:
        candidates = self._candidates(question)
        decided_by_text = any(reading.pattern is not None for reading in candidates)
        meaning = None if decided_by_text else _meaning(_by_text(candidates, ""))
        if len(self._cache) >= _CACHE_SIZE:
            self._cache.clear()
        answer = self._cache[question] = (meaning, candidates)
        return answer

    def _keys(self, question: _Question) -> list[Key]:
        carrier, *said, _ = question
        api, code_type, code = ((word or "").strip().casefold() for word in said)
        api = api or self.default_api(carrier)
        return [
            (owner, api, code_type or self.default_code_type(owner, api), code)
            for owner in dict.fromkeys((carrier, ANY_CARRIER))
        ]

    def _candidates(self, question: _Question) -> list[_Reading]:
        """The readings that fit the direction, the first to be asked first."""
        way = _way(question[-1])
        found = [
            one._replace(meaning=_on_its_way(one, way))
            for key in self._keys(question)
            for one in self._readings.get(key, [])
            if one.row.direction in {"", way}
        ]
        return sorted(found, key=_most_specific_first)


def _is_plain(code: str) -> bool:
    return len(code) <= _MOST_CODE_CHARS and " " not in code and "@" not in code


def load_carrier_codes(own: Tables | None = None) -> CarrierCodes:
    """The tables that come with the package, with a user's own beside them."""
    tables = our_tables() if own is None else own.beside(our_tables())
    return CarrierCodes(*tables)


@lru_cache(maxsize=1)
def our_tables() -> Tables:
    """The tables that come with the package. Raises ValueError with everything that is wrong with them."""
    folder = resources.files("schemas").joinpath("carriers")
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".csv")), key=lambda file: file.name
    )
    tables, findings = read_tables(
        {f"{_FOLDER}/{file.name}": file.read_text(encoding="utf-8") for file in files}
    )
    if findings:
        raise ValueError("\n".join(map(str, findings)))
    return tables


def code_rows() -> Iterator[CodeRow]:
    """Yield every row of every table of ours, in the order of the files."""
    yield from our_tables().rows


def _way(direction: str | None) -> str:
    return (direction or "").strip().casefold() or RETURN


def _on_its_way(reading: _Reading, way: str) -> Meaning:
    """What a reading means on a way; a row of that very direction says it itself.

    On the way to the customer a delivery is none at our dock, and a parcel that is turned back is only moving.
    """
    if way != OUTBOUND or reading.row.direction:
        return reading.meaning
    if reading.meaning.milestone in _WAY_OUT:
        return _PROVES_NOTHING_HERE
    if reading.meaning.milestone is Milestone.RETURNED_TO_SENDER:
        return reading.meaning._replace(milestone=Milestone.IN_TRANSIT)
    return reading.meaning


def _by_text(candidates: list[_Reading], text: str) -> _Reading | None:
    said = text.strip()
    return next((one for one in candidates if one.pattern is None or one.pattern.search(said)), None)


def _meaning(reading: _Reading | None) -> Meaning:
    return UNKNOWN if reading is None else reading.meaning


def _why_not(row: CodeRow, way: str, text: str) -> str:
    if row.direction not in {"", way}:
        return f"is for the direction {row.direction}, not {way}"
    if row.text_pattern and not re.search(row.text_pattern, text.strip(), re.IGNORECASE):
        return f"its text pattern `{row.text_pattern}` " + (
            "does not fit the text" if text else "needs a text"
        )
    return "a row that fits more closely comes first"


def _most_specific_first(reading: _Reading) -> tuple[bool, bool, bool]:
    row = reading.row
    return (not row.direction, row.carrier == ANY_CARRIER, reading.pattern is None)
