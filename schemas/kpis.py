"""The value of `kpis`: what is counted of the returns of one partition, one UTC day and one value of one dimension.

A reader adds the newest snapshots of all partitions up; everything in them may be added: counts, histograms, amounts of one
currency. Durations are counted in fixed buckets, a quarter of an octave wide, so that quantiles of any sum can be told.
What each number means: docs/kpis.md.
"""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from schemas.outputs import CE_SOURCE, Time, cloud_event_fields, utc

OTHER: Final = "(other)"
"""The value that stands for all that came after the first 50 of a day."""
DAY_MS: Final = 86_400_000


class Dimension(StrEnum):
    """By what the snapshots of a day are told apart; each return is in one of each."""

    ALL = "all"
    CARRIER = "carrier"
    LANE = "lane"
    FACILITY = "facility"
    REASON = "reason"
    CATEGORY = "category"


class Leg(StrEnum):
    """A stretch of a return's way, from one milestone to another; it counts on the day on which it ends."""

    REQUEST_TO_LABEL = "request_to_label"
    LABEL_TO_FIRST_SCAN = "label_to_first_scan"
    FIRST_SCAN_TO_DELIVERED = "first_scan_to_delivered"
    DELIVERED_TO_RECEIVED = "delivered_to_received"
    RECEIVED_TO_INSPECTED = "received_to_inspected"
    INSPECTED_TO_RESTOCKED = "inspected_to_restocked"
    INSPECTED_TO_REFUND = "inspected_to_refund"
    APPROVED_TO_REFUND = "approved_to_refund"
    REQUEST_TO_REFUND = "request_to_refund"
    REQUEST_TO_REPLACEMENT = "request_to_replacement"


class Count(StrEnum):
    """What is counted once for each return, or for each of its parcels (`labelled`, `scanned`)."""

    REQUESTED = "requested"
    FOR_REFUND = "for_refund"
    """Requested with this resolution, on the day of the request; so the next two."""
    FOR_EXCHANGE = "for_exchange"
    FOR_STORE_CREDIT = "for_store_credit"
    CANCELLED = "cancelled"
    LABELLED = "labelled"
    SCANNED = "scanned"
    """Of the parcels labelled on this day, those that have been scanned since."""
    RECEIVED = "received"
    INSPECTED = "inspected"
    RESTOCKED = "restocked"
    REFUNDED = "refunded"
    REFUSED = "refused"
    REPLACED = "replaced"
    AT_RISK = "at_risk"
    """Returns with an open case, on the day on which the oldest of these was due."""


_QUARTERS: Final = (60, 71, 85, 101)
"""Seconds: a minute, and three bounds between it and two minutes."""
BOUNDS_SECONDS: Final = tuple(seconds << octave for octave in range(22) for seconds in _QUARTERS)
"""Upper bounds of the buckets, from a minute to more than six years."""


def bucket_of(seconds: int) -> int:
    """The number of the bucket that a duration falls into: the first bound that is not below it."""
    return min(bisect_left(BOUNDS_SECONDS, seconds), len(BOUNDS_SECONDS) - 1)


class Durations(msgspec.Struct, frozen=True):
    """How long something took, each time."""

    count: int
    sum_seconds: int
    buckets: tuple[tuple[int, int], ...]
    """(upper bound in seconds, how many took so long and longer than the bound before), by bound; only those that are not 0."""


class CaseCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Cases of one rule whose deadline was on this day, by what they are now. Each is in one of the numbers."""

    open: int = 0
    escalated: int = 0
    resolved: int = 0
    retracted: int = 0
    false_alarm: int = 0
    """Resolved by hand with this closure."""
    explained: int = 0
    """Never told: a case of a higher rule tells of the cause."""
    already_over: int = 0
    """Never told, by policy: it had ended before it could be."""

    @property
    def told(self) -> int:
        """How many were ever opened."""
        return self.open + self.escalated + self.resolved + self.retracted + self.false_alarm


class Amounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one currency, in its minor unit."""

    refunded_minor: int = 0
    """Refunds issued on this day."""
    at_risk_minor: int = 0
    """Value of the returns that `at_risk` counts."""


class KpiSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Value of `kpis` (key: `partition|day|dimension|value`, compacted). The newest of each key is the truth."""

    partition: Annotated[int, msgspec.Meta(ge=0)]
    """Of `returns`; add those of all partitions up."""
    day: date
    """UTC."""
    dimension: Dimension
    value: str
    """Of the dimension: `dhl`, `FR-DE`, ...; "" where it is not known, and for `all`; `(other)` after the first 50 of a day."""
    as_of: Time
    """The log's time; a later snapshot of the same key takes this one's place."""
    counts: dict[Count, int]
    legs: dict[Leg, Durations]
    cases: dict[str, CaseCounts]
    """By rule."""
    amounts: dict[str, Amounts]
    """By currency (ISO 4217); never add two of them."""


_encode = msgspec.json.Encoder(order="deterministic").encode
decode_kpi_snapshot = msgspec.json.Decoder(KpiSnapshot).decode


def encode_kpi_snapshot(snapshot: KpiSnapshot) -> bytes:
    """Return the record value for `kpis`; equal snapshots give equal bytes."""
    return _encode(snapshot)


def kpi_key(partition: int, day: date, dimension: str, value: str) -> str:
    """Return the record key for `kpis`."""
    return f"{partition}|{day.isoformat()}|{dimension}|{value}"


def kpi_headers(key: str, as_of_ms: int, source: str = CE_SOURCE) -> list[tuple[str, bytes]]:
    """Return the CloudEvents 1.0 binary-mode headers of a snapshot."""
    return cloud_event_fields(
        f"{key}:{as_of_ms}", "com.returnwatch.kpi.counted.v1", key, utc(as_of_ms), source
    )


def quantile_seconds(buckets: Mapping[int, int], share: float) -> float | None:
    """Below what the shortest `share` (0.5: half) of the durations are, evenly spread within a bucket; None: there are none."""
    total = sum(buckets.values())
    if not total:
        return None
    wanted, before = share * total, 0
    for bound in sorted(buckets):
        count = buckets[bound]
        if count and before + count >= wanted:
            at = bisect_left(BOUNDS_SECONDS, bound)
            lower = BOUNDS_SECONDS[at - 1] if at else 0
            return lower + (bound - lower) * max(0.0, wanted - before) / count
        before += count
    return float(max(buckets))
