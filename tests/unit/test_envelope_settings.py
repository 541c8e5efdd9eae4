"""Which topic is written in which envelope is a setting, and what does not fit is told before anything starts."""

import os
from pathlib import Path

import pytest

from agents import envelopes
from agents.errors import SettingsError
from agents.settings import Settings, setting_text
from agents.settings_loading import load_settings
from tests.command_line import returnwatch


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RETURNWATCH_")]:
        monkeypatch.delenv(name)


def _told(**flags: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags)
    return "\n".join(str(finding) for finding in caught.value.findings)


def test_every_kind_of_topic_can_have_an_envelope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETURNWATCH_ENVELOPES", "orders=debezium, commands=confluent+outbox")
    monkeypatch.setenv("RETURNWATCH_SCHEMA_REGISTRY_URL", "https://registry:8081/apis/ccompat/v7")
    settings = load_settings({})
    assert settings.envelopes == ("orders=debezium", "commands=confluent+outbox")
    assert load_settings({"envelopes": ["labels=outbox"]}).envelopes == ("labels=outbox",)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (["orders"], "names no topic and envelope"),
        (["=debezium"], "names no topic and envelope"),
        (["orders="], "names no topic and envelope"),
        (
            ["orders=avro"],
            "there is no envelope 'avro'; one of confluent, debezium, confluent+debezium, outbox",
        ),
        (["orders=debezium+confluent"], "the outer first"),
        (["nowhere=debezium"], "'nowhere' is no input topic"),
        (["orders=debezium", "orders=outbox"], "'orders' has two envelopes; a topic is written in one way"),
        (["orders=confluent"], "schema_registry_url".upper()),
    ],
)
def test_what_does_not_fit_is_told(entries: list[str], told: str) -> None:
    assert told in _told(envelopes=entries)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", "registry:8081"),
        ("url", "ftp://registry"),
        ("url", "https://"),
        ("url", "https://reader:s3cret@registry"),
        ("url", "https://registry?token=s3cret"),
        ("wait", "0"),
        ("wait", "60s"),
        ("username", "reader"),
        ("password", "s3cret"),
        ("ca_file", "/nowhere/ca.pem"),
        ("token_file", "/nowhere/token"),
    ],
)
def test_a_registry_that_cannot_be_asked_so_is_told_without_its_secrets(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"RETURNWATCH_SCHEMA_REGISTRY_{name.upper()}", value)
    told = _told()
    assert f"SCHEMA_REGISTRY_{name.upper()}" in told or "SCHEMA_REGISTRY_USERNAME" in told
    assert "s3cret" not in told


def test_one_secret_and_no_two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    monkeypatch.setenv("RETURNWATCH_SCHEMA_REGISTRY_TOKEN", "t0ken")
    assert setting_text(Settings().schema_registry_token) == "********"
    monkeypatch.setenv("RETURNWATCH_SCHEMA_REGISTRY_TOKEN_FILE", str(tmp_path / "token"))
    assert "keep the file" in _told()
    monkeypatch.delenv("RETURNWATCH_SCHEMA_REGISTRY_TOKEN_FILE")
    monkeypatch.setenv("RETURNWATCH_SCHEMA_REGISTRY_USERNAME", "reader")
    assert "a token is given, and a user name or password" in _told()


def test_without_the_extra_everything_else_works_and_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(envelopes, "find_spec", lambda _: None)
    assert len(load_settings({"envelopes": ["orders=debezium", "labels=outbox"]}).envelopes) == 2
    monkeypatch.setenv("RETURNWATCH_SCHEMA_REGISTRY_URL", "https://registry")
    told = _told(envelopes=["orders=confluent"])
    assert "fastavro, protobuf" in told
    assert "pip install 'returnwatch[registry]'" in told
    shown = returnwatch("check", "--envelope", "orders=confluent")
    assert shown.code == 1
    assert "returnwatch[registry]" in shown.err


def test_nothing_of_the_extra_is_loaded_before_it_is_needed() -> None:
    import subprocess
    import sys

    code = (
        "import sys, agents.intake, agents.samples, agents.replay_command\n"
        "print([name for name in sys.modules if name.startswith(('fastavro', 'google.protobuf'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
