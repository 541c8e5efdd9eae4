"""The life of a case, as a table, and the messages that tell it.

A verdict says what the evidence says now: nothing was ever wrong (`NONE`), something is (`OPEN`), or it was and has ended
(`ENDED`), or a case of a higher rule tells of its cause (`SUPPRESSED`, streams/root_cases.py). The case follows; each change
is one escalation and one new truth in `cases`, with the next revision.

    case is        verdict NONE    OPEN              ENDED                 SUPPRESSED
    not there      -               opens             opens and resolves*   suppressed
    open           retracted       - (levels)        resolved              resolved
    escalated      retracted       - (levels)        resolved              resolved
    resolved       retracted       opens again       -                     -
    by hand        retracted       -                 -                     -
    retracted      -               opens again       opens and resolves    -
    counted only   -               opens             -                     -
    suppressed     -               opens             opens and resolves*   -

*: or is counted only, by policy. By hand: resolved by a command (streams/case_commands.py).

Ids: uuid5 of rule, return, parcel and anchor. The same case has the same id in every run and replay.
"""

from enum import Enum
from typing import NamedTuple
from uuid import UUID, uuid5

from schemas.facts import Source
from schemas.outputs import (
    Escalation,
    EvidenceSource,
    FeedTold,
    Money,
    cloud_event_headers,
    encode_case,
    encode_escalation,
    utc,
)
from schemas.vocabulary import CaseState, Closure, Reason, RuleId
from streams.feed_state import Feed
from streams.keys import feed_named, split_parcel_key
from streams.returns import Carried, CaseRecord, Handling, ReturnState
from streams.terms import CompiledPolicy
from streams.watermark import Outgoing

NAMESPACE = UUID("6f1d5c0e-2b7a-5e43-9c1b-0d6f3a9e7b52")
COUNTED = "counted"
"""State of a case record that was never said: it had ended before it could be."""
SUPPRESSED = "suppressed"
"""State of a case record that was never said: another case tells of its cause."""


BY_HAND = "by_hand"
"""Row of the table for a case that somebody resolved: only that there never was a breach still changes it."""


class Verdict(Enum):
    """What the evidence says about a breach."""

    NONE = "none"
    OPEN = "open"
    ENDED = "ended"
    SUPPRESSED = "suppressed"


class Step(Enum):
    """What a verdict does to a case."""

    STAY = "stay"
    OPEN = "open"
    OPEN_AND_RESOLVE = "open and resolve"
    RESOLVE = "resolve"
    RETRACT = "retract"
    SUPPRESS = "suppress"


STEPS: dict[tuple[str, Verdict], Step] = {
    ("", Verdict.NONE): Step.STAY,
    ("", Verdict.OPEN): Step.OPEN,
    ("", Verdict.ENDED): Step.OPEN_AND_RESOLVE,
    (CaseState.OPEN, Verdict.NONE): Step.RETRACT,
    (CaseState.OPEN, Verdict.OPEN): Step.STAY,
    (CaseState.OPEN, Verdict.ENDED): Step.RESOLVE,
    (CaseState.ESCALATED, Verdict.NONE): Step.RETRACT,
    (CaseState.ESCALATED, Verdict.OPEN): Step.STAY,
    (CaseState.ESCALATED, Verdict.ENDED): Step.RESOLVE,
    (CaseState.RESOLVED, Verdict.NONE): Step.RETRACT,
    (CaseState.RESOLVED, Verdict.OPEN): Step.OPEN,
    (CaseState.RESOLVED, Verdict.ENDED): Step.STAY,
    (CaseState.RETRACTED, Verdict.NONE): Step.STAY,
    (CaseState.RETRACTED, Verdict.OPEN): Step.OPEN,
    (CaseState.RETRACTED, Verdict.ENDED): Step.OPEN_AND_RESOLVE,
    (COUNTED, Verdict.NONE): Step.STAY,
    (COUNTED, Verdict.OPEN): Step.OPEN,
    (COUNTED, Verdict.ENDED): Step.STAY,
    (SUPPRESSED, Verdict.NONE): Step.STAY,
    (SUPPRESSED, Verdict.OPEN): Step.OPEN,
    (SUPPRESSED, Verdict.ENDED): Step.OPEN_AND_RESOLVE,
    ("", Verdict.SUPPRESSED): Step.SUPPRESS,
    (CaseState.OPEN, Verdict.SUPPRESSED): Step.SUPPRESS,
    (CaseState.ESCALATED, Verdict.SUPPRESSED): Step.SUPPRESS,
    (CaseState.RESOLVED, Verdict.SUPPRESSED): Step.STAY,
    (CaseState.RETRACTED, Verdict.SUPPRESSED): Step.STAY,
    (COUNTED, Verdict.SUPPRESSED): Step.STAY,
    (SUPPRESSED, Verdict.SUPPRESSED): Step.STAY,
    (BY_HAND, Verdict.NONE): Step.RETRACT,
    (BY_HAND, Verdict.OPEN): Step.STAY,
    (BY_HAND, Verdict.ENDED): Step.STAY,
    (BY_HAND, Verdict.SUPPRESSED): Step.STAY,
}

