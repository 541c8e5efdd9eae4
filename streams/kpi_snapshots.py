"""Publishes a cell of the KPIs as a snapshot for `kpis`, and lets it go when its day is long over."""

from collections.abc import Mapping
from datetime import date, timedelta

from schemas.kpis import (
    BOUNDS_SECONDS,
    Amounts,
    CaseCounts,
    Count,
    Durations,
    KpiSnapshot,
    Leg,
    encode_kpi_snapshot,
    kpi_headers,
    kpi_key,
)
from schemas.money import CURRENCIES
from schemas.outputs import utc
from schemas.vocabulary import RuleId
from streams.batch import Change
from streams.cells import (
    CELL_PREFIX,
    CellName,
    Slot,
    as_published,
    decode_cell,
    lets_go_ms,
    name_of_cell,
)
from streams.kpis import (
    AMOUNTS,
    BUCKETS_OF_A_LEG,
    CASES,
    FIRST_COUNT,
    SUM_OF_A_LEG,
    amount_slot,
    case_slot,
    dimension_of,
    is_counted_now,
)
from streams.watermark import Outgoing

_EPOCH = date(1970, 1, 1)
_BUCKETS = {
    number * BUCKETS_OF_A_LEG + bucket: (leg, bound)
    for number, leg in enumerate(Leg)
    for bucket, bound in enumerate(BOUNDS_SECONDS)
}
_SECONDS = {number * BUCKETS_OF_A_LEG + SUM_OF_A_LEG: leg for number, leg in enumerate(Leg)}
_COUNTS = {FIRST_COUNT + number: count for number, count in enumerate(Count)}
_AMOUNTS = {
    amount_slot(currency, number): (currency, kind)
    for currency in CURRENCIES
    for number, kind in enumerate(AMOUNTS)
}
_CASES = {case_slot(rule, number): (rule.value, kind) for rule in RuleId for number, kind in enumerate(CASES)}


def look_at_cell(key: bytes, raw: bytes, now_ms: int, partition: int) -> Change:
    """Publish what is in it, or delete it: a cell in which nothing is left, or whose day is long over, and its snapshot too."""
    if not key.startswith(CELL_PREFIX):
        return Change(None, 0)  # a roster is looked at only when its day is over
    cell, name = decode_cell(raw), name_of_cell(key)
    if not is_counted_now(name.family):
        return Change(None, 0)  # of another reckoning, which would overwrite what this one says
    gone_ms = lets_go_ms(name.day)
    if now_ms < gone_ms and cell.sums:
        return Change(as_published(cell, name.day), gone_ms, (_message(name, cell.sums, now_ms, partition),))
    return Change(None, 0, (_message(name, {}, now_ms, partition),) if cell.published else ())


def snapshot_of(name: CellName, sums: Mapping[Slot, int], as_of_ms: int, partition: int) -> KpiSnapshot:
    """What is in a cell, in words. Slots that no version up to this one knows are left out."""
    counts: dict[Count, int] = {}
    seconds: dict[Leg, int] = {}
    buckets: dict[Leg, list[tuple[int, int]]] = {}
    cases: dict[str, dict[str, int]] = {}
    for slot, amount in sorted(sums.items()):
        if slot in _BUCKETS:
            leg, bound = _BUCKETS[slot]
            buckets.setdefault(leg, []).append((bound, amount))
        elif slot in _SECONDS:
            seconds[_SECONDS[slot]] = amount
        elif slot in _COUNTS:
            counts[_COUNTS[slot]] = amount
        elif slot in _CASES:
            rule, kind = _CASES[slot]
            cases.setdefault(rule, {})[kind] = amount
    return KpiSnapshot(
        partition=partition,
        day=_EPOCH + timedelta(days=name.day),
        dimension=dimension_of(name.family),
        value=name.member,
        as_of=utc(as_of_ms),
        counts=counts,
        legs={
            leg: Durations(sum([count for _, count in found]), seconds.get(leg, 0), tuple(found))
            for leg, found in buckets.items()
        },
        cases={rule: CaseCounts(**found) for rule, found in cases.items()},
        amounts=amounts_of(sums),
    )


def amounts_of(sums: Mapping[Slot, int]) -> dict[str, Amounts]:
    """The money in a cell, by currency."""
    amounts: dict[str, dict[str, int]] = {}
    for slot in sorted(_AMOUNTS.keys() & sums.keys()):
        currency, kind = _AMOUNTS[slot]
        amounts.setdefault(currency, {})[kind] = sums[slot]
    return {currency: Amounts(**found) for currency, found in amounts.items()}


def _message(name: CellName, sums: Mapping[Slot, int], as_of_ms: int, partition: int) -> Outgoing:
    day = _EPOCH + timedelta(days=name.day)
    key = kpi_key(partition, day, dimension_of(name.family), name.member)
    if not sums:
        return Outgoing("kpis", key.encode(), None, [], partition)
    value = encode_kpi_snapshot(snapshot_of(name, sums, as_of_ms, partition))
    return Outgoing("kpis", key.encode(), value, kpi_headers(key, as_of_ms), partition)
