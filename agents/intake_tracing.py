"""The traces of what intake forwards at once: headers of its facts, and a span for each traced record."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from faust.types.tuples import TP

from agents.fencing import Headers
from agents.settings import Settings
from streams.intake import Intake
from streams.intake_traces import Door, ReadSpan, traced

if TYPE_CHECKING:  # its packages are an extra
    from agents.tracing import Tracer


class IntakeTraces:
    """Made when it begins."""

    def __init__(self, tracer: "Tracer", settings: Settings) -> None:
        self._tracer = tracer
        self._settings = settings
        self._spans: list[tuple[TP, list[ReadSpan]]] = []
        self._began_ns = time.time_ns()

    def headers(self, tp: TP, records: Sequence[Any], taken: Intake) -> list[Headers]:
        """Of each fact that came of these records."""
        door = Door(self._settings.app_id, tp.topic, tp.partition)
        headers, spans = traced(records, taken, door, self._settings.traces_started_share)
        self._spans.append((tp, spans))
        return headers

    def forwarded(self) -> None:
        """All of it is acknowledged."""
        times_ns = (self._began_ns, time.time_ns())
        for tp, spans in self._spans:
            self._tracer.read(tp.topic, tp.partition, self._settings.app_id, spans, times_ns)
