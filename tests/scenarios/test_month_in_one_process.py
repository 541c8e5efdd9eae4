"""A month of a shop's returns through intake and both stages, judged by the oracle. No Kafka, so it is quick."""

from collections import Counter
from datetime import timedelta

import pytest

from schemas.policy_loading import default_policy
from simulation.oracle import expected
from simulation.player import undisturbed_ledger
from simulation.scoreboard import Score, score
from simulation.terms import Terms
from simulation.warehouse import policy_of_this_world
from simulation.world import World
from tests.scenarios.one_process import OneProcess

PERIOD = timedelta(hours=1)


def judged(world: World, played: OneProcess, tolerance: timedelta) -> Score:
    terms = Terms(policy_of_this_world(default_policy()))
    cases = expected(undisturbed_ledger(world.events), terms, world.until_at, tolerance)
    return score(cases, played.observed, bound=tolerance)


@pytest.mark.parametrize(("seed", "slow_road"), [(1, False), (2, True)])
def test_everything_that_went_wrong_is_found_and_nothing_else(seed: int, slow_road: bool) -> None:
    world = World(seed, returns=800)
    played = OneProcess(policy_of_this_world(default_policy()), slow_road=slow_road)
    played.play(world.events, world.until_at, PERIOD)
    result = judged(world, played, tolerance=2 * PERIOD)
    assert result.problems == []
    assert result.ok
    assert all(
        counts.expected > 20 for counts in result.rules.values() if counts.rule != "stalled_no_progress"
    )
    assert Counter(played.refused) == world.dead_letters
