"""Where the process of `notify run` begins to read, and what it takes from there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time
from typing import Any

from aiokafka import TopicPartition

from agents.notify_command import endpoints_of
from agents.notify_process import Notifier
from agents.notify_record import NotifyRecord
from agents.settings import Settings
from tests.case_changes import case_change
from tests.unit.test_notify_routes import SECRETS, routes
from tests.unit.test_notify_sending import queued

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


async def test_the_start_commits_nothing_behind_what_still_waits(tmp_path: Path) -> None:
    record = NotifyRecord(tmp_path / "notify.sqlite3")
    waiting = [queued(case_change(f"c{place}"), place)._replace(topic=TOPIC) for place in range(5, 55)]
    record.queue(waiting, TOPIC, {0: 55}, time())
    topic: Any = Topic()
    await notifier(record)._begin(topic, [TopicPartition(TOPIC, 0)], from_start=False)
    assert topic.reads_from == 55
    assert topic.committed_now == {TopicPartition(TOPIC, 0): 5}
    record.close()
