"""A worker that was away for two days of the world's time opens no case that one that was always there would not have.

The same outage with a clock in place of the watermark opens cases for everything that happened meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agents.embedded_kafka import EmbeddedKafka
from schemas.vocabulary import CaseState
from simulation.explanations import EXPLAINED_BY
from simulation.oracle import expected
from simulation.terms import Terms
from simulation.world import World
from tests.system.arena import Arena, Show
from tests.system.outcome import Outcome

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.kafka]

SEED = int(os.environ.get("RETURNWATCH_TEST_SEED", str(random.randrange(10**6))))
RETURNS = 500
REQUEST_DAYS = 3.0
DAYS = 8.0
AWAY = (timedelta(days=4), timedelta(days=6))
"""Most parcels are delivered, and checked in within hours, in these two days."""
SECONDS = 60.0


async def run_with_outage(arena: Arena) -> None:
    starts_at = arena.show.starts_at

    async def outage(_arena: Arena) -> None:
        await arena.outage(starts_at + AWAY[0], starts_at + AWAY[1])

    async with arena.running():
        await arena.play(outage)


def never_opened_without_outage(arena: Arena, outcome: Outcome) -> set[tuple[str, str, str, datetime]]:
    """Cases that were opened, and that nobody would have opened who knew each record as it was appended.

    Nor any about a cause that this one would have told by a higher rule: what is read late settles late, and meanwhile the lower
    case is told, if it is one.
    """
    exact = expected(arena.ledger, Terms(arena.show.terms_policy), arena.until_at)
    known = {(case.rule, case.return_id, case.parcel) for case in exact}
    return {
        (change.rule, change.return_id, change.parcel, change.due_at)
        for change in outcome.escalations
        if change.state is CaseState.OPEN
        and change.due_at <= arena.until_at
        and known.isdisjoint(
            (rule, change.return_id, change.parcel)
            for rule in {change.rule, *EXPLAINED_BY.get(change.rule, ())}
        )
    }


async def test_an_outage_opens_no_case_that_an_uninterrupted_run_would_not_have_opened(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    world = World(SEED, RETURNS, days=REQUEST_DAYS)
    show = Show.of(world, DAYS, SECONDS)
    truthful = Arena(broker, tmp_path, show, name="log-time", alterations=["slow_warehouse"])
    mistaken = Arena(broker, tmp_path, show, name="wall-clock", alterations=["slow_warehouse", "wall_clock"])
    await asyncio.gather(run_with_outage(truthful), run_with_outage(mistaken))
    outcome, wrong_outcome = await truthful.outcome(), await mistaken.outcome()
    told = f"seed {SEED}: {outcome.story()}; exits {truthful.exits}"
    print(told, *truthful.last_words, sep="\n")  # noqa: T201 - shown with a failure
    assert outcome.standstill.longest >= AWAY[1] - AWAY[0], f"{told}: nobody was away"
    invented = never_opened_without_outage(truthful, outcome)
    assert not invented, f"{told}\n{sorted(invented)[:10]}"
    outcome.assert_true(told)
    mistakes = never_opened_without_outage(mistaken, wrong_outcome)
    assert len(mistakes) > RETURNS / 50, (
        f"{told}: with a clock for the watermark, {len(mistakes)} were invented"
    )
    assert not wrong_outcome.score.ok
