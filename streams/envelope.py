"""CloudEvents 1.0 on Kafka: binary mode (`ce_` headers) and structured mode (one JSON object around the data).

A record whose headers say nothing of CloudEvents is plain JSON. What the event's own JSON says goes before what the
envelope says; only the envelope's id goes before the event's, because source and id together are unique.
"""

import json
from base64 import b64decode
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from schemas.vocabulary import DeadLetterReason
from streams.refusal import RefusalError

Headers = Sequence[tuple[str, bytes | None]]

_REQUIRED = ("ce_specversion", "ce_id", "ce_source", "ce_type")
_MAX_ATTRIBUTE_CHARS = 1024


class Wrapped(NamedTuple):
    """What was in an outer layer (streams/topic_envelopes.py), to be opened further."""

    value: bytes
    headers: Headers
    """What of the record's headers still says something about the value."""
    defaults: dict[str, str]
    """Fields of the contract that the layer gives where the message has none."""


class Opened(NamedTuple):
    """What was in the envelope. `source` and `id` are "" for a record without one."""

    value: bytes
    source: str = ""
    id: str = ""


class Structured(msgspec.Struct):
    """A CloudEvent in structured mode: its attributes, and what is around the data."""

    specversion: str
    id: str
    source: str
    type: str
    time: str = ""
    datacontenttype: str = "application/json"
    data: msgspec.Raw = msgspec.Raw(b"")
    data_base64: str = ""


_decode_structured = msgspec.json.Decoder(Structured).decode


def open_envelope(value: bytes, headers: Headers) -> Opened:
    """Return the plain JSON of a record and its CloudEvents identity. Raises RefusalError (BAD_ENVELOPE)."""
    named = {name.lower(): content for name, content in headers}
    content_type = header_text(named, "content-type")
    if content_type.lower().startswith("application/cloudevents"):
        return _open_structured(value, content_type)
    if not any(name in named for name in _REQUIRED):
        return Opened(value)
    return _open_binary(value, named, content_type)


def open_payload(value: bytes, headers: Headers) -> bytes:
    """Return a carrier's payload out of its envelope, if it has one. Raises RefusalError (BAD_ENVELOPE).

    Of a CloudEvent only the data count: an id around a whole history is the id of no scan.
    """
    for name, content in headers:
        if name.lower() == "content-type" and (content or b"").lower().startswith(b"application/cloudevents"):
            return _payload_of(value)
    return value


def _payload_of(value: bytes) -> bytes:
    event = structured(value)
    data = bytes(event.data) or _decoded(event.data_base64)
    if not data.startswith(b'"'):
        return data
    try:
        text = msgspec.json.decode(data, type=str)  # XML, or JSON, in a text
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad(str(error)) from None
    return text.encode("utf-8", "replace")


def _open_binary(value: bytes, named: dict[str, bytes | None], content_type: str) -> Opened:
    attributes = {name: header_text(named, name) for name in _REQUIRED}
    missing = [name for name, content in attributes.items() if not content]
    if missing:
        raise _bad(f"headers missing or empty: {', '.join(missing)}")
    _check(attributes["ce_specversion"], content_type or "application/json")
    named_in_envelope = _default_fields(attributes["ce_type"], header_text(named, "ce_time"))
    return Opened(with_defaults(value, named_in_envelope), attributes["ce_source"], attributes["ce_id"])


def _open_structured(value: bytes, content_type: str) -> Opened:
    if not content_type.lower().startswith("application/cloudevents+json"):
        raise _bad("only application/cloudevents+json is read, one event per record")
    event = structured(value)
    _check(event.specversion, event.datacontenttype)
    if (
        not (event.id and event.source and event.type)
        or max(len(event.id), len(event.source)) > _MAX_ATTRIBUTE_CHARS
    ):
        raise _bad("id, source and type must be there and not be empty")
    data = bytes(event.data) or _decoded(event.data_base64)
    return Opened(with_defaults(data, _default_fields(event.type, event.time)), event.source, event.id)


def structured(value: bytes) -> Structured:
    """Return a structured CloudEvent. Raises RefusalError."""
    try:
        return _decode_structured(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad(str(error)) from None
    except RecursionError:
        raise RefusalError(DeadLetterReason.TOO_DEEP, "the event is nested too deep to be opened") from None


def _check(version: str, content_type: str) -> None:
    if not version.startswith("1."):
        raise _bad("specversion is not 1.x")
    media_type = content_type.split(";", maxsplit=1)[0].strip().lower()
    if media_type not in {"application/json", "text/json"} and not media_type.endswith("+json"):
        raise _bad("the data is not JSON by its content type")


def _decoded(data_base64: str) -> bytes:
    try:
        data = b64decode(data_base64, validate=True)
    except ValueError:  # also of letters that are no ASCII
        raise _bad("data_base64 is not base64") from None
    if not data:
        raise _bad("no data")
    return data


def _default_fields(ce_type: str, ce_time: str) -> dict[str, str]:
    """Return the fields that the envelope can give: the last word of its type, before a version, and its time."""
    fields = {"type": last_word(ce_type)}
    if ce_time:
        fields["occurred_at"] = ce_time
    return fields


def last_word(dotted: str) -> str:
    """Return the last word of an event type, before a version such as `.v1`."""
    words = dotted.split(".")
    if len(words) > 1 and words[-1][:1] == "v" and words[-1][1:].isdigit():
        words.pop()
    return words[-1]


def with_defaults(value: bytes, defaults: dict[str, str]) -> bytes:
    """Put fields before an object's own fields: of two equal names, JSON readers take the last."""
    body = value.strip()
    if not body.startswith(b"{"):
        return value
    fields = json.dumps(defaults).encode()[:-1]
    rest = body[1:].lstrip()
    return fields + rest if rest.startswith(b"}") else fields + b"," + rest


def header_text(named: dict[str, bytes | None], name: str) -> str:
    """Return what a header says; "": it is not there. Raises RefusalError (BAD_ENVELOPE): no text, or too long."""
    content = named.get(name)
    if content is None:
        return ""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise _bad(f"header {name} is not UTF-8") from None
    if len(text) > _MAX_ATTRIBUTE_CHARS or not text.isprintable():
        raise _bad(
            f"header {name} is longer than {_MAX_ATTRIBUTE_CHARS} characters or has control characters"
        )
    return text


def _bad(detail: str) -> RefusalError:
    return RefusalError(DeadLetterReason.BAD_ENVELOPE, detail)
