"""The oracle on what comes before the first scan: labels, claims, pickups. Hours count from a Monday, 06:00 UTC."""

from typing import Any

import pytest

from schemas.vocabulary import RuleId
from tests.unit.oracle_tape import HUB, PICKED_UP, PICKUP_FAILED, TURNED_BACK, Tape, default_terms

CLAIM, PICKUP = RuleId.DROPOFF_CLAIM_UNCONFIRMED, RuleId.PICKUP_FAILED
EXPIRED, LATE_LABEL = RuleId.LABEL_EXPIRED_UNUSED, RuleId.LATE_LABEL
PARCEL_1: dict[str, Any] = {"carrier": "fedex", "tracking_number": "1"}


@pytest.fixture
def tape() -> Tape:
    return Tape()


# ---- claims ----------------------------------------------------------------------------------------------------


def test_a_claim_waits_a_day_for_the_carrier(tape: Tape) -> None:
    tape.label(0)
    tape.order(5, "dropoff_claimed")
    assert tape.one(CLAIM) == (29, "escalated", "due")


def test_a_second_claim_begins_nothing_anew(tape: Tape) -> None:
    tape.label(0)
    tape.order(5, "dropoff_claimed")
    tape.order(20, "dropoff_claimed", **PARCEL_1)
    assert tape.one(CLAIM) == (29, "escalated", "due")


def test_the_carrier_has_had_it_before_the_claim(tape: Tape) -> None:
    tape.label(0)
    tape.scan(4, PICKED_UP)
    tape.order(5, "dropoff_claimed")
    assert tape.of(CLAIM) == []


def test_a_first_scan_after_the_deadline_resolves_the_claim(tape: Tape) -> None:
    tape.label(0)
    tape.order(5, "dropoff_claimed")
    tape.scan(40, PICKED_UP)
    assert tape.one(CLAIM) == (29, "resolved", "first_scan")


def test_a_first_scan_that_is_told_late_takes_the_claims_case_back(tape: Tape) -> None:
    tape.label(0)
    tape.order(5, "dropoff_claimed")
    tape.scan(6, PICKED_UP, posted=40)
    assert tape.one(CLAIM) == (29, "retracted", "late_evidence")


def test_a_claim_without_a_label_is_nobodys(tape: Tape) -> None:
    tape.order(5, "dropoff_claimed", **PARCEL_1)
    tape.label(0, "2")
    assert tape.of(CLAIM) == []


def test_of_two_parcels_any_satisfies_a_claim_that_names_none(tape: Tape) -> None:
    tape.label(0, "1")
    tape.label(0, "2")
    tape.order(5, "dropoff_claimed")
    assert [case.parcel for case in tape.cases(terms=default_terms(CLAIM))] == [""]
    tape.scan(20, PICKED_UP, number="2")
    assert tape.of(CLAIM) == []


def test_of_two_parcels_a_claim_means_the_one_that_it_names(tape: Tape) -> None:
    tape.label(0, "1")
    tape.label(0, "2")
    tape.order(5, "dropoff_claimed", **PARCEL_1)
    tape.scan(20, PICKED_UP, number="2")
    assert [case.parcel for case in tape.cases(terms=default_terms(CLAIM))] == ["fedex:1"]


def test_a_cancelled_return_needs_no_proof_of_the_claim(tape: Tape) -> None:
    tape.label(0)
    tape.order(5, "dropoff_claimed")
    tape.cancel(20)
    assert tape.of(CLAIM) == []


# ---- pickups ---------------------------------------------------------------------------------------------------


def test_a_failed_pickup_waits_a_day_for_the_next(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKUP_FAILED)
    tape.scan(20, PICKUP_FAILED)
    assert tape.one(PICKUP) == (34, "escalated", "due")


@pytest.mark.parametrize(
    ("again", "found"), [(30, []), (50, [("pickup_failed", 34, "resolved", "first_scan")])]
)
def test_a_pickup_that_succeeds_ends_it(
    tape: Tape, again: float, found: list[tuple[str, float, str, str]]
) -> None:
    tape.label(0)
    tape.scan(10, PICKUP_FAILED)
    tape.scan(again, PICKED_UP)
    assert tape.of(PICKUP) == found


def test_a_scan_between_two_failed_pickups_makes_two_of_them(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKUP_FAILED)
    tape.scan(40, PICKED_UP)
    tape.scan(50, PICKUP_FAILED)
    tape.scan(90, HUB)
    assert tape.of(PICKUP) == [
        ("pickup_failed", 34, "resolved", "first_scan"),
        ("pickup_failed", 74, "resolved", "progress"),
    ]


def test_a_failed_pickup_is_no_scan(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKUP_FAILED)
    assert tape.one(RuleId.MISSING_FIRST_SCAN) == (72, "escalated", "due")


# ---- labels ----------------------------------------------------------------------------------------------------


def test_a_label_that_nobody_uses_expires_after_thirty_days(tape: Tape) -> None:
    tape.label(0)
    assert tape.one(EXPIRED) == (720, "escalated", "due")


@pytest.mark.parametrize("how", ["scan", "cancel", "check_in", "check_in_by_return", "void", "turned back"])
def test_a_label_that_served_or_is_not_needed_does_not_expire(tape: Tape, how: str) -> None:
    tape.label(0)
    if how in {"scan", "turned back"}:
        tape.scan(700, PICKED_UP if how == "scan" else TURNED_BACK)
    else:
        getattr(tape, how)(700)
    assert tape.of(EXPIRED) == []


def test_an_expired_label_that_is_used_after_all_is_resolved(tape: Tape) -> None:
    tape.label(0)
    tape.scan(800, PICKED_UP)
    assert tape.one(EXPIRED) == (720, "resolved", "first_scan")


def test_an_approved_return_waits_one_business_day_for_its_label(tape: Tape) -> None:
    tape.order(4, "return_approved")  # Monday 10:00 UTC
    assert tape.one(LATE_LABEL) == (28, "escalated", "due")


def test_a_label_after_the_deadline_resolves_it(tape: Tape) -> None:
    tape.order(4, "return_approved")
    tape.label(60)
    assert tape.one(LATE_LABEL) == (28, "resolved", "label_created")


def test_a_label_in_time_that_is_told_late_takes_it_back(tape: Tape) -> None:
    tape.order(4, "return_approved")
    tape.label(10, posted=60)
    assert tape.one(LATE_LABEL) == (28, "retracted", "late_evidence")


def test_goods_that_are_brought_to_a_shop_need_no_label(tape: Tape) -> None:
    tape.order(0, "return_requested", method="in_store")
    tape.order(4, "return_approved")
    assert tape.of(LATE_LABEL) == []


@pytest.mark.parametrize("kind", ["return_cancelled", "refund_approved", "refund_issued", "replacement_sent"])
def test_nobody_makes_a_label_for_what_is_over(tape: Tape, kind: str) -> None:
    tape.order(4, "return_approved")
    tape.order(10, kind)
    assert tape.of(LATE_LABEL) == []
