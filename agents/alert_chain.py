"""Prometheus and Alertmanager with the rules and routes that are shipped, as child processes, for demonstration and tests.

Only what waits is changed: the shipped files wait for minutes, a demonstration may not. And who is told: one local address.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

from ruamel.yaml import YAML

from agents.child_process import dying_with_parent
from agents.durations import parse_duration
from agents.errors import Finding, UserError

DEPLOY: Final = Path(__file__).parent.parent / "deploy"
PROGRAMS: Final = {"prometheus": ("prometheus",), "alertmanager": ("prometheus-alertmanager", "alertmanager")}
"""Names under which each may be installed; the first is Debian's."""
LEAST: Final = {"for": timedelta(milliseconds=500), "keep_firing_for": timedelta(seconds=5)}
"""A busy machine misses some scrapes, which must end no alert."""
START_SECONDS: Final = 60.0


class AlertChainError(UserError):
    """Prometheus or Alertmanager is not here, or does not start."""


@dataclass(frozen=True)
class Pace:
    """How fast a demonstration goes."""

    interval: timedelta
    """Between two scrapes, and between two evaluations."""
    faster: float
    """What rules wait for before they fire is divided by this."""
    group_wait: timedelta
    """What Alertmanager waits for others of the same group, and before it says what has changed."""
    only: str = ""
    """The group of rules that waits shorter; "": all do."""
    without: tuple[str, ...] = ()
    """Groups of rules that are left out."""


@dataclass(frozen=True)
class AlertChain:
    """Addresses of what runs."""

    prometheus_url: str
    alertmanager_url: str

    def alerts(self) -> list[dict[str, Any]]:
        """What Alertmanager knows now, what it holds back included."""
        found: list[dict[str, Any]] = _ask(f"{self.alertmanager_url}/api/v2/alerts")
        return found

    def held_back(self) -> list[dict[str, Any]]:
        """What it tells nobody, for something else is known to be the cause."""
        return [alert for alert in self.alerts() if alert["status"]["inhibitedBy"]]

    def value(self, query: str) -> float | None:
        """The first value that Prometheus answers to a query; None: nothing."""
        result = _ask(f"{self.prometheus_url}/api/v1/query?query={query}")["data"]["result"]
        return float(result[0]["value"][1]) if result else None


def find_programs() -> dict[str, str]:
    """Paths of Prometheus and Alertmanager. Raises AlertChainError that says how to get what is absent."""
    found = {name: next(filter(None, map(shutil.which, names)), None) for name, names in PROGRAMS.items()}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        packages = " ".join(PROGRAMS[name][0] for name in missing)
        raise AlertChainError(
            [
                Finding(
                    name,
                    f"is not here: no {' or '.join(PROGRAMS[name])} on the PATH",
                    "alerts are raised and routed by the real programs",
                    f"apt-get install {packages}, as root, or put its program on the PATH",
                )
                for name in missing
            ]
        )
    return {name: path for name, path in found.items() if path is not None}


@contextlib.contextmanager
def alert_chain(
    directory: Path, targets: Sequence[str], receiver_url: str, pace: Pace
) -> Iterator[AlertChain]:
    """Run both. `targets`: addresses (host:port) of workers; `receiver_url`: each receiver is told at `receiver_url/NAME`."""
    programs = find_programs()
    directory.mkdir(parents=True, exist_ok=True)
    prometheus, alertmanager = _free_ports(2)
    routes = _write(directory / "alertmanager.yaml", shipped_routes(receiver_url, pace))
    config = _write(directory / "prometheus.yaml", _scraping(directory, targets, alertmanager, pace))
    commands = {
        alertmanager: [
            programs["alertmanager"],
            f"--config.file={routes}",
            f"--storage.path={directory / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=",
        ],
        prometheus: [
            programs["prometheus"],
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{prometheus}",
            # What fires before Alertmanager has been discovered is lost, and not sent again for a minute.
            "--rules.alert.resend-delay=2s",
        ],
    }
    with contextlib.ExitStack() as stack:
        for port, command in commands.items():
            stack.enter_context(_running(command, port, directory / f"{port}.log"))
        yield AlertChain(f"http://127.0.0.1:{prometheus}", f"http://127.0.0.1:{alertmanager}")


def shipped_rules(name: str, pace: Pace) -> dict[str, Any]:
    """The rules of deploy/prometheus/`name`, with shorter waits."""
    rules = _read(DEPLOY / "prometheus" / name)
    rules["groups"] = [group for group in rules["groups"] if group["name"] not in pace.without]
    hastened = [group for group in rules["groups"] if pace.only in {"", group["name"]}]
    for rule in (rule for group in hastened for rule in group["rules"]):
        for wait in LEAST.keys() & rule.keys():
            rule[wait] = _text(max(parse_duration(rule[wait]) / pace.faster, LEAST[wait]))
    return rules


def shipped_routes(receiver_url: str, pace: Pace) -> dict[str, Any]:
    """deploy/alertmanager/alertmanager.yaml, with shorter waits, and each receiver at an address here."""
    routes = _read(DEPLOY / "alertmanager" / "alertmanager.yaml")
    top = routes["route"]
    for route in _all_routes(top):
        if route is top or "group_wait" in route:
            route["group_wait"], route["group_interval"] = _text(pace.group_wait), _text(pace.group_wait)
    for receiver in routes["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = f"{receiver_url}/{receiver['name']}"
    return routes


def _all_routes(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield route
    for inner in route.get("routes", ()):
        yield from _all_routes(inner)


def _scraping(directory: Path, targets: Sequence[str], alertmanager: int, pace: Pace) -> Mapping[str, Any]:
    files = [_write(directory / name, shipped_rules(name, pace)) for name in ("rules.yaml", "slo.yaml")]
    interval = _text(pace.interval)
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(file) for file in files],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]},
        "scrape_configs": [{"job_name": "returnwatch", "static_configs": [{"targets": list(targets)}]}],
    }


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, log_file: Path) -> Iterator[None]:
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            dying_with_parent(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait_ready(process, port, command[0], log_file)
            yield
        finally:
            _stop(process)


def _wait_ready(process: "subprocess.Popen[bytes]", port: int, program: str, log_file: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not _answers(f"http://127.0.0.1:{port}/-/ready"):
        if process.poll() is not None or time.monotonic() > give_up_at:
            last = "\n".join(log_file.read_text(errors="replace").splitlines()[-5:])
            what = "ended at once" if process.poll() is not None else "is not ready after a minute"
            raise AlertChainError([Finding(program, what, todo=f"the end of its log:\n{last}")])
        time.sleep(0.1)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:  # noqa: S310 - an address of our own
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _ask(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:  # noqa: S310 - an address of our own
        return json.load(answer)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _text(duration: timedelta) -> str:
    return f"{max(1, round(duration.total_seconds() * 1000))}ms"


def _read(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(file)
    return loaded


def _write(file: Path, content: Mapping[str, Any]) -> Path:
    # JSON is YAML.
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return file
