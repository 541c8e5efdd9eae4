"""What a Grafana dashboard is made of, and its JSON. Says nothing about what is shown (agents/dashboards.py).

Every panel asks the data source that the reader chose, so that one file serves any Grafana, and the job and instances
chosen at the top. Ids and places are counted from the order of the panels.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 41
"""Of Grafana 11.6 and later, which read older ones too."""
COLUMNS = 24
LABEL_VALUES = 1
"""Kind of a variable's query."""
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WORKERS = 'job=~"$job",instance=~"$instance"'
"""Matches the series of the chosen workers. Written `@` in the queries of agents/dashboards.py and its neighbours."""


class Kind(StrEnum):
    """Grafana's names of the drawings that are used."""

    LINES = "timeseries"
    NUMBER = "stat"
    BARS = "bargauge"
    STATES = "state-timeline"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; `{{label}}` in the legend stands for a label's value."""

    expression: str
    legend: str

    def promql(self) -> str:
        """The expression with the matchers of the chosen workers in place of `@`."""
        return self.expression.replace("@", WORKERS)


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing. `unit` is one of Grafana's; `red_above`: from this value on it is coloured."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = Kind.LINES
    width: int = 8
    height: int = 8
    stacked: bool = False
    red_above: float | None = None
    red_below: float | None = None
    words: tuple[tuple[float, str, str], ...] = ()
    """(value, word, colour): what is shown in place of a number."""


@dataclass(frozen=True, slots=True)
class Row:
    """A heading, and the panels below it from left to right."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """What is chosen at the top of a dashboard, from the values of a label."""

    name: str
    label: str
    query: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; `uid` is also the name of its file."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = field(default=())

    def panels(self) -> Iterator[Panel]:
        """All drawings, in order."""
        for row in self.rows:
            yield from row.panels

    def text(self) -> str:
        """The file that Grafana reads."""
        return json.dumps(self._json(), indent=1, ensure_ascii=False) + "\n"

    def _json(self) -> dict[str, Any]:
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["returnwatch"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "timezone": "browser",
            "annotations": {"list": [_alerts()]},
            "links": [_others()],
            "templating": {"list": [_source_choice(), *map(_choice, (*_WORKER_CHOICES, *self.variables))]},
            "panels": list(_placed(self.rows)),
        }


_WORKER_CHOICES = (
    Variable("job", "Job", "label_values(returnwatch_build_info, job)"),
    Variable("instance", "Worker", 'label_values(returnwatch_build_info{job=~"$job"}, instance)'),
)


def _source_choice() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
    }


def _choice(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": DATA_SOURCE,
        "query": {"qryType": LABEL_VALUES, "query": variable.query, "refId": "VariableQuery"},
        "definition": variable.query,
        "refresh": 2,  # whenever the time range changes: a worker or a feed may be new
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _alerts() -> dict[str, Any]:
    firing = 'ALERTS{alertname=~"Returnwatch.*",alertname!="ReturnwatchWatchdog",alertstate="firing"}'
    return {
        "name": "Alerts",
        "datasource": DATA_SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": firing,
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}} {{feed}} {{rule}}",
    }


def _others() -> dict[str, Any]:
    return {
        "type": "dashboards",
        "title": "Returnwatch",
        "tags": ["returnwatch"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
    }


def _placed(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Rows and panels in reading order, with ids that are unique in the dashboard and places that do not overlap."""
    number = top = 0
    for row in rows:
        number += 1
        where = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "gridPos": where,
            "collapsed": False,
            "panels": [],
        }
        top += 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top, height = 0, top + height, 0
            number += 1
            where = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": where, **_drawn(panel)}
            left, height = left + panel.width, max(height, panel.height)
        top += height


def _drawn(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATA_SOURCE,
        "targets": [_target(number, query) for number, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _target(number: int, query: Query) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + number),
        "datasource": DATA_SOURCE,
        "expr": query.promql(),
        "legendFormat": query.legend,
        "range": True,
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": _thresholds(panel)}
    if panel.kind is Kind.LINES:
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        fill = 30 if panel.stacked else 5
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": fill,
            "stacking": stacking,
            "showPoints": "never",
        }
    if panel.words:
        options = {f"{value:g}": {"text": word, "color": colour} for value, word, colour in panel.words}
        defaults["mappings"] = [{"type": "value", "options": options}]
    return defaults


def _thresholds(panel: Panel) -> dict[str, Any]:
    if panel.red_below is not None:
        steps: list[dict[str, Any]] = [
            {"color": "red", "value": None},
            {"color": "green", "value": panel.red_below},
        ]
    else:
        steps = [{"color": "green", "value": None}]
        if panel.red_above is not None:
            steps.append({"color": "red", "value": panel.red_above})
    return {"mode": "absolute", "steps": steps}


def _options(panel: Panel) -> dict[str, Any]:
    newest = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind is Kind.LINES:
        legend = {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
        }
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind is Kind.STATES:
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "showValue": "auto",
        }
    if panel.kind is Kind.BARS:
        return {"reduceOptions": newest, "orientation": "horizontal", "displayMode": "basic"}
    return {"reduceOptions": newest, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
