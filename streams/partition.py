"""One partition of a stateful stage: records of its log in, batches out. Both stages run it; agents/stage.py does its I/O.

`step` works through a chunk of records and returns one batch: states and position to make durable, messages to say then.
Everything is a function of the records before and of the states: cutting the log into other chunks or smaller batches
gives the same messages in the same order.

- A fact is merged into its key's state and looked at with now = W.
- A marker may move W. Timers due at or before the new W fire in order of (time, key), each evaluated at its own time,
  those armed on the way included. When the batch fills up in the middle, the marker is not consumed: the position keeps the
  cursor, and the next step goes on behind it.
- A policy that differs from the one in force starts a sweep: every key is looked at again, in key order. It continues
  over batches like a marker, and the facts behind it wait.
- While history is loaded W stands: markers are folded in, and what they prove counts from the end of the loading on.
- A return that is forgotten is taken out of all parcels by the next marker, before its timers, in a sweep like a policy's;
  records of what is forgotten are passed over (streams/forgetting.py).
- Before the first policy, facts are merged without a look and W stands at 0.
- What a change adds to cells (streams/cells.py) goes with it. Cells are keys like others: their timers publish them.

Counters of a batch: `duplicate`, `too_old`, `forgotten`, `erased`, `unreadable`, `unmapped`, `truncated`, `oversized`,
`orphan_expired`, `purged`, `timers_fired`, `swept`, `case_opened`, `opened_of`, `case_historical`, `case_escalated`,
`case_resolved`, `case_retracted`, `case_updated`, `case_suppressed`, `late_breach_counted`, `command_answered`,
`not_counted`; labels are rules, stages, `command|answer`, `rule|carrier` or "".
"""

from collections.abc import Sequence
from heapq import heappop
from itertools import chain

import msgspec
from pydantic import ValidationError

from schemas.facts import (
    BACKFILL_KEY,
    FORGET_KEY,
    MARKER_KEY,
    POLICY_KEY,
    RETIRE_KEY,
    Mark,
    Marker,
    decode_backfill,
    decode_erasure,
    decode_marker,
    decode_retirement,
    encode_json,
)
from streams.batch import (
    LARGEST_BATCH_BYTES,
    Batch,
    Beginning,
    Change,
    Held,
    LogRecord,
    StateReader,
    Work,
    Write,
)
from streams.cells import AFTER_CELLS
from streams.feed_terms import MINUTE_MS
from streams.feeds import Feeds
from streams.forgetting import Gone
from streams.logic import Logic
from streams.traced_work import TracedWork, said_again
from streams.watermark import (
    HELD,
    HELD_NO_MORE,
    HISTORICAL,
    PARCELS_SOURCE,
    POLICY_STATE_KEY,
    POSITION_KEY,
    RHYTHMS_STATE_KEY,
    STANDS,
    STANDS_NO_MORE,
    Outgoing,
    Position,
    decode_position,
    encode_position,
)

__all__ = [
    "PARCELS_SOURCE",
    "POLICY_STATE_KEY",
    "POSITION_KEY",
    "RHYTHMS_STATE_KEY",
    "Batch",
    "Change",
    "LogRecord",
    "Logic",
    "Outgoing",
    "Partition",
    "StateReader",
    "Write",
]

TIMER_PAGE = 1_000
READ_AHEAD = 1_000
"""States of so many records are read at once: a batch that is full before has read few for nothing."""
POSITION_SLACK_BYTES = 512


