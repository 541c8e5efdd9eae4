"""Rules about parcels where more than one thing happens: troubles in a row, several scans of one time, holds, places."""

import pytest

from schemas.facts import ParcelFact, Source
from schemas.policy import Policy
from schemas.vocabulary import Evidence, Milestone, Reason, RuleId
from streams.rules import (
    misrouted,
    moving_after_delivery,
    pickup_failed,
    pickup_point_expiring,
    stalled_no_progress,
    stalled_silent,
    transit_overdue,
)
from streams.rules.stop_clocks import Hold, holds_before
from tests.stages import HOUR, MINUTE, MONDAY, label_fact, parcel_fact
from tests.waiting import (
    ParcelRule,
    Wait,
    anchor,
    expected,
    journey_of,
    plain,
    terms_of,
    waits,
)

LABEL = label_fact(0, "R1")


def at(
    hour: float, milestone: Milestone = Milestone.IN_TRANSIT, place: str = "", identity: int | None = None
) -> ParcelFact:
    return parcel_fact(milestone, int(hour * HOUR), place=place, identity=identity)


def checked_in(hour: float, evidence: Evidence = Evidence.WAREHOUSE_SCAN) -> ParcelFact:
    return parcel_fact(Milestone.CHECKED_IN, int(hour * HOUR), evidence=evidence)


def wait(
    start: ParcelFact,
    due_hour: float,
    reason: Reason = Reason.DUE,
    end: ParcelFact | None = None,
    name: str = "",
) -> Wait:
    begun = (name or anchor(start), start.identity, int(due_hour * HOUR))
    return Wait(*begun, reason, end.identity, end.occurred_ms - MONDAY) if end is not None else Wait(*begun)


# -- troubles in a row ------------------------------------------------------------------------------------------


def test_the_same_trouble_again_and_again_is_one_until_it_was_put_right() -> None:
    first, again, right, astray = (
        at(5, Milestone.MISROUTED),
        at(6, Milestone.MISROUTED),
        at(7),
        at(8, Milestone.MISROUTED),
    )
    assert waits(misrouted.expectations, LABEL, first, again, right, astray) == [
        wait(first, 16, Reason.PROGRESS, right),
        wait(astray, 19),
    ]


def test_trouble_told_with_the_very_time_at_which_the_last_was_put_right_is_new() -> None:
    first, right, astray = at(5, Milestone.MISROUTED), at(7), at(7, Milestone.MISROUTED)
    assert waits(misrouted.expectations, LABEL, first, right, astray) == [
        wait(first, 16, Reason.PROGRESS, right),
        wait(astray, 18),
    ]


@pytest.mark.parametrize("identity", [1, 2**48 - 1], ids=["told before it", "told after it"])
def test_of_scans_of_one_time_only_a_delivery_ends_trouble(identity: int) -> None:
    trouble, moved, later = at(5, Milestone.MISROUTED), at(5), at(6, Milestone.DELAYED)
    delivered = at(5, Milestone.DELIVERED, identity=identity)
    assert waits(misrouted.expectations, LABEL, trouble, moved, later) == [wait(trouble, 16)]
    found = waits(misrouted.expectations, LABEL, trouble, moved, later, delivered)
    assert found == [wait(trouble, 16, Reason.DELIVERED, delivered)]


@pytest.mark.parametrize("identity", [1, 2**48 - 1], ids=["told before it", "told after it"])
def test_any_scan_of_the_same_time_proves_that_the_pickup_did_not_fail(identity: int) -> None:
    failed, scanned, again = (
        at(5, Milestone.PICKUP_FAILED),
        at(5, identity=identity),
        at(6, Milestone.PICKUP_FAILED),
    )
    assert waits(pickup_failed.expectations, LABEL, failed, scanned, again) == [
        wait(failed, 16, Reason.FIRST_SCAN, scanned),
        wait(again, 17),
    ]


def test_a_pickup_that_failed_after_the_first_scan_is_ended_by_progress() -> None:
    scanned, failed, next_scan = at(1), at(5, Milestone.PICKUP_FAILED), at(20)
    assert waits(pickup_failed.expectations, LABEL, scanned, failed, next_scan) == [
        wait(failed, 16, Reason.PROGRESS, next_scan)
    ]


def test_what_happened_before_a_trouble_does_not_end_it_and_the_earliest_end_counts() -> None:
    before, stay, first, second = at(4), at(5, Milestone.AVAILABLE_FOR_PICKUP), at(30), at(31)
    dock = checked_in(29)
    assert waits(pickup_point_expiring.expectations, LABEL, before, stay, first, second) == [
        wait(stay, 16, Reason.PROGRESS, first)
    ]
    assert waits(pickup_point_expiring.expectations, LABEL, before, stay, first, second, dock) == [
        wait(stay, 16, Reason.CHECKED_IN, dock)
    ]


