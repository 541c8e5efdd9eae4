"""A month of a shop's returns through intake and both stages, judged by the oracle. No Kafka, so it is quick."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.kpis import BOUNDS_SECONDS, Count, Leg
from schemas.outputs import RefundAction
from schemas.policy import FEED_RULES, Policy
from schemas.policy_loading import default_policy
from schemas.vocabulary import RuleId
from simulation.expect_feeds import expected_of_feeds
from simulation.expect_journeys import expected_journeys, wrong_journeys
from simulation.expect_kpis import add_cases, expected_kpis, wrong_kpis
from simulation.expect_signals import expected_signals
from simulation.feed_sight import Sight
from simulation.feed_story import feeds_for_policy
from simulation.holds import holds
from simulation.judge_signals import wrong_signals
from simulation.ledger import LedgerEvent
from simulation.oracle import expected
from simulation.player import undisturbed_ledger
from simulation.scoreboard import score
from simulation.terms import Terms
from simulation.warehouse import policy_of_this_world
from simulation.world import World
from tests.scenarios.one_process import OneProcess

PERIOD = timedelta(hours=1)
OVERRIDES: dict[str, list[dict[str, Any]]] = {
    "missing_first_scan": [{"service": "returns", "budget": "60h"}, {"carrier": "ups", "budget": "80h"}],
    "late_inspection": [{"value_from": {"EUR": 150, "USD": 150}, "budget": "36h"}],
    "refunded_not_returned": [
        {"value_from": {"EUR": 100}, "budget": "20d"},
        {"lane": "US-US", "budget": "25d"},
    ],
    "late_refund": [{"facility": "LIL1", "value_below": {"EUR": 50}, "budget": "2 business days"}],
}

AT_LEAST = {rule: 1 if rule in FEED_RULES else 3 for rule in RuleId}
"""Cases that have to be expected for a comparison to say something."""


def overridden(policy: Policy) -> Policy:
    numbers = policy.model_dump(mode="json")
    for rule, overrides in OVERRIDES.items():
        numbers["rules"][rule]["overrides"] = overrides
    return Policy.model_validate(numbers)


@pytest.mark.parametrize(("seed", "slow_road"), [(1, timedelta(0)), (2, timedelta(hours=24))])
def test_everything_that_went_wrong_is_found_and_nothing_else(seed: int, slow_road: timedelta) -> None:
    world = World(seed, returns=800, feeds=True)
    policy = policy_of_this_world(default_policy(), feeds_for_policy())
    if seed == 2:
        policy = overridden(policy)
    engine = OneProcess(policy, slow_road=slow_road)
    engine.play(world.events, world.until_at, PERIOD)
    # A slow road to the returns holds their watermark, so they learn from reports what comes after a deadline.
    leeway = slow_road + 2 * PERIOD
    ledger = list(undisturbed_ledger(world.events))
    assert world.feed is not None
    terms, sight = Terms(policy), Sight(world.feed)
    cases = [
        *expected(ledger, terms, world.until_at, leeway, holds(sight, terms)),
        *expected_of_feeds(sight, terms, world.until_at),
    ]
    result = score(cases, engine.observed, bound=leeway)
    assert result.problems == []
    assert result.ok
    assert not [counts.rule for counts in result.rules.values() if counts.expected < AT_LEAST[counts.rule]]
    assert sum(case.delayed is True for case in cases) >= 5
    assert sum(count for (name, _), count in engine.engine.counts().items() if name == "held_explained") >= 3
    journeys = expected_journeys(undisturbed_ledger(world.events), Terms(policy), world.until_at)
    assert len(journeys) >= 800
    assert wrong_journeys(journeys, cases, engine.journeys, world.until_at, signals=engine.signals) == []
    assert Counter(engine.refused) == world.dead_letters
    signals = expected_signals(ledger, Terms(policy), world.until_at, leeway)
    assert wrong_signals(signals, engine.signals, leeway) == []
    assert sum(signal.action is RefundAction.REVOKE for signal in engine.signals) >= 10
    assert len({signal.tier for signal in engine.signals}) == len(policy.refund_tiers)
    assert_kpis_add_up(engine, ledger, Terms(policy), world.until_at)


def assert_kpis_add_up(
    engine: OneProcess, ledger: Sequence[LedgerEvent], terms: Terms, until_at: datetime
) -> None:
    """The snapshots of all partitions together are what a plain count gives, to the last second of every leg."""
    end_at = engine.finish_kpis(until_at)
    wanted = expected_kpis(ledger, terms, end_at)
    add_cases(wanted, ledger, terms, end_at, engine.changes)
    assert wrong_kpis(engine.kpis.snapshots.values(), wanted) == []
    assert engine.kpis.unreadable == []
    total = sum((told for place, told in wanted.told.items() if place[1] == "all"), Counter())
    assert [count for count in Count if not total[count]] == [Count.FOR_STORE_CREDIT], (
        "nobody here asks for it"
    )
    assert not [leg for leg in Leg if not any(total[f"{leg}<={bound}"] for bound in BOUNDS_SECONDS)]
    assert total["missing_first_scan retracted"]
    assert total["EUR at_risk"]
    (place, told), *_ = sorted(wanted.told.items(), key=lambda item: item[0])
    told["requested"] += 1
    assert len(wrong_kpis(engine.kpis.snapshots.values(), wanted)) == 1, f"too many on {place} is noticed"


def test_a_signal_that_is_missing_too_many_or_too_early_is_noticed() -> None:
    world = World(1, returns=200)
    policy = policy_of_this_world(default_policy())
    engine = OneProcess(policy)
    engine.play(world.events, world.until_at, PERIOD)
    leeway = 2 * PERIOD
    ledger, terms = undisturbed_ledger(world.events), Terms(policy)
    signals = expected_signals(ledger, terms, world.until_at, leeway)
    sure = {one.return_id for one in signals if one.loose is None and len(one.possible) == 1}
    first = next(signal for signal in engine.signals if signal.return_id in sure)
    others = [signal for signal in engine.signals if signal is not first]
    told = [first, *others]
    assert wrong_signals(signals, told, leeway) == []
    assert len(wrong_signals(signals, others, leeway)) == 1
    early = replace(first, effective_at=first.effective_at - timedelta(minutes=1))
    assert len(wrong_signals(signals, [early, *others], leeway)) == 1
    more = replace(first, revision=2, action=RefundAction.REVOKE)
    assert len(wrong_signals(signals, [*told, more], leeway)) == 1
    assert len(wrong_signals(signals, [*told, replace(first, return_id="R-OTHER")], leeway)) == 1
