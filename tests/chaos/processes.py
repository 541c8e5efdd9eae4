"""Worker processes that tests start, pause, kill and watch."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from agents.settings import Settings
from tests.chaos.plan import PLAN_VARIABLE, Plan

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0
"""Every wait for a condition: for what never comes, not for how soon it comes, which is the machine's affair."""


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition. Raises AssertionError with `what` when it does not come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        await asyncio.sleep(0.1)


class WorkerProcess:
    """One worker: started again it is the same one, with the same data directory and instance id."""

    def __init__(self, settings: Settings, directory: Path, plan: Plan | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.settings = settings.model_copy(
            update={
                "data_dir": directory / "data",
                "instance_id": directory.name,
                "metrics_port": free_port(),
                "log_format": "json",
            }
        )
        self.plan = plan or Plan()
        self.module = "tests.chaos.worker_main"
        self.log_file = directory / "worker.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, plan: Plan | None = None) -> None:
        """Start it, from now on with another plan if one is given."""
        self.plan = plan or self.plan
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                cwd=ROOT,
                env={
                    **os.environ,
                    **self.settings.environment(),
                    PLAN_VARIABLE: msgspec.json.encode(self.plan).decode(),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process of the last start."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def exit_code(self) -> int | None:
        """None while it runs, be it paused or not."""
        return self.process.poll()

    @property
    def is_paused(self) -> bool:
        """Whether it was stopped by SIGSTOP."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "T"

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """End it in order. Returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    # -- what it says of itself

    def lines(self) -> Iterator[dict[str, Any]]:
        """Its log, line by line, all starts together."""
        for line in self.log_file.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        return [line for line in self.lines() if line.get("event") == event]

    def get(self, path: str) -> tuple[int, str]:
        """Ask its HTTP server; (0, "") when nothing answers."""
        url = f"http://127.0.0.1:{self.settings.metrics_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def is_ready(self) -> bool:
        """Whether it says that it has what it needs."""
        return self.get("/ready")[0] == 200

    async def ready(self) -> None:
        """Wait until it is ready. Raises AssertionError when it ends instead, or does neither."""
        await until(lambda: self.is_ready() or self.exit_code is not None, "the worker is ready")
        assert self.exit_code is None, f"the worker ended with exit code {self.exit_code}"

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric's series that carry these labels; 0 without one."""
        return sum(value for found, value in self.series(name) if labels.items() <= found.items())

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Every series of a metric, by its full sample name: (labels, value)."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return [
            (dict(sample.labels), sample.value)
            for family in families
            for sample in family.samples
            if sample.name == name
        ]

    def show_tasks(self) -> None:
        """Make it write into its log where every task stands."""
        if self.exit_code is None:
            self.process.send_signal(signal.SIGUSR1)

    def tail(self, lines: int = 25) -> str:
        """The end of its log, for a failure's message."""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])


async def all_pass(started: list[WorkerProcess], moment_s: float) -> None:
    """Wait until every watermark that the workers tell of is past a moment."""
    name = "returnwatch_watermark_timestamp_seconds"

    def passed() -> bool:
        stands = [at for worker in started for _, at in worker.series(name)]
        return bool(stands) and min(stands) > moment_s

    await until(passed, "every watermark is past the end")


@contextmanager
def workers(settings: Settings, directory: Path, *plans: Plan) -> Iterator[list[WorkerProcess]]:
    """Started workers w0, w1, ...; none is left behind. After a failure the ends of their logs are printed."""
    started = [WorkerProcess(settings, directory / f"w{number}", plan) for number, plan in enumerate(plans)]
    try:
        for worker in started:
            worker.start()
        yield started
    except BaseException:
        for worker in started:
            worker.show_tasks()
        time.sleep(1)
        for worker in started:
            sys.stderr.write(f"\n--- {worker.log_file}\n{worker.tail()}\n")
        raise
    finally:
        for worker in started:
            worker.kill()
