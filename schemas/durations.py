"""Durations and budgets as people write them in a policy: `72h`, `5d`, `1d 12h`, `2 business days`."""

import re
from dataclasses import dataclass
from datetime import timedelta

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_PART = re.compile(r"(\d{1,9})\s*(ms|s|m|h|d|w)\s*")
_BUSINESS_DAYS = re.compile(r"(\d{1,3})\s+business\s+days?")

DURATION_PATTERN = r"^\s*(\d{1,9}\s*(ms|s|m|h|d|w)\s*)+$"
BUDGET_PATTERN = r"^\s*(\d{1,3}\s+business\s+days?|(\d{1,9}\s*(ms|s|m|h|d|w)\s*)+)\s*$"
"""For editors; what is longer than LONGEST, or nothing at all, is refused when it is read."""

LONGEST = timedelta(days=400)
MOST_BUSINESS_DAYS = 250
FORMS = "write it as 72h, 5d, 30m or 1d 12h"
BUDGET_FORMS = f"{FORMS}, or as `1 business day`"


@dataclass(frozen=True, slots=True)
class BusinessDays:
    """A budget that counts the working days of the facility the parcel goes to."""

    count: int


Budget = timedelta | BusinessDays


def parse_duration(text: object) -> timedelta:
    """`72h` as a timedelta. Raises ValueError with a sentence that says how to write it."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str):
        # pydantic turns a ValueError into a finding, and lets a TypeError through.
        raise ValueError(f"a duration needs its unit: {FORMS}")  # noqa: TRY004
    cleaned = text.strip().lower()
    total, at = timedelta(0), 0
    while at < len(cleaned):
        part = _PART.match(cleaned, at)
        if part is None:
            raise ValueError(f"{text!r} is not a duration: {FORMS}")
        total += int(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not cleaned:
        raise ValueError(f"an empty text is not a duration: {FORMS}")
    if total > LONGEST:
        raise ValueError(f"{text!r} is longer than {LONGEST.days}d, which is the most a deadline may take")
    return total


def parse_budget(text: object) -> Budget:
    """A duration longer than nothing, or `N business days`. Raises ValueError with a sentence that says how to write it."""
    if isinstance(text, BusinessDays):
        return text
    if isinstance(text, str) and (days := _BUSINESS_DAYS.fullmatch(text.strip().lower())):
        count = int(days[1])
        if not 1 <= count <= MOST_BUSINESS_DAYS:
            raise ValueError(f"{text!r} is out of range: 1 to {MOST_BUSINESS_DAYS} business days")
        return BusinessDays(count)
    if isinstance(text, str) and "business" in text:
        raise ValueError(f"{text!r} is not a budget: {BUDGET_FORMS}")
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise ValueError(str(error).replace(FORMS, BUDGET_FORMS)) from None
    if duration <= timedelta(0):
        raise ValueError(f"a budget of nothing would make every parcel late: {BUDGET_FORMS}")
    return duration


def duration_text(duration: timedelta) -> str:
    """The one canonical text of a duration: equal durations give equal texts, so policies that say the same hash the same."""
    rest = duration
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def budget_text(budget: Budget) -> str:
    """The one canonical text of a budget."""
    if isinstance(budget, BusinessDays):
        return f"{budget.count} business day{'s' if budget.count != 1 else ''}"
    return duration_text(budget)
