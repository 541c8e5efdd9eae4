"""Compares what was escalated with what the oracle expects: found, missed, false, early, late, retracted."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from schemas.outputs import Escalation
from schemas.vocabulary import CaseState, Reason, RuleId
from simulation.oracle import ExpectedCase

Subject = tuple[RuleId, str, str]
"""(rule, return id, parcel key, or the feed's name); "" for no return, or for no parcel in particular."""


class Observed(NamedTuple):
    """One escalation as it was read. `observed_at`: log time at which it was appended, in simulated time."""

    case_id: str
    revision: int
    rule: RuleId
    return_id: str
    parcel: str
    state: CaseState
    reason: Reason
    due_at: datetime
    effective_at: datetime
    observed_at: datetime
    quiet: bool = False
    """Somebody looks at it, or put it off: it goes up no further."""
    delayed: bool = False
    """It says that it was held while a feed was silent."""

    @classmethod
    def of(cls, escalation: Escalation, observed_at: datetime) -> "Observed":
        """From a record of `escalations` and the time at which it was appended."""
        told = escalation
        return cls(
            told.case_id,
            told.revision,
            told.rule,
            told.return_id,
            told.feed.name if told.feed is not None else told.parcel,
            told.state,
            told.reason,
            told.due_at,
            told.effective_at,
            observed_at,
            quiet=told.acknowledged_at is not None or told.snoozed_until is not None,
            delayed=told.delayed_by_feed,
        )


@dataclass(slots=True)
class FoundCase:
    """A case as its escalations tell it."""

    opened: Observed
    last: Observed
    revisions: int


@dataclass(slots=True)
class RuleScore:
    """Counts of cases of one rule. Everything from `missed` on should be 0, but `retracted`, which is as expected."""

    rule: RuleId
    expected: int = 0
    """Cases that must be found. Those that may be found or not are counted in `either` only."""
    either: int = 0
    found: int = 0
    retracted: int = 0
    """Found, and rightly taken back when late evidence came."""
    missed: int = 0
    false: int = 0
    early: int = 0
    late: int = 0
    wrongly_retracted: int = 0
    not_retracted: int = 0
    wrong_state: int = 0
    """Found, but at the end in another state, or resolved for another reason."""

    @property
    def wrong(self) -> int:
        """How many findings there are against this rule."""
        in_time = self.missed + self.false + self.early + self.late
        return in_time + self.wrongly_retracted + self.not_retracted + self.wrong_state

    def row(self) -> tuple[str, ...]:
        """The counts as cells, in the order of COLUMNS."""
        return (self.rule.value, *(str(getattr(self, name)) for name in COLUMNS[1:]))


COLUMNS: Final = (
    "rule",
    "expected",
    "found",
    "missed",
    "false",
    "early",
    "late",
    "retracted",
    "wrongly_retracted",
    "not_retracted",
    "wrong_state",
)


@dataclass(slots=True)
class Score:
    """The whole comparison. `problems`: one sentence for each finding."""

    rules: dict[RuleId, RuleScore]
    repeats: int = 0
    """Changes that were said again with the same id: allowed, at least once is promised."""
    contradictions: int = 0
    """Changes said again with the same id and another content: never allowed."""
    gaps: int = 0
    """Changes that were never said though a later change of the same case was."""
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing missed, false, early or late, no wrong retraction or state, no change lost or told in two ways."""
        return not (self.contradictions or self.gaps or any(score.wrong for score in self.rules.values()))

    def rows(self) -> list[tuple[str, ...]]:
        """One row per rule, cells in the order of COLUMNS."""
        return [score.row() for score in self.rules.values()]


def score(
    expected: Iterable[ExpectedCase],
    observed: Iterable[Observed],
    bound: timedelta,
    *,
    same_due: timedelta | None = None,
) -> Score:
    """Compare. A case is late when it opened more than `bound` of simulated time after it could.

    `same_due`: how far the due times of an expected and a found case of the same subject may lie apart (arrival is
    measured by each side for itself); default: `bound`. Observed repeats and any order are fine.
    """
    result = Score({rule: RuleScore(rule) for rule in RuleId})
    found = _cases(observed, result)
    wanted: dict[Subject, list[ExpectedCase]] = defaultdict(list)
    for case in expected:
        wanted[case.rule, case.return_id, case.parcel].append(case)
    for subject in sorted({*wanted, *found}):
        _compare(wanted.get(subject, []), found.get(subject, []), result, bound, same_due or bound)
    return result


def _cases(observed: Iterable[Observed], result: Score) -> dict[Subject, list[FoundCase]]:
    changes: dict[str, dict[int, Observed]] = defaultdict(dict)
    for change in sorted(observed, key=lambda change: change.observed_at):
        first = changes[change.case_id].setdefault(change.revision, change)
        if first is not change:
            result.repeats += 1
            if first._replace(observed_at=change.observed_at) != change:
                result.contradictions += 1
                result.problems.append(f"{change.case_id}:{change.revision} was told in two ways")
    cases: dict[Subject, list[FoundCase]] = defaultdict(list)
    for case_id, by_revision in changes.items():
        newest = max(by_revision)
        missing = newest - len(by_revision)
        if missing:
            result.gaps += missing
            result.problems.append(f"{case_id}: {missing} of its {newest} changes were never told")
        opened = by_revision[min(by_revision)]
        case = FoundCase(opened, by_revision[newest], len(by_revision))
        cases[opened.rule, opened.return_id, opened.parcel].append(case)
    return cases


def _compare(
    wanted: Sequence[ExpectedCase],
    found: Sequence[FoundCase],
    result: Score,
    bound: timedelta,
    same_due: timedelta,
) -> None:
    left = list(found)
    for case in sorted(wanted, key=lambda case: _first_served(case, found)):
        counts = result.rules[case.rule]
        if case.opens == "either":
            counts.either += 1
        else:
            counts.expected += 1
        near = [f for f in left if _apart(case, f) <= same_due]
        if near:
            match = min(near, key=lambda f: _apart(case, f))
            left.remove(match)
            counts.found += 1
            _judge(case, match, counts, result, bound)
        elif case.opens is True:
            counts.missed += 1
            result.problems.append(f"missed: {_subject(case)}, due {case.due_at:%m-%d %H:%M}")
    for extra in left:
        result.rules[extra.opened.rule].found += 1
        result.rules[extra.opened.rule].false += 1
        told = f"due {extra.opened.due_at:%m-%d %H:%M}, {extra.last.state}, {extra.last.reason}"
        result.problems.append(f"false: {_subject(extra.opened)}, {told}")


def _first_served(case: ExpectedCase, found: Sequence[FoundCase]) -> tuple[bool, timedelta, datetime]:
    """What must be found before what may be, and what is found just when it is due before what is found later."""
    nearest = min((_apart(case, one) for one in found), default=timedelta(0))
    return case.opens == "either", nearest, case.due_at


def _apart(case: ExpectedCase, found: FoundCase) -> timedelta:
    """How far the due time of the found case lies outside of those that are expected."""
    due_at = found.opened.due_at
    return max(case.due_at - due_at, due_at - case.due_by, timedelta(0))


def _judge(case: ExpectedCase, found: FoundCase, counts: RuleScore, result: Score, bound: timedelta) -> None:
    findings = [*_when_told(case, found.opened, counts, bound), *_how_it_ended(case, found.last, counts)]
    if case.delayed != "either" and found.opened.delayed is not case.delayed:
        counts.wrong_state += 1
        findings.append(f"said to be {'delayed' if found.opened.delayed else 'not delayed'} by its feed")
    result.problems.extend(f"{_subject(case)}: {finding}" for finding in findings)


def _when_told(case: ExpectedCase, opened: Observed, counts: RuleScore, bound: timedelta) -> Iterator[str]:
    from_at = max(case.due_at, case.held_until_at or case.due_at)
    if opened.observed_at < from_at:
        counts.early += 1
        yield f"early by {from_at - opened.observed_at}"
    if opened.observed_at > case.opens_by + bound:
        counts.late += 1
        yield f"late by {opened.observed_at - case.opens_by}"


def _how_it_ended(case: ExpectedCase, last: Observed, counts: RuleScore) -> Iterator[str]:
    if last.state is CaseState.RETRACTED:
        counts.retracted += 1
        if case.retracted is False:
            counts.wrongly_retracted += 1
            yield "retracted, which it must not be"
    elif last.reason is Reason.BY_HAND:
        pass  # a person closed it: how it would have ended is not known
    elif case.retracted is True:
        counts.not_retracted += 1
        yield f"not retracted but {last.state}"
    elif last.quiet and last.state is CaseState.OPEN and CaseState.ESCALATED in case.final_states:
        pass
    elif wrong := _wrong_end(case, last):
        counts.wrong_state += 1
        yield wrong


def _wrong_end(case: ExpectedCase, last: Observed) -> str:
    """What is wrong with how it stands at the end; "" for nothing."""
    if last.state not in case.final_states:
        return f"{last.state}, not {' or '.join(sorted(case.final_states))}"
    if last.state is not CaseState.RESOLVED:
        return ""
    if last.reason not in case.reasons:
        return f"resolved by {last.reason}, not {' or '.join(sorted(case.reasons))}"
    if case.ends_between is not None and not (
        case.ends_between[0] <= last.effective_at <= case.ends_between[1]
    ):
        return f"ended at {last.effective_at:%m-%d %H:%M}, too soon or too late"
    return ""


def _subject(case: ExpectedCase | Observed) -> str:
    """What it is about: a parcel has no return as long as no label names one, and a return need not have a parcel."""
    return f"{case.rule} of {', '.join(filter(None, (case.return_id, case.parcel)))}"
