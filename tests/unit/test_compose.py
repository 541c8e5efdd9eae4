"""docker-compose.yml and the image, without an engine: shape, settings, what the parts expect of each other."""

import json
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from agents.settings_loading import load_settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("returnwatch")]
WORKERS = ["worker-1", "worker-2"]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()


def locked(path: str) -> dict[str, str]:
    blocks = re.finditer(
        r"^([\w.-]+)==[^\n]+(?:\n    --hash[^\n]+)+\n", (ROOT / path).read_text(), re.MULTILINE
    )
    return {block[1]: block[0] for block in blocks}


@pytest.fixture
def clock_directory(tmp_path: Path) -> Path:
    (tmp_path / "returnwatch_simulated_origin_at").write_text("2026-11-22T10:00:00Z\n")
    return tmp_path


@pytest.fixture
def no_other_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("RETURNWATCH_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_the_file_is_valid_by_the_schema_of_compose() -> None:
    package = find_spec("check_jsonschema")
    assert package is not None
    assert package.submodule_search_locations is not None
    vendored = Path(package.submodule_search_locations[0]) / "builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(vendored.read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(COMPOSE)


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    assert re.search(r":v?\d+\.\d+\.\d+$", SERVICES[name]["image"])


@pytest.mark.parametrize("name", ["topics", *WORKERS, "board", "shop"])
def test_every_variable_is_a_setting(
    name: str, clock_directory: Path, no_other_settings: pytest.MonkeyPatch
) -> None:
    environment = dict(SERVICES[name]["environment"])
    if "RETURNWATCH_SECRETS_DIR" in environment:
        environment["RETURNWATCH_SECRETS_DIR"] = str(clock_directory)
    for variable, value in environment.items():
        no_other_settings.setenv(variable, value)
    settings = load_settings({})
    assert settings.bootstrap_servers == ("kafka:9092",)
    assert settings.replication_factor == 1


def test_workers_board_and_shop_live_by_the_same_clock(
    clock_directory: Path, no_other_settings: pytest.MonkeyPatch
) -> None:
    clocks = []
    for name in (*WORKERS, "board", "shop"):
        environment = {**SERVICES[name]["environment"], "RETURNWATCH_SECRETS_DIR": str(clock_directory)}
        for variable, value in environment.items():
            no_other_settings.setenv(variable, value)
        clocks.append(load_settings({}).simulated)
    assert clocks[0] == clocks[1] == clocks[2] == clocks[3]
    assert clocks[0] is not None
    assert clocks[0].origin_ms == 1_795_341_600_000, "read from the file that the service `clock` writes"


def test_the_clock_service_writes_the_file_that_the_settings_read() -> None:
    directory, name = SERVICES["clock"]["environment"]["FILE"].rsplit("/", 1)
    assert name == "returnwatch_simulated_origin_at"
    for worker in (*WORKERS, "board"):
        assert directory == SERVICES[worker]["environment"]["RETURNWATCH_SECRETS_DIR"]
        assert f"clock:{directory}:ro" in SERVICES[worker]["volumes"]


def test_workers_share_neither_name_nor_disk_nor_port() -> None:
    one, other = (SERVICES[name] for name in WORKERS)
    assert one["environment"]["RETURNWATCH_INSTANCE_ID"] != other["environment"]["RETURNWATCH_INSTANCE_ID"]
    data = [volume for volume in one["volumes"] if volume.endswith(":/var/lib/returnwatch")]
    assert data
    assert not set(data) & set(other["volumes"])
    assert one["ports"] != other["ports"]
    same = {"command", "healthcheck", "depends_on", "image", "restart", "stop_grace_period"}
    assert {key: one[key] for key in same} == {key: other[key] for key in same}


def test_the_board_listens_where_it_is_published_and_asked() -> None:
    board = SERVICES["board"]
    _, _, port = board["environment"]["RETURNWATCH_BOARD_LISTEN"].rpartition(":")
    assert board["ports"] == [f"127.0.0.1:{port}:{port}"], "whoever reaches it may read"
    assert f":{port}/live" in board["healthcheck"]["test"][-1]
    assert not [name for name in board["environment"] if "TOKEN" in name], "read-only"


def test_what_may_wait_for_another_is_healthy_by_a_check() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            checked = how["condition"] == "service_completed_successfully" or "healthcheck" in SERVICES[other]
            assert checked, f"{name} waits for {other}"


def test_prometheus_tells_alertmanager_which_reads_our_routes() -> None:
    config = YAML(typ="safe").load(ROOT / "deploy/prometheus/prometheus.yaml")
    (told,) = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    host, _, port = told.partition(":")
    alertmanager = SERVICES[host]
    assert f"127.0.0.1:{port}:{port}" in alertmanager["ports"]
    (mount,) = alertmanager["volumes"]
    here, there, _ = mount.split(":")
    assert (ROOT / here).is_file()
    assert f"--config.file={there}" in alertmanager["command"]


def test_grafana_finds_dashboards_and_source_where_they_are_mounted() -> None:
    grafana = SERVICES["grafana"]
    mounts = {volume.split(":")[1]: ROOT / volume.split(":")[0] for volume in grafana["volumes"]}
    assert all(source.is_dir() for source in mounts.values())
    provisioning = mounts["/etc/grafana/provisioning"]
    (provider,) = YAML(typ="safe").load(provisioning / "dashboards/returnwatch.yaml")["providers"]
    assert list(mounts[provider["options"]["path"]].glob("*.json"))
    (source,) = YAML(typ="safe").load(provisioning / "datasources/prometheus.yaml")["datasources"]
    scraped = YAML(typ="safe").load(ROOT / "deploy/prometheus/prometheus.yaml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped
    assert source["url"] == "http://prometheus:9090"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (mounts["/var/lib/grafana/dashboards"] / Path(home).name).is_file()
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


def test_a_single_kafka_node_gives_producer_ids_that_fence() -> None:
    environment = SERVICES["kafka"]["environment"]
    assert environment["KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR"] == "1"
    assert environment["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == "1"


def test_topics_are_there_before_anybody_uses_them() -> None:
    assert SERVICES["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert SERVICES["clock"]["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    for name in (*WORKERS, "shop"):
        assert SERVICES[name]["depends_on"]["clock"]["condition"] == "service_completed_successfully"


def test_prometheus_reads_our_rules_and_asks_the_workers_where_they_answer() -> None:
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["prometheus"]["volumes"])
    assert all((ROOT / source).is_file() for source in mounts)
    config = YAML(typ="safe").load(ROOT / "deploy/prometheus/prometheus.yaml")
    assert set(config["rule_files"]) <= set(mounts.values())
    job, board = config["scrape_configs"]
    answering = [f"{name}:{SERVICES[name]['environment']['RETURNWATCH_METRICS_PORT']}" for name in WORKERS]
    assert (job["job_name"], job["static_configs"][0]["targets"]) == ("returnwatch", answering)
    port = SERVICES["board"]["environment"]["RETURNWATCH_BOARD_LISTEN"].rpartition(":")[2]
    assert (board["job_name"], board["static_configs"][0]["targets"]) == (
        "returnwatch-board",
        [f"board:{port}"],
    )


@pytest.mark.parametrize("name", OURS)
def test_our_containers_run_without_rights_and_on_a_disk_they_cannot_change(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "user" not in service, "the image names it"


def test_the_image_runs_as_a_numbered_user_from_locked_packages() -> None:
    assert re.search(r"^USER \d+$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^ARG PYTHON=python:3\.11\.\d+-slim", DOCKERFILE, re.MULTILINE)
    installs = re.findall(r"pip install ((?:(?!&&|\n[A-Z]).)*)", DOCKERFILE)
    assert installs
    for arguments in installs:
        assert "--require-hashes" in arguments or "--no-deps /src/dist/" in arguments


def test_the_wheel_is_built_by_what_is_locked_for_development() -> None:
    development, build = locked("requirements-dev.lock"), locked("deploy/build.lock")
    assert "hatchling" in build
    assert build == {name: development[name] for name in build}


def test_the_image_gets_every_room_that_is_packaged_and_nothing_secret() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*", "nothing enters but what is named"
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert {f"!{path}" for path in source.split()} <= set(ignored)
