"""The scenarios that documentation shows hold, and every rule has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.scenario_events import MilestoneCodes
from agents.scenario_playing import play
from agents.scenario_reading import Check, Scenario, read_scenarios
from schemas.carrier_codes import load_carrier_codes
from schemas.policy_loading import default_policy
from schemas.vocabulary import RuleId
from streams.intake import IntakeMapper

FOLDER = Path(__file__).parents[2] / "docs" / "examples" / "scenarios"
INTAKE = IntakeMapper(MilestoneCodes(load_carrier_codes()))


def scenarios_of(rule: str) -> list[Scenario]:
    return scenarios_in(FOLDER / f"{rule}.yaml")


def scenarios_in(file: Path) -> list[Scenario]:
    scenarios, findings = read_scenarios(
        file.read_text(encoding="utf-8"), file.name, default_policy(), INTAKE
    )
    assert not findings
    return scenarios


SCENARIOS = [
    pytest.param(scenario, id=f"{rule}: {scenario.sentence}")
    for rule in RuleId
    for scenario in scenarios_of(rule)
]


SCENARIOS += [
    pytest.param(scenario, id=f"commands: {scenario.sentence}")
    for scenario in scenarios_in(FOLDER.parent / "commands.yaml")
]


def expected(scenario: Scenario) -> Iterator[str]:
    for step in scenario.steps:
        if isinstance(step, Check):
            yield from step.expect


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: Scenario) -> None:
    assert play(scenario, INTAKE) == []


@pytest.mark.parametrize("rule", RuleId)
def test_every_rule_fires_holds_its_tongue_resolves_and_is_taken_back_or_explained(rule: RuleId) -> None:
    scenarios = scenarios_of(rule)
    told = [[change for change in expected(one) if change.startswith(f"{rule} ")] for one in scenarios]
    assert len(scenarios) >= 4
    assert any(change.endswith(": opened") for changes in told for change in changes)
    assert any(not changes for changes in told)
    assert any(
        ": resolved " in change and " explained" not in change for changes in told for change in changes
    )
    assert any(
        " retracted " in change or change.endswith(" explained") for changes in told for change in changes
    )


@pytest.mark.parametrize("rule", RuleId)
def test_one_scenario_of_each_rule_is_its_example(rule: RuleId) -> None:
    assert sum(scenario.example for scenario in scenarios_of(rule)) == 1


def test_no_file_is_left_over() -> None:
    assert sorted(file.stem for file in FOLDER.iterdir()) == sorted(RuleId)
