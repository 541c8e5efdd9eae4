"""Two readings of when money may be paid, one fast and one plain, must say the same, to the amount and the reason."""

from datetime import timedelta
from typing import Any

import pytest

from schemas.policy import Policy
from schemas.policy_loading import default_policy
from schemas.vocabulary import SignalReason
from simulation.expect_signals import expected_signals
from simulation.judge_signals import wrong_signals
from simulation.player import undisturbed_ledger
from simulation.terms import Terms
from simulation.warehouse import policy_of_this_world
from tests.property.money_timelines import OURS, money_timelines
from tests.property.random_timelines import BEGIN
from tests.scenarios.one_process import OneProcess

PERIOD = timedelta(minutes=30)
END = BEGIN + timedelta(days=40)
BY_CATEGORY = [
    {"tier": "shoes", "release_at": "first_scan", "categories": ["shoes"]},
    {"tier": "shoes_at_the_door", "release_at": "delivered", "categories": ["shoes"]},
    {"tier": "books", "release_at": "delivered", "categories": ["books"], "max_value": {"USD": 300}},
    {"tier": "any", "release_at": "inspected"},
]


def policy(**changes: Any) -> Policy:
    numbers = policy_of_this_world(default_policy()).model_dump(mode="json")
    numbers["facilities"]["SDF1"]["places"] = [OURS]
    return Policy.model_validate({**numbers, **changes})


@pytest.mark.parametrize("seed", range(4))
def test_engine_and_oracle_release_and_revoke_the_same(seed: int) -> None:
    numbers = policy(refund_tiers=BY_CATEGORY) if seed in {1, 2} else policy()
    slow_road = timedelta(hours=24 * (seed % 2))
    leeway = slow_road + 2 * PERIOD
    events = money_timelines(seed, count=60)
    engine = OneProcess(numbers, slow_road=slow_road)
    engine.play(events, END, PERIOD)
    expected = expected_signals(undisturbed_ledger(events), Terms(numbers), END, leeway)
    assert wrong_signals(expected, engine.signals, leeway) == []
    assert len(engine.signals) >= 20
    assert {SignalReason.REQUEST_AMENDED, SignalReason.CONTENT_MISMATCH} <= {
        one.reason for one in engine.signals
    }
