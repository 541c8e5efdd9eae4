"""`returnwatch demo --once` with an altered worker: python -m tests.system.altered_demo ALTERATIONS SEED.

The world is small, short and fast. How long the worker stood still is measured, and the comparison is as patient: a
machine that is busy with other things changes nothing. Everything else is the product's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from agents import demo as demo_module
from agents.demo import run_demo
from agents.demo_options import DemoOptions
from agents.demo_player import moment_of
from agents.demo_worker import WorkerProcess
from simulation import world as world_module
from tests.system.altered_worker import ALTERATIONS_VARIABLE

RETURNS = 400
DAYS = 1.0
TAIL = timedelta(days=9)
"""Ten days in all, in which each rule has its say about most parcels."""
MINUTES = 0.9
PATIENCE_SECONDS = 8.0
LATE_SECONDS = 120.0
DRAIN_SECONDS = 120.0
SURELY_STUCK_SECONDS = 15.0
"""After this a watermark that can never move is given up."""


class AlteredProcess(WorkerProcess):
    """The demo's worker, started from tests/system/altered_worker.py, and how far its watermark fell behind."""

    _reached: datetime | None = None

    def start(self) -> None:
        self._log = self._log_file.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.altered_worker"],
            env={**os.environ, **self._settings.environment(), ALTERATIONS_VARIABLE: sys.argv[1]},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self.starts += 1

    async def watermark(self, session: aiohttp.ClientSession) -> datetime | None:
        mark = await super().watermark(session)
        clock = self._settings.simulated
        assert clock is not None
        before = self._reached or moment_of(clock.starts_ms)
        now = moment_of(clock.simulated_ms(int(time.time() * 1000)))
        behind_seconds = (now - before).total_seconds() / clock.speed
        demo: Any = demo_module
        demo.TOLERANCE_SECONDS = max(demo.TOLERANCE_SECONDS, behind_seconds + 1)
        self._reached = mark or self._reached
        return mark


def main() -> None:
    """Run it; the exit code is the demo's."""
    demo: Any = demo_module
    world: Any = world_module
    stuck = sys.argv[1] == "markers_dropped"
    demo.WorkerProcess, world.TAIL = AlteredProcess, TAIL
    demo.TOLERANCE_SECONDS, demo.LATE_SECONDS = PATIENCE_SECONDS, LATE_SECONDS
    demo.DRAIN_SECONDS = SURELY_STUCK_SECONDS if stuck else DRAIN_SECONDS
    options = DemoOptions(once=True, returns=RETURNS, seed=int(sys.argv[2]), days=DAYS, minutes=MINUTES)
    sys.exit(run_demo(options))


if __name__ == "__main__":
    main()
