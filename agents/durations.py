"""Durations as people write them in settings: `500ms`, `15s`, `5m`, `2h`, `1d`."""

import re
from datetime import timedelta

UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")


def parse_duration(value: object) -> timedelta:
    """`1.5h`, or a plain number of seconds. Raises ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    match = WRITTEN.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError("is not a duration; write it like 500ms, 15s, 5m, 2h or 1d")
    return float(match[1]) * UNITS[match[2] or "s"]


def duration_text(value: timedelta) -> str:
    """The shortest whole number of one unit: 90 s is `90s`, 120 s is `2m`."""
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(value, UNITS[unit])
        if not rest and count:
            return f"{count}{unit}"
    return "0s" if not value else f"{value // UNITS['ms']}ms"