def test_a_clock_that_stands_at_1970_begins_a_row_and_a_hold_like_any_other() -> None:
    read = Source("carrier-scans", 0, 1)
    stay = parcel_fact(Milestone.AVAILABLE_FOR_PICKUP, -MONDAY, source=read)
    journey, terms = (
        journey_of(stay, parcel_fact(Milestone.IN_TRANSIT, HOUR - MONDAY, source=read)),
        terms_of(journey_of(LABEL)),
    )
    (found,) = pickup_point_expiring.expectations(journey, terms)
    assert (found.start.at_ms, found.end.at_ms if found.end else 0) == (0, HOUR)
    assert list(holds_before(journey, terms, 0, MINUTE)) == [Hold(Milestone.AVAILABLE_FOR_PICKUP, 0, HOUR)]


# -- delivered, and scanned again -------------------------------------------------------------------------------


def test_what_moves_after_a_delivery_is_named_by_its_first_scan_since_the_last_delivery() -> None:
    delivered, moved, more = at(5, Milestone.DELIVERED), at(6), at(7, Milestone.OUT_FOR_DELIVERY)
    again, astray = at(20, Milestone.DELIVERED), at(21, Milestone.MISROUTED)
    assert waits(moving_after_delivery.expectations, LABEL, delivered, moved, more, again, astray) == [
        wait(moved, 17, Reason.DELIVERED, again),
        wait(astray, 32),
    ]


@pytest.mark.parametrize(
    "scan",
    [at(5), at(4), at(6, Milestone.DELAYED), at(6, Milestone.DAMAGED), at(6, Milestone.DELIVERED)],
    ids=["at the time of the delivery", "before it", "delayed", "damaged", "delivered again"],
)
def test_what_is_no_movement_after_a_delivery(scan: ParcelFact) -> None:
    delivered = at(5, Milestone.DELIVERED)
    assert waits(moving_after_delivery.expectations, LABEL, delivered, scan) == []


def test_what_is_scanned_at_the_time_of_the_delivery_does_not_count_later_either() -> None:
    delivered, same, told = at(5, Milestone.DELIVERED), at(5), at(6, Milestone.DELAYED)
    assert waits(moving_after_delivery.expectations, LABEL, at(3), at(4), delivered, same, told) == []
    assert waits(moving_after_delivery.expectations, LABEL, delivered) == []
    moved = at(7)
    found = waits(moving_after_delivery.expectations, LABEL, at(3), delivered, same, told, moved)
    assert found == [wait(moved, 18)]


def test_what_is_scanned_from_the_dock_check_in_on_is_another_parcel() -> None:
    delivered, dock = at(5, Milestone.DELIVERED), checked_in(10)
    assert waits(moving_after_delivery.expectations, LABEL, delivered, dock, at(10), at(11)) == []
    just_before = parcel_fact(Milestone.IN_TRANSIT, 10 * HOUR - 1)
    (found,) = waits(moving_after_delivery.expectations, LABEL, delivered, dock, just_before)
    assert (found.start, found.reason, found.end) == (just_before.identity, Reason.CHECKED_IN, dock.identity)


# -- silent, stuck, or both -------------------------------------------------------------------------------------


def test_each_gap_between_scans_that_is_too_long_is_a_silence_of_its_own() -> None:
    scans = [at(hour) for hour in (5, 15, 30, 60)]
    assert waits(stalled_silent.expectations, LABEL, *scans) == [
        wait(scans[1], 26, Reason.PROGRESS, scans[2]),
        wait(scans[2], 41, Reason.PROGRESS, scans[3]),
        wait(scans[3], 71),
    ]


@pytest.mark.parametrize("rule", [stalled_silent.expectations, stalled_no_progress.expectations])
@pytest.mark.parametrize(("hour", "reason"), [(20, Reason.PROGRESS), (21, Reason.CHECKED_IN)])
def test_nobody_waits_for_scans_from_the_check_in_on(rule: ParcelRule, hour: int, reason: Reason) -> None:
    first, dock = at(5), checked_in(20)
    found = waits(rule, LABEL, first, dock, at(hour, Milestone.OUT_FOR_DELIVERY))
    assert [(one.start, one.reason, one.ended_ms) for one in found] == [(first.identity, reason, 20 * HOUR)]


def test_of_a_parcel_that_came_to_the_dock_in_time_nothing_is_said() -> None:
    first, dock = at(5), checked_in(16)
    for rule in (stalled_no_progress.expectations, transit_overdue.expectations):
        assert waits(rule, LABEL, first, dock) == []


