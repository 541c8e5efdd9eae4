"""No event is ever passed by a watermark, whatever happens to workers, brokers and producers; and the check that says
so finds the mistakes that a careful person could make.

A failure prints its seed; RETURNWATCH_TEST_SEED gives it again, RETURNWATCH_TEST_CHAOS_SECONDS makes the run longer
(`make chaos SECS=600`).
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from agents.embedded_kafka import EmbeddedKafka
from agents.engine import EXIT_FENCED
from agents.settings import Settings
from tests.chaos.installation import admin_of, create_inputs, installation
from tests.chaos.plan import Mistake, Plan
from tests.chaos.processes import PATIENCE_S, WorkerProcess, workers
from tests.chaos.traffic import Traffic
from tests.chaos.watermark_check import Verdict, check_installation

pytestmark = [pytest.mark.system, pytest.mark.slow]

SECONDS = float(os.environ.get("RETURNWATCH_TEST_CHAOS_SECONDS", "45"))
ROUNDS = 6
SEED = int(os.environ.get("RETURNWATCH_TEST_SEED", str(random.randrange(10**6))))
INPUTS: Mapping[str, tuple[str, ...]] = {
    "orders": ("orders",),
    "labels": ("labels",),
    "scans": ("scans", "scans-tx"),
    "warehouse": ("dock",),
}
PARTITIONS = {"orders": 4, "scans": 3}


def start_traffic(settings: Settings, seed: int, events_per_second: float) -> Traffic:
    """Plain and transactional producers; two partitions of `orders` are never written to."""
    traffic = Traffic(settings, seed, events_per_second)
    prefix = settings.topic_prefix
    traffic.plain("orders", f"{prefix}orders", (0, 1))
    traffic.plain("scans", f"{prefix}scans", (0, 1, 2))
    traffic.plain("warehouse", f"{prefix}dock", (0, 1))
    traffic.transactional("labels", f"{prefix}labels", (0, 1))
    traffic.transactional("scans", f"{prefix}scans-tx", (0, 1))
    return traffic


def watermark_s(started: Sequence[WorkerProcess]) -> float:
    """The least watermark of all partitions, by the workers' metrics; 0 while not every partition has an owner."""
    every: dict[tuple[str, str], float] = {}
    for worker in started:
        for labels, seconds in worker.series("returnwatch_watermark_timestamp_seconds"):
            where = (labels["stage"], labels["partition"])
            every[where] = max(seconds, every.get(where, 0.0))
    settings = started[0].settings
    expected = settings.parcels_partitions + settings.returns_partitions
    return min(every.values()) if len(every) == expected else 0.0


async def passed(started: Sequence[WorkerProcess], moment_s: float) -> None:
    """Wait until every watermark is past a moment."""
    deadline = time.monotonic() + PATIENCE_S
    while (reached := await asyncio.to_thread(watermark_s, started)) <= moment_s:
        assert time.monotonic() < deadline, f"W stands {moment_s - reached:.1f} s before the last event"
        await asyncio.sleep(0.5)


class Chaos:
    """What goes wrong during a run."""

    def __init__(
        self, started: list[WorkerProcess], broker: EmbeddedKafka, settings: Settings, seed: int
    ) -> None:
        self._workers = started
        self._broker = broker
        self._settings = settings
        self._rnd = random.Random(seed)
        self.exits: list[int] = []
        self.happened: list[str] = []

    async def run(self, seconds: float) -> None:
        """One trouble after the other, each kind at least once."""
        troubles = [self.kill, self.pause, self.restart_broker, self.kill]
        self._rnd.shuffle(troubles)
        end = time.monotonic() + seconds
        while time.monotonic() < end or troubles:
            await asyncio.sleep(self._rnd.uniform(2, 5))
            trouble = troubles.pop() if troubles else self._rnd.choice((self.kill, self.pause, self.kill))
            if time.monotonic() > end + seconds:
                break
            self.happened.append(trouble.__name__)
            await trouble(self._rnd.choice(self._workers))
            self.mend()

    def mend(self) -> None:
        """Restart what has ended, as a supervisor would."""
        for worker in self._workers:
            if worker.exit_code is not None:
                self.exits.append(worker.exit_code)
                worker.start()

    async def kill(self, worker: WorkerProcess) -> None:
        worker.kill()
        await asyncio.sleep(self._rnd.uniform(0, 8))
        worker.start()

    async def pause(self, worker: WorkerProcess) -> None:
        """Past the session timeout of 6 s."""
        worker.pause()
        await asyncio.sleep(self._rnd.uniform(7, 10))
        worker.resume()

    async def restart_broker(self, _worker: WorkerProcess) -> None:
        self._broker.kill()
        await asyncio.sleep(self._rnd.uniform(1, 4))
        await asyncio.to_thread(self._broker.start)

    async def trim(self) -> None:
        """Delete records of one partition now and then, read or not, until cancelled."""
        while True:
            await asyncio.sleep(self._rnd.uniform(1, 4))
            with suppress(KafkaError, OSError, asyncio.TimeoutError):
                async with admin_of(self._settings) as admin:
                    await self._trim_once(admin)

    async def _trim_once(self, admin: AIOKafkaAdminClient) -> None:
        await admin.delete_records({trimmed_of(self._settings): RecordsToDelete(before_offset=-1)})


