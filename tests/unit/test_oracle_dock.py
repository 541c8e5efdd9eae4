"""The oracle on deliveries and check-ins, on what may vary, and on what the policy and the records say."""

import json
from datetime import timedelta
from typing import Any

import pytest
from ruamel.yaml import YAML

from schemas.vocabulary import CaseState, Reason, RuleId
from simulation.ledger import LedgerEvent
from simulation.terms import Terms
from tests.unit.oracle_tape import DELIVERED, HUB, MONDAY, PICKED_UP, POLICY, Tape, hours, policy


@pytest.fixture
def tape() -> Tape:
    return Tape()


# ---- delivered, not checked in ---------------------------------------------------------------------------------


def delivered(tape: Tape, at: float, number: str = "1", **label: Any) -> None:
    tape.label(at - 40, number, **label)
    tape.scan(at - 30, PICKED_UP, number=number)
    tape.scan(at, DELIVERED, number=number)


def test_a_delivery_waits_one_business_day_for_its_check_in(tape: Tape) -> None:
    delivered(tape, 52)  # Wednesday 10:00 UTC
    assert tape.told() == [("delivered_not_checked_in", 76, "escalated")]


def test_a_delivery_of_friday_has_until_monday(tape: Tape) -> None:
    delivered(tape, 100)  # Friday 10:00 UTC
    assert tape.told() == [("delivered_not_checked_in", 100 + 72, "escalated")]


def test_a_delivery_of_saturday_counts_from_monday_morning(tape: Tape) -> None:
    delivered(tape, 124)  # Saturday 10:00 UTC; opens Monday 08:00 in Lille, which is 07:00 UTC
    assert tape.told() == [("delivered_not_checked_in", 8 * 24 + 1, "escalated")]


def test_after_closing_time_counts_from_the_next_morning(tape: Tape) -> None:
    delivered(tape, 62)  # Wednesday 20:00 UTC
    assert tape.told() == [("delivered_not_checked_in", 4 * 24 + 1, "escalated")]


def test_before_opening_counts_from_the_opening(tape: Tape) -> None:
    delivered(tape, 48)  # Wednesday 06:00 UTC, 07:00 in Lille
    assert tape.told() == [("delivered_not_checked_in", 3 * 24 + 1, "escalated")]


def test_easter_and_summer_time_lie_between(tape: Tape) -> None:
    delivered(tape, 18 * 24 + 4)  # Friday 3 April, 10:00 UTC: no holiday in Lille; Easter Monday is one
    assert tape.told() == [("delivered_not_checked_in", 22 * 24 + 4, "escalated")]


def test_the_facility_counts_by_its_own_clock(tape: Tape) -> None:
    delivered(tape, 62, facility="SDF1")  # 20:00 UTC is 16:00 in Louisville: still open
    assert tape.told() == [("delivered_not_checked_in", 86, "escalated")]


def test_checked_in_by_its_number_or_by_the_return(tape: Tape) -> None:
    delivered(tape, 52)
    tape.check_in_by_return(54)
    assert tape.told() == []


def test_found_on_the_dock_two_days_later(tape: Tape) -> None:
    delivered(tape, 52)
    tape.check_in(110)
    (case,) = tape.cases()
    assert case.final_states == {CaseState.RESOLVED}
    assert case.reasons == {Reason.CHECKED_IN}


def test_checked_in_in_time_and_told_late_takes_the_case_back(tape: Tape) -> None:
    delivered(tape, 52)
    tape.check_in_by_return(54, posted=110)
    assert tape.told() == [("delivered_not_checked_in", 76, "retracted")]


