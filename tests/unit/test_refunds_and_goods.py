"""Which goods a refund is about, and what becomes of a release when the request, the labels or the inspections change."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.facts import Source
from schemas.vocabulary import Evidence, Milestone, RuleId
from tests.stages import DAY, HOUR, MINUTE, MONDAY, label, label_fact, only, parcel_fact, return_fact
from tests.unit.test_refund_signals import (
    CHECKED_IN,
    DELIVERED,
    FIRST_SCAN,
    INSPECTED,
    LILLE,
    PARCEL,
    Till,
    till,
)

OTHER = "ups:2"
RIGHT_GRAMS, EMPTY_GRAMS = 1_800, 20


def labelled(shop: Till, parcel: str = PARCEL, at_ms: int = HOUR) -> None:
    terms = replace(label("R1", facility="LIL1"), weight_grams=RIGHT_GRAMS)
    shop.parcel_fact(parcel, replace(label_fact(at_ms, "R1"), label=terms))


def docked(shop: Till, at_ms: int, parcel: str = PARCEL, grams: int = 0) -> None:
    scan = parcel_fact(Milestone.CHECKED_IN, at_ms, evidence=Evidence.WAREHOUSE_SCAN)
    shop.parcel_fact(parcel, replace(scan, weight_grams=grams))


def voided(shop: Till, at_ms: int, parcel: str = PARCEL) -> None:
    shop.sees(Milestone.LABEL_VOIDED, at_ms, parcel, evidence=Evidence.SYSTEM, label=label("R1"))


def amended(
    shop: Till, at_ms: int, euros: int = 50, risk: str = "low", resolution: str = "refund", category: str = ""
) -> None:
    terms = ["parcel", resolution, False, "", "", category, "", risk]
    money = {"value_minor": euros * 100, "currency": "EUR"}
    shop.says(Milestone.RETURN_REQUESTED, at_ms, terms=terms, **money)


def inspected(shop: Till, at_ms: int, line: int, **found: Any) -> None:
    """As the n-th line that the warehouse wrote."""
    fact = return_fact(Milestone.INSPECTED, at_ms, **found)
    shop.return_fact("R1", replace(fact, source=Source("warehouse", 0, line)))


# -- what the dock has although its label was voided ----------------------------------------------------------------


@pytest.mark.parametrize("parcels", [(PARCEL,), (PARCEL, OTHER)])
def test_an_empty_box_is_not_paid_for_when_its_label_is_voided_afterwards(parcels: tuple[str, ...]) -> None:
    shop = Till(only(RuleId.CONTENT_MISMATCH))
    shop.requested(250, "normal")
    for parcel in parcels:
        labelled(shop, parcel)
        shop.sees(Milestone.ACCEPTED, FIRST_SCAN, parcel)
        shop.sees(Milestone.DELIVERED, DELIVERED, parcel)
    docked(shop, DELIVERED + 5 * MINUTE, grams=EMPTY_GRAMS)
    shop.reach(CHECKED_IN)
    voided(shop, CHECKED_IN)
    shop.reach(CHECKED_IN + DAY)
    assert (shop.told(), [case.state for case in shop.news()]) == ([], ["open"])
    shop.says(Milestone.INSPECTED, INSPECTED + DAY, parcels=(PARCEL,))
    shop.reach(INSPECTED + 2 * DAY)
    assert (shop.told(), [case.state for case in shop.news()]) == (
        ["release standard delivered"],
        ["resolved"],
    )


def test_goods_whose_label_was_voided_at_the_dock_are_inspected_and_have_come() -> None:
    shop = Till(only(RuleId.LATE_INSPECTION, RuleId.REFUNDED_NOT_RETURNED))
    shop.requested()
    shop.life_until(CHECKED_IN)
    voided(shop, CHECKED_IN + HOUR)
    shop.says(Milestone.REFUND_ISSUED, CHECKED_IN + 2 * HOUR)
    shop.reach(60 * DAY)
    assert {case.rule for case in shop.news()} == {RuleId.LATE_INSPECTION}


def test_a_case_about_goods_at_the_dock_outlives_their_label() -> None:
    shop = Till(only(RuleId.LATE_INSPECTION))
    shop.life_until(CHECKED_IN)
    shop.reach(CHECKED_IN + 3 * DAY)
    voided(shop, CHECKED_IN + 3 * DAY)
    shop.says(Milestone.INSPECTED, CHECKED_IN + 4 * DAY)
    assert [(case.state, case.reason) for case in shop.news() if case.reason != "level"] == [
        ("open", "due"),
        ("resolved", "inspected"),
    ]


def test_goods_at_the_dock_whose_label_was_voided_prove_the_dispatch() -> None:
    shop = Till(only(RuleId.STATUTORY_REFUND_DEADLINE))
    terms = ["parcel", "refund", True, "FR", "", "", "", "low"]
    shop.says(Milestone.RETURN_REQUESTED, 0, terms=terms, value_minor=5_000, currency="EUR")
    shop.life_until(CHECKED_IN)
    voided(shop, CHECKED_IN + HOUR)
    shop.reach(20 * DAY)
    assert [case.rule for case in shop.news()][:1] == [RuleId.STATUTORY_REFUND_DEADLINE]


# -- elsewhere, and elsewhere again ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [RuleId.DELIVERED_ELSEWHERE_SUSPECTED, RuleId.STALLED_SILENT])
def test_what_was_delivered_to_us_and_then_elsewhere_again_is_not_paid(rule: RuleId) -> None:
    shop = Till(only(rule, facilities=LILLE))
    shop.requested(risk="normal")
    labelled(shop)
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN)
    for at_ms, place in ((30, "FR/nice"), (32, "FR/lille"), (34, "FR/nice")):
        shop.sees(Milestone.DELIVERED, at_ms * HOUR, place=place)
    shop.reach(35 * HOUR)
    assert shop.told() == []
    seen = [(case.state, case.reason) for case in shop.news() if case.rule is rule]
    each = [("open", "due"), ("resolved", "delivered"), ("open", "due")]
    assert seen == (each if rule is RuleId.DELIVERED_ELSEWHERE_SUSPECTED else [])
    shop.sees(Milestone.DELIVERED, 36 * HOUR, place="FR/lille")
    shop.reach(37 * HOUR)
    assert shop.told() == ["release standard delivered"]


def test_of_two_deliveries_at_the_same_time_the_one_elsewhere_is_believed() -> None:
    shop = Till(only(RuleId.DELIVERED_ELSEWHERE_SUSPECTED))
    shop.requested(risk="normal")
    labelled(shop)
    for hour, order in ((30, 1), (40, -1)):
        for identity, milestone in ((1, Milestone.DELIVERED_ELSEWHERE), (2, Milestone.DELIVERED)):
            shop.sees(milestone, hour * HOUR, identity=hour + order * identity)
        shop.reach((hour + 2) * HOUR)
        assert (shop.told(), [case.state for case in shop.news()][-1:]) == ([], ["open"])
        shop.sees(Milestone.DELIVERED, (hour + 3) * HOUR)
        shop.sees(Milestone.DELIVERED_ELSEWHERE, (hour + 3) * HOUR + 1)
    shop.sees(Milestone.DELIVERED, 50 * HOUR)
    shop.reach(51 * HOUR)
    assert shop.told() == ["release standard delivered"]


# -- an amended request ---------------------------------------------------------------------------------------------


def test_a_release_of_another_amount_is_taken_back_and_said_again_with_the_amount_asked_for() -> None:
    shop = till()
    shop.requested(50)
    shop.life_until(FIRST_SCAN)
    amended(shop, 20 * HOUR, 30)
    shop.reach(20 * HOUR + 29 * MINUTE)
    (first, taken_back) = shop.signals()
    shop.reach(21 * HOUR)
    (again,) = shop.signals()
    said = [
        (one.revision, one.action, one.reason, one.value.amount_minor if one.value else 0)
        for one in (first, taken_back, again)
    ]
    assert said == [
        (1, "release", "first_scan", 5_000),
        (2, "revoke", "request_amended", 5_000),
        (3, "release", "first_scan", 3_000),
    ]
    assert first.signal_id == taken_back.signal_id == again.signal_id
    assert taken_back.since_at == taken_back.effective_at.replace(hour=20, minute=0)


def test_what_an_amended_request_no_longer_fits_waits_for_a_later_tier() -> None:
    shop = till()
    shop.requested(50)
    shop.life_until(FIRST_SCAN)
    amended(shop, 20 * HOUR, 50, risk="high")
    shop.life_until(INSPECTED - HOUR * 2)
    assert shop.told() == ["release instant first_scan", "revoke instant request_amended"]
    shop.life_until(INSPECTED)
    (signal,) = shop.signals()
    assert (signal.tier, signal.reason, signal.customer_risk) == ("inspected", "inspected", "high")


def test_an_amendment_that_moves_no_money_and_still_fits_is_not_spoken_of() -> None:
    shop = till()
    shop.requested(50, "normal")
    shop.life_until(DELIVERED)
    amended(shop, DELIVERED + 2 * HOUR, risk="low", category="shoes")
    shop.apply_policy(
        only(refund_tiers=[{"tier": "standard", "release_at": "delivered", "categories": ["hats"]}])
    )
    shop.reach(DELIVERED + DAY)
    assert shop.told() == ["release standard delivered"]


def test_who_was_told_of_a_release_is_told_again_whenever_the_shop_went_live() -> None:
    shop = till()
    shop.requested(50)
    shop.life_until(FIRST_SCAN)
    live = datetime.fromtimestamp((MONDAY + 15 * HOUR) / 1_000, UTC)
    shop.apply_policy(only(go_live_at=live))
    amended(shop, 20 * HOUR, 30)
    shop.reach(21 * HOUR)
    assert shop.told() == [
        "release instant first_scan",
        "revoke instant request_amended",
        "release instant first_scan",
    ]


def test_money_that_has_gone_is_not_called_back_for_an_amendment() -> None:
    shop = till()
    shop.requested(50)
    shop.life_until(FIRST_SCAN)
    shop.says(Milestone.REFUND_ISSUED, 20 * HOUR)
    amended(shop, 21 * HOUR, 30)
    shop.life_until(INSPECTED)
    assert shop.told() == ["release instant first_scan"]


def test_who_asks_for_other_goods_and_then_for_money_after_all_is_released_again() -> None:
    shop = till()
    shop.requested(50)
    shop.life_until(FIRST_SCAN)
    amended(shop, 20 * HOUR, resolution="exchange")
    shop.reach(21 * HOUR)
    amended(shop, 22 * HOUR)
    shop.reach(23 * HOUR)
    assert shop.told() == [
        "release instant first_scan",
        "revoke instant exchange_requested",
        "release instant first_scan",
    ]


def test_what_is_released_is_money_or_a_credit_as_the_request_asks() -> None:
    shop = till()
    shop.requested(50, resolution="store_credit")
    shop.life_until(FIRST_SCAN)
    amended(shop, 20 * HOUR)
    shop.reach(21 * HOUR)
    said = [(one.action, one.resolution) for one in shop.signals()]
    assert said == [("release", "store_credit"), ("revoke", "store_credit"), ("release", "refund")]


# -- only later tiers -----------------------------------------------------------------------------------------------


def test_after_trouble_no_laxer_tier_releases() -> None:
    shop = till()
    shop.requested(50, "normal")
    shop.life_until(DELIVERED)
    shop.says(Milestone.INSPECTED, INSPECTED, mismatches=("empty_box",))
    amended(shop, INSPECTED + HOUR, risk="low")
    shop.says(Milestone.INSPECTED, INSPECTED + 2 * HOUR)
    shop.reach(INSPECTED + 3 * HOUR)
    assert shop.told() == ["release standard delivered", "revoke standard content_mismatch"]
    docked(shop, INSPECTED + 4 * HOUR)
    shop.reach(INSPECTED + 5 * HOUR)
    assert shop.told() == ["release inspected inspected"]


@pytest.mark.parametrize(("stage", "told"), [("delivered", []), ("inspected", ["release strict inspected"])])
def test_a_tier_of_another_name_is_later_only_if_it_asks_for_more(stage: str, told: list[str]) -> None:
    shop = till()
    shop.requested(50, "normal")
    shop.life_until(CHECKED_IN)
    shop.says(Milestone.INSPECTED, INSPECTED, mismatches=("empty_box",))
    shop.apply_policy(only(refund_tiers=[{"tier": "strict", "release_at": stage}]))
    shop.says(Milestone.INSPECTED, INSPECTED + 2 * HOUR)
    shop.reach(INSPECTED + DAY)
    assert shop.told() == ["release standard delivered", "revoke standard content_mismatch", *told]


# -- a label that nobody used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("paid", [False, True])
def test_a_spare_label_takes_nothing_back_and_a_parcel_on_its_way_only_before_the_money_has_gone(
    paid: bool,
) -> None:
    shop = till()
    shop.requested(50, "normal")
    shop.life_until(DELIVERED)
    if paid:
        shop.says(Milestone.REFUND_ISSUED, DELIVERED + 2 * HOUR)
    labelled(shop, OTHER, DELIVERED + 3 * HOUR)
    shop.reach(DELIVERED + DAY)
    assert shop.told() == ["release standard delivered"]
    shop.sees(Milestone.ACCEPTED, DELIVERED + DAY, OTHER)
    shop.reach(DELIVERED + 2 * DAY)
    assert shop.told() == ([] if paid else ["revoke standard late_evidence"])


def test_what_was_paid_is_called_back_when_its_own_parcel_was_never_handed_over() -> None:
    shop = till()
    shop.requested()
    shop.parcel_fact(PARCEL, label_fact(HOUR, "R1"))
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN, identity=77)
    shop.reach(FIRST_SCAN + HOUR)
    shop.says(Milestone.REFUND_ISSUED, FIRST_SCAN + 2 * HOUR)
    shop.parcel_fact(OTHER, label_fact(FIRST_SCAN + 3 * HOUR, "R1"))
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN + 4 * HOUR, OTHER)
    shop.sees(Milestone.UNMAPPED, FIRST_SCAN + 5 * HOUR, retracts=77)
    assert shop.told() == ["release instant first_scan", "revoke instant late_evidence"]


# -- people and scales ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "told"), [(1, ["release inspected inspected"]), (2, [])])
def test_of_two_inspections_at_the_same_time_the_one_that_was_written_last_counts(
    wrong: int, told: list[str]
) -> None:
    for lines in ((1, 2), (2, 1)):
        shop = till()
        shop.requested(500)
        shop.life_until(CHECKED_IN)
        for line in lines:
            found = {"mismatches": ("quantity",)} if line == wrong else {"disposition": "restock"}
            inspected(shop, INSPECTED, line, **found)
        shop.reach(INSPECTED + 5 * DAY)
        assert shop.told() == told


def test_who_inspected_a_parcel_knows_better_than_a_scale_does_later() -> None:
    shop = Till(only(RuleId.CONTENT_MISMATCH))
    shop.requested(500)
    labelled(shop)
    docked(shop, CHECKED_IN, grams=EMPTY_GRAMS)
    shop.says(Milestone.INSPECTED, INSPECTED)
    shop.reach(INSPECTED + HOUR)
    docked(shop, INSPECTED + 3 * HOUR, grams=EMPTY_GRAMS)
    shop.reach(INSPECTED + DAY)
    assert shop.told() == ["release inspected inspected"]
    assert [case.state for case in shop.news()] == ["open", "resolved"]


@pytest.mark.parametrize("named", [(), (PARCEL,)])
def test_who_inspected_one_parcel_says_nothing_of_another_one_that_comes_later(
    named: tuple[str, ...],
) -> None:
    shop = till()
    shop.requested(50, "normal")
    for parcel in (PARCEL, OTHER):
        labelled(shop, parcel)
    docked(shop, CHECKED_IN, grams=RIGHT_GRAMS)
    shop.says(Milestone.INSPECTED, INSPECTED, parcels=named)
    docked(shop, INSPECTED + HOUR, OTHER, grams=EMPTY_GRAMS)
    shop.reach(INSPECTED + DAY)
    assert shop.told() == []
