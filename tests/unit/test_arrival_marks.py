"""Marks that tell when things came: in which steps of append time, and what they do not know."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from schemas.facts import Arrivals, Mark
from streams.arrival_marks import (
    MOST_STEPS,
    STEP_MS,
    WHEN_UNKNOWN,
    Came,
    Span,
    Told,
    add_before,
    add_to,
    marks_of,
)
from tests.feed_tape import WEDNESDAY_NOON, Tape, busy, but
from tests.outage_world import HOUR, MINUTE

BEGIN = 10_000 * STEP_MS
FIRST = BEGIN // STEP_MS


def came(**steps: int) -> Came:
    """`s3=7`: seven in the third step after BEGIN; `unknown=2`: two of which nobody knows when."""
    return {
        WHEN_UNKNOWN if name == "unknown" else FIRST + int(name[1:]): {"ups": Arrivals(count)}
        for name, count in steps.items()
    }


def told(span: Span, arrivals: Came) -> list[tuple[float, int]]:
    """(steps after BEGIN, how many) of each mark."""
    marks = marks_of("scans", 0, span, Told(arrivals))
    return [((mark.through_ms - BEGIN) / STEP_MS, count_of(mark)) for mark in marks]


def count_of(mark: Mark) -> int:
    one = mark.arrivals.get("ups", 0)
    return one.count if isinstance(one, Arrivals) else one


def test_from_second_to_second_there_is_one_mark() -> None:
    assert told(Span(BEGIN + 1_000, BEGIN + 2_000), came(s0=3)) == [(2_000 / STEP_MS, 3)]


def test_a_long_time_is_told_by_the_steps_in_which_something_came() -> None:
    assert told(Span(BEGIN, BEGIN + 10 * STEP_MS), came(s2=5, s3=1, s7=2)) == [
        (2, 0),
        (3, 5),
        (4, 1),
        (7, 0),
        (8, 2),
        (10, 0),
    ]


def test_without_append_times_one_mark_tells_all() -> None:
    assert told(Span(BEGIN, BEGIN + 10 * STEP_MS), came(unknown=5)) == [(10, 5)]


def test_what_came_nobody_knows_when_came_before_the_rest() -> None:
    assert told(Span(BEGIN, BEGIN + 4 * STEP_MS), came(unknown=5, s2=1)) == [(2, 5), (3, 1), (4, 0)]
    assert told(Span(BEGIN, BEGIN + 4 * STEP_MS), came(unknown=5, s0=1)) == [(1, 6), (4, 0)]


def test_brokers_clocks_that_differ_lose_nothing() -> None:
    span = Span(BEGIN + 3 * STEP_MS, BEGIN + 5 * STEP_MS)
    assert told(span, came(s0=1, s4=2, s9=4)) == [(4, 1), (5, 6)]


def test_before_the_first_mark_is_a_time_that_nobody_tells_of() -> None:
    assert told(Span(0, BEGIN + 2 * STEP_MS), came(s1=4)) == [(1, 0), (2, 4)]


def test_of_a_time_that_is_too_long_it_is_kept_that_something_came() -> None:
    steps: dict[int, dict[str, Arrivals]] = {}
    for step in range(MOST_STEPS + 5):
        add_to(steps, FIRST + step, {"ups": Arrivals(1), "dpd": Arrivals(2)})
    assert steps.pop(WHEN_UNKNOWN) == {"ups": Arrivals(5), "dpd": Arrivals(10)}
    assert min(steps) == FIRST + 5
    assert list(steps.values()) == [{"ups": Arrivals(1), "dpd": Arrivals(2)}] * MOST_STEPS


def test_what_came_nobody_knows_when_after_known_steps_makes_these_unknown_too() -> None:
    steps: dict[int, dict[str, Arrivals]] = {}
    for step, count in ((FIRST, 1), (WHEN_UNKNOWN, 2), (FIRST + 50, 4)):
        add_to(steps, step, {"ups": Arrivals(count)})
    assert steps == {WHEN_UNKNOWN: {"ups": Arrivals(3)}, FIRST + 50: {"ups": Arrivals(4)}}


def test_what_is_told_again_came_before_the_rest() -> None:
    steps: dict[int, dict[str, Arrivals]] = {}
    add_to(steps, FIRST + 9, {"ups": Arrivals(1)})
    add_before(steps, came(s2=4, s9=2))
    assert steps == {FIRST + 2: {"ups": Arrivals(4)}, FIRST + 9: {"ups": Arrivals(3)}}
    add_to(steps, WHEN_UNKNOWN, {"ups": Arrivals(1)})
    add_before(steps, came(s1=5))
    assert steps == {WHEN_UNKNOWN: {"ups": Arrivals(13)}}
    many: dict[int, dict[str, Arrivals]] = {FIRST + 500: {"ups": Arrivals(1)}}
    add_before(many, {FIRST + step: {"ups": Arrivals(1)} for step in range(MOST_STEPS + 2)})
    assert min(step for step in many if step != WHEN_UNKNOWN) == FIRST + 3, "the latest are kept"
    assert many[WHEN_UNKNOWN] == {"ups": Arrivals(3)}


@given(
    st.integers(0, 40 * STEP_MS),
    st.integers(1, 40 * STEP_MS),
    st.dictionaries(st.integers(-5, 90) | st.just(WHEN_UNKNOWN - FIRST), st.integers(1, 9), max_size=12),
)
def test_whatever_came_is_told_once_in_order_and_known_steps_closely(
    begin: int, length: int, steps: dict[int, int]
) -> None:
    span = Span(BEGIN + begin, BEGIN + begin + length)
    arrivals = {FIRST + step: {"ups": Arrivals(count)} for step, count in steps.items()}
    marks = list(marks_of("scans", 3, span, Told(arrivals, 5, 9)))
    through = [span.before_ms, *(mark.through_ms for mark in marks)]
    assert through == sorted(set(through))
    assert through[-1] == span.through_ms
    assert sum(count_of(mark) for mark in marks) == sum(steps.values())
    assert {(mark.topic, mark.partition, mark.first_offset, mark.next_offset) for mark in marks} == {
        ("scans", 3, 5, 9)
    }
    if WHEN_UNKNOWN not in arrivals:
        lengths = [until - since for since, until in pairwise(through)]
        assert all(not count_of(mark) or time <= STEP_MS for mark, time in zip(marks, lengths, strict=True))


# ---- what it is good for -------------------------------------------------------------------------------------


def stamped(tape: Tape, to_ms: int) -> None:
    """We were down since the tape's last mark, and what came meanwhile tells when it was appended."""
    steps: dict[int, dict[str, Arrivals]] = {}
    for at_ms in range(tape.now_ms, to_ms, MINUTE):
        for feed, one in tape.came.items():
            more = one(at_ms)
            if more:
                add_to(
                    steps, at_ms // STEP_MS, {feed: more if isinstance(more, Arrivals) else Arrivals(more)}
                )
    since_ms = tape.now_ms
    for mark in marks_of("scans", 0, Span(since_ms, to_ms), Told(steps)):
        tape.feeds.fold(mark, since_ms)
        since_ms = mark.through_ms
    tape.now_ms = to_ms
    tape.advance(to_ms)


