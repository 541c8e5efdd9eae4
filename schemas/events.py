"""Input contract, version 1: the events that shops, label services, carriers and warehouses write, and people's commands.

The pydantic models below, and those in schemas/commands.py, are the contract; the JSON Schemas in `schemas/contracts/`
are made from them. Unknown fields are dropped here (an allow-list, so that personal data does not travel on).
`schemas/decoding.py` derives a fast decoder from the same annotations. What they are made of: schemas/event_fields.py.
"""

from decimal import Decimal
from typing import Annotated, Literal, Protocol

import msgspec
from pydantic import Field, StringConstraints, model_validator

from schemas.commands import Acknowledge, Assign, Forget, Note, Reopen, Resolve, Snooze
from schemas.event_fields import (
    AboutParcelOrReturn,
    Contract,
    Count,
    Country,
    Flag,
    FreeText,
    Grams,
    Id,
    InputEvent,
    KeyPart,
    Name,
    Text,
    Time,
)
from schemas.topics import InputKind

MAX_MISMATCHES = 5
MAX_RETURNS_OF_A_LABEL = 100
MAX_PARCELS_OF_A_CHECK_IN = 100
MAX_AMOUNT = Decimal(10) ** 12

ReturnIds = Annotated[
    list[KeyPart], Field(max_length=MAX_RETURNS_OF_A_LABEL), msgspec.Meta(max_length=MAX_RETURNS_OF_A_LABEL)
]
Direction = Literal["return", "outbound"]


class Value(Contract):
    """An amount of money, in the currency's main unit."""

    amount: Annotated[Decimal, Field(description='For example "19.90" or 19.9; at most 10^12.')]
    currency: Annotated[
        str,
        StringConstraints(strict=True, pattern=r"^[A-Za-z]{3}$"),
        msgspec.Meta(pattern=r"^[A-Za-z]{3}\Z"),
        Field(description="ISO 4217 code."),
    ]

    @model_validator(mode="after")
    def _is_an_amount(self) -> "Value":
        check_value(self)
        return self


class Place(Contract):
    """Where something was seen. No street and no person: they are not read."""

    country: Text | None = None
    city: Text | None = None
    postal_code: Text | None = None
    site: Annotated[Text | None, Field(description="The carrier's own id of a depot, shop or locker.")] = None


class ParcelRef(Contract):
    """A parcel, by its carrier and tracking number. Spaces, dashes, dots and case do not matter."""

    carrier: KeyPart
    tracking_number: KeyPart


Mismatches = Annotated[
    list[Literal["weight", "empty_box", "wrong_item", "quantity", "damaged"]],
    Field(max_length=MAX_MISMATCHES),
    msgspec.Meta(max_length=MAX_MISMATCHES),
]
ParcelRefs = Annotated[
    list[ParcelRef],
    Field(max_length=MAX_PARCELS_OF_A_CHECK_IN),
    msgspec.Meta(max_length=MAX_PARCELS_OF_A_CHECK_IN),
]


class _OrderEvent(InputEvent):
    return_id: Annotated[KeyPart, Field(description="The return (RMA).")]
    order_id: Id | None = None
    value: Annotated[Value | None, Field(description="What the event is about: goods or refund.")] = None


class ReturnRequested(_OrderEvent):
    """A customer asked to send goods back."""

    type: Literal["return_requested"]
    items: Count | None = None
    promised_refund_at: Annotated[Time | None, Field(description="Until when a refund was promised.")] = None
    method: Annotated[
        Literal["parcel", "in_store"],
        Field(description="How the goods come back; in_store: no label is expected."),
    ] = "parcel"
    resolution: Annotated[
        Literal["refund", "exchange", "store_credit"],
        Field(description="What the customer gets for the goods."),
    ] = "refund"
    withdrawal: Annotated[
        Flag, Field(description="The request is a notice of withdrawal, which starts statutory deadlines.")
    ] = False
    country: Annotated[Country | None, Field(description="Where the customer lives: whose law holds.")] = None
    shop: Annotated[Name | None, Field(description="The shop or brand, for the policy's overrides.")] = None
    category: Annotated[Name | None, Field(description="Product category.")] = None
    return_reason: Annotated[Name | None, Field(description="Why it comes back, as a code of the shop.")] = (
        None
    )
    customer_risk: Annotated[
        Literal["low", "normal", "high"], Field(description="The shop's own mark of the customer.")
    ] = "normal"
    loyal: Annotated[Flag, Field(description="A customer to whom a replacement is offered.")] = False


class ReturnApproved(_OrderEvent):
    """The shop agreed to the return."""

    type: Literal["return_approved"]


class ReturnCancelled(_OrderEvent):
    """The return will not happen."""

    type: Literal["return_cancelled"]


class DropoffClaimed(_OrderEvent):
    """The customer says that the parcel was handed over. A claim is not a scan."""

    type: Literal["dropoff_claimed"]
    carrier: KeyPart | None = None
    tracking_number: KeyPart | None = None


class ReplacementSent(_OrderEvent):
    """The customer was sent other goods instead of a refund."""

    type: Literal["replacement_sent"]


class DisputeOpened(_OrderEvent):
    """The customer disputes the refund or asks the bank to charge it back."""

    type: Literal["dispute_opened"]


class DisputeClosed(_OrderEvent):
    """The dispute or chargeback is over."""

    type: Literal["dispute_closed"]


class RefundApproved(_OrderEvent):
    type: Literal["refund_approved"]


class RefundRefused(_OrderEvent):
    type: Literal["refund_refused"]


