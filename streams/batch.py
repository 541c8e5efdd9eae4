"""One batch under construction: which states changed, which timers moved, what is to be said, and how large it is.

A batch becomes one Kafka record batch, which the broker takes whole or not at all, and refuses when it is too large. So
every change is first asked for its size and then either taken in as a whole or left for the next batch.
"""

from collections.abc import Callable, Sequence
from heapq import heappush
from typing import Any, ClassVar, NamedTuple, Protocol

from streams.cells import (
    MOST_MEMBER_CHARS,
    SLOT_BYTES,
    Adds,
    CellName,
    Slot,
    cell_key,
    lets_go_ms,
    publish_ms,
    roster_key,
    with_added,
    with_member,
)
from streams.keys import HIDDEN
from streams.traces import SaidSpan
from streams.watermark import Outgoing

RECORD_OVERHEAD_BYTES = 24
"""Framing of one changelog record, as the size limit counts it."""
LARGEST_BATCH_BYTES = 900_000
"""More than this, position included, is not written in one batch, even for a single change."""
HIDDEN_MARK = HIDDEN.encode()
_HIDDEN_BYTE = HIDDEN_MARK[0]
MOST_SAID_BYTES = 4_000_000
"""Messages of one batch, also those that are not in the changelog: they are in memory until they are said."""
CELL_BYTES = 16
"""What a cell takes besides its key and its sums."""


class LogRecord(Protocol):
    """A record of the partition's own topic."""

    offset: int
    key: bytes | None
    value: bytes | None


class Write(NamedTuple):
    """One state to write, or to delete."""

    key: bytes
    raw: bytes | None
    """None: delete."""
    armed_ms: int
    """Its timer; 0 is no timer."""
    disarm_ms: int
    """Timer entry to delete; 0 is none."""
    durable: bool
    """False: only the timer moved; not a changelog record."""


