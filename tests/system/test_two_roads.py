"""What explains a breach may come by a slower road. No case opens for it; what it does not explain stays true."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from agents.embedded_kafka import EmbeddedKafka
from schemas.vocabulary import CaseState, RuleId
from simulation.happenings import SimEvent
from streams.keys import parcel_key, partition_of
from tests.chaos.processes import until
from tests.system.arena import Arena, Show, append_time_broker
from tests.system.crafted import Pen, policy_with_check_in_within
from tests.system.outcome import STANDING, Outcome

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.kafka,
    pytest.mark.timeout(1200),
    pytest.mark.asyncio(loop_scope="module"),
]

HOURS_PER_SECOND = (9.0, 4.0, 2.0)
"""How fast the clock goes, and how fast when the machine was too slow for that."""
BUDGET_HOURS = 500
"""Of the dock. A worker that runs has this long, nearly a minute, to read six records."""
UNTIL_HOUR = 580
SLOW, FAST = 0, 1
"""Partitions of `parcels`."""


def number_in(partition: int, serial: int) -> str:
    """A tracking number whose parcel lies in a partition of `parcels`."""
    numbers = (f"1Z{serial:04d}{attempt:012d}" for attempt in range(1000))
    return next(n for n in numbers if partition_of(parcel_key("ups", n).encode(), 4) == partition)


SLOW_PARCEL, FAST_PARCEL = number_in(SLOW, 1), number_in(FAST, 2)
COUNTED, NOT_COUNTED, NEVER = number_in(SLOW, 3), number_in(FAST, 4), number_in(FAST, 5)
CHECKED_IN_BY_NUMBER = number_in(FAST, 6)


class TooSlowError(Exception):
    """The clock outran the machine: what was to be said before a deadline was said after it."""


class Crafted(Arena):
    """An arena for events written by hand."""

    def __init__(
        self,
        broker: EmbeddedKafka,
        directory: Path,
        pen: Pen,
        events: list[SimEvent],
        name: str,
        *altered: str,
        hours_per_second: float = HOURS_PER_SECOND[0],
    ) -> None:
        self.pen = pen
        events = sorted(events, key=lambda event: event.appears_at)
        policy = policy_with_check_in_within(f"{BUDGET_HOURS}h")
        show = Show(events, pen.starts_at, pen.at(UNTIL_HOUR), hours_per_second * 3600, policy)
        super().__init__(broker, directory, show, name=name, alterations=altered)

    @property
    def hour(self) -> float:
        """What the clock shows, in the pen's hours."""
        return (self.simulated_now() - self.pen.starts_at) / timedelta(hours=1)

    def mark(self, stage: str, partition: int) -> float:
        """A watermark, in epoch seconds; 0 while it is not known."""
        return self.members[0].metric(
            "returnwatch_watermark_timestamp_seconds", stage=stage, partition=str(partition)
        )


