"""How a field of the contract is found in a user's own message: the rules that a source file is made of (docs/wiring.md).

A path is JMESPath, as in adapter files. Where a rule may be only a path, the path alone may stand for it.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schemas.adapter_files import (
    OFFSETS,
    PLACE,
    AdapterPart,
    Paths,
    PathText,
    PlaceOf,
    Steps,
    TimeOf,
    Words,
    several,
)
from schemas.time_zones import known_zone

GRAMS_OF_UNIT = {"g": "1", "kg": "1000", "oz": "28.349523125", "lb": "453.59237"}
"""As decimal numbers: a weight is rounded to whole grams."""
Weighed = Literal["g", "kg", "oz", "lb"]


def _from(value: Any) -> Any:
    return {"from": value} if isinstance(value, str | list) else value


def _each(value: Any) -> Any:
    return {"each": value} if isinstance(value, str) else value


def _is(value: Any) -> Any:
    return {"is": value} if isinstance(value, str) else value


def _times(value: Any) -> Any:
    return tuple(_from(one) if isinstance(one, str) else one for one in several(value))


def _word(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else value


Word = Annotated[str, BeforeValidator(_word)]


class _Found(AdapterPart):
    """`is`, or `from`."""

    found: Paths = Field(default=(), alias="from")
    """The first that finds something counts."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "_Found":
        if (getattr(self, "always", None) is None) == (not self.found):
            raise ValueError(
                "give `is` (always the same) or `from` (where it stands), not both and not neither"
            )
        return self


class TextOf(_Found):
    """A text, a word of a list, or an id."""

    always: Word | None = Field(default=None, alias="is")
    values: dict[str, Word] = Field(default={})
    """What the message says -> what the contract says. Letter case does not matter."""
    otherwise: Word | None = None
    """Where the message says nothing."""
    unknown: Literal["refuse", "leave_out", "keep"] = "refuse"
    """Of a word that `values` does not have: a dead letter, an event without this field, or the word as it is."""


class CountOf(_Found):
    """A whole number."""

    always: int | None = Field(default=None, alias="is")
    otherwise: int | None = None


class WeightOf(CountOf):
    """A weight."""

    unit: Weighed = "g"
    decimal: Literal["point", "comma"] = "point"


class FlagOf(_Found):
    """True or false. Without `values`: true where something is found that is not false, nothing or empty."""

    always: bool | None = Field(default=None, alias="is")
    values: dict[str, bool] = Field(default={})


Text = Annotated[TextOf, BeforeValidator(_from)]


class MoneyOf(AdapterPart):
    """An amount and its currency; without an amount there is no value."""

    amount: Paths
    currency: Text
    unit: Literal["main", "minor"] = "main"
    """minor: 1990 is 19.90 EUR."""
    decimal: Literal["point", "comma"] = "point"


class ParcelsOf(AdapterPart):
    """Parcels, each by carrier and tracking number."""

    each: Steps
    carrier: Text
    tracking_number: Text


class IdsOf(AdapterPart):
    """Several ids."""

    each: Steps
    id: Paths = ("@",)


class WordsOf(AdapterPart):
    """Several words of a list."""

    each: Steps
    word: Paths = ("@",)
    values: dict[str, Word] = Field(default={})
    unknown: Literal["refuse", "leave_out", "keep"] = "refuse"


class ZoneOf(AdapterPart):
    """The zone of a local time by a word beside it, such as a warehouse's id."""

    found: Paths = Field(alias="from")
    values: dict[str, Annotated[str, AfterValidator(known_zone)]] = Field(min_length=1)
    """A word that is not here says nothing: then `zone` holds, and without one any zone."""


class EventTimeOf(TimeOf):
    """One place where the time may stand. `zone` cannot be `place`: only a carrier's scan has one."""

    zone_of: ZoneOf | None = None

    @model_validator(mode="after")
    def _has_no_place(self) -> "EventTimeOf":
        if PLACE in self.zone:
            raise ValueError(f"`zone: {PLACE}` is of carriers' scans; name a zone, or give `zone_of`")
        if OFFSETS in self.zone and self.abbreviation is None:
            raise ValueError(f"`zone: {OFFSETS}` needs `abbreviation`: where it stands")
        return self


Times = Annotated[tuple[EventTimeOf, ...], BeforeValidator(_times)]
Count = Annotated[CountOf, BeforeValidator(_from)]
Weight = Annotated[WeightOf, BeforeValidator(_from)]
Flag = Annotated[FlagOf, BeforeValidator(_from)]
Ids = Annotated[IdsOf, BeforeValidator(_each)]
MismatchWords = Annotated[WordsOf, BeforeValidator(_each)]
Rule = TextOf | CountOf | FlagOf | MoneyOf | ParcelsOf | IdsOf | WordsOf | PlaceOf | tuple[EventTimeOf, ...]


class TypeRule(_Found):
    """Which event of the contract it is."""

    always: str | None = Field(default=None, alias="is")
    values: dict[str, Annotated[tuple[str, ...], BeforeValidator(several)]] = Field(default={})
    """What the message says -> the event's type, or several. Letter case does not matter."""
    nothing: Words = ()
    """Words that are no event."""
    otherwise: str | None = None
    """Where the message says nothing; else that is refused."""
    unknown: Literal["refuse", "skip"] = "refuse"
    """Of a word that is in neither: a dead letter, or no event."""

    @model_validator(mode="after")
    def _has_a_table(self) -> "TypeRule":
        if self.found and not self.values:
            raise ValueError("`from` needs `values`: which word is which event")
        return self


Type = Annotated[TypeRule, BeforeValidator(_is)]
Condition = PathText | None
