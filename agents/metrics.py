"""Every metric of a worker, with its name, its labels and what it means (docs/runbooks.md uses them).

No label ever holds a return id or a tracking number: those go to `cases` and to logs. Label values that
come from outside are bounded: a carrier that is not known is `other`, and of the many sources a watermark
may wait for only the worst one of each partition is shown. Series whose labels are known are there from the
start with 0, so that an alert on an increase sees the first one.

Times are exported as timestamps. The one age, `returnwatch_lag_seconds`, is worked out when it is read, so
that a worker whose broker is away shows a growing lag without anybody setting it.
"""

import platform
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from itertools import chain, product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from agents.feed_metrics import FeedMetrics
from agents.kpi_gauges import KpiGauges
from agents.metric_collectors import PREFIX, BulkHistogram, Watermarks
from schemas.envelopes import NoEvent
from schemas.outputs import Severity
from schemas.vocabulary import AnswerReason, CommandType, DeadLetterReason, RuleId
from streams.facts_of_payloads import ANSWER_KINDS

STAGES = ("intake", "parcels", "returns")
STATEFUL_STAGES = ("parcels", "returns")
RESULTS = ("accepted", "refused", "ignored")
"""What intake did with a record: made facts of it, refused it to dead-letters, or needed nothing of it."""
SCHEMA_RESULTS = ("found", "unknown", "unusable", "failed")
PASSED_OVER = ("unreadable", "oversized")
TRANSITIONS = ("opened", "historical", "escalated", "updated", "resolved", "retracted")
NOT_TOLD = {
    "case_suppressed": "explained",
    "late_breach_counted": "already over",
    "held_explained": "held, and nothing was wrong",
}
"""Counter of a batch -> why a breach was not told."""
SEVERITIES = tuple(Severity)
KNOWN_CARRIERS = (
    "ups", "fedex", "usps", "la_poste", "colissimo", "chronopost", "mondial_relay",
    "dhl_express", "dhl_paket", "dhl_ecommerce", "dhl_unified", "dhl", "dpd", "gls", "hermes",
)  # fmt: skip
OTHER_CARRIER = "other"

# One more series for each counter, which no alert needs. (prometheus_client left the function unannotated.)
disable_created_metrics()  # type: ignore[no-untyped-call]

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
SLO_DELAY_SECONDS = _MINUTE
"""A breach that was said within it was said in time (agents/slo_rules.py); a bound of the buckets."""
DELAY_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR,
                 6 * _HOUR, _DAY)  # fmt: skip
LATENESS_BUCKETS = (1.0, 10.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR,
                    _DAY, 2 * _DAY, 5 * _DAY, 10 * _DAY, 30 * _DAY)  # fmt: skip


