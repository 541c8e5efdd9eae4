"""The board's index, read: what a page shows, each by an index or by counts that are kept."""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple

from agents.board.case_query import CaseQuery, Order, cursor
from schemas.command_answers import CommandAnswer, decode_command_answer
from schemas.kpis import Dimension, KpiSnapshot, decode_kpi_snapshot
from schemas.outputs import Case, decode_case
from schemas.return_journeys import ReturnJourney, decode_journey
from streams.keys import parcel_key, split_parcel_key

FACETS: Final = ("severity", "rule", "carrier", "facility", "seen")
MOST_COUNTED: Final = 1_000
"""Cases that no facet counts are counted so far."""
MOST_OF_ONE_RETURN: Final = 200
MOST_FOUND: Final = 20
MOST_REMEMBERED: Final = 100
"""Questions whose counts a thread keeps."""
LEAST_PREFIX: Final = 6
"""A case id may be shortened to so many characters."""
LETTERS_SHOWN: Final = 50
MOST_TIME: Final = timedelta(seconds=5)
"""For one question. Filters that no index serves look through the cases: in a large index they would hold up all pages."""
_STEPS_BETWEEN_LOOKS: Final = 1_000
"""Of SQLite's machine, between two looks at the clock: some microseconds."""
_RETURNS_CALLED: Final = """
SELECT return_id FROM journeys WHERE return_id = :text AND :text <> ''
UNION SELECT return_id FROM cases WHERE return_id = :text AND return_id <> ''
UNION SELECT return_id FROM parcels
WHERE tracking_number = :number AND :number <> '' AND :carrier IN ('', carrier) LIMIT :most
"""
_CASES_OF_PARCEL: Final = """
SELECT value FROM cases
WHERE tracking_number = :number AND tracking_number <> '' AND :carrier IN ('', carrier) LIMIT :most
"""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TakesTooLongError(RuntimeError):
    """A question that was given up: it looks through too many cases."""


class CasePage(NamedTuple):
    """Some cases, and where the next ones begin; "": there are no more."""

    cases: list[Case]
    next_page: str


class Change(NamedTuple):
    """One change of a case, as its history shows it."""

    revision: int
    state: str
    reason: str
    level: int
    severity: str
    effective_at: datetime
    told_by: str
    explanation: str


class Found(NamedTuple):
    """What a search finds."""

    returns: list[str]
    cases: list[Case]


class KeptLetter(NamedTuple):
    """A dead letter without the record that was refused."""

    record: str
    topic: str
    reason: str
    outcome: str
    detail: str
    action: str
    size: int
    sealed: int
    redrives: int
    written_at: datetime


