"""In which form sample times are written, and whether their offset is known."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from schemas.adapter_files import EPOCH_MS, EPOCH_S, ISO
from schemas.field_words import folded

_FORMS = (
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%d%H%M%S",
    "%Y%m%d",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y",
)
CLOCK = re.compile(r"\d\d:?\d\d(:?\d\d)?")
_TIME_WORDS = frozenset({"at", "time", "date", "on", "timestamp", "when", "ts", "datetime", "day"})
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class TimeForm(NamedTuple):
    """How a field writes its times."""

    form: str
    has_offset: bool
    is_date: bool
    is_unsure: str = ""
    """Another form in which every value could be read, too."""


def time_form(name: str, values: Sequence[Any]) -> TimeForm | None:
    """The form in which all values are times; None: they are none."""
    texts = [str(value) for value in values if not isinstance(value, bool | float)]
    if not texts or len(texts) != len(values):
        return None
    if all(_is_iso(text) for text in texts):
        times = [datetime.fromisoformat(text) for text in texts]
        is_date = all(len(text) <= 10 for text in texts)
        return TimeForm(ISO, all(at.tzinfo is not None for at in times) and not is_date, is_date)
    if all(text.isdecimal() for text in texts) and (epoch := _epoch(name, texts)):
        return epoch
    fitting = [form for form in _FORMS if all(_reads(text, form) for text in texts)]
    if not fitting or (all(text.isdecimal() for text in texts) and not _sounds_like_time(name)):
        return None
    form = fitting[0]
    return TimeForm(form, False, "%H" not in form and "%I" not in form, "".join(fitting[1:2]))


def is_clock(texts: Sequence[str]) -> bool:
    """Whether all texts are times of a day, whose date stands elsewhere."""
    return bool(texts) and all(CLOCK.fullmatch(text) for text in texts)


def joined_form(date: TimeForm, clocks: Sequence[str]) -> str:
    """The form of a date and the time of day beside it, with a space between them."""
    day = "%Y-%m-%d" if date.form == ISO else date.form
    clock = "%H:%M" if ":" in clocks[0] else "%H%M"
    seconds = (":%S" if ":" in clocks[0] else "%S") if len(clocks[0].replace(":", "")) == 6 else ""
    return f"{day} {clock}{seconds}"


def _epoch(name: str, texts: Sequence[str]) -> TimeForm | None:
    for form, seconds in ((EPOCH_S, 1), (EPOCH_MS, 1000)):
        try:
            times = [
                datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(text) / seconds) for text in texts
            ]
        except OverflowError:
            continue
        if all(_FIRST < at < _LAST for at in times) and (_sounds_like_time(name)):
            return TimeForm(form, has_offset=True, is_date=False)
    return None


def _sounds_like_time(name: str) -> bool:
    return bool(_TIME_WORDS & set(folded(name).split()))


def _is_iso(text: str) -> bool:
    if len(text) < 10 or text[4:5] != "-":
        return False
    return _is_time(lambda: datetime.fromisoformat(text))


def _reads(text: str, form: str) -> bool:
    return _is_time(lambda: datetime.strptime(text, form))  # noqa: DTZ007 - only whether it can be read


def _is_time(read: Any) -> bool:
    try:
        return bool(_FIRST.year <= read().year < _LAST.year)
    except ValueError:
        return False
