"""Writes what a version keeps in its changelogs in the middle of a small world, and the rest of that world.

Run with the code of the version that is to be recorded (README.md): PYTHONPATH=CHECKOUT python record.py FILE
"""

from __future__ import annotations

import gzip
import sys
from bisect import bisect_right
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from agents import virtual_time
from schemas.policy_loading import default_policy
from simulation.warehouse import policy_of_this_world
from simulation.world import World
from tests.scenarios.one_process import OneProcess

PERIOD = timedelta(hours=1)
HALF_WAY = timedelta(days=14)
KEPT: dict[int, dict[str, bytes]] = {}


class RecordingStore(virtual_time.Store):
    """Keeps the records of each batch that are not states, as the changelog would."""

    def apply(self, batch: Any) -> None:
        kept = KEPT.setdefault(id(self), {})
        kept["position"] = batch.position
        for name in ("policy", "rhythms"):
            if getattr(batch, name) is not None:
                kept[name] = getattr(batch, name)
        super().apply(batch)


def main() -> None:
    """Play the first half, and write what is there when the rest is still to come."""
    virtual_time.Store = RecordingStore  # type: ignore[misc]
    world = World(11, returns=70, days=14)
    policy = policy_of_this_world(default_policy())
    run: Any = OneProcess(policy)
    events = sorted(world.events, key=lambda event: event.appears_at)
    half_at = events[0].appears_at + HALF_WAY
    half = bisect_right(events, half_at, key=lambda event: event.appears_at)
    run.play(events[:half], half_at, PERIOD)
    # An hour more is in the logs of the stages and not worked through, with the marker behind it.
    read_at = half_at + PERIOD
    read = bisect_right(events, read_at, key=lambda event: event.appears_at)
    run._take_in(events[half:read])
    engine = run.engine
    marker = engine._marker(round(read_at.timestamp() * 1000))
    for log in (*engine._parcels, *engine._returns):
        log.append(b"\x00marker", marker)
    told = {
        "policy": policy.model_dump_json(),
        "events": [tuple(event) for event in events],
        "read": read,
        "read_at": read_at,
        "until_at": world.until_at,
        "observed": [tuple(seen) for seen in run.observed],
        "stages": {
            stage: [
                {
                    **KEPT[id(log.store)],
                    "states": {key: raw for key, (_, raw) in log.store.states.items()},
                    "waiting": [(one.offset, one.key, one.value) for one in log._waiting],
                }
                for log in logs
            ]
            for stage, logs in (("parcels", engine._parcels), ("returns", engine._returns))
        },
    }
    Path(sys.argv[1]).write_bytes(gzip.compress(msgspec.msgpack.encode(told), 9, mtime=0))


if __name__ == "__main__":
    main()
