"""What a return and its parcels have come to: claims that hold, parcels that went astray, the last decision, a cancellation."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from schemas.vocabulary import Milestone, Reason, RuleId
from simulation.expect_dock import delivered_elsewhere_suspected
from simulation.expect_transit import sent_to_us_again
from simulation.ledger import ParcelNews, ReturnNews
from simulation.parcel_story import ParcelStory
from simulation.return_story import ReturnStory
from simulation.terms import Terms


def claims_that_hold(story: ReturnStory, parcels: Iterable[ParcelStory]) -> list[ReturnNews]:
    """The words that something was handed over, but for those on labels that were taken back later; `parcels`: that are there."""
    said = story.news(Milestone.DROPOFF_CLAIMED)
    voided = {name: one.label.at for name, one in story.parcels.items() if one.label and not one.linked}
    there = [one.label.at for one in parcels if one.label is not None]
    if not voided or not there:
        return said
    of_an_old_label = [
        claim
        for claim in said
        if (claim.parcels and set(claim.parcels) <= voided.keys())
        or (not claim.parcels and min(voided.values()) <= claim.at < min(there))
    ]
    return [claim for claim in said if claim not in of_an_old_label]


def delivered_to_us(parcel: ParcelStory, terms: Terms) -> ParcelNews | None:
    """The delivery, if the parcel was not taken back to the customer or to somebody else."""
    if parcel.checked_in is not None:
        return parcel.delivered
    return None if why_astray(parcel, terms) else parcel.delivered


def why_astray(parcel: ParcelStory, terms: Terms) -> RuleId | None:
    """Which rule would tell that the carrier took it elsewhere; None: it did not, or has brought it to us since."""
    return (
        None
        if parcel.checked_in is not None
        else next((rule for rule, _ in went_astray(parcel, terms)), None)
    )


def went_astray(parcel: ParcelStory, terms: Terms) -> Iterator[tuple[RuleId, datetime]]:
    """Where else the carrier took it, and has not brought it to us since: which rule would tell, and since when."""
    turned_back = parcel.news(Milestone.RETURNED_TO_SENDER)
    if turned_back and not sent_to_us_again(parcel, terms):
        yield RuleId.RETURNED_TO_CUSTOMER, turned_back[0].at
    for wrong in delivered_elsewhere_suspected(parcel, terms):
        if not any(why is Reason.DELIVERED for _, why in wrong.ends):
            yield RuleId.DELIVERED_ELSEWHERE_SUSPECTED, wrong.since_at


def is_refused(story: ReturnStory) -> bool:
    """Whether the last decision about the refund, or one of several at that time, was against it."""
    decisions = story.news(Milestone.REFUND_APPROVED, Milestone.REFUND_REFUSED)
    last = decisions[-1].at if decisions else None
    return any(one.milestone is Milestone.REFUND_REFUSED for one in decisions if one.at == last)


def is_cancelled(story: ReturnStory) -> bool:
    """Whether nobody has approved the refund since it was cancelled."""
    cancelled, approved = story.news(Milestone.RETURN_CANCELLED), story.news(Milestone.REFUND_APPROVED)
    if not cancelled or is_refused(story) or not approved:
        return bool(cancelled)
    return approved[-1].at <= cancelled[-1].at
