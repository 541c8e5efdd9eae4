"""The board's index, written: records of our output topics in, rows and positions out, in one transaction.

It is a cache of the topics. What it had taken in when it was killed, it has; the rest is read again, and a record that is
taken in twice changes nothing. What is deleted in a topic is deleted here, and overwritten.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from agents.board.index_tables import FORM, SCHEMA
from schemas.canary import is_canary
from schemas.command_answers import decode_command_answer
from schemas.dead_letter_outcomes import decode_outcome
from schemas.facts import MARKER_KEY, Mark, decode_marker
from schemas.kpis import decode_kpi_snapshot
from schemas.money import minor_units_of
from schemas.outputs import Case, Escalation, Severity, decode_case, decode_escalation
from schemas.return_journeys import decode_journey
from schemas.topics import TopicNames
from schemas.vocabulary import CaseState, Reason
from streams.keys import parcel_key, split_parcel_key
from streams.letters import place_of, read_letter

ACTIVE: Final = frozenset({CaseState.OPEN, CaseState.ESCALATED})
ORPHANED_AFTER: Final = timedelta(hours=1)
"""A change whose case is not there may only have been read before it; after so long the case is gone."""
RHYTHM_KEPT: Final = timedelta(days=28)
_HOUR_MS: Final = 3_600_000
_MS: Final = timedelta(milliseconds=1)
_MOST_LEVEL: Final = 99


class Seen(Protocol):
    """A record as aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Any


