"""Deadlines: plain hours, and business days in the facility's own time."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.facilities import Facility
from streams.clocks import ALWAYS_WEEKDAYS, BusinessCalendar, PlainClock

PARIS = Facility(time_zone="Europe/Paris", country="FR", opens=time(8), closes=time(17))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ms(text: str) -> int:
    return int((datetime.fromisoformat(text) - EPOCH) / timedelta(milliseconds=1))


def due(facility: Facility, start: str, count: int = 1) -> str:
    at = BusinessCalendar(facility).due_ms(ms(start), count)
    return (EPOCH + timedelta(milliseconds=at)).isoformat()


def test_a_plain_clock_counts_every_hour() -> None:
    assert PlainClock(timedelta(hours=72)).due_ms(1_000) == 72 * 3_600_000 + 1_000


@pytest.mark.parametrize(
    ("start", "deadline"),
    [
        pytest.param(
            "2026-01-06T09:00+00:00", "2026-01-07T09:00:00+00:00", id="the same time on the next working day"
        ),
        pytest.param("2026-01-09T09:00+00:00", "2026-01-12T09:00:00+00:00", id="a Friday has until Monday"),
        pytest.param(
            "2026-01-06T02:00+00:00", "2026-01-07T07:00:00+00:00", id="before opening counts from opening"
        ),
        pytest.param(
            "2026-01-06T18:00+00:00",
            "2026-01-08T07:00:00+00:00",
            id="after closing counts from the next opening",
        ),
        pytest.param(
            "2026-01-10T10:00+00:00",
            "2026-01-13T07:00:00+00:00",
            id="a Saturday counts from Monday's opening",
        ),
        pytest.param(
            "2026-05-01T09:00+00:00", "2026-05-05T06:00:00+00:00", id="a holiday counts from the next opening"
        ),
        pytest.param(
            "2026-04-30T09:00+00:00", "2026-05-04T09:00:00+00:00", id="a holiday in between does not count"
        ),
        pytest.param(
            "2026-03-27T09:00+00:00", "2026-03-30T08:00:00+00:00", id="the clocks go forward at the weekend"
        ),
        pytest.param(
            "2026-10-23T09:00+00:00", "2026-10-26T10:00:00+00:00", id="the clocks go back at the weekend"
        ),
    ],
)
def test_one_business_day_in_lille(start: str, deadline: str) -> None:
    assert due(PARIS, start) == deadline


def test_what_comes_after_the_cut_off_counts_from_the_next_opening() -> None:
    early = PARIS.model_copy(update={"cut_off": time(12)})
    assert due(early, "2026-01-06T10:59+00:00") == "2026-01-07T10:59:00+00:00"
    assert due(early, "2026-01-06T11:01+00:00") == "2026-01-08T07:00:00+00:00"


def test_other_working_days_and_other_holidays() -> None:
    dubai = Facility(time_zone="Asia/Dubai", working_days=("sun", "mon", "tue", "wed", "thu"))
    assert due(dubai, "2026-01-08T09:00+00:00") == "2026-01-11T09:00:00+00:00"
    saxony = Facility(time_zone="Europe/Berlin", country="DE", subdivision="SN")
    berlin = Facility(time_zone="Europe/Berlin", country="DE", subdivision="BE")
    reformation_day = "2025-10-30T09:00+00:00"
    assert due(saxony, reformation_day) == "2025-11-03T09:00:00+00:00"
    assert due(berlin, reformation_day) == "2025-10-31T09:00:00+00:00"


def test_a_facility_that_nobody_described_works_monday_to_friday_in_utc() -> None:
    assert due(ALWAYS_WEEKDAYS, "2026-01-02T23:30+00:00") == "2026-01-05T23:30:00+00:00"
    assert due(ALWAYS_WEEKDAYS, "2026-01-03T23:30+00:00") == "2026-01-06T00:00:00+00:00"


@settings(max_examples=100, deadline=None)
@given(st.integers(ms("2025-01-01T00:00+00:00"), ms("2027-12-31T00:00+00:00")), st.integers(1, 5))
def test_what_is_remembered_per_quarter_of_an_hour_is_what_counting_gives(start: int, count: int) -> None:
    for zone in ("Europe/Paris", "Australia/Lord_Howe", "Asia/Kathmandu"):
        facility = Facility(time_zone=zone, country="FR", opens=time(8, 7), closes=time(16, 40, 30))
        calendar = BusinessCalendar(facility)
        assert calendar.due_ms(start, count) == calendar._work_out(start, count)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(ms("2026-01-01T00:00+00:00"), ms("2026-12-31T00:00+00:00")), min_size=2, max_size=20)
)
def test_a_later_start_is_never_due_earlier(starts: list[int]) -> None:
    calendar = BusinessCalendar(PARIS)
    dues = [calendar.due_ms(start, 2) for start in sorted(starts)]
    assert dues == sorted(dues)
    assert all(due_ms > start for due_ms, start in zip(dues, sorted(starts), strict=True))
