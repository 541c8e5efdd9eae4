"""Cells: sums that many keys of a partition add to, by family, day and member. Only adding is ever done to one.

What a key adds is a function of its state, so a change of the state adds the difference, in the same batch, and the sums are
exact in any order. A cell lies in the changelog under a key of its own and is written at most once per batch. It has a timer
like any key: when the log's time passes the next boundary after a change it is published, and it is let go when its day is
long over. Of a family's members the first 50 of a day have cells of their own, the others share one.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

CELL_PREFIX: Final = b"\x00cell|"
ROSTER_PREFIX: Final = b"\x00names|"
AFTER_CELLS: Final = b"\x00\xff"
"""Behind every cell and roster and what is kept of traces, before every key that has a state of its own."""
MOST_MEMBERS: Final = 50
MOST_MEMBER_CHARS: Final = 64
OTHERS: Final = "(other)"
DAY_MS: Final = 86_400_000
PUBLISH_EVERY_MS: Final = 60 * 60_000
"""Cells of a day that goes on, or ended less than a day ago; older ones once a day."""
KEPT_DAYS: Final = 400

SLOT_BYTES: Final = 14
"""What a slot and its sum take in a cell at most."""

Slot = int
"""Which of its sums: a number below 2^32."""


class CellName(NamedTuple):
    """Whose sums they are. `day`: days since 1970-01-01, UTC; `member`: "" has its place in every family."""

    family: str
    day: int
    member: str


class Adds(NamedTuple):
    """What a change adds to which cells, and the log's time at which it does."""

    now_ms: int
    sums: Mapping[CellName, Mapping[Slot, int]]


class Cell(msgspec.Struct, array_like=True, gc=False):
    """Value of a cell's changelog record."""

    look_ms: int = 0
    """When it is published, or let go."""
    published: bool = False
    sums: dict[Slot, int] = msgspec.field(default_factory=dict)
    """Those that are not 0."""


class Roster(msgspec.Struct, array_like=True, gc=False):
    """The members of a family on a day that have cells of their own, in the order in which they came."""

    look_ms: int = 0
    members: list[str] = msgspec.field(default_factory=list)


_encode = msgspec.msgpack.Encoder().encode
decode_cell = msgspec.msgpack.Decoder(Cell).decode
decode_roster = msgspec.msgpack.Decoder(Roster).decode


def cell_key(name: CellName) -> bytes:
    """The key of a cell's record."""
    return CELL_PREFIX + f"{name.family}|{name.day:05d}|{name.member}".encode()


def cells_prefix(family: str, beginning: str) -> bytes:
    """What the keys of a family's cells begin with whose day and member begin so."""
    return CELL_PREFIX + f"{family}|{beginning}".encode()


def name_of_cell(key: bytes) -> CellName:
    """The cell that a key names."""
    family, day, member = key[len(CELL_PREFIX) :].decode().split("|", 2)
    return CellName(family, int(day), member)


def roster_key(family: str, day: int) -> bytes:
    """The key of the record that names the members of a family on a day."""
    return ROSTER_PREFIX + f"{family}|{day:05d}".encode()


def is_cell(key: bytes) -> bool:
    """Whether a key of the store is a cell's or a roster's, and not that of a state."""
    return key.startswith((CELL_PREFIX, ROSTER_PREFIX))


def lets_go_ms(day: int) -> int:
    """When the cells of a day are let go; nothing is added to them any more."""
    return (day + 1 + KEPT_DAYS) * DAY_MS


def publish_ms(day: int, now_ms: int) -> int:
    """When what is added now to a cell of that day is published; not before the day begins, as where the log has no time yet."""
    now_ms = max(now_ms, day * DAY_MS)
    every_ms = PUBLISH_EVERY_MS if now_ms < (day + 2) * DAY_MS else DAY_MS
    return (now_ms // every_ms + 1) * every_ms


def with_member(raw: bytes | None, day: int, member: str) -> tuple[bytes | None, str]:
    """The roster with a member, if there is room for it (None: as it was), and whose cell the member adds to."""
    roster = decode_roster(raw) if raw is not None else Roster(lets_go_ms(day))
    if member in roster.members:
        return None, member
    if len(roster.members) >= MOST_MEMBERS:
        return None, OTHERS
    roster.members.append(member)
    return _encode(roster), member


def with_added(raw: bytes | None, more: Mapping[Slot, int], look_ms: int) -> bytes:
    """The cell with what was added to it."""
    cell = decode_cell(raw) if raw is not None else Cell()
    sums = cell.sums
    for slot, amount in more.items():
        total = sums.get(slot, 0) + amount
        if total:
            sums[slot] = total
        else:
            sums.pop(slot, None)
    cell.look_ms = look_ms
    return _encode(cell)


def as_published(cell: Cell, day: int) -> bytes:
    """The cell once it was published: it is looked at again when it is let go, unless something is added before."""
    return _encode(Cell(lets_go_ms(day), True, cell.sums))


def look_ms_of(key: bytes, raw: bytes) -> int:
    """When a cell or a roster has to be looked at."""
    return (decode_cell(raw) if key.startswith(CELL_PREFIX) else decode_roster(raw)).look_ms
