"""How carriers' codes look on a terminal."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

from agents.carriers_known import KnownApi
from agents.terminal import out, say
from schemas.carrier_codes import Answer, Meaning
from schemas.carrier_tables import ANY_CARRIER, CodeRow
from schemas.vocabulary import PHYSICAL_CARRIER_EVIDENCE, Milestone

_ANYBODY = "any carrier"
_OWN = "yours"
_MOST_PASSED_OVER = 5
_COLUMNS = ("code", "text", "direction", "milestone", "evidence", "confidence", "row")
_WRAPPED = frozenset({"code", "text", "code types"})


def show_list(known: Sequence[KnownApi]) -> None:
    """One line for each API."""
    table = _table("carrier", "api", "code types", "codes", "rows of yours")
    for one in known:
        types = ", ".join(f"{code_type} {count}" for code_type, count in one.code_types.items())
        api = f"{one.api} (default)" if one.default else one.api
        cells = (_carrier(one.carrier), api, types, str(one.codes), str(one.own or ""))
        table.add_row(*map(Text, cells))  # as Text: in a plain cell [a-z] would be markup
    out.print(table)
    carriers = {one.carrier for one in known} - {ANY_CARRIER}
    out.print(f"{sum(one.codes for one in known):,} codes of {len(known)} APIs and {len(carriers)} carriers")


def show_rows(rows: Sequence[CodeRow]) -> None:
    """A table for each carrier, API and code type; without the columns in which nothing stands."""
    for place, found in groupby(sorted(rows, key=_place_of), key=_place_of):
        carrier, api, code_type = place
        out.print(Text.assemble((_carrier(carrier), "bold"), f", {api}, {code_type}"))
        cells = [_cells(row) for row in found]
        shown = [name for name in _COLUMNS if any(line[name] for line in cells)]
        table = _table(*shown)
        for line in cells:
            table.add_row(*(Text(line[name]) for name in shown))
        out.print(table)


def show_answer(code: str, text: str | None, answer: Answer, elsewhere: Sequence[CodeRow], hint: str) -> None:
    """What a code means, the row that says so, and what did not fit."""
    carrier, api, code_type, _ = answer.asked[0]
    asked = [_carrier(carrier), api or "no api", code_type or "no code type"]
    asked += [f"code {code!r}"] if code else []
    asked += [f"text {text!r}"] if text else []
    _say(", ".join(asked) + f", direction {answer.direction}", "bold")
    meaning, row = answer.meaning, answer.row
    if row is None:
        _say("  unmapped: no row fits, so it proves nothing, and it is counted")
    else:
        _say(f"  {_means(meaning)}")
        if (row.milestone, row.evidence) != (meaning.milestone, meaning.evidence):
            _say(
                f"  the row says {row.milestone.name.lower()}, which is no such thing on the way to the customer"
            )
        if row.reason:
            _say(f"  why: {row.reason}")
        _say(f"  row: {_place(row)}, {row.confidence}")
        _say(f"  source: {row.source}")
    _say_passed_over(answer)
    if hint:
        _say(f"  {hint}")
    for one_row in elsewhere:
        there = f"{_carrier(one_row.carrier)}, {one_row.api}, {one_row.code_type}"
        said = f"{one_row.milestone.name.lower()} by {one_row.evidence.name.lower()}"
        _say(f"  the same code elsewhere: {there}: {said}")


def _say_passed_over(answer: Answer) -> None:
    for one in answer.passed_over[:_MOST_PASSED_OVER]:
        said = f"{one.row.milestone.name.lower()} by {one.row.evidence.name.lower()}"
        _say(f"  passed over: {_place(one.row)}, {said}: {one.why}", "dim")
    more = len(answer.passed_over) - _MOST_PASSED_OVER
    if more > 0:
        _say(f"  passed over: {more} more", "dim")
    there = {one.row.key for one in answer.passed_over}
    for key in answer.asked if answer.row is None else ():
        if key not in there:
            carrier, api, code_type, _ = key
            place = ", ".join((_carrier(carrier), api or "no api", code_type or "no code type"))
            _say(f"  no row of it: {place}", "dim")


def say_unknown_everywhere(code: str) -> None:
    """No table has the code."""
    say(f"no carrier and no aggregator has a code {code!r} here: it would prove nothing")


def counted(rows: Iterable[CodeRow]) -> str:
    """How many rows there are, as a person says it."""
    number = sum(1 for _ in rows)
    return f"{number:,} row" if number == 1 else f"{number:,} rows"


def _means(meaning: Meaning) -> str:
    if meaning.ambiguous:
        return "unmapped: it can mean several things, so it proves nothing, and it is counted"
    said = f"{meaning.milestone.name.lower()} by {meaning.evidence.name.lower()}"
    if meaning.milestone is Milestone.UNMAPPED:
        return f"{said}: known, and proves nothing"
    is_scan = meaning.evidence in PHYSICAL_CARRIER_EVIDENCE
    return f"{said}: " + ("counts as a scan" if is_scan else "is no scan")


def _place_of(row: CodeRow) -> tuple[str, str, str]:
    return row.carrier, row.api, row.code_type


def _cells(row: CodeRow) -> dict[str, str]:
    file = row.where.rpartition("/")[2]
    said = (row.milestone.name.lower(), row.evidence.name.lower(), row.confidence)
    where = f"{file} ({_OWN})" if row.own else file
    return dict(zip(_COLUMNS, (row.code, row.text_pattern, row.direction, *said, where), strict=True))


def _place(row: CodeRow) -> str:
    return f"{row.where} ({_OWN})" if row.own else row.where


def _carrier(carrier: str) -> str:
    return _ANYBODY if carrier == ANY_CARRIER else carrier


def _say(text: str, style: str = "") -> None:
    out.print(Text(text, style), soft_wrap=True)


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading == "codes" else "left"
        table.add_column(heading, overflow="fold", no_wrap=heading not in _WRAPPED, justify=justify)
    return table
