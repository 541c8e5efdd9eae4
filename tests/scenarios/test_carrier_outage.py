"""A carrier is silent for a day, with thousands of its parcels on their way: one case, no false one, then the true ones.

RETURNWATCH_TEST_PARCELS makes them more (`make chaos`: fifty thousand).
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from agents.scenario_events import MilestoneCodes
from agents.virtual_time import InputRecord, VirtualTime
from schemas.carrier_codes import load_carrier_codes
from schemas.outputs import Escalation
from schemas.policy import Policy
from schemas.topics import InputKind
from schemas.vocabulary import CaseState, RuleId
from streams.intake import IntakeMapper
from tests.outage_world import DAY, HOUR, MINUTE, MONDAY, Outage, OutageWorld
from tests.stages import only

INTAKE = IntakeMapper(MilestoneCodes(load_carrier_codes()))
BEGIN = MONDAY + 28 * DAY + 10 * HOUR  # a Monday morning, after four weeks
END = BEGIN + 24 * HOUR
UNTIL = BEGIN + 9 * DAY
DOWN, OTHER = "ups", "colissimo"
PARCELS = int(os.environ.get("RETURNWATCH_TEST_PARCELS", "10000"))
LOST = (RuleId.MISSING_FIRST_SCAN, RuleId.STALLED_SILENT)


def policy(**feeds: object) -> Policy:
    return only(
        *LOST, RuleId.FEED_SILENT, allowances={DOWN: "30m", OTHER: "30m"}, feeds={"watched": True, **feeds}
    )


class Played:
    """What was said, and how much was held."""

    def __init__(self, world: OutageWorld, feeds: Policy) -> None:
        self.engine = VirtualTime(feeds.to_log(), mapper=INTAKE)
        self.news: list[Escalation] = []
        self.held: dict[int, int] = {}
        self._offsets: Counter[InputKind] = Counter()
        self._play(world)

    def _play(self, world: OutageWorld) -> None:
        from_ms = MONDAY
        others = sorted(
            (at_ms, carrier, came)
            for carrier in (DOWN, OTHER)
            for at_ms, came in world.background(carrier, from_ms, UNTIL, 600)
        )
        waiting = iter(sorted(world.happenings, key=lambda one: one.known_ms))
        following = next(waiting, None)
        at = 0
        for now in self._steps(from_ms):
            while at < len(others) and others[at][0] < now:
                at_ms, carrier, came = others[at]
                self.engine.arrived(InputKind.CARRIER_SCANS.value, 0, at_ms, {carrier: came})
                at += 1
            while following is not None and following.known_ms < now:
                record = InputRecord(self._offsets[following.kind], following.value)
                self._offsets[following.kind] += 1
                self.engine.append([record], following.kind, following.known_ms)
                following = next(waiting, None)
            self.engine.advance(now)
            self.news += self.engine.news()
            self.held[now] = self.engine.held()[DOWN]

    def _steps(self, from_ms: int) -> Iterator[int]:
        now = from_ms
        while now < UNTIL:
            now += 10 * MINUTE if BEGIN - HOUR <= now < END + 8 * HOUR else HOUR
            yield now

    def cases(self, state: CaseState, carrier: str) -> list[Escalation]:
        return [one for one in self.news if one.state is state and one.carrier == carrier]


@pytest.fixture(scope="module")
def world() -> OutageWorld:
    made = OutageWorld(Outage(DOWN, BEGIN, END), UNTIL)
    made.lives(DOWN, PARCELS, BEGIN - 5 * DAY, BEGIN)
    made.lives(OTHER, 3_000, BEGIN - 5 * DAY, BEGIN + 2 * DAY)
    return made


@pytest.mark.slow
def test_a_day_without_a_carrier_is_one_case_and_no_lost_parcel(
    world: OutageWorld, record_property: Callable[[str, object], None]
) -> None:
    played = Played(world, policy())
    opened = [one for one in played.news if one.state is CaseState.OPEN and not one.feed]
    assert {(one.rule.value, one.return_id) for one in opened} == world.wrong
    assert len(opened) == len(world.wrong), "each once"
    assert not [one for one in played.news if one.state is CaseState.RETRACTED]

    about_feeds = [one for one in played.news if one.feed]
    told, recovered = about_feeds
    assert (told.feed and told.feed.name, told.state, told.rule) == (DOWN, CaseState.OPEN, RuleId.FEED_SILENT)
    assert BEGIN - 5 * MINUTE <= ms(told.since_at) <= BEGIN + 20 * MINUTE
    assert ms(told.effective_at) <= BEGIN + HOUR
    assert recovered.state is CaseState.RESOLVED
    assert END < ms(recovered.effective_at) <= END + 2 * HOUR

    released = ms(recovered.effective_at)
    delayed = [one for one in opened if one.delayed_by_feed]
    due_meanwhile = {
        key
        for key, due_ms in world.due_ms.items()
        if BEGIN + 5 * MINUTE < due_ms < released and key[1] in of_the_silent_one()
    }
    assert due_meanwhile <= {(one.rule.value, one.return_id) for one in delayed}
    assert {one.carrier for one in delayed} == {DOWN}
    assert all(BEGIN < ms(one.due_at) <= released for one in delayed)
    assert {ms(one.effective_at) for one in delayed} == {released}

    false_alarms = sum(world.saved.values())
    assert false_alarms > PARCELS / 20, "what there would have been without holding"
    explained = Counter(
        {label: count for (name, label), count in played.engine.counts().items() if name == "held_explained"}
    )
    assert sum(explained.values()) == pytest.approx(false_alarms, rel=0.02)
    assert max(played.held.values()) > PARCELS / 20
    assert played.held[max(played.held)] == 0
    figures = (
        f"{len(world.happenings)} events; {len(opened)} true cases, {len(delayed)} of them delayed; "
        f"held at most {max(played.held.values())}, explained {sum(explained.values())}; "
        f"false alarms without holding {false_alarms}, with it 0"
    )
    record_property("figures", figures)
    sys.stdout.write(f"\n{figures}\n")


def test_without_watching_feeds_there_are_as_many_false_alarms_as_were_foretold() -> None:
    made = OutageWorld(Outage(DOWN, BEGIN, END), UNTIL)
    made.lives(DOWN, 2_000, BEGIN - 5 * DAY, BEGIN)
    played = Played(made, policy(watched=False))
    opened = {(one.rule.value, one.return_id) for one in played.news if one.state is CaseState.OPEN}
    taken_back = [one for one in played.news if one.state is CaseState.RETRACTED]
    assert opened > made.wrong
    assert len(opened - made.wrong) == len(taken_back) == sum(made.saved.values()) > 50


def of_the_silent_one() -> set[str]:
    return {f"R{number:07}" for number in range(1, PARCELS + 1)}


def ms(at: object) -> int:
    return int(at.timestamp() * 1000)  # type: ignore[attr-defined]
