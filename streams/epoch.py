"""Times as whole milliseconds since 1970."""

from datetime import UTC, datetime, timedelta
from typing import Final

YEAR_9999_MS: Final = 253_370_764_800_000
"""9999-01-01: what is due some months behind the end can still be shown as a time."""
_DAY_MS = 24 * 60 * 60 * 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ON_THE_WALL = datetime(1970, 1, 1)  # noqa: DTZ001 - for times without a zone


def epoch_ms(at: datetime) -> int:
    """Return an aware time as epoch milliseconds, by whole numbers; earlier than 1970 is negative."""
    return _ms(at - _EPOCH)


def moment_of(ms: int) -> datetime:
    """Return epoch milliseconds as an aware time in UTC."""
    return _EPOCH + timedelta(milliseconds=ms)


def wall_ms(local: datetime) -> int:
    """Return what a clock on the wall shows, without its zone, as milliseconds since it showed the beginning of 1970."""
    return _ms(local - _EPOCH_ON_THE_WALL)


def _ms(passed: timedelta) -> int:
    return passed.days * _DAY_MS + passed.seconds * 1000 + passed.microseconds // 1000
