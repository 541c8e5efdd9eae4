"""Counts what a batch said, once it has been said."""

from agents.log_clock import LogClock
from agents.metrics import NOT_TOLD, PASSED_OVER, TRANSITIONS, Metrics
from streams.batch import Batch
from streams.watermark import OPENED_OF

_TRANSITION_OF = {f"case_{transition}": transition for transition in TRANSITIONS}


class Said:
    """Turns a batch's counters and delays into metrics."""

    def __init__(self, metrics: Metrics, clock: LogClock, skew_ms: int, speed: float) -> None:
        self._metrics = metrics
        self._clock = clock
        self._skew_ms = skew_ms
        self._speed = speed

    def batch(self, stage: str, batch: Batch) -> None:
        """Count one acknowledged batch of `stage`."""
        for (name, label), count in batch.counters.items():
            self._count(stage, name, label, count)
        if batch.delays:
            now_ms = self._clock.now_ms()
            for rule, due_ms in batch.delays:
                delay = (now_ms - due_ms) / 1000 / self._speed - self._skew_ms / 1000
                self._metrics.detection_delay.labels(rule).observe(max(0.0, delay))

    def _count(self, stage: str, name: str, label: str, count: int) -> None:
        metrics = self._metrics
        of_stage = {
            "too_old": metrics.too_old,
            "duplicate": metrics.duplicates,
            "truncated": metrics.truncated,
            "erased": metrics.erased,
            "forgotten": metrics.forgotten,
        }
        if name in _TRANSITION_OF:
            metrics.escalations.labels(label, _TRANSITION_OF[name]).inc(count)
        elif name == OPENED_OF:
            rule, carrier = label.split("|")
            metrics.cases_opened.labels(rule, metrics.carrier(carrier) if carrier else "").inc(count)
        elif name == "command_answered":
            metrics.commands.labels(*label.split("|")).inc(count)
        elif name in NOT_TOLD:
            metrics.not_told.labels(label, NOT_TOLD[name]).inc(count)
        elif name in of_stage:
            of_stage[name].labels(stage).inc(count)
        elif name in PASSED_OVER:
            metrics.passed_over.labels(stage, name).inc(count)
        elif name == "not_counted":
            metrics.not_counted.inc(count)
        elif name == "orphan_expired":
            metrics.orphans_expired.inc(count)
