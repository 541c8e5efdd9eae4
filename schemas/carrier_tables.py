"""The tables of carriers' codes as files: rows, aliases and defaults in CSV, and where each cell stands.

What the rows mean is schemas/carrier_codes.py; what is wrong with them, schemas/carrier_table_checks.py.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from schemas.vocabulary import Evidence, Milestone

ANY_CARRIER = "*"
"""Carrier of the rows of aggregators, whose codes mean the same for every carrier behind them."""

AMBIGUOUS = "ambiguous"
"""Confidence of a row whose code can mean several things."""

ALIASES = "aliases.csv"
DEFAULTS = "defaults.csv"
CODE_COLUMNS = (
    "carrier",
    "api",
    "code_type",
    "code",
    "text_pattern",
    "direction",
    "milestone",
    "evidence",
    "reason",
    "confidence",
    "source",
)
COLUMNS: Mapping[str, tuple[str, ...]] = {
    ALIASES: ("alias", "carrier"),
    DEFAULTS: ("carrier", "api", "code_type"),
}
"""Columns of the files that hold no codes."""
MAY_BE_LEFT_OUT = frozenset({"text_pattern", "direction", "reason"})

Key = tuple[str, str, str, str]
"""(carrier, api, code type, code), casefolded."""

_NO_NAME = re.compile(r"[^0-9a-z]+")


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
    reason: str = ""
    """Why it is read so, where the code alone would say something else."""
    where: str = ""
    """`file:line`"""
    own: bool = False
    """Whether it is the user's and not ours."""

    @property
    def key(self) -> Key:
        """The folded (carrier, api, code type, code)."""
        return (self.carrier, self.api.casefold(), self.code_type.casefold(), self.code.casefold())


class Tables(NamedTuple):
    """Rows, names of carriers, and what an event means that names no api or code type."""

    rows: tuple[CodeRow, ...] = ()
    aliases: Mapping[str, str] = {}
    """Folded name -> carrier."""
    defaults: tuple[tuple[str, str, str], ...] = ()
    """(carrier, api, code type); the first of a carrier is its default."""

    @property
    def carriers(self) -> frozenset[str]:
        """The carriers that have a name here."""
        return frozenset(self.aliases.values())

    def beside(self, ours: "Tables") -> "Tables":
        """These tables of a user together with ours.

        A user's rows of a code and direction take the place of all of ours for them, whatever texts ours asked for;
        a user's default comes before ours. Names are only added.
        """
        replaced = {(row.key, row.direction) for row in self.rows}
        kept = (row for row in ours.rows if (row.key, row.direction) not in replaced)
        return Tables((*kept, *self.rows), {**self.aliases, **ours.aliases}, (*self.defaults, *ours.defaults))


class TableFinding(NamedTuple):
    """What is wrong at one place of a table."""

    file: str
    line: int
    column: int
    what: str
    why: str = ""
    todo: str = ""

    @property
    def where(self) -> str:
        """`file:line:column`, counted from 1."""
        return f"{self.file}:{self.line}:{self.column}"

    def __str__(self) -> str:
        return f"{self.where}: " + "; ".join(part for part in (self.what, self.why, self.todo) if part)


class Line(NamedTuple):
    """One line of a table, with its cells by the names of their columns."""

    file: str
    number: int
    text: str
    columns: tuple[str, ...]
    cells: Mapping[str, str]

    @property
    def where(self) -> str:
        """`file:line`"""
        return f"{self.file}:{self.number}"

    def finding(self, column: str, what: str, why: str = "", todo: str = "") -> TableFinding:
        """What is wrong with a cell."""
        index = self.columns.index(column) if column in self.columns else 0
        return TableFinding(self.file, self.number, _start_of(self.text, index), what, why, todo)


def folded_name(name: str) -> str:
    """A carrier's name as aliases are compared: lower case, one space for all that is no letter or digit."""
    return _NO_NAME.sub(" ", name.casefold()).strip()


def is_table_of_codes(file: str) -> bool:
    """Whether a file holds codes, by its name."""
    return _name_of(file) not in COLUMNS


def lines_of(file: str, text: str) -> tuple[list[Line], list[TableFinding]]:
    """The lines of a table below its header, and what keeps any of it from being read as a table."""
    lines, findings = list[Line](), list[TableFinding]()
    columns: tuple[str, ...] | None = None
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        plain = line.removesuffix("\r")
        try:
            cells = [cell.strip() for cell in next(csv.reader([plain], strict=True), [])]
        except csv.Error as error:
            todo = "a cell is one line; close its quotes, and write a quote in it twice"
            findings.append(TableFinding(file, number, 1, f"is no line of CSV: {error}", todo=todo))
            continue
        if not any(cells):
            continue
        if columns is None:
            columns = tuple(cells)
            findings += _of_header(file, number, plain, columns)
            if findings:
                break
        elif len(cells) != len(columns):
            todo = "put a cell with a comma in it in quotes"
            what = f"has {len(cells)} cells, and the header {len(columns)} columns"
            findings.append(TableFinding(file, number, 1, what, todo=todo))
        else:
            lines.append(Line(file, number, plain, columns, dict(zip(columns, cells, strict=True))))
    if columns is None and not findings:
        todo = f"begin it with {','.join(_columns_of(file))}"
        findings.append(TableFinding(file, 1, 1, "is empty, it has not even a header", todo=todo))
    return lines, findings


def _of_header(file: str, number: int, text: str, columns: tuple[str, ...]) -> Iterator[TableFinding]:
    known = _columns_of(file)
    if len(columns) == 1 and ";" in text:
        todo = "save it with commas between the cells"
        yield TableFinding(file, number, 1, "has semicolons between its cells", todo=todo)
        return
    for index, column in enumerate(columns):
        place = _start_of(text, index)
        if column in columns[:index]:
            yield TableFinding(file, number, place, f"column `{column}` stands here twice", todo="delete one")
        elif column not in known:
            todo = f"the columns are {', '.join(known)}"
            yield TableFinding(file, number, place, f"there is no column `{column}`", todo=todo)
    missing = [column for column in known if column not in columns and column not in MAY_BE_LEFT_OUT]
    if missing:
        what = f"has no column {', '.join(f'`{column}`' for column in missing)}"
        todo = f"the columns are {', '.join(known)}"
        yield TableFinding(file, number, 1, what, todo=todo)


def _columns_of(file: str) -> tuple[str, ...]:
    return COLUMNS.get(_name_of(file), CODE_COLUMNS)


def _name_of(file: str) -> str:
    return file.rpartition("/")[2]


def _start_of(text: str, index: int) -> int:
    """The column, counted from 1, at which a cell of a line begins."""
    quoted, passed = False, 0
    if not index:
        return 1
    for place, letter in enumerate(text, start=1):
        quoted ^= letter == '"'
        passed += letter == "," and not quoted
        if passed == index:
            return place + 1
    return 1
