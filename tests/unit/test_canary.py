"""Canary returns: by the default policy one case each, soon, and nothing else is there because of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agents.canary import FORGET_AFTER, Canaries, CanaryMetrics, approval, cancellation
from agents.virtual_time import InputRecord, VirtualTime
from schemas.canary import PREFIX, is_canary
from schemas.carrier_codes import load_carrier_codes
from schemas.outputs import Escalation
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from schemas.topics import InputKind
from schemas.vocabulary import CaseState, Milestone, RuleId
from streams.intake import IntakeMapper
from tests.stages import DAY, MINUTE, MONDAY, Shop, only, return_fact

NAME = f"{PREFIX}1"
MOMENT = datetime(2026, 1, 5, tzinfo=UTC)
CHRISTMAS = datetime(2026, 1, 4, 3, tzinfo=UTC)
"""A Sunday ten days after Christmas: the days before are half holidays."""


class Clock:
    """Set by hand."""

    now = MOMENT

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Watched:
    """Canaries with what they export."""

    def __init__(self, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self.canaries = Canaries(CanaryMetrics(self.registry), timedelta(minutes=5), clock)

    def value(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"returnwatch_canary_{name}")


@pytest.fixture
def watched(clock: Clock) -> Watched:
    return Watched(clock)


def opened(return_id: str, due_at: datetime, **changes: Any) -> Escalation:
    world = VirtualTime(default_policy().to_log())
    start_ms = int((due_at - timedelta(minutes=30)).timestamp() * 1000)
    world.append(
        [InputRecord(0, approval(return_id, due_at - timedelta(minutes=30)))], InputKind.ORDERS, start_ms
    )
    world.advance(start_ms + 60 * MINUTE)
    (change,) = world.news()
    assert change.due_at == due_at
    return change


@pytest.mark.parametrize("told_at", [MOMENT, CHRISTMAS], ids=["a Monday", "after Christmas"])
def test_by_the_default_policy_its_one_case_is_due_when_what_was_read_has_settled(told_at: datetime) -> None:
    world = VirtualTime(default_policy().to_log())
    told_ms = int(told_at.timestamp() * 1000)
    world.append([InputRecord(0, approval(NAME, told_at))], InputKind.ORDERS, told_ms)
    world.advance(told_ms + 29 * MINUTE)
    assert world.news() == []
    world.advance(told_ms + 40 * MINUTE)
    (change,) = world.news()
    assert (change.rule, change.return_id, change.state) == (RuleId.LATE_LABEL, NAME, CaseState.OPEN)
    assert change.due_at == told_at + timedelta(minutes=30)

    later = told_at + timedelta(minutes=40)
    world.append([InputRecord(1, cancellation(NAME, later))], InputKind.ORDERS, told_ms + 40 * MINUTE)
    world.advance(told_ms + 30 * DAY)
    (end,) = world.news()
    assert (end.rule, end.state) == (RuleId.LATE_LABEL, CaseState.RESOLVED)


def test_kpis_do_not_count_it() -> None:
    shop = Shop(only(RuleId.LATE_LABEL))
    for name in (NAME, "R1"):
        shop.return_fact(name, return_fact(Milestone.RETURN_APPROVED, 0))
        shop.return_fact(name, return_fact(Milestone.RETURN_CANCELLED, 5 * DAY))
    shop.reach(8 * DAY)
    cells = [message for message in shop.returns.said if message.topic == "kpis" and message.value]
    cancelled = [b'"cancelled":1' in (message.value or b"") for message in cells]
    assert any(cancelled), "R1 is counted"
    assert not any(b'"cancelled":2' in (message.value or b"") for message in cells)


def test_it_is_not_counted_among_the_cases_that_were_told() -> None:
    shop = Shop(only(RuleId.LATE_LABEL))
    for name in (NAME, "R1"):
        shop.return_fact(name, return_fact(Milestone.RETURN_APPROVED, 0))
    shop.reach(8 * DAY)
    counters = shop.returns.counters
    assert counters["case_opened", "late_label"] == 1
    assert counters["opened_of", "late_label|"] == 1
    assert len([message for message in shop.returns.said if message.topic == "escalations"]) > 1


@pytest.mark.parametrize("budget", ["1 business day", "12 business days", "21d"])
def test_a_policy_that_is_patient_does_not_keep_it_waiting(budget: str) -> None:
    numbers = default_policy().model_dump(mode="json")
    numbers["rules"]["late_label"]["budget"] = budget
    world = VirtualTime(Policy.model_validate(numbers).to_log())
    told_ms = int(MOMENT.timestamp() * 1000)
    world.append([InputRecord(0, approval(NAME, MOMENT))], InputKind.ORDERS, told_ms)
    world.advance(told_ms + 40 * MINUTE)
    assert [change.rule for change in world.news()] == [RuleId.LATE_LABEL]


def test_the_feed_of_orders_does_not_live_by_it() -> None:
    mapper = IntakeMapper(load_carrier_codes())
    events = [approval(name, MOMENT) for name in (NAME, "R1")]
    records = [InputRecord(offset, value) for offset, value in enumerate(events)]
    intake = mapper.map_chunk(records, InputKind.ORDERS, MONDAY, topic="orders", partition=0)
    assert intake.arrivals["orders"].count == 1


def test_what_it_measures_is_the_delay_after_the_deadline(clock: Clock, watched: Watched) -> None:
    watched.canaries.told(NAME)
    assert watched.value("waiting") == 1
    clock.now = MOMENT + timedelta(minutes=31, seconds=5)
    assert watched.canaries.seen(opened(NAME, MOMENT + timedelta(minutes=30)))
    assert watched.value("delay_seconds_sum") == 65
    assert watched.value("last_seen_timestamp_seconds") == clock.now.timestamp()
    assert watched.value("waiting") == 0


def test_a_repeat_and_a_canary_of_somebody_else_are_cancelled_and_not_measured(
    clock: Clock, watched: Watched
) -> None:
    assert watched.canaries.seen(opened(NAME, MOMENT))
    assert watched.value("delay_seconds_count") == 0
    assert not watched.canaries.seen(opened("R1", MOMENT)), "a customer's return is never cancelled"


def test_one_that_is_never_seen_is_lost_after_a_day(clock: Clock, watched: Watched) -> None:
    watched.canaries.told(NAME)
    clock.now += FORGET_AFTER + timedelta(seconds=1)
    watched.canaries.told(f"{PREFIX}2")
    assert (watched.value("lost_total"), watched.value("waiting")) == (1, 1)


def test_names_are_canaries_and_never_the_same(watched: Watched) -> None:
    names = [watched.canaries.next_id() for _ in range(3)]
    assert len(set(names)) == 3
    assert all(map(is_canary, names))
