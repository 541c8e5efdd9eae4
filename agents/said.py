"""Counts what a batch said, once it has been said."""

from agents.log_clock import LogClock
from agents.metrics import PASSED_OVER, TRANSITIONS, Metrics
from streams.batch import Batch

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
        metrics = self._metrics
        for (name, label), count in batch.counters.items():
            transition = _TRANSITION_OF.get(name)
            if transition is not None:
                metrics.escalations.labels(label, transition).inc(count)
            elif name == "too_old":
                metrics.too_old.labels(stage).inc(count)
            elif name == "duplicate":
                metrics.duplicates.labels(stage).inc(count)
            elif name == "truncated":
                metrics.truncated.labels(stage).inc(count)
            elif name in PASSED_OVER:
                metrics.passed_over.labels(stage, name).inc(count)
            elif name == "orphan_expired":
                metrics.orphans_expired.inc(count)
        if batch.delays:
            now_ms = self._clock.now_ms()
            for rule, due_ms in batch.delays:
                delay = (now_ms - due_ms) / 1000 / self._speed - self._skew_ms / 1000
                metrics.detection_delay.labels(rule).observe(max(0.0, delay))
