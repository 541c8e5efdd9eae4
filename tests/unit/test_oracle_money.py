"""The oracle on decisions, payments and promises. Hours count from a Monday, 06:00 UTC."""

from datetime import timedelta
from typing import Any

import pytest

from schemas.vocabulary import RuleId
from tests.unit.oracle_tape import MONDAY, PICKED_UP, Tape, default_terms

DECISION, REFUND = RuleId.LATE_REFUND_DECISION, RuleId.LATE_REFUND
AT_RISK, BROKEN = RuleId.REFUND_PROMISE_AT_RISK, RuleId.REFUND_PROMISE_BROKEN
LAW, FAILED = RuleId.STATUTORY_REFUND_DEADLINE, RuleId.REFUND_FAILED
SETTLED, KEPT = RuleId.REFUND_NOT_SETTLED, RuleId.REFUNDED_NOT_RETURNED
TWO_WEEKS = 14 * 24


@pytest.fixture
def tape() -> Tape:
    return Tape()


def at(hour: float) -> str:
    return (MONDAY + timedelta(hours=hour)).isoformat()


# ---- decided, paid ---------------------------------------------------------------------------------------------


def test_inspected_goods_wait_one_business_day_for_a_decision(tape: Tape) -> None:
    tape.inspect(4)  # Monday 10:00 UTC
    tape.inspect(9)
    assert tape.one(DECISION) == (28, "escalated", "due")


@pytest.mark.parametrize(
    "kind",
    ["refund_approved", "refund_refused", "refund_issued", "replacement_sent", "return_cancelled"],
)
def test_any_decision_ends_it_also_one_of_before(tape: Tape, kind: str) -> None:
    tape.inspect(4)
    tape.order(40, kind)
    assert tape.one(DECISION) == (28, "resolved", kind)
    tape.order(2, kind)
    assert tape.of(DECISION) == []


def test_an_approved_refund_is_paid_within_one_business_day(tape: Tape) -> None:
    tape.order(4, "refund_approved")
    assert tape.one(REFUND) == (28, "escalated", "due")


@pytest.mark.parametrize(
    ("kind", "state"),
    [("refund_issued", "resolved"), ("refund_refused", "resolved"), ("refund_failed", "escalated")],
)
def test_paid_late_or_refused_after_all(tape: Tape, kind: str, state: str) -> None:
    tape.order(4, "refund_approved")
    tape.order(60, kind)
    assert tape.one(REFUND)[:2] == (28, state)


def test_a_refusal_of_before_is_no_end_but_a_payment_is(tape: Tape) -> None:
    tape.order(2, "refund_refused")
    tape.order(4, "refund_approved")
    assert tape.one(REFUND) == (28, "escalated", "due")
    tape.order(3, "refund_issued")
    assert tape.of(REFUND) == []


def test_a_payment_that_is_told_late_takes_it_back(tape: Tape) -> None:
    tape.order(4, "refund_approved")
    tape.order(6, "refund_issued", posted=60)
    assert tape.one(REFUND) == (28, "retracted", "late_evidence")


# ---- promises --------------------------------------------------------------------------------------------------


def test_a_promise_is_kept_until_the_promised_time(tape: Tape) -> None:
    tape.order(0, "return_requested", promised_refund_at=at(200))
    assert tape.one(BROKEN) == (200, "escalated", "due")
    assert tape.one(AT_RISK) == (160, "escalated", "due")


def test_without_a_promise_the_shops_five_days_hold(tape: Tape) -> None:
    tape.order(0, "return_requested")
    assert tape.one(BROKEN) == (120, "escalated", "due")
    assert tape.of(AT_RISK, BROKEN) == [
        ("refund_promise_at_risk", 96, "resolved", "explained"),
        ("refund_promise_broken", 120, "escalated", "due"),
    ]


@pytest.mark.parametrize("kind", ["refund_issued", "refund_refused", "replacement_sent", "return_cancelled"])
def test_what_ends_a_promise(tape: Tape, kind: str) -> None:
    tape.order(0, "return_requested", promised_refund_at=at(200))
    tape.order(180, kind)
    assert tape.of(AT_RISK, BROKEN) == [("refund_promise_at_risk", 160, "resolved", kind)]


def test_an_approval_keeps_no_promise(tape: Tape) -> None:
    tape.order(0, "return_requested", promised_refund_at=at(200))
    tape.order(10, "refund_approved")
    assert tape.one(BROKEN) == (200, "escalated", "due")


def test_nobody_waits_for_the_refund_of_an_exchange(tape: Tape) -> None:
    tape.order(0, "return_requested", resolution="exchange", promised_refund_at=at(200))
    assert tape.of(AT_RISK, BROKEN) == []


