"""The lines of a proposed YAML file: quoted where they have to be, each with the reason why it is there."""

import re
from collections.abc import Iterable

from agents.message_fields import MOST_SHOWN, FieldSeen
from agents.time_forms import TimeForm, is_clock, joined_form
from schemas.adapter_files import ISO

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*( [A-Za-z0-9_.-]+)*")
_MOST_CHARS = 40
_YAML_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def quoted(text: str) -> str:
    """A text as YAML writes it."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return (
        '"'
        + "".join(one if one.isprintable() and one not in '"\\' else f"\\U{ord(one):08x}" for one in text)
        + '"'
    )


def comment(text: str) -> str:
    """A text as it may stand in a comment."""
    return "".join(one if one.isprintable() else "?" for one in text)


def flow(texts: Iterable[str]) -> str:
    """Texts as a list in one line, or the one that there is."""
    listed = [quoted(text) for text in texts]
    return listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"


def table_lines(indent: str, table: dict[str, str]) -> list[str]:
    """A table of values, a line for each."""
    return [f"{indent}{quoted(word)}: {means}" for word, means in table.items()]


def some(texts: Iterable[str]) -> str:
    """The first of some words, for a comment."""
    listed = list(texts)
    told = ", ".join(repr(text[:_MOST_CHARS]) for text in listed[:MOST_SHOWN])
    return f"{told} and {len(listed) - MOST_SHOWN} more" if len(listed) > MOST_SHOWN else told


def time_lines(
    indent: str, key: str, path: str, one: FieldSeen, clock: tuple[str, FieldSeen] | None, zone: str = ""
) -> list[str]:
    """The lines of a time: where it stands, its form, and its zone where no offset is written."""
    form = one.time
    assert form is not None  # only times are asked for
    lines, paths = [f"{indent}{key}:"], [path]
    formats = form.form
    if clock is not None:
        paths.append(clock[0])
        formats = joined_form(form, clock[1].texts)
    lines.append(f"{indent}  from: {flow(paths)}")
    if formats != ISO:
        doubt = f"  # decide: or {form.is_unsure!r}" if form.is_unsure else ""
        lines.append(f"{indent}  formats: {flow([formats])}{doubt}")
    return lines + _zone_lines(indent, form, clock is not None, zone)


def _zone_lines(indent: str, form: TimeForm, has_clock: bool, zone: str) -> list[str]:
    if form.has_offset:
        return []
    if zone:
        return [
            f"{indent}  # No offset is written: the place tells the zone. A country with several makes it unsure.",
            f"{indent}  zone: {zone}",
        ]
    what = "only the day is written" if form.is_date and not has_clock else "no offset is written"
    return [f"{indent}  zone: []  # decide: {what}; name the zone (Europe/Paris), or `zone_of` for several"]


def clock_of(one: FieldSeen, fields: Iterable[FieldSeen]) -> FieldSeen | None:
    """The time of day beside a date."""
    if one.time is None or not one.time.is_date:
        return None
    beside = (each for each in fields if each.way[:-1] == one.way[:-1] and each is not one)
    return next((each for each in beside if is_clock(each.texts)), None)
