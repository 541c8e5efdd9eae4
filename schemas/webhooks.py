"""Who may send webhooks, how their signatures are made, and to which topic they go: the file of `returnwatch receive`."""

import re
from datetime import timedelta
from string import Formatter
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from schemas.durations import parse_duration
from schemas.topics import MAX_RECORD_BYTES

MOST_WEBHOOKS: Final = 100
"""Each is a label of metrics."""
_PARTS: Final = frozenset({"body", "timestamp", "method", "path", "id"})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, 5.6.2: what a header may be called."""


def _header(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header; write it as X-Signature")
    return name


Header = Annotated[str, AfterValidator(_header)]
SecretName = Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$", max_length=100)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class Signing(BaseModel):
    """How a sender signs: an HMAC of the body, alone or with a timestamp, in a header."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: Header
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    """Of the signature, as `sha256=`."""
    part: str = ""
    """Where the header has several, as `t=1700000000,v1=5257a8`: which of them is the signature."""
    timestamp_part: str = ""
    """Which of them is the time of sending, in seconds of the epoch."""
    timestamp_header: Header | None = None
    """Where the time of sending has a header of its own."""
    id_header: Header | None = None
    """Where the message has an identity in a header, and it is signed too, as by Standard Webhooks."""
    signed: str = "{body}"
    """What is signed, as `{timestamp}.{body}`: `body`, `timestamp`, `method`, `path` and `id` stand for themselves."""
    max_age: Duration = timedelta(minutes=5)
    """A request whose timestamp is further from now is refused. One without may be sent again: that changes nothing."""

    @property
    def is_timed(self) -> bool:
        """Whether requests tell when they were sent."""
        return bool(self.timestamp_part or self.timestamp_header)

    @model_validator(mode="after")
    def _is_whole(self) -> "Signing":
        try:
            names = [name for _, name, _, _ in Formatter().parse(self.signed) if name is not None]
        except ValueError as error:
            raise ValueError(f"signed: {error}; write it as '{{timestamp}}.{{body}}'") from error
        if unknown := sorted(set(names) - _PARTS):
            raise ValueError(f"signed: {{{unknown[0]}}} is none of {', '.join(sorted(_PARTS))}")
        if names.count("body") != 1:
            raise ValueError(
                "signed: {body} has to be in it, once; a signature of anything else proves nothing"
            )
        if self.timestamp_part and self.timestamp_header:
            raise ValueError("timestamp_part and timestamp_header: only one of them can say when it was sent")
        if self.timestamp_part and not self.part:
            raise ValueError("timestamp_part: needs `part`, which of the header's parts is the signature")
        if ("timestamp" in names) != self.is_timed:
            raise ValueError(
                "signed: a timestamp has to be signed, or anybody could write it; name it in `signed` and where it is"
                " (timestamp_header or timestamp_part), or in neither"
            )
        if ("id" in names) != (self.id_header is not None):
            raise ValueError("signed: {id} and `id_header` come together: what is signed, and where it is")
        return self


class Webhook(BaseModel):
    """One sender."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")
    """Where its requests are written, as they are."""
    secrets: Annotated[list[SecretName], Field(min_length=1, max_length=4)]
    """Names of environment variables: any of these secrets may have signed, so that a secret can be changed."""
    signing: Signing | None = None
    token_header: Header | None = None
    """Of a sender that does not sign, and sends the secret itself."""
    content_type: (
        Literal["application/json", "application/xml", "text/xml", "application/cloudevents+json"] | None
    ) = None
    """Written beside each record. What a request says of itself nobody has signed, and is left out."""
    max_bytes: int = Field(default=MAX_RECORD_BYTES, gt=0, le=MAX_RECORD_BYTES)
    per_second: float = Field(default=100.0, gt=0, le=100_000)
    """More requests are answered 429: senders try again."""

    @model_validator(mode="after")
    def _has_one_proof(self) -> "Webhook":
        if (self.signing is None) == (self.token_header is None):
            raise ValueError(
                "a webhook needs `signing`, or `token_header` of a sender that does not sign: else anybody could write into"
                " the topic"
            )
        return self


class Webhooks(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    webhooks: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")], Webhook],
        Field(min_length=1, max_length=MOST_WEBHOOKS),
    ]
    """Name, which is the end of the address `/in/NAME`, -> sender."""
