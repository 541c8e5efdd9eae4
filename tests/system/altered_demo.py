"""`returnwatch demo --once` with an altered worker: python -m tests.system.altered_demo ALTERATIONS SEED MINUTES.

The world is small, short and fast; everything else is the product's. Each end of the worker is told, with its reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

from agents import demo as demo_module
from agents.demo import run_demo
from agents.demo_options import DemoOptions
from agents.demo_worker import WorkerProcess
from simulation import world as world_module
from tests.system.altered_worker import ALTERATIONS_VARIABLE

RETURNS = 400
DAYS = 1.0
TAIL = timedelta(days=9)
"""Ten days in all, in which each rule has its say about most parcels."""
SURELY_STUCK_SECONDS = 15.0
"""After this a watermark that can never move is given up."""
MAYBE_STUCK_SECONDS = 300.0
"""After this any other is: a worker that dies twice is away for a minute and a half where thirty others want the machine."""
PATIENCE_SECONDS = 600.0
"""What the comparison allows for: a test's machine may hold a worker up for longer than a person would watch it. Then
nothing is decided, and that is what the demo has to say, instead of finding fault with what it cannot know."""


class AlteredProcess(WorkerProcess):
    """The demo's worker, started from tests/system/altered_worker.py."""

    def start(self) -> None:
        if self._process is not None:
            print(f"the worker ended with exit code {self._process.returncode}: {self.last_lines(1)}")  # noqa: T201
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
    world: Any = world_module
    demo.WorkerProcess, world.TAIL = AlteredProcess, TAIL
    demo.MOST_PATIENCE_SECONDS = PATIENCE_SECONDS
    stuck = sys.argv[1] == "markers_dropped"
    demo.DRAIN_SECONDS = SURELY_STUCK_SECONDS if stuck else MAYBE_STUCK_SECONDS
    options = DemoOptions(
        once=True, returns=RETURNS, seed=int(sys.argv[2]), days=DAYS, minutes=float(sys.argv[3])
    )
    sys.exit(run_demo(options))


if __name__ == "__main__":
    main()
