"""The board's index, written: records of our output topics in, rows and positions out, in one transaction.

It is a cache of the topics. What it had taken in when it was killed, it has; the rest is read again, and a record that is
taken in twice changes nothing. What is deleted in a topic is deleted here, and overwritten.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from agents.board.case_rows import PUT_CASE, columns, number_of, told_by
from agents.board.index_tables import FORM, SCHEMA
from schemas.canary import is_canary
from schemas.command_answers import decode_command_answer
from schemas.dead_letter_outcomes import decode_outcome
from schemas.facts import MARKER_KEY, Mark, decode_marker
from schemas.kpis import decode_kpi_snapshot
from schemas.outputs import decode_case, decode_escalation
from schemas.return_journeys import decode_journey
from schemas.topics import TopicNames
from schemas.vocabulary import Reason
from streams.epoch import epoch_ms
from streams.letters import place_of, read_letter

ORPHANED_AFTER: Final = timedelta(hours=1)
"""A change or an answer whose case is not there may only have been read before it; after so long the case is gone."""
BUSY_MS: Final = 200
"""How long overwriting waits for readers; it is tried again."""
LOCKED_MS: Final = 5_000
RHYTHM_KEPT: Final = timedelta(days=28)
_HOUR_MS: Final = 3_600_000


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
        self._has_remains = True
        if self._known() != self._identity:
            self.begin_anew()

    def begin_anew(self) -> None:
        """Forget everything; the topics are read from their start."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        self._open()
        self._base.executescript(f"BEGIN;{SCHEMA}COMMIT;")
        self._note("begun_at", datetime.now(UTC).isoformat())
        self._note("identity", self._identity)

    def close(self) -> None:
        """Let go of the file."""
        if self._opened is not None:
            self._opened.close()

    def positions(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> the offset to go on from."""
        rows = self._base.execute("SELECT topic, partition, next_offset FROM positions")
        return {(topic, partition): offset for topic, partition, offset in rows}

    def last_written_at(self) -> datetime:
        """When it last was as new as its topics, by the clock; where it never was, when it was begun."""
        text = self._about("whole_at") or self._about("begun_at")
        return datetime.fromisoformat(text)

    def cluster(self) -> str:
        """Of which Kafka cluster it is; "": of none yet."""
        return self._about("cluster")

    def is_of(self, cluster: str) -> None:
        """Note of which Kafka cluster it is: the topics of another one have the same names."""
        self._note("cluster", cluster)

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
        self.overwrite()

    def overwrite(self) -> None:
        """See that what was deleted is in no file: the log beside the index has it until it is cut off.

        A reader can hold that up; what is left then is done by the next call.
        """
        if self._has_remains:
            self._base.execute(f"PRAGMA busy_timeout={BUSY_MS}")
            busy, _, _ = self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._base.execute(f"PRAGMA busy_timeout={LOCKED_MS}")
            self._has_remains = bool(busy)

    def prune(self, starts: Mapping[tuple[str, int], int], now: datetime) -> None:
        """Delete what the topics no longer hold, by where their partitions start, and what is about cases that are gone."""
        with self._base:
            self._base.execute("BEGIN IMMEDIATE")
            for (topic, partition), offset in starts.items():
                table = self._pruned.get(topic)
                if table is not None:
                    self._delete(table, 'partition = ? AND "offset" < ?', partition, offset)
            for table in ("changes", "answers"):
                orphaned = "written_ms < ? AND case_id NOT IN (SELECT case_id FROM cases)"
                self._delete(table, orphaned, epoch_ms(now - ORPHANED_AFTER))
            past = "hour < (SELECT MAX(hour) FROM arrivals) - ?"
            self._delete("arrivals", past, RHYTHM_KEPT // timedelta(hours=1))
        self.overwrite()

    def _delete(self, table: str, which: str, *values: object) -> None:
        deleted = self._base.execute(f"DELETE FROM {table} WHERE {which}", values)  # noqa: S608 - words of ours
        self._has_remains |= deleted.rowcount > 0

    # -- one method for each topic -----------------------------------------------------------------------------

    def _case(self, record: Seen) -> None:
        if record.key is None:
            self.unreadable += 1
            return
        case_id = record.key.decode("utf-8", "replace")
        if record.value is None:
            for table in ("cases", "changes", "answers"):
                self._delete(table, "case_id = ?", case_id)
            return
        case = self._decoded(decode_case, record.value)
        if case is not None and case.case_id == case_id and not is_canary(case.return_id):
            self._base.execute(PUT_CASE, {**columns(case), "value": record.value})
            self._newest(case.effective_at)

    def _change(self, record: Seen) -> None:
        change = self._decoded(decode_escalation, record.value)
        if change is None or is_canary(change.return_id):
            return
        if change.reason is Reason.ERASED:
            for table in ("changes", "answers"):
                self._delete(table, "case_id = ?", change.case_id)
            return
        self._base.execute(
            "INSERT OR IGNORE INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(change.case_id, change.revision, change.state.value, change.reason.value, change.level),
                *(change.severity.value, epoch_ms(change.effective_at), told_by(change), change.explanation),
                *(record.partition, record.offset, record.timestamp),
            ),
        )

    def _answer(self, record: Seen) -> None:
        answer = self._decoded(decode_command_answer, record.value)
        if answer is not None and answer.case_id:
            self._base.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(answer.command_id, answer.case_id, epoch_ms(answer.effective_at), record.value),
                    *(record.partition, record.offset, record.timestamp),
                ),
            )

    def _journey(self, record: Seen) -> None:
        if record.key is None:
            self.unreadable += 1
            return
        return_id = record.key.decode("utf-8", "replace")
        if record.value is None:
            for table in ("journeys", "parcels"):
                self._delete(table, "return_id = ?", return_id)
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
            [(number_of(parcel.tracking_number), parcel.carrier, return_id) for parcel in journey.parcels],
        )

    def _kpi(self, record: Seen) -> None:
        key = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            self._delete("kpis", "key = ?", key)
            return
        snapshot = self._decoded(decode_kpi_snapshot, record.value)
        if snapshot is not None:
            self._base.execute(
                "INSERT INTO kpis VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET as_of_ms = excluded.as_of_ms,"
                " value = excluded.value WHERE excluded.as_of_ms >= as_of_ms",
                (
                    *(key, snapshot.dimension.value, snapshot.day.isoformat()),
                    *(epoch_ms(snapshot.as_of), record.value),
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
        self._has_remains = True  # whoever was killed may not have come to it
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
