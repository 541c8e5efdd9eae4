"""What is expected while the carrier has the parcel: the rules under "on the way" in the policy."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from schemas.vocabulary import Milestone, RuleId
from simulation.expectation import End, Expectation
from simulation.ledger import ParcelNews
from simulation.parcel_story import ParcelStory, Run, name_of, runs, stopped
from simulation.terms import Terms


def _due(rule: RuleId, story: ParcelStory, terms: Terms, start: ParcelNews) -> datetime:
    """Deadline of a clock that stands still while customs or a pickup point keep the parcel."""
    due, closed = terms.due(rule, start, story.route), terms.closed(story.route)
    return stopped(due, start.at, story, terms.hold_caps, closed)


# ---- nothing happens --------------------------------------------------------------------------------------


def stalled_silent(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """Each physical scan waits for another one, until the journey ends; not while the carrier calls it lost."""
    rule, over = RuleId.STALLED_SILENT, [*story.arrived, *story.checked_in_or_voided]
    for position, scan in enumerate(story.scans):
        if any(scan.at >= at for at, _ in over):
            return
        if story.given_up_at(scan.at):
            continue
        ends = [*story.arrived, *story.over_since(scan.at)]
        later = [(n.at, name_of(n)) for n in story.scans[position + 1 :][:1]]
        due = _due(rule, story, terms, scan)
        yield Expectation(rule, story.parcel, scan.identity, scan.at, due, (*later, *ends))


def stalled_no_progress(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """Each step forward (a new place or stage) waits for the next one.

    It is silence, and told by that rule, when the last scan before the deadline has been left alone for as long as
    silence may last. Such a parcel is due again when it is scanned after all and has not moved.
    """
    rule, over = RuleId.STALLED_NO_PROGRESS, [*story.arrived, *story.checked_in_or_voided]
    steps = _steps_forward(story)
    for position, step in enumerate(steps):
        if any(step.at >= at for at, _ in over):
            return
        if story.given_up_at(step.at):
            continue
        ends = [*story.arrived, *story.over_since(step.at)]
        following = steps[position + 1] if position + 1 < len(steps) else None
        later: list[End] = [] if following is None else [(following.at, name_of(following))]
        stretch = [
            scan for scan in story.scans[story.scans.index(step) :] if scan not in steps[position + 1 :]
        ]
        if following is not None:
            stretch = [scan for scan in stretch if scan.at <= following.at]
        due, scanned = _stuck_at(story, terms, stretch)
        if scanned:
            yield Expectation(rule, story.parcel, step.identity, step.at, due, (*later, *ends))


def _stuck_at(story: ParcelStory, terms: Terms, stretch: list[ParcelNews]) -> tuple[datetime, bool]:
    """Deadline of a stretch of scans that all show the same, and whether somebody still scans the parcel at it.

    `stretch` begins with the step forward.
    """
    due = _due(RuleId.STALLED_NO_PROGRESS, story, terms, stretch[0])
    while True:
        before = [scan for scan in stretch if scan.at <= due]
        silent_from = _due(RuleId.STALLED_SILENT, story, terms, before[-1])
        after = [scan for scan in stretch if scan.at > due]
        if silent_from > due or not after:
            return due, len(before) > 1 and silent_from > due
        due = max(after[0].at, after[0].appended_at + terms.settle)


_STAGES: Final = frozenset(
    {
        Milestone.DROPPED_OFF,
        Milestone.ACCEPTED,
        Milestone.IN_TRANSIT,
        Milestone.CUSTOMS_HOLD,
        Milestone.OUT_FOR_DELIVERY,
        Milestone.AVAILABLE_FOR_PICKUP,
        Milestone.DELIVERY_ATTEMPTED,
        Milestone.DELIVERED,
    }
)
"""Stages of a journey; a delay or a damage is none, nothing comes nearer by it."""


def _steps_forward(story: ParcelStory) -> list[ParcelNews]:
    """The scans that show a place or a stage not seen before, or that a lost parcel is there."""
    steps: list[ParcelNews] = []
    places: set[tuple[str, ...]] = {()}
    stages: set[Milestone] = set()
    for scan in story.scans:
        new_stage = scan.milestone in _STAGES and scan.milestone not in stages
        if scan.place not in places or new_stage or story.is_found_by(scan):
            steps.append(scan)
        places.add(scan.place)
        stages.add(scan.milestone)
    return steps


def transit_overdue(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """However often it is scanned: so long after the first scan it should be there."""
    rule = RuleId.TRANSIT_OVERDUE
    for scan in story.scans[:1]:
        due = _due(rule, story, terms, scan)
        yield Expectation(rule, story.parcel, "", scan.at, due, (*story.arrived, *story.over))


# ---- it goes wrong, and should be put right ---------------------------------------------------------------


def misrouted(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """Sent the wrong way, it waits for a scan that says anything but that it is in trouble."""
    troubles = {Milestone.MISROUTED, Milestone.DELAYED, Milestone.DELIVERY_EXCEPTION, Milestone.DAMAGED}
    enders = [scan for scan in story.scans if scan.milestone not in troubles]
    yield from _troubles(
        RuleId.MISROUTED, story, terms, runs(story.news(Milestone.MISROUTED), enders, story.found_after)
    )


_BEING_DELIVERED: Final = {
    Milestone.OUT_FOR_DELIVERY,
    Milestone.DELIVERED,
    Milestone.DELIVERED_ELSEWHERE,
    Milestone.AVAILABLE_FOR_PICKUP,
}


def delivery_failed(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """A delivery that failed waits for another attempt."""
    enders = [scan for scan in story.scans if scan.milestone in _BEING_DELIVERED]
    yield from _troubles(
        RuleId.DELIVERY_FAILED,
        story,
        terms,
        runs(story.news(Milestone.DELIVERY_ATTEMPTED), enders, story.found_after),
    )


def pickup_point_expiring(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """What lies at a pickup point waits to be fetched, or for anything else to happen to it."""
    lies_there = Milestone.AVAILABLE_FOR_PICKUP
    enders = [scan for scan in story.scans if scan.milestone is not lies_there]
    yield from _troubles(
        RuleId.PICKUP_POINT_EXPIRING, story, terms, runs(story.news(lies_there), enders, story.found_after)
    )


def _troubles(rule: RuleId, story: ParcelStory, terms: Terms, found: list[Run]) -> Iterator[Expectation]:
    for run in found:
        yield _trouble(rule, story, terms, run.first, run.ends)


def _trouble(
    rule: RuleId, story: ParcelStory, terms: Terms, first: ParcelNews, ends: list[End]
) -> Expectation:
    due = terms.due(rule, first, story.route)
    return Expectation(
        rule, story.parcel, first.identity, first.at, due, (*ends, *story.over_since(first.at))
    )


# ---- the carrier says that it will not come ---------------------------------------------------------------


def returned_to_customer(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """A case at once; it ends when the parcel is delivered to the warehouse after all."""
    for news in story.news(Milestone.RETURNED_TO_SENDER)[:1]:
        yield _report(RuleId.RETURNED_TO_CUSTOMER, story, terms, news, sent_to_us_again(story, terms)[:1])


def sent_to_us_again(story: ParcelStory, terms: Terms) -> list[ParcelNews]:
    """Deliveries after the last turn-back for which the carrier names the warehouse; others are the customer's."""
    turned_back = story.news(Milestone.RETURNED_TO_SENDER)
    places = terms.places(story.route.facility)
    later = story.scans_after(turned_back[-1]) if turned_back else []
    return [
        scan for scan in later if scan.milestone is Milestone.DELIVERED and scan.spot.is_surely_one_of(places)
    ]


