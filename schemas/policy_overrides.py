"""For which parcels and returns a number of the policy is another one, and which of several that fit counts."""

from decimal import Decimal
from itertools import combinations
from typing import Annotated, Self, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from schemas.durations import BUDGET_PATTERN, Budget, budget_text, parse_budget
from schemas.money import minor_units
from schemas.policy_fields import Amounts, PolicyModel

RuleBudget = Annotated[
    Budget,
    BeforeValidator(parse_budget),
    PlainSerializer(budget_text),
    WithJsonSchema({"type": "string", "pattern": BUDGET_PATTERN, "examples": ["72h", "2 business days"]}),
]
Carrier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
Lane = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}-[A-Z]{2}$")]


class Conditions(PolicyModel):
    """For which parcels and returns an override holds: all conditions have to.

    The most specific one that fits wins: more conditions before fewer; among as many, the first difference in the order
    facility, shop, service, lane, carrier, value. Two with the same conditions that could both fit are an error.
    """

    carrier: Carrier | None = None
    lane: Lane | None = None
    """Origin and destination country: FR-DE."""
    service: str | None = None
    """As the label names the carrier's service."""
    facility: str | None = None
    shop: str | None = None
    value_from: Amounts | None = None
    """At least so much, in one of these currencies."""
    value_below: Amounts | None = None
    """Less than so much, in one of these currencies."""

    @model_validator(mode="after")
    def _applies_to_something(self) -> Self:
        if not any(self.conditions):
            raise ValueError(
                "an override needs a carrier, lane, service, facility, shop or value to apply to"
            )
        for currency, least in (self.value_from or {}).items():
            below = (self.value_below or {}).get(currency)
            if below is not None and below <= least:
                raise ValueError(f"no value is at least {least} and below {below} {currency}")
        return self

    @property
    def conditions(self) -> tuple[bool, ...]:
        """Whether it asks for a facility, a shop, a service, a lane, a carrier, a value."""
        worth = self.value_from is not None or self.value_below is not None
        named = (self.facility, self.shop, self.service, self.lane, self.carrier)
        return (*(one is not None for one in named), worth)

    def fits_value(self, value_minor: int, currency: str) -> bool:
        """Whether a value lies in the band; what has no value, or another currency, does not."""
        if self.value_from is None and self.value_below is None:
            return True
        least, below = (self.value_from or {}).get(currency), (self.value_below or {}).get(currency)
        if not currency or (least is None and below is None):
            return False
        at_least = least is None or minor_units(least, currency) <= value_minor
        return at_least and (below is None or value_minor < minor_units(below, currency))

    def may_meet(self, other: "Conditions") -> bool:
        """Whether something could fit this and another one with the same conditions."""
        named = ("carrier", "lane", "service", "facility", "shop")
        if any(getattr(self, name) != getattr(other, name) for name in named):
            return False
        if not self.conditions[-1]:
            return True
        bands = [(self._band(currency), other._band(currency)) for currency in self._both(other)]
        return any(mine[0] < yours[1] and yours[0] < mine[1] for mine, yours in bands)

    def _both(self, other: "Conditions") -> set[str]:
        mine, yours = ({*(one.value_from or {}), *(one.value_below or {})} for one in (self, other))
        return mine & yours

    def _band(self, currency: str) -> tuple[Decimal, Decimal]:
        least = (self.value_from or {}).get(currency, Decimal(0))
        return least, (self.value_below or {}).get(currency, Decimal("Infinity"))

    @property
    def says(self) -> str:
        """What it gives to those for which it holds."""
        raise NotImplementedError


class Override(Conditions):
    """Another budget."""

    budget: RuleBudget

    @property
    def says(self) -> str:
        """See Conditions."""
        return budget_text(self.budget)


class WeightOverride(Conditions):
    """Another tolerance."""

    percent: Annotated[int, Field(ge=0, le=1_000)]
    grams: Annotated[int, Field(ge=0, le=1_000_000)]

    @property
    def says(self) -> str:
        """See Conditions."""
        return f"{self.percent} % and {self.grams} g"


_Overrides = TypeVar("_Overrides", bound=tuple[Conditions, ...])


def one_fits(overrides: _Overrides) -> _Overrides:
    """The same overrides. Raises ValueError if two with the same conditions could fit the same parcel."""
    for one, other in combinations(overrides, 2):
        if one.conditions == other.conditions and one.may_meet(other):
            raise ValueError(
                f"two overrides fit the same parcels, with {one.says} and {other.says}: "
                "nothing says which counts; delete one, or give it another condition"
            )
    return overrides
