"""Where alerts go, and which hold which back: deploy/alertmanager/alertmanager.yaml."""

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from schemas.vocabulary import RuleId
from streams.feed_holds import feed_of
from tests.unit.test_alert_rules import ALERTS, NAMES, rules

FILE = Path(__file__).parents[2] / "deploy/alertmanager/alertmanager.yaml"
CONFIG: dict[str, Any] = YAML(typ="safe").load(FILE)
NEEDS_AMTOOL = pytest.mark.skipif(
    shutil.which("amtool") is None, reason="amtool is not here: apt-get install prometheus-alertmanager"
)
RECEIVERS = {
    ("operations", "page"): "operations-pages",
    ("operations", "ticket"): "operations-tickets",
    ("business", "page"): "business-pages",
    ("business", "ticket"): "business-tickets",
    ("operations", "none"): "dead-mans-switch",
}


def amtool(*arguments: str) -> str:
    done = subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@NEEDS_AMTOOL
def test_the_configuration_is_valid() -> None:
    assert "SUCCESS" in amtool("check-config", str(FILE))


@NEEDS_AMTOOL
@pytest.mark.parametrize(("team", "severity"), RECEIVERS)
def test_every_alert_goes_to_whom_its_team_and_severity_say(team: str, severity: str) -> None:
    labels = [f"team={team}", f"severity={severity}"]
    said = amtool("config", "routes", "test", f"--config.file={FILE}", *labels)
    assert said.strip() == RECEIVERS[team, severity]


def test_every_alert_there_is_has_such_a_receiver() -> None:
    assert {(alert["labels"]["team"], alert["labels"]["severity"]) for alert in ALERTS} <= set(RECEIVERS)


def held_back(source: str, **labels: str) -> list[dict[str, str]]:
    """The targets, as label -> pattern, of the inhibitions whose source an alert of these labels is."""
    found = []
    for rule in CONFIG["inhibit_rules"]:
        if all(_fits(matcher, {"alertname": source, **labels}) for matcher in rule["source_matchers"]):
            parts = [re.fullmatch(r'(\w+)=~?"(.*)"', matcher) for matcher in rule["target_matchers"]]
            found.append({part[1]: part[2] for part in parts if part})
    return found


def _fits(matcher: str, labels: dict[str, str]) -> bool:
    parts = re.fullmatch(r'(\w+)(=~|!~|=)"(.*)"', matcher)
    assert parts is not None, matcher
    return bool(re.fullmatch(parts[3], labels.get(parts[1], ""))) == (parts[2] != "!~")


def waiting_rules() -> dict[str, set[str]]:
    waiting = defaultdict(set)
    for rule in RuleId:
        waiting[feed_of(rule, "ups")].add(rule.value)
    return waiting


def test_the_flood_leaves_out_just_the_rules_that_wait_for_a_carriers_scans() -> None:
    (record,) = (
        rule
        for rule in rules()
        if rule.get("record") == "job_rule:returnwatch_cases_of_silent_feeds:increase15m"
    )
    (named,) = re.findall(r'rule=~"([^"]+)"', record["expr"])
    assert set(named.split("|")) == waiting_rules()["ups"]


def test_a_silent_carrier_holds_no_flood_back() -> None:
    assert "ReturnwatchEscalationFlood" not in {
        target["alertname"] for target in held_back("ReturnwatchFeedSilent", feed="ups")
    }


def test_one_worker_that_is_down_holds_no_page_about_the_whole_back() -> None:
    held = [target["alertname"] for target in held_back("ReturnwatchWorkerDown")]
    pages = {alert["alert"] for alert in ALERTS if alert["labels"]["severity"] == "page"}
    assert {name for name in pages for pattern in held if re.fullmatch(pattern, name)} == {
        "ReturnwatchAbsent"
    }


@pytest.mark.parametrize("feed", ["labels", "warehouse", "orders"])
def test_a_silent_feed_holds_back_floods_of_just_the_rules_that_wait_for_it(feed: str) -> None:
    waiting = waiting_rules()
    floods = [
        target
        for target in held_back("ReturnwatchFeedSilent", feed=feed)
        if target["alertname"] == "ReturnwatchEscalationFlood"
    ]
    assert [set(target["rule"].split("|")) for target in floods] == [waiting[feed]]


def test_inhibitions_name_alerts_that_there_are() -> None:
    for rule in CONFIG["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            if matcher.startswith("alertname"):
                wanted = matcher.partition('"')[2].strip('"')
                assert [name for name in NAMES if re.fullmatch(wanted, name)]
                if "(" in wanted:
                    ends = re.findall(r"\w+", wanted.partition("(")[2])
                    assert not {f"Returnwatch{end}" for end in ends} - set(NAMES)


def test_nothing_that_pages_is_held_back_by_what_does_not() -> None:
    severities = {alert["alert"]: alert["labels"]["severity"] for alert in ALERTS}
    for name in NAMES:
        for target in held_back(name, feed="ups") + held_back(name, feed="orders"):
            for other in NAMES:
                if re.fullmatch(target["alertname"], other) and severities[other] == "page":
                    assert severities[name] == "page", f"{name} holds {other} back"