def carrier_reported_lost(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """A case at once; it ends when anybody of the carrier scans the parcel after all. Lost again is another case."""
    given_up = {Milestone.LOST, Milestone.DISPOSED, Milestone.RETURNED_TO_SENDER}
    found: ParcelNews | None = None
    for number, news in enumerate(story.news(Milestone.LOST, Milestone.DISPOSED)):
        if number and (found is None or news.at < found.at):
            continue
        seen = [scan for scan in story.scans_after(news) if scan.milestone not in given_up]
        found = seen[0] if seen else None
        yield _report(RuleId.CARRIER_REPORTED_LOST, story, terms, news, seen[:1])


def _report(
    rule: RuleId, story: ParcelStory, terms: Terms, news: ParcelNews, after_all: list[ParcelNews]
) -> Expectation:
    ends = (*((scan.at, name_of(scan)) for scan in after_all), *story.checked_in_or_voided)
    due = terms.due(rule, news, story.route)
    return Expectation(rule, story.parcel, news.identity, news.at, due, ends)


def carrier_reported_damaged(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """A case at once; it ends with the journey, in whatever state the parcel is."""
    rule = RuleId.CARRIER_REPORTED_DAMAGED
    for news in story.news(Milestone.DAMAGED)[:1]:
        due = terms.due(rule, news, story.route)
        yield Expectation(rule, story.parcel, news.identity, news.at, due, tuple(story.over))
