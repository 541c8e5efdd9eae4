"""Where a return is, as the customer-facing side is told."""

import re
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.facts import ReturnFact
from schemas.outputs import utc
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from schemas.return_journeys import ReturnJourney, decode_journey, encode_journey
from schemas.vocabulary import Evidence, Milestone
from tests.stages import DAY, HOUR, MONDAY, Record, Shop, label_fact, parcel_fact, return_fact

PARCEL = "ups:1"


def policy(**changes: Any) -> Policy:
    return Policy.model_validate({**default_policy().model_dump(mode="json"), **changes})


class Portal(Shop):
    """A shop, and what its customer portal is told."""

    seen = 0

    def journeys(self) -> list[ReturnJourney]:
        """Journeys since the last call."""
        said = [out for out in self.returns.said if out.topic == "journeys"]
        new, self.seen = said[self.seen :], len(said)
        return [decode_journey(out.value or b"") for out in new]

    def one(self) -> ReturnJourney:
        (journey,) = self.journeys()
        return journey

    def says(self, milestone: Milestone, at_ms: int, **more: Any) -> None:
        self.return_fact("R1", return_fact(milestone, at_ms, **more))

    def sees(self, milestone: Milestone, at_ms: int, parcel: str = PARCEL, **more: Any) -> None:
        self.parcel_fact(parcel, parcel_fact(milestone, at_ms, **more))

    def dock(self, at_ms: int, parcel: str = PARCEL) -> None:
        self.sees(Milestone.CHECKED_IN, at_ms, parcel, evidence=Evidence.WAREHOUSE_SCAN)


def at(ms: int | None) -> Any:
    return None if ms is None else utc(MONDAY + ms)


def reached(journey: ReturnJourney) -> dict[str, str]:
    """Milestone -> who saw it, of those reached."""
    return {one.milestone.value: one.evidence.value for one in journey.milestones if one.evidence is not None}


def test_an_ordinary_life_is_told_step_by_step() -> None:
    portal = Portal()
    steps: list[tuple[ReturnJourney, int]] = []

    def tell(at_ms: int) -> None:
        steps.append((portal.one(), at_ms))

    portal.says(Milestone.RETURN_REQUESTED, 0, value_minor=50_00, currency="EUR")
    tell(0)
    portal.says(Milestone.RETURN_APPROVED, HOUR)
    tell(HOUR)
    portal.parcel_fact(PARCEL, label_fact(2 * HOUR, "R1"))
    portal.return_fact("R1", return_fact(Milestone.LABEL_CREATED, 2 * HOUR, parcels=[PARCEL]))
    tell(2 * HOUR)
    portal.says(Milestone.DROPOFF_CLAIMED, 10 * HOUR, parcels=[PARCEL])
    tell(10 * HOUR)
    portal.sees(Milestone.ACCEPTED, 20 * HOUR)
    tell(20 * HOUR)
    portal.sees(Milestone.IN_TRANSIT, 30 * HOUR)
    assert portal.journeys() == [], "a scan on the way is no news"
    portal.sees(Milestone.DELIVERED, 40 * HOUR)
    tell(40 * HOUR)
    portal.dock(42 * HOUR)
    tell(42 * HOUR)
    portal.says(Milestone.INSPECTED, 44 * HOUR)
    tell(44 * HOUR)
    portal.says(Milestone.REFUND_APPROVED, 46 * HOUR)
    tell(46 * HOUR)
    portal.says(Milestone.REFUND_ISSUED, 48 * HOUR)
    tell(48 * HOUR)
    portal.says(Milestone.REFUND_SETTLED, 50 * HOUR)
    tell(50 * HOUR)
    assert [(one.revision - MONDAY, one.status.value, one.stage, one.message.key) for one, _ in steps] == [
        (1, "pending_approval", "return_requested", "pending_approval"),
        (2, "approved", "return_approved", "approved"),
        (3, "approved", "label_created", "label_created"),
        (4, "shipped", "dropped_off", "dropped_off"),
        (5, "shipped", "in_transit", "in_transit"),
        (6, "shipped", "delivered", "delivered"),
        (7, "received", "checked_in", "checked_in"),
        (8, "received", "inspected", "inspected"),
        (9, "received", "inspected", "refund_approved"),
        (10, "refunded", "refunded", "refund_issued"),
        (11, "refunded", "refunded", "refund_settled"),
    ]
    assert [one.next_step and (one.next_step.step.value, one.next_step.due_at) for one, _ in steps] == [
        ("return_approved", None),
        ("label_created", at(25 * HOUR)),
        ("dropped_off", at(74 * HOUR)),
        ("in_transit", at(34 * HOUR)),
        ("delivered", at(20 * HOUR + 8 * DAY)),
        ("checked_in", at(64 * HOUR)),
        ("inspected", at(90 * HOUR)),
        ("refund_approved", at(68 * HOUR)),
        ("refund_issued", at(70 * HOUR)),
        None,
        None,
    ]
    assert all(one.effective_at == at(at_ms) for one, at_ms in steps)
    last = steps[-1][0]
    assert reached(last) == {
        "return_requested": "system",
        "return_approved": "system",
        "label_created": "announced",
        "dropped_off": "claimed",
        "in_transit": "carrier_scan",
        "delivered": "carrier_scan",
        "checked_in": "warehouse_scan",
        "inspected": "warehouse_scan",
        "refunded": "system",
    }
    assert [one.at for one in last.milestones] == [
        at(hours * HOUR) for hours in (0, 1, 2, 10, 20, 40, 42, 44, 48)
    ]
    assert steps[3][0].message.text["en"] == "Dropped off. The first scan is expected within 24-72 hours."
    assert (last.refund.issued_at, last.refund.settled_at) == (at(48 * HOUR), at(50 * HOUR))


