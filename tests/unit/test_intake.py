"""Intake: which facts an event states, about which parcel or return, and that a repeat states the same."""

from datetime import timedelta
from typing import Any

import pytest

from schemas.carrier_codes import load_carrier_codes
from schemas.facts import LabelTerms, Source
from schemas.topics import InputKind
from schemas.vocabulary import DeadLetterReason, Evidence, Milestone
from streams.intake import CLAMPED, EVENTS, OTHER, UNKNOWN_CARRIER, UNMAPPED, Acceptance, IntakeMapper
from streams.places import place_token
from streams.refusal import ACTIONS
from tests.input_events import (
    HOUR_MS,
    NOON,
    NOON_MS,
    counts,
    dock,
    label,
    only_parcel_fact,
    order,
    parcel_facts,
    records,
    return_facts,
    scan,
    take_in,
)

SCANS, LABELS, ORDERS, WAREHOUSE = (
    InputKind.CARRIER_SCANS,
    InputKind.LABELS,
    InputKind.ORDERS,
    InputKind.WAREHOUSE,
)


def _identity(event: dict[str, Any], kind: InputKind = SCANS) -> int:
    return only_parcel_fact(take_in(kind, event))[1].identity


def test_a_carrier_scan_is_a_fact_about_its_parcel() -> None:
    intake = take_in(SCANS, scan(), arrived_ms=NOON_MS + HOUR_MS)
    key, fact = only_parcel_fact(intake)
    assert key == "ups:1Z999"
    assert (fact.milestone, fact.evidence) == (Milestone.ACCEPTED, Evidence.CARRIER_SCAN)
    assert (fact.occurred_ms, fact.arrived_ms) == (NOON_MS, NOON_MS + HOUR_MS)
    assert fact.source == Source("carrier-scans-topic", 3, 0)
    assert (fact.place, fact.code, fact.clamped) == ("FR/lyon", "OR", False)
    assert counts(intake) == {"ups": 1}
    assert intake.counters == {(EVENTS, "carrier_scan"): 1}


def test_free_text_and_people_do_not_travel_on() -> None:
    named = scan(
        text="Left with Ada at Rue de la Paix 7", receiver="Ada", place={"city": "Lyon", "street": "Paix 7"}
    )
    (_, _, value) = take_in(SCANS, named).facts[0]
    assert b"Ada" not in value
    assert b"Paix" not in value


def test_a_label_is_a_fact_about_its_parcel_and_about_each_return_in_it() -> None:
    intake = take_in(
        LABELS,
        label(
            return_ids=["R2", "R1", "R2"],
            origin_country="fr",
            destination_country="DE",
            service="std",
            facility="BER1",
            value={"amount": "120.50", "currency": "eur"},
        ),
    )
    key, fact = only_parcel_fact(intake)
    assert key == "ups:1Z999"
    assert (fact.milestone, fact.evidence) == (Milestone.LABEL_CREATED, Evidence.ANNOUNCED)
    assert fact.label == LabelTerms(("R1", "R2"), "ups", "std", "FR", "DE", "BER1", 12050, "EUR")
    linked = return_facts(intake)
    assert [return_id for return_id, _ in linked] == ["R1", "R2"]
    assert {about.parcels for _, about in linked} == {("ups:1Z999",)}


def test_a_voided_label_without_return_ids_speaks_for_all_of_them() -> None:
    intake = take_in(LABELS, label(type="label_voided", return_ids=None))
    _, fact = only_parcel_fact(intake)
    assert fact.milestone is not None
    assert Milestone(fact.milestone) is Milestone.LABEL_VOIDED
    assert fact.label == LabelTerms((), "ups")
    assert return_facts(intake) == []


def test_a_label_may_name_one_return_or_none() -> None:
    one = take_in(LABELS, label(return_ids=None, return_id="R1"))
    none = take_in(LABELS, label(return_ids=None))
    assert [return_id for return_id, _ in return_facts(one)] == ["R1"]
    assert only_parcel_fact(none)[1].label == LabelTerms((), "ups")


