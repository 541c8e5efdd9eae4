"""Timelines that no shop would survive: anything at any time, known in any order. For comparing engine and oracle."""

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from simulation.happenings import LABELS, ORDERS, SCANS, WAREHOUSE, SimEvent

BEGIN: Final = datetime(2026, 3, 16, 6, tzinfo=UTC)
END: Final = BEGIN + timedelta(days=75)
CODES: Final = ("OC", "PU", "AR", "AR", "AR", "AR", "DP", "OD", "DL", "RS", "ZZ9", "SE", "CD", "IT", "HL")
"""FedEx: announced, accepted, on the way, delivered, turned back, unknown, delayed, customs, waiting to be fetched."""
FEDEX: Final = {"api": "fedex_rest_track_v1", "code_type": "status_code"}
DHL_CODES: Final = ("SA", "PU", "AF", "AF", "AF", "DF", "DS", "WC", "OK", "DS", "ZZ9", "MS", "CD", "DM", "CC")
"""DHL: announced, accepted, on the way, disposed of (perhaps found), delivered, misrouted, customs, damaged, a pickup point."""
DHL: Final = {"api": "dhl_xmlpi_track", "code_type": "checkpoint"}
LATENESS_MINUTES: Final = (1, 1, 1, 5, 60, 600, 3_000, 9_000)
LABEL_WITHIN_MINUTES: Final = 4_000
"""Much later than the first scan it would be another journey of the same number."""


@dataclass
class Timeline:
    """Two returns and up to two parcels between them."""

    rng: random.Random
    serial: int
    events: list[SimEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.returns = (f"R{self.serial}a", f"R{self.serial}b")
        self.numbers = (f"{self.serial}001", f"{self.serial}002")
        self.carrier, self.code, self.codes = "fedex", FEDEX, CODES
        if self.serial % 4 == 3:
            self.carrier, self.code, self.codes = "dhl_express", DHL, DHL_CODES
        self.span_minutes = 24 * 60 * self.rng.choice((5, 15, 30))

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def write(self, kind: str, minute: int, **body: Any) -> str:
        """Returns the event's id; "" when its producer sends none, as one in ten."""
        event_id = "" if self.chance(0.1) else f"{self.serial}-{len(self.events)}"
        at = BEGIN + timedelta(minutes=minute)
        late = timedelta(minutes=self.rng.randint(0, self.rng.choice(LATENESS_MINUTES)))
        written = {"occurred_at": at.isoformat(), **body} | ({"id": event_id} if event_id else {})
        appears = at + late + timedelta(seconds=self.rng.randint(1, 50))
        self.events.append(SimEvent(kind, b"", json.dumps(written).encode(), (), at, appears, event_id))
        return event_id

    def sometime(self, kind: str, **body: Any) -> str:
        return self.write(kind, self.rng.randint(0, self.span_minutes), **body)

    def play(self) -> list[SimEvent]:
        for number in self.numbers[: self.rng.choice((1, 1, 2))]:
            self._parcel({"carrier": self.carrier, "tracking_number": number})
        named = [{"carrier": self.carrier, "tracking_number": self.numbers[1]}]
        said: tuple[dict[str, Any], ...] = ({}, {}, {"count": 2}, {"complete": True}, {"parcels": named})
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            self.sometime(WAREHOUSE, type="checked_in", return_id=self.returns[0], **self.rng.choice(said))
        if self.chance(0.15):
            self.sometime(ORDERS, type="return_cancelled", return_id=self.returns[0])
        return self.events

    def _parcel(self, parcel: dict[str, str]) -> None:
        label = {
            "return_ids": self.rng.choice((self.returns, self.returns[:1], self.returns[:1])),
            "origin_country": self.rng.choice(("US", "CA")),
            "destination_country": "US",
            "facility": "SDF1",
        }
        labelled = self.rng.randint(0, LABEL_WITHIN_MINUTES)
        self.write(LABELS, labelled, type="label_created", **parcel, **label)
        self._scans(parcel)
        if self.chance(0.3):
            mistake = self.sometime(WAREHOUSE, type="checked_in", **parcel)
            if mistake and self.chance(0.3):
                self.sometime(WAREHOUSE, type="checkin_retracted", **parcel, retracts=mistake)
        if self.chance(0.15):
            self.write(LABELS, labelled + self.rng.randint(60, 20_000), type="label_voided", **parcel)

    def _scans(self, parcel: dict[str, str]) -> None:
        scans = []
        for _ in range(self.rng.choice((0, 1, 2, 3, 5, 8))):
            place = {"country": "US", "city": self.rng.choice("ABC")}
            code = {**self.code, "code": self.rng.choice(self.codes)}
            scans.append(self.sometime(SCANS, type="carrier_scan", **parcel, **code, place=place))
        known = [scan for scan in scans if scan]
        if known and self.chance(0.25):
            self.sometime(SCANS, type="scan_retracted", **parcel, retracts=self.rng.choice(known))


def random_timelines(seed: int, count: int) -> list[SimEvent]:
    """The events of `count` timelines that have nothing to do with each other."""
    rng = random.Random(seed)
    return [event for serial in range(count) for event in Timeline(rng, serial).play()]
