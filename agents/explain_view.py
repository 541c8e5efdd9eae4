"""What an explanation looks like on a terminal of 100 columns. Times are UTC; a warehouse's clock is told in its own."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agents.case_view import age_text
from agents.terminal import out
from schemas.durations import duration_text
from schemas.explanations import (
    ClockPart,
    ExplainedClock,
    ExplainedWait,
    Explanation,
    NotStarted,
    Verdict,
)
from schemas.outputs import EvidenceSource
from streams.check_digits import doubts_of

STYLES = {
    Verdict.WAITING: "cyan",
    Verdict.IN_TIME: "green",
    Verdict.OPEN: "bold red",
    Verdict.RESOLVED: "yellow",
    Verdict.RETRACTED: "dim",
    Verdict.EXPLAINED: "yellow",
    Verdict.HELD_BACK: "cyan",
    Verdict.FEED_SILENT: "magenta",
}
MOVED = {
    "before_opening": "is before opening",
    "after_cut_off": "is after the cut-off",
    "no_working_day": "is no working day",
}
LATER = {
    "allowance": "as the carrier's feed is usually so late",
    "carrier_closed": "while the carrier was closed",
    "settle": "until what was read has settled",
    "customs_hold": "in customs",
    "available_for_pickup": "at a pickup point",
    "scanned_again": "until it was scanned again, after a silence",
    "proof": "until the goods, or proof that they were sent, were there",
    "unaccounted": "for a reason that is not known; please report this",
}


def show(told: Explanation, *, everything: bool) -> None:
    """The timeline, then every rule. `everything`: also what came in time again and again, and rules that wait for nothing."""
    _show_head(told)
    _show_timeline(told)
    for (_, _), waits in groupby(told.waits, key=lambda wait: (wait.rule, wait.parcel)):
        several = list(waits)
        shown = list(_worth_showing(several, everything=everything))
        for wait in shown:
            _show_wait(wait, told.watermark_at)
        if left_out := len(several) - len(shown):
            out.print(Text(f"  in time {left_out} times before; --all shows them\n", "dim"))
    for line in _not_started(told.not_started, everything=everything):
        out.print(line)


def _show_head(told: Explanation) -> None:
    subject = ("return ", told.return_id) if told.return_id else ("parcel ", ", ".join(told.parcels))
    out.print(Text.assemble("\n", subject[0], (subject[1], "bold")))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    if told.return_id:
        grid.add_row("  parcels", Text(", ".join(told.parcels) or "none"))
    for doubt in doubts_of(told.parcels):
        grid.add_row("  doubtful", Text(doubt))
    if told.forgotten:
        grid.add_row("  not known", Text(f"{', '.join(told.forgotten)}: nothing is kept of it, or not yet"))
    grid.add_row("  log's time", f"{_time(told.watermark_at)} UTC; what is due later is not late yet")
    grid.add_row("  policy", told.policy_hash[:12])
    if told.truncated:
        grid.add_row("  truncated", "more was told than is kept: the timeline has gaps")
    out.print(grid)


def _show_timeline(told: Explanation) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("at (UTC)", "arrived", "what"):
        table.add_column(heading, no_wrap=True)
    for heading in ("read from", "seen by, and more"):
        table.add_column(heading, overflow="fold")
    many = len(told.parcels) > 1
    for fact in told.timeline:
        notes = [fact.evidence, fact.parcel if many else "", fact.details]
        notes += [f"time: {fact.time_quality}" if fact.time_quality else ""]
        notes += ["taken back" if fact.retracted else ""]
        table.add_row(
            _time(fact.at),
            _arrival(fact.arrived_at - fact.at),
            fact.milestone,
            Text(_place(fact.source)),
            Text("; ".join(note for note in notes if note)),
            style="dim strike" if fact.retracted else "",
        )
    out.print(table)


def _arrival(behind: timedelta) -> str:
    """How long after it happened it was read."""
    if behind < timedelta(minutes=1):
        return "at once"
    return f"+{age_text(behind).removesuffix(' ago')}"


def _worth_showing(waits: list[ExplainedWait], *, everything: bool) -> Iterator[ExplainedWait]:
    """Of what came in time again and again only the last time, unless everything is asked for."""
    in_time = [wait for wait in waits if wait.verdict is Verdict.IN_TIME]
    last = in_time[-1] if in_time else None
    for wait in waits:
        if everything or wait.verdict is not Verdict.IN_TIME or wait is last:
            yield wait


# -- one waiting ----------------------------------------------------------------------------------------------


def _show_wait(wait: ExplainedWait, now: datetime) -> None:
    head = Text.assemble((wait.rule.value, "bold"), f"  {wait.parcel}" if wait.parcel else "", "  ")
    out.print(head.append(wait.verdict.value.replace("_", " "), STYLES[wait.verdict]))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in _lines(wait, now):
        grid.add_row(label, Text(text))
    out.print(Padding(grid, (0, 0, 1, 2), expand=False))


def _lines(wait: ExplainedWait, now: datetime) -> Iterator[tuple[str, str]]:
    started = f"{wait.started_by}, " if wait.started_by else ""
    place = f" ({_place(wait.evidence[0])})" if wait.evidence else ""
    yield "started", f"{started}{_time(wait.since_at)}{place}"
    if wait.clock is not None:
        yield "clock", clock_text(wait.clock)
        yield "due", f"{_time(wait.clock.due_at)}{_local(wait.clock)} ({age_text(now - wait.clock.due_at)})"
    if wait.stop is not None:
        where = f" ({_place(wait.stop.source)})" if wait.stop.source is not None else ""
        yield "stopped", f"{wait.stop.reason.value}, {_time(wait.stop.at)}{where}"
    yield "verdict", verdict_text(wait)
    if wait.case is not None and wait.case.revision:
        case = wait.case
        historical = "; due before go-live, nobody was called" if case.historical else ""
        yield (
            "case",
            f"{case.case_id}, revision {case.revision}, level {case.level}, {case.state}{historical}",
        )
        yield "", case.explanation
    if wait.closed_by:
        yield "closed by", ", ".join(wait.closed_by)


def clock_text(clock: ExplainedClock) -> str:
    """How a deadline came about, in one sentence."""
    text = clock.budget or "due at once"
    if clock.time_zone:
        text += f" of {clock.facility or 'any warehouse'} ({clock.time_zone})"
    if clock.chosen_by and not clock.chosen_by.endswith(".budget"):
        text += f" [{clock.chosen_by}]"
    zone = ZoneInfo(clock.time_zone) if clock.time_zone else UTC
    starts, ends = (at.astimezone(zone) for at in (clock.counts_from_at, clock.used_up_at))
    text += f": {_short(starts)} -> {_short(ends)}" if ends > starts else f": {_short(starts)}"
    if clock.moved:
        text += f", as the start {MOVED[clock.moved]}"
    if clock.not_counted:
        text += f", skipped {_skipped(clock)}"
    for part in clock.later:
        text += f"; + {_part(part)}"
    return text


def _part(part: ClockPart) -> str:
    since = f" since {_time(part.from_at)}" if part.from_at is not None else ""
    details = f": {part.details}" if part.details else ""
    return f"{duration_text(timedelta(milliseconds=part.more_ms))} {LATER[part.why]}{since}{details}"


def _skipped(clock: ExplainedClock) -> str:
    """`Sat 4, Sun 5 (weekend), Mon 6 (Easter Monday)`."""
    days = groupby(clock.not_counted, key=lambda day: day.why)
    return ", ".join(f"{', '.join(_day(one.day) for one in same)} ({why})" for why, same in days)


def _day(day: date) -> str:
    return f"{day:%a} {day.day}"


def _short(at: datetime) -> str:
    return f"{_day(at.date())} {at:%b %H:%M}"


def _local(clock: ExplainedClock) -> str:
    if clock.time_zone in {"", "UTC"}:
        return ""
    return (
        f", {clock.due_at.astimezone(ZoneInfo(clock.time_zone)):%H:%M} at {clock.facility or 'the warehouse'}"
    )


def verdict_text(wait: ExplainedWait) -> str:
    """The verdict in words."""
    instead = ", ".join(rule.value for rule in wait.explained_by)
    match wait.verdict:
        case Verdict.WAITING:
            return "waiting: not due yet"
        case Verdict.IN_TIME:
            return "it came in time: no case"
        case Verdict.OPEN:
            return f"due and open since {_time(wait.due_at)}{_open_note(wait, instead)}"
        case Verdict.RESOLVED:
            return _resolved(wait)
        case Verdict.RETRACTED:
            reason = f": {wait.case.reason.value}" if wait.case is not None else ""
            return f"a case was told and taken back{reason}"
        case Verdict.EXPLAINED:
            return f"due, and told by another case in its place: {instead or 'of a higher rule'}"
        case Verdict.HELD_BACK:
            return "no case: it is silent, not stuck (stalled_silent); looked at again when it is scanned"
        case Verdict.FEED_SILENT:
            return (
                f"due since {_time(wait.due_at)} and held: the feed {wait.held_for} is silent, or its backlog still"
                " comes in; told when the feed is back, or when it has been held for the policy's feeds.hold_longest"
            )


def _open_note(wait: ExplainedWait, instead: str) -> str:
    if wait.case is None or not wait.case.revision:
        return "; no case was told: it was older than the policy's accept_age, or will be told at the next step of the log"
    return f"; until then {instead} told of its cause" if instead else ""


def _resolved(wait: ExplainedWait) -> str:
    if wait.case is not None and wait.case.state == "counted":
        return "it came too late, before a case could be told: only counted, as the policy's late_breach says"
    if wait.stop is not None:
        return f"due at {_time(wait.due_at)}, and resolved by {wait.stop.reason.value}"
    return f"resolved: {wait.case.reason.value}" if wait.case is not None else "resolved"


# -- rules that wait for nothing ------------------------------------------------------------------------------


def _not_started(rules: Iterable[NotStarted], *, everything: bool) -> Iterator[Text]:
    waiting = [one for one in rules if not one.switched_off]
    off = ", ".join(one.rule.value for one in rules if one.switched_off)
    if everything:
        for one in waiting:
            starts = ", ".join(one.started_by)
            text = f"would start with: {starts}" if starts else "nothing that could come next starts it"
            yield Text.assemble((one.rule.value, "bold"), "  never started; ", (text, "dim"))
    elif waiting:
        names = ", ".join(one.rule.value for one in waiting)
        yield Text.assemble((f"never started ({len(waiting)}; --all tells more): ", "cyan"), names)
    if off:
        yield Text.assemble(("switched off by the policy: ", "cyan"), off)


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%a %Y-%m-%d %H:%M}"


def _place(source: EvidenceSource) -> str:
    return f"{source.topic}/{source.partition}@{source.offset}"
