"""Moves the cases of one return, or of one feed, along the table in streams/cases.py and collects what is to be said."""

from typing import NamedTuple

from msgspec.structs import replace

from schemas.canary import is_canary
from schemas.vocabulary import CaseState, Reason
from streams.case_commands import ByHand, handling_after, is_quiet, woken_ms
from streams.cases import (
    COUNTED,
    STANDING,
    SUPPRESSED,
    Finding,
    Step,
    Telling,
    Verdict,
    messages,
    step_of,
)
from streams.findings import NEVER_MS
from streams.return_view import CaseKey
from streams.returns import CaseRecord, Handling
from streams.watermark import OPENED_OF, STANDS, STANDS_NO_MORE, Outgoing

MOST_SAID_BYTES = 256_000
"""A look says no more than this and one finding's messages; the rest is said by a look one millisecond later."""
MOST_CASES_BYTES = 160_000
"""About a thousand cases of one return; no more are opened."""
CASE_BYTES = 128
"""A case takes no more than this and its parcel's key, and what at most 256 commands have told of it."""

Note = tuple[str, str]


class ReturnLook(NamedTuple):
    """What a look found. The state given to it has been brought up to date."""

    keep: bool
    outgoing: list[Outgoing]
    notes: list[Note]
    delays: list[tuple[str, int]]


