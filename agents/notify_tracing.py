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
_NO_ANSWER, STOPPED = "no_answer", "stopped"


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
        return Delivery(self._tracer, receiver, told, self._record.traces_of(_ids(told)))


class Delivery:
    """One try. A digest is a span for each of its changes, in that one's trace, and its request is in none of them."""

    def __init__(self, tracer: "Tracer", receiver: str, told: Told, traces: Mapping[str, str]) -> None:
        self._tracer = tracer
        self._receiver = receiver
        self._is_digest = told.is_digest
        self._began_ns = time.time_ns()
        self._changes = []
        for one, case_id in _ids(told).items():
            parent = read_traceparent(traces.get(one, "").encode())
            if parent is not None:
                span = derived_span(receiver, told.identity, one, str(self._began_ns))
                self._changes.append(_Change(case_id, parent._replace(span=span), parent.span))

    @property
    def headers(self) -> dict[str, str]:
        """What the request says of it."""
        if self._is_digest or not self._changes:
            return {}
        return {"traceparent": self._changes[0].context.header.decode()}

    def end(self, answer: str, *, failed: bool) -> None:
        """The receiver has answered, or not. Neither its address nor its words are told: an address may be a secret."""
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "returnwatch.receiver": self._receiver,
        }
        status = _STATUS.match(answer)
        if status:
            attributes["http.response.status_code"] = int(status[1])
        if failed:
            attributes["error.type"] = status[1] if status else STOPPED if answer == STOPPED else _NO_ANSWER
        times_ns = (self._began_ns, time.time_ns())
        for one in self._changes:
            told = attributes | {"returnwatch.case_id": one.case_id}
            self._tracer.told(
                f"POST {self._receiver}", one.context, one.parent, told, times_ns, failed=failed
            )


def _ids(told: Told) -> dict[str, str]:
    """`ce_id` of each change in the message -> its case."""
    return {escalation_id(one.case_id, one.revision): one.case_id for one in told.changes}
