"""Very many valid events at very little cost, for benchmarks: labels, scans and dock scans of parcels on their way.

The parcels move as on a belt: while one is labelled, earlier ones are scanned and the earliest are checked in, so
event times only ever go forward and about `belt` x (scans + 2) parcels are open at any moment. Nobody inspects them.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from simulation.happenings import LABELS, SCANS, WAREHOUSE
from simulation.warehouse import LOUISVILLE

_FIRST: Final = ("PU", "Picked up")
_HUB: Final = ("AR", "Arrived at FedEx location")
_LAST: Final = ("DL", "Delivered")
_CITIES: Final = ("Dallas", "Memphis", "Atlanta", "Columbus", "Nashville", "Cincinnati", "Lexington")


class BulkEvent(NamedTuple):
    """An input record: topic kind, key (the tracking number) and value."""

    kind: str
    key: bytes
    value: bytes


def bulk_events(
    parcels: int,
    scans_per_parcel: int,
    seed: int,
    *,
    start_at: datetime = datetime(2026, 3, 16, tzinfo=UTC),
    lasting: timedelta = timedelta(days=2),
    belt: int | None = None,
    unfinished: float = 0.0,
) -> Iterator[BulkEvent]:
    """Label, `scans_per_parcel` scans (the last one is the delivery) and dock scan of each parcel: all in order.

    `lasting` is the event time between first and last event; `belt` how many parcels lie between two stages of a
    parcel (default: a twentieth of all); a share `unfinished` of the parcels stops after the label, and is still open.
    """
    rng = random.Random(seed)
    offset = rng.randrange(10**11)
    stages = scans_per_parcel + 2
    gap = max(1, parcels // 20) if belt is None else belt
    steps = parcels + (stages - 1) * gap
    micros = lasting // timedelta(microseconds=1)
    dropped = (
        {number for number in range(parcels) if rng.random() < unfinished} if unfinished else frozenset()
    )
    second, text = -1, ""
    for step in range(steps):
        now = micros * step // steps // 1_000_000
        if now != second:
            second = now
            text = (start_at + timedelta(seconds=now)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for stage in range(stages):
            number = step - stage * gap
            if 0 <= number < parcels and not (stage and number in dropped):
                yield _event(number, stage, stages, offset, text)


def _event(number: int, stage: int, stages: int, offset: int, at: str) -> BulkEvent:
    tracking = f"{offset + number:012d}"
    same = f'"occurred_at":"{at}","carrier":"fedex","tracking_number":"{tracking}"'
    if stage == 0:
        kind = LABELS
        value = (
            f'{{"type":"label_created","id":"L{number}",{same},"return_id":"R{number:09d}","service":"returns",'
            '"origin_country":"US","destination_country":"US","facility":"SDF1"}'
        )
    elif stage == stages - 1:
        kind = WAREHOUSE
        value = f'{{"type":"checked_in","id":"D{number}",{same},"facility":"SDF1"}}'
    else:
        kind = SCANS
        code, text = _FIRST if stage == 1 else _LAST if stage == stages - 2 else _HUB
        city, site = _CITIES[(number + stage) % len(_CITIES)], f"HUB-{stage}"
        if stage == stages - 2:
            city, site = LOUISVILLE.city, LOUISVILLE.facility_id
        value = (
            f'{{"type":"carrier_scan","id":"S{number}-{stage}",{same},"api":"fedex_rest_track_v1",'
            f'"code_type":"status_code","code":"{code}","text":"{text}",'
            f'"place":{{"country":"US","city":"{city}","site":"{site}"}}}}'
        )
    return BulkEvent(kind, tracking.encode(), value.encode())
