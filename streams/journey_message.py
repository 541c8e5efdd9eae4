"""Which message the customer gets, and with which parameters (schemas/journey_messages.py).

What is over comes first, then what has gone wrong, the worst first, then the stage with what is waited for.
"""

from collections.abc import Collection
from typing import Final

from schemas.journey_messages import MESSAGES, UNDATED
from schemas.outputs import utc
from schemas.return_journeys import PortalStatus
from schemas.vocabulary import Method, Milestone, Resolution, RuleId
from streams.journey_outlook import APPROVED, DROPPED_OFF, INSPECTED, STAGES, Money, Next, hours_of_first_scan
from streams.return_view import ReturnView

Message = tuple[str, tuple[tuple[str, str], ...]]
"""(key, parameters)."""

TROUBLES: Final[tuple[tuple[RuleId, str], ...]] = (
    (RuleId.REFUND_FAILED, "refund_failed"),
    (RuleId.CARRIER_REPORTED_LOST, "lost"),
    (RuleId.RETURNED_TO_CUSTOMER, "sent_back"),
    (RuleId.CONTENT_MISMATCH, "content_mismatch"),
    (RuleId.CARRIER_REPORTED_DAMAGED, "damaged"),
    (RuleId.DELIVERED_ELSEWHERE_SUSPECTED, "searching"),
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
    (RuleId.LATE_INSPECTION, "late_inspection"),
    (RuleId.LATE_REFUND_DECISION, "late_refund"),
    (RuleId.LATE_REFUND, "late_refund"),
    (RuleId.REFUND_PROMISE_BROKEN, "late_refund"),
    (RuleId.STATUTORY_REFUND_DEADLINE, "late_refund"),
)
"""Rule -> what its open case means to the customer, the worst first. Other cases are the shop's own business."""


def message_of(
    view: ReturnView,
    status: PortalStatus,
    stage: int,
    claimed_ms: int,
    paid: Money,
    ahead: Next | None,
    open_rules: Collection[str],
) -> Message:
    """`claimed_ms`: when the customer, or whoever, said that it was handed over."""
    if status is PortalStatus.REFUNDED:
        return _refunded(paid)
    if status is PortalStatus.CLOSED:
        return _closed(view, paid), ()
    if open_rules:
        trouble = next((key for rule, key in TROUBLES if rule in open_rules), None)
        if trouble is not None:
            return trouble, ()
    if stage == DROPPED_OFF:
        hours = hours_of_first_scan(view, claimed_ms)
        return ("dropped_off", (("hours", hours),)) if hours else ("dropped_off" + UNDATED, ())
    return _with_date("refund_approved" if paid.approved_ms else _key_of(view, stage), ahead)


def _refunded(paid: Money) -> Message:
    if paid.settled_ms:
        return "refund_settled", _time("at", paid.settled_ms)
    if paid.issued_ms:
        return "refund_issued", _time("at", paid.issued_ms)
    return "replacement_sent", _time("at", paid.replaced_ms)


def _closed(view: ReturnView, paid: Money) -> str:
    if view.first(Milestone.RETURN_CANCELLED) is not None:
        return "return_cancelled"
    return "refund_refused" if paid.refused_ms else "label_voided"


def _key_of(view: ReturnView, stage: int) -> str:
    if not stage:
        return "pending_approval"
    if stage == APPROVED:
        return "approved_in_store" if view.terms.method == Method.IN_STORE else "approved"
    if stage == INSPECTED and view.terms.resolution == Resolution.EXCHANGE:
        return "inspected_for_exchange"
    return STAGES[stage].value


def _with_date(key: str, ahead: Next | None) -> Message:
    if key + UNDATED not in MESSAGES:
        return key, ()
    if ahead is None or not ahead.due_ms:
        return key + UNDATED, ()
    return key, _time("by", ahead.due_ms)


def _time(name: str, at_ms: int) -> tuple[tuple[str, str], ...]:
    return ((name, utc(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")),)
