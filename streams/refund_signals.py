"""When downstream services may release a refund, and when that release is taken back.

A return fits the first of the policy's `refund_tiers` whose value, customer risk and category it has, and each later one that
it fits as well. It is released when all of its parcels have come as far as its tier asks, unless it was cancelled, refused,
exchanged or paid already, or something contradicts it: an inspection that found other goods, or rejected any of them (what
is left of the refund is for a person to say: a signal is about the whole of it), a parcel that weighs something else than it
should and that nobody has looked into, the carrier turning a parcel
back or delivering it elsewhere (by what it reports, whether there is a case or not). What contradicts a release that was
said revokes it, and so does what it stood on when that is taken back, or one more parcel on its way before the money has
gone; a label that nobody has used does not. A tier releases a return once: after a revocation only a later one can, however
often the evidence changes.

An amended request is another matter. A release for another amount or means, or by a tier that the return fits no more, is
revoked, and said again by the same tier or a later one for what is asked now. Once the money has gone nothing is said of it.

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
from schemas.vocabulary import Milestone, Resolution, Risk, SignalReason
from streams.cases import NAMESPACE, Telling
from streams.refund_grounds import Why, against, is_paid, is_used, reached
from streams.return_view import ReturnView
from streams.returns import ReleasedTerms, SignalRecord
from streams.terms import Tier
from streams.watermark import Outgoing

_STAGES = list(ReleaseAt)
_AMENDED = {SignalReason.REQUEST_AMENDED, SignalReason.EXCHANGE_REQUESTED}
"""The customer asks for something else now; nothing is wrong with the goods."""


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
    records, outgoing = [], []
    for known in state.signals:
        why = _revocation(view, known) if not known.revoked else None
        record = _following(view, known)
        if why is not None:
            record = replace(known, revoked=True, revision=known.revision + 1, amended=why.reason in _AMENDED)
            outgoing.append(_message(view, telling, record, why, now_ms))
        records.append(record)
    state.signals = tuple(records)
    if not all(record.revoked for record in state.signals):
        return Signals(outgoing)
    released = _release(view, telling, now_ms)
    return Signals([*outgoing, *released.outgoing], released.next_ms)


def is_held(view: ReturnView) -> bool:
    """Whether anything speaks against paying for the goods."""
    return against(view) is not None


def next_tier(view: ReturnView, said: Sequence[SignalRecord]) -> Tier | None:
    """The first tier that the return fits and that may still release it."""
    return next((tier for tier in _left(view.policy.refund_tiers, said) if _fits(view, tier)), None)


# -- to release -----------------------------------------------------------------------------------------------------


def _release(view: ReturnView, telling: Telling, now_ms: int) -> Signals:
    request = view.request
    if request is None or is_paid(view):
        return NOTHING
    told = telling.state.signals
    fitting = (tier for tier in _left(view.policy.refund_tiers, told) if _fits(view, tier))
    there = [(tier, why) for tier in fitting if (why := reached(view, tier.release_at, view.goods))]
    if not there or against(view):
        return NOTHING
    last_read_ms, settle_ms, next_ms = view.last_read_ms, view.policy.settle_ms, 0
    for tier, why in there:
        known = next((record for record in told if record.tier == tier.name), None)
        if known is None and why.since_ms + settle_ms < view.policy.go_live_ms:
            continue  # whoever paid before has paid it, or will be told by a later tier
        settled_ms = max(why.since_ms, why.read_ms, last_read_ms) + settle_ms
        if settled_ms <= now_ms:
            record = _released(view, tier, known.revision + 1 if known is not None else 1)
            telling.state.signals = (*(one for one in told if one is not known), record)
            return Signals([_message(view, telling, record, why, now_ms)])
        next_ms = min(next_ms or settled_ms, settled_ms)
    return Signals([], next_ms) if next_ms else NOTHING


def _left(tiers: Sequence[Tier], told: Sequence[SignalRecord]) -> list[Tier]:
    """Those that may still release: later ones than any that has, and one whose release the request has outgrown."""
    if not told:
        return list(tiers)
    places = {tier.name: place for place, tier in enumerate(tiers)}
    from_place = 0
    for record in told:
        place = places.get(record.tier)
        if place is None and record.release_at:  # a tier of an earlier policy
            stage = _STAGES.index(ReleaseAt(record.release_at))
            place = sum(_STAGES.index(tier.release_at) <= stage for tier in tiers)
        from_place = max(from_place, place or 0)
    done = {record.tier for record in told if not record.amended}
    return [tier for tier in tiers[from_place:] if tier.name not in done]


def _fits(view: ReturnView, tier: Tier) -> bool:
    request = view.request
    return request is not None and tier.fits(view.terms, request.value_minor, request.currency)


def _released(view: ReturnView, tier: Tier, revision: int) -> SignalRecord:
    parcels = tuple(parcel.parcel for parcel in view.goods)
    return SignalRecord(
        tier.name, False, tier.release_at.value, revision, parcels=parcels, terms=_asked_for(view)
    )


def _asked_for(view: ReturnView) -> ReleasedTerms:
    request, terms = view.request, view.terms
    worth = (request.value_minor, request.currency) if request is not None else (0, "")
    return ReleasedTerms(*worth, terms.resolution, terms.risk, terms.category)


# -- to take it back ------------------------------------------------------------------------------------------------


def _revocation(view: ReturnView, record: SignalRecord) -> Why | None:
    """Why a release must be taken back; None: it stands, and a stricter policy does not change that."""
    obstacle, paid = against(view), is_paid(view)
    if obstacle is not None:
        return obstacle
    if record.release_at:
        goods = [
            one for one in view.goods if one.parcel in record.parcels or (not paid and is_used(view, one))
        ]
        if reached(view, ReleaseAt(record.release_at), goods) is None:
            return Why(SignalReason.LATE_EVIDENCE, 0)
    if not paid and not _is_for_what_is_asked(view, record):
        newest = view.all(Milestone.RETURN_REQUESTED)[-1]
        return Why(SignalReason.REQUEST_AMENDED, newest.at_ms)
    return None


def _is_for_what_is_asked(view: ReturnView, record: SignalRecord) -> bool:
    """Whether it is for the same amount and means, and its tier fits what else has been amended."""
    released, asked = record.terms, _asked_for(view)
    if released is None or released == asked:
        return True
    tier = next((one for one in view.policy.refund_tiers if one.name == record.tier), None)
    return _is_same_money(released, asked) and (tier is None or _fits(view, tier))


def _is_same_money(one: ReleasedTerms, other: ReleasedTerms) -> bool:
    return (one.value_minor, one.currency, one.resolution) == (
        other.value_minor,
        other.currency,
        other.resolution,
    )


def _following(view: ReturnView, record: SignalRecord) -> SignalRecord:
    """A release that stands is for what is asked now, so that a later policy is not asked about it again."""
    asked = _asked_for(view)
    if record.revoked or record.terms is None or not _is_same_money(record.terms, asked):
        return record
    return replace(record, terms=asked)


# -- to say it ------------------------------------------------------------------------------------------------------


def _message(view: ReturnView, telling: Telling, record: SignalRecord, why: Why, now_ms: int) -> Outgoing:
    request = view.request
    assert request is not None
    terms = record.terms or _asked_for(view)
    signal = RefundSignal(
        signal_id=str(uuid5(NAMESPACE, f"refund|{telling.return_id}|{record.tier}")),
        revision=record.revision,
        action=RefundAction.REVOKE if record.revoked else RefundAction.RELEASE,
        reason=why.reason,
        return_id=telling.return_id,
        tier=record.tier,
        value=Money(terms.value_minor, terms.currency) if terms.currency else None,
        resolution=Resolution(terms.resolution),
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
