"""The dashboards in deploy/grafana: as they are generated, readable by any Grafana, and about metrics that there are."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from agents.dashboards import DASHBOARDS, DIRECTORY
from agents.health import Liveness, Readiness, health_app
from agents.metrics import Metrics

ROOT = Path(__file__).parents[2]
FILES = sorted(DIRECTORY.glob("*.json"))
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GRAFANAS_OWN = {"__rate_interval", "datasource"}
UNITS = {"short", "s", "bytes", "cps", "percentunit"}
"""Ids of Grafana's that are used; one that it does not know is shown as a bare suffix."""
MADE_BY_PROMETHEUS = {"ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes"}


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def panels(file: Path) -> list[dict[str, Any]]:
    return [panel for panel in read(file)["panels"] if panel["type"] != "row"]


def exported() -> set[str]:
    """Every series that a worker may export."""
    metrics = Metrics(CollectorRegistry())
    health_app(metrics.registry, Liveness(lambda: 0.0), Readiness())
    metrics.policy("c0ffee")
    suffixes = ("", "_total", "_info", "_bucket", "_count", "_sum", "_gcount", "_gsum")
    return {family.name + suffix for family in metrics.registry.collect() for suffix in suffixes}


PANELS = [(file.stem, panel) for file in FILES for panel in panels(file)]
each_panel = pytest.mark.parametrize(
    ("dashboard", "panel"), PANELS, ids=[f"{name}-{panel['title']}" for name, panel in PANELS]
)
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_the_files_are_those_that_are_generated() -> None:
    generated = {f"{dashboard.uid}.json": dashboard.text() for dashboard in DASHBOARDS}
    there = {file.name: file.read_text() for file in FILES}
    assert there == generated, "run `make docs`"


@each_panel
def test_every_panel_says_what_it_shows_in_which_unit(dashboard: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["targets"]
    assert all(target["legendFormat"] for target in panel["targets"])


@each_panel
def test_every_query_asks_the_chosen_source_over_a_fitting_window(
    dashboard: str, panel: dict[str, Any]
) -> None:
    assert panel["datasource"] == SOURCE
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        windows = set(re.findall(r"\[([^\]]+)\]", target["expr"]))
        assert windows <= {"$__rate_interval", "24h"}, (
            "a fixed window shows nothing at another scrape interval"
        )
        for of in re.findall(r"\b(rate|increase)\(([^)]*)\)", target["expr"]):
            assert "[" in of[1]
        for series, matchers in re.findall(r"\b(returnwatch_\w+|process_\w+)(\{[^}]*\})?", target["expr"]):
            assert 'job=~"$job",instance=~"$instance"' in matchers, series


@each_panel
def test_a_counter_is_shown_by_what_was_added(dashboard: str, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        bare = re.sub(r"(rate|increase)\([^)]*\)", "", target["expr"])
        assert "_total" not in bare


@each_file
def test_every_variable_is_defined_and_used(file: Path) -> None:
    board = read(file)
    defined = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"])))
    assert used - GRAFANAS_OWN <= defined
    asked = set(re.findall(r"\$\{?(\w+)", json.dumps(board["templating"])))
    assert defined - asked - used == set(), "nobody uses it"


@each_file
def test_ids_are_unique_and_no_panel_lies_on_another(file: Path) -> None:
    board = read(file)
    assert max(Counter(panel["id"] for panel in board["panels"]).values()) == 1
    taken: Counter[tuple[int, int]] = Counter()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        columns, lines = (
            range(place["x"], place["x"] + place["w"]),
            range(place["y"], place["y"] + place["h"]),
        )
        taken.update((x, y) for x in columns for y in lines)
    assert max(taken.values()) == 1
    titles = Counter(panel["title"] for panel in board["panels"])
    assert max(titles.values()) == 1


def test_the_dashboards_speak_only_of_metrics_that_a_worker_has() -> None:
    text = "".join(file.read_text() for file in FILES)
    expressions = re.findall(r'"(?:expr|query|definition)": "((?:[^"\\]|\\.)*)"', text)
    spoken_of = {name for each in expressions for name in re.findall(r"\b(returnwatch_\w+)", each)}
    assert len(spoken_of) > 40
    assert spoken_of - exported() == set()


@each_file
def test_rules_that_a_query_names_are_rules(file: Path) -> None:
    from schemas.vocabulary import RuleId

    for panel in panels(file):
        for target in panel["targets"]:
            for pattern in re.findall(r'rule=~"([^"$]+)"', target["expr"]):
                for part in pattern.split("|"):
                    assert any(re.fullmatch(part, rule) for rule in RuleId), part


def test_the_uids_differ_and_grafana_is_told_where_the_files_are() -> None:
    assert len({read(file)["uid"] for file in FILES}) == len(FILES) == 3
    provider = YAML(typ="safe").load(ROOT / "deploy/grafana/provisioning/dashboards/returnwatch.yaml")
    (only,) = provider["providers"]
    assert only["allowUiUpdates"] is False
    assert only["options"]["path"] == "/var/lib/grafana/dashboards"
