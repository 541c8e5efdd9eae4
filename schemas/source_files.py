"""What a source file says: which events of the contract a user's own messages tell, and where each field stands in them.

Sources are data, as adapters are (docs/wiring.md). The fields are those of schemas/events.py: what an event has there can be
mapped, and nothing else. Whether the events can ever be valid is looked at in schemas/source_checks.py.
"""

from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BeforeValidator, Field

from schemas.adapter_files import AdapterPart, Paths, PlaceOf, Steps, several
from schemas.event_fields import Contract, InputEvent
from schemas.events import EVENT_MODELS, event_type
from schemas.source_rules import (
    Condition,
    Count,
    Flag,
    Ids,
    MismatchWords,
    MoneyOf,
    ParcelsOf,
    Rule,
    Text,
    Times,
    Type,
    Weight,
)
from schemas.topics import InputKind

TIME_FIELD = "occurred_at"
_NOT_MAPPED = frozenset({"type", "schema_version"})

MODEL_OF_TYPE: dict[str, type[InputEvent]] = {
    event_type(model): model
    for kind, models in EVENT_MODELS.items()
    if kind is not InputKind.COMMANDS
    for model in models
}
"""Every event that a source may tell. People's commands are written by people, and not here."""


def mapped_fields(model: type[Contract]) -> dict[str, Any]:
    """Field -> its annotation, of all that a source can say of an event."""
    hints = get_type_hints(model, include_extras=True)
    return {name: hints[name] for name in model.model_fields if name not in _NOT_MAPPED}


class Fields(AdapterPart):
    """A rule for each field of the contract."""

    id: Text | None = None
    occurred_at: Times = ()
    return_id: Text | None = None
    order_id: Text | None = None
    value: MoneyOf | None = None
    items: Count | None = None
    promised_refund_at: Times = ()
    method: Text | None = None
    resolution: Text | None = None
    withdrawal: Flag | None = None
    country: Text | None = None
    shop: Text | None = None
    category: Text | None = None
    return_reason: Text | None = None
    customer_risk: Text | None = None
    loyal: Flag | None = None
    carrier: Text | None = None
    tracking_number: Text | None = None
    return_ids: Ids | None = None
    service: Text | None = None
    origin_country: Text | None = None
    destination_country: Text | None = None
    facility: Text | None = None
    weight_grams: Weight | None = None
    api: Text | None = None
    code_type: Text | None = None
    code: Text | None = None
    text: Text | None = None
    place: PlaceOf | None = None
    direction: Text | None = None
    retracts: Text | None = None
    parcels: ParcelsOf | None = None
    complete: Flag | None = None
    count: Count | None = None
    disposition: Text | None = None
    mismatch: MismatchWords | None = None


def rules_of(fields: Fields) -> dict[str, Rule]:
    """Field -> its rule, of those that are given."""
    return {name: getattr(fields, name) for name in sorted(fields.model_fields_set) if getattr(fields, name)}


class EventRule(AdapterPart):
    """One event that a message may tell, or one of several by a word in it."""

    type: Type
    when: Condition = None
    """True where the message tells it. Left out: always."""
    each: Steps = ("@",)
    """Steps from an item to what the event is told by; as many events."""
    without_time: Literal["refuse", "arrival"] = "refuse"
    """arrival: it happened at the latest when the message came."""
    fields: Fields = Fields()
    """Beside those of the whole file, and in place of them."""


class SourceFile(AdapterPart):
    """One kind of a user's own messages."""

    source: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    """The name by which it is told of."""
    about: str = ""
    documents: tuple[str, ...] = ()
    """Where the format is written down."""
    format: Literal["json", "xml"]
    expects: Paths = ()
    """A message has one of these, or it is none of this source and is refused."""
    skip: Condition = None
    """True for a message, or an item of it, that tells nothing."""
    items: Steps = ("@",)
    """Steps from the message to what one event, or several, are told by."""
    fields: Fields = Fields()
    """Of all events that have them."""
    events: Annotated[tuple[EventRule, ...], BeforeValidator(several), Field(min_length=1)]

    def types_of(self, rule: EventRule) -> tuple[str, ...]:
        """Return the types that a rule may give, in the order of the file."""
        named = [*(one for types in rule.type.values.values() for one in types)]
        named += [one for one in (rule.type.always, rule.type.otherwise) if one]
        return tuple(dict.fromkeys(named))

    def types(self) -> tuple[str, ...]:
        """Return every type that a message may tell."""
        return tuple(dict.fromkeys(name for rule in self.events for name in self.types_of(rule)))
