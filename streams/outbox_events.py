"""Rows of an outbox table as Debezium's event router writes them: the payload is the message, its id is in a header.

A payload is the value itself, or a text that holds it, with the schema of Kafka Connect around it or without.
"""

from typing import Final

import msgspec

from schemas.envelopes import NoEvent
from streams.change_events import without_schema
from streams.envelope import Headers, Wrapped, header_text, last_word
from streams.json_objects import begins_with, fields_of, text_in
from streams.refusal import RefusalError

_ID: Final = "id"
_TYPES: Final = ("eventtype", "type")
_CLOUD_EVENT: Final = frozenset({"specversion", "id", "source", "type"})
_STRUCTURED: Final[Headers] = (("content-type", b"application/cloudevents+json"),)


def open_outbox(value: bytes | None, headers: Headers) -> Wrapped | NoEvent:
    """Return the payload, and what the headers say of it. Raises RefusalError."""
    if value is None:
        return NoEvent.TOMBSTONE
    payload, _ = without_schema(value)
    if begins_with(payload, b'"'):
        payload = text_in(payload).encode("utf-8", "replace")
    if payload in {b"null", b""}:
        return NoEvent.TOMBSTONE
    if (
        b'"specversion"' in payload
        and begins_with(payload, b"{")
        and fields_of(payload).keys() >= _CLOUD_EVENT
    ):
        return Wrapped(payload, _STRUCTURED, {})
    named = {name.lower(): content for name, content in headers}
    told = {name: _told(named, name) for name in (_ID, *_TYPES)}
    event_type = next((told[name] for name in _TYPES if told[name]), "")
    defaults = {"type": last_word(event_type)} if event_type else {}
    if told[_ID]:
        defaults["id"] = told[_ID]
    return Wrapped(payload, (), defaults)


def _told(named: dict[str, bytes | None], name: str) -> str:
    """What a header says: a text, or JSON around one, as its converter wrote it."""
    text = header_text(named, name)
    if not text.startswith(('"', "{")):
        return text
    try:
        said = msgspec.json.decode(without_schema(text.encode())[0])
    except (msgspec.DecodeError, RefusalError):
        return text
    return said if isinstance(said, str) else text
