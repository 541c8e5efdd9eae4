"""What a person sees who typed something wrong, or whose Kafka is not there: sentences, never a traceback."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.command_line import returnwatch

HEAVY = ("pydantic", "aiokafka", "faust", "rocksdict", "holidays", "prometheus_client")


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def web_server_port() -> Iterator[int]:
    """Something that listens and answers, but is no Kafka."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=_answer_once, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def _answer_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys, agents.cli; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics", "plan"),
        ("topics", "create"),
        ("cases", "list"),
        ("cases", "show", "RMA-1"),
        ("cases", "tail"),
        ("cases", "acknowledge", "RMA-1", "--by", "ops-1"),
        ("cases", "snooze", "RMA-1", "--by", "ops-1", "--until", "2d"),
        ("cases", "resolve", "--by", "ops-1", "--reason", "found", "--older-than", "30d"),
        ("journeys", "show", "RMA-1"),
        ("dlq", "list"),
        ("dlq", "show", "orders/0@1"),
        ("dlq", "stats"),
        ("dlq", "redrive", "--everything", "--by", "ops-1"),
        ("dlq", "discard", "--everything", "--by", "ops-1", "--why", "a test", "--yes"),
        ("policy", "show"),
        ("check", "--connect"),
    ],
)
def test_a_broker_that_is_not_there_is_named_with_what_to_do(
    arguments: tuple[str, ...], closed_port: int
) -> None:
    address = f"127.0.0.1:{closed_port}"
    answer = returnwatch(*arguments, "--bootstrap-servers", address)
    assert answer.code == 1
    assert f"{address}: cannot connect: connection refused" in answer.err
    assert "--bootstrap-servers" in answer.err


def test_every_address_that_failed_is_named(closed_port: int) -> None:
    addresses = f"127.0.0.1:{closed_port},no-such-host.invalid:9092"
    answer = returnwatch("topics", "plan", "-b", addresses)
    assert answer.code == 1
    assert f"127.0.0.1:{closed_port}" in answer.err
    assert "no-such-host.invalid:9092" in answer.err


def test_a_command_that_may_wait_says_what_it_waits_for(closed_port: int) -> None:
    answer = returnwatch("topics", "create", "-b", f"127.0.0.1:{closed_port}", "--wait", "1500ms")
    assert answer.code == 1
    assert f"waiting up to 1500ms for Kafka: 127.0.0.1:{closed_port}" in answer.err


def test_something_that_is_no_kafka_is_recognised(web_server_port: int) -> None:
    answer = returnwatch("topics", "plan", "-b", f"127.0.0.1:{web_server_port}")
    assert answer.code == 1
    assert "not in the Kafka protocol" in answer.err


def test_wrong_settings_end_a_command_with_all_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETURNWATCH_SKEW", "a while")
    answer = returnwatch("worker", "--session-timeout", "1s", "--security-protocol", "ssl")
    assert answer.code == 1
    assert "RETURNWATCH_SKEW: 'a while' is not a duration" in answer.err
    assert "--session-timeout" in answer.err
    assert "did you mean SSL?" in answer.err


def test_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETURNWATCH_SASL_PASSWORD", "open-sesame")
    monkeypatch.setenv("RETURNWATCH_SASL_USERNAME", "rw")
    shown = returnwatch("settings", "--security-protocol", "SASL_SSL")
    as_json = returnwatch("settings", "--security-protocol", "SASL_SSL", "--json")
    refused = returnwatch("settings", "--skew", "never")
    assert shown.code == as_json.code == 0
    assert "********" in shown.out
    assert "open-sesame" not in "".join((*map(str, shown), *map(str, as_json), *map(str, refused)))


def test_a_rule_or_state_that_does_not_exist_is_told_with_what_was_meant() -> None:
    answer = returnwatch(
        "cases", "list", "--rule", "missing_frist_scan", "--state", "opne", "--older-than", "long"
    )
    assert answer.code == 1
    assert "did you mean missing_first_scan?" in answer.err
    assert "did you mean open?" in answer.err
    assert "'long' is not a duration" in answer.err


def test_speed_and_minutes_of_the_demo_exclude_each_other() -> None:
    answer = returnwatch("demo", "--speed", "100", "--minutes", "2")
    assert answer.code == 1
    assert "comes together with --minutes" in answer.err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("acknowledge", "--by", "ops-1"), "CASE: is missing do: name one case, or choose by --rule"),
        (
            ("acknowledge", "R1", "--rule", "late_refund", "--by", "ops-1"),
            "CASE: comes together with options",
        ),
        (("acknowledge", "--rule", "late_refunds", "--by", "ops-1"), "did you mean late_refund?"),
        (("acknowledge", "R1", "--by", "ada@example.org"), "`by`: String should match pattern"),
        (("assign", "R1", "--to", "Ada L.", "--by", "ops-1"), "`to`: String should match pattern"),
        (
            ("snooze", "R1", "--until", "later", "--by", "ops-1"),
            "--until: 'later' is no time and no duration",
        ),
        (
            ("snooze", "R1", "--until", "2026-03-01T08:00:00", "--by", "ops-1"),
            "`until`: Input should have timezone",
        ),
        (("resolve", "R1", "--reason", "bored", "--by", "ops-1"), "`reason`: Input should be 'found'"),
        (("note", "R1", "x" * 1001, "--by", "ops-1"), "`text`: String should have at most 1000 characters"),
        (("reopen", "R1", "--by", "ops-1", "--wait", "soon"), "--wait: 'soon' is not a duration"),
        (("reopen", "R1", "--by", "ops-1", "--commands-topic", "none"), "--commands-topic: there is none"),
    ],
)
def test_what_cannot_be_told_about_a_case_is_found_before_any_cluster_is_asked(
    arguments: tuple[str, ...], what: str
) -> None:
    answer = returnwatch("cases", *arguments)
    assert answer.code == 1
    assert what in " ".join(answer.err.split())


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (
            ("list", "--reason", "not_jsn"),
            "--reason: there is no reason 'not_jsn' do: did you mean `not_json`?",
        ),
        (("list", "--from", "2026-03-01T00:00:00"), "--from: '2026-03-01T00:00:00' has no offset"),
        (("stats", "--newer-than", "soon"), "--newer-than: 'soon' is not a duration"),
        (("show", "orders-17"), "PLACE: 'orders-17' is no place of a record"),
        (("redrive", "--by", "ops-1"), "nothing says which letters are meant do: name places, or choose by"),
        (
            ("redrive", "orders/0@1", "--everything", "--by", "ops-1"),
            "--everything: comes together with options",
        ),
        (("redrive", "--everything", "--by", "Ada L."), "--by: 'Ada L.' is no opaque id"),
        (("redrive", "--topic", "order", "--by", "ops-1"), "did you mean `orders`?"),
        (("discard", "--everything", "--by", "ops-1", "--why", " "), "--why: is empty"),
        (("discard", "--everything", "--by", "ops-1", "--why", "a" * 201), "--why: is too long"),
    ],
)
def test_what_cannot_be_done_with_dead_letters_is_found_before_any_cluster_is_asked(
    arguments: tuple[str, ...], what: str
) -> None:
    answer = returnwatch("dlq", *arguments)
    assert answer.code == 1
    assert what in " ".join(answer.err.split())
