"""What is expected when the parcel has arrived, or seems to have: the rules under "at the dock" in the policy."""

from collections.abc import Iterator, Sequence
from typing import Final

from schemas.facilities import FacilityPlace
from schemas.vocabulary import Milestone, Reason, RuleId
from simulation.expectation import Expectation
from simulation.ledger import NOWHERE, ParcelNews, Spot
from simulation.parcel_story import ParcelStory, runs
from simulation.terms import Terms


def delivered_elsewhere_suspected(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """Deliveries to somebody else, or to no place of the facility: a case until it is delivered rightly, and anew after that.

    What is delivered here and there at the same time is there.
    """
    rule, places = RuleId.DELIVERED_ELSEWHERE_SUSPECTED, terms.places(story.route.facility)
    astray = [scan for scan in story.scans if _is_elsewhere(scan, places)]
    there_at = {scan.at for scan in astray}
    rightly = [s for s in story.scans if s.milestone is Milestone.DELIVERED and s.at not in there_at]
    for run in runs(astray, rightly, lambda _: None):  # that it was called lost meanwhile is another matter
        due = terms.due(rule, run.first, story.route)
        ends = (*run.ends, *story.checked_in_or_voided)
        yield Expectation(rule, story.parcel, run.first.identity, run.first.at, due, ends)


def _is_elsewhere(scan: ParcelNews, places: Sequence[FacilityPlace]) -> bool:
    if scan.milestone is Milestone.DELIVERED_ELSEWHERE:
        return True
    if scan.milestone is not Milestone.DELIVERED or not places or not scan.place:
        return False
    return not any(_is_at(scan.spot, place) for place in places)


def _is_at(spot: Spot, place: FacilityPlace) -> bool:
    """No other country is told, and the most precise that is told besides is what the policy writes there."""
    wanted = Spot.of(place.country, place.city, place.postal_code, place.site)
    told = next((part for part in ("site", "city", "postal_code") if getattr(spot, part)), None)
    if spot.country not in {"", wanted.country}:
        return False
    return told is None or getattr(spot, told) == getattr(wanted, told)


_MOVING: Final = {
    Milestone.DROPPED_OFF,
    Milestone.ACCEPTED,
    Milestone.IN_TRANSIT,
    Milestone.CUSTOMS_HOLD,
    Milestone.OUT_FOR_DELIVERY,
    Milestone.AVAILABLE_FOR_PICKUP,
    Milestone.DELIVERY_ATTEMPTED,
    Milestone.MISROUTED,
}


def moving_after_delivery(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """A delivered parcel that is scanned on its way again should be delivered again, or come to the dock."""
    rule, delivered = RuleId.MOVING_AFTER_DELIVERY, story.delivered
    if delivered is None:
        return
    after = story.scans_after(delivered)
    moving = [scan for scan in after if scan.milestone in _MOVING]
    if story.checked_in is not None:
        moving = [scan for scan in moving if scan.at < story.checked_in.at]
    for run in runs(moving, [s for s in after if s.milestone is Milestone.DELIVERED], story.found_after):
        due = terms.due(rule, run.first, story.route)
        ends = (*run.ends, *story.over_since(run.first.at))
        yield Expectation(rule, story.parcel, run.first.identity, run.first.at, due, ends)


def delivered_not_checked_in(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """A delivery waits for a check-in."""
    rule, delivered = RuleId.DELIVERED_NOT_CHECKED_IN, story.delivered
    if delivered is not None:
        due = terms.due(rule, delivered, story.route)
        ends = tuple(story.checked_in_or_voided)
        yield Expectation(rule, story.parcel, delivered.identity, delivered.at, due, ends)


def checked_in_not_delivered(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """What the dock has, the carrier should have delivered: before or after the dock saw it."""
    rule, checked_in = RuleId.CHECKED_IN_NOT_DELIVERED, story.checked_in
    if checked_in is not None:
        due = terms.due(rule, checked_in, story.route)
        delivered = [] if story.delivered is None else [(story.delivered.at, Reason.DELIVERED)]
        voided = [end for end in story.checked_in_or_voided if end[1] is Reason.LABEL_VOIDED]
        ends = (*delivered, *voided)
        yield Expectation(rule, story.parcel, checked_in.identity, checked_in.at, due, ends)


def unexpected_parcel(parcel: str, told: Sequence[ParcelNews], terms: Terms) -> Iterator[Expectation]:
    """A dock scan of a parcel that no label names waits for the label; `told`: news that are still true, by time."""
    rule = RuleId.UNEXPECTED_PARCEL
    check_in = next((news for news in told if news.milestone is Milestone.CHECKED_IN), None)
    if check_in is None or check_in.returns or rule not in terms.applied:
        return
    labels = [news.at for news in told if news.milestone is Milestone.LABEL_CREATED]
    due = terms.due(rule, check_in, NOWHERE._replace(carrier=parcel.partition(":")[0]))
    ends = tuple((at, Reason.LABEL_CREATED) for at in labels[:1])
    yield Expectation(rule, parcel, check_in.identity, check_in.at, due, ends)
