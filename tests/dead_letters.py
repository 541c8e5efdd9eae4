"""Dead letters as intake would have written them, and records as intake reads them, for tests."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from schemas.dead_letters import DeadLetterRecord, KeptLetter, kept_letter
from schemas.vocabulary import DeadLetterReason
from streams.refusal import ACTIONS

WRITTEN_MS = 1_772_445_600_000
"""2026-03-02T10:00:00Z"""


class Refusal(NamedTuple):
    """A refused record, and why."""

    offset: int
    value: bytes | None = b"{oops"
    key: bytes | None = b"k"
    headers: Sequence[tuple[str, bytes | None]] = ()
    reason: DeadLetterReason = DeadLetterReason.NOT_JSON
    topic: str = "orders"
    partition: int = 0
    detail: str = "JSON is malformed"

    def letter(self, **more: Any) -> DeadLetterRecord:
        """The record of `dead-letters`."""
        return self.kept(**more).record()

    def kept(self, **more: Any) -> KeptLetter:
        """What goes into it."""
        return kept_letter(
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            key=self.key,
            value=self.value,
            original_headers=self.headers,
            reason=self.reason,
            detail=self.detail,
            action=ACTIONS[self.reason],
            **more,
        )


def event(**fields: object) -> bytes:
    """An event of the contract."""
    return json.dumps({"occurred_at": "2026-11-20T08:00:00+01:00", **fields}).encode()
