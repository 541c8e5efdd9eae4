"""What the customer-facing side receives: the values and headers of `journeys` (key: return id, compacted).

One record says where a return is, what comes next and by when, what of its refund is known, and what to tell the customer.
Conventions are those of schemas/outputs.py.

The six portal statuses are those that the portal of AfterShip Returns Center shows ("Pending Approval", "Approved", "Shipped",
"Shipment Received", "Refunded", "Rejected"; help.returnscenter.com, article 115010762088). Ours of the last is wider, so it
has a word of its own.
"""

from enum import StrEnum

import msgspec

from schemas.outputs import Severity, Time
from schemas.vocabulary import RuleId

MOST_CASES_TOLD = 50
"""Open cases in one record; `open_case_count` has all of them."""

JOURNEY_CE_TYPE = "com.returnwatch.journey.updated.v1"


class PortalStatus(StrEnum):
    """What a customer portal shows of a return."""

    PENDING_APPROVAL = "pending_approval"
    APPROVED = "approved"
    """Approved, or labelled without a word of approval."""
    SHIPPED = "shipped"
    RECEIVED = "received"
    REFUNDED = "refunded"
    """The refund was issued, or a replacement sent."""
    CLOSED = "closed"
    """Cancelled, refused, or its labels were taken back."""


class JourneyMilestone(StrEnum):
    """The nine stages of a return, in order."""

    RETURN_REQUESTED = "return_requested"
    RETURN_APPROVED = "return_approved"
    LABEL_CREATED = "label_created"
    DROPPED_OFF = "dropped_off"
    """The first that was heard of the hand-over: the customer's claim, or a scan."""
    IN_TRANSIT = "in_transit"
    """The carrier, or an agent of it, has scanned the first of the parcels."""
    DELIVERED = "delivered"
    """All parcels have come, at least one of them by a delivery scan."""
    CHECKED_IN = "checked_in"
    """The warehouse has all parcels."""
    INSPECTED = "inspected"
    """The goods of all parcels were inspected."""
    REFUNDED = "refunded"
    """The refund was issued and did not fail since, or a replacement was sent."""


class ExpectedStep(StrEnum):
    """What comes next."""

    RETURN_APPROVED = "return_approved"
    LABEL_CREATED = "label_created"
    DROPPED_OFF = "dropped_off"
    IN_TRANSIT = "in_transit"
    DELIVERED = "delivered"
    CHECKED_IN = "checked_in"
    INSPECTED = "inspected"
    REFUND_APPROVED = "refund_approved"
    REFUND_ISSUED = "refund_issued"
    REFUND_SETTLED = "refund_settled"
    REPLACEMENT_SENT = "replacement_sent"


class Witness(StrEnum):
    """Who saw it (schemas.vocabulary.Evidence)."""

    ANNOUNCED = "announced"
    CLAIMED = "claimed"
    """The customer says so."""
    CARRIER_SCAN = "carrier_scan"
    """The carrier or an agent of it."""
    WAREHOUSE_SCAN = "warehouse_scan"
    WAREHOUSE_MATCH = "warehouse_match"
    """The warehouse, by the number of the return."""
    SYSTEM = "system"
    """The shop's own systems."""


class MilestoneReached(msgspec.Struct, frozen=True):
    """One of the nine. null: not reached, or nobody told."""

    milestone: JourneyMilestone
    at: Time | None = None
    evidence: Witness | None = None


class JourneyParcel(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel that a label links with the return, or that the dock has. Times: null when not known."""

    carrier: str
    tracking_number: str
    first_scan_at: Time | None = None
    last_scan_at: Time | None = None
    """As last reported: between two milestones it may be older than the newest scan."""
    delivered_at: Time | None = None
    checked_in_at: Time | None = None


class NextStep(msgspec.Struct, frozen=True):
    """What is waited for. A time that has passed: it is late, and its case is among the open ones, unless somebody closed it."""

    step: ExpectedStep
    due_at: Time | None = None
    """The earliest deadline of what is waited for; null where the policy waits for nothing here."""
    rule: RuleId | None = None
    """Whose deadline it is."""


class JourneyRefund(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the money. Times: null when not known."""

    promised_at: Time | None = None
    """By the request, else by the policy."""
    earliest_at: Time | None = None
    """Paid as soon as `refund_tiers` may release it, each leg before that taking its whole budget; null, with a `latest_at`: it
    may be paid at any time.
    """
    latest_at: Time | None = None
    """Each leg that is still ahead taking its whole budget; both are null as soon as anything is late."""
    released: bool = False
    """A refund signal released it, and none revoked it."""
    approved_at: Time | None = None
    refused_at: Time | None = None
    issued_at: Time | None = None
    settled_at: Time | None = None
    failed_at: Time | None = None
    """The last failure, if nothing was paid since."""


class JourneyCase(msgspec.Struct, frozen=True, kw_only=True):
    """An open case; all about it is in `cases`."""

    case_id: str
    rule: RuleId
    severity: Severity
    parcel: str = ""
    since_at: Time
    due_at: Time


class CustomerMessage(msgspec.Struct, frozen=True):
    """What to tell the customer."""

    key: str
    """Names the message for ever (schemas/journey_messages.py)."""
    parameters: dict[str, str]
    """Times are RFC 3339, UTC."""
    text: dict[str, str]
    """Language (ISO 639-1) -> the message with its parameters."""


class ReturnJourney(msgspec.Struct, frozen=True, kw_only=True):
    """Value of `journeys`: where one return is, by all that is known of it. Times are UTC."""

    return_id: str
    revision: int
    """One more for each record, also after the return was forgotten and heard of again. The highest is the truth."""
    stage: JourneyMilestone | None = None
    """The furthest milestone that was reached; null: none that is known, or all were taken back."""
    status: PortalStatus
    milestones: tuple[MilestoneReached, ...]
    """All nine, in order."""
    parcels: tuple[JourneyParcel, ...] = ()
    next_step: NextStep | None = None
    """null: nothing comes any more."""
    refund: JourneyRefund
    open_cases: tuple[JourneyCase, ...] = ()
    """The 50 that have been due longest."""
    open_case_count: int = 0
    message: CustomerMessage
    effective_at: Time
    """When the newest of what was known then happened: the same in every run."""
    policy_hash: str = ""


_encode = msgspec.json.Encoder(order="deterministic").encode
decode_journey = msgspec.json.Decoder(ReturnJourney).decode


def encode_journey(journey: ReturnJourney) -> bytes:
    """Return the record value for `journeys`; equal journeys give equal bytes."""
    return _encode(journey)


def journey_event_id(return_id: str, revision: int, digest: int) -> str:
    """Return the `ce_id` of a record: the same in every repeat, and never that of a record that says anything else."""
    return f"journey:{return_id}:{revision}:{digest:016x}"
