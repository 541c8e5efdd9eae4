"""The very commands and variables of docker-compose.yml, run as local processes: there is no engine in CI.

Only names of the container world are mapped: addresses, directories and ports. Prometheus is Debian's, with compose's
configuration; Grafana cannot run here, so every query of its dashboards is asked of that Prometheus.
"""

import json
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
from tests.prometheus_server import NEEDS_PROMETHEUS, Prometheus, prometheus

pytestmark = [pytest.mark.system]

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
RETURNWATCH = [sys.executable, "-m", "agents"]
WORKERS = ("worker-1", "worker-2")
LISTENS = {"worker-1": "9464", "worker-2": "9464", "board": "9480"}
QUERIES_SECONDS = 420.0
CHOSEN = {"$job": ".*", "$instance": ".*", "$rule": ".*", "$carrier": ".*", "$feed": ".*"}
"""What Grafana puts in for `All`."""


class Stage:
    """Runs services of the compose file on this machine."""

    def __init__(self, kafka: EmbeddedKafka, directory: Path) -> None:
        self.ports = {name: free_port(0) for name in LISTENS}
        self._directory = directory
        self._mapped = {
            "kafka:9092": kafka.bootstrap_servers,
            "/var/lib/returnwatch-clock": str(directory / "clock"),
            "/var/lib/returnwatch": str(directory / "data"),
            "0.0.0.0": "127.0.0.1",  # noqa: S104  (what a container listens on)
        }
        (directory / "clock").mkdir()

    def mapped(self, text: str, service: str = "") -> str:
        own = {LISTENS[service]: str(self.ports[service])} if service in self.ports else {}
        for there, here in {**self._mapped, **own}.items():
            text = text.replace(there, here)
        return text.replace(str(self._directory / "data"), str(self._directory / "data" / service))

    def command(self, name: str) -> list[str]:
        service = SERVICES[name]
        entrypoint = service.get("entrypoint", RETURNWATCH)
        return [*entrypoint, *(self.mapped(part, name).replace("$$", "$") for part in service["command"])]

    def environment(self, name: str) -> Mapping[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RETURNWATCH_")}
        own = {key: self.mapped(value, name) for key, value in SERVICES[name]["environment"].items()}
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

    def ask(self, service: str, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.ports[service]}{path}", timeout=3) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as refused:
            return refused.code, refused.read().decode()
        except (URLError, OSError) as nobody:
            return 0, str(nobody)

    def total(self, metric: str, **labels: str) -> float:
        """The sum over all workers of what they export now."""
        texts = (self.ask(worker, "/metrics")[1] for worker in WORKERS)
        families = (family for text in texts for family in text_string_to_metric_families(text))
        samples = (sample for family in families for sample in family.samples if sample.name == metric)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    @contextmanager
    def scraped(self) -> Iterator[Prometheus]:
        """Prometheus with compose's configuration, but for a shorter interval: it has no ten minutes here."""
        text = (ROOT / "deploy/prometheus/prometheus.yaml").read_text()
        assert "scrape_interval: 5s" in text
        text = text.replace("scrape_interval: 5s", "scrape_interval: 1s")
        for service, port in self.ports.items():
            text = text.replace(f"{service}:{LISTENS[service]}", f"127.0.0.1:{port}")
        mounts = (volume.split(":")[:2] for volume in SERVICES["prometheus"]["volumes"])
        for here, there in mounts:
            text = text.replace(there, str(ROOT / here))
        config = self._directory / "prometheus.yaml"
        config.write_text(text)
        with prometheus(config, self._directory) as server:
            yield server


@pytest.fixture
def stage(own_kafka: EmbeddedKafka, tmp_path: Path) -> Stage:
    return Stage(own_kafka, tmp_path)


def eventually(true: Callable[[], bool], seconds: float, otherwise: Callable[[], object]) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.25)


def queries() -> Iterator[tuple[str, str]]:
    """Each query of each dashboard with the title of its panel, as Grafana asks it when all is chosen."""
    for file in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                promql = target["expr"].replace("$__rate_interval", "15s")
                for variable, value in CHOSEN.items():
                    promql = promql.replace(variable, value)
                assert "$" not in promql
                yield f"{file.stem}: {panel['title']}", promql


@NEEDS_PROMETHEUS
def test_what_compose_starts_finds_what_the_shop_does_and_every_dashboard_shows_it(stage: Stage) -> None:
    stage.run("topics")
    stage.run("topics")  # a second `up` finds its topics
    stage.run("clock")
    with stage.running("worker-1") as worker, stage.running("worker-2") as other, stage.scraped() as scraped:
        for name in WORKERS:
            is_well(stage, name)
        with stage.running("board"), stage.running("shop"):
            is_well(stage, "board")
            eventually(
                lambda: stage.total("returnwatch_escalations_total", transition="opened") > 0,
                240,
                lambda: stage.ask("worker-1", "/metrics")[1],
            )
            eventually(
                lambda: "case_id" in stage.ask("board", "/api/cases")[1], 180, lambda: "no case on the board"
            )
            without = {f"{title} ({promql})": promql for title, promql in queries()}
            assert len(without) > 40
            eventually(lambda: shows_all(scraped, without), QUERIES_SECONDS, lambda: without)
        assert stage.total("returnwatch_events_consumed_total", result="accepted") > 100
        assert worker.poll() is other.poll() is None
    assert (worker.returncode, other.returncode) == (0, 0), "SIGTERM ends them in order"


def is_well(stage: Stage, service: str) -> None:
    """Wait until a service is ready; it lives then, and compose's own check says so."""
    eventually(lambda: stage.ask(service, "/ready")[0] == 200, 180, lambda: stage.ask(service, "/ready"))
    assert stage.ask(service, "/live")[0] == 200
    port = str(stage.ports[service])
    check = [part.replace(LISTENS[service], port) for part in SERVICES[service]["healthcheck"]["test"][2:]]
    assert subprocess.run([sys.executable, *check], check=False).returncode == 0


def shows_all(scraped: Prometheus, without: dict[str, str]) -> bool:
    """Take those out of `without` that have shown numbers; whether none is left."""
    for title in [title for title, promql in without.items() if scraped.has_numbers(promql)]:
        del without[title]
    return not without


def test_the_clock_is_noted_once(stage: Stage, tmp_path: Path) -> None:
    stage.run("clock")
    noted = (tmp_path / "clock/returnwatch_simulated_origin_at").read_text()
    time.sleep(1.1)
    stage.run("clock")
    assert (tmp_path / "clock/returnwatch_simulated_origin_at").read_text() == noted