def test_a_promise_that_lies_in_the_past_waits_for_what_is_read_to_settle(tape: Tape) -> None:
    tape.order(100, "return_requested", promised_refund_at=at(50))
    assert tape.one(BROKEN) == (100.52, "escalated", "due")


# ---- the law ---------------------------------------------------------------------------------------------------


def withdrawn(tape: Tape, country: str) -> None:
    tape.order(0, "return_requested", withdrawal=True, country=country)
    tape.label(1)


def test_the_law_of_the_union_counts_from_the_notice(tape: Tape) -> None:
    withdrawn(tape, "FR")
    tape.scan(30, PICKED_UP)
    assert tape.one(LAW) == (TWO_WEEKS, "escalated", "due")


def test_goods_that_are_sent_later_may_be_waited_for(tape: Tape) -> None:
    withdrawn(tape, "de")
    tape.scan(400, PICKED_UP)
    assert tape.one(LAW) == (400.52, "escalated", "due"), "once the scan has settled"


def test_the_law_of_the_kingdom_counts_from_the_proof_that_they_were_sent(tape: Tape) -> None:
    withdrawn(tape, "GB")
    tape.check_in(50)
    tape.scan(30, PICKED_UP, posted=60)
    assert tape.one(LAW) == (30 + TWO_WEEKS, "escalated", "due")


def test_without_proof_nothing_is_owed_yet(tape: Tape) -> None:
    withdrawn(tape, "FR")
    assert tape.of(LAW) == []


@pytest.mark.parametrize("request_", [{"country": "FR"}, {"country": "US", "withdrawal": True}])
def test_no_notice_or_no_law(tape: Tape, request_: dict[str, Any]) -> None:
    tape.order(0, "return_requested", **request_)
    tape.check_in_by_return(10)
    assert tape.of(LAW) == []


def test_a_refund_after_the_deadline_resolves_it(tape: Tape) -> None:
    withdrawn(tape, "FR")
    tape.check_in_by_return(50)
    tape.order(400, "refund_issued")
    assert tape.one(LAW) == (TWO_WEEKS, "resolved", "refund_issued")


# ---- it does not arrive ----------------------------------------------------------------------------------------


def test_a_failed_refund_is_told_at_once(tape: Tape) -> None:
    tape.order(9, "refund_issued")
    tape.order(10, "refund_failed")
    assert tape.one(FAILED) == (10.52, "escalated", "due")


@pytest.mark.parametrize("kind", ["refund_issued", "refund_settled", "replacement_sent"])
def test_another_payment_repairs_it(tape: Tape, kind: str) -> None:
    tape.order(10, "refund_failed")
    tape.order(30, kind)
    assert tape.one(FAILED) == (10.52, "resolved", kind)


def test_each_payment_is_settled_within_three_business_days(tape: Tape) -> None:
    tape.order(4, "refund_issued")  # Monday 10:00 UTC
    tape.order(5, "refund_issued")
    tape.order(40, "refund_settled")
    assert tape.one(SETTLED) == (77, "escalated", "due")


def test_a_failure_answers_a_payment_too(tape: Tape) -> None:
    tape.order(4, "refund_issued")
    tape.order(100, "refund_failed")
    assert tape.one(SETTLED) == (76, "resolved", "refund_failed")


# ---- paid before the goods came --------------------------------------------------------------------------------


def test_goods_that_were_refunded_come_within_thirty_days(tape: Tape) -> None:
    tape.label(0, "1")
    tape.label(0, "2")
    tape.order(10, "refund_issued")
    tape.check_in(20, "1")
    (case,) = tape.cases(terms=default_terms(KEPT))
    assert case.parcel == "fedex:2"
    assert tape.one(KEPT) == (730, "escalated", "due")


def test_goods_without_a_parcel_come_too(tape: Tape) -> None:
    tape.order(10, "refund_issued")
    assert tape.one(KEPT) == (730, "escalated", "due")
    tape.check_in_by_return(800)
    assert tape.one(KEPT) == (730, "resolved", "checked_in_by_return")


@pytest.mark.parametrize("how", ["before", "by number", "inspected"])
def test_goods_that_came_are_not_waited_for(tape: Tape, how: str) -> None:
    tape.label(0)
    if how == "before":
        tape.check_in(5)
    elif how == "by number":
        tape.check_in_by_return(300)
    else:
        tape.inspect(300)
    tape.order(10, "refund_issued")
    assert tape.of(KEPT) == []


def test_a_shop_has_what_is_brought_to_it(tape: Tape) -> None:
    tape.order(0, "return_requested", method="in_store")
    tape.order(10, "refund_issued")
    assert tape.of(KEPT) == []
