"""`returnwatch carriers gaps` on the topics of a real broker."""

import json
import time
import uuid
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_admin, run
from agents.settings import Settings
from agents.topics import await_topics
from tests.command_line import returnwatch

OLD_MS = int(time.time() * 1000) - 3 * 24 * 60 * 60 * 1000


def scan(number: int, code: str) -> bytes:
    occurred_at = datetime.fromtimestamp(OLD_MS / 1000, UTC).isoformat()
    event = {"type": "carrier_scan", "occurred_at": occurred_at, "carrier": "ups", "code": code}
    return json.dumps(event | {"tracking_number": f"1Z{number}"}).encode()


def test_what_was_appended_in_the_range_is_told(kafka: EmbeddedKafka) -> None:
    topic = f"scans-{uuid.uuid4().hex[:8]}"
    settings = Settings(bootstrap_servers=(kafka.bootstrap_servers,))

    async def write() -> None:
        async with open_admin(settings) as admin:
            await admin.create_topics([NewTopic(topic, 2, 1)])
            await await_topics(admin, [topic])
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
        await producer.start()
        try:
            for number in range(3):
                await producer.send_and_wait(topic, scan(number, "OLD"), timestamp_ms=OLD_MS)
            for number in range(2):
                await producer.send_and_wait(topic, scan(number, "NEW"))
            await producer.send_and_wait(topic, b"{oops")
        finally:
            await producer.stop()

    def codes(*more: str) -> dict[str, int]:
        answer = returnwatch(
            "carriers", "gaps", "-b", kafka.bootstrap_servers, "--scans-topic", topic, "--json", *more
        )
        assert answer.code == 0, answer.err
        gaps = [json.loads(line).get("gap") for line in answer.out.splitlines()]
        return {gap["code"]: gap["scans"] for gap in gaps if gap}

    run(write())
    assert codes() == {"NEW": 2}
    assert codes("--since", "7d") == {"OLD": 3, "NEW": 2}
    nothing = ("--since", "9d", "--to", "2020-01-01T00:00:00Z")
    answer = returnwatch("carriers", "gaps", "-b", kafka.bootstrap_servers, "--scans-topic", topic, *nothing)
    assert answer.code == 1
    assert "no scans were appended in that time" in answer.err
