"""`returnwatch demo --once` with an altered worker: python -m tests.system.altered_demo ALTERATIONS [SEED].

The world is small and fast, and the comparison more patient than in the product: a worker that is slow because the
machine is busy finds the same. Everything else is the product's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from agents import demo as demo_module
from agents.demo import run_demo
from agents.demo_options import DemoOptions
from agents.demo_worker import WorkerProcess
from tests.system.altered_worker import ALTERATIONS_VARIABLE

RETURNS = 400
DAYS = 1.0
MINUTES = 0.6
TOLERANCE_SECONDS = 30.0
LATE_SECONDS = 40.0
DRAIN_SECONDS = 120.0
SURELY_STUCK_SECONDS = 15.0
"""After this a watermark that can never move is given up."""


class AlteredProcess(WorkerProcess):
    """The demo's worker, started from tests/system/altered_worker.py."""

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


def main() -> None:
    """Run it; the exit code is the demo's."""
    demo: Any = demo_module
    demo.TOLERANCE_SECONDS, demo.LATE_SECONDS = TOLERANCE_SECONDS, LATE_SECONDS
    demo.DRAIN_SECONDS = SURELY_STUCK_SECONDS if sys.argv[1] == "markers_dropped" else DRAIN_SECONDS
    demo.WorkerProcess = AlteredProcess
    seed = int(sys.argv[2])
    sys.exit(run_demo(DemoOptions(once=True, returns=RETURNS, seed=seed, days=DAYS, minutes=MINUTES)))


if __name__ == "__main__":
    main()
