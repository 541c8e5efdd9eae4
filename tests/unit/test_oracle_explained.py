"""The oracle on one cause that breaks several rules: one case of it is told. Hours count from a Monday, 06:00 UTC."""

import pytest

from schemas.vocabulary import CaseState, Reason, RuleId
from simulation.explanations import EXPLAINED_BY
from tests.unit.oracle_tape import (
    DELIVERED,
    DHL_DISPOSED,
    DHL_HUB,
    DHL_MISROUTED,
    DHL_PICKED_UP,
    HUB,
    LIL1,
    PICKED_UP,
    PICKUP_FAILED,
    Tape,
    default_terms,
    hours,
)

SILENT, OVERDUE = RuleId.STALLED_SILENT, RuleId.TRANSIT_OVERDUE
LOST, MISROUTED = RuleId.CARRIER_REPORTED_LOST, RuleId.MISROUTED


@pytest.fixture
def tape() -> Tape:
    """A parcel that was labelled at 0 and picked up at 10; silent at 130, overdue at 202."""
    tape = Tape("dhl_express")
    tape.label(0)
    tape.scan(10, DHL_PICKED_UP)
    return tape


def test_nothing_explains_itself_however_far_one_looks() -> None:
    def above(rule: RuleId) -> set[RuleId]:
        higher = EXPLAINED_BY.get(rule, set())
        return higher.union(*(above(one) for one in higher))

    assert [rule for rule in RuleId if rule in above(rule)] == []


def test_a_cause_that_stands_first_is_all_that_is_told(tape: Tape) -> None:
    assert tape.of(SILENT, OVERDUE) == [("stalled_silent", 130, "escalated", "due")]


def test_without_the_higher_rule_the_lower_one_tells(tape: Tape) -> None:
    assert tape.of(OVERDUE) == [("transit_overdue", 202, "escalated", "due")]


def test_a_cause_that_comes_to_light_later_ends_what_it_explains(tape: Tape) -> None:
    tape.scan(150, DHL_DISPOSED)
    assert tape.of(SILENT, LOST) == [
        ("stalled_silent", 130, "resolved", "lost"),  # its own end: nobody waits for a lost parcel
        ("carrier_reported_lost", 150.52, "escalated", "due"),
    ]


def test_a_lower_case_that_stood_first_is_resolved_as_explained(tape: Tape) -> None:
    tape.scan(120, DHL_MISROUTED)
    tape.scan(140, DHL_HUB)  # an hour before it would be told
    tape.scan(210, DHL_MISROUTED)
    tape.scan(211, DHL_MISROUTED)
    assert tape.of(OVERDUE, MISROUTED) == [
        ("transit_overdue", 202, "resolved", "explained"),
        ("misrouted", 234, "escalated", "due"),
    ]


def test_when_the_cause_is_gone_and_the_breach_still_holds_it_is_told_from_then_on(tape: Tape) -> None:
    tape.scan(220, DHL_HUB)
    assert tape.of(SILENT, OVERDUE, until=300) == [
        ("stalled_silent", 130, "resolved", "progress"),
        ("transit_overdue", 220, "escalated", "due"),
    ]


def test_a_case_that_was_explained_opens_again(tape: Tape) -> None:
    tape.scan(190, DHL_MISROUTED)
    tape.scan(240, DHL_HUB)
    found = tape.of(OVERDUE, MISROUTED)
    assert found == [
        ("transit_overdue", 202, "escalated", "due"),
        ("misrouted", 214, "resolved", "progress"),
    ]
    assert tape.of(OVERDUE, MISROUTED, until=230)[0] == ("transit_overdue", 202, "resolved", "explained")
    # Levels count from when it opened again.
    assert tape.of(OVERDUE, MISROUTED, until=280)[0] == ("transit_overdue", 202, "open", "due")


def test_what_ends_while_it_is_explained_stays_explained(tape: Tape) -> None:
    tape.scan(190, DHL_MISROUTED)
    tape.check_in(240)
    assert tape.of(OVERDUE, MISROUTED) == [
        ("transit_overdue", 202, "resolved", "explained"),
        ("misrouted", 214, "resolved", "checked_in"),
    ]


def test_what_ends_unseen_was_never_told(tape: Tape) -> None:
    tape.check_in(240)
    assert tape.of(SILENT, OVERDUE) == [("stalled_silent", 130, "resolved", "checked_in")]


def test_a_cause_that_is_taken_back_gives_its_place_up(tape: Tape) -> None:
    for at in (90, 150, 209):
        tape.scan(at, DHL_HUB, posted=210)
    assert tape.of(SILENT, OVERDUE, until=240) == [
        ("stalled_silent", 130, "retracted", "late_evidence"),
        ("transit_overdue", 202, "open", "due"),
    ]


def test_a_claim_explains_why_the_first_scan_is_waited_for() -> None:
    tape = Tape()
    tape.label(0)
    tape.order(5, "dropoff_claimed")
    tape.scan(100, PICKED_UP)
    assert tape.of(RuleId.MISSING_FIRST_SCAN, RuleId.DROPOFF_CLAIM_UNCONFIRMED) == [
        ("dropoff_claim_unconfirmed", 29, "resolved", "first_scan")
    ]


