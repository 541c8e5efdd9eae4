"""What a parcel's state is and when a rule is broken, in the plain form that a stock application would give it."""

from typing import Annotated, Literal

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

HOUR = 3_600.0
FIRST_SCAN_CODES = frozenset({"OR", "PU"})
DELIVERED_CODES = frozenset({"FS", "DL"})


class _Event(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    carrier: str
    tracking_number: str
    occurred_at: AwareDatetime


class Label(_Event):
    type: Literal["label_created"]
    return_ids: list[str]


class Place(BaseModel):
    country: str | None = None
    city: str | None = None


class Scan(_Event):
    type: Literal["carrier_scan"]
    code: str
    place: Place | None = None


class CheckIn(_Event):
    type: Literal["checked_in"]


EVENT: TypeAdapter[Label | Scan | CheckIn] = TypeAdapter(
    Annotated[Label | Scan | CheckIn, Field(discriminator="type")]
)


class Parcel(msgspec.Struct, array_like=True):
    """Times in epoch seconds, 0 where it did not happen yet."""

    return_ids: list[str] = []
    label_at: float = 0.0
    first_scan_at: float = 0.0
    last_scan_at: float = 0.0
    delivered_at: float = 0.0
    checked_in_at: float = 0.0
    said: list[str] = []


def apply(parcel: Parcel, event: Label | Scan | CheckIn) -> None:
    """Fold one event into the state, in the order in which events come."""
    at = event.occurred_at.timestamp()
    if isinstance(event, Scan):
        parcel.first_scan_at = parcel.first_scan_at or at
        parcel.last_scan_at = max(parcel.last_scan_at, at)
        if event.code in DELIVERED_CODES:
            parcel.delivered_at = at
    elif isinstance(event, Label):
        parcel.label_at = at
        parcel.return_ids = event.return_ids
    else:
        parcel.checked_in_at = at


def overdue(parcel: Parcel, now: float) -> list[str]:
    """Give the rules that are broken at `now` and were not said yet."""
    broken = []
    if parcel.label_at and not parcel.first_scan_at and now > parcel.label_at + 72 * HOUR:
        broken.append("missing_first_scan")
    moving = parcel.last_scan_at and not parcel.delivered_at
    if moving and not parcel.checked_in_at and now > parcel.last_scan_at + 120 * HOUR:
        broken.append("stalled_silent")
    if parcel.delivered_at and not parcel.checked_in_at and now > parcel.delivered_at + 24 * HOUR:
        broken.append("delivered_not_checked_in")
    return [rule for rule in broken if rule not in parcel.said]
