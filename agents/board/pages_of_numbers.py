"""The pages about numbers: KPIs, feeds and dead letters."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

from aiohttp import web

from agents.board.case_rows import ACTIVE
from agents.board.index_reading import IndexReader
from agents.board.plots import CELL, Plot, Rhythm, plot, rhythm
from agents.board.site import Refusal, Site
from agents.board.words import Words
from schemas.kpi_sums import KpiSum, added_up, precision
from schemas.kpis import Count, Dimension, Leg
from schemas.outputs import Case, Money

RANGES: Final = (7, 30, 90)
DEFAULT_RANGE: Final = 30
RHYTHM_DAYS: Final = 14
DAY_HOURS: Final = 24
_DAY_S: Final = 86_400
MOST_VALUES: Final = 30
"""Carriers, lanes and so on in one table, the most requested of them."""


class FeedSeen(NamedTuple):
    """A feed as the log's marks tell of it, and its open case, if there is one."""

    name: str
    rhythm: Rhythm
    events: int
    last_day: int
    usual_day: int | None
    """Of the hours before the last day; None: none of them are known."""
    known_hours: int
    """Of those, from the first one in which something came."""
    silent_hours: int
    """Since the last hour in which something came."""
    case: Case | None


class NumberPages:
    """See the head of this file."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def kpis(self, request: web.Request) -> web.Response:
        """`GET /kpis`."""
        days, dimension = range_of(request), dimension_of(request)
        found = await self._site.ask(_kpis, self._site.reader, days, dimension)
        if found is None:
            return await self._site.page(
                request, "kpis.html", section="kpis", total=None, days=days, dimension=dimension,
                ranges=RANGES, dimensions=list(Dimension),
            )  # fmt: skip
        by_day, total, by_value = found
        words = self._site.words(request)
        return await self._site.page(
            request,
            "kpis.html",
            section="kpis",
            total=total,
            by_day=by_day,
            days=days,
            ranges=RANGES,
            dimension=dimension,
            dimensions=list(Dimension),
            plots=_plots(by_day, words),
            rules=sorted(total.cases, key=lambda rule: (-total.cases_of(rule).told, rule)),
            legs=[(leg, total.legs[leg]) for leg in Leg if leg in total.legs],
            ranked=sorted(by_value.items(), key=lambda one: (-one[1].counts[Count.REQUESTED], one[0]))[
                :MOST_VALUES
            ],
            precision=precision,
            at_risk=_at_risk,
            Leg=Leg,
            Count=Count,
        )

    async def feeds(self, request: web.Request) -> web.Response:
        """`GET /feeds`."""
        feeds, cases = await self._site.ask(_feeds, self._site.reader)
        return await self._site.page(
            request,
            "feeds.html",
            section="feeds",
            feeds=feeds,
            cases=cases,
            now=await self._site.now(),
            active=ACTIVE,
            cell=CELL,
            since=hours_text,
        )

    async def letters(self, request: web.Request) -> web.Response:
        """`GET /dead-letters`."""
        counts, newest = await self._site.ask(
            lambda: (self._site.reader.letter_counts(), self._site.reader.newest_letters())
        )
        by_reason: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for topic, reason, outcome, count in counts:
            by_reason[reason, topic][outcome] = count
        return await self._site.page(
            request,
            "letters.html",
            section="letters",
            by_reason=sorted(by_reason.items(), key=lambda one: (-sum(one[1].values()), one[0])),
            waiting=sum(count for *_, outcome, count in counts if not outcome),
            newest=newest,
        )


def feeds_as_json(reader: IndexReader) -> list[dict[str, Any]]:
    """What `/api/feeds` tells: each feed with its hours, the newest RHYTHM_DAYS of them, and its open case."""
    hours = reader.arrivals(RHYTHM_DAYS * DAY_HOURS)
    cases = {
        case.feed.name: case
        for case in reader.cases_of_feeds()
        if case.feed is not None and case.state in ACTIVE
    }
    return [
        {
            "feed": name,
            "hours": [
                {"from": hour * 3_600, "events": count} for hour, count in sorted(hours.get(name, {}).items())
            ],
            "case": cases.get(name),
        }
        for name in sorted({*hours, *cases})
    ]


def range_of(request: web.Request) -> int:
    """How many days. Raises Refusal."""
    text = request.query.get("days", str(DEFAULT_RANGE))
    if text not in {str(days) for days in RANGES}:
        raise Refusal(400, "why_400_address", what=f"days: known are {', '.join(map(str, RANGES))}")
    return int(text)


def dimension_of(request: web.Request) -> Dimension:
    """By what. Raises Refusal."""
    try:
        return Dimension(request.query.get("by", "") or Dimension.ALL)
    except ValueError as error:
        raise Refusal(400, "why_400_address", what=f"by: known are {', '.join(Dimension)}") from error


def kpis_of(
    reader: IndexReader, days: int, dimension: Dimension
) -> tuple[date, date, dict[str, KpiSum]] | None:
    """The days from and to, and value of the dimension -> its sum; None: nothing was ever counted."""
    until = reader.newest_day()
    if until is None:
        return None
    since = until - timedelta(days=days - 1)
    return since, until, added_up(reader.snapshots(dimension, since, until), dimension)


def _kpis(
    reader: IndexReader, days: int, dimension: Dimension
) -> tuple[dict[date, KpiSum], KpiSum, dict[str, KpiSum]] | None:
    found = kpis_of(reader, days, dimension)
    if found is None:
        return None
    since, until, by_value = found
    by_day = {since + timedelta(days=number): KpiSum() for number in range(days)}
    total = KpiSum()
    for snapshot in reader.snapshots(Dimension.ALL, since, until):
        by_day[snapshot.day].add(snapshot)
        total.add(snapshot)
    return by_day, total, by_value


def _plots(by_day: Mapping[date, KpiSum], words: Words) -> dict[str, Plot]:
    days, sums = list(by_day), list(by_day.values())

    def counted(count: Count) -> list[float | None]:
        return [float(one.counts[count]) for one in sums]

    def took(share: float) -> list[float | None]:
        legs = [one.legs.get(Leg.REQUEST_TO_REFUND) for one in sums]
        seconds = [leg.quantile_seconds(share) if leg is not None else None for leg in legs]
        return [None if one is None else round(one / _DAY_S, 2) for one in seconds]

    return {
        "per_day": plot(
            days,
            [
                (words("requested"), "one", counted(Count.REQUESTED)),
                (words("received"), "two", counted(Count.RECEIVED)),
                (words("refunded"), "three", counted(Count.REFUNDED)),
            ],
        ),
        "refund_per_day": plot(
            days, [(words("nine_in_ten"), "four", took(0.9)), (words("median"), "one", took(0.5))]
        ),
        "cases_per_day": plot(
            days,
            [
                (words("told_cases"), "four", [float(one.cases_of().told) for one in sums]),
                (
                    words("still_open"),
                    "one",
                    [float(one.cases_of().open + one.cases_of().escalated) for one in sums],
                ),
            ],
        ),
    }


def _at_risk(total: KpiSum) -> list[Money]:
    amounts = {currency: found["at_risk_minor"] for currency, found in sorted(total.amounts.items())}
    return [Money(minor, currency) for currency, minor in amounts.items() if minor]


def _feeds(reader: IndexReader) -> tuple[list[FeedSeen], list[Case]]:
    arrivals = reader.arrivals(RHYTHM_DAYS * DAY_HOURS)
    cases = reader.cases_of_feeds()
    standing = {one.feed.name: one for one in reversed(cases) if one.feed is not None and one.state in ACTIVE}
    newest = max((hour for hours in arrivals.values() for hour in hours), default=0)
    found = []
    for name, hours in arrivals.items():
        last_day = sum(count for hour, count in hours.items() if hour > newest - DAY_HOURS)
        before = sum(count for hour, count in hours.items() if hour <= newest - DAY_HOURS)
        known_hours = max(0, newest - DAY_HOURS - min(hours) + 1)
        drawn = rhythm(hours, newest, RHYTHM_DAYS, "{at} UTC: {count}")
        silent = newest - max(hours)
        found.append(
            FeedSeen(
                name,
                drawn,
                sum(hours.values()),
                last_day,
                round(before * DAY_HOURS / known_hours) if known_hours else None,
                known_hours,
                silent,
                standing.get(name),
            )
        )
    return sorted(found, key=lambda feed: (feed.case is None, -feed.events, feed.name)), cases


def hours_text(silent_hours: int, words: Words) -> str:
    """How long nothing came of a feed, as far as the marks tell."""
    return words("hour_ago") if not silent_hours else words.age(timedelta(hours=silent_hours))
