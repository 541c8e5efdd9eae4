"""A broker whose clock runs away, and input topics that grow: the watermark waits until it can be right."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka.admin import NewPartitions

from agents.embedded_kafka import EmbeddedKafka
from tests.chaos.installation import (
    ONE_OF_EACH,
    admin_of,
    case_state,
    cases,
    create_inputs,
    installation,
)
from tests.chaos.plan import Mistake, Plan
from tests.chaos.processes import PATIENCE_S, WorkerProcess, until, workers
from tests.chaos.traffic import Traffic, label, send_events
from tests.chaos.watermark_check import Verdict, check_installation

pytestmark = [pytest.mark.system, pytest.mark.slow]

OPEN = ("open", "escalated")


def _watermarks(worker: WorkerProcess) -> list[float]:
    return [at for _, at in worker.series("returnwatch_watermark_timestamp_seconds")]


async def _at_rest(worker: WorkerProcess) -> list[float]:
    """The watermarks, when they have not moved for seconds."""
    deadline = time.monotonic() + PATIENCE_S
    stood: list[float] = []
    while stood != (now := _watermarks(worker)) or not stood:
        assert time.monotonic() < deadline, "the watermarks go on"
        stood = now
        await asyncio.sleep(3)
    return stood


async def test_a_broker_an_hour_ahead_at_the_start_moves_no_watermark(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    ahead = tmp_path / "ahead"
    ahead.touch()
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan(broker_ahead_file=str(ahead))) as (worker,):
        await until(lambda: worker.metric("returnwatch_clock_skew_frozen") == 1, "the clock is vetoed")
        await send_events(settings, settings.labels_topics[0], label(1))
        await asyncio.sleep(5)
        assert not await cases(settings)
        assert not any(_watermarks(worker))
        assert worker.metric("returnwatch_clock_skew_seconds") > 3_000
        assert worker.logged("clock_skew")
        ahead.unlink()
        await case_state(settings, 1, OPEN)
        assert worker.metric("returnwatch_clock_skew_frozen") == 0
        assert worker.exit_code is None


async def test_a_broker_clock_that_jumps_an_hour_ahead_freezes_the_watermark_until_it_is_put_right(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    ahead = tmp_path / "ahead"
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan(broker_ahead_file=str(ahead))) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(1))
        await case_state(settings, 1, OPEN)
        ahead.touch()
        await until(lambda: worker.metric("returnwatch_clock_skew_frozen") == 1, "the clock is vetoed")
        stood = await _at_rest(
            worker
        )  # marks that were asked for before the jump are true, and may still land
        await send_events(settings, settings.labels_topics[0], label(2))
        await asyncio.sleep(5)
        assert _watermarks(worker) == stood
        assert len(await cases(settings)) == 1
        assert worker.get("/live")[0] == 200, "a restart would not put the clock right"
        ahead.unlink()
        await case_state(settings, 2, OPEN)
        assert worker.exit_code is None


async def test_new_partitions_of_an_input_are_waited_for_before_anything_passes_them(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    verdict = await _grown("", kafka, tmp_path)
    assert not verdict.violations, "\n".join(verdict.violations[:20])
    assert not verdict.missing, "\n".join(verdict.missing[:20])


async def test_a_worker_that_never_looks_for_new_partitions_would_pass_their_events(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    verdict = await _grown("frozen_roster", kafka, tmp_path)
    assert verdict.violations


async def _grown(mistake: Mistake, kafka: EmbeddedKafka, tmp_path: Path) -> Verdict:
    """Traffic on topics that get new partitions, which are written to from their first moment on."""
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    grown = (settings.labels_topics[0], settings.scans_topics[0])
    with workers(settings, tmp_path, Plan(mistake=mistake)) as (worker,):
        await worker.ready()
        traffic = Traffic(settings, 1, 20)
        traffic.plain("labels", grown[0], (0, 1))
        traffic.plain("scans", grown[1], (0, 1))
        await asyncio.sleep(3)
        async with admin_of(settings) as admin:
            await admin.create_partitions({topic: NewPartitions(total_count=4) for topic in grown})
        late = Traffic(settings, 2, 20)
        late.plain("labels", grown[0], (2, 3))
        late.plain("scans", grown[1], (2, 3))
        await asyncio.sleep(15)  # the consumer's own look for new partitions comes every 10 s
        await asyncio.gather(traffic.stop(), late.stop())
        end_s = time.time()
        await until(lambda: min(_watermarks(worker), default=0.0) > end_s, "W is past the last event")
        await asyncio.sleep(2 if mistake else 0)
        assert worker.exit_code is None
    return await check_installation(settings)
