"""What traces cost: CPU of intake and both stages in one process, without Kafka, with traces off and on, each record in one.

Spans are made, queued, written as OTLP and given to nobody, by the SDK's own thread: what a collector does with them is its own.
"""

import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry

from agents.garbage import tame_garbage_collection
from agents.replay_reading import Recorded, in_order
from agents.tracing import Tracer
from agents.virtual_time import InputRecord, StageLog
from benchmarks.offline import ENDS_AT, STEP_MS, recorded
from benchmarks.workload import Workload
from schemas.carrier_codes import load_carrier_codes
from schemas.facts import MARKER_KEY, POLICY_KEY, Mark, Marker, encode_json
from schemas.policy_loading import default_policy
from streams.intake import IntakeMapper
from streams.intake_traces import Door, traced
from streams.logic import Logic
from streams.parcel_stage import parcel_logic
from streams.partition import PARCELS_SOURCE, Partition
from streams.return_stage import return_logic

TURNS = 5
OFF, CARRIED, EXPORTED = "off", "carried", "exported"
_TOPIC = "inputs"


class _NoCollector(SpanExporter):
    """Writes spans as they would be sent."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


def _stage(logic: Logic, sources: tuple[str, ...], *, traces: bool) -> StageLog:
    return StageLog(Partition(logic, 0, position=None, policy=None, sources=sources, traces=traces))


def tracing_costs(returns: int) -> dict[str, float]:
    """CPU seconds per million events: traces off, carried through state and headers, and exported as spans, too."""
    records = in_order(list(recorded(Workload(returns, ENDS_AT, with_shop=True))))
    headers = [[("traceparent", f"00-{n:032x}-{n:016x}-01".encode())] for n in range(1, len(records) + 1)]
    tame_garbage_collection()
    least = dict.fromkeys((OFF, CARRIED, EXPORTED), float("inf"))
    for _ in range(TURNS):
        for name in least:
            tracer = Tracer("worker", _NoCollector(), CollectorRegistry()) if name == EXPORTED else None
            began = time.process_time()
            _play(records, headers, traces=name != OFF, tracer=tracer)
            least[name] = min(least[name], time.process_time() - began)
    return {name: seconds / len(records) * 1_000_000 for name, seconds in least.items()}


def _play(records: list[Recorded], headers: list[Any], *, traces: bool, tracer: Tracer | None) -> None:
    mapper = IntakeMapper(load_carrier_codes(), tells_begins=traces)
    parcels = _stage(parcel_logic(1), (_TOPIC,), traces=traces)
    returns = _stage(return_logic(1), (_TOPIC, PARCELS_SOURCE), traces=traces)
    for stage in (parcels, returns):
        stage.append(POLICY_KEY, default_policy().to_log())
    at = 0
    for hour, step in groupby(records, lambda one: one.at_ms // STEP_MS):
        for kind, some in groupby(step, lambda one: one.kind):
            batch = list(some)
            given = [InputRecord(at + n, one.value, headers[at + n]) for n, one in enumerate(batch)]
            at += len(batch)
            taken = mapper.map_chunk(given, kind, batch[-1].at_ms, topic=kind, partition=0)
            carried: Any = [()] * len(taken.facts)
            if traces:
                carried, spans = traced(given, taken, Door("bench", kind, 0), 0.0)
                if tracer is not None:
                    tracer.read(kind, 0, "bench", spans, (0, 1))
            for (name, key, value), said in zip(taken.facts, carried, strict=True):
                (parcels if name == "parcels" else returns).append(key, value, said)
        _advance(parcels, returns, (hour + 1) * STEP_MS)
        if tracer is not None:
            for span in returns.spans:
                tracer.said(span.message.topic, 0, span)
        returns.spans.clear()


def _advance(parcels: StageLog, returns: StageLog, through_ms: int) -> None:
    mark = Mark(topic=_TOPIC, partition=0, through_ms=through_ms)
    marker = encode_json(Marker(marks=(mark,), roster={_TOPIC: 1}))
    for stage in (parcels, returns):
        stage.append(MARKER_KEY, marker)
    for report in parcels.work():
        returns.append(report.key, report.value, report.headers)
    passed_on = parcels.partition.marks_to_forward()
    if passed_on is not None:
        returns.append(MARKER_KEY, passed_on)
    returns.work()
