"""The oracle on what the carrier does with a parcel. Hours count from a Monday, 06:00 UTC."""

import pytest

from schemas.vocabulary import RuleId
from tests.unit.oracle_tape import (
    DHL_CUSTOMS,
    DHL_DAMAGED,
    DHL_DELIVERED,
    DHL_DISPOSED,
    DHL_HUB,
    DHL_MISROUTED,
    DHL_NOT_HOME,
    DHL_OUT,
    DHL_PICKED_UP,
    DHL_PICKUP_POINT,
    DHL_TURNED_BACK,
    LIL1,
    NEIGHBOUR,
    Tape,
)

OVERDUE, MISROUTED = RuleId.TRANSIT_OVERDUE, RuleId.MISROUTED
FAILED, PICKUP_POINT = RuleId.DELIVERY_FAILED, RuleId.PICKUP_POINT_EXPIRING
BACK, LOST, DAMAGED = (
    RuleId.RETURNED_TO_CUSTOMER,
    RuleId.CARRIER_REPORTED_LOST,
    RuleId.CARRIER_REPORTED_DAMAGED,
)
AT_ONCE = 30.52
"""What happened at 30 was appended a minute later and has half an hour to settle."""


@pytest.fixture
def tape() -> Tape:
    """A parcel that was labelled at 0 and picked up at 10."""
    tape = Tape("dhl_express")
    tape.label(0)
    tape.scan(10, DHL_PICKED_UP)
    return tape


# ---- overdue, and clocks that stand still ----------------------------------------------------------------------


def test_eight_days_after_the_first_scan_it_should_be_there_however_often_it_is_scanned(tape: Tape) -> None:
    for at in (50, 100, 150, 200, 250):
        tape.scan(at, DHL_HUB)
    assert tape.one(OVERDUE, until=280) == (202, "escalated", "due")


def test_an_overdue_parcel_that_arrives_is_resolved(tape: Tape) -> None:
    tape.scan(220, DHL_DELIVERED)
    assert tape.one(OVERDUE) == (202, "resolved", "delivered")


def test_a_neighbour_ends_the_journey_too() -> None:
    tape = Tape("colissimo")
    tape.label(0)
    tape.scan(10, {"api": "colissimo_tracking_soap", "code_type": "event_code", "code": "DEPGUI"})
    tape.scan(220, NEIGHBOUR)
    assert tape.one(OVERDUE) == (202, "resolved", "delivered_elsewhere")
    assert tape.one(RuleId.STALLED_SILENT) == (130, "resolved", "delivered_elsewhere")


def test_the_clock_stands_still_while_customs_have_it(tape: Tape) -> None:
    tape.scan(20, DHL_CUSTOMS)
    tape.scan(68, DHL_HUB)  # two days
    assert tape.one(OVERDUE) == (202 + 48, "escalated", "due")


def test_the_clock_stands_still_for_a_week_of_customs_at_most(tape: Tape) -> None:
    tape.scan(20, DHL_CUSTOMS)
    assert tape.one(OVERDUE) == (202 + 7 * 24, "escalated", "due")


def test_the_week_is_for_all_the_times_that_customs_had_it_together(tape: Tape) -> None:
    tape.scan(20, DHL_CUSTOMS)
    tape.scan(140, DHL_HUB)  # five days
    tape.scan(150, DHL_CUSTOMS)
    tape.scan(246, DHL_HUB)  # four more, of which two count
    assert tape.one(OVERDUE) == (202 + 7 * 24, "escalated", "due")


def test_two_reports_of_customs_before_the_next_scan_are_one_hold(tape: Tape) -> None:
    tape.scan(20, DHL_CUSTOMS)
    tape.scan(40, DHL_CUSTOMS)
    tape.scan(68, DHL_HUB)
    assert tape.one(OVERDUE) == (202 + 48, "escalated", "due")


def test_a_hold_that_begins_after_the_deadline_comes_too_late(tape: Tape) -> None:
    tape.scan(203, DHL_CUSTOMS)
    assert tape.one(OVERDUE) == (202, "escalated", "due")


