"""Canary returns through the real topics: what is told, what is awaited, and what is exported of it.

A canary is an approval that nothing follows, of many days ago: its case `late_label` is due as soon as what was read has
settled (policy `settle`), with any budget below 30 days. How long after that its escalation is there is the delay that
people feel: intake, both stages, the watermark, and the brokers between them. Then the canary is cancelled, which resolves
its case.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.canary import PREFIX, is_canary
from schemas.outputs import Escalation
from schemas.vocabulary import CaseState, RuleId

log = structlog.get_logger(__name__)

STANDING: Final = frozenset((CaseState.OPEN, CaseState.ESCALATED))

APPROVED_BEFORE: Final = timedelta(days=30)
"""Longer than any shop gives itself for a label, and shorter than facts are believed (policy `accept_age`)."""
BUCKETS: Final = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 90.0, 120.0, 300.0, 900.0, 3_600.0)
FORGET_AFTER: Final = timedelta(days=1)
"""A canary that has not been heard of for so long is counted as lost, and awaited no more."""


class CanaryMetrics:
    """What the canary exports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.delay = Histogram(
            "returnwatch_canary_delay_seconds",
            "How long after its deadline the case of a canary was there; the skew (60 s) is in it.",
            buckets=BUCKETS,
            registry=registry,
        )
        self.last_seen = Gauge(
            "returnwatch_canary_last_seen_timestamp_seconds",
            "When the case of a canary was seen last; of a canary that has seen none, when it began.",
            registry=registry,
        )
        self.expected_every = Gauge(
            "returnwatch_canary_expected_every_seconds",
            "How often the case of a canary is to be seen.",
            registry=registry,
        )
        self.waiting = Gauge(
            "returnwatch_canary_waiting", "Canaries whose case is awaited.", registry=registry
        )
        self.published = Counter("returnwatch_canary_published", "Canaries told.", registry=registry)
        self.failures = Counter(
            "returnwatch_canary_failures", "Canaries that no broker took.", registry=registry
        )
        self.lost = Counter(
            "returnwatch_canary_lost", "Canaries whose case was not seen within a day.", registry=registry
        )


class Canaries:
    """The canaries that are on their way. `now` is the wall clock."""

    def __init__(self, metrics: CanaryMetrics, every: timedelta, now: Callable[[], datetime]) -> None:
        self._metrics = metrics
        self._now = now
        self._told: dict[str, datetime] = {}
        self._number = 0
        metrics.expected_every.set(every.total_seconds())
        metrics.last_seen.set(now().timestamp())

    def next_id(self) -> str:
        """A name that no canary before had, of any run."""
        self._number += 1
        return f"{PREFIX}{self._now():%Y%m%dT%H%M%S.%f}-{self._number}"

    def told(self, return_id: str) -> None:
        """Await the case of a canary that a broker has taken; give up those of long ago."""
        now = self._now()
        self._told[return_id] = now
        self._metrics.published.inc()
        for other in [name for name, at in self._told.items() if now - at > FORGET_AFTER]:
            del self._told[other]
            self._metrics.lost.inc()
        self._metrics.waiting.set(len(self._told))

    def on_their_way(self) -> list[str]:
        """Those whose case has not been seen."""
        return list(self._told)

    def seen(self, change: Escalation) -> bool:
        """Take in a change of any case. True: the case of a canary stands, which is to be cancelled now.

        A canary of an earlier run, or of another process, is cancelled too, but not measured: it may have been seen long ago.
        """
        if not is_canary(change.return_id) or change.state not in STANDING:
            return False
        if change.rule is not RuleId.LATE_LABEL:
            log.warning("canary_with_another_case", rule=change.rule.value, return_id=change.return_id)
            return True
        if self._told.pop(change.return_id, None) is not None:
            delay = (self._now() - change.due_at).total_seconds()
            self._metrics.delay.observe(max(0.0, delay))
            self._metrics.last_seen.set(self._now().timestamp())
            self._metrics.waiting.set(len(self._told))
            log.info("canary_seen", return_id=change.return_id, delay_seconds=round(delay, 1))
        return True


def approval(return_id: str, now: datetime) -> bytes:
    """The event that begins a canary."""
    return _event("return_approved", return_id, now - APPROVED_BEFORE)


def cancellation(return_id: str, now: datetime) -> bytes:
    """The event that ends it."""
    return _event("return_cancelled", return_id, now)


def _event(kind: str, return_id: str, at: datetime) -> bytes:
    occurred_at = at.astimezone(UTC).isoformat(timespec="milliseconds")
    event = {"type": kind, "id": f"{return_id}/{kind}", "return_id": return_id, "occurred_at": occurred_at}
    return json.dumps(event).encode()
