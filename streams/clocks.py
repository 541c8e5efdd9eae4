"""Clocks: when a budget that began at an event time is used up. Milliseconds in, milliseconds out.

A clock of N business days: a start outside the facility's hours, on a day it does not work, or after its cut-off is moved to
the next opening; the deadline is the same local time on the N-th working day after. Local times are those of the
facility's time zone, so a deadline keeps its time of day when the clocks change. A local time that a change to summer
time skips is taken as the offset before the change makes it; one that comes twice is the first of the two.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import holidays

from schemas.durations import Budget, BusinessDays
from schemas.policy import DAYS, Facility

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


class Clock(Protocol):
    """Turns the time at which something began to be waited for into the time at which the waiting has been too long."""

    least_ms: int
    """No deadline is nearer to its start than this."""

    def due_ms(self, since_ms: int) -> int:
        """Epoch ms at which the budget that began at `since_ms` is used up."""
        ...


class PlainClock:
    """Counts every hour."""

    __slots__ = ("least_ms",)

    def __init__(self, budget: timedelta) -> None:
        self.least_ms = to_ms(budget)

    def due_ms(self, since_ms: int) -> int:
        """Start plus budget."""
        return since_ms + self.least_ms


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
        local = (_EPOCH + timedelta(milliseconds=since_ms)).astimezone(self._zone)
        day, clock = local.date(), local.time()
        if not self.works_on(day) or clock > self._cut_off:
            day, clock = self.next_working_day(day), self._opens
        elif clock < self._opens:
            clock = self._opens
        for _ in range(count):
            day = self.next_working_day(day)
        due = datetime.combine(day, clock, self._zone)
        return (due - _EPOCH) // _MS


class BusinessClock:
    """Counts the working days of a facility."""

    __slots__ = ("_calendar", "_count", "least_ms")

    def __init__(self, calendar: BusinessCalendar, count: int) -> None:
        self._calendar, self._count = calendar, count
        self.least_ms = max(0, count * DAY_MS - _CLOCK_CHANGE_MS)

    def due_ms(self, since_ms: int) -> int:
        """See the head of this file."""
        return self._calendar.due_ms(since_ms, self._count)


ALWAYS_WEEKDAYS = Facility(time_zone="UTC", opens=time(0), closes=time.max)
"""For a parcel that goes to no facility we know: Monday to Friday in UTC, no holidays."""


def clock_of(budget: Budget, calendar: BusinessCalendar) -> Clock:
    """The clock of a budget."""
    if isinstance(budget, BusinessDays):
        return BusinessClock(calendar, budget.count)
    return PlainClock(budget)
