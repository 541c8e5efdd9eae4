"""Writes the manifests that follow from the code: `python -m agents.kubernetes_manifests`.

Strimzi's topics (schemas/topics.py), Strimzi's users with their rights (agents/access_list.py), and the alerts of
deploy/prometheus as a rule of the Prometheus Operator.
"""

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from agents.access_list import PURPOSE, Access, Program, Resource, access_of
from agents.settings import Settings
from schemas.topics import TopicRole, TopicSpec

ROOT = Path(__file__).parent.parent
RULES = ("rules.yaml", "slo.yaml")
CLUSTER = "kafka"
LABELS = {"strimzi.io/cluster": CLUSTER, "app.kubernetes.io/part-of": "returnwatch"}
BY = "written by `make docs`; do not edit it here."
RESOURCES = {
    Resource.TOPIC: "topic",
    Resource.GROUP: "group",
    Resource.TRANSACTIONAL_ID: "transactionalId",
}
"""Strimzi's names."""


def manifests() -> dict[str, str]:
    """Path below deploy/ -> what stands there. For the default names of topics."""
    settings = Settings(bootstrap_servers=("localhost:9092",))
    own = [spec for spec in settings.topic_specs() if spec.role is not TopicRole.INPUT]
    return {
        "strimzi/topics.yaml": _documents(
            "Returnwatch's own topics, from schemas/topics.py", [_topic(spec, settings) for spec in own]
        ),
        "strimzi/users.yaml": _documents(
            "A user for each program, with what it may do, from agents/access_list.py",
            [_user(program, access_of(program, settings)) for program in Program],
        ),
        "kubernetes/components/monitoring/rules.yaml": _documents(
            "The alerts of deploy/prometheus", [_rules()]
        ),
    }


def main() -> int:
    """Write them."""
    for path, text in manifests().items():
        (ROOT / "deploy" / path).write_text(text, encoding="utf-8")
    return 0


def _topic(spec: TopicSpec, settings: Settings) -> dict[str, Any]:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {
            "name": spec.name,
            "labels": LABELS,
            "annotations": {"returnwatch/purpose": spec.purpose},
        },
        "spec": {
            "partitions": spec.creation_partitions(),
            "replicas": settings.replication_factor,
            "config": {setting: _plain(value) for setting, value in spec.creation_config().items()},
        },
    }


def _plain(value: str) -> int | str:
    return int(value) if value.lstrip("-").isdigit() else value


def _user(program: Program, accesses: tuple[Access, ...]) -> dict[str, Any]:
    operations: dict[tuple[Resource, str, bool], list[str]] = {}
    for access in accesses:
        operations.setdefault((access.resource, access.name, access.prefixed), []).append(
            access.operation.value
        )
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaUser",
        "metadata": {
            "name": f"returnwatch-{program}",
            "labels": LABELS,
            "annotations": {"returnwatch/purpose": PURPOSE[program]},
        },
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {
                "type": "simple",
                "acls": [
                    {
                        "resource": {
                            "type": RESOURCES[resource],
                            "name": name,
                            "patternType": "prefix" if prefixed else "literal",
                        },
                        "operations": allowed,
                    }
                    for (resource, name, prefixed), allowed in operations.items()
                ],
            },
        },
    }


def _rules() -> dict[str, Any]:
    directory = ROOT / "deploy/prometheus"
    groups = [
        group
        for name in RULES
        if (directory / name).exists()
        for group in YAML(typ="safe").load(directory / name)["groups"]
    ]
    labels = {"app.kubernetes.io/part-of": "returnwatch"}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "returnwatch", "labels": labels},
        "spec": {"groups": groups},
    }


def _documents(what: str, documents: list[Mapping[str, Any]]) -> str:
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 130
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.ignore_aliases = lambda _data: True
    text = io.StringIO()
    yaml.dump_all(documents, text)
    return f"# {what}; {BY}\n{text.getvalue()}"


if __name__ == "__main__":
    sys.exit(main())
