"""KPIs for Prometheus, read from the cells of the partitions owned here."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest

from agents.kpi_gauges import KpiGauges
from schemas.kpis import Count, Dimension, Leg, bucket_of
from streams.cells import DAY_MS, Cell, CellName
from streams.kpis import BUCKETS_OF_A_LEG, FIRST_COUNT, amount_slot, family_of

DAY = 20_500
SCAN = list(Leg).index(Leg.LABEL_TO_FIRST_SCAN) * BUCKETS_OF_A_LEG
REQUESTED = FIRST_COUNT + list(Count).index(Count.REQUESTED)


def cells_of(*cells: tuple[CellName, dict[int, int]]) -> Callable[[str, str], list[tuple[CellName, Cell]]]:
    def read(family: str, beginning: str) -> list[tuple[CellName, Cell]]:
        return [
            (name, Cell(0, True, sums))
            for name, sums in cells
            if name.family == family and f"{name.day:05d}|{name.member}".startswith(beginning)
        ]

    return read


def exported(gauges: KpiGauges, registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]


def observed() -> tuple[KpiGauges, CollectorRegistry]:
    registry = CollectorRegistry()
    gauges = KpiGauges(registry, lambda carrier: carrier if carrier == "ups" else "other")
    for partition in (0, 1):
        scanned = {SCAN + bucket_of(7_200): 2, SCAN + 127: 14_400}
        cells = cells_of(
            (
                CellName(family_of(Dimension.ALL), DAY, ""),
                {REQUESTED: 3, amount_slot("EUR", 1): 500, **scanned},
            ),
            (CellName(family_of(Dimension.ALL), DAY - 90, ""), {REQUESTED: 99, amount_slot("JPY", 1): 700}),
            (CellName(family_of(Dimension.CARRIER), DAY, "ups"), scanned),
            (CellName(family_of(Dimension.CARRIER), DAY, "another"), scanned),
            (CellName(family_of(Dimension.CARRIER), DAY, "a third"), scanned),
        )
        gauges.observe(partition, (DAY + 1) * DAY_MS + 5, cells)
    return gauges, registry


def test_the_last_day_that_is_over_is_told_for_all_partitions_together() -> None:
    lines = exported(*observed())
    assert 'returnwatch_day_returns{what="requested"} 6.0' in lines
    assert 'returnwatch_day_leg_seconds_bucket{le="3840",leg="label_to_first_scan"} 0.0' in lines
    assert 'returnwatch_day_leg_seconds_bucket{le="7680",leg="label_to_first_scan"} 4.0' in lines
    assert 'returnwatch_day_leg_seconds_gsum{leg="label_to_first_scan"} 28800.0' in lines


def test_first_scans_are_told_by_carriers_that_are_known() -> None:
    lines = exported(*observed())
    assert 'returnwatch_day_first_scan_seconds_gcount{carrier="ups"} 4.0' in lines
    assert 'returnwatch_day_first_scan_seconds_gcount{carrier="other"} 8.0' in lines
    assert not [line for line in lines if "third" in line]


def test_value_at_risk_is_of_all_days_and_in_main_units_of_each_currency() -> None:
    lines = exported(*observed())
    assert 'returnwatch_value_at_risk{currency="EUR"} 10.0' in lines
    assert 'returnwatch_value_at_risk{currency="JPY"} 1400.0' in lines


def test_a_partition_that_left_is_told_no_more() -> None:
    gauges, registry = observed()
    gauges.forget(1)
    assert 'returnwatch_day_returns{what="requested"} 3.0' in exported(gauges, registry)
