"""Goes on with the trace of an escalation to its receivers: a span for each try, and `traceparent` on the request."""

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from agents.notify_record import NotifyRecord
from schemas.outputs import escalation_id
from streams.notify_bodies import Told
from streams.traces import Context, derived_span, read_traceparent

if TYPE_CHECKING:  # its packages are an extra
    from agents.tracing import Tracer

_STATUS = re.compile(r"HTTP (\d{3})")


class _Change(NamedTuple):
    """A traced change on its way to a receiver."""

    case_id: str
    context: Context
    parent: bytes


class DeliveryTraces:
    """Of all receivers."""

    def __init__(self, tracer: "Tracer", record: NotifyRecord) -> None:
        self._tracer = tracer
        self._record = record

    def begin(self, receiver: str, told: Told) -> "Delivery":
        """A try begins."""
        return Delivery(self._tracer, receiver, told, self._record.traces_of(_ids(told).values()))


class Delivery:
    """One try. A digest is a span in the trace of each of its changes, and its request in none of them."""

    def __init__(self, tracer: "Tracer", receiver: str, told: Told, traces: Mapping[str, str]) -> None:
        self._tracer = tracer
        self._receiver = receiver
        self._is_digest = told.is_digest
        self._began_ns = time.time_ns()
        found = {case: read_traceparent(traces.get(one, "").encode()) for case, one in _ids(told).items()}
        span = derived_span(receiver, told.identity, str(self._began_ns))
        self._changes = [
            _Change(case, parent._replace(span=span), parent.span)
            for case, parent in found.items()
            if parent is not None
        ]

    @property
    def headers(self) -> dict[str, str]:
        """What the request says of it."""
        if self._is_digest or not self._changes:
            return {}
        return {"traceparent": self._changes[0].context.header.decode()}

    def end(self, answer: str, *, failed: bool) -> None:
        """The receiver has answered, or not."""
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "returnwatch.receiver": self._receiver,
        }
        if status := _STATUS.match(answer):
            attributes["http.response.status_code"] = int(status[1])
        if failed:
            attributes["error.type"] = answer
        times_ns = (self._began_ns, time.time_ns())
        for one in self._changes:
            told = attributes | {"returnwatch.case_id": one.case_id}
            self._tracer.told(
                f"POST {self._receiver}", one.context, one.parent, told, times_ns, failed=failed
            )


def _ids(told: Told) -> dict[str, str]:
    """Case -> `ce_id` of its newest change in the message."""
    return {one.case_id: escalation_id(one.case_id, one.revision) for one in told.changes}
