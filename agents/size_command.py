"""`returnwatch size`: what an installation needs, by what was measured, and which figure it follows from. Needs no broker."""

import json
import re
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

from rich import box
from rich.table import Table

from agents.errors import Finding, SettingsError
from agents.sizing import (
    BUSY_AT_MOST,
    DISK_SPARE,
    GIB,
    MEMORY_SPARE,
    PARTITIONS_PER_WORKER,
    Asked,
    Measured,
    Sizing,
    estimate_stand,
    measured,
    size,
)
from agents.terminal import out, write_line

_NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?)([kM]?)", re.IGNORECASE)
_TIMES: Final = {"": 1, "k": 1_000, "m": 1_000_000}
_MOST_RETURNS, _MOST_EVENTS = 1_000_000_000, 1_000_000_000_000
_MIB: Final = 1 << 20
_CHECKED: Final = {
    "disk": "disk_bytes",
    "memory": "peak_memory_bytes",
    "CPU": "cpu_seconds",
    "recovery": "recovery_cpu_seconds",
}


@dataclass(frozen=True, slots=True)
class SizeOptions:
    """As it was typed."""

    open_returns: str
    events_per_day: str
    peak: float
    recovery: timedelta
    replication_factor: int
    as_json: bool


def tell_size(options: SizeOptions) -> int:
    """Print what is needed. Raises SettingsError with everything that cannot be reckoned with."""
    findings: list[Finding] = []
    open_returns = _number("--open-returns", options.open_returns, _MOST_RETURNS, findings)
    events = _number("--events-per-day", options.events_per_day, _MOST_EVENTS, findings)
    if options.recovery <= timedelta(0):
        findings.append(Finding("--recovery", "no time at all", todo="give a duration, as 2m"))
    if findings:
        raise SettingsError(findings)
    seconds = options.recovery.total_seconds()
    asked = Asked(open_returns, events, options.peak, seconds, options.replication_factor)
    known = measured()
    needed = size(asked, known)
    if options.as_json:
        write_line(
            json.dumps({"asked": asked._asdict(), "needed": needed._asdict(), "measured": _told(known)})
        )
    else:
        _show(asked, needed, known)
    return 0


def _number(flag: str, text: str, most: int, findings: list[Finding]) -> int:
    found = _NUMBER.fullmatch(text.strip().replace(",", "").replace("_", ""))
    value = round(float(found[1]) * _TIMES[found[2].lower()]) if found else 0
    if not 1 <= value <= most:
        todo = f"give a number from 1 to {most:,}; 250k and 10M are understood"
        findings.append(Finding(flag, f"{text!r} is no number of this kind", todo=todo))
    return value


def _told(known: Measured) -> dict[str, object]:
    return {
        "measured_on": known.measured_on,
        "conditions": known.conditions,
        "fitted": [asdict(stand) for stand in known.fitted],
        "checked": [asdict(stand) for stand in known.checked],
    }


def _show(asked: Asked, needed: Sizing, known: Measured) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("what", "needed", "because"):
        table.add_column(name, overflow="fold")
    for row in _rows(asked, needed, known):
        table.add_row(*row)
    out.print(f"{asked.open_returns:,} open returns, {asked.events_per_day:,} events a day", markup=False)
    out.print(table)
    for line in _footnotes(needed, known):
        out.print(line, markup=False)


def _rows(asked: Asked, needed: Sizing, known: Measured) -> list[tuple[str, str, str]]:
    small, large = known.fitted
    returns = large.open_returns - small.open_returns
    disk = (large.disk_bytes - small.disk_bytes) / returns
    memory = (large.memory_bytes - small.memory_bytes) / returns
    least = estimate_stand(known.fitted, 0)
    why_workers = (
        f"{needed.peak_events_per_second:,.0f} events/s at the peak; {needed.events_per_core_second:,.0f} a core and second "
        f"measured, {BUSY_AT_MOST:.0%} of a core used"
        if needed.because == "events at the peak"
        else f"a worker that lost its disk is back within {asked.recovery_target_seconds:,.0f} s"
    )
    return [
        ("workers", f"{needed.workers:,}", f"one core each: {why_workers}"),
        (
            "partitions",
            f"{needed.partitions:,}",
            f"of each internal topic, fixed at the first start: {PARTITIONS_PER_WORKER} a worker, to grow into",
        ),
        (
            "disk of a worker",
            _size(needed.disk_bytes),
            f"{disk:,.0f} B a return when compacted, {DISK_SPARE:g} times for what is not yet, and for recoveries",
        ),
        (
            "memory of a worker",
            _size(needed.memory_bytes),
            f"{memory:,.0f} B a return and {_size(least.peak_memory_bytes)} to read with, {MEMORY_SPARE:g} times for a rebalance",
        ),
        (
            "written to changelogs",
            f"{_size(needed.changelog_bytes_per_day)} a day",
            f"{large.changelog_bytes / large.events:,.0f} B an event, {asked.replication_factor} copies; brokers compact it",
        ),
        (
            "recovery of a lost disk",
            f"{needed.recovery_seconds:,.0f} s",
            "of one worker, from its start until it is ready, from changelogs that no broker compacted yet",
        ),
    ]


def _footnotes(needed: Sizing, known: Measured) -> list[str]:
    small, large = known.fitted
    with_so_many = f"{small.open_returns:,} and {large.open_returns:,} open returns"
    lines = [
        f"Measured on {known.measured_on} with {with_so_many}: {known.conditions}.",
        "Input and output topics are not in it: they keep what you let them keep.",
    ]
    for stand in known.checked:
        far = ", ".join(
            f"{word} {getattr(estimate_stand(known.fitted, stand.open_returns), name) / getattr(stand, name) - 1:+.0%}"
            for word, name in _CHECKED.items()
        )
        lines.append(f"Measured afterwards with {stand.open_returns:,}; the line was off by: {far}.")
    if needed.because == "events at the peak":
        return lines
    return [*lines, "More workers than the events ask for: each has less to recover."]


def _size(count: float) -> str:
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / _MIB:,.0f} MiB"
