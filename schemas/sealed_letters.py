"""How the refused record in a dead letter is laid out when it is sealed to public keys (docs/dead-letters.md).

Bytes and lengths only: what seals and opens them is agents/letter_sealing.py. All numbers are big-endian.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from schemas.dead_letters import SEALED_FORM, DeadLetter, Headers, KeptLetter

MOST_RECIPIENTS: Final = 8
FINGERPRINT_BYTES: Final = 8
WRAPPED_BYTES: Final = 80
"""The content key for one recipient: HPKE's encapsulated key (32), the key (32), its tag (16)."""
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16

_MAGIC: Final = b"RWSL"
_HEAD: Final = struct.Struct(">4sBB")
_LENGTH: Final = struct.Struct(">i")
_NULL: Final = -1
_MOST_PLACE_BYTES: Final = 249 + len("/") + 10 + len("@") + 19
_CONTEXT: Final = b"returnwatch dead letter 1\x00"
_BOUND: Final = (
    "topic",
    "partition",
    "offset",
    "reason",
    "size",
    "sha256",
    "truncated",
    "first-bytes",
    "left-out",
    "redrives",
    "redriven-from",
    "first-refused-at",
    "sealed-for",
)
"""Headers that a sealed record is bound to: its place, and what decides whether and how it goes back. Never changes in form 1."""


class SealedFormError(ValueError):
    """Bytes that are not laid out as they must be."""


class Original(NamedTuple):
    """What a letter keeps of the refused record."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Wrapped(NamedTuple):
    """The content key, sealed to one public key."""

    fingerprint: bytes
    sealed_key: bytes


class Sealed(NamedTuple):
    """A sealed record in its parts."""

    wrapped: Sequence[Wrapped]
    nonce: bytes
    content: bytes
    """Encrypted, its tag behind it."""

    def head(self) -> bytes:
        """All that is before the nonce."""
        parts = [part for one in self.wrapped for part in one]
        return b"".join([_HEAD.pack(_MAGIC, SEALED_FORM, len(self.wrapped)), *parts])

    def pack(self) -> bytes:
        """The value of the letter."""
        return self.head() + self.nonce + self.content


def read_sealed(value: bytes) -> Sealed:
    """Take the value of a letter apart. Raises SealedFormError."""
    if len(value) < _HEAD.size:
        raise SealedFormError("too short")
    magic, form, count = _HEAD.unpack_from(value)
    if magic != _MAGIC or form != SEALED_FORM or not 1 <= count <= MOST_RECIPIENTS:
        raise SealedFormError("does not begin as a sealed record does")
    each = FINGERPRINT_BYTES + WRAPPED_BYTES
    end = _HEAD.size + count * each
    if len(value) < end + NONCE_BYTES + TAG_BYTES:
        raise SealedFormError("too short")
    wrapped = [
        Wrapped(value[at : at + FINGERPRINT_BYTES], value[at + FINGERPRINT_BYTES : at + each])
        for at in range(_HEAD.size, end, each)
    ]
    return Sealed(wrapped, value[end : end + NONCE_BYTES], value[end + NONCE_BYTES :])


def bound_to(letter: DeadLetter) -> bytes:
    """What a sealed record is bound to: opened under other headers, it does not open."""
    texts = dict(letter.headers())
    return _CONTEXT + b"".join(_packed(texts[f"returnwatch-{name}"]) for name in _BOUND)


def pack_original(original: Original | KeptLetter) -> bytes:
    """The bytes that are encrypted."""
    parts = [_packed(original.key), _packed(original.value), _LENGTH.pack(len(original.headers))]
    for name, content in original.headers:
        parts += [_packed(name.encode()), _packed(content)]
    return b"".join(parts)


def unpack_original(content: bytes) -> Original:
    """Read what `pack_original` wrote. Raises SealedFormError."""
    reader = _Reader(content)
    key, value = reader.part(), reader.part()
    headers: Headers = []
    for _ in range(reader.length()):
        headers.append((_name(reader.part()), reader.part()))
    reader.end()
    return Original(key, value, headers)


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def length(self) -> int:
        return int(_LENGTH.unpack(self._take(_LENGTH.size))[0])

    def part(self) -> bytes | None:
        length = self.length()
        return None if length == _NULL else self._take(length)

    def end(self) -> None:
        if self._at != len(self._content):
            raise SealedFormError("something is behind the last header")

    def _take(self, count: int) -> bytes:
        if not 0 <= count <= len(self._content) - self._at:
            raise SealedFormError("ends too early")
        self._at += count
        return self._content[self._at - count : self._at]


def _packed(part: bytes | None) -> bytes:
    return _LENGTH.pack(_NULL) if part is None else _LENGTH.pack(len(part)) + part


def _name(part: bytes | None) -> str:
    try:
        return (part or b"").decode()
    except UnicodeDecodeError as error:
        raise SealedFormError("a header's name is no text") from error


def sealing_bytes(recipients: int) -> int:
    """How much larger than the record itself its letter may be for being sealed: its place as key, and all around the content."""
    around = _HEAD.size + NONCE_BYTES + TAG_BYTES + 3 * _LENGTH.size
    each = FINGERPRINT_BYTES + WRAPPED_BYTES + len("0123456789abcdef,")
    return _MOST_PLACE_BYTES + around + recipients * each
