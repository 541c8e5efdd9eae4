"""Spans reach a collector that speaks OTLP; one that is away, or slow, costs nothing but its spans."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from agents import tracing, tracing_settings
from agents.errors import SettingsError
from agents.notify_delivery import Endpoint, Secrets
from agents.notify_record import NotifyRecord
from agents.notify_sender import NotifyMetrics, Sender
from agents.notify_tracing import DeliveryTraces
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.tracing import Tracer
from agents.worker import MAX_POLL_RECORDS
from schemas.notify_routes import Digest
from streams.intake_traces import ACCEPTED, REFUSED, ReadSpan
from streams.traces import Context, SaidSpan
from streams.watermark import Outgoing
from tests.case_changes import case_change
from tests.otlp_collector import spans_of
from tests.receivers import LocalReceiver, eventually, local_receiver
from tests.unit.test_notify_sending import put, queued, webhook

TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
PARENT, OWN = b"\x01" * 8, b"\x02" * 8
TIMES = (1_000, 4_000)


def read_span(offset: int, outcome: str = ACCEPTED, reason: str = "") -> ReadSpan:
    return ReadSpan(offset, Context(TRACE, OWN), PARENT, outcome, reason)


class Tracing:
    """A tracer, and what it counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, collector: LocalReceiver, **variables: str) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        self.registry = CollectorRegistry()
        made = tracing_settings.tracer_of(Settings(traces="on"), "worker", self.registry)
        assert made is not None
        self.tracer: Tracer = made

    def counted(self, outcome: str) -> float:
        return self.registry.get_sample_value("returnwatch_trace_spans_total", {"outcome": outcome}) or 0.0


async def test_a_record_that_was_read_is_a_span_of_its_producers_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with local_receiver() as collector:
        work = Tracing(monkeypatch, collector)
        work.tracer.read("scans", 3, "group", [read_span(7), read_span(8, REFUSED, "not_json")], TIMES)
        await eventually(lambda: len(spans_of(collector)) == 2)
        first, second = spans_of(collector)
        assert (first.service, first.name, first.kind) == ("returnwatch-worker", "process scans", 5)
        assert (first.trace, first.span, first.parent) == (TRACE.hex(), OWN.hex(), PARENT.hex())
        assert (first.failed, first.lasted_ns) == (False, 3_000)
        assert first.attributes == {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "scans",
            "messaging.destination.partition.id": "3",
            "messaging.consumer.group.name": "group",
            "messaging.kafka.offset": 7,
            "returnwatch.outcome": "accepted",
        }
        assert (second.failed, second.attributes["error.type"]) == (True, "not_json")
        await eventually(lambda: work.counted("exported") == 2)
        await work.tracer.close()


async def test_the_service_is_called_as_opentelemetrys_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    async with local_receiver() as collector:
        work = Tracing(monkeypatch, collector, OTEL_SERVICE_NAME="returns-eu")
        work.tracer.read("scans", 3, "group", [read_span(7)], TIMES)
        await work.tracer.close()
        assert [one.service for one in spans_of(collector)] == ["returns-eu"], (
            "the end waits for the collector"
        )


async def test_a_collector_that_is_away_is_told_once_and_its_spans_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with local_receiver() as collector:
        work = Tracing(monkeypatch, collector)
        collector.else_answer = "400"
        with capture_logs() as lines:
            for number in range(3):
                work.tracer.read("scans", 3, "group", [read_span(number)], TIMES)
                await eventually(lambda number=number: work.counted("dropped") == number + 1)  # type: ignore[misc]
            collector.else_answer = "200"
            work.tracer.read("scans", 3, "group", [read_span(9)], TIMES)
            await eventually(lambda: work.counted("exported") == 1)
            await work.tracer.close()
        assert [line["event"] for line in lines] == ["traces_not_exported", "traces_exported_again"]


