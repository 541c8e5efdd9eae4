"""What a customer is shown is never false: no date that has passed, nothing of a refund that is none, nothing twice."""

import re
from collections.abc import Sequence

import pytest

from schemas.journey_messages import MESSAGES
from schemas.outputs import cloud_event_fields
from schemas.return_journeys import JOURNEY_CE_TYPE, ReturnJourney, decode_journey, encode_journey
from schemas.vocabulary import CommandType, Evidence, Milestone, RuleId
from tests.stages import DAY, HOUR, MONDAY, case_command, label_fact, parcel_fact, return_fact
from tests.unit.test_return_journey import PARCEL, Portal, at

OTHER = "ups:2"


def requested(portal: Portal, *parcels: str, terms: Sequence[str] = ()) -> None:
    """A return of 50 EUR, approved after an hour and labelled after two."""
    portal.says(Milestone.RETURN_REQUESTED, 0, value_minor=50_00, currency="EUR", terms=list(terms))
    portal.says(Milestone.RETURN_APPROVED, HOUR)
    for parcel in parcels:
        portal.parcel_fact(parcel, label_fact(2 * HOUR, "R1"))
    if parcels:
        portal.return_fact("R1", return_fact(Milestone.LABEL_CREATED, 2 * HOUR, parcels=list(parcels)))


def keys(journeys: Sequence[ReturnJourney]) -> list[str]:
    return [journey.message.key for journey in journeys]


def resolve_by_hand(portal: Portal, rule: RuleId, at_ms: int) -> None:
    (case,) = (one for one in portal.journeys()[-1].open_cases if one.rule is rule)
    portal.command("R1", case_command(CommandType.RESOLVE, case.case_id, at_ms, closure="other"))


# -- dates ---------------------------------------------------------------------------------------------------------


def test_a_date_is_said_only_until_it_has_passed_though_no_case_opens() -> None:
    portal = Portal()
    requested(portal, PARCEL)
    portal.sees(Milestone.ACCEPTED, 6 * HOUR)
    portal.sees(Milestone.CUSTOMS_HOLD, 7 * HOUR)
    due = 8 * DAY + 6 * HOUR
    portal.reach(due - 1)
    before = portal.journeys()[-1]
    assert (before.message.key, before.next_step and before.next_step.due_at) == ("in_transit", at(due))
    assert before.refund.earliest_at == at(due)
    portal.reach(due)
    after = portal.one()
    assert (after.message.key, after.refund.earliest_at, after.refund.latest_at) == (
        "in_transit_undated",
        None,
        None,
    )
    assert after.revision == before.revision + 1
    portal.reach(due + HOUR)
    assert portal.journeys() == []


def test_what_is_late_promises_nothing_though_somebody_has_closed_the_case() -> None:
    portal = Portal()
    requested(portal, PARCEL)
    portal.sees(Milestone.ACCEPTED, 6 * HOUR)
    portal.dock(20 * HOUR)
    portal.reach(70 * HOUR)
    resolve_by_hand(portal, RuleId.LATE_INSPECTION, 70 * HOUR)
    last = portal.journeys()[-1]
    assert [case.rule for case in last.open_cases] == ["checked_in_not_delivered"]
    assert (last.message.key, last.refund.latest_at) == ("checked_in_undated", None)


def test_a_history_that_is_read_long_after_promises_nothing_of_the_past() -> None:
    portal = Portal()
    portal.reach(60 * DAY)
    requested(portal, PARCEL)
    portal.sees(Milestone.ACCEPTED, 6 * HOUR)
    last = portal.journeys()[-1]
    assert (last.message.parameters, last.refund.earliest_at, last.refund.latest_at) == ({}, None, None)


def test_a_refund_that_failed_is_told_as_failed_also_when_the_case_is_closed() -> None:
    portal = Portal()
    requested(portal)
    portal.says(Milestone.CHECKED_IN, 10 * HOUR)
    for hour, milestone in (
        (11, Milestone.INSPECTED),
        (12, Milestone.REFUND_APPROVED),
        (13, Milestone.REFUND_ISSUED),
    ):
        portal.says(milestone, hour * HOUR)
    portal.says(Milestone.REFUND_FAILED, 14 * HOUR)
    portal.reach(15 * HOUR)
    resolve_by_hand(portal, RuleId.REFUND_FAILED, 15 * HOUR)
    last = portal.journeys()[-1]
    assert (last.message.key, last.refund.latest_at, last.open_case_count) == ("refund_failed", None, 0)
    assert last.next_step is not None
    assert (last.next_step.step, last.next_step.due_at) == ("refund_issued", None)


