"""Which message the customer gets, and with which parameter (schemas/journey_messages.py).

What is over comes first, then what has gone wrong, the worst first, then what is waited for. No date that has passed is said.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from schemas.journey_messages import GOODS_AWAITED, MESSAGES, OF_ONE, PARCELS_AWAITED, UNDATED
from schemas.return_journeys import ExpectedStep, PortalStatus
from schemas.vocabulary import Method, Resolution, RuleId
from streams.journey_outlook import Leg, Next, hours_of_first_scan
from streams.journey_progress import (
    APPROVED,
    CHECKED_IN,
    DELIVERED,
    DROPPED_OFF,
    IN_TRANSIT,
    INSPECTED,
    LABELLED,
    STAGES,
    Progress,
)
from streams.return_view import ReturnView

_STAGES = tuple(stage.value for stage in STAGES)


class Message(NamedTuple):
    """A key of MESSAGES with its parameter, which is a time or a text, if it has any."""

    key: str
    name: str = ""
    at_ms: int = 0
    text: str = ""
    until_ms: int = 0
    """When it is true no longer, if nothing happens before; 0: it stays true."""


TROUBLES: Final[tuple[tuple[RuleId, str], ...]] = (
    (RuleId.CARRIER_REPORTED_LOST, "lost"),
    (RuleId.RETURNED_TO_CUSTOMER, "sent_back"),
    (RuleId.CONTENT_MISMATCH, "content_mismatch"),
    (RuleId.CARRIER_REPORTED_DAMAGED, "damaged"),
    (RuleId.DELIVERED_ELSEWHERE_SUSPECTED, "delivered_elsewhere"),
    (RuleId.DELIVERED_NOT_CHECKED_IN, "searching"),
    (RuleId.PICKUP_FAILED, "pickup_failed"),
    (RuleId.LABEL_EXPIRED_UNUSED, "label_expired"),
    (RuleId.MISSING_FIRST_SCAN, "no_first_scan"),
    (RuleId.DROPOFF_CLAIM_UNCONFIRMED, "no_first_scan"),
    (RuleId.STALLED_SILENT, "delayed"),
    (RuleId.STALLED_NO_PROGRESS, "delayed"),
    (RuleId.TRANSIT_OVERDUE, "delayed"),
    (RuleId.MISROUTED, "delayed"),
    (RuleId.DELIVERY_FAILED, "delayed"),
    (RuleId.PICKUP_POINT_EXPIRING, "delayed"),
    (RuleId.MOVING_AFTER_DELIVERY, "delayed"),
    (RuleId.LATE_LABEL, "late_label"),
    (RuleId.LATE_REFUND, "late_refund"),
    (RuleId.LATE_INSPECTION, "late_inspection"),
    (RuleId.LATE_REFUND_DECISION, "late_refund"),
    (RuleId.REFUND_PROMISE_BROKEN, "late_refund"),
    (RuleId.STATUTORY_REFUND_DEADLINE, "late_refund"),
)
"""Rule -> what its open case means to the customer, the worst first. Other cases are the shop's own business."""
_OF_THE_GOODS = frozenset({RuleId.LATE_INSPECTION, RuleId.LATE_REFUND_DECISION})
"""Of no interest once the refund is approved."""
_OF_THE_PROMISE = frozenset({RuleId.REFUND_PROMISE_BROKEN, RuleId.STATUTORY_REFUND_DEADLINE})
"""Not told before the goods were inspected: what they wait for is."""

_KINDS: dict[str, str] = {Resolution.EXCHANGE: "exchange", Resolution.STORE_CREDIT: "credit"}
OF_OTHER_KINDS: Final = {
    ("inspected", "exchange"): "inspected_for_exchange",
    ("refund_approved", "exchange"): "exchange_approved",
    ("refund_refused", "exchange"): "exchange_refused",
    ("late_refund", "exchange"): "late_exchange",
    ("inspected", "credit"): "inspected_for_credit",
    ("refund_approved", "credit"): "credit_approved",
    ("refund_refused", "credit"): "credit_refused",
    ("late_refund", "credit"): "late_credit",
    ("refund_failed", "credit"): "credit_failed",
    ("refund_issued", "credit"): "credit_issued",
    ("refund_issued_goods_awaited", "credit"): "credit_issued_goods_awaited",
    ("refund_issued_parcels_awaited", "credit"): "credit_issued_parcels_awaited",
    ("refund_settled", "credit"): "credit_issued",
}
"""(what is said of a refund, what the customer gets instead) -> what is said of that."""


