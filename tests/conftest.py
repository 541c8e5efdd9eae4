"""Fixtures every test may use, and the rule that nothing is skipped unseen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.embedded_kafka import EmbeddedKafka, EmbeddedKafkaUnavailable, prepare_quick_start

# The second compiler of the JVM pays for itself after minutes; a test's broker lives for seconds.
_SHORT_LIVED_JVM = ("-Xmx512m", "-XX:TieredStopAtLevel=1")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """One real broker for the whole session of a test process: use topic names of your own, and never stop it."""
    with _started(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """A real broker for one test, which may kill, pause and restart it."""
    with _started(tmp_path / "kafka") as broker:
        yield broker


def _started(directory: Path) -> EmbeddedKafka:
    broker = EmbeddedKafka(directory, jvm_options=_SHORT_LIVED_JVM)
    try:
        prepare_quick_start()
        broker.start()
    except EmbeddedKafkaUnavailable as error:
        pytest.skip(str(error))
    return broker


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark who uses a broker: the parts of the suite are split by this mark, so nobody may forget it."""
    for item in items:
        if {"kafka", "own_kafka"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


class _NoSkips:
    """In CI a skipped test did not run, and nobody reads the list of skips: it fails the session."""

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.outcome == "skipped" and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skipped[report.nodeid] = reason

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.skipped:
            terminalreporter.section("skipped in CI, which is a failure", red=True)
            for nodeid, reason in self.skipped.items():
                terminalreporter.line(f"{nodeid}: {reason}")


def pytest_configure(config: pytest.Config) -> None:
    is_xdist_worker = hasattr(config, "workerinput")
    if os.environ.get("CI") == "true" and not is_xdist_worker:
        config.pluginmanager.register(_NoSkips(), "no-skips")
