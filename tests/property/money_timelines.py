"""Timelines in which the money is fought over: amended requests, empty boxes, voided labels, deliveries here and there."""

import random
from typing import Any, Final

from simulation.happenings import LABELS, ORDERS, SCANS, WAREHOUSE, SimEvent
from tests.property.random_timelines import LABEL_WITHIN_MINUTES, Timeline

OURS: Final = {"country": "US", "city": "A"}
MISMATCHES: Final[tuple[list[str], ...]] = ([], [], [], ["empty_box"], ["quantity"])
DISPOSITIONS: Final = ("restock", "restock", "refurbish", "reject")
DECISIONS: Final = (
    "refund_approved",
    "refund_refused",
    "refund_issued",
    "refund_settled",
    "replacement_sent",
    "return_cancelled",
)
WEIGHTS: Final = (None, 1_000, 1_050, 30)


class Quarrel(Timeline):
    """One return, and up to three parcels, one of them perhaps never used."""

    def play(self) -> list[SimEvent]:
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            self._request()
        used = self.rng.choice((1, 1, 2))
        parcels = [{"carrier": "fedex", "tracking_number": f"{self.serial}00{n}"} for n in range(1, 4)]
        for parcel in parcels[:used]:
            self._labelled(parcel)
            self._life(parcel)
        if self.chance(0.3):
            self._labelled(parcels[2])
        for _ in range(self.rng.choice((0, 1, 1, 2, 3))):
            self._inspect(parcels[:used])
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            self.sometime(ORDERS, type=self.rng.choice(DECISIONS), return_id=self.returns[0])
        return self.events

    def _request(self) -> None:
        body: dict[str, Any] = {"type": "return_requested", "return_id": self.returns[0]}
        if self.chance(0.9):
            body["value"] = {"amount": self.rng.choice(("19.90", "90", "250", "700")), "currency": "USD"}
        body["resolution"] = self.rng.choice(("refund", "refund", "refund", "store_credit", "exchange"))
        body["customer_risk"] = self.rng.choice(("low", "low", "normal", "high"))
        body["category"] = self.rng.choice(("shoes", "books"))
        self.sometime(ORDERS, **body)

    def _labelled(self, parcel: dict[str, str]) -> None:
        label = {
            "return_id": self.returns[0],
            "origin_country": "US",
            "destination_country": "US",
            "facility": "SDF1",
            "weight_grams": 1_000,
        }
        at = self.rng.randint(0, LABEL_WITHIN_MINUTES)
        self.write(LABELS, at, type="label_created", **parcel, **label)
        if self.chance(0.25):
            self.write(LABELS, at + self.rng.randint(60, self.span_minutes), type="label_voided", **parcel)

    def _life(self, parcel: dict[str, str]) -> None:
        codes = ["PU", *self.rng.choices(("AR", "DL", "DL", "DL", "RS"), k=self.rng.choice((0, 1, 2, 4)))]
        scans = []
        for code in codes:
            place = self.rng.choice((OURS, OURS, {"country": "US", "city": "B"}))
            known = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": code}
            scans.append(self.sometime(SCANS, type="carrier_scan", **parcel, **known, place=place))
        if scans[0] and self.chance(0.15):
            self.sometime(SCANS, type="scan_retracted", **parcel, retracts=scans[0])
        for _ in range(self.rng.choice((0, 1, 1, 2))):
            grams = self.rng.choice(WEIGHTS)
            weighed = {} if grams is None else {"weight_grams": grams}
            self.sometime(WAREHOUSE, type="checked_in", **parcel, **weighed)

    def _inspect(self, parcels: list[dict[str, str]]) -> None:
        body = {"mismatch": self.rng.choice(MISMATCHES), "disposition": self.rng.choice(DISPOSITIONS)}
        named = self.rng.choice(([], [], parcels[:1], parcels))
        minute = self.rng.randint(0, self.span_minutes)
        for _ in range(self.rng.choice((1, 1, 1, 2))):
            self.write(WAREHOUSE, minute, type="inspected", return_id=self.returns[0], parcels=named, **body)
            body["mismatch"] = []


def money_timelines(seed: int, count: int) -> list[SimEvent]:
    """The events of `count` timelines that have nothing to do with each other."""
    rng = random.Random(seed)
    return [event for serial in range(count) for event in Quarrel(rng, serial).play()]
