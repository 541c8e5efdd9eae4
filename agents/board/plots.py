"""Numbers as drawings: lines over days, bars, and the hours of a week. Geometry alone; the templates write the SVG."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from math import ceil, floor, log10
from typing import Final, NamedTuple

WIDTH: Final = 600.0
HEIGHT: Final = 200.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 12.0, 26.0
MOST_TICKS: Final = 7
CELL: Final = 14
"""Side of an hour in a rhythm, with its gap."""
SHADES: Final = 5


class Line(NamedTuple):
    """One series. `points` is for a polyline; a gap begins another one."""

    name: str
    kind: str
    points: list[str]
    dots: list[tuple[float, float, str]]
    """(x, y, what it says)."""


class Plot(NamedTuple):
    """Lines over days."""

    lines: list[Line]
    y_ticks: list[tuple[float, str]]
    x_ticks: list[tuple[float, date]]


class Hour(NamedTuple):
    """One hour of a rhythm."""

    x: float
    y: float
    shade: int
    title: str


class Rhythm(NamedTuple):
    """Two weeks of a feed: a row for each day, a column for each hour."""

    hours: list[Hour]
    days: list[tuple[float, date]]
    busiest: int


def plot(days: Sequence[date], series: Sequence[tuple[str, str, Sequence[float | None]]]) -> Plot:
    """Lines over `days`; each series is (name, kind, a number or None for each day)."""
    highest = max((value for _, _, values in series for value in values if value is not None), default=0)
    step = _step(highest)
    top = step * max(1, ceil(highest / step))
    across = (WIDTH - LEFT - RIGHT) / max(1, len(days) - 1)

    def y_of(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)

    lines = []
    for name, kind, values in series:
        points, dots, run = list[str](), [], list[str]()
        for number, value in enumerate(values):
            if value is None:
                points, run = [*points, " ".join(run)], []
                continue
            x = round(LEFT + across * number, 1)
            run.append(f"{x},{y_of(value)}")
            dots.append((x, y_of(value), f"{value:.4g}"))
        lines.append(Line(name, kind, [one for one in (*points, " ".join(run)) if one], dots))
    every = max(1, ceil(len(days) / MOST_TICKS))
    x_ticks = [
        (round(LEFT + across * number, 1), day) for number, day in enumerate(days) if number % every == 0
    ]
    marks = [step * number for number in range(round(top / step) + 1)]
    return Plot(lines, [(y_of(mark), f"{mark:g}") for mark in marks], x_ticks)


def _step(highest: float) -> float:
    """A round distance between at most six marks."""
    if highest <= 0:
        return 1.0
    rough = highest / 5
    unit = 10.0 ** floor(log10(rough))
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)


def rhythm(arrivals: Mapping[int, int], newest_hour: int, days: int, title: str) -> Rhythm:
    """A feed's hours up to the newest that is known of any feed. `title`: a format of `{at}` and `{count}`."""
    last = datetime.fromtimestamp(newest_hour * 3_600, UTC).date()
    first = last - timedelta(days=days - 1)
    busiest = max(arrivals.values(), default=0)
    hours, rows = [], []
    for number in range(days):
        day = first + timedelta(days=number)
        y = float(number * CELL)
        rows.append((y, day))
        begins = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) // 3_600
        for hour in range(24):
            count = arrivals.get(begins + hour, 0)
            shade = 0 if not count else max(1, ceil(SHADES * count / busiest))
            if begins + hour <= newest_hour:
                told = title.format(at=f"{day:%Y-%m-%d} {hour:02}:00", count=count)
                hours.append(Hour(float(hour * CELL), y, shade, told))
    return Rhythm(hours, rows, busiest)
