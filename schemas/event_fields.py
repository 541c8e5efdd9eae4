"""What the models of input events are made of: ids, names, texts, times, and what every event has.

Every limit is written twice in one `Annotated`: once for pydantic, once for msgspec (schemas/decoding.py).
Times need an offset: a time without one could mean any of 26 hours, and a deadline would be wrong by as much.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

import msgspec
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

MAX_ID_CHARS = 128
MAX_TEXT_CHARS = 256
MAX_NAME_CHARS = 64

_NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")


def _iso_text(value: Any) -> Any:
    """Refuse numbers and digits as times: nobody can tell seconds from milliseconds for certain."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("time_type", "a time is a text such as 2026-03-01T12:00:00+01:00")
    if not _ISO_TIME.match(value):
        raise PydanticCustomError("time_form", "a time is written as 2026-03-01T12:00:00+01:00")
    return value


Id = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=MAX_ID_CHARS),
    msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS),
]
KeyPart = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=MAX_ID_CHARS, pattern=_NO_CONTROL),
    msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS),  # intake looks at the characters of keys itself
]
Name = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=MAX_NAME_CHARS, pattern=r"^[A-Za-z0-9_.-]+$"),
    msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS, pattern=r"^[A-Za-z0-9_.-]+\Z"),
]
Text = Annotated[
    str,
    StringConstraints(strict=True, max_length=MAX_TEXT_CHARS),
    msgspec.Meta(max_length=MAX_TEXT_CHARS),
]
FreeText = Annotated[str, StringConstraints(strict=True)]
Country = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[A-Za-z]{2}$"),
    msgspec.Meta(pattern=r"^[A-Za-z]{2}\Z"),
]
Count = Annotated[int, Field(strict=True, ge=1, le=10_000), msgspec.Meta(ge=1, le=10_000)]
MAX_GRAMS = 10**9
Grams = Annotated[
    int, Field(strict=True, ge=-MAX_GRAMS, le=MAX_GRAMS), msgspec.Meta(ge=-MAX_GRAMS, le=MAX_GRAMS)
]
"""What no parcel weighs is taken in, too: a scale's nonsense is no reason to lose the event."""
Flag = Annotated[bool, Field(strict=True)]
Time = Annotated[AwareDatetime, BeforeValidator(_iso_text), msgspec.Meta(tz=True)]
Version = Annotated[Literal[1], Field(description="Version of this contract.")]


class Contract(BaseModel):
    """Part of the contract: fields that are not listed are dropped."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class InputEvent(Contract):
    """What every event has."""

    id: Annotated[
        Id | None, Field(description="The producer's id of this event; a repeat carries the same.")
    ] = None
    occurred_at: Annotated[Time, Field(description="When it happened, ISO 8601 with an offset.")]
    schema_version: Version = 1


class AboutParcelOrReturn(InputEvent):
    """An event that names a parcel, a return, or both."""

    carrier: KeyPart | None = None
    tracking_number: KeyPart | None = None
    return_id: KeyPart | None = None

    @model_validator(mode="after")
    def _names_a_parcel_or_a_return(self) -> "AboutParcelOrReturn":
        check_subject(self)
        return self


class _HasSubject(Protocol):
    @property
    def carrier(self) -> str | None: ...
    @property
    def tracking_number(self) -> str | None: ...
    @property
    def return_id(self) -> str | None: ...


def check_subject(event: _HasSubject) -> None:
    """Raise ValueError unless the event names a parcel (carrier and tracking number) or a return."""
    if event.return_id is None and (event.carrier is None or event.tracking_number is None):
        message = "needs carrier and tracking_number, or return_id"
        raise ValueError(message)