@pytest.mark.parametrize(
    ("event_type", "milestone"),
    [
        ("return_requested", Milestone.RETURN_REQUESTED),
        ("return_approved", Milestone.RETURN_APPROVED),
        ("return_cancelled", Milestone.RETURN_CANCELLED),
        ("dropoff_claimed", Milestone.DROPOFF_CLAIMED),
        ("refund_approved", Milestone.REFUND_APPROVED),
        ("refund_refused", Milestone.REFUND_REFUSED),
        ("refund_issued", Milestone.REFUND_ISSUED),
        ("refund_settled", Milestone.REFUND_SETTLED),
        ("refund_failed", Milestone.REFUND_FAILED),
    ],
)
def test_an_order_event_is_a_fact_about_its_return(event_type: str, milestone: Milestone) -> None:
    intake = take_in(ORDERS, order(event_type))
    ((return_id, fact),) = return_facts(intake)
    assert (return_id, fact.milestone, fact.occurred_ms) == ("R1", milestone, NOON_MS)
    assert parcel_facts(intake) == []


def test_a_request_carries_its_value_and_its_promise() -> None:
    event = order("return_requested", value={"amount": 19.9, "currency": "EUR"}, promised_refund_at=NOON)
    ((_, fact),) = return_facts(take_in(ORDERS, event))
    assert (fact.value_minor, fact.currency, fact.promised_ms) == (1990, "EUR", NOON_MS)


def test_a_claimed_drop_off_is_a_claim_about_the_parcel_and_no_scan() -> None:
    intake = take_in(ORDERS, order("dropoff_claimed", carrier="UPS", tracking_number="1z-999"))
    key, fact = only_parcel_fact(intake)
    assert (key, fact.milestone, fact.evidence) == ("ups:1Z999", Milestone.DROPOFF_CLAIMED, Evidence.CLAIMED)
    ((_, about),) = return_facts(intake)
    assert about.parcels == ("ups:1Z999",)


def test_a_check_in_by_tracking_number_is_a_dock_scan_of_the_parcel() -> None:
    intake = take_in(WAREHOUSE, dock(carrier="ups", tracking_number="1Z999", facility="BER1"))
    key, fact = only_parcel_fact(intake)
    assert (key, fact.milestone, fact.evidence) == (
        "ups:1Z999",
        Milestone.CHECKED_IN,
        Evidence.WAREHOUSE_SCAN,
    )
    assert fact.facility == "BER1"
    assert return_facts(intake) == []


def test_a_check_in_by_return_id_is_a_fact_about_the_return() -> None:
    named = [{"carrier": "ups", "tracking_number": "1Z 999"}, {"carrier": "ups", "tracking_number": "1Z998"}]
    intake = take_in(WAREHOUSE, dock(return_id="R1", parcels=named, complete=True, facility="BER1"))
    ((return_id, fact),) = return_facts(intake)
    assert (return_id, fact.milestone, fact.facility) == ("R1", Milestone.CHECKED_IN, "BER1")
    assert (fact.parcels, fact.complete, fact.count) == (("ups:1Z998", "ups:1Z999"), True, 2)
    assert parcel_facts(intake) == []


def test_a_check_in_that_names_both_is_a_fact_about_both() -> None:
    intake = take_in(WAREHOUSE, dock(carrier="ups", tracking_number="1Z999", return_id="R1"))
    assert [key for key, _ in parcel_facts(intake)] == ["ups:1Z999"]
    ((_, fact),) = return_facts(intake)
    assert fact.parcels == ("ups:1Z999",)


@pytest.mark.parametrize(
    ("event_type", "milestone"), [("inspected", Milestone.INSPECTED), ("restocked", Milestone.RESTOCKED)]
)
def test_what_the_warehouse_does_with_the_goods_is_a_fact_about_the_return(
    event_type: str, milestone: Milestone
) -> None:
    ((return_id, fact),) = return_facts(
        take_in(WAREHOUSE, dock(event_type, return_id=" R1 ", facility="BER1"))
    )
    assert (return_id, fact.milestone, fact.facility) == ("R1", milestone, "BER1")


def test_a_retraction_names_the_fact_that_the_scan_made() -> None:
    taken_back = {**scan(), "type": "scan_retracted", "id": "scan-9", "retracts": "scan-1"}
    (_, seen), (key, retraction) = parcel_facts(take_in(SCANS, scan(), taken_back))
    assert retraction.retracts == seen.identity != 0
    assert key == "ups:1Z999"
    assert (retraction.milestone, retraction.evidence) == (Milestone.UNMAPPED, Evidence.SYSTEM)
    assert retraction.identity != seen.identity


