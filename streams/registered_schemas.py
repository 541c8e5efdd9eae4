"""A schema as a registry gives it, and what reads the data that were written with it."""

from base64 import b64decode
from binascii import Error as NotBase64Error
from typing import Final, NamedTuple

from schemas.vocabulary import DeadLetterReason
from streams.avro_data import avro_reader
from streams.protobuf_data import ProtoFile, protobuf_reader
from streams.refusal import RefusalError
from streams.wire_format import SchemaReader, Unusable

AVRO: Final = "AVRO"
PROTOBUF: Final = "PROTOBUF"
JSON: Final = "JSON"
MAX_SCHEMA_BYTES: Final = 1 << 20


class Reference(NamedTuple):
    """A schema that another one names."""

    name: str
    """How it is imported."""
    schema: str


class Registered(NamedTuple):
    """A schema, with all that it needs."""

    id: int
    kind: str
    schema: str
    """Avro and JSON Schema as text, Protobuf as its descriptor in base64."""
    references: tuple[Reference, ...] = ()
    """Each behind those that it names itself."""


def reader_of(registered: Registered) -> SchemaReader | Unusable:
    """Return what makes JSON of data with this schema, or why nothing can."""
    try:
        return _reader(registered)
    except RefusalError as refusal:
        return Unusable(refusal.reason, f"schema {registered.id}: {refusal.detail}")


def _reader(registered: Registered) -> SchemaReader:
    size = sum(len(text) for text in (registered.schema, *(one.schema for one in registered.references)))
    if size > MAX_SCHEMA_BYTES:
        raise _bad(f"with its references it is larger than {MAX_SCHEMA_BYTES} bytes")
    if registered.kind == AVRO:
        return avro_reader(registered.schema, [one.schema for one in registered.references])
    if registered.kind == PROTOBUF:
        imports = [ProtoFile(one.name, _descriptor(one.schema)) for one in registered.references]
        return protobuf_reader(_descriptor(registered.schema), imports)
    if registered.kind == JSON:
        return bytes  # data of a JSON Schema are JSON
    raise _bad(f"its type {registered.kind[:32]!r} is none of {AVRO}, {JSON}, {PROTOBUF}")


def _descriptor(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64Error, ValueError):
        detail = "the registry gives Protobuf schemas as text only, not serialized"
        raise _bad(detail) from None


def _bad(detail: str) -> RefusalError:
    return RefusalError(DeadLetterReason.BAD_SCHEMA, detail)
