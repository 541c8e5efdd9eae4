"""Rules about parcels that ask where it was delivered, or which of several labels counts."""

import pytest

from schemas.facts import LabelTerms, ParcelFact
from schemas.vocabulary import Evidence, Milestone, Reason, RuleId
from streams.rules import (
    carrier_reports,
    checked_in_not_delivered,
    delivered_not_checked_in,
    label_expired_unused,
    missing_first_scan,
    unexpected_parcel,
)
from tests.stages import HOUR, MONDAY, label_fact, parcel_fact
from tests.waiting import SETTLE, ParcelRule, Wait, anchor, plain, waits

LABEL = label_fact(0, "R1")
TO_LILLE = label_fact(0, "R1", facility="LIL1")
OURS, YOURS = "FR/lil1", "FR/lyon"
LILLE = plain(
    facilities={
        "LIL1": {"time_zone": "UTC", "places": [{"country": "FR", "city": "Lille", "site": "LIL1"}]},
        "PAR1": {"time_zone": "UTC", "places": [{"country": "FR", "city": "Paris"}]},
    }
)


def delivered(hour: int, place: str = "") -> ParcelFact:
    return parcel_fact(Milestone.DELIVERED, hour * HOUR, place=place)


def elsewhere(hour: int, place: str = "") -> ParcelFact:
    return parcel_fact(Milestone.DELIVERED_ELSEWHERE, hour * HOUR, place=place)


def scan(hour: int, place: str = "") -> ParcelFact:
    return parcel_fact(Milestone.IN_TRANSIT, hour * HOUR, place=place)


def checked_in(hour: int, evidence: Evidence = Evidence.WAREHOUSE_SCAN) -> ParcelFact:
    return parcel_fact(Milestone.CHECKED_IN, hour * HOUR, evidence=evidence)


def voided(hour: int, *returns: str) -> ParcelFact:
    names = LabelTerms(returns=returns, carrier="ups")
    return parcel_fact(Milestone.LABEL_VOIDED, hour * HOUR, evidence=Evidence.SYSTEM, label=names)


def wait(
    start: ParcelFact, due_ms: int, reason: Reason = Reason.DUE, end: ParcelFact | None = None, name: str = ""
) -> Wait:
    begun = (name or anchor(start), start.identity, due_ms)
    return Wait(*begun, reason, end.identity, end.occurred_ms - MONDAY) if end is not None else Wait(*begun)


def suspected(start: ParcelFact, reason: Reason = Reason.DUE, end: ParcelFact | None = None) -> Wait:
    return wait(start, start.occurred_ms - MONDAY + SETTLE, reason, end)


# -- delivered to whom ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([delivered(5, OURS)], [], id="to us"),
        pytest.param([delivered(5)], [], id="the carrier does not say where"),
        pytest.param([delivered(5, "FR")], [], id="it says no more than the country"),
        pytest.param([delivered(5, "/lil1")], [], id="it names our site without its country"),
        pytest.param(
            [delivered(5, "/lys1")], [suspected(delivered(5, "/lys1"))], id="it names another without its country"
        ),
        pytest.param([scan(4, YOURS), delivered(5, OURS)], [], id="seen elsewhere on the way"),
        pytest.param([delivered(5, YOURS)], [suspected(delivered(5, YOURS))], id="to another city"),
        pytest.param([delivered(5, "FR/paris")], [suspected(delivered(5, "FR/paris"))], id="to our other dock"),
        pytest.param([elsewhere(5, OURS)], [suspected(elsewhere(5, OURS))], id="elsewhere, the carrier says itself"),
        pytest.param([delivered(4, OURS), elsewhere(5)], [suspected(elsewhere(5))], id="first to us, then elsewhere"),
        pytest.param(
            [delivered(5, YOURS), delivered(6, "FR/nice"), elsewhere(7), delivered(8, OURS)],
            [suspected(delivered(5, YOURS), Reason.DELIVERED, delivered(8, OURS))],
            id="only a delivery to us ends it",
        ),
        pytest.param(
            [delivered(5, YOURS), scan(6, OURS), delivered(7)],
            [suspected(delivered(5, YOURS), Reason.DELIVERED, delivered(7))],
            id="or one that does not say where",
        ),
    ],
)  # fmt: skip
def test_a_delivery_is_suspected_where_the_carrier_names_another_place(
    facts: list[ParcelFact], expected: list[Wait]
) -> None:
    rule = carrier_reports.delivered_elsewhere_suspected
    assert waits(rule, TO_LILLE, *facts, policy=LILLE) == expected


def test_a_facility_whose_places_nobody_wrote_down_suspects_nothing_but_what_the_carrier_says() -> None:
    rule = carrier_reports.delivered_elsewhere_suspected
    assert waits(rule, LABEL, delivered(5, YOURS), policy=LILLE) == []
    found = waits(rule, LABEL, elsewhere(5, YOURS), delivered(6, YOURS), policy=LILLE)
    assert found == [suspected(elsewhere(5, YOURS), Reason.DELIVERED, delivered(6, YOURS))]


def test_a_parcel_that_turned_up_after_it_was_called_lost_is_found_by_the_first_scan_that_says_no_loss() -> (
    None
):
    lost, still = (parcel_fact(Milestone.LOST, hour * HOUR) for hour in (5, 6))
    gone, found, more = parcel_fact(Milestone.DISPOSED, 7 * HOUR), scan(8), scan(9)
    rule = carrier_reports.carrier_reported_lost
    assert waits(rule, LABEL, scan(4), lost, still, gone, found, more) == [
        suspected(lost, Reason.PROGRESS, found)
    ]
    assert waits(rule, LABEL, gone, found) == [suspected(gone, Reason.PROGRESS, found)]


