"""What is told of a deadline adds up to the deadline, for any start, calendar, allowance and change of the clocks."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.durations import Budget, BusinessDays
from schemas.facilities import DAYS, Facility
from streams.clocks import BusinessCalendar, CountedDays, Moved, clock_of
from streams.reckoning import Later, reckon
from streams.terms import Deadline

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
HOUR_MS = 3_600_000
ZONES = (
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Santiago",
    "UTC",
)
CHANGES_OF_CLOCKS = (
    "2026-03-29T01:00",
    "2026-10-25T01:00",
    "2026-03-08T07:00",
    "2026-11-01T06:00",
    "2026-04-04T15:00",
)


def ms(at: datetime) -> int:
    return (at - EPOCH) // MS


STARTS = st.one_of(
    st.integers(ms(datetime(2025, 1, 1, tzinfo=UTC)), ms(datetime(2027, 12, 31, tzinfo=UTC))),
    st.builds(
        lambda text, hours: ms(datetime.fromisoformat(text).replace(tzinfo=UTC)) + hours,
        st.sampled_from(CHANGES_OF_CLOCKS),
        st.integers(-48 * HOUR_MS, 48 * HOUR_MS),
    ),
)


@st.composite
def facilities(draw: st.DrawFn) -> Facility:
    opens, closes = sorted(draw(st.lists(st.times(), min_size=2, max_size=2, unique=True)))
    noon = draw(st.sampled_from((None, closes, opens)))
    days = draw(st.sets(st.sampled_from(DAYS), min_size=1))
    return Facility(
        time_zone=draw(st.sampled_from(ZONES)),
        country=draw(st.sampled_from(("", "FR", "US", "DE"))),
        opens=opens,
        closes=closes,
        cut_off=noon,
        working_days=tuple(days),
    )


BUDGETS: st.SearchStrategy[Budget] = st.one_of(
    st.timedeltas(timedelta(0), timedelta(days=40)), st.builds(BusinessDays, st.integers(1, 9))
)


@settings(max_examples=300, deadline=None)
@given(
    start_ms=STARTS,
    facility=facilities(),
    budget=BUDGETS,
    allowance_ms=st.one_of(st.just(0), st.integers(0, 72 * HOUR_MS)),
    arrived_after_ms=st.one_of(st.integers(0, HOUR_MS), st.integers(-HOUR_MS, 60 * 24 * HOUR_MS)),
    settle_ms=st.integers(0, 2 * HOUR_MS),
)
def test_the_parts_add_up_to_the_deadline(
    *,
    start_ms: int,
    facility: Facility,
    budget: Budget,
    allowance_ms: int,
    arrived_after_ms: int,
    settle_ms: int,
) -> None:
    clock = clock_of(budget, BusinessCalendar(facility))
    deadline = Deadline(clock, allowance_ms, settle_ms, enabled=True)
    arrived_ms = start_ms + arrived_after_ms
    told = reckon(deadline, start_ms, arrived_ms)
    assert told.due_ms == deadline.due_ms(start_ms, arrived_ms)
    assert told.used_up_ms + sum(part.more_ms for part in told.later) == told.due_ms
    assert [part.why for part in told.later] in (
        [],
        [Later.ALLOWANCE],
        [Later.SETTLE],
        [Later.ALLOWANCE, Later.SETTLE],
    )
    if isinstance(budget, BusinessDays):
        assert told.counted is not None
        every_day_is_accounted_for(told.counted, start_ms, facility, budget.count)
    else:
        assert told.counted is None
        assert told.used_up_ms == start_ms + budget // MS


def every_day_is_accounted_for(told: CountedDays, start_ms: int, facility: Facility, count: int) -> None:
    """Each date from the start's to the deadline's is the one it counts from, or counted, or skipped, and once only."""
    zone = ZoneInfo(facility.time_zone)
    start, effective = (
        (EPOCH + timedelta(milliseconds=at)).astimezone(zone) for at in (start_ms, told.started_ms)
    )
    assert len(told.days) == count
    skipped = [off.day for off in told.skipped]
    assert sorted({*told.days, *skipped}) == sorted([*told.days, *skipped])
    between = [
        start.date() + timedelta(days=number) for number in range((told.days[-1] - start.date()).days + 1)
    ]
    begun = {effective.date(), start.date()} - set(skipped)
    assert set(between) == begun | set(told.days) | set(skipped)
    for off in told.skipped:
        assert bool(off.holiday) == (DAYS[off.day.weekday()] in facility.working_days)
    for day in told.days:
        assert DAYS[day.weekday()] in facility.working_days
    clock = start.time() if told.moved is Moved.NOT else facility.opens
    assert told.due_ms == at_local(told.days[-1], clock, zone)
    assert told.started_ms == (
        start_ms if told.moved is Moved.NOT else at_local(effective.date(), clock, zone)
    )


def at_local(day: date, clock: time, zone: ZoneInfo) -> int:
    return ms(datetime.combine(day, clock, zone).astimezone(UTC))
