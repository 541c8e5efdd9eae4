"""One return on its way: turns what happens to it into event drafts, in the words of each producer."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from simulation.carriers import LANES, Carrier, Code, Lane
from simulation.happenings import LABELS, ORDERS, SCANS, WAREHOUSE, Draft, stamp

HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)
PROMISE: Final = 30 * DAY
"""Until when most requests are promised their refund: no return that ends well takes so long."""


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
    first_scan_at: datetime | None = None
    held: timedelta = timedelta(0)
    """How long customs or a pickup point kept it."""

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
    lanes: Sequence[tuple[float, Lane]] = LANES
    """(share, lane): among which another is chosen when this one does not fit."""
    drafts: list[Draft] = field(default_factory=list)
    return_ids: list[str] = field(default_factory=list)
    parcels: list[SimParcel] = field(default_factory=list)
    held_from: datetime | None = None
    held_until: datetime | None = None
    decided: set[str] = field(default_factory=set)
    """The returns about whose refund the shop has decided."""
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Return id -> what its request says."""

    def between(self, least: timedelta, most: timedelta) -> timedelta:
        """A random duration, whole seconds."""
        return timedelta(seconds=self.rng.randint(int(least.total_seconds()), int(most.total_seconds())))

    def hours(self, least: float, most: float) -> timedelta:
        """A random duration between two numbers of hours."""
        return self.between(least * HOUR, most * HOUR)

    def undecided(self, at: datetime) -> bool:
        """Whether a deadline then would come too close to the end of the world to tell how it ends."""
        return self.ends_at - 3 * DAY < at < self.ends_at + 2 * DAY

    def choose_lane(self, fits: Callable[[Lane], object]) -> None:
        """Another lane, when this one does not fit."""
        if not fits(self.lane):
            fitting = [(share, lane) for share, lane in self.lanes if fits(lane)]
            shares, lanes = [share for share, _ in fitting], [lane for _, lane in fitting]
            self.lane = self.rng.choices(lanes, shares)[0]

    def code(self, of: Callable[[Carrier], Code | None]) -> Code:
        """One of the codes that not every carrier has; takes a lane whose carrier has it."""
        self.choose_lane(lambda lane: of(lane.carrier))
        code = of(self.lane.carrier)
        assert code is not None
        return code

    # ---- the shop -------------------------------------------------------------------------------------------

    def request(self, returns: int = 1, **more: Any) -> datetime:
        """The customer asks for `returns` returns, the shop approves; returns the time of the approval.

        `more`: what the requests say beside the usual; None: not even that.
        """
        approved = self.requested_at + self.hours(0.02, 4)
        for number in range(returns):
            return_id = f"R{self.serial:06d}" + ("" if returns == 1 else "ABC"[number])
            self.return_ids.append(return_id)
            amount = f"{self.rng.randint(900, 24_000) / 100:.2f}"
            currency = "USD" if self.lane.facility.country == "US" else "EUR"
            said: dict[str, Any] = {
                "order_id": f"O{self.serial + 70_000}",
                "items": self.rng.randint(1, 4),
                "value": {"amount": amount, "currency": currency},
                "promised_refund_at": stamp(self.requested_at + PROMISE),
                "country": self.lane.origin,
                "category": self.rng.choice(("shoes", "fashion", "electronics", "home")),
                "return_reason": self.rng.choice(("size", "quality", "changed_mind")),
                "customer_risk": "low" if self.serial % 5 == 2 else None,
                **more,
            }
            said = {name: value for name, value in said.items() if value is not None}
            self.requests[return_id] = self.order("return_requested", self.requested_at, return_id, **said)
            self.order("return_approved", approved, return_id)
        return approved

    def promise(self, return_id: str, refund_at: datetime) -> None:
        """What the request promised, which a story may know only at its end."""
        self.requests[return_id]["promised_refund_at"] = stamp(refund_at)

    def order(
        self, kind: str, at: datetime, return_id: str, *, appears_at: datetime | None = None, **more: Any
    ) -> dict[str, Any]:
        """An event of the shop's order system; returns what it says."""
        body = {"type": kind, "return_id": return_id, **more}
        self._draft(ORDERS, return_id, body, at, appears_at or at + self.between(timedelta(0), MINUTE / 3))
        return body

    def label(self, at: datetime, *, appears_at: datetime | None = None, **more: Any) -> SimParcel:
        """A label for all returns of the request; `more`: what it says beside the usual."""
        parcel = self.stranger(at)
        parcel.returns = list(self.return_ids)
        self.write_label(parcel, appears_at or at + self.between(timedelta(0), MINUTE), **more)
        return parcel

    def stranger(self, at: datetime) -> SimParcel:
        """A parcel with a number, of which the shop says nothing yet."""
        carrier = self.lane.carrier
        number = carrier.tracking_number(self.rng, self.serial * 10 + len(self.parcels))
        parcel = SimParcel(self.lane, number, [], at, self.lane.stops())
        self.parcels.append(parcel)
        return parcel

    def write_label(self, parcel: SimParcel, appears_at: datetime, **more: Any) -> None:
        """The shop's message about the label."""
        body: dict[str, Any] = {
            "type": "label_created",
            **self._parcel_fields(parcel),
            "service": "returns",
            "origin_country": self.lane.origin,
            "destination_country": self.lane.facility.country,
            "facility": self.lane.facility.facility_id,
            "weight_grams": self.weight_grams(parcel),
            **more,
        }
        if len(parcel.returns) == 1 and self.rng.random() < 0.5:
            body["return_id"] = parcel.returns[0]
        else:
            body["return_ids"] = list(parcel.returns)
        self._draft(LABELS, parcel.returns[0], body, parcel.labelled_at, appears_at)

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
        self,
        parcel: SimParcel,
        code: Code,
        at: datetime,
        place: dict[str, str] | None,
        *,
        soon: bool = False,
        appears_at: datetime | None = None,
    ) -> None:
        """A record of the carrier; `soon` keeps it out of the ordinary lateness of a feed."""
        appears = appears_at or at + (self.between(MINUTE, 3 * MINUTE) if soon else self._lateness())
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
        parcel.first_scan_at = at
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

    def check_in(
        self,
        parcel: SimParcel,
        at: datetime,
        *,
        appears_at: datetime | None = None,
        weight: float | None = None,
    ) -> str:
        """A dock scan of the parcel's label; returns the event's id."""
        more = {} if weight is None else {"weight_grams": int(self.weight_grams(parcel) * weight)}
        return self.warehouse(
            "checked_in", parcel.number, at, appears_at, **self._parcel_fields(parcel), **more
        )

    def weight_grams(self, parcel: SimParcel) -> int:
        """What the shop says that the parcel weighs."""
        return 600 + (self.serial * 37 + self.parcels.index(parcel) * 500) % 4_000

    def check_in_by_return(
        self, return_id: str, at: datetime, *, appears_at: datetime | None = None, **more: Any
    ) -> None:
        """The dock types the return number; `more`: parcels, complete, count."""
        self.warehouse("checked_in", return_id, at, appears_at, return_id=return_id, **more)

    def check_in_by_mistake(self, parcel: SimParcel, at: datetime, taken_back_at: datetime) -> None:
        """A dock scan that the warehouse takes back."""
        mistake = self.check_in(parcel, at)
        body = {"type": "checkin_retracted", **self._parcel_fields(parcel), "retracts": mistake}
        self._draft(WAREHOUSE, parcel.number, body, taken_back_at, taken_back_at + self._soon())

    def warehouse(
        self, kind: str, key: str, at: datetime, appears_at: datetime | None = None, **more: Any
    ) -> str:
        """Something that the facility writes; returns the event's id."""
        body = {"type": kind, "facility": self.lane.facility.facility_id, **more}
        return self._draft(WAREHOUSE, key, body, at, appears_at or at + self._soon())

    def _soon(self) -> timedelta:
        return self.between(MINUTE / 10, 2 * MINUTE)

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
