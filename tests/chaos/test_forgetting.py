"""A worker that dies while a return is forgotten: it is forgotten all the same, and the answer is the same to the byte."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from agents.embedded_kafka import EmbeddedKafka
from agents.settings import Settings
from schemas.command_answers import decode_command_answer
from tests.chaos.installation import ONE_OF_EACH, case_state, create_inputs, installation, outputs, read_all
from tests.chaos.plan import Plan, Stop
from tests.chaos.processes import PATIENCE_S, until, workers
from tests.chaos.traffic import TEN_DAYS, at, check_in, label, send_events

pytestmark = [pytest.mark.system, pytest.mark.slow]

KILLED = 9
INPUTS = {**ONE_OF_EACH, "commands": ("commands",)}
FORGET = {
    "type": "forget",
    "id": "F1",
    "occurred_at": at(),
    "return_id": "R1",
    "by": "dpo-1",
    "reason": "other",
}


async def _traces(settings: Settings) -> list[bytes]:
    names = settings.topics
    found = await read_all(settings, [names.parcel_changelog, names.return_changelog, names.cases])
    newest = {(tp, record.key): record.value for tp, records in found.items() for record in records}
    kept = [key + value for (_, key), value in newest.items() if value is not None]
    return [row for row in kept if b"R1" in row or b"1Z1" in row]


@pytest.mark.parametrize(
    "stop",
    [
        Stop("returns", "before_changelog", "exit", "command-answers"),
        Stop("returns", "before_outbox", "exit", "command-answers"),
        Stop("returns", "before_store", "exit", "command-answers"),
        Stop("parcels", "before_outbox", "exit", "returns"),
        Stop("parcels", "before_store", "exit", "returns"),
    ],
    ids=lambda stop: f"{stop.stage} {stop.step}",
)
async def test_a_kill_leaves_nothing_behind(kafka: EmbeddedKafka, tmp_path: Path, stop: Stop) -> None:
    """The parcel was at the dock before its label came, so it has something of its own in `returns`, which must go, too."""
    settings = installation(kafka.bootstrap_servers, tmp_path, INPUTS)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        seen = {**check_in(1), "occurred_at": at(TEN_DAYS)}
        await send_events(settings, settings.warehouse_topics[0], seen)
        await until(lambda: worker.metric("returnwatch_state_keys", stage="returns") > 0, "the parcel's own")
        await send_events(settings, settings.labels_topics[0], label(1, age=TEN_DAYS / 2), label(2))
        await case_state(settings, 2, ("open", "escalated"))
        assert await _traces(settings)
        worker.kill()
        worker.start(Plan(stop=stop))
        await worker.ready()
        await send_events(settings, settings.commands_topics[0], FORGET)
        await until(lambda: worker.exit_code is not None, "the worker dies at its checkpoint")
        assert worker.exit_code == KILLED
        worker.start(Plan())
        await worker.ready()
        deadline = time.monotonic() + PATIENCE_S
        while left := await _traces(settings):
            assert time.monotonic() < deadline, left
            await asyncio.sleep(0.5)
    answers = {record.value for record in await outputs(settings, settings.topics.command_answers)}
    (answer,) = [decode_command_answer(value) for value in answers]
    assert (answer.command_id, answer.reason) == ("F1", "done")