def message_of(
    view: ReturnView,
    come: Progress,
    ahead: Next | None,
    legs: Sequence[Leg],
    troubles: Mapping[str, Collection[str]],
    now_ms: int,
) -> Message:
    """`legs`: of the parcels that the warehouse does not have; `troubles`: rule -> the parcels that have an open case of it."""
    if come.status is PortalStatus.REFUNDED:
        return _paid(view, come, legs)
    if come.closed:
        return Message(_closed(view, come))
    if come.paid.failed_ms:
        return Message(_of_kind(view, "refund_failed"))
    trouble = _trouble(come, troubles) if troubles else ""
    if trouble:
        return Message(_of_kind(view, trouble))
    if come.paid.approved_ms:
        return _dated(_of_kind(view, "refund_approved"), ahead, now_ms)
    if come.void is not None and come.stage <= DROPPED_OFF:
        return Message(_voided(come))
    if come.stage == DROPPED_OFF:
        return _dropped_off(view, come, legs, now_ms)
    if len(come.parcels) > 1 and legs and come.stage < CHECKED_IN:
        return _of_several(come, legs, now_ms)
    return _dated(_key_of(view, come.stage), ahead, now_ms)


def _trouble(come: Progress, troubles: Mapping[str, Collection[str]]) -> str:
    for rule, key in TROUBLES:
        if rule not in troubles or (rule in _OF_THE_GOODS and come.paid.approved_ms):
            continue
        if rule in _OF_THE_PROMISE and come.stage < INSPECTED and not come.paid.approved_ms:
            continue
        return _of_parcels(come, key, troubles[rule])
    return ""


def _of_parcels(come: Progress, key: str, parcels: Collection[str]) -> str:
    """The same of the parcels that it is about."""
    if key == "content_mismatch" and "" not in parcels:
        key = "weight_mismatch"  # nobody has opened it
    destroyed = {one.parcel for one in come.parcels if one.disposed}
    if key == "lost" and destroyed.issuperset(parcels):
        key = "disposed"
    return key + OF_ONE if len(come.parcels) > 1 and key + OF_ONE in MESSAGES else key


def _paid(view: ReturnView, come: Progress, legs: Sequence[Leg]) -> Message:
    paid = come.paid
    not_sent = any(leg.end == IN_TRANSIT for leg in legs) and not come.claimed_ms
    if paid.settled_ms:
        return Message(_of_kind(view, "refund_settled"), "at", paid.settled_ms)
    key, at_ms = (
        ("refund_issued", paid.issued_ms) if paid.issued_ms else ("replacement_sent", paid.replaced_ms)
    )
    if not_sent:
        key += PARCELS_AWAITED if len(come.parcels) > 1 else GOODS_AWAITED
    return Message(_of_kind(view, key), "at", at_ms)


def _closed(view: ReturnView, come: Progress) -> str:
    if come.cancelled:
        return "return_cancelled"
    return _of_kind(view, "refund_refused") if come.paid.refused_ms else _voided(come)


def _voided(come: Progress) -> str:
    on_its_way = come.stage == DROPPED_OFF or (come.void is not None and come.void.first_scan_ms)
    return "label_voided_after_use" if on_its_way else "label_voided"


def _dropped_off(view: ReturnView, come: Progress, legs: Sequence[Leg], now_ms: int) -> Message:
    if len({leg.ahead.step for leg in legs}) > 1:
        return Message("partly_dropped_off")
    if len(come.parcels) > 1 and legs and legs[0].ahead.step is not ExpectedStep.DROPPED_OFF:
        return Message("parcels_dropped_off")
    hours, until_ms = hours_of_first_scan(view, come.claimed_ms, now_ms)
    if not hours or not legs or legs[0].ahead.step is ExpectedStep.DROPPED_OFF:
        return Message("dropped_off" + UNDATED)
    return Message("dropped_off", "hours", text=hours, until_ms=until_ms)


def _of_several(come: Progress, legs: Sequence[Leg], now_ms: int) -> Message:
    """Of several parcels, of which the warehouse does not have all."""
    ends = {leg.end for leg in legs}
    if IN_TRANSIT in ends and (come.stage > LABELLED or len(legs) < len(come.parcels)):
        return Message("partly_in_transit")
    if DELIVERED in ends and (CHECKED_IN in ends or len(legs) < len(come.parcels)):
        return Message("partly_delivered")
    due = [leg.ahead.due_ms for leg in legs]
    key = {IN_TRANSIT: "labels_created", DELIVERED: "parcels_in_transit", CHECKED_IN: "parcels_delivered"}[
        min(ends)
    ]
    if min(due) <= now_ms:
        return Message(key + UNDATED)
    by_ms = min(due) if key == "labels_created" else max(due)
    return Message(key, "by", by_ms, until_ms=min(due))


def _key_of(view: ReturnView, stage: int) -> str:
    if stage == APPROVED:
        return "approved_in_store" if view.terms.method == Method.IN_STORE else "approved"
    if stage < APPROVED:
        return "pending_approval"
    return _of_kind(view, "inspected") if stage == INSPECTED else _STAGES[stage]


def _of_kind(view: ReturnView, key: str) -> str:
    kind = _KINDS.get(view.terms.resolution)
    return key if kind is None else OF_OTHER_KINDS.get((key, kind), key)


def _dated(key: str, ahead: Next | None, now_ms: int) -> Message:
    due_ms = ahead.due_ms if ahead is not None else 0
    if key + UNDATED not in MESSAGES:
        return Message(key)
    if due_ms <= now_ms:
        return Message(key + UNDATED)
    return Message(key, "by", (ahead.last_ms if ahead is not None else 0) or due_ms, until_ms=due_ms)
