"""Business days of a facility, counted plainly, day by day; written apart from the rules so that it can judge them.

A clock of N business days works like this. A start outside the facility's hours is moved to the next opening.
The deadline is the same local time on the N-th business day after the start's day.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import holidays

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """When a facility works. `opens` and `closes` are local times; `working_days` counts from Monday = 0.

    `country`: whose public holidays it keeps; "" for none.
    """

    time_zone: str
    country: str
    subdivision: str | None = None
    opens: time = time(0)
    closes: time = time(23, 59, 59)
    working_days: frozenset[int] = field(default=frozenset({0, 1, 2, 3, 4}))

    def local(self, at: datetime) -> datetime:
        """The facility's local time of an aware time."""
        return at.astimezone(ZoneInfo(self.time_zone))

    def at_clock(self, at: datetime, hour: int) -> datetime:
        """The full hour `hour` of the local day of `at`, as aware UTC."""
        return self.local(at).replace(hour=hour, minute=0, second=0, microsecond=0).astimezone(UTC)

    def for_policy(self) -> dict[str, Any]:
        """This calendar as an entry of a policy's `facilities`."""
        entry: dict[str, Any] = {"time_zone": self.time_zone, "country": self.country}
        if self.subdivision:
            entry["subdivision"] = self.subdivision
        return {**entry, "opens": f"{self.opens:%H:%M}", "closes": f"{self.closes:%H:%M}"}


@lru_cache(maxsize=256)
def _public_holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    if not country:
        return frozenset()
    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))


def works_on(day: date, calendar: Calendar) -> bool:
    """Whether the facility works on that local date."""
    if day.weekday() not in calendar.working_days:
        return False
    return day not in _public_holidays(calendar.country, calendar.subdivision, day.year)


def is_business_day(at: datetime, calendar: Calendar) -> bool:
    """Whether the facility works on the local date of `at`."""
    return works_on(calendar.local(at).date(), calendar)


def _next_working_day(day: date, calendar: Calendar) -> date:
    day += _DAY
    while not works_on(day, calendar):
        day += _DAY
    return day


def add_business_days(start: datetime, count: int, calendar: Calendar) -> datetime:
    """Deadline of a clock of `count` business days that starts at `start`; aware UTC."""
    local = calendar.local(start)
    day, clock = local.date(), local.time()
    if not works_on(day, calendar) or clock > calendar.closes:
        day, clock = _next_working_day(day, calendar), calendar.opens
    elif clock < calendar.opens:
        clock = calendar.opens
    for _ in range(count):
        day = _next_working_day(day, calendar)
    return datetime.combine(day, clock, ZoneInfo(calendar.time_zone)).astimezone(UTC)
