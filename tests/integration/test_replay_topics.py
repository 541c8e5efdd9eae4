"""`returnwatch replay --topics` on a real broker: the same as of the same records in a file."""

import base64
import json
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaProducer

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_admin, run
from agents.replay_reading import Recorded, read_records
from agents.replay_topics import read_topics
from agents.settings import Settings
from agents.topics import prepare_topics
from tests.command_line import Answer, returnwatch

EXAMPLE = Path(__file__).parents[2] / "docs/examples/replay/events.jsonl"
INPUTS = ("orders", "labels", "scans", "warehouse", "commands")


def test_topics_say_the_same_as_files(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    name = f"r{uuid.uuid4().hex[:8]}"
    inputs = {f"{kind}_topics": (f"{name}-{kind}",) for kind in INPUTS}
    settings = Settings(
        bootstrap_servers=(kafka.bootstrap_servers,),
        app_id=name,
        topic_prefix=f"{name}-",
        replication_factor=1,
        **inputs,  # type: ignore[arg-type]  # names of topics
    )
    records = read_records([EXAMPLE], "received_at")
    lines = run(write(settings, records))
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    whole = replayed(settings, "--topics")
    assert whole.code == 0, whole.err
    assert json.loads(whole.out)["cases"]
    assert whole.out == replayed(settings, str(file)).out
    read = run(read_topics(settings, None, None, lambda _: None))
    assert [one.key for one in read] == [key(one.at_ms) for one in read]
    since, before = (time(records[number].at_ms) for number in (2, 8))
    part = tmp_path / "part.jsonl"
    part.write_text(
        "\n".join(line for line in lines if since <= json.loads(line)["appended_at"] < before), "utf-8"
    )
    ranged = replayed(settings, "--topics", "--from", since, "--to", before)
    assert ranged.out == replayed(settings, str(part)).out
    assert json.loads(ranged.out)["records"] == 6
    nothing = replayed(settings, "--topics", "--from", "2027-01-01T00:00:00Z")
    assert nothing.code == 1
    assert "no records" in nothing.err


def replayed(settings: Settings, *arguments: str) -> Answer:
    inputs = [f"--{kind}-topic={getattr(settings, f'{kind}_topics')[0]}" for kind in INPUTS]
    own = ["-b", settings.bootstrap_servers[0], "--topic-prefix", settings.topic_prefix, *inputs]
    return returnwatch("replay", "--json", "--until", "10d", *arguments, *own)


def key(at_ms: int) -> bytes:
    """A key of the record's own: some adapters name the parcel by it."""
    return f"key {at_ms}".encode()


def time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


async def write(settings: Settings, records: list[Recorded]) -> list[str]:
    """Into their topics; returns the same as lines of a file."""
    lines, places = [], Counter[str]()
    async with open_admin(settings) as admin:
        await prepare_topics(admin, settings, inputs=True)
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers[0])
    await producer.start()
    try:
        for one in records:
            topic = settings.topics.inputs[one.kind][0]
            await producer.send_and_wait(
                topic, one.value, key(one.at_ms), partition=0, timestamp_ms=one.at_ms
            )
            place = {"topic": topic, "partition": 0, "offset": places[topic]}
            places[topic] += 1
            raw = base64.b64encode(one.value or b"").decode()
            lines.append(
                json.dumps({"kind": one.kind, "appended_at": time(one.at_ms), "value_base64": raw, **place})
            )
    finally:
        await producer.stop()
    return lines
