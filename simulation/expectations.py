"""What every rule waits for, read from what is known: plainly, and apart from `streams/rules`."""

from collections.abc import Callable, Iterator
from typing import Final

from schemas.vocabulary import Milestone, Reason, RuleId
from simulation import expect_dock, expect_hand_over, expect_money, expect_shop, expect_transit
from simulation.expectation import End, Expectation
from simulation.parcel_story import ParcelStory
from simulation.return_story import ReturnStory
from simulation.terms import Terms

_OF_PARCELS: Final[dict[RuleId, Callable[[ParcelStory, Terms], Iterator[Expectation]]]] = {
    RuleId.MISSING_FIRST_SCAN: expect_hand_over.missing_first_scan,
    RuleId.PICKUP_FAILED: expect_hand_over.pickup_failed,
    RuleId.LABEL_EXPIRED_UNUSED: expect_hand_over.label_expired_unused,
    RuleId.STALLED_SILENT: expect_transit.stalled_silent,
    RuleId.STALLED_NO_PROGRESS: expect_transit.stalled_no_progress,
    RuleId.TRANSIT_OVERDUE: expect_transit.transit_overdue,
    RuleId.MISROUTED: expect_transit.misrouted,
    RuleId.DELIVERY_FAILED: expect_transit.delivery_failed,
    RuleId.PICKUP_POINT_EXPIRING: expect_transit.pickup_point_expiring,
    RuleId.RETURNED_TO_CUSTOMER: expect_transit.returned_to_customer,
    RuleId.CARRIER_REPORTED_LOST: expect_transit.carrier_reported_lost,
    RuleId.CARRIER_REPORTED_DAMAGED: expect_transit.carrier_reported_damaged,
    RuleId.DELIVERED_ELSEWHERE_SUSPECTED: expect_dock.delivered_elsewhere_suspected,
    RuleId.MOVING_AFTER_DELIVERY: expect_dock.moving_after_delivery,
    RuleId.DELIVERED_NOT_CHECKED_IN: expect_dock.delivered_not_checked_in,
    RuleId.CHECKED_IN_NOT_DELIVERED: expect_dock.checked_in_not_delivered,
}
_OF_RETURNS: Final[dict[RuleId, Callable[[ReturnStory, Terms], Iterator[Expectation]]]] = {
    RuleId.DROPOFF_CLAIM_UNCONFIRMED: expect_hand_over.dropoff_claim_unconfirmed,
    RuleId.LATE_LABEL: expect_hand_over.late_label,
    RuleId.LATE_INSPECTION: expect_shop.late_inspection,
    RuleId.CONTENT_MISMATCH: expect_shop.content_mismatch,
    RuleId.LATE_RESTOCK: expect_shop.late_restock,
    RuleId.LATE_REFUND_DECISION: expect_money.late_refund_decision,
    RuleId.LATE_REFUND: expect_money.late_refund,
    RuleId.REFUND_PROMISE_AT_RISK: expect_money.refund_promise_at_risk,
    RuleId.REFUND_PROMISE_BROKEN: expect_money.refund_promise_broken,
    RuleId.STATUTORY_REFUND_DEADLINE: expect_money.statutory_refund_deadline,
    RuleId.REFUND_FAILED: expect_money.refund_failed,
    RuleId.REFUND_NOT_SETTLED: expect_money.refund_not_settled,
    RuleId.REFUNDED_NOT_RETURNED: expect_money.refunded_not_returned,
}
_UNEXPLAINED_BY_A_NUMBER: Final = {RuleId.CHECKED_IN_NOT_DELIVERED}
"""That the dock has it, by whatever name, is just what these wonder about."""
_OVER_WHEN_CANCELLED: Final = {
    RuleId.MISSING_FIRST_SCAN,
    RuleId.PICKUP_FAILED,
    RuleId.LABEL_EXPIRED_UNUSED,
}


def is_of_return(rule: RuleId) -> bool:
    """Whether the rule asks what is known about the whole return, even where it tells of a parcel."""
    return rule in _OF_RETURNS


def expected_of_parcel(story: ParcelStory, terms: Terms) -> list[Expectation]:
    """What is expected of a parcel for the return of the story, by the parcel's own news; nothing without a label."""
    if story.label is None:
        return []
    rules = (waits for rule, waits in _OF_PARCELS.items() if rule in terms.applied)
    return [expectation for waits in rules for expectation in waits(story, terms)]


def explained_at_the_return(expectation: Expectation, story: ReturnStory) -> Expectation:
    """The expectation of a parcel with what the return knows of its ends."""
    ends: list[End] = []
    received = story.received.get(expectation.parcel)
    if received is not None and expectation.rule not in _UNEXPLAINED_BY_A_NUMBER:
        ends.append((received.at, Reason.CHECKED_IN_BY_RETURN))
    if expectation.rule in _OVER_WHEN_CANCELLED:
        ends += story.ends(Milestone.RETURN_CANCELLED)
    return expectation._replace(ends=(*expectation.ends, *ends)) if ends else expectation


def expected_of_return(story: ReturnStory, terms: Terms) -> list[Expectation]:
    """What is expected of the return as a whole, and of its parcels by what the shop and the warehouse say."""
    rules = (waits for rule, waits in _OF_RETURNS.items() if rule in terms.applied)
    return [expectation for waits in rules for expectation in waits(story, terms)]
