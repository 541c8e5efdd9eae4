"""What must hold of every explanation, held against the cases that were said."""

import asyncio
from typing import NamedTuple

from agents.explain_events import PlayedStates
from agents.explain_states import find_subjects
from agents.virtual_time import VirtualTime
from schemas.explanations import ExplainedWait, Explanation, Verdict, decode_explanation, encode_explanation
from schemas.outputs import Escalation, utc
from schemas.policy import FEED_RULES
from schemas.vocabulary import CaseState, Reason, RuleId
from streams.explaining import explain
from streams.reckoning import Later, TellingPolicy

VERDICTS = {
    CaseState.OPEN: {Verdict.OPEN},
    CaseState.ESCALATED: {Verdict.OPEN},
    CaseState.RESOLVED: {Verdict.RESOLVED, Verdict.EXPLAINED},
    CaseState.RETRACTED: {Verdict.RETRACTED, Verdict.WAITING, Verdict.IN_TIME},
}


class Moment(NamedTuple):
    """What was said last of each case by some time, and everything that is explained then."""

    at_ms: int
    said: dict[str, Escalation]
    explained: dict[str, Explanation]
    """By return id, or the parcel that has none."""


def moment(engine: VirtualTime, policy: bytes, at_ms: int, said: dict[str, Escalation]) -> Moment:
    names = {one.return_id or one.parcel for one in said.values()}
    states = PlayedStates(engine, policy, at_ms, "memory")
    return Moment(at_ms, dict(said), {name: explained(states, name) for name in names})


def explained(states: PlayedStates, name: str) -> Explanation:
    subjects = asyncio.run(find_subjects(states, name))
    told = [explain(one.known, TellingPolicy(one.clock.policy or b"")) for one in subjects]
    found = next(one for one in told if name == (one.return_id or one.parcels[0]))
    assert decode_explanation(encode_explanation(found)) == found
    return found


def wait_of(at: Moment, case: Escalation) -> ExplainedWait:
    waits = at.explained[case.return_id or case.parcel].waits
    return next(one for one in waits if one.case is not None and one.case.case_id == case.case_id)


def hold_against_what_was_said(at: Moment) -> None:
    """Each case is explained by its own events and its own deadline; the parts of every clock add up."""
    for case in at.said.values():
        explains(wait_of(at, case), case)
    for explanation in at.explained.values():
        _consistent(explanation, at.at_ms)


def explains(wait: ExplainedWait, case: Escalation) -> None:
    """The wait is that of the case, as it was said last."""
    assert wait.case is not None
    assert (wait.rule, wait.parcel) == (case.rule, case.parcel)
    assert (wait.case.revision, wait.case.level) == (case.revision, case.level)
    assert wait.case.explanation == case.explanation
    assert wait.verdict in VERDICTS[case.state]
    if case.state is not CaseState.RETRACTED:
        assert wait.due_at == case.due_at or _due_anew(wait, case)
        assert set(case.evidence[:1]) <= set(wait.evidence)
    if wait.verdict is Verdict.OPEN:
        assert wait.evidence == case.evidence or not case.evidence
        assert wait.closed_by, "somebody who is called wants to know what ends it"
        assert wait.clock is not None
        assert wait.explained_by or wait.clock.due_at == wait.due_at
    if wait.verdict is Verdict.RESOLVED and case.reason is not Reason.EXPLAINED and wait.clock is not None:
        assert wait.stop is not None
        # What came in since may have ended it earlier: of that the case says nothing more, and the explanation does.
        assert wait.stop.at <= case.effective_at
        if wait.stop.at == case.effective_at:
            assert wait.stop.reason is case.reason
            assert set(case.evidence) <= set(wait.evidence)


def _due_anew(wait: ExplainedWait, case: Escalation) -> bool:
    """What came in since moved the time from which no other case told of its cause: of that the case says nothing more."""
    if case.due_at < wait.due_at:
        # The other's end was told when this one had ended, too.
        told_of_both = case.reason is Reason.EXPLAINED and wait.verdict is Verdict.RESOLVED
        return told_of_both and bool(wait.explained_by)
    # The other was taken back when this one had been opened again.
    return not wait.explained_by and wait.clock is not None and wait.clock.due_at == wait.due_at


def _consistent(explanation: Explanation, at_ms: int) -> None:
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
    assert set(rules) == (set(RuleId) - own - FEED_RULES if explanation.return_id else own)
