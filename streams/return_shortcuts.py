"""Most returns are ordinary: one parcel, each step of shop and warehouse once and in time, nothing ever said about them.

Of these it is known without a look that there is nothing to say, and when the next look is due: what is waited for has
come in time, or its deadline lies ahead. `next_look_ms` gives the very time that the look would have asked for. Anything
else (a second parcel, a case, something taken back, a breach, ...) takes the full look.
tests/property/test_return_shortcuts.py holds the two against each other.
"""

from collections.abc import Callable

from schemas.facts import ReturnTerms
from schemas.policy import ReleaseAt
from schemas.vocabulary import Disposition, Method, Milestone, Resolution, RuleId
from streams.keys import split_parcel_key
from streams.return_look import FORGET_AFTER_MS
from streams.returns import Carried, ReturnState, Told
from streams.rules.promises import lawful_by, promised_ms, warned_ms
from streams.terms import CompiledPolicy, Deadline, ParcelTerms

_NEVER = 1 << 62
_LOOK = 0
"""In place of a time: only a look can tell."""

_USUAL = ReturnTerms()
_REQUESTED, _APPROVED = int(Milestone.RETURN_REQUESTED), int(Milestone.RETURN_APPROVED)
_LABEL, _CLAIMED = int(Milestone.LABEL_CREATED), int(Milestone.DROPOFF_CLAIMED)
_INSPECTED, _RESTOCKED = int(Milestone.INSPECTED), int(Milestone.RESTOCKED)
_REFUND_APPROVED, _ISSUED = int(Milestone.REFUND_APPROVED), int(Milestone.REFUND_ISSUED)
_SETTLED, _REFUSED = int(Milestone.REFUND_SETTLED), int(Milestone.REFUND_REFUSED)
_REPLACED, _CANCELLED = int(Milestone.REPLACEMENT_SENT), int(Milestone.RETURN_CANCELLED)

_OVER = frozenset({_CANCELLED, _REFUSED, _REPLACED})
_LABELLED = frozenset({_LABEL, _CANCELLED, _REFUND_APPROVED, _ISSUED, _REPLACED})
_DECIDED = frozenset({_REFUND_APPROVED, _REFUSED, _ISSUED, _REPLACED, _CANCELLED})
_SENT = frozenset({_ISSUED, _REPLACED})
_FULFILLED = frozenset({_ISSUED, _REFUSED, _REPLACED, _CANCELLED})
"""What stops the waitings, as streams/rules/ have it."""
_NOT_ORDINARY = frozenset(
    {int(Milestone.CHECKED_IN), int(Milestone.REFUND_FAILED), int(Milestone.LABEL_VOIDED)}
)
"""A check-in by the return's number is for looks, which know what else it may account for."""


class _Life:
    """An ordinary return."""

    __slots__ = ("deadlines", "facts", "now_ms", "parcel", "policy", "request", "said")

    def __init__(
        self, facts: dict[int, Told], parcel: Carried | None, policy: CompiledPolicy, now_ms: int
    ) -> None:
        self.facts, self.parcel, self.policy, self.now_ms = facts, parcel, policy, now_ms
        self.request = facts.get(_REQUESTED)
        self.said = (self.request.terms or _USUAL) if self.request is not None else _USUAL
        self.deadlines = self.terms_of(parcel).deadlines

    def terms_of(self, parcel: Carried | None) -> ParcelTerms:
        """As ReturnView has them."""
        request, shop = self.request, self.said.shop
        valued = request if request is not None and request.currency else parcel
        worth = (valued.value_minor, valued.currency) if valued is not None else (0, "")
        if parcel is None:
            return self.policy.terms("", "", "", "", "", shop, *worth)
        return self.policy.terms(
            split_parcel_key(parcel.parcel)[0],
            parcel.origin,
            parcel.destination,
            parcel.facility,
            parcel.service,
            shop or parcel.shop,
            *worth,
        )

    def first_ms(self, milestones: frozenset[int]) -> int:
        """When the first of these happened; _NEVER: none did."""
        for milestone, fact in self.facts.items():  # in order of time
            if milestone in milestones:
                return fact.at_ms
        return _NEVER

    def at_ms(self, milestone: int) -> int:
        """When this happened; _NEVER: it did not."""
        fact = self.facts.get(milestone)
        return fact.at_ms if fact is not None else _NEVER

    def due_ms(self, deadline: Deadline, since_ms: int, arrived_ms: int, stop_ms: int) -> int:
        """When a waiting is over; _NEVER: it stopped in time, or nobody waits."""
        if not deadline.enabled or stop_ms <= since_ms + deadline.least_ms:
            return _NEVER
        return self.still(deadline.due_ms(since_ms, arrived_ms), stop_ms)

    def still(self, due_ms: int, stop_ms: int) -> int:
        """The deadline, if it lies ahead and what is waited for has not come."""
        if stop_ms != _NEVER:
            return _NEVER if stop_ms <= due_ms else _LOOK
        return due_ms if due_ms > self.now_ms else _LOOK


