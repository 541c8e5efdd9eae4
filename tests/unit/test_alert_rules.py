"""The alerts: each fires, does not fire and resolves as told in deploy/prometheus/tests, and each has a runbook."""

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from agents.canary import CanaryMetrics
from agents.health import Liveness, Readiness, health_app
from agents.metrics import DELAY_BUCKETS, SLO_DELAY_SECONDS, Metrics
from agents.notify_sender import NotifyMetrics
from agents.slo_rules import FILE as SLO_RULES
from agents.slo_rules import rules as slo_rules
from tests.unit.alert_stories import CASES, FIRES, KEEPS_QUIET, RESOLVES, cases_of

ROOT = Path(__file__).parents[2]
FILES = (ROOT / "deploy/prometheus/rules.yaml", SLO_RULES)
STORIES = sorted((ROOT / "deploy/prometheus/tests").glob("*.yaml"))
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL))
NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here: apt-get install prometheus"
)


def rules() -> list[dict[str, Any]]:
    groups = [group for file in FILES for group in YAML(typ="safe").load(file)["groups"]]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]
NAMES = [alert["alert"] for alert in ALERTS]
TOLD = [YAML(typ="safe").load(story) for story in STORIES]
WANTED = {(name, case) for name in NAMES for case in CASES} - {
    # It fires always, so that its silence tells.
    ("ReturnwatchWatchdog", KEEPS_QUIET),
    ("ReturnwatchWatchdog", RESOLVES),
}


def promtool(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@NEEDS_PROMTOOL
def test_the_rules_are_valid_and_none_is_written_twice() -> None:
    status, said = promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, FILES))
    assert status == 0, said


@NEEDS_PROMTOOL
def test_the_configuration_of_prometheus_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "deploy/prometheus/prometheus.yaml").read_text()
    here = tmp_path / "prometheus.yaml"
    for file in FILES:
        text = text.replace(f"/etc/prometheus/returnwatch-{file.name}", str(file))
    here.write_text(text)
    status, said = promtool("check", "config", str(here))
    assert status == 0, said
    assert "returnwatch" in said or "SUCCESS" in said


@NEEDS_PROMTOOL
@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_alerts_fire_and_resolve_as_told(story: Path) -> None:
    status, said = promtool("test", "rules", str(story))
    assert status == 0, said


def test_every_alert_fires_keeps_quiet_and_resolves_in_a_story() -> None:
    assert WANTED - cases_of(TOLD, NAMES) == set()


def test_a_case_that_no_story_asks_for_is_noticed() -> None:
    """Each of the three, of one alert that a single story is about."""
    for case, at in ((KEEPS_QUIET, "20m"), (FIRES, "40m"), (RESOLVES, "75m")):
        fewer = copy.deepcopy(TOLD)
        for test in (test for story in fewer for test in story["tests"]):
            test["promql_expr_test"] = [
                one
                for one in test.get("promql_expr_test", ())
                if not ("ReturnwatchFeedLate" in one["expr"] and one["eval_time"] == at)
            ]
        missing = WANTED - cases_of(fewer, NAMES)
        # Without its firing, that it is quiet in the end is no resolution.
        assert ("ReturnwatchFeedLate", case) in missing
        assert {name for name, _ in missing} == {"ReturnwatchFeedLate"}


def test_the_alerts_on_budgets_are_as_they_are_generated() -> None:
    assert SLO_RULES.read_text(encoding="utf-8") == slo_rules(), "run: make docs"


def test_what_counts_as_late_is_a_bound_that_workers_export() -> None:
    assert SLO_DELAY_SECONDS in DELAY_BUCKETS
    metrics = Metrics(CollectorRegistry())
    labels = {"rule": "late_refund", "le": str(SLO_DELAY_SECONDS)}
    assert metrics.registry.get_sample_value("returnwatch_detection_delay_seconds_bucket", labels) == 0


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_says_what_happened_and_points_at_a_runbook_that_says_what_to_do(
    alert: dict[str, Any],
) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket", "none"}
    assert alert["labels"]["team"] in {"operations", "business"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    page, anchor = alert["annotations"]["runbook_url"].split("#")
    assert (ROOT / page).is_file()
    assert anchor in {section.lower() for section in SECTIONS}
    for part in ("**Means.**", "**Look at.**", "**Do.**"):
        assert part in SECTIONS[alert["alert"]]


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    assert {alert["alert"] for alert in ALERTS} == set(SECTIONS)


def test_rules_and_runbooks_speak_only_of_metrics_that_there_are() -> None:
    metrics = Metrics(CollectorRegistry())
    health_app(metrics.registry, Liveness(lambda: 0.0), Readiness())
    metrics.policy("c0ffee")
    CanaryMetrics(metrics.registry)
    NotifyMetrics(metrics.registry)
    suffixes = ("", "_total", "_info", "_bucket", "_count", "_sum")
    exported = {family.name + suffix for family in metrics.registry.collect() for suffix in suffixes}
    texts = [file.read_text() for file in FILES] + [RUNBOOKS]
    spoken_of = set(re.findall(r"(?<![:\w])returnwatch_\w+", "".join(texts)))
    assert spoken_of - exported == set()
