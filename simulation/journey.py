"""One return on its way: turns what happens to it into event drafts, in the words of each producer."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from simulation.carriers import Code, Lane
from simulation.happenings import LABELS, ORDERS, SCANS, WAREHOUSE, Draft

HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)


@dataclass(slots=True)
class SimParcel:
    """A parcel of the simulated world. `returns` are the return ids on its label."""

    lane: Lane
    number: str
    returns: list[str]
    labelled_at: datetime
    stops: list[dict[str, str]]
    next_stop: int = 0
    last_scan_id: str = ""

    def move(self) -> dict[str, str]:
        """The next place on the way."""
        place = self.stops[min(self.next_stop, len(self.stops) - 1)]
        self.next_stop += 1
        return place


@dataclass(slots=True)
class Journey:
    """What happens to one request of a customer: its returns, its parcels and the drafts of its events."""

    rng: random.Random
    serial: int
    lane: Lane
    requested_at: datetime
    ends_at: datetime
    """End of the simulated time: nothing happens after it."""
    drafts: list[Draft] = field(default_factory=list)
    return_ids: list[str] = field(default_factory=list)
    parcels: list[SimParcel] = field(default_factory=list)
    held_from: datetime | None = None
    held_until: datetime | None = None

    def between(self, least: timedelta, most: timedelta) -> timedelta:
        """A random duration, whole seconds."""
        return timedelta(seconds=self.rng.randint(int(least.total_seconds()), int(most.total_seconds())))

    def hours(self, least: float, most: float) -> timedelta:
        """A random duration between two numbers of hours."""
        return self.between(least * HOUR, most * HOUR)

    # ---- the shop -------------------------------------------------------------------------------------------

    def request(self, returns: int = 1) -> datetime:
        """The customer asks for `returns` returns, the shop approves; returns the time of the approval."""
        approved = self.requested_at + self.hours(0.02, 4)
        for number in range(returns):
            return_id = f"R{self.serial:06d}" + ("" if returns == 1 else "ABC"[number])
            self.return_ids.append(return_id)
            amount = f"{self.rng.randint(900, 24_000) / 100:.2f}"
            currency = "USD" if self.lane.facility.country == "US" else "EUR"
            self.order(
                "return_requested",
                self.requested_at,
                return_id,
                order_id=f"O{self.serial + 70_000}",
                items=self.rng.randint(1, 4),
                value={"amount": amount, "currency": currency},
            )
            self.order("return_approved", approved, return_id)
        return approved

    def order(
        self, kind: str, at: datetime, return_id: str, *, appears_at: datetime | None = None, **more: Any
    ) -> None:
        """An event of the shop's order system."""
        body = {"type": kind, "return_id": return_id, **more}
        self._draft(ORDERS, return_id, body, at, appears_at or at + self.between(timedelta(0), MINUTE / 3))

    def label(
        self, at: datetime, *, returns: list[str] | None = None, appears_at: datetime | None = None
    ) -> SimParcel:
        """A label for the given returns (default: all of the request)."""
        carrier = self.lane.carrier
        number = carrier.tracking_number(self.rng, self.serial * 10 + len(self.parcels))
        carried = list(self.return_ids if returns is None else returns)
        parcel = SimParcel(self.lane, number, carried, at, self.lane.stops())
        self.parcels.append(parcel)
        body: dict[str, Any] = {
            "type": "label_created",
            **self._parcel_fields(parcel),
            "service": "returns",
            "origin_country": self.lane.origin,
            "destination_country": self.lane.facility.country,
            "facility": self.lane.facility.facility_id,
        }
        if len(carried) == 1 and self.rng.random() < 0.5:
            body["return_id"] = carried[0]
        else:
            body["return_ids"] = carried
        self._draft(LABELS, carried[0], body, at, appears_at or at + self.between(timedelta(0), MINUTE))
        return parcel

    def void(self, parcel: SimParcel, at: datetime, *, appears_at: datetime | None = None) -> None:
        """The shop takes the label back."""
        body = {"type": "label_voided", **self._parcel_fields(parcel)}
        self._draft(
            LABELS, parcel.returns[0], body, at, appears_at or at + self.between(timedelta(0), MINUTE)
        )

    # ---- the carrier ----------------------------------------------------------------------------------------

    def hold_scans(self, since: datetime, until: datetime) -> None:
        """The carrier's feed is stuck: scans made in between appear together soon after `until`, in any order."""
        self.held_from, self.held_until = since, until

    def scan(
        self, parcel: SimParcel, code: Code, at: datetime, place: dict[str, str] | None, *, soon: bool = False
    ) -> None:
        """A record of the carrier; `soon` keeps it out of the ordinary lateness of a feed."""
        appears = at + (self.between(MINUTE, 3 * MINUTE) if soon else self._lateness())
        if self.held_from and self.held_until and self.held_from < at < self.held_until:
            appears = self.held_until + self.between(timedelta(0), 10 * MINUTE)
        body: dict[str, Any] = {
            "type": "carrier_scan",
            **self._parcel_fields(parcel),
            "api": code.api,
            "code_type": code.code_type,
            "code": code.code,
            "text": code.text,
        }
        if place is not None:
            body["place"] = place
        parcel.last_scan_id = self._draft(SCANS, parcel.number, body, at, appears)

    def announce(self, parcel: SimParcel, at: datetime) -> None:
        """The carrier got the data of the parcel, not the parcel."""
        self.scan(parcel, parcel.lane.carrier.announced, at, None)

    def first_scan(self, parcel: SimParcel, at: datetime) -> None:
        """The parcel is handed over in the customer's country."""
        place = {
            "country": parcel.lane.origin,
            "city": parcel.stops[0]["city"],
            "site": f"SHOP-{self.serial % 97}",
        }
        self.scan(parcel, self.rng.choice(parcel.lane.carrier.first_scan), at, place)

    def hub(self, parcel: SimParcel, at: datetime, place: dict[str, str] | None = None) -> dict[str, str]:
        """A scan in a hub, by default the next on the way; returns the place."""
        where = place or parcel.move()
        self.scan(parcel, self.rng.choice(parcel.lane.carrier.hub), at, where)
        return where

    def retract_last_scan(self, parcel: SimParcel, at: datetime) -> None:
        """The carrier takes its last scan of this parcel back."""
        body = {"type": "scan_retracted", **self._parcel_fields(parcel), "retracts": parcel.last_scan_id}
        self._draft(SCANS, parcel.number, body, at, at + self.between(MINUTE, 5 * MINUTE))

    # ---- the dock -------------------------------------------------------------------------------------------

    def check_in(self, parcel: SimParcel, at: datetime, *, appears_at: datetime | None = None) -> None:
        """A dock scan of the parcel's label."""
        body = {
            "type": "checked_in",
            "facility": self.lane.facility.facility_id,
            **self._parcel_fields(parcel),
        }
        self._dock(parcel.number, body, at, appears_at)
        for return_id in parcel.returns:
            self._afterwards(return_id, at)

    def check_in_by_return(
        self, return_id: str, at: datetime, *, appears_at: datetime | None = None, **more: Any
    ) -> None:
        """The dock types the return number; `more`: parcels, complete, count."""
        body = {
            "type": "checked_in",
            "facility": self.lane.facility.facility_id,
            "return_id": return_id,
            **more,
        }
        self._dock(return_id, body, at, appears_at)
        self._afterwards(return_id, at)

    def check_in_by_mistake(self, parcel: SimParcel, at: datetime, taken_back_at: datetime) -> None:
        """A dock scan that the warehouse takes back."""
        body = {
            "type": "checked_in",
            "facility": self.lane.facility.facility_id,
            **self._parcel_fields(parcel),
        }
        mistake = self._dock(parcel.number, body, at, None)
        body = {"type": "checkin_retracted", **self._parcel_fields(parcel), "retracts": mistake}
        self._dock(parcel.number, body, taken_back_at, None)

    def _dock(self, key: str, body: dict[str, Any], at: datetime, appears_at: datetime | None) -> str:
        return self._draft(WAREHOUSE, key, body, at, appears_at or at + self.between(MINUTE / 10, 2 * MINUTE))

    def _afterwards(self, return_id: str, checked_in_at: datetime) -> None:
        """Inspection, shelf and refund follow at the pace of an ordinary warehouse."""
        inspected = checked_in_at + self.hours(2, 44)
        body = {"type": "inspected", "return_id": return_id, "facility": self.lane.facility.facility_id}
        self._draft(WAREHOUSE, return_id, body, inspected, inspected + self.between(MINUTE / 10, 2 * MINUTE))
        restocked = inspected + self.hours(1, 30)
        body = {"type": "restocked", "return_id": return_id, "facility": self.lane.facility.facility_id}
        self._draft(WAREHOUSE, return_id, body, restocked, restocked + self.between(MINUTE / 10, 2 * MINUTE))
        approved = inspected + self.hours(0.1, 8)
        self.order("refund_approved", approved, return_id)
        self.order("refund_issued", approved + self.hours(0.1, 20), return_id)

    # ---- writing --------------------------------------------------------------------------------------------

    def spelled(self, parcel: SimParcel) -> str:
        """The tracking number as somebody typed or a printer broke it: plain, in groups, with dashes, in lower case."""
        number, style = parcel.number, self.rng.random()
        if style < 0.8:
            return number
        groups = [number[i : i + 4] for i in range(0, len(number), 4)]
        return {0: " ".join(groups), 1: "-".join(groups), 2: number.lower()}[int((style - 0.8) * 15)]

    def _parcel_fields(self, parcel: SimParcel) -> dict[str, str]:
        name = self.rng.choice(parcel.lane.carrier.spellings)
        return {"carrier": name, "tracking_number": self.spelled(parcel)}

    def _lateness(self) -> timedelta:
        """How late a scan comes: mostly minutes, sometimes hours."""
        kind = self.rng.random()
        if kind < 0.85:
            return self.between(MINUTE, 20 * MINUTE)
        return self.hours(0.3, 2) if kind < 0.95 else self.hours(2, 6)

    def _draft(self, kind: str, key: str, body: dict[str, Any], at: datetime, appears_at: datetime) -> str:
        event_id = f"{kind[:1]}-{self.serial}-{len(self.drafts)}"
        if appears_at <= self.ends_at:
            self.drafts.append(Draft(kind, key, body, at, appears_at, event_id))
        return event_id
