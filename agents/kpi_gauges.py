"""KPIs for Prometheus: of the last day that is over, and what is at risk now, of the partitions owned here.

They are read from the cells in the local store, so they are whole after a restart and newer than what `kpis` says.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from schemas.kpi_sums import KpiSum, LegSum
from schemas.kpis import BOUNDS_SECONDS as FINE_BOUNDS_SECONDS
from schemas.kpis import Count, Dimension, Leg
from schemas.money import minor_units_of
from streams.cells import DAY_MS, Cell, CellName
from streams.kpi_snapshots import amounts_of, snapshot_of
from streams.kpis import family_of

PREFIX = "returnwatch"
BOUNDS_SECONDS: Sequence[int] = FINE_BOUNDS_SECONDS[24:68:4]
"""Every fourth, from about an hour to 45 days: those between are added up."""
ReadCells = Callable[[str, str], Iterable[tuple[CellName, Cell]]]
"""(family, beginning of the day and member) -> the cells."""


@dataclass(slots=True)
class _OfPartition:
    day: KpiSum = field(default_factory=KpiSum)
    first_scans: dict[str, LegSum] = field(default_factory=dict)
    at_risk_minor: Counter[str] = field(default_factory=Counter)


class KpiGauges(Collector):
    """Holds what was last observed of each partition, and adds it up when it is asked."""

    def __init__(self, registry: CollectorRegistry, carrier: Callable[[str], str]) -> None:
        """`carrier`: the label for a carrier; few of them."""
        self._carrier = carrier
        self._owned: dict[int, _OfPartition] = {}
        registry.register(self)

    def observe(self, partition: int, watermark_ms: int, cells: ReadCells) -> None:
        """Take in what a partition's cells say; `watermark_ms` tells which day was the last that is over."""
        found = self._owned[partition] = _OfPartition()
        day = watermark_ms // DAY_MS - 1
        for name, cell in cells(family_of(Dimension.ALL), ""):
            if name.day == day:
                found.day.add(snapshot_of(name, cell.sums, watermark_ms, partition))
            for currency, amounts in amounts_of(cell.sums).items():
                found.at_risk_minor[currency] += amounts.at_risk_minor
        for name, cell in cells(family_of(Dimension.CARRIER), f"{day:05d}|"):
            durations = snapshot_of(name, cell.sums, watermark_ms, partition).legs.get(
                Leg.LABEL_TO_FIRST_SCAN
            )
            if durations is not None:
                total = found.first_scans.setdefault(self._carrier(name.member), LegSum())
                total.add(durations)

    def forget(self, partition: int) -> None:
        """Drop a partition that is no longer ours."""
        self._owned.pop(partition, None)

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        owned = list(self._owned.values())
        counts = GaugeMetricFamily(
            f"{PREFIX}_day_returns", "What happened on the last UTC day that is over.", labels=("what",)
        )
        for count in Count:
            if count is not Count.AT_RISK:
                counts.add_metric((count,), sum(one.day.counts[count] for one in owned))
        yield counts
        yield _histogram(
            "day_leg_seconds",
            "How long what ended on the last UTC day that is over has taken.",
            "leg",
            {leg: [one.day.legs[leg] for one in owned if leg in one.day.legs] for leg in Leg},
        )
        carriers = sorted({carrier for one in owned for carrier in one.first_scans})
        yield _histogram(
            "day_first_scan_seconds",
            "Label to first scan, by carrier, of the first scans of the last UTC day that is over.",
            "carrier",
            {c: [one.first_scans[c] for one in owned if c in one.first_scans] for c in carriers},
        )
        yield _at_risk(owned)


def _at_risk(owned: Sequence[_OfPartition]) -> GaugeMetricFamily:
    """Amounts in main units, of the currencies of which there are any."""
    family = GaugeMetricFamily(
        f"{PREFIX}_value_at_risk",
        "Value of the returns with an open case, by currency.",
        labels=("currency",),
    )
    total: Counter[str] = sum((one.at_risk_minor for one in owned), Counter())
    for currency, minor in sorted(total.items()):
        family.add_metric((currency,), minor / minor_units_of(currency))
    return family


def _histogram(
    name: str, documentation: str, label: str, sums: Mapping[str, Sequence[LegSum]]
) -> GaugeHistogramMetricFamily:
    family = GaugeHistogramMetricFamily(f"{PREFIX}_{name}", documentation, labels=(label,))
    for value, found in sums.items():
        buckets = [0] * (len(BOUNDS_SECONDS) + 1)
        for one in found:
            for bound, count in one.buckets.items():
                buckets[bisect_left(BOUNDS_SECONDS, bound)] += count
        bounds = (*map(str, BOUNDS_SECONDS), "+Inf")
        cumulative = list(zip(bounds, accumulate(buckets), strict=True))
        family.add_metric((value,), cumulative, sum(one.sum_seconds for one in found))
    return family
