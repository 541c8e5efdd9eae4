"""Dead letters and what was decided about them, read from their topics, each refused record once."""

from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from aiokafka import TopicPartition

from agents.errors import TopicsError
from agents.kafka_connection import open_consumer
from agents.letter_filter import LetterFilter
from agents.log_reading import partitions_of, read_to_end
from agents.settings import Settings
from schemas.dead_letter_outcomes import LetterOutcome, decode_outcome
from schemas.topics import MIB
from streams.letters import Letter, place_of, read_letter

SHOWN_UNREADABLE = 3
FETCH = {"max_partition_fetch_bytes": 4 * MIB}

Outcomes = dict[tuple[str, str], LetterOutcome]
"""By the letter's identity, the newest of each."""


async def read_outcomes(settings: Settings, *, required: bool = False) -> Outcomes:
    """What was decided so far.

    Raises:
        TopicsError: the topic is missing, and `required`. Before the first decision it need not be there.
    """
    try:
        partitions = await partitions_of(settings, settings.topics.dead_letter_outcomes)
    except TopicsError:
        if required:
            raise
        return {}
    outcomes: Outcomes = {}
    async with open_consumer(settings, **FETCH) as consumer:
        async for records in read_to_end(consumer, partitions):
            for record in records:
                outcome = _outcome(record.value)
                if outcome is not None:
                    outcomes[outcome.record, outcome.sha256] = outcome
    return outcomes


def _outcome(value: bytes | None) -> LetterOutcome | None:
    try:
        return decode_outcome(value or b"")
    except msgspec.DecodeError:
        return None


class LetterLog:
    """Reads the letters that a filter takes, in the order of each partition, without keeping them."""

    def __init__(self, settings: Settings, wanted: LetterFilter) -> None:
        self._settings = settings
        self._wanted = wanted
        self._seen: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
        self.topics: Counter[str] = Counter()
        """Topic -> letters from it, wanted or not."""
        self.repeats = 0
        """Further letters of one refused record: a worker was killed between the letter and its commit."""
        self.unreadable = 0
        """Records that are no dead letters."""
        self.unreadable_places: list[str] = []
        """Of the first of them."""

    async def read(self) -> AsyncGenerator[Letter]:
        """The wanted letters up to where the topic ended when this began; of each refused record the first."""
        partitions: list[TopicPartition] = await partitions_of(
            self._settings, self._settings.topics.dead_letters
        )
        async with open_consumer(self._settings, **FETCH) as consumer:
            async for records in read_to_end(consumer, partitions, since_ms=self._wanted.since_ms):
                for record in records:
                    letter = self._take(record)
                    if letter is not None:
                        yield letter

    def _take(self, record: Any) -> Letter | None:
        lies_at = place_of(record.topic, record.partition, record.offset)
        letter = read_letter(lies_at, record.timestamp, record.key, record.value, record.headers)
        if letter is None:
            self.unreadable += 1
            if len(self.unreadable_places) < SHOWN_UNREADABLE:
                self.unreadable_places.append(lies_at)
            return None
        self.topics[letter.header.topic] += 1
        if not self._wanted.takes(letter):
            return None
        seen = self._seen[f"{letter.header.topic}/{letter.header.partition}"]
        known = (letter.header.offset, letter.header.sha256[:16])
        if known in seen:
            self.repeats += 1
            return None
        seen.add(known)
        return letter
