"""What a worker needs with so many returns open, from small to large: what `returnwatch size` reckons with, and how well.

`python -m benchmarks.scale 10000 100000` measures two, three times each, and keeps the median of each figure in
agents/sizing_measured.json: the line goes through them.
`python -m benchmarks.scale --check 1000000` measures one more, and tells how far off the reckoning was.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median_low

from agents.sizing import MEASURED_FILE, Stand, estimate_stand, measured
from benchmarks.figures import Place, place, settled_bytes
from benchmarks.processes import PARTITIONS, MeasurementFailed, Worker, burst
from benchmarks.workload import Workload, fill

SPAN, UNTIL_HOURS = timedelta(days=2), 50
"""Requested, approved, labelled, three scans: on the road, and nothing is late."""
REST_SECONDS = 10
NEAR_ENOUGH = 0.25
NOTHING_COMPACTED = {"log.cleaner.min.compaction.lag.ms": str(24 * 60 * 60 * 1000)}
"""Of the broker: when it compacts depends on how long a run takes, and a longer run would be measured by another scale."""
RECKONED = (
    "disk_bytes",
    "memory_bytes",
    "peak_memory_bytes",
    "changelog_bytes",
    "recovery_cpu_seconds",
    "cpu_seconds",
)


async def stand(open_returns: int) -> Stand:
    """Bring a worker to so many open returns and measure what it has become, then let it lose its disk."""
    workload = Workload(open_returns, datetime.now(UTC), span=SPAN, with_shop=True, until_hours=UNTIL_HOURS)
    async with place(NOTHING_COMPACTED) as here:
        worker = here.worker("scale")
        count = await fill(here.servers, workload, PARTITIONS)
        worker.start()
        try:
            took = await burst(worker, count, at_most=3_600)
            peak = _peak_memory_bytes(worker)
            opened = worker.total("escalations_total", transition="opened")
            if opened > open_returns // 20:
                raise MeasurementFailed(
                    f"{opened:.0f} cases were opened: these returns are not just on the road"
                )
            worker.stop()
            loose, changelog = _bytes_under(worker.data_dir), _changelog_bytes(here)
            disk = await asyncio.to_thread(settled_bytes, worker.data_dir)
            memory = await _at_rest(worker)
            records, cpu_seconds, wall_seconds = await _recovered(worker)
            peak = max(peak, _peak_memory_bytes(worker))
        finally:
            worker.stop()
    return Stand(
        open_returns=open_returns,
        events=count,
        cpu_seconds=round(took.cpu_seconds, 1),
        disk_bytes=disk,
        loose_disk_bytes=loose,
        memory_bytes=memory,
        peak_memory_bytes=peak,
        changelog_bytes=changelog,
        recovery_records=records,
        recovery_cpu_seconds=round(cpu_seconds, 2),
        recovery_wall_seconds=round(wall_seconds, 2),
    )


async def _at_rest(worker: Worker) -> int:
    """Resident bytes of a worker that was started again on its disk and has nothing to catch up with."""
    worker.start()
    await worker.ready()
    await asyncio.sleep(REST_SECONDS)
    memory = worker.process.memory_info().rss
    worker.stop()
    return int(memory)


def _peak_memory_bytes(worker: Worker) -> int:
    """The most that the process was resident so far (VmHWM in proc_pid_status(5), in KiB)."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


async def _recovered(worker: Worker) -> tuple[int, float, float]:
    """Changelog records read, CPU from the start until it is ready, and the time that recovery says it took."""
    worker.lose_disk()
    worker.start()
    await worker.ready()
    times = worker.process.cpu_times()
    return (
        int(worker.total("recovery_records_total")),
        times.user + times.system,
        worker.total("recovery_seconds"),
    )


def _bytes_under(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _changelog_bytes(here: Place) -> int:
    """What the broker keeps of the changelogs: all that was written."""
    logs = [file for file in here.directory.rglob("*.log") if "-changelog-" in file.parent.name]
    if not logs:
        raise MeasurementFailed("the broker keeps no changelog")
    return sum(file.stat().st_size for file in logs)


def _conditions() -> str:
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {platform.machine()}, {python}, Apache Kafka 4.1.1 on the same machine"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("open_returns", nargs="+", type=int)
    parser.add_argument("--check", action="store_true", help="compare with what is reckoned; do not fit anew")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured to fit (3)")
    options = parser.parse_args()
    off = []
    for number in options.open_returns:
        foretold = estimate_stand(measured().fitted, number) if options.check else None
        if foretold is not None:
            print("foretold ", json.dumps(foretold.told()), flush=True)
        found = middle([_measured_once(number) for _ in range(1 if options.check else options.rounds)])
        keep(found, checked=options.check)
        if foretold is not None:
            ratios = {name: getattr(foretold, name) / getattr(found, name) for name in RECKONED}
            print("ratio    ", json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()}))
            off += [name for name, ratio in ratios.items() if abs(ratio - 1) > NEAR_ENOUGH]
    if off:
        print(f"further off than {NEAR_ENOUGH:.0%}: {', '.join(off)}")
    return 1 if off else 0


def _measured_once(open_returns: int) -> Stand:
    found = asyncio.run(stand(open_returns))
    print("measured ", json.dumps(found.told()), flush=True)
    return found


def middle(stands: Sequence[Stand]) -> Stand:
    """Of several measurements of as many open returns, the median of each figure: a machine is not always equally fast.

    Of what was used at the most, the most of all.
    """
    told = [stand.told() for stand in stands]
    figures = {name: median_low(one[name] for one in told) for name in told[0]}
    return Stand(**figures | {"peak_memory_bytes": max(one["peak_memory_bytes"] for one in told)})


def keep(found: Stand, *, checked: bool) -> None:
    """Put a measurement among those that `returnwatch size` reckons with, or was checked with."""
    document = (
        json.loads(MEASURED_FILE.read_text()) if MEASURED_FILE.exists() else {"fitted": [], "checked": []}
    )
    named = document["checked" if checked else "fitted"]
    others = [one for one in named if one["open_returns"] != found.open_returns]
    document["checked" if checked else "fitted"] = sorted(
        [*others, found.told()], key=lambda one: one["open_returns"]
    )
    document |= {"measured_on": f"{datetime.now(UTC):%Y-%m-%d}", "conditions": _conditions()}
    MEASURED_FILE.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