def test_what_is_told_twice_or_late_and_changes_nothing_is_not_said_again() -> None:
    portal = Portal()
    portal.says(Milestone.RETURN_REQUESTED, 0)
    portal.parcel_fact(PARCEL, label_fact(HOUR, "R1"))
    portal.sees(Milestone.ACCEPTED, 2 * HOUR)
    assert len(portal.journeys()) == 3
    portal.says(Milestone.RETURN_REQUESTED, 0)
    portal.sees(Milestone.ACCEPTED, 2 * HOUR)
    portal.sees(Milestone.IN_TRANSIT, 3 * HOUR)
    portal.reach(2 * DAY)
    assert portal.journeys() == []


def test_time_alone_says_nothing_and_a_case_that_opens_escalates_and_ends_does() -> None:
    portal = Portal()
    portal.parcel_fact(PARCEL, label_fact(0, "R1"))
    assert portal.one().message.key == "label_created"
    portal.reach(71 * HOUR)
    assert portal.journeys() == []
    portal.reach(73 * HOUR)
    late = portal.one()
    assert (late.message.key, late.open_case_count) == ("no_first_scan", 1)
    (case,) = late.open_cases
    (opened,) = portal.news()
    assert (case.case_id, case.rule, case.severity) == (opened.case_id, "missing_first_scan", "warning")
    assert (case.since_at, case.due_at, case.parcel) == (at(0), at(72 * HOUR), PARCEL)
    assert (late.effective_at, late.next_step and late.next_step.due_at) == (at(72 * HOUR), at(72 * HOUR))
    portal.reach(6 * DAY)
    assert [one.open_cases[0].severity.value for one in portal.journeys()] == ["error"]
    portal.sees(Milestone.ACCEPTED, 5 * DAY + 20 * HOUR)
    portal.reach(6 * DAY + HOUR)
    found = portal.journeys()[-1]
    assert (found.message.key, found.open_cases, found.stage) == ("in_transit", (), "in_transit")


def test_the_estimate_is_the_budgets_of_the_legs_ahead_and_nothing_while_one_is_late() -> None:
    portal = Portal()
    portal.says(Milestone.RETURN_REQUESTED, 0, value_minor=20_00, currency="EUR")
    portal.parcel_fact(PARCEL, label_fact(HOUR, "R1"))
    portal.sees(Milestone.ACCEPTED, 2 * HOUR)
    refund = portal.journeys()[-1].refund
    assert refund.promised_at == at(5 * DAY)
    # Tuesday week, 02:00: delivered; +1 business day, + 48 h, + 1 and 1 business days
    delivered = 2 * HOUR + 8 * DAY
    assert refund.earliest_at == at(delivered), "a customer of normal risk is paid at delivery"
    assert refund.latest_at == at(delivered + DAY + 2 * DAY + 2 * DAY + 2 * DAY)
    portal.reach(8 * DAY + 12 * HOUR)
    late = portal.journeys()[-1]
    assert {case.rule for case in late.open_cases} >= {"stalled_silent"}
    assert (late.refund.earliest_at, late.refund.latest_at) == (None, None)
    assert late.refund.promised_at == at(5 * DAY)


