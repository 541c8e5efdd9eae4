"""What a simulated shop's workers would have written to the output topics: for tests of the board, and for its screenshots."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from agents.board.index_writing import IndexWriter
from agents.settings import Settings
from agents.virtual_time import InputRecord, VirtualTime
from schemas.dead_letters import kept_letter
from schemas.facts import MARKER_KEY
from schemas.policy_loading import default_policy
from schemas.topics import InputKind, TopicNames
from simulation.happenings import SimEvent
from simulation.world import World
from streams.intake import Refused

ENDED_AT = datetime(2026, 11, 20, 9, 40, tzinfo=UTC)
"""When the shop of the tests stops, and its pages are looked at."""
STEP = timedelta(hours=1)
NAMES: TopicNames = Settings().topics


@dataclass
class Record:
    """As aiokafka gives it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


def numbered(records: Iterable[Record]) -> list[Record]:
    """The same, at the offsets that they would have."""
    ends: Counter[str] = Counter()
    found = []
    for record in records:
        record.offset = ends[record.topic]
        ends[record.topic] += 1
        found.append(record)
    return found


def index_of(file: Path, records: Iterable[Record], names: TopicNames = NAMES) -> IndexWriter:
    """An index that has taken these records in."""
    writer = IndexWriter(file, names)
    take_in(writer, records)
    return writer


def take_in(writer: IndexWriter, records: Iterable[Record]) -> None:
    """In one transaction."""
    known = list(records)
    positions: dict[tuple[str, int], int] = {(one.topic, one.partition): one.offset + 1 for one in known}
    writer.apply(known, positions)


class _Shop(VirtualTime):
    """Keeps the markers of one partition of `returns`, where the board looks for the feeds' rhythm."""

    def __init__(self) -> None:
        self.markers: list[tuple[int, bytes]] = []
        super().__init__(default_policy().to_log())

    def to_returns(self, number: int, key: bytes, value: bytes, at_ms: int) -> None:
        super().to_returns(number, key, value, at_ms)
        if key == MARKER_KEY:
            self.markers.append((at_ms, value))


@cache
def shop_records(returns: int, *, seed: int = 3, days: int = 30) -> list[Record]:
    """Everything that was said until ENDED_AT, by topic and in the order of each. Played once in a process."""
    start_at = ENDED_AT - timedelta(days=days)
    events = sorted(World(seed, returns, start_at, days).events, key=lambda event: event.appears_at)
    return numbered(_played([event for event in events if event.appears_at < ENDED_AT], start_at))


def _played(events: list[SimEvent], start_at: datetime) -> Iterator[Record]:
    engine, taken = _Shop(), 0
    offsets: defaultdict[str, int] = defaultdict(int)
    now = start_at
    while now < ENDED_AT:
        now = min(now + STEP, ENDED_AT)
        while taken < len(events) and events[taken].appears_at <= now:
            event = events[taken]
            record = InputRecord(offsets[event.kind], event.value, event.headers)
            offsets[event.kind] += 1
            taken += 1
            refused = engine.append([record], InputKind(event.kind), _ms(event.appears_at)).refused
            yield from (_letter(event.kind, one, _ms(event.appears_at)) for one in refused)
        engine.advance(_ms(now))
        for message in engine.said():
            if message.topic == "refund-signals":
                continue  # the board does not read them
            topic: str = getattr(NAMES, message.topic.replace("-", "_"))
            yield Record(topic, message.key, message.value, list(message.headers), timestamp=_ms(now))
    yield from (Record(NAMES.returns, MARKER_KEY, value, timestamp=at_ms) for at_ms, value in engine.markers)


def _letter(topic: str, refused: Refused, at_ms: int) -> Record:
    letter = kept_letter(
        topic=topic,
        partition=0,
        offset=refused.record.offset,
        key=refused.record.key,
        value=refused.record.value,
        original_headers=refused.record.headers,
        reason=refused.reason,
        detail=refused.detail,
        action=refused.action,
    ).record()
    return Record(NAMES.dead_letters, letter.key, letter.value, letter.headers, timestamp=at_ms)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1_000)
