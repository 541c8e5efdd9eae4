"""The oracle on inspection, contents and shelf. Hours count from a Monday, 06:00 UTC."""

from typing import Any

import pytest

from schemas.vocabulary import CaseState, Reason, RuleId
from tests.unit.oracle_tape import Tape, default_terms, hours

INSPECTION, MISMATCH, SHELF = RuleId.LATE_INSPECTION, RuleId.CONTENT_MISMATCH, RuleId.LATE_RESTOCK


def named(*numbers: str) -> dict[str, Any]:
    return {"parcels": [{"carrier": "fedex", "tracking_number": number} for number in numbers]}


@pytest.fixture
def tape() -> Tape:
    """A parcel that was labelled at 0."""
    tape = Tape()
    tape.label(0)
    return tape


# ---- inspection ------------------------------------------------------------------------------------------------


def test_what_came_is_looked_at_within_two_days(tape: Tape) -> None:
    tape.check_in(50)
    (case,) = tape.cases(terms=default_terms(INSPECTION))
    assert (case.return_id, case.parcel, hours(case.due_at)) == ("R1", "fedex:1", 98)


def test_so_is_what_came_by_the_number_of_the_return(tape: Tape) -> None:
    tape.check_in_by_return(50)
    (case,) = tape.cases(terms=default_terms(INSPECTION))
    assert (case.parcel, hours(case.due_at)) == ("fedex:1", 98)


def test_goods_without_a_parcel_are_looked_at_too() -> None:
    tape = Tape()
    tape.check_in_by_return(50)
    (case,) = tape.cases(terms=default_terms(INSPECTION))
    assert (case.parcel, hours(case.due_at)) == ("", 98)


@pytest.mark.parametrize("how", ["inspected", "restocked"])
def test_an_inspection_in_time_ends_it(tape: Tape, how: str) -> None:
    tape.check_in(50)
    tape.inspect(60) if how == "inspected" else tape.restock(60)
    assert tape.of(INSPECTION) == []


def test_an_inspection_after_the_deadline_resolves_it(tape: Tape) -> None:
    tape.check_in(50)
    tape.inspect(120)
    assert tape.one(INSPECTION) == (98, "resolved", "inspected")


def test_an_inspection_that_is_told_late_takes_it_back(tape: Tape) -> None:
    tape.check_in(50)
    tape.inspect(60, posted=120)
    assert tape.one(INSPECTION) == (98, "retracted", "late_evidence")


def test_a_check_in_that_is_told_late_has_to_settle(tape: Tape) -> None:
    tape.check_in(50, posted=200)
    (case,) = tape.cases(terms=default_terms(INSPECTION))
    assert (hours(case.due_at), hours(case.opens_at)) == (200.5, 200.5)


def test_of_two_parcels_the_inspection_means_what_had_come(tape: Tape) -> None:
    tape.label(0, "2")
    tape.check_in(50, "1")
    tape.inspect(60)
    tape.check_in(70, "2")
    assert [case.parcel for case in tape.cases(terms=default_terms(INSPECTION))] == ["fedex:2"]


def test_of_two_parcels_the_inspection_means_those_that_it_names(tape: Tape) -> None:
    tape.label(0, "2")
    tape.check_in(50, "1")
    tape.check_in(50, "2")
    tape.inspect(60, **named("2"))
    assert [case.parcel for case in tape.cases(terms=default_terms(INSPECTION))] == ["fedex:1"]


def test_a_check_in_taken_back_leaves_nothing_to_look_at(tape: Tape) -> None:
    scanned = tape.write("warehouse", 50, None, type="checked_in", carrier="fedex", tracking_number="1")
    body = {"type": "checkin_retracted", "carrier": "fedex", "tracking_number": "1", "retracts": scanned}
    tape.write("warehouse", 60, None, **body)
    assert tape.of(INSPECTION) == []


# ---- contents --------------------------------------------------------------------------------------------------


