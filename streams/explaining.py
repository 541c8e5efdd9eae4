"""Why a rule fired for a return, or why not: told by the rules that decide, asked once more of the same state.

`explain_return` and `explain_parcel` take the states as the stages keep them, a `TellingPolicy`, and the log's time. Nothing is
decided here: what is waited for comes from the rules, the verdict on it from streams/findings.py, how a deadline came
about from streams/reckoning.py, what would end a waiting from streams/endings.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from schemas.explanations import (
    ClockPart,
    DayNotCounted,
    ExplainedCase,
    ExplainedClock,
    ExplainedStop,
    ExplainedWait,
    Explanation,
    NotStarted,
    Verdict,
)
from schemas.facts import Source
from schemas.outputs import EvidenceSource, utc
from schemas.policy import FEED_RULES
from schemas.vocabulary import CaseState, Milestone, Reason, RuleId
from streams import cases
from streams.cases import Finding, case_id
from streams.endings import SCANS, Tried, expectations_of, explaining, try_on_parcel, try_on_return
from streams.findings import explanations_of, findings, waits_of_return
from streams.journeys import Journey
from streams.parcel import ParcelState, Seen, raw_facts
from streams.parcel_look import OWN
from streams.reckoning import Reckoning, TellingPolicy, reckoning_of_parcel, reckoning_of_return
from streams.return_view import Awaited, CaseKey, ReturnView, Stop
from streams.returns import CaseRecord, ReturnState
from streams.root_cases import told_instead
from streams.timeline import timeline

_AS_CASE = {
    CaseState.OPEN.value: Verdict.OPEN,
    CaseState.ESCALATED.value: Verdict.OPEN,
    CaseState.RETRACTED.value: Verdict.RETRACTED,
    cases.SUPPRESSED: Verdict.EXPLAINED,
}
"""Of a case of which nothing but itself is known."""
_ORDER = {rule: number for number, rule in enumerate(RuleId)}


class Known(NamedTuple):
    """What is kept about a return: its own state, and its parcels' by key. `now_ms` is the log's time."""

    return_id: str
    """"" for a parcel that no return is known of."""
    state: ReturnState
    parcels: Mapping[str, ParcelState]
    now_ms: int
    forgotten: tuple[str, ...] = ()
    """Parcels that the return knows of, and of which nothing is kept."""


class _Wait(NamedTuple):
    """One thing that is waited for, from whichever stage."""

    key: CaseKey
    started_by: str
    since_ms: int
    due_ms: int
    holds: bool
    stop: Stop | None
    evidence: tuple[Source, ...]
    reckoning: Reckoning | None
    of_parcel: bool = False
    """It is the parcel that waits, and not the return."""


def explain(known: Known, policy: TellingPolicy) -> Explanation:
    """Everything about the return, or about the parcel itself where there is none."""
    return _Explaining(known, policy).explanation()


class _Explaining:
    def __init__(self, known: Known, policy: TellingPolicy) -> None:
        self.known, self.policy = known, policy
        self.view = ReturnView(known.state, policy)
        self.told = findings(self.view, known.state, known.now_ms).found
        self.findings = {(one.rule, one.parcel, one.anchor): one for one in self.told}
        self.held = {(one.rule, one.parcel, one.anchor): one.feed for one in known.state.held}
        for parcel, state in known.parcels.items():
            self.held |= {(one.rule, parcel, one.anchor): one.feed for one in state.held}
        self.cases = {(one.rule, one.parcel, one.anchor): one for one in known.state.cases}
        newest = [known.now_ms, known.state.newest_ms, *(one.newest_ms for one in known.parcels.values())]
        self.tried_ms = max(newest) + 1
        self.tried = Tried({}, {})
        self.told_late = Tried({}, {})
        """What would have done it just after the last that was heard of the parcel; later it would be another journey."""

    def explanation(self) -> Explanation:
        known = self.known
        waits = [*self._of_parcels(), *self._of_return()]
        self._try(waits)
        explained = [self._explained(wait) for wait in waits]
        told = {wait.key for wait in waits}
        explained += [self._gone(case) for key, case in self.cases.items() if key not in told]
        explained.sort(key=lambda one: (_ORDER[one.rule], one.parcel, one.since_at))
        return Explanation(
            return_id=known.return_id,
            parcels=tuple(known.parcels),
            forgotten=known.forgotten,
            watermark_at=utc(known.now_ms),
            policy_hash=self.policy.hash,
            truncated=known.state.truncated or any(one.truncated for one in known.parcels.values()),
            timeline=timeline(known.state, known.parcels),
            waits=tuple(explained),
            not_started=tuple(self._not_started({one.rule for one in explained})),
        )

    # -- what is waited for ----------------------------------------------------------------------------------

    def _of_parcels(self) -> Iterator[_Wait]:
        for key, state in self.known.parcels.items():
            for journey, terms, one in expectations_of(key, raw_facts(state), state.labels, self.policy):
                if self._concerns(journey, one.rule):
                    end = one.end
                    stops = [Stop(end.at_ms, end.reason, end.fact.source(state.topics))] if end else []
                    stop = self._first(stops, self._void(journey, state), key, one.rule)
                    yield _Wait(
                        (one.rule, key, one.anchor),
                        _name(one.start),
                        one.start.at_ms,
                        one.due_ms,
                        one.holds,
                        stop,
                        (one.start.source(state.topics),),
                        reckoning_of_parcel(one, journey, terms),
                        of_parcel=True,
                    )

    def _concerns(self, journey: Journey, rule: RuleId) -> bool:
        """Whether the return is told of it, or, without one, the parcel itself keeps it."""
        return_id = self.known.return_id
        return return_id in journey.returns() and rule not in OWN if return_id else rule in OWN

    def _void(self, journey: Journey, state: ParcelState) -> list[Stop]:
        """That the label was taken back for this return, while others may stay on the parcel."""
        void = journey.returns().get(self.known.return_id)
        return [Stop(void.at_ms, Reason.LABEL_VOIDED, void.source(state.topics))] if void is not None else []

    def _first(self, ends: list[Stop], voids: list[Stop], parcel: str, rule: RuleId) -> Stop | None:
        told = explanations_of(self.view, parcel, rule)
        stops = [*ends, *voids, *(Stop(fact.at_ms, reason, fact.source) for fact, reason in told)]
        return min(stops, key=lambda stop: stop.at_ms, default=None)

    def _of_return(self) -> Iterator[_Wait]:
        if self.known.return_id:
            for one in waits_of_return(self.view):
                evidence, started_by = self._start(one)
                reckoning = reckoning_of_return(one, self.view)
                yield _Wait(
                    one[:3], started_by, one.since_ms, one.due_ms, True, one.stop, evidence, reckoning
                )

    def _start(self, awaited: Awaited) -> tuple[tuple[Source, ...], str]:
        """The event that it started with: the return's own, or the dock scan of the parcel."""
        for fact in self.known.state.facts:
            if fact.source in awaited.evidence:
                return awaited.evidence, Milestone(fact.milestone).name.lower()
        parcel = self.known.parcels.get(awaited.parcel)
        for seen in map(Seen._make, raw_facts(parcel)) if parcel is not None else ():
            if seen.milestone == Milestone.CHECKED_IN and seen.at_ms == awaited.since_ms:
                return (seen.source(parcel.topics if parcel else ()),), _name(seen)
        return awaited.evidence, ""

    # -- what would end or start it --------------------------------------------------------------------------

    def _try(self, waits: Sequence[_Wait]) -> None:
        known = self.known
        for key, state in known.parcels.items():
            try_on_parcel(self.tried, key, state, self.policy, self.tried_ms)
            try_on_parcel(self.told_late, key, state, self.policy, state.newest_ms + 1)
            rules = {RuleId(wait.key[0]) for wait in waits if wait.key[1] == key}
            more = explaining(self.view, known.state, key, rules, self.tried_ms)
            # A return whose label is taken back waits for the parcel no more, whoever else does (`_void`).
            void = [Milestone.LABEL_VOIDED.name.lower()] if known.return_id else []
            for wait in (one for one in waits if one.key[1] == key and one.of_parcel):
                self.tried.ends.setdefault(wait.key, []).extend([*void, *more[RuleId(wait.key[0])]])
        if known.return_id:
            try_on_return(self.tried, self.view, known.state, self.tried_ms)

    def _closed_by(self, key: CaseKey) -> tuple[str, ...]:
        ends = self.tried.ends.get(key, [])
        late = _grouped(word for word in self.told_late.ends.get(key, ()) if word not in ends)
        return (*_grouped(ends), *(f"{word}, told late" for word in late))

    def _not_started(self, rules: set[RuleId]) -> Iterator[NotStarted]:
        for rule in RuleId:
            if rule not in FEED_RULES | rules and (rule in OWN) == (not self.known.return_id):
                numbers = self.policy.policy.rules.get(rule)
                starts = tuple(_grouped(self.tried.starts.get(rule, ())))
                off = numbers is None or not numbers.enabled
                yield NotStarted(rule=rule, switched_off=off, started_by=starts)

    # -- the verdict -----------------------------------------------------------------------------------------

    def _explained(self, wait: _Wait) -> ExplainedWait:
        finding, case = self.findings.get(wait.key), self.cases.get(wait.key)
        verdict = self._verdict(wait, finding, case)
        stop, due_ms, evidence = wait.stop, wait.due_ms, wait.evidence
        instead: list[Finding] = []
        if finding is not None:
            due_ms = finding.due_ms
            evidence = finding.evidence or evidence
            if verdict is Verdict.EXPLAINED or due_ms != wait.due_ms:
                instead = told_instead(finding._replace(due_ms=wait.due_ms), self.told)
            if finding.reason is Reason.EXPIRED:
                stop = Stop(finding.ended_ms, Reason.EXPIRED)
        if stop is not None and stop.source is not None and stop.source not in evidence:
            evidence = (*evidence, stop.source)
        goes_on = stop is None and verdict in {
            Verdict.WAITING,
            Verdict.OPEN,
            Verdict.EXPLAINED,
            Verdict.HELD_BACK,
            Verdict.FEED_SILENT,
        }
        rule, parcel, _ = wait.key
        return ExplainedWait(
            rule=RuleId(rule),
            parcel=parcel,
            verdict=verdict,
            started_by=wait.started_by,
            since_at=utc(wait.since_ms),
            due_at=utc(due_ms),
            clock=_clock(wait.reckoning) if wait.reckoning is not None else None,
            stop=_stop(stop),
            closed_by=self._closed_by(wait.key) if goes_on else (),
            explained_by=tuple(RuleId(other.rule) for other in instead),
            evidence=tuple(map(_source, evidence)),
            case=self._case(case),
            held_for=self.held.get(wait.key, "") if verdict is Verdict.FEED_SILENT else "",
        )

    def _verdict(self, wait: _Wait, finding: Finding | None, case: CaseRecord | None) -> Verdict:
        now_ms, stop = self.known.now_ms, wait.stop
        if case is None and wait.key in self.held:
            return Verdict.FEED_SILENT
        if finding is None:
            in_time = stop is not None and stop.at_ms <= wait.due_ms
            if not in_time and wait.due_ms > now_ms:
                return Verdict.WAITING
            if not in_time and not wait.holds:
                return Verdict.HELD_BACK
            if not in_time:
                return Verdict.OPEN if stop is None else Verdict.RESOLVED
        elif finding.verdict is not cases.Verdict.NONE:
            if finding.due_ms > now_ms:
                return Verdict.WAITING
            if finding.reason is Reason.EXPLAINED:
                return Verdict.EXPLAINED
            return Verdict.OPEN if finding.verdict is cases.Verdict.OPEN else Verdict.RESOLVED
        taken_back = case is not None and case.state == CaseState.RETRACTED
        return Verdict.RETRACTED if taken_back else Verdict.IN_TIME

    def _gone(self, case: CaseRecord) -> ExplainedWait:
        """A case of which nothing is waited for any more: what it rested on was taken back, or is no longer this return's."""
        finding = self.findings.get((case.rule, case.parcel, case.anchor))
        return ExplainedWait(
            rule=RuleId(case.rule),
            parcel=case.parcel,
            verdict=_AS_CASE.get(case.state, Verdict.RESOLVED),
            since_at=utc(case.since_ms),
            due_at=utc(case.due_ms),
            evidence=tuple(map(_source, finding.evidence)) if finding is not None else (),
            case=self._case(case),
        )

    def _case(self, case: CaseRecord | None) -> ExplainedCase | None:
        if case is None:
            return None
        return ExplainedCase(
            case_id=case_id(case.rule, self.known.return_id, case.parcel, case.anchor),
            revision=case.revision,
            state=case.state,
            reason=Reason(case.reason),
            level=case.level,
            effective_at=utc(case.effective_ms),
            explanation=cases.explain(case),
            historical=case.historical,
        )