def next_look_ms(state: ReturnState, now_ms: int, policy: CompiledPolicy) -> int:
    """When a look at `now_ms`, which would find nothing to say, asked for the next one; 0: only a look can tell."""
    life = _ordinary(state, now_ms, policy)
    if life is None:
        return _LOOK
    next_ms = _signals(life, state)
    if life.parcel is not None and life.parcel.checked_in_ms:
        next_ms = min(next_ms, _late_inspection(life, life.parcel))
    for milestone, fact in life.facts.items():
        for rule in _RULES.get(milestone, ()):
            due_ms = rule(life, fact)
            next_ms = min(next_ms, due_ms)
    if state.facts and next_ms <= state.facts[-1].at_ms + policy.accept_age_ms:
        return next_ms  # it is forgotten later than that
    forget_ms = state.last_heard_ms + policy.accept_age_ms + FORGET_AFTER_MS
    if next_ms == _NEVER and forget_ms <= now_ms:
        return _LOOK
    return min(next_ms, max(forget_ms, now_ms + 1))


def _ordinary(state: ReturnState, now_ms: int, policy: CompiledPolicy) -> _Life | None:
    if state.cases or state.marks:
        return None
    parcel = None
    if state.carried:
        parcel = state.carried[0]
        if len(state.carried) > 1 or parcel.breaches or not parcel.linked:
            return None
    facts = {fact.milestone: fact for fact in state.facts}
    if len(facts) < len(state.facts) or not _NOT_ORDINARY.isdisjoint(facts):
        return None
    inspected = facts.get(_INSPECTED)
    if inspected is not None and inspected.mismatches:
        return None
    return _Life(facts, parcel, policy, now_ms)


# -- rules: each gives its deadline ---------------------------------------------------------------------------------


def _late_label(life: _Life, approved: Told) -> int:
    if life.said.method == Method.IN_STORE:
        return _NEVER
    stop_ms = life.first_ms(_LABELLED)
    if stop_ms <= approved.at_ms:
        return _NEVER
    deadline = life.terms_of(None).deadlines[RuleId.LATE_LABEL]
    return life.due_ms(deadline, approved.at_ms, approved.arrived_ms, stop_ms)


def _dropoff_claim_unconfirmed(life: _Life, claim: Told) -> int:
    parcel = life.parcel
    if parcel is None or (claim.parcels and parcel.parcel not in claim.parcels):
        return _NEVER
    stop_ms = min(parcel.first_scan_ms or _NEVER, parcel.checked_in_ms or _NEVER, life.at_ms(_CANCELLED))
    deadline = life.deadlines[RuleId.DROPOFF_CLAIM_UNCONFIRMED]
    return life.due_ms(deadline, claim.at_ms, claim.arrived_ms, stop_ms)


def _late_inspection(life: _Life, parcel: Carried) -> int:
    received_ms, stop_ms = parcel.checked_in_ms, life.at_ms(_RESTOCKED)
    if stop_ms < received_ms:
        stop_ms = _NEVER
    stop_ms = min(stop_ms, _inspected_ms(life))
    deadline = life.deadlines[RuleId.LATE_INSPECTION]
    return life.due_ms(deadline, received_ms, parcel.checked_in_arrived_ms, stop_ms)


def _inspected_ms(life: _Life) -> int:
    """When the parcel was inspected, or the return if it has none."""
    inspected, parcel = life.facts.get(_INSPECTED), life.parcel
    if inspected is None or (
        parcel is not None and inspected.parcels and parcel.parcel not in inspected.parcels
    ):
        return _NEVER
    return inspected.at_ms


def _late_restock(life: _Life, inspected: Told) -> int:
    if inspected.disposition != Disposition.RESTOCK:
        return _NEVER
    deadline = life.deadlines[RuleId.LATE_RESTOCK]
    return life.due_ms(deadline, inspected.at_ms, inspected.arrived_ms, life.at_ms(_RESTOCKED))


def _late_refund_decision(life: _Life, inspected: Told) -> int:
    stop_ms = life.first_ms(_DECIDED)
    deadline = life.deadlines[RuleId.LATE_REFUND_DECISION]
    return life.due_ms(deadline, inspected.at_ms, inspected.arrived_ms, stop_ms)


def _late_refund(life: _Life, approved: Told) -> int:
    stop_ms, refused_ms = life.first_ms(_SENT), life.at_ms(_REFUSED)
    if refused_ms >= approved.at_ms:
        stop_ms = min(stop_ms, refused_ms)
    deadline = life.deadlines[RuleId.LATE_REFUND]
    return life.due_ms(deadline, approved.at_ms, approved.arrived_ms, stop_ms)


def _refund_not_settled(life: _Life, issued: Told) -> int:
    settled_ms = life.at_ms(_SETTLED)
    deadline = life.deadlines[RuleId.REFUND_NOT_SETTLED]
    stop_ms = settled_ms if settled_ms >= issued.at_ms else _NEVER
    return life.due_ms(deadline, issued.at_ms, issued.arrived_ms, stop_ms)


