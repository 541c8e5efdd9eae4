"""Rules about parcels that the carrier gave up, and found again or not."""

import pytest

from schemas.facts import ParcelFact
from schemas.vocabulary import Evidence, Milestone, Reason
from streams.rules import (
    carrier_reports,
    label_expired_unused,
    misrouted,
    missing_first_scan,
    moving_after_delivery,
    stalled_no_progress,
    stalled_silent,
    transit_overdue,
)
from tests.stages import HOUR, label_fact, parcel_fact
from tests.unit.test_rules_of_parcels import at, wait
from tests.unit.test_rules_of_places_and_labels import suspected
from tests.waiting import ParcelRule, journey_of, waits

LABEL = label_fact(0, "R1")
LOST, BACK = Milestone.LOST, Milestone.RETURNED_TO_SENDER
GIVEN_UP = (LOST, Milestone.DISPOSED, BACK)


def test_lost_again_is_another_case_from_the_very_time_at_which_it_was_found() -> None:
    lost, found, again, gone = at(5, LOST), at(8), at(8, LOST), at(9, Milestone.DISPOSED)
    rule = carrier_reports.carrier_reported_lost
    assert waits(rule, LABEL, at(4), lost, found, again, gone) == [
        suspected(lost, Reason.PROGRESS, found),
        suspected(again),
    ]
    assert journey_of(LABEL, lost, found, again).given_up
    assert journey_of(LABEL, lost, found, again).ended
    assert not journey_of(LABEL, lost, found).ended


def test_every_gap_before_and_after_the_loss_is_a_silence_of_its_own() -> None:
    first, lost, found = at(4), at(20, LOST), at(24)
    assert waits(stalled_silent.expectations, LABEL, first, lost, found) == [
        wait(first, 15, Reason.LOST, lost),
        wait(found, 35),
    ]
    again = at(50, LOST)
    assert waits(stalled_silent.expectations, LABEL, first, lost, found, again) == [
        wait(first, 15, Reason.LOST, lost),
        wait(found, 35, Reason.LOST, again),
    ]


STALLED = [stalled_silent.expectations, stalled_no_progress.expectations]


@pytest.mark.parametrize("rule", STALLED)
def test_however_long_it_was_lost_it_is_waited_for_from_when_it_was_found(rule: ParcelRule) -> None:
    first, lost, found, still = (
        at(4),
        at(20, LOST, place="FR/nice"),
        at(40, place="FR/lyon"),
        at(44, place="FR/lyon"),
    )
    told = waits(rule, LABEL, first, lost, found, still)
    assert wait(found, 51) in told or wait(still, 55) in told
    assert lost.identity not in {one.start for one in told}


@pytest.mark.parametrize("rule", STALLED)
def test_a_loss_of_which_the_carrier_tells_without_a_scan_ends_what_was_waited_for_before(
    rule: ParcelRule,
) -> None:
    first, again = at(4, place="FR/lyon"), at(6, place="FR/lyon")
    lost = parcel_fact(LOST, 20 * HOUR, evidence=Evidence.CARRIER_INFERRED)
    told = waits(rule, LABEL, first, again, lost, at(24, place="FR/lyon"))
    assert (told[0].reason, told[0].end) == (Reason.LOST, lost.identity)


def test_what_was_found_and_went_elsewhere_is_waited_for_no_more() -> None:
    first, lost, found = at(4, place="FR/lyon"), at(20, LOST), at(24, place="FR/nice")
    again, elsewhere = at(30, place="FR/nice"), at(40, Milestone.DELIVERED_ELSEWHERE, place="FR/nice")
    told = waits(stalled_no_progress.expectations, LABEL, first, lost, found, again, elsewhere)
    (last,) = [one for one in told if one.start == found.identity]
    assert (last.reason, last.end) == (Reason.DELIVERED_ELSEWHERE, elsewhere.identity)


@pytest.mark.parametrize("rule", STALLED)
@pytest.mark.parametrize("milestone", GIVEN_UP)
def test_of_what_is_given_up_nothing_is_waited_for(rule: ParcelRule, milestone: Milestone) -> None:
    assert waits(rule, LABEL, at(4), at(5, milestone), at(5.5, milestone)) == []
    assert waits(rule, LABEL, at(4), at(4, milestone)) == []


def test_what_was_turned_back_is_not_found_by_a_scan() -> None:
    scans = (at(4), at(5, BACK), at(6), at(7, LOST), at(8))
    for rule in (stalled_silent, stalled_no_progress, transit_overdue):
        assert waits(rule.expectations, LABEL, *scans) == []


def test_to_be_found_is_a_step_forward_in_the_same_place() -> None:
    first, lost, found = at(4, place="FR/lyon"), at(5, LOST), at(8, place="FR/lyon")
    still = [at(hour, place="FR/lyon") for hour in (12, 17)]
    assert waits(stalled_no_progress.expectations, LABEL, first, lost, found, *still) == [wait(found, 19)]


def test_the_whole_way_is_counted_from_the_first_scan_though_it_was_lost_on_it() -> None:
    first, lost, found = at(4), at(5, LOST), at(8)
    name = journey_of(LABEL, first).name
    assert waits(transit_overdue.expectations, LABEL, first, lost, found) == [wait(first, 15, name=name)]
    assert waits(transit_overdue.expectations, LABEL, first, lost) == []


@pytest.mark.parametrize("rule", [missing_first_scan, label_expired_unused])
def test_a_loss_explains_for_ever_why_there_was_no_first_scan(rule: object) -> None:
    expectations: ParcelRule = rule.expectations  # type: ignore[attr-defined]  # a module
    for hour in (5, 20):
        lost = parcel_fact(LOST, hour * HOUR, evidence=Evidence.CARRIER_INFERRED)
        (found,) = waits(expectations, LABEL, lost, at(30))
        assert (found.reason, found.end, found.due_ms) == (Reason.LOST, lost.identity, 11 * HOUR)


def test_trouble_that_is_told_after_it_was_found_is_new() -> None:
    astray, lost, found = at(5, Milestone.MISROUTED), at(20, LOST), at(22, Milestone.MISROUTED)
    again = at(23, Milestone.MISROUTED)
    assert waits(misrouted.expectations, LABEL, astray, lost, found, again) == [
        wait(astray, 16, Reason.LOST, lost),
        wait(found, 33),
    ]
    delivered, moving, moves = at(3, Milestone.DELIVERED), at(4), at(22)
    assert waits(moving_after_delivery.expectations, LABEL, delivered, moving, lost, moves) == [
        wait(moving, 15, Reason.LOST, lost),
        wait(moves, 33),
    ]


def test_what_is_damaged_is_damaged_again_when_it_is_found() -> None:
    damaged, lost = at(5, Milestone.DAMAGED), at(6, LOST)
    rule = carrier_reports.carrier_reported_damaged
    assert waits(rule, LABEL, damaged, lost) == [suspected(damaged, Reason.LOST, lost)]
    assert waits(rule, LABEL, damaged, lost, at(9)) == [suspected(damaged)]


def test_only_who_has_it_in_hand_can_find_it() -> None:
    lost: ParcelFact = at(5, LOST)
    announced = parcel_fact(Milestone.IN_TRANSIT, 9 * HOUR, evidence=Evidence.ANNOUNCED)
    assert waits(carrier_reports.carrier_reported_lost, LABEL, lost, announced) == [suspected(lost)]
    assert waits(stalled_silent.expectations, LABEL, at(4), lost, announced) == []
