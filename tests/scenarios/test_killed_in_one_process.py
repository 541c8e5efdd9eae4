"""A month with a feed that is watched, and workers that are killed all the time: the cases are those of an undisturbed run."""

import os
import random
from datetime import timedelta

from schemas.policy import FEED_RULES
from schemas.policy_loading import default_policy
from simulation.expect_feeds import expected_of_feeds
from simulation.feed_sight import Sight
from simulation.feed_story import feeds_for_policy
from simulation.holds import holds
from simulation.oracle import expected
from simulation.player import undisturbed_ledger
from simulation.scoreboard import score
from simulation.terms import Terms
from simulation.warehouse import policy_of_this_world
from simulation.world import World
from tests.scenarios.killed_process import KilledProcess

SEED = int(os.environ.get("RETURNWATCH_TEST_SEED", str(random.randrange(10**6))))
PERIOD = timedelta(hours=1)


def test_feeds_and_what_they_hold_are_told_as_if_nobody_had_been_killed() -> None:
    world = World(SEED, returns=100, feeds=True)
    policy = policy_of_this_world(default_policy(), feeds_for_policy())
    process = KilledProcess(policy, SEED)
    process.play(world.events, world.until_at, PERIOD)
    assert world.feed is not None
    terms, sight, leeway = Terms(policy), Sight(world.feed), 2 * PERIOD
    cases = [
        *expected(undisturbed_ledger(world.events), terms, world.until_at, leeway, holds(sight, terms)),
        *expected_of_feeds(sight, terms, world.until_at),
    ]
    told = f"seed {SEED}: {process.killed.kills} kills, {process.killed.repeats} repeats"
    result = score(cases, process.observed, bound=leeway)
    assert result.problems == [], told
    assert result.ok, told
    assert {rule for rule in FEED_RULES if result.rules[rule].expected == 1} == FEED_RULES, told
    assert sum(case.delayed is True for case in cases) >= 3, told
    assert process.killed.kills > 30, told
    assert process.killed.repeats > 0, told
