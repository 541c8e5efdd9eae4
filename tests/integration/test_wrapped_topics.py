"""A topic in Avro and one of change events, through a worker on a real broker and a schema registry that goes away."""

import asyncio
import json
import os
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from aiokafka import AIOKafkaProducer

from agents.embedded_kafka import EmbeddedKafka
from agents.settings import Settings
from schemas.dead_letters import DeadLetter
from tests.chaos.installation import ONE_OF_EACH, case_state, create_inputs, installation, read_all
from tests.chaos.plan import Plan
from tests.chaos.processes import PATIENCE_S, WorkerProcess, workers
from tests.chaos.traffic import label, scan, send_events
from tests.command_line import Answer, returnwatch
from tests.envelopes import framed, written
from tests.schema_registry import SmallRegistry

INPUTS = {**ONE_OF_EACH, "scans": ("scans", "avro", "rows")}
_TEXTS = ("type", "id", "carrier", "tracking_number", "api", "code_type", "code")
SCAN = {
    "type": "record",
    "name": "Scan",
    "fields": [
        *({"name": name, "type": "string"} for name in _TEXTS),
        {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}


def avro_scan(schema_id: int, number: int) -> bytes:
    return framed(schema_id, written(SCAN, scan(number) | {"occurred_at": datetime.now(UTC)}))


def row(op: str, number: int) -> bytes:
    rows = {"before": scan(number), "after": None if op == "d" else scan(number)}
    return json.dumps({**rows, "op": op, "source": {"table": "scans"}, "ts_ms": 1}).encode()


async def write(settings: Settings, topic: str, *values: bytes | None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=list(settings.bootstrap_servers))
    await producer.start()
    for value in values:
        await producer.send_and_wait(topic, value, key=b"row")
    await producer.stop()


async def counted(worker: WorkerProcess, metric: str, wanted: float, **labels: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while worker.metric(metric, **labels) < wanted:
        assert time.monotonic() < deadline, f"{metric} {labels}: {worker.metric(metric, **labels)}"
        await asyncio.sleep(0.5)


async def command(settings: Settings, *arguments: str) -> Answer:
    with mock.patch.dict(os.environ, settings.environment()):
        return await asyncio.to_thread(returnwatch, *arguments)


async def letters(settings: Settings) -> list[Any]:
    topics = await read_all(settings, [settings.topics.dead_letters])
    return [record for records in topics.values() for record in records]


def reason_of(letter: Any) -> str:
    return DeadLetter.from_headers(letter.headers).reason.value


async def check_tells(settings: Settings, code: int, *texts: str) -> None:
    shown = await command(settings, "check", "--connect")
    everything = " ".join((shown.out + shown.err).split())
    assert (shown.code, [text for text in texts if text not in everything]) == (code, []), everything


async def test_wrapped_events_are_read_and_an_outage_of_the_registry_loses_nothing(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    registry = SmallRegistry()
    for number in (1, 2):
        registry.add(number, json.dumps(SCAN))
    url = await registry.start()
    settings = installation(kafka.bootstrap_servers, tmp_path, INPUTS)
    plain, avro, rows = settings.scans_topics
    changes = {"envelopes": (f"{avro}=confluent", f"{rows}=debezium"), "schema_registry_url": url}
    settings = Settings(**{**settings.model_dump(), **changes, "schema_registry_wait": "2s"})
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], *(label(number) for number in range(1, 6)))
        for number in range(1, 6):
            await case_state(settings, number, ("open", "escalated"))

        await write(settings, avro, avro_scan(1, 1), b"no frame", avro_scan(9, 1))
        await write(settings, rows, row("d", 5), None, row("c", 2))
        await case_state(settings, 1, ("resolved",))
        await case_state(settings, 2, ("resolved",))
        await counted(worker, "returnwatch_no_events_total", 1, kind="deleted")
        await counted(worker, "returnwatch_no_events_total", 1, kind="tombstone")
        await counted(worker, "returnwatch_dead_letters_total", 1, reason="unknown_schema_id")
        await check_tells(
            settings,
            0,
            url,
            ": in_transit (carrier_scan)",
            "no event: tombstone",
            "refused, unknown_schema_id",
        )

        await registry.stop()
        lost = avro_scan(2, 3)
        await write(settings, avro, lost)
        await send_events(settings, plain, scan(4))
        await case_state(settings, 4, ("resolved",))  # other topics go on
        await counted(worker, "returnwatch_dead_letters_total", 1, reason="schema_registry_unavailable")
        assert worker.metric("returnwatch_schema_registry_available") == 0
        await case_state(settings, 3, ("open", "escalated"))
        kept = [
            one.value for one in await letters(settings) if reason_of(one) == "schema_registry_unavailable"
        ]
        assert kept == [lost]
        await check_tells(settings, 1, f"the schema registry at {url}: cannot be reached")
        replayed = await command(settings, "replay", "--topics")
        assert (replayed.code, "schema_registry_url" in replayed.err) == (1, True), replayed.err

        await registry.start()
        choice = ("--reason", "schema_registry_unavailable", "--by", "ops-1", "--yes")
        await counted(worker, "returnwatch_schema_registry_available", 1)
        redriven = await command(settings, "dlq", "redrive", *choice)
        assert "1 redriven" in redriven.out + redriven.err, redriven
        await case_state(settings, 3, ("resolved",))
        await case_state(settings, 5, ("open", "escalated"))  # its row was deleted, and that proves nothing
        replayed = await command(settings, "replay", "--topics", "--json")
        assert replayed.code == 0, replayed.err
        reasons = Counter(reason_of(one) for one in await letters(settings))
        assert reasons == {"bad_envelope": 1, "unknown_schema_id": 1, "schema_registry_unavailable": 1}
    await registry.stop()