def test_a_release_is_told_and_its_revocation() -> None:
    portal = Portal()
    terms = ["parcel", "refund", False, "", "", "", "", "low"]
    portal.says(Milestone.RETURN_REQUESTED, 0, value_minor=20_00, currency="EUR", terms=terms)
    portal.parcel_fact(PARCEL, label_fact(HOUR, "R1"))
    portal.sees(Milestone.ACCEPTED, 2 * HOUR)
    portal.reach(3 * HOUR)
    assert [one.refund.released for one in portal.journeys()] == [False, False, False, True]
    portal.says(Milestone.RETURN_CANCELLED, 4 * HOUR)
    last = portal.journeys()[-1]
    assert (last.refund.released, last.status, last.message.key) == (False, "closed", "return_cancelled")
    assert last.next_step is None


def test_several_parcels_have_come_when_all_have() -> None:
    portal = Portal()
    for parcel in (PARCEL, "ups:2"):
        portal.parcel_fact(parcel, label_fact(HOUR, "R1"))
    portal.sees(Milestone.ACCEPTED, 2 * HOUR)
    portal.sees(Milestone.DELIVERED, 20 * HOUR)
    assert portal.journeys()[-1].stage == "in_transit"
    portal.sees(Milestone.ACCEPTED, 3 * HOUR, "ups:2")
    portal.sees(Milestone.DELIVERED, 30 * HOUR, "ups:2")
    both = portal.journeys()[-1]
    assert (both.stage, both.milestones[5].at, both.milestones[4].at) == (
        "delivered",
        at(30 * HOUR),
        at(2 * HOUR),
    )
    assert [(one.carrier, one.tracking_number, one.last_scan_at) for one in both.parcels] == [
        ("ups", "1", at(20 * HOUR)),
        ("ups", "2", at(30 * HOUR)),
    ]
    portal.dock(31 * HOUR)
    assert portal.journeys()[-1].stage == "delivered"
    portal.says(Milestone.CHECKED_IN, 32 * HOUR, parcels=["ups:2"])
    received = portal.journeys()[-1]
    assert (received.stage, reached(received)["checked_in"]) == ("checked_in", "warehouse_match")


def test_a_refund_that_failed_is_not_paid_until_it_is_paid_again() -> None:
    portal = Portal()
    portal.says(Milestone.RETURN_REQUESTED, 0)
    portal.says(Milestone.REFUND_APPROVED, HOUR)
    portal.says(Milestone.REFUND_ISSUED, 2 * HOUR)
    assert portal.journeys()[-1].status == "refunded"
    portal.says(Milestone.REFUND_FAILED, 3 * HOUR)
    portal.reach(5 * HOUR)
    failed = portal.journeys()[-1]
    assert (failed.status, failed.refund.failed_at, failed.refund.issued_at) == (
        "approved",
        at(3 * HOUR),
        None,
    )
    assert failed.message.key == "refund_failed"
    portal.says(Milestone.REFUND_ISSUED, 6 * HOUR)
    paid = portal.journeys()[-1]
    assert (paid.status, paid.refund.issued_at, paid.refund.failed_at) == ("refunded", at(6 * HOUR), None)


@pytest.mark.parametrize(
    ("terms", "said", "status", "key"),
    [
        (["in_store"], [Milestone.RETURN_APPROVED], "approved", "approved_in_store"),
        (["in_store"], [Milestone.RETURN_APPROVED, Milestone.CHECKED_IN], "received", "checked_in"),
        (["parcel", "exchange"], [Milestone.INSPECTED], "received", "inspected_for_exchange"),
        (["parcel", "exchange"], [Milestone.REPLACEMENT_SENT], "refunded", "replacement_sent"),
        ([], [Milestone.REFUND_APPROVED, Milestone.REFUND_REFUSED], "closed", "refund_refused"),
        ([], [Milestone.REFUND_REFUSED, Milestone.REFUND_APPROVED], "approved", "refund_approved"),
    ],
)
def test_shops_exchanges_and_refusals(terms: list[str], said: list[Milestone], status: str, key: str) -> None:
    portal = Portal()
    portal.says(Milestone.RETURN_REQUESTED, 0, terms=terms)
    for number, milestone in enumerate(said, 1):
        portal.says(milestone, number * HOUR)
    last = portal.journeys()[-1]
    assert (last.status, last.message.key) == (status, key)


