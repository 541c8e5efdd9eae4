"""Kafka is away, or a producer leaves a transaction open: the worker waits, says why, and goes on by itself.

RETURNWATCH_TEST_OUTAGE_SECONDS makes the outage longer (`make chaos` takes ten minutes).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from agents.embedded_kafka import EmbeddedKafka
from agents.settings import Settings
from tests.chaos.installation import ONE_OF_EACH, case_state, cases, create_inputs, installation
from tests.chaos.plan import Plan
from tests.chaos.processes import WorkerProcess, all_pass, until, workers
from tests.chaos.traffic import label, send_events
from tests.chaos.watermark_check import check_installation

pytestmark = [pytest.mark.system, pytest.mark.slow]

AWAY_AT_START_S = 20.0
OPEN_TRANSACTION_S = 20.0
OUTAGE_S = float(os.environ.get("RETURNWATCH_TEST_OUTAGE_SECONDS", "60"))
OPEN = ("open", "escalated")


async def _overdue_label_becomes_a_case(settings: Settings, number: int) -> None:
    await send_events(settings, settings.labels_topics[0], label(number))
    await case_state(settings, number, OPEN)


async def test_a_worker_that_starts_before_kafka_waits_for_it_and_says_so(
    own_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(own_kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    own_kafka.kill()
    with workers(settings, tmp_path, Plan()) as (worker,):
        await until(lambda: "waiting up to" in worker.log_file.read_text(), "it says that it waits")
        await asyncio.sleep(AWAY_AT_START_S)
        assert worker.exit_code is None
        log = worker.log_file.read_text()
        assert settings.bootstrap_servers[0] in log
        assert len(log.splitlines()) < 60, "an outage is told, not drummed"
        await asyncio.to_thread(own_kafka.start)
        await worker.ready()
        await _overdue_label_becomes_a_case(settings, 1)
        assert worker.exit_code is None


@pytest.mark.timeout(OUTAGE_S + 600)
async def test_an_outage_of_the_broker_costs_time_and_nothing_else(
    own_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(own_kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan(), Plan()) as started:
        for worker in started:
            await worker.ready()
        await _overdue_label_becomes_a_case(settings, 1)
        before = await cases(settings)
        own_kafka.kill()
        await asyncio.sleep(OUTAGE_S / 2)
        for worker in started:
            assert worker.get("/live")[0] == 200, "a broker that is away is no reason to restart"
        lagging = _lag(started[0])
        await asyncio.sleep(OUTAGE_S / 2)
        assert _lag(started[0]) > lagging, "the lag grows while nobody answers"
        await asyncio.to_thread(own_kafka.start)
        await _overdue_label_becomes_a_case(settings, 2)
        after = await cases(settings)
        assert {key: after[key] for key in before} == before, "no case changed because of the outage"
        assert [worker.exit_code for worker in started] == [None, None]
        await all_pass(started, time.time())
    verdict = await check_installation(settings)
    assert not verdict.violations + verdict.wrong_positions + verdict.missing, str(verdict)


async def test_a_broker_that_hangs_for_half_a_minute_is_waited_for(
    own_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """Connections stay open and nothing answers: requests time out, and each is sent again without a double."""
    settings = installation(own_kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], *(label(number) for number in range(2, 50)))
        own_kafka.pause()
        await asyncio.sleep(30)
        own_kafka.resume()
        await _overdue_label_becomes_a_case(settings, 1)
        assert worker.exit_code is None
        await all_pass([worker], time.time())
    verdict = await check_installation(settings)
    assert not verdict.violations + verdict.wrong_positions + verdict.missing, str(verdict)


async def test_an_open_transaction_holds_the_watermark_and_is_named(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    labels = settings.labels_topics[0]
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        shop = AIOKafkaProducer(
            bootstrap_servers=list(settings.bootstrap_servers),
            transactional_id=f"{labels}-shop",
            transaction_timeout_ms=600_000,
        )
        await shop.start()
        await shop.begin_transaction()
        held = (await shop.send_and_wait(labels, json.dumps(label(1)).encode(), partition=1)).timestamp / 1000
        await send_events(settings, labels, label(2), partition=0)
        await asyncio.sleep(OPEN_TRANSACTION_S)
        stands = worker.series("returnwatch_watermark_timestamp_seconds")
        assert {labels["stage"] for labels, _ in stands} == {"parcels", "returns"}
        assert all(at <= held for _, at in stands), "the watermark passed an event that may yet be committed"
        assert not await cases(settings), "no case opens while something is missing"
        await until(lambda: _holder(worker) == f"{labels}/1", f"{labels}/1 is named; got {_holder(worker)}")
        assert worker.get("/live")[0] == 200
        await shop.commit_transaction()
        await case_state(settings, 1, OPEN)
        await case_state(settings, 2, OPEN)
        assert worker.exit_code is None
        await shop.stop()


def _holder(worker: WorkerProcess) -> str:
    """The source that holds the parcels' watermarks most, by the metrics."""
    held = [
        (seconds, labels["source"])
        for labels, seconds in worker.series("returnwatch_watermark_held_by_seconds")
        if labels["stage"] == "parcels" and seconds > OPEN_TRANSACTION_S / 2
    ]
    return max(held)[1] if held else ""


def _lag(worker: WorkerProcess) -> float:
    return max(seconds for _, seconds in worker.series("returnwatch_lag_seconds"))
