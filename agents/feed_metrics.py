"""What a worker exports about feeds: how each stands, when it was last heard, and what waits for it beyond its deadline.

Every partition sees every feed; what is held is each partition's own, so readers add the workers up.
"""

from collections import Counter
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge

from schemas.vocabulary import RuleId
from streams.feed_state import Feed, Phase
from streams.feed_terms import MINUTE_MS
from streams.partition import Partition

PREFIX = "returnwatch"
OK, LAGGING, SILENT = 0, 1, 2
"""Values of `returnwatch_feed_state`."""
MOST_SUMS = 20


class FeedMetrics:
    """The series of all feeds. Their names are those of carriers that tables know, and of input kinds: few."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", documentation, labels, registry=registry)

        self._state = gauge(
            "feed_state", "How a feed stands: 0 as usual, 1 lagging, 2 silent or not drained yet.", "feed"
        )
        self._heard = gauge(
            "feed_last_heard_timestamp_seconds", "When something came of a feed last, to the minute.", "feed"
        )
        self._held = gauge(
            "held_waits",
            "Waitings beyond their deadline that are not told, for their feed is silent.",
            "feed",
        )
        self._value = gauge(
            "held_value_minor_units",
            "What these are worth, in the currency's minor unit; the twenty largest sums.",
            "feed",
            "currency",
        )

    def observe(self, partitions: Iterable[Partition]) -> None:
        """Export how things stand in the partitions that are owned here."""
        feeds: dict[str, Feed] = {}
        held: Counter[str] = Counter()
        value: Counter[tuple[str, str]] = Counter()
        for partition in sorted(partitions, key=lambda one: one.watermark_ms):
            feeds |= partition.feeds.by_name
            for (name, currency), (count, minor) in partition.held().items():
                held[name] += count
                value[name, currency] += minor
        for series in (self._state, self._heard, self._held, self._value):
            series.clear()
        for name, feed in feeds.items():
            self._state.labels(name).set(_state_of(feed))
            self._heard.labels(name).set(feed.heard * MINUTE_MS / 1000)
            self._held.labels(name).set(held[name])
        for (name, currency), minor in value.most_common(MOST_SUMS):
            if currency:
                self._value.labels(name, currency).set(minor)


def _state_of(feed: Feed) -> int:
    if feed.phase != Phase.OK:
        return SILENT
    late = feed.spells.get(RuleId.FEED_LAGGING.value)
    return LAGGING if late is not None and not late.ended else OK