def test_a_label_taken_back_leaves_nothing_of_a_return_that_nobody_asked_for() -> None:
    portal = Portal()
    portal.parcel_fact(PARCEL, label_fact(0, "R1"))
    portal.sees(Milestone.LABEL_VOIDED, HOUR, evidence=Evidence.SYSTEM)
    last = portal.journeys()[-1]
    assert (last.stage, last.status, last.message.key, last.parcels) == (None, "closed", "label_voided", ())


def test_a_parcel_that_belongs_to_no_return_is_not_told_of() -> None:
    portal = Portal()
    portal.dock(0)
    portal.reach(3 * DAY)
    assert {out.topic for out in portal.returns.said} == {"escalations", "cases", "kpis"}


def test_a_forgotten_return_is_taken_out_of_the_topic() -> None:
    portal = Portal()
    portal.says(Milestone.RETURN_APPROVED, 0, terms=None)
    portal.says(Milestone.RETURN_CANCELLED, HOUR)
    assert len(portal.journeys()) == 2
    portal.reach(130 * DAY)
    last = [out for out in portal.returns.said if out.topic == "journeys"][-1]
    assert (last.key, last.value) == (b"R1", None)
    assert not portal.returns.store.states


def test_an_old_history_sent_again_does_not_bring_a_forgotten_return_back() -> None:
    portal = Portal()
    portal.parcel_fact(PARCEL, label_fact(0, "R1"))
    portal.sees(Milestone.LABEL_VOIDED, HOUR, evidence=Evidence.SYSTEM)
    report = portal.parcels.said[-1]
    portal.reach(130 * DAY)
    said = len(portal.returns.said)
    assert portal.returns.said[-1].value is None
    portal.returns.feed([Record(portal.returns.engine.next_offset, report.key, portal.parcels.said[0].value)])
    assert len(portal.returns.said) == said


def test_a_policy_may_switch_journeys_off_and_on_again() -> None:
    portal = Portal()
    portal.says(Milestone.RETURN_REQUESTED, 0)
    before = portal.one().revision
    portal.apply_policy(policy(journeys=False))
    gone = portal.returns.said[-1]
    assert (gone.topic, gone.key, gone.value) == ("journeys", b"R1", None)
    portal.says(Milestone.RETURN_APPROVED, HOUR)
    assert portal.returns.said[-1] is gone
    portal.seen = len([out for out in portal.returns.said if out.topic == "journeys"])
    portal.apply_policy(policy())
    assert (again := portal.one()).revision == before + 1
    assert again.stage == "return_approved"


def test_another_policy_tells_what_it_changes() -> None:
    portal = Portal()
    portal.parcel_fact(PARCEL, label_fact(0, "R1"))
    portal.journeys()
    rules = default_policy().model_dump(mode="json")["rules"]
    portal.apply_policy(policy(settle="20m"))
    assert portal.journeys() == []
    portal.apply_policy(policy(rules={**rules, "missing_first_scan": {"budget": "60h", "action": "ask"}}))
    step = portal.one().next_step
    assert step is not None
    assert step.due_at == at(60 * HOUR)


def test_in_whatever_order_the_facts_come_the_last_word_is_the_same() -> None:
    facts: list[ReturnFact] = [
        return_fact(Milestone.RETURN_REQUESTED, 0, value_minor=20_00, currency="EUR"),
        return_fact(Milestone.CHECKED_IN, 30 * HOUR),
        return_fact(Milestone.INSPECTED, 40 * HOUR),
        return_fact(Milestone.REFUND_FAILED, 52 * HOUR),
        return_fact(Milestone.REFUND_ISSUED, 50 * HOUR),
    ]
    last: set[bytes] = set()
    for order in permutations(facts):
        portal = Portal()
        for fact in order:
            portal.return_fact("R1", fact)
        portal.reach(3 * DAY)
        journey = portal.journeys()[-1]
        last.add(encode_journey(replace(journey, revision=1)))
    assert len(last) == 1


def test_a_record_carries_the_headers_of_cloud_events_and_goes_to_its_partition() -> None:
    portal = Portal()
    portal.says(Milestone.RETURN_REQUESTED, 0)
    (out,) = portal.returns.said
    journey, headers = decode_journey(out.value or b""), dict(out.headers)
    assert re.fullmatch(rb"journey:R1:%d:[0-9a-f]{16}" % (MONDAY + 1), headers["ce_id"])
    assert headers["ce_type"] == b"com.returnwatch.journey.updated.v1"
    assert (headers["ce_subject"], headers["ce_time"]) == (b"R1", b"2026-01-05T00:00:00.000Z")
    assert (out.key, out.partition) == (b"R1", 0)
    assert journey.effective_at - at(0) == timedelta(0)