STANDING = frozenset({CaseState.OPEN, CaseState.ESCALATED})
"""States in which somebody still has to do something."""


class Finding(NamedTuple):
    """A verdict with what it rests on."""

    rule: str
    parcel: str
    anchor: str
    verdict: Verdict
    reason: Reason
    since_ms: int
    due_ms: int
    ended_ms: int
    evidence: tuple[Source, ...]
    again_ms: int = 0
    """When to judge it again, though nothing is heard: it expires, or what tells of its cause ends by a fact that is ahead
    of the log's clock; 0: never.
    """
    raised_ms: int = 0
    """When it could be told, if it had been held longer than until its deadline; else 0."""

    @property
    def told_from_ms(self) -> int:
        """From when on people can do something about it."""
        return max(self.due_ms, self.raised_ms)


def step_of(case: CaseRecord | None, verdict: Verdict) -> Step:
    """What a verdict does to a case as it stands; None: there is none yet."""
    if case is None:
        return STEPS["", verdict]
    by_hand = case.state == CaseState.RESOLVED and case.handling is not None and case.handling.closed_by
    return STEPS[BY_HAND if by_hand else case.state, verdict]


def case_id(rule: str, return_id: str, parcel: str, anchor: str) -> str:
    """The case's name for ever. `return_id`: "" for a case of the parcel's own."""
    return str(uuid5(NAMESPACE, f"{rule}|{return_id}|{parcel}|{anchor}"))


_UNHANDLED = Handling()


class Telling(NamedTuple):
    """What all messages of one look at a return have in common."""

    return_id: str
    state: ReturnState
    policy: CompiledPolicy
    partition: int
    feed: Feed | None = None
    """Of a case about a feed."""


def messages(
    telling: Telling, case: CaseRecord, previous: CaseRecord | None, evidence: tuple[Source, ...]
) -> list[Outgoing]:
    """One change of a case: the escalation, and the case as it stands then."""
    escalation = _escalation(telling, case, previous, evidence)
    headers = cloud_event_headers(escalation)
    key = (telling.return_id or case.parcel).encode()
    return [
        Outgoing("escalations", key, encode_escalation(escalation), headers, telling.partition),
        Outgoing("cases", escalation.case_id.encode(), encode_case(escalation), headers, telling.partition),
    ]


def tombstone(telling: Telling, case: CaseRecord) -> Outgoing:
    """Forgets a closed case in the compacted topic."""
    identity = case_id(case.rule, telling.return_id, case.parcel, case.anchor)
    return Outgoing("cases", identity.encode(), None, [], telling.partition)


def _escalation(
    telling: Telling, case: CaseRecord, previous: CaseRecord | None, evidence: tuple[Source, ...]
) -> Escalation:
    carried = next((one for one in telling.state.carried if case.parcel in {"", one.parcel}), None)
    rule, feed = RuleId(case.rule), feed_named(case.parcel)
    carrier, number = ("", "") if feed else split_parcel_key(case.parcel)
    handling = case.handling or _UNHANDLED
    return Escalation(
        case_id=case_id(case.rule, telling.return_id, case.parcel, case.anchor),
        revision=case.revision,
        rule=rule,
        state=CaseState(case.state),
        previous_state=CaseState(previous.state) if previous is not None and previous.revision else None,
        reason=Reason(case.reason),
        level=case.level,
        severity=telling.policy.severity(rule, case.level, disputed=case.disputed),
        action=telling.policy.action(rule, case.level, loyal=_is_loyal(telling.state)),
        return_id=telling.return_id,
        parcel="" if feed else case.parcel,
        carrier=carrier,
        tracking_number=number,
        origin=carried.origin if carried else "",
        destination=carried.destination if carried else "",
        facility=carried.facility if carried else "",
        value=value_of(telling.state, carried),
        since_at=utc(case.since_ms),
        due_at=utc(case.due_ms),
        effective_at=utc(case.effective_ms),
        historical=case.historical,
        policy_hash=telling.policy.hash,
        evidence=tuple(EvidenceSource(one.topic, one.partition, one.offset) for one in evidence),
        explanation=explain(case),
        acknowledged_by=handling.acknowledged_by,
        acknowledged_at=utc(handling.acknowledged_ms) if handling.acknowledged_ms else None,
        snoozed_by=handling.snoozed_by,
        snoozed_until=utc(handling.snoozed_until_ms) if handling.snoozed_until_ms else None,
        assigned_to=handling.assigned_to,
        resolved_by=handling.closed_by,
        closure=Closure(handling.closure) if handling.closure else None,
        delayed_by_feed=case.raised_ms > 0,
        feed=_feed_told(feed, telling.feed, rule) if feed else None,
    )