class CaseTeller:
    """See the head of this file."""

    def __init__(self, telling: Telling, now_ms: int) -> None:
        self.telling, self.now_ms = telling, now_ms
        self.cases: dict[CaseKey, CaseRecord] = {(c.rule, c.parcel, c.anchor): c for c in telling.state.cases}
        self.outgoing: list[Outgoing] = []
        self.notes: list[Note] = []
        self.delays: list[tuple[str, int]] = []
        self.disputed = telling.state.disputed()
        self.more = False
        """There was no room for all that is to be said."""
        self.explains_anew = False
        """What a case stood in the place of is to be judged once more."""
        self._said_bytes = 0
        self._case_bytes = sum(_case_bytes(case.parcel) for case in telling.state.cases)

    def follow(self, finding: Finding) -> None:
        """Make the case follow the verdict."""
        case = self.cases.get((finding.rule, finding.parcel, finding.anchor))
        step = step_of(case, finding.verdict)
        if self._is_full() or (case is None and step is not Step.STAY and not self._has_room(finding)):
            return
        if step is Step.RETRACT:
            self._change(finding, CaseState.RETRACTED, finding.reason, self.now_ms)
        elif step is Step.RESOLVE:
            self._change(finding, CaseState.RESOLVED, finding.reason, finding.ended_ms)
        elif step is Step.OPEN:
            self._open(finding, again=case is not None and case.revision > 0)
        elif step is Step.OPEN_AND_RESOLVE:
            self._open_and_resolve(finding, again=case is not None and case.state != SUPPRESSED)
        elif step is Step.SUPPRESS:
            self._suppress(finding, stands=case is not None)
        if finding.verdict is Verdict.OPEN:
            self._raise_level(finding)
            self._wake(finding)
            self._tell_of_dispute(finding)

    def close_unfound(self, found: set[CaseKey], why: Reason) -> None:
        """Standing cases of which nothing is left: what was waited for came in time, or its parcel is linked no more."""
        for key, case in self.cases.items():
            if key in found or case.state not in STANDING or self._is_full():
                continue
            carried = next((one for one in self.telling.state.carried if one.parcel == case.parcel), None)
            finding = Finding(*key, Verdict.NONE, why, case.since_ms, case.due_ms, 0, ())
            if carried is not None and not carried.linked:
                self._change(finding, CaseState.RESOLVED, Reason(carried.unlinked_reason), self.now_ms)
            else:
                self._change(finding, CaseState.RETRACTED, why, self.now_ms)

    def _is_full(self) -> bool:
        self.more |= self._said_bytes >= MOST_SAID_BYTES
        return self.more

    def _has_room(self, finding: Finding) -> bool:
        """Whether the return may have this case, too."""
        more = _case_bytes(finding.parcel)
        if self._case_bytes + more <= MOST_CASES_BYTES:
            self._case_bytes += more
            return True
        state = self.telling.state
        if not state.truncated:
            state.truncated = True
            self.notes.append(("truncated", "returns"))
        return False

    def next_level_ms(self) -> int:
        """When the next standing case goes up, or wakes."""
        standing = [case for case in self.cases.values() if case.state in STANDING]
        times = [
            max(case.due_ms, case.raised_ms) + after_ms
            for case in standing
            if not case.historical and not is_quiet(case, self.now_ms)
            for after_ms, level in self.telling.policy.levels
            if level.level > case.level
        ]
        times += [woken_ms(case) for case in standing]
        return min([at_ms for at_ms in times if at_ms > self.now_ms], default=NEVER_MS)

    def _open(self, finding: Finding, *, again: bool) -> bool:
        policy = self.telling.policy
        if finding.due_ms < self.now_ms - policy.accept_age_ms and not again:
            return False  # an old history sent again after the return was forgotten
        effective_ms = self.now_ms if again else finding.told_from_ms
        self._change(finding, CaseState.OPEN, Reason.DUE, effective_ms)
        historical = self.cases[finding.rule, finding.parcel, finding.anchor].historical
        if not historical and not is_canary(self.telling.return_id):
            self.delays.append((finding.rule, finding.told_from_ms))
        return True

    def _open_and_resolve(self, finding: Finding, *, again: bool) -> None:
        policy = self.telling.policy
        if policy.counts_late_breaches and not again:
            self.cases[(finding.rule, finding.parcel, finding.anchor)] = self._record(
                finding, COUNTED, finding.reason, finding.ended_ms, None
            )
            self.notes.append(("late_breach_counted", finding.rule))
        elif self._open(finding, again=again):
            self._change(finding, CaseState.RESOLVED, finding.reason, finding.ended_ms)

    def _suppress(self, finding: Finding, *, stands: bool) -> None:
        """Another case tells of the same cause."""
        if stands:
            self._change(finding, CaseState.RESOLVED, Reason.EXPLAINED, self.now_ms)
            return
        record = self._record(finding, SUPPRESSED, Reason.EXPLAINED, finding.due_ms, None)
        self.cases[(finding.rule, finding.parcel, finding.anchor)] = record
        self.notes.append(("case_suppressed", finding.rule))

    def _raise_level(self, finding: Finding) -> None:
        case = self.cases.get((finding.rule, finding.parcel, finding.anchor))
        if case is None or case.state not in STANDING or case.historical or is_quiet(case, self.now_ms):
            return
        told_from_ms = max(finding.due_ms, case.raised_ms)  # that it had been held, later looks do not find
        reached = [
            (told_from_ms + after_ms, level.level)
            for after_ms, level in self.telling.policy.levels
            if told_from_ms + after_ms <= self.now_ms and level.level > case.level
        ]
        if reached:
            at_ms, level = reached[-1]
            self._change(finding, CaseState.ESCALATED, Reason.LEVEL, max(at_ms, woken_ms(case)), level=level)

    def _wake(self, finding: Finding) -> None:
        """The time until which it was snoozed has come, and it has not gone up."""
        case = self.cases.get((finding.rule, finding.parcel, finding.anchor))
        if case is not None and case.state in STANDING and 0 < woken_ms(case) <= self.now_ms:
            self._change(finding, CaseState(case.state), Reason.SNOOZE_OVER, woken_ms(case))

    def change_by_hand(self, finding: Finding, change: ByHand) -> None:
        """What a command does to a case."""
        self._change(finding, change.state, change.reason, self.now_ms, handling=change.handling)
        self.explains_anew = change.reason in {Reason.BY_HAND, Reason.REOPENED}
        if change.reason is Reason.REOPENED:
            self._raise_level(finding)

    def _tell_of_dispute(self, finding: Finding) -> None:
        case = self.cases.get((finding.rule, finding.parcel, finding.anchor))
        if case is not None and case.state in STANDING and case.disputed != self.disputed:
            reason = Reason.DISPUTE_OPENED if self.disputed else Reason.DISPUTE_CLOSED
            self._change(finding, CaseState(case.state), reason, self.now_ms)

    def _change(
        self,
        finding: Finding,
        state: CaseState,
        reason: Reason,
        at_ms: int,
        *,
        level: int = 0,
        handling: Handling | None = None,
    ) -> None:
        key = (finding.rule, finding.parcel, finding.anchor)
        previous = self.cases.get(key)
        record = self._record(finding, state, reason, at_ms, previous)
        if level:
            record = replace(record, level=level)
        if handling is not None:
            record = replace(record, handling=handling)
        self.cases[key] = record
        told = messages(self.telling, record, previous, finding.evidence)
        self._said_bytes += sum(message.size_bytes for message in told)
        self.outgoing += told
        self._note(_transition(record, previous), finding)
        if previous is not None and previous.state in STANDING:
            self.notes.append((STANDS_NO_MORE, f"{previous.rule}|{previous.level}"))
        if record.state in STANDING:
            self.notes.append((STANDS, f"{record.rule}|{record.level}"))

    def _note(self, transition: str, finding: Finding) -> None:
        """Count the change, unless it is of a canary: there are so many of those that they would tell of nothing else."""
        if is_canary(self.telling.return_id):
            return
        self.notes.append((f"case_{transition}", finding.rule))
        if transition == "opened":
            self.notes.append((OPENED_OF, f"{finding.rule}|{finding.parcel.partition(':')[0]}"))

    def _record(
        self, finding: Finding, state: str, reason: Reason, at_ms: int, previous: CaseRecord | None
    ) -> CaseRecord:
        said = previous is not None and previous.revision > 0
        opens = state == CaseState.OPEN and reason is Reason.DUE
        go_live_ms = self.telling.policy.go_live_ms
        return CaseRecord(
            rule=finding.rule,
            parcel=finding.parcel,
            anchor=finding.anchor,
            revision=0
            if state in {COUNTED, SUPPRESSED}
            else (previous.revision if previous is not None else 0) + 1,
            state=state,
            reason=reason.value,
            level=1 if opens or previous is None else previous.level,
            since_ms=finding.since_ms,
            due_ms=finding.due_ms,
            effective_ms=max(at_ms, previous.effective_ms) if said and previous is not None else at_ms,
            historical=finding.due_ms < go_live_ms if opens or previous is None else previous.historical,
            disputed=self.disputed,
            handling=None if opens or previous is None else handling_after(previous.handling, reason),
            raised_ms=finding.raised_ms if opens or previous is None else previous.raised_ms,
        )


def _transition(case: CaseRecord, previous: CaseRecord | None) -> str:
    """What a change is counted as."""
    if previous is not None and previous.state == case.state and case.reason != Reason.LEVEL:
        return "updated"
    if case.state == CaseState.OPEN:
        return "historical" if case.historical and case.reason == Reason.DUE else "opened"
    return case.state


def _case_bytes(parcel: str) -> int:
    return len(parcel.encode()) + CASE_BYTES