def test_once_the_release_is_past_the_refund_may_come_at_any_time() -> None:
    portal = Portal()
    requested(portal, PARCEL)
    portal.sees(Milestone.ACCEPTED, 6 * HOUR)
    portal.sees(Milestone.DELIVERED, 20 * HOUR)
    refund = portal.journeys()[-1].refund
    assert refund.earliest_at is None
    assert refund.latest_at is not None


# -- several parcels -----------------------------------------------------------------------------------------------


def test_of_several_parcels_is_told_what_is_true_of_all() -> None:
    portal = Portal()
    requested(portal, PARCEL, OTHER)
    portal.journeys()
    portal.says(Milestone.DROPOFF_CLAIMED, 5 * HOUR, parcels=[PARCEL])
    portal.sees(Milestone.ACCEPTED, 6 * HOUR)
    portal.sees(Milestone.ACCEPTED, 8 * HOUR, OTHER)
    portal.sees(Milestone.DELIVERED, 20 * HOUR)
    portal.dock(21 * HOUR)
    portal.sees(Milestone.DELIVERED, 30 * HOUR, OTHER)
    portal.dock(32 * HOUR, OTHER)
    told = portal.journeys()
    assert keys(told) == [
        "partly_dropped_off",
        "partly_in_transit",
        "parcels_in_transit",
        "partly_delivered",
        "partly_delivered",
        "parcels_delivered",
        "checked_in",
    ]
    steps = [(one.next_step.step.value, one.next_step.due_at) for one in told if one.next_step is not None]
    assert steps == [
        ("in_transit", at(29 * HOUR)),
        ("dropped_off", at(74 * HOUR)),
        ("delivered", at(8 * DAY + 6 * HOUR)),
        ("checked_in", at(44 * HOUR)),
        ("delivered", at(8 * DAY + 8 * HOUR)),
        ("checked_in", at(54 * HOUR)),
        ("inspected", at(69 * HOUR)),
    ]
    both_on_the_way = told[2]
    assert both_on_the_way.message.parameters == {"by": "2026-01-13T08:00:00.000Z"}, "by when both have come"
    assert both_on_the_way.refund.earliest_at == at(8 * DAY + 8 * HOUR), "paid when both were delivered"


def test_an_estimate_waits_for_the_parcel_that_has_come_least_far() -> None:
    with_one, with_two = Portal(), Portal()
    requested(with_one, OTHER)
    requested(with_two, PARCEL, OTHER)
    with_two.sees(Milestone.ACCEPTED, 6 * HOUR)
    latest = with_one.journeys()[-1].refund.latest_at
    assert latest is not None
    assert with_two.journeys()[-1].refund.latest_at == latest


# -- labels taken back, parcels that do not come -------------------------------------------------------------------


def test_a_voided_label_is_not_being_prepared() -> None:
    portal = Portal()
    requested(portal, PARCEL)
    portal.sees(Milestone.LABEL_VOIDED, 5 * HOUR, evidence=Evidence.SYSTEM)
    voided = portal.journeys()[-1]
    assert (voided.status, voided.message.key) == ("approved", "label_voided")
    assert voided.next_step is not None
    assert (voided.next_step.step, voided.next_step.due_at) == ("label_created", None)
    portal.parcel_fact(OTHER, label_fact(10 * HOUR, "R1"))
    assert portal.journeys()[-1].message.key == "label_created"


def test_whoever_has_sent_a_parcel_with_a_label_that_was_voided_is_asked_to_call() -> None:
    portal = Portal()
    requested(portal, PARCEL)
    portal.says(Milestone.DROPOFF_CLAIMED, 4 * HOUR)
    portal.sees(Milestone.LABEL_VOIDED, 5 * HOUR, evidence=Evidence.SYSTEM)
    assert portal.journeys()[-1].message.key == "label_voided_after_use"


def test_a_parcel_that_was_lost_is_not_expected() -> None:
    portal = Portal()
    requested(portal, PARCEL)
    portal.sees(Milestone.ACCEPTED, 6 * HOUR)
    portal.sees(Milestone.LOST, 30 * HOUR)
    portal.reach(2 * DAY)
    lost = portal.journeys()[-1]
    assert (lost.message.key, lost.next_step and lost.next_step.step) == ("lost", "refund_approved")
    portal.says(Milestone.REFUND_ISSUED, 50 * HOUR)
    assert portal.journeys()[-1].next_step is None


# -- the money -----------------------------------------------------------------------------------------------------


def test_a_refund_before_the_goods_asks_for_them() -> None:
    portal = Portal()
    requested(portal, PARCEL)
    portal.says(Milestone.REFUND_ISSUED, 4 * HOUR)
    paid = portal.journeys()[-1]
    assert (paid.status, paid.message.key) == ("refunded", "refund_issued_goods_awaited")
    assert paid.next_step is not None
    assert paid.next_step.step == "dropped_off"
    portal.sees(Milestone.ACCEPTED, 6 * HOUR)
    assert portal.journeys()[-1].message.key == "refund_issued"
    portal.dock(40 * HOUR)
    assert portal.journeys()[-1].next_step is None


