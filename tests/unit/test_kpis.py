"""What returns add to the KPIs, and when snapshots of it are said."""

from datetime import date
from typing import Any

import pytest

from schemas.facts import ParcelReport
from schemas.kpi_sums import KpiSum, KpiTable, added_up
from schemas.kpis import Count, Dimension, KpiSnapshot, Leg
from schemas.policy import Policy
from schemas.vocabulary import Closure, CommandType, Evidence, Milestone, RuleId
from streams import kpis
from streams.cells import KEPT_DAYS, MOST_MEMBERS, OTHERS, CellName, cell_key
from streams.kpi_snapshots import snapshot_of
from streams.kpis import CASES, case_slot
from streams.returns import ReturnState, merge_fact, merge_report
from streams.watermark import Outgoing
from tests.stages import (
    DAY,
    HOUR,
    MONDAY,
    Shop,
    case_command,
    label_fact,
    only,
    parcel_fact,
    return_fact,
)

MONDAY_DATE, TUESDAY_DATE = date(2026, 1, 5), date(2026, 1, 6)
ALL = Dimension.ALL


def quiet() -> Policy:
    """No rule but one that nothing here breaks in the first days."""
    return only(RuleId.LATE_RESTOCK)


def request(at_ms: int = 0, **more: Any) -> Any:
    terms = (
        "parcel",
        more.pop("resolution", "refund"),
        False,
        "",
        "",
        more.pop("category", ""),
        more.pop("reason", ""),
    )
    return return_fact(Milestone.RETURN_REQUESTED, at_ms, terms=(*terms, "normal", False), **more)


def told(shop: Shop) -> KpiTable:
    table = KpiTable()
    for message in shop.returns.said:
        if message.topic == "kpis":
            table.apply(message.key, message.value, "")
    assert not table.unreadable
    return table


def on(shop: Shop, day: date = MONDAY_DATE, by: Dimension = ALL, value: str = "") -> KpiSum:
    return added_up(told(shop).of_days(day, day), by).get(value, KpiSum())


def said_kpis(shop: Shop) -> list[Outgoing]:
    return [message for message in shop.returns.said if message.topic == "kpis"]


def ordinary(shop: Shop) -> None:
    """Requested on Monday, labelled an hour later, scanned after nine, delivered and received on Tuesday."""
    shop.return_fact("R1", request(reason="size", category="shoes", value_minor=5_000, currency="EUR"))
    shop.parcel_fact("ups:1", label_fact(HOUR, "R1", facility="LIL1"))
    shop.parcel_fact("ups:1", parcel_fact(Milestone.ACCEPTED, 10 * HOUR))
    shop.parcel_fact("ups:1", parcel_fact(Milestone.DELIVERED, 30 * HOUR))
    shop.parcel_fact("ups:1", parcel_fact(Milestone.CHECKED_IN, 33 * HOUR, evidence=Evidence.WAREHOUSE_SCAN))
    shop.return_fact("R1", return_fact(Milestone.INSPECTED, 35 * HOUR))
    shop.return_fact("R1", return_fact(Milestone.REFUND_ISSUED, 40 * HOUR, value_minor=4_500, currency="EUR"))


def test_milestones_count_on_their_day_and_legs_on_the_day_on_which_they_end() -> None:
    shop = Shop(quiet())
    ordinary(shop)
    shop.reach(3 * DAY)
    monday, tuesday = on(shop), on(shop, TUESDAY_DATE)
    assert monday.counts == {"requested": 1, "for_refund": 1, "labelled": 1, "scanned": 1}
    assert {leg: found.sum_seconds for leg, found in monday.legs.items()} == {
        Leg.REQUEST_TO_LABEL: 3_600,
        Leg.LABEL_TO_FIRST_SCAN: 9 * 3_600,
    }
    assert tuesday.counts == {"received": 1, "inspected": 1, "refunded": 1}
    assert {leg: found.sum_seconds // 3_600 for leg, found in tuesday.legs.items()} == {
        Leg.FIRST_SCAN_TO_DELIVERED: 20,
        Leg.DELIVERED_TO_RECEIVED: 3,
        Leg.RECEIVED_TO_INSPECTED: 2,
        Leg.INSPECTED_TO_REFUND: 5,
        Leg.REQUEST_TO_REFUND: 40,
    }
    assert tuesday.amounts == {"EUR": {"refunded_minor": 4_500, "at_risk_minor": 0}}


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (Dimension.CARRIER, "ups"),
        (Dimension.LANE, "FR-FR"),
        (Dimension.FACILITY, "LIL1"),
        (Dimension.REASON, "size"),
        (Dimension.CATEGORY, "shoes"),
    ],
)
def test_every_dimension_tells_all_of_it(dimension: Dimension, value: str) -> None:
    shop = Shop(quiet())
    ordinary(shop)
    shop.reach(3 * DAY)
    assert on(shop, TUESDAY_DATE, dimension, value) == on(shop, TUESDAY_DATE)
    assert set(added_up(told(shop).of_days(None, None), dimension)) == {value}, (
        "nothing is left where it was not known"
    )


