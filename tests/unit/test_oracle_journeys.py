"""The judge of journeys finds what is wrong in them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache

import pytest
from msgspec.structs import replace

from schemas.outputs import RefundSignal
from schemas.policy_loading import default_policy
from schemas.return_journeys import JourneyCase, PortalStatus, ReturnJourney
from simulation.expect_journeys import ExpectedJourney, expected_journeys, wrong_journeys
from simulation.oracle import ExpectedCase, expected
from simulation.player import undisturbed_ledger
from simulation.terms import Terms
from simulation.warehouse import policy_of_this_world
from simulation.world import World
from tests.scenarios.one_process import OneProcess

Told = dict[str, ReturnJourney]
Month = tuple[dict[str, ExpectedJourney], Sequence[ExpectedCase], Told, datetime, Sequence[RefundSignal]]
PERIOD = timedelta(hours=1)


@cache
def month() -> Month:
    """To the middle of it, when much is still to come."""
    world, policy = World(5, returns=60), policy_of_this_world(default_policy())
    appears = sorted(event.appears_at for event in world.events)
    until_at = appears[len(appears) // 2]
    shop = OneProcess(policy)
    shop.play(world.events, until_at, PERIOD)
    events, terms = list(undisturbed_ledger(world.events)), Terms(policy)
    cases = expected(events, terms, until_at, 2 * PERIOD)
    return (
        expected_journeys(events, terms, until_at),
        cases,
        shop.journeys,
        until_at,
        shop.signals,
    )


def with_a_case(told: Told) -> str:
    return next(return_id for return_id, journey in told.items() if journey.open_cases)


def refunded(told: Told) -> str:
    return next(return_id for return_id, one in told.items() if one.status is PortalStatus.REFUNDED)


def change(return_id: str, **fields: object) -> Callable[[Told], None]:
    def changed(told: Told) -> None:
        name = with_a_case(told) if return_id == "with a case" else refunded(told)
        told[name] = replace(told[name], **fields)

    return changed


def lose(told: Told) -> None:
    del told[refunded(told)]


def invent(told: Told) -> None:
    told["R-nobody"] = told[refunded(told)]


def a_day_late(told: Told) -> None:
    name = refunded(told)
    *others, last = told[name].milestones
    assert last.at is not None
    told[name] = replace(
        told[name], milestones=(*others, replace(last, at=last.at + timedelta(milliseconds=1)))
    )


def promise_of_yesterday(told: Told) -> None:
    name = with_a_case(told)
    told[name] = replace(told[name], refund=replace(told[name].refund, latest_at=month()[3]))


def tell_of_yesterday(told: Told) -> None:
    name = with_a_case(told)
    by = (month()[3] - timedelta(days=1)).isoformat()
    told[name] = replace(told[name], message=replace(told[name].message, parameters={"by": by}))


def with_a_step(told: Told) -> str:
    return next(name for name, one in told.items() if one.next_step and one.next_step.due_at)


def another_message(told: Told) -> None:
    name = with_a_step(told)
    told[name] = replace(told[name], message=replace(told[name].message, key="delivered", parameters={}))


def a_minute_later(told: Told) -> None:
    name = with_a_step(told)
    step = told[name].next_step
    assert step is not None
    assert step.due_at is not None
    told[name] = replace(told[name], next_step=replace(step, due_at=step.due_at + timedelta(minutes=1)))


def nothing_next(told: Told) -> None:
    name = with_a_step(told)
    told[name] = replace(told[name], next_step=None)


def not_released(told: Told) -> None:
    name = next(name for name, one in told.items() if one.refund.released)
    told[name] = replace(told[name], refund=replace(told[name].refund, released=False))


def promised_later(told: Told) -> None:
    name = next(name for name, one in told.items() if one.refund.promised_at)
    refund = told[name].refund
    assert refund.promised_at is not None
    told[name] = replace(
        told[name], refund=replace(refund, promised_at=refund.promised_at + timedelta(days=1))
    )


def expected_later(told: Told) -> None:
    name = next(name for name, one in told.items() if one.refund.latest_at)
    refund = told[name].refund
    assert refund.latest_at is not None
    told[name] = replace(told[name], refund=replace(refund, latest_at=refund.latest_at + timedelta(days=1)))


def case_of_another(told: Told) -> None:
    case: JourneyCase = told[with_a_case(told)].open_cases[0]
    told[refunded(told)] = replace(told[refunded(told)], open_cases=(case,), open_case_count=1)


def test_what_is_true_has_no_problems() -> None:
    journeys, cases, told, until_at, signals = month()
    assert wrong_journeys(journeys, cases, told, until_at, signals=signals) == []


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (lose, "never told"),
        (invent, "no such return"),
        (a_day_late, "refunded at"),
        (case_of_another, "is told, and not open"),
        (promise_of_yesterday, "promises a refund by"),
        (tell_of_yesterday, "tells the customer of"),
        (another_message, "the customer is to be told"),
        (a_minute_later, "comes next"),
        (nothing_next, "comes next"),
        (not_released, "released is told False"),
        (promised_later, "a refund was promised by"),
        (expected_later, "a refund may be expected"),
        (change("with a case", open_cases=(), open_case_count=0), "is open, and not told"),
        (change("with a case", open_case_count=7), "counts 7 open cases"),
        (change("refunded", status=PortalStatus.SHIPPED), "is refunded, told shipped"),
        (change("refunded", stage=None), "has come to refunded, told None"),
        (change("refunded", parcels=()), "has the parcels"),
    ],
)
def test_a_mistake_is_found(mistake: Callable[[Told], None], said: str) -> None:
    journeys, cases, told, until_at, signals = month()
    wrong = dict(told)
    mistake(wrong)
    problems = wrong_journeys(journeys, cases, wrong, until_at, signals=signals)
    assert len({problem.split(":")[0] for problem in problems}) == 1
    assert any(said in problem for problem in problems)