def _refunded_not_returned(life: _Life, issued: Told) -> int:
    if life.said.method == Method.IN_STORE:
        return _NEVER
    came_ms = life.parcel.checked_in_ms if life.parcel is not None else 0
    deadline = life.deadlines[RuleId.REFUNDED_NOT_RETURNED]
    stop_ms = min(came_ms or _NEVER, _inspected_ms(life))
    return life.due_ms(deadline, issued.at_ms, issued.arrived_ms, stop_ms)


def _promises(life: _Life, request: Told) -> int:
    """The promise, the warning before it, and the law."""
    policy, stop_ms = life.policy, life.first_ms(_FULFILLED)
    next_ms = _lawful(life, request, stop_ms) if life.said.withdrawal else _NEVER
    promise = life.deadlines[RuleId.REFUND_PROMISE_BROKEN]
    if life.said.resolution == Resolution.EXCHANGE or not (promise.enabled or request.promised_ms):
        return next_ms
    promised = promised_ms(request, promise if promise.enabled else None)
    settled_ms = request.arrived_ms + policy.settle_ms
    if promise.enabled:
        next_ms = min(next_ms, life.still(max(promised, settled_ms), stop_ms))
    if life.deadlines[RuleId.REFUND_PROMISE_AT_RISK].enabled:
        warned = warned_ms(request, promised, policy.promise_warning_percent)
        next_ms = min(next_ms, life.still(max(warned, settled_ms), stop_ms))
    return next_ms


def _lawful(life: _Life, request: Told, stop_ms: int) -> int:
    statute = life.policy.statutes.get(life.said.country)
    proof_ms, read_ms = _seen(life.parcel, delivered=False)
    if statute is None or not proof_ms or not life.deadlines[RuleId.STATUTORY_REFUND_DEADLINE].enabled:
        return _NEVER
    law = lawful_by(statute, request, proof_ms, read_ms, life.policy.settle_ms)
    return life.still(law.due_ms, stop_ms)


_RULES: dict[int, tuple[Callable[[_Life, Told], int], ...]] = {
    _REQUESTED: (_promises,),
    _APPROVED: (_late_label,),
    _CLAIMED: (_dropoff_claim_unconfirmed,),
    _INSPECTED: (_late_restock, _late_refund_decision),
    _REFUND_APPROVED: (_late_refund,),
    _ISSUED: (_refund_not_settled, _refunded_not_returned),
}
"""By the milestone that their waiting starts with."""


# -- refund signals -------------------------------------------------------------------------------------------------


def _signals(life: _Life, state: ReturnState) -> int:
    """When the refund may be released; _NEVER: nothing is to be said, whatever the time."""
    if life.request is None:
        return _NEVER
    over = not _OVER.isdisjoint(life.facts)
    if state.signals:
        for one in state.signals:
            if over or one.revoked or (one.release_at and not _reached(life, one.release_at)[0]):
                return _LOOK
        return _NEVER
    paid = _ISSUED in life.facts or _SETTLED in life.facts
    if over or paid or life.said.resolution == Resolution.EXCHANGE:
        return _NEVER
    return _release_ms(life, life.request)


def _release_ms(life: _Life, request: Told) -> int:
    """When the first tier that is reached releases it."""
    policy, label, parcel = life.policy, life.facts.get(_LABEL), life.parcel
    read = [request.arrived_ms, label.arrived_ms if label is not None else 0]
    asked_ms = max(*read, parcel.label_arrived_ms if parcel is not None else 0)
    next_ms = _NEVER
    for tier in policy.refund_tiers:
        since_ms, read_ms = _reached(life, tier.release_at)
        if not since_ms or since_ms + policy.settle_ms < policy.go_live_ms:
            continue
        if tier.fits(life.said, request.value_minor, request.currency):
            settled_ms = max(since_ms, read_ms, asked_ms) + policy.settle_ms
            next_ms = min(next_ms, settled_ms if settled_ms > life.now_ms else _LOOK)
    return next_ms


def _reached(life: _Life, stage: str) -> tuple[int, int]:
    """Since when it has come so far, and when that was read; zeros: not yet."""
    parcel, inspected = life.parcel, life.facts.get(_INSPECTED)
    if stage != ReleaseAt.INSPECTED:
        return _seen(parcel, delivered=stage == ReleaseAt.DELIVERED)
    if (
        inspected is None
        or _inspected_ms(life) == _NEVER
        or (parcel is not None and not parcel.checked_in_ms)
    ):
        return 0, 0
    read_ms = parcel.checked_in_arrived_ms if parcel is not None else 0
    return inspected.at_ms, max(inspected.arrived_ms, read_ms)


def _seen(parcel: Carried | None, *, delivered: bool) -> tuple[int, int]:
    """When the parcel was first scanned (or delivered) or received, and when that was read; zeros: not yet."""
    if parcel is None:
        return 0, 0
    received = (parcel.checked_in_ms, parcel.checked_in_arrived_ms)
    seen = (parcel.first_scan_ms, parcel.first_scan_arrived_ms)
    if delivered:
        seen = (parcel.delivered_ms, parcel.delivered_arrived_ms)
    return received if not seen[0] or (received[0] > 0 and received < seen) else seen
