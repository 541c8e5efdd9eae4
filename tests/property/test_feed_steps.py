"""A silent feed holds the same and tells the same, however the log is cut, the watermark steps, and the process stops."""

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.facts import MARKER_KEY, POLICY_KEY, Mark, Marker, encode_json
from schemas.vocabulary import Milestone, RuleId
from streams.logic import Logic
from streams.parcel_stage import parcel_logic
from streams.return_stage import return_logic
from tests.feed_tape import DAY, HOUR, MINUTE, MONDAY, busy
from tests.stages import MemoryStore, Record, StageRun, label_fact, only, parcel_fact

Entry = tuple[bytes, bytes]
TICK = 10 * MINUTE
LEARNED = MONDAY + 21 * DAY
USUAL = busy(300)
POLICY = only(RuleId.MISSING_FIRST_SCAN, RuleId.STALLED_SILENT, RuleId.FEED_SILENT, feeds={"watched": True})
SOURCES = ("inputs", "clock")


def mark(topic: str, through_ms: int, came: int = 0, first_offset: int = 0) -> Entry:
    """`first_offset`: not 0 when something came before it that no mark tells of."""
    told = Mark(topic, 0, through_ms, {"ups": came} if came else {}, first_offset)
    return MARKER_KEY, encode_json(Marker((told,), {"inputs": 1, "clock": 1}))


def came_by(tick_ms: int) -> int:
    """What came in the ten minutes before."""
    told = [USUAL(at) for at in range(tick_ms - TICK, tick_ms, MINUTE)]
    return sum(one for one in told if isinstance(one, int))


@cache
def learned(stage: str) -> tuple[MemoryStore, int]:
    """A partition that has seen three weeks, and how many records that took."""
    log: list[Entry] = [(POLICY_KEY, POLICY.to_log())]
    for tick in range(MONDAY, LEARNED + 1, TICK):
        log += [mark("inputs", tick, came_by(tick))]
        if tick % HOUR == 0:
            log += [mark("clock", tick)]
    run = StageRun(logic_of(stage), SOURCES)
    run.feed([Record(offset, key, value) for offset, (key, value) in enumerate(log)])
    return run.store, len(log)


def logic_of(stage: str) -> Callable[[], Logic]:
    return lambda: parcel_logic(1) if stage == "parcels" else return_logic(1)