def _clock(told: Reckoning) -> ExplainedClock:
    counted = told.counted
    later = tuple(
        ClockPart(
            why=part.why.value,
            more_ms=part.more_ms,
            from_at=utc(part.from_ms) if part.from_ms else None,
            details=part.details,
        )
        for part in told.later
    )
    return ExplainedClock(
        budget=told.budget,
        chosen_by=told.chosen_by,
        counts_from_at=utc(counted.started_ms if counted is not None else told.since_ms),
        facility=told.facility,
        time_zone=counted.time_zone if counted is not None else "",
        moved=counted.moved.value if counted is not None else "",
        counted=counted.days if counted is not None else (),
        not_counted=tuple(
            DayNotCounted(day=off.day, why=off.holiday or "weekend")
            for off in (counted.skipped if counted is not None else ())
        ),
        used_up_at=utc(told.used_up_ms),
        later=later,
        due_at=utc(told.due_ms),
    )


def _stop(stop: Stop | None) -> ExplainedStop | None:
    if stop is None:
        return None
    source = _source(stop.source) if stop.source is not None else None
    return ExplainedStop(reason=stop.reason, at=utc(stop.at_ms), source=source)


def _source(source: Source) -> EvidenceSource:
    return EvidenceSource(source.topic, source.partition, source.offset)


def _name(seen: Seen) -> str:
    return Milestone(seen.milestone).name.lower()


def _grouped(words: Iterable[str]) -> list[str]:
    """What a carrier's scans prove, in few words where most of them do."""
    scans = [milestone.name.lower() for milestone in SCANS]
    named = list(dict.fromkeys(words))
    missing = [scan for scan in scans if scan not in named]
    if len(missing) * 2 > len(scans):
        return named
    but = f" (but not {', '.join(missing)})" if missing else ""
    return [f"any scan{but}", *(word for word in named if word not in scans)]