def test_another_parcels_cause_explains_nothing() -> None:
    tape = Tape()
    tape.label(0, "1")
    tape.label(0, "2")
    tape.order(5, "dropoff_claimed", carrier="fedex", tracking_number="1")
    assert [
        (rule, due)
        for rule, due, _, _ in tape.of(RuleId.MISSING_FIRST_SCAN, RuleId.DROPOFF_CLAIM_UNCONFIRMED)
    ] == [("dropoff_claim_unconfirmed", 29), ("missing_first_scan", 72)]


def test_a_delivery_to_another_town_explains_that_the_dock_does_not_have_it() -> None:
    tape = Tape()
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(52, DELIVERED, "Roubaix")
    rules = RuleId.DELIVERED_NOT_CHECKED_IN, RuleId.DELIVERED_ELSEWHERE_SUSPECTED
    assert [rule for rule, *_ in tape.of(*rules)] == ["delivered_elsewhere_suspected"]


def test_a_mismatch_explains_that_nobody_decides_and_a_failure_that_nobody_pays() -> None:
    tape = Tape()
    tape.inspect(4, mismatch=["weight"])
    tape.order(40, "refund_approved")
    tape.order(41, "refund_failed")
    tape.order(90, "refund_issued")
    rules = (
        RuleId.LATE_REFUND_DECISION,
        RuleId.CONTENT_MISMATCH,
        RuleId.LATE_REFUND,
        RuleId.REFUND_FAILED,
    )
    assert [rule for rule, *_ in tape.of(*rules)] == ["content_mismatch", "refund_failed"]


def test_what_a_held_up_worker_may_read_too_late_to_tell_may_explain_nothing_either() -> None:
    tape, terms = Tape(), default_terms(RuleId.PICKUP_FAILED, RuleId.MISSING_FIRST_SCAN)
    tape.label(0)
    tape.scan(24, PICKUP_FAILED)
    tape.scan(94, PICKED_UP)

    def told(tolerance: float) -> list[tuple[RuleId, object]]:
        return [(case.rule, case.opens) for case in tape.cases(300, tolerance, terms)]

    assert told(0) == told(2) == [(RuleId.PICKUP_FAILED, True)]
    both = [(RuleId.PICKUP_FAILED, "either"), (RuleId.MISSING_FIRST_SCAN, "either")]
    assert told(80) == told(300) == both


def test_what_is_told_late_for_a_worker_was_held_up_may_explain_what_was_told_before() -> None:
    tape, terms = Tape(), default_terms(RuleId.PICKUP_FAILED, RuleId.MISSING_FIRST_SCAN)
    tape.label(0)
    tape.scan(24, PICKUP_FAILED)
    (_, missing) = tape.cases(150, 150, terms)
    assert (missing.rule, missing.opens) == (RuleId.MISSING_FIRST_SCAN, "either")
    assert missing.final_states >= {CaseState.RESOLVED, CaseState.ESCALATED}
    assert Reason.EXPLAINED in missing.reasons
    assert [case.rule for case in tape.cases(150, 0, terms)] == [RuleId.PICKUP_FAILED]


def test_a_held_up_worker_may_see_a_case_only_when_what_explained_it_is_over() -> None:
    tape = Tape()
    terms = default_terms(RuleId.DELIVERED_NOT_CHECKED_IN, RuleId.MOVING_AFTER_DELIVERY)
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(52, DELIVERED, LIL1)
    tape.scan(60, HUB)
    tape.scan(150, DELIVERED, LIL1)
    tape.check_in(151)

    def due(tolerance: float) -> list[tuple[float, float]]:
        rule = RuleId.DELIVERED_NOT_CHECKED_IN
        told = [case for case in tape.cases(300, tolerance, terms) if case.rule is rule]
        assert all(case.opens_by >= case.due_by for case in told)
        return [(hours(case.due_at), hours(case.due_by)) for case in told]

    assert due(0) == due(2) == [(76.0, 76.0)]
    assert due(60) == [(76.0, 150.0)]


def test_what_is_found_only_where_deadlines_are_moved_may_have_its_own_deadline() -> None:
    tape, terms = Tape(), default_terms(RuleId.DROPOFF_CLAIM_UNCONFIRMED, RuleId.MISSING_FIRST_SCAN)
    tape.label(0)
    tape.order(10, "dropoff_claimed", carrier="fedex", tracking_number="1")
    alone = default_terms(RuleId.MISSING_FIRST_SCAN)
    (own,) = [hours(case.due_at) for case in tape.cases(400, 0, alone)]
    missing = [case for case in tape.cases(400, 172, terms) if case.rule is RuleId.MISSING_FIRST_SCAN]
    assert [case.opens for case in missing] == ["either"]
    assert all(hours(case.due_at) <= own <= hours(case.due_by) for case in missing)
