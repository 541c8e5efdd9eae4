"""What `returnwatch notify` has to send, has sent and has given up: one SQLite file, and the only memory that it needs.

A change is queued and the position behind it moved in one transaction, synced to the disk. It is marked as sent when the receiver
has answered. Killed between the two it is sent again, with the same identity: at least once, and nothing is lost.
"""

import fcntl
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from agents.errors import Finding, NotifyError

VERSION = 1
_TABLES = """
CREATE TABLE positions (topic TEXT, partition INTEGER, next_offset INTEGER NOT NULL, PRIMARY KEY (topic, partition));
CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY, receiver TEXT NOT NULL, ce_id TEXT NOT NULL, case_id TEXT NOT NULL, rule TEXT NOT NULL,
    route TEXT NOT NULL, action TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, place INTEGER NOT NULL,
    queued_at REAL NOT NULL, change BLOB, state TEXT NOT NULL DEFAULT 'pending', tries INTEGER NOT NULL DEFAULT 0,
    ended_at REAL, answer TEXT NOT NULL DEFAULT '', digest TEXT, UNIQUE (receiver, ce_id));
CREATE INDEX by_state ON deliveries (state, receiver, seq);
CREATE INDEX by_end ON deliveries (receiver, ended_at);
"""
_ADDED = """
CREATE INDEX IF NOT EXISTS by_case ON deliveries (case_id, receiver, seq);
CREATE INDEX IF NOT EXISTS by_digest ON deliveries (receiver, digest, seq) WHERE state = 'pending' AND digest IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_resolve ON deliveries (receiver, case_id, seq) WHERE state = 'pending' AND action = 'resolve';
CREATE TABLE IF NOT EXISTS receivers (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS traces (ce_id TEXT PRIMARY KEY, traceparent TEXT NOT NULL) WITHOUT ROWID;
"""


_NO_TRACES: Mapping[str, str] = {}


class Queued(NamedTuple):
    """One change for one receiver."""

    receiver: str
    ce_id: str
    case_id: str
    rule: str
    route: str
    action: str
    topic: str
    partition: int
    place: int
    """Its offset."""
    change: bytes


class Pending(NamedTuple):
    """One change that is still to be sent."""

    seq: int
    case_id: str
    action: str
    queued_at: float
    change: bytes
    digest: str | None


class Again(NamedTuple):
    """What became of what was given up: how many are `queued` once more, and how many not."""

    queued: int
    late: int
    """The receiver has a later change of the same case; the earlier one after it would undo that."""
    gone: int
    """The receiver is not in the file of the process that runs."""


class Entry(NamedTuple):
    """One line of the record, as a person reads it."""

    receiver: str
    route: str
    ce_id: str
    rule: str
    state: str
    queued_at: float
    ended_at: float | None
    tries: int
    answer: str
    digest: str | None


