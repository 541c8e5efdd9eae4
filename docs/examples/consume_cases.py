"""Follow the cases of Returnwatch: one line per change, each change once, across restarts.

Needs aiokafka and nothing of Returnwatch:

    python consume_cases.py --bootstrap-servers localhost:9092 --state cases.sqlite

What to copy from it: a change is new if its revision is higher than the highest seen for its case; a null value says
that the case is forgotten; what was seen and how far was read are saved in one transaction. A crash between printing
and saving prints the lines of that one poll again; where that hurts, make your effect idempotent by `ce_id`.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

TABLES = """
CREATE TABLE IF NOT EXISTS seen (case_id TEXT PRIMARY KEY, revision INTEGER NOT NULL, gone INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS position (topic TEXT, number INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, number));
"""
SHOWN = ("case_id", "revision", "rule", "state", "reason", "return_id")
UNDERSTOOD = ".v1"
"""The last word of `ce_type`: within v1 fields are only added. What comes with another version is left alone."""


class Memory:
    """What was seen of each case, and how far each partition was read. A row for ever: 60 bytes a case."""

    def __init__(self, file: str) -> None:
        self._database = sqlite3.connect(file, isolation_level=None)
        self._database.executescript(TABLES)

    def position(self, partition: TopicPartition) -> int | None:
        """Return the offset to go on from; None for a partition that was never read."""
        query = "SELECT next FROM position WHERE topic = ? AND number = ?"
        row = self._database.execute(query, (partition.topic, partition.partition)).fetchone()
        return None if row is None else int(row[0])

    def lines_of(self, records: Iterable[Any]) -> list[str]:
        """Begin a transaction, remember what is new in the records, and return a line for each new change."""
        self._database.execute("BEGIN")
        return [line for line in map(self._line_of, records) if line]

    def save(self, positions: dict[TopicPartition, int]) -> None:
        """End the transaction: what was seen, and the positions that belong to it."""
        rows = [(tp.topic, tp.partition, offset) for tp, offset in positions.items()]
        self._database.executemany("INSERT OR REPLACE INTO position VALUES (?, ?, ?)", rows)
        self._database.execute("COMMIT")

    def _line_of(self, record: Any) -> str | None:
        if record.value is None:
            return self._forget(record.key.decode())
        if not dict(record.headers)["ce_type"].decode().endswith(UNDERSTOOD):
            return None
        case = json.loads(record.value)
        if case["revision"] <= self._seen(case["case_id"])[0]:
            return None
        self._remember(case["case_id"], case["revision"], gone=False)
        return " ".join(str(case[name]) for name in SHOWN)

    def _forget(self, case_id: str) -> str | None:
        revision, gone = self._seen(case_id)
        self._remember(case_id, revision, gone=True)
        return None if gone else f"{case_id} forgotten"

    def _seen(self, case_id: str) -> tuple[int, bool]:
        query = "SELECT revision, gone FROM seen WHERE case_id = ?"
        return self._database.execute(query, (case_id,)).fetchone() or (0, False)

    def _remember(self, case_id: str, revision: int, *, gone: bool) -> None:
        self._database.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (case_id, revision, gone))


async def follow(servers: str, topic: str, memory: Memory, *, once: bool) -> None:
    """Print changes as they come; with `once`, up to the end of the topic as it is now."""
    # Without a group: every partition is read here, from the positions in our own memory.
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = go_on_where_the_last_run_ended(consumer, memory)
        ends = await consumer.end_offsets(partitions)
        while not once or [tp for tp in partitions if await consumer.position(tp) < ends[tp]]:
            polled = await consumer.getmany(timeout_ms=500)
            lines = memory.lines_of(record for records in polled.values() for record in records)
            sys.stdout.writelines(f"{line}\n" for line in lines)
            sys.stdout.flush()
            memory.save({tp: await consumer.position(tp) for tp in polled})
    finally:
        with suppress(asyncio.CancelledError):  # aiokafka's stop() can raise one of its own making
            await consumer.stop()


def go_on_where_the_last_run_ended(consumer: AIOKafkaConsumer, memory: Memory) -> list[TopicPartition]:
    """Seek each partition to the position in memory, and return the partitions. Their number never changes."""
    partitions = sorted(consumer.assignment())
    for partition in partitions:
        known = memory.position(partition)
        if known is not None:
            consumer.seek(partition, known)
    return partitions


def main() -> None:
    """Read the command line and follow."""
    parser = argparse.ArgumentParser(description="Follow the cases of Returnwatch, each change once.")
    parser.add_argument("--bootstrap-servers", default="localhost:9092")
    parser.add_argument("--topic", default="returnwatch-cases")
    parser.add_argument("--state", default="cases.sqlite", help="what was seen already")
    parser.add_argument("--once", action="store_true", help="end when the topic has been read to its end")
    given = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(follow(given.bootstrap_servers, given.topic, Memory(given.state), once=given.once))


if __name__ == "__main__":
    main()
