"""When downstream services may release a refund, and when that release is taken back.

A return fits the first of the policy's `refund_tiers` whose value, customer risk and category it has, and each later one that
it fits as well. It is released when all of its parcels have come as far as its tier asks, unless it was cancelled, refused,
exchanged or paid already, or something contradicts it: an inspection that found other goods, or rejected any of them (what
is left of the refund is for a person to say: a signal is about the whole of it), a parcel that weighs something else than it
should and that nobody has looked into, the carrier turning a parcel
back or delivering it elsewhere (by what it reports, whether there is a case or not). What contradicts a release that was
said revokes it. A tier releases a return once: after a revocation only a later one can, so there are at most two messages for
each tier, however often the evidence changes.

To withhold and to revoke is done at once, to release only when nothing more has been read of the return for as long as things
take to settle (policy `settle`): neither what it stands on, nor what takes an obstacle away. So a cancellation on its way by
another road is not paid for first. A revocation for a fact that is taken back a second later stands: money that is held is
paid later by a person or a later tier, money that is paid is gone.

Nothing is said of a return that nobody requested: its value and its customer are not known.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid5

from msgspec.structs import replace

from schemas.outputs import (
    EvidenceSource,
    Money,
    RefundAction,
    RefundSignal,
    encode_refund_signal,
    refund_signal_headers,
    utc,
)
from schemas.policy import ReleaseAt
from schemas.vocabulary import Milestone, Resolution, Risk, RuleId, SignalReason
from streams.cases import NAMESPACE, Telling
from streams.return_view import ReturnView
from streams.returns import Carried, SignalRecord, Told
from streams.rules.goods import inspects, is_rejected, put_right
from streams.rules.weights import is_off, looked_into
from streams.terms import Tier
from streams.watermark import Outgoing

_OVER = {
    Milestone.RETURN_CANCELLED: SignalReason.RETURN_CANCELLED,
    Milestone.REPLACEMENT_SENT: SignalReason.REPLACEMENT_SENT,
}
_DIVERTED = {
    RuleId.RETURNED_TO_CUSTOMER.value: SignalReason.RETURNED_TO_CUSTOMER,
    RuleId.DELIVERED_ELSEWHERE_SUSPECTED.value: SignalReason.DELIVERED_ELSEWHERE,
}


class _Why(NamedTuple):
    reason: SignalReason
    since_ms: int
    facts: Sequence[Told] = ()
    read_ms: int = 0
    """When the last that it stands on was read."""


class Signals(NamedTuple):
    """What is to be said now, and when to look again for a release that has to settle (0: never)."""

    outgoing: Sequence[Outgoing]
    next_ms: int = 0


NOTHING = Signals(())


def signals(view: ReturnView, telling: Telling, now_ms: int) -> Signals:
    """Revoke and release; `telling.state.signals` is brought up to date."""
    state = telling.state
    if view.request is None or not (view.policy.refund_tiers or state.signals):
        return NOTHING
    if not state.signals:
        return _release(view, telling, now_ms)
    said = [_revocation(view, record) for record in state.signals if not record.revoked]
    revoked = [(record, why) for record, why in said if why is not None]
    outgoing = [_message(view, telling, record.tier, why, now_ms, revision=2) for record, why in revoked]
    gone = {record.tier for record, _ in revoked}
    if gone:
        state.signals = tuple(
            replace(record, revoked=record.revoked or record.tier in gone) for record in state.signals
        )
    if not all(record.revoked for record in state.signals):
        return Signals(outgoing)
    released = _release(view, telling, now_ms)
    return Signals([*outgoing, *released.outgoing], released.next_ms)


def is_held(view: ReturnView) -> bool:
    """Whether anything speaks against paying for the goods."""
    return _against(view) is not None


def next_tier(view: ReturnView, said: Sequence[SignalRecord]) -> Tier | None:
    """The first tier that the return fits and that has not released it yet."""
    request, used = view.request, {record.tier for record in said}
    if request is None:
        return None
    fitting = (tier for tier in view.policy.refund_tiers if tier.name not in used)
    return next((t for t in fitting if t.fits(view.terms, request.value_minor, request.currency)), None)


def _release(view: ReturnView, telling: Telling, now_ms: int) -> Signals:
    request = view.request
    paid = view.first(Milestone.REFUND_ISSUED) or view.first(Milestone.REFUND_SETTLED)
    if request is None or paid:
        return NOTHING
    used = {record.tier for record in telling.state.signals}
    fitting = (
        tier
        for tier in view.policy.refund_tiers
        if tier.name not in used and tier.fits(view.terms, request.value_minor, request.currency)
    )
    there = [(tier, why) for tier in fitting if (why := _reached(view, tier.release_at)) is not None]
    if not there or _against(view):
        return NOTHING
    last_read_ms, settle_ms, next_ms = view.last_read_ms, view.policy.settle_ms, 0
    for tier, why in there:
        if why.since_ms + settle_ms < view.policy.go_live_ms:
            continue  # whoever paid before has paid it, or will be told by a later tier
        settled_ms = max(why.since_ms, why.read_ms, last_read_ms) + settle_ms
        if settled_ms <= now_ms:
            record = SignalRecord(tier.name, False, tier.release_at.value)
            telling.state.signals = (*telling.state.signals, record)
            return Signals([_message(view, telling, tier.name, why, now_ms, revision=1)])
        next_ms = min(next_ms or settled_ms, settled_ms)
    return Signals([], next_ms) if next_ms else NOTHING


def _revocation(view: ReturnView, record: SignalRecord) -> tuple[SignalRecord, _Why | None]:
    """Why a release must be taken back; None: it stands, and a stricter policy does not change that."""
    against = _against(view)
    if (
        against is not None
        or not record.release_at
        or _reached(view, ReleaseAt(record.release_at)) is not None
    ):
        return record, against
    return record, _Why(SignalReason.LATE_EVIDENCE, 0)


def _against(view: ReturnView) -> _Why | None:
    """What speaks against paying for the goods, whatever was released."""
    for milestone, reason in _OVER.items():
        fact = view.first(milestone)
        if fact is not None:
            return _Why(reason, fact.at_ms, (fact,))
    refused = view.all(Milestone.REFUND_REFUSED)
    if refused and view.stop(Milestone.REFUND_APPROVED, since_ms=refused[-1].at_ms, after=True) is None:
        return _Why(SignalReason.REFUND_REFUSED, refused[-1].at_ms, refused[-1:])
    if view.request is not None and view.terms.resolution == Resolution.EXCHANGE:
        return _Why(SignalReason.EXCHANGE_REQUESTED, view.request.at_ms)
    for inspection in reversed(view.all(Milestone.INSPECTED)):
        wrong = SignalReason.CONTENT_MISMATCH if inspection.mismatches else None
        if wrong is None and is_rejected(inspection):
            wrong = SignalReason.GOODS_REJECTED
        if wrong is not None and put_right(view, inspection) is None:
            return _Why(wrong, inspection.at_ms, (inspection,))
    return next(filter(None, (_against_parcel(view, parcel) for parcel in view.parcels)), None)


def _against_parcel(view: ReturnView, parcel: Carried) -> _Why | None:
    if parcel.weighed_ms and is_off(view, parcel) and looked_into(view, parcel) is None:
        return _Why(SignalReason.CONTENT_MISMATCH, parcel.weighed_ms)
    if parcel.diverted and not view.received_ms(parcel):
        return _Why(_DIVERTED[parcel.diverted], parcel.diverted_ms)
    return None


def _reached(view: ReturnView, stage: ReleaseAt) -> _Why | None:
    """Since when all parcels have come so far; None: not yet. Without parcels the return's own number counts."""
    if stage is ReleaseAt.INSPECTED:
        return _inspected(view)
    reason = SignalReason(stage.value)
    if not view.parcels and view.at_the_dock:
        last = max(view.at_the_dock, key=lambda parcel: parcel.checked_in_ms)
        return _Why(reason, last.checked_in_ms, (), last.checked_in_arrived_ms)
    if not view.parcels:
        check_in = view.first(Milestone.CHECKED_IN)
        return (
            _Why(reason, check_in.at_ms, (check_in,), check_in.arrived_ms) if check_in is not None else None
        )
    since_ms = read_ms = 0
    for parcel in view.parcels:
        seen = (parcel.first_scan_ms, parcel.first_scan_arrived_ms)
        if stage is ReleaseAt.DELIVERED:
            seen = (parcel.delivered_ms, parcel.delivered_arrived_ms)
        at_ms, arrived_ms = min((one for one in (seen, view.receipt(parcel)) if one[0]), default=(0, 0))
        if not at_ms:
            return None
        since_ms, read_ms = max(since_ms, at_ms), max(read_ms, arrived_ms)
    return _Why(reason, since_ms, (), read_ms)


