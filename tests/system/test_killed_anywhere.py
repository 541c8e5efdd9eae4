"""Killed anywhere, nothing is lost: two workers, kill -9 again and again, one pause, and a broker that dies.

Meanwhile people tell what they do about the cases, and each of their commands is done once and answered.

A failure prints its seed: RETURNWATCH_TEST_SEED gives the run again; RETURNWATCH_TEST_RETURNS, _SECONDS and _KILLS
make it larger, and with RETURNWATCH_TEST_FEEDS=1 a carrier's feed is watched, too (`make chaos`).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from agents.embedded_kafka import EmbeddedKafka
from simulation.world import World
from tests.system.arena import Arena, Show
from tests.system.desk import VERBS, Desk
from tests.system.outcome import SHOWN

FEEDS = bool(os.environ.get("RETURNWATCH_TEST_FEEDS"))
"""A carrier's feed is watched, too. That takes longer: its rhythm has to be learned first."""
RETURNS = int(os.environ.get("RETURNWATCH_TEST_RETURNS", "2000"))
SECONDS = float(os.environ.get("RETURNWATCH_TEST_SECONDS", "280" if FEEDS else "200"))
SEED = int(os.environ.get("RETURNWATCH_TEST_SEED", str(random.randrange(10**6))))
KILLS = int(os.environ.get("RETURNWATCH_TEST_KILLS", "10"))
REQUEST_DAYS = 11.0 if FEEDS else 6.0
DAYS = 37.0 if FEEDS else 20.0
"""Every rule has had its say about most of the returns ten days after the last request. The rest is for what happens to the
carrier's feed, and for slow machines: what has been settled for long is decided however long the workers stood still."""
WORKERS = 2
PAUSE_SECONDS = 8.0
"""Past the session timeout of 6 s: the other worker takes over meanwhile."""
DOWN_SECONDS = 1.0
RECOVERY_SECONDS = 6.0
"""About how long a machine with nothing else to do needs until all watermarks go on. Nothing but the pace depends on
it: each trouble but some waits until the one before is over."""

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.kafka,
    pytest.mark.timeout(SECONDS + 60 * KILLS + 400),
]


class Trouble(NamedTuple):
    """One thing that goes wrong."""

    kind: str
    member: int
    gap_seconds: float
    """How long after the one before, or after the installation has recovered from it."""
    in_recovery: bool
    """Whether it does not wait for that."""


def plan_of(seed: int, kills: int, seconds: float) -> list[Trouble]:
    """A kill first and last, and in any order between them the others, one pause and one restart of the broker."""
    rnd = random.Random(seed)
    between = ["kill"] * (kills - 2) + ["pause", "broker"]
    rnd.shuffle(between)
    kinds = ["kill", *between, "kill"]
    # Some of the world is left after the last trouble, if the machine is not slow.
    pace_seconds = max(1.0, 0.85 * seconds / len(kinds) - RECOVERY_SECONDS)
    # One in four, and never two in a row: three troubles that meet would be one long outage, and "anywhere" is
    # wherever the workers are at work.
    meets = {first + rnd.randrange(1, 4) for first in range(0, len(kinds), 4)}
    plan = []
    for number, kind in enumerate(kinds):
        longest_seconds = RECOVERY_SECONDS if number in meets else 2 * pace_seconds
        plan.append(Trouble(kind, rnd.randrange(WORKERS), rnd.uniform(0, longest_seconds), number in meets))
    return plan


class Troubles:
    """Makes what was planned happen. The plan is the seed's; the pace is that of the machine."""

    def __init__(self, plan: Sequence[Trouble]) -> None:
        self._plan = plan
        self.happened: list[str] = []
        self.kills = 0

    async def __call__(self, arena: Arena) -> None:
        await arena.sleep_until(arena.show.starts_at)
        for trouble in self._plan:
            if not trouble.in_recovery:
                await arena.recovered()
            await asyncio.sleep(trouble.gap_seconds)
            await self._make(trouble, arena)

    async def _make(self, trouble: Trouble, arena: Arena) -> None:
        member = arena.members[trouble.member]
        began_at = arena.simulated_now()
        if trouble.kind == "pause":
            await arena.pause(member, PAUSE_SECONDS)
        elif trouble.kind == "broker":
            await arena.restart_broker(DOWN_SECONDS)
        else:
            arena.kill(member)
            self.kills += 1
        meets = " in recovery" if trouble.in_recovery else ""
        self.happened.append(f"{trouble.kind} w{trouble.member}{meets} at {began_at:%d %H:%M}")


async def test_whatever_is_killed_the_transitions_are_those_of_an_undisturbed_run(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    world = World(SEED, RETURNS, days=REQUEST_DAYS, feeds=FEEDS)
    arena = Arena(broker, tmp_path, Show.of(world, DAYS, SECONDS), workers=WORKERS)
    troubles = Troubles(plan_of(SEED, KILLS, SECONDS))
    desk = Desk()
    async with arena.running():
        await arena.play(troubles, desk.at_work)
        await arena.kpis_said()
    outcome = await arena.outcome()
    told = f"seed {SEED}, {RETURNS} returns at {arena.show.speed:.0f}x: {', '.join(troubles.happened)}; exits {arena.exits}"
    print(f"{told}\n{outcome.story()}\n{outcome.feed}\n{desk.story()}")  # noqa: T201 - shown with a failure, and by `make chaos`
    outcome.assert_true(told)
    assert not outcome.wrong_kpis, f"{told}\n{outcome.wrong_kpis[:SHOWN]}"
    assert len({one.verb for one in desk.told.values()}) > len(VERBS), f"{told}: no command of some kind"
    unanswered = await desk.problems(arena, outcome.escalations)
    assert not unanswered, f"{told}\n{unanswered[:SHOWN]}"
    assert troubles.kills >= KILLS
    assert not arena.unexpected_exits(troubles.kills), told
    assert (outcome.feed is not None) == FEEDS
    if outcome.feed is not None:
        # Marks tell of everything by its time, but for what was under way when a worker died.
        most_doubted = outcome.feed.sources * (len(troubles.happened) + len(arena.exits) + 1)
        assert outcome.feed.blurred <= most_doubted, f"{told}\n{outcome.feed}"
        assert outcome.feed.told >= outcome.feed.came - outcome.feed.came_in_blurred, (
            f"{told}\n{outcome.feed}"
        )
        assert outcome.feed.told <= 1.1 * outcome.feed.came, f"{told}\n{outcome.feed}"
    decided = len(outcome.expected) - outcome.undecided
    assert decided > RETURNS / 30, f"{told}\n{outcome.story()}: too little was decided to show anything"


def test_the_same_seed_plans_the_same_troubles_of_every_kind() -> None:
    for seed in range(100):
        plan = plan_of(seed, KILLS, SECONDS)
        assert plan == plan_of(seed, KILLS, SECONDS)
        kinds = [trouble.kind for trouble in plan]
        assert (kinds.count("kill"), kinds.count("pause"), kinds.count("broker")) == (KILLS, 1, 1)
        meets = [trouble.in_recovery for trouble in plan]
        assert {True, False} == set(meets)
        assert (True, True) not in pairwise(meets)
