"""The explanation names the very events and deadlines of the cases, for every rule: the scenarios of the documentation."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agents.explain_events import PlayedStates
from agents.explain_states import find_subjects
from agents.scenario_events import MilestoneCodes
from agents.scenario_reading import Appended, Applied, Check, Scenario, read_scenarios
from agents.virtual_time import ONE_TOPIC_OF_EACH_KIND, InputRecord, VirtualTime
from schemas.carrier_codes import load_carrier_codes
from schemas.explanations import ExplainedWait, Explanation, Verdict, decode_explanation, encode_explanation
from schemas.outputs import Escalation, utc
from schemas.policy_loading import default_policy
from schemas.vocabulary import CaseState, Reason, RuleId
from streams.explaining import explain
from streams.intake import IntakeMapper
from streams.reckoning import Later, TellingPolicy

FOLDER = Path(__file__).parents[2] / "docs" / "examples" / "scenarios"
INTAKE = IntakeMapper(MilestoneCodes(load_carrier_codes()))
VERDICTS = {
    CaseState.OPEN: {Verdict.OPEN},
    CaseState.ESCALATED: {Verdict.OPEN},
    CaseState.RESOLVED: {Verdict.RESOLVED, Verdict.EXPLAINED},
    CaseState.RETRACTED: {Verdict.RETRACTED, Verdict.WAITING, Verdict.IN_TIME},
}


class Moment(NamedTuple):
    """What was said last of each case when a check was made, and everything that is explained then."""

    at_ms: int
    said: dict[str, Escalation]
    explained: dict[str, Explanation]
    """By return id, or the parcel that has none."""


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
                names = {one.return_id or one.parcel for one in said.values()}
                states = PlayedStates(engine, policy, step.at_ms, "memory")
                yield Moment(step.at_ms, dict(said), {name: explained(states, name) for name in names})


def explained(states: PlayedStates, name: str) -> Explanation:
    subjects = asyncio.run(find_subjects(states, name))
    told = [explain(one.known, TellingPolicy(one.clock.policy or b"")) for one in subjects]
    found = next(one for one in told if name == (one.return_id or one.parcels[0]))
    assert decode_explanation(encode_explanation(found)) == found
    return found


def wait_of(moment: Moment, case: Escalation) -> ExplainedWait:
    waits = moment.explained[case.return_id or case.parcel].waits
    return next(one for one in waits if one.case is not None and one.case.case_id == case.case_id)


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(scenario, id=f"{rule}: {scenario.sentence}")
        for rule in RuleId
        for scenario in scenarios_of(rule)
    ],
)
def test_every_case_is_explained_by_its_own_events_and_its_own_deadline(scenario: Scenario) -> None:
    for moment in moments(scenario):
        for case in moment.said.values():
            wait = wait_of(moment, case)
            assert wait.case is not None
            assert (wait.rule, wait.parcel) == (case.rule, case.parcel)
            assert (wait.case.revision, wait.case.level) == (case.revision, case.level)
            assert wait.case.explanation == case.explanation
            assert wait.verdict in VERDICTS[case.state]
            if case.state is not CaseState.RETRACTED:
                assert wait.due_at == case.due_at
                assert set(case.evidence) <= set(wait.evidence)
            if wait.verdict is Verdict.OPEN:
                assert wait.evidence == case.evidence or not case.evidence
                assert wait.closed_by, "somebody who is called wants to know what ends it"
                assert wait.clock is not None
                assert wait.explained_by or wait.clock.due_at == case.due_at
            if wait.verdict is Verdict.RESOLVED and case.reason is not Reason.EXPLAINED and wait.clock:
                assert wait.stop is not None
                assert wait.stop.reason is case.reason
        for explanation in moment.explained.values():
            check(explanation, moment.at_ms)


def check(explanation: Explanation, at_ms: int) -> None:
    """What holds of every explanation: the sources are in the timeline, and the parts add up."""
    assert explanation.watermark_at == utc(at_ms)
    sources = {fact.source for fact in explanation.timeline}
    for wait in explanation.waits:
        assert set(wait.evidence) <= sources
        if wait.clock is not None:
            parts = wait.clock.later
            assert all(part.why != Later.UNACCOUNTED and part.more_ms > 0 for part in parts)
            assert wait.started_by
    rules = [wait.rule for wait in explanation.waits] + [one.rule for one in explanation.not_started]
    own = {RuleId.UNEXPECTED_PARCEL}
    assert set(rules) == (set(RuleId) - own if explanation.return_id else own)