def test_a_check_in_can_be_taken_back_by_parcel_and_by_return() -> None:
    by_parcel = {"carrier": "ups", "tracking_number": "1Z999"}
    seen = only_parcel_fact(take_in(WAREHOUSE, dock(**by_parcel)))[1]
    retraction = dock("checkin_retracted", id="dock-2", retracts="dock-1", **by_parcel)
    assert only_parcel_fact(take_in(WAREHOUSE, retraction))[1].retracts == seen.identity
    ((_, received),) = return_facts(take_in(WAREHOUSE, dock(return_id="R1")))
    ((_, taken_back),) = return_facts(
        take_in(WAREHOUSE, dock("checkin_retracted", id="dock-2", retracts="dock-1", return_id="R1"))
    )
    assert taken_back.retracts == received.identity


def test_a_repeat_with_the_same_id_is_the_same_fact_whatever_else_changed() -> None:
    assert _identity(scan()) == _identity(
        scan(text="other words", code="DP", occurred_at="2026-03-02T13:00:00Z")
    )
    assert _identity(scan()) != _identity(scan(id="scan-2"))


def test_without_an_id_the_content_is_the_identity_and_free_text_is_no_content() -> None:
    anonymous = scan(id=None)
    assert _identity(anonymous) == _identity(scan(id=None, text="in other words"))
    assert _identity(anonymous) == _identity(scan(id=None, occurred_at="2026-03-02T11:00:00Z")), (
        "the same instant"
    )
    for change in ({"code": "DP"}, {"occurred_at": "2026-03-02T11:00:01Z"}, {"place": {"city": "Nice"}}):
        assert _identity({**anonymous, **change}) != _identity(anonymous)
    assert _identity(scan(id=None, tracking_number="1Z998")) != _identity(anonymous)


def test_text_only_scans_at_one_place_and_minute_stay_different_facts() -> None:
    departed = scan(id=None, code=None, text="Departed from Facility")
    delivered = scan(id=None, code=None, text="Delivered")
    assert _identity(departed) != _identity(delivered)


def test_the_identity_of_a_future_event_is_that_of_its_own_time_not_of_the_clamped_one() -> None:
    future = scan(id=None, occurred_at="2027-01-01T00:00:00Z")
    first = only_parcel_fact(take_in(SCANS, future))[1]
    again = only_parcel_fact(take_in(SCANS, future, arrived_ms=NOON_MS + HOUR_MS))[1]
    assert first.identity == again.identity
    assert first.occurred_ms != again.occurred_ms


def test_events_of_two_types_with_one_id_stay_two_facts() -> None:
    """A shop that puts the return's number into every event's id."""
    intake = take_in(ORDERS, order("return_requested", id="R1"), order("return_approved", id="R1"))
    identities = {fact.identity for _, fact in return_facts(intake)}
    assert len(identities) == 2


def test_one_number_is_one_parcel_however_it_is_typed() -> None:
    written = ["1Z 999", "1z-999", " 1Z.999 ", "1Z\u00a0999"]
    keys = {only_parcel_fact(take_in(SCANS, scan(tracking_number=number)))[0] for number in written}
    assert keys == {"ups:1Z999"}


@pytest.mark.parametrize("number", ["---", " . ", "\u200b1Z999"])
def test_a_number_that_could_never_match_is_refused(number: str) -> None:
    (refused,) = take_in(SCANS, scan(tracking_number=number)).refused
    assert refused.reason is DeadLetterReason.BAD_VALUE


