"""What the stories in deploy/prometheus/tests ask of each alert: that it fires, that it does not, that it resolves."""

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from agents.durations import parse_duration

FIRES, KEEPS_QUIET, RESOLVES = "fires", "does not fire", "resolves"
CASES = (FIRES, KEEPS_QUIET, RESOLVES)


def cases_of(stories: Iterable[dict[str, Any]], alerts: Iterable[str]) -> set[tuple[str, str]]:
    """Pairs of an alert and a case of it that a story asks for."""
    names = list(alerts)
    return {
        pair for story in stories for test in story["tests"] for name in names for pair in _of(name, test)
    }


def _of(alert: str, test: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """An empty answer before any other means that it keeps quiet; one after it has fired, that it has resolved."""
    fired = False
    for _, fires in sorted(_asked(alert, test)):
        if fires:
            yield alert, FIRES
        else:
            yield alert, RESOLVES if fired else KEEPS_QUIET
        fired |= fires


def _asked(alert: str, test: dict[str, Any]) -> Iterator[tuple[timedelta, bool]]:
    for one in test.get("promql_expr_test", ()):
        matcher = re.search(r'alertname=~?"([^"]+)"', one["expr"])
        if matcher is None or not re.fullmatch(matcher[1], alert):
            continue
        labels = [sample["labels"] for sample in one["exp_samples"]]
        # Of several alerts that are asked for at once, the label says which ones fire.
        named = [label for label in labels if "alertname=" in label]
        yield _time(one), any(f'"{alert}"' in label for label in named) if named else bool(labels)
    for one in test.get("alert_rule_test", ()):
        if one["alertname"] == alert:
            yield _time(one), bool(one.get("exp_alerts"))


def _time(one: dict[str, Any]) -> timedelta:
    parts = re.findall(r"\d+[a-z]+", one["eval_time"])
    return sum(map(parse_duration, parts), timedelta(0))
