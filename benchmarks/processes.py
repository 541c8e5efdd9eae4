"""The measured processes: a Returnwatch worker and the stock Faust application, each with its CPU time and memory."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from prometheus_client.parser import text_string_to_metric_families

from agents.child_process import dying_with_parent
from agents.embedded_kafka_net import free_port
from benchmarks.stock_faust.app import ALERTS_TOPIC, CHANGELOG, DUE_TOPIC
from benchmarks.workload import create_topics

PARTITIONS = 8
SAMPLE_SECONDS = 0.1
LOOK_SECONDS = 0.5
"""Between two looks at a worker's metrics: each costs it a few milliseconds."""
QUIET_SECONDS = 4.0
QUIET_CORES = 0.15
"""A process is done when it used less than this of a core over QUIET_SECONDS."""


class MeasurementFailed(RuntimeError):  # noqa: N818  (it is said of a measurement, and it reads well)
    """A process ended, or did not get there in time; the message says which and shows its log."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What a process needed from its first event to its last."""

    cpu_seconds: float
    wall_seconds: float


class Measured(Protocol):
    """One of the two contestants."""

    process: psutil.Process

    def events(self) -> int:
        """How many input events were processed since the start."""

    @property
    def log(self) -> Path:
        """What it said."""


async def burst(contestant: Measured, expected_events: int, at_most: float = 1_800.0) -> Burst:
    """Follow a process from its first event until it has processed `expected_events` and is quiet."""
    samples: list[tuple[float, float]] = []
    deadline = time.monotonic() + at_most
    while time.monotonic() < deadline:
        if _ended(contestant.process):
            break
        times = contestant.process.cpu_times()
        samples.append((time.monotonic(), times.user + times.system))
        events = contestant.events()
        if events == 0:
            samples = samples[-1:]
        elif events >= expected_events and _quiet_since(samples) is not None:
            begin, end = samples[0], samples[_quiet_since(samples) or 0]
            return Burst(end[1] - begin[1], end[0] - begin[0])
        await asyncio.sleep(LOOK_SECONDS)
    raise MeasurementFailed(
        f"{contestant.events()} of {expected_events} events were processed: {_tail(contestant.log)}"
    )


def _quiet_since(samples: list[tuple[float, float]]) -> int | None:
    """Index of the sample since which the process is quiet, None while it works."""
    now, cpu = samples[-1]
    for index in range(len(samples) - 1, -1, -1):
        at, used = samples[index]
        if now - at >= QUIET_SECONDS:
            return index if cpu - used < QUIET_CORES * (now - at) else None
    return None


@dataclass
class Stock:
    """The stock Faust application of benchmarks/stock_faust."""

    bootstrap_servers: str
    directory: Path
    process: psutil.Process = field(init=False)
    _starts: int = 0

    async def create_topics(self) -> None:
        """Create what it reads and writes."""
        await create_topics(self.bootstrap_servers, PARTITIONS, DUE_TOPIC, ALERTS_TOPIC)
        await create_topics(self.bootstrap_servers, PARTITIONS, CHANGELOG, **{"cleanup.policy": "compact"})

    def start(self) -> None:
        """Start it on its data directory."""
        self._starts += 1
        self._progress.touch()
        arguments = [
            "--bootstrap-servers",
            self.bootstrap_servers,
            "--data-dir",
            str(self.directory / "stock"),
        ]
        arguments += ["--progress", str(self._progress), "--partitions", str(PARTITIONS)]
        command = [sys.executable, "-m", "benchmarks.stock_faust", *arguments]
        self.process = _spawn(command, self.log, {})

    def stop(self) -> None:
        """End it in order."""
        _stop(self.process)

    def lose_disk(self) -> None:
        """Delete its local state."""
        shutil.rmtree(self.directory / "stock", ignore_errors=True)

    @property
    def log(self) -> Path:
        """What it said, over all its starts."""
        return self.directory / "stock.log"

    @property
    def _progress(self) -> Path:
        return self.directory / f"stock-progress-{self._starts}"

    def events(self) -> int:
        """How many events it processed."""
        lines = self._progress.read_text().split("\n")
        return int(lines[-2].split()[0]) if len(lines) > 1 else 0

    async def recovery_seconds(self, at_most: float = 1_800.0) -> float:
        """How long it took from its assignment to its restored Table."""
        deadline = time.monotonic() + at_most
        while time.monotonic() < deadline:
            noted = {
                line.split()[3]: float(line.split()[2]) for line in self._progress.read_text().splitlines()
            }
            if "recovered" in noted:
                return noted["recovered"] - noted["assigned"]
            await asyncio.sleep(SAMPLE_SECONDS)
        raise MeasurementFailed(f"stock Faust did not recover: {_tail(self.log)}")


