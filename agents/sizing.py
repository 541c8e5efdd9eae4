"""From what was measured of workers with many open returns to what another installation needs.

Everything is a straight line through two measurements (benchmarks/scale.py): what a worker needs anyway, and what each open
return adds. Rates are CPU, so that they hold on machines that do something else, too.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

MEASURED_FILE: Final = Path(__file__).with_name("sizing_measured.json")
GIB: Final = 1 << 30
DAY_SECONDS: Final = 24 * 60 * 60
LEAST_PARTITIONS: Final = 8
PARTITIONS_PER_WORKER: Final = 4
"""So that twice and four times as many workers still find work: partition counts are fixed at the first start."""
DISK_SPARE, MEMORY_SPARE = 3.0, 1.5
"""Compaction writes anew what it replaces; a rebalance brings others' partitions."""
BUSY_AT_MOST: Final = 0.5
"""Of its core, at the peak: what is left catches up after a stop."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A worker with so many open returns. Sizes in bytes."""

    open_returns: int
    events: int
    """Input events that brought it there."""
    cpu_seconds: float
    """For these events."""
    disk_bytes: int
    """Of the local stores, compacted: how much lies there before depends on how long it has run."""
    loose_disk_bytes: int
    """As the run left them."""
    memory_bytes: int
    """Resident, with nothing to catch up with."""
    peak_memory_bytes: int
    """Resident at the most, while it reads a backlog or recovers: mostly records that were fetched."""
    changelog_bytes: int
    """As written, before the broker compacts it."""
    recovery_records: int
    recovery_cpu_seconds: float
    """From the start of the process until it is ready, on an empty disk."""
    recovery_wall_seconds: float
    """What the recovery alone took, on that machine, with whatever else it did."""

    def told(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)


class Measured(NamedTuple):
    """What was measured."""

    measured_on: str
    conditions: str
    fitted: tuple[Stand, Stand]
    """The line goes through these."""
    checked: tuple[Stand, ...]
    """Measured afterwards, to see how far off the line was."""


class Asked(NamedTuple):
    """What an installation has to bear."""

    open_returns: int
    events_per_day: int
    peak: float = 3.0
    """How many times the day's average its busiest hour has."""
    recovery_target_seconds: float = 120.0
    """How long a worker that lost its disk may take."""
    replication_factor: int = 3


class Sizing(NamedTuple):
    """What it needs."""

    workers: int
    """Processes, of a core each."""
    because: str
    """What asks for that many: events, or recovery."""
    partitions: int
    """Of each internal topic."""
    disk_bytes: int
    """Of one worker."""
    memory_bytes: int
    """Of one worker."""
    recovery_seconds: float
    """Of one worker that lost its disk, on a core of its own."""
    changelog_bytes_per_day: int
    """Written, copies included. How much of it the brokers keep depends on when they compact."""
    peak_events_per_second: float
    events_per_core_second: float


def measured() -> Measured:
    """Return the measurements that came with this version."""
    document = json.loads(MEASURED_FILE.read_text(encoding="utf-8"))
    stands = {name: tuple(Stand(**one) for one in document[name]) for name in ("fitted", "checked")}
    small, large = stands["fitted"][0], stands["fitted"][-1]
    return Measured(document["measured_on"], document["conditions"], (small, large), stands["checked"])


def estimate_stand(fitted: tuple[Stand, Stand], open_returns: int) -> Stand:
    """Return what a worker with so many open returns would be, by the line through two measurements."""
    small, large = fitted
    share = (open_returns - small.open_returns) / (large.open_returns - small.open_returns)

    def at(name: str) -> float:
        low, high = getattr(small, name), getattr(large, name)
        return float(max(0.0, low + share * (high - low)))

    return Stand(
        open_returns=open_returns,
        events=round(at("events")),
        cpu_seconds=round(at("cpu_seconds"), 1),
        disk_bytes=round(at("disk_bytes")),
        loose_disk_bytes=round(at("loose_disk_bytes")),
        memory_bytes=round(at("memory_bytes")),
        peak_memory_bytes=round(at("memory_bytes"))
        + max(one.peak_memory_bytes - one.memory_bytes for one in fitted),
        changelog_bytes=round(at("changelog_bytes")),
        recovery_records=round(at("recovery_records")),
        recovery_cpu_seconds=round(at("recovery_cpu_seconds"), 2),
        recovery_wall_seconds=round(at("recovery_wall_seconds"), 2),
    )


def size(asked: Asked, known: Measured) -> Sizing:
    """Return what an installation needs."""
    _, large = known.fitted
    rate = large.events / large.cpu_seconds
    peak = asked.events_per_day / DAY_SECONDS * asked.peak
    for_events = math.ceil(peak / (rate * BUSY_AT_MOST))
    workers, because = max(1, for_events), "events at the peak"
    while (
        _recovery_seconds(asked, known, workers) > asked.recovery_target_seconds
        and workers < asked.open_returns
    ):
        grown = max(workers + 1, math.ceil(workers * 1.05))
        if _recovery_seconds(asked, known, grown) >= _recovery_seconds(asked, known, workers):
            break  # what a start takes anyway is more than is allowed
        workers, because = grown, "recovery of a lost disk"
    each = estimate_stand(known.fitted, math.ceil(asked.open_returns / workers))
    return Sizing(
        workers=workers,
        because=because,
        partitions=max(LEAST_PARTITIONS, 2 ** math.ceil(math.log2(workers * PARTITIONS_PER_WORKER))),
        disk_bytes=math.ceil(each.disk_bytes * DISK_SPARE),
        memory_bytes=math.ceil(each.peak_memory_bytes * MEMORY_SPARE),
        recovery_seconds=_recovery_seconds(asked, known, workers),
        changelog_bytes_per_day=math.ceil(
            large.changelog_bytes / large.events * asked.events_per_day * asked.replication_factor
        ),
        peak_events_per_second=peak,
        events_per_core_second=rate,
    )


def _recovery_seconds(asked: Asked, known: Measured, workers: int) -> float:
    return estimate_stand(known.fitted, math.ceil(asked.open_returns / workers)).recovery_cpu_seconds
