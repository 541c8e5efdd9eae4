"""Killed anywhere, nothing is lost: two workers, kill -9 again and again, one pause, and a broker that dies.

A failure prints its seed: RETURNWATCH_TEST_SEED gives the run again; RETURNWATCH_TEST_RETURNS, _SECONDS and _KILLS
make it larger (`make chaos`).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agents.embedded_kafka import EmbeddedKafka, EmbeddedKafkaUnavailable
from simulation.world import World
from tests.system.arena import Arena, Show, append_time_broker

RETURNS = int(os.environ.get("RETURNWATCH_TEST_RETURNS", "3000"))
SECONDS = float(os.environ.get("RETURNWATCH_TEST_SECONDS", "160"))
SEED = int(os.environ.get("RETURNWATCH_TEST_SEED", str(random.randrange(10**6))))
KILLS = int(os.environ.get("RETURNWATCH_TEST_KILLS", "10"))
REQUEST_DAYS = 4.0
DAYS = 14.0
"""Requests come within four days; ten days later every rule has had its say about most of them."""
PAUSE_SECONDS = 8.0
"""Past the session timeout of 6 s: the other worker takes over meanwhile."""

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(SECONDS + 400)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    kafka = append_time_broker(tmp_path / "kafka")
    try:
        kafka.start()
    except EmbeddedKafkaUnavailable as error:
        pytest.skip(str(error))
    yield kafka
    kafka.stop()


class Troubles:
    """What goes wrong, in an order and at moments that the seed decides."""

    def __init__(self, seed: int) -> None:
        self._rnd = random.Random(seed)
        self.happened: list[str] = []
        self.kills = 0

    async def __call__(self, arena: Arena) -> None:
        await arena.sleep_until(arena.show.starts_at)
        kinds = ["kill"] * (KILLS - 2) + ["pause", "broker"]
        self._rnd.shuffle(kinds)
        # Some of the world must have happened before the first, and some be left after the last.
        gap = 0.9 * SECONDS / len(kinds) - 2
        for kind in ["kill", *kinds, "kill"]:
            await asyncio.sleep(self._rnd.uniform(0.5, 1.2) * gap)
            await self._make(kind, arena)

    async def _make(self, kind: str, arena: Arena) -> None:
        member = self._rnd.choice(arena.members)
        if kind == "pause":
            await arena.pause(member, PAUSE_SECONDS)
        elif kind == "broker":
            await arena.restart_broker(self._rnd.uniform(0.5, 2.0))
        else:
            arena.kill(member)
            self.kills += 1
        self.happened.append(f"{kind} {member.log_file.parent.name[-2:]} at {arena.simulated_now():%d %H:%M}")


async def test_whatever_is_killed_the_transitions_are_those_of_an_undisturbed_run(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    world = World(SEED, RETURNS, days=REQUEST_DAYS)
    until_at = world.start_at + timedelta(days=DAYS)
    events = [event for event in world.events if event.appears_at < until_at]
    speed = timedelta(days=DAYS).total_seconds() / SECONDS
    arena = Arena(broker, tmp_path, Show(events, world.start_at, until_at, speed), workers=2)
    troubles = Troubles(SEED)
    async with arena.running():
        await arena.play(troubles)
    outcome = await arena.outcome()
    told = (
        f"seed {SEED}, {RETURNS} returns at {speed:.0f}x: {', '.join(troubles.happened)}; exits {arena.exits}"
    )
    print(f"{told}\n{outcome.story()}")  # noqa: T201 - shown with a failure, and by `make chaos`
    outcome.assert_true(told)
    assert troubles.kills >= KILLS
    assert not arena.unexpected_exits(troubles.kills), told
    assert len(outcome.expected) > RETURNS / 10, f"{told}: too few cases to show anything"
    assert outcome.undecided < len(outcome.expected) / 2, f"{told}: stood still for too long to show anything"
