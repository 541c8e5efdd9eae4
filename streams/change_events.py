"""Changes of rows as Debezium writes them: the row after the change is the message.

Whole (`before`, `after`, `op`, `source`) or unwrapped (`ExtractNewRecordState`), with the schema beside it or without. A row that
is deleted is no event: tables are tidied up, and what was told of a return stays told.
"""

from typing import Final

from schemas.envelopes import NoEvent
from schemas.vocabulary import DeadLetterReason
from streams.column_types import plain_row
from streams.json_objects import begins_with, fields_of, json_of, text_in, tree_of
from streams.refusal import RefusalError

_NULL: Final = b"null"
_WITH_SCHEMA: Final = frozenset({"schema", "payload"})
_ROW_AFTER: Final = frozenset({"c", "u", "r"})
"""Created, updated, read by a snapshot."""
_NO_ROW: Final = {"d": NoEvent.DELETED, "t": NoEvent.TRUNCATED}
_NOT_SENT: Final = "__debezium_unavailable_value"
"""What stands in a column whose large value did not change and so was not in the database's log."""


def open_change(value: bytes | None) -> bytes | NoEvent:
    """Return the row as JSON, or why there is none. Raises RefusalError."""
    if value is None:
        return NoEvent.TOMBSTONE
    payload, schema = without_schema(value)
    if payload == _NULL:
        return NoEvent.TOMBSTONE
    fields = fields_of(payload)
    found, inside = (_after(fields), "after") if _is_change(fields) else (_unwrapped(fields, payload), "")
    if isinstance(found, NoEvent):
        return found
    if schema == _NULL and _NOT_SENT.encode() not in found:
        return found
    row = tree_of(found)
    if isinstance(row, dict):
        row = {name: one for name, one in row.items() if one not in (_NOT_SENT, [_NOT_SENT])}
    return json_of(plain_row(row, schema, inside) if schema != _NULL else row)


def without_schema(value: bytes) -> tuple[bytes, bytes]:
    """Return (payload, schema) of what Kafka Connect's JSON converter wrote; without a schema that is `null`."""
    if not begins_with(value, b"{"):
        return value, _NULL
    fields = fields_of(value)
    if fields.keys() != _WITH_SCHEMA:
        return value, _NULL
    return fields["payload"], fields["schema"]


def _is_change(fields: dict[str, bytes]) -> bool:
    rows = "before" in fields or "after" in fields
    return (rows and ("op" in fields or "source" in fields)) or ("op" in fields and "source" in fields)


def _after(fields: dict[str, bytes]) -> bytes | NoEvent:
    op = _word(fields, "op")
    gone = _NO_ROW.get(op)
    if gone is not None:
        return gone
    if op not in _ROW_AFTER:
        raise _bad("a change event without op" if not op else "op is none of c, u, r, d, t")
    row = fields.get("after", _NULL)
    if row == _NULL:
        raise _bad(f"a change event with op {op} and without after: have the connector send whole rows")
    if begins_with(row, b'"'):
        return text_in(row).encode("utf-8", "replace")  # a document, from MongoDB
    return row


def _unwrapped(fields: dict[str, bytes], row: bytes) -> bytes | NoEvent:
    if _word(fields, "__deleted") == "true":
        return NoEvent.DELETED
    return _NO_ROW.get(_word(fields, "__op"), row)


def _word(fields: dict[str, bytes], name: str) -> str:
    """What a field says, written as a text or not."""
    return fields.get(name, b"").strip(b'"').decode("utf-8", "replace")


def _bad(detail: str) -> RefusalError:
    return RefusalError(DeadLetterReason.BAD_ENVELOPE, detail)