async def test_spans_for_which_there_is_no_room_are_dropped_and_nobody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.05)
    async with local_receiver() as collector:
        room = {"OTEL_BSP_MAX_QUEUE_SIZE": "5", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5"}
        work = Tracing(monkeypatch, collector, **room)
        collector.else_answer = "never"
        with capture_logs() as lines:
            work.tracer.read("scans", 3, "group", [read_span(number) for number in range(60)], TIMES)
        assert [(line["event"], line["spans"]) for line in lines] == [("traces_queue_full", 5)]
        await eventually(lambda: len(collector.received) == 1)
        assert work.counted("dropped") == 55, "those that are on their way take room, too"
        await asyncio.wait_for(work.tracer.close(), 60)


async def test_all_that_intake_reads_at_once_reaches_a_collector_that_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with local_receiver() as collector:
        work = Tracing(monkeypatch, collector)
        spans = [read_span(number) for number in range(MAX_POLL_RECORDS)]
        with capture_logs() as lines:
            work.tracer.read("scans", 3, "group", spans, TIMES)
            await eventually(lambda: work.counted("exported") == len(spans))
            await work.tracer.close()
        assert (work.counted("dropped"), lines) == (0, [])


async def test_an_answer_is_told_without_what_its_command_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    async with local_receiver() as collector:
        work = Tracing(monkeypatch, collector)
        value = b'{"answer_id":"A1","command_id":"close-R-1001-for-anna","case_id":"c1","rule":"late_label"}'
        message = Outgoing("command-answers", b"x", value, [], 0)
        work.tracer.said("command-answers", 0, SaidSpan(message, Context(TRACE, OWN), PARENT))
        await work.tracer.close()
        (span,) = spans_of(collector)
        told = {name: each for name, each in span.attributes.items() if name.startswith("returnwatch.")}
        assert told == {"returnwatch.case_id": "c1", "returnwatch.rule": "late_label"}


# -- settings -----------------------------------------------------------------------------------------------------


def test_with_traces_off_nothing_of_opentelemetry_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "agents.tracing", None)  # an import of it would fail
    assert tracing_settings.tracer_of(Settings(), "worker", CollectorRegistry()) is None


def test_traces_without_their_packages_are_refused_with_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing_settings, "find_spec", lambda _name: None)
    monkeypatch.setenv("RETURNWATCH_TRACES", "on")
    with pytest.raises(SettingsError) as caught:
        load_settings({})
    (finding,) = caught.value.findings
    assert finding.where == "RETURNWATCH_TRACES"
    assert "pip install 'returnwatch[tracing]'" in finding.todo
    monkeypatch.setenv("RETURNWATCH_TRACES", "off")
    load_settings({})


def test_a_share_of_traces_to_begin_needs_traces_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETURNWATCH_TRACES_STARTED_SHARE", "0.5")
    with pytest.raises(SettingsError, match="yet traces are off"):
        load_settings({})
    monkeypatch.setenv("RETURNWATCH_TRACES", "on")
    assert load_settings({}).traces_started_share == 0.5


@pytest.mark.parametrize(
    ("variables", "where", "words"),
    [
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "abc"}, ["OTEL_BSP_MAX_QUEUE_SIZE"], "integer"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "0"}, ["OTEL_BSP_SCHEDULE_DELAY"], "greater than 0"),
        (
            {"OTEL_BSP_MAX_QUEUE_SIZE": "100"},
            ["OTEL_BSP_MAX_QUEUE_SIZE"],
            "the 512 that are exported at once",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, ["OTEL_EXPORTER_OTLP_ENDPOINT"], "URL scheme"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["OTEL_EXPORTER_OTLP_PROTOCOL"], "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/such"}, ["OTEL_EXPORTER_OTLP_CERTIFICATE"], "file"),
        ({"OTEL_SDK_DISABLED": "true"}, ["OTEL_SDK_DISABLED"], "yet RETURNWATCH_TRACES is on"),
        (
            {"OTEL_BSP_SCHEDULE_DELAY": "-1", "OTEL_BSP_EXPORT_TIMEOUT": "soon"},
            ["OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT"],
            "",
        ),
    ],
)
def test_variables_by_which_nothing_could_be_exported_are_findings_where_traces_are_on(
    variables: dict[str, str], where: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    load_settings({})
    monkeypatch.setenv("RETURNWATCH_TRACES", "on")
    with pytest.raises(SettingsError) as caught:
        load_settings({})
    assert [one.where for one in caught.value.findings] == where
    assert all(words in one.what and one.todo for one in caught.value.findings)


# -- notify -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def telling(
    tmp_path: Path, work: Tracing, receiver: LocalReceiver, **fields: Any
) -> AsyncIterator[NotifyRecord]:
    """A sender at work, with traces."""
    record = NotifyRecord(tmp_path / "notify.sqlite3")
    endpoint = Endpoint(webhook(**fields), Secrets(receiver.url, signing=b"hush"))
    async with aiohttp.ClientSession() as session:
        traces = DeliveryTraces(work.tracer, record)
        sender = Sender("erp", endpoint, record, session, NotifyMetrics(CollectorRegistry()), traces)
        task = asyncio.create_task(sender.run())
        try:
            yield record
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            record.close()
            await work.tracer.close()


