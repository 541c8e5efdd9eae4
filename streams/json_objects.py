"""JSON that is opened only so far as needed: what is passed on is not read, and so not changed."""

from typing import Any

import msgspec

from schemas.vocabulary import DeadLetterReason
from streams.reading import MAX_DEPTH, check_utf8
from streams.refusal import RefusalError

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_anything = msgspec.json.Decoder().decode
_SPACE = b" \t\r\n"


def fields_of(value: bytes) -> dict[str, bytes]:
    """Return the name and JSON of each field of an object. Raises RefusalError."""
    if not begins_with(value, b"{"):
        raise RefusalError(DeadLetterReason.NOT_AN_OBJECT, "the value is not a JSON object")
    try:
        return {name: bytes(raw) for name, raw in _fields(value).items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(value, error) from None


def text_in(value: bytes) -> str:
    """Return what a JSON text says. Raises RefusalError: it is none."""
    try:
        return _text(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refused(value, error) from None


def tree_of(value: bytes) -> Any:
    """Return all that a JSON text holds. Raises RefusalError."""
    try:
        return _anything(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(value, error) from None


def json_of(tree: Any) -> bytes:
    """Write plain values as JSON. Raises RefusalError: too deep, or a number or text that JSON cannot hold."""
    try:
        return msgspec.json.encode(tree)
    except RecursionError as error:
        raise refused(b"", error) from None
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError):
        detail = "a value that JSON cannot hold, such as half of a character"
        raise RefusalError(DeadLetterReason.BAD_VALUE, detail) from None


def begins_with(value: bytes, begin: bytes) -> bool:
    """Whether a JSON value begins so, behind white space."""
    return value.startswith(begin) or value.lstrip(_SPACE).startswith(begin)


def refused(value: bytes, error: Exception) -> RefusalError:
    """Say why a JSON text could not be read."""
    if isinstance(error, RecursionError):
        return RefusalError(DeadLetterReason.TOO_DEEP, f"nested deeper than {MAX_DEPTH}")
    try:
        check_utf8(value)
    except RefusalError as refusal:
        return refusal
    return RefusalError(DeadLetterReason.NOT_JSON, str(error))
