"""A month whose carriers tell by their own APIs, through the shipped adapters, intake and both stages, judged by the oracle."""

from collections import Counter
from datetime import timedelta

import pytest

from agents.adapters import readers_named
from schemas.policy_loading import default_policy
from simulation.api_carriers import API_CARRIERS, API_LANES
from simulation.api_shapes import SHAPES
from simulation.api_traffic import Sending, by_apis, ledger_of
from simulation.expect_feeds import expected_of_feeds
from simulation.expect_journeys import expected_journeys, wrong_journeys
from simulation.expect_signals import expected_signals
from simulation.feed_sight import Sight
from simulation.feed_story import feeds_for_policy
from simulation.holds import holds
from simulation.judge_signals import wrong_signals
from simulation.oracle import expected
from simulation.scoreboard import Score, score
from simulation.terms import Terms
from simulation.warehouse import policy_of_this_world
from simulation.world import World
from tests.scenarios.one_process import OneProcess

PERIOD = timedelta(hours=1)
LEEWAY = 2 * PERIOD
POLICY = policy_of_this_world(default_policy(), feeds_for_policy(API_CARRIERS))
UNWATCHED = policy_of_this_world(default_policy())
CODES_OF = {shape.adapter: shape.codes_of for shape in SHAPES}
ADAPTERS = readers_named(f"{shape.adapter}={shape.adapter}" for shape in SHAPES)


def test_payloads_tell_everything_that_went_wrong_and_nothing_else() -> None:
    world = World(2, returns=400, feeds=True, lanes=API_LANES)
    sendings = by_apis(world.events, world.until_at)
    engine = OneProcess(POLICY, adapters=ADAPTERS)
    engine.play(sendings, world.until_at, PERIOD)
    ledger = ledger_of(sendings)
    assert world.feed is not None
    terms, sight = Terms(POLICY), Sight(world.feed)
    cases = [
        *expected(ledger, terms, world.until_at, LEEWAY, holds(sight, terms)),
        *expected_of_feeds(sight, terms, world.until_at),
    ]
    result = score(cases, engine.observed, bound=LEEWAY)
    assert result.problems == []
    assert result.ok
    assert not [counts.rule for counts in result.rules.values() if not counts.expected]
    assert Counter(engine.refused) == world.dead_letters
    journeys = expected_journeys(ledger, terms, world.until_at)
    assert wrong_journeys(journeys, cases, engine.journeys, world.until_at, signals=engine.signals) == []
    signals = expected_signals(ledger, terms, world.until_at, LEEWAY)
    assert wrong_signals(signals, engine.signals, LEEWAY) == []


@pytest.mark.parametrize(
    ("api", "right", "wrong"),
    [
        ("dhl_mydhl_track", b'"typeCode":"OK"', b'"typeCode":"ZZ"'),
        ("laposte_suivi_v2", b"+02:00", b"+14:00"),
        ("aftership_v4", b'"country_iso3":"GBR"', b'"country_iso3":"JPN"'),
        ("mondialrelay_wsi2", b"<Relais_Num>LIL1</Relais_Num>", b"<Relais_Num>PAR1</Relais_Num>"),
    ],
    ids=["a code", "an offset", "a zone", "a place"],
)
def test_a_payload_that_tells_something_else_is_noticed(api: str, right: bytes, wrong: bytes) -> None:
    lanes = [(share, lane) for share, lane in API_LANES if lane.carrier.hub[0].api == CODES_OF[api]]
    world = World(3, returns=60, lanes=[*lanes, *[(share / 100, lane) for share, lane in API_LANES]])
    sendings = by_apis(world.events, world.until_at)
    ledger = ledger_of(sendings)
    cases = expected(ledger, Terms(UNWATCHED), world.until_at, LEEWAY)

    def found(told: list[Sending]) -> Score:
        engine = OneProcess(UNWATCHED, adapters=ADAPTERS)
        engine.play(told, world.until_at, PERIOD)
        return score(cases, engine.observed, bound=LEEWAY)

    assert found(sendings).ok
    broken = [
        one._replace(value=one.value.replace(right, wrong)) if one.api == api else one for one in sendings
    ]
    assert not found(broken).ok
