"""The explanation names the very events and deadlines of the cases, for every rule: the scenarios of the documentation."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.scenario_events import MilestoneCodes
from agents.scenario_reading import Appended, Applied, Check, Scenario, read_scenarios
from agents.virtual_time import ONE_TOPIC_OF_EACH_KIND, InputRecord, VirtualTime
from schemas.carrier_codes import load_carrier_codes
from schemas.outputs import Escalation
from schemas.policy_loading import default_policy
from schemas.vocabulary import RuleId
from streams.intake import IntakeMapper
from tests.explaining import Moment, hold_against_what_was_said, moment

FOLDER = Path(__file__).parents[2] / "docs" / "examples" / "scenarios"
INTAKE = IntakeMapper(MilestoneCodes(load_carrier_codes()))


def scenarios_of(rule: str) -> list[Scenario]:
    text = (FOLDER / f"{rule}.yaml").read_text(encoding="utf-8")
    scenarios, findings = read_scenarios(text, f"{rule}.yaml", default_policy(), INTAKE)
    assert not findings
    return scenarios


def moments(scenario: Scenario) -> Iterator[Moment]:
    policy = scenario.policy.to_log()
    engine = VirtualTime(policy, mapper=INTAKE)
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
                yield moment(engine, policy, step.at_ms, said)


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(scenario, id=f"{rule}: {scenario.sentence}")
        for rule in RuleId
        for scenario in scenarios_of(rule)
    ],
)
def test_every_case_is_explained_by_its_own_events_and_its_own_deadline(scenario: Scenario) -> None:
    for at in moments(scenario):
        hold_against_what_was_said(at)
