"""A real Prometheus of a test's own (Debian's package `prometheus`), on the loopback address."""

import json
import math
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from agents.child_process import dying_with_parent
from agents.embedded_kafka_net import free_port

NEEDS_PROMETHEUS = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is not here: apt-get install prometheus"
)
START_SECONDS = 60.0
MOST_POINTS = 500


class Prometheus:
    """What it has scraped since it was started."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._started_at = time.time()

    def over_all(self, promql: str) -> list[dict[str, Any]]:
        """The series of an expression over the whole time, as a panel of a dashboard asks for them."""
        now = time.time()
        step = max(1.0, (now - self._started_at) / MOST_POINTS)
        found = self._ask("query_range", query=promql, start=self._started_at, end=now, step=step)
        series: list[dict[str, Any]] = found["result"]
        return series

    def has_numbers(self, promql: str) -> bool:
        """Whether it gave a number at any time. A quantile of nothing is NaN, which is no number."""
        points = (float(value) for each in self.over_all(promql) for _, value in each["values"])
        return any(math.isfinite(point) for point in points)

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=3) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _ask(self, what: str, **arguments: object) -> dict[str, Any]:
        with urlopen(
            f"http://127.0.0.1:{self._port}/api/v1/{what}?{urlencode(arguments)}", timeout=30
        ) as answer:
            told: dict[str, Any] = json.load(answer)["data"]
        return told


@contextmanager
def prometheus(config: Path, directory: Path) -> Iterator[Prometheus]:
    """Run one with this configuration; its data and its log go into `directory`."""
    port = free_port(0)
    command = [
        str(shutil.which("prometheus")),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(dying_with_parent(command), stdout=output, stderr=subprocess.STDOUT)
        try:
            server = Prometheus(port)
            deadline = time.monotonic() + START_SECONDS
            while not server.is_ready():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield server
        finally:
            process.terminate()
            process.wait(30)