def test_on_the_way_for_too_long_is_counted_from_the_first_scan_and_belongs_to_the_journey() -> None:
    scans, delivered = [at(5), at(6)], at(30, Milestone.DELIVERED)
    found = waits(transit_overdue.expectations, LABEL, *scans, delivered)
    assert found == [wait(scans[0], 16, Reason.DELIVERED, delivered, anchor(LABEL))]


SLOW_TO_SILENCE = plain({RuleId.STALLED_SILENT: {"budget": "19h"}})
"""Silent after 20 hours, stuck after 11."""
QUICK_TO_SILENCE = plain({RuleId.STALLED_SILENT: {"budget": "4h"}})
"""Silent after 5 hours, stuck after 11."""
LYON = "FR/lyon"


def in_lyon(hour: float, identity: int, told_hour: float = 0) -> ParcelFact:
    told_ms = int(max(hour, told_hour) * HOUR)
    at_ms = int(hour * HOUR)
    return parcel_fact(Milestone.IN_TRANSIT, at_ms, identity=identity, place=LYON, arrived_ms=told_ms)


def stuck(*hours: float, policy: Policy = SLOW_TO_SILENCE, told_hour: float = 0) -> list[tuple[float, bool]]:
    """Deadlines of a parcel that is scanned in Lyon again and again, in hours, and whether a case is due then.

    `told_hour`: when the last scan was told, if later.
    """
    scans = [in_lyon(hour, 7 + number) for number, hour in enumerate(hours[:-1])]
    scans.append(in_lyon(hours[-1], 99, told_hour))
    found = expected(stalled_no_progress.expectations, LABEL, *scans, policy=policy)
    return [((one.due_ms - MONDAY) / HOUR, one.holds) for one in found]


@pytest.mark.parametrize(
    ("hours", "due_hour", "holds"),
    [
        pytest.param([5], 16, False, id="never scanned again: that is silence"),
        pytest.param([5, 5], 16, False, id="two scans of one time are one"),
        pytest.param([5, 6], 16, True, id="scanned again, and not silent at the deadline"),
        pytest.param([5, 5 + 1 / 3600], 16, True, id="a second later is again"),
        pytest.param([5, 16], 16, True, id="the last scan at the deadline"),
        pytest.param([5, 6, 17], 16, True, id="whatever comes later"),
    ],
)
def test_a_parcel_that_is_scanned_but_gets_nowhere_is_stuck(
    hours: list[float], due_hour: float, holds: bool
) -> None:
    assert stuck(*hours) == [(due_hour, holds)]


@pytest.mark.parametrize(
    ("hours", "due_hour", "holds"),
    [
        pytest.param([5, 11], 16, False, id="silent from the very deadline on"),
        pytest.param([5, 11 + 1 / 3600], 16, True, id="silent a second later"),
        pytest.param([5, 8], 16, False, id="silent before"),
        pytest.param(
            [5, 11, 20], 20.5, True, id="silent at the deadline, then scanned: due when that scan has settled"
        ),
        pytest.param(
            [5, 8, 16, 17],
            16,
            True,
            id="a scan at the deadline comes too late to be the one before it, and in time to be heard",
        ),
        pytest.param([5, 8, 20, 20.2], 20.5, True, id="however often until then"),
        pytest.param(
            [5, 8, 20, 24, 40], 20.5, True, id="not silent at the new deadline, whatever comes later"
        ),
    ],
)
def test_a_parcel_that_nobody_scans_is_silent_and_stuck_only_when_scanned_again(
    hours: list[float], due_hour: float, holds: bool
) -> None:
    assert stuck(*hours, policy=QUICK_TO_SILENCE) == [(due_hour, holds)]


def test_a_scan_at_the_deadline_itself_does_not_move_it_however_late_it_was_told() -> None:
    assert stuck(5, 11, 16, policy=QUICK_TO_SILENCE, told_hour=40) == [(16, True)]


@pytest.mark.parametrize("milestone", [Milestone.DELIVERED, Milestone.DELIVERED_ELSEWHERE])
def test_a_stuck_parcel_that_is_delivered_is_waited_for_no_more(milestone: Milestone) -> None:
    lyon, again, delivered = at(5, place=LYON), at(17, place=LYON), at(30, milestone, place=LYON)
    found = waits(stalled_no_progress.expectations, LABEL, lyon, again, delivered, policy=SLOW_TO_SILENCE)
    assert found == [wait(lyon, 16, Reason(milestone.name.lower()), delivered)]


def test_a_scan_that_was_told_late_has_to_settle_before_the_parcel_is_stuck_by_it() -> None:
    assert stuck(5, 11, 20, policy=QUICK_TO_SILENCE, told_hour=24) == [(24.5, True)]


