"""Which cases a person asked for."""

import difflib
from datetime import datetime, timedelta
from typing import NamedTuple

from agents.carrier_tables import read_carrier_codes
from agents.durations import parse_duration
from agents.errors import Finding, SettingsError
from agents.settings_loading import load_settings
from schemas.canary import is_canary
from schemas.outputs import Case
from schemas.vocabulary import CaseState, RuleId

STATES: dict[str, frozenset[CaseState]] = {
    "active": frozenset({CaseState.OPEN, CaseState.ESCALATED}),
    **{state.value: frozenset({state}) for state in CaseState},
    "all": frozenset(CaseState),
}


class CaseFilter(NamedTuple):
    """What a case must be like; None and "" ask for nothing."""

    rule: str = ""
    carrier: str = ""
    states: frozenset[CaseState] = STATES["active"]
    older_than: timedelta | None = None
    newer_than: timedelta | None = None

    def takes(self, case: Case, now: datetime) -> bool:
        """Whether the case is wanted. Its age is how long ago it was due. Canaries are nobody's cases."""
        age = now - case.due_at
        return (
            case.state in self.states
            and not is_canary(case.return_id)
            and self.rule in {"", case.rule.value}
            and self.carrier in {"", case.carrier}
            and (self.older_than is None or age > self.older_than)
            and (self.newer_than is None or age < self.newer_than)
        )


def case_filter(
    rule: str | None, carrier: str | None, state: str, older_than: str | None, newer_than: str | None
) -> CaseFilter:
    """Return the filter for what was typed. Raises SettingsError with everything that cannot be meant."""
    findings = []
    if rule is not None and rule not in set(RuleId):
        findings.append(_unknown("--rule", rule, [known.value for known in RuleId]))
    if state not in STATES:
        findings.append(_unknown("--state", state, list(STATES)))
    ages = dict[str, timedelta | None]()
    for flag, text in (("--older-than", older_than), ("--newer-than", newer_than)):
        try:
            ages[flag] = None if text is None else parse_duration(text)
        except ValueError as error:
            what, _, todo = str(error).partition("; ")
            findings.append(Finding(flag, f"{text!r} {what}", todo=todo))
    if findings:
        raise SettingsError(findings)
    states, name = STATES[state], _canonical(carrier) if carrier else ""
    return CaseFilter(rule or "", name, states, ages["--older-than"], ages["--newer-than"])


def _canonical(carrier: str) -> str:
    return read_carrier_codes(load_settings({}).carrier_codes).carrier(carrier)


def _unknown(flag: str, given: str, known: list[str]) -> Finding:
    close = difflib.get_close_matches(given, known, n=1)
    todo = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return Finding(flag, f"there is no {flag.removeprefix('--')} {given!r}", todo=todo)
