"""Commands as scenarios write them: `acknowledge: {case: missing_first_scan, by: ops-1}`.

A scenario names a case as it writes it in a change: by its rule, and by return and parcel where the rule has several cases.
Which case that is shows when the scenario is played.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from agents.case_subject import naming
from agents.scenario_changes import subject_text
from agents.scenario_events import Problem, problems_of
from schemas.command_answers import CommandAnswer
from schemas.events import KIND_OF_TYPE
from schemas.outputs import Escalation
from schemas.topics import InputKind

CASE = "case"
COMMANDS = frozenset(name for name, kind in KIND_OF_TYPE.items() if kind is InputKind.COMMANDS)
_SOME_CASE = {"case_id": "00000000-0000-0000-0000-000000000000", "return_id": "R1"}


class Commanded(NamedTuple):
    """A command about a case that has been told by `at_ms`."""

    at_ms: int
    place: str
    by: str
    """The time as the scenario writes it."""
    command: str
    subject: str
    fields: Mapping[str, Any]
    """Those of the contract, but for what names the case."""

    def record(self, case: Escalation) -> bytes:
        """The command about that case, as a record's value."""
        return json.dumps({**self.fields, "case_id": case.case_id, **naming(case)}).encode()


def names_a_case(name: str, fields: Any) -> bool:
    """Whether a step is a command that names its case as a scenario does; others are events like any other."""
    return name in COMMANDS and isinstance(fields, dict) and CASE in fields


def problems_of_command(name: str, occurred_at: str, fields: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with a command, as far as its contract says."""
    if not isinstance(fields[CASE], str) or not fields[CASE].strip():
        todo = "write missing_first_scan, or missing_first_scan R1 ups:1Z1 where there are several"
        return [Problem((CASE,), f"`{CASE}` names a case by its rule, this does not", "", todo)]
    rest = {field: value for field, value in fields.items() if field != CASE}
    return problems_of(name, occurred_at, {**rest, **_SOME_CASE})


def fields_of_command(name: str, occurred_at: str, fields: Mapping[str, Any], place: str) -> dict[str, Any]:
    """What the command says besides the case. Without an id of its own it is named by its place in the file."""
    rest = {field: value for field, value in fields.items() if field != CASE}
    return {"type": name, "occurred_at": occurred_at, "id": place, **rest}


def cases_named(subject: str, told: Iterable[Escalation]) -> list[Escalation]:
    """The cases, as they were last told, that a scenario means."""
    words = subject.split()
    newest = {case.case_id: case for case in told}
    return [case for case in newest.values() if subject_text(case).split()[: len(words)] == words]


def refusal_text(answer: CommandAnswer, told: Iterable[Escalation]) -> str:
    """`COMMAND RULE RETURN PARCEL: refused REASON`; of a case that was never said, only its return."""
    newest = {case.case_id: case for case in told}
    case = newest.get(answer.case_id)
    subject = subject_text(case) if case is not None else answer.return_id or answer.parcel
    return f"{answer.command} {subject}: refused {answer.reason}"
