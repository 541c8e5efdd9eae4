"""A replay of `parcels` and `returns` says again what real workers said, byte for byte, also when one was killed."""

from __future__ import annotations

import asyncio
import os
import random
import re
from datetime import timedelta
from pathlib import Path

import pytest

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_producer
from simulation.world import World
from tests.command_line import Answer, returnwatch
from tests.system.arena import Arena, Show

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.kafka]

SEED = int(os.environ.get("RETURNWATCH_TEST_SEED", str(random.randrange(10**6))))
RETURNS = 120
REQUEST_DAYS = 3.0
DAYS = 14.0
SECONDS = 30.0


def test_the_log_says_what_the_workers_said(broker: EmbeddedKafka, tmp_path: Path) -> None:
    world = World(SEED, RETURNS, days=REQUEST_DAYS)
    show = Show.of(world, DAYS, SECONDS)
    arena = Arena(broker, tmp_path, show, workers=2)
    asyncio.run(run(arena))
    answer = replayed(arena)
    assert answer.code == 0, f"seed {SEED}: {answer.out}{answer.err}"
    same = {name: counts[0] for name, counts in table(answer).items()}
    assert min(same[name] for name in ("reports", "escalations", "cases", "journeys")) > RETURNS // 4
    assert same["refund-signals"]
    assert same["kpis"]
    assert all(not any(counts[3:]) for counts in table(answer).values())
    asyncio.run(forge(arena))
    forged = replayed(arena)
    assert forged.code == 1
    assert table(forged)["escalations"][3:] == [0, 1]
    assert "the replay does not say this of R-forged" in forged.err


async def run(arena: Arena) -> None:
    async def kill_one(arena: Arena) -> None:
        await arena.sleep_until(arena.show.starts_at + timedelta(days=DAYS / 2))
        arena.kill(arena.members[0])

    async with arena.running():
        await arena.play(kill_one)


async def forge(arena: Arena) -> None:
    async with open_producer(arena.settings) as producer:
        await producer.send_and_wait(arena.settings.topics.escalations, b"{}", key=b"R-forged", partition=0)


def replayed(arena: Arena) -> Answer:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in arena.settings.environment().items():
            patch.setenv(name, value)
        return returnwatch("replay", "--log")


def table(answer: Answer) -> dict[str, list[int]]:
    """Kind of message -> counts: same, said again, gone since, missing, different."""
    rows = [re.split(r"\s{2,}|\s(?=[-\d])", line.strip()) for line in answer.out.splitlines()]
    return {
        row[0]: [0 if cell == "-" else int(cell.replace(",", "")) for cell in row[1:]]
        for row in rows
        if len(row) == 6 and (row[1] == "-" or row[1][0].isdigit())
    }
