"""The oracle: an independent, plain, slow reading of the rules, which says what Returnwatch has to find.

It knows every record of the input topics, when it happened and when it was appended. For each return, and for each parcel
that came to a dock, it walks through the appended records one after another, and through the deadlines between them.
At each of these moments it looks at what is known and asks of every expectation whether its deadline has passed:

- satisfied at or before the deadline, and known by then: nothing;
- satisfied at or before the deadline, but appended after it: a case opens and is retracted;
- satisfied after the deadline: a case opens and is resolved;
- never satisfied: a case opens and stays open.

While a case of a higher rule about the same cause stands, a case is not told (`explanations`): it opens when the higher
one has ended, and is resolved as explained when the higher one begins.

While a feed is silent, what waits for it is held (`holds`): it is told when that is over, and not at all if it is
known by then that nothing was wrong. When exactly that is depends on how much came when, so it is judged with the
shortest and the longest time that may be, and where the outcome differs it is "either".

A worker that was held up knows, at a deadline, also records that were appended shortly after it. So everything is
judged again as such a worker may come to know things (`Reading`), and where the outcome differs it is "either".

Scope: one journey per tracking number (numbers are not used again within the time watched).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from schemas.vocabulary import CaseState, Reason, RuleId
from simulation.dossier import Dossier, Known, dossiers
from simulation.expectation import CaseKey, Expectation
from simulation.expectations import is_of_return
from simulation.explanations import EXPLAINED_BY, Piece, standing
from simulation.holds import NEVER_HELD, Hold, Telling
from simulation.ledger import LedgerEvent, read_ledger
from simulation.reading import Reading
from simulation.terms import Terms

Maybe = bool | Literal["either"]


@dataclass(frozen=True, slots=True)
class ExpectedCase:
    """A case that has to be found. Times are aware UTC, in simulated time.

    `occurrence` counts the cases of the same (rule, return, parcel) by `due_at`, from 0; it may be found with any due
    time from `due_at` to `due_by` (they differ where a held-up worker sees only its second opening); `opens_at` is
    the first moment at which the log's knowledge suffices (never before `due_at`), `opens_by` the latest, as a worker
    that knows more may open it later; `final_states` are the states in which the case may stand at the end;
    `ended_at` is the event time of what ended it.
    """

    rule: RuleId
    return_id: str
    parcel: str
    occurrence: int
    since_at: datetime
    due_at: datetime
    due_by: datetime
    opens_at: datetime
    opens_by: datetime
    opens: Maybe
    retracted: Maybe
    final_states: frozenset[CaseState]
    reasons: frozenset[Reason]
    ended_at: datetime | None
    held_until_at: datetime | None = None
    """Before this it must not be told, for it is held; None: it may be at its deadline."""
    delayed: Maybe = False
    """Whether it says that it was held."""
    ends_between: tuple[datetime, datetime] | None = None
    """When it has to end, at the earliest and at the latest; None: nothing is said about that."""


@dataclass(slots=True)
class _Case:
    since_at: datetime
    opens_at: datetime
    due_at: datetime
    """The deadline with which it opened; `due_by`: or with which a worker that looks seldom opens it."""
    due_by: datetime
    stands_since: datetime
    """Its deadline, or when the last of what explained it ended."""
    states: frozenset[CaseState] = frozenset({CaseState.OPEN})
    reasons: set[Reason] = field(default_factory=lambda: {Reason.DUE})
    """Why it is in its state: all that were true since it came into it."""
    ended_at: datetime | None = None
    raised_at: datetime | None = None
    """When it was told, if it was held."""

    def may_open_with(self, pieces: Sequence[Piece], tolerance: timedelta) -> None:
        """A worker that looks seldom does not see a short piece: it opens the case with the one behind it."""
        for piece, following in pairwise(pieces):
            if piece.until is None or piece.until - piece.since > tolerance:
                return
            self.due_by = max(self.due_by, following.since)


def expected(
    events: Iterable[LedgerEvent],
    terms: Terms,
    until_at: datetime,
    tolerance: timedelta = timedelta(0),
    holds: Sequence[Hold] = (NEVER_HELD,),
) -> list[ExpectedCase]:
    """Every case of a return or parcel that must, or may, be found in these records by the log time `until_at`.

    `holds`: the ways in which a silent feed may hold what waits for it (simulation/holds.py).
    """
    cases: list[ExpectedCase] = []
    for dossier in dossiers(read_ledger(events), terms):
        cases.extend(_Watch(dossier, terms, until_at, tolerance, holds).cases())
    return cases


class _Watch:
    """Judges one dossier in all the ways in which a worker may read it."""

    def __init__(
        self,
        dossier: Dossier,
        terms: Terms,
        until_at: datetime,
        tolerance: timedelta,
        holds: Sequence[Hold],
    ) -> None:
        self.dossier = dossier
        self.terms = terms
        self.until_at = until_at
        self.tolerance = tolerance
        self.holds = holds

    def cases(self) -> list[ExpectedCase]:
        """What must be found, judged once as the records were appended, and again as a held-up worker reads them."""
        walks: list[_Walk] = []
        later: list[_Walk] = []
        ways = self._ways()
        for hold, exact in ways:
            walks.append(exact)
            if exact.turning_points and self.tolerance:
                walks += [self._walk(hold, how) for how in self._readings(exact)]
                if self._near_the_end(exact):
                    walks.append(self._walk(hold, until_at=self.until_at - self.tolerance))
                settled = self.dossier.under(self.terms.settling(self.terms.settle + self.tolerance))
                later.append(self._walk(hold, dossier=settled))
        found = self._merged(walks, later)
        unsure = _unsure(found) if later else set()
        if unsure:
            walks += [self._walk(hold, untold=unsure) for hold, _ in ways]
            found = self._merged(walks, later)
        told = [_explained_late(case) if _may_be(key, unsure) else case for key, case in found.items()]
        return _numbered(told)

    def _walk(
        self,
        hold: Hold,
        how: Reading = Reading(),  # noqa: B008 - it is immutable
        *,
        dossier: Dossier | None = None,
        until_at: datetime | None = None,
        untold: Set[CaseKey] = frozenset(),
    ) -> "_Walk":
        return _Walk(
            dossier or self.dossier,
            how,
            until_at or self.until_at,
            self.tolerance,
            Telling(self.terms, hold, untold),
        )

    def _ways(self) -> list[tuple[Hold, "_Walk"]]:
        """The holds that make a difference, and what is found with each."""
        ways = [(hold, self._walk(hold)) for hold in self.holds]
        return ways if any(exact.held for _, exact in ways) else ways[:1]

    def _merged(self, walks: Sequence["_Walk"], later: Sequence["_Walk"]) -> dict[CaseKey, ExpectedCase]:
        """`later`: walks that settle later, which moves deadlines that no worker moves."""
        keys = dict.fromkeys(key for walk in (*walks, *later) for key in walk.cases)
        return {
            key: self._merge(key, _found(key, walks), _found(key, later), len(walks) + len(later))
            for key in keys
        }

    def _readings(self, exact: "_Walk") -> Iterator[Reading]:
        """In which other ways the records may be read, if any of them comes so close that it matters."""
        slow = self.tolerance
        appended = (*self.dossier.parcel_times, *self.dossier.return_times)
        if any(point < at <= point + slow for point in exact.turning_points for at in appended):
            for part in (1, 2, 3):
                yield Reading(slow * part / 3, slow * part / 3)
            yield Reading(parcels_early=slow)
            yield Reading(returns_early=slow)
            yield Reading(gulp=slow)

    def _near_the_end(self, exact: "_Walk") -> bool:
        times = (*exact.turning_points, *self.dossier.parcel_times, *self.dossier.return_times)
        return any(self.until_at - self.tolerance < at <= self.until_at for at in times)

    def _merge(self, key: CaseKey, timely: list[_Case], later: list[_Case], ways: int) -> ExpectedCase:
        cases = [*timely, *later]
        # What is found only where deadlines are moved has, for a worker, its own deadline, which is earlier by at most that.
        moved = timedelta(0) if timely else self.tolerance
        first, timely = cases[0], timely or cases
        states = {state for case in cases for state in self._with_levels(case)}
        return ExpectedCase(
            rule=key[0],
            return_id=self.dossier.return_id,
            parcel=key[1],
            occurrence=0,
            since_at=first.since_at,
            due_at=min(case.due_at for case in timely) - moved,
            due_by=max(case.due_by for case in timely),
            opens_at=first.opens_at,
            opens_by=max(max(case.opens_at, case.due_by) for case in cases),
            opens="either" if len(cases) < ways or self._may_be_explained_at_once(cases) else True,
            retracted=_agreed({state is CaseState.RETRACTED for state in states}),
            final_states=frozenset(states),
            reasons=frozenset(reason for case in cases for reason in case.reasons),
            ended_at=first.ended_at,
            held_until_at=min(case.raised_at or case.due_at for case in timely) - moved,
            delayed=_agreed({case.raised_at is not None for case in cases}),
        )

    def _may_be_explained_at_once(self, cases: list[_Case]) -> bool:
        """Whether a worker that reads what is explained and what explains it in one gulp finds them due together."""
        return any(
            Reason.EXPLAINED in case.reasons
            and case.ended_at is not None
            and timedelta(0) < self.tolerance >= case.ended_at - case.due_at
            for case in cases
        )

    def _with_levels(self, case: _Case) -> set[CaseState]:
        """A case that stands for long has gone up."""
        states, level = set(case.states), self.terms.first_level_after
        if CaseState.OPEN in states and level is not None:
            states.discard(CaseState.OPEN)
            goes_up_at = case.stands_since + level
            if goes_up_at <= self.until_at + self.tolerance:
                states.add(CaseState.ESCALATED)
            if goes_up_at >= self.until_at - self.tolerance:
                states.add(CaseState.OPEN)
        return states


class _Walk:
    """Goes through the records and deadlines of a dossier, and moves its cases along."""

    def __init__(
        self, dossier: Dossier, how: Reading, until_at: datetime, tolerance: timedelta, telling: Telling
    ) -> None:
        self.dossier = dossier
        self.how = how
        self.tolerance = tolerance
        self.telling = telling
        self.cases: dict[CaseKey, _Case] = {}
        self.turning_points: set[datetime] = set()
        """When anything was due, opened or ended."""
        self.held = False
        """Whether anything was."""
        self._linked: set[str] = set()
        for moment, following in pairwise([*how.moments(dossier, until_at), until_at]):
            self._from(moment, following)

    def _known(self, moment: datetime) -> Known:
        return self.dossier.known(*self.how.known_until(moment))

    def _from(self, moment: datetime, following: datetime) -> None:
        """From one record to the next: nothing more is known in between, but time passes."""
        known = self._known(moment)
        self._linked |= known.linked
        breaches = [breach for breach in known.breaches if self._is_told(breach)]
        due = [breach.due_at for breach in breaches if breach.due_at < following]
        if not self.cases and not due:
            return
        self.turning_points.update(due)
        told = [at for at in map(self._told_at, breaches) if at < following]
        ended = [breach.ended_at for breach in breaches if breach.ended_at is not None]
        for now in [moment, *sorted({at for at in (*due, *told, *ended) if moment < at < following})]:
            self._look(known, breaches, now)

    def _told_at(self, breach: Expectation) -> datetime:
        """At its deadline, unless it is held; what was told once is held no more."""
        if breach.key in self.cases:
            return breach.due_at
        told_at = self.telling.told_at(breach, self.dossier, self._linked)
        self.held |= told_at > breach.due_at
        return told_at

    def _is_told(self, breach: Expectation) -> bool:
        """A case of a parcel needs a label that held for the return when it became known."""
        return is_of_return(breach.rule) or breach.parcel in self._linked

    def _look(self, known: Known, breaches: list[Expectation], now: datetime) -> None:
        told = [breach for breach in breaches if self._told_at(breach) <= now]
        pieces = standing(told, now, self.telling.untold)
        for breach in breaches:
            if mine := pieces.get(breach.key):
                if breach.key not in self.cases:
                    self.cases[breach.key] = _opened(breach, mine, now, self._told_at(breach))
                    self.turning_points.add(now)
                self.cases[breach.key].may_open_with(mine, self.tolerance)
                if self._stand(self.cases[breach.key], mine[-1]):
                    self.turning_points.add(now)
                    self.cases[breach.key].reasons |= self._soon(breach.key, now)
            elif breach.key in self.cases and now >= breach.due_at:
                self._explain(self.cases[breach.key], now)
        there = {breach.key: breach.due_at <= now for breach in breaches}
        for key, case in self.cases.items():
            if not there.get(key, False):
                _take_back(case, key, known, due_later=key in there)

    def _stand(self, case: _Case, piece: Piece) -> bool:
        """Bring the case to where the last piece ends; True when it has just been resolved."""
        before = case.states
        case.stands_since = max(piece.since, case.raised_at or piece.since)
        case.ended_at = piece.until
        if piece.until is None:
            case.states, case.reasons = frozenset({CaseState.OPEN}), {Reason.DUE}
            return False
        self.turning_points.add(piece.until)
        was_resolved = CaseState.RESOLVED in before
        case.states = frozenset({CaseState.RESOLVED})
        case.reasons = {*case.reasons, *piece.why} if was_resolved else set(piece.why)
        return not was_resolved

    def _explain(self, case: _Case, now: datetime) -> None:
        """The case was told, and by what is known since another one stood in its place all the time."""
        if case.states == {CaseState.OPEN}:
            case.states, case.reasons, case.ended_at = (
                frozenset({CaseState.RESOLVED}),
                {Reason.EXPLAINED},
                now,
            )

    def _soon(self, key: CaseKey, now: datetime) -> set[Reason]:
        """Other reasons that a worker may give that reads on before it looks, in some topics or in all."""
        then = now + self.tolerance
        (parcels, parcels_then), (returns, returns_then) = zip(
            self.how.known_until(now), self.how.known_until(then), strict=True
        )
        soon: set[Reason] = set()
        for known in (
            self.dossier.known(parcels_until, returns_until)
            for parcels_until in (parcels, parcels_then)
            for returns_until in (returns, returns_then)
        ):
            soon.update(why for breach in known.breaches if breach.key == key for _, why in breach.ends)
            pieces = standing(known.breaches, then, self.telling.untold)
            soon.update(*(piece.why for piece in pieces.get(key, ())))
        return soon


def _opened(breach: Expectation, pieces: list[Piece], now: datetime, told_at: datetime) -> _Case:
    first, last = pieces[0].since, pieces[-1].since
    raised_at = told_at if told_at > breach.due_at else None
    return _Case(breach.since_at, now, first, last, last, raised_at=raised_at)


def _found(key: CaseKey, walks: Sequence[_Walk]) -> list[_Case]:
    return [walk.cases[key] for walk in walks if key in walk.cases]


def _take_back(case: _Case, key: CaseKey, known: Known, *, due_later: bool) -> None:
    """What is known now shows that nothing was missed, or not yet, or that there was nothing to miss."""
    if case.states == {CaseState.RETRACTED}:
        return
    rule, parcel, _ = key
    states, reasons = {CaseState.RETRACTED}, {Reason.LATE_EVIDENCE}
    if is_of_return(rule) and key not in known.in_time:
        # Nothing is said about cases whose question has gone or changed: both answers are right.
        if due_later or CaseState.RESOLVED in case.states:
            states, reasons = {*states, *case.states}, {*reasons, *case.reasons}
        elif parcel and parcel not in known.linked:
            states, reasons = {*states, CaseState.RESOLVED}, {*reasons, Reason.LABEL_VOIDED}
    case.states, case.reasons, case.ended_at = frozenset(states), reasons, None


def _unsure(cases: Mapping[CaseKey, ExpectedCase]) -> set[CaseKey]:
    """Cases that would explain others, and may not be told."""
    higher = set[RuleId]().union(*EXPLAINED_BY.values())
    return {key for key, case in cases.items() if case.opens == "either" and key[0] in higher}


def _may_be(key: CaseKey, unsure: Set[CaseKey]) -> bool:
    """Whether one of these explains the case."""
    rule, parcel, _ = key
    return any(other[0] in EXPLAINED_BY.get(rule, ()) and other[1] == parcel for other in unsure)


def _explained_late(case: ExpectedCase) -> ExpectedCase:
    """It may have stood until what explains it was told."""
    return replace(
        case,
        final_states=case.final_states | {CaseState.RESOLVED},
        reasons=case.reasons | {Reason.EXPLAINED},
    )


def _agreed(values: set[bool]) -> Maybe:
    return values.pop() if len(values) == 1 else "either"


def _numbered(cases: list[ExpectedCase]) -> list[ExpectedCase]:
    """The cases by due time, each with its place among those of its rule and parcel."""
    seen: Counter[tuple[RuleId, str]] = Counter()
    numbered: list[ExpectedCase] = []
    for case in sorted(cases, key=lambda case: (case.due_at, case.rule)):
        numbered.append(replace(case, occurrence=seen[case.rule, case.parcel]))
        seen[case.rule, case.parcel] += 1
    return numbered
