"""The simulated world: the same each time, as varied as it says, and clear about what must be found in it."""

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
from schemas.vocabulary import PHYSICAL_CARRIER_EVIDENCE, CaseState, Evidence, Milestone, RuleId
from simulation.bulk import BulkEvent, bulk_events
from simulation.carriers import CARRIERS, UNKNOWN_CODES, Carrier, Code
from simulation.happenings import LABELS, SCANS, WAREHOUSE
from simulation.ledger import LedgerEvent, read_ledger
from simulation.oracle import ExpectedCase, expected
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


@pytest.fixture(scope="module")
def cases(world: World) -> list[ExpectedCase]:
    return expected(undisturbed_ledger(world.events), terms(), world.until_at, timedelta(hours=18))


# ---- the same world each time ------------------------------------------------------------------------------


def test_a_seed_names_a_world() -> None:
    assert World(seed=3, returns=60).events == World(seed=3, returns=60).events
    assert World(seed=3, returns=60).events != World(seed=4, returns=60).events


def test_events_come_in_the_order_in_which_they_appear(world: World) -> None:
    appearances = [event.appears_at for event in world.events]
    assert appearances == sorted(appearances)
    assert world.start_at <= appearances[0]
    assert appearances[-1] <= world.until_at


def test_the_default_month_is_fifty_days_long(world: World) -> None:
    assert world.until_at - world.start_at == timedelta(days=50)


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


def meaning(carrier: Carrier, code: Code) -> tuple[Milestone, Evidence]:
    found = CODES.lookup(carrier.name, code.api, code.code_type, code.code, code.text, "")
    return found.milestone, found.evidence


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.name)
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
    codes = [(carrier, getattr(carrier, name)) for carrier in CARRIERS if getattr(carrier, name)]
    assert codes
    for carrier, code in codes:
        milestone, evidence = meaning(carrier, code)
        assert milestone in SOME_CARRIERS_SAY[name]
        assert evidence not in {Evidence.ANNOUNCED, Evidence.CLAIMED, Evidence.SYSTEM}


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.name)
def test_a_carrier_has_one_name_however_it_is_spelled(carrier: Carrier) -> None:
    assert {CODES.carrier(spelling) for spelling in carrier.spellings} == {carrier.name}


# ---- what must be found ------------------------------------------------------------------------------------

