"""`returnwatch journeys` against a real broker: the newest word on a return."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_admin, run
from agents.settings import Settings
from agents.topics import await_topics
from schemas.vocabulary import Milestone
from streams.keys import partition_of
from streams.watermark import Outgoing
from tests.command_line import Answer, returnwatch
from tests.stages import DAY, HOUR, Shop, label_fact, parcel_fact, return_fact

PARTITIONS = 3


@dataclass(frozen=True)
class Portal:
    """A topic prefix of its own on the shared broker, with the topic of journeys."""

    settings: Settings

    def show(self, *arguments: str) -> Answer:
        own = ["-b", self.settings.bootstrap_servers[0], "--topic-prefix", self.settings.topic_prefix]
        return returnwatch("journeys", "show", *arguments, *own)

    def publish(self, *records: tuple[str, bytes | None]) -> None:
        run(_publish(self.settings, records))


@pytest.fixture
def portal(kafka: EmbeddedKafka) -> Portal:
    prefix = f"j{uuid.uuid4().hex[:8]}-"
    settings = Settings(
        bootstrap_servers=(kafka.bootstrap_servers,), topic_prefix=prefix, replication_factor=1
    )
    run(_make(settings))
    return Portal(settings)


async def _make(settings: Settings) -> None:
    async with open_admin(settings) as admin:
        await admin.create_topics([NewTopic(settings.topics.journeys, PARTITIONS, 1)])
        await await_topics(admin, [settings.topics.journeys])


async def _publish(settings: Settings, records: Sequence[tuple[str, bytes | None]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers[0])
    await producer.start()
    try:
        for return_id, value in records:
            key = return_id.encode()
            where = partition_of(key, PARTITIONS)
            await producer.send_and_wait(settings.topics.journeys, value, key=key, partition=where)
    finally:
        await producer.stop()


def life(return_id: str, until_ms: int) -> list[tuple[str, bytes | None]]:
    """What the return stage says of a parcel that was handed over and then stood still."""
    shop = Shop()
    shop.return_fact(return_id, return_fact(Milestone.RETURN_REQUESTED, 0, value_minor=5_000, currency="EUR"))
    shop.parcel_fact("ups:1Z", label_fact(HOUR, return_id))
    shop.parcel_fact("ups:1Z", parcel_fact(Milestone.ACCEPTED, 2 * HOUR))
    shop.reach(until_ms)
    said: list[Outgoing] = [out for out in shop.returns.said if out.topic == "journeys"]
    return [(out.key.decode(), out.value) for out in said]


def test_the_newest_word_on_a_return_is_shown(portal: Portal) -> None:
    portal.publish(*life("R-1", 6 * DAY), *life("R-2", HOUR), ("R-1", b"not a journey"))
    answer = portal.show("R-1")
    assert answer.code == 0, answer.err
    for expected in (
        "R-1  shipped",
        "Your parcel is delayed on its way.",
        "Votre colis a du retard.",
        "2026-01-05 02:00:00Z",
        "stalled_silent",
        "ups:1Z",
        "delivered by 2026-01-13 02:00:00Z",
        "carrier_scan",
    ):
        assert expected in answer.out
    assert "R-2" not in answer.out


def test_programs_get_the_record_as_it_is(portal: Portal) -> None:
    told = life("R-1", HOUR)
    portal.publish(*told)
    answer = portal.show("R-1", "--json")
    assert answer.code == 0, answer.err
    shown: dict[str, Any] = json.loads(answer.out)
    assert shown == json.loads(told[-1][1] or b"")
    assert shown["stage"] == "in_transit"


def test_a_return_that_was_forgotten_or_never_told_of_is_not_found(portal: Portal) -> None:
    portal.publish(*life("R-1", HOUR), ("R-1", None))
    for return_id in ("R-1", "R-9"):
        answer = portal.show(return_id)
        assert answer.code == 1
        assert f"{return_id}: no journey of this return" in answer.err
        assert "returnwatch policy show" in answer.err


def test_a_cluster_without_the_topic_is_told_apart(kafka: EmbeddedKafka) -> None:
    answer = returnwatch(
        "journeys", "show", "R-1", "-b", kafka.bootstrap_servers, "--topic-prefix", "nobody-"
    )
    assert answer.code == 1
    assert "topic nobody-journeys: is missing" in answer.err
