"""Plays scenarios in virtual time and compares what is said with what they expect."""

from typing import NamedTuple

from agents.scenario_changes import change_text
from agents.scenario_commands import Commanded, cases_named, refusal_text
from agents.scenario_reading import Appended, Applied, Check, Scenario
from agents.virtual_time import ONE_TOPIC_OF_EACH_KIND, InputRecord, VirtualTime, answers_of, escalations_of
from schemas.command_answers import CommandAnswer
from schemas.outputs import Escalation
from schemas.topics import InputKind
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
    heard = _Heard(engine)
    for step in scenario.steps:
        engine.advance(step.at_ms)
        match step:
            case Appended():
                engine.append([InputRecord(offsets[step.kind], step.value)], step.kind, step.at_ms)
                offsets[step.kind] += 1
            case Applied():
                engine.apply_policy(step.policy.to_log())
            case Commanded():
                named = heard.named(step.subject)
                if len(named) == 1:
                    record = InputRecord(offsets[InputKind.COMMANDS], step.record(named[0]))
                    engine.append([record], InputKind.COMMANDS, step.at_ms)
                    offsets[InputKind.COMMANDS] += 1
                else:
                    wanted = f"one case `{step.subject}` to {step.command}"
                    there = tuple(Said(change_text(case), case.explanation) for case in named)
                    mismatches.append(Mismatch(step.place, step.at_ms, step.by, (wanted,), there))
            case Check():
                said = heard.news()
                if tuple(one.change for one in said) != step.expect:
                    mismatches.append(Mismatch(step.place, step.at_ms, step.by, step.expect, said))
    end_ms = scenario.steps[-1].at_ms
    engine.advance(end_ms)
    if unchecked := heard.news():
        mismatches.append(Mismatch(scenario.place, end_ms, AT_THE_END, (), unchecked))
    return mismatches


class _Heard:
    """What an engine has said: all of it, and what is new since it was last asked for."""

    def __init__(self, engine: VirtualTime) -> None:
        self._engine = engine
        self._told: list[Escalation] = []
        self._refused: list[CommandAnswer] = []
        self._asked = 0

    def named(self, subject: str) -> list[Escalation]:
        """The cases that a scenario means."""
        self._listen()
        return cases_named(subject, self._told)

    def news(self) -> tuple[Said, ...]:
        """Changes since the last call, then commands that were refused."""
        self._listen()
        changes, self._asked = self._told[self._asked :], len(self._told)
        refused, self._refused = self._refused, []
        return (
            *(Said(change_text(change), change.explanation) for change in changes),
            *(Said(refusal_text(answer, self._told), answer.explanation) for answer in refused),
        )

    def _listen(self) -> None:
        said = self._engine.said()
        self._told += escalations_of(said)
        self._refused += [answer for answer in answers_of(said) if not answer.accepted]
