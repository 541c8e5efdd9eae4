"""Where the process of `notify run` begins to read, and what it takes from there."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from agents.notify_command import endpoints_of
from agents.notify_delivery import Endpoint, Secrets
from agents.notify_process import Notifier, http_session
from agents.notify_record import NotifyRecord
from agents.settings import Settings
from schemas.outputs import Severity, encode_escalation
from schemas.vocabulary import Reason
from streams.notify_bodies import told_singly
from tests.case_changes import case_change, ended
from tests.receivers import eventually, local_receiver
from tests.unit.test_notify_routes import RICH, SECRETS, routes
from tests.unit.test_notify_sending import queued, webhook

SETTINGS = Settings(bootstrap_servers=("127.0.0.1:1",))
TOPIC = SETTINGS.topics.escalations


class Topic:
    """A consumer of one partition with the offsets 0 to 100; the group stands at 5."""

    def __init__(self) -> None:
        self.committed_now: Mapping[TopicPartition, int] = {}
        self.reads_from: int | None = None

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        pass

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 100)

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def committed(self, _partition: TopicPartition) -> int:
        return 5

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self.reads_from = offset

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.committed_now = offsets


def notifier(record: NotifyRecord) -> Notifier:
    return Notifier(SETTINGS, routes(), endpoints_of(routes(), SECRETS, "notify.yaml"), record)


class Read(NamedTuple):
    """A record of the topic."""

    value: bytes
    offset: int
    topic: str = TOPIC
    partition: int = 0


async def test_who_was_told_of_a_case_is_told_of_its_end_however_little_the_end_says(tmp_path: Path) -> None:
    record = NotifyRecord(tmp_path / "notify.sqlite3")
    work = notifier(record)
    begun = [
        case_change("milder", value=RICH),
        case_change("unlinked", value=RICH),
        case_change("together", value=RICH),
        ended("together", severity=Severity.WARNING),
        case_change("small"),
    ]
    work._take([Read(encode_escalation(change), place) for place, change in enumerate(begun)])
    later = [
        case_change("milder", 2, value=RICH, severity=Severity.WARNING, reason=Reason.DISPUTE_CLOSED),
        ended("milder", 3, value=RICH, severity=Severity.WARNING),
        ended("unlinked", reason=Reason.UNLINKED),
        ended("small"),
    ]
    work._take([Read(encode_escalation(change), 10 + place) for place, change in enumerate(later)])
    paged = [entry.ce_id for entry in record.entries(None, 99) if entry.receiver == "oncall"]
    assert sorted(paged) == [
        "milder:1",
        "milder:2",
        "milder:3",
        "together:1",
        "together:2",
        "unlinked:1",
        "unlinked:2",
    ]
    assert {entry.route for entry in record.entries(None, 99) if entry.receiver == "oncall"} == {"money"}
    record.close()


async def test_the_start_commits_nothing_behind_what_still_waits(tmp_path: Path) -> None:
    record = NotifyRecord(tmp_path / "notify.sqlite3")
    waiting = [queued(case_change(f"c{place}"), place)._replace(topic=TOPIC) for place in range(5, 55)]
    record.queue(waiting, TOPIC, {0: 55}, time())
    topic: Any = Topic()
    await notifier(record)._begin(topic, [TopicPartition(TOPIC, 0)], from_start=False)
    assert topic.reads_from == 55
    assert topic.committed_now == {TopicPartition(TOPIC, 0): 5}
    record.close()


async def test_receivers_of_one_host_do_not_wait_for_each_other() -> None:
    told = told_singly(encode_escalation(case_change()))
    async with local_receiver() as receiver, http_session() as session:
        hanging = Endpoint(webhook(timeout="2m"), Secrets(receiver.url))
        receiver.answers.extend(["never"] * 120)
        stuck = [asyncio.create_task(hanging.send(session, told)) for _ in range(120)]
        await eventually(lambda: len(receiver.received) == 120)
        assert await hanging.send(session, told) == "HTTP 200"
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
