"""What a collector of OpenTelemetry has received: the spans in the requests that a local receiver took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.receivers import LocalReceiver


class Received(NamedTuple):
    """A span, ids in hex."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    kind: int
    attributes: Mapping[str, Any]
    failed: bool
    lasted_ns: int


def spans_of(collector: LocalReceiver) -> list[Received]:
    """All spans, in the order in which they came."""
    found = []
    for request in collector.taken:
        assert request.path == "/v1/traces"
        told: Any = ExportTraceServiceRequest()
        told.ParseFromString(request.body)
        for resource in told.resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                assert scope.scope.name == "returnwatch"
                found += [_received(service, span) for span in scope.spans]
    return found


def _received(service: str, span: Any) -> Received:
    return Received(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        _attributes(span.attributes),
        span.status.code == 2,
        span.end_time_unix_nano - span.start_time_unix_nano,
    )


def _attributes(told: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in told}
