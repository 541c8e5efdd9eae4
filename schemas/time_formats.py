"""Forms in which a payload may write times, as strptime reads them: whether one can give a time at all."""

from datetime import UTC, datetime

_EXAMPLE = datetime(2026, 11, 23, 16, 58, 37, tzinfo=UTC)
"""No two of its parts are alike, and its hour is no hour of a morning."""
_HOURS = ("%H", "%I", "%X", "%c")


def known_format(form: str) -> str:
    """Return the form. Raises ValueError for one that strptime does not know, or that does not give the day or the hour."""
    try:
        written = _EXAMPLE.strftime(form)
        read = datetime.strptime(written, form)  # noqa: DTZ007 - only its parts are compared
    except ValueError as error:
        raise ValueError(
            f"{form!r} is no form of times: {error}; write `iso`, `epoch_s`, `epoch_ms` or one such as %d.%m.%Y %H:%M"
        ) from error
    if read.date() != _EXAMPLE.date():
        raise ValueError(f"{form!r} does not give the day: it needs year, month and day, as %Y-%m-%d does")
    if any(hour in form for hour in _HOURS) and read.hour != _EXAMPLE.hour:
        raise ValueError(
            f"{form!r} does not say whether it is morning or afternoon: %I needs %p, or write %H"
        )
    return form