class Partition:
    """See the head of this file. One per owned partition and assignment; not safe for concurrent use."""

    def __init__(  # noqa: PLR0913 - what was stored has three records, and the rest are numbers
        self,
        logic: Logic,
        number: int,
        *,
        position: bytes | None,
        policy: bytes | None,
        sources: Sequence[str],
        rhythms: bytes | None = None,
        max_facts: int = 8_000,
        max_bytes: int = LARGEST_BATCH_BYTES,
        secret: bytes = b"",
        traces: bool = False,
    ) -> None:
        """Go on at a position. `secret`: for the names of what is forgotten. `traces`: carry what records say of theirs.

        Raises OtherForgetKeyError where it is not the one by which names were hidden before.
        """
        self._logic = logic
        self._number = number
        self._position = decode_position(position) if position else Position()
        self._gone = Gone(logic, self._position.forgotten, secret)
        self._sources, self._traces = tuple(sources), traces
        self._limits = (max_facts, max_bytes)
        self._has_policy = policy is not None
        self._new_policy: bytes | None = None
        self._delays: list[tuple[str, int]] = []
        self._rearmed: tuple[int, bytes] | None = (0, b"")
        """How far the timers behind the cursor, which a restored index may hold, have been armed anew; None: all."""
        self._feeds = Feeds(self._position.feeds, rhythms)
        logic.bind(number, self._feeds)
        if policy is not None:
            logic.adopt(policy)

    @property
    def next_offset(self) -> int:
        """Offset of the first record that has not been worked through."""
        return self._position.next_offset

    @property
    def watermark_ms(self) -> int:
        """Everything that was appended to any source before this time is in, and every timer up to it has fired."""
        return self._position.watermark_ms

    @property
    def policy_hash(self) -> str:
        """Hash of the policy in force; "" before the first."""
        return self._position.policy_hash

    def step(self, records: Sequence[LogRecord], start: int, reader: StateReader, next_offset: int) -> Batch:
        """Work through records[start:], as far as one batch reaches. `next_offset` counts when the last is consumed."""
        position = self._position
        before_ms = position.watermark_ms
        position.outbox_keys, position.outbox = [], []
        self._new_policy, self._delays = None, []
        base = len(encode_position(position)) + POSITION_SLACK_BYTES + self._feeds.most_bytes
        work = self._new_work(reader, base)
        counters: dict[tuple[str, str], int] = {}
        consumed = 0
        if self._rearm(work, counters):
            consumed = self._consume(records, start, work, counters)
        done = start + consumed >= len(records)
        position.next_offset = max(
            position.next_offset, next_offset if done else records[start + consumed].offset
        )
        position.forgotten.hidden = work.hidden
        if isinstance(work, TracedWork):
            position.note_traced(work.traced)
        if self._logic.says_again:
            position.outbox_keys, position.outbox = list(work.said_keys), work.last_words
        else:
            position.outbox = work.outgoing
        return Batch(
            position=encode_position(position),
            writes=work.writes(),
            outgoing=work.outgoing,
            consumed=consumed,
            next_offset=position.next_offset,
            watermark_ms=position.watermark_ms,
            advanced=position.watermark_ms > before_ms,
            policy=self._new_policy,
            counters=counters,
            delays=self._delays,
            rhythms=self._feeds.take_rhythms(),
            spans=work.spans,
        )

    def _new_work(self, reader: StateReader, base: int) -> Work:
        position, name_of = self._position, self._gone.hide
        hidden, again = position.forgotten.hidden, self._logic.says_again
        beginning = Beginning(reader, self._limits, base, again, hidden, name_of)
        if self._traces or position.traced:
            return TracedWork(beginning, self._logic, position.traced, carries=self._traces)
        return Work(beginning)

    def repeat(self, reader: StateReader) -> list[Outgoing]:
        """Say the last batch's messages again: after a crash nobody knows whether they were said."""
        position = self._position
        keys = position.outbox_keys
        told = [
            self._logic.report(key, stored[1]) if stored is not None else []
            for key, stored in zip(keys, reader.get_many(keys), strict=True)
        ]
        return [*position.outbox, *(said_again(reader, keys, told) if self._traces else chain(*told))]

    def marks_to_forward(self) -> bytes | None:
        """Value of the MARKER_KEY record that tells the next stage this partition's watermark; None: nothing to tell yet."""
        if self._logic.marks is None or not self._position.watermark_ms:
            return None
        topic, count = self._logic.marks
        mark = Mark(topic=topic, partition=self._number, through_ms=self._position.watermark_ms)
        return encode_json(Marker(marks=(mark,), roster={topic: count}))

    def standing_cases(self) -> dict[tuple[str, int], int]:
        """(rule, level) -> how many cases stand open here."""
        named = ((key.rsplit("|", 1), count) for key, count in self._position.standing.items())
        return {(rule, int(level)): count for (rule, level), count in named}

    def held(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(feed, currency) -> how many things wait here for the feed beyond their deadline, and what they are worth."""
        named = ((key.split("|", 1), told) for key, told in self._position.held.items())
        return {(feed, currency): (count, value) for (feed, currency), (count, value) in named}

    @property
    def feeds(self) -> Feeds:
        """How every feed stands, as far as the watermark has come."""
        return self._feeds

    @property
    def is_loading(self) -> bool:
        """Whether history is being loaded, and timers wait for its end."""
        return self._position.loading.held

    def holding(self) -> list[str]:
        """What holds the watermark, in words for a person."""
        if not self._has_policy:
            return ["no policy in this partition's log yet"]
        if self.is_loading:
            return ["backfill: history is being loaded, `returnwatch backfill end` lets time go on"]
        return self._position.holding(self._sources)

    # -- records ---------------------------------------------------------------------------------------------

    def _consume(  # noqa: C901 - the hot loop: to call a function for each record costs 2 % of all time
        self, records: Sequence[LogRecord], start: int, work: Work, counters: dict[tuple[str, str], int]
    ) -> int:
        from_offset = self._position.next_offset
        window = [records[index] for index in range(start, min(len(records), start + self._limits[0]))]
        apply, held_keys, take = self._logic.apply, work.held, work.take
        notes, tells = self._logic.notes, work.is_traced
        for index, record in enumerate(window):
            if record.offset < from_offset:
                continue
            if work.full:
                return index
            key, value = record.key, record.value
            if tells:
                work.arrived(record)
            if not key or not key[0] or value is None:
                if self._control(key, value, work, counters):
                    continue
                return index
            held = held_keys.get(key) or _read_ahead(window, index, work, key)
            try:
                if work.hidden:
                    change = self._apply_unless_forgotten(key, value, held, work)
                else:
                    change = apply(key, value, held.raw, held.armed_ms, self._position.watermark_ms)
            except msgspec.MsgspecError:
                _count(counters, "unreadable", self._logic.stage)
                continue
            if change is None:
                self._nothing_new(work, counters)
            elif not take(key, held, change) and not self._too_large(work, counters):
                return index
            if notes:
                self._collect(counters)
        return len(window)

    def _apply_unless_forgotten(self, key: bytes, value: bytes, held: Held, work: Work) -> Change | None:
        """A record of a partition in which something was forgotten."""
        logic, watermark_ms = self._logic, self._position.watermark_ms
        names = self._gone.named(work, value)
        record = self._gone.find(work, logic.stage, key) if held.raw is None else None
        if record is not None:
            return logic.apply_forgotten(key, value, record, names, watermark_ms)
        if names:
            return logic.apply_without(key, value, (held.raw, held.armed_ms), names, watermark_ms)
        return logic.apply(key, value, held.raw, held.armed_ms, watermark_ms)

    def _control(
        self, key: bytes | None, value: bytes | None, work: Work, counters: dict[tuple[str, str], int]
    ) -> bool:
        """A record that is not about one key; False when it could not be finished in this batch."""
        try:
            if key == MARKER_KEY and value is not None:
                return self._marker(decode_marker(value), work, counters)
            if key == POLICY_KEY and value is not None:
                return self._policy(value, work, counters)
            if key == RETIRE_KEY and value is not None:
                self._position.retire(decode_retirement(value))
                work.units += 1
                return True
            if key == FORGET_KEY and value is not None:
                return self._gone.note(decode_erasure(value), work, self._position.watermark_ms)
            if key == BACKFILL_KEY and value is not None:
                released = self._position.load_history(decode_backfill(value))
                work.units += 1
                return not released or self._go_on(work, counters)
        except (msgspec.MsgspecError, ValidationError):
            pass  # counted below like any record that is not ours; the policy that was in force stays
        _count(counters, "unreadable", self._logic.stage)
        return True

    def _marker(self, marker: Marker, work: Work, counters: dict[tuple[str, str], int]) -> bool:
        growth = self._most_growth(marker)
        if work.changed and work.used_bytes + growth > work.max_bytes:
            return False  # many new feeds take room in position and rhythms, which must fit into the batch
        work.used_bytes += growth
        self._position.fold_marker(marker, self._feeds)
        if self._gone.pending and not self._sweep_forgotten(work, counters):
            return False
        return self._go_on(work, counters)

    def _most_growth(self, marker: Marker) -> int:
        return self._position.most_growth(marker) + self._feeds.most_growth(self._position.news(marker))

    def _go_on(self, work: Work, counters: dict[tuple[str, str], int]) -> bool:
        """Let the watermark come as far as the markers prove; False when the timers up to there do not fit into this batch."""
        position = self._position
        if not self._has_policy or position.loading.held:
            return True
        proved_ms = position.proved_ms(self._sources)
        if proved_ms <= position.watermark_ms:
            return True
        if not self._fire(proved_ms, work, counters):
            return False
        position.watermark_ms, position.cursor_ms, position.cursor_key = proved_ms, proved_ms + 1, b""
        work.units += 1
        return True

    # -- timers ----------------------------------------------------------------------------------------------

    def _fire(self, until_ms: int, work: Work, counters: dict[tuple[str, str], int]) -> bool:
        """Fire what is due after the cursor, up to `until_ms`; False when the batch is full before the end."""
        position = self._position
        stored: list[tuple[int, bytes]] = []
        page_after: tuple[int, bytes] | None = (position.cursor_ms, position.cursor_key)
        at = 0
        while True:
            if at == len(stored) and page_after is not None:
                stored = work.reader.due(page_after, until_ms, TIMER_PAGE)
                at = 0
                page_after = stored[-1] if len(stored) == TIMER_PAGE else None
                work.load([key for _, key in stored])
            entry = self._earlier(stored[at] if at < len(stored) else None, work, until_ms)
            if not self._feeds.advance(until_ms if entry is None else entry[0]):
                if not self._look_at_feeds(work, counters):
                    return False
                continue  # a timer may have been armed that comes before
            if entry is None:
                return True
            if at < len(stored) and entry == stored[at]:
                at += 1
            if not self._fire_one(entry, work, counters):
                return False

    def _look_at_feeds(self, work: Work, counters: dict[tuple[str, str], int]) -> bool:
        """Look at the cases of feeds with which something has begun or ended; False when the batch is full before the end."""
        due = self._feeds.state.due
        while due:
            minute, name = due[0]
            key = self._logic.feed_key(name)
            if key is not None:
                held = work.get(key)
                if work.full:
                    return False
                change = self._logic.look(key, held.raw or b"", minute * MINUTE_MS)
                if not work.take(key, held, change) and not self._too_large(work, counters):
                    return False
                self._collect(counters)
            del due[0]
        return True

    def _earlier(
        self, stored: tuple[int, bytes] | None, work: Work, until_ms: int
    ) -> tuple[int, bytes] | None:
        """The next timer: from the store or from this batch, whichever comes first."""
        heap = work.heap
        cursor = (self._position.cursor_ms, self._position.cursor_key)
        while heap and (heap[0] <= cursor or work.held[heap[0][1]].armed_ms != heap[0][0]):
            heappop(heap)
        armed = heap[0] if heap and heap[0][0] <= until_ms else None
        if armed is None or (stored is not None and stored <= armed):
            return stored
        return armed

    def _fire_one(self, entry: tuple[int, bytes], work: Work, counters: dict[tuple[str, str], int]) -> bool:
        now_ms, key = entry
        position = self._position
        held = work.get(key)
        if held.armed_ms == now_ms and held.raw is not None:
            if work.full:
                return False
            change = self._logic.look(key, held.raw, now_ms)
            if not work.take(key, held, change) and not self._too_large(work, counters):
                return False
            _count(counters, "timers_fired", self._logic.stage)
            if self._logic.notes:
                self._collect(counters)
        position.cursor_ms, position.cursor_key = entry
        return True

    def _rearm(self, work: Work, counters: dict[tuple[str, str], int]) -> bool:
        """Once after a start: arm anew what a restored index holds at or behind the cursor, where no timer would fire.

        Most of these keys have been looked at already: the looks here find nothing to say, and only tell the next time. One that
        was held may have been let go since, and is told now.
        """
        position = self._position
        if self._rearmed is None or not self._has_policy:
            return True
        cursor = (position.cursor_ms, position.cursor_key)
        while True:
            page = [e for e in work.reader.due(self._rearmed, position.cursor_ms, TIMER_PAGE) if e <= cursor]
            work.load([key for _, key in page])
            for entry in page:
                if work.full:
                    return False
                if not self._rearm_one(entry, cursor, work, counters):
                    return False
                self._rearmed = entry
            if len(page) < TIMER_PAGE:
                self._rearmed = None
                return True

    def _rearm_one(
        self,
        entry: tuple[int, bytes],
        cursor: tuple[int, bytes],
        work: Work,
        counters: dict[tuple[str, str], int],
    ) -> bool:
        key = entry[1]
        held = work.get(key)
        if held.armed_ms != entry[0]:
            return True
        for now_ms in (max(0, cursor[0] - 1), cursor[0]):
            if held.raw is None or not held.armed_ms or (held.armed_ms, key) > cursor:
                return True
            change = self._logic.look(key, held.raw, now_ms)
            if not work.take(key, held, change) and not self._too_large(work, counters):
                return False
            self._collect(counters)
        return True

    # -- policy ----------------------------------------------------------------------------------------------

    def _policy(self, record: bytes, work: Work, counters: dict[tuple[str, str], int]) -> bool:
        position = self._position
        if position.sweep is None:
            if work.changed:
                return False  # the sweep walks over the store: everything before must be in it
            policy_hash = self._logic.adopt(record)
            self._has_policy = True
            if policy_hash == position.policy_hash:
                return True
            position.policy_hash, position.sweep = policy_hash, b""
            position.cursor_ms = max(position.cursor_ms, position.watermark_ms + 1)
            self._new_policy = record
            work.used_bytes += len(record) + 32
            work.changed = True
        return self._sweep(work, counters)

    def _sweep(self, work: Work, counters: dict[tuple[str, str], int]) -> bool:
        position = self._position
        while position.sweep is not None:
            page = work.reader.keys_after(max(position.sweep, AFTER_CELLS), TIMER_PAGE)
            work.load(page)
            for key in page:
                held = work.get(key)
                if work.full:
                    return False
                if held.raw is not None:
                    change = self._logic.look(key, held.raw, position.watermark_ms, policy_changed=True)
                    if not work.take(key, held, change) and not self._too_large(work, counters):
                        return False
                    _count(counters, "swept", self._logic.stage)
                    if self._logic.notes:
                        self._collect(counters)
                position.sweep = key
            if len(page) < TIMER_PAGE:
                position.sweep = None
        return True

    def _sweep_forgotten(self, work: Work, counters: dict[tuple[str, str], int]) -> bool:
        """Take the returns that were forgotten out of every state; False when the batch is full before the end."""
        gone, watermark_ms = self._gone, self._position.watermark_ms
        if not gone.begin(work):
            return False
        work.lets_go = True
        while keys := gone.page(work, work.reader):
            for key in keys:
                if work.full:
                    return False
                change = gone.sweep_one(key, work, watermark_ms)
                if change is None:
                    work.units += 1  # so that a batch ends now and then
                elif not work.take(key, work.get(key), change) and not self._too_large(work, counters):
                    return False
                if self._logic.notes:
                    self._collect(counters)
                gone.swept(key)
        gone.swept(None)
        work.lets_go = False
        return True

    def _nothing_new(self, work: Work, counters: dict[tuple[str, str], int]) -> None:
        """A record that changed nothing, and gave no other reason: it was known already."""
        work.units += 1
        if not self._logic.notes:
            _count(counters, "duplicate", self._logic.stage)

    # -- counting --------------------------------------------------------------------------------------------

    def _collect(self, counters: dict[tuple[str, str], int]) -> None:
        for name, label in self._logic.notes:
            if name == STANDS:
                self._position.note_standing(label, 1)
            elif name == STANDS_NO_MORE:
                self._position.note_standing(label, -1)
            elif name in {HELD, HELD_NO_MORE}:
                self._position.note_held(label, 1 if name == HELD else -1)
            else:
                if name == HISTORICAL:
                    self._position.note_historical(label)
                _count(counters, name, label)
        self._delays += self._logic.delays
        self._logic.notes.clear()
        self._logic.delays.clear()

    def _too_large(self, work: Work, counters: dict[tuple[str, str], int]) -> bool:
        """A change was not taken. False: it waits for the next batch; True: no batch could hold it, and it is passed over."""
        self._forget()
        if work.changed:
            return False
        work.units += 1
        _count(counters, "oversized", self._logic.stage)
        return True

    def _forget(self) -> None:
        """The change was not taken: it will be worked out, and counted, again."""
        self._logic.notes.clear()
        self._logic.delays.clear()


def _read_ahead(window: Sequence[LogRecord], index: int, work: Work, key: bytes) -> Held:
    """Read the states of this record and of those behind it at once. Returns the one of this record's key."""
    work.load([one.key for one in window[index : index + READ_AHEAD] if one.key and one.key[0]])
    return work.get(key)


def _count(counters: dict[tuple[str, str], int], name: str, label: str) -> None:
    counters[(name, label)] = counters.get((name, label), 0) + 1