def test_a_fact_that_comes_late_or_is_taken_back_corrects_the_days_before() -> None:
    shop = Shop(quiet())
    ordinary(shop)
    shop.reach(5 * DAY)
    retracted = parcel_fact(
        Milestone.UNMAPPED, 5 * DAY, retracts=parcel_fact(Milestone.ACCEPTED, 10 * HOUR).identity
    )
    shop.parcel_fact("ups:1", retracted)
    shop.parcel_fact("ups:1", parcel_fact(Milestone.IN_TRANSIT, 25 * HOUR))
    shop.reach(7 * DAY)
    assert Leg.LABEL_TO_FIRST_SCAN not in on(shop).legs
    assert on(shop, TUESDAY_DATE).legs[Leg.LABEL_TO_FIRST_SCAN].sum_seconds == 24 * 3_600
    assert on(shop).counts[Count.SCANNED] == 1, "it counts on the day of the label"


def test_a_label_whose_parcel_nobody_has_scanned_lowers_the_rate_of_its_day() -> None:
    shop = Shop(quiet())
    for number in range(4):
        shop.parcel_fact(f"ups:{number}", label_fact(HOUR, f"R{number}"))
    shop.parcel_fact("ups:2", parcel_fact(Milestone.ACCEPTED, 30 * HOUR))
    shop.reach(3 * DAY)
    assert (on(shop).counts[Count.LABELLED], on(shop).counts[Count.SCANNED]) == (4, 1)
    assert on(shop).first_scan_rate == 0.25


def test_what_ends_before_it_begins_is_no_leg() -> None:
    shop = Shop(quiet())
    shop.return_fact("R1", request(5 * HOUR))
    shop.return_fact("R1", return_fact(Milestone.REFUND_ISSUED, 4 * HOUR))
    shop.reach(DAY)
    assert (on(shop).counts[Count.REFUNDED], on(shop).legs) == (1, {})


def test_cases_count_on_the_day_of_their_deadline_by_what_they_are_now() -> None:
    shop = Shop(only(RuleId.MISSING_FIRST_SCAN, settle="0s"))
    shop.return_fact("R1", request(value_minor=5_000, currency="EUR"))
    shop.parcel_fact("ups:1", label_fact(0, "R1"))
    shop.reach(80 * HOUR)
    due = date(2026, 1, 8)
    shop.reach(4 * DAY)
    assert on(shop, due).cases_of("missing_first_scan").open == 1
    assert (on(shop, due).counts[Count.AT_RISK], on(shop, due).amounts["EUR"]["at_risk_minor"]) == (1, 5_000)
    shop.parcel_fact("ups:1", parcel_fact(Milestone.ACCEPTED, 10 * HOUR, arrived_ms=4 * DAY))
    shop.reach(6 * DAY)
    cases = on(shop, due).cases_of("missing_first_scan")
    assert (cases.told, cases.open, cases.retracted) == (1, 0, 1)
    assert on(shop, due).counts[Count.AT_RISK] == 0
    assert not on(shop, due).amounts


def test_a_false_alarm_is_what_somebody_closed_as_one() -> None:
    shop = Shop(only(RuleId.MISSING_FIRST_SCAN, settle="0s"))
    shop.parcel_fact("ups:1", label_fact(0, "R1"))
    shop.reach(80 * HOUR)
    (case,) = [change for change in shop.news() if change.state == "open"]
    shop.command(
        "R1", case_command(CommandType.RESOLVE, case.case_id, 81 * HOUR, closure=Closure.FALSE_ALARM)
    )
    shop.reach(5 * DAY)
    cases = on(shop, date(2026, 1, 8)).cases_of("missing_first_scan")
    assert (cases.told, cases.false_alarm, cases.resolved) == (1, 1, 0)


def test_amounts_of_two_currencies_are_two_amounts_and_what_is_no_currency_is_none() -> None:
    shop = Shop(quiet())
    for name, currency in (("R1", "EUR"), ("R2", "USD"), ("R3", "QQQ"), ("R4", "EUR")):
        shop.return_fact(name, return_fact(Milestone.REFUND_ISSUED, HOUR, value_minor=100, currency=currency))
    shop.reach(DAY)
    assert {currency: found["refunded_minor"] for currency, found in on(shop).amounts.items()} == {
        "EUR": 200,
        "USD": 100,
    }
    assert on(shop).counts[Count.REFUNDED] == 4


