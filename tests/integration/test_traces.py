"""A trace from a producer's record to the receiver of the escalation, through real processes, and a collector that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from agents.embedded_kafka import EmbeddedKafka
from agents.settings import Settings
from tests.chaos.installation import ONE_OF_EACH, case_state, create_inputs, installation, outputs
from tests.chaos.processes import PATIENCE_S, WorkerProcess, until
from tests.chaos.traffic import label
from tests.otlp_collector import Received, spans_of
from tests.receivers import LocalReceiver, eventually, local_receiver

pytestmark = pytest.mark.kafka

ROUTES = """\
receivers:
  erp: {{kind: webhook, url: "{url}", secret: ERP_SECRET}}
routes:
  - {{name: all, to: [erp]}}
"""
OPEN = ("open", "escalated")


def trace_of(number: int) -> str:
    return f"{number:032x}"


async def send_label(settings: Settings, number: int) -> None:
    """A label that becomes a case a second later, in a trace of its own."""
    header = ("traceparent", f"00-{trace_of(number)}-{number:016x}-01".encode())
    async with AIOKafkaProducer(bootstrap_servers=list(settings.bootstrap_servers)) as producer:
        value = json.dumps(label(number)).encode()
        await producer.send_and_wait(settings.labels_topics[0], value, headers=[header])


@contextmanager
def notifying(
    settings: Settings, directory: Path, receiver: LocalReceiver
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of `notify run`."""
    file, log = directory / "notify.yaml", directory / "notify.log"
    file.write_text(ROUTES.format(url=receiver.url), encoding="utf-8")
    own = settings.model_copy(update={"notify_record": directory / "notify.sqlite3", "metrics_port": 0})
    environment = {**os.environ, **own.environment(), "ERP_SECRET": "hush-hush-hush-hush"}
    with log.open("wb") as out:
        command = [sys.executable, "-m", "agents", "notify", "run", str(file), "--from-start"]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def named(spans: list[Received], name: str, number: int) -> list[Received]:
    """The spans of a name in the trace of a number."""
    return [one for one in spans if one.name == name and one.trace == trace_of(number)]


async def test_one_trace_from_the_record_to_the_receiver_and_a_collector_that_goes_away(
    kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH, traces="on")
    await create_inputs(settings)
    async with local_receiver() as collector, local_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        worker = WorkerProcess(settings, tmp_path / "w1")
        worker.start()
        try:
            await worker.ready()
            with notifying(settings, tmp_path, receiver) as notify:
                await send_label(settings, 1)
                labels, escalations = settings.labels_topics[0], settings.topics.escalations
                await receiver.until(1)
                await eventually(lambda: bool(named(spans_of(collector), "POST erp", 1)))
                await eventually(lambda: bool(named(spans_of(collector), f"send {escalations}", 1)))
                spans = spans_of(collector)
                (read,) = named(spans, f"process {labels}", 1)
                said = {one.span: one for one in named(spans, f"send {escalations}", 1)}
                told = {one.span: one for one in named(spans, "POST erp", 1)}
                assert read.parent == f"{1:016x}"
                assert {one.parent for one in said.values()} == {read.span}
                assert {one.parent for one in told.values()} <= said.keys()
                assert {one.service for one in (read, *said.values())} == {"returnwatch-worker"}
                assert {one.service for one in told.values()} == {"returnwatch-notify"}
                assert {one.attributes["returnwatch.rule"] for one in said.values()} == {"missing_first_scan"}
                requests = {one.headers["traceparent"] for one in receiver.taken}
                assert {f"00-{trace_of(1)}-{span}-01" for span in told} <= requests
                for record in await outputs(settings, escalations):
                    headers = dict(record.headers)
                    assert headers["traceparent"] == headers["ce_traceparent"]
                    assert headers["traceparent"].decode().split("-")[1] == trace_of(1)

                collector.else_answer = "close"
                before = len(receiver.taken)
                await send_label(settings, 2)
                await receiver.until(before + 1)
                await case_state(settings, 2, OPEN)
                dropped = "returnwatch_trace_spans_total"
                await until(
                    lambda: worker.metric(dropped, outcome="dropped") > 0, "spans are dropped and counted"
                )
                assert len(worker.logged("traces_not_exported")) == 1
                notify.send_signal(signal.SIGTERM)
                assert notify.wait(PATIENCE_S) == 0
            assert worker.stop() == 0
        finally:
            worker.kill()
