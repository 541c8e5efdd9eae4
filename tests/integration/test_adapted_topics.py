"""Topics of payloads as carriers write them, and of a user's own messages, through a worker on a real broker."""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaProducer

from agents.embedded_kafka import EmbeddedKafka
from agents.settings import Settings
from schemas.dead_letters import DeadLetter
from tests.chaos.installation import ONE_OF_EACH, case_state, create_inputs, installation, read_all
from tests.chaos.plan import Plan
from tests.chaos.processes import PATIENCE_S, WorkerProcess, workers
from tests.chaos.traffic import label, send_events
from tests.command_line import returnwatch

INPUTS = {**ONE_OF_EACH, "scans": ("scans", "alerts"), "warehouse": ("warehouse", "wms")}
SOURCE = """\
source: wms
format: json
items: lines
fields: {carrier: by, tracking_number: number, occurred_at: {from: at, formats: "%d.%m.%Y %H:%M:%S", zone: UTC}}
events:
  type: {from: status, values: {IN: checked_in}}
"""


def alert(number: int, **status: str) -> bytes:
    """An event of parcel `number` as UPS pushes it."""
    now = datetime.now(UTC)
    day, clock = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    payload = {
        "trackingNumber": f"1Z{number}",
        "localActivityDate": day,
        "localActivityTime": clock,
        "gmtActivityDate": day,
        "gmtActivityTime": clock,
        "activityLocation": {"city": "London", "country": "GB"},
        "activityStatus": status,
        "receivedBy": "CANARY",
    }
    return json.dumps(payload).encode()


async def write(settings: Settings, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=list(settings.bootstrap_servers))
    await producer.start()
    for value in values:
        await producer.send_and_wait(topic, value)
    await producer.stop()


async def counted(worker: WorkerProcess, metric: str, wanted: float, **labels: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while worker.metric(metric, **labels) < wanted:
        assert time.monotonic() < deadline, f"{metric} {labels}: {worker.metric(metric, **labels)}"
        await asyncio.sleep(0.5)


async def test_payloads_become_scans_beside_events_of_the_contract(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, INPUTS)
    alerts = settings.scans_topics[1]
    source, wms = tmp_path / "wms.yaml", settings.warehouse_topics[1]
    source.write_text(SOURCE, encoding="utf-8")
    named = {"scans_adapters": (f"{alerts}=ups_track_alert",), "sources": (f"{wms}={source}",)}
    settings = settings.model_copy(update=named)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(1), label(2))
        await case_state(settings, 1, ("open", "escalated"))
        await case_state(settings, 2, ("open", "escalated"))
        announced = alert(2, type="M", code="MP", description="Shipper created a label")
        moving = alert(1, type="I", code="OT", description="Out for Delivery")
        refused = b"<TrackResponse/>"
        failed = b'{"response": {"errors": [{"code": "1"}]}}'
        await write(settings, alerts, announced, moving, moving, refused, failed)
        await case_state(settings, 1, ("resolved",))
        await counted(worker, "returnwatch_answers_total", 1, kind="error")
        await counted(worker, "returnwatch_dead_letters_total", 1, reason="not_json")
        await case_state(settings, 2, ("open", "escalated"))  # an announcement is no scan
        at = datetime.now(UTC).strftime("%d.%m.%Y %H:%M:%S")
        line = {"number": "1Z2", "by": "UPS", "at": at, "status": "IN", "clerk": "CANARY"}
        lines = {"lines": [line, line]}
        await write(settings, wms, json.dumps(lines).encode(), b'{"lines": [{"status": "LOST"}]}')
        await case_state(settings, 2, ("resolved",))
        await counted(worker, "returnwatch_dead_letters_total", 1, reason="bad_value")
        letters = [
            record
            for records in (await read_all(settings, [settings.topics.dead_letters])).values()
            for record in records
        ]
        letter, unknown = sorted(letters, key=lambda record: record.value or b"")
        assert letter.value == refused
        assert "status says 'LOST'" in DeadLetter.from_headers(unknown.headers).detail
        internal = await read_all(settings, [settings.topics.parcels, settings.topics.parcel_changelog])
        assert not any(
            b"CANARY" in (record.value or b"") for records in internal.values() for record in records
        )

        flags = ["-b", settings.bootstrap_servers[0], "--topic-prefix", settings.topic_prefix]
        flags += ["--app-id", settings.app_id, "--replication-factor", "1"]
        flags += ["--parcels-partitions", "3", "--returns-partitions", "3", "--commands-topic", "none"]
        for kind in ("orders", "labels", "warehouse", "scans"):
            for topic in getattr(settings, f"{kind}_topics"):
                flags += [f"--{kind}-topic", topic]
        flags += ["--scans-adapter", settings.scans_adapters[0], "--source", settings.sources[0]]
        shown = await asyncio.to_thread(returnwatch, "check", "--connect", *flags)
        assert "carrier_preadvised" in shown.out
        assert "out_for_delivery" in shown.out
        assert "checked_in" in shown.out
        assert "refused, bad_value: type: status says 'LOST'" in " ".join(shown.out.split())
