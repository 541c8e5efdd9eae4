"""What an adapter file says: where a carrier's payload holds its packages, their histories, and what each event tells.

Adapters are data (docs/adapters.md). A path is JMESPath (schemas/adapter_paths.py). Where several paths may be given, the first
that finds something counts; where steps are given, each is asked of everything that the step before found: a list is
taken as its items, an object as one, and anything else as nothing.
"""

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from schemas.adapter_paths import compile_path
from schemas.time_formats import known_format

ISO, EPOCH_S, EPOCH_MS = "iso", "epoch_s", "epoch_ms"
PLACE, OFFSETS = "place", "abbreviation"


def _is_path(text: str) -> str:
    compile_path(text)
    return text


def several(value: Any) -> Any:
    """One thing is a list of one."""
    return (value,) if isinstance(value, str | dict | int) else value


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, int) else value


def _is_zone(name: str) -> str:
    if name in {PLACE, OFFSETS}:
        return name
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(
            f"{name!r} is no time zone; write `place`, `abbreviation`, UTC, or a name such as Europe/Paris"
        ) from error
    return name


def _is_form(form: str) -> str:
    return form if form in {ISO, EPOCH_S, EPOCH_MS} else known_format(form)


def _is_named_zone(name: str) -> str:
    if name in {PLACE, OFFSETS}:
        raise ValueError(f"{name!r} is no zone of one home; write a name such as Europe/Paris")
    return _is_zone(name)


PathText = Annotated[str, AfterValidator(_is_path)]
Paths = Annotated[tuple[PathText, ...], BeforeValidator(several)]
Words = Annotated[tuple[Annotated[str, BeforeValidator(_text)], ...], BeforeValidator(several)]
Forms = Annotated[
    tuple[Annotated[str, AfterValidator(_is_form), BeforeValidator(_text)], ...], BeforeValidator(several)
]
Zone = Annotated[str, AfterValidator(_is_zone)]
NamedZone = Annotated[str, AfterValidator(_is_named_zone)]


class AdapterPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Unpack(AdapterPart):
    """A step into a text that is itself JSON."""

    json_in: PathText


Step = PathText | Unpack
Steps = Annotated[tuple[Step, ...], BeforeValidator(several)]


class CarrierOf(AdapterPart):
    """Which carrier has the parcel. `is`, or `from` with `otherwise`."""

    always: str | None = Field(default=None, alias="is")
    found: Paths = Field(default=(), alias="from")
    """Asked of the package, the event first where it says so itself (`event.carrier`)."""
    values: dict[str, str] = {}
    """What the payload writes -> a carrier's name, where the name is no name of schemas/carriers/aliases.csv."""
    otherwise: str = ""
    """Where the payload names none."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "CarrierOf":
        if bool(self.always) == bool(self.found):
            raise ValueError(
                "give `is` (one carrier) or `from` (where its name stands), not both and not neither"
            )
        if self.found and not self.otherwise:
            raise ValueError("`from` needs `otherwise`: the carrier of parcels that name none")
        return self


class DirectionOf(AdapterPart):
    """Which way the parcel goes. Neither word found: as the contract has it, a return."""

    found: Paths = Field(alias="from")
    returns: Words = Field(default=(), alias="return")
    outbound: Words = ()


class PackageOf(AdapterPart):
    """One parcel of the payload."""

    number: Paths
    error: PathText | None = None
    """True where an error stands in place of this parcel's history."""
    direction: DirectionOf | None = None


class CodeOf(AdapterPart):
    """One way to ask the carrier tables. `code` with several paths: all of them, joined by `/`, or none."""

    api: str | None = None
    """Default: the adapter's."""
    type: str
    type_from: PathText | None = None
    """Appended to `type`: for codes that mean something only by their type."""
    code: Paths = ()
    """None: the text alone decides."""
    only_for: Words = ()
    """Carriers (canonical names); of others this is not asked."""


class TimeOf(AdapterPart):
    """One place where an event's time may stand. `from` with several paths: joined by a space, as far as they are there."""

    found: Paths = Field(alias="from")
    formats: Forms = Field(default=(ISO,), min_length=1)
    """`iso`, `epoch_s`, `epoch_ms`, or as strptime; one without hours is a date only."""
    zone: Annotated[tuple[Zone, ...], BeforeValidator(several)] = ()
    """For a time without an offset: `place`, `abbreviation`, or a zone's name; the first that can be told. None: any zone."""
    abbreviation: PathText | None = None
    """Where EST, CET and the like stand."""
    offset: PathText | None = None
    """Where the offset stands apart from the time."""
    utc: Paths = ()
    """The same moment in UTC, in the same format: tells the offset. A difference no zone has is not believed."""
    midnight: Literal["time", "date_only"] = "time"
    """date_only: exactly midnight stands for a day whose hour nobody knows."""
    quality: Literal["assumed"] | None = None
    """assumed: the offset that is written cannot be trusted."""
    home: NamedZone | None = None
    """A zone whose offset stands on scans made elsewhere, too. Whether it was converted is not known: where the scan's place
    lies in another zone the time is both, and `assumed`; so is a time in this zone's offset of which the place is not known."""


class PlaceOf(AdapterPart):
    """Where it was seen. No street and no person."""

    country: Paths = ()
    region: Paths = ()
    """State or province, for the time zone only."""
    city: Paths = ()
    postal_code: Paths = ()
    site: Paths = ()
    country_otherwise: str | None = None
    """Alpha-2, where the payload names no country because it is always this one."""


class EventOf(AdapterPart):
    """One event of a parcel's history."""

    codes: tuple[CodeOf, ...] = Field(min_length=1)
    """Asked in this order; the first that the tables know counts."""
    times: Annotated[tuple[TimeOf, ...], BeforeValidator(several)] = ()
    without_time: Literal["refuse", "arrival"] = "refuse"
    """arrival: it happened at the latest when the payload came."""
    text: Paths = ()
    skip: PathText | None = None
    """True for what is no event of this parcel."""
    carrier: Paths = ()
    place: PlaceOf = PlaceOf()
    id: PathText | None = None
    retracted: PathText | None = None
    """True where the event of this `id` is taken back."""

    @model_validator(mode="after")
    def _retracts_by_id(self) -> "EventOf":
        if self.retracted is not None and self.id is None:
            raise ValueError("`retracted` needs `id`: only an event with an id can be taken back")
        if not self.times and self.without_time == "refuse":
            raise ValueError("`times` says where the time stands; without any, say `without_time: arrival`")
        return self


class AdapterFile(AdapterPart):
    """One API of one carrier or aggregator."""

    adapter: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    """The name by which settings ask for it; also the `api` of its codes, unless they name another."""
    about: str
    documents: tuple[str, ...] = Field(min_length=1)
    """Where the format is written down."""
    format: Literal["json", "xml"]
    tells: Literal["history", "event"]
    """history: all that is known so far, old events again; event: each event when it happens."""
    expects: Paths
    """The payload has one of these, or it is not of this API and is refused."""
    error: PathText | None = None
    """True where the whole payload is an error or a "not found"."""
    carrier: CarrierOf
    packages: Steps = ("@",)
    package: PackageOf
    events: Steps
    event: EventOf
