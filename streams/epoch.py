"""Times as whole milliseconds since 1970."""

from datetime import UTC, datetime

_DAY_MS = 24 * 60 * 60 * 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_ms(at: datetime) -> int:
    """Return an aware time as epoch milliseconds, by whole numbers; earlier than 1970 is negative."""
    passed = at - _EPOCH
    return passed.days * _DAY_MS + passed.seconds * 1000 + passed.microseconds // 1000
