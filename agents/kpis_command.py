"""`returnwatch kpis`: reads the topic `kpis` to its end, adds the partitions up and shows them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec

from agents.errors import Finding, SettingsError
from agents.kafka_connection import open_consumer, reachable, run
from agents.kpi_view import show_kpis
from agents.log_reading import partitions_of, read_to_end
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import say, write_line
from schemas.kpi_sums import KpiSum, KpiTable, added_up, precision
from schemas.kpis import Count, Dimension

FETCH = {"max_partition_fetch_bytes": 4 * 1024 * 1024}


@dataclass(frozen=True, slots=True)
class KpiOptions:
    """Of which days (both included; None: no limit), by what, and how to say it."""

    since: date | None
    until: date | None
    by: Dimension
    as_json: bool


def day_of(flag: str, text: str | None) -> date | None:
    """A day that was typed. Raises SettingsError with what to type instead."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        todo = "write it as 2026-03-01; days are UTC"
        raise SettingsError([Finding(flag, f"{text!r} is no day", todo=todo)]) from error


def dimension_of(text: str) -> Dimension:
    """What was typed behind --by. Raises SettingsError with what there is."""
    try:
        return Dimension(text)
    except ValueError as error:
        todo = f"give one of {', '.join(Dimension)}"
        raise SettingsError([Finding("--by", f"{text!r} is not counted", todo=todo)]) from error


def tell_kpis(flags: Mapping[str, object], options: KpiOptions) -> int:
    """Print what is counted, the most requested first."""
    table = run(_read(load_settings(flags)))
    sums = added_up(table.of_days(options.since, options.until), options.by)
    ranked = sorted(sums.items(), key=lambda item: (-item[1].counts[Count.REQUESTED], item[0]))
    if options.as_json:
        for value, total in ranked:
            write_line(json.dumps({"dimension": options.by.value, "value": value, **as_json(total)}))
    else:
        show_kpis(options.by, ranked)
    if table.unreadable:
        say(f"{len(table.unreadable)} records could not be read; the first is {table.unreadable[0]}")
    return 0


def as_json(total: KpiSum) -> dict[str, Any]:
    """A sum as plain JSON, with what a reader would work out of it."""
    cases = {rule: total.cases_of(rule) for rule in sorted(total.cases)}
    return {
        "counts": dict(sorted(total.counts.items())),
        "first_scan_rate": total.first_scan_rate,
        "legs": {
            leg: {
                "count": found.count,
                "mean_seconds": found.mean_seconds,
                "p50_seconds": found.quantile_seconds(0.5),
                "p90_seconds": found.quantile_seconds(0.9),
            }
            for leg, found in sorted(total.legs.items())
        },
        "cases": {
            rule: {**msgspec.structs.asdict(counts), "told": counts.told, "precision": precision(counts)}
            for rule, counts in cases.items()
        },
        "amounts": {currency: dict(found) for currency, found in sorted(total.amounts.items())},
    }


async def _read(settings: Settings) -> KpiTable:
    await reachable(settings)
    partitions = await partitions_of(settings, settings.topics.kpis)
    table = KpiTable()
    async with open_consumer(settings, **FETCH) as consumer:
        async for records in read_to_end(consumer, partitions):
            for record in records:
                where = f"{record.topic}/{record.partition}@{record.offset}"
                table.apply(record.key, record.value, where)
    return table
