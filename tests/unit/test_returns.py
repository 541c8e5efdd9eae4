"""A return: what its parcels report, and which of them a check-in by its number accounts for."""

from typing import Any

import pytest

from schemas.facts import ParcelReport
from schemas.vocabulary import Milestone, RuleId
from streams.returns import ReturnState, merge_fact, merge_report, received_by_number
from tests.stages import DAY, HOUR, MINUTE, MONDAY, Shop, label_fact, only, parcel_fact, return_fact


def report(
    parcel: str, revision: int = 1, *, delivered: int = 0, label: int = 0, checked_in: int = 0
) -> ParcelReport:
    """Times in hours after MONDAY; 0 is never (label: at once)."""
    return ParcelReport(
        parcel=parcel,
        revision=revision,
        carrier="ups",
        label_ms=MONDAY + label * HOUR,
        delivered_ms=MONDAY + delivered * HOUR if delivered else 0,
        checked_in_ms=MONDAY + checked_in * HOUR if checked_in else 0,
    )


def received(reports: list[ParcelReport], *check_ins: tuple[int, dict[str, Any]]) -> dict[str, int]:
    """Parcel -> hour of the check-in that accounts for it."""
    state = ReturnState()
    for one in reports:
        merge_report(state, one)
    for hour, more in check_ins:
        merge_fact(state, return_fact(Milestone.CHECKED_IN, hour * HOUR, **more))
    return {parcel: (fact.at_ms - MONDAY) // HOUR for parcel, fact in received_by_number(state).items()}


def test_the_report_with_the_highest_revision_counts_whenever_it_comes() -> None:
    state = ReturnState()
    assert merge_report(state, report("ups:1", 2, delivered=9))
    assert not merge_report(state, report("ups:1", 1))
    assert not merge_report(state, report("ups:1", 2))
    assert [one.delivered_ms for one in state.carried] == [MONDAY + 9 * HOUR]


TWO_DELIVERED = [report("ups:1", delivered=5), report("ups:2", delivered=4)]


@pytest.mark.parametrize(
    ("reports", "check_ins", "accounted"),
    [
        pytest.param([report("ups:1")], [(6, {})], {"ups:1": 6}, id="the only parcel, delivered or not"),
        pytest.param(TWO_DELIVERED, [(6, {})], {"ups:2": 6}, id="the oldest delivery first"),
        pytest.param(TWO_DELIVERED, [(6, {}), (7, {})], {"ups:2": 6, "ups:1": 7}, id="one for each check-in"),
        pytest.param(TWO_DELIVERED, [(6, {"count": 2})], {"ups:1": 6, "ups:2": 6}, id="as many as it counts"),
        pytest.param(TWO_DELIVERED, [(6, {"complete": True})], {"ups:1": 6, "ups:2": 6}, id="all, when complete"),
        pytest.param(TWO_DELIVERED, [(6, {"parcels": ("ups:1",)})], {"ups:1": 6}, id="those that it names"),
        pytest.param([report("ups:1"), report("ups:2")], [(6, {})], {}, id="none of two on their way"),
        pytest.param(
            [report("ups:1", delivered=2, checked_in=3), report("ups:2")], [(6, {})], {"ups:2": 6},
            id="the only one that was not scanned at the dock before",
        ),
        pytest.param([report("ups:1"), report("ups:2", label=9)], [(6, {})], {"ups:1": 6}, id="not one labelled later"),
    ],
)  # fmt: skip
def test_a_check_in_by_number_accounts_for(
    reports: list[ParcelReport], check_ins: list[tuple[int, dict[str, Any]]], accounted: dict[str, int]
) -> None:
    assert received(reports, *check_ins) == accounted


def test_a_labelled_parcel_that_has_not_reported_yet_may_have_been_meant() -> None:
    state = ReturnState()
    merge_report(state, report("ups:1"))
    merge_fact(state, return_fact(Milestone.LABEL_CREATED, 0, parcels=("ups:2",)))
    merge_fact(state, return_fact(Milestone.CHECKED_IN, 6 * HOUR))
    assert received_by_number(state) == {}


def test_a_check_in_taken_back_accounts_for_nothing() -> None:
    check_in = return_fact(Milestone.CHECKED_IN, 6 * HOUR)
    state = ReturnState()
    merge_report(state, report("ups:1"))
    merge_fact(state, return_fact(Milestone.UNMAPPED, 7 * HOUR, retracts=check_in.identity))
    merge_fact(state, check_in)
    assert received_by_number(state) == {}


def test_a_case_whose_cause_ends_ahead_of_the_watermark_is_not_taken_back() -> None:
    shop = Shop(only(RuleId.TRANSIT_OVERDUE, RuleId.STALLED_SILENT))
    shop.parcel_fact("ups:1", label_fact(0, "R1"))
    shop.parcel_fact("ups:1", parcel_fact(Milestone.ACCEPTED, HOUR))
    shop.parcel_fact("ups:1", parcel_fact(Milestone.IN_TRANSIT, 4 * DAY))
    shop.reach(10 * DAY - MINUTE)
    shop.news()
    shop.parcel_fact("ups:1", parcel_fact(Milestone.IN_TRANSIT, 10 * DAY))
    assert [(case.rule, case.state) for case in shop.news()] == [("stalled_silent", "resolved")]
    shop.reach(10 * DAY - MINUTE // 2)
    assert shop.news() == []
    shop.reach(10 * DAY)
    assert [(case.rule, case.state, case.reason) for case in shop.news()] == [
        ("transit_overdue", "open", "due")
    ]


def test_a_case_that_nobody_ends_expires_and_its_return_is_forgotten() -> None:
    shop = Shop(only(RuleId.REFUND_PROMISE_BROKEN, RuleId.LATE_LABEL, accept_age="30d"))
    shop.return_fact("R1", return_fact(Milestone.RETURN_REQUESTED, 0))
    shop.return_fact("R1", return_fact(Milestone.RETURN_APPROVED, HOUR))
    shop.reach(30 * DAY)
    assert {case.rule for case in shop.news()} == {"refund_promise_broken", "late_label"}
    shop.reach(35 * DAY)
    last = [(case.rule, case.state, case.reason) for case in shop.news()]
    assert last == [("late_label", "resolved", "expired"), ("refund_promise_broken", "resolved", "expired")]
    for day in range(36, 40):
        shop.reach(day * DAY)
    assert not shop.returns.store.states