def test_a_replacement_stays_sent_when_a_payment_fails() -> None:
    portal = Portal()
    requested(portal)
    portal.says(Milestone.REPLACEMENT_SENT, 10 * HOUR)
    portal.says(Milestone.REFUND_FAILED, 12 * HOUR)
    last = portal.journeys()[-1]
    assert (last.status, last.message.key, last.milestones[-1].at) == (
        "refunded",
        "replacement_sent",
        at(10 * HOUR),
    )


def test_a_replacement_after_the_refund_changes_nothing_that_is_shown() -> None:
    portal = Portal()
    requested(portal)
    portal.says(Milestone.REFUND_ISSUED, 10 * HOUR)
    portal.journeys()
    portal.says(Milestone.REPLACEMENT_SENT, 12 * HOUR)
    assert portal.journeys() == []


@pytest.mark.parametrize("resolution", ["exchange", "store_credit"])
def test_who_gets_no_refund_is_not_told_of_one(resolution: str) -> None:
    texts: set[str] = set()
    for end in (Milestone.REFUND_ISSUED, Milestone.REPLACEMENT_SENT, Milestone.REFUND_REFUSED):
        if (resolution == "exchange") == (end == Milestone.REFUND_ISSUED):
            continue
        portal = Portal()
        requested(portal, PARCEL, terms=["parcel", resolution])
        portal.sees(Milestone.ACCEPTED, 6 * HOUR)
        portal.dock(20 * HOUR)
        portal.says(Milestone.INSPECTED, 22 * HOUR)
        portal.reach(6 * DAY)
        portal.says(Milestone.REFUND_APPROVED, 6 * DAY)
        portal.reach(12 * DAY)
        portal.says(end, 12 * DAY)
        texts |= {text for one in portal.journeys() for text in one.message.text.values()}
    assert len(texts) >= 16
    assert [text for text in texts if "refund" in text or "remboursement" in text] == []


def test_a_broken_promise_does_not_hide_what_the_customer_has_to_do() -> None:
    portal = Portal()
    requested(portal, terms=["in_store"])
    portal.reach(6 * DAY)
    last = portal.journeys()[-1]
    assert ([case.rule for case in last.open_cases], last.message.key) == (
        ["refund_promise_broken"],
        "approved_in_store",
    )
    portal.says(Milestone.CHECKED_IN, 6 * DAY)
    portal.says(Milestone.INSPECTED, 6 * DAY + HOUR)
    assert keys(portal.journeys()) == ["checked_in", "late_refund"]


# -- records -------------------------------------------------------------------------------------------------------


def test_a_return_that_is_heard_of_again_goes_on_above_its_old_revisions() -> None:
    portal = Portal()
    portal.says(Milestone.RETURN_APPROVED, 0)
    portal.says(Milestone.RETURN_CANCELLED, HOUR)
    old = [out for out in portal.returns.said if out.topic == "journeys"]
    portal.reach(130 * DAY)
    assert portal.returns.said[-1].value is None
    portal.says(Milestone.RETURN_APPROVED, 130 * DAY)
    new = portal.returns.said[-1]
    assert decode_journey(new.value or b"").revision > decode_journey(old[-1].value or b"").revision
    ids = [dict(out.headers)["ce_id"] for out in (*old, new)]
    assert len(set(ids)) == len(ids) == 3
    assert re.fullmatch(rb"journey:R1:%d:[0-9a-f]{16}" % (MONDAY + 130 * DAY + 1), ids[-1])


def test_records_are_written_as_the_library_would() -> None:
    portal = Portal()
    return_id = 'Rück "7"\\'
    portal.return_fact(
        return_id, return_fact(Milestone.RETURN_REQUESTED, 5, value_minor=20_00, currency="EUR")
    )
    portal.parcel_fact("ups:1", label_fact(HOUR, return_id))
    portal.parcel_fact("la_poste:Ä2", label_fact(2 * HOUR + 1, return_id))
    portal.parcel_fact("ups:1", parcel_fact(Milestone.ACCEPTED, 3 * HOUR))
    portal.reach(8 * DAY)
    portal.return_fact(return_id, return_fact(Milestone.REFUND_ISSUED, 8 * DAY + 123))
    told = [out for out in portal.returns.said if out.topic == "journeys"]
    assert len(told) > 5
    for out in told:
        journey, headers = decode_journey(out.value or b""), dict(out.headers)
        assert out.value == encode_journey(journey)
        identity = headers["ce_id"].decode()
        assert out.headers == cloud_event_fields(
            identity, JOURNEY_CE_TYPE, return_id, journey.effective_at, "/returnwatch"
        )
        assert journey.message.key in MESSAGES
