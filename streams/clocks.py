"""Clocks: when a budget that began at an event time is used up. Milliseconds in, milliseconds out.

A clock of N business days: a start outside the facility's hours, on a day it does not work, or after its cut-off is moved to
the next opening; the deadline is the same local time on the N-th working day after. Local times are those of the
facility's time zone, so a deadline keeps its time of day when the clocks change. A local time that a change to summer
time skips is taken as the offset before the change makes it; one that comes twice is the first of the two.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

import holidays

from schemas.durations import Budget, BusinessDays
from schemas.facilities import DAYS, Facility

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_MS = timedelta(milliseconds=1)

DAY_MS = 86_400_000
_QUARTER_MS = 900_000
_CLOCK_CHANGE_MS = 26 * 3_600_000
"""No two times of day, so many dates apart, are nearer than the dates by more than this, whatever the zone does meanwhile."""


def to_ms(duration: timedelta) -> int:
    """A duration in whole milliseconds."""
    return duration // _MS


def from_ms(duration_ms: int) -> timedelta:
    """Whole milliseconds as a duration."""
    return timedelta(milliseconds=duration_ms)


class Moved(StrEnum):
    """Why a clock of business days does not count from the start itself, but from the next opening."""

    NOT = ""
    BEFORE_OPENING = "before_opening"
    AFTER_CUT_OFF = "after_cut_off"
    NO_WORKING_DAY = "no_working_day"


class DayOff(NamedTuple):
    """A day that a clock does not count. `holiday`: "" for a day on which the facility does not work in any week."""

    day: date
    holiday: str


class CountedDays(NamedTuple):
    """How a deadline of business days came about: from `started_ms` over `days` to the same local time on the last of them."""

    time_zone: str
    moved: Moved
    started_ms: int
    days: tuple[date, ...]
    skipped: tuple[DayOff, ...]
    due_ms: int


class Clock(Protocol):
    """Turns the time at which something began to be waited for into the time at which the waiting has been too long."""

    least_ms: int
    """No deadline is nearer to its start than this."""

    def due_ms(self, since_ms: int) -> int:
        """Epoch ms at which the budget that began at `since_ms` is used up."""
        ...

    def counted(self, since_ms: int) -> CountedDays | None:
        """How `due_ms` comes about, of a clock that does not count every hour."""
        ...


class PlainClock:
    """Counts every hour."""

    __slots__ = ("least_ms",)

    def __init__(self, budget: timedelta) -> None:
        self.least_ms = to_ms(budget)

    def due_ms(self, since_ms: int) -> int:
        """Start plus budget."""
        return since_ms + self.least_ms

    def counted(self, since_ms: int) -> None:
        """Nothing is left out."""


class BusinessCalendar:
    """Working days and hours of one facility."""

    def __init__(self, facility: Facility) -> None:
        self._zone = ZoneInfo(facility.time_zone)
        self._opens, self._closes = facility.opens, facility.closes
        self._cut_off = facility.cut_off or facility.closes
        self._week_days = frozenset(DAYS.index(day) for day in facility.working_days)
        self._country, self._subdivision = facility.country, facility.subdivision
        self._holidays: dict[int, frozenset[date]] = {}
        self._next: dict[date, date] = {}
        self._quarters: dict[tuple[int, int], tuple[int, int]] = {}

    def works_on(self, day: date) -> bool:
        """Whether the facility works on this local date."""
        return day.weekday() in self._week_days and day not in self._holidays_of(day.year)

    def _holidays_of(self, year: int) -> frozenset[date]:
        days = self._holidays.get(year)
        if days is None:
            days = frozenset(
                holidays.country_holidays(self._country, subdiv=self._subdivision, years=year)
                if self._country
                else ()
            )
            self._holidays[year] = days
        return days

    def next_working_day(self, day: date) -> date:
        """The first working day after `day`."""
        found = self._next.get(day)
        if found is None:
            found = day + _DAY
            while not self.works_on(found):
                found += _DAY
            self._next[day] = found
        return found

    def due_ms(self, since_ms: int, count: int) -> int:
        """Epoch ms of the deadline, `count` working days after the effective start.

        Within most quarters of an hour the deadline keeps pace with the start, or does not move; these are kept.
        """
        quarter = since_ms // _QUARTER_MS
        known = self._quarters.get((quarter, count))
        if known is None:
            first = self._work_out(quarter * _QUARTER_MS, count)
            last = self._work_out(quarter * _QUARTER_MS + _QUARTER_MS - 1, count)
            pace = {0: 0, _QUARTER_MS - 1: 1}.get(last - first)
            known = self._quarters[(quarter, count)] = (first, -1 if pace is None else pace)
        due_ms, pace = known
        return self._work_out(since_ms, count) if pace < 0 else due_ms + pace * (since_ms % _QUARTER_MS)

    def _work_out(self, since_ms: int, count: int) -> int:
        day, clock, _ = self._opening(self._local(since_ms))
        for _ in range(count):
            day = self.next_working_day(day)
        return self._at(day, clock)

    def _local(self, since_ms: int) -> datetime:
        return (_EPOCH + timedelta(milliseconds=since_ms)).astimezone(self._zone)

    def _opening(self, local: datetime) -> tuple[date, time, Moved]:
        """The day and time from which a start counts, and why not from itself."""
        day, clock = local.date(), local.time()
        if not self.works_on(day):
            return self.next_working_day(day), self._opens, Moved.NO_WORKING_DAY
        if clock > self._cut_off:
            return self.next_working_day(day), self._opens, Moved.AFTER_CUT_OFF
        if clock < self._opens:
            return day, self._opens, Moved.BEFORE_OPENING
        return day, clock, Moved.NOT

    def _at(self, day: date, clock: time) -> int:
        return (datetime.combine(day, clock, self._zone) - _EPOCH) // _MS

    def counted(self, since_ms: int, count: int) -> CountedDays:
        """How `due_ms` comes about, by the same steps."""
        local = self._local(since_ms)
        day, clock, moved = self._opening(local)
        started_ms = self._at(day, clock) if moved is not Moved.NOT else since_ms
        skipped = [*self._days_off(local.date(), day, first=moved is Moved.NO_WORKING_DAY)]
        days = []
        for _ in range(count):
            following = self.next_working_day(day)
            skipped += self._days_off(day, following, first=False)
            days.append(following)
            day = following
        zone = self._zone.key
        return CountedDays(zone, moved, started_ms, tuple(days), tuple(skipped), self._at(day, clock))

    def _days_off(self, after: date, before: date, *, first: bool) -> Iterator[DayOff]:
        """The days between the two that do not count, and why; `first`: `after` itself is one."""
        day = after if first else after + _DAY
        while day < before:
            yield DayOff(day, self._holiday(day))
            day += _DAY

    def _holiday(self, day: date) -> str:
        """Its name, in English where there is one; "" for a day on which the facility does not work in any week."""
        if day.weekday() not in self._week_days:
            return ""
        named = holidays.country_holidays(
            self._country, subdiv=self._subdivision, years=day.year, language="en_US"
        )
        return named.get(day) or "holiday"


class BusinessClock:
    """Counts the working days of a facility."""

    __slots__ = ("_calendar", "_count", "least_ms")

    def __init__(self, calendar: BusinessCalendar, count: int) -> None:
        self._calendar, self._count = calendar, count
        self.least_ms = max(0, count * DAY_MS - _CLOCK_CHANGE_MS)

    def due_ms(self, since_ms: int) -> int:
        """See the head of this file."""
        return self._calendar.due_ms(since_ms, self._count)

    def counted(self, since_ms: int) -> CountedDays:
        """How that comes about."""
        return self._calendar.counted(since_ms, self._count)


ALWAYS_WEEKDAYS = Facility(time_zone="UTC", opens=time(0), closes=time.max)
"""For a parcel that goes to no facility we know: Monday to Friday in UTC, no holidays."""


def clock_of(budget: Budget, calendar: BusinessCalendar) -> Clock:
    """The clock of a budget."""
    if isinstance(budget, BusinessDays):
        return BusinessClock(calendar, budget.count)
    return PlainClock(budget)
