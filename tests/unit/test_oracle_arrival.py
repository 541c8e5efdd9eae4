"""The oracle on parcels that arrive, or seem to. Hours count from a Monday, 06:00 UTC."""

import pytest

from schemas.vocabulary import RuleId
from tests.unit.oracle_tape import (
    DELIVERED,
    HUB,
    LIL1,
    NEIGHBOUR,
    PICKED_UP,
    TURNED_BACK,
    Tape,
    default_terms,
    hours,
)

ELSEWHERE, MOVING = RuleId.DELIVERED_ELSEWHERE_SUSPECTED, RuleId.MOVING_AFTER_DELIVERY
UNSEEN, STRANGE = RuleId.CHECKED_IN_NOT_DELIVERED, RuleId.UNEXPECTED_PARCEL


@pytest.fixture
def tape() -> Tape:
    """A parcel that was labelled at 0 and picked up at 10."""
    tape = Tape()
    tape.label(0)
    tape.scan(10, PICKED_UP)
    return tape


# ---- elsewhere -------------------------------------------------------------------------------------------------


def test_a_delivery_in_another_town_is_suspected_at_once(tape: Tape) -> None:
    tape.scan(50, DELIVERED, "Roubaix")
    assert tape.one(ELSEWHERE) == (50.52, "escalated", "due")


def test_accents_case_and_dashes_make_no_other_place(tape: Tape) -> None:
    tape.scan(50, DELIVERED, {"country": "fr", "city": "LILLE", "site": "lil1"})
    assert tape.of(ELSEWHERE) == []


def test_a_delivery_without_a_place_is_believed(tape: Tape) -> None:
    tape.scan(50, DELIVERED, {"city": ""})
    assert tape.of(ELSEWHERE) == []


def test_a_facility_whose_places_nobody_told_us_can_be_anywhere() -> None:
    tape = Tape()
    tape.label(0, facility="SDF1")
    tape.scan(50, DELIVERED, "Roubaix")
    assert tape.of(ELSEWHERE) == []


@pytest.mark.parametrize(
    ("place", "suspected"),
    [
        ({"country": "FR", "city": "Lille"}, False),
        ({"country": "FR"}, False),
        ({"site": "lil1"}, False),
        ({"site": "LYS1"}, True),
        ({"country": "DE", "site": "LIL1"}, True),
        ({"country": "FR", "city": "Lille", "site": "LYS1"}, True),
    ],
)
def test_the_most_precise_that_a_carrier_writes_is_compared(
    tape: Tape, place: dict[str, str], suspected: bool
) -> None:
    tape.scan(50, DELIVERED, place)
    assert bool(tape.of(ELSEWHERE)) is suspected


def test_a_neighbour_is_elsewhere_wherever_he_lives() -> None:
    tape = Tape("colissimo")
    tape.label(0, facility="SDF1")
    tape.scan(50, NEIGHBOUR)
    assert tape.one(ELSEWHERE) == (50.52, "escalated", "due")


def test_only_a_delivery_to_the_right_place_ends_the_suspicion(tape: Tape) -> None:
    tape.scan(50, DELIVERED, "Roubaix")
    tape.scan(60, DELIVERED, "Tourcoing")
    assert tape.one(ELSEWHERE) == (50.52, "escalated", "due")
    tape.scan(70, DELIVERED, LIL1)
    assert tape.one(ELSEWHERE) == (50.52, "resolved", "delivered")


def test_what_the_dock_has_was_not_delivered_elsewhere(tape: Tape) -> None:
    tape.scan(50, DELIVERED, "Roubaix")
    tape.check_in(49, posted=60)
    assert tape.one(ELSEWHERE) == (50.52, "retracted", "late_evidence")


# ---- moving on -------------------------------------------------------------------------------------------------


def test_a_delivered_parcel_that_moves_on_is_told_after_a_business_day(tape: Tape) -> None:
    tape.scan(50, DELIVERED, LIL1)
    tape.scan(60, HUB)  # Wednesday 18:00 UTC, after closing time
    tape.scan(70, HUB)
    assert tape.one(MOVING) == (97, "escalated", "due")


