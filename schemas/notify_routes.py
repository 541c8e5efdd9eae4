"""Who is told of which changes of cases, and how: the file of `returnwatch notify`."""

from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from schemas.outputs import Severity
from schemas.policy_fields import Amounts, Duration
from schemas.vocabulary import RuleId

MOST_RECEIVERS: Final = 50
"""Each is a label of metrics."""
PAGERDUTY_URL: Final = "https://events.pagerduty.com/v2/enqueue"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

VariableName = Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$", max_length=100)]
"""Of an environment variable that holds a secret; `<NAME>_FILE` may name a file that holds it."""
ReceiverName = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]


def known_address(url: str) -> str:
    """Raise ValueError for what is no address that a message may be sent to."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        # What it says may repeat a part of the address, as of a password that has a slash in it.
        raise ValueError("is no address: its host or its port cannot be read") from None
    if parts.scheme not in {"https", "http"} or not host or parts.fragment:
        raise ValueError("is no address like https://receiver.example/path")
    if "@" in parts.netloc:
        raise ValueError("has a user name in it, which logs would show; the signature says who sends")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise ValueError("is not encrypted on its way, and tells of returns; write https://")
    return url


class NotifyModel(BaseModel):
    """A part of the file: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Match(NotifyModel):
    """Which changes a route takes: all that is named has to fit; what is not named asks for nothing."""

    rules: tuple[RuleId, ...] = ()
    severity: Severity = Severity.INFO
    """This, or a worse one."""
    level: int = Field(default=1, ge=1)
    """This, or a higher one."""
    carriers: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    value: Amounts | None = None
    """At least so much, by currency. What has another currency, or no known value, does not fit."""


class Digest(NotifyModel):
    """Above so many messages within a time, changes are told together in one."""

    above: int = Field(ge=1, le=10_000)
    per: Duration

    @field_validator("per")
    @classmethod
    def _is_some_time(cls, value: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= value <= timedelta(days=1):
            raise ValueError("from 1s to 1d, as 10m")
        return value


class _Receiver(NotifyModel):
    timeout: Duration = timedelta(seconds=10)
    """How long one try may take, from connecting to the answer."""
    give_up_after: Duration = timedelta(hours=24)
    """Of one message, from when it was read; what is given up is kept, and can be sent again."""

    @field_validator("timeout")
    @classmethod
    def _is_no_wait(cls, value: timedelta) -> timedelta:
        if not timedelta(milliseconds=100) <= value <= timedelta(minutes=2):
            raise ValueError("from 100ms to 2m, as 10s")
        return value


class WebhookReceiver(_Receiver):
    """A program of your own: each change as `escalations` has it, signed as Standard Webhooks says."""

    kind: Literal["webhook"]
    url: Annotated[str, AfterValidator(known_address)] | None = None
    url_from: VariableName | None = None
    """Where the address is itself a secret."""
    secret: VariableName
    """What signs: `whsec_` and base64, or any text."""
    digest: Digest | None = None

    @model_validator(mode="after")
    def _has_one_address(self) -> "WebhookReceiver":
        if (self.url is None) == (self.url_from is None):
            raise ValueError("a webhook needs `url`, or `url_from` with the variable that holds it; not both")
        return self


class PagerDutyReceiver(_Receiver):
    """A service of PagerDuty, by its Events API v2."""

    kind: Literal["pagerduty"]
    routing_key: VariableName
    url: Annotated[str, AfterValidator(known_address)] = PAGERDUTY_URL
    digest: Digest | None = Digest(above=20, per=timedelta(minutes=10))


class SlackReceiver(_Receiver):
    """A channel of Slack, or of what takes the same messages."""

    kind: Literal["slack"]
    url_from: VariableName
    """The address of an incoming webhook is itself a secret."""
    digest: Digest | None = Digest(above=20, per=timedelta(minutes=10))


Receiver = Annotated[WebhookReceiver | PagerDutyReceiver | SlackReceiver, Field(discriminator="kind")]


class Route(NotifyModel):
    """Who is told of what fits."""

    name: ReceiverName
    match: Match = Match()
    to: Annotated[list[str], Field(min_length=1)]


class NotifyRoutes(NotifyModel):
    """The whole file. Every route that fits counts; a receiver that several name is told once."""

    receivers: Annotated[dict[ReceiverName, Receiver], Field(min_length=1, max_length=MOST_RECEIVERS)]
    routes: Annotated[list[Route], Field(min_length=1, max_length=200)]

    @field_validator("routes")
    @classmethod
    def _knows_its_names(cls, routes: list[Route], info: ValidationInfo) -> list[Route]:
        known = info.data.get("receivers")
        names = [route.name for route in routes]
        found = [
            _unknown((number, "to", place), name, known)
            for number, route in enumerate(routes)
            for place, name in enumerate(route.to)
            if known is not None and name not in known
        ]
        found += [
            _wrong((number, "name"), f"there are two routes {name!r}; one of them needs another name")
            for number, name in enumerate(names)
            if name in names[:number]
        ]
        if found:
            raise ValidationError.from_exception_data("routes", found)
        return routes


def _unknown(where: tuple[int | str, ...], name: str, known: dict[str, Any]) -> InitErrorDetails:
    return _wrong(where, f"there is no receiver {name!r}; known are {', '.join(sorted(known))}")


def _wrong(where: tuple[int | str, ...], text: str) -> InitErrorDetails:
    # As a placeholder: the text may have braces of its own.
    return InitErrorDetails(
        type=PydanticCustomError("notify_routes", "{text}", {"text": text}), loc=where, input=None
    )
