"""The oracle: an independent, plain, slow reading of the rules, which says what Returnwatch has to find.

It knows every record of the input topics, when it happened and when it was appended. For each return and each of
its parcels it walks through the appended records one after another. After each of them it looks at what is known and
asks of every expectation whether, and when, its deadline passes before the next record comes:

- satisfied at or before the deadline, and known by then: nothing;
- satisfied at or before the deadline, but appended after it: a case opens and is retracted;
- satisfied after the deadline: a case opens and is resolved;
- never satisfied: a case opens and stays open.

A case needs a label that held for the return when it became known. A deadline is the later of
(start + budget + allowance of the carrier's feed) and (start appended + settle).

A worker that was held up knows, at a deadline, also records that were appended shortly after it. So everything is
judged again as if records had been known up to `tolerance` earlier, or had arrived that much later, and where the
outcome differs it is "either".

Scope: one journey per tracking number (numbers are not used again within the time watched).
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from schemas.vocabulary import CaseState, Milestone, Reason, RuleId
from simulation.expectations import Expectation, what_is_expected
from simulation.ledger import Ledger, LedgerEvent, ReturnNews, read_ledger
from simulation.parcel_story import ParcelStory, meant_by_number, still_true
from simulation.terms import Terms

Maybe = bool | Literal["either"]


@dataclass(frozen=True, slots=True)
class ExpectedCase:
    """A case that has to be found. Times are aware UTC, in simulated time.

    `occurrence` counts the cases of the same (rule, return, parcel) by `due_at`, from 0; `opens_at` is the first
    moment at which the log's knowledge suffices (never before `due_at`), `opens_by` the latest, as a worker that knows
    more may open it later; `final_states` are the states in which the case may stand at the end; `ended_at` is the
    event time of what ended it.
    """

    rule: RuleId
    return_id: str
    parcel: str
    occurrence: int
    since_at: datetime
    due_at: datetime
    opens_at: datetime
    opens_by: datetime
    opens: Maybe
    retracted: Maybe
    final_states: frozenset[CaseState]
    reasons: frozenset[Reason]
    ended_at: datetime | None


@dataclass(slots=True)
class _Case:
    expectation: Expectation
    """As it was when the case opened."""
    opens_at: datetime
    state: CaseState = CaseState.OPEN
    reasons: set[Reason] = field(default_factory=lambda: {Reason.DUE})
    """Why it is in its state: all that were true since it came into it."""
    ended_at: datetime | None = None


def expected(
    events: Iterable[LedgerEvent], terms: Terms, until_at: datetime, tolerance: timedelta = timedelta(0)
) -> list[ExpectedCase]:
    """Every case that must, or may, be found in these records by the log time `until_at`."""
    ledger = read_ledger(events)
    cases: list[ExpectedCase] = []
    for return_id in sorted(ledger.parcels_of):
        for parcel in ledger.parcels_of[return_id]:
            cases.extend(_Watch(ledger, terms, return_id, parcel).cases(until_at, tolerance))
    return cases


class _Watch:
    """One return and one of its parcels."""

    def __init__(self, ledger: Ledger, terms: Terms, return_id: str, parcel: str) -> None:
        self.terms = terms
        self.return_id = return_id
        self.parcel = parcel
        self.siblings = {
            name: sorted(
                ledger.parcels[name], key=lambda news: (news.at, news.appended_at, str(news.identity))
            )
            for name in ledger.parcels_of[return_id]
        }
        self.of_return = ledger.returns.get(return_id, [])
        self.appended = sorted(
            {news.appended_at for news in self.of_return}
            | {news.appended_at for known in self.siblings.values() for news in known}
        )

    def cases(self, until_at: datetime, tolerance: timedelta) -> list[ExpectedCase]:
        """What must be found, judged once as the records were appended, and again as if known earlier."""
        runs = [self._walk(timedelta(0), until_at, tolerance)]
        decided = [case.expectation.due_at for case in runs[0].values()]
        if any(due < at <= due + tolerance for due in decided for at in self.appended):
            runs.extend(self._walk(tolerance * part / 3, until_at, tolerance) for part in (1, 2, 3))
        if runs[0] and any(until_at - tolerance < at <= until_at for at in (*decided, *self.appended)):
            runs.append(self._walk(timedelta(0), until_at - tolerance, tolerance))
        if runs[0] and tolerance:
            runs.append(self._as_if_read_late(tolerance)._walk(timedelta(0), until_at, tolerance))
        keys = dict.fromkeys(key for run in runs for key in run)
        return _numbered([self._merge([run.get(key) for run in runs], until_at, tolerance) for key in keys])

    def _as_if_read_late(self, lateness: timedelta) -> "_Watch":
        """The same, for a worker that was held up and stamps what it reads with a later arrival."""
        late = copy(self)
        late.terms = self.terms.settling(self.terms.settle + lateness)
        return late

    def _merge(self, told: list[_Case | None], until_at: datetime, tolerance: timedelta) -> ExpectedCase:
        cases = [case for case in told if case is not None]
        first = cases[0]
        states = {case.state for case in cases}
        level = self.terms.first_level_after
        if CaseState.OPEN in states and level is not None:
            states.discard(CaseState.OPEN)
            if first.expectation.due_at + level <= until_at + tolerance:
                states.add(CaseState.ESCALATED)
            if first.expectation.due_at + level >= until_at - tolerance:
                states.add(CaseState.OPEN)
        return ExpectedCase(
            rule=first.expectation.rule,
            return_id=self.return_id,
            parcel=self.parcel,
            occurrence=0,
            since_at=first.expectation.since_at,
            due_at=first.expectation.due_at,
            opens_at=first.opens_at,
            opens_by=max(case.opens_at for case in cases),
            opens=True if len(cases) == len(told) else "either",
            retracted=_agreed({case.state is CaseState.RETRACTED for case in cases}),
            final_states=frozenset(states),
            reasons=frozenset(reason for case in cases for reason in case.reasons),
            ended_at=first.ended_at,
        )

    # ---- walking through the records ------------------------------------------------------------------------

    def _walk(
        self, known_earlier: timedelta, until_at: datetime, tolerance: timedelta
    ) -> dict[tuple[RuleId, Hashable], _Case]:
        cases: dict[tuple[RuleId, Hashable], _Case] = {}
        linked = False
        moments = [at - known_earlier for at in self.appended if at - known_earlier <= until_at]
        for moment, following in zip(moments, [*moments, until_at][1:], strict=True):
            expectations = {(e.rule, e.anchor): e for e in self._expectations(moment + known_earlier)}
            linked = linked or any(expectation.linked for expectation in expectations.values())
            for key, expectation in expectations.items():
                if key not in cases and linked and expectation.breached and expectation.due_at < following:
                    cases[key] = _Case(expectation, max(expectation.due_at, moment))
            for key, case in cases.items():
                if _look_again(case, expectations.get(key)):
                    soon = {(e.rule, e.anchor): e for e in self._expectations(moment + tolerance)}
                    case.reasons |= {why for _, why in soon[key].ends} if key in soon else set()
        return cases

    def _expectations(self, now: datetime) -> list[Expectation]:
        """What is expected of the parcel for this return, by what was appended until `now`."""
        stories = {
            name: ParcelStory(still_true(news, now), self.return_id) for name, news in self.siblings.items()
        }
        of_return = still_true(self.of_return, now)
        received_at = _received_by_number(stories, of_return).get(self.parcel)
        cancelled_at = min(
            (n.at for n in of_return if n.milestone is Milestone.RETURN_CANCELLED), default=None
        )
        return what_is_expected(stories[self.parcel], self.terms, received_at, cancelled_at)


def _received_by_number(stories: dict[str, ParcelStory], of_return: list[ReturnNews]) -> dict[str, datetime]:
    """When each parcel was received by a check-in that named the return only.

    A check-in can mean parcels that were labelled before it and that no check-in before it accounts for.
    """
    received: dict[str, datetime] = {}
    for check_in in sorted(of_return, key=lambda news: news.at):
        if check_in.milestone is not Milestone.CHECKED_IN:
            continue
        waiting = {
            name: story
            for name, story in stories.items()
            if name not in received and story.waits_for_check_in_at(check_in.at)
        }
        received.update(dict.fromkeys(meant_by_number(check_in, waiting), check_in.at))
    return received


def _look_again(case: _Case, expectation: Expectation | None) -> bool:
    """Bring the case to what is expected now; True when it has just been resolved."""
    before = case.state
    if expectation is None or not expectation.breached:
        case.state, case.reasons, case.ended_at = CaseState.RETRACTED, {Reason.LATE_EVIDENCE}, None
    elif expectation.satisfied is None:
        case.state, case.reasons, case.ended_at = CaseState.OPEN, {Reason.DUE}, None
    else:
        case.ended_at, reason = expectation.satisfied
        case.reasons = {*case.reasons, reason} if before is CaseState.RESOLVED else {reason}
        case.state = CaseState.RESOLVED
    return case.state is CaseState.RESOLVED and before is not CaseState.RESOLVED


def _agreed(values: set[bool]) -> Maybe:
    return values.pop() if len(values) == 1 else "either"


def _numbered(cases: list[ExpectedCase]) -> list[ExpectedCase]:
    """The cases by due time, each with its place among those of its rule."""
    seen: Counter[RuleId] = Counter()
    numbered: list[ExpectedCase] = []
    for case in sorted(cases, key=lambda case: (case.due_at, case.rule)):
        numbered.append(replace(case, occurrence=seen[case.rule]))
        seen[case.rule] += 1
    return numbered
