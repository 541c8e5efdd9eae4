"""Dead letters as people deal with them: which of them can go back to their topic, and what goes back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from schemas.dead_letter_outcomes import LetterOutcome, Outcome
from schemas.dead_letters import DeadLetter, Headers, Redriven, headers_of_record
from schemas.sealed_letters import Original

PLACE: Final = re.compile(r"[A-Za-z0-9._-]{1,249}/[0-9]{1,10}@[0-9]{1,19}")
"""`topic/partition@offset`, as cases name their evidence."""


def place_of(topic: str, partition: int, offset: int) -> str:
    """Where a record lies, in one word."""
    return f"{topic}/{partition}@{offset}"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, and the refused record in it."""

    header: DeadLetter
    lies_at: str
    """Where the letter itself lies."""
    written_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    """The record's own."""
    sealed: bytes | None = None
    """All three of them, as long as nobody has opened it (agents/letter_sealing.py)."""
    broken: bool = False
    """It is sealed, and does not open with a key that it is sealed for."""

    @property
    def record(self) -> str:
        """Where the refused record lay."""
        return place_of(self.header.topic, self.header.partition, self.header.offset)

    @property
    def identity(self) -> tuple[str, str]:
        """What all letters of one refused record share."""
        return self.record, self.header.sha256

    @property
    def first_refused_at(self) -> str:
        """When its first letter was written."""
        written_at = datetime.fromtimestamp(self.written_ms // 1000, UTC)
        return self.header.first_refused_at or f"{written_at:%Y-%m-%dT%H:%M:%SZ}"

    def without_record(self) -> "Letter":
        """The same, light: to be listed."""
        return replace(self, key=None, value=None, headers=[], sealed=None)

    def opened(self, original: Original) -> "Letter":
        """The same, with what was sealed in it."""
        return replace(self, key=original.key, value=original.value, headers=original.headers, sealed=None)


def read_letter(
    lies_at: str,
    written_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
) -> Letter | None:
    """Return the letter in a record of `dead-letters`; None: it is none."""
    try:
        header = DeadLetter.from_headers(headers)
    except msgspec.ValidationError:
        return None
    if header.sealed:
        return Letter(header, lies_at, written_ms, None, None, [], sealed=value or b"")
    # One without key and value has an empty value: Kafka's clients do not send it else.
    original = None if header.size < 0 else value
    return Letter(header, lies_at, written_ms, key, original, headers_of_record(headers))


class Obstacle(StrEnum):
    """Why a letter is not redriven."""

    REDRIVEN = "redriven"
    DISCARDED = "discarded"
    CUT = "cut"
    INCOMPLETE = "incomplete"
    SEALED = "sealed"
    ALTERED = "altered"
    EMPTY = "empty"
    OTHER_TOPIC = "other_topic"
    NO_PARTITION = "no_partition"
    TOO_OFTEN = "too_often"


OBSTACLES: Final[dict[Obstacle, tuple[str, str]]] = {
    Obstacle.REDRIVEN: ("was redriven before", "--again sends it once more"),
    Obstacle.DISCARDED: ("was discarded", "--again sends it nevertheless"),
    Obstacle.CUT: (
        "only its first bytes were kept",
        "have its producer send it again, then discard the letter",
    ),
    Obstacle.INCOMPLETE: (
        "its key or headers were too large to be kept",
        "have its producer send it again, then discard the letter",
    ),
    Obstacle.SEALED: (
        "is sealed, and no key that was given opens it",
        "give --identity FILE, the private key of a fingerprint that it is sealed for; if all are lost, have its producer send "
        "it again, then discard the letter",
    ),
    Obstacle.ALTERED: ("its bytes are not those that were refused", "find out who writes to this topic"),
    Obstacle.EMPTY: ("has neither key nor value", "discard it: there is nothing to send"),
    Obstacle.OTHER_TOPIC: (
        "its topic is no input of these settings",
        "name the topic as the workers do, as with --scans-topic; nobody would read it there else",
    ),
    Obstacle.NO_PARTITION: (
        "its partition is not there",
        "was the topic made anew? Have its producer send it again",
    ),
    Obstacle.TOO_OFTEN: (
        "was redriven and refused too often",
        "mend the cause first; then give a higher --max-redrives",
    ),
}
"""What is in the way, and what to do."""


class Terms(NamedTuple):
    """What may be redriven."""

    inputs: Mapping[str, int]
    """Input topic -> its partitions."""
    most_redrives: int
    again: bool
    """Also what was redriven or discarded."""
    audit_id: str
    """What was decided under this id is not decided again."""


def obstacle(letter: Letter, outcome: LetterOutcome | None, terms: Terms) -> Obstacle | None:
    """Why the letter is not redriven; None: it is. `outcome`: what was decided about it last."""
    if outcome is not None and (not terms.again or outcome.audit_id == terms.audit_id):
        return dealt_with(outcome)
    return _damage(letter) or _no_way_back(letter, outcome, terms)


def dealt_with(outcome: LetterOutcome) -> Obstacle:
    """What was decided about a letter, as what is in the way of deciding it again."""
    return Obstacle.REDRIVEN if outcome.outcome is Outcome.REDRIVEN else Obstacle.DISCARDED


def _damage(letter: Letter) -> Obstacle | None:
    header, value = letter.header, letter.value
    if header.truncated:
        return Obstacle.CUT
    if header.left_out:
        return Obstacle.INCOMPLETE
    if (hindrance := not_opened(letter)) is not None:
        return hindrance
    if letter.key is None and value is None:
        return Obstacle.EMPTY
    digest = "" if value is None else sha256(value).hexdigest()
    return Obstacle.ALTERED if digest != header.sha256 else None


def not_opened(letter: Letter) -> Obstacle | None:
    """Why the record in a sealed letter cannot be read; None: it can."""
    if letter.broken:
        return Obstacle.ALTERED
    return Obstacle.SEALED if letter.sealed is not None else None


def _no_way_back(letter: Letter, outcome: LetterOutcome | None, terms: Terms) -> Obstacle | None:
    partitions = terms.inputs.get(letter.header.topic)
    if partitions is None:
        return Obstacle.OTHER_TOPIC
    if not 0 <= letter.header.partition < partitions:
        return Obstacle.NO_PARTITION
    return Obstacle.TOO_OFTEN if times_redriven(letter, outcome) >= terms.most_redrives else None


def times_redriven(letter: Letter, outcome: LetterOutcome | None) -> int:
    """How often the record has been redriven: before it was refused, and from this letter."""
    return max(letter.header.redrives, outcome.redrives if outcome is not None else 0)


def history(letter: Letter, outcome: LetterOutcome | None) -> Redriven:
    """What a record says of itself when it is redriven from this letter now."""
    return Redriven(times_redriven(letter, outcome) + 1, letter.lies_at, letter.first_refused_at)
