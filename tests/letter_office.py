"""`returnwatch dlq` at an installation of a test's own."""

import json
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition

from agents.kafka_connection import run
from agents.settings import Settings
from schemas.topics import MIB
from tests.chaos.installation import read_all
from tests.command_line import Answer, returnwatch
from tests.dead_letters import Refusal

KINDS = ("orders", "labels", "scans", "warehouse", "commands")


@dataclass(frozen=True)
class Office:
    """An installation of a test's own, without a worker."""

    settings: Settings

    @property
    def flags(self) -> list[str]:
        own = ["-b", self.settings.bootstrap_servers[0], "--topic-prefix", self.settings.topic_prefix]
        own += ["--app-id", self.settings.app_id]
        for kind in KINDS:
            for topic in getattr(self.settings, f"{kind}_topics") or ("none",):
                own += [f"--{kind}-topic", topic]
        return own

    @property
    def orders(self) -> str:
        return self.settings.orders_topics[0]

    def dlq(self, verb: str, *arguments: str) -> Answer:
        return returnwatch("dlq", verb, *arguments, *self.flags)

    def done(self, verb: str, *arguments: str) -> str:
        """What it says on standard error; it has to succeed."""
        answer = self.dlq(verb, *arguments)
        assert answer.code == 0, answer.err
        return " ".join(answer.err.split())

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        answer = self.dlq("list", "--json", *arguments)
        assert answer.code == 0, answer.err
        return [json.loads(line) for line in answer.out.splitlines()]

    def refuse(self, *refusals: Refusal, **more: Any) -> None:
        """Write letters as intake does; their topic is `orders` of this installation unless it is another."""

        async def write() -> None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.settings.bootstrap_servers[0], max_request_size=8 * MIB
            )
            await producer.start()
            for refusal in refusals:
                topic = self.orders if refusal.topic == "orders" else refusal.topic
                letter = refusal._replace(topic=topic).letter(**more)
                value = b"" if letter.key is None and letter.value is None else letter.value
                await producer.send_and_wait(
                    self.settings.topics.dead_letters, value, key=letter.key, headers=letter.headers
                )
            await producer.stop()

        run(write())

    def read(self, topic: str) -> dict[TopicPartition, list[Any]]:
        return run(read_all(self.settings, [topic]))

    def sent(self) -> list[Any]:
        """What `orders` has."""
        return [record for records in self.read(self.orders).values() for record in records]