OPEN, RESOLVED, RETRACTED = CaseState.ESCALATED, CaseState.RESOLVED, CaseState.RETRACTED
OUTCOMES = {
    RuleId.MISSING_FIRST_SCAN: {
        "first_scan_late": RESOLVED,
        "first_scan_posted_late": RETRACTED,
        "cancelled_late": RESOLVED,
        "cancelled_posted_late": RETRACTED,
        "voided_late": RESOLVED,
    },
    RuleId.DROPOFF_CLAIM_UNCONFIRMED: {
        "claimed_scanned_late": RESOLVED,
        "claimed_scan_posted_late": RETRACTED,
    },
    RuleId.PICKUP_FAILED: {"picked_up_days_later": RESOLVED, "pickup_posted_late": RETRACTED},
    RuleId.STALLED_SILENT: {
        "lost_in_silence": OPEN,
        "resumed_late": RESOLVED,
        "scans_posted_late": RETRACTED,
        "lost_in_a_long_silence": RESOLVED,
    },
    RuleId.STALLED_NO_PROGRESS: {"stuck_for_ever": OPEN, "stuck_then_moves": RESOLVED},
    RuleId.TRANSIT_OVERDUE: {"all_too_slow": RESOLVED, "resumed_late": RESOLVED},
    RuleId.MISROUTED: {
        "misrouted_and_back": RESOLVED,
        "misrouted_and_gone": OPEN,
        "misrouted_scans_posted_late": RETRACTED,
    },
    RuleId.DELIVERY_FAILED: {"delivered_days_after_an_attempt": RESOLVED, "attempted_in_vain": OPEN},
    RuleId.PICKUP_POINT_EXPIRING: {"fetched_late": RESOLVED, "never_fetched": OPEN},
    RuleId.RETURNED_TO_CUSTOMER: {"turned_back": OPEN, "turned_back_and_sent_again": RESOLVED},
    RuleId.CARRIER_REPORTED_LOST: {
        "lost_by_the_carrier": OPEN,
        "lost_in_a_long_silence": OPEN,
        "lost_and_found": RESOLVED,
    },
    RuleId.CARRIER_REPORTED_DAMAGED: {"damaged_on_the_way": RESOLVED, "damaged_and_lost": RESOLVED},
    RuleId.DELIVERED_ELSEWHERE_SUSPECTED: {
        "delivered_to_another_town": OPEN,
        "delivered_again_rightly": RESOLVED,
    },
    RuleId.MOVING_AFTER_DELIVERY: {"moving_on_for_ever": OPEN, "moved_on_and_came_back": RESOLVED},
    RuleId.DELIVERED_NOT_CHECKED_IN: {
        "never_checked_in": OPEN,
        "shared_never_checked_in": OPEN,
        "checked_in_late": RESOLVED,
        "check_in_taken_back": OPEN,
        "check_in_posted_late": RETRACTED,
        "two_parcels_one_counted": OPEN,
    },
    RuleId.CHECKED_IN_NOT_DELIVERED: {
        "delivery_not_scanned": OPEN,
        "delivery_dated_late": RESOLVED,
        "delivery_posted_late": RETRACTED,
    },
    RuleId.LATE_LABEL: {"label_late": RESOLVED, "label_never_made": OPEN, "label_posted_late": RETRACTED},
    RuleId.LATE_INSPECTION: {
        "inspected_late": RESOLVED,
        "never_inspected": OPEN,
        "inspection_posted_late": RETRACTED,
        "second_parcel_not_inspected": OPEN,
    },
    RuleId.CONTENT_MISMATCH: {
        "mismatch_decided_late": RESOLVED,
        "mismatch_never_decided": OPEN,
        "mismatch_cleared_up": RESOLVED,
    },
    RuleId.LATE_RESTOCK: {
        "restocked_late": RESOLVED,
        "never_restocked": OPEN,
        "restocking_posted_late": RETRACTED,
    },
    RuleId.LATE_REFUND_DECISION: {
        "decided_late": RESOLVED,
        "decision_posted_late": RETRACTED,
        "exchange_forgotten": OPEN,
    },
    RuleId.LATE_REFUND: {"paid_late": RESOLVED, "paid_posted_late": RETRACTED, "never_paid": OPEN},
    RuleId.REFUND_PROMISE_AT_RISK: {"promise_broken": RESOLVED, "promise_kept_narrowly": RESOLVED},
    RuleId.REFUND_PROMISE_BROKEN: {
        "promise_broken": RESOLVED,
        "never_paid": OPEN,
        "nothing_promised": RESOLVED,
    },
    RuleId.STATUTORY_REFUND_DEADLINE: {
        "withdrawn_refunded_late": RESOLVED,
        "withdrawn_refund_posted_late": RETRACTED,
    },
    RuleId.REFUND_FAILED: {"refund_repeated": RESOLVED, "refund_failed_for_good": OPEN},
    RuleId.REFUND_NOT_SETTLED: {
        "settled_late": RESOLVED,
        "never_settled": OPEN,
        "settlement_posted_late": RETRACTED,
    },
}
"""How the cases of some stories end, by rule."""
STRANGERS = {
    "sent_without_a_label": OPEN,
    "label_told_after_all": RETRACTED,
    "label_made_after_all": RESOLVED,
}
"""How the case of the parcel ends that no label names at first."""


def by_return(cases: list[ExpectedCase]) -> dict[str, list[ExpectedCase]]:
    found: dict[str, list[ExpectedCase]] = {}
    for case in cases:
        found.setdefault(case.return_id, []).append(case)
    return found


