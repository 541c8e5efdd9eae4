"""A customer is told what is true of the very parcel: turned back, destroyed, one of several, of a label that holds."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.policy import Policy
from schemas.policy_loading import default_policy
from schemas.return_journeys import ReturnJourney
from schemas.vocabulary import Evidence, Milestone
from tests.stages import DAY, HOUR, label_fact, parcel_fact, return_fact
from tests.unit.test_journeys_told_true import OTHER, requested
from tests.unit.test_return_journey import PARCEL, Portal, at, policy

ELSEWHERE = "returned_to_customer", "delivered_elsewhere_suspected"
LOW_RISK = ["parcel", "refund", False, "", "", "", "", "low"]


def last(portal: Portal) -> ReturnJourney:
    return portal.journeys()[-1]


def step(journey: ReturnJourney) -> tuple[str, Any] | None:
    ahead = journey.next_step
    return (ahead.step.value, ahead.due_at) if ahead is not None else None


def nobody_knows(journey: ReturnJourney) -> bool:
    return journey.refund.earliest_at is None and journey.refund.latest_at is None


def arrived(journey: ReturnJourney) -> bool:
    return journey.milestones[5].at is not None or any(one.delivered_at for one in journey.parcels)


def without(*rules: str) -> Policy:
    numbers = default_policy().model_dump(mode="json")["rules"]
    for rule in rules:
        numbers[rule]["enabled"] = False
    return policy(rules=numbers)


def on_the_way(portal: Portal, *parcels: str) -> None:
    requested(portal, *parcels)
    for parcel in parcels:
        portal.sees(Milestone.ACCEPTED, 4 * HOUR, parcel)


# -- turned back, or delivered elsewhere ---------------------------------------------------------------------------


@pytest.mark.parametrize("terms", [default_policy(), without(*ELSEWHERE)])
def test_what_was_turned_back_has_not_arrived_when_the_customer_gets_it(terms: Policy) -> None:
    portal = Portal(terms)
    on_the_way(portal, PARCEL)
    portal.sees(Milestone.RETURNED_TO_SENDER, 8 * HOUR)
    portal.sees(Milestone.DELIVERED, 20 * HOUR)
    told = last(portal)
    assert (told.message.key, told.stage, step(told), arrived(told)) == (
        "sent_back",
        "in_transit",
        None,
        False,
    )
    assert nobody_knows(told)
    portal.reach(40 * HOUR)
    portal.dock(50 * HOUR)
    portal.reach(52 * HOUR)
    assert last(portal).message.key == "checked_in"


@pytest.mark.parametrize("terms", [default_policy(), without(*ELSEWHERE)])
def test_what_was_delivered_elsewhere_is_still_awaited(terms: Policy) -> None:
    portal = Portal(terms)
    on_the_way(portal, PARCEL)
    portal.sees(Milestone.DELIVERED_ELSEWHERE, 20 * HOUR)
    told = last(portal)
    assert (told.message.key, step(told), arrived(told)) == (
        "delivered_elsewhere",
        ("delivered", None),
        False,
    )
    assert nobody_knows(told)
    portal.sees(Milestone.DELIVERED, 30 * HOUR)
    assert last(portal).message.key == "delivered"


# -- several parcels ----------------------------------------------------------------------------------------------


def test_goods_of_several_parcels_are_promised_by_when_the_last_is_due() -> None:
    portal = Portal()
    on_the_way(portal, PARCEL, OTHER)
    portal.dock(20 * HOUR)
    portal.dock(60 * HOUR, OTHER)
    told = last(portal)
    assert step(told) == ("inspected", at(68 * HOUR)), "what is due first"
    assert told.message.parameters == {"by": "2026-01-09T12:00:00.000Z"}
    decided = 108 * HOUR + 3 * DAY  # Friday noon, and one business day
    assert told.refund.latest_at == at(decided + DAY)


def test_the_decision_is_awaited_from_when_the_last_parcel_was_inspected() -> None:
    portal = Portal()
    on_the_way(portal, PARCEL, OTHER)
    for parcel in (PARCEL, OTHER):
        portal.sees(Milestone.DELIVERED, 8 * HOUR, parcel)
        portal.dock(9 * HOUR, parcel)
    portal.says(Milestone.INSPECTED, 10 * HOUR, parcels=[PARCEL])
    portal.reach(50 * HOUR)
    assert portal.journeys()[-1].open_cases == ()
    portal.says(Milestone.INSPECTED, 54 * HOUR, parcels=[OTHER])
    told = last(portal)
    assert (told.message.key, step(told)) == ("inspected", ("refund_approved", at(78 * HOUR)))
    portal.reach(79 * HOUR)
    assert [case.rule for case in last(portal).open_cases] == ["late_refund_decision"]


def test_several_parcels_that_were_all_dropped_off_are_told_as_several() -> None:
    portal = Portal()
    requested(portal, PARCEL, OTHER)
    portal.says(Milestone.DROPOFF_CLAIMED, 5 * HOUR, parcels=[PARCEL])
    assert last(portal).message.key == "partly_dropped_off"
    portal.says(Milestone.DROPOFF_CLAIMED, 6 * HOUR, parcels=[OTHER])
    assert last(portal).message.key == "parcels_dropped_off"


def test_each_parcel_has_the_deadline_of_its_own_claim() -> None:
    portal = Portal()
    requested(portal, PARCEL, OTHER)
    portal.says(Milestone.DROPOFF_CLAIMED, 5 * HOUR, parcels=[PARCEL])
    portal.says(Milestone.DROPOFF_CLAIMED, 10 * HOUR, parcels=[OTHER])
    both = last(portal)
    assert step(both) == ("in_transit", at(29 * HOUR))
    portal.sees(Milestone.ACCEPTED, 11 * HOUR)
    assert both.refund.earliest_at == at(34 * HOUR + 8 * DAY), (
        "when the second, scanned in time, is delivered in time"
    )


def test_a_refund_before_several_parcels_asks_for_those_that_were_not_sent() -> None:
    portal = Portal()
    requested(portal, PARCEL, OTHER)
    portal.sees(Milestone.ACCEPTED, 4 * HOUR)
    portal.says(Milestone.REFUND_ISSUED, 5 * HOUR)
    assert last(portal).message.key == "refund_issued_parcels_awaited"


# -- words --------------------------------------------------------------------------------------------------------


def weighed(portal: Portal, at_ms: int, grams: int, parcel: str = PARCEL) -> None:
    scan = parcel_fact(Milestone.CHECKED_IN, at_ms, evidence=Evidence.WAREHOUSE_SCAN)
    portal.parcel_fact(parcel, replace(scan, weight_grams=grams))


def too_light(portal: Portal) -> None:
    for parcel in (PARCEL, OTHER):
        fact = label_fact(2 * HOUR, "R1")
        assert fact.label is not None
        portal.parcel_fact(parcel, replace(fact, label=replace(fact.label, weight_grams=1_800)))
        portal.sees(Milestone.ACCEPTED, 4 * HOUR, parcel)
    weighed(portal, 20 * HOUR, 20)


def seen(milestone: Milestone) -> Callable[[Portal], None]:
    def see(portal: Portal) -> None:
        on_the_way(portal, PARCEL, OTHER)
        portal.sees(milestone, 8 * HOUR)

    return see


def nobody_scans(portal: Portal) -> None:
    requested(portal, PARCEL, OTHER)
    portal.sees(Milestone.ACCEPTED, 4 * HOUR, OTHER)
    portal.reach(75 * HOUR)


def nobody_checks_in(portal: Portal) -> None:
    on_the_way(portal, PARCEL, OTHER)
    portal.sees(Milestone.DELIVERED, 8 * HOUR)
    portal.reach(45 * HOUR)


@pytest.mark.parametrize(
    ("happen", "key"),
    [
        (seen(Milestone.LOST), "lost"),
        (seen(Milestone.DISPOSED), "disposed"),
        (seen(Milestone.RETURNED_TO_SENDER), "sent_back"),
        (seen(Milestone.DAMAGED), "damaged"),
        (seen(Milestone.DELIVERED_ELSEWHERE), "delivered_elsewhere"),
        (nobody_scans, "no_first_scan"),
        (nobody_checks_in, "searching"),
        (too_light, "weight_mismatch"),
    ],
)
def test_trouble_with_one_of_several_parcels_is_told_as_such(
    happen: Callable[[Portal], None], key: str
) -> None:
    portal = Portal()
    happen(portal)
    portal.reach(76 * HOUR if key == "no_first_scan" else 46 * HOUR)
    message = last(portal).message
    assert message.key == f"{key}_of_one"
    assert "at least one of your parcels" in message.text["en"].lower()
    assert "au moins un de vos colis" in message.text["fr"].lower()


def test_what_the_carrier_destroyed_is_not_being_looked_for() -> None:
    portal = Portal()
    on_the_way(portal, PARCEL)
    portal.sees(Milestone.DISPOSED, 8 * HOUR)
    portal.reach(12 * HOUR)
    assert last(portal).message.key == "disposed"


def test_a_wrong_weight_is_no_finding_of_an_inspection() -> None:
    portal = Portal()
    requested(portal)
    fact = label_fact(2 * HOUR, "R1")
    assert fact.label is not None
    portal.parcel_fact(PARCEL, replace(fact, label=replace(fact.label, weight_grams=1_800)))
    portal.sees(Milestone.ACCEPTED, 4 * HOUR)
    weighed(portal, 20 * HOUR, 20)
    portal.reach(22 * HOUR)
    assert last(portal).message.key == "weight_mismatch"
    portal.says(Milestone.INSPECTED, 23 * HOUR, mismatches=["empty_box"])
    portal.reach(24 * HOUR)
    assert last(portal).message.key == "content_mismatch"


def test_a_refund_that_is_approved_after_the_cancellation_is_told_and_one_before_it_is_not() -> None:
    portal = Portal()
    on_the_way(portal, PARCEL)
    portal.says(Milestone.REFUND_APPROVED, 5 * HOUR)
    portal.says(Milestone.RETURN_CANCELLED, 6 * HOUR)
    told = last(portal)
    assert (told.status, told.message.key, told.next_step) == ("closed", "return_cancelled", None)
    portal.says(Milestone.REFUND_APPROVED, 12 * HOUR)
    told = last(portal)
    assert (told.status, told.message.key) == ("shipped", "refund_approved")
    assert told.next_step is not None
    assert told.next_step.step == "refund_issued"


# -- labels that were taken back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [[PARCEL], []])
def test_a_claim_about_a_label_that_was_voided_is_none_about_the_next(named: list[str]) -> None:
    portal = Portal()
    requested(portal, PARCEL)
    portal.says(Milestone.DROPOFF_CLAIMED, 5 * HOUR, parcels=named)
    portal.sees(Milestone.LABEL_VOIDED, 6 * HOUR, evidence=Evidence.SYSTEM)
    portal.parcel_fact(OTHER, label_fact(7 * HOUR, "R1"))
    told = last(portal)
    assert (told.stage, told.message.key, step(told)) == (
        "label_created",
        "label_created",
        ("dropped_off", at(79 * HOUR)),
    )
    portal.says(Milestone.DROPOFF_CLAIMED, 8 * HOUR, parcels=[])
    assert last(portal).message.key == "dropped_off"


def test_whoever_has_sent_one_of_several_parcels_whose_labels_were_voided_is_asked_to_call() -> None:
    portal = Portal()
    requested(portal, PARCEL, OTHER)
    portal.sees(Milestone.ACCEPTED, 4 * HOUR, OTHER)
    for parcel in (PARCEL, OTHER):
        portal.sees(Milestone.LABEL_VOIDED, 6 * HOUR, parcel, evidence=Evidence.SYSTEM)
    assert last(portal).message.key == "label_voided_after_use"


def test_goods_of_a_voided_label_that_were_inspected_are_not_those_of_the_next() -> None:
    portal = Portal()
    on_the_way(portal, PARCEL)
    portal.dock(9 * HOUR)
    portal.says(Milestone.INSPECTED, 10 * HOUR)
    portal.sees(Milestone.LABEL_VOIDED, 11 * HOUR, evidence=Evidence.SYSTEM)
    portal.parcel_fact(OTHER, label_fact(12 * HOUR, "R1"))
    told = last(portal)
    assert (told.stage, told.message.key) == ("label_created", "label_created")


# -- estimates ----------------------------------------------------------------------------------------------------


def test_a_tier_that_was_used_up_releases_nothing_more() -> None:
    portal = Portal()
    portal.says(Milestone.RETURN_REQUESTED, 0, value_minor=50_00, currency="EUR", terms=LOW_RISK)
    portal.says(Milestone.RETURN_APPROVED, HOUR)
    portal.parcel_fact(PARCEL, label_fact(2 * HOUR, "R1"))
    portal.return_fact("R1", return_fact(Milestone.LABEL_CREATED, 2 * HOUR, parcels=[PARCEL]))
    assert last(portal).refund.earliest_at == at(74 * HOUR), "at the first scan"
    portal.parcel_fact(PARCEL, parcel_fact(Milestone.ACCEPTED, 4 * HOUR, identity=77))
    portal.reach(6 * HOUR)
    assert (released := last(portal).refund).released
    assert (released.earliest_at, released.latest_at is None) == (None, False), "at any time"
    portal.parcel_fact(PARCEL, parcel_fact(Milestone.ACCEPTED, 7 * HOUR, retracts=77))
    spent = last(portal).refund
    assert not spent.released
    assert spent.earliest_at is not None
    assert spent.earliest_at > at(74 * HOUR), "the next tier that it fits: at delivery or later"


def test_nothing_is_estimated_while_something_speaks_against_paying() -> None:
    portal = Portal()
    on_the_way(portal, PARCEL)
    portal.dock(9 * HOUR)
    portal.says(Milestone.INSPECTED, 10 * HOUR, disposition="reject")
    told = last(portal)
    assert (told.message.key, nobody_knows(told)) == ("inspected", True)
    portal.says(Milestone.INSPECTED, 12 * HOUR)
    assert not nobody_knows(last(portal))
    portal.says(Milestone.INSPECTED, 13 * HOUR, mismatches=["wrong_item"])
    assert nobody_knows(last(portal))
    portal.says(Milestone.REFUND_APPROVED, 14 * HOUR)
    assert last(portal).refund.latest_at is not None, "a person has decided"
