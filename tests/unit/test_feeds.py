"""Feeds: their weekly rhythm is learned, and how far their silence is believed follows from it."""

from functools import cache
from random import Random

import pytest

from schemas.facts import Arrivals
from streams.feed_holds import Holding
from streams.feed_terms import MINUTE_MS
from streams.held import Worth
from tests.feed_tape import (
    DAY,
    FOURTH_MONDAY,
    HOUR,
    MINUTE,
    MONDAY,
    WEDNESDAY_NOON,
    WEEK,
    Came,
    Tape,
    busy,
    but,
    learned,
    never_silent,
    terms,
)


def test_a_silence_is_not_believed_after_a_minute_or_two_and_certain_after_half_an_hour() -> None:
    tape = learned(but(busy(600), (WEDNESDAY_NOON, WEDNESDAY_NOON + DAY)))
    tape.until(WEDNESDAY_NOON + 3 * MINUTE)
    frozen = tape.believed()
    assert WEDNESDAY_NOON <= frozen <= WEDNESDAY_NOON + 2 * MINUTE
    assert not tape.is_silent()
    tape.until(WEDNESDAY_NOON + 29 * MINUTE)
    assert never_silent(tape)
    tape.until(WEDNESDAY_NOON + 32 * MINUTE)
    assert tape.is_silent()
    assert [name for _, name in tape.looked] == ["ups"]
    tape.until(WEDNESDAY_NOON + 23 * HOUR)
    assert tape.believed() == frozen, "it stays where it was"


def test_nights_and_weekends_and_three_quiet_days_in_a_quiet_hour_are_no_silence() -> None:
    tape = learned(busy(600)).until(FOURTH_MONDAY + 3 * WEEK)
    assert never_silent(tape)
    assert tape.believed() > tape.now_ms - 10 * MINUTE


def test_in_its_first_two_weeks_nothing_is_silent() -> None:
    outage = (MONDAY + WEEK + 10 * HOUR, MONDAY + WEEK + 34 * HOUR)
    tape = Tape(ups=but(busy(600), outage)).until(MONDAY + WEEK + 2 * DAY)
    assert never_silent(tape)
    assert tape.believed() == tape.now_ms


def test_a_backlog_is_drained_before_anything_is_believed() -> None:
    end = WEDNESDAY_NOON + DAY
    live = but(busy(600), (WEDNESDAY_NOON, end))

    def came(at_ms: int) -> int | Arrivals:
        usual = live(at_ms)
        assert isinstance(usual, int)
        backlog = 120 if end <= at_ms < end + 50 * MINUTE else 0
        return Arrivals(usual + backlog, late=backlog)

    tape = learned(came).until(end + 45 * MINUTE)
    assert tape.believed() < WEDNESDAY_NOON + 5 * MINUTE, "the backlog is still coming"
    tape.until(end + 2 * HOUR)
    assert tape.believed() == tape.now_ms
    spell = tape.spell()
    assert spell is not None
    assert end + 50 * MINUTE <= spell.ended * MINUTE_MS <= end + 75 * MINUTE
    assert spell.expected > 4_000
    assert spell.seen > 6_000


def test_without_a_backlog_two_hours_are_waited_for_it() -> None:
    end = WEDNESDAY_NOON + 20 * HOUR
    tape = learned(but(busy(600), (WEDNESDAY_NOON, end)))
    tape.until(end + 110 * MINUTE)
    assert tape.believed() < WEDNESDAY_NOON + 5 * MINUTE
    tape.until(end + 140 * MINUTE)
    assert tape.believed() == tape.now_ms


def test_a_short_doubt_ends_when_it_is_heard_again() -> None:
    tape = learned(but(busy(60), (WEDNESDAY_NOON, WEDNESDAY_NOON + 15 * MINUTE)))
    tape.until(WEDNESDAY_NOON + 14 * MINUTE)
    assert tape.believed() < tape.now_ms
    tape.until(WEDNESDAY_NOON + 25 * MINUTE)
    assert tape.believed() == tape.now_ms
    assert never_silent(tape)


