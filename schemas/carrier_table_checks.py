"""Reads the tables of carriers' codes and finds what is wrong with them: every finding, with its line and column.

Ours are read by it as well as a user's own, so that neither can say what the other may not.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from schemas.carrier_tables import (
    ALIASES,
    AMBIGUOUS,
    ANY_CARRIER,
    COLUMNS,
    DEFAULTS,
    CodeRow,
    Key,
    Line,
    TableFinding,
    Tables,
    folded_name,
    lines_of,
)
from schemas.vocabulary import Evidence, Milestone

CONFIDENCES = ("documented", "observed", "inferred", AMBIGUOUS)
DIRECTIONS = ("", "return", "outbound")
NO_CARRIER = "feed"
"""Names feeds in commands, and so no carrier."""

_ON_THE_ROAD = frozenset(
    {
        Milestone.ACCEPTED,
        Milestone.IN_TRANSIT,
        Milestone.CUSTOMS_HOLD,
        Milestone.OUT_FOR_DELIVERY,
        Milestone.AVAILABLE_FOR_PICKUP,
        Milestone.DELIVERY_ATTEMPTED,
        Milestone.DELIVERY_EXCEPTION,
        Milestone.MISROUTED,
        Milestone.DELAYED,
        Milestone.DELIVERED,
        Milestone.DELIVERED_ELSEWHERE,
        Milestone.RETURNED_TO_SENDER,
        Milestone.DAMAGED,
        Milestone.DISPOSED,
        Milestone.DROPPED_OFF,
    }
)
PROVES: Mapping[Evidence, frozenset[Milestone]] = {
    Evidence.ANNOUNCED: frozenset(
        {Milestone.UNMAPPED, Milestone.CARRIER_PREADVISED, Milestone.PICKUP_SCHEDULED}
    ),
    Evidence.SYSTEM: frozenset({Milestone.UNMAPPED, Milestone.LABEL_VOIDED}),
    Evidence.CARRIER_INFERRED: _ON_THE_ROAD
    | {Milestone.UNMAPPED, Milestone.LOST, Milestone.PICKUP_FAILED, Milestone.PICKUP_SCHEDULED},
    Evidence.CARRIER_SCAN: _ON_THE_ROAD,
    Evidence.AGENT_SCAN: frozenset(
        {Milestone.DROPPED_OFF, Milestone.ACCEPTED, Milestone.AVAILABLE_FOR_PICKUP, Milestone.DELIVERED}
    ),
}
"""What each kind of evidence can show. What is announced has not been seen, and nothing that was seen proves nothing."""

_MILESTONES = tuple(
    milestone for milestone in Milestone if any(milestone in shown for shown in PROVES.values())
)
_CARRIER_NAME = re.compile(r"[0-9a-z]+(_[0-9a-z]+)*")
_NAMES = "`returnwatch carriers list` names them"


class _Names(NamedTuple):
    """Which carriers there are, and by what other names."""

    aliases: Mapping[str, str]
    carriers: frozenset[str]


def read_tables(files: Mapping[str, str], ours: Tables | None = None) -> tuple[Tables, list[TableFinding]]:
    """The tables in files (name -> text) and everything that is wrong with them, in the order of the files.

    `ours`: then the files are a user's, who may name our carriers and leave out a default api and code type.
    """
    base, own = ours or Tables(), ours is not None
    findings, lines = list[TableFinding](), dict[str, list[Line]]()
    for file, text in files.items():
        lines[file], wrong = lines_of(file, text)
        findings += wrong
    of_aliases, of_defaults, of_codes = _by_kind(lines)
    aliases = dict(_aliases(of_aliases, base, findings))
    named = _Names({**base.aliases, **aliases}, base.carriers | {*aliases.values()})
    placed_defaults = list(_defaults(of_defaults, named, findings))
    defaults = tuple(default for _, default in placed_defaults)
    rows = list(_rows(of_codes, named, (*defaults, *base.defaults), findings, own=own))
    findings += _twice(rows)
    findings += _defaults_of_nothing(placed_defaults, [*(row for _, row in rows), *base.rows])
    order = {file: number for number, file in enumerate(files)}
    findings.sort(key=lambda finding: (order[finding.file], finding.line, finding.column))
    return Tables(tuple(row for _, row in rows), aliases, defaults), findings


def _by_kind(lines: Mapping[str, list[Line]]) -> tuple[list[Line], list[Line], list[Line]]:
    kinds: dict[str, list[Line]] = {ALIASES: [], DEFAULTS: []}
    codes = list[Line]()
    for file, found in lines.items():
        kinds.get(file.rpartition("/")[2], codes).extend(found)
    return kinds[ALIASES], kinds[DEFAULTS], codes


# -- names and defaults -------------------------------------------------------------------------------------------


def _aliases(lines: list[Line], base: Tables, findings: list[TableFinding]) -> Iterator[tuple[str, str]]:
    seen = dict[str, tuple[str, str]]()
    """Folded alias -> carrier and place."""
    for line in lines:
        alias, carrier = line.cells["alias"], line.cells["carrier"]
        folded = folded_name(alias)
        if not _CARRIER_NAME.fullmatch(carrier) or carrier == NO_CARRIER:
            why = "it is part of every parcel's key"
            todo = "write it in lower case, letters and digits with `_` between, and not `feed`"
            findings.append(line.finding("carrier", f"no carrier can be called `{carrier}`", why, todo))
        elif not folded:
            todo = "aliases are compared by their letters a-z and digits"
            findings.append(line.finding("alias", f"nothing is left of the alias {alias!r}", todo=todo))
        elif folded in seen and seen[folded][0] != carrier:
            other, where = seen[folded]
            todo = "delete one of them"
            findings.append(line.finding("alias", f"`{alias}` is `{other}` in {where}", todo=todo))
        elif base.aliases.get(folded, carrier) != carrier:
            why = "another name would give the parcels under way another key"
            todo = "take another alias, or name the carrier as we do"
            what = f"`{alias}` is our name of `{base.aliases[folded]}`"
            findings.append(line.finding("alias", what, why, todo))
        else:
            seen.setdefault(folded, (carrier, line.where))
            yield folded, carrier


def _defaults(
    lines: list[Line], named: _Names, findings: list[TableFinding]
) -> Iterator[tuple[Line, tuple[str, str, str]]]:
    seen = dict[tuple[str, str], str]()
    for line in lines:
        carrier, api, code_type = (line.cells[column] for column in COLUMNS[DEFAULTS])
        findings += _carrier_findings(line, named)
        place = (carrier, api.casefold())
        if place in seen:
            what = f"`{carrier}` and `{api}` stand in {seen[place]} already"
            findings.append(line.finding("api", what, "only one could count", "delete one of them"))
            continue
        seen[place] = line.where
        yield line, (carrier, api, code_type)


def _defaults_of_nothing(
    defaults: list[tuple[Line, tuple[str, str, str]]], rows: list[CodeRow]
) -> Iterator[TableFinding]:
    there = {row.key[:3] for row in rows}
    for line, (carrier, api, code_type) in defaults:
        if (carrier, api.casefold(), code_type.casefold()) not in there:
            what = f"no row is of {carrier}, {api}, {code_type}"
            why = "every code of an event that names no code type would be unmapped"
            yield line.finding("code_type", what, why, "correct it, or add its rows")


def _carrier_findings(line: Line, named: _Names) -> Iterator[TableFinding]:
    carrier = line.cells["carrier"]
    if carrier in named.carriers or carrier == ANY_CARRIER:
        return
    meant = named.aliases.get(folded_name(carrier), "")
    close = meant or next(iter(get_close_matches(carrier.casefold(), sorted(named.carriers), n=1)), "")
    hint = f"write `{meant}`" if meant else f"did you mean `{close}`?" if close else _NAMES
    todo = hint if meant else f"{hint}; a carrier of your own needs a line in {ALIASES} beside"
    why = "its rows would answer for nobody's events"
    yield line.finding("carrier", f"nobody knows the carrier `{carrier}`", why, todo)


# -- rows ---------------------------------------------------------------------------------------------------------


def _rows(
    lines: list[Line],
    named: _Names,
    defaults: tuple[tuple[str, str, str], ...],
    findings: list[TableFinding],
    *,
    own: bool,
) -> Iterator[tuple[Line, CodeRow]]:
    """Every row that could be read; with it what is wrong with each."""
    for line in lines:
        findings += _carrier_findings(line, named)
        findings += _word_findings(line)
        findings += _pattern_findings(line)
        milestone, evidence = _milestone(line, findings), _evidence(line, findings)
        if milestone is None or evidence is None:
            continue
        findings += _contradictions(line, milestone, evidence)
        yield line, _with_defaults(_row(line, milestone, evidence, own=own), defaults)


def _row(line: Line, milestone: Milestone, evidence: Evidence, *, own: bool) -> CodeRow:
    cells = line.cells
    return CodeRow(
        cells["carrier"],
        cells["api"],
        cells["code_type"],
        cells["code"],
        cells.get("text_pattern", ""),
        cells.get("direction", ""),
        milestone,
        evidence,
        cells["confidence"],
        cells["source"],
        cells.get("reason", ""),
        line.where,
        own,
    )


def _with_defaults(row: CodeRow, defaults: tuple[tuple[str, str, str], ...]) -> CodeRow:
    """The row as an event would be read that leaves out what the row leaves out."""
    api, code_type = row.api, row.code_type
    if not api:
        api = next((default[1] for default in defaults if default[0] == row.carrier), "")
    if not code_type:
        owners = (row.carrier, ANY_CARRIER)
        types = {one[0]: one[2] for one in reversed(defaults) if one[1].casefold() == api.casefold()}
        code_type = next((types[owner] for owner in owners if owner in types), "")
    return row._replace(api=api, code_type=code_type)


def _word_findings(line: Line) -> Iterator[TableFinding]:
    cells = line.cells
    if cells.get("direction", "") not in DIRECTIONS:
        todo = "write return or outbound, or nothing for both"
        yield line.finding("direction", f"there is no direction `{cells['direction']}`", todo=todo)
    if cells["confidence"] not in CONFIDENCES:
        todo = f"write {', '.join(CONFIDENCES[:-1])} or {CONFIDENCES[-1]}"
        yield line.finding("confidence", f"there is no confidence `{cells['confidence']}`", todo=todo)
    if not cells["source"]:
        todo = "name the document, or where it was seen and when"
        yield line.finding("source", "has no source", "nobody could check it later", todo)
    if not cells["code"] and not cells.get("text_pattern", ""):
        why = "it would answer for every event without a code"
        yield line.finding("code", "has neither a code nor a text pattern", why, "give one of them")


def _pattern_findings(line: Line) -> Iterator[TableFinding]:
    pattern = line.cells.get("text_pattern", "")
    if not pattern:
        return
    try:
        fits_nothing = re.search(pattern, "", re.IGNORECASE)
    except re.error as error:
        what = f"{pattern!r} is no pattern: {error}"
        yield line.finding("text_pattern", what, todo="write it as a Python regular expression")
        return
    if fits_nothing:
        what, why = f"{pattern!r} fits an event without a text", "it would fit every event"
        yield line.finding("text_pattern", what, why, "leave it empty, or ask for a word")


def _milestone(line: Line, findings: list[TableFinding]) -> Milestone | None:
    word = line.cells["milestone"]
    found = Milestone.__members__.get(word.upper())
    if found in _MILESTONES and word.islower():
        return found
    why = "only other topics of yours can say it" if found is not None and word.islower() else ""
    what = f"no carrier can say `{word}`" if why else f"there is no milestone `{word}`"
    findings.append(line.finding("milestone", what, why, _meant(word, [one.name for one in _MILESTONES])))
    return None


def _evidence(line: Line, findings: list[TableFinding]) -> Evidence | None:
    word = line.cells["evidence"]
    found = Evidence.__members__.get(word.upper())
    if found in PROVES and word.islower():
        return found
    why = "no carrier has seen it then" if found is not None and word.islower() else ""
    what = f"`{word}` is not a carrier's evidence" if why else f"there is no evidence `{word}`"
    findings.append(line.finding("evidence", what, why, _meant(word, [one.name for one in PROVES])))
    return None


def _meant(word: str, known: list[str]) -> str:
    names = [name.lower() for name in known]
    close = get_close_matches(word.lower(), names, n=1)
    return f"did you mean `{close[0]}`?" if close and close[0] != word else f"take one of {', '.join(names)}"


def _contradictions(line: Line, milestone: Milestone, evidence: Evidence) -> Iterator[TableFinding]:
    said, seen = milestone.name.lower(), evidence.name.lower()
    if milestone not in PROVES[evidence]:
        fit = [one.name.lower() for one, shown in PROVES.items() if milestone in shown]
        what = f"`{seen}` cannot show `{said}`"
        yield line.finding("evidence", what, _WHY_NOT[evidence], f"`{said}` goes with {', '.join(fit)}")
    if line.cells["confidence"] == AMBIGUOUS:
        if milestone is not Milestone.UNMAPPED:
            todo = "make it unmapped, or tell its meanings apart by text_pattern"
            yield line.finding("milestone", f"is ambiguous, and yet `{said}`", "that would be a guess", todo)
        if not line.cells.get("reason", ""):
            todo = "say in `reason` what it can mean"
            yield line.finding("confidence", "is ambiguous, and nobody says between what", todo=todo)


_WHY_NOT: Mapping[Evidence, str] = {
    Evidence.ANNOUNCED: "what is announced has not been seen, and would stop a clock",
    Evidence.SYSTEM: "a carrier's system has seen no parcel",
    Evidence.CARRIER_INFERRED: "it is nothing that a carrier works out",
    Evidence.CARRIER_SCAN: "a scan shows where a parcel is",
    Evidence.AGENT_SCAN: "an agent only has the parcel in hand",
}


def _twice(rows: list[tuple[Line, CodeRow]]) -> Iterator[TableFinding]:
    first = dict[tuple[Key, str, str], CodeRow]()
    for line, row in rows:
        question = (row.key, row.text_pattern, row.direction)
        other = first.setdefault(question, row)
        if other is row:
            continue
        if (other.milestone, other.evidence) == (row.milestone, row.evidence):
            what, why = f"stands in {other.where} already", ""
        else:
            what = f"contradicts {other.where}: `{other.milestone.name.lower()}` by {other.evidence.name.lower()}"
            why = "only one could count"
        yield line.finding("code", what, why, "delete one, or tell them apart by text or direction")
