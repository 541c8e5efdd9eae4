"""The simulated world: the same each time, and as varied as it says. What must be found in it: test_world_outcomes."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from importlib import resources
from itertools import islice

import pytest
from ruamel.yaml import YAML

from schemas.carrier_codes import load_carrier_codes
from schemas.policy import Policy
from schemas.vocabulary import PHYSICAL_CARRIER_EVIDENCE, Evidence, Milestone, RuleId
from simulation.api_carriers import API_CARRIERS
from simulation.bulk import BulkEvent, bulk_events
from simulation.carriers import CARRIERS, UNKNOWN_CODES, Carrier, Code
from simulation.happenings import LABELS, SCANS, WAREHOUSE
from simulation.ledger import LedgerEvent, read_ledger
from simulation.oracle import expected
from simulation.player import Pace, cues, slices, undisturbed_ledger
from simulation.stories import STORIES
from simulation.terms import Terms
from simulation.warehouse import policy_of_this_world
from simulation.world import World

RETURNS = 1_000
CODES = load_carrier_codes()


def terms() -> Terms:
    text = resources.files("schemas").joinpath("default_policy.yaml").read_text(encoding="utf-8")
    return Terms(policy_of_this_world(Policy.model_validate(YAML(typ="safe").load(text))))


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=11, returns=RETURNS)


# ---- the same world each time ------------------------------------------------------------------------------


def test_a_seed_names_a_world() -> None:
    assert World(seed=3, returns=60).events == World(seed=3, returns=60).events
    assert World(seed=3, returns=60).events != World(seed=4, returns=60).events


def test_events_come_in_the_order_in_which_they_appear(world: World) -> None:
    appearances = [event.appears_at for event in world.events]
    assert appearances == sorted(appearances)
    assert world.start_at <= appearances[0]
    assert appearances[-1] <= world.until_at


def test_the_default_month_has_a_tail_until_all_is_over(world: World) -> None:
    assert world.until_at - world.start_at == timedelta(days=56)


# ---- as varied as it says ----------------------------------------------------------------------------------


def test_most_returns_go_well() -> None:
    faulty = sum(story.share for story in STORIES if story.faulty)
    assert faulty < 0.4 * sum(story.share for story in STORIES)


def test_every_story_is_told(world: World) -> None:
    told = world.stories()
    assert sum(told.values()) == RETURNS
    assert set(told) == {story.name for story in STORIES}
    all_shares = sum(story.share for story in STORIES)
    for story in STORIES:
        assert told[story.name] == pytest.approx(story.share / all_shares * RETURNS, abs=4)


def test_the_way_into_the_topics_is_rough(world: World) -> None:
    plain = [event for event in world.events if event.value.startswith(b'{"type"')]
    records = Counter((event.kind, event.value, event.headers) for event in world.events)
    repeated = sum(count - 1 for count in records.values())
    disordered = sum(
        later.occurred_at < earlier.occurred_at - timedelta(hours=1)
        for earlier, later in zip(world.events, world.events[1:], strict=False)
    )
    binary = sum(any(name == "ce_id" for name, _ in event.headers) for event in world.events)
    structured = sum(
        b"cloudevents+json" in dict(event.headers).get("content-type", b"") for event in world.events
    )
    share = len(world.events)
    assert 0.02 < repeated / share < 0.04
    assert disordered > 0.02 * share
    assert binary > 0.03 * share
    assert structured > 0.03 * share
    assert sum(not event.event_id for event in plain) > 0.03 * share


def test_tracking_numbers_are_typed_in_many_ways(world: World) -> None:
    numbers = [
        json.loads(event.value)["tracking_number"]
        for event in world.events
        if event.value.startswith(b'{"type":"carrier_scan","o')
    ]
    assert any(" " in number for number in numbers)
    assert any("-" in number for number in numbers)
    assert any(number != number.upper() for number in numbers)


def test_records_that_are_no_events_are_counted(world: World) -> None:
    ledger = read_ledger(undisturbed_ledger(world.events))
    assert ledger.unreadable == sum(world.dead_letters.values()) == 8


# ---- what the carriers say is what the code tables say -----------------------------------------------------


EVERY_CARRIER = (*CARRIERS, *(carrier for carrier in API_CARRIERS if carrier not in CARRIERS))


def meaning(carrier: Carrier, code: Code) -> tuple[Milestone, Evidence]:
    found = CODES.lookup(carrier.name, code.api, code.code_type, code.code, code.text, "")
    return found.milestone, found.evidence


@pytest.mark.parametrize("carrier", EVERY_CARRIER, ids=lambda carrier: carrier.name)
def test_the_codes_mean_what_the_stories_take_them_for(carrier: Carrier) -> None:
    assert meaning(carrier, carrier.announced)[1] is Evidence.ANNOUNCED
    for code in carrier.first_scan:
        assert meaning(carrier, code)[0] in {Milestone.ACCEPTED, Milestone.DROPPED_OFF}
        assert meaning(carrier, code)[1] in PHYSICAL_CARRIER_EVIDENCE
    for code in carrier.hub:
        assert meaning(carrier, code) == (Milestone.IN_TRANSIT, Evidence.CARRIER_SCAN)
    assert meaning(carrier, carrier.last_leg)[1] is Evidence.CARRIER_SCAN
    assert meaning(carrier, carrier.delivered) == (Milestone.DELIVERED, Evidence.CARRIER_SCAN)
    for unknown in UNKNOWN_CODES:
        like = carrier.hub[0]
        assert meaning(carrier, Code(like.api, like.code_type, unknown, "?"))[0] is Milestone.UNMAPPED


SOME_CARRIERS_SAY = {
    "turned_back": {Milestone.RETURNED_TO_SENDER},
    "pickup_failed": {Milestone.PICKUP_FAILED},
    "customs": {Milestone.CUSTOMS_HOLD},
    "misrouted": {Milestone.MISROUTED},
    "attempted": {Milestone.DELIVERY_ATTEMPTED},
    "pickup_point": {Milestone.AVAILABLE_FOR_PICKUP},
    "lost": {Milestone.LOST, Milestone.DISPOSED},
    "damaged": {Milestone.DAMAGED},
    "elsewhere": {Milestone.DELIVERED_ELSEWHERE},
}


@pytest.mark.parametrize("name", SOME_CARRIERS_SAY)
def test_the_codes_that_not_every_carrier_has_mean_what_they_are_called(name: str) -> None:
    codes = [(carrier, getattr(carrier, name)) for carrier in EVERY_CARRIER if getattr(carrier, name)]
    assert codes
    for carrier, code in codes:
        milestone, evidence = meaning(carrier, code)
        assert milestone in SOME_CARRIERS_SAY[name]
        assert evidence not in {Evidence.ANNOUNCED, Evidence.CLAIMED, Evidence.SYSTEM}


@pytest.mark.parametrize("carrier", EVERY_CARRIER, ids=lambda carrier: carrier.name)
def test_a_carrier_has_one_name_however_it_is_spelled(carrier: Carrier) -> None:
    assert {CODES.carrier(spelling) for spelling in carrier.spellings} == {carrier.name}


# ---- playing it --------------------------------------------------------------------------------------------


def test_a_handful_is_never_sent_before_its_time(world: World) -> None:
    pace = Pace(world.start_at, speed=4 * 3_600)
    sent = list(slices(world.events, pace, every_seconds=0.5))
    assert [cue for _, handful in sent for cue in handful] == list(cues(world.events))
    for at, handful in sent:
        for cue in handful:
            assert 0 <= at - pace.real_seconds(cue.appears_at) <= 0.5
    assert [at for at, _ in sent] == sorted(at for at, _ in sent)
    assert pace.real_seconds(world.until_at) == pytest.approx(336)


def test_simulated_time_runs_as_fast_as_it_is_told() -> None:
    world = World(seed=1, returns=1)
    pace = Pace(world.start_at, speed=7_200)
    assert pace.simulated_at(12) == world.start_at + timedelta(days=1)
    assert pace.real_seconds(world.start_at + timedelta(days=1)) == 12


# ---- very many events --------------------------------------------------------------------------------------


def ledger_of(events: Iterable[BulkEvent]) -> list[LedgerEvent]:
    """Each event appended when it happened."""
    bodies = [(event, json.loads(event.value)) for event in events]
    return [
        LedgerEvent(event.kind, event.value, (), datetime.fromisoformat(body["occurred_at"]))
        for event, body in bodies
    ]


def test_bulk_events_are_valid_and_make_no_case_while_they_come() -> None:
    ledger = ledger_of(bulk_events(200, 5, seed=1))
    assert Counter(event.kind for event in ledger) == {LABELS: 200, SCANS: 1_000, WAREHOUSE: 200}
    assert read_ledger(ledger).unreadable == 0
    assert [event.appended_at for event in ledger] == sorted(event.appended_at for event in ledger)
    assert expected(ledger, terms(), ledger[-1].appended_at) == []


def test_unfinished_bulk_parcels_stay_open() -> None:
    ledger = ledger_of(bulk_events(200, 5, seed=1, unfinished=0.5))
    cases = expected(ledger, terms(), ledger[-1].appended_at + timedelta(days=5))
    kinds = Counter(event.kind for event in ledger)
    never_scanned = [case for case in cases if case.rule is RuleId.MISSING_FIRST_SCAN]
    assert len(never_scanned) == kinds[LABELS] - kinds[WAREHOUSE]
    assert 60 < len(never_scanned) < 140


def test_bulk_events_are_made_on_the_way() -> None:
    assert len(list(islice(bulk_events(5_000_000, 6, seed=1), 3))) == 3