def test_a_feed_that_died_while_we_were_down_is_told_of_when_we_are_back() -> None:
    died = (WEDNESDAY_NOON + HOUR, WEDNESDAY_NOON + 40 * HOUR)
    found = []
    for down in (stamped, lambda tape, to_ms: tape.until(to_ms, marked=False)):
        tape = Tape(ups=but(busy(100), died)).until(WEDNESDAY_NOON)
        down(tape, WEDNESDAY_NOON + 6 * HOUR)
        found.append(tape.is_silent())
    assert found == [True, False]


def test_a_feed_that_lived_while_we_were_down_is_not_doubted_and_goes_on_being_learned() -> None:
    tape = Tape(ups=busy(100)).until(WEDNESDAY_NOON)
    learned = dict(enumerate(tape.feeds._rhythms["ups"].left_out))
    stamped(tape, WEDNESDAY_NOON + 6 * HOUR)
    assert not tape.is_silent()
    assert dict(enumerate(tape.feeds._rhythms["ups"].left_out)) == learned
    unstamped = Tape(ups=busy(100)).until(WEDNESDAY_NOON).until(WEDNESDAY_NOON + 6 * HOUR, marked=False)
    assert sum(unstamped.feeds._rhythms["ups"].left_out) == sum(learned.values()) + 6
