"""The policy's numbers about feeds, made ready for use, and which hour of its week an hour is for a feed.

Feeds are reckoned in whole minutes since the epoch. What may be expected of one is an integer: arrivals times `ARRIVAL`, so that
no verdict depends on how a computer rounds.
"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays

from schemas.feed_policy import WatchedFeed
from schemas.money import minor_units
from schemas.policy import Policy
from streams.clocks import to_ms

MINUTE_MS = 60_000
ARRIVAL = 60_000
"""One arrival, where rates are thousandths of an arrival per hour and times are minutes."""
HOLIDAY = -1
"""Hour of a week in which nothing is expected, and nothing learned."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_HOURS = 5_000
_USUAL = WatchedFeed()


class WeekHours:
    """Hours of the week in one time zone, with the public holidays of one country."""

    def __init__(self, zone: str, country: str) -> None:
        self._zone, self._country = ZoneInfo(zone), country
        self._holidays: dict[int, frozenset[date]] = {}
        self._slots: dict[int, int] = {}

    def slot(self, hour: int) -> int:
        """0 to 167 of an hour since the epoch, Monday's first hour is 0; HOLIDAY."""
        found = self._slots.get(hour)
        if found is None:
            if len(self._slots) >= _MOST_HOURS:
                self._slots.clear()
            found = self._slots[hour] = self._work_out(hour)
        return found

    def _work_out(self, hour: int) -> int:
        local = (_EPOCH + timedelta(hours=hour)).astimezone(self._zone)
        if self._country and local.date() in self._holidays_of(local.year):
            return HOLIDAY
        return local.weekday() * 24 + local.hour

    def _holidays_of(self, year: int) -> frozenset[date]:
        days = self._holidays.get(year)
        if days is None:
            days = self._holidays[year] = frozenset(holidays.country_holidays(self._country, years=year))
        return days


def hours_between(zone: str, other: str, hour: int) -> int:
    """By how many hours the clocks of another time zone are ahead, in an hour since the epoch; half ones are left out."""
    at = _EPOCH + timedelta(hours=hour)
    offsets = [at.astimezone(ZoneInfo(name)).utcoffset() or timedelta(0) for name in (zone, other)]
    return (offsets[1] - offsets[0]) // timedelta(hours=1)


class FeedTerms:
    """See the head of this file."""

    def __init__(self, policy: Policy) -> None:
        numbers = policy.feeds
        self._all_watched, self._of = numbers.watched, numbers.of
        self.suspect = numbers.suspect_after * ARRIVAL
        self.silent = numbers.silent_after * ARRIVAL
        self.least_per_week = 2_000 * numbers.silent_after
        """Thousandths of an arrival: of a smaller feed a silence tells nothing."""
        self.silent_minutes = to_ms(numbers.silent_for) // MINUTE_MS
        self.hold_longest_ms = to_ms(numbers.hold_longest)
        self.drain_least_minutes = to_ms(numbers.drain_least) // MINUTE_MS
        self.drain_longest_minutes = to_ms(numbers.drain_longest) // MINUTE_MS
        self._high = {name: minor_units(least, name) for name, least in numbers.high_value.items()}
        home = policy.facilities.get(policy.default_facility or "")
        self._zone = numbers.time_zone or (home.time_zone if home is not None else "UTC")
        self._country = numbers.country or (home.country if home is not None else "")
        self._weeks: dict[tuple[str, str], WeekHours] = {}
        self._week_of: dict[str, WeekHours] = {}

    @property
    def watches(self) -> bool:
        """Whether feeds are watched at all."""
        return self._all_watched

    def watched(self, feed: str) -> bool:
        """Whether the policy wants it watched."""
        return self._all_watched and self._of.get(feed, _USUAL).watched

    def zone(self, feed: str) -> str:
        """The time zone of its week."""
        return self._of.get(feed, _USUAL).time_zone or self._zone

    def week(self, feed: str) -> WeekHours:
        """The hours of its week."""
        found = self._week_of.get(feed)
        if found is None:
            place = (self.zone(feed), self._of.get(feed, _USUAL).country or self._country)
            found = self._weeks.setdefault(place, WeekHours(*place))
            self._week_of[feed] = found
        return found

    def is_high_value(self, value_minor: int, currency: str) -> bool:
        """Whether something is worth so much that it is never held."""
        least = self._high.get(currency)
        return least is not None and value_minor >= least
