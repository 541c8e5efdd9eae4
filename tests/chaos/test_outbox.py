"""What was durable and not yet said is said after a restart, under the same ids, and a repeat is the same to the byte."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.embedded_kafka import EmbeddedKafka
from agents.settings import Settings
from streams.watermark import POSITION_KEY, Outgoing, decode_position
from tests.chaos.installation import (
    ONE_OF_EACH,
    case_state,
    ce_ids,
    create_inputs,
    installation,
    outputs,
    read_all,
)
from tests.chaos.plan import Plan, Stop
from tests.chaos.processes import PATIENCE_S, WorkerProcess, until, workers
from tests.chaos.traffic import TEN_DAYS, label, send_events

pytestmark = [pytest.mark.system, pytest.mark.slow]

KILLED = 9
OPEN = ("open", "escalated")


async def _killed(settings: Settings, worker: WorkerProcess, age: timedelta = TEN_DAYS) -> None:
    """A label comes (overdue by default), and the worker dies where its plan says."""
    await worker.ready()
    await send_events(settings, settings.labels_topics[0], label(1, age=age))
    await until(lambda: worker.exit_code is not None, "the worker dies at its checkpoint")
    assert worker.exit_code == KILLED


async def _outbox(settings: Settings, *topics: str) -> list[Outgoing]:
    """What the last batches of the return stage still have to say on these topics, by the changelog."""
    changelog = await read_all(settings, [settings.topics.return_changelog])
    newest = [[r for r in records if r.key == POSITION_KEY][-1:] for records in changelog.values()]
    owed = [out for records in newest for record in records for out in decode_position(record.value).outbox]
    return [out for out in owed if out.topic in topics]


def _ids(outbox: list[Outgoing]) -> set[str]:
    return {dict(out.headers)["ce_id"].decode() for out in outbox}


def _by_id(records: list[Any]) -> dict[str, set[tuple[bytes, bytes]]]:
    found: dict[str, set[tuple[bytes, bytes]]] = {}
    for record, each in zip(records, ce_ids(records), strict=True):
        found.setdefault(each, set()).add((record.value, repr(record.headers).encode()))
    return found


async def test_a_case_that_was_durable_and_not_said_is_said_after_the_restart(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan(stop=Stop("returns", "before_outbox", "exit", "cases"))) as (
        worker,
    ):
        await _killed(settings, worker)
        owed = _ids(await _outbox(settings, "escalations", "cases"))
        owed_journeys = _ids(await _outbox(settings, "journeys"))
        assert owed, "the outbox is in the changelog"
        assert owed_journeys
        assert not await outputs(settings, settings.topics.escalations)
        worker.start(Plan())
        await case_state(settings, 1, OPEN)
    escalations = await outputs(settings, settings.topics.escalations)
    assert sorted(ce_ids(escalations)) == sorted(owed), "said once, with the ids of the first attempt"
    assert owed_journeys <= set(ce_ids(await outputs(settings, settings.topics.journeys)))


async def test_a_case_that_was_said_before_the_kill_is_said_again_the_same_to_the_byte(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """Nobody knew whether it had been said: a consumer drops the repeat by its id."""
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan(stop=Stop("returns", "before_store", "exit", "cases"))) as (
        worker,
    ):
        await _killed(settings, worker)
        first = await outputs(settings, settings.topics.escalations)
        assert first
        worker.start(Plan())
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(2))
        await case_state(settings, 2, OPEN)
        again = await outputs(settings, settings.topics.escalations)
    said = _by_id(again)
    assert set(ce_ids(first)) <= set(said)
    assert len(again) > len(said), "nothing was repeated: the test shows nothing"
    assert all(len(variants) == 1 for variants in said.values()), "a repeat differs from what it repeats"


async def test_a_report_that_was_durable_and_not_sent_reaches_its_return_after_the_restart(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """The parcel stage keeps the keys of its outbox and makes the reports again from the states."""
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan(stop=Stop("parcels", "before_outbox", "exit", "returns"))) as (
        worker,
    ):
        await _killed(settings, worker, age=timedelta(0))
        assert not await _reports(settings)
        worker.start(Plan())
        await worker.ready()
        deadline = time.monotonic() + PATIENCE_S
        while not await _reports(settings):
            assert time.monotonic() < deadline, "the report never came"
            await asyncio.sleep(0.5)


async def _reports(settings: Settings) -> list[bytes]:
    """Reports about R1. Nothing else than its label gives reason for one."""
    records = await outputs(settings, settings.topics.returns)
    return [r.value for r in records if r.key == b"R1" and json.loads(r.value)["kind"] == "report"]