def test_other_goods_than_announced_are_told_at_once(tape: Tape) -> None:
    tape.inspect(50, mismatch=["empty_box"])
    assert tape.one(MISMATCH) == (50.52, "escalated", "due")


def test_an_inspection_that_finds_nothing_amiss_is_none(tape: Tape) -> None:
    tape.inspect(50, mismatch=[], disposition="restock")
    assert tape.of(MISMATCH) == []


@pytest.mark.parametrize("kind", ["refund_approved", "refund_refused", "refund_issued", "replacement_sent"])
def test_a_decision_ends_it_if_it_comes_after(tape: Tape, kind: str) -> None:
    tape.order(40, kind)
    tape.inspect(50, mismatch=["weight"])
    assert tape.one(MISMATCH) == (50.52, "escalated", "due")
    tape.order(60, kind)
    assert tape.one(MISMATCH) == (50.52, "resolved", kind)


def test_a_second_look_that_finds_nothing_amiss_ends_it(tape: Tape) -> None:
    tape.inspect(50, mismatch=["weight"])
    tape.inspect(60)
    assert tape.one(MISMATCH) == (50.52, "resolved", "inspected")


def test_another_parcel_found_right_ends_nothing(tape: Tape) -> None:
    for number in ("1", "2"):
        tape.label(0, number)
    first, second = ({"carrier": "fedex", "tracking_number": number} for number in ("1", "2"))
    tape.inspect(50, parcels=[first], mismatch=["weight"])
    tape.inspect(60, parcels=[second])
    assert tape.one(MISMATCH) == (50.52, "escalated", "due")
    tape.inspect(70, parcels=[first])
    assert tape.one(MISMATCH) == (50.52, "resolved", "inspected")


def test_a_second_look_that_finds_more_amiss_is_a_second_case(tape: Tape) -> None:
    tape.inspect(50, mismatch=["weight"])
    tape.inspect(60, mismatch=["quantity"])
    assert [due for _, due, _, _ in tape.of(MISMATCH)] == [50.52, 60.52]


def test_a_worker_that_was_held_up_may_read_the_decision_before_the_inspection() -> None:
    tape = Tape()
    tape.label(0, weight_grams=659)
    for at, grams in ((50, 1647), (86, 685)):
        tape.write(
            "warehouse", at, None, type="checked_in", carrier="fedex", tracking_number="1", weight_grams=grams
        )
    tape.inspect(130)
    tape.order(133, "refund_approved")
    (decided,) = tape.cases(400, tolerance=114, terms=default_terms(MISMATCH))
    assert {CaseState.RESOLVED, CaseState.RETRACTED} <= decided.final_states
    assert decided.reasons == {Reason.LATE_EVIDENCE, Reason.INSPECTED, Reason.REFUND_APPROVED}


# ---- shelf -----------------------------------------------------------------------------------------------------


def test_what_may_be_sold_is_on_the_shelf_after_two_business_days(tape: Tape) -> None:
    tape.inspect(4, disposition="restock")  # Monday 10:00 UTC
    assert tape.one(SHELF) == (52, "escalated", "due")


def test_nothing_else_belongs_on_the_shelf(tape: Tape) -> None:
    tape.inspect(4, disposition="reject")
    tape.inspect(5)
    assert tape.of(SHELF) == []


@pytest.mark.parametrize(("posted", "state"), [(None, "resolved"), (90, "retracted")])
def test_late_on_the_shelf_or_told_late(tape: Tape, posted: float | None, state: str) -> None:
    tape.inspect(4, disposition="restock")
    tape.restock(80 if posted is None else 20, posted=posted)
    assert tape.one(SHELF)[:2] == (52, state)


def test_the_first_shelving_is_of_the_first_goods(tape: Tape) -> None:
    tape.inspect(4, disposition="restock")
    tape.inspect(5, disposition="restock")
    tape.restock(20)
    assert tape.one(SHELF) == (53, "escalated", "due")
