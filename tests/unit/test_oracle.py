"""The oracle, case by case: one short timeline, and what must come of it.

Hours count from Monday 2026-03-16, 06:00 UTC.
"""

from datetime import timedelta

import pytest

from schemas.vocabulary import CaseState, Reason, RuleId
from tests.unit.oracle_tape import (
    ANNOUNCED,
    DELIVERED,
    EXCEPTION,
    HUB,
    MONDAY,
    NOBODY_KNOWS,
    PICKED_UP,
    TURNED_BACK,
    Tape,
    hours,
)


@pytest.fixture
def tape() -> Tape:
    return Tape()


# ---- missing first scan ---------------------------------------------------------------------------------------


def test_a_label_that_nobody_ever_scans_is_missed_after_72_hours(tape: Tape) -> None:
    tape.label(0)
    assert tape.told() == [("missing_first_scan", 72, "escalated")]
    assert tape.told(until=80) == [("missing_first_scan", 72, "open")]
    assert tape.told(until=71) == []


@pytest.mark.parametrize(("scanned", "state"), [(72, "retracted"), (72.01, "resolved")])
def test_what_happens_at_the_deadline_itself_is_in_time(tape: Tape, scanned: float, state: str) -> None:
    tape.label(0)
    tape.scan(scanned, PICKED_UP)  # appended a minute later, when the case is open
    assert tape.told(until=150) == [("missing_first_scan", 72, state)]


def test_a_scan_in_time_is_no_case_until_the_next_rule_waits(tape: Tape) -> None:
    tape.label(0)
    tape.scan(71, PICKED_UP)
    assert tape.told(until=150) == []


def test_what_the_carrier_announces_is_not_a_scan(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, ANNOUNCED)
    assert tape.told() == [("missing_first_scan", 72, "escalated")]


def test_a_code_that_nobody_knows_proves_nothing(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, NOBODY_KNOWS)
    assert tape.told() == [("missing_first_scan", 72, "escalated")]


def test_a_scan_after_the_deadline_resolves_the_case(tape: Tape) -> None:
    tape.label(0)
    tape.scan(100, PICKED_UP)
    (case,) = tape.cases(until=200)
    assert case.final_states == {CaseState.RESOLVED}
    assert case.reasons == {Reason.FIRST_SCAN}
    assert case.ended_at is not None
    assert hours(case.ended_at) == 100


def test_a_scan_in_time_that_is_told_late_takes_the_case_back(tape: Tape) -> None:
    tape.label(0)
    tape.scan(20, PICKED_UP, posted=100)
    (case,) = tape.cases(until=110)
    assert (hours(case.opens_at), case.opens, case.retracted) == (72, True, True)
    assert case.final_states == {CaseState.RETRACTED}


def test_scans_told_out_of_order_first_resolve_and_then_take_back(tape: Tape) -> None:
    tape.label(0)
    tape.scan(95, HUB, posted=100)
    tape.scan(20, PICKED_UP, posted=100.1)
    assert tape.told(until=110) == [("missing_first_scan", 72, "retracted")]


def test_the_same_scan_twice_changes_nothing(tape: Tape) -> None:
    tape.label(0)
    tape.scan(100, PICKED_UP)
    tape.records.append(tape.records[-1]._replace(appended_at=MONDAY + timedelta(hours=140)))
    assert tape.told(until=200) == [("missing_first_scan", 72, "resolved")]


def test_a_scan_taken_back_was_never_there(tape: Tape) -> None:
    tape.label(0)
    tape.take_back(tape.scan(10, PICKED_UP), 20)
    assert tape.told() == [("missing_first_scan", 72, "escalated")]


def test_a_scan_taken_back_after_the_deadline_opens_the_case_then(tape: Tape) -> None:
    tape.label(0)
    tape.take_back(tape.scan(10, PICKED_UP), 100)
    (case,) = tape.cases(until=120)
    assert (hours(case.due_at), hours(case.opens_at)) == (72, 100.02)


def test_the_dock_saw_it_though_no_carrier_did(tape: Tape) -> None:
    tape.label(0)
    tape.check_in(60)
    assert tape.told() == []


@pytest.mark.parametrize(("cancelled", "state"), [(60, None), (100, "resolved")])
def test_a_cancelled_return_waits_for_nothing(tape: Tape, cancelled: float, state: str | None) -> None:
    tape.label(0)
    tape.cancel(cancelled)
    assert tape.told() == ([] if state is None else [("missing_first_scan", 72, state)])


def test_cancelled_in_time_and_told_late_takes_the_case_back(tape: Tape) -> None:
    tape.label(0)
    tape.cancel(60, posted=90)
    assert tape.told() == [("missing_first_scan", 72, "retracted")]


@pytest.mark.parametrize(("voided", "state"), [(60, None), (100, "resolved")])
def test_a_voided_label_waits_for_nothing(tape: Tape, voided: float, state: str | None) -> None:
    tape.label(0)
    tape.void(voided)
    assert tape.told() == ([] if state is None else [("missing_first_scan", 72, state)])


