"""From the bytes of one record to one event of the contract, or to the reason why not.

The fast decoder answers for good records; only what it refuses is looked at again, slowly, to name the reason.
"""

import json
import re
from typing import Annotated, Any, Final, Union

import msgspec
from pydantic import Field, TypeAdapter, ValidationError

from schemas.decoding import event_decoder
from schemas.event_fields import InputEvent
from schemas.events import EVENT_MODELS, KIND_OF_TYPE
from schemas.topics import InputKind
from schemas.vocabulary import DeadLetterReason
from streams.refusal import RefusalError

MAX_DEPTH: Final = 64
_SMALL_BYTES = 512
"""A record this small cannot nest deep enough to harm anything: it is measured only when it is refused."""
_SHOWN_FINDINGS = 3
_NAME_OF_TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_OTHER_ENCODINGS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"{\x00", b"\x00{", b"\x00\x00\x00{")
"""How JSON objects begin with a byte order mark, and in UTF-16 and UTF-32 without one."""
_any_json = msgspec.json.Decoder(msgspec.Raw).decode


class _NotFiniteError(ValueError):
    pass


def sized(value: bytes | None, max_bytes: int) -> bytes:
    """Return the value of a record. Raises RefusalError if it has none, or one that is too large."""
    if value is None:
        raise RefusalError(DeadLetterReason.NULL_VALUE, "the record has no value")
    if len(value) > max_bytes:
        raise RefusalError(DeadLetterReason.TOO_LARGE, f"{len(value)} bytes, the limit is {max_bytes}")
    return value


class EventReader:
    """Reads the records of one kind of input topic."""

    def __init__(self, kind: InputKind, max_bytes: int) -> None:
        self._kind = kind
        self._max_bytes = max_bytes
        self._decode = event_decoder(kind)
        union: Any = Annotated[Union[EVENT_MODELS[kind]], Field(discriminator="type")]  # noqa: UP007 - made from a tuple
        self._contract: TypeAdapter[InputEvent] = TypeAdapter(union)

    def check(self, value: bytes | None) -> bytes:
        """Return the value if it is safe to decode. Raises RefusalError (null, too large, too deep, not UTF-8)."""
        value = sized(value, self._max_bytes)
        if not value.isascii():
            check_utf8(value)
        if len(value) > _SMALL_BYTES:
            _check_depth(value)
        return value

    def read(self, value: bytes) -> InputEvent:
        """Return the event in a checked value. Raises RefusalError with the reason."""
        try:
            return self._decode(value)
        except msgspec.DecodeError:
            return self._read_slowly(value)

    def _read_slowly(self, value: bytes) -> InputEvent:
        check_json(value)
        try:
            return self._contract.validate_json(value)
        except ValidationError as refusal:
            findings = refusal.errors(include_url=False, include_context=False, include_input=False)
        first = findings[0]["type"]
        if first == "union_tag_invalid":
            raise self._wrong_type_of_event(value)
        if first == "union_tag_not_found":
            raise RefusalError(DeadLetterReason.MISSING_FIELD, "type: Field required")
        detail = "; ".join(_finding(finding) for finding in findings[:_SHOWN_FINDINGS])
        raise RefusalError(_reason_of(first), detail)

    def _wrong_type_of_event(self, value: bytes) -> RefusalError:
        name = json.loads(value)["type"]
        if not isinstance(name, str):
            return RefusalError(DeadLetterReason.WRONG_TYPE, "type: Input should be a valid string")
        kind = KIND_OF_TYPE.get(name)
        if kind is not None:
            detail = f"type {name} belongs on {kind.value}, this topic is {self._kind.value}"
            return RefusalError(DeadLetterReason.WRONG_TOPIC, detail)
        shown = repr(name) if _NAME_OF_TYPE.fullmatch(name) else f"a text of {len(name)} characters"
        return RefusalError(DeadLetterReason.UNKNOWN_TYPE, f"type: {shown} is not in the contract")


def check_utf8(value: bytes) -> None:
    """Raise RefusalError unless the value is UTF-8."""
    try:
        value.decode()
    except UnicodeDecodeError as error:
        detail = f"not UTF-8 at byte {error.start}"
        raise RefusalError(DeadLetterReason.WRONG_ENCODING, detail) from None


def _check_depth(value: bytes) -> None:
    """Measure the nesting outside strings, if there are brackets enough; one in a text nests nothing."""
    if value.count(b"{") + value.count(b"[") <= MAX_DEPTH:
        return
    depth, in_text, escaped = 0, False, False
    for byte in value:
        if in_text:
            in_text = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            in_text = True
        elif byte in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise RefusalError(DeadLetterReason.TOO_DEEP, f"nested deeper than {MAX_DEPTH}")
        elif byte in b"}]":
            depth -= 1


def check_json(value: bytes) -> None:
    """Raise RefusalError unless the value is one JSON object, not too deep."""
    if value.startswith(_OTHER_ENCODINGS):
        raise RefusalError(DeadLetterReason.WRONG_ENCODING, "a byte order mark, or UTF-16 or UTF-32")
    _check_depth(value)
    try:
        _any_json(value)
    except msgspec.DecodeError as error:
        if _has_infinite_numbers(value):
            raise RefusalError(DeadLetterReason.NOT_FINITE, "NaN or Infinity is no JSON number") from None
        magic = "; begins like a schema registry's binary format" if value.startswith(b"\x00") else ""
        raise RefusalError(DeadLetterReason.NOT_JSON, f"{error}{magic}") from None
    if not value.lstrip().startswith(b"{"):
        raise RefusalError(DeadLetterReason.NOT_AN_OBJECT, "the value is not a JSON object")


def _has_infinite_numbers(value: bytes) -> bool:
    try:
        json.loads(value, parse_constant=_refuse_constant)
    except _NotFiniteError:
        return True
    except ValueError:
        return False
    return False


def _refuse_constant(name: str) -> None:
    raise _NotFiniteError(name)


def _finding(finding: Any) -> str:
    path = ".".join(str(part) for part in finding["loc"][1:])
    return f"{path}: {finding['msg']}" if path else str(finding["msg"])


def _reason_of(error_type: str) -> DeadLetterReason:
    if error_type == "missing":
        return DeadLetterReason.MISSING_FIELD
    if error_type == "finite_number":
        return DeadLetterReason.NOT_FINITE
    if error_type.endswith("_type"):
        return DeadLetterReason.WRONG_TYPE
    return DeadLetterReason.BAD_VALUE
