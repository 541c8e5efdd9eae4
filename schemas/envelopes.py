"""What may be around the messages of an input topic, as the setting `envelopes` names it (docs/envelopes.md)."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Envelope(StrEnum):
    """One layer. Plain JSON, CloudEvents and gzip are seen by themselves and have no name."""

    CONFLUENT = "confluent"
    """A magic byte, the id of a schema in a registry, and Avro, JSON or Protobuf."""
    DEBEZIUM = "debezium"
    """A change of a row: the row after it is the message."""
    OUTBOX = "outbox"
    """A row of an outbox table, as Debezium's event router writes it: its payload is the message."""


INSIDE: Final = "+"
"""Between two layers, the outer first."""
CHAINS: Final[dict[str, tuple[Envelope, ...]]] = {
    INSIDE.join(chain): chain
    for inner in ((), (Envelope.DEBEZIUM,), (Envelope.OUTBOX,))
    for chain in (inner, (Envelope.CONFLUENT, *inner))
    if chain
}
"""Everything that a topic can be said to be written in."""


def needs_registry(entries: Iterable[str]) -> bool:
    """Whether some `topic=envelope` entry names one that cannot be opened without a schema registry."""
    return any(Envelope.CONFLUENT in CHAINS.get(entry.partition("=")[2], ()) for entry in entries)


class NoEvent(StrEnum):
    """Records that are in order and tell of nothing that happened to a return. Bounded: a metrics label."""

    DELETED = "deleted"
    """A row was deleted: that is housekeeping of a table, not a cancellation."""
    TRUNCATED = "truncated"
    """All rows of a table were deleted at once."""
    TOMBSTONE = "tombstone"
    """No value: for the compaction of the topic."""