def test_what_was_turned_back_or_damaged_says_so_once_however_often_it_is_said() -> None:
    for milestone, rule in (
        (Milestone.RETURNED_TO_SENDER, carrier_reports.returned_to_customer),
        (Milestone.DAMAGED, carrier_reports.carrier_reported_damaged),
    ):
        first, again = (parcel_fact(milestone, hour * HOUR) for hour in (5, 6))
        assert waits(rule, LABEL, first, again) == [suspected(first)]


def test_the_earliest_end_counts() -> None:
    turned, dock, void = parcel_fact(Milestone.RETURNED_TO_SENDER, 5 * HOUR), checked_in(8), voided(7)
    found = waits(carrier_reports.returned_to_customer, LABEL, turned, dock, void, delivered(9))
    assert found == [suspected(turned, Reason.LABEL_VOIDED, void)]
    found = waits(delivered_not_checked_in.expectations, LABEL, delivered(5), voided(20), checked_in(30))
    assert found == [wait(delivered(5), 15 * HOUR, Reason.LABEL_VOIDED, voided(20))]
    found = waits(delivered_not_checked_in.expectations, LABEL, delivered(5), checked_in(20), voided(30))
    assert found == [wait(delivered(5), 15 * HOUR, Reason.CHECKED_IN, checked_in(20))]


def test_a_budget_of_its_own_is_waited_for() -> None:
    patient = plain({RuleId.CARRIER_REPORTED_DAMAGED: {"budget": "4h"}})
    damaged = parcel_fact(Milestone.DAMAGED, 5 * HOUR)
    found = waits(carrier_reports.carrier_reported_damaged, LABEL, damaged, policy=patient)
    assert found == [wait(damaged, 9 * HOUR)]


# -- the dock ---------------------------------------------------------------------------------------------------


def test_the_first_delivery_and_the_first_check_in_count() -> None:
    first, again = delivered(5), delivered(6)
    assert waits(delivered_not_checked_in.expectations, LABEL, first, again) == [wait(first, 15 * HOUR)]
    dock, late = checked_in(5), delivered(30)
    assert waits(checked_in_not_delivered.expectations, LABEL, dock, checked_in(6), late, delivered(31)) == [
        wait(dock, 16 * HOUR, Reason.DELIVERED, late)
    ]
    assert waits(checked_in_not_delivered.expectations, LABEL, delivered(4), dock) == []


def test_a_parcel_that_the_dock_has_matched_with_a_return_is_not_unexpected() -> None:
    rule = unexpected_parcel.expectations
    dock = checked_in(5)
    assert waits(rule, dock) == [wait(dock, 15 * HOUR)]
    matched = checked_in(5, Evidence.WAREHOUSE_MATCH)
    assert waits(rule, matched) == []


def test_a_label_of_before_or_in_time_tells_whose_it_is() -> None:
    dock = checked_in(5)
    assert waits(unexpected_parcel.expectations, LABEL, dock) == []
    assert waits(unexpected_parcel.expectations, dock, label_fact(7 * HOUR, "R1")) == []


# -- the label --------------------------------------------------------------------------------------------------

UNSEEN = [missing_first_scan.expectations, label_expired_unused.expectations]


@pytest.mark.parametrize("rule", UNSEEN)
def test_a_scan_that_is_older_than_the_label_proves_that_it_was_seen(rule: ParcelRule) -> None:
    assert waits(rule, label_fact(2 * HOUR, "R1"), scan(1)) == []


@pytest.mark.parametrize("rule", UNSEEN)
def test_the_first_of_several_late_scans_is_the_one_that_was_missed(rule: ParcelRule) -> None:
    first, second = scan(20), scan(21)
    assert waits(rule, LABEL, second, first) == [wait(LABEL, 11 * HOUR, Reason.FIRST_SCAN, first)]


@pytest.mark.parametrize("rule", UNSEEN)
def test_the_earliest_label_that_still_holds_is_waited_for_and_the_journey_keeps_its_name(
    rule: ParcelRule,
) -> None:
    second = label_fact(4 * HOUR, "R2")
    assert waits(rule, LABEL, second) == [wait(LABEL, 11 * HOUR)]
    assert waits(rule, LABEL, second, voided(5, "R1")) == [wait(second, 15 * HOUR, name=anchor(LABEL))]


@pytest.mark.parametrize("rule", UNSEEN)
def test_a_check_in_at_the_time_of_the_first_scan_is_not_what_ended_the_waiting(rule: ParcelRule) -> None:
    first, dock = scan(20), checked_in(20)
    assert waits(rule, LABEL, first, dock) == [wait(LABEL, 11 * HOUR, Reason.FIRST_SCAN, first)]


def test_every_return_of_a_label_is_waited_for_until_the_last_is_taken_back() -> None:
    both = label_fact(0, "R1", "R2")
    rule = missing_first_scan.expectations
    assert waits(rule, both, voided(20, "R1")) == [wait(both, 11 * HOUR)]
    last = voided(21, "R2")
    assert waits(rule, both, voided(20, "R1"), last) == [wait(both, 11 * HOUR, Reason.LABEL_VOIDED, last)]
