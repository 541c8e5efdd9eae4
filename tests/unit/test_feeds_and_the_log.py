"""Feeds and the log: what marks do not tell, how the watermark steps, what is loaded, and what is restored."""

from random import Random

import pytest

from schemas.facts import (
    MARKER_KEY,
    POLICY_KEY,
    Arrivals,
    Backfill,
    Mark,
    Marker,
    encode_json,
)
from schemas.vocabulary import Milestone, RuleId
from streams.feeds import Feeds
from streams.return_stage import return_logic
from streams.watermark import Position
from tests.feed_tape import (
    DAY,
    FOURTH_MONDAY,
    HOUR,
    MINUTE,
    MONDAY,
    WEDNESDAY_NOON,
    WEEK,
    Tape,
    busy,
    but,
    learned,
    never_silent,
    terms,
)
from tests.stages import Record, StageRun, only, return_fact


def test_what_was_folded_before_the_first_watermark_is_gone_through_and_let_go() -> None:
    tape = Tape(ups=busy(600))
    for minute in range(25 * 60):
        tape.fold(MONDAY + (minute + 1) * MINUTE)
    tape.advance(tape.now_ms)
    while tape.now_ms < WEDNESDAY_NOON:
        tape.fold(tape.now_ms + 5 * MINUTE)
        tape.advance(tape.now_ms)
    assert len(tape.feed().ahead) <= 1
    tape.came = {"ups": lambda _: 0}
    tape.until(WEDNESDAY_NOON + HOUR)
    assert tape.is_silent()
    tape.until(WEDNESDAY_NOON + 15 * DAY)
    assert "ups" not in tape.feeds.by_name