@st.composite
def outages(draw: st.DrawFn) -> list[Entry]:
    """Marks and scans around a silence, as they come in, and the watermark behind them."""
    begin = LEARNED + draw(st.integers(7, 15)) * HOUR + draw(st.integers(0, 5)) * TICK
    end = begin + draw(st.sampled_from([0, 2, 6, 26, 60])) * HOUR
    until = end + 30 * HOUR
    facts: list[tuple[int, Entry]] = []
    for number in range(draw(st.integers(1, 3))):
        key = f"ups:{number}".encode()
        label_ms = MINUTE * draw(st.integers((LEARNED - 70 * HOUR) // MINUTE, (until - 75 * HOUR) // MINUTE))
        facts.append((label_ms, (key, encode_json(label_fact(label_ms - MONDAY, f"R{number}")))))
        scan_ms = (
            label_ms + draw(st.sampled_from([20, 71, 72, 80, 200])) * HOUR - draw(st.integers(0, 90)) * MINUTE
        )
        known_ms = end + 20 * MINUTE if begin <= scan_ms < end else scan_ms
        scan = parcel_fact(Milestone.IN_TRANSIT, scan_ms - MONDAY, arrived_ms=known_ms - MONDAY)
        facts.append((known_ms, (key, encode_json(scan))))
    facts.sort(key=lambda one: one[0])
    log: list[Entry] = []
    clock = LEARNED
    lags = st.sampled_from([0, HOUR, 9 * HOUR])
    stutters = draw(st.sets(st.integers(1, 30), max_size=3))
    lost = draw(st.sets(st.integers(0, (until - LEARNED) // TICK), max_size=3))
    stops = draw(st.dictionaries(st.integers(1, (until - LEARNED) // TICK), lags, max_size=12))
    for tick in range(LEARNED + TICK, until + 1, TICK):
        while facts and facts[0][0] <= tick:
            log.append(facts.pop(0)[1])
        backlog = 100 if end <= tick < end + HOUR and end > begin else 0
        quiet = begin < tick <= end and (tick - begin) // TICK not in stutters
        came = 0 if quiet else came_by(tick) + backlog
        log.append(mark("inputs", tick, came, int((tick - LEARNED) // TICK in lost)))
        lag_ms = stops.get((tick - LEARNED) // TICK)
        if lag_ms is not None:
            clock = max(clock, tick - lag_ms)
            log += [mark("clock", clock), log[-1]]  # the mark before is told twice
    return [*log, mark("clock", until), mark("inputs", until + 9 * DAY), mark("clock", until + 9 * DAY)]


def in_smaller_steps(log: list[Entry], pieces: int) -> list[Entry]:
    """The same marks, with the watermark going more slowly."""
    from schemas.facts import decode_marker

    stepped: list[Entry] = []
    before = LEARNED
    for key, value in log:
        told = decode_marker(value).marks[0] if key == MARKER_KEY else None
        if told is not None and told.topic == "clock" and told.through_ms > before:
            steps = range(1, pieces)
            stepped += [mark("clock", before + (told.through_ms - before) * step // pieces) for step in steps]
            before = told.through_ms
        stepped.append((key, value))
    return stepped


def play(stage: str, log: list[Entry], chunk: int, limits: tuple[int, int], restarts: set[int]) -> StageRun:
    store, first = learned(stage)
    mine = MemoryStore()
    mine.rows, mine.position = dict(store.rows), store.position
    mine.policy, mine.rhythms = store.policy, store.rhythms
    run = StageRun(logic_of(stage), SOURCES, *limits, store=mine)
    wanted = [one for one in log if stage == "parcels" or one[0] == MARKER_KEY]
    records = [Record(first + offset, key, value) for offset, (key, value) in enumerate(wanted)]
    for number, start in enumerate(range(0, len(records), chunk)):
        if number in restarts:
            run.start()
        run.feed(records[start : start + chunk])
    return run


def said(run: StageRun) -> list[tuple[str, bytes, bytes | None, object]]:
    return [(out.topic, out.key, out.value, out.headers) for out in run.said]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["parcels", "returns"]),
    outages(),
    st.integers(1, 60),
    st.tuples(st.integers(1, 6), st.sampled_from([1, 3_000, 900_000])),
    st.integers(1, 30),
    st.sets(st.integers(0, 20), max_size=4),
)
def test_cuts_steps_and_stops_change_nothing(
    stage: str, log: list[Entry], chunk: int, limits: tuple[int, int], pieces: int, restarts: set[int]
) -> None:
    whole = play(stage, log, len(log), (8_000, 900_000), set())
    cut = play(stage, in_smaller_steps(log, pieces), chunk, limits, restarts)
    assert said(cut) == said(whole)
    assert cut.engine.held() == whole.engine.held() == {}


@pytest.mark.parametrize("stage", ["parcels", "returns"])
def test_a_jump_over_a_long_silence_tells_what_a_walk_tells(stage: str) -> None:
    """Cases that go up on the way, and deadlines minute by minute around the moment in which the silence is doubted."""
    begin = LEARNED + 10 * HOUR
    end, until = begin + 60 * HOUR, begin + 100 * HOUR
    log = [
        (
            f"ups:{minute}".encode(),
            encode_json(label_fact(begin + minute * MINUTE - 72 * HOUR - MONDAY, "R1")),
        )
        for minute in range(30)
    ]
    log += [
        mark("inputs", tick, 0 if begin < tick <= end else came_by(tick))
        for tick in range(LEARNED + TICK, until + 1, TICK)
    ]
    log.append(mark("clock", until))
    jump = play(stage, log, len(log), (8_000, 900_000), set())
    walk = play(stage, in_smaller_steps(log, 110 * 60), 50, (8_000, 900_000), set())
    assert said(walk) == said(jump)
    assert len(said(jump)) > 5