def _inspected(view: ReturnView) -> _Why | None:
    """Since when each parcel has been inspected for the first time: what is looked at again came no further."""
    inspections = view.all(Milestone.INSPECTED)
    if not inspections:
        return None
    since_ms, read_ms = inspections[0].at_ms, max(one.arrived_ms for one in inspections)
    for parcel in view.parcels:
        received_ms, arrived_ms = view.receipt(parcel)
        only = len(view.parcels) == 1
        first = next((one for one in inspections if inspects(one, parcel, received_ms, only=only)), None)
        if not received_ms or first is None:
            return None
        since_ms, read_ms = max(since_ms, first.at_ms), max(read_ms, arrived_ms)
    return _Why(SignalReason.INSPECTED, since_ms, inspections[-1:], read_ms)


def _message(
    view: ReturnView, telling: Telling, tier: str, why: _Why, now_ms: int, *, revision: int
) -> Outgoing:
    request, terms = view.request, view.terms
    assert request is not None
    signal = RefundSignal(
        signal_id=str(uuid5(NAMESPACE, f"refund|{telling.return_id}|{tier}")),
        revision=revision,
        action=RefundAction.RELEASE if revision == 1 else RefundAction.REVOKE,
        reason=why.reason,
        return_id=telling.return_id,
        tier=tier,
        value=Money(request.value_minor, request.currency) if request.currency else None,
        customer_risk=Risk(terms.risk),
        category=terms.category,
        since_at=utc(why.since_ms or now_ms),
        effective_at=utc(now_ms),
        policy_hash=telling.policy.hash,
        evidence=tuple(
            EvidenceSource(fact.source.topic, fact.source.partition, fact.source.offset)
            for fact in (request, *why.facts)
        ),
    )
    headers = refund_signal_headers(signal)
    key = telling.return_id.encode()
    return Outgoing("refund-signals", key, encode_refund_signal(signal), headers, telling.partition)
