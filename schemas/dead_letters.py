"""What `dead-letters` holds: the refused record as it came, and headers that say where from, why, and what to do.

Header names begin with `returnwatch-`. The record's own headers follow ours as long as there is room, so that the record
can be sent again with its envelope (`returnwatch dlq redrive`). What was redriven says so in its last three headers; when it
is refused once more, its letter says so in ours. Where dead letters are sealed, the record's own key, value and headers are all
in the value (schemas/sealed_letters.py), and the key is the record's place.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, NamedTuple

import msgspec

from schemas.topics import DEAD_LETTER_ROOM, KIB, MAX_RECORD_BYTES
from schemas.vocabulary import DeadLetterReason

FIRST_BYTES = 64 * KIB
"""How much is kept of a record that is too large for the topic."""
SEALED_FORM = 1
"""How a sealed record is laid out (schemas/sealed_letters.py)."""
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
    detail: Annotated[
        str, msgspec.Meta(description="What is wrong; names fields, and of their contents at most one word.")
    ]
    action: Annotated[str, msgspec.Meta(description="What the producer can do.")]
    size: Annotated[int, msgspec.Meta(description="Bytes of the original value; -1 when it was null.")]
    sha256: Annotated[
        str, msgspec.Meta(description="Of the original value, hexadecimal; empty when it was null.")
    ]
    truncated: Annotated[bool, msgspec.Meta(description="The value is only the first bytes of the original.")]
    first_bytes: Annotated[int, msgspec.Meta(description="How many bytes of the original the value holds.")]
    left_out: Annotated[
        str, msgspec.Meta(description="What there was no room for: key, headers, key+headers, or empty.")
    ] = ""
    redrives: Annotated[int, msgspec.Meta(description="How often the record had been redriven.")] = 0
    redriven_from: Annotated[
        str,
        msgspec.Meta(description="Its letter before this one, topic/partition@offset; empty: there is none."),
    ] = ""
    first_refused_at: Annotated[
        str, msgspec.Meta(description="When its first letter was written; empty: this is the first.")
    ] = ""
    sealed: Annotated[
        int,
        msgspec.Meta(
            description="Form in which the value holds the record's key, value and headers, encrypted; "
            "0: all of them are as they came."
        ),
    ] = 0
    sealed_for: Annotated[
        str,
        msgspec.Meta(description="Fingerprints of the public keys it is sealed for, with commas between."),
    ] = ""

    def headers(self) -> Headers:
        """Return the record headers, in the order of the fields."""
        fields = msgspec.to_builtins(self)
        return [(name, _text(value).encode()) for name, value in fields.items()]

    @classmethod
    def from_headers(cls, headers: Sequence[tuple[str, bytes | None]]) -> "DeadLetter":
        """Read what `headers` wrote. Raises msgspec.ValidationError when some are missing or wrong."""
        return msgspec.convert(_own(headers), cls, strict=False)


def headers_of_record(headers: Sequence[tuple[str, bytes | None]]) -> Headers:
    """Return the headers of a dead letter that are the refused record's own."""
    return list(headers[len(_own(headers)) :])


_OWN_NAMES = frozenset(field.encode_name for field in msgspec.structs.fields(DeadLetter))


def _own(headers: Sequence[tuple[str, bytes | None]]) -> Mapping[str, str]:
    """Our headers: those at the front, each once. A refused record may have headers of the same names, behind them."""
    own: dict[str, str] = {}
    for name, content in headers:
        if name not in _OWN_NAMES or name in own:
            break
        own[name] = (content or b"").decode(errors="replace")
    return own


class Redriven(NamedTuple):
    """What a redriven record says of itself, in headers behind its own."""

    times: int
    letter: str
    """Where the letter lies that it was redriven from."""
    first_refused_at: str
    """When its first letter was written: 2026-03-01T12:00:00Z."""

    def headers(self) -> Headers:
        """Return the record headers, in the order of the fields."""
        return [(name, str(text).encode()) for name, text in zip(_HISTORY, self, strict=True)]


_HISTORY = {
    "returnwatch-redrives": re.compile(rb"[1-9][0-9]{0,5}"),
    "returnwatch-redriven-from": re.compile(rb"[A-Za-z0-9._-]{1,249}/[0-9]{1,10}@[0-9]{1,19}"),
    "returnwatch-first-refused-at": re.compile(rb"[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z"),
}


def without_history(headers: Sequence[tuple[str, bytes | None]]) -> tuple[Headers, Redriven | None]:
    """Return the headers of a record as its producer sent it, and that it was redriven, if it was.

    Headers that only look like ours are the producer's.
    """
    own, last = list(headers[: -len(_HISTORY)]), list(headers[-len(_HISTORY) :])
    values = [content or b"" for _, content in last]
    if [name for name, _ in last] != list(_HISTORY) or not all(
        form.fullmatch(value) for form, value in zip(_HISTORY.values(), values, strict=True)
    ):
        return list(headers), None
    return own, Redriven(int(values[0]), values[1].decode(), values[2].decode())


class DeadLetterRecord(NamedTuple):
    """A record ready to be produced to `dead-letters`."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class KeptLetter(NamedTuple):
    """A dead letter before it is a record: our headers, and what is kept of the refused record."""

    letter: DeadLetter
    key: bytes | None
    value: bytes | None
    headers: Headers

    def record(self) -> DeadLetterRecord:
        """The record of a letter that is not sealed."""
        return DeadLetterRecord(self.key, self.value, self.letter.headers() + self.headers)


def kept_letter(  # noqa: PLR0913 - the record as it was read, and why it was refused
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
    sealed_for: Sequence[str] = (),
) -> KeptLetter:
    """Return the dead letter of a refused record, cut to its first 64 KiB where the topic cannot hold it.

    `max_message_bytes` is the topic's `max.message.bytes`, without what sealing takes. A key that has no room either is
    left out. `sealed_for`: fingerprints of the keys it is going to be sealed for.
    """
    own_headers, redriven = without_history(original_headers)
    kept_headers = own_headers if _bytes_of(own_headers) <= _ORIGINAL_HEADER_BYTES else []
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
        left_out="+".join(
            name
            for name, had, has in (("key", key, kept_key), ("headers", own_headers, kept_headers))
            if had and not has
        ),
        redrives=redriven.times if redriven is not None else 0,
        redriven_from=redriven.letter if redriven is not None else "",
        first_refused_at=redriven.first_refused_at if redriven is not None else "",
        sealed=SEALED_FORM if sealed_for else 0,
        sealed_for=",".join(sealed_for),
    )
    return KeptLetter(letter, kept_key, kept, kept_headers)


def _bytes_of(headers: Sequence[tuple[str, bytes | None]]) -> int:
    return sum(len(name.encode()) + len(content or b"") + 10 for name, content in headers)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
