"""The verdict on everything that was, is or will be waited for in vain for one return, by all the evidence there is.

A breach that a parcel reports is weighed with what orders and the warehouse know: what explains it and happened at or before
the deadline means that there was none; what happened later ends it. The rules of the return itself are asked once the return
has come to the milestone with which their waiting starts.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from schemas.vocabulary import CaseState, Closure, Milestone, Reason, RuleId
from streams.cases import Finding, Verdict
from streams.feed_holds import UNWATCHED, Holding
from streams.feeds import Feeds
from streams.held import HeldWait
from streams.keys import split_parcel_key
from streams.parcel_look import ENDED, RETRACTED
from streams.return_view import Awaited, CaseKey, ReturnView, Rule
from streams.returns import Carried, CarriedBreach, ReturnState, Told
from streams.root_cases import told_apart
from streams.rules import goods, handing_over, promises, refunds, weights

NEVER_MS = 1 << 62

RULES: tuple[tuple[Milestone, Rule], ...] = (
    (Milestone.RETURN_APPROVED, handing_over.late_label),
    (Milestone.DROPOFF_CLAIMED, handing_over.dropoff_claim_unconfirmed),
    (Milestone.CHECKED_IN, goods.late_inspection),
    (Milestone.INSPECTED, goods.content_mismatch),
    (Milestone.CHECKED_IN, weights.content_mismatch_by_weight),
    (Milestone.INSPECTED, goods.late_restock),
    (Milestone.REFUND_ISSUED, goods.refunded_not_returned),
    (Milestone.INSPECTED, refunds.late_refund_decision),
    (Milestone.REFUND_APPROVED, refunds.late_refund),
    (Milestone.REFUND_FAILED, refunds.refund_failed),
    (Milestone.REFUND_ISSUED, refunds.refund_not_settled),
    (Milestone.RETURN_REQUESTED, promises.refund_promises),
    (Milestone.RETURN_REQUESTED, promises.statutory_refund_deadline),
)
"""The milestone that a rule's waiting starts with, and the rule: it is not asked before."""
_STARTS = frozenset(int(milestone) for milestone, _ in RULES)
NOT_BY_CHECK_IN = frozenset({RuleId.CHECKED_IN_NOT_DELIVERED.value, RuleId.UNEXPECTED_PARCEL.value})
"""Breaches of parcels that a check-in by the return's number says nothing about."""
BY_CANCELLATION = frozenset(
    {RuleId.MISSING_FIRST_SCAN.value, RuleId.PICKUP_FAILED.value, RuleId.LABEL_EXPIRED_UNUSED.value}
)


class Findings(NamedTuple):
    """What there is to say of a return, and when the next waiting is over of which there is nothing to say yet."""

    found: list[Finding]
    waiting_ms: int
    """NEVER_MS: nothing is waited for."""
    awaited: Mapping[tuple[str, str], int]
    """(rule of the return, parcel) -> the earliest deadline of what it still waits for, whether that has passed or not."""
    held: tuple[HeldWait, ...] = ()
    """What is over and must not be told yet, for its feed is silent."""


def nothing_to_look_for(state: ReturnState) -> bool:
    """Whether nothing was ever said of the return, and nothing that is known of it starts a waiting."""
    return (
        not state.cases
        and not state.held
        and not any(carried.breaches or carried.checked_in_ms for carried in state.carried)
        and not any(fact.milestone in _STARTS for fact in state.facts)
    )


def findings(
    view: ReturnView,
    state: ReturnState,
    now_ms: int,
    *,
    policy_changed: bool = False,
    feeds: Feeds = UNWATCHED,
) -> Findings:
    """What is due at `now_ms`, and all that there is a case of. `feeds`: whose silence is believed."""
    holding = Holding(feeds, state.held, now_ms)
    found, waiting_ms, awaited, _ = _of_return(
        view, state.newest_ms, now_ms, holding, policy_changed=policy_changed
    )
    if any(carried.breaches for carried in state.carried):
        found = [*_of_parcels(state, view, policy_changed=policy_changed), *found]
    told = told_apart(found, now_ms, _false_alarms(state))
    return Findings(told, min(waiting_ms, holding.again_ms), awaited, tuple(holding.held))


def _false_alarms(state: ReturnState) -> dict[CaseKey, int]:
    """The cases that somebody closed as false alarms, and when."""
    return {
        (case.rule, case.parcel, case.anchor): case.effective_ms
        for case in state.cases
        if case.handling is not None
        and case.handling.closure == Closure.FALSE_ALARM
        and case.state == CaseState.RESOLVED
    }


def _of_parcels(state: ReturnState, view: ReturnView, *, policy_changed: bool) -> Iterator[Finding]:
    """What parcels report, weighed with what orders and the warehouse know."""
    for carried in state.carried:
        for breach in carried.breaches:
            explanations = explanations_of(view, carried.parcel, breach.rule)
            yield _finding(carried, breach, explanations, policy_changed=policy_changed)


