"""A real Apache Kafka of our own, for the demo and the tests: no Docker, no installed Java, one process.

It is one KRaft node, broker and controller in one, that listens on 127.0.0.1 only. It ends with the process
that started it, whatever kills that process (agents/child_process.py), and leaves a signal from the terminal to
its owner, so that a Ctrl-C stops workers first and the broker last. It is no broker for production: it keeps
one copy of everything.
"""

from __future__ import annotations

import argparse
import atexit
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from agents.child_process import dying_with_parent
from agents.embedded_kafka_jars import (
    EmbeddedKafkaUnavailable,
    default_jar_cache,
    install_jars,
    java_executable,
    quick_start_file,
    run_java,
)
from agents.embedded_kafka_jars import prepare_quick_start as _prepare_quick_start
from agents.embedded_kafka_net import HOST, free_port, is_free, is_ready, port_taken

__all__ = ["EmbeddedKafka", "EmbeddedKafkaUnavailable", "main", "prepare_quick_start"]

_TRAINING_TIMEOUT = timedelta(seconds=120)
_POLL_S = 0.05
_WATCH_S = 0.5
_FORMAT_TIMEOUT_S = 60.0
_LOG_LINES_SHOWN = 15
_NOTHING: Mapping[str, str] = MappingProxyType({})

# Few partitions and threads: quick to start, quiet when idle. Factors of 1 are what a single node can give.
_PROPERTIES: Mapping[str, str] = MappingProxyType(
    {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "BROKER",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "4",
        "log.cleaner.dedupe.buffer.size": "16777216",
        "metadata.max.idle.interval.ms": "5000",
        # After a kill the controller refuses the broker until the session of the killed one has timed out.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
    }
)
_JVM_OPTIONS = (
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    # Its hundreds of lines of settings would hide the one line that says why a start failed.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
)


