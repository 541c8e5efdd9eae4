"""Where a partition stands in its log, and the watermark that the markers in the log have proved so far.

A marker says "everything of source partition `s` that was appended before `t` lies before me". `seen` keeps the largest
`t` of each source, and the watermark is the smallest of them, once every source that must be there has been heard of.
All of it is a function of the partition's own records, so a replay stands where the first run stood.
"""

from collections.abc import Iterable

import msgspec

from schemas.facts import Backfill, Mark, Marker, Retirement
from streams.feeds import Feeds, FeedsState
from streams.state_version import LEAST_READER, STATE_VERSION, TRACES_READER, upgraded

HISTORICAL = "case_historical"
"""Note of a case that opens and was due before going live; its label is the rule."""
OPENED_OF = "opened_of"
"""Note of a case that opens; label: `rule|carrier`, without a carrier where it is about no parcel."""
STANDS, STANDS_NO_MORE = "case_stands", "case_stands_no_more"
HELD, HELD_NO_MORE = "held", "held_no_more"
"""Notes of a stage's logic for `Position.note_standing`; labels: `rule|level`, and `feed|currency|minor units`."""
POSITION_KEY = b"\x00position"
POLICY_STATE_KEY = b"\x00policy"
RHYTHMS_STATE_KEY = b"\x00rhythms"
"""Keys of the changelog records that are not states."""


PARCELS_SOURCE = "\x00parcels"
"""Name under which the parcel stage's own watermark appears in the markers on `returns`; no topic can be called so."""


class Outgoing(msgspec.Struct, array_like=True):
    """One message that a batch wants said, once the batch is durable."""

    topic: str
    """"returns", "escalations" or "cases": the role, not the configured name."""
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int | None
    """None: chosen by the hash of the key (streams.keys.partition_of)."""

    @property
    def size_bytes(self) -> int:
        """What it takes in a batch, framing included."""
        headers = sum(len(name) + len(value) + 8 for name, value in self.headers)
        return len(self.topic) + len(self.key) + len(self.value or b"") + headers + 32


class Forgotten(msgspec.Struct, array_like=True):
    """What a partition remembers of what it has forgotten (streams/forgetting.py), besides the records under hidden names."""

    salt: str = ""
    at_ms: int = 0
    """Time of the newest command: before the first marker there is no other clock."""
    check: str = ""
    """Tells whether a worker has the secret by which names were hidden."""
    hidden: int = 0
    """How many records there are; where there is none, nobody has to look for one."""
    pending: list[str] = msgspec.field(default_factory=list)
    """Returns that are still to be taken out of states, which the next marker does."""
    swept: bytes | None = None
    """Last key that was looked through for them; None when that is not under way."""


class Loading(msgspec.Struct, array_like=True):
    """Whether history is being loaded (BACKFILL_KEY): the watermark stands meanwhile, so that no timer fires."""

    backfill_id: str = ""
    """Of the newest one."""
    held: bool = False
    since_ms: int = 0
    """The watermark at which it began."""
    historical: dict[str, int] = msgspec.field(default_factory=dict)
    """Rule -> historical cases that have opened since it began."""