def explanations_of(view: ReturnView, parcel: str, rule: str) -> list[tuple[Told, Reason]]:
    """What orders and the warehouse know that ends a waiting for a parcel, and what it is called."""
    explanations = []
    received, cancelled = view.received.get(parcel), view.first(Milestone.RETURN_CANCELLED)
    if received is not None and rule not in NOT_BY_CHECK_IN:
        explanations.append((received, Reason.CHECKED_IN_BY_RETURN))
    if cancelled is not None and rule in BY_CANCELLATION:
        explanations.append((cancelled, Reason.RETURN_CANCELLED))
    return explanations


def waits_of_return(view: ReturnView) -> Iterator[Awaited]:
    """Everything that the rules of the return wait for; of what came in time a rule may say nothing."""
    for rule in _rules_after(view.milestones):
        yield from rule(view)


@lru_cache(maxsize=1024)
def _rules_after(milestones: frozenset[int]) -> tuple[Rule, ...]:
    """The rules whose waiting can have started."""
    return tuple(rule for start, rule in RULES if start in milestones)


def _of_return(
    view: ReturnView, newest_ms: int, now_ms: int, holding: Holding, *, policy_changed: bool
) -> Findings:
    """What the rules of the return wait for, until nothing has been heard of it for as long as it is remembered.

    What came in time is left out, unless it takes a case back.
    """
    in_time = Reason.POLICY_CHANGED if policy_changed else Reason.LATE_EVIDENCE
    found, waiting_ms = [], NEVER_MS
    ahead: dict[tuple[str, str], int] = {}
    for awaited in waits_of_return(view):
        stop, due_ms = awaited.stop, awaited.due_ms
        if stop is None:
            subject = (awaited.rule.value, awaited.parcel)
            ahead[subject] = min(due_ms, ahead.get(subject, due_ms))
        if not view.is_told(awaited[:3]):
            if stop is not None and stop.at_ms <= due_ms:
                continue
            if due_ms > now_ms:
                waiting_ms = min(waiting_ms, due_ms)
                continue
            if holding.holds(awaited[:3], _carrier(view, awaited), due_ms, view.worth):
                continue
        expires_ms = max(newest_ms, due_ms) + view.policy.accept_age_ms
        judged = _judged(awaited, in_time, expires_ms, now_ms)
        raised_ms = holding.raised_ms(awaited[:3], due_ms)
        found.append(judged if raised_ms <= due_ms else judged._replace(raised_ms=raised_ms))
    return Findings(found, waiting_ms, ahead)


def _carrier(view: ReturnView, awaited: Awaited) -> str:
    """Of the parcel that is waited for, or else of the return's first."""
    parcel = awaited.parcel or (view.parcels[0].parcel if view.parcels else "")
    return split_parcel_key(parcel)[0]


def _judged(awaited: Awaited, in_time: Reason, expires_ms: int, now_ms: int) -> Finding:
    stop = awaited.stop
    verdict, reason, ended_ms, evidence = Verdict.OPEN, Reason.DUE, 0, awaited.evidence
    if stop is not None:
        verdict, reason, ended_ms = Verdict.ENDED, stop.reason, stop.at_ms
        evidence = (*evidence, stop.source) if stop.source is not None else evidence
        if stop.at_ms <= awaited.due_ms:
            verdict, reason, ended_ms = Verdict.NONE, in_time, 0
    elif expires_ms <= now_ms:
        verdict, reason, ended_ms = Verdict.ENDED, Reason.EXPIRED, expires_ms
    return Finding(
        awaited.rule,
        awaited.parcel,
        awaited.anchor,
        verdict,
        reason,
        awaited.since_ms,
        awaited.due_ms,
        ended_ms,
        evidence,
        expires_ms if verdict is Verdict.OPEN else 0,
    )


def _finding(
    carried: Carried, breach: CarriedBreach, explanations: list[tuple[Told, Reason]], *, policy_changed: bool
) -> Finding:
    verdict, reason, ended_ms, evidence = Verdict.OPEN, Reason.DUE, 0, breach.evidence
    if breach.state == RETRACTED:
        verdict, reason = Verdict.NONE, Reason(breach.reason)
    elif breach.state == ENDED:
        verdict, reason, ended_ms = Verdict.ENDED, Reason(breach.reason), breach.ended_ms
    for fact, why in explanations:
        if verdict is Verdict.NONE:
            break
        if fact.at_ms <= breach.due_ms:
            verdict, ended_ms = Verdict.NONE, 0
            reason = Reason.POLICY_CHANGED if policy_changed else Reason.LATE_EVIDENCE
            evidence = (*breach.evidence, fact.source)
        elif verdict is Verdict.OPEN or fact.at_ms < ended_ms:
            verdict, reason, ended_ms = Verdict.ENDED, why, fact.at_ms
            evidence = (*breach.evidence[:1], fact.source)
    return Finding(
        breach.rule,
        carried.parcel,
        breach.anchor,
        verdict,
        reason,
        breach.since_ms,
        breach.due_ms,
        ended_ms,
        evidence,
        raised_ms=breach.raised_ms if breach.raised_ms > breach.due_ms else 0,
    )
