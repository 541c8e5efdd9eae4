"""Two readings of the same rules, one fast and one plain, must agree on timelines that nobody thought of."""

from datetime import timedelta

import pytest

from schemas.policy import Policy
from schemas.policy_loading import default_policy
from simulation.expect_journeys import expected_journeys, wrong_journeys
from simulation.oracle import expected
from simulation.player import undisturbed_ledger
from simulation.scoreboard import score
from simulation.terms import Terms
from simulation.warehouse import policy_of_this_world
from tests.property.random_timelines import END, random_timelines
from tests.scenarios.one_process import OneProcess

PERIOD = timedelta(hours=1)
STORM = {"carrier": "fedex", "reason": "storm", "source": "fedex.com"}
CLOSURES = [
    {**STORM, "from_at": "2026-03-20T07:00:00Z", "until_at": "2026-03-23T07:00:00Z"},
    {**STORM, "country": "CA", "from_at": "2026-03-22T00:00:00Z", "until_at": "2026-03-25T00:00:00Z"},
    {**STORM, "facility": "SDF1", "from_at": "2026-04-05T00:00:00Z", "until_at": "2026-04-06T12:00:00Z"},
]


@pytest.mark.parametrize("seed", range(8))
def test_engine_and_oracle_agree_on_random_timelines(seed: int) -> None:
    policy = policy_of_this_world(default_policy())
    if seed in {2, 5}:
        policy = Policy.model_validate({**policy.model_dump(mode="json"), "closures": CLOSURES})
    slow_road = timedelta(hours=24 * (seed % 2))
    leeway = slow_road + 2 * PERIOD
    events = random_timelines(seed, count=50)
    engine = OneProcess(policy, slow_road=slow_road)
    engine.play(events, END, PERIOD)
    cases = expected(undisturbed_ledger(events), Terms(policy), END, leeway)
    result = score(cases, engine.observed, bound=leeway, same_due=timedelta(minutes=1))
    assert result.problems == []
    assert result.ok
    journeys = expected_journeys(undisturbed_ledger(events), Terms(policy), END)
    assert wrong_journeys(journeys, cases, engine.journeys, END, signals=engine.signals) == []
    assert sum(case.opens is True for case in cases) > 40
