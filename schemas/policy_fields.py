"""Kinds of values that several parts of a policy have."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

import holidays
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from schemas.durations import DURATION_PATTERN, duration_text, parse_duration
from schemas.time_zones import known_zone


class PolicyModel(BaseModel):
    """A part of a policy: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def known_country(country: str) -> str:
    """Raise ValueError for a country whose public holidays nobody knows; "" is none."""
    if country and country not in holidays.list_supported_countries():
        raise ValueError(
            f"{country!r} has no public holidays here; write its ISO 3166-1 code as FR, or leave it out"
        )
    return country


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(duration_text),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["72h", "1d 12h"]}),
]
Amounts = dict[
    Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")], Annotated[Decimal, Field(ge=0, le=10**12)]
]
"""Currency (ISO 4217) -> amount in its main unit."""
CountryWithHolidays = Annotated[str, AfterValidator(known_country)]
TimeZone = Annotated[str, AfterValidator(known_zone)]
