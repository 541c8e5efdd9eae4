"""One look at a return: what its parcels report, weighed with what orders and the warehouse know.

A breach that a parcel reports waits here until the return's own watermark has reached its deadline: what explains it may have
been appended before and still be on its way by another road. Verdicts use event times: what explains a breach and happened at
or before the deadline means that there was none; what happened later ends it (streams/findings.py).
"""

from schemas.facts import CaseCommand
from schemas.vocabulary import Reason
from streams import return_journey
from streams.case_commands import obey
from streams.case_teller import CaseTeller, ReturnLook
from streams.cases import STANDING, Telling, Verdict, tombstone
from streams.clocks import DAY_MS
from streams.feed_holds import UNWATCHED, told_of
from streams.feeds import Feeds
from streams.findings import NEVER_MS, findings
from streams.refund_signals import signals
from streams.return_view import CaseKey, ReturnView
from streams.returns import ReturnState
from streams.terms import CompiledPolicy

FORGET_AFTER_MS = 2 * DAY_MS
"""A return outlives its parcels' last reports by this."""


def look(
    return_id: str,
    state: ReturnState,
    now_ms: int,
    policy: CompiledPolicy,
    partition: int,
    *,
    policy_changed: bool,
    command: CaseCommand | None = None,
    feeds: Feeds = UNWATCHED,
) -> ReturnLook:
    """Evaluate at `now_ms`; see the head of this file. A command is decided by what the evidence says then."""
    telling = Telling(return_id, state, policy, partition)
    teller = CaseTeller(telling, now_ms)
    held = state.held
    told: set[CaseKey] = set()
    why = Reason.POLICY_CHANGED if policy_changed else Reason.LATE_EVIDENCE
    view = ReturnView(state, policy)
    judged = findings(view, state, now_ms, policy_changed=policy_changed, feeds=feeds)
    waiting_ms, state.held = judged.waiting_ms, judged.held
    for finding in judged.found:
        key = (finding.rule, finding.parcel, finding.anchor)
        told.add(key)
        if finding.due_ms > now_ms and finding.verdict is not Verdict.NONE:
            waiting_ms = min(waiting_ms, finding.due_ms)
            if key in teller.cases:  # it is due no more, or later
                teller.follow(finding._replace(verdict=Verdict.NONE, reason=why))
        else:
            waiting_ms = min(waiting_ms, finding.again_ms or NEVER_MS)
            teller.follow(finding)
    teller.close_unfound(told, why)
    if command is not None:
        obey(command, teller, telling, judged.found, now_ms)
    state.cases = tuple(teller.cases.values())
    teller.notes += told_of(held, state.held, told)
    next_ms = min(waiting_ms, teller.next_level_ms(), now_ms + 1 if teller.explains_anew else NEVER_MS)
    if return_id and not teller.more:
        refund = signals(view, telling, now_ms)
        teller.outgoing += refund.outgoing
        next_ms = min(next_ms, refund.next_ms or NEVER_MS)
    if return_id:
        journey = return_journey.told(view, telling, now_ms, judged)
        teller.outgoing += journey.outgoing
        next_ms = min(next_ms, journey.until_ms or NEVER_MS)
    return _rest(telling, teller, now_ms, next_ms)


def _rest(telling: Telling, teller: CaseTeller, now_ms: int, next_ms: int) -> ReturnLook:
    """When to look again, or that the return is forgotten."""
    state = telling.state
    if teller.more:
        state.look_ms = now_ms + 1
        return ReturnLook(True, teller.outgoing, teller.notes, teller.delays)
    forget_ms = state.last_heard_ms + telling.policy.accept_age_ms + FORGET_AFTER_MS
    standing = any(case.state in STANDING for case in state.cases)
    if not standing and next_ms == NEVER_MS and forget_ms <= now_ms:
        if teller.outgoing:
            state.look_ms = now_ms + DAY_MS
            return ReturnLook(True, teller.outgoing, teller.notes, teller.delays)
        gone = [tombstone(telling, case) for case in state.cases if case.revision]
        if state.journey_digest:
            gone.append(return_journey.forgotten(telling))
        return ReturnLook(False, gone, [("purged", "returns")], [])
    if not standing:
        next_ms = min(next_ms, max(forget_ms, now_ms + 1))
    state.look_ms = 0 if next_ms == NEVER_MS else next_ms
    return ReturnLook(True, teller.outgoing, teller.notes, teller.delays)
