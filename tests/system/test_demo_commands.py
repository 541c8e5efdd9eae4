"""`returnwatch demo` as a person runs it: a killed worker changes nothing, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from agents.embedded_kafka import EmbeddedKafkaUnavailable, prepare_quick_start
from schemas.vocabulary import RuleId

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(1500)]

RETURNWATCH = Path(sys.executable).parent / "returnwatch"
SMALL = ("--returns", "300", "--days", "1", "--seed", "5")
MINUTES = ("2.4", "5")
"""How long the world takes, and how long when nothing could be decided: that is no verdict, and the machine's doing."""
UNDECIDED = "nothing could be decided"
HELD_UP = "was held up"
PATIENCE_SECONDS = 180.0


@pytest.fixture(autouse=True)
def prepared() -> None:
    try:
        prepare_quick_start()
    except EmbeddedKafkaUnavailable as error:
        pytest.skip(str(error))


class Demo:
    """A demo in a process group of its own, as a terminal would start it."""

    def __init__(self, output: Path, *arguments: str) -> None:
        self._output = output
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                [str(RETURNWATCH), "demo", *SMALL, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A script that was itself started in the background hands an ignored SIGINT down.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one call, no locks
            )

    @property
    def text(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def words(self) -> str:
        """The output without the breaks of its lines."""
        return " ".join(self.text.split())

    def worker(self) -> psutil.Process | None:
        """The worker of the moment."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if child.cmdline()[-2:] == ["agents", "worker"]:
                    return child
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return None

    def family(self) -> list[psutil.Process]:
        """The demo and all its descendants."""
        demo = psutil.Process(self.process.pid)
        return [demo, *demo.children(recursive=True)]

    def table(self) -> list[list[str]]:
        """The rows of the final comparison."""
        rows = [line.split() for line in self.text.splitlines()]
        return [row for row in rows if row and row[0] in set(RuleId)]


@contextmanager
def demo(output: Path, *arguments: str) -> Iterator[Demo]:
    started = Demo(output, *arguments)
    family: list[psutil.Process] = []
    try:
        yield started
    finally:
        if started.process.poll() is None:
            family = started.family()
        for process in family:
            process.kill()
        started.process.wait()


def wait_for(told: Demo, what: str) -> str:
    """Wait until the output matches; returns what was found."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := re.search(what, told.text)) is None:
        assert told.process.poll() is None, f"ended with {told.process.returncode}:\n{told.text}"
        assert time.monotonic() < deadline, told.text
        time.sleep(0.2)
    return found[0]


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s: {what}"
        time.sleep(0.2)


def undisturbed_and_killed(directory: Path, minutes: str) -> tuple[Demo, Demo]:
    """Two demos of the same world, ended. The worker of one was killed in the middle."""
    options = ("--once", "--minutes", minutes)
    directory.mkdir()
    with (
        demo(directory / "undisturbed", *options) as quiet,
        demo(directory / "killed", *options) as disturbed,
    ):
        wait_for(disturbed, "metrics: http")
        time.sleep(25)
        eventually(disturbed.worker, "there is a worker to kill")
        worker = disturbed.worker()
        assert worker is not None
        worker.kill()
        for each in (quiet, disturbed):
            each.process.wait(60 * float(minutes) + 300)
    return quiet, disturbed


def says_nothing(told: Demo) -> bool:
    """Whether the machine was too slow for this speed: nothing could be decided, or a worker stood still for long."""
    return UNDECIDED in told.words or (HELD_UP in told.words and told.process.returncode != 0)


def test_a_worker_killed_in_the_middle_changes_nothing_in_the_final_comparison(tmp_path: Path) -> None:
    quickest, *slower = MINUTES
    quiet, disturbed = undisturbed_and_killed(tmp_path / quickest, quickest)
    while slower and any(says_nothing(each) for each in (quiet, disturbed)):
        minutes = slower.pop(0)
        quiet, disturbed = undisturbed_and_killed(tmp_path / minutes, minutes)
    for each in (quiet, disturbed):
        assert each.process.returncode == 0, each.text
        assert "nothing missed, false, early or late" in each.words
        assert len(each.table()) == len(RuleId)
    assert "the worker was started 2 times" in disturbed.words
    if HELD_UP not in quiet.words + disturbed.words:
        assert quiet.table() == disturbed.table()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_process_and_no_port_behind(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path / "out", "--minutes", "1") as running:
        metrics = int(wait_for(running, r"metrics: http://127\.0\.0\.1:\d+").rpartition(":")[2])
        eventually(lambda: metrics in listening(running.family()), "the metrics are up")
        family = running.family()
        assert any("kafka.Kafka" in process.cmdline() for process in family)
        ports = listening(family)
        assert len(ports) >= 2, "so is the broker"
        os.killpg(running.process.pid, number)
        assert running.process.wait(PATIENCE_SECONDS) == 130, running.text
        gone, alive = psutil.wait_procs(family, timeout=60)
        assert not alive, [process.cmdline() for process in alive]
        assert gone
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


def listening(family: list[psutil.Process]) -> set[int]:
    ports = set()
    for process in family:
        with suppress(psutil.NoSuchProcess):  # what prepares the broker's directory ends meanwhile
            connections = process.net_connections("tcp")
            ports |= {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}
    return ports
