"""The life of a case: every pair of state and verdict, and what is said about it."""

from itertools import product

import pytest

from schemas.facts import ParcelReport, ReportedBreach, Source, encode_json
from schemas.outputs import decode_case, decode_escalation
from schemas.policy import Policy
from schemas.vocabulary import CaseState, Milestone, RuleId
from streams.cases import BY_HAND, COUNTED, STEPS, SUPPRESSED, Verdict, case_id
from tests.stages import DAY, HOUR, MINUTE, MONDAY, Shop, label_fact, only, parcel_fact, return_fact


def test_the_table_has_a_step_for_every_state_and_verdict() -> None:
    assert set(STEPS) == set(product(["", *CaseState, COUNTED, SUPPRESSED, BY_HAND], Verdict))


def test_a_case_has_the_same_id_in_every_run() -> None:
    assert case_id("stalled_silent", "R1", "ups:1Z", "0a") == "a2798857-f496-59a7-9f47-51981cdbb69a"
    ids = {case_id(rule, return_id, "ups:1", "0a") for rule in RuleId for return_id in ("R1", "R2")}
    assert len(ids) == 2 * len(RuleId)


def breach(state: str, due_hours: int = 72, *, reason: str = "due", ended_hours: int = 0) -> ReportedBreach:
    due = MONDAY + due_hours * HOUR
    return ReportedBreach(
        rule="missing_first_scan",
        anchor="0a",
        since_ms=MONDAY,
        due_ms=due,
        raised_ms=due,
        state=state,
        reason=reason,
        ended_ms=MONDAY + ended_hours * HOUR if ended_hours else 0,
        evidence=(Source("labels", 1, 5),),
    )


class Desk(Shop):
    """A shop whose parcels say what the test tells them to say."""

    revision = 0

    def report(self, *breaches: ReportedBreach, linked: bool = True, reason: str = "") -> None:
        self.revision += 1
        report = ParcelReport(
            parcel="ups:1Z",
            revision=self.revision,
            carrier="ups",
            origin="FR",
            destination="DE",
            facility="LIL1",
            linked=linked,
            unlinked_reason=reason,
            label_ms=MONDAY,
            breaches=breaches,
        )
        self._to(self.returns, b"R1", encode_json(report))

    def changes(self) -> list[tuple[str, str, int]]:
        return [(one.state.value, one.reason.value, one.revision) for one in self.news()]


def no_levels(**changes: object) -> Policy:
    return Policy.model_validate({**only().model_dump(mode="json"), "levels": [], **changes})


def test_a_breach_opens_no_case_before_the_returns_own_watermark_has_reached_it() -> None:
    desk = Desk(no_levels())
    desk.reach(60 * HOUR)
    desk.report(breach("open"))
    assert desk.changes() == []
    desk.reach(72 * HOUR - MINUTE)
    assert desk.changes() == []
    desk.reach(72 * HOUR)
    assert desk.changes() == [("open", "due", 1)]


def test_what_explains_a_breach_on_another_road_is_heard_before_the_case_opens() -> None:
    desk = Desk(no_levels())
    desk.reach(60 * HOUR)
    desk.report(breach("open"))
    desk.return_fact("R1", return_fact(Milestone.CHECKED_IN, 61 * HOUR))
    desk.reach(100 * HOUR)
    assert desk.changes() == []


def test_retracted_then_true_again_then_ended() -> None:
    desk = Desk(no_levels())
    desk.reach(73 * HOUR)
    desk.report(breach("open"))
    desk.report(breach("retracted", reason="late_evidence"))
    desk.report(breach("open"))
    desk.report(breach("ended", reason="first_scan", ended_hours=80))
    assert desk.changes() == [
        ("open", "due", 1),
        ("retracted", "late_evidence", 2),
        ("open", "due", 3),
        ("resolved", "first_scan", 4),
    ]


def test_an_old_report_that_comes_late_changes_nothing() -> None:
    desk = Desk(no_levels())
    desk.reach(73 * HOUR)
    desk.report(breach("open"))
    desk.report(breach("ended", reason="first_scan", ended_hours=80))
    desk.revision = 0
    desk.report(breach("open"))
    assert desk.changes() == [("open", "due", 1), ("resolved", "first_scan", 2)]


def test_an_unlinked_parcel_closes_its_cases_with_that_reason() -> None:
    desk = Desk(no_levels())
    desk.reach(73 * HOUR)
    desk.report(breach("open"))
    desk.report(linked=False, reason="unlinked")
    assert desk.changes() == [("open", "due", 1), ("resolved", "unlinked", 2)]


def test_a_breach_that_ended_before_it_could_be_told_opens_and_resolves_with_its_own_times() -> None:
    desk = Desk(no_levels())
    desk.report(breach("ended", reason="first_scan", ended_hours=80))
    desk.reach(90 * HOUR)
    opened, resolved = desk.news()
    assert (opened.effective_at, resolved.effective_at) == (opened.due_at, opened.due_at.replace(hour=8))
    assert resolved.previous_state is CaseState.OPEN