class IndexReader:
    """Any thread may ask; each has a connection of its own, and none can write."""

    def __init__(self, file: Path, most_time: timedelta = MOST_TIME) -> None:
        self._file = file
        self._most_seconds = most_time.total_seconds()
        self._local = threading.local()
        self._generation = 0

    def reopen(self) -> None:
        """The file is another one now."""
        self._generation += 1

    # -- cases ---------------------------------------------------------------------------------------------------

    def cases(self, query: CaseQuery, now: datetime) -> CasePage:
        """One page of cases."""
        sql, values = query.rows(self._most_selective(query), now)
        rows = self._all(sql, values)
        shown = rows[: query.limit]
        more = cursor(tuple(shown[-1][1:])) if len(rows) > query.limit else ""
        return CasePage([decode_case(row[0]) for row in shown], more)

    def facets(self, query: CaseQuery) -> dict[str, list[tuple[str, int]]]:
        """Filter -> its choices among the cases that the other filters leave, the most frequent first."""
        known, counted = (
            self._known(),
            query._replace(order=Order.URGENCY, age_days=0, value=0, after=(), limit=0),
        )
        if counted not in known:
            known[counted] = self._facets(counted)
        return known[counted]

    def _facets(self, query: CaseQuery) -> dict[str, list[tuple[str, int]]]:
        found = {}
        for column in FACETS:
            terms, values = query.facet_terms(but=column)
            sql = f"SELECT {column}, SUM(cases) AS n FROM facets WHERE {terms} GROUP BY {column} ORDER BY n DESC, {column}"  # noqa: S608 - names of ours
            found[column] = [(str(value), int(count)) for value, count in self._all(sql, values)]
        return found

    def states(self) -> dict[str, int]:
        """How many cases are open (and escalated), resolved, retracted."""
        found = {"open": 0, "resolved": 0, "retracted": 0}
        for active, state, count in self._all(
            "SELECT active, state, SUM(cases) FROM facets GROUP BY active, state"
        ):
            found["open" if active else state] += count
        return found

    def count(self, query: CaseQuery, now: datetime) -> int:
        """How many cases there are; where the facets do not tell, MOST_COUNTED + 1 stands for more."""
        if query.is_counted:
            terms, values = query.facet_terms()
            (total,) = self._one(f"SELECT SUM(cases) FROM facets WHERE {terms}", values) or (0,)  # noqa: S608 - names of ours
            return int(total or 0)
        sql, values = query._replace(after=(), limit=MOST_COUNTED).rows(self._most_selective(query), now)
        (total,) = self._one(f"SELECT COUNT(*) FROM ({sql})", values) or (0,)  # noqa: S608 - names of ours
        return int(total)

    def case(self, case_id: str) -> Case | None:
        """The case of that id."""
        row = self._one("SELECT value FROM cases WHERE case_id = ?", (case_id,))
        return decode_case(row[0]) if row else None

    def history(self, case_id: str) -> list[Change]:
        """Its changes, as far back as `escalations` keeps them."""
        rows = self._all(
            "SELECT revision, state, reason, level, severity, effective_ms, told_by, explanation FROM changes"
            " WHERE case_id = ? ORDER BY revision",
            (case_id,),
        )
        return [Change(*row)._replace(effective_at=at(row[5])) for row in rows]

    def answers(self, case_id: str) -> list[CommandAnswer]:
        """The answers to the newest commands about it, oldest first."""
        rows = self._all(
            "SELECT value FROM answers WHERE case_id = ? ORDER BY effective_ms DESC LIMIT 20", (case_id,)
        )
        return [decode_command_answer(row[0]) for row in reversed(rows)]

    def cases_of_return(self, return_id: str) -> list[Case]:
        """All cases of a return, the open ones first."""
        sql = "SELECT value FROM cases WHERE return_id = ? AND return_id <> '' ORDER BY active DESC, due_ms LIMIT ?"
        return [decode_case(row[0]) for row in self._all(sql, (return_id, MOST_OF_ONE_RETURN))]

    def cases_of_feeds(self) -> list[Case]:
        """The cases about feeds, the open ones first, then the newest."""
        sql = "SELECT value FROM cases WHERE feed <> '' ORDER BY active DESC, staleness LIMIT 50"
        return [decode_case(row[0]) for row in self._all(sql)]

    # -- returns -------------------------------------------------------------------------------------------------

    def journey(self, return_id: str) -> ReturnJourney | None:
        """Where a return is."""
        row = self._one("SELECT value FROM journeys WHERE return_id = ?", (return_id,))
        return decode_journey(row[0]) if row else None

    def search(self, text: str) -> Found:
        """What is called so: a return, a parcel by its number with or without its carrier, a case by its id or its start."""
        text = text.encode("utf-8", "replace").decode().strip()  # what is no text, SQLite does not take
        before, _, behind = text.rpartition(":")
        carrier, number = before.strip().lower(), split_parcel_key(parcel_key("", behind))[1]
        asked = {"text": text, "carrier": carrier, "number": number, "most": MOST_FOUND}
        returns = self._all(_RETURNS_CALLED, asked)
        rows = self._all(_CASES_OF_PARCEL, asked)
        if len(text) >= LEAST_PREFIX:
            start = text.lower()
            sql = "SELECT value FROM cases WHERE case_id >= ? AND case_id < ? LIMIT ?"
            rows += self._all(sql, (start, start + "\U0010ffff", MOST_FOUND))
        cases = {case.case_id: case for case in (decode_case(row[0]) for row in rows)}
        return Found([row[0] for row in returns], list(cases.values()))

    # -- numbers -------------------------------------------------------------------------------------------------

    def snapshots(self, dimension: Dimension, since: date, until: date) -> Iterable[KpiSnapshot]:
        """Those of these days, both included."""
        sql = "SELECT value FROM kpis WHERE dimension = ? AND day BETWEEN ? AND ?"
        rows = self._all(sql, (dimension.value, since.isoformat(), until.isoformat()))
        return [decode_kpi_snapshot(row[0]) for row in rows]

    def newest_day(self) -> date | None:
        """The newest day that anything was counted on."""
        row = self._one("SELECT MAX(day) FROM kpis WHERE dimension = 'all'")
        return date.fromisoformat(row[0]) if row and row[0] else None

    def arrivals(self, hours: int) -> dict[str, dict[int, int]]:
        """Feed -> hour since 1970 -> events, of so many hours up to the newest."""
        sql = "SELECT feed, hour, events FROM arrivals WHERE hour > (SELECT MAX(hour) FROM arrivals) - ?"
        found: dict[str, dict[int, int]] = {}
        for feed, hour, events in self._all(sql, (hours,)):
            found.setdefault(feed, {})[hour] = events
        return found

    def letter_counts(self) -> list[tuple[str, str, str, int]]:
        """(topic, reason, outcome, letters), the most frequent first."""
        sql = "SELECT topic, reason, outcome, letters FROM letter_facets ORDER BY letters DESC, topic, reason, outcome"
        return [(topic, reason, outcome, count) for topic, reason, outcome, count in self._all(sql)]

    def newest_letters(self) -> list[KeptLetter]:
        """The newest dead letters."""
        sql = (
            "SELECT record, topic, reason, outcome, detail, action, size, sealed, redrives, written_ms FROM letters"
            " ORDER BY written_ms DESC, record DESC LIMIT ?"
        )
        return [KeptLetter(*row)._replace(written_at=at(row[9])) for row in self._all(sql, (LETTERS_SHOWN,))]

    def newest_at(self) -> datetime | None:
        """When the newest change of a case took effect, by the log's clock."""
        row = self._one("SELECT text FROM about WHERE name = 'newest_at'")
        return datetime.fromisoformat(row[0]) if row else None

    # ------------------------------------------------------------------------------------------------------------

    def _most_selective(self, query: CaseQuery) -> str:
        """Of the filters that have an index, the one that leaves the fewest cases."""
        found: tuple[int, str] | None = None
        for column in ("rule", "carrier", "facility"):
            if getattr(query, column):
                alone = CaseQuery(state=query.state, **{column: getattr(query, column)})
                terms, values = alone.facet_terms()
                (count,) = self._one(f"SELECT SUM(cases) FROM facets WHERE {terms}", values) or (0,)  # noqa: S608 - names of ours
                if found is None or (count or 0) < found[0]:
                    found = (count or 0, column)
        return found[1] if found else ""

    def _all(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        base = self._base()
        self._local.until = monotonic() + self._most_seconds
        try:
            return base.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            raise TakesTooLongError from None

    def _one(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> tuple[Any, ...] | None:
        return next(iter(self._all(sql, values)), None)

    def _is_late(self) -> bool:
        return bool(monotonic() > self._local.until)

    def _known(self) -> dict[CaseQuery, dict[str, list[tuple[str, int]]]]:
        """Facets that were counted since the index last changed: many who look at once look at the same."""
        row = self._one("PRAGMA data_version")
        if getattr(self._local, "version", None) != row or len(self._local.known) >= MOST_REMEMBERED:
            self._local.version, self._local.known = row, {}
        known: dict[CaseQuery, dict[str, list[tuple[str, int]]]] = self._local.known
        return known

    def _base(self) -> sqlite3.Connection:
        if getattr(self._local, "generation", -1) != self._generation:
            base = sqlite3.connect(
                f"{self._file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
            )
            base.execute("PRAGMA query_only=ON")
            base.set_progress_handler(self._is_late, _STEPS_BETWEEN_LOOKS)
            self._local.base, self._local.generation = base, self._generation
            self._local.version = None
        opened: sqlite3.Connection = self._local.base
        return opened


def at(ms: int) -> datetime:
    """Epoch milliseconds as a time."""
    return _EPOCH + timedelta(milliseconds=ms)
