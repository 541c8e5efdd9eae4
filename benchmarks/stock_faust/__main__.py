"""Run the stock application: `python -m benchmarks.stock_faust --bootstrap-servers ... --data-dir ... --progress ...`.

Appends a line `events cpu_seconds monotonic_seconds what` to the progress file ten times a second: a thread does it,
so that it costs the measured loop nothing.
"""

import argparse
import gc
import logging
import os
import sys
import threading
import time
from pathlib import Path

import faust
import uvloop

from benchmarks.stock_faust.app import Counted, build_app

PERIOD_SECONDS = 0.1


class Progress:
    """The lines that the measurement reads."""

    def __init__(self, path: Path, counted: Counted) -> None:
        self._file = path.open("a", buffering=1)
        self._counted = counted

    def note(self, what: str) -> None:
        times = os.times()
        self._file.write(
            f"{self._counted.events} {times.user + times.system:.3f} {time.monotonic():.3f} {what}\n"
        )

    def keep_on(self) -> None:
        while True:
            self.note("running")
            time.sleep(PERIOD_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stock_faust")
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--progress", type=Path, required=True)
    parser.add_argument("--partitions", type=int, default=8)
    options = parser.parse_args()
    counted = Counted()
    progress = Progress(options.progress, counted)

    async def recovered() -> None:
        progress.note("recovered")
        gc.collect()
        gc.freeze()
        gc.set_threshold(200_000, 50, 1_000)

    app = build_app(options.bootstrap_servers, options.data_dir, options.partitions, counted, recovered)

    async def assigned(*_arguments: object, **_keywords: object) -> None:
        progress.note("assigned")

    app.on_partitions_assigned.connect(assigned)
    threading.Thread(target=progress.keep_on, daemon=True).start()
    uvloop.install()
    logging.disable(logging.INFO)  # else every record makes log records that nobody reads
    worker = faust.Worker(
        app, loglevel="WARNING", redirect_stdouts=False, workdir=str(options.data_dir.parent)
    )
    sys.exit(worker.execute_from_commandline())


if __name__ == "__main__":
    main()
