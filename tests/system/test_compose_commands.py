"""The very commands and variables of docker-compose.yml, run as local processes: there is no engine in CI.

Only names of the container world are mapped: the broker's address, directories and the published port.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from agents.embedded_kafka import EmbeddedKafka
from agents.embedded_kafka_net import free_port

pytestmark = [pytest.mark.system]

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
RETURNWATCH = Path(sys.executable).parent / "returnwatch"


class Stage:
    """Runs services of the compose file on this machine."""

    def __init__(self, kafka: EmbeddedKafka, directory: Path) -> None:
        self.port = free_port(0)
        self._directory = directory
        self._mapped = {
            "kafka:9092": kafka.bootstrap_servers,
            "/var/lib/returnwatch-clock": str(directory / "clock"),
            "/var/lib/returnwatch": str(directory / "data"),
            "0.0.0.0": "127.0.0.1",  # noqa: S104  (what a container listens on)
            "9464": str(self.port),
        }
        for name in ("clock", "data"):
            (directory / name).mkdir()

    def mapped(self, text: str) -> str:
        for there, here in self._mapped.items():
            text = text.replace(there, here)
        return text

    def command(self, name: str) -> list[str]:
        service = SERVICES[name]
        entrypoint = service.get("entrypoint", [str(RETURNWATCH)])
        return [*entrypoint, *(self.mapped(part).replace("$$", "$") for part in service["command"])]

    def environment(self, name: str) -> Mapping[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RETURNWATCH_")}
        own = {key: self.mapped(value) for key, value in SERVICES[name]["environment"].items()}
        return {**inherited, **own}

    def run(self, name: str) -> None:
        done = subprocess.run(
            self.command(name),
            env=self.environment(name),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"

    @contextmanager
    def running(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        log = self._directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(name), env=self.environment(name), stdout=output, stderr=subprocess.STDOUT
            )
            try:
                yield process
            except BaseException:
                sys.stderr.write(f"--- {name} ---\n{log.read_text(errors='replace')[-8_000:]}\n")
                raise
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=3) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as refused:
            return refused.code, refused.read().decode()
        except (URLError, OSError) as nobody:
            return 0, str(nobody)

    def total(self, metric: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.ask("/metrics")[1])
        samples = (sample for family in families for sample in family.samples if sample.name == metric)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


@pytest.fixture
def stage(own_kafka: EmbeddedKafka, tmp_path: Path) -> Stage:
    return Stage(own_kafka, tmp_path)


def eventually(true: Callable[[], bool], seconds: float, otherwise: Callable[[], object]) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.25)


def test_what_compose_starts_finds_what_the_shop_does(stage: Stage) -> None:
    stage.run("topics")
    stage.run("topics")  # a second `up` finds its topics
    stage.run("clock")
    with stage.running("worker") as worker:
        eventually(lambda: stage.ask("/ready")[0] == 200, 180, lambda: stage.ask("/ready"))
        assert stage.ask("/live")[0] == 200
        healthy = [
            part.replace("9464", str(stage.port)) for part in SERVICES["worker"]["healthcheck"]["test"][2:]
        ]
        assert subprocess.run([sys.executable, *healthy], check=False).returncode == 0
        with stage.running("shop"):
            accepted = {"result": "accepted"}
            eventually(
                lambda: stage.total("returnwatch_events_consumed_total", **accepted) > 100,
                180,
                lambda: stage.ask("/metrics")[1],
            )
            eventually(
                lambda: stage.total("returnwatch_escalations_total", transition="opened") > 0,
                240,
                lambda: stage.ask("/metrics")[1],
            )
        assert worker.poll() is None
    assert worker.returncode == 0, "SIGTERM ends it in order"


def test_the_clock_is_noted_once(stage: Stage, tmp_path: Path) -> None:
    stage.run("clock")
    noted = (tmp_path / "clock/returnwatch_simulated_origin_at").read_text()
    time.sleep(1.1)
    stage.run("clock")
    assert (tmp_path / "clock/returnwatch_simulated_origin_at").read_text() == noted
