"""What was done with a dead letter: the records of `dead-letter-outcomes`, written by `returnwatch dlq redrive|discard`.

The key is the place of the refused record, so that all letters of one record (a killed worker writes a second one) share
their outcomes. The newest one counts.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from schemas.vocabulary import DeadLetterReason

MOST_WHY_CHARS = 200


class Outcome(StrEnum):
    """What became of a dead letter."""

    REDRIVEN = "redriven"
    DISCARDED = "discarded"


class LetterOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One decision about one refused record."""

    record: Annotated[str, msgspec.Meta(description="The refused record: topic/partition@offset.")]
    sha256: Annotated[
        str,
        msgspec.Meta(description="Of its value; tells it from one at the same place of a topic made anew."),
    ]
    letter: Annotated[str, msgspec.Meta(description="Its dead letter: topic/partition@offset.")]
    reason: DeadLetterReason
    outcome: Outcome
    by: Annotated[str, msgspec.Meta(description="Who decided: an opaque id.")]
    why: Annotated[str, msgspec.Meta(description="In the words of whoever decided; may be empty.")] = ""
    at: Annotated[datetime, msgspec.Meta(description="By the clock of the command line.")]
    audit_id: Annotated[str, msgspec.Meta(description="What decisions made together share.")]
    redrives: Annotated[int, msgspec.Meta(description="How often the record has been redriven.")] = 0
    sent_to: Annotated[
        str, msgspec.Meta(description="Where it lies now: topic/partition@offset; empty when discarded.")
    ] = ""


def encode_outcome(outcome: LetterOutcome) -> bytes:
    """The value of a record of `dead-letter-outcomes`."""
    return msgspec.json.encode(outcome)


decode_outcome = msgspec.json.Decoder(LetterOutcome).decode
"""Raises msgspec.DecodeError for anything else."""