class StateReader(Protocol):
    """The local store of one partition, with everything that earlier batches wrote."""

    def get_many(self, keys: Sequence[bytes]) -> Sequence[tuple[int, bytes] | None]:
        """(armed_ms, raw) per key, None where there is no state."""
        ...

    def due(self, after: tuple[int, bytes], until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Timers strictly after `after` and due at or before `until_ms`, in order of (time, key)."""
        ...

    def keys_after(self, key: bytes, limit: int) -> list[bytes]:
        """Keys of states strictly after `key`, in order."""
        ...


class Hiding(NamedTuple):
    """What takes the place of a key that is forgotten, under its hidden name (streams/forgetting.py)."""

    raw: bytes | None
    """None: nothing any more, the key is to be known again."""
    armed_ms: int
    salt: str


class Change(NamedTuple):
    """What a fact or a look did to one key."""

    raw: bytes | None
    """The state now; None: no state."""
    armed_ms: int
    """When to look again; 0: never."""
    outgoing: Sequence[Outgoing] = ()
    hiding: Hiding | None = None
    """What becomes of the record under the key's hidden name, in the same batch; None: it stays as it is."""
    adds: Adds | None = None
    """What it adds to cells, whole or not at all with the rest."""


class Batch(NamedTuple):
    """What one step decided: to be written whole, and only then said."""

    position: bytes
    """Value of the changelog record POSITION_KEY."""
    writes: list[Write]
    outgoing: list[Outgoing]
    consumed: int
    """How many records of the chunk were worked through."""
    next_offset: int
    watermark_ms: int
    advanced: bool
    """The watermark moved."""
    policy: bytes | None
    """Value of the changelog record POLICY_STATE_KEY, when it changed."""
    counters: dict[tuple[str, str], int]
    """(name, label) -> how often; the names are in streams/partition.py."""
    delays: list[tuple[str, int]]
    """(rule, due_ms) of each case that opened."""
    rhythms: bytes | None = None
    """Value of the changelog record RHYTHMS_STATE_KEY, when it changed."""
    spans: Sequence[SaidSpan] = ()
    """Of `outgoing`, the messages that are spans of a trace."""


class Held:
    """A key that this batch has read: its state and timer, in the store and now."""

    __slots__ = ("armed_ms", "cost", "pending", "raw", "stored_armed_ms", "stored_raw")

    def __init__(self, stored: tuple[int, bytes] | None) -> None:
        self.stored_armed_ms: int = stored[0] if stored is not None else 0
        self.stored_raw: bytes | None = stored[1] if stored is not None else None
        self.armed_ms: int = self.stored_armed_ms
        self.raw: bytes | None = self.stored_raw
        self.cost = 0
        """Bytes of the batch that this key takes; of a cell with something pending, at most."""
        self.pending: dict[Slot, int] | None = None
        """Of a cell: what has been added to it and is not in `raw` yet."""

    def settle(self) -> None:
        """Bring a cell's `raw` up to date."""
        if self.pending is not None:
            self.raw, self.pending = with_added(self.raw, self.pending, self.armed_ms), None


class Beginning(NamedTuple):
    """What a batch begins with."""

    reader: StateReader
    limits: tuple[int, int]
    """Most facts, most bytes."""
    base_bytes: int
    says_again: bool
    hidden: int
    """How many records there are under hidden names."""
    name_of: Callable[[bytes, Hiding], bytes]
    """The hidden name of a key."""


class Work:
    """Collects a batch. `take` refuses what does not fit; a first change that is refused fits into none."""

    is_traced: ClassVar[bool] = False
    """Whether `arrived` wants to be told of each record (streams/traced_work.py)."""
    lets_go = False
    """Of what changes now no context is kept: returns are taken out of it."""
    spans: Sequence[SaidSpan] = ()

    def __init__(self, beginning: Beginning) -> None:
        self.reader = beginning.reader
        self.max_facts, self.max_bytes = beginning.limits
        self.used_bytes = beginning.base_bytes
        self.units = 0
        self.held: dict[bytes, Held] = {}
        self.heap: list[tuple[int, bytes]] = []
        """Timers armed in this batch, among them stale ones: the key's `armed_ms` is the truth."""
        self.outgoing: list[Outgoing] = []
        self.said_keys: dict[bytes, None] = {}
        self.last_words: list[Outgoing] = []
        """Messages of keys that are no more, so that their states cannot say them again."""
        self.hidden = beginning.hidden
        self._name_of = beginning.name_of
        self.changed = False
        self._cells: dict[CellName, bytes] = {}
        """Where what is added under a name goes."""
        self._said_bytes = 0
        self._says_again = beginning.says_again

    def arrived(self, record: Any) -> None:
        """Say which record is worked through next, where there are traces."""

    @property
    def full(self) -> bool:
        """No room for another fact or look."""
        return self.units >= self.max_facts or (self.changed and self.used_bytes >= self.max_bytes)

    def load(self, keys: Sequence[bytes]) -> None:
        """Read the states of keys that the batch has not read yet."""
        held = self.held
        unread = [key for key in dict.fromkeys(keys) if key not in held]
        if unread:
            for key, stored in zip(unread, self.reader.get_many(unread), strict=True):
                held[key] = Held(stored)

    def get(self, key: bytes) -> Held:
        """The key, read now if it was not."""
        held = self.held.get(key)
        if held is None:
            self.load((key,))
            held = self.held[key]
        held.settle()
        return held

    def take(self, key: bytes, held: Held, change: Change) -> bool:
        """Take a change in; False when there is no room for it (then nothing has changed here)."""
        raw, armed_ms, outgoing, hiding, adds = change
        if raw is None and key in self.said_keys:
            return False  # what was said must be sayable again: its state goes with the next batch
        if hiding is not None:
            return self._take_both(key, held, change, hiding)
        cost = _cost(key, held, raw)
        cells = self._cells_of(adds) if adds is not None else ()
        used = self.used_bytes + cost - held.cost + sum([more for _, _, more in cells])
        said = 0
        if outgoing:
            said = sum(message.size_bytes for message in outgoing)
            used += said if not self._says_again else 0 if key in self.said_keys else len(key) + 6
        if not self._fits(used, self._said_bytes + said):
            return False
        self._said_bytes += said
        self.used_bytes = used
        self.units += 1
        self.changed = True
        self._put(key, held, raw, armed_ms, cost)
        if outgoing:
            self.outgoing.extend(outgoing)
            if self._says_again:
                self.said_keys[key] = None
        if adds is not None:
            self._add(adds, cells)
        return True

    def _take_both(self, key: bytes, held: Held, change: Change, hiding: Hiding) -> bool:
        """A key goes and its hidden name comes, or the other way round: both or neither."""
        name = self._name_of(key, hiding)
        beside = self.get(name)
        cost, beside_cost = _cost(key, held, change.raw), _cost(name, beside, hiding.raw)
        # A state that is no more cannot say its messages again: they are kept as they are.
        last_words = self._says_again and change.raw is None
        said = sum(message.size_bytes for message in change.outgoing)
        kept = said if last_words or not self._says_again else len(key) + 6
        cells = self._cells_of(change.adds) if change.adds is not None else ()
        used = self.used_bytes + cost - held.cost + beside_cost - beside.cost + kept
        used += sum([more for _, _, more in cells])
        if not self._fits(used, self._said_bytes + said):
            return False
        self._said_bytes += said
        self.used_bytes = used
        self.units += 1
        self.changed = True
        self._put(key, held, change.raw, change.armed_ms, cost)
        self._put(name, beside, hiding.raw, hiding.armed_ms, beside_cost)
        self.outgoing.extend(change.outgoing)
        if last_words:
            self.last_words.extend(change.outgoing)
        elif self._says_again and change.outgoing:
            self.said_keys[key] = None
        if change.adds is not None:
            self._add(change.adds, cells)
        return True

    def _put(self, key: bytes, held: Held, raw: bytes | None, armed_ms: int, cost: int) -> None:
        if key[0] == _HIDDEN_BYTE:
            self.hidden += (raw is not None) - (held.raw is not None)
        held.cost, held.raw = cost, raw
        if armed_ms != held.armed_ms:
            held.armed_ms = armed_ms
            if armed_ms:
                heappush(self.heap, (armed_ms, key))

    def _fits(self, used: int, said: int) -> bool:
        """A first change may be larger than a batch is wanted to be, but not than any can be."""
        if not self.changed:
            return used <= max(self.max_bytes, LARGEST_BATCH_BYTES)
        return used <= self.max_bytes and said <= MOST_SAID_BYTES

    # -- cells -----------------------------------------------------------------------------------------------

    def _cells_of(self, adds: Adds) -> list[tuple[Held, bytes, int]]:
        """Each cell, its key, and how many bytes more it takes at most when this is added."""
        cells = []
        for name, amounts in adds.sums.items():
            held, key = self._cell(name)
            if held.pending is None:
                fixed = len(key) + RECORD_OVERHEAD_BYTES + CELL_BYTES + len(held.raw or b"")
                more = fixed - held.cost + SLOT_BYTES * len(amounts)
            else:
                more = SLOT_BYTES * len(amounts.keys() - held.pending.keys())
            cells.append((held, key, more))
        return cells

    def _add(self, adds: Adds, cells: Sequence[tuple[Held, bytes, int]]) -> None:
        now_ms = adds.now_ms
        for (name, amounts), (held, key, more) in zip(adds.sums.items(), cells, strict=True):
            held.cost += more
            if held.pending is None:
                held.pending = dict(amounts)
            else:
                for slot, amount in amounts.items():
                    held.pending[slot] = held.pending.get(slot, 0) + amount
            due_ms = publish_ms(name.day, now_ms)
            if not now_ms < held.armed_ms <= due_ms:
                held.armed_ms = due_ms
                heappush(self.heap, (due_ms, key))

    def _cell(self, name: CellName) -> tuple[Held, bytes]:
        key = self._cells.get(name)
        if key is None:
            key = self._cells[name] = cell_key(self._named(name))
            self.load((key,))
        return self.held[key], key

    def _named(self, name: CellName) -> CellName:
        """The cell's own name, or that of the one which is shared. A new member is written down at once: that a change which
        brings it has no room in this batch does not matter, it comes first in the next.
        """
        family, day, member = name
        if not member:
            return name
        key = roster_key(family, day)
        held = self.get(key)
        roster, member = with_member(held.raw, day, member[:MOST_MEMBER_CHARS])
        if roster is not None:
            cost = len(key) + len(roster) + RECORD_OVERHEAD_BYTES
            self.used_bytes += cost - held.cost
            held.raw, held.cost, held.armed_ms = roster, cost, lets_go_ms(day)
            heappush(self.heap, (held.armed_ms, key))
        return CellName(family, day, member)

    def writes(self) -> list[Write]:
        """What differs from the store, in the order in which the keys were first read."""
        for held in self.held.values():
            held.settle()
        return [
            Write(
                key,
                held.raw,
                held.armed_ms if held.raw is not None else 0,
                held.stored_armed_ms if held.armed_ms != held.stored_armed_ms or held.raw is None else 0,
                held.raw != held.stored_raw or held.cost > 0,
            )
            for key, held in self.held.items()
            if held.cost or held.armed_ms != held.stored_armed_ms
        ]


def _cost(key: bytes, held: Held, raw: bytes | None) -> int:
    """Bytes of the batch that a key takes with this state."""
    if raw is held.raw or raw == held.raw:
        return held.cost
    return len(key) + (len(raw) if raw is not None else 0) + RECORD_OVERHEAD_BYTES
