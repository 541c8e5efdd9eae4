"""A parcel that comes further is counted by a shorter way, which gives what the long one does."""

from itertools import product
from typing import Any

import pytest

from schemas.facts import ParcelReport
from schemas.vocabulary import Milestone
from streams import kpis
from streams.returns import ReturnState, merge_fact, merge_report
from tests.stages import DAY, HOUR, MONDAY, return_fact

WAYS: list[dict[str, Any]] = [
    {"first_scan_ms": scanned, "delivered_ms": delivered, "checked_in_ms": received}
    for scanned, delivered, received in product(
        (0, MONDAY + 9 * HOUR), (0, MONDAY + 30 * HOUR), (0, MONDAY + 33 * HOUR)
    )
]


def state_with(way: dict[str, Any], *milestones: Milestone) -> ReturnState:
    state = ReturnState()
    for number, milestone in enumerate(milestones):
        merge_fact(state, return_fact(milestone, (40 + number) * HOUR))
    merge_report(
        state, ParcelReport(parcel="ups:1", revision=1, carrier="ups", label_ms=MONDAY + HOUR, **way)
    )
    state.counted = kpis.COUNTED_BY
    return state


@pytest.mark.parametrize(
    "milestones", [(), (Milestone.RETURN_REQUESTED, Milestone.INSPECTED, Milestone.REFUND_ISSUED)]
)
def test_every_step_and_every_step_back_is_counted_as_the_whole_state_is(
    milestones: tuple[Milestone, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [(old, new) for old, new in product(WAYS, WAYS) if old != new]
    states = [(state_with(old, *milestones), state_with(new, *milestones)) for old, new in pairs]
    for before, state in states:
        before.facts = state.facts
    assert all(kpis._further(before, state) is not None for before, state in states)
    short = [kpis.adds(before, state, MONDAY + DAY) for before, state in states]
    monkeypatch.setattr(kpis, "_further", lambda _before, _state: None)
    assert short == [kpis.adds(before, state, MONDAY + DAY) for before, state in states]
