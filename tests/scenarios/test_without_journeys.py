"""Journeys change nothing of what is decided: switched off, everything else is said as it was, byte for byte."""

from datetime import timedelta

from schemas.policy_loading import default_policy
from simulation.warehouse import policy_of_this_world
from simulation.world import World
from tests.scenarios.one_process import OneProcess


def test_the_same_cases_and_signals_are_told_with_journeys_and_without() -> None:
    world = World(4, returns=150)
    policy = policy_of_this_world(default_policy())
    told = []
    for journeys in (True, False):
        shop = OneProcess(policy.model_copy(update={"journeys": journeys}))
        shop.play(world.events, world.until_at, timedelta(hours=1))
        assert bool(shop.journeys) is journeys
        changes = sorted(
            (change.case_id, change.rule, change.state, change.due_at) for change in shop.observed
        )
        signals = sorted((one.signal_id, one.revision, one.effective_at, one.reason) for one in shop.signals)
        told.append((changes, signals))
    assert len(told[0][0]) > 50
    assert told[0] == told[1]
