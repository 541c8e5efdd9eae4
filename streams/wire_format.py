"""The wire format of Confluent's serializers: a magic byte 0, the id of a schema in four bytes, and data of that schema."""

import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from schemas.vocabulary import DeadLetterReason
from streams.payload_tree import GZIP
from streams.refusal import RefusalError

_FRAME_BYTES: Final = 5
_GUID_MAGIC: Final = 1

SchemaReader = Callable[[bytes], bytes]
"""Makes JSON of data that was written by one schema. Raises RefusalError."""


class Unusable(NamedTuple):
    """Why data of a schema cannot be read."""

    reason: DeadLetterReason
    detail: str


Schemas = Mapping[int, SchemaReader | Unusable]
"""By the ids of the registry."""


def open_frame(value: bytes, schemas: Schemas) -> bytes:
    """Return the JSON of what is in a frame. Raises RefusalError."""
    if len(value) < _FRAME_BYTES:
        raise _bad(f"{len(value)} bytes are too few for a schema's id")
    if value[0] == _GUID_MAGIC:
        raise _bad("the schema is named by a GUID: have the producer write the id of the schema")
    if value[0]:
        raise _bad(f"begins with byte {value[0]}, where a schema registry's serializer writes 0")
    number = int.from_bytes(value[1:_FRAME_BYTES], "big")
    known = schemas.get(number)
    if known is None:
        detail = f"schema {number} was not asked for"
        raise RefusalError(DeadLetterReason.SCHEMA_REGISTRY_UNAVAILABLE, detail)
    if isinstance(known, Unusable):
        raise RefusalError(known.reason, known.detail)
    return known(value[_FRAME_BYTES:])


def schema_ids(values: Iterable[bytes | None]) -> set[int]:
    """Return the ids of all schemas that are needed to read records."""
    return {number for value in values if value and (number := _schema_id(value)) is not None}


def _schema_id(value: bytes) -> int | None:
    if value.startswith(GZIP):
        try:
            value = zlib.decompressobj(wbits=31).decompress(value, _FRAME_BYTES)
        except zlib.error:
            return None
    if len(value) < _FRAME_BYTES or value[0]:
        return None
    return int.from_bytes(value[1:_FRAME_BYTES], "big")


def _bad(detail: str) -> RefusalError:
    return RefusalError(DeadLetterReason.BAD_ENVELOPE, detail)
