"""Durations that were typed behind a flag."""

from datetime import timedelta

from agents.errors import Finding, SettingsError


def duration_of(flag: str, text: str) -> timedelta:
    """The duration. Raises SettingsError with what to type instead."""
    from agents.durations import parse_duration  # noqa: PLC0415 - `--help` answers at once

    try:
        return parse_duration(text)
    except ValueError as error:
        what, _, todo = str(error).partition("; ")
        raise SettingsError([Finding(flag, f"{text!r} {what}", todo=todo)]) from error
    except OverflowError as error:
        raise SettingsError([Finding(flag, f"{text!r} is too long", todo="give less")]) from error