async def test_each_try_is_a_span_and_the_request_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.notify_delivery.LONGEST_PAUSE_SECONDS", 0.01)
    async with local_receiver() as collector, local_receiver() as receiver:
        work = Tracing(monkeypatch, collector)
        async with telling(tmp_path, work, receiver) as record:
            receiver.answers.extend(["500"])
            change = queued(case_change("c1"))
            record.queue(
                [change], "escalations", {0: 1}, time(), {"c1:1": Context(TRACE, OWN).header.decode()}
            )
            await eventually(lambda: len(receiver.received) == 2)
            await eventually(lambda: len(spans_of(collector)) == 2)
        refused, taken = spans_of(collector)
        assert (refused.failed, refused.attributes["http.response.status_code"]) == (True, 500)
        assert (taken.failed, taken.attributes["http.response.status_code"]) == (False, 200)
        assert (refused.attributes["error.type"], "error.type" in taken.attributes) == ("500", False)
        assert {one.parent for one in (refused, taken)} == {OWN.hex()}
        assert (taken.name, taken.kind, taken.attributes["returnwatch.case_id"]) == ("POST erp", 3, "c1")
        sent = [one.headers["traceparent"] for one in receiver.received]
        assert sent == [f"00-{TRACE.hex()}-{one.span}-01" for one in (refused, taken)]
        assert sent[0] != sent[1]


async def test_what_is_in_no_trace_is_told_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_receiver() as collector, local_receiver() as receiver:
        work = Tracing(monkeypatch, collector)
        async with telling(tmp_path, work, receiver) as record:
            put(record, case_change("c1"))
            await receiver.until(1)
        assert "traceparent" not in receiver.taken[0].headers
        assert spans_of(collector) == []


async def test_a_digest_is_a_span_of_each_of_its_changes_traces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_receiver() as collector, local_receiver() as receiver:
        work = Tracing(monkeypatch, collector)
        async with telling(tmp_path, work, receiver, digest=Digest(above=1, per="1h")) as record:
            changes = [queued(case_change(f"c{number}"), number) for number in range(3)]
            traces = {f"c{number}:1": f"00-{number + 1:032x}-{number + 1:016x}-01" for number in range(3)}
            record.queue(changes, "escalations", {0: 3}, time(), traces)
            await receiver.until(2)
            await eventually(lambda: len(spans_of(collector)) == 3)
        single, digest = receiver.taken
        assert ("traceparent" in single.headers, "traceparent" in digest.headers) == (True, False)
        assert sorted(int(one.trace, 16) for one in spans_of(collector)) == [1, 2, 3]


async def test_each_change_of_a_digest_is_a_span_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_receiver() as collector, local_receiver() as receiver:
        work = Tracing(monkeypatch, collector)
        async with telling(tmp_path, work, receiver, digest=Digest(above=1, per="1h")) as record:
            told = [case_change("c0"), case_change("c1"), case_change("c1", revision=2), case_change("c2")]
            changes = [queued(change, number) for number, change in enumerate(told)]
            header = Context(TRACE, OWN).header.decode()
            record.queue(
                changes, "escalations", {0: 4}, time(), dict.fromkeys(("c1:1", "c1:2", "c2:1"), header)
            )
            await receiver.until(2)
            await eventually(lambda: len(spans_of(collector)) == 3)
        spans = spans_of(collector)
        assert len({one.span for one in spans}) == 3
        assert sorted(one.attributes["returnwatch.case_id"] for one in spans) == ["c1", "c1", "c2"]


async def test_a_try_that_a_stop_cuts_off_is_a_span_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_receiver() as collector, local_receiver() as receiver:
        work = Tracing(monkeypatch, collector)
        receiver.else_answer = "never"
        async with telling(tmp_path, work, receiver) as record:
            header = Context(TRACE, OWN).header.decode()
            record.queue([queued(case_change("c1"))], "escalations", {0: 1}, time(), {"c1:1": header})
            await eventually(lambda: len(receiver.received) == 1)
        (span,) = spans_of(collector)
        assert (span.failed, span.attributes["error.type"]) == (True, "stopped")
        assert receiver.received[0].headers["traceparent"] == f"00-{TRACE.hex()}-{span.span}-01"


def test_the_record_forgets_traces_with_their_changes(tmp_path: Path) -> None:
    record = NotifyRecord(tmp_path / "notify.sqlite3")
    traces = {f"c{number}:1": Context(TRACE, OWN).header.decode() for number in range(2)}
    record.queue([queued(case_change(f"c{number}"), number) for number in range(2)], "e", {0: 2}, 1.0, traces)
    (first, _) = record.pending("erp", 9)
    record.sent([first.seq], "HTTP 200", 2.0)
    record.forget_before(0.0)
    assert list(record.traces_of(traces)) == ["c1:1"]
    record.close()