def subjects(outcome: Outcome) -> set[tuple[RuleId, str, str]]:
    return {(told.rule, told.return_id, told.tracking_number) for told in outcome.escalations}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What came of the three installations, which run side by side."""
    directory, pen = tmp_path_factory.mktemp("roads"), Pen()
    with append_time_broker(directory / "kafka") as broker:
        transaction = Crafted(broker, directory, pen, ordinary_events(pen), "transaction")

        async def slow_partition(name: str, *altered: str) -> Crafted:
            for speed in HOURS_PER_SECOND[:-1]:
                arena = Crafted(
                    broker, directory, pen, [], f"{name}-{speed:.0f}", *altered, hours_per_second=speed
                )
                with suppress(TooSlowError):
                    await run_with_slow_partition(arena)
                    return arena
            arena = Crafted(broker, directory, pen, [], name, *altered, hours_per_second=HOURS_PER_SECOND[-1])
            await run_with_slow_partition(arena)
            return arena

        _, waits, hasty = await asyncio.gather(
            run_with_open_transaction(transaction),
            slow_partition("waits", "gated"),
            slow_partition("hasty", "gated", "breach_does_not_wait"),
        )
        return {
            "transaction": await transaction.outcome(),
            "waits": await waits.outcome(),
            "hasty": await hasty.outcome(),
        }


def ordinary_events(pen: Pen) -> list[SimEvent]:
    """One number counts for the first of two parcels; another return is never checked in; a third will be."""
    return [
        *pen.journey(CHECKED_IN_BY_NUMBER, "R-IN", label=1, delivered=10),
        *pen.journey(NEVER, "R-NEVER", label=1, delivered=10),
        *pen.journey(COUNTED, "R-TWO", label=1, delivered=10),
        *pen.journey(NOT_COUNTED, "R-TWO", label=1, delivered=20),
        pen.check_in(30, return_id="R-TWO"),
    ]


async def run_with_open_transaction(arena: Crafted) -> None:
    """The dock types the number in a transaction that stays open until long after the deadline."""
    pen, due = arena.pen, 10 + BUDGET_HOURS

    async def say_slowly(_arena: Arena) -> None:
        await arena.sleep_until(pen.at(33))
        producer = AIOKafkaProducer(
            bootstrap_servers=arena.broker.bootstrap_servers,
            transactional_id="dock",
            transaction_timeout_ms=300_000,
        )
        async with producer, producer.transaction():
            await arena.say(pen.check_in(33, return_id="R-IN"), producer=producer)
            await arena.sleep_until(pen.at(due + 30))
            marks = [arena.mark("returns", number) for number in range(4)]
            assert max(marks) < pen.at(due).timestamp(), "the watermark has passed an open transaction"

    async with arena.running():
        await arena.play(say_slowly)


async def run_with_slow_partition(arena: Crafted) -> None:
    """The dock scans one parcel and types the number for the other; of the scan nobody hears for days."""
    pen, worker = arena.pen, arena.members[0]
    gate = worker.gates / f"{arena.settings.topics.parcels}-{SLOW}"

    async def check_in(_arena: Arena) -> None:
        await arena.recovered()  # everything is told from here on, however long the worker took to start
        delivered = arena.hour
        due_at = pen.at(delivered + BUDGET_HOURS)
        await arena.say(
            *pen.journey(SLOW_PARCEL, "R-TWO", label=delivered - 9, delivered=delivered - 2),
            *pen.journey(FAST_PARCEL, "R-TWO", label=delivered - 9, delivered=delivered),
        )
        await arena.recovered()
        gate.touch()
        checked_in = arena.hour
        await arena.say(
            pen.check_in(checked_in - 1, tracking_number=SLOW_PARCEL),
            pen.check_in(checked_in, return_id="R-TWO"),
        )
        if arena.said[-1].appended_at >= due_at - timedelta(hours=10):
            raise TooSlowError
        await arena.sleep_until(due_at)
        await until(
            lambda: arena.mark("parcels", FAST) > due_at.timestamp(), "the fast partition passes the deadline"
        )
        if "breach_does_not_wait" in worker.alterations:
            await until(lambda: worker.metric("returnwatch_escalations_total"), "a hasty case")
        else:
            await asyncio.sleep(2.0)  # time for one
        assert arena.mark("parcels", SLOW) < due_at.timestamp()
        gate.unlink()

    async with arena.running():
        await arena.play(check_in)


async def test_a_check_in_by_number_in_an_open_transaction_is_waited_for(
    outcomes: dict[str, Outcome],
) -> None:
    outcome = outcomes["transaction"]
    outcome.assert_true("an open transaction")
    assert "R-IN" not in {told.return_id for told in outcome.escalations}


async def test_what_one_number_does_not_count_stays_true(outcomes: dict[str, Outcome]) -> None:
    outcome, rule = outcomes["transaction"], RuleId.DELIVERED_NOT_CHECKED_IN
    assert subjects(outcome) == {(rule, "R-NEVER", NEVER), (rule, "R-TWO", NOT_COUNTED)}
    assert {case.state for case in outcome.cases.values()} <= STANDING


async def test_a_breach_by_the_fast_road_waits_for_what_is_on_the_slow_one(
    outcomes: dict[str, Outcome],
) -> None:
    outcomes["waits"].assert_true("a slow partition of parcels")
    assert not outcomes["waits"].escalations


async def test_a_breach_that_does_not_wait_is_found_out(outcomes: dict[str, Outcome]) -> None:
    hasty = outcomes["hasty"]
    assert [change.state for change in hasty.escalations] == [CaseState.OPEN, CaseState.RETRACTED]
    assert not hasty.score.ok