class NotifyRecord:
    """The open file. Times are seconds of the epoch. An SQLite error comes out as NotifyError, which ends the process."""

    def __init__(self, file: Path, *, is_shared: bool = False) -> None:
        """Open the file, or begin one; `is_shared`: beside the process that sends, which else has it alone."""
        self.file = file
        self._lock: IO[bytes] | None = None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if not is_shared:
                self._lock = _locked(file)
        except OSError as error:
            raise _error(
                file, f"cannot be opened: {error.strerror}", "correct --record, or the rights"
            ) from error
        with self._told():
            self._db = sqlite3.connect(file, isolation_level=None, timeout=10.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._begin()

    def close(self) -> None:
        """Close the file, and let others have it."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    def _begin(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version != VERSION:
            what = f"was written by another version (form {version}, this one knows {VERSION})"
            raise _error(self.file, what, "run the version that wrote it, or name another file with --record")
        self._db.executescript(_ADDED)

    def positions(self, topic: str) -> dict[int, int]:
        """Partition -> the next offset to read."""
        with self._told():
            return dict(
                self._db.execute("SELECT partition, next_offset FROM positions WHERE topic = ?", (topic,))
            )

    def queue(
        self,
        changes: Sequence[Queued],
        topic: str,
        positions: Mapping[int, int],
        now: float,
        traces: Mapping[str, str] = _NO_TRACES,
    ) -> int:
        """Take in changes and the positions behind them, at once; give how many were not there yet.

        `traces`: `ce_id` -> `traceparent`, of those that are in a trace.
        """
        with self._told(), self._transaction():
            before = self._db.total_changes
            self._db.executemany(
                "INSERT INTO deliveries (receiver, ce_id, case_id, rule, route, action, topic, partition, place, change,"
                " queued_at) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                [(*one, now) for one in changes],
            )
            new = self._db.total_changes - before
            self._db.executemany("INSERT INTO traces VALUES (?,?) ON CONFLICT DO NOTHING", traces.items())
            self._db.executemany(
                "INSERT INTO positions VALUES (?,?,?) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
                [(topic, partition, offset) for partition, offset in positions.items()],
            )
            return new

    def traces_of(self, changes: Iterable[str]) -> dict[str, str]:
        """`ce_id` -> `traceparent` of those of the changes that are in a trace."""
        with self._told():
            return dict(
                self._db.execute(
                    "SELECT ce_id, traceparent FROM traces WHERE ce_id IN (SELECT value FROM json_each(?))",
                    (json.dumps(list(changes)),),
                )
            )

    def told_of(self, cases: Sequence[str]) -> dict[str, dict[str, str]]:
        """Case -> receiver -> route, of who is or was to be told of an earlier change of these cases."""
        told: dict[str, dict[str, str]] = {}
        with self._told():
            rows = self._db.execute(
                "SELECT case_id, receiver, route, MIN(seq) FROM deliveries INDEXED BY by_case"
                " WHERE case_id IN (SELECT value FROM json_each(?)) GROUP BY case_id, receiver",
                (json.dumps(cases),),
            )
            for case, receiver, route, _ in rows:
                told.setdefault(case, {})[receiver] = route
        return told

    def done_up_to(self, topic: str) -> dict[int, int]:
        """Partition -> the offset below which nothing is pending: what may be committed for who has lost this file."""
        with self._told():
            open_ones = dict(
                self._db.execute(
                    "SELECT partition, MIN(place) FROM deliveries WHERE state = 'pending' AND topic = ? GROUP BY partition",
                    (topic,),
                )
            )
        return {
            number: min(offset, open_ones.get(number, offset))
            for number, offset in self.positions(topic).items()
        }

    def pending(self, receiver: str, most: int, *, without: Iterable[str] = ()) -> list[Pending]:
        """The changes that a receiver is still to be sent, in their order, `most` of them, `without` these cases."""
        with self._told():
            rows = self._db.execute(
                "SELECT seq, case_id, action, queued_at, change, digest FROM deliveries WHERE state = 'pending'"
                " AND receiver = ? AND case_id NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?",
                (receiver, json.dumps(list(without)), most),
            )
            return [Pending(*row) for row in rows]

    def pending_of(self, receiver: str, cases: Sequence[str]) -> list[Pending]:
        """The oldest change of each of these cases that a receiver is still to be sent."""
        with self._told():
            rows = self._db.execute(
                "SELECT MIN(seq), case_id, action, queued_at, change, digest FROM deliveries INDEXED BY by_case"
                " WHERE state = 'pending' AND receiver = ? AND case_id IN (SELECT value FROM json_each(?)) GROUP BY case_id",
                (receiver, json.dumps(cases)),
            )
            return [Pending(*row) for row in rows]

    def bound(self, receiver: str) -> list[Pending]:
        """The changes that are bound into messages which a receiver is still to be sent."""
        with self._told():
            rows = self._db.execute(
                "SELECT seq, case_id, action, queued_at, change, digest FROM deliveries INDEXED BY by_digest"
                " WHERE state = 'pending' AND digest IS NOT NULL AND receiver = ? ORDER BY seq",
                (receiver,),
            )
            return [Pending(*row) for row in rows]

    def ends(self, receiver: str, most: int, now: float, *, without: Iterable[str]) -> list[Pending]:
        """The ends of cases that a receiver is still to be sent; what it was not told of before them, it will not be told."""
        held = json.dumps(list(without))
        with self._told(), self._transaction():
            rows = self._db.execute(
                "SELECT seq, case_id, action, queued_at, change, digest FROM deliveries WHERE seq IN ("
                " SELECT MAX(seq) FROM deliveries INDEXED BY by_resolve"
                " WHERE state = 'pending' AND action = 'resolve' AND receiver = ?"
                " AND case_id NOT IN (SELECT value FROM json_each(?)) GROUP BY case_id ORDER BY 1 LIMIT ?) ORDER BY seq",
                (receiver, held, most),
            )
            ends = [Pending(*row) for row in rows]
            self._db.executemany(
                "UPDATE deliveries INDEXED BY by_case SET state = 'superseded', ended_at = ?, change = NULL,"
                " answer = 'its case ended first' WHERE case_id = ? AND receiver = ? AND seq < ? AND state = 'pending'",
                [(now, end.case_id, receiver, end.seq) for end in ends],
            )
            return ends

    def pending_counts(self) -> dict[str, tuple[int, float]]:
        """Receiver -> how many changes wait, and since when the oldest does."""
        with self._told():
            rows = self._db.execute(
                "SELECT receiver, COUNT(*), MIN(queued_at) FROM deliveries WHERE state = 'pending' GROUP BY receiver"
            )
            return {receiver: (count, since) for receiver, count, since in rows}

    def messages_since(self, receiver: str, since: float) -> tuple[int, float | None]:
        """How many messages a receiver has taken since then, and when the newest digest among them was."""
        with self._told():
            (count, digest_at) = self._db.execute(
                "SELECT COUNT(DISTINCT COALESCE(digest, ce_id)), MAX(CASE WHEN digest IS NOT NULL THEN ended_at END)"
                " FROM deliveries WHERE receiver = ? AND state = 'sent' AND ended_at > ?",
                (receiver, since),
            ).fetchone()
            return count, digest_at

    def bind(self, digests: Mapping[str, Sequence[int]]) -> None:
        """Make one message of several changes each, for good: sent again it holds the same, unless it is too large."""
        with self._told(), self._transaction():
            self._db.executemany(
                "UPDATE deliveries SET digest = ? WHERE seq = ?",
                [(digest, seq) for digest, seqs in digests.items() for seq in seqs],
            )

    def tried(self, seqs: Sequence[int], answer: str) -> None:
        """Note a try that failed."""
        self._update("tries = tries + 1, answer = ?", (answer,), seqs)

    def sent(self, seqs: Sequence[int], answer: str, now: float) -> None:
        """Note that the receiver has it. What was sent is not kept, only that it was."""
        self._update(
            "tries = tries + 1, state = 'sent', ended_at = ?, answer = ?, change = NULL", (now, answer), seqs
        )

    def given_up(self, seqs: Sequence[int], answer: str, now: float) -> None:
        """Note that the receiver will not get it; the change is kept, so that it can be sent again."""
        self._update("state = 'given_up', ended_at = ?, answer = ?", (now, answer), seqs)

    def again(self, receiver: str | None, now: float) -> Again:
        """Queue what was given up once more, but for what would be told too late or to nobody."""
        mine = "state = 'given_up' AND change IS NOT NULL AND receiver = COALESCE(?, receiver)"
        gone = "receiver NOT IN (SELECT name FROM receivers) AND EXISTS (SELECT 1 FROM receivers)"
        late = (
            "EXISTS (SELECT 1 FROM deliveries AS later INDEXED BY by_case WHERE later.case_id = deliveries.case_id"
            " AND later.receiver = deliveries.receiver AND later.seq > deliveries.seq AND later.state = 'sent')"
        )
        with self._told(), self._transaction():
            counts = self._db.execute(
                f"SELECT COUNT(*), COALESCE(SUM({gone}), 0), COALESCE(SUM({late} AND NOT ({gone})), 0)"  # noqa: S608 - constants
                f" FROM deliveries WHERE {mine}",
                (receiver,),
            ).fetchone()
            self._db.execute(
                "UPDATE deliveries SET state = 'pending', ended_at = NULL, queued_at = ?, digest = NULL"  # noqa: S608 - constants
                f" WHERE {mine} AND NOT ({gone}) AND NOT {late}",
                (now, receiver),
            )
            return Again(counts[0] - counts[1] - counts[2], late=counts[2], gone=counts[1])

    def orphaned(self, receivers: Sequence[str], now: float) -> int:
        """Note which receivers the file has, and give up what waits for others; give how many."""
        with self._told():
            waiting = self._db.execute("SELECT DISTINCT receiver FROM deliveries WHERE state = 'pending'")
            gone = [name for (name,) in waiting if name not in receivers]
        with self._told(), self._transaction():
            self._db.execute("DELETE FROM receivers")
            self._db.executemany("INSERT INTO receivers VALUES (?)", [(name,) for name in receivers])
            before = self._db.total_changes
            self._db.executemany(
                "UPDATE deliveries SET state = 'given_up', ended_at = ?, answer = 'the receiver is not in the file'"
                " WHERE state = 'pending' AND receiver = ?",
                [(now, name) for name in gone],
            )
            return self._db.total_changes - before

    def entries(self, state: str | None, most: int) -> list[Entry]:
        """The newest lines of the record, the newest first."""
        with self._told():
            rows = self._db.execute(
                "SELECT receiver, route, ce_id, rule, state, queued_at, ended_at, tries, answer, digest FROM deliveries"
                " WHERE state = COALESCE(?, state) ORDER BY seq DESC LIMIT ?",
                (state, most),
            )
            return [Entry(*row) for row in rows]

    def forget_before(self, time: float) -> int:
        """Drop what ended before a time; give how many.

        Of a case that has not ended, one line stays for each receiver in the file, without the change: who was told of it is
        told of its end.
        """
        with self._told(), self._transaction():
            self._db.execute("UPDATE deliveries SET change = NULL WHERE ended_at < ?", (time,))
            kept = "SELECT ce_id FROM deliveries WHERE change IS NOT NULL"
            self._db.execute(f"DELETE FROM traces WHERE ce_id NOT IN ({kept})")  # noqa: S608 - a constant
            return self._db.execute(
                "DELETE FROM deliveries WHERE ended_at < ? AND (action = 'resolve'"
                " OR receiver NOT IN (SELECT name FROM receivers)"
                " OR EXISTS (SELECT 1 FROM deliveries AS later INDEXED BY by_case WHERE later.case_id = deliveries.case_id"
                " AND later.receiver = deliveries.receiver AND later.seq > deliveries.seq))",
                (time,),
            ).rowcount

    def _update(self, assignments: str, values: tuple[Any, ...], seqs: Sequence[int]) -> None:
        with self._told(), self._transaction():
            self._db.executemany(
                f"UPDATE deliveries SET {assignments} WHERE seq = ?",  # noqa: S608 - constants of this file
                [(*values, seq) for seq in seqs],
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # After some errors, as of a full disk, SQLite has rolled back by itself.
            with suppress(sqlite3.OperationalError):
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            todo = (
                "make room on its disk; nothing is lost, and it goes on from here"
                if "full" in str(error)
                else "if the file is damaged, move it away: what was not sent is read again from the committed positions"
            )
            raise _error(self.file, f"cannot be used: {error}", todo) from error


def _locked(file: Path) -> IO[bytes]:
    lock = file.with_name(file.name + ".lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        what = "is in use by another `returnwatch notify`; both would send everything"
        raise _error(file, what, "end the other one, or name another file with --record") from error
    return lock


def _error(file: Path, what: str, todo: str) -> NotifyError:
    return NotifyError([Finding(str(file), what, todo=todo)])
