"""`returnwatch forget`, against a worker on a real broker: erased everywhere, and it does not come back."""

import asyncio
import json
import time
from pathlib import Path

from agents.embedded_kafka import EmbeddedKafka
from agents.settings import Settings
from schemas.command_answers import decode_command_answer
from tests.chaos.installation import (
    ONE_OF_EACH,
    case_state,
    create_inputs,
    installation,
    outputs,
    read_all,
)
from tests.chaos.plan import Plan
from tests.chaos.processes import PATIENCE_S, WorkerProcess, until, workers
from tests.chaos.traffic import label, request, scan, send_events
from tests.command_line import Answer, returnwatch

OPEN = ("open", "escalated")
INPUTS = {**ONE_OF_EACH, "commands": ("commands",)}
TRACES = (b"R1", b"1Z1")


async def forget(settings: Settings, *arguments: str) -> Answer:
    own = ["-b", settings.bootstrap_servers[0], "--topic-prefix", settings.topic_prefix]
    own += ["--app-id", settings.app_id, "--commands-topic", settings.commands_topics[0]]
    told = ("--by", "dpo-1", "--reason", "data_subject_request")
    return await asyncio.to_thread(returnwatch, "forget", *arguments, *told, *own)


async def compacted(settings: Settings) -> list[bytes]:
    """What compaction leaves of changelogs and cases: key and value of the newest record of each key."""
    names = settings.topics
    found = await read_all(settings, [names.parcel_changelog, names.return_changelog, names.cases])
    newest = {(tp, record.key): record.value for tp, records in found.items() for record in records}
    return [key + value for (_, key), value in newest.items() if value is not None]


async def traces(settings: Settings) -> list[bytes]:
    return [row for row in await compacted(settings) if any(trace in row for trace in TRACES)]


async def gone(settings: Settings) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while left := await traces(settings):
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.5)


def passed_over(worker: WorkerProcess) -> float:
    return min(
        worker.metric("returnwatch_forgotten_records_total", stage=stage) for stage in ("parcels", "returns")
    )


async def test_a_return_is_forgotten_and_does_not_come_back(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, INPUTS)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(1), label(2))
        await send_events(settings, settings.orders_topics[0], request(1))
        await case_state(settings, 1, OPEN)
        await case_state(settings, 2, OPEN)
        assert await traces(settings)

        looked = await forget(settings, "R1", "--dry-run")
        assert looked.code == 0, looked.err
        assert "ups:1Z1" in looked.err
        unasked = await forget(settings, "R1")
        assert (unasked.code, "nobody can be asked" in " ".join(unasked.err.split())) == (1, True)
        unknown = await forget(settings, "R3", "--yes")
        assert (unknown.code, "nothing is known of it" in " ".join(unknown.err.split())) == (1, True)
        assert await traces(settings), "nothing was told yet"

        told = await forget(settings, "R1", "--yes", "--command-id", "F1", "--json")
        assert told.code == 0, told.err
        answer = decode_command_answer(told.out.encode())
        assert (answer.reason, answer.by, answer.return_id) == ("done", "dpo-1", "")
        await gone(settings)
        again = await forget(settings, "R1", "--yes", "--command-id", "F1", "--json", "--even-if-unknown")
        assert again.out == told.out

        worker.kill()
        worker.start()
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(1))
        await send_events(settings, settings.orders_topics[0], request(1))
        await send_events(settings, settings.scans_topics[0], scan(1))
        await until(lambda: passed_over(worker) >= 1, "what came of it again was passed over")
        await send_events(settings, settings.labels_topics[0], label(4))
        await case_state(settings, 4, OPEN)
        assert await traces(settings) == []

        own = ["-b", settings.bootstrap_servers[0], "--topic-prefix", settings.topic_prefix]
        asked = await asyncio.to_thread(returnwatch, "explain", "R1", *own, "--app-id", settings.app_id)
        assert asked.code == 1
        assert "was forgotten on" in asked.err
    last = [json.loads(one.value) for one in await outputs(settings, settings.topics.escalations)]
    (erased,) = [one for one in last if one["reason"] == "erased"]
    assert (erased["state"], erased["return_id"], erased["tracking_number"]) == ("resolved", "", "")
