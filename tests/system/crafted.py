"""Events written by hand, at hours since the start of a world."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from schemas.policy import Policy
from simulation.carriers import UPS, Code
from simulation.happenings import LABELS, ORDERS, SCANS, WAREHOUSE, Draft, SimEvent, write_plain
from simulation.world import DEFAULT_START
from tests.stages import only

HUB, DELIVERED = UPS.hub[0], UPS.delivered
LYON, LILLE = {"country": "FR", "city": "Lyon"}, {"country": "FR", "city": "Lille"}


def policy_with_check_in_within(budget: str) -> Policy:
    """The rules on the road by their default numbers, with another budget for the dock; no other rules."""
    numbers = only().model_dump(mode="json")
    numbers["rules"]["delivered_not_checked_in"]["budget"] = budget
    return Policy.model_validate(numbers)


class Pen:
    """Writes events of UPS parcels; each gets an id of its own."""

    def __init__(self, starts_at: datetime = DEFAULT_START) -> None:
        self.starts_at = starts_at
        self._written = 0

    def at(self, hour: float) -> datetime:
        """The moment that is `hour` hours after the start."""
        return self.starts_at + timedelta(hours=hour)

    def write(self, kind: str, key: str, hour: float, **body: Any) -> SimEvent:
        """An event that happens, and appears, at an hour."""
        self._written += 1
        at = self.at(hour)
        return write_plain(Draft(kind, key, body, at, at, f"crafted-{self._written}"))

    def order(self, hour: float, event_type: str, return_id: str, **more: Any) -> SimEvent:
        """An event of the shop."""
        return self.write(ORDERS, return_id, hour, type=event_type, return_id=return_id, **more)

    def label(self, hour: float, number: str, *returns: str, **more: Any) -> SimEvent:
        """A label for returns within one country."""
        countries = {"origin_country": "FR", "destination_country": "FR"}
        parcel = {"carrier": "ups", "tracking_number": number, "return_ids": list(returns)}
        return self.write(LABELS, number, hour, type="label_created", **parcel, **countries, **more)

    def scan(self, hour: float, number: str, code: Code, place: dict[str, str], **more: Any) -> SimEvent:
        """A scan by the carrier."""
        said = {"api": code.api, "code_type": code.code_type, "code": code.code, "text": code.text}
        parcel = {"carrier": "ups", "tracking_number": number}
        return self.write(SCANS, number, hour, type="carrier_scan", place=place, **parcel, **(said | more))

    def check_in(self, hour: float, **what: Any) -> SimEvent:
        """A check-in by `return_id` or by `tracking_number`."""
        if "tracking_number" in what:
            what["carrier"] = "ups"
        key = what.get("tracking_number") or what["return_id"]
        return self.write(WAREHOUSE, key, hour, type="checked_in", **what)

    def journey(self, number: str, *returns: str, label: float, delivered: float) -> list[SimEvent]:
        """A parcel that is scanned on its way and delivered."""
        return [
            self.label(label, number, *returns),
            self.scan(label + 1, number, HUB, LYON),
            self.scan(delivered, number, DELIVERED, LILLE),
        ]
