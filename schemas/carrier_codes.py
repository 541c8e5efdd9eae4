"""What a carrier's code proves: tables of facts in `schemas/carriers/`, each row with its source.

A code means something only together with its carrier, API and code type (the same two letters are an origin
scan at one carrier and an announcement at another), sometimes only with its text or with the direction of the
parcel. What is not in the tables is `UNMAPPED` and proves nothing: there is no guess.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import NamedTuple

from schemas.vocabulary import Evidence, Milestone

ANY_CARRIER = "*"
"""Carrier of the rows of aggregators, whose codes mean the same for every carrier behind them."""

_CACHE_SIZE = 50_000
_NOT_FILES_OF_CODES = frozenset({"aliases.csv", "defaults.csv"})
_NO_NAME = re.compile(r"[^0-9a-z]+")


class Meaning(NamedTuple):
    """What a code proves, who saw it, and whether the tables know the code at all."""

    milestone: Milestone
    evidence: Evidence
    known: bool


UNKNOWN = Meaning(Milestone.UNMAPPED, Evidence.SYSTEM, known=False)

_Key = tuple[str, str, str, str]
"""(carrier, api, code type, code), casefolded."""


_Question = tuple[str, str | None, str | None, str | None, str | None]
"""(canonical carrier, api, code type, code, direction) as an event says them."""


class CodeRow(NamedTuple):
    """One row of a table. Empty `text_pattern` or `direction`: any."""

    carrier: str
    api: str
    code_type: str
    code: str
    text_pattern: str
    direction: str
    milestone: Milestone
    evidence: Evidence
    confidence: str
    source: str

    @property
    def key(self) -> _Key:
        """The folded (carrier, api, code type, code)."""
        return (self.carrier, self.api.casefold(), self.code_type.casefold(), self.code.casefold())


class _Reading(NamedTuple):
    pattern: re.Pattern[str] | None
    direction: str
    meaning: Meaning


_Answer = tuple[Meaning | None, list[_Reading]]
"""What a code means, or None and the readings among which the text decides."""


class CarrierCodes:
    """Lookup over rows; a repeated question is one dictionary hit. Not shared between threads."""

    def __init__(
        self,
        rows: Iterable[CodeRow],
        aliases: dict[str, str],
        defaults: Iterable[tuple[str, str, str]],
    ) -> None:
        """Build the tables. `defaults`: (carrier, api, code type); the first of a carrier is its default."""
        self._readings: dict[_Key, list[_Reading]] = {}
        for row in rows:
            self._add(row)
        for readings in self._readings.values():
            readings.sort(key=_most_specific_first)
        self._aliases = {_name(alias): carrier for alias, carrier in aliases.items()}
        self._code_types: dict[tuple[str, str], str] = {}
        self._apis: dict[str, str] = {}
        for carrier, api, code_type in defaults:
            self._code_types[carrier, api.casefold()] = code_type.casefold()
            self._apis.setdefault(carrier, api.casefold())
        self.carriers = frozenset(self._aliases.values())
        """The carriers that the tables know, by their canonical names."""
        self._names: dict[str, str] = {}
        self._cache: dict[_Question, _Answer] = {}

    def _add(self, row: CodeRow) -> None:
        pattern = re.compile(row.text_pattern, re.IGNORECASE) if row.text_pattern else None
        meaning = Meaning(row.milestone, row.evidence, known=True)
        self._readings.setdefault(row.key, []).append(_Reading(pattern, row.direction, meaning))

    def carrier(self, name: str) -> str:
        """Return the canonical name of a carrier: by alias, else in lower case with `_` for all but a-z, 0-9.

        Empty when nothing is left of the name.
        """
        known = self._names.get(name)
        if known is None:
            folded = _name(name)
            known = self._aliases.get(folded, folded.replace(" ", "_"))
            if len(self._names) >= _CACHE_SIZE:
                self._names.clear()
            self._names[name] = known
        return known

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
        return meaning if meaning is not None else self._by_text(candidates, text or "")

    def _remember(self, question: _Question) -> _Answer:
        candidates = self._candidates(question)
        decided_by_text = any(reading.pattern is not None for reading in candidates)
        meaning = None if decided_by_text else self._by_text(candidates, "")
        if len(self._cache) >= _CACHE_SIZE:
            self._cache.clear()
        answer = self._cache[question] = (meaning, candidates)
        return answer

    def _candidates(self, question: _Question) -> list[_Reading]:
        carrier, *said = question
        api, code_type, code, direction = ((word or "").strip().casefold() for word in said)
        api = api or self._apis.get(carrier, "")
        found: list[_Reading] = []
        for owner in (carrier, ANY_CARRIER):
            kind = code_type or self._code_types.get((owner, api), "")
            found = self._readings.get((owner, api, kind, code), [])
            if found:
                break
        wanted = direction or "return"
        return [reading for reading in found if reading.direction in {"", wanted}]

    @staticmethod
    def _by_text(candidates: list[_Reading], text: str) -> Meaning:
        for reading in candidates:
            if reading.pattern is None or reading.pattern.search(text.strip()):
                return reading.meaning
        return UNKNOWN


def load_carrier_codes() -> CarrierCodes:
    """Read the tables that come with the package. Raises ValueError naming the row that is not valid."""
    return CarrierCodes(code_rows(), dict(_pairs("aliases.csv")), _defaults())


def code_rows() -> Iterator[CodeRow]:
    """Yield every row of every table, in the order of the files."""
    folder = resources.files("schemas").joinpath("carriers")
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".csv") or file.name in _NOT_FILES_OF_CODES:
            continue
        for number, cells in enumerate(_cells(file.name), start=2):
            yield _row(f"{file.name}:{number}", cells)


def _row(where: str, cells: dict[str, str]) -> CodeRow:
    try:
        return CodeRow(
            **{name: cells[name] for name in CodeRow._fields if name not in {"milestone", "evidence"}},
            milestone=Milestone[cells["milestone"].upper()],
            evidence=Evidence[cells["evidence"].upper()],
        )
    except KeyError as missing:
        message = (
            f"{where}: {missing} is no column, milestone or evidence that we know; see schemas/vocabulary.py"
        )
        raise ValueError(message) from missing


def _cells(name: str) -> Iterator[dict[str, str]]:
    text = resources.files("schemas").joinpath("carriers", name).read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())


def _pairs(name: str) -> Iterator[tuple[str, str]]:
    return ((cells["alias"], cells["carrier"]) for cells in _cells(name))


def _defaults() -> Iterator[tuple[str, str, str]]:
    return ((cells["carrier"], cells["api"], cells["code_type"]) for cells in _cells("defaults.csv"))


def _name(name: str) -> str:
    return _NO_NAME.sub(" ", name.casefold()).strip()


def _most_specific_first(reading: _Reading) -> tuple[bool, bool]:
    return (reading.pattern is None, not reading.direction)