@pytest.mark.parametrize("step", [7 * MINUTE, 15 * MINUTE, 95 * MINUTE, 17 * HOUR])
def test_a_feed_that_is_forgotten_and_comes_back_is_the_same_for_any_cutting_of_the_watermark(
    step: int,
) -> None:
    gone = FOURTH_MONDAY + 10 * HOUR + 7 * MINUTE
    back = gone + 14 * DAY + 30 * MINUTE
    again = (back + 4 * DAY, back + 5 * DAY)
    came = but(lambda _: 5, (gone, back), again)

    def looked(every: int) -> list[tuple[int, str]]:
        tape = Tape(ups=came).until(gone)
        while tape.now_ms < again[1] + DAY:
            until = tape.now_ms + every
            while tape.now_ms < until:
                tape.fold(tape.now_ms + MINUTE)
            tape.advance(tape.now_ms)
        return tape.looked

    walk = looked(MINUTE)
    assert [(at_ms - gone) // MINUTE for at_ms, _ in walk] == [30, 14 * 24 * 60], "new feeds warm up"
    assert looked(step) == walk


def test_a_new_time_zone_leaves_what_was_learned_where_it_is() -> None:
    tape = learned(busy(600))
    for zone in ("America/Los_Angeles", "Asia/Kolkata"):
        tape.policy = terms(time_zone=zone)
        tape.restart()
        tape.until(tape.now_ms + 8 * DAY)
        assert never_silent(tape)
        assert tape.believed() > tape.now_ms - 10 * MINUTE


def test_history_that_is_loaded_at_once_is_not_what_is_usual() -> None:
    draw = Random(3)
    load = FOURTH_MONDAY + DAY + 14 * HOUR

    def came(at_ms: int) -> Arrivals:
        hours = (at_ms - MONDAY) // HOUR
        count = int(hours // 24 % 7 < 5 and 8 <= hours % 24 < 18 and draw.random() < 1 / 4)
        old = 8_000 if load <= at_ms < load + HOUR else 0
        return Arrivals(count + old, late=old)

    tape = learned(came)
    tape.until(load + WEEK)
    before = len(tape.looked)
    for _ in range(12):
        tape.until(tape.now_ms + 15 * MINUTE)
        assert tape.believed() >= tape.now_ms - 45 * MINUTE
    assert len(tape.looked) == before


def marks_of(position: Position, feeds: Feeds, at_ms: int, offsets: tuple[int, int], came: int) -> None:
    told = Mark("scans", 0, at_ms, {"ups": came} if came else {}, *offsets)
    position.fold_marker(Marker((told,), {"scans": 1}), feeds)


@pytest.mark.parametrize(("first", "silent"), [(1_000, True), (1_400, False)])
def test_arrivals_that_were_lost_on_their_way_are_no_silence(first: int, silent: bool) -> None:
    """A worker forwards them, is killed before it writes its mark, and the next one begins behind them."""
    tape = learned(busy(600)).until(WEDNESDAY_NOON)
    tape.position.seen, tape.position.counted = {"scans": [WEDNESDAY_NOON]}, {"scans": [1_000]}
    tape.position.roster = {"scans": 1}
    marks_of(tape.position, tape.feeds, WEDNESDAY_NOON + 2 * HOUR, (first, 1_400), 0)
    tape.advance(WEDNESDAY_NOON + 2 * HOUR)
    assert tape.is_silent() == silent
    assert (tape.feeds.believed_ms("ups", WEDNESDAY_NOON + 2 * HOUR) < WEDNESDAY_NOON + HOUR) == silent


def test_while_history_is_loaded_nobody_is_silent_and_nothing_is_learned() -> None:
    tape = learned(busy(600)).until(WEDNESDAY_NOON)
    tape.position.seen, tape.position.roster = {"scans": [WEDNESDAY_NOON]}, {"scans": 1}
    tape.position.counted = {"scans": [0]}
    tape.position.load_history(Backfill("B1", True))
    for minute in range(1, 4 * 60):
        came = 8_000 if 60 <= minute < 180 else 0
        marks_of(tape.position, tape.feeds, WEDNESDAY_NOON + minute * MINUTE, (0, 0), came)
    tape.now_ms = WEDNESDAY_NOON + (4 * 60 - 1) * MINUTE
    tape.position.load_history(Backfill("B1", False))
    tape.advance(tape.now_ms)
    assert never_silent(tape)
    assert tape.believed() == tape.now_ms
    tape.until(WEDNESDAY_NOON + WEEK)
    for _ in range(5):
        tape.until(tape.now_ms + HOUR)
        assert tape.believed() == tape.now_ms, "a week later as usual is enough"
    assert never_silent(tape)


PROMISED = FOURTH_MONDAY + 10 * HOUR + 10 * MINUTE
"""While the shop is silent: from 8:00 until 20:03."""


def a_promise_in_a_silence(lose_disk_ms: int) -> StageRun:
    """The return stage through three weeks of a shop, a silence of half a day, and ten hours more."""
    run = StageRun(lambda: return_logic(1), ("inputs",))

    def put(key: bytes, value: bytes) -> None:
        run.feed([Record(run.engine.next_offset, key, value)])

    def mark(at_ms: int, came: int) -> None:
        told = Mark("inputs", 0, at_ms, {"orders": came} if came else {})
        put(MARKER_KEY, encode_json(Marker((told,), {"inputs": 1})))

    put(POLICY_KEY, only(RuleId.REFUND_PROMISE_BROKEN, feeds={"watched": True}).to_log())
    for at_ms in range(MONDAY, FOURTH_MONDAY + 1, 10 * MINUTE):
        mark(at_ms, 20)
    requested = return_fact(Milestone.RETURN_REQUESTED, PROMISED - MONDAY - 9 * DAY, promised_ms=PROMISED)
    put(b"R1", encode_json(requested))
    begin, end = FOURTH_MONDAY + 8 * HOUR, FOURTH_MONDAY + 20 * HOUR + 3 * MINUTE
    for at_ms in range(FOURTH_MONDAY + MINUTE, FOURTH_MONDAY + 30 * HOUR, MINUTE):
        mark(at_ms, 0 if begin <= at_ms < end else 600 if end <= at_ms < end + 20 * MINUTE else 2)
        if at_ms == lose_disk_ms:
            run.lose_disk()
    return run


def test_what_is_told_after_a_restore_counts_like_what_is_told_at_its_time() -> None:
    whole = a_promise_in_a_silence(0)
    assert whole.engine.standing_cases() == {("refund_promise_broken", 1): 1}
    released = FOURTH_MONDAY + 20 * HOUR + 30 * MINUTE
    for minutes in (-300, 0, 2, 6):
        restored = a_promise_in_a_silence(released + minutes * MINUTE)
        assert restored.engine.standing_cases() == whole.engine.standing_cases()
        assert restored.engine.held() == {}
        assert [(out.key, out.value) for out in restored.said_of_cases] == [
            (out.key, out.value) for out in whole.said_of_cases
        ]
        assert restored.counters["case_opened", "refund_promise_broken"] == 1
