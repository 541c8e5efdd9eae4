"""Each mistake that would make Returnwatch wrong makes `returnwatch demo --once` fail; without it the same hardship is
borne. RETURNWATCH_TEST_MISTAKES=all tries the hardship, and those that other tests find, too (`make chaos`).

A demo that says that nothing could be decided is played again, slower: that is no verdict, and what holds a worker up
is the machine. Any other verdict counts as it is. RETURNWATCH_TEST_SEED gives a run again.
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

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(1800)]

SEED = int(os.environ.get("RETURNWATCH_TEST_SEED", str(random.randrange(10**6))))
AT_ONCE = 2
"""Demos that run side by side: each is idle for most of its time."""
MINUTES = (0.9, 2.0, 5.0)
"""How long the world takes, and how long when nothing could be decided."""
UNDECIDED = "nothing could be decided"
HELD_UP = "was held up"
"""The comparison then allows for much, and a mistake may pass: only a slower demo can tell."""
HARDSHIP = "slow_warehouse,dies_before_it_speaks"
"""Changes nothing."""
WRONG: tuple[str, ...] = ("markers_dropped",)
SEEN_ELSEWHERE_TOO = (
    "dies_before_it_speaks,outbox_not_repeated",
    "slow_warehouse,wall_clock",
    "slow_warehouse,source_ignored",
    "announced_is_a_scan",
)
"""tests/chaos/test_outbox.py shows what the first does, test_outage.py the second, and tests without a broker fail of the
others; a demo of each is for `make chaos`.
"""
ALL = os.environ.get("RETURNWATCH_TEST_MISTAKES") == "all"
if ALL:
    WRONG += SEEN_ELSEWHERE_TOO


class Ended(NamedTuple):
    code: int
    out: str

    @property
    def said(self) -> str:
        """Its output without the breaks of the lines."""
        return " ".join(self.out.split())


def demo(alterations: str) -> Ended:
    """The first demo that decided something, or else the last."""
    quickest, *slower = MINUTES
    ended = demo_of(quickest, alterations)
    wanted = 0 if alterations == HARDSHIP else 1
    while slower and (UNDECIDED in ended.said or (HELD_UP in ended.said and ended.code != wanted)):
        ended = demo_of(slower.pop(0), alterations)
    return ended


def demo_of(minutes: float, alterations: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.altered_demo", alterations, str(SEED), str(minutes)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60 * minutes + 480,
        check=False,
    )
    told = f"seed {SEED}, {minutes} minutes, {alterations}: exit code {done.returncode}"
    return Ended(done.returncode, f"{told}\n{done.stdout}")


@pytest.fixture(scope="module")
def demos() -> dict[str, Future[Ended]]:
    """All of them, started together; the first test waits for the most."""
    try:
        prepare_quick_start()
    except EmbeddedKafkaUnavailable as error:
        pytest.skip(str(error))
    pool = ThreadPoolExecutor(AT_ONCE)
    started = {
        alterations: pool.submit(demo, alterations) for alterations in (*([HARDSHIP] if ALL else []), *WRONG)
    }
    pool.shutdown(wait=False)
    return started


@pytest.mark.parametrize("mistake", WRONG)
def test_the_demo_fails_with(mistake: str, demos: dict[str, Future[Ended]]) -> None:
    ended = demos[mistake].result()
    assert ended.code == 1, ended.out
    told = "does not move" if mistake == "markers_dropped" else "NOT as it should be"
    assert told in ended.said, f"it must fail for what it found\n{ended.out}"
    assert UNDECIDED not in ended.said, f"an undecided comparison finds no mistake\n{ended.out}"


if ALL:

    def test_the_demo_finds_the_truth_though_the_worker_is_slow_and_dies(
        demos: dict[str, Future[Ended]],
    ) -> None:
        ended = demos[HARDSHIP].result()
        assert ended.code == 0, ended.out
        assert "nothing missed, false, early or late" in ended.said
        assert "the worker was started 3 times" in ended.said, f"it dies twice\n{ended.out}"