@pytest.mark.parametrize("promised", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"])
def test_a_promise_that_not_every_zone_can_write_is_refused(promised: str) -> None:
    (refused,) = take_in(ORDERS, order("return_requested", promised_refund_at=promised)).refused
    assert refused.reason is DeadLetterReason.BAD_VALUE
    assert "promised_refund_at" in refused.detail


@pytest.mark.parametrize(
    ("place", "token"),
    [
        ({"country": "fr", "city": "Saint-Étienne"}, "FR/saint etienne"),
        ({"country": "FR", "city": "SAINT ETIENNE"}, "FR/saint etienne"),
        ({"country": "FR", "city": "Lyon", "site": "LYS-2"}, "FR/lys 2"),
        ({"country": "FR", "postal_code": "69001"}, "FR/69001"),
        ({"country": "FR"}, "FR"),
        ({"city": "Lyon"}, "/lyon"),
        ({"country": "", "city": " - "}, ""),
        ({}, ""),
    ],
)
def test_equal_places_have_equal_tokens(place: dict[str, str], token: str) -> None:
    assert place_token(*(place.get(name) for name in ("country", "city", "postal_code", "site"))) == token
    assert only_parcel_fact(take_in(SCANS, scan(place=place)))[1].place == token


def test_an_unknown_code_is_kept_counted_and_proves_nothing() -> None:
    intake = take_in(SCANS, scan(code="??"), scan(id="scan-2", carrier="Tiny Vans", code="OR"))
    for _, fact in parcel_facts(intake):
        assert (fact.milestone, fact.evidence) == (Milestone.UNMAPPED, Evidence.SYSTEM)
    assert intake.counters[UNMAPPED, "ups"] == 1
    assert intake.counters[UNMAPPED, OTHER] == 1
    assert intake.counters[UNKNOWN_CARRIER, OTHER] == 1
    assert counts(intake) == {"ups": 1, "other": 1}


def test_a_code_known_to_say_nothing_is_not_counted_as_a_gap() -> None:
    assert (UNMAPPED, "fedex") not in take_in(SCANS, scan(carrier="fedex", code="PM")).counters


def test_a_carrier_that_voids_a_shipment_voids_the_label_for_all_its_returns() -> None:
    _, fact = only_parcel_fact(take_in(SCANS, scan(code="MV")))
    assert (fact.milestone, fact.label) == (Milestone.LABEL_VOIDED, LabelTerms((), "ups"))


@pytest.mark.parametrize(("minutes", "clamped"), [(0, False), (10, False), (11, True), (600_000, True)])
def test_an_event_from_the_future_beyond_the_tolerance_happened_when_it_arrived(
    minutes: int, clamped: bool
) -> None:
    intake = take_in(SCANS, scan(), arrived_ms=NOON_MS - minutes * 60_000)
    _, fact = only_parcel_fact(intake)
    assert fact.clamped is clamped
    assert fact.occurred_ms == (fact.arrived_ms if clamped else NOON_MS)
    assert intake.counters.get((CLAMPED, "carrier_scan"), 0) == int(clamped)


def test_an_event_older_than_two_years_is_refused() -> None:
    just_in = take_in(SCANS, scan(), arrived_ms=NOON_MS + 730 * 24 * HOUR_MS)
    too_old = take_in(SCANS, scan(), arrived_ms=NOON_MS + 730 * 24 * HOUR_MS + 1)
    assert len(just_in.facts) == 1
    assert too_old.facts == []
    assert [refused.reason for refused in too_old.refused] == [DeadLetterReason.TIME_OUT_OF_RANGE]
    assert too_old.arrivals == {}
    assert too_old.counters == {}


def test_the_tolerances_are_settings() -> None:
    strict = IntakeMapper(
        load_carrier_codes(), Acceptance(timedelta(0), timedelta(minutes=1), max_bytes=1000)
    )
    late, early, large = (
        strict.map_chunk(records(event), SCANS, NOON_MS + shift, topic="t", partition=0)
        for event, shift in ((scan(), 61_000), (scan(), -1), (scan(text="x" * 1000), 0))
    )
    assert [refused.reason for refused in late.refused] == [DeadLetterReason.TIME_OUT_OF_RANGE]
    assert only_parcel_fact(early)[1].clamped
    assert [refused.reason for refused in large.refused] == [DeadLetterReason.TOO_LARGE]


@pytest.mark.parametrize("name", ["feed", " Feed "])
def test_a_carrier_cannot_be_called_like_what_names_feeds_in_commands(name: str) -> None:
    ref = {"carrier": name, "tracking_number": "UPS"}
    events = ((SCANS, scan(**ref)), (LABELS, label(**ref)), (WAREHOUSE, dock(**ref)))
    for kind, event in events:
        intake = take_in(kind, event)
        assert (intake.facts, intake.arrivals) == ([], {})
        (refused,) = intake.refused
        assert refused.reason is DeadLetterReason.BAD_VALUE
        assert "give the carrier another name" in refused.detail


def test_the_order_of_facts_is_that_of_the_records() -> None:
    intake = take_in(SCANS, *(scan(id=str(number), tracking_number=f"1Z{number}") for number in range(50)))
    assert [fact.source.offset for _, fact in parcel_facts(intake)] == list(range(50))


def test_every_reason_says_what_to_do() -> None:
    assert set(ACTIONS) == set(DeadLetterReason)