def test_what_is_held_in_a_long_doubt_is_looked_at_less_and_less_often() -> None:
    dead = WEDNESDAY_NOON
    tape = learned(lambda at_ms: int(at_ms % (30 * MINUTE) == 0 and at_ms < dead)).until(dead + 4 * HOUR)
    due_ms = tape.now_ms
    looks = []
    while tape.now_ms < dead + 9 * HOUR:
        holding = Holding(tape.feeds, (), tape.now_ms)
        assert holding.holds(("missing_first_scan", "", "1"), "ups", due_ms, Worth())
        looks.append((tape.now_ms - due_ms) // MINUTE)
        tape.until(holding.again_ms)
    assert looks[:5] == [0, 5, 10, 20, 40], "soon at first"
    assert len(looks) <= 15, "five hours of a doubt"


def test_nothing_is_held_for_longer_than_two_days() -> None:
    friday = FOURTH_MONDAY + 4 * DAY + 12 * HOUR
    tape = learned(but(busy(600), (friday, friday + 4 * DAY)))
    tape.until(friday + 2 * DAY)
    assert friday <= tape.believed() <= friday + 5 * MINUTE
    tape.until(friday + 3 * DAY)
    assert tape.believed() == friday + DAY
    tape.until(friday + 5 * DAY)
    assert tape.believed() == tape.now_ms
    assert len(tape.looked) == 2, "one spell: it began, and it ended"


@pytest.mark.parametrize("country", ["FR", ""])
def test_a_public_holiday_is_no_outage(country: str) -> None:
    easter_monday = MONDAY + 13 * WEEK  # 2026-04-06
    quiet = (easter_monday, easter_monday + DAY)
    tape = Tape(terms(country=country), begin_ms=easter_monday - 3 * WEEK, ups=but(busy(600), quiet))
    tape.until(easter_monday + 2 * DAY)
    assert never_silent(tape) == bool(country)


def test_our_own_downtime_is_nobodys_silence_and_teaches_nothing() -> None:
    tape = learned(busy(600)).until(WEDNESDAY_NOON)
    tape.until(WEDNESDAY_NOON + 6 * HOUR, marked=False)
    assert tape.believed() == tape.now_ms
    tape.until(FOURTH_MONDAY + WEEK)
    assert never_silent(tape)


def test_who_was_silent_while_we_were_down_was_silent() -> None:
    quiet = but(busy(600), (WEDNESDAY_NOON - HOUR, WEDNESDAY_NOON + 6 * HOUR))
    tape = Tape(ups=quiet, dpd=busy(600, seed=2)).until(WEDNESDAY_NOON)
    tape.until(WEDNESDAY_NOON + 5 * HOUR, marked=False)
    assert tape.is_silent("ups")
    assert not tape.is_silent("dpd")
    assert tape.believed("dpd") == tape.now_ms


def test_a_feed_that_comes_and_goes_is_one_case() -> None:
    flaps = [
        (WEDNESDAY_NOON + 2 * hour * HOUR, WEDNESDAY_NOON + (2 * hour + 1) * HOUR + 50 * MINUTE)
        for hour in range(3)
    ]
    tape = learned(but(busy(600), *flaps)).until(WEDNESDAY_NOON + 12 * HOUR)
    assert len(tape.looked) == 2


@pytest.mark.parametrize("seed", range(6))
def test_a_carrier_with_a_few_scans_a_day_is_never_silent_by_chance(seed: int) -> None:
    tape = Tape(ups=busy(3, seed=seed)).until(MONDAY + 7 * WEEK)
    assert never_silent(tape)


@cache
def batches() -> tuple[int, ...]:
    draw = Random(5)
    return tuple(draw.randrange(150, 250) for _ in range(1_000))


def in_batches(at_ms: int) -> int:
    """A file of two hundred scans every four hours."""
    return batches()[at_ms // (4 * HOUR) % 1_000] if at_ms % (4 * HOUR) == 0 else 0


def test_a_carrier_that_sends_a_file_every_four_hours_is_not_silent_between_them() -> None:
    missing = (FOURTH_MONDAY + 2 * WEEK + HOUR, FOURTH_MONDAY + 2 * WEEK + 23 * HOUR)
    tape = Tape(ups=but(in_batches, missing)).until(missing[0])
    assert never_silent(tape)
    tape.until(missing[1])
    assert tape.is_silent()


def test_a_feed_that_stutters_and_dies_is_one_case() -> None:
    begin = FOURTH_MONDAY + 10 * HOUR
    dead = (begin + 5 * MINUTE, begin + 40 * DAY)
    tape = learned(but(busy(3_000), (begin, begin + 3 * MINUTE), dead)).until(begin + 3 * HOUR)
    assert tape.is_silent()
    assert [name for _, name in tape.looked] == ["ups"]
    spell = tape.spell()
    assert spell is not None
    assert dead[0] <= spell.told * MINUTE_MS <= begin + 40 * MINUTE
    assert tape.believed() <= begin + 2 * MINUTE


def going_over_to_batches(per_hour: int, every: int) -> Came:
    """A trickle for three weeks, and from then on the same in one batch every so many minutes."""
    usual, waiting = busy(per_hour), [0]

    def came(at_ms: int) -> int:
        more = usual(at_ms)
        assert isinstance(more, int)
        if at_ms < FOURTH_MONDAY:
            return more
        waiting[0] += more
        if (at_ms // MINUTE) % every:
            return 0
        more, waiting[0] = waiting[0], 0
        return more

    return came


@pytest.mark.parametrize(
    ("per_hour", "every", "cases"), [(600, 60, 1), (600, 240, 1), (3_000, 10, 0), (600, 480, 3), (60, 240, 3)]
)
def test_a_carrier_that_goes_over_to_batches_is_told_of_three_times_at_most_and_then_known(
    per_hour: int, every: int, cases: int
) -> None:
    tape = learned(going_over_to_batches(per_hour, every)).until(FOURTH_MONDAY + WEEK)
    assert len(tape.looked) == 2 * cases
    doubted = 0
    for _ in range(2 * 7 * 24):
        tape.until(tape.now_ms + HOUR)
        doubted += tape.believed() < tape.now_ms - 15 * MINUTE
    assert len(tape.looked) == 2 * cases, "it is known now"
    if every < 480:
        assert doubted <= 33, "of 336 times: what comes in batches is believed between them"
    end = tape.now_ms + 12 * HOUR
    tape.came = {"ups": but(tape.came["ups"], (end, end + 9 * DAY))}
    tape.until(end + 26 * HOUR)
    assert tape.is_silent()


def working_hours(at_ms: int) -> int:
    """Ten a minute on working days, from a time between 8:00 and 8:30 until one between 17:15 and 17:45."""
    day, minute = divmod((at_ms - MONDAY) // MINUTE, 24 * 60)
    draw = Random(day)
    begin, end = 8 * 60 + draw.randrange(31), 17 * 60 + 15 + draw.randrange(31)
    return 10 if day % 7 < 5 and begin <= minute < end else 0


def test_a_day_that_ends_in_the_middle_of_an_hour_is_believed_overnight_and_over_the_weekend() -> None:
    tape = learned(working_hours)
    for day in range(3 * 7):
        for hour in (12, 18, 21, 31):
            tape.until(FOURTH_MONDAY + day * DAY + hour * HOUR)
            assert tape.believed() == tape.now_ms, (day, hour)
    assert never_silent(tape)


def test_who_is_doubted_for_more_than_is_usual_is_doubted_overnight() -> None:
    evening = FOURTH_MONDAY + 19 * HOUR
    tape = learned(but(busy(60), (evening, evening + 30 * DAY))).until(evening + 8 * HOUR)
    assert not tape.is_silent()
    assert evening <= tape.believed() <= evening + HOUR


def test_who_falls_silent_shortly_before_work_is_over_is_told_of_on_that_day() -> None:
    def opening_hours(at_ms: int) -> int:
        hours = (at_ms - MONDAY) // HOUR
        return 2 if hours // 24 % 7 < 5 and 8 <= hours % 24 < 18 else 0

    friday = FOURTH_MONDAY + 4 * DAY + 17 * HOUR + 40 * MINUTE
    tape = learned(but(opening_hours, (friday, friday + 30 * DAY))).until(friday + 40 * HOUR)
    assert [(at_ms - friday) // MINUTE for at_ms, _ in tape.looked] == [30]
    assert friday <= tape.believed() <= friday + 5 * MINUTE


def test_less_than_half_of_the_usual_is_no_silence() -> None:
    usual = busy(600)

    def fewer(at_ms: int) -> int:
        came = usual(at_ms)
        assert isinstance(came, int)
        half = sum((at_ms // MINUTE + one) % 2 for one in range(came))
        return came if at_ms < FOURTH_MONDAY else half

    assert never_silent(learned(fewer).until(FOURTH_MONDAY + 2 * WEEK))


def test_saturdays_that_stay_quiet_are_learned() -> None:
    saturdays = [(MONDAY + week * WEEK + 5 * DAY, MONDAY + week * WEEK + 6 * DAY) for week in range(3, 8)]
    tape = learned(but(busy(600), *saturdays)).until(MONDAY + 8 * WEEK)
    assert len(tape.looked) == 2 * 3, "told three times, and then known"


def test_what_was_not_heard_of_for_two_weeks_is_no_longer_expected() -> None:
    gone = (WEDNESDAY_NOON, WEDNESDAY_NOON + 40 * DAY)
    tape = learned(but(busy(600), gone)).until(WEDNESDAY_NOON + 13 * DAY)
    assert tape.is_silent()
    tape.until(WEDNESDAY_NOON + 15 * DAY)
    assert "ups" not in tape.feeds.by_name
    assert tape.believed() == tape.now_ms
    assert len(tape.looked) == 2


@pytest.mark.parametrize(
    ("rule", "wrong"), [("feed_lagging", "late"), ("mapping_gap", "unmapped"), ("clock_skew", "clamped")]
)
def test_more_of_a_feed_than_usual_is_late_or_unknown_or_dated_ahead(rule: str, wrong: str) -> None:
    begin, end = WEDNESDAY_NOON, WEDNESDAY_NOON + 5 * HOUR
    usual = busy(600)

    def came(at_ms: int) -> Arrivals:
        count = usual(at_ms)
        assert isinstance(count, int)
        bad = count if begin <= at_ms < end else count // 20
        return Arrivals(count, **{wrong: bad if wrong != "clamped" or begin <= at_ms < end else 0})

    tape = learned(came).until(begin)
    assert never_silent(tape)
    tape.until(begin + 2 * HOUR)
    spell = tape.spell(rule)
    assert spell is not None
    assert (spell.since * MINUTE_MS, spell.ended) == (begin, 0)
    tape.until(end + 2 * HOUR)
    assert spell.ended * MINUTE_MS == end + HOUR
    assert tape.believed() == tape.now_ms, "what comes late is not silent"


def test_a_feed_that_nobody_wants_watched_is_believed() -> None:
    tape = learned(
        but(busy(600), (WEDNESDAY_NOON, WEDNESDAY_NOON + DAY)), {"of": {"ups": {"watched": False}}}
    )
    tape.until(WEDNESDAY_NOON + 10 * HOUR)
    assert "ups" not in tape.feeds.by_name
    assert tape.believed() == tape.now_ms


def test_a_rhythm_follows_the_clocks_of_its_country() -> None:
    """At the end of March work begins an hour earlier by UTC, and is as early as ever."""
    change = MONDAY + 12 * WEEK - DAY + HOUR  # 2026-03-29 01:00 UTC
    usual = busy(600)

    def local(at_ms: int) -> int | Arrivals:
        return usual(at_ms + HOUR if at_ms < change else at_ms + 2 * HOUR)

    begin = MONDAY + 9 * WEEK
    assert never_silent(
        Tape(terms(time_zone="Europe/Paris"), begin_ms=begin, ups=local).until(change + 2 * DAY)
    )


def test_what_is_kept_is_bounded_while_something_holds_the_watermark() -> None:
    tape = learned(busy(600))
    for hour in range(40 * 24):
        tape.fold(FOURTH_MONDAY + (hour + 1) * HOUR)
    for minute in range(3 * 24 * 60):
        tape.fold(FOURTH_MONDAY + 40 * DAY + (minute + 1) * MINUTE)
    feed = tape.feed()
    assert len(feed.ahead) <= 96
    assert len(feed.lumps) <= 32
    tape.advance(tape.now_ms)
    assert never_silent(tape)
