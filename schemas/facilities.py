"""The warehouses of a policy: when they work, and where carriers deliver to them."""

from datetime import time
from typing import Annotated, Literal, Self

import holidays
from pydantic import (
    BeforeValidator,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from schemas.policy_fields import CountryWithHolidays, PolicyModel, TimeZone


def _clock_time(text: object) -> object:
    if isinstance(text, str) and text.strip() in {"24:00", "24:00:00"}:
        return time.max
    if isinstance(text, int):
        # pydantic turns a ValueError into a finding, and lets a TypeError through.
        raise ValueError('write a time of day in quotes, as "08:30"')  # noqa: TRY004
    return text


TimeOfDay = Annotated[
    time,
    BeforeValidator(_clock_time),
    WithJsonSchema(
        {"type": "string", "pattern": r"^([01]\d|2[0-4]):[0-5]\d(:[0-5]\d)?$", "examples": ["08:30"]}
    ),
]


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class FacilityPlace(PolicyModel):
    """A place as carriers write it: the site if the carrier names one, else the city, else the postal code is compared."""

    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
    city: str | None = None
    postal_code: str | None = None
    site: str | None = None


class Facility(PolicyModel):
    """Calendar of a warehouse, in its own time zone, and where carriers deliver to it."""

    places: tuple[FacilityPlace, ...] = ()
    """A delivery at any other place, where the carrier names one, is suspected to have gone astray; (): never."""

    time_zone: TimeZone
    country: CountryWithHolidays = ""
    """ISO 3166-1 alpha-2, for public holidays; "" knows none."""
    subdivision: str | None = None
    working_days: tuple[Day, ...] = DAYS[:5]
    opens: TimeOfDay = time(0)
    closes: TimeOfDay = time.max
    cut_off: TimeOfDay | None = None
    """What comes after it counts from the next opening; None: at closing time."""

    @field_validator("working_days")
    @classmethod
    def _works_at_all(cls, days: tuple[Day, ...]) -> tuple[Day, ...]:
        if not days:
            raise ValueError("a facility that never works would never be late; name at least one day")
        return tuple(day for day in DAYS if day in days)

    @field_validator("subdivision")
    @classmethod
    def _known_subdivision(cls, subdivision: str | None, info: ValidationInfo) -> str | None:
        country = info.data.get("country", "")
        if subdivision is not None and country:
            known = holidays.list_supported_countries().get(country, [])
            if subdivision not in known:
                raise ValueError(
                    f"{subdivision!r} is no subdivision of {country}; known: {', '.join(known) or 'none'}"
                )
        return subdivision

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.opens >= self.closes:
            raise ValueError(f"opens {self.opens:%H:%M} is not before closes {self.closes:%H:%M}")
        if self.cut_off is not None and not self.opens <= self.cut_off <= self.closes:
            raise ValueError(f"cut_off {self.cut_off:%H:%M} lies outside the opening hours")
        return self