class IndexWriter:
    """The one that writes. `identity` names the installation and its topics: the index of another one is read anew."""

    def __init__(self, file: Path, names: TopicNames) -> None:
        self._file = file
        self._identity = f"{FORM} {' '.join(_followed(names))}"
        self._takes: Mapping[str, Callable[[Seen], None]] = {
            names.cases: self._case,
            names.escalations: self._change,
            names.command_answers: self._answer,
            names.journeys: self._journey,
            names.kpis: self._kpi,
            names.dead_letters: self._letter,
            names.dead_letter_outcomes: self._outcome,
            names.returns: self._marker,
        }
        self._pruned: Mapping[str, str] = {
            names.escalations: "changes",
            names.command_answers: "answers",
            names.dead_letters: "letters",
        }
        self.unreadable = 0
        """Records that are not what their topic holds; they are passed over."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._opened: sqlite3.Connection | None = None
        if self._known() != self._identity:
            self.begin_anew()

    def begin_anew(self) -> None:
        """Forget everything; the topics are read from their start."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        self._open()
        self._base.executescript(f"BEGIN;{SCHEMA}COMMIT;")
        self._note("identity", self._identity)

    def close(self) -> None:
        """Let go of the file."""
        if self._opened is not None:
            self._opened.close()

    def positions(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> the offset to go on from."""
        rows = self._base.execute("SELECT topic, partition, next_offset FROM positions")
        return {(topic, partition): offset for topic, partition, offset in rows}

    def last_written_at(self) -> datetime | None:
        """When it last was as new as its topics, by the clock; None: never."""
        text = self._about("whole_at")
        return datetime.fromisoformat(text) if text else None

    def is_whole(self, at: datetime) -> None:
        """Note that everything that was in the topics is here."""
        self._note("whole_at", at.isoformat())

    def apply(self, records: Iterable[Seen], positions: Mapping[tuple[str, int], int]) -> None:
        """Take in records, in the order of each partition, and where to go on: both or neither."""
        with self._base:
            self._base.execute("BEGIN IMMEDIATE")
            for record in records:
                self._takes[record.topic](record)
            self._base.executemany(
                "INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
                [(topic, partition, offset) for (topic, partition), offset in positions.items()],
            )

    def prune(self, starts: Mapping[tuple[str, int], int]) -> None:
        """Delete what the topics no longer hold, by where their partitions start, and what is about cases that are gone."""
        with self._base:
            self._base.execute("BEGIN IMMEDIATE")
            for (topic, partition), offset in starts.items():
                table = self._pruned.get(topic)
                if table is not None:
                    self._base.execute(
                        f'DELETE FROM {table} WHERE partition = ? AND "offset" < ?',  # noqa: S608 - one of three names
                        (partition, offset),
                    )
            self._base.execute(
                "DELETE FROM changes WHERE written_ms < (SELECT MAX(written_ms) FROM changes) - ?"
                " AND case_id NOT IN (SELECT case_id FROM cases)",
                (ORPHANED_AFTER // _MS,),
            )
            self._base.execute(
                "DELETE FROM arrivals WHERE hour < (SELECT MAX(hour) FROM arrivals) - ?",
                (RHYTHM_KEPT // timedelta(hours=1),),
            )

    # -- one method for each topic -----------------------------------------------------------------------------

    def _case(self, record: Seen) -> None:
        if record.key is None:
            self.unreadable += 1
            return
        case_id = record.key.decode("utf-8", "replace")
        if record.value is None:
            for table in ("cases", "changes", "answers"):
                self._base.execute(f"DELETE FROM {table} WHERE case_id = ?", (case_id,))  # noqa: S608 - one of three names
            return
        case = self._decoded(decode_case, record.value)
        if case is not None and case.case_id == case_id and not is_canary(case.return_id):
            self._base.execute(_PUT_CASE, {**_columns(case), "value": record.value})
            self._newest(case.effective_at)

    def _change(self, record: Seen) -> None:
        change = self._decoded(decode_escalation, record.value)
        if change is None or is_canary(change.return_id):
            return
        if change.reason is Reason.ERASED:
            self._base.execute("DELETE FROM changes WHERE case_id = ?", (change.case_id,))
            return
        self._base.execute(
            "INSERT OR IGNORE INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(change.case_id, change.revision, change.state.value, change.reason.value, change.level),
                *(change.severity.value, _ms(change.effective_at), _told_by(change), change.explanation),
                *(record.partition, record.offset, record.timestamp),
            ),
        )

    def _answer(self, record: Seen) -> None:
        answer = self._decoded(decode_command_answer, record.value)
        if answer is not None:
            self._base.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)",
                (
                    *(answer.command_id, answer.case_id, _ms(answer.effective_at), record.value),
                    *(record.partition, record.offset),
                ),
            )

    def _journey(self, record: Seen) -> None:
        if record.key is None:
            self.unreadable += 1
            return
        return_id = record.key.decode("utf-8", "replace")
        if record.value is None:
            for table in ("journeys", "parcels"):
                self._base.execute(f"DELETE FROM {table} WHERE return_id = ?", (return_id,))  # noqa: S608 - one of two names
            return
        journey = self._decoded(decode_journey, record.value)
        if journey is None or journey.return_id != return_id or is_canary(return_id):
            return
        known = self._base.execute(
            "SELECT revision FROM journeys WHERE return_id = ?", (return_id,)
        ).fetchone()
        if known is not None and known[0] > journey.revision:
            return
        self._base.execute(
            "INSERT OR REPLACE INTO journeys VALUES (?, ?, ?)", (return_id, journey.revision, record.value)
        )
        self._base.execute("DELETE FROM parcels WHERE return_id = ?", (return_id,))
        self._base.executemany(
            "INSERT OR IGNORE INTO parcels VALUES (?, ?, ?)",
            [(_number(parcel.tracking_number), parcel.carrier, return_id) for parcel in journey.parcels],
        )

    def _kpi(self, record: Seen) -> None:
        key = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            self._base.execute("DELETE FROM kpis WHERE key = ?", (key,))
            return
        snapshot = self._decoded(decode_kpi_snapshot, record.value)
        if snapshot is not None:
            self._base.execute(
                "INSERT INTO kpis VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET as_of_ms = excluded.as_of_ms,"
                " value = excluded.value WHERE excluded.as_of_ms >= as_of_ms",
                (
                    *(key, snapshot.dimension.value, snapshot.day.isoformat()),
                    *(_ms(snapshot.as_of), record.value),
                ),
            )

    def _letter(self, record: Seen) -> None:
        lies_at = place_of(record.topic, record.partition, record.offset)
        letter = read_letter(lies_at, record.timestamp, record.key, record.value, record.headers)
        if letter is None:
            self.unreadable += 1
            return
        header = letter.header
        found = self._base.execute(
            "SELECT outcome FROM outcomes WHERE record = ? AND sha256 = ?", letter.identity
        ).fetchone()
        self._base.execute(
            "INSERT OR IGNORE INTO letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *letter.identity,
                *(header.topic, header.reason.value, found[0] if found else "", header.detail, header.action),
                *(
                    header.size,
                    header.sealed,
                    header.redrives,
                    record.timestamp,
                    record.partition,
                    record.offset,
                ),
            ),
        )

    def _outcome(self, record: Seen) -> None:
        outcome = self._decoded(decode_outcome, record.value)
        if outcome is not None:
            named = (outcome.record, outcome.sha256)
            self._base.execute(
                "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)", (*named, outcome.outcome.value)
            )
            self._base.execute(
                "UPDATE letters SET outcome = ? WHERE record = ? AND sha256 = ?",
                (outcome.outcome.value, *named),
            )

    def _marker(self, record: Seen) -> None:
        """What a marker tells of the feeds; all else of `returns` is not for the board."""
        if record.key != MARKER_KEY:
            return
        marker = self._decoded(decode_marker, record.value)
        for mark in marker.marks if marker is not None else ():
            self._mark(mark)

    def _mark(self, mark: Mark) -> None:
        """Count what came. A mark that tells of no later time than one before it is a repeat."""
        moved = self._base.execute(
            "INSERT INTO marked VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET through_ms = excluded.through_ms"
            " WHERE excluded.through_ms > through_ms",
            (mark.topic, mark.partition, mark.through_ms),
        ).rowcount
        if moved:
            hour = max(mark.through_ms - 1, 0) // _HOUR_MS
            came = [
                (feed, hour, told if isinstance(told, int) else told.count)
                for feed, told in mark.arrivals.items()
            ]
            self._base.executemany(
                "INSERT INTO arrivals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET events = events + excluded.events",
                came,
            )

    # -- the file ------------------------------------------------------------------------------------------------

    @property
    def _base(self) -> sqlite3.Connection:
        assert self._opened is not None, "it is open from the start to the end"
        return self._opened

    def _known(self) -> str:
        """Whose index the file is; "": it is new, half written, or none."""
        try:
            self._open()
            return self._about("identity")
        except sqlite3.DatabaseError:
            return ""

    def _open(self) -> None:
        # The lock of the transaction is the only one: it is used in one thread after the other, never in two at once.
        self._opened = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON", "temp_store=MEMORY"):
            self._opened.execute(f"PRAGMA {pragma}")

    def _about(self, name: str) -> str:
        row = self._base.execute("SELECT text FROM about WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def _note(self, name: str, text: str) -> None:
        self._base.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, text))

    def _newest(self, at: datetime) -> None:
        text = at.isoformat()
        self._base.execute(
            "INSERT INTO about VALUES ('newest_at', ?) ON CONFLICT DO UPDATE SET text = MAX(text, excluded.text)",
            (text,),
        )

    def _decoded(self, decode: Callable[[bytes], Any], value: bytes | None) -> Any:
        try:
            return decode(value or b"")
        except msgspec.DecodeError:
            self.unreadable += 1
            return None


def _followed(names: TopicNames) -> list[str]:
    return [names.cases, names.escalations, names.journeys, names.kpis, names.dead_letters]


_PUT_CASE: Final = """
INSERT INTO cases VALUES (
    :case_id, :revision, :state, :active, :rule, :carrier, :facility, :severity, :seen, :feed, :return_id,
    :tracking_number, :urgency, :cheapness, :due_ms, :staleness, :value
) ON CONFLICT DO UPDATE SET
    revision = excluded.revision, state = excluded.state, active = excluded.active, rule = excluded.rule,
    carrier = excluded.carrier, facility = excluded.facility, severity = excluded.severity, seen = excluded.seen,
    feed = excluded.feed, return_id = excluded.return_id, tracking_number = excluded.tracking_number,
    urgency = excluded.urgency, cheapness = excluded.cheapness, due_ms = excluded.due_ms,
    staleness = excluded.staleness, value = excluded.value
WHERE excluded.revision >= revision
"""


def _columns(case: Case) -> dict[str, object]:
    severity = tuple(Severity).index(case.severity)
    units = 0
    if case.value is not None:
        units = case.value.amount_minor * 1_000 // minor_units_of(case.value.currency)
    return {
        "case_id": case.case_id,
        "revision": case.revision,
        "state": case.state.value,
        "active": int(case.state in ACTIVE),
        "rule": case.rule.value,
        "carrier": case.carrier,
        "facility": case.facility,
        "severity": case.severity.value,
        "seen": int(bool(case.acknowledged_by) or case.snoozed_until is not None),
        "feed": case.feed.name if case.feed is not None else "",
        "return_id": case.return_id,
        "tracking_number": _number(case.tracking_number),
        "urgency": -(severity * (_MOST_LEVEL + 1) + min(case.level, _MOST_LEVEL)),
        "cheapness": -units,
        "due_ms": _ms(case.due_at),
        "staleness": -_ms(case.effective_at),
    }


def _number(tracking_number: str) -> str:
    """As it is looked for: without spaces and dashes, in upper case."""
    return split_parcel_key(parcel_key("", tracking_number))[1]


def _told_by(change: Escalation) -> str:
    """Who has told what this change says; "": nobody did."""
    return {
        Reason.ACKNOWLEDGED: change.acknowledged_by,
        Reason.SNOOZED: change.snoozed_by,
        Reason.ASSIGNED: change.assigned_to,
        Reason.BY_HAND: change.resolved_by,
    }.get(change.reason, "")


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1_000)