def test_every_story_finds_what_it_is_meant_to(world: World, cases: list[ExpectedCase]) -> None:
    found = by_return(cases)
    for told in world.told:
        for return_id in told.return_ids:
            rules = {case.rule for case in found.get(return_id, [])}
            # A long weekend, or a feed that was stuck, can make any way too long.
            allowed = told.story.finds | told.story.may_find | {RuleId.TRANSIT_OVERDUE}
            assert told.story.finds <= rules <= allowed, (told.story.name, return_id)


def test_ordinary_returns_are_hardly_ever_slow(world: World, cases: list[ExpectedCase]) -> None:
    found = by_return(cases)
    ordinary = [one for told in world.told if not told.story.faulty for one in told.return_ids]
    assert sum(return_id in found for return_id in ordinary) < 0.02 * len(ordinary)


def test_every_case_ends_as_its_story_means_it_to(world: World, cases: list[ExpectedCase]) -> None:
    found = by_return(cases)
    for told in world.told:
        wanted = {
            rule: states[told.story.name] for rule, states in OUTCOMES.items() if told.story.name in states
        }
        for return_id in told.return_ids:
            for rule, state in wanted.items():
                (case,) = [case for case in found[return_id] if case.rule is rule]
                assert case.final_states == {state}, (told.story.name, return_id)


def test_a_parcel_that_nobody_knows_is_found_though_it_belongs_to_no_return(
    world: World, cases: list[ExpectedCase]
) -> None:
    strange = {case.parcel: case for case in by_return(cases)[""]}
    for told in world.told:
        if told.story.name in STRANGERS:
            (parcel,) = told.parcels
            case = strange.pop(":".join(parcel))
            assert case.rule is RuleId.UNEXPECTED_PARCEL
            assert case.final_states == {STRANGERS[told.story.name]}
    assert {case.final_states for case in strange.values()} <= {frozenset({OPEN})}  # strays


def test_every_rule_finds_something(cases: list[ExpectedCase]) -> None:
    counts = Counter(case.rule for case in cases if case.opens is True)
    assert {rule: counts[rule] for rule in RuleId if counts[rule] < 3} == {}


def test_label_expiry_and_goods_that_never_came_show_within_the_month(cases: list[ExpectedCase]) -> None:
    for rule in (RuleId.LABEL_EXPIRED_UNUSED, RuleId.REFUNDED_NOT_RETURNED):
        assert any(case.rule is rule and case.final_states == {OPEN} for case in cases)


def test_most_of_a_day_of_delay_decides_nothing(cases: list[ExpectedCase]) -> None:
    assert [case for case in cases if case.opens != True or case.retracted == "either"] == []  # noqa: E712 - "either"


def test_nothing_is_undecided_when_the_world_ends(world: World, cases: list[ExpectedCase]) -> None:
    assert max(case.opens_at for case in cases) + timedelta(hours=48) < world.until_at
    ledger = undisturbed_ledger(world.events)
    later = expected(ledger, terms(), world.until_at + timedelta(hours=30))
    assert subjects(later) == subjects(cases)


def test_feeds_that_are_twelve_hours_late_change_no_verdict(world: World, cases: list[ExpectedCase]) -> None:
    slow = [
        event._replace(appended_at=event.appended_at + timedelta(hours=12))
        for event in undisturbed_ledger(world.events)
    ]
    late = expected(slow, terms(), world.until_at)
    assert subjects(late) == subjects(cases)


def subjects(cases: list[ExpectedCase]) -> set[tuple[object, ...]]:
    """What each case says, but for times: those of rules that are due at once move with what is appended."""
    return {(case.rule, case.return_id, case.parcel, case.final_states) for case in cases}


# ---- playing it --------------------------------------------------------------------------------------------


def test_a_handful_is_never_sent_before_its_time(world: World) -> None:
    pace = Pace(world.start_at, speed=4 * 3_600)
    sent = list(slices(world.events, pace, every_seconds=0.5))
    assert [cue for _, handful in sent for cue in handful] == list(cues(world.events))
    for at, handful in sent:
        for cue in handful:
            assert 0 <= at - pace.real_seconds(cue.appears_at) <= 0.5
    assert [at for at, _ in sent] == sorted(at for at, _ in sent)
    assert pace.real_seconds(world.until_at) == pytest.approx(300)


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