def test_a_delivery_taken_back_waits_for_no_check_in(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.take_back(tape.scan(52, DELIVERED), 55)
    tape.scan(70, HUB)
    assert tape.told(until=150) == []


def test_two_parcels_and_one_number_typed_leave_the_second_parcels_case_true(tape: Tape) -> None:
    delivered(tape, 52, "1")
    delivered(tape, 53, "2")
    tape.check_in_by_return(54)
    (case,) = tape.cases()
    assert (case.parcel, case.rule) == ("fedex:2", RuleId.DELIVERED_NOT_CHECKED_IN)


@pytest.mark.parametrize(
    "said",
    [
        {"complete": True},
        {"count": 2},
        {"parcels": [{"carrier": "FedEx", "tracking_number": n} for n in ("1", "2")]},
    ],
)
def test_a_number_that_accounts_for_both_parcels_closes_both(tape: Tape, said: dict[str, Any]) -> None:
    delivered(tape, 52, "1")
    delivered(tape, 53, "2")
    tape.check_in_by_return(54, **said)
    assert tape.told() == []


def test_the_number_means_the_parcel_that_it_names(tape: Tape) -> None:
    delivered(tape, 52, "1")
    delivered(tape, 53, "2")
    tape.check_in_by_return(54, parcels=[{"carrier": "fedex", "tracking_number": "2"}])
    assert [case.parcel for case in tape.cases()] == ["fedex:1"]


def test_a_number_typed_before_the_second_label_cannot_mean_the_second_parcel(tape: Tape) -> None:
    delivered(tape, 52, "1")
    tape.check_in_by_return(54)
    delivered(tape, 100, "2")
    assert [case.parcel for case in tape.cases()] == ["fedex:2"]


def test_a_second_number_typed_means_the_second_parcel(tape: Tape) -> None:
    delivered(tape, 52, "1")
    delivered(tape, 53, "2")
    tape.check_in_by_return(54)
    tape.check_in_by_return(55)
    assert tape.told() == []


def test_the_number_means_the_only_parcel_that_is_still_open(tape: Tape) -> None:
    delivered(tape, 52, "1")
    delivered(tape, 53, "2")
    tape.check_in(54, "1")
    tape.check_in_by_return(55)
    assert tape.told() == []


# ---- what may vary ---------------------------------------------------------------------------------------------


def test_a_record_appended_just_after_the_deadline_may_or_may_not_be_known_at_it(tape: Tape) -> None:
    tape.label(0)
    tape.scan(70, PICKED_UP, posted=75)
    assert [(case.opens, case.retracted) for case in tape.cases(until=150)] == [(True, True)]
    assert [case.opens for case in tape.cases(until=150, tolerance=2)] == [True]
    assert [case.opens for case in tape.cases(until=150, tolerance=4)] == ["either"]


def test_a_late_end_is_certain_whenever_it_is_known(tape: Tape) -> None:
    tape.label(0)
    tape.scan(74, PICKED_UP, posted=75)
    assert [(case.opens, case.retracted) for case in tape.cases(until=150, tolerance=4)] == [(True, False)]


def test_a_case_that_opens_at_the_very_end_may_not_be_seen(tape: Tape) -> None:
    tape.label(0)
    assert [case.opens for case in tape.cases(until=73, tolerance=4)] == ["either"]


# ---- the policy -------------------------------------------------------------------------------------------------


def test_the_most_specific_budget_wins(tape: Tape) -> None:
    rules = YAML(typ="safe").load(POLICY)["rules"]
    rules["missing_first_scan"]["overrides"] = [
        {"carrier": "fedex", "budget": "10h"},
        {"carrier": "fedex", "lane": "FR-FR", "budget": "20h"},
        {"lane": "FR-FR", "budget": "30h"},
        {"facility": "LIL1", "budget": "40h"},
    ]
    tape.label(0)
    assert [hours(case.due_at) for case in tape.cases(terms=Terms(policy(rules=rules)))] == [20]


def test_the_allowance_of_a_feed_is_added_where_its_scans_are_waited_for(tape: Tape) -> None:
    terms = Terms(policy(allowances={"fedex": "6h"}))
    tape.label(0, "1")
    delivered(tape, 52, "2", return_id="R2")
    assert [(case.rule.value, hours(case.due_at)) for case in tape.cases(terms=terms)] == [
        ("missing_first_scan", 78),
        ("delivered_not_checked_in", 76),
    ]


def test_a_rule_that_is_switched_off_expects_nothing(tape: Tape) -> None:
    rules = YAML(typ="safe").load(POLICY)["rules"]
    rules["missing_first_scan"]["enabled"] = False
    tape.label(0)
    assert tape.cases(terms=Terms(policy(rules=rules))) == []


# ---- what records look like --------------------------------------------------------------------------------------


def test_cloud_events_say_the_same(tape: Tape) -> None:
    at = (MONDAY + timedelta(hours=10)).isoformat()
    data = {"carrier": "FedEx", "tracking_number": "1", "occurred_at": at, **PICKED_UP}
    structured = {
        "specversion": "1.0",
        "id": "x",
        "source": "s",
        "type": "com.shop.carrier_scan",
        "data": data,
    }
    binary = (("ce_type", b"com.shop.carrier_scan"), ("ce_id", b"x"), ("ce_source", b"s"))
    for value, headers in (
        (structured, (("content-type", b"application/cloudevents+json"),)),
        (data, binary),
    ):
        tape.records.clear()
        tape.label(0)
        appended = MONDAY + timedelta(hours=10)
        tape.records.append(LedgerEvent("carrier-scans", json.dumps(value).encode(), headers, appended))
        assert tape.told(until=100) == []


def test_records_that_are_no_events_prove_nothing(tape: Tape) -> None:
    tape.label(0)
    for value in (b"{", b"[]", b'{"type":"carrier_scan"}', b'"x"', b"\xff"):
        tape.records.append(LedgerEvent("carrier-scans", value, (), MONDAY))
    assert tape.told() == [("missing_first_scan", 72, "escalated")]
