"""The explanation names the very events and deadlines of the cases, for every rule: the scenarios of the documentation."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.scenario_events import MilestoneCodes, record_of
from agents.scenario_reading import Appended, Applied, Check, Scenario, read_scenarios
from agents.virtual_time import ONE_TOPIC_OF_EACH_KIND, InputRecord, VirtualTime
from schemas.carrier_codes import load_carrier_codes
from schemas.explanations import Verdict
from schemas.outputs import Escalation, utc
from schemas.policy import FEED_RULES
from schemas.policy_loading import default_policy
from schemas.topics import InputKind
from schemas.vocabulary import CaseState, RuleId
from streams.intake import IntakeMapper
from tests.explaining import Moment, hold_against_what_was_said, moment, wait_of

FOLDER = Path(__file__).parents[2] / "docs" / "examples" / "scenarios"
INTAKE = IntakeMapper(MilestoneCodes(load_carrier_codes()))


def scenarios_of(rule: str) -> list[Scenario]:
    text = (FOLDER / f"{rule}.yaml").read_text(encoding="utf-8")
    scenarios, findings = read_scenarios(text, f"{rule}.yaml", default_policy(), INTAKE)
    assert not findings
    return scenarios


Checked = tuple[int, bytes, dict[str, Escalation]]
"""When a check is made, by which policy, and what was said last of each case by then."""


def checks(scenario: Scenario, engine: VirtualTime) -> Iterator[Checked]:
    policy = scenario.policy.to_log()
    offsets = dict.fromkeys(ONE_TOPIC_OF_EACH_KIND, 0)
    said: dict[str, Escalation] = {}
    for step in scenario.steps:
        engine.advance(step.at_ms)
        match step:
            case Appended():
                engine.append([InputRecord(offsets[step.kind], step.value)], step.kind, step.at_ms)
                offsets[step.kind] += 1
            case Applied():
                policy = step.policy.to_log()
                engine.apply_policy(policy)
            case Check():
                said |= {one.case_id: one for one in engine.news()}
                yield step.at_ms, policy, said


def engine_of(scenario: Scenario) -> VirtualTime:
    return VirtualTime(scenario.policy.to_log(), mapper=INTAKE)


def moments(scenario: Scenario) -> Iterator[Moment]:
    engine = engine_of(scenario)
    for at_ms, policy, said in checks(scenario, engine):
        yield moment(engine, policy, at_ms, said)


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(scenario, id=f"{rule}: {scenario.sentence}")
        for rule in RuleId
        if rule not in FEED_RULES
        for scenario in scenarios_of(rule)
    ],
)
def test_every_case_is_explained_by_its_own_events_and_its_own_deadline(scenario: Scenario) -> None:
    for at in moments(scenario):
        hold_against_what_was_said(at)


NEXT: dict[str, tuple[InputKind, dict[str, Any]]] = {
    "in_transit": (InputKind.CARRIER_SCANS, {"milestone": "in_transit"}),
    "delivered": (InputKind.CARRIER_SCANS, {"milestone": "delivered"}),
    "label_voided": (InputKind.LABELS, {}),
    "checked_in": (InputKind.WAREHOUSE, {}),
    "inspected": (InputKind.WAREHOUSE, {"disposition": "restock"}),
    "restocked": (InputKind.WAREHOUSE, {}),
    "return_cancelled": (InputKind.ORDERS, {}),
    "refund_approved": (InputKind.ORDERS, {}),
    "refund_issued": (InputKind.ORDERS, {}),
    "refund_settled": (InputKind.ORDERS, {}),
}
"""What could happen next."""


@pytest.mark.parametrize("rule", [rule for rule in RuleId if rule not in FEED_RULES])
def test_what_is_said_to_close_a_case_closes_it_and_nothing_else_does(rule: RuleId) -> None:
    tried = 0
    for scenario in scenarios_of(rule):
        found = [(at, case) for at in moments(scenario) for case in at.said.values() if is_open(at, case)]
        for at, case in [one for one in found if one[1].rule is rule][-1:]:
            for word in NEXT:
                if event := event_of(word, case):
                    tried += 1
                    closed_by = wait_of(at, case).closed_by
                    assert ends(scenario, at, case, word, event) == names(closed_by, word), word
    assert tried


def is_open(at: Moment, case: Escalation) -> bool:
    return wait_of(at, case).verdict is Verdict.OPEN


def names(closed_by: tuple[str, ...], word: str) -> bool:
    """Whether the word is among them, or one of the scans that are."""
    any_scan = next((one for one in closed_by if one.startswith("any scan")), None)
    scan = NEXT[word][0] is InputKind.CARRIER_SCANS
    return word in closed_by or (scan and any_scan is not None and word not in any_scan)


def event_of(word: str, case: Escalation) -> dict[str, Any] | None:
    """The event, about the return or parcel of the case; None: it can be about neither."""
    kind, fields = NEXT[word]
    by_parcel = kind in {InputKind.CARRIER_SCANS, InputKind.LABELS} or word == "checked_in"
    if by_parcel and case.parcel:
        return {**fields, "carrier": case.carrier, "tracking_number": case.tracking_number}
    return {**fields, "return_id": case.return_id} if not by_parcel and case.return_id else None


def ends(scenario: Scenario, at: Moment, case: Escalation, word: str, fields: dict[str, Any]) -> bool:
    """Whether the case is closed once the event has come, a minute after `at`."""
    engine = engine_of(scenario)
    for at_ms, _, said in checks(scenario, engine):
        if (at_ms, said) == (at.at_ms, at.said):
            break
    kind = NEXT[word][0]
    name = "carrier_scan" if kind is InputKind.CARRIER_SCANS else word
    next_ms = at.at_ms + 60_000
    engine.advance(next_ms)
    value = record_of(name, utc(next_ms).isoformat(), fields)
    taken = engine.append([InputRecord(9_999, value)], kind, next_ms)
    assert not taken.refused
    engine.advance(next_ms)
    newest = {one.case_id: one.state for one in engine.news()}.get(case.case_id, case.state)
    return newest in {CaseState.RESOLVED, CaseState.RETRACTED}
