"""What happens to the feed of one carrier of the simulated world: how busy it is, and when something is the matter with it.

One carrier carries the shop's outgoing parcels, too. So its feed has a steady rhythm, which does not end with the returns, and it
is the one that is watched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from schemas.topics import InputKind
from schemas.vocabulary import RuleId
from simulation.business_days import is_business_day
from simulation.carriers import CARRIERS, COLISSIMO, Carrier
from simulation.warehouse import LILLE

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
CARRIER: Final = COLISSIMO
CALENDAR: Final = LILLE.calendar
BUSY_FROM: Final = 14
BUSY_HOURS: Final = 4
"""In the afternoon, local time, the shop's parcels are collected."""
OUTAGE: Final = timedelta(hours=26)
BACKLOG: Final = timedelta(minutes=45)
_OTHER_FEEDS: Final = (InputKind.ORDERS, InputKind.LABELS, InputKind.WAREHOUSE)
OUTAGE_DAY: Final = 22
"""The outage is no earlier: in two weeks a feed's rhythm is learned, and before it something else is the matter."""


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which something is the matter with the feed."""

    rule: RuleId
    """The rule that tells of it."""
    from_at: datetime
    until_at: datetime

    def covers(self, at: datetime) -> bool:
        """Whether it goes on."""
        return self.from_at <= at < self.until_at


class FeedStory:
    """The rhythm and the spells of the watched carrier, in a world of so many returns a day."""

    def __init__(self, returns_per_day: float, start_at: datetime, last_request_at: datetime) -> None:
        self.feed = CARRIER.name
        self.starts_at = start_at
        self._per_day = returns_per_day
        outage_day = start_at + max(OUTAGE_DAY, (last_request_at - start_at).days - 1) * DAY
        outage = _afternoon(outage_day)
        self.outage = Spell(RuleId.FEED_SILENT, outage, outage + OUTAGE)
        self.backlog_until_at = self.outage.until_at + BACKLOG
        """When everything that had been kept back has come."""
        lagging, gap, skew = (
            _afternoon(at) for at in (outage_day - 5 * DAY, outage + 6 * DAY, outage + 11 * DAY)
        )
        self.spells = (
            Spell(RuleId.FEED_LAGGING, lagging, lagging + BUSY_HOURS * HOUR),
            self.outage,
            Spell(RuleId.MAPPING_GAP, gap, gap + BUSY_HOURS * HOUR),
            Spell(RuleId.CLOCK_SKEW, skew, skew + BUSY_HOURS * HOUR),
        )
        """In the order of time, each over long before the next begins."""

    def spell(self, at: datetime) -> RuleId | None:
        """What is the matter at a time."""
        return next((spell.rule for spell in self.spells if spell.covers(at)), None)

    def at_least(self, at: datetime) -> int:
        """How many of the carrier's events come in the hour of `at`, whatever happens to the returns."""
        local = CALENDAR.local(at)
        share, least = 0.025, 2.0
        if self.is_busy(at):
            share, least = 0.16, 26.0
        elif is_business_day(at, CALENDAR) and 6 <= local.hour < BUSY_FROM:
            share, least = 0.07, 4.0
        return round(max(least, share * self._per_day))

    def is_busy(self, at: datetime) -> bool:
        """Whether so much comes in the hour of `at` that shares of it say something."""
        return is_business_day(at, CALENDAR) and BUSY_FROM <= CALENDAR.local(at).hour < BUSY_FROM + BUSY_HOURS

    def appears_at(self, at: datetime) -> datetime:
        """When an event of the carrier appears that ordinarily would at `at`: the outage keeps it back."""
        if not self.outage.covers(at):
            return at
        through = (at - self.outage.from_at) / (self.outage.until_at - self.outage.from_at)
        return self.outage.until_at + timedelta(seconds=int(through * BACKLOG.total_seconds()))


def feeds_for_policy(carriers: Iterable[Carrier] = CARRIERS) -> dict[str, Any]:
    """The `feeds` section of a policy for a world of these carriers: all other feeds come to an end with the returns."""
    unwatched = [*(carrier.name for carrier in carriers), *(kind.value for kind in _OTHER_FEEDS)]
    special: Mapping[str, Any] = {"country": CALENDAR.country, "time_zone": CALENDAR.time_zone}
    return {
        "watched": True,
        "of": {**{name: {"watched": False} for name in unwatched}, CARRIER.name: special},
    }


def is_of(carrier: Carrier, name: object) -> bool:
    """Whether a producer that writes `name` means the carrier."""
    return name in carrier.spellings


def _afternoon(at: datetime) -> datetime:
    """When the busy hours begin, on that day or the next on which people work, and on the day after it, too."""
    while not (is_business_day(at, CALENDAR) and is_business_day(at + DAY, CALENDAR)):
        at += DAY
    return CALENDAR.at_clock(at, BUSY_FROM)