def _feed_told(name: str, feed: Feed | None, rule: RuleId) -> FeedTold:
    spell = feed.spells.get(rule.value) if feed is not None else None
    return FeedTold(name, spell.expected, spell.seen) if spell is not None else FeedTold(name)


def _is_loyal(state: ReturnState) -> bool:
    request = state.request()
    return request is not None and request.terms is not None and request.terms.loyal


def value_of(state: ReturnState, carried: Carried | None) -> Money | None:
    """What the goods are worth: the request knows it better than a label."""
    request = state.request()
    if request is not None and request.currency:
        return Money(request.value_minor, request.currency)
    if carried is not None and carried.currency:
        return Money(carried.value_minor, carried.currency)
    return None


_WAITING = {
    RuleId.MISSING_FIRST_SCAN: "A label was made on {since}, and nobody had scanned the parcel by {due}",
    RuleId.DROPOFF_CLAIM_UNCONFIRMED: "The customer says that it was handed over on {since}, and nobody had scanned it by {due}",
    RuleId.PICKUP_FAILED: "The carrier came for it on {since} and did not get it, and had not got it by {due}",
    RuleId.LABEL_EXPIRED_UNUSED: "A label was made on {since}, and it had not been used by {due}",
    RuleId.STALLED_SILENT: "The last scan was on {since}, and no other had come by {due}",
    RuleId.STALLED_NO_PROGRESS: "The parcel last got further on {since}, and had not moved on by {due}, though it was scanned",
    RuleId.TRANSIT_OVERDUE: "It was first scanned on {since}, and had not been delivered by {due}",
    RuleId.MISROUTED: "The carrier sent it the wrong way on {since}, and it had not been put right by {due}",
    RuleId.DELIVERY_FAILED: "The carrier could not deliver it on {since}, and had not tried again by {due}",
    RuleId.PICKUP_POINT_EXPIRING: "It has been waiting at a pickup point since {since}, and nobody had fetched it by {due}",
    RuleId.RETURNED_TO_CUSTOMER: "The carrier turned it back to the customer on {since}",
    RuleId.CARRIER_REPORTED_LOST: "The carrier gave it up on {since}",
    RuleId.CARRIER_REPORTED_DAMAGED: "The carrier reported it damaged on {since}",
    RuleId.DELIVERED_ELSEWHERE_SUSPECTED: "The carrier delivered it on {since}, and not to us",
    RuleId.MOVING_AFTER_DELIVERY: "It was on its way again on {since}, after its delivery, and had not been delivered by {due}",
    RuleId.DELIVERED_NOT_CHECKED_IN: "The carrier delivered the parcel on {since}, and the dock had not checked it in by {due}",
    RuleId.CHECKED_IN_NOT_DELIVERED: "The dock checked it in on {since}, and the carrier had not told of a delivery by {due}",
    RuleId.UNEXPECTED_PARCEL: "The dock checked it in on {since}, and no label had spoken of it by {due}",
    RuleId.LATE_LABEL: "The return was approved on {since}, and there was no label by {due}",
    RuleId.LATE_INSPECTION: "The goods came on {since}, and nobody had inspected them by {due}",
    RuleId.CONTENT_MISMATCH: "What was inspected or weighed on {since} is not what was announced",
    RuleId.LATE_RESTOCK: "The inspection of {since} found the goods fit for sale, and they were not on the shelf by {due}",
    RuleId.LATE_REFUND_DECISION: "The goods were inspected on {since}, and nobody had decided about the refund by {due}",
    RuleId.LATE_REFUND: "The refund was approved on {since}, and had not been paid by {due}",
    RuleId.REFUND_PROMISE_AT_RISK: "A refund was promised on {since}, and by {due} most of the time for it had passed",
    RuleId.REFUND_PROMISE_BROKEN: "A refund was promised on {since}, and it had not been paid by {due}",
    RuleId.STATUTORY_REFUND_DEADLINE: "The customer withdrew on {since}, and by {due}, as the law wants it, there was no refund",
    RuleId.REFUND_FAILED: "The refund could not be paid on {since}",
    RuleId.REFUND_NOT_SETTLED: "The refund was paid on {since}, and the bank had not confirmed it by {due}",
    RuleId.REFUNDED_NOT_RETURNED: "The refund was paid on {since}, and the goods had not come by {due}",
    RuleId.FEED_SILENT: "The feed was last heard of on {since}, and on {due} it was certain that it is silent",
    RuleId.FEED_LAGGING: "Since {since} far more of the feed's events come late than usually, as was seen on {due}",
    RuleId.MAPPING_GAP: "Since {since} far more of the feed's scans have unknown codes than usually, as was seen on {due}",
    RuleId.CLOCK_SKEW: "Since {since} many of the feed's events are dated in the future, as was seen on {due}",
}
_ENDED = {
    Reason.FIRST_SCAN: "it was first scanned on {end}",
    Reason.PROGRESS: "it moved again on {end}",
    Reason.DELIVERED: "it was delivered on {end}",
    Reason.CHECKED_IN: "it was checked in on {end}",
    Reason.CHECKED_IN_BY_RETURN: "it was checked in by the number of the return on {end}",
    Reason.RETURN_CANCELLED: "the return was cancelled on {end}",
    Reason.LABEL_VOIDED: "the label was voided on {end}",
    Reason.UNLINKED: "its label no longer names this return",
    Reason.EXPIRED: "nothing more was heard, and it is no longer watched",
    Reason.TURNED_BACK: "the carrier turned it back on {end}",
    Reason.LOST: "the carrier gave it up on {end}",
    Reason.DELIVERED_ELSEWHERE: "it was delivered elsewhere on {end}",
    Reason.LABEL_CREATED: "a label was made on {end}",
    Reason.INSPECTED: "the goods were inspected on {end}",
    Reason.RESTOCKED: "the goods were back on the shelf on {end}",
    Reason.REFUND_APPROVED: "the refund was approved on {end}",
    Reason.REFUND_REFUSED: "the refund was refused on {end}",
    Reason.REFUND_ISSUED: "the refund was paid on {end}",
    Reason.REFUND_SETTLED: "the bank confirmed it on {end}",
    Reason.REFUND_FAILED: "the bank refused it on {end}",
    Reason.REPLACEMENT_SENT: "a replacement was sent on {end}",
    Reason.DISPUTE_OPENED: "the customer disputes",
    Reason.DISPUTE_CLOSED: "the dispute is over",
    Reason.EXPLAINED: "since {end} another case tells of its cause",
    Reason.POLICY_CHANGED: "by the policy that is in force now it was not too late",
    Reason.LATE_EVIDENCE: "what came in since shows that it was not too late",
    Reason.LEVEL: "it is still so",
    Reason.DUE: "it is still so",
    Reason.ACKNOWLEDGED: "somebody has been looking at it since {end}",
    Reason.SNOOZED: "on {end} it was put off",
    Reason.SNOOZE_OVER: "it was put off until {end}, and it is still so",
    Reason.ASSIGNED: "it was given to somebody on {end}",
    Reason.BY_HAND: "it was resolved by hand on {end}",
    Reason.FEED_RECOVERED: "since {end} it comes as before",
    Reason.REOPENED: "it had been resolved by hand, and was opened again on {end}",
}


def explain(case: CaseRecord) -> str:
    """One sentence for a person. Times are UTC."""
    waiting = _WAITING[RuleId(case.rule)].format(since=_day(case.since_ms), due=_day(case.due_ms))
    if case.raised_ms:
        waiting += f" (held until {_day(case.raised_ms)}, for the feed was silent)"
    if case.state == CaseState.OPEN and case.reason == Reason.DUE:
        return f"{waiting}."
    ended = _ENDED[Reason(case.reason)].format(end=_day(case.effective_ms))
    return f"{waiting}; {ended}."


def _day(at_ms: int) -> str:
    return f"{utc(at_ms):%Y-%m-%d %H:%M}"
