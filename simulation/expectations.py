"""What the four rules wait for, read from what is known about a parcel: plainly, and apart from `streams/rules`."""

from collections.abc import Hashable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

from schemas.vocabulary import Milestone, Reason, RuleId
from simulation.ledger import ParcelNews
from simulation.parcel_story import End, ParcelStory
from simulation.terms import Terms


class Expectation(NamedTuple):
    """Something that is waited for. `ends`: whatever would end the waiting, in any order; none while nothing has."""

    rule: RuleId
    anchor: Hashable
    since_at: datetime
    due_at: datetime
    ends: tuple[End, ...]
    holds: bool = True
    """False while something has not been seen without which this rule says nothing."""
    linked: bool = True
    """False when the label is void."""

    @property
    def satisfied(self) -> End | None:
        """The first thing that ended the waiting."""
        return min(self.ends, key=lambda end: end[0], default=None)

    @property
    def breached(self) -> bool:
        """Whether the deadline passes, or has passed, before what was waited for happened."""
        end = self.satisfied
        return self.holds and (end is None or end[0] > self.due_at)


def what_is_expected(
    story: ParcelStory, terms: Terms, received_at: datetime | None, cancelled_at: datetime | None
) -> list[Expectation]:
    """Every expectation of all rules; `received_at`: checked in by the number of the return; none without a label."""
    if story.label is None:
        return []
    closing: list[End] = []
    if story.checked_in_at is not None:
        closing.append((story.checked_in_at, Reason.CHECKED_IN))
    if received_at is not None:
        closing.append((received_at, Reason.CHECKED_IN_BY_RETURN))
    if story.voided_at is not None:
        closing.append((story.voided_at, Reason.LABEL_VOIDED))
    cancelled: list[End] = [] if cancelled_at is None else [(cancelled_at, Reason.RETURN_CANCELLED)]
    found = [
        *_first_scan(story, terms, [*closing, *cancelled]),
        *_silence(story, terms, closing),
        *_no_progress(story, terms, closing),
        *_check_in(story, terms, closing),
    ]
    linked = story.voided_at is None
    return [expectation._replace(linked=linked) for expectation in found if terms.applies(expectation.rule)]


def _due(story: ParcelStory, terms: Terms, rule: RuleId, start: ParcelNews) -> datetime:
    used_up = terms.used_up(rule, start.at, story.route)
    return max(used_up + terms.allowance(rule, story.route.carrier), start.appended_at + terms.settle)


def _first_scan(story: ParcelStory, terms: Terms, closing: list[End]) -> Iterator[Expectation]:
    """A label waits for the first physical scan; a carrier that gave up explains why there is none."""
    assert story.label is not None
    rule, label = RuleId.MISSING_FIRST_SCAN, story.label
    scans: list[End] = [(scan.at, Reason.FIRST_SCAN) for scan in story.scans[:1]]
    given_up = [] if story.given_up is None else [story.given_up]
    yield Expectation(
        rule,
        story.return_id,
        label.at,
        _due(story, terms, rule, label),
        (*scans, *given_up, *closing),
    )


def _journey_ends(story: ParcelStory, closing: list[End]) -> list[End]:
    ends = list(closing)
    if story.delivered is not None:
        ends.append((story.delivered.at, Reason.DELIVERED))
    if story.given_up is not None:
        ends.append(story.given_up)
    return ends


def _silence(story: ParcelStory, terms: Terms, closing: list[End]) -> Iterator[Expectation]:
    """Each physical scan waits for another one, until the journey ends."""
    rule, closing = RuleId.STALLED_SILENT, _journey_ends(story, closing)
    for position, scan in enumerate(story.scans):
        if any(scan.at >= at for at, _ in closing):
            return
        later = [(n.at, _name_of(n)) for n in story.scans[position + 1 :][:1]]
        ends = (*later, *closing)
        yield Expectation(rule, scan.identity, scan.at, _due(story, terms, rule, scan), ends)


def _name_of(scan: ParcelNews) -> Reason:
    return Reason.DELIVERED if scan.milestone is Milestone.DELIVERED else Reason.PROGRESS


def _no_progress(story: ParcelStory, terms: Terms, closing: list[End]) -> Iterator[Expectation]:
    """Each step forward (a new place or stage) waits for the next one.

    It is silence, and told by that rule, when the last scan before the deadline has been left alone for as long as
    silence may last. Such a parcel is due again when it is scanned after all and has not moved.
    """
    rule, closing = RuleId.STALLED_NO_PROGRESS, _journey_ends(story, closing)
    steps = _steps_forward(story.scans)
    for position, step in enumerate(steps):
        if any(step.at >= at for at, _ in closing):
            return
        following = steps[position + 1] if position + 1 < len(steps) else None
        later: list[End] = [] if following is None else [(following.at, _name_of(following))]
        ends = (*later, *closing)
        stretch = [
            scan for scan in story.scans[story.scans.index(step) :] if scan not in steps[position + 1 :]
        ]
        if following is not None:
            stretch = [scan for scan in stretch if scan.at <= following.at]
        due, holds = _stuck_at(story, terms, stretch)
        yield Expectation(rule, step.identity, step.at, due, ends, holds)


def _stuck_at(story: ParcelStory, terms: Terms, stretch: list[ParcelNews]) -> tuple[datetime, bool]:
    """Deadline of a stretch of scans that all show the same, and whether somebody still scans the parcel at it.

    `stretch` begins with the step forward.
    """
    due = _due(story, terms, RuleId.STALLED_NO_PROGRESS, stretch[0])
    while True:
        before = [scan for scan in stretch if scan.at <= due]
        silent_from = _due(story, terms, RuleId.STALLED_SILENT, before[-1])
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


def _steps_forward(scans: list[ParcelNews]) -> list[ParcelNews]:
    """The scans that show a place or a stage not seen before."""
    steps: list[ParcelNews] = []
    places: set[tuple[str, ...]] = {()}
    stages: set[Milestone] = set()
    for scan in scans:
        if scan.place not in places or (scan.milestone in _STAGES and scan.milestone not in stages):
            steps.append(scan)
        places.add(scan.place)
        stages.add(scan.milestone)
    return steps


def _check_in(story: ParcelStory, terms: Terms, closing: list[End]) -> Iterator[Expectation]:
    """A delivery waits for a check-in."""
    rule, delivered = RuleId.DELIVERED_NOT_CHECKED_IN, story.delivered
    if delivered is not None:
        due = _due(story, terms, rule, delivered)
        yield Expectation(rule, delivered.identity, delivered.at, due, tuple(closing))
