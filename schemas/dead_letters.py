"""What `dead-letters` holds: the refused record as it came, and headers that say where from, why, and what to do.

Header names begin with `returnwatch-`. The record's own headers follow ours as long as there is room, so that a
mended record can be sent again with its envelope.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, NamedTuple

import msgspec

from schemas.topics import DEAD_LETTER_ROOM, KIB, MAX_RECORD_BYTES
from schemas.vocabulary import DeadLetterReason

FIRST_BYTES = 64 * KIB
"""How much is kept of a record that is too large for the topic."""
_MAX_DETAIL_CHARS = 500
_ORIGINAL_HEADER_BYTES = 16 * KIB
_OWN_BYTES = 6 * KIB
"""Room for our own headers and for what Kafka puts around a record."""

Headers = list[tuple[str, bytes | None]]


def _header_name(field: str) -> str:
    return "returnwatch-" + field.replace("_", "-")


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, rename=_header_name):
    """Headers of a dead letter; every value is UTF-8 text."""

    reason: DeadLetterReason
    stage: Annotated[str, msgspec.Meta(description="Where it was refused: intake.")] = "intake"
    topic: str
    partition: int
    offset: int
    detail: Annotated[str, msgspec.Meta(description="What is wrong; names fields, not their contents.")]
    action: Annotated[str, msgspec.Meta(description="What the producer can do.")]
    size: Annotated[int, msgspec.Meta(description="Bytes of the original value; -1 when it was null.")]
    sha256: Annotated[
        str, msgspec.Meta(description="Of the original value, hexadecimal; empty when it was null.")
    ]
    truncated: Annotated[bool, msgspec.Meta(description="The value is only the first bytes of the original.")]
    first_bytes: Annotated[int, msgspec.Meta(description="How many bytes of the original the value holds.")]

    def headers(self) -> Headers:
        """Return the record headers, in the order of the fields."""
        fields = msgspec.to_builtins(self)
        return [(name, _text(value).encode()) for name, value in fields.items()]

    @classmethod
    def from_headers(cls, headers: Sequence[tuple[str, bytes | None]]) -> "DeadLetter":
        """Read what `headers` wrote. Raises msgspec.ValidationError when some are missing or wrong."""
        named = {
            name: (content or b"").decode() for name, content in headers if name.startswith("returnwatch-")
        }
        return msgspec.convert(named, cls, strict=False)


class DeadLetterRecord(NamedTuple):
    """A record ready to be produced to `dead-letters`."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter_record(  # noqa: PLR0913 - the record as it was read, and why it was refused
    *,
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    original_headers: Sequence[tuple[str, bytes | None]],
    reason: DeadLetterReason,
    detail: str,
    action: str,
    max_message_bytes: int = MAX_RECORD_BYTES + DEAD_LETTER_ROOM,
) -> DeadLetterRecord:
    """Return the dead letter of a refused record, cut to its first 64 KiB where the topic cannot hold it.

    `max_message_bytes` is the topic's `max.message.bytes`. A key that has no room either is left out.
    """
    kept_headers = list(original_headers) if _bytes_of(original_headers) <= _ORIGINAL_HEADER_BYTES else []
    kept_key = key if key is None or len(key) <= _ORIGINAL_HEADER_BYTES else None
    around = _bytes_of(kept_headers) + len(kept_key or b"") + _OWN_BYTES
    room = max(max_message_bytes - around, 0)
    truncated = value is not None and len(value) > room
    kept = value[: min(FIRST_BYTES, room)] if value is not None and truncated else value
    letter = DeadLetter(
        reason=reason,
        topic=topic,
        partition=partition,
        offset=offset,
        detail=detail[:_MAX_DETAIL_CHARS],
        action=action,
        size=-1 if value is None else len(value),
        sha256="" if value is None else sha256(value).hexdigest(),
        truncated=truncated,
        first_bytes=len(kept or b""),
    )
    return DeadLetterRecord(kept_key, kept, letter.headers() + kept_headers)


def _bytes_of(headers: Sequence[tuple[str, bytes | None]]) -> int:
    return sum(len(name.encode()) + len(content or b"") + 10 for name, content in headers)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