def test_silence_at_a_pickup_point_is_counted_apart_from_customs(tape: Tape) -> None:
    tape.scan(20, DHL_PICKUP_POINT)
    assert tape.one(RuleId.STALLED_SILENT) == (20 + 5 * 24 + 14 * 24, "escalated", "due")


# ---- it goes wrong ---------------------------------------------------------------------------------------------


def test_a_misrouted_parcel_should_be_on_its_way_again_after_a_day(tape: Tape) -> None:
    tape.scan(30, DHL_MISROUTED)
    tape.scan(40, DHL_MISROUTED)
    tape.scan(45, DHL_DAMAGED)  # no end of it
    assert tape.one(MISROUTED) == (54, "escalated", "due")


@pytest.mark.parametrize(("code", "why"), [(DHL_HUB, "progress"), (DHL_DELIVERED, "delivered")])
def test_the_next_sound_scan_ends_a_detour(tape: Tape, code: dict[str, str], why: str) -> None:
    tape.scan(30, DHL_MISROUTED)
    tape.scan(60, code)
    assert tape.one(MISROUTED) == (54, "resolved", why)


def test_a_second_detour_is_a_second_case(tape: Tape) -> None:
    tape.scan(30, DHL_MISROUTED)
    tape.scan(60, DHL_HUB)
    tape.scan(70, DHL_MISROUTED)
    assert [(due, state) for _, due, state, _ in tape.of(MISROUTED)] == [(54, "resolved"), (94, "escalated")]


def test_a_failed_delivery_waits_for_another_attempt_and_not_for_any_scan(tape: Tape) -> None:
    tape.scan(30, DHL_NOT_HOME)
    tape.scan(40, DHL_HUB)
    tape.scan(60, DHL_OUT)
    assert tape.one(FAILED) == (54, "resolved", "progress")


def test_a_second_attempt_in_time_is_no_case(tape: Tape) -> None:
    tape.scan(30, DHL_NOT_HOME)
    tape.scan(50, DHL_DELIVERED)
    assert tape.of(FAILED) == []


def test_a_pickup_point_keeps_it_for_five_days(tape: Tape) -> None:
    tape.scan(30, DHL_PICKUP_POINT)
    assert tape.one(PICKUP_POINT) == (150, "escalated", "due")


def test_any_other_scan_ends_the_waiting_at_a_pickup_point(tape: Tape) -> None:
    tape.scan(30, DHL_PICKUP_POINT)
    tape.scan(160, DHL_HUB)
    assert tape.one(PICKUP_POINT) == (150, "resolved", "progress")


@pytest.mark.parametrize("code", [DHL_MISROUTED, DHL_NOT_HOME, DHL_PICKUP_POINT])
def test_at_the_dock_no_trouble_of_the_carrier_matters(tape: Tape, code: dict[str, str]) -> None:
    tape.scan(30, code)
    tape.check_in(40)
    assert tape.of(MISROUTED, FAILED, PICKUP_POINT) == []


@pytest.mark.parametrize("code", [DHL_MISROUTED, DHL_NOT_HOME, DHL_PICKUP_POINT])
def test_a_check_in_by_number_explains_it_too(tape: Tape, code: dict[str, str]) -> None:
    tape.scan(30, code)
    tape.check_in_by_return(200)
    ((_, _, state, why),) = tape.of(MISROUTED, FAILED, PICKUP_POINT)
    assert (state, why) == ("resolved", "checked_in_by_return")


# ---- the carrier says so ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "rule"), [(DHL_TURNED_BACK, BACK), (DHL_DISPOSED, LOST), (DHL_DAMAGED, DAMAGED)]
)
def test_what_the_carrier_says_is_a_case_at_once(tape: Tape, code: dict[str, str], rule: RuleId) -> None:
    tape.scan(30, code)
    assert tape.one(rule) == (AT_ONCE, "escalated", "due")