class RefundIssued(_OrderEvent):
    type: Literal["refund_issued"]


class RefundSettled(_OrderEvent):
    type: Literal["refund_settled"]


class RefundFailed(_OrderEvent):
    type: Literal["refund_failed"]


class _LabelEvent(InputEvent):
    carrier: KeyPart
    tracking_number: KeyPart
    return_id: Annotated[KeyPart | None, Field(description="The return, where there is just one.")] = None
    return_ids: Annotated[ReturnIds | None, Field(description="The returns that the parcel carries.")] = None


class LabelCreated(_LabelEvent):
    """A return label exists; nobody has the parcel yet."""

    type: Literal["label_created"]
    service: Text | None = None
    origin_country: Annotated[Country | None, Field(description="ISO 3166-1 alpha-2.")] = None
    destination_country: Annotated[Country | None, Field(description="ISO 3166-1 alpha-2.")] = None
    facility: Annotated[Text | None, Field(description="Id of the warehouse it goes to.")] = None
    shop: Annotated[Name | None, Field(description="The shop or brand, for the policy's overrides.")] = None
    value: Value | None = None
    weight_grams: Annotated[Grams | None, Field(description="What the parcel should weigh, packed.")] = None


class LabelVoided(_LabelEvent):
    """The label will not be used; without return ids, for none of its returns."""

    type: Literal["label_voided"]


class CarrierScan(InputEvent):
    """What a carrier reports about a parcel. The code decides, with its api and code type."""

    type: Literal["carrier_scan"]
    carrier: KeyPart
    tracking_number: KeyPart
    api: Annotated[
        Text | None, Field(description="Where the code comes from; default: the carrier's usual.")
    ] = None
    code_type: Text | None = None
    code: Text | None = None
    text: FreeText | None = None
    place: Place | None = None
    direction: Annotated[Direction | None, Field(description="Default: return.")] = None


class ScanRetracted(InputEvent):
    """The carrier takes a scan back."""

    type: Literal["scan_retracted"]
    carrier: KeyPart
    tracking_number: KeyPart
    retracts: Annotated[Id, Field(description="The `id` of the carrier_scan.")]


class CheckedIn(AboutParcelOrReturn):
    """The warehouse has it: by carrier and tracking number, by return id, or both."""

    type: Literal["checked_in"]
    facility: Text | None = None
    parcels: Annotated[ParcelRefs | None, Field(description="By return id: the parcels that came.")] = None
    complete: Annotated[Flag, Field(description="By return id: everything has come.")] = False
    count: Annotated[Count, Field(description="By return id: how many parcels came.")] = 1
    weight_grams: Annotated[
        Grams | None,
        Field(
            description="By tracking number: what the scale showed; 0, or more than 1,000 kg: not weighed."
        ),
    ] = None


class CheckinRetracted(AboutParcelOrReturn):
    """The warehouse takes a check-in back; names what the check-in named."""

    type: Literal["checkin_retracted"]
    retracts: Annotated[Id, Field(description="The `id` of the checked_in.")]


class Inspected(InputEvent):
    """Somebody looked at the goods."""

    type: Literal["inspected"]
    return_id: KeyPart
    facility: Text | None = None
    parcels: Annotated[ParcelRefs | None, Field(description="Whose contents; none: all that came.")] = None
    disposition: Annotated[
        Literal["restock", "refurbish", "reject", "liquidate"] | None,
        Field(description="What becomes of the goods."),
    ] = None
    mismatch: Annotated[
        Mismatches | None, Field(description="How the goods differ from what was announced.")
    ] = None


class Restocked(InputEvent):
    """The goods are for sale again."""

    type: Literal["restocked"]
    return_id: KeyPart
    facility: Text | None = None


class _HasAmount(Protocol):
    @property
    def amount(self) -> Decimal: ...


def check_value(value: _HasAmount) -> None:
    """Raise ValueError unless the amount is a finite number from 0 to 10^12."""
    if not value.amount.is_finite() or not 0 <= value.amount <= MAX_AMOUNT:
        message = "amount must be a finite number from 0 to 10^12"
        raise ValueError(message)


OrderEvent = (
    ReturnRequested
    | ReturnApproved
    | ReturnCancelled
    | DropoffClaimed
    | RefundApproved
    | RefundRefused
    | RefundIssued
    | RefundSettled
    | RefundFailed
    | ReplacementSent
    | DisputeOpened
    | DisputeClosed
)
LabelEvent = LabelCreated | LabelVoided
ScanEvent = CarrierScan | ScanRetracted
WarehouseEvent = CheckedIn | CheckinRetracted | Inspected | Restocked
CommandEvent = Acknowledge | Snooze | Assign | Note | Resolve | Reopen | Forget

EVENT_MODELS: dict[InputKind, tuple[type[InputEvent], ...]] = {
    InputKind.ORDERS: OrderEvent.__args__,
    InputKind.LABELS: LabelEvent.__args__,
    InputKind.CARRIER_SCANS: ScanEvent.__args__,
    InputKind.WAREHOUSE: WarehouseEvent.__args__,
    InputKind.COMMANDS: CommandEvent.__args__,
}
"""The models that each kind of input topic takes."""


def event_type(model: type[InputEvent]) -> str:
    """Return the `type` that events of a model carry."""
    (name,) = model.model_fields["type"].annotation.__args__  # type: ignore[union-attr]  # always Literal["..."]
    return str(name)


KIND_OF_TYPE = {event_type(model): kind for kind, models in EVENT_MODELS.items() for model in models}
"""Event type -> the kind of topic that it belongs on."""
