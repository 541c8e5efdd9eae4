"""Virtual time: however it is cut, and over however many partitions, the same log says the same."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from agents.virtual_time import ONE_TOPIC_OF_EACH_KIND, InputRecord, Store, VirtualTime
from schemas.outputs import Escalation
from schemas.policy_loading import default_policy
from schemas.topics import InputKind
from simulation.happenings import SimEvent
from simulation.world import World
from streams.batch import Batch, Write

HOUR = timedelta(hours=1)


def ms(event: SimEvent) -> int:
    return int(event.appears_at.timestamp() * 1000)


@pytest.fixture(scope="module")
def events() -> Sequence[SimEvent]:
    world = World(7, returns=40)
    return sorted(world.events, key=lambda event: event.appears_at)


def said(events: Sequence[SimEvent], period: timedelta, partitions: int = 1) -> list[Escalation]:
    engine = VirtualTime(default_policy().to_log(), partitions=partitions)
    offsets = dict.fromkeys(ONE_TOPIC_OF_EACH_KIND, 0)
    now = ms(events[0])
    for event in events:
        while now + period // timedelta(milliseconds=1) <= ms(event):
            now += period // timedelta(milliseconds=1)
            engine.advance(now)
        record = InputRecord(offsets[event.kind], event.value, event.headers)
        offsets[event.kind] += 1
        engine.append([record], InputKind(event.kind), ms(event))
    engine.advance(ms(events[-1]) + 200 * 86_400_000)
    return engine.news()


def in_any_order(escalations: Sequence[Escalation]) -> list[Escalation]:
    return sorted(escalations, key=lambda one: (one.case_id, one.revision))


def test_many_partitions_say_what_one_says(events: Sequence[SimEvent]) -> None:
    one = said(events, HOUR)
    assert len(one) > 10
    assert in_any_order(said(events, HOUR, partitions=3)) == in_any_order(one)


def test_the_same_log_says_the_same(events: Sequence[SimEvent]) -> None:
    assert said(events, HOUR) == said(events, HOUR)


def test_news_are_told_once(events: Sequence[SimEvent]) -> None:
    engine = VirtualTime(default_policy().to_log())
    label = next(event for event in events if event.kind == InputKind.LABELS)
    engine.append([InputRecord(0, label.value, label.headers)], InputKind.LABELS, ms(label))
    engine.advance(ms(label) + 90 * 86_400_000)
    assert engine.news()
    assert engine.news() == []


def test_what_intake_refuses_is_given_back() -> None:
    engine = VirtualTime(default_policy().to_log())
    intake = engine.append([InputRecord(0, b"{")], InputKind.ORDERS, 1_000)
    assert [refused.reason for refused in intake.refused] == ["not_json"]


# -- store --------------------------------------------------------------------------------------------------------


EMPTY = Batch(b"", [], [], 0, 0, 0, False, None, {}, [])


def write(store: Store, key: bytes, armed_ms: int, raw: bytes | None = b"x") -> None:
    before = store.states.get(key, (0, b""))[0]
    change = Write(key, raw, armed_ms, before if before != armed_ms else 0, True)
    store.apply(EMPTY._replace(writes=[change]))


def test_timers_come_in_order_and_a_timer_that_moved_only_where_it_is() -> None:
    store = Store()
    for key, armed_ms in ((b"b", 5), (b"a", 5), (b"c", 1), (b"d", 9)):
        write(store, key, armed_ms)
    assert store.due((0, b""), 5, 10) == [(1, b"c"), (5, b"a"), (5, b"b")]
    assert store.due((1, b"c"), 9, 2) == [(5, b"a"), (5, b"b")]
    write(store, b"a", 7)
    write(store, b"b", 0)
    write(store, b"c", 0, None)
    assert store.due((0, b""), 9, 10) == [(7, b"a"), (9, b"d")]
    write(store, b"a", 5)
    write(store, b"a", 7)
    assert store.due((0, b""), 9, 10) == [(7, b"a"), (9, b"d")]


def test_keys_come_in_order_also_after_some_are_gone() -> None:
    store = Store()
    for key in (b"c", b"a", b"b"):
        write(store, key, 0)
    assert store.keys_after(b"", 2) == [b"a", b"b"]
    write(store, b"b", 0, None)
    assert store.keys_after(b"a", 2) == [b"c"]
    write(store, b"b", 0)
    assert store.keys_after(b"a", 2) == [b"b", b"c"]
