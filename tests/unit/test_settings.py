"""Settings come from flags, variables, secret files and defaults, and wrong ones are told all at once."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.errors import SettingsError
from agents.flags import FLAGS
from agents.kafka_security import client_arguments, faust_broker_urls, faust_credentials
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.settings_reference import FILE, reference
from schemas.topics import InputKind


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RETURNWATCH_")]:
        monkeypatch.delenv(name)


def findings_of(**flags: object) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags)
    return {finding.where: str(finding) for finding in caught.value.findings}


def test_a_flag_wins_over_a_variable_and_a_variable_over_a_secret_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "returnwatch_app_id").write_text("from-file")
    (tmp_path / "returnwatch_topic_prefix").write_text("file-")
    monkeypatch.setenv("RETURNWATCH_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("RETURNWATCH_APP_ID", "from-variable")
    monkeypatch.setenv("RETURNWATCH_SKEW", "90s")

    settings = load_settings({"skew": "2m", "app_id": None})

    assert settings.skew == timedelta(minutes=2)
    assert settings.app_id == "from-variable"
    assert settings.topic_prefix == "file-"


def test_lists_are_written_with_commas_in_variables_and_repeated_as_flags(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RETURNWATCH_BOOTSTRAP_SERVERS", "one:9092, two:9092")
    monkeypatch.setenv("RETURNWATCH_WAREHOUSE_TOPICS", "none")

    settings = load_settings({"scans_topics": ["ups-scans", "dhl-scans"]})

    assert settings.bootstrap_servers == ("one:9092", "two:9092")
    assert settings.topics.inputs[InputKind.CARRIER_SCANS] == ("ups-scans", "dhl-scans")
    assert settings.topics.inputs[InputKind.WAREHOUSE] == ()
    assert faust_broker_urls(settings) == ["aiokafka://one:9092", "aiokafka://two:9092"]


def test_an_empty_variable_counts_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETURNWATCH_APP_ID", "")
    assert load_settings({}).app_id == "returnwatch"


def test_another_process_gets_the_very_same_settings_by_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = load_settings(
        {
            "bootstrap_servers": "a:1,b:2",
            "orders_topics": ["none"],
            "skew": "500ms",
            "simulated_time": True,
            "simulated_origin_at": "2026-11-22T01:00:00+01:00",
            "simulated_speed": "900",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_username": "rw",
            "sasl_password": "hush",
            "data_dir": str(tmp_path),
        }
    )
    for name, text in settings.environment().items():
        monkeypatch.setenv(name, text)

    assert load_settings({}) == settings


def test_everything_wrong_is_told_in_one_run_under_the_name_a_person_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RETURNWATCH_SESSION_TIMEOUT", "1s")
    monkeypatch.setenv("RETURNWATCH_LABELS_TOPICS", "orders")

    told = findings_of(
        marker_period="1y",
        parcels_partitions="many",
        bootstrap_servers="kafka",
        policy_file="/no/such/policy.yaml",
    )

    assert set(told) == {
        "RETURNWATCH_SESSION_TIMEOUT", "RETURNWATCH_LABELS_TOPICS", "--marker-period", "--parcels-partitions",
        "--bootstrap-servers",
    }  # fmt: skip
    assert "between 6s and 30m" in told["RETURNWATCH_SESSION_TIMEOUT"]
    assert "orders_topics" in told["RETURNWATCH_LABELS_TOPICS"]
    assert "15s" in told["--marker-period"]
    assert "'many' is not a whole number" in told["--parcels-partitions"]
    assert "'kafka' is not host:port" in told["--bootstrap-servers"]


def test_a_file_that_is_not_there_is_told_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETURNWATCH_SKEW", "soon")
    told = findings_of(policy_file="/no/such/policy.yaml")
    assert set(told) == {"RETURNWATCH_SKEW", "--policy"}
    assert "/no/such/policy.yaml" in told["--policy"]


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("RETURNWATCH_BOOTSTRAP_SERVER", "RETURNWATCH_BOOTSTRAP_SERVERS"),
        ("RETURNWATCH_SASL_PASWORD_FILE", "RETURNWATCH_SASL_PASSWORD_FILE"),
    ],
)
def test_a_misspelled_variable_is_refused_with_what_was_meant(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "x:1")
    assert f"did you mean {meant}?" in findings_of()[variable]


@pytest.mark.parametrize(
    "variable",
    ["RETURNWATCH_SERVICE_HOST", "RETURNWATCH_PORT", "RETURNWATCH_METRICS_PORT_9464_TCP_ADDR"],
)
def test_what_kubernetes_sets_for_a_service_called_returnwatch_is_no_mistake(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "tcp://10.0.0.1:9464")
    load_settings({})


def test_a_simulated_clock_is_refused_unless_it_is_allowed() -> None:
    assert "--simulated-time" in findings_of(simulated_speed="3600")["RETURNWATCH_SIMULATED_TIME"]


def test_a_simulated_clock_maps_broker_time_both_ways() -> None:
    settings = load_settings(
        {
            "simulated_time": True,
            "simulated_origin_at": "2026-11-22T00:00:00Z",
            "simulated_starts_at": "2026-01-01T00:00:00Z",
            "simulated_speed": "3600",
        }
    )
    clock = settings.simulated
    assert clock is not None
    origin = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp() * 1000)
    day_later = int(datetime(2026, 1, 2, tzinfo=UTC).timestamp() * 1000)
    assert clock.simulated_ms(origin + 24_000) == day_later
    assert clock.append_ms(day_later) == origin + 24_000


def test_a_go_live_time_without_a_zone_is_refused() -> None:
    assert "has no time zone" in findings_of(go_live_at="2026-11-22 08:00")["--go-live"]


def test_sasl_needs_a_user_and_exactly_one_password(tmp_path: Path) -> None:
    told = findings_of(security_protocol="SASL_SSL")
    assert "RETURNWATCH_SASL_USERNAME" in told
    assert "no password" in told["RETURNWATCH_SASL_PASSWORD_FILE"]

    file = tmp_path / "password"
    file.write_text("hush\n")
    twice = findings_of(
        **{"security_protocol": "SASL_SSL", "sasl_username": "rw"},
        **{"sasl_password": "hush", "sasl_password_file": str(file)},
    )
    assert "as a value and as a file" in twice["--sasl-password-file"]


def test_a_user_name_over_a_protocol_that_sends_none_is_refused() -> None:
    assert "PLAINTEXT sends no user name" in findings_of(sasl_username="rw")["RETURNWATCH_SECURITY_PROTOCOL"]


def test_the_password_file_reaches_kafka_and_faust_without_its_newline(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hush\n")
    settings = load_settings(
        {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-256",
            "sasl_username": "rw",
            "sasl_password_file": str(file),
        }
    )

    arguments, credentials = client_arguments(settings), faust_credentials(settings)

    assert {arguments["sasl_plain_password"], credentials.password} == {"hush"}
    assert arguments["sasl_mechanism"] == credentials.mechanism.value == "SCRAM-SHA-256"
    assert "hush" not in repr(settings)


def test_tls_is_given_to_kafka_and_faust(tmp_path: Path) -> None:
    settings = load_settings({"security_protocol": "SSL"})
    assert client_arguments(settings)["ssl_context"].check_hostname is True
    assert faust_credentials(settings).context is not None
    assert client_arguments(load_settings({}))["security_protocol"] == "PLAINTEXT"
    assert faust_credentials(load_settings({})) is None


def test_an_authority_file_that_holds_no_certificate_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    settings = load_settings({"security_protocol": "SSL", "ssl_ca_file": str(file)})
    with pytest.raises(SettingsError, match="no usable certificate"):
        client_arguments(settings)


def test_every_flag_is_a_setting_and_no_name_is_taken_twice() -> None:
    assert {flag.field for flag in FLAGS} <= set(Settings.model_fields)
    names = [name for flag in FLAGS for name in flag.names]
    assert len(names) == len(set(names))


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_settings_page_is_the_one_that_would_be_generated() -> None:
    assert FILE.read_text(encoding="utf-8") == reference(), "run: python -m agents.settings_reference"
