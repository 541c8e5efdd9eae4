"""Which records of several input partitions come next, so that a backlog is read about in the order in which it was written.

Read as fast as each partition allows, a backlog of check-ins would be through long before the scans of the same parcels:
every fact would arrive out of order, which changes no outcome (streams/parcel.py) and costs a full look each. So
partitions that are ahead in time wait for those that are behind. Only the order of work depends on it: the times are
record timestamps, and a producer may write into them what it likes.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

_STRIDE = 16
"""The cut is found among every 16th time."""


class Waiting(NamedTuple):
    """Records of one partition that may be taken."""

    times_ms: Sequence[int]
    """Never falling; see `never_falling`."""
    at: int
    """Index of the first that was not taken yet."""
    more_follow: bool
    """There are later records of this partition, and their times are not known yet."""


def never_falling(times_ms: Iterable[int]) -> list[int]:
    """Times at which records of one partition may be taken at the earliest: none before the one ahead of it."""
    return list(accumulate(times_ms, max))


def next_slice(waiting: Sequence[Waiting], about: int) -> list[int]:
    """How many records to take of each partition now: those up to one time, the same for all, `about` so many together.

    At least one record of all is taken. Where many have the same time, no more than `about` of each partition.
    """
    until_ms = max(one.times_ms[-1] for one in waiting)
    if sum(len(one.times_ms) - one.at for one in waiting) > about:
        sampled = sorted(chain.from_iterable(one.times_ms[one.at :: _STRIDE] for one in waiting))
        until_ms = sampled[min(about // _STRIDE, len(sampled) - 1)]
    until_ms = min([until_ms, *(one.times_ms[-1] for one in waiting if one.more_follow)])
    return [min(bisect_right(one.times_ms, until_ms, one.at) - one.at, about) for one in waiting]
