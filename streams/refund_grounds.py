"""What a refund stands on, and what speaks against it: how far the goods of a return have come, and what is wrong with them.

Asked of the facts, whatever rules are switched on (docs/adr/0015-what-holds-a-refund.md).
"""

from collections.abc import Sequence
from typing import NamedTuple

from schemas.policy import ReleaseAt
from schemas.vocabulary import Milestone, Resolution, RuleId, SignalReason
from streams.return_view import ReturnView
from streams.returns import Carried, Told
from streams.rules.goods import first_inspection, is_rejected, put_right
from streams.rules.weights import is_off, looked_into

_OVER = {
    Milestone.RETURN_CANCELLED: SignalReason.RETURN_CANCELLED,
    Milestone.REPLACEMENT_SENT: SignalReason.REPLACEMENT_SENT,
}
_DIVERTED = {
    RuleId.RETURNED_TO_CUSTOMER.value: SignalReason.RETURNED_TO_CUSTOMER,
    RuleId.DELIVERED_ELSEWHERE_SUSPECTED.value: SignalReason.DELIVERED_ELSEWHERE,
}


class Why(NamedTuple):
    """Why a refund is released, or must not be."""

    reason: SignalReason
    since_ms: int
    facts: Sequence[Told] = ()
    read_ms: int = 0
    """When the last that it stands on was read."""


def is_paid(view: ReturnView) -> bool:
    """Whether the money has gone."""
    return (view.first(Milestone.REFUND_ISSUED) or view.first(Milestone.REFUND_SETTLED)) is not None


def is_used(view: ReturnView, parcel: Carried) -> bool:
    """Whether anybody has had it in hand; a label that was made and never used is no parcel."""
    return bool(parcel.first_scan_ms or view.received_ms(parcel))


# -- what speaks against it -----------------------------------------------------------------------------------------


def against(view: ReturnView) -> Why | None:
    """What speaks against paying for the goods, whatever was released."""
    for milestone, reason in _OVER.items():
        fact = view.first(milestone)
        if fact is not None:
            return Why(reason, fact.at_ms, (fact,))
    refused = view.all(Milestone.REFUND_REFUSED)
    if refused and view.stop(Milestone.REFUND_APPROVED, since_ms=refused[-1].at_ms, after=True) is None:
        return Why(SignalReason.REFUND_REFUSED, refused[-1].at_ms, refused[-1:])
    if view.request is not None and view.terms.resolution == Resolution.EXCHANGE:
        return Why(SignalReason.EXCHANGE_REQUESTED, view.all(Milestone.RETURN_REQUESTED)[-1].at_ms)
    for inspection in reversed(view.all(Milestone.INSPECTED)):
        wrong = SignalReason.CONTENT_MISMATCH if inspection.mismatches else None
        if wrong is None and is_rejected(inspection):
            wrong = SignalReason.GOODS_REJECTED
        if wrong is not None and put_right(view, inspection) is None:
            return Why(wrong, inspection.at_ms, (inspection,))
    return next(filter(None, (_against_parcel(view, parcel) for parcel in view.goods)), None)


def _against_parcel(view: ReturnView, parcel: Carried) -> Why | None:
    if parcel.weighed_ms and is_off(view, parcel) and looked_into(view, parcel) is None:
        return Why(SignalReason.CONTENT_MISMATCH, parcel.weighed_ms)
    if parcel.diverted and not view.received_ms(parcel):
        return Why(_DIVERTED[parcel.diverted], parcel.diverted_ms)
    return None


# -- how far the goods have come ------------------------------------------------------------------------------------


def reached(view: ReturnView, stage: ReleaseAt, goods: Sequence[Carried]) -> Why | None:
    """Since when all of these parcels have come so far; None: not yet. Without any the return's own number counts."""
    if stage is ReleaseAt.INSPECTED:
        return _inspected(view, goods)
    reason = SignalReason(stage.value)
    if not goods:
        check_in = view.first(Milestone.CHECKED_IN)
        return Why(reason, check_in.at_ms, (check_in,), check_in.arrived_ms) if check_in is not None else None
    since_ms = read_ms = 0
    for parcel in goods:
        seen = (parcel.first_scan_ms, parcel.first_scan_arrived_ms)
        if stage is ReleaseAt.DELIVERED:
            seen = (parcel.delivered_ms, parcel.delivered_arrived_ms)
        at_ms, arrived_ms = min((one for one in (seen, view.receipt(parcel)) if one[0]), default=(0, 0))
        if not at_ms:
            return None
        since_ms, read_ms = max(since_ms, at_ms), max(read_ms, arrived_ms)
    return Why(reason, since_ms, (), read_ms)


def _inspected(view: ReturnView, goods: Sequence[Carried]) -> Why | None:
    """Since when each parcel has been inspected for the first time: what is looked at again came no further."""
    inspections = view.all(Milestone.INSPECTED)
    if not inspections:
        return None
    since_ms, read_ms = inspections[0].at_ms, max(one.arrived_ms for one in inspections)
    for parcel in goods:
        received_ms, arrived_ms = view.receipt(parcel)
        first = first_inspection(view, parcel, received_ms, only=len(goods) == 1)
        if not received_ms or first is None:
            return None
        since_ms, read_ms = max(since_ms, first.at_ms), max(read_ms, arrived_ms)
    return Why(SignalReason.INSPECTED, since_ms, inspections[-1:], read_ms)
