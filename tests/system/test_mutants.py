"""Each mistake that would make Returnwatch wrong makes `returnwatch demo --once` fail; without it the same hardship is
borne.

RETURNWATCH_TEST_SEED gives a run again.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import pytest

from agents.embedded_kafka import EmbeddedKafkaUnavailable, prepare_quick_start
from tests.chaos.processes import ROOT

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(400)]

SEED = int(os.environ.get("RETURNWATCH_TEST_SEED", str(random.randrange(10**6))))
AT_ONCE = 2
"""Demos that run side by side: each is idle for most of its time."""
HARDSHIP = "slow_warehouse,dies_before_it_speaks"
"""Changes nothing."""
WRONG = (
    "slow_warehouse,wall_clock",
    "slow_warehouse,source_ignored",
    "announced_is_a_scan",
    "dies_before_it_speaks,outbox_not_repeated",
    "markers_dropped",
)


class Ended(NamedTuple):
    code: int
    out: str


def demo(alterations: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.altered_demo", alterations, str(SEED)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return Ended(done.returncode, f"seed {SEED}, {alterations}: exit code {done.returncode}\n{done.stdout}")


@pytest.fixture(scope="module")
def demos() -> dict[str, Future[Ended]]:
    """All of them, started together; the first test waits for the most."""
    try:
        prepare_quick_start()
    except EmbeddedKafkaUnavailable as error:
        pytest.skip(str(error))
    pool = ThreadPoolExecutor(AT_ONCE)
    started = {alterations: pool.submit(demo, alterations) for alterations in (HARDSHIP, *WRONG)}
    pool.shutdown(wait=False)
    return started


def test_the_demo_finds_the_truth_though_the_worker_is_slow_and_dies(demos: dict[str, Future[Ended]]) -> None:
    ended = demos[HARDSHIP].result()
    assert ended.code == 0, ended.out
    assert "nothing missed, false, early or late" in ended.out


@pytest.mark.parametrize("mistake", WRONG)
def test_the_demo_fails_with(mistake: str, demos: dict[str, Future[Ended]]) -> None:
    ended = demos[mistake].result()
    assert ended.code == 1, ended.out
    told = "does not move" if mistake == "markers_dropped" else "NOT as it should be"
    assert told in ended.out, "it must fail for what it found"
