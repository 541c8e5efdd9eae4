"""What real workers wrote is explained as they said it: every case of a simulated world, by its own events and deadline."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from agents.embedded_kafka import EmbeddedKafka
from schemas.explanations import Explanation, decode_explanation
from schemas.outputs import Escalation
from simulation.world import World
from tests.command_line import returnwatch
from tests.explaining import explains
from tests.system.arena import Arena, Show
from tests.system.outcome import Outcome

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.kafka]

SEED = int(os.environ.get("RETURNWATCH_TEST_SEED", str(random.randrange(10**6))))
RETURNS = 120
REQUEST_DAYS = 3.0
DAYS = 14.0
SECONDS = 30.0
MOST_EXPLAINED = 40


def test_every_case_of_two_workers_is_explained(broker: EmbeddedKafka, tmp_path: Path) -> None:
    world = World(SEED, RETURNS, days=REQUEST_DAYS)
    show = Show.of(world, DAYS, SECONDS)
    arena = Arena(broker, tmp_path, show, workers=2)
    outcome = asyncio.run(run(arena))
    newest: dict[str, Escalation] = {}
    for change in sorted(outcome.escalations, key=lambda change: change.revision):
        newest[change.case_id] = change
    names = sorted({case.return_id for case in newest.values() if case.return_id})[:MOST_EXPLAINED]
    assert len(names) > MOST_EXPLAINED // 2, f"seed {SEED}"
    for name in names:
        told = explained(arena, name)
        waits = {wait.case.case_id: wait for wait in told.waits if wait.case is not None}
        for case in newest.values():
            if case.return_id == name:
                assert case.case_id in waits, f"seed {SEED}: {case}"
                explains(waits[case.case_id], case)
        sources = {fact.source for fact in told.timeline}
        assert all(set(wait.evidence) <= sources for wait in told.waits)


async def run(arena: Arena) -> Outcome:
    async with arena.running():
        await arena.play()
    return await arena.outcome()


def explained(arena: Arena, name: str) -> Explanation:
    settings = arena.settings
    own = ("-b", settings.bootstrap_servers[0], "--app-id", settings.app_id)
    answer = returnwatch("explain", name, "--json", "--topic-prefix", settings.topic_prefix, *own)
    assert answer.code == 0, answer.err
    return decode_explanation(answer.out)
