"""Two families of metrics that work themselves out when they are read, or take many values at once."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "returnwatch"


class BulkHistogram(Collector):
    """A histogram that takes a chunk at once: 0.2 us an event, where `Histogram.observe` costs 1.5 us."""

    def __init__(
        self, name: str, documentation: str, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe_many(self, seconds: Iterable[float]) -> None:
        """Count every value of `seconds`, none of them negative: a sum that falls looks like a restart."""
        bounds, counts = self._bounds, self._counts
        total = 0.0
        for value in seconds:
            counts[bisect_left(bounds, value)] += 1
            total += value
        self._sum += total

    def collect(self) -> Iterator[Metric]:
        """Yield the one family, with cumulative buckets as Prometheus wants them."""
        running, buckets = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            running += count
            buckets.append((bound, running))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)


class Watermarks(Collector):
    """The watermark of each owned partition, and how far it is behind the log's clock when read."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float], speed: float) -> None:
        self._clock = clock
        self._speed = speed
        self._owned: dict[tuple[str, int], tuple[float, float]] = {}
        registry.register(self)

    def set(self, stage: str, partition: int, watermark_ms: int) -> None:
        """Note where the watermark of a partition stands; 0 means that it is not known yet."""
        known = self._owned.get((stage, partition))
        self._owned[stage, partition] = (watermark_ms / 1000.0, known[1] if known else self._clock())

    def forget(self, stage: str, partition: int) -> None:
        """Drop a partition that is no longer ours."""
        self._owned.pop((stage, partition), None)

    def collect(self) -> Iterator[Metric]:
        """Yield timestamps and lags. A watermark that is not known lags since its partition came."""
        labels = ("stage", "partition")
        stands = GaugeMetricFamily(
            f"{PREFIX}_watermark_timestamp_seconds",
            "Time up to which everything appended to every input was processed; 0 while not known.",
            labels=labels,
        )
        behind = GaugeMetricFamily(
            f"{PREFIX}_lag_seconds",
            "How far the watermark is behind the log's clock. Never below the skew setting (60 s).",
            labels=labels,
        )
        now = self._clock()
        for (stage, partition), (watermark, since) in sorted(self._owned.items()):
            stands.add_metric((stage, str(partition)), watermark)
            behind.add_metric((stage, str(partition)), max(0.0, now - (watermark or since)) / self._speed)
        yield stands
        yield behind