class Metrics:
    """All series of one worker in one registry.

    `log_clock` gives the log's time now in epoch seconds (the wall clock, or its simulated image) and
    `time_speed` how many of its seconds pass in a real one: lags are real seconds either way.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        carriers: Iterable[str] = KNOWN_CARRIERS,
        log_clock: Callable[[], float] = time.time,
        time_speed: float = 1.0,
    ) -> None:
        self.registry = registry
        self._carriers = frozenset(carriers)
        self._holders: dict[tuple[str, str], str] = {}
        self._open_cases: dict[int, Mapping[tuple[str, str], int]] = {}
        ProcessCollector(registry=registry)
        self._declare_input()
        self._declare_decisions()
        self._declare_progress(log_clock, time_speed)
        self._declare_partitions()
        self.feeds = FeedMetrics(registry)
        self.kpis = KpiGauges(registry, self.carrier)
        self._zero()
        for command, answer in product(CommandType, AnswerReason):
            self.commands.labels(command, answer)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", documentation, labels, registry=self.registry)

    def _declare_input(self) -> None:
        self.events_consumed = self._counter(
            "events_consumed", "Input records read, by what became of them.", "topic", "result"
        )
        self.event_lateness = BulkHistogram(
            f"{PREFIX}_event_lateness_seconds",
            "How long after its own time an event arrived (of one record in 32).",
            LATENESS_BUCKETS,
            self.registry,
        )
        self.dead_letters = self._counter("dead_letters", "Records refused to dead-letters.", "reason")
        self.unmapped_codes = self._counter(
            "unmapped_codes", "Scans whose carrier code is not in the tables: they prove nothing.", "carrier"
        )
        self.doubtful_numbers = self._counter(
            "doubtful_numbers",
            "Labels whose tracking number fails its carrier's check digit: mistyped, or another carrier's.",
            "carrier",
        )
        self.answers = self._counter(
            "answers",
            "Of payloads: an error in place of a history, no event yet, a scan that is too old.",
            "kind",
        )
        self.no_events = self._counter(
            "no_events",
            "Records in order that tell of nothing: a row or a table was emptied, a tombstone.",
            "kind",
        )
        self.schema_fetches = self._counter(
            "schema_fetches", "Schemas asked of the registry, by what came of it.", "result"
        )
        self.schema_registry_available = self._gauge(
            "schema_registry_available", "0 while the schema registry is taken to be away."
        )
        self.unknown_carriers = self._counter(
            "unknown_carriers", "Events of carriers that no table knows: their codes prove nothing."
        )
        self.clamped_times = self._counter(
            "clamped_times", "Events dated too far in the future, set back to their arrival."
        )
        self.lost_to_retention = self._counter(
            "lost_to_retention", "Input records that retention deleted before they were read.", "topic"
        )

    def _declare_decisions(self) -> None:
        self.detection_delay = Histogram(
            f"{PREFIX}_detection_delay_seconds",
            "How long after the log's clock passed its due time a breach was said.",
            ("rule",),
            buckets=DELAY_BUCKETS,
            registry=self.registry,
        )
        self.open_cases = self._gauge(
            "open_cases", "Open cases of the partitions owned here.", "rule", "severity"
        )
        self.escalations = self._counter("escalations", "Escalations written.", "rule", "transition")
        self.cases_opened = self._counter(
            "cases_opened", "Cases opened, by rule and by the carrier of their parcel.", "rule", "carrier"
        )
        self.not_told = self._counter(
            "breaches_not_told",
            "Breaches without an escalation: a case of a higher rule tells of the cause, or they were over before.",
            "rule",
            "why",
        )
        self.commands = self._counter(
            "commands", "What people told about cases, by what became of it.", "command", "answer"
        )
        self.erased = self._counter(
            "erased", "Returns that were forgotten, and states from which they were taken out.", "stage"
        )
        self.forgotten = self._counter(
            "forgotten_records", "Records passed over because their return was forgotten.", "stage"
        )
        self.duplicates = self._counter("duplicates", "Facts that were known already.", "stage")
        self.too_old = self._counter(
            "too_old", "Facts refused because they are older than the accepted age.", "stage"
        )
        self.orphans_expired = self._counter(
            "orphans_expired", "Parcels that were never linked to a return and were forgotten."
        )
        self.not_counted = self._counter(
            "returns_not_counted",
            "Returns that add nothing to the KPIs any more: one change touched too many.",
        )
        self.passed_over = self._counter(
            "passed_over", "Records of our own topics that could not be read or whose outcome no batch can hold.",
            "stage", "reason",
        )  # fmt: skip
        self.truncated = self._counter(
            "truncated", "Facts dropped because their parcel or return holds as many as it may.", "stage"
        )

    def _declare_progress(self, log_clock: Callable[[], float], time_speed: float) -> None:
        self.watermarks = Watermarks(self.registry, log_clock, time_speed)
        self.watermark_held_by = self._gauge(
            "watermark_held_by_seconds",
            "How far the source that holds a partition's watermark most is behind the log's clock.",
            "stage", "partition", "source",
        )  # fmt: skip
        self.backfill = self._gauge(
            "backfill", "Partitions owned here that hold their timers while history is loaded.", "stage"
        )
        self.lag_records = self._gauge(
            "lag_records",
            "Records up to the last stable offset that were not processed.",
            "topic",
            "partition",
        )
        self.last_progress = self._gauge(
            "last_progress_timestamp_seconds",
            "When the position of a partition moved last.",
            "stage",
            "partition",
        )
        self.clock_skew = self._gauge(
            "clock_skew_seconds", "How far the broker's clock ran ahead of the time that passed here."
        )
        self.clock_skew_frozen = self._gauge(
            "clock_skew_frozen", "1 while the watermark stands because of clock skew."
        )
        self.heartbeat_failures = self._counter(
            "heartbeat_failures", "Heartbeats or end-offset questions that failed: no marker was written."
        )

    def _declare_partitions(self) -> None:
        self.recovery_seconds = self._gauge("recovery_seconds", "How long the last recovery took.")
        self.recovery_records = self._counter("recovery_records", "Changelog records read by recoveries.")
        self.rebalances = self._counter("rebalances", "Rebalances of the consumer group seen here.")
        self.takeovers = self._counter("takeovers", "Partitions taken over.")
        self.fenced = self._counter(
            "fenced", "Writes refused because another worker took the partition over."
        )
        self.stale_chunks = self._counter(
            "stale_chunks", "Chunks dropped because they did not follow the position of their partition."
        )
        self.read_again = self._counter(
            "read_again", "Times that a partition was read again because what was there did not come."
        )
        self.state_keys = self._gauge("state_keys", "Keys in the local store.", "stage", "partition")
        self.state_bytes = self._gauge("state_bytes", "Size of the local stores on disk.", "stage")
        self.state_corruption = self._counter(
            "state_corruption", "Local stores found corrupt or stale, wiped and rebuilt from the changelog."
        )
        self.disk_full = self._gauge(
            "disk_full", "1 while no stage goes on because the disk of the local state has no room."
        )
        self.disk_free = self._gauge(
            "disk_free_bytes", "Free on the disk of the local state, when last looked at."
        )
        self._build = Info(f"{PREFIX}_build", "The version that runs here.", registry=self.registry)
        self._policy = Info(f"{PREFIX}_policy", "The policy in force, by its hash.", registry=self.registry)

    def _zero(self) -> None:
        """Give every series whose labels are known its 0."""
        for rule in RuleId:
            self.detection_delay.labels(rule)
            for severity in SEVERITIES:
                self.open_cases.labels(rule, severity)
            for transition in TRANSITIONS:
                self.escalations.labels(rule, transition)
            for why in NOT_TOLD.values():
                self.not_told.labels(rule, why)
        labels = (
            product((self.dead_letters,), DeadLetterReason),
            product((self.answers,), ANSWER_KINDS),
            product((self.no_events,), NoEvent),
            product((self.schema_fetches,), SCHEMA_RESULTS),
        )
        for counted, label in chain(*labels):
            counted.labels(label)
        self.schema_registry_available.set(1)
        for carrier in sorted({*self._carriers, OTHER_CARRIER}):
            self.unmapped_codes.labels(carrier)
            self.doubtful_numbers.labels(carrier)
        for stage in STATEFUL_STAGES:
            self.state_bytes.labels(stage)
            self.backfill.labels(stage)
        of_stages = (self.duplicates, self.too_old, self.truncated, self.erased, self.forgotten)
        for stage, counter in product(STATEFUL_STAGES, of_stages):
            counter.labels(stage)
        for stage, why in product(STATEFUL_STAGES, PASSED_OVER):
            self.passed_over.labels(stage, why)
        self._build.info({"version": version(PREFIX), "python": platform.python_version()})

    def expect_topics(self, topics: Iterable[str]) -> None:
        """Start the series of the input `topics` at 0."""
        for topic in topics:
            self.lost_to_retention.labels(topic)
            for result in RESULTS:
                self.events_consumed.labels(topic, result)

    def carrier(self, name: str) -> str:
        """The label value for a carrier: its own name when we know it, else `other`."""
        return name if name in self._carriers else OTHER_CARRIER

    def policy(self, policy_hash: str) -> None:
        """Say which policy is in force."""
        self._policy.info({"hash": policy_hash})

    def progress(self, stage: str, partition: int, watermark_ms: int) -> None:
        """A partition's position moved; its watermark is now `watermark_ms` (0: not known)."""
        self.last_progress.labels(stage, str(partition)).set_to_current_time()
        self.watermarks.set(stage, partition, watermark_ms)

    def held_by(self, stage: str, partition: int, source: str | None, seconds: float = 0.0) -> None:
        """Name the source that holds a partition's watermark most, in place of the one named before."""
        where = (stage, str(partition))
        before = self._holders.pop(where, None)
        if before is not None and before != source:
            self.watermark_held_by.remove(*where, before)
        if source is not None:
            self._holders[where] = source
            self.watermark_held_by.labels(*where, source).set(seconds)

    def cases_of(self, partition: int, cases: Mapping[tuple[str, str], int] | None) -> None:
        """Set the open cases of one `returns` partition by (rule, severity); None when it left."""
        if cases is None:
            self._open_cases.pop(partition, None)
        else:
            self._open_cases[partition] = cases
        for rule in RuleId:
            for severity in SEVERITIES:
                count = sum(one.get((rule, severity), 0) for one in self._open_cases.values())
                self.open_cases.labels(rule, severity).set(count)

    def forget_partition(self, stage: str, partition: int) -> None:
        """Drop the series of a partition that left, so that nobody is woken by its last values."""
        self.watermarks.forget(stage, partition)
        self.held_by(stage, partition, None)
        for gauge in (self.last_progress, self.state_keys):
            _remove(gauge, stage, str(partition))
        if stage == "returns":
            self.cases_of(partition, None)
            self.kpis.forget(partition)

    def forget_lag(self, topic: str, partition: int) -> None:
        """Drop the lag of a partition that is no longer read here."""
        _remove(self.lag_records, topic, str(partition))


def _remove(gauge: Gauge, *labels: str) -> None:
    """Remove a series, if it is there."""
    gauge.remove(*labels)
