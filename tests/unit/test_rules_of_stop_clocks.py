"""Holds and closures together: an hour in which the clock stands for both counts once."""

import pytest

from schemas.vocabulary import Milestone
from streams.rules.stop_clocks import holds_before, later_by_holds
from tests.stages import HOUR, MONDAY, label_fact, parcel_fact
from tests.waiting import journey_of, plain, terms_of

LABEL = label_fact(0, "R1")
HELD, FREED = parcel_fact(Milestone.CUSTOMS_HOLD, 10 * HOUR), parcel_fact(Milestone.IN_TRANSIT, 30 * HOUR)
HELD_AGAIN = parcel_fact(Milestone.CUSTOMS_HOLD, 44 * HOUR)
FREED_AGAIN = parcel_fact(Milestone.IN_TRANSIT, 54 * HOUR)
STRIKE = {
    "carrier": "ups",
    "from_at": "2026-01-06T00:00:00Z",
    "until_at": "2026-01-06T16:00:00Z",
    "reason": "strike",
    "source": "its site",
}
"""From the 24th hour to the 40th."""


def held(due_hour: int, *, strike: bool = True) -> list[tuple[int, int]]:
    journey = journey_of(LABEL, HELD, FREED, HELD_AGAIN, FREED_AGAIN)
    terms = terms_of(journey, plain(closures=[STRIKE] if strike else []))
    found = list(holds_before(journey, terms, MONDAY, MONDAY + due_hour * HOUR))
    due_ms = MONDAY + due_hour * HOUR
    assert later_by_holds(journey, terms, MONDAY, due_ms) == due_ms + sum(hold.more_ms for hold in found)
    assert {hold.milestone for hold in found} <= {Milestone.CUSTOMS_HOLD}
    return [((hold.from_ms - MONDAY) // HOUR, hold.more_ms // HOUR) for hold in found]


@pytest.mark.parametrize(
    ("due_hour", "expected"),
    [
        pytest.param(10, [], id="due before it is held"),
        pytest.param(11, [(10, 20)], id="due before the strike, which does not count then"),
        pytest.param(24, [(10, 20)], id="due when the strike begins"),
        pytest.param(
            25, [(10, 14)], id="the strike takes six hours of the hold, and the second begins too late"
        ),
        pytest.param(31, [(10, 14), (44, 10)], id="the second hold is after the strike"),
    ],
)
def test_what_lies_in_a_hold_and_in_a_closure_counts_once(
    due_hour: int, expected: list[tuple[int, int]]
) -> None:
    assert held(due_hour) == expected


def test_without_a_closure_every_hour_of_a_hold_counts() -> None:
    assert held(25, strike=False) == [(10, 20), (44, 10)]
