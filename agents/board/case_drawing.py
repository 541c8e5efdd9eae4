"""A case as a drawing: what was waited for, how long it was allowed to take, and what is known of the way."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from agents.board.case_rows import ACTIVE
from agents.board.index_reading import Change
from agents.board.words import Words
from schemas.outputs import Case
from schemas.return_journeys import ReturnJourney

WIDTH: Final = 1_000.0
LEFT: Final = 92.0
RIGHT: Final = 28.0
LANES: Final = ("clock", "parcel", "case")
LANE_HEIGHT: Final = 46
TOP: Final = 16
LEAST_GAP: Final = 13.0
_LEAST_SPAN: Final = timedelta(hours=1)


class Moment(NamedTuple):
    """Something that happened, or that a clock says."""

    at: datetime
    lane: str
    kind: str
    title: str
    detail: str = ""


class Mark(NamedTuple):
    """A moment as it is drawn."""

    x: float
    y: float
    kind: str
    title: str


class Tick(NamedTuple):
    """A day on the axis."""

    x: float
    text: str


class Drawing(NamedTuple):
    """Geometry for the template."""

    width: float
    height: int
    lanes: list[tuple[float, str]]
    marks: list[Mark]
    ticks: list[Tick]
    since_x: float
    due_x: float
    end_x: float
    is_over: bool
    """It still runs, or ran, past its deadline."""


def moments(
    case: Case, history: Iterable[Change], journey: ReturnJourney | None, now: datetime, words: Words
) -> list[Moment]:
    """Everything that is known of when something happened to the case, in order."""
    found = [
        Moment(case.since_at, "clock", "since", words("waiting_began")),
        Moment(case.due_at, "clock", "due", words("deadline")),
    ]
    for change in history:
        title = words("opened") if change.revision == 1 else words.of("reason", change.reason).capitalize()
        told = words("by", by=change.told_by) if change.told_by else ""
        level = words("level", level=change.level) if change.level > 1 else ""
        detail = ", ".join(part for part in (words.of("state", change.state), level, told) if part)
        found.append(Moment(change.effective_at, "case", change.state, title, detail))
    found += _of_the_way(case, journey, words)
    if case.snoozed_until is not None:
        found.append(
            Moment(
                case.snoozed_until,
                "case",
                "snoozed",
                words("put_off_until", at=words.time(case.snoozed_until)),
            )
        )
    if case.state in ACTIVE:
        found.append(Moment(now, "clock", "now", words("now")))
    return sorted(found, key=lambda moment: (moment.at, LANES.index(moment.lane)))


def _of_the_way(case: Case, journey: ReturnJourney | None, words: Words) -> list[Moment]:
    """Of the case's parcel; of a case about the whole return, of all of it."""
    if journey is None:
        return []
    if not case.parcel:
        return [
            Moment(
                one.at,
                "parcel",
                "scan",
                words.of("milestone", one.milestone.value),
                words.of("witness", one.evidence.value) if one.evidence is not None else "",
            )
            for one in journey.milestones
            if one.at is not None
        ]
    found = []
    for parcel in journey.parcels:
        if (parcel.carrier, parcel.tracking_number) != (case.carrier, case.tracking_number):
            continue
        known = (parcel.first_scan_at, parcel.delivered_at, parcel.checked_in_at)
        times = (
            (parcel.first_scan_at, words("first_scan")),
            (
                parcel.last_scan_at if parcel.last_scan_at not in known else None,
                words("last_scan"),
            ),
            (parcel.delivered_at, words.of("milestone", "delivered")),
            (parcel.checked_in_at, words.of("milestone", "checked_in")),
        )
        found += [
            Moment(at, "parcel", "scan", title, parcel.carrier) for at, title in times if at is not None
        ]
    return found


def drawing(case: Case, told: list[Moment], now: datetime, words: Words) -> Drawing:
    """Where everything stands on the page. Time runs from left to right, evenly."""
    start = min(moment.at for moment in told)
    end = max(*(moment.at for moment in told), case.due_at, start + _LEAST_SPAN)
    span = (end - start) / timedelta(milliseconds=1)

    def x_of(at: datetime) -> float:
        share = (at - start) / timedelta(milliseconds=1) / span
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    ended_at = now if case.state in ACTIVE else case.effective_at
    rows = {lane: TOP + LANE_HEIGHT * number + LANE_HEIGHT / 2 for number, lane in enumerate(LANES)}
    names = {
        "clock": words("lane_clock"),
        "parcel": words("lane_parcel" if case.parcel else "lane_return"),
        "case": words("lane_case"),
    }
    marks, last = [], dict.fromkeys(LANES, -LEAST_GAP)
    for moment in told:
        # What happened at the same time stands side by side, or one would hide the other.
        x = min(max(x_of(moment.at), last[moment.lane] + LEAST_GAP), WIDTH - 8)
        last[moment.lane] = x
        if moment.lane != "clock":
            told_at = f"{moment.title}, {words.time(moment.at)}"
            marks.append(Mark(x, rows[moment.lane], moment.kind, told_at))
    return Drawing(
        WIDTH,
        TOP + LANE_HEIGHT * len(LANES) + 26,
        [(rows[lane], names[lane]) for lane in LANES],
        marks,
        _ticks(start, end, x_of, words),
        x_of(case.since_at),
        x_of(case.due_at),
        x_of(max(ended_at, case.since_at)),
        ended_at > case.due_at,
    )


def _ticks(start: datetime, end: datetime, x_of: Callable[[datetime], float], words: Words) -> list[Tick]:
    """At most eight days, evenly apart."""
    days = max(1, -(-(end - start) // timedelta(days=8)))
    at = start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    found = []
    while at < end:
        found.append(Tick(x_of(at), words.short_day(at.date())))
        at += timedelta(days=days)
    return found
