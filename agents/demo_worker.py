"""The demo's worker: a process of its own, restarted when it dies, watched through its /metrics."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import IO

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from agents.child_process import dying_with_parent
from agents.errors import Finding, UserError
from agents.settings import Settings
from streams.epoch import moment_of

MOST_STARTS = 50


class WorkerFailedError(UserError):
    """The demo's worker ends again and again."""


class WorkerProcess:
    """`returnwatch worker` with the given settings. A supervisor restarts it, as it would in production."""

    def __init__(self, settings: Settings, log_file: Path) -> None:
        self._settings = settings
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self.starts = 0

    @property
    def pid(self) -> int:
        """Process id of the running worker; 0 when it is down."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    @property
    def metrics_url(self) -> str:
        """Where it serves /metrics."""
        return f"http://{self._settings.metrics_host}:{self._settings.metrics_port}/metrics"

    def start(self) -> None:
        """Start the process; its output goes to the log file."""
        self._log = self._log_file.open("ab")
        self._process = subprocess.Popen(
            dying_with_parent([sys.executable, "-m", "agents", "worker"]),
            env={**os.environ, **self._settings.environment()},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self.starts += 1

    async def supervise(self) -> None:
        """Restart it whenever it ends, until cancelled."""
        while True:
            if not self.pid:
                if self.starts >= MOST_STARTS:
                    todo = f"the end of its log:\n{self.last_lines()}"
                    raise WorkerFailedError([Finding("worker", "does not stay up", todo=todo)])
                self.start()
            await asyncio.sleep(0.2)

    def stop(self) -> None:
        """End it in order, by force after ten seconds."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()

    def last_lines(self, count: int = 20) -> str:
        """The end of its log."""
        text = self._log_file.read_text(errors="replace") if self._log_file.exists() else ""
        return "\n".join(text.splitlines()[-count:])

    async def watermark(self, session: aiohttp.ClientSession) -> datetime | None:
        """The lowest watermark of all `returns` partitions; None while it cannot be told."""
        try:
            async with session.get(self.metrics_url) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return None
        marks = [
            sample.value
            for family in text_string_to_metric_families(text)
            if family.name == "returnwatch_watermark_timestamp_seconds"
            for sample in family.samples
            if sample.labels["stage"] == "returns"
        ]
        if len(marks) < self._settings.returns_partitions or not min(marks):
            return None
        return moment_of(int(min(marks) * 1000))
