"""What becomes of a return once its goods have come, or once nobody waits for them any more.

An ordinary warehouse inspects within 17 hours and has things on the shelf within another 17; an ordinary shop decides
within four hours, pays within another four, and the payment is settled within 40.
"""

from datetime import datetime
from typing import Any, Final

from simulation.journey import Journey, SimParcel
from simulation.legs import business_due
from simulation.margins import LABEL_EXPIRES, MARGIN, NOT_RETURNED

_SELLABLE: Final = 0.85
"""Share of the goods that may be sold again."""
_NAMED: Final = 0.2
"""Share of the inspections that name their parcel."""


def inspect(
    journey: Journey, return_id: str, at: datetime, *, appears_at: datetime | None = None, **found: Any
) -> None:
    """Somebody looks at the goods; `found`: disposition, mismatch, parcels."""
    journey.warehouse("inspected", return_id, at, appears_at, return_id=return_id, **found)


def restock(journey: Journey, return_id: str, at: datetime, *, appears_at: datetime | None = None) -> None:
    """The goods are for sale again."""
    journey.warehouse("restocked", return_id, at, appears_at, return_id=return_id)


def inspected_in_time(
    journey: Journey, return_id: str, came_at: datetime, parcel: SimParcel | None = None
) -> datetime:
    """Looked at, and put on the shelf if it may be sold; returns when it was looked at."""
    at = came_at + journey.hours(2, 17)
    found: dict[str, Any] = {}
    if parcel is not None and journey.rng.random() < _NAMED:
        found["parcels"] = [{"carrier": parcel.lane.carrier.name, "tracking_number": parcel.number}]
    if journey.rng.random() < _SELLABLE:
        inspect(journey, return_id, at, disposition="restock", **found)
        restock(journey, return_id, at + journey.hours(1, 17))
    else:
        inspect(journey, return_id, at, disposition=journey.rng.choice(("refurbish", "liquidate")), **found)
    return at


def dealt_with(
    journey: Journey, return_id: str, came_at: datetime, parcel: SimParcel | None = None
) -> datetime:
    """All that ordinarily follows once goods have come; returns when the customer got the money or other goods."""
    inspected = inspected_in_time(journey, return_id, came_at, parcel)
    if return_id in journey.decided:
        return inspected
    journey.decided.add(return_id)
    if journey.requests[return_id].get("resolution") == "exchange":
        sent = inspected + journey.hours(0.5, 4)
        journey.order("replacement_sent", sent, return_id)
        return sent
    approved = inspected + journey.hours(0.1, 4)
    journey.order("refund_approved", approved, return_id)
    return paid(journey, return_id, approved + journey.hours(0.1, 4))


def paid(journey: Journey, return_id: str, at: datetime) -> datetime:
    """Refunded, and settled by the payment provider; returns when it was refunded."""
    journey.order("refund_issued", at, return_id)
    journey.order("refund_settled", at + journey.hours(5, 40), return_id)
    return at


def received(
    journey: Journey, parcel: SimParcel, at: datetime, *, appears_at: datetime | None = None
) -> None:
    """Scanned at the dock, and dealt with for each of its returns."""
    journey.check_in(parcel, at, appears_at=appears_at)
    for return_id in parcel.returns:
        dealt_with(journey, return_id, at, parcel if len(journey.parcels) == 1 else None)


def received_by_return(
    journey: Journey, return_id: str, at: datetime, *, appears_at: datetime | None = None, **more: Any
) -> None:
    """Checked in by the number of the return, and dealt with."""
    journey.check_in_by_return(return_id, at, appears_at=appears_at, **more)
    dealt_with(journey, return_id, at)


# ---- nobody waits for the goods any more ------------------------------------------------------------------


def lapsed(journey: Journey) -> None:
    """After some two weeks the shop refuses a refund for what the customer has not sent."""
    for return_id in journey.return_ids:
        journey.order("refund_refused", journey.requested_at + journey.hours(240, 330), return_id)


def never_sent(journey: Journey, parcel: SimParcel) -> None:
    """The same; but cancelled, where the label would expire too close to the end of the world."""
    if not journey.undecided(parcel.labelled_at + LABEL_EXPIRES):
        lapsed(journey)
        return
    for return_id in journey.return_ids:
        journey.order("return_cancelled", journey.requested_at + journey.hours(240, 330), return_id)


def made_good(journey: Journey) -> None:
    """After some two weeks the shop refunds, or replaces, what was lost on the way."""
    for return_id in journey.return_ids:
        approved = journey.requested_at + journey.hours(240, 330)
        refunded = approved + journey.hours(0.1, 4)
        if journey.undecided(refunded + NOT_RETURNED):
            journey.order("replacement_sent", approved, return_id)
        else:
            journey.order("refund_approved", approved, return_id)
            paid(journey, return_id, refunded)


def beyond(journey: Journey, due: datetime, spread: float = 40) -> datetime:
    """More than a day after a deadline: `spread` more hours at most."""
    return due + MARGIN + journey.hours(0, spread)


def beyond_days(journey: Journey, since: datetime, days: int, spread: float = 40) -> datetime:
    """The same after a deadline of so many business days."""
    return beyond(journey, business_due(journey, since, days), spread)