def test_each_new_place_or_stage_is_a_step_forward_and_the_next_one_is_waited_for() -> None:
    lyon, paris = at(5, place=LYON), at(30, place="FR/paris")
    again = [at(10, place=LYON), at(31, place=LYON), at(40, place="FR/paris")]
    delayed, nowhere = at(12, Milestone.DELAYED, place=LYON), at(13)
    slow = SLOW_TO_SILENCE
    found = waits(stalled_no_progress.expectations, LABEL, lyon, delayed, nowhere, paris, *again, policy=slow)
    assert found == [wait(lyon, 16, Reason.PROGRESS, paris), wait(paris, 41)]


def test_every_step_waits_for_the_next_one_by_the_scans_between_the_two() -> None:
    lyon, paris, again = at(5, place=LYON), at(10, place="FR/paris"), at(12, place="FR/paris")
    nice, rule = at(40, place="FR/nice"), stalled_no_progress.expectations
    found = waits(rule, LABEL, lyon, paris, again, nice, at(45, place=LYON), policy=SLOW_TO_SILENCE)
    assert found == [wait(paris, 21, Reason.PROGRESS, nice), wait(nice, 51)]
    late = expected(rule, LABEL, lyon, at(20, place="FR/paris"), policy=QUICK_TO_SILENCE)
    assert [((one.due_ms - MONDAY) / HOUR, one.holds) for one in late] == [(16, False), (31, False)]


@pytest.mark.parametrize("milestone", [Milestone.DELIVERED, Milestone.DELIVERED_ELSEWHERE])
def test_after_a_delivery_nobody_waits_for_a_scan(milestone: Milestone) -> None:
    assert waits(stalled_silent.expectations, LABEL, at(5), at(6, milestone), at(7)) == []


# -- stop-clocks ------------------------------------------------------------------------------------------------


def overdue(*facts: ParcelFact) -> float:
    """Hour at which the way has taken too long: without holds 16."""
    (found,) = waits(transit_overdue.expectations, LABEL, at(5), *facts, policy=CAPPED)
    return found.due_ms / HOUR


CAPPED = plain(stop_clocks={"customs": "6h", "pickup_point": "8h"})
HOLD, STAY = Milestone.CUSTOMS_HOLD, Milestone.AVAILABLE_FOR_PICKUP


@pytest.mark.parametrize(
    ("facts", "due_hour"),
    [
        pytest.param([at(6, HOLD), at(8)], 18, id="as long as it was held"),
        pytest.param([at(5.5, Milestone.MISROUTED), at(6, HOLD), at(8)], 18, id="whatever else went wrong"),
        pytest.param([at(6, HOLD)], 22, id="for ever, but customs get 6 hours"),
        pytest.param([at(6, STAY)], 24, id="a pickup point gets 8"),
        pytest.param([at(6, HOLD), at(10), at(11, HOLD), at(15)], 22, id="customs get them together"),
        pytest.param([at(6, HOLD), at(10), at(11, STAY), at(13)], 22, id="each kind has its own"),
        pytest.param([at(5, HOLD), at(7)], 18, id="from the start on"),
        pytest.param([parcel_fact(HOLD, 16 * HOUR - 1), at(17)], 17 + 1 / HOUR, id="begun before the deadline"),
        pytest.param([at(16, HOLD), at(18)], 16, id="begun at the deadline"),
        pytest.param([at(6, HOLD), at(8), at(17, HOLD), at(18)], 19, id="begun before the deadline that another put off"),
        pytest.param([at(6, HOLD), at(6.5, HOLD), at(7)], 17, id="two facts of one hold"),
    ],
)  # fmt: skip
def test_clocks_stand_still_while_a_parcel_is_held(facts: list[ParcelFact], due_hour: float) -> None:
    assert overdue(*facts) == due_hour


def test_a_parcel_that_is_held_is_not_silent() -> None:
    held = at(6, HOLD)
    assert waits(stalled_silent.expectations, LABEL, held, policy=CAPPED) == [wait(held, 23)]


def test_a_hold_of_which_only_a_system_knows_stops_no_clock() -> None:
    assert overdue(parcel_fact(HOLD, 6 * HOUR, evidence=Evidence.SYSTEM)) == 16
    assert overdue(parcel_fact(HOLD, 6 * HOUR, evidence=Evidence.CARRIER_INFERRED)) == 22


def test_each_hold_tells_what_it_was_when_it_began_and_what_it_gave() -> None:
    journey = journey_of(LABEL, at(5), at(6, HOLD), at(8), at(9, STAY))
    assert list(holds_before(journey, terms_of(journey, CAPPED), MONDAY, MONDAY + 16 * HOUR)) == [
        Hold(HOLD, MONDAY + 6 * HOUR, 2 * HOUR),
        Hold(STAY, MONDAY + 9 * HOUR, 8 * HOUR),
    ]
