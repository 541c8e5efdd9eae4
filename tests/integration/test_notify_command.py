"""`returnwatch notify run` against a real broker and a receiver that fails: killed anywhere, everything is told, in order."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_admin, open_consumer
from agents.settings import Settings
from agents.topics import await_topics
from schemas.outputs import Escalation, cloud_event_headers, encode_escalation
from tests.case_changes import case_change, ended
from tests.receivers import LocalReceiver, eventually, local_receiver

pytestmark = pytest.mark.kafka

FILE = """\
receivers:
  erp: {{kind: webhook, url: "{url}", secret: ERP_SECRET}}
routes:
  - {{name: all, to: [erp]}}
"""


class Notifying:
    """Processes of `notify run`, one after the other."""

    def __init__(self, kafka: EmbeddedKafka, directory: Path, receiver: LocalReceiver, prefix: str) -> None:
        self.directory = directory
        self.record = directory / "notify.sqlite3"
        self.settings = Settings(
            bootstrap_servers=(kafka.bootstrap_servers,), topic_prefix=prefix, app_id=prefix.strip("-")
        )
        self.file = directory / "notify.yaml"
        self.file.write_text(FILE.format(url=receiver.url), encoding="utf-8")
        self.log = directory / "notify.log"
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        said = self.said().count("notifying of")
        command = [sys.executable, "-m", "agents", "notify", "run", str(self.file), "--metrics-port", "0"]
        given = [
            "--record",
            str(self.record),
            "--topic-prefix",
            self.settings.topic_prefix,
            "--log-format",
            "json",
        ]
        address = ["-b", self.settings.bootstrap_servers[0], "--app-id", self.settings.app_id]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it is started at once
                [*command, *given, *address],
                env={**os.environ, "ERP_SECRET": "hush-hush-hush-hush"},
                stdout=log,
                stderr=log,
            )
        await eventually(lambda: self.said().count("notifying of") > said or self._ended())
        assert not self._ended(), self.said()

    def _ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    async def create_topic(self) -> None:
        topic = self.settings.topics.escalations
        async with open_admin(self.settings) as admin:
            await admin.create_topics([NewTopic(topic, 2, 1)])
            await await_topics(admin, {topic: 2})

    async def say(self, *changes: Escalation) -> None:
        """Publish changes, each case in a partition of its own, as a worker does."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.bootstrap_servers[0])
        await producer.start()
        for change in changes:
            await producer.send_and_wait(
                self.settings.topics.escalations,
                encode_escalation(change),
                partition=hash_of(change.case_id),
                headers=cloud_event_headers(change),
            )
        await producer.stop()

    async def committed(self) -> int:
        group = f"{self.settings.app_id}-notify"
        async with open_consumer(self.settings, group_id=group) as consumer:
            places = [TopicPartition(self.settings.topics.escalations, number) for number in range(2)]
            consumer.assign(places)
            return sum([await consumer.committed(one) or 0 for one in places])


def hash_of(case_id: str) -> int:
    return sum(case_id.encode()) % 2


async def test_killed_in_between_everything_is_told_in_order_and_a_lost_record_costs_no_change(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with local_receiver() as receiver:
        work = Notifying(kafka, tmp_path, receiver, "nt1-")
        await work.create_topic()
        await work.say(case_change("before"))
        try:
            await work.start()
            cases = [f"c{number}" for number in range(20)]
            receiver.answers.extend(["500", "close", "garbage", "429 1", "never"])
            await work.say(*(case_change(case) for case in cases))
            await receiver.until(5)
            work.kill()
            await work.say(*(ended(case) for case in cases), case_change("c0"))
            await work.start()
            await eventually(lambda: {one.headers["webhook-id"] for one in receiver.taken} >= told(cases))
            for case in cases:
                mine = [one.headers["webhook-id"] for one in receiver.taken]
                first = [mine.index(f"{case}:{revision}") for revision in (1, 2)]
                assert first == sorted(first), case
            again = len(receiver.taken) - 2 * len(cases)
            assert 0 <= again <= 4, "what was under way when it was killed, and no more"
            assert "before:1" not in {one.headers["webhook-id"] for one in receiver.taken}

            # What was told is committed for who loses the record.
            await asyncio.wait_for(_until_committed(work, 42), 60)
            assert work.stop() == 0
            await work.say(case_change("later"))
            work.record.rename(tmp_path / "lost")
            await work.start()
            await eventually(lambda: receiver.taken[-1].headers["webhook-id"] == "later:1")
            assert len(receiver.taken) == 2 * len(cases) + again + 1
            assert work.stop() == 0
        finally:
            if work.process is not None and work.process.poll() is None:
                work.kill()
        assert "hush" not in work.said()
        assert "RMA-1" not in work.said()


def told(cases: list[str]) -> set[str]:
    return {f"{case}:{revision}" for case in cases for revision in (1, 2)}


async def _until_committed(work: Notifying, count: int) -> None:
    while await work.committed() < count:  # noqa: ASYNC110 - a broker is asked
        await asyncio.sleep(0.5)
