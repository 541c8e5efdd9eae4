"""Adds snapshots of `kpis` up, as any reader has to: the newest of each key, over partitions and days."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import msgspec

from schemas.kpis import (
    Amounts,
    CaseCounts,
    Count,
    Dimension,
    Durations,
    KpiSnapshot,
    Leg,
    decode_kpi_snapshot,
    quantile_seconds,
)


@dataclass(slots=True)
class LegSum:
    """How long a leg took, over all that was added."""

    count: int = 0
    sum_seconds: int = 0
    buckets: Counter[int] = field(default_factory=Counter)
    """Upper bound in seconds -> how many."""

    def add(self, durations: Durations) -> None:
        """Add those of a snapshot."""
        self.count += durations.count
        self.sum_seconds += durations.sum_seconds
        self.buckets.update(dict(durations.buckets))

    @property
    def mean_seconds(self) -> float | None:
        """None: it happened to nobody."""
        return self.sum_seconds / self.count if self.count else None

    def quantile_seconds(self, share: float) -> float | None:
        """Below what so many of them are (0.5: half), as exactly as the buckets tell."""
        return quantile_seconds(self.buckets, share)


@dataclass(slots=True)
class KpiSum:
    """What snapshots say together. Amounts are by currency and kind, and never added across currencies."""

    counts: Counter[Count] = field(default_factory=Counter)
    legs: dict[Leg, LegSum] = field(default_factory=dict)
    cases: dict[str, Counter[str]] = field(default_factory=dict)
    """Rule -> field of CaseCounts -> how many."""
    amounts: dict[str, Counter[str]] = field(default_factory=dict)
    """Currency -> field of Amounts -> how much."""

    def add(self, snapshot: KpiSnapshot) -> None:
        """Add the newest snapshot of one key."""
        self.counts.update(snapshot.counts)
        for leg, durations in snapshot.legs.items():
            self.legs.setdefault(leg, LegSum()).add(durations)
        for rule, cases in snapshot.cases.items():
            told = {name: getattr(cases, name) for name in CaseCounts.__struct_fields__}
            self.cases.setdefault(rule, Counter()).update(told)
        for currency, amounts in snapshot.amounts.items():
            told = {name: getattr(amounts, name) for name in Amounts.__struct_fields__}
            self.amounts.setdefault(currency, Counter()).update(told)

    def cases_of(self, rule: str | None = None) -> CaseCounts:
        """Of one rule, or of all."""
        rules = self.cases.values() if rule is None else [self.cases.get(rule, Counter())]
        total: Counter[str] = sum(rules, Counter())
        return CaseCounts(**total)

    @property
    def first_scan_rate(self) -> float | None:
        """Share of the labelled parcels that have been scanned; None: there are none."""
        return _share(self.counts[Count.SCANNED], self.counts[Count.LABELLED])


def precision(cases: CaseCounts) -> float | None:
    """Share of the cases told that were neither taken back nor called a false alarm; None: none was told."""
    return _share(cases.told - cases.retracted - cases.false_alarm, cases.told)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(slots=True)
class KpiTable:
    """The newest snapshot of each key."""

    snapshots: dict[str, KpiSnapshot] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def apply(self, key: bytes | None, value: bytes | None, where: str) -> None:
        """Take in one record. A null value deletes its snapshot; `where` names the record, should it be unreadable."""
        name = (key or b"").decode("utf-8", "replace")
        if key is not None and value is None:
            self.snapshots.pop(name, None)
            return
        try:
            snapshot = decode_kpi_snapshot(value or b"")
        except msgspec.DecodeError:
            self.unreadable.append(where)
            return
        known = self.snapshots.get(name)
        if known is None or snapshot.as_of >= known.as_of:
            self.snapshots[name] = snapshot

    def of_days(self, since: date | None, until: date | None) -> Iterable[KpiSnapshot]:
        """Those of these days, both included."""
        return [
            snapshot
            for snapshot in self.snapshots.values()
            if (since is None or since <= snapshot.day) and (until is None or snapshot.day <= until)
        ]


def added_up(snapshots: Iterable[KpiSnapshot], dimension: Dimension) -> dict[str, KpiSum]:
    """Value of the dimension -> what its snapshots say together; `all` has the one value ""."""
    sums: dict[str, KpiSum] = {}
    for snapshot in snapshots:
        if snapshot.dimension is dimension:
            sums.setdefault(snapshot.value, KpiSum()).add(snapshot)
    return sums
