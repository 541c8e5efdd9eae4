"""Which version of Returnwatch has written a partition's state, and how what an older one wrote is read (docs/adr/0028).

The number stands in the position, which is the first record of every batch: so it is in the changelog and in the local store,
and never apart from the states that it is about. To change how anything in a changelog is encoded:

1. Raise STATE_VERSION.
2. Raise LEAST_READER to it, too, if the version before could not read it, or would lose something by writing it again.
   A field that is appended with a default and that decides nothing leaves it as it is.
3. Where a position is no longer read as it stands, append a step to STEPS. Other records have no number of their own, and are
   rewritten only when their key changes: their decoders go on reading every older form.
4. Record the version that is left (tests/upgrade/README.md).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

Fields = list[Any]

STATE_VERSION: Final = 3
"""What this program writes. The first ones wrote no number: 0 counted arrivals, 1 did not note how far marks had told of them,
2 knew of no traces.
"""
LEAST_READER: Final = 2
"""The oldest version that can go on from what this program writes."""
TRACES_READER: Final = 3
"""The same of a partition in which contexts of traces are kept: an older one would leave them when their states go."""
VERSION_AT: Final = 17
"""Place of the number in a position, and of the least reader behind it. Never moved."""
_ROSTER_AT, _ARRIVALS_AT, _COUNTED_AT = 6, 8, 16
_NO_DETAILS: Fields = [{}, [], [], {}, [], [], [], [], {}]
"""From `seen` to `held`, where a version 1 that knew fewer fields ended before."""


class NewerStateError(msgspec.DecodeError):
    """What is stored was written by a newer version, and this one cannot go on from it."""


def upgraded(position: Any) -> Fields:
    """The fields of a position in the form of this version. Raises NewerStateError, or msgspec.DecodeError if it is none."""
    if not isinstance(position, list) or len(position) <= _ARRIVALS_AT:
        raise msgspec.DecodeError("is no position")
    version, least_reader = _version_of(position)
    if least_reader > STATE_VERSION:
        raise NewerStateError(
            f"was written by a newer version (state version {version}, which needs {least_reader} or later to go on; this is "
            f"{STATE_VERSION})"
        )
    fields: Fields = position
    for older in range(version, STATE_VERSION):
        fields = STEPS[older](fields)
    return fields


def _version_of(position: Fields) -> tuple[int, int]:
    """Version and least reader. The first versions wrote no number, and are known by what stands where."""
    told = position[VERSION_AT : VERSION_AT + 2]
    if told:
        if len(told) < 2 or not all(type(number) is int and number > 0 for number in told):
            raise msgspec.DecodeError("has no version where its version should be")
        return told[0], told[1]
    if isinstance(position[_ARRIVALS_AT], dict):
        return 0, 0
    return (2, 2) if len(position) > _COUNTED_AT else (1, 1)


def _without_arrivals(position: Fields) -> Fields:
    """Version 0 kept a count of arrivals per carrier in front of the outbox, and nobody read it."""
    return [*position[:_ARRIVALS_AT], *position[_ARRIVALS_AT + 1 :]]


def _with_counted(position: Fields) -> Fields:
    """Version 1 did not note up to which offset the marks had told what came: so far nothing is known to be told."""
    missing = _NO_DETAILS[len(position) - _COUNTED_AT :] if len(position) < _COUNTED_AT else []
    roster: dict[str, int] = position[_ROSTER_AT]
    return [*position, *missing, {topic: [0] * count for topic, count in roster.items()}]


def _without_traces(position: Fields) -> Fields:
    """Version 2 kept none, and nothing else of a position has changed since."""
    return position[: VERSION_AT + 2]


STEPS: Final[Mapping[int, Callable[[Fields], Fields]]] = {
    0: _without_arrivals,
    1: _with_counted,
    2: _without_traces,
}
"""Version -> what makes a position of it one of the next."""
