"""What journeys need to know of a return and its parcels: claims that hold, parcels that went astray, a cancellation."""

from collections.abc import Iterable

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
    if parcel.checked_in is not None:
        return None
    if parcel.news(Milestone.RETURNED_TO_SENDER) and not sent_to_us_again(parcel, terms):
        return RuleId.RETURNED_TO_CUSTOMER
    suspected = delivered_elsewhere_suspected(parcel, terms)
    if any(not any(why is Reason.DELIVERED for _, why in one.ends) for one in suspected):
        return RuleId.DELIVERED_ELSEWHERE_SUSPECTED
    return None


def is_cancelled(story: ReturnStory) -> bool:
    """Whether nobody has approved the refund since it was cancelled."""
    decisions = story.news(Milestone.REFUND_APPROVED, Milestone.REFUND_REFUSED)
    last = max((news.at for news in decisions), default=None)
    approved = last is not None and all(
        news.milestone is Milestone.REFUND_APPROVED for news in decisions if news.at == last
    )
    cancelled = story.news(Milestone.RETURN_CANCELLED)
    return bool(cancelled) and not (approved and last is not None and cancelled[-1].at < last)
