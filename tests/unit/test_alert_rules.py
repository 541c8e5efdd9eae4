"""The alerts: each fires, does not fire and resolves as told in deploy/prometheus/tests, and each has a runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from agents.health import Liveness, Readiness, health_app
from agents.metrics import Metrics

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yaml"
STORIES = sorted((ROOT / "deploy/prometheus/tests").glob("*.yaml"))
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL))
NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here: apt-get install prometheus"
)


def rules() -> list[dict[str, Any]]:
    return [rule for group in YAML(typ="safe").load(RULES)["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]


def promtool(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@NEEDS_PROMTOOL
def test_the_rules_are_valid_and_none_is_written_twice() -> None:
    status, said = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert status == 0, said


@NEEDS_PROMTOOL
def test_the_configuration_of_prometheus_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "deploy/prometheus/prometheus.yaml").read_text()
    here = tmp_path / "prometheus.yaml"
    here.write_text(text.replace("/etc/prometheus/returnwatch-rules.yaml", str(RULES)))
    status, said = promtool("check", "config", str(here))
    assert status == 0, said
    assert "returnwatch" in said or "SUCCESS" in said


@NEEDS_PROMTOOL
@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_alerts_fire_and_resolve_as_told(story: Path) -> None:
    status, said = promtool("test", "rules", str(story))
    assert status == 0, said


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_has_a_story(alert: dict[str, Any]) -> None:
    assert any(alert["alert"] in story.read_text() for story in STORIES)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_says_what_happened_and_points_at_a_runbook_that_says_what_to_do(
    alert: dict[str, Any],
) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket", "none"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    page, anchor = alert["annotations"]["runbook_url"].split("#")
    assert (ROOT / page).is_file()
    assert anchor in {section.lower() for section in SECTIONS}
    for part in ("**Means.**", "**Look at.**", "**Do.**"):
        assert part in SECTIONS[alert["alert"]]


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    assert {alert["alert"] for alert in ALERTS} == set(SECTIONS)


def test_rules_and_runbooks_speak_only_of_metrics_that_a_worker_has() -> None:
    metrics = Metrics(CollectorRegistry())
    health_app(metrics.registry, Liveness(lambda: 0.0), Readiness())
    metrics.policy("c0ffee")
    suffixes = ("", "_total", "_info", "_bucket", "_count", "_sum")
    exported = {family.name + suffix for family in metrics.registry.collect() for suffix in suffixes}
    spoken_of = set(re.findall(r"(?<![:\w])returnwatch_\w+", RULES.read_text() + RUNBOOKS))
    assert spoken_of - exported == set()
