"""Plays scenarios in virtual time and compares what is said with what they expect."""

from typing import NamedTuple

from agents.scenario_changes import change_text
from agents.scenario_reading import Appended, Applied, Check, Scenario
from agents.virtual_time import ONE_TOPIC_OF_EACH_KIND, InputRecord, VirtualTime
from schemas.outputs import Escalation
from streams.intake import IntakeMapper

AT_THE_END = "after the last check"


class Said(NamedTuple):
    """A change of a case as it was said."""

    change: str
    explanation: str


class Mismatch(NamedTuple):
    """A check that what was said does not meet."""

    place: str
    at_ms: int
    by: str
    """The time as the scenario writes it, or AT_THE_END for what no check has asked for."""
    expected: tuple[str, ...]
    said: tuple[Said, ...]


def play(scenario: Scenario, intake: IntakeMapper) -> list[Mismatch]:
    """Play a scenario; none: it passed. `intake` as in read_scenarios."""
    engine = VirtualTime(scenario.policy.to_log(), mapper=intake)
    offsets = dict.fromkeys(ONE_TOPIC_OF_EACH_KIND, 0)
    mismatches = []
    for step in scenario.steps:
        engine.advance(step.at_ms)
        match step:
            case Appended():
                engine.append([InputRecord(offsets[step.kind], step.value)], step.kind, step.at_ms)
                offsets[step.kind] += 1
            case Applied():
                engine.apply_policy(step.policy.to_log())
            case Check():
                said = _said(engine.news())
                if tuple(one.change for one in said) != step.expect:
                    mismatches.append(Mismatch(step.place, step.at_ms, step.by, step.expect, said))
    end_ms = scenario.steps[-1].at_ms
    engine.advance(end_ms)
    if unchecked := _said(engine.news()):
        mismatches.append(Mismatch(scenario.place, end_ms, AT_THE_END, (), unchecked))
    return mismatches


def _said(news: list[Escalation]) -> tuple[Said, ...]:
    return tuple(Said(change_text(escalation), escalation.explanation) for escalation in news)