def test_a_carrier_that_gave_the_parcel_up_explains_the_missing_scan(tape: Tape) -> None:
    tape.label(0)
    tape.scan(50, TURNED_BACK)
    assert tape.told() == []


def test_one_parcel_with_two_returns_is_a_case_for_each(tape: Tape) -> None:
    tape.label(0, return_ids=["R1", "R2"])
    assert [case.return_id for case in tape.cases()] == ["R1", "R2"]


def test_a_scan_before_the_label_counts(tape: Tape) -> None:
    tape.scan(0, PICKED_UP)
    tape.label(5)
    assert tape.told(until=100) == []


def test_a_label_told_a_month_late_gets_the_settle_time(tape: Tape) -> None:
    tape.label(0, posted=700)
    tape.scan(20, PICKED_UP, posted=700.2)
    tape.scan(40, HUB, posted=700.2)
    tape.scan(60, DELIVERED, posted=700.2)
    tape.check_in(62, posted=700.2)
    assert tape.told() == []


def test_spaces_dashes_and_case_do_not_make_another_parcel(tape: Tape) -> None:
    tape.label(0, number="ab12 34-56")
    tape.scan(10, PICKED_UP, number="AB123456")
    assert tape.told(until=100) == []


def test_a_parcel_without_a_label_is_nobodys_case(tape: Tape) -> None:
    tape.scan(0, PICKED_UP)
    assert tape.told() == []


# ---- stalled --------------------------------------------------------------------------------------------------


def test_silence_for_five_days_after_any_scan(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(30, HUB)
    assert tape.told() == [("stalled_silent", 150, "escalated")]


def test_across_a_border_silence_may_last_seven_days(tape: Tape) -> None:
    tape.label(0, origin_country="IT")
    tape.scan(10, PICKED_UP)
    assert tape.told() == [("stalled_silent", 10 + 7 * 24, "escalated")]


def test_a_parcel_that_goes_on_late_resolves_its_silence(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(170, HUB)
    (case,) = tape.cases(until=200)
    assert case.final_states == {CaseState.RESOLVED}
    assert case.reasons == {Reason.PROGRESS}


def test_a_second_silence_is_a_second_case(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(170, HUB)
    cases = tape.cases()
    assert [(hours(case.due_at), case.occurrence) for case in cases] == [(130, 0), (290, 1)]
    assert [state for _, _, state in tape.told()] == ["resolved", "escalated"]


def test_scans_of_a_stuck_feed_take_the_silence_back(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    for at in (40, 70, 100, 130, 160):
        tape.scan(at, HUB, posted=165)
    assert tape.told(until=200) == [("stalled_silent", 130, "retracted")]


def test_a_late_scan_that_moves_the_silence_makes_another_case(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(60, HUB, posted=165)
    assert tape.told() == [("stalled_silent", 130, "retracted"), ("stalled_silent", 180, "escalated")]


def test_a_delivered_parcel_is_not_silent(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(20, DELIVERED)
    tape.check_in(22)
    assert tape.told() == []


def test_a_parcel_checked_in_without_a_delivery_scan_is_not_silent(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.check_in(40)
    assert tape.told() == []


def test_a_parcel_that_the_carrier_turns_back_is_not_silent(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(40, TURNED_BACK)
    assert tape.told() == []


def test_scanned_every_day_in_the_same_place_is_no_progress(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    for day in range(12):
        tape.scan(20 + 24 * day, HUB, place="Lyon")
    assert tape.told(until=300) == [("stalled_no_progress", 20 + 7 * 24, "escalated")]


def test_stuck_first_and_silent_then_is_told_as_silence(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(20, HUB, place="Lyon")
    tape.scan(30, HUB, place="Lyon")
    assert tape.told() == [("stalled_silent", 150, "escalated")]


def test_silent_first_and_still_in_the_same_place_is_both(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(20, HUB, place="Lyon")
    tape.scan(200, HUB, place="Lyon")
    assert tape.told(until=210) == [
        ("stalled_silent", 140, "resolved"),
        ("stalled_no_progress", 200.52, "open"),
    ]


def test_a_delay_reported_every_day_is_no_step_forward(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(20, HUB, place="Lyon")
    for day in range(1, 12):
        tape.scan(20 + 24 * day, EXCEPTION if day == 5 else HUB, place="Lyon")
    assert [(rule, due) for rule, due, _ in tape.told(until=270)] == [("stalled_no_progress", 20 + 7 * 24)]


def test_moving_on_late_resolves_no_progress(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    for day in range(9):
        tape.scan(20 + 24 * day, HUB, place="Lyon")
    tape.scan(230, HUB, place="Lille")
    assert tape.told(until=300) == [("stalled_no_progress", 20 + 7 * 24, "resolved")]


def test_silence_is_not_called_no_progress(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    assert [case.rule for case in tape.cases()] == [RuleId.STALLED_SILENT]


def test_a_new_place_every_day_is_progress(tape: Tape) -> None:
    tape.label(0)
    for day in range(12):
        tape.scan(10 + 24 * day, HUB)
    assert tape.told(until=300) == []