@pytest.mark.parametrize(
    ("again", "found"), [(80, []), (100, [("moving_after_delivery", 97, "resolved", "delivered")])]
)
def test_the_next_delivery_ends_it(
    tape: Tape, again: float, found: list[tuple[str, float, str, str]]
) -> None:
    tape.scan(50, DELIVERED, LIL1)
    tape.scan(60, HUB)
    tape.scan(again, DELIVERED, LIL1)
    assert tape.of(MOVING) == found


@pytest.mark.parametrize("checked_in", [55, 65])
def test_nothing_moves_on_from_the_dock(tape: Tape, checked_in: float) -> None:
    tape.scan(50, DELIVERED, LIL1)
    tape.check_in(checked_in)
    tape.scan(60, HUB)
    assert tape.of(MOVING) == []


def test_a_parcel_that_is_brought_back_moves_for_a_reason(tape: Tape) -> None:
    tape.scan(50, DELIVERED, LIL1)
    tape.scan(60, HUB)
    tape.scan(100, TURNED_BACK)
    assert tape.one(MOVING) == (97, "resolved", "turned_back")


# ---- at the dock, and not delivered ----------------------------------------------------------------------------


def test_what_the_dock_has_should_be_delivered_within_two_days(tape: Tape) -> None:
    tape.check_in(50)
    assert tape.one(UNSEEN) == (98, "escalated", "due")


@pytest.mark.parametrize("delivered", [49, 97])
def test_a_delivery_before_or_after_will_do(tape: Tape, delivered: float) -> None:
    tape.check_in(50)
    tape.scan(delivered, DELIVERED, LIL1)
    assert tape.of(UNSEEN) == []


def test_a_delivery_that_is_dated_too_late_resolves_it(tape: Tape) -> None:
    tape.check_in(50)
    tape.scan(120, DELIVERED, LIL1)
    assert tape.one(UNSEEN) == (98, "resolved", "delivered")


def test_a_delivery_that_is_told_too_late_takes_it_back(tape: Tape) -> None:
    tape.check_in(50)
    tape.scan(49, DELIVERED, LIL1, posted=120)
    assert tape.one(UNSEEN) == (98, "retracted", "late_evidence")


def test_a_check_in_by_number_says_nothing_of_the_carrier(tape: Tape) -> None:
    tape.check_in_by_return(40)
    assert tape.of(UNSEEN) == []
    tape.check_in(50)
    assert tape.one(UNSEEN) == (98, "escalated", "due")


# ---- nobody's parcel -------------------------------------------------------------------------------------------


def test_a_parcel_without_a_label_is_told_after_a_day_as_nobodys() -> None:
    tape = Tape()
    tape.check_in(50)
    tape.check_in(60)
    (case,) = tape.cases(terms=default_terms(STRANGE))
    assert (case.return_id, case.parcel, hours(case.due_at)) == ("", "fedex:1", 74)


@pytest.mark.parametrize(
    ("labelled", "posted", "state", "why"),
    [
        (40, 100, "retracted", "late_evidence"),
        (70, 100, "retracted", "late_evidence"),
        (90, 100, "resolved", "label_created"),
    ],
)
def test_a_label_after_all_says_whose_it_is(labelled: float, posted: float, state: str, why: str) -> None:
    tape = Tape()
    tape.check_in(50)
    tape.label(labelled, posted=posted)
    assert tape.one(STRANGE) == (74, state, why)


def test_a_parcel_with_a_label_is_expected(tape: Tape) -> None:
    tape.check_in(50)
    assert tape.of(STRANGE) == []


def test_a_dock_that_knows_the_return_knows_the_parcel() -> None:
    tape = Tape()
    tape.check_in_by_return(50, carrier="fedex", tracking_number="1")
    assert tape.of(STRANGE) == []


def test_a_dock_scan_that_is_taken_back_brought_nothing() -> None:
    tape = Tape()
    scanned = tape.write("warehouse", 50, None, type="checked_in", carrier="fedex", tracking_number="1")
    body = {"type": "checkin_retracted", "carrier": "fedex", "tracking_number": "1", "retracts": scanned}
    tape.write("warehouse", 60, None, **body)
    assert tape.of(STRANGE) == []
