"""How far a return has come: the nine milestones with when and by whom, its parcels, and what is known of the money."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from schemas.return_journeys import JourneyMilestone, PortalStatus, Witness
from schemas.vocabulary import Milestone, Reason
from streams.return_view import ReturnView
from streams.returns import Carried, Told
from streams.rules.refunds import last_inspection

STAGES = tuple(JourneyMilestone)
NOWHERE = -1
"""Stage of a return of which none of the nine is known, or all were taken back."""
REQUESTED, APPROVED, LABELLED, DROPPED_OFF, IN_TRANSIT, DELIVERED, CHECKED_IN, INSPECTED, REFUNDED = range(9)

Reached = tuple[int, str]
"""(when, seen by whom); (0, ""): not reached."""
NOT_REACHED: Reached = (0, "")
_CARRIER, _CLAIMED = Witness.CARRIER_SCAN.value, Witness.CLAIMED.value
_SYSTEM, _ANNOUNCED = Witness.SYSTEM.value, Witness.ANNOUNCED.value
_DOCK, _BY_NUMBER = Witness.WAREHOUSE_SCAN.value, Witness.WAREHOUSE_MATCH.value


class Money(NamedTuple):
    """What is known of the refund; 0: not known."""

    approved_ms: int
    refused_ms: int
    issued_ms: int
    settled_ms: int
    failed_ms: int
    replaced_ms: int

    @property
    def paid_ms(self) -> int:
        """When the customer got money or goods."""
        if self is _NO_MONEY:
            return 0
        return min((ms for ms in (self.issued_ms, self.settled_ms, self.replaced_ms) if ms), default=0)


_NO_MONEY = Money(0, 0, 0, 0, 0, 0)
_OF_MONEY = frozenset(
    int(milestone)
    for milestone in (
        Milestone.REFUND_APPROVED,
        Milestone.REFUND_REFUSED,
        Milestone.REFUND_ISSUED,
        Milestone.REFUND_SETTLED,
        Milestone.REFUND_FAILED,
        Milestone.REPLACEMENT_SENT,
    )
)


def money(view: ReturnView) -> Money:
    """Of payments, those since the last failure count; a refusal, if no approval came later; an approval, if no refusal did.

    That a payment failed does not take a replacement back.
    """
    if not view.has_any(_OF_MONEY):
        return _NO_MONEY
    failed_ms = _last_ms(view.all(Milestone.REFUND_FAILED))
    issued_ms = _first_after(view.all(Milestone.REFUND_ISSUED), failed_ms)
    settled_ms = _first_after(view.all(Milestone.REFUND_SETTLED), failed_ms)
    replaced_ms = _first_after(view.all(Milestone.REPLACEMENT_SENT), 0)
    approved_ms = _last_ms(view.all(Milestone.REFUND_APPROVED))
    refused_ms = _last_ms(view.all(Milestone.REFUND_REFUSED))
    if refused_ms >= approved_ms:
        approved_ms = 0
    else:
        refused_ms = 0
    paid = issued_ms or settled_ms or replaced_ms
    return Money(approved_ms, refused_ms, issued_ms, settled_ms, 0 if paid else failed_ms, replaced_ms)


def _last_ms(facts: Sequence[Told]) -> int:
    return facts[-1].at_ms if facts else 0


def _first_after(facts: Sequence[Told], failed_ms: int) -> int:
    """When the first of them happened after the failure; of those at the very time of it, none did."""
    for fact in facts:
        if fact.at_ms > failed_ms:
            return fact.at_ms
    return 0


class Progress(NamedTuple):
    """How far it has come."""

    stage: int
    status: PortalStatus
    reached: Sequence[Reached]
    """Of each of STAGES."""
    parcels: Sequence[Carried]
    """Those that a label links; without any, those that the dock has."""
    received: Sequence[int]
    """When the warehouse got each of them; 0: it has not."""
    paid: Money
    cancelled: bool
    void: Carried | None
    """A parcel whose label was taken back, when no other is left; one that was sent, if there is one."""

    @property
    def closed(self) -> bool:
        """Whether nothing comes any more, but perhaps another decision."""
        return self.status is PortalStatus.CLOSED

    @property
    def astray(self) -> dict[str, str]:
        """Parcels that the carrier took elsewhere, and that the warehouse does not have -> which rule would tell of it."""
        there = zip(self.parcels, self.received, strict=True)
        return {one.parcel: one.diverted for one, came_ms in there if one.diverted and not came_ms}

    @property
    def claimed_ms(self) -> int:
        """When the customer, or whoever, said first that it was handed over; 0: a scan was earlier, or nobody did."""
        at_ms, seen_by = self.reached[DROPPED_OFF]
        return at_ms if seen_by == _CLAIMED else 0


def progress(view: ReturnView, carried: Sequence[Carried]) -> Progress | None:
    """None: too little is known of the return to tell of it. `carried`: every parcel that has reported."""
    parcels = view.parcels or view.at_the_dock
    if any(one.diverted for one in parcels):
        # What the carrier delivered to the customer or to somebody else has not arrived.
        parcels = [replace(one, delivered_ms=0) if one.diverted else one for one in parcels]
    received = [view.received_ms(one) if view.received else one.checked_in_ms for one in parcels]
    paid = money(view)
    reached = _reached(view, parcels, received, paid)
    stage = REFUNDED
    while stage != NOWHERE and not reached[stage][0]:
        stage -= 1
    void = None
    if not parcels and carried:
        voided = [one for one in carried if one.unlinked_reason == Reason.LABEL_VOIDED]
        void = next((one for one in voided if one.first_scan_ms), voided[0] if voided else None)
    # A refund that was approved after that is paid all the same.
    cancelled = _last_ms(view.all(Milestone.RETURN_CANCELLED)) >= max(paid.approved_ms, 1)
    if stage == NOWHERE and void is None and not cancelled and paid is _NO_MONEY:
        return None
    status = _status(stage, paid, cancelled=cancelled)
    return Progress(stage, status, reached, parcels, received, paid, cancelled, void)


def _status(stage: int, paid: Money, *, cancelled: bool) -> PortalStatus:
    if stage == REFUNDED:
        return PortalStatus.REFUNDED
    if cancelled or paid.refused_ms:
        return PortalStatus.CLOSED
    if stage >= CHECKED_IN:
        return PortalStatus.RECEIVED
    if stage >= DROPPED_OFF:
        return PortalStatus.SHIPPED
    if stage > REQUESTED or paid.approved_ms or paid.failed_ms:
        return PortalStatus.APPROVED
    return PortalStatus.PENDING_APPROVAL if stage == REQUESTED else PortalStatus.CLOSED


# -- the nine milestones ------------------------------------------------------------------------------------------


def _reached(
    view: ReturnView, parcels: Sequence[Carried], received: Sequence[int], paid: Money
) -> tuple[Reached, ...]:
    labelled, scanned = NOT_REACHED, NOT_REACHED
    if parcels:
        labelled = (min([one.label_ms for one in parcels]), _ANNOUNCED)
        scans = [one.first_scan_ms for one in parcels if one.first_scan_ms]
        if scans:
            scanned = (min(scans), _CARRIER)
    claim = next(iter(claims(view, parcels)), None)
    dropped_off = scanned
    if claim is not None and (not scanned[0] or claim.at_ms < scanned[0]):
        dropped_off = (claim.at_ms, _CLAIMED)
    paid_ms, inspected = paid.paid_ms, last_inspection(view)
    return (
        _of_shop(view, Milestone.RETURN_REQUESTED),
        _of_shop(view, Milestone.RETURN_APPROVED),
        labelled,
        dropped_off,
        scanned,
        _delivered(parcels, received) if scanned[0] or any(received) else NOT_REACHED,
        _checked_in(view, parcels, received),
        (inspected.at_ms, _DOCK) if inspected is not None else NOT_REACHED,
        (paid_ms, _SYSTEM) if paid_ms else NOT_REACHED,
    )


def claims(view: ReturnView, parcels: Sequence[Carried]) -> list[Told]:
    """The claims that something was handed over, but for those about labels that were taken back since; by time."""
    told = view.all(Milestone.DROPOFF_CLAIMED)
    voided = view.taken_back if told and parcels else []
    if not voided:
        return told
    names = {one.parcel for one in voided}
    first_ms, before_ms = min(one.label_ms for one in parcels), min(one.label_ms for one in voided)
    return [
        claim
        for claim in told
        if (set(claim.parcels) - names if claim.parcels else not before_ms <= claim.at_ms < first_ms)
    ]


def _of_shop(view: ReturnView, milestone: Milestone) -> Reached:
    fact = view.first(milestone)
    return (fact.at_ms, _SYSTEM) if fact is not None else NOT_REACHED


def _delivered(parcels: Sequence[Carried], received: Sequence[int]) -> Reached:
    times = [one.delivered_ms or came_ms for one, came_ms in zip(parcels, received, strict=True)]
    if not all(times) or not any(one.delivered_ms for one in parcels):
        return NOT_REACHED
    return max(times), _CARRIER


def _checked_in(view: ReturnView, parcels: Sequence[Carried], received: Sequence[int]) -> Reached:
    if not parcels:
        by_number = view.first(Milestone.CHECKED_IN)
        return (by_number.at_ms, _BY_NUMBER) if by_number is not None else NOT_REACHED
    if not all(received):
        return NOT_REACHED
    last_ms = max(received)
    return last_ms, _DOCK if any(one.checked_in_ms == last_ms for one in parcels) else _BY_NUMBER