class EmbeddedKafka:
    """A broker with its data in one directory. Methods block; call them from one thread at a time.

    Args:
        directory: Data, settings and `kafka.log`. One used before brings its topics, and its port if free.
        port: 0 picks a free port, which stays the same over restarts.
        extra_properties: Settings of the broker, which win over ours.
        jar_cache: Where the jars are kept; by default the user's cache directory.
        jvm_options: Options of the JVM, after ours.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        extra_properties: Mapping[str, str] = _NOTHING,
        jar_cache: Path | None = None,
        jvm_options: Sequence[str] = ("-Xmx512m",),
    ) -> None:
        self.directory = Path(directory).absolute()
        self._asked_port = port
        self._ports: tuple[int, int] | None = None  # of the broker and of the controller
        self._extra_properties = dict(extra_properties)
        self._jar_cache = jar_cache or default_jar_cache()
        self._jvm_options = tuple(jvm_options)
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`; known from the first start on.

        Raises:
            RuntimeError: it was never started.
        """
        if self._ports is None:
            raise RuntimeError("the embedded Kafka has no address before its first start()")
        return f"{HOST}:{self._ports[0]}"

    @property
    def pid(self) -> int:
        """The process id of the broker.

        Raises:
            RuntimeError: it does not run.
        """
        if self._process is None:
            raise RuntimeError("the embedded Kafka does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives, be it paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_file(self) -> Path:
        return self.directory / "kafka.log"

    def start(self, timeout: timedelta = timedelta(seconds=60)) -> None:
        """Start and return when the broker takes part in its cluster; do nothing if it runs already.

        Args:
            timeout: For the broker alone; the first load of its jars may take as long as the network needs.

        Raises:
            EmbeddedKafkaUnavailable: see the message. No process is left then.
        """
        if self.running:
            return
        java, jars = java_executable(), install_jars(self._jar_cache)
        self.directory.mkdir(parents=True, exist_ok=True)
        cluster_id = self._remember_cluster()
        jvm = [*_JVM_OPTIONS, *self._quick_start_options(), "-cp", ":".join(map(str, jars))]
        self._format(jvm, cluster_id)
        deadline = time.monotonic() + timeout.total_seconds()
        try:
            self._spawn([str(java), *self._jvm_options, *jvm, "kafka.Kafka", str(self._properties_file)])
            self._await_ready(deadline, timeout)
        except BaseException:  # a Ctrl-C too must leave no process behind
            self.kill()
            raise
        atexit.register(self.stop)

    def stop(self, timeout: timedelta = timedelta(seconds=15)) -> None:
        """Stop in order, or after the timeout by force. Does nothing if it does not run."""
        if self.running:
            self.resume()
            self._signal(signal.SIGTERM)
            self._join(timeout.total_seconds())
        self.kill()

    def kill(self) -> None:
        """Kill at once (`kill -9`). What was acknowledged stays, and so do the port and the data."""
        if self.running:
            self._signal(signal.SIGKILL)
        self._join(None)
        self._process = self._keeper = None
        atexit.unregister(self.stop)

    def pause(self) -> None:
        """Freeze the process: connections stay open and nothing answers. Returns when it stands still."""
        self._signal(signal.SIGSTOP)
        if self._process is not None and self._process.poll() is None:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- settings and storage

    @property
    def _properties_file(self) -> Path:
        return self.directory / "server.properties"

    def _quick_start_options(self) -> list[str]:
        file = quick_start_file(self._jar_cache)
        training = any(option.startswith("-XX:AOTCacheOutput") for option in self._jvm_options)
        return [f"-XX:AOTCache={file}"] if file.exists() and not training else []

    def _remember_cluster(self) -> str:
        """Choose ports and cluster id, or find the earlier ones; write the settings; return the id."""
        note = self.directory / "cluster.json"
        known = json.loads(note.read_text()) if note.exists() else {"id": _new_cluster_id(), "ports": [0, 0]}
        if self._ports is None:
            self._ports = self._choose_ports(*known["ports"])
        elif not is_free(self._ports[0]):
            raise port_taken(self._ports[0])
        note.write_text(json.dumps({**known, "ports": self._ports}))
        self._write_properties(*self._ports)
        return str(known["id"])

    def _choose_ports(self, known_port: int, known_controller: int) -> tuple[int, int]:
        if self._asked_port and not is_free(self._asked_port):
            raise port_taken(self._asked_port)
        port = self._asked_port or free_port(known_port)
        return port, free_port(known_controller, other_than=port)

    def _write_properties(self, port: int, controller: int) -> None:
        properties = {
            **_PROPERTIES,
            "listeners": f"BROKER://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"BROKER://{HOST}:{port}",
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "log.dirs": str(self.directory / "data"),
            **self._extra_properties,
        }
        lines = (f"{key}={value}".replace("\\", "\\\\") for key, value in properties.items())
        self._properties_file.write_text("\n".join(lines) + "\n")

    def _format(self, jvm: Sequence[str], cluster_id: str) -> None:
        if (self.directory / "data" / "meta.properties").exists():
            return
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._properties_file)]
        done = run_java(["-XX:TieredStopAtLevel=1", *jvm, *tool], timeout_s=_FORMAT_TIMEOUT_S)
        if done.returncode:
            raise EmbeddedKafkaUnavailable(
                f"its data directory {self.directory} could not be prepared.", _last_lines(done.stdout)
            )

    # -- the process

    def _spawn(self, command: list[str]) -> None:
        """Start Java from a thread of its own that waits for it.

        Linux sends the parent-death signal when the starting *thread* ends: `start()` in a pool's thread
        must not tie the broker to that thread. A daemon thread ends only with the whole process.
        """
        started = threading.Event()
        failure: list[OSError] = []

        def keep() -> None:
            try:
                self._process = self._popen(command)
            except OSError as error:
                failure.append(error)
                return
            finally:
                started.set()
            self._process.wait()

        self._keeper = threading.Thread(target=keep, name="embedded-kafka", daemon=True)
        self._keeper.start()
        started.wait()
        for error in failure:
            raise EmbeddedKafkaUnavailable("its process could not be started.", str(error)) from error

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log_file.open("wb") as log:
            return subprocess.Popen(
                dying_with_parent(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
            )

    def _await_ready(self, deadline: float, timeout: timedelta) -> None:
        port = int(self.bootstrap_servers.rpartition(":")[2])
        while not is_ready(port):
            if not self.running:
                raise EmbeddedKafkaUnavailable("the broker died at its start.", self._log_tail())
            if time.monotonic() > deadline:
                raise EmbeddedKafkaUnavailable(
                    f"the broker was not ready within {timeout.total_seconds():.0f} s.",
                    self._log_tail(),
                    "give it a longer timeout, or the machine less to do.",
                )
            time.sleep(_POLL_S)

    def _log_tail(self) -> str:
        try:
            return f"the end of {self.log_file}:\n" + _last_lines(self.log_file.read_text(errors="replace"))
        except OSError as error:
            return f"its log cannot be read: {error}"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("the embedded Kafka does not run")
        self._process.send_signal(number)

    def _join(self, timeout_s: float | None) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)


def prepare_quick_start(jar_cache: Path | None = None) -> None:
    """Make all later starts with this cache take a third of the time and CPU; for who starts many brokers.

    Does nothing if it was done. Takes about 15 s otherwise.

    Raises:
        EmbeddedKafkaUnavailable: as `EmbeddedKafka.start`.
    """
    cache = jar_cache or default_jar_cache()

    def train(target: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="returnwatch-kafka-") as directory:
            options = ("-Xmx512m", f"-XX:AOTCacheOutput={target}")
            broker = EmbeddedKafka(Path(directory), jar_cache=cache, jvm_options=options)
            broker.start()
            broker.stop(timeout=_TRAINING_TIMEOUT)

    _prepare_quick_start(train, cache)


def _new_cluster_id() -> str:
    """Return 16 bytes in base64, as Kafka wants it; the first is 0, or the id could look like an option."""
    return base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")


def _last_lines(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()[-_LOG_LINES_SHOWN:]) or "    (nothing)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a broker in the foreground until SIGINT or SIGTERM; return 1 if it could not start or died."""
    parser = argparse.ArgumentParser(prog="python -m agents.embedded_kafka")
    parser.add_argument("--directory", type=Path, required=True, help="data, settings and log of the broker")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    options = parser.parse_args(arguments)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stopping.set())
    broker = EmbeddedKafka(options.directory, port=options.port)
    try:
        broker.start()
    except EmbeddedKafkaUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"bootstrap.servers={broker.bootstrap_servers}\n")
    sys.stdout.flush()
    while broker.running and not stopping.wait(_WATCH_S):
        pass
    died = not broker.running
    broker.stop()
    if died:
        sys.stderr.write(f"the broker died; its log is {broker.log_file}\n")
    return int(died)


if __name__ == "__main__":
    sys.exit(main())
