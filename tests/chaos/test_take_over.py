"""A worker that was paused and replaced: nothing of what it still had in hand survives its successor."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from agents.embedded_kafka import EmbeddedKafka
from agents.engine import EXIT_FENCED
from streams.watermark import POSITION_KEY, decode_position
from tests.chaos.installation import (
    ONE_OF_EACH,
    case_state,
    cases,
    ce_ids,
    create_inputs,
    installation,
    outputs,
    read_all,
)
from tests.chaos.plan import Plan, Stop
from tests.chaos.processes import all_pass, until, workers
from tests.chaos.traffic import label, scan, send_events

pytestmark = [pytest.mark.system, pytest.mark.slow]

OPEN, CLOSED = ("open", "escalated"), ("resolved", "retracted")


@pytest.mark.parametrize("step", ["before_changelog", "before_outbox"])
async def test_a_paused_owner_that_was_replaced_ends_and_leaves_nothing_stale(
    kafka: EmbeddedKafka, tmp_path: Path, step: str
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    names = settings.topics
    await create_inputs(settings)
    paused_there = Plan(stop=Stop("returns", step, "pause", "cases"))
    with workers(settings, tmp_path, paused_there) as (old,):
        await old.ready()
        await send_events(settings, settings.labels_topics[0], label(1))
        await until(lambda: old.is_paused, f"the worker pauses {step}")
        assert not await outputs(settings, names.cases), "nothing was said before the pause"
        with workers(settings, tmp_path / "successor", Plan()) as (new,):
            await case_state(settings, 1, OPEN)
            await send_events(settings, settings.scans_topics[0], scan(1))
            await case_state(settings, 1, CLOSED)
            before = await cases(settings)
            old.resume()
            await until(lambda: old.exit_code is not None, "the paused worker ends")
            assert old.exit_code == EXIT_FENCED
            await asyncio.sleep(2)
            assert await cases(settings) == before
            assert new.exit_code is None
    for records in (await read_all(settings, [names.cases])).values():
        said = [int(each.rpartition(":")[2]) for each in ce_ids(records)]
        assert said == sorted(said), "an older revision came after a newer one"
    for records in (await read_all(settings, [names.return_changelog])).values():
        positions = [decode_position(r.value).next_offset for r in records if r.key == POSITION_KEY]
        assert positions == sorted(positions), "the history of a partition went back"


async def test_intake_begins_where_it_says_and_not_where_a_late_commit_of_the_group_lies(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(1))
        await case_state(settings, 1, OPEN)
        assert worker.stop() == 0
        worker.start(Plan(begins_before=1))
        await worker.ready()
        await all_pass([worker], time.time())


async def test_what_is_read_before_the_flow_is_resumed_is_read_again(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        assert worker.stop() == 0
        await send_events(settings, settings.labels_topics[0], label(1))
        worker.start(Plan(resumes_late=True))
        await case_state(settings, 1, OPEN)
        assert worker.metric("returnwatch_read_again_total") == 0


async def test_a_chunk_that_was_lost_on_its_way_to_intake_is_read_again(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan(loses_chunks=1)) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(1))
        await case_state(settings, 1, OPEN)
        assert worker.metric("returnwatch_read_again_total") == 1
        assert worker.exit_code is None