@pytest.mark.parametrize(
    ("code", "rule"), [(DHL_TURNED_BACK, BACK), (DHL_DISPOSED, LOST), (DHL_DAMAGED, DAMAGED)]
)
def test_a_parcel_at_the_dock_is_neither_lost_nor_turned_back(
    tape: Tape, code: dict[str, str], rule: RuleId
) -> None:
    tape.scan(30, code)
    tape.check_in(60)
    assert tape.one(rule) == (AT_ONCE, "resolved", "checked_in")


def test_a_parcel_that_was_turned_back_waits_for_a_delivery_and_not_for_any_scan(tape: Tape) -> None:
    tape.scan(20, DHL_DELIVERED, LIL1)  # before: no end of it
    tape.scan(30, DHL_TURNED_BACK)
    tape.scan(50, DHL_HUB)
    tape.scan(60, DHL_DELIVERED, {"country": "FR"})  # to the customer
    tape.scan(70, DHL_DELIVERED, LIL1)
    assert tape.one(BACK) == (AT_ONCE, "resolved", "delivered")


def test_a_lost_parcel_is_found_by_any_scan(tape: Tape) -> None:
    tape.scan(30, DHL_DISPOSED)
    tape.scan(50, DHL_HUB)
    assert tape.one(LOST) == (AT_ONCE, "resolved", "progress")


def test_a_parcel_that_is_found_within_the_half_hour_was_never_lost(tape: Tape) -> None:
    tape.scan(30, DHL_DISPOSED)
    tape.scan(30.3, DHL_HUB)
    assert tape.of(LOST) == []


def test_a_parcel_that_is_lost_again_after_it_was_found_is_another_case(tape: Tape) -> None:
    tape.scan(30, DHL_DISPOSED)
    tape.scan(50, DHL_HUB)
    tape.scan(80, DHL_DISPOSED)
    assert tape.of(LOST) == [
        (LOST, AT_ONCE, "resolved", "progress"),
        (LOST, 80.52, "escalated", "due"),
    ]


def test_what_was_lost_and_found_may_be_silent_stuck_misrouted_and_overdue_like_anything_else(
    tape: Tape,
) -> None:
    tape.scan(20, DHL_MISROUTED, "hub")
    tape.scan(30, DHL_DISPOSED)
    tape.scan(50, DHL_MISROUTED, "hub")
    tape.scan(60, DHL_HUB, "hub")
    silent, stuck = RuleId.STALLED_SILENT, RuleId.STALLED_NO_PROGRESS
    assert tape.of(silent, until=400) == [(silent, 180, "escalated", "due")]
    assert tape.of(OVERDUE, until=400) == [(OVERDUE, 202, "escalated", "due")]
    assert tape.of(MISROUTED, until=400) == []
    for at in (140, 210, 290):
        tape.scan(at, DHL_HUB, "hub")
    assert tape.of(stuck, silent, until=300) == [(stuck, 228, "escalated", "due")]


def test_what_was_lost_and_found_can_go_astray_again(tape: Tape) -> None:
    tape.scan(20, DHL_MISROUTED)
    tape.scan(30, DHL_DISPOSED)
    tape.scan(50, DHL_MISROUTED)
    assert tape.of(MISROUTED, until=400) == [(MISROUTED, 74, "escalated", "due")]


def test_a_damaged_parcel_is_no_longer_damaged_when_it_is_gone(tape: Tape) -> None:
    tape.scan(30, DHL_DAMAGED)
    tape.scan(60, DHL_DISPOSED)
    assert tape.one(DAMAGED) == (AT_ONCE, "resolved", "lost")


def test_while_the_carrier_is_closed_no_hour_counts_not_even_twice_for_customs(tape: Tape) -> None:
    closure = {"carrier": "dhl_express", "reason": "strike", "source": "dhl.com"}
    closure |= {"from_at": "2026-03-17T06:00:00Z", "until_at": "2026-03-18T06:00:00Z"}
    tape.scan(30, DHL_CUSTOMS)
    tape.scan(60, DHL_HUB)
    assert tape.of(OVERDUE, closures=[closure]) == [("transit_overdue", 202 + 24 + 12, "escalated", "due")]