def trimmed_of(settings: Settings) -> TopicPartition:
    """The partition whose records are deleted now and then."""
    return TopicPartition(f"{settings.topic_prefix}dock", 0)


@pytest.mark.timeout(2 * SECONDS + 600)
async def test_no_event_is_passed_by_a_watermark_whatever_goes_wrong(
    own_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(own_kafka.bootstrap_servers, tmp_path, INPUTS)
    await create_inputs(settings, PARTITIONS)
    plans = [
        Plan(seed=SEED + number, longest_delay_s=0.15, longest_marker_delay_s=0.15) for number in range(2)
    ]
    with workers(settings, tmp_path, *plans) as started:
        traffic = start_traffic(settings, SEED, 25)
        chaos = Chaos(started, own_kafka, settings, SEED)
        trimming = asyncio.create_task(chaos.trim())
        await chaos.run(SECONDS)
        trimming.cancel()
        await traffic.stop()
        end_s = time.time()
        supervising = asyncio.create_task(supervise(chaos))
        await passed(started, end_s)
        supervising.cancel()
        for worker in started:
            worker.kill()
    verdict = await check_installation(settings, {trimmed_of(settings)})
    story = f"seed {SEED}: {', '.join(chaos.happened)}; exits {chaos.exits}; {verdict}"
    print(story)  # noqa: T201 - shown with the failure, and by `make chaos`
    assert not verdict.violations, f"{story}\n" + "\n".join(verdict.violations[:20])
    assert not verdict.wrong_positions, f"{story}\n" + "\n".join(verdict.wrong_positions[:20])
    assert not verdict.missing, f"{story}\n" + "\n".join(verdict.missing[:20])
    assert set(chaos.exits) <= {EXIT_FENCED}, story
    assert verdict.events > 500, f"{story}: too few events to show anything"


async def supervise(chaos: Chaos) -> None:
    """Restart what ends, until cancelled."""
    while True:
        chaos.mend()
        await asyncio.sleep(0.5)


@pytest.mark.parametrize(
    "mistake",
    ["cached_high_watermark", "fetch_position", "last_stable_offset", "ends_before_heartbeat"],
)
@pytest.mark.timeout(900)
async def test_a_planted_mistake_is_found_by_the_same_check(
    kafka: EmbeddedKafka, tmp_path: Path, mistake: Mistake
) -> None:
    verdicts = []
    for number in range(ROUNDS):  # how many markers fit into a round depends on the machine
        verdicts.append(await run_with(mistake, kafka, tmp_path / str(number), seconds=12))
        if verdicts[-1].violations:
            return
    pytest.fail(f"seed {SEED}: {mistake} was not found: {verdicts}")


async def test_the_same_run_without_a_mistake_is_clean(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    verdict = await run_with("", kafka, tmp_path, seconds=12)
    assert not verdict.violations, f"seed {SEED}: {verdict}\n" + "\n".join(verdict.violations[:20])
    assert not verdict.wrong_positions, f"seed {SEED}: " + "\n".join(verdict.wrong_positions[:20])
    assert not verdict.missing, f"seed {SEED}: " + "\n".join(verdict.missing[:20])


async def run_with(mistake: Mistake, kafka: EmbeddedKafka, tmp_path: Path, *, seconds: float) -> Verdict:
    """One worker, slow steps, much traffic, and nothing else that goes wrong."""
    settings = installation(kafka.bootstrap_servers, tmp_path, INPUTS)
    await create_inputs(settings, PARTITIONS)
    plan = Plan(seed=SEED, longest_delay_s=0.6, longest_marker_delay_s=0.05, mistake=mistake)
    with workers(settings, tmp_path, plan) as started:
        await started[0].ready()
        traffic = start_traffic(settings, SEED, 40)
        await asyncio.sleep(seconds)
        await traffic.stop()
        if not mistake:
            await passed(started, time.time())
        started[0].kill()
    verdict = await check_installation(settings)
    print(f"seed {SEED}, {mistake or 'no mistake'}: {verdict}")  # noqa: T201 - read by who runs it with -s
    return verdict