def test_a_snapshot_is_said_when_an_hour_of_the_log_has_passed_and_not_for_each_event() -> None:
    shop = Shop(quiet())
    for minute in range(30):
        shop.return_fact(f"R{minute}", request(minute * HOUR // 60))
        shop.reach(minute * HOUR // 60)
    assert not said_kpis(shop)
    shop.reach(HOUR)
    assert len(said_kpis(shop)) == len(Dimension)
    shop.reach(3 * DAY)
    assert len(said_kpis(shop)) == len(Dimension), "nothing was added since"
    snapshot = on(shop)
    assert snapshot.counts[Count.REQUESTED] == 30


def test_a_sweep_of_a_new_policy_passes_over_the_cells() -> None:
    shop = Shop(quiet())
    shop.reach(HOUR)
    shop.return_fact("R1", request(HOUR + 1))
    shop.apply_policy(only(RuleId.LATE_RESTOCK, RuleId.LATE_LABEL))
    assert not said_kpis(shop)
    shop.reach(2 * HOUR)
    assert on(shop).counts[Count.REQUESTED] == 1


def test_a_snapshot_is_named_by_its_key_and_its_time() -> None:
    shop = Shop(quiet())
    shop.reach(HOUR)
    shop.return_fact("R1", request(HOUR + 1))
    shop.reach(2 * HOUR)
    message = next(one for one in said_kpis(shop) if one.key == b"0|2026-01-05|all|")
    assert dict(message.headers)["ce_id"] == (b"0|2026-01-05|all|:%d" % (MONDAY + 2 * HOUR))
    assert message.partition == 0


def test_a_cell_in_which_nothing_is_left_is_deleted_with_its_snapshot() -> None:
    shop = Shop(quiet())
    shop.return_fact("R1", request(HOUR + 1))
    shop.reach(3 * HOUR)
    assert "" in added_up(told(shop).of_days(None, None), Dimension.CARRIER)
    shop.parcel_fact("ups:1", label_fact(HOUR + 2, "R1"))
    shop.reach(5 * HOUR)
    assert set(added_up(told(shop).of_days(None, None), Dimension.CARRIER)) == {"ups"}
    gone = cell_key(CellName(kpis.family_of(Dimension.CARRIER), MONDAY // DAY, ""))
    assert gone not in shop.returns.store.rows


def test_what_a_purged_return_added_stays_and_is_let_go_when_its_day_is_long_over() -> None:
    shop = Shop(only(RuleId.LATE_RESTOCK, accept_age="20d"))
    ordinary(shop)
    shop.reach(100 * DAY)
    assert not shop.returns.store.states
    assert on(shop).counts[Count.REQUESTED] == 1
    shop.reach((KEPT_DAYS + 3) * DAY)
    assert not shop.returns.store.rows
    assert not told(shop).snapshots


def test_the_51st_value_of_a_day_and_those_after_it_share_a_place() -> None:
    shop = Shop(quiet())
    for number in range(MOST_MEMBERS + 5):
        shop.return_fact(f"R{number}", request(HOUR, reason=f"reason{number}"))
    shop.return_fact("R-again", request(HOUR, reason="reason0"))
    shop.reach(DAY)
    by_reason = added_up(told(shop).of_days(None, None), Dimension.REASON)
    assert len(by_reason) == MOST_MEMBERS + 1
    assert by_reason[OTHERS].counts[Count.REQUESTED] == 5
    assert by_reason["reason0"].counts[Count.REQUESTED] == 2
    shop.return_fact("R54", return_fact(Milestone.REFUND_ISSUED, 2 * HOUR))
    shop.reach(2 * DAY)
    assert on(shop, MONDAY_DATE, Dimension.REASON, OTHERS).counts[Count.REFUNDED] == 1


def test_a_return_known_before_anything_was_counted_counts_once_when_it_is_looked_at() -> None:
    state = ReturnState()
    merge_fact(state, request(HOUR))
    before = kpis.as_counted(state)
    first = kpis.adds(before, state, MONDAY)
    assert first is not None
    assert len(first.sums) == len(Dimension)
    assert kpis.adds(kpis.as_counted(state), state, MONDAY) is None


def test_a_change_that_touches_too_many_cells_ends_the_counting_of_that_return() -> None:
    state = ReturnState()
    for number in range(60):
        report = ParcelReport(
            parcel=f"ups:{number}",
            revision=1,
            carrier="ups",
            label_ms=MONDAY + number * DAY,
            facility=f"F{number}",
        )
        merge_report(state, report)
    assert kpis.adds(ReturnState(), state, MONDAY + 90 * DAY) is None
    assert state.counted == kpis.NOT_COUNTED
    after = kpis.as_counted(state)
    merge_fact(state, request(HOUR))
    assert kpis.adds(after, state, MONDAY + 90 * DAY) is None


def test_days_that_are_long_over_take_nothing() -> None:
    state = ReturnState()
    merge_fact(state, request(HOUR))
    assert kpis.adds(ReturnState(), state, MONDAY + (KEPT_DAYS + 1) * DAY) is None


def test_every_rule_has_slots_of_its_own() -> None:
    slots = [case_slot(rule, kind) for rule in RuleId for kind in range(len(CASES))]
    assert len(slots) == len(set(slots))
    assert max(slots) < 1 << 32


def test_a_snapshot_passes_over_what_only_a_later_version_counts() -> None:
    unknown = {case_slot("a_rule_of_later", 0): 3, 17 * 128: 1}
    found: KpiSnapshot = snapshot_of(CellName(kpis.family_of(ALL), 20_458, ""), unknown, MONDAY, 0)
    assert (found.cases, found.legs) == ({}, {})