@dataclass
class Worker:
    """`returnwatch worker` as a process, with the settings that a benchmark needs."""

    bootstrap_servers: str
    directory: Path
    name: str = "bench"
    policy: str = ""
    """Text of a policy file; "" for the built-in one."""
    process: psutil.Process = field(init=False)

    def __post_init__(self) -> None:
        self.port = free_port(0)
        self.data_dir = self.directory / self.name

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the worker and of every other command on the same installation."""
        settings = {
            "bootstrap_servers": self.bootstrap_servers,
            "app_id": self.name,
            "topic_prefix": f"{self.name}-",
            "instance_id": "worker-1",
            "replication_factor": "1",
            "parcels_partitions": str(PARTITIONS),
            "returns_partitions": str(PARTITIONS),
            "data_dir": str(self.data_dir),
            "metrics_port": str(self.port),
            "log_format": "json",
            "commands_topics": "none",
        }
        if self.policy:
            file = self.directory / f"{self.name}.policy.yaml"
            file.write_text(self.policy)
            settings["policy_file"] = str(file)
        return {f"RETURNWATCH_{name.upper()}": value for name, value in settings.items()}

    def create_topics(self) -> None:
        """Create internal and output topics; the inputs are there."""
        done = subprocess.run(
            [_returnwatch(), "topics", "create", "--wait", "60s"],
            env={**_environment(), **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise MeasurementFailed(done.stdout + done.stderr)

    def start(self) -> None:
        """Start it on its data directory."""
        self.process = _spawn([_returnwatch(), "worker"], self.log, self.environment)

    def stop(self) -> None:
        """End it in order."""
        _stop(self.process)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def lose_disk(self) -> None:
        """Delete its local state."""
        shutil.rmtree(self.data_dir, ignore_errors=True)

    @property
    def log(self) -> Path:
        """What it said, over all its starts."""
        return self.directory / f"{self.name}.log"

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """All samples by name and labels; empty while it does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except (URLError, OSError):
            return {}
        families = text_string_to_metric_families(text)
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def total(self, name: str, **labels: str) -> float:
        """Sum of the series of `returnwatch_<name>` with these labels."""
        wanted = set(labels.items())
        samples = self.metrics().items()
        return sum(
            v for (sample, has), v in samples if sample == f"returnwatch_{name}" and wanted <= set(has)
        )

    def events(self) -> int:
        """How many input events intake took since the start."""
        return int(self.total("events_consumed_total"))

    async def ready(self, at_most: float = 600.0) -> float:
        """Wait until it says that it is ready; how many seconds that took."""
        return await self.until(lambda: self.total("ready") == 1, "it is ready", at_most)

    async def until(self, true: Callable[[], bool], what: str, at_most: float = 600.0) -> float:
        """Wait until `true`; how many seconds that took."""
        began = time.monotonic()
        while time.monotonic() - began < at_most:
            if true():
                return time.monotonic() - began
            if _ended(self.process):
                break
            await asyncio.sleep(SAMPLE_SECONDS / 2)
        raise MeasurementFailed(f"waited until {what}, in vain: {_tail(self.log)}")


def _returnwatch() -> str:
    return str(Path(sys.executable).parent / "returnwatch")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RETURNWATCH_")}


def _spawn(command: list[str], log: Path, environment: dict[str, str]) -> psutil.Process:
    with log.open("ab") as output:
        started = subprocess.Popen(
            dying_with_parent(command),
            env={**_environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[1],
        )
    return psutil.Process(started.pid)


def _stop(process: psutil.Process) -> None:
    if not process.is_running():
        return
    process.terminate()
    try:
        process.wait(60)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait()


def _ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def _tail(log: Path) -> str:
    return "\n" + log.read_text(errors="replace")[-2_000:]
