"""deploy/kubernetes and deploy/strimzi, without a cluster: valid by their schemas, and true of the programs they start."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from agents import access_reference
from agents.access_list import Program, access_of
from agents.kubernetes_manifests import manifests
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.worker import STOP_SECONDS
from schemas.topics import TopicRole
from tests.command_line import returnwatch
from tests.kustomize import Document, read, rendered

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = ("dev", "production")
OF_KUBERNETES = "1.32"
WORKER = "returnwatch-worker"


def by_kubectl(directory: Path) -> list[Document]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(directory)], capture_output=True, text=True, check=True, timeout=60
    )
    return list(YAML(typ="safe").load_all(done.stdout))


@cache
def _once(overlay: str) -> str:
    return json.dumps(rendered(KUBERNETES / "overlays" / overlay))


def objects_of(overlay: str) -> list[Document]:
    """All objects of an overlay; rendering takes its time."""
    found: list[Document] = json.loads(_once(overlay))
    return found


RENDERERS: dict[str, Callable[[Path], list[Document]]] = {"here": rendered}
if shutil.which("kubectl") is not None:  # few have it: what is rendered here is held against it where it is
    RENDERERS["kubectl"] = by_kubectl


def objects() -> Iterator[tuple[str, Document]]:
    for overlay in OVERLAYS:
        for document in objects_of(overlay):
            yield f"{overlay}-{document['kind']}-{document['metadata']['name']}", document
    for file in sorted((ROOT / "deploy/strimzi").glob("*.yaml")):
        for document in read(file):
            yield f"{file.stem}-{document['metadata']['name']}", document


OBJECTS = list(objects())
each_object = pytest.mark.parametrize(
    "document", [one for _, one in OBJECTS], ids=[name for name, _ in OBJECTS]
)
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def of(overlay: str, kind: str, name: str = WORKER) -> Document:
    documents = objects_of(overlay)
    (found,) = [one for one in documents if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pods(overlay: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for document in objects_of(overlay):
        if document["kind"] in {"StatefulSet", "Deployment"}:
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]


# -- valid


@each_object
def test_every_object_is_valid(document: Document) -> None:
    own = ROOT / "deploy/schemas" / f"{document['kind']}.schema.json"
    if own.exists():
        jsonschema.Draft202012Validator(json.loads(own.read_text())).validate(document)
    else:
        kubernetes_validate.validate(document, OF_KUBERNETES, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    worker = of("dev", "StatefulSet")
    worker["spec"]["podManagmentPolicy"] = "Parallel"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(worker, OF_KUBERNETES, strict=True)
    topics = ROOT / "deploy/strimzi/topics.yaml"
    schema = json.loads((ROOT / "deploy/schemas/KafkaTopic.schema.json").read_text())
    topic = read(topics)[0]
    topic["spec"]["partitions"] = "8"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(topic)


@pytest.mark.parametrize("file", sorted((ROOT / "deploy/schemas").iterdir()), ids=lambda file: file.name)
def test_schemas_of_others_say_whose_they_are_and_let_nothing_unknown_through(file: Path) -> None:
    schema = json.loads(file.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "Apache-2.0" in schema["$comment"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["spec"]["additionalProperties"] is False


@each_overlay
@pytest.mark.parametrize("renderer", RENDERERS)
def test_an_overlay_comes_to_the_same_by_whoever_renders_it(overlay: str, renderer: str) -> None:
    directory = KUBERNETES / "overlays" / overlay
    assert in_order(RENDERERS[renderer](directory)) == in_order(objects_of(overlay))


def in_order(documents: list[Document]) -> list[tuple[str, Any]]:
    """Comparable: lists that are merged by a field have no order of their own."""

    def plain(value: Any, field: str = "") -> Any:
        if isinstance(value, dict):
            return {key: plain(each, key) for key, each in value.items()}
        if isinstance(value, list):
            items = [plain(each) for each in value]
            named = field in {"env", "volumes", "volumeMounts"}
            return sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) if named else items
        return value

    return sorted((f"{one['kind']} {one['metadata']['name']}", plain(one)) for one in documents)


def test_every_file_is_used() -> None:
    used = set()
    for told in KUBERNETES.rglob("kustomization.yaml"):
        used.add(told)
        (content,) = read(told)
        for name in [*content.get("resources", ()), *(patch["path"] for patch in content.get("patches", ()))]:
            used.add((told.parent / name).resolve())
    assert set(KUBERNETES.rglob("*.yaml")) - used == set()


def test_with_tracing_every_program_that_exports_spans_reaches_the_collector(tmp_path: Path) -> None:
    shutil.copytree(KUBERNETES, tmp_path, dirs_exist_ok=True)
    overlay = tmp_path / "overlays/production"
    told = overlay / "kustomization.yaml"
    told.write_text(told.read_text().replace("components:\n", "components:\n  - ../../components/tracing\n"))
    documents = {(one["kind"], one["metadata"]["name"]): one for one in rendered(overlay)}
    policy = documents["NetworkPolicy", "returnwatch-tracing"]
    kubernetes_validate.validate(policy, OF_KUBERNETES, strict=True)
    shared = documents["ConfigMap", "returnwatch-settings"]["data"]
    assert shared["RETURNWATCH_TRACES"] == "on"
    assert shared["RETURNWATCH_SECURITY_PROTOCOL"] == "SASL_SSL", "what other components set stays"
    collector = urlsplit(shared["OTEL_EXPORTER_OTLP_ENDPOINT"])
    (way,) = policy["spec"]["egress"]
    (to,) = way["to"]
    assert f".{to['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}." in str(
        collector.hostname
    )
    assert way["ports"] == [{"port": collector.port, "protocol": "TCP"}]
    (chosen,) = policy["spec"]["podSelector"]["matchExpressions"]
    for name in chosen["values"]:
        pod = documents["StatefulSet", name]["spec"]["template"]
        assert pod["metadata"]["labels"][chosen["key"]] == name
        (container,) = pod["spec"]["containers"]
        assert {"configMapRef": {"name": "returnwatch-settings"}} in container["envFrom"]


def test_what_follows_from_the_code_is_as_it_is_generated() -> None:
    for path, text in manifests().items():
        assert (ROOT / "deploy" / path).read_text() == text, f"{path}: run `make docs`"


def test_the_page_for_people_has_the_rights_that_are_given() -> None:
    text = access_reference.FILE.read_text()
    assert access_reference.page(text) == text, "run `make docs`"
    assert "| group `returnwatch` | Read |" in text


# -- true


@each_overlay
def test_every_pod_runs_without_rights_on_a_disk_it_cannot_change(overlay: str) -> None:
    for name, pod in pods(overlay):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 10001, "as deploy/Dockerfile says"
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False, "else RETURNWATCH_..._SERVICE_HOST, which is no setting"
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]
            assert re.search(r":\d+\.\d+\.\d+$", container["image"]), "pinned"


@each_overlay
def test_every_mount_has_its_volume(overlay: str) -> None:
    for document in objects_of(overlay):
        if document["kind"] not in {"StatefulSet", "Deployment"}:
            continue
        pod = document["spec"]["template"]["spec"]
        claims = [claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", ())]
        volumes = {*claims, *(volume["name"] for volume in pod["volumes"])}
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == volumes


@each_overlay
def test_every_variable_is_a_setting_and_every_command_one_of_ours(
    overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("RETURNWATCH_")]:
        monkeypatch.delenv(name)
    shared = of(overlay, "ConfigMap", "returnwatch-settings")["data"]
    for name, pod in pods(overlay):
        (container,) = pod["containers"]
        with monkeypatch.context() as variables:
            for variable, value in shared.items():
                variables.setenv(variable, value)
            for variable in container["env"]:
                variables.setenv(variable["name"], variable.get("value", "a-pod-0"))
            mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
            for variable in ("RETURNWATCH_SASL_PASSWORD_FILE", "RETURNWATCH_SSL_CA_FILE"):
                if variable in shared:
                    assert str(Path(shared[variable]).parent) in mounted
                    (tmp_path / variable).write_text("as mounted")
                    variables.setenv(variable, str(tmp_path / variable))
            settings = load_settings({})
        (port,) = [port["containerPort"] for port in container["ports"] if port["name"] == "metrics"]
        listens = f"{settings.metrics_host}:{settings.metrics_port}"
        assert (settings.board_listen if name == "returnwatch-board" else listens) == f"0.0.0.0:{port}", name
        command = container["args"][0]
        told = subprocess.run(
            [sys.executable, "-m", "agents", command, "--help"], capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(
    ("configured", "file", "command"),
    [
        ("returnwatch-webhooks", "webhooks.yaml", ("receive", "--check")),
        ("returnwatch-routes", "notify.yaml", ("notify", "check")),
    ],
)
def test_what_a_program_is_given_to_read_is_read_by_it(
    configured: str, file: str, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = of("production", "ConfigMap", configured)["data"][file]
    (tmp_path / file).write_text(text)
    for variable in re.findall(r"\b[A-Z]+_(?:SECRET|KEY)\b", text):
        monkeypatch.setenv(variable, "a-secret-of-a-sender")
    answer = returnwatch(*command, str(tmp_path / file))
    assert answer.code == 0, answer.err
    read_by = [
        container["args"]
        for _, pod in pods("production")
        for container in pod["containers"]
        if any(argument.endswith(f"/{file}") for argument in container["args"])
    ]
    assert len(read_by) == 1


@each_overlay
def test_probes_ask_what_a_program_answers_and_a_recovery_fails_none_but_readiness(overlay: str) -> None:
    for name, pod in pods(overlay):
        (container,) = pod["containers"]
        asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
        assert {probe["port"] for probe in asked.values()} == {"metrics"}
        assert asked["liveness"]["path"] == "/live"
        assert asked["readiness"]["path"] == "/ready"
        if name == WORKER:
            assert asked["startup"]["path"] == "/live", "/ready waits for the recovery, however long"


@each_overlay
def test_a_worker_keeps_its_name_and_disk_and_has_time_to_end(overlay: str) -> None:
    spec = of(overlay, "StatefulSet")["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    (name,) = [each for each in container["env"] if each["name"] == "RETURNWATCH_INSTANCE_ID"]
    assert name["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    (data,) = [each["value"] for each in container["env"] if each["name"] == "RETURNWATCH_DATA_DIR"]
    (claim,) = spec["volumeClaimTemplates"]
    assert {"name": claim["metadata"]["name"], "mountPath": data} in container["volumeMounts"]
    assert spec["podManagementPolicy"] == "Parallel"
    assert pod["terminationGracePeriodSeconds"] > STOP_SECONDS
    assert of(overlay, "Service")["metadata"]["name"] == spec["serviceName"]
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        chosen = of(overlay, kind)["spec"]
        labels = (chosen.get("selector") or chosen.get("podSelector"))["matchLabels"]
        assert labels.items() <= spec["template"]["metadata"]["labels"].items()


def test_production_has_no_more_workers_than_partitions_and_asks_of_the_topics_that_there_are() -> None:
    settings = Settings(bootstrap_servers=("localhost:9092",))
    scaled = of("production", "ScaledObject")["spec"]
    assert scaled["maxReplicaCount"] == settings.parcels_partitions == settings.returns_partitions
    assert scaled["scaleTargetRef"]["name"] == of("production", "StatefulSet")["metadata"]["name"]
    asked = [trigger["metadata"] for trigger in scaled["triggers"]]
    assert [each["topic"] for each in asked] == [settings.topics.parcels, settings.topics.returns]
    assert {each["consumerGroup"] for each in asked} == {settings.app_id}
    wanted = {access.name for access in access_of(Program.AUTOSCALER, settings)}
    assert wanted == {*(each["topic"] for each in asked), settings.app_id}
    servers = of("production", "ConfigMap", "returnwatch-settings")["data"]["RETURNWATCH_BOOTSTRAP_SERVERS"]
    assert {each["bootstrapServers"] for each in asked} == {servers}


def test_every_program_of_production_is_a_user_that_strimzi_makes() -> None:
    made = {user["metadata"]["name"] for user in read(ROOT / "deploy/strimzi/users.yaml")}
    assert made == {f"returnwatch-{program}" for program in Program}
    for name, pod in pods("production"):
        (container,) = pod["containers"]
        (user,) = [each["value"] for each in container["env"] if each["name"] == "RETURNWATCH_SASL_USERNAME"]
        assert user == name
        assert user in made
        assert user in {volume.get("secret", {}).get("secretName") for volume in pod["volumes"]}


def test_prometheus_knows_the_workers_by_the_job_that_alerts_and_dashboards_ask_for() -> None:
    monitor = of("production", "PodMonitor", "returnwatch")["spec"]
    labels = of("production", "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["podMetricsEndpoints"]
    jobs = [each["replacement"] for each in endpoint["relabelings"] if each.get("targetLabel") == "job"]
    assert jobs == ["returnwatch"]
    alerts = YAML(typ="safe").load(ROOT / "deploy/prometheus/rules.yaml")["groups"]
    rules = of("production", "PrometheusRule", "returnwatch")["spec"]["groups"]
    assert {group["name"] for group in alerts} <= {group["name"] for group in rules}


def test_strimzi_makes_every_topic_of_ours_as_a_worker_wants_it() -> None:
    settings = Settings(bootstrap_servers=("localhost:9092",))
    made = {topic["metadata"]["name"]: topic["spec"] for topic in read(ROOT / "deploy/strimzi/topics.yaml")}
    own = [spec for spec in settings.topic_specs() if spec.role is not TopicRole.INPUT]
    assert set(made) == {spec.name for spec in own}
    for spec in own:
        there = made[spec.name]
        assert spec.partitions in {None, there["partitions"]}
        for requirement in spec.requirements:
            assert requirement.is_met_by(str(there["config"][requirement.setting])), (spec.name, requirement)
