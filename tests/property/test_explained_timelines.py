"""Whatever happens to a return, its cases are explained by their own events and deadlines."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from agents.virtual_time import InputRecord, VirtualTime
from schemas.outputs import Escalation
from schemas.policy_loading import default_policy
from schemas.topics import InputKind
from tests.explaining import hold_against_what_was_said, moment
from tests.property.random_timelines import END, Timeline

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOOKS = 6
TIMELINES_OF_A_SEED = 15


@pytest.mark.parametrize("seed", range(4))
def test_random_timelines_are_explained(seed: int) -> None:
    policy = default_policy().to_log()
    told = 0
    for serial in range(TIMELINES_OF_A_SEED):
        rng = random.Random(f"{seed} {serial}")
        events = sorted(Timeline(rng, serial).play(), key=lambda event: event.appears_at)
        engine, said = VirtualTime(policy), dict[str, Escalation]()
        looks = sorted(END - timedelta(minutes=rng.randint(0, 75 * 24 * 60)) for _ in range(LOOKS))
        for number, event in enumerate(events):
            while looks and looks[0] <= event.appears_at:
                look(engine, policy, looks.pop(0), said)
            engine.advance(ms(event.appears_at))
            records = [InputRecord(number, event.value, event.headers)]
            engine.append(records, InputKind(event.kind), ms(event.appears_at))
        for at in (*looks, END):
            look(engine, policy, max(at, events[-1].appears_at), said)
        told += len(said)
    assert told > TIMELINES_OF_A_SEED


def look(engine: VirtualTime, policy: bytes, at: datetime, said: dict[str, Escalation]) -> None:
    engine.advance(ms(at))
    said |= {one.case_id: one for one in engine.news()}
    hold_against_what_was_said(moment(engine, policy, ms(at), said))


def ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)
