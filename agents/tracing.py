"""Exports spans to an OpenTelemetry collector. Needs the extra `tracing`.

A span is written when it is over, with an id that was derived long before (streams/traces.py), so nothing of OpenTelemetry's
own context is used. Nothing here waits for the collector: what it does not take is dropped and counted.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client import CollectorRegistry, Counter

from agents.metric_collectors import PREFIX
from agents.tracing_settings import ExportVariables
from streams.intake_traces import REFUSED, ReadSpan
from streams.traces import Context, SaidSpan

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 2.0
"""How long the end of a process waits for a collector."""
_UNNAMED = "unknown_service"

Attributes = Mapping[str, str | int]


class _Told(msgspec.Struct):
    """What a span tells of an escalation, a refund signal or an answer: no ids of returns, parcels or people, and nothing that
    somebody else has written, as the id of a command is.
    """

    case_id: str = ""
    signal_id: str = ""
    rule: str = ""
    state: str = ""
    action: str = ""
    reason: str = ""
    level: int = 0
    due_at: str = ""
    effective_at: str = ""
    tier: str = ""


_told_of = msgspec.json.Decoder(_Told).decode


def otlp_exporter() -> SpanExporter:
    """By OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT and the like."""
    return OTLPSpanExporter()


class Tracer:
    """The spans of one process. All of it is called from one thread."""

    def __init__(self, program: str, exporter: SpanExporter, registry: CollectorRegistry) -> None:
        self._counted = Counter(
            f"{PREFIX}_trace_spans",
            "Spans of traces, by outcome: exported, dropped (the collector does not take them, or too slowly).",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("exported", "dropped"):
            self._counted.labels(outcome)
        self._exporter = _CountingExporter(exporter, self._counted)
        told = ExportVariables()
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=told.queue_size,
            schedule_delay_millis=told.delay_ms,
            max_export_batch_size=told.batch_size,
            export_timeout_millis=told.timeout_ms,
        )
        self._resource = _resource(program)
        self._scope = InstrumentationScope("returnwatch")
        self._room = told.queue_size
        self._handed_over = 0
        self._is_full = False

    def read(
        self, topic: str, partition: int, group: str, spans: Sequence[ReadSpan], times_ns: tuple[int, int]
    ) -> None:
        """What intake did with records of an input partition, from when to when."""
        name = f"process {topic}"
        shared = _of_kafka(topic, partition, "process") | {"messaging.consumer.group.name": group}
        for one in spans:
            attributes = shared | {
                "messaging.kafka.offset": one.offset,
                "returnwatch.outcome": one.outcome,
            }
            failed = one.outcome == REFUSED
            if failed:
                attributes["error.type"] = one.reason
            self._end(name, SpanKind.CONSUMER, one.context, one.parent, attributes, times_ns, failed=failed)

    def said(self, topic: str, partition: int, span: SaidSpan) -> None:
        """A message that was said."""
        at_ns = time.time_ns()
        told = msgspec.to_builtins(_told_of(span.message.value or b"{}"))
        attributes = _of_kafka(topic, partition, "send") | {
            f"returnwatch.{name}": value for name, value in told.items() if value
        }
        self._end(f"send {topic}", SpanKind.PRODUCER, span.context, span.parent, attributes, (at_ns, at_ns))

    def told(
        self,
        name: str,
        context: Context,
        parent: bytes,
        attributes: Attributes,
        times_ns: tuple[int, int],
        *,
        failed: bool,
    ) -> None:
        """A try to tell a receiver."""
        self._end(name, SpanKind.CLIENT, context, parent, attributes, times_ns, failed=failed)

    def _end(
        self,
        name: str,
        kind: SpanKind,
        context: Context,
        parent: bytes | None,
        attributes: Attributes,
        times_ns: tuple[int, int],
        *,
        failed: bool = False,
    ) -> None:
        """Hand a span over that is over. Never waits: where there is no room for it, it is dropped."""
        if not self._has_room():
            self._counted.labels("dropped").inc()
            return
        self._handed_over += 1
        self._processor.on_end(
            ReadableSpan(
                name,
                _span_context(context, context.span),
                parent=_span_context(context, parent) if parent is not None else None,
                resource=self._resource,
                attributes=attributes,
                kind=kind,
                instrumentation_scope=self._scope,
                status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
                start_time=times_ns[0],
                end_time=times_ns[1],
            )
        )

    def _has_room(self) -> bool:
        """Whether the queue takes one more; it is told once when it does not, until it is half empty again."""
        waiting = self._handed_over - self._exporter.taken
        if waiting >= self._room and not self._is_full:
            log.warning("traces_queue_full", spans=self._room)
            self._is_full = True
        elif self._is_full and waiting < self._room / 2:
            self._is_full = False
        return waiting < self._room

    async def close(self) -> None:
        """Export what waits, if the collector takes it soon."""
        # A thread that nobody waits for at the exit: the exporter tries again for longer than that.
        last = threading.Thread(target=self._processor.shutdown, name="traces-close", daemon=True)
        last.start()
        await asyncio.to_thread(last.join, FLUSH_SECONDS)


class _CountingExporter(SpanExporter):
    """Counts what became of spans, and says once when the collector takes none, and once when it does again."""

    def __init__(self, exporter: SpanExporter, counted: Counter) -> None:
        self._exporter = exporter
        self._counted = counted
        self._fails = False
        self.taken = 0
        """Spans that have left the queue."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever a collector answers, work goes on
            log.warning("traces_exporter_failed", error=type(error).__name__)
            result = SpanExportResult.FAILURE
        self.taken += len(spans)
        failed = result is not SpanExportResult.SUCCESS
        self._counted.labels("dropped" if failed else "exported").inc(len(spans))
        if failed and not self._fails:
            log.warning("traces_not_exported", spans=len(spans))
        elif self._fails and not failed:
            log.info("traces_exported_again")
        self._fails = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _resource(program: str) -> Resource:
    """As OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say; a service without a name is called like the program."""
    told = Resource.create()
    if not str(told.attributes.get(SERVICE_NAME, _UNNAMED)).startswith(_UNNAMED):
        return told
    return told.merge(Resource({SERVICE_NAME: f"returnwatch-{program}"}))


def _of_kafka(topic: str, partition: int, operation: str) -> dict[str, str | int]:
    """By OpenTelemetry's semantic conventions for messaging."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
    }


def _span_context(context: Context, span: bytes) -> Any:
    trace_id, span_id = int.from_bytes(context.trace), int.from_bytes(span)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(context.flags))