class Position(msgspec.Struct, array_like=True):
    """Everything that a partition must remember besides its states; first record of every changelog batch."""

    next_offset: int = 0
    watermark_ms: int = 0
    cursor_ms: int = 0
    cursor_key: bytes = b""
    """Timers up to and with (cursor_ms, cursor_key) have fired. In the middle of a marker the cursor is past the watermark."""
    policy_hash: str = ""
    sweep: bytes | None = None
    """Last key that the sweep of a new policy has looked at; None when no sweep is under way."""
    roster: dict[str, int] = msgspec.field(default_factory=dict)
    """Source topic -> its partition count, the highest ever heard of."""
    seen: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """Source topic -> through_ms per partition; 0 is "no mark yet"."""
    outbox_keys: list[bytes] = msgspec.field(default_factory=list)
    """States whose reports belong to this batch: said again after a crash, from the state."""
    outbox: list[Outgoing] = msgspec.field(default_factory=list)
    """Messages of this batch: said again after a crash, as they are."""
    standing: dict[str, int] = msgspec.field(default_factory=dict)
    """`rule|level` -> cases that stand open in this partition; kept here so that nobody has to count them anew."""

    retired: list[str] = msgspec.field(default_factory=list)
    """Input topics that nobody reads any more: markers that still name them are not believed."""
    forgotten: Forgotten = msgspec.field(default_factory=Forgotten)
    loading: Loading = msgspec.field(default_factory=Loading)

    feeds: FeedsState = msgspec.field(default_factory=FeedsState)
    """How every feed stands; what was learned of its rhythm has a record of its own."""
    held: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """`feed|currency` -> things that wait for it beyond their deadline, and what they are worth, in minor units."""
    counted: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """Source topic -> per partition, the offset up to which the marks have told what came."""

    version: int = STATE_VERSION
    """Of all records of this partition. It and the next stay at their places, for whoever reads it (streams/state_version.py)."""
    least_reader: int = LEAST_READER
    """The oldest version that can go on from here."""

    traced: int = 0
    """Keys that have contexts of traces beside their states."""

    def note_traced(self, keys: int) -> None:
        """So many keys have contexts. Only a version that knows them can go on from a partition that has some."""
        self.traced, self.least_reader = keys, TRACES_READER if keys else LEAST_READER

    def note_held(self, label: str, more: int) -> None:
        """Something more, or less, is held."""
        name, _, worth = label.rpartition("|")
        count, value = self.held.get(name, (0, 0))
        if count + more > 0:
            self.held[name] = [count + more, value + more * int(worth)]
        else:
            self.held.pop(name, None)

    def retire(self, told: Retirement) -> None:
        """Wait for a topic no longer, or again from the next marker that names it."""
        if told.retired and not told.topic.startswith(PARCELS_SOURCE):
            self.roster.pop(told.topic, None)
            self.seen.pop(told.topic, None)
            self.counted.pop(told.topic, None)
            self.retired = sorted({*self.retired, told.topic})
        elif told.topic in self.retired:
            self.retired.remove(told.topic)

    def load_history(self, told: Backfill) -> bool:
        """A backfill begins or ends; True: what was held back is released. What is known of it already changes nothing."""
        loading = self.loading
        if told.held and told.backfill_id != loading.backfill_id:
            self.loading = Loading(told.backfill_id, held=True, since_ms=self.watermark_ms)
        elif not told.held and told.backfill_id == loading.backfill_id:
            loading.held = False
            return True
        return False

    def note_historical(self, rule: str) -> None:
        """A case has opened of which nobody is told but those who ask."""
        self.loading.historical[rule] = self.loading.historical.get(rule, 0) + 1

    def note_standing(self, rule_and_level: str, more: int) -> None:
        """One case more, or less, stands."""
        count = self.standing.get(rule_and_level, 0) + more
        if count > 0:
            self.standing[rule_and_level] = count
        else:
            self.standing.pop(rule_and_level, None)

    def fold_marker(self, marker: Marker, feeds: Feeds | None = None) -> bool:
        """Take in a marker; False when it told nothing new. Order and repetition do not matter."""
        told = False
        for topic, count in marker.roster.items():
            told |= self._make_room(topic, count)
        for mark in marker.marks:
            if mark.topic in self.retired:
                continue
            told |= self._make_room(mark.topic, mark.partition + 1)
            seen = self.seen[mark.topic]
            if mark.through_ms > seen[mark.partition]:
                counted = self.counted[mark.topic]
                if feeds is not None:
                    complete = mark.first_offset <= counted[mark.partition]
                    feeds.fold(mark, seen[mark.partition], complete=complete, history=self.loading.held)
                counted[mark.partition] = mark.next_offset
                seen[mark.partition] = mark.through_ms
                told = True
        return told

    def _make_room(self, topic: str, count: int) -> bool:
        known = self.roster.get(topic, 0)
        if count <= known or topic in self.retired:
            return False
        self.roster[topic] = count
        for numbers in (self.seen, self.counted):
            here = numbers.setdefault(topic, [])
            here.extend([0] * (count - len(here)))
        return True

    def news(self, marker: Marker) -> list[Mark]:
        """The marks that tell of more than is known."""
        return [mark for mark in marker.marks if mark.through_ms > self._seen_of(mark)]

    def _seen_of(self, mark: Mark) -> int:
        seen = self.seen.get(mark.topic, ())
        return seen[mark.partition] if mark.partition < len(seen) else 0

    def most_growth(self, marker: Marker) -> int:
        """By how many bytes the position may grow when a marker is folded, besides what it tells of feeds."""
        more = 0
        for topic, count in marker.roster.items():
            known = self.roster.get(topic, 0)
            more += 20 * max(0, count - known) + (0 if known else 3 * len(topic) + 32)
        return more

    def proved_ms(self, sources: Iterable[str]) -> int:
        """The watermark that the marks allow: 0 until every source and every partition of the roster has a mark."""
        if any(topic not in self.seen for topic in sources) or not self.seen:
            return 0
        return max(self.watermark_ms, min(map(min, self.seen.values())))

    def holding(self, sources: Iterable[str], most: int = 8) -> list[str]:
        """The sources that hold the watermark, the furthest behind first, in words for a person."""
        missing = [
            f"{_in_words(topic)}: not in any marker yet" for topic in sources if topic not in self.seen
        ]
        behind = sorted(
            (ms, topic, partition) for topic, marks in self.seen.items() for partition, ms in enumerate(marks)
        )
        least = behind[0][0] if behind else 0
        return (
            missing
            + [
                f"{_in_words(topic)}/{partition}: " + (f"through {ms} ms" if ms else "no mark yet")
                for ms, topic, partition in behind
                if ms == least
            ][:most]
        )


def _in_words(source: str) -> str:
    return source.lstrip("\x00")


encode_position = msgspec.msgpack.Encoder().encode


def decode_position(raw: bytes) -> Position:
    """The position in a record of this version or of an older one; written again, it is of this version.

    Raises NewerStateError, or msgspec.DecodeError where it is no position at all.
    """
    position = msgspec.convert(upgraded(msgspec.msgpack.decode(raw)), Position)
    position.version = STATE_VERSION
    position.note_traced(position.traced)
    return position
