"""The oracle, case by case: one short timeline, and what must come of it.

Hours count from Monday 2026-03-16, 06:00 UTC.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ruamel.yaml import YAML

from schemas import policy as policies
from schemas.vocabulary import CaseState, Reason, RuleId
from simulation.ledger import LedgerEvent
from simulation.oracle import ExpectedCase, expected
from simulation.terms import Terms

MONDAY = datetime(2026, 3, 16, 6, tzinfo=UTC)
POLICY = """
rules:
  missing_first_scan: {budget: 72h, action: ask}
  stalled_silent: {budget: 5d, international: 7d, action: trace}
  stalled_no_progress: {budget: 7d, international: 10d, action: trace}
  delivered_not_checked_in: {budget: 1 business day, action: search}
levels: [{after: 48h, level: 2}]
settle: 30m
facilities:
  LIL1: {time_zone: Europe/Paris, country: FR, opens: "08:00", closes: "17:00"}
  SDF1: {time_zone: America/Kentucky/Louisville, country: US, opens: "08:00", closes: "17:00"}
"""
ANNOUNCED = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "OC"}
PICKED_UP = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "PU"}
HUB = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "AR"}
DELIVERED = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "DL"}
TURNED_BACK = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "RS"}
EXCEPTION = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "SE"}
NOBODY_KNOWS = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "ZZ9"}


def policy(**changes: Any) -> policies.Policy:
    return policies.Policy.model_validate({**YAML(typ="safe").load(POLICY), **changes})


@dataclass
class Tape:
    """Writes records: what happened `at` so many hours, appended `posted` (default: one minute later)."""

    records: list[LedgerEvent] = field(default_factory=list)
    ids: int = 0

    def write(self, kind: str, at: float, posted: float | None, **body: Any) -> str:
        self.ids += 1
        happened = MONDAY + timedelta(hours=at)
        appended = happened + timedelta(minutes=1) if posted is None else MONDAY + timedelta(hours=posted)
        body = {"id": f"e{self.ids}", "occurred_at": happened.isoformat(), **body}
        self.records.append(LedgerEvent(kind, json.dumps(body).encode(), (), appended))
        return f"e{self.ids}"

    def label(self, at: float, number: str = "1", posted: float | None = None, **more: Any) -> None:
        fields = {
            "return_id": "R1",
            "origin_country": "FR",
            "destination_country": "FR",
            "facility": "LIL1",
            **more,
        }
        if "return_ids" in more:
            del fields["return_id"]
        self.write(
            "labels", at, posted, type="label_created", carrier="fedex", tracking_number=number, **fields
        )

    def scan(
        self, at: float, code: dict[str, str], place: str = "", number: str = "1", posted: float | None = None
    ) -> str:
        where = {"country": "FR", "city": place or f"city {at}"}
        body = {"carrier": "fedex", "tracking_number": number, "place": where, **code}
        return self.write("carrier-scans", at, posted, type="carrier_scan", **body)

    def take_back(self, scan: str, at: float, number: str = "1") -> None:
        body = {"carrier": "fedex", "tracking_number": number, "retracts": scan}
        self.write("carrier-scans", at, None, type="scan_retracted", **body)

    def check_in(self, at: float, number: str = "1", posted: float | None = None) -> None:
        self.write("warehouse", at, posted, type="checked_in", carrier="fedex", tracking_number=number)

    def check_in_by_return(self, at: float, posted: float | None = None, **more: Any) -> None:
        self.write("warehouse", at, posted, type="checked_in", return_id="R1", **more)

    def cancel(self, at: float, posted: float | None = None) -> None:
        self.write("orders", at, posted, type="return_cancelled", return_id="R1")

    def void(self, at: float, number: str = "1") -> None:
        self.write("labels", at, None, type="label_voided", carrier="fedex", tracking_number=number)

    def cases(
        self, until: float = 1_000, tolerance: float = 0, terms: Terms | None = None
    ) -> list[ExpectedCase]:
        until_at = MONDAY + timedelta(hours=until)
        return expected(self.records, terms or Terms(policy()), until_at, timedelta(hours=tolerance))

    def told(self, until: float = 1_000) -> list[tuple[str, float, str]]:
        """Each case as (rule, hours at which it is due, the one state it ends in)."""
        return [(case.rule.value, hours(case.due_at), _only(case.final_states)) for case in self.cases(until)]


def _only(states: frozenset[CaseState]) -> str:
    (state,) = states
    return state.value


def hours(at: datetime) -> float:
    return round((at - MONDAY) / timedelta(hours=1), 2)


@pytest.fixture
def tape() -> Tape:
    return Tape()


# ---- missing first scan ---------------------------------------------------------------------------------------


def test_a_label_that_nobody_ever_scans_is_missed_after_72_hours(tape: Tape) -> None:
    tape.label(0)
    assert tape.told() == [("missing_first_scan", 72, "escalated")]
    assert tape.told(until=80) == [("missing_first_scan", 72, "open")]
    assert tape.told(until=71) == []


@pytest.mark.parametrize(("scanned", "state"), [(72, "retracted"), (72.01, "resolved")])
def test_what_happens_at_the_deadline_itself_is_in_time(tape: Tape, scanned: float, state: str) -> None:
    tape.label(0)
    tape.scan(scanned, PICKED_UP)  # appended a minute later, when the case is open
    assert tape.told(until=150) == [("missing_first_scan", 72, state)]


def test_a_scan_in_time_is_no_case_until_the_next_rule_waits(tape: Tape) -> None:
    tape.label(0)
    tape.scan(71, PICKED_UP)
    assert tape.told(until=150) == []


def test_what_the_carrier_announces_is_not_a_scan(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, ANNOUNCED)
    assert tape.told() == [("missing_first_scan", 72, "escalated")]


def test_a_code_that_nobody_knows_proves_nothing(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, NOBODY_KNOWS)
    assert tape.told() == [("missing_first_scan", 72, "escalated")]


def test_a_scan_after_the_deadline_resolves_the_case(tape: Tape) -> None:
    tape.label(0)
    tape.scan(100, PICKED_UP)
    (case,) = tape.cases(until=200)
    assert case.final_states == {CaseState.RESOLVED}
    assert case.reasons == {Reason.FIRST_SCAN}
    assert case.ended_at is not None
    assert hours(case.ended_at) == 100


def test_a_scan_in_time_that_is_told_late_takes_the_case_back(tape: Tape) -> None:
    tape.label(0)
    tape.scan(20, PICKED_UP, posted=100)
    (case,) = tape.cases(until=110)
    assert (hours(case.opens_at), case.opens, case.retracted) == (72, True, True)
    assert case.final_states == {CaseState.RETRACTED}


def test_scans_told_out_of_order_first_resolve_and_then_take_back(tape: Tape) -> None:
    tape.label(0)
    tape.scan(95, HUB, posted=100)
    tape.scan(20, PICKED_UP, posted=100.1)
    assert tape.told(until=110) == [("missing_first_scan", 72, "retracted")]


def test_the_same_scan_twice_changes_nothing(tape: Tape) -> None:
    tape.label(0)
    tape.scan(100, PICKED_UP)
    tape.records.append(tape.records[-1]._replace(appended_at=MONDAY + timedelta(hours=140)))
    assert tape.told(until=200) == [("missing_first_scan", 72, "resolved")]


def test_a_scan_taken_back_was_never_there(tape: Tape) -> None:
    tape.label(0)
    tape.take_back(tape.scan(10, PICKED_UP), 20)
    assert tape.told() == [("missing_first_scan", 72, "escalated")]


def test_a_scan_taken_back_after_the_deadline_opens_the_case_then(tape: Tape) -> None:
    tape.label(0)
    tape.take_back(tape.scan(10, PICKED_UP), 100)
    (case,) = tape.cases(until=120)
    assert (hours(case.due_at), hours(case.opens_at)) == (72, 100.02)


def test_the_dock_saw_it_though_no_carrier_did(tape: Tape) -> None:
    tape.label(0)
    tape.check_in(60)
    assert tape.told() == []


@pytest.mark.parametrize(("cancelled", "state"), [(60, None), (100, "resolved")])
def test_a_cancelled_return_waits_for_nothing(tape: Tape, cancelled: float, state: str | None) -> None:
    tape.label(0)
    tape.cancel(cancelled)
    assert tape.told() == ([] if state is None else [("missing_first_scan", 72, state)])


def test_cancelled_in_time_and_told_late_takes_the_case_back(tape: Tape) -> None:
    tape.label(0)
    tape.cancel(60, posted=90)
    assert tape.told() == [("missing_first_scan", 72, "retracted")]


@pytest.mark.parametrize(("voided", "state"), [(60, None), (100, "resolved")])
def test_a_voided_label_waits_for_nothing(tape: Tape, voided: float, state: str | None) -> None:
    tape.label(0)
    tape.void(voided)
    assert tape.told() == ([] if state is None else [("missing_first_scan", 72, state)])


def test_a_carrier_that_gave_the_parcel_up_explains_the_missing_scan(tape: Tape) -> None:
    tape.label(0)
    tape.scan(50, TURNED_BACK)
    assert tape.told() == []


def test_one_parcel_with_two_returns_is_a_case_for_each(tape: Tape) -> None:
    tape.label(0, return_ids=["R1", "R2"])
    assert [case.return_id for case in tape.cases()] == ["R1", "R2"]


def test_a_scan_before_the_label_counts(tape: Tape) -> None:
    tape.scan(0, PICKED_UP)
    tape.label(5)
    assert tape.told(until=100) == []


def test_a_label_told_a_month_late_gets_the_settle_time(tape: Tape) -> None:
    tape.label(0, posted=700)
    tape.scan(20, PICKED_UP, posted=700.2)
    tape.scan(40, HUB, posted=700.2)
    tape.scan(60, DELIVERED, posted=700.2)
    tape.check_in(62, posted=700.2)
    assert tape.told() == []


def test_spaces_dashes_and_case_do_not_make_another_parcel(tape: Tape) -> None:
    tape.label(0, number="ab12 34-56")
    tape.scan(10, PICKED_UP, number="AB123456")
    assert tape.told(until=100) == []


def test_a_parcel_without_a_label_is_nobodys_case(tape: Tape) -> None:
    tape.scan(0, PICKED_UP)
    assert tape.told() == []


# ---- stalled --------------------------------------------------------------------------------------------------


def test_silence_for_five_days_after_any_scan(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(30, HUB)
    assert tape.told() == [("stalled_silent", 150, "escalated")]


def test_across_a_border_silence_may_last_seven_days(tape: Tape) -> None:
    tape.label(0, origin_country="IT")
    tape.scan(10, PICKED_UP)
    assert tape.told() == [("stalled_silent", 10 + 7 * 24, "escalated")]


def test_a_parcel_that_goes_on_late_resolves_its_silence(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(170, HUB)
    (case,) = tape.cases(until=200)
    assert case.final_states == {CaseState.RESOLVED}
    assert case.reasons == {Reason.PROGRESS}


def test_a_second_silence_is_a_second_case(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(170, HUB)
    cases = tape.cases()
    assert [(hours(case.due_at), case.occurrence) for case in cases] == [(130, 0), (290, 1)]
    assert [_only(case.final_states) for case in cases] == ["resolved", "escalated"]


def test_scans_of_a_stuck_feed_take_the_silence_back(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    for at in (40, 70, 100, 130, 160):
        tape.scan(at, HUB, posted=165)
    assert tape.told(until=200) == [("stalled_silent", 130, "retracted")]


def test_a_late_scan_that_moves_the_silence_makes_another_case(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(60, HUB, posted=165)
    assert tape.told() == [("stalled_silent", 130, "retracted"), ("stalled_silent", 180, "escalated")]


def test_a_delivered_parcel_is_not_silent(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(20, DELIVERED)
    tape.check_in(22)
    assert tape.told() == []


def test_a_parcel_checked_in_without_a_delivery_scan_is_not_silent(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.check_in(40)
    assert tape.told() == []


def test_a_parcel_that_the_carrier_turns_back_is_not_silent(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(40, TURNED_BACK)
    assert tape.told() == []


def test_scanned_every_day_in_the_same_place_is_no_progress(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    for day in range(12):
        tape.scan(20 + 24 * day, HUB, place="Lyon")
    assert tape.told(until=300) == [("stalled_no_progress", 20 + 7 * 24, "escalated")]


def test_stuck_first_and_silent_then_is_told_as_silence(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(20, HUB, place="Lyon")
    tape.scan(30, HUB, place="Lyon")
    assert tape.told() == [("stalled_silent", 150, "escalated")]


def test_silent_first_and_still_in_the_same_place_is_both(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(20, HUB, place="Lyon")
    tape.scan(200, HUB, place="Lyon")
    assert tape.told(until=210) == [
        ("stalled_silent", 140, "resolved"),
        ("stalled_no_progress", 200.52, "open"),
    ]


def test_a_delay_reported_every_day_is_no_step_forward(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    tape.scan(20, HUB, place="Lyon")
    for day in range(1, 12):
        tape.scan(20 + 24 * day, EXCEPTION if day == 5 else HUB, place="Lyon")
    assert [(rule, due) for rule, due, _ in tape.told(until=270)] == [("stalled_no_progress", 20 + 7 * 24)]


def test_moving_on_late_resolves_no_progress(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    for day in range(9):
        tape.scan(20 + 24 * day, HUB, place="Lyon")
    tape.scan(230, HUB, place="Lille")
    assert tape.told(until=300) == [("stalled_no_progress", 20 + 7 * 24, "resolved")]


def test_silence_is_not_called_no_progress(tape: Tape) -> None:
    tape.label(0)
    tape.scan(10, PICKED_UP)
    assert [case.rule for case in tape.cases()] == [RuleId.STALLED_SILENT]


def test_a_new_place_every_day_is_progress(tape: Tape) -> None:
    tape.label(0)
    for day in range(12):
        tape.scan(10 + 24 * day, HUB)
    assert tape.told(until=300) == []


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