def test_levels_are_counted_from_the_deadline_and_change_the_severity() -> None:
    desk = Desk()
    desk.report(breach("open"))
    desk.reach(72 * HOUR + 6 * DAY)
    told = [
        (one.state.value, one.level, one.severity.value, (one.effective_at - one.due_at).days)
        for one in desk.news()
    ]
    assert told == [("open", 1, "warning", 0), ("escalated", 2, "error", 2), ("escalated", 3, "critical", 5)]


def test_escalations_and_cases_say_the_same_and_go_to_the_partition_of_the_return() -> None:
    desk = Desk(no_levels())
    desk.return_fact("R1", return_fact(Milestone.RETURN_REQUESTED, 0, value_minor=4_999, currency="EUR"))
    desk.report(breach("open"))
    desk.reach(73 * HOUR)
    escalation_message, case_message = desk.returns.said_of_cases
    escalation, case = (
        decode_escalation(escalation_message.value or b""),
        decode_case(case_message.value or b""),
    )
    assert (escalation_message.topic, escalation_message.key, escalation_message.partition) == (
        "escalations",
        b"R1",
        0,
    )
    assert (case_message.topic, case_message.key.decode(), case_message.partition) == (
        "cases",
        case.case_id,
        0,
    )
    assert dict(escalation_message.headers)["ce_id"] == f"{case.case_id}:1".encode()
    assert case.value is not None
    assert (case.value.amount_minor, case.value.currency) == (4_999, "EUR")
    assert (case.carrier, case.tracking_number, case.origin, case.facility) == ("ups", "1Z", "FR", "LIL1")
    assert escalation.explanation == (
        "A label was made on 2026-01-05 00:00, and nobody had scanned the parcel by 2026-01-08 00:00."
    )
    assert [(one.topic, one.partition, one.offset) for one in case.evidence] == [("labels", 1, 5)]


def test_closed_cases_are_forgotten_with_their_return_and_leave_a_tombstone() -> None:
    desk = Desk(no_levels())
    desk.report(breach("ended", reason="first_scan", ended_hours=80))
    desk.reach(90 * HOUR)
    said = len(desk.returns.said_of_cases)
    desk.reach(80 * HOUR + 123 * DAY)
    (tombstone,) = desk.returns.said_of_cases[said:]
    of_journey = [out for out in desk.returns.said if out.topic == "journeys"][-1]
    assert of_journey.value is None
    assert (tombstone.topic, tombstone.value) == ("cases", None)
    assert not desk.returns.store.states
    desk.report(breach("ended", reason="first_scan", ended_hours=80))
    assert len(desk.returns.said_of_cases) == said + 1


def test_a_return_with_an_open_case_is_not_forgotten() -> None:
    desk = Desk(no_levels())
    desk.report(breach("open"))
    desk.reach(300 * DAY)
    assert desk.returns.store.rows


@pytest.mark.parametrize("told_late", [False, True])
def test_the_whole_road_from_a_scan_to_a_resolved_case(told_late: bool) -> None:
    shop = Shop(no_levels())
    shop.parcel_fact("ups:1", label_fact(0, "R1"))
    shop.reach(80 * HOUR)
    at = 70 * HOUR if told_late else 79 * HOUR
    shop.parcel_fact("ups:1", parcel_fact(Milestone.ACCEPTED, at))
    states = [one.state for one in shop.news()]
    assert states == [CaseState.OPEN, CaseState.RETRACTED if told_late else CaseState.RESOLVED]


def test_a_dispute_makes_standing_cases_louder_until_it_is_over() -> None:
    desk = Desk(only(levels=[]))
    desk.report(breach("open"))
    desk.reach(73 * HOUR)
    desk.return_fact("R1", return_fact(Milestone.DISPUTE_OPENED, 74 * HOUR))
    desk.return_fact("R1", return_fact(Milestone.DISPUTE_CLOSED, 80 * HOUR))
    opened, louder, quieter = desk.news()
    assert [change.revision for change in (opened, louder, quieter)] == [1, 2, 3]
    assert [change.state for change in (opened, louder, quieter)] == [CaseState.OPEN] * 3
    assert [change.severity for change in (opened, louder, quieter)] == ["warning", "error", "warning"]
    assert [change.reason for change in (louder, quieter)] == ["dispute_opened", "dispute_closed"]
    types = [dict(out.headers)["ce_type"] for out in desk.returns.said_of_cases if out.topic == "escalations"]
    assert [name.decode().rpartition("case.")[2] for name in types] == [
        "opened.v1",
        "updated.v1",
        "updated.v1",
    ]


def test_a_loyal_customer_is_offered_a_replacement() -> None:
    shop = Shop(only(RuleId.STALLED_SILENT, levels=[]))
    loyal = ["parcel", "refund", False, "", "", "", "", "normal", True]
    shop.return_fact("R1", return_fact(Milestone.RETURN_REQUESTED, 0, terms=loyal))
    shop.parcel_fact("ups:1", label_fact(0, "R1", "R2"))
    shop.parcel_fact("ups:1", parcel_fact(Milestone.ACCEPTED, HOUR))
    shop.reach(6 * DAY)
    actions = {case.return_id: case.action for case in shop.news()}
    assert actions == {"R1": "offer_replacement", "R2": "open a carrier trace"}
