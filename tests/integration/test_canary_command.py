"""`returnwatch canary` beside a worker on a real broker: what it measures, and that nothing is left of it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TypeVar

import aiohttp
import pytest

from agents.demo_worker import WorkerProcess
from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_admin
from agents.settings import Settings
from agents.topics import prepare_topics
from schemas.canary import is_canary
from schemas.outputs import Case, decode_case
from schemas.vocabulary import CaseState, RuleId
from tests.chaos.installation import ONE_OF_EACH, installation, read_all

pytestmark = pytest.mark.kafka
T = TypeVar("T")
LIMIT_SECONDS = 120.0
ACTIVE = (CaseState.OPEN, CaseState.ESCALATED)


class Beside:
    """`returnwatch canary` as a process beside the worker."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._log = log
        command = [sys.executable, "-m", "agents", "canary", "--every", "2s", "--metrics-port", "0"]
        environment = {**os.environ, **settings.environment()}
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)

    async def address(self) -> str:
        return await until(lambda: found(r"(http://\S+/metrics)", self._log.read_text()), self._log.read_text)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""


async def until(asked: Callable[[], T], told: Callable[[], str]) -> T:
    end = monotonic() + LIMIT_SECONDS
    while not (answer := asked()):
        assert monotonic() < end, told()
        await asyncio.sleep(0.2)
    return answer


async def seen(session: aiohttp.ClientSession, url: str) -> float:
    async with session.get(url) as answer:
        return float(found(r"\nreturnwatch_canary_delay_seconds_count (\S+)", await answer.text()) or 0)


async def cases(settings: Settings) -> dict[str, Case]:
    """The newest of each case."""
    logs = await read_all(settings, [settings.topics.cases])
    told = [decode_case(record.value) for log in logs.values() for record in log if record.value]
    return {case.case_id: case for case in sorted(told, key=lambda case: case.revision)}


async def test_a_canary_measures_the_delay_and_leaves_no_case_open(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH, metrics_port=0, data_dir=tmp_path)
    async with open_admin(settings) as admin:
        await prepare_topics(admin, settings, inputs=True)
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    worker.start()
    canary = Beside(settings, tmp_path / "canary.log")
    try:
        url = await canary.address()
        async with aiohttp.ClientSession() as session:
            end = monotonic() + LIMIT_SECONDS
            while await seen(session, url) < 2:
                assert monotonic() < end, worker.last_lines()
                await asyncio.sleep(0.2)
        # A case that a killed one leaves open is closed by the next, and one that stops in order leaves none.
        canary.process.kill()
        canary.process.wait()
        canary = Beside(settings, tmp_path / "canary-2.log")
        await canary.address()
        assert canary.stop() == 0
        end = monotonic() + LIMIT_SECONDS
        while open_ones := [one for one in (await cases(settings)).values() if one.state in ACTIVE]:
            assert monotonic() < end, open_ones
            await asyncio.sleep(0.5)
    finally:
        canary.process.kill()
        canary.process.wait()
        worker.stop()
    told = (await cases(settings)).values()
    assert len(told) >= 2
    assert {(case.rule, case.state) for case in told} == {(RuleId.LATE_LABEL, CaseState.RESOLVED)}
    assert all(is_canary(case.return_id) for case in told)
