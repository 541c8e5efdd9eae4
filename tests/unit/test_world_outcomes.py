"""What must be found in the simulated world: what each story means to show, and nothing else."""

from collections import Counter
from datetime import timedelta

import pytest

from schemas.policy import FEED_RULES
from schemas.policy_loading import default_policy
from schemas.vocabulary import CaseState, Reason, RuleId
from simulation.oracle import ExpectedCase, expected
from simulation.player import undisturbed_ledger
from simulation.terms import Terms
from simulation.warehouse import policy_of_this_world
from simulation.world import World


def terms() -> Terms:
    return Terms(policy_of_this_world(default_policy()))


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=11, returns=1_000)


@pytest.fixture(scope="module")
def cases(world: World) -> list[ExpectedCase]:
    return expected(undisturbed_ledger(world.events), terms(), world.until_at, timedelta(hours=18))


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
    RuleId.LATE_LABEL: {"label_late": RESOLVED, "label_never_made": RESOLVED, "label_posted_late": RETRACTED},
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
        "too_light": RESOLVED,
        "weighed_again": RETRACTED,
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
    assert {rule: counts[rule] for rule in RuleId if rule not in FEED_RULES and counts[rule] < 3} == {}


def test_label_expiry_and_goods_that_never_came_show_within_the_month(cases: list[ExpectedCase]) -> None:
    for rule in (RuleId.LABEL_EXPIRED_UNUSED, RuleId.REFUNDED_NOT_RETURNED):
        assert any(case.rule is rule and case.final_states == {OPEN} for case in cases)


def test_most_of_a_day_of_delay_decides_nothing(cases: list[ExpectedCase]) -> None:
    undecided = [case for case in cases if case.opens != True or case.retracted == "either"]  # noqa: E712 - "either"
    # What is explained within the day may be read together with what explains it, and then it is not told.
    assert [case for case in undecided if Reason.EXPLAINED not in case.reasons] == []


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
