"""Everything a page says, in the reader's language: words, times, ages, numbers and amounts."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

from agents.board.words_of_cases import FEEDS, TABLES
from agents.board.words_of_pages import PAGES
from agents.case_view import amount_text
from schemas.kpis import OTHER
from schemas.outputs import Money

NO_BREAK: Final = "\u00a0"
NARROW: Final = "\u202f"
_MONTHS: Final = (
    ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    ("janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."),
)


class Language(StrEnum):
    """Which of the two."""

    EN = "en"
    FR = "fr"

    @property
    def other(self) -> "Language":
        """The one to change to."""
        return Language.FR if self is Language.EN else Language.EN


def preferred(asked: str, header: str) -> Language:
    """The language of a reader: by what was asked for, else by `Accept-Language`; English where neither is one of ours."""
    for word in (asked, *_ranked(header)):
        short = word.strip().lower().partition("-")[0]
        if short in set(Language):
            return Language(short)
    return Language.EN


def _ranked(header: str) -> list[str]:
    weighed = []
    for part in header[:500].split(","):
        word, _, weight = part.partition(";q=")
        try:
            weighed.append((-float(weight or 1), word))
        except ValueError:
            continue
    return [word for weight, word in sorted(weighed, key=lambda one: one[0]) if weight < 0]


class Words:
    """The words of one language; a template has them as `words`."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._number = list(Language).index(language)

    def __call__(self, key: str, **parameters: object) -> str:
        """A text of the pages."""
        return PAGES[key][self._number].format(**parameters)

    def of(self, table: str, value: str) -> str:
        """A word of the trade; one that a newer worker has and this board does not know stands for itself."""
        words: Mapping[str, tuple[str, str]] = TABLES[table]
        known = words.get(value)
        return known[self._number] if known is not None else value.replace("_", " ")

    def name(self, value: str) -> str:
        """Of a carrier, a facility and the like: names are not translated."""
        return (
            self("unknown")
            if value in {"", "-"}
            else value.removeprefix("(").removesuffix(")")
            if value == OTHER
            else value
        )

    def feed(self, name: str) -> str:
        """Of a feed: a carrier's name, or what one of the other inputs is called."""
        return FEEDS[name][self._number] if name in FEEDS else name

    def age(self, span: timedelta) -> str:
        """The two largest units: `3d 4h`, `3 j 4 h`."""
        minutes = abs(span) // timedelta(minutes=1)
        days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
        units = (("d", "h", "m"), ("j", "h", "min"))[self._number]
        told = ((days, units[0]), (hours, units[1])) if days else ((hours, units[1]), (rest, units[2]))
        gap = "" if self.language is Language.EN else NARROW
        parts = [f"{count}{gap}{unit}" for count, unit in told if count]
        return " ".join(parts) or f"0{gap}{units[2]}"

    def seconds(self, seconds: float | None) -> str:
        """A duration that was measured."""
        return "–" if seconds is None else self.age(timedelta(seconds=seconds))  # noqa: RUF001 - a dash for nothing

    def time(self, at: datetime) -> str:
        """`3 Mar 2026, 14:05`, UTC."""
        at = at.astimezone(UTC)
        return f"{self.day(at.date())}{',' if self.language is Language.EN else ''} {at:%H:%M}"

    def day(self, day: date) -> str:
        """`3 Mar 2026`."""
        return f"{day.day} {_MONTHS[self._number][day.month - 1]} {day.year}"

    def short_day(self, day: date) -> str:
        """`3 Mar`."""
        return f"{day.day} {_MONTHS[self._number][day.month - 1]}"

    def number(self, count: float) -> str:
        """`12,345`, `12 345`."""
        return f"{count:,}".replace(",", "," if self.language is Language.EN else NARROW)

    def percent(self, share: float | None) -> str:
        """`97.4%`, `97,4 %`."""
        if share is None:
            return "–"  # noqa: RUF001 - a dash for nothing
        text = f"{100 * share:.1f}"
        return f"{text}%" if self.language is Language.EN else f"{text.replace('.', ',')}{NARROW}%"

    def amount(self, value: Money) -> str:
        """`1,299.00 EUR`, `1 299,00 EUR`."""
        figures, _, currency = amount_text(value).partition(" ")
        whole, point, rest = figures.partition(".")
        grouped = f"{int(whole):,}"
        if self.language is Language.FR:
            grouped, point = grouped.replace(",", NARROW), point and ","
        return f"{grouped}{point}{rest}{NO_BREAK}{currency}"
