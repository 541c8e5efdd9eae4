"""The engine of one partition: what it consumes, when its clock moves, and how its batches are cut."""

import pytest

from schemas.facts import (
    MARKER_KEY,
    POLICY_KEY,
    RETIRE_KEY,
    Arrivals,
    Mark,
    Marker,
    Retirement,
    decode_marker,
    encode_json,
)
from schemas.policy import Policy
from schemas.vocabulary import Milestone
from streams.parcel_stage import parcel_logic
from streams.partition import Partition
from streams.return_stage import return_logic
from streams.watermark import PARCELS_SOURCE, decode_position
from tests.stages import (
    DAY,
    HOUR,
    MONDAY,
    MemoryStore,
    Record,
    StageRun,
    label_fact,
    marker,
    only,
    parcel_fact,
    parcels_run,
    returns_run,
)

POLICY = only().to_log()


def labels(count: int) -> list[tuple[bytes, bytes]]:
    return [(f"ups:{i}".encode(), encode_json(label_fact(0, f"R{i}"))) for i in range(count)]


def log(*entries: tuple[bytes | None, bytes | None], first: int = 0) -> list[Record]:
    return [Record(first + i, key, value) for i, (key, value) in enumerate(entries)]


def marks(*marks: tuple[str, int, int], **roster: int) -> tuple[bytes, bytes]:
    told = Marker(
        marks=tuple(Mark(topic, number, MONDAY + through) for topic, number, through in marks), roster=roster
    )
    return MARKER_KEY, encode_json(told)


def partition(*sources: str) -> Partition:
    return Partition(parcel_logic(8), 3, position=None, policy=None, sources=sources)


# -- the watermark ----------------------------------------------------------------------------------------------


def reached(*entries: tuple[bytes, bytes], sources: tuple[str, ...] = ("orders", "scans")) -> int:
    """The watermark after a log, in ms after MONDAY; before the first one -1."""
    engine = partition(*sources)
    records = log((POLICY_KEY, POLICY), *entries)
    engine.step(records, 0, MemoryStore(), len(records))
    return engine.watermark_ms - MONDAY if engine.watermark_ms else -1


def test_the_watermark_is_the_smallest_mark_of_all_sources() -> None:
    told = marks(("orders", 0, 5 * HOUR), ("scans", 0, 3 * HOUR), ("scans", 1, 4 * HOUR), orders=1, scans=2)
    assert reached(told) == 3 * HOUR


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(marks(("orders", 0, HOUR), orders=1), id="a topic that no marker has named"),
        pytest.param(marks(("orders", 0, HOUR), orders=1, scans=1), id="a topic without a mark"),
        pytest.param(
            marks(("orders", 0, HOUR), ("scans", 0, HOUR), orders=1, scans=2), id="a partition without a mark"
        ),
    ],
)
def test_the_watermark_waits_for(told: tuple[bytes, bytes]) -> None:
    assert reached(told) == -1


def test_new_partitions_of_a_source_hold_the_watermark_until_they_are_marked() -> None:
    before = marks(("orders", 0, HOUR), ("scans", 0, HOUR), orders=1, scans=1)
    grown = marks(("orders", 0, 5 * HOUR), ("scans", 0, 5 * HOUR), orders=1, scans=2)
    assert reached(before, grown) == HOUR
    assert reached(before, grown, marks(("scans", 1, 4 * HOUR), scans=2)) == 4 * HOUR


def test_the_watermark_never_goes_back_and_repeated_markers_change_nothing() -> None:
    high, low = (marks(("orders", 0, at), ("scans", 0, at), orders=1, scans=1) for at in (5 * HOUR, HOUR))
    assert reached(high, low, high) == 5 * HOUR


def test_before_the_first_policy_the_watermark_stands_and_nothing_fires() -> None:
    run = parcels_run()
    run.feed(log(*labels(1), (MARKER_KEY, marker(MONDAY + 10 * DAY))))
    assert run.engine.watermark_ms == 0
    assert run.engine.holding() == ["no policy in this partition's log yet"]
    assert run.engine.marks_to_forward() is None
    assert not run.said
    run.feed(log((POLICY_KEY, POLICY), (MARKER_KEY, marker(MONDAY + 10 * DAY)), first=2))
    assert run.engine.watermark_ms == MONDAY + 10 * DAY
    assert b'"state":"open"' in (run.said[-1].value or b"")


def test_what_holds_the_watermark_is_named() -> None:
    engine = partition("orders", "scans", "labels")
    told = marks(("orders", 0, 5 * HOUR), ("scans", 1, HOUR), orders=1, scans=2)
    engine.step(log((POLICY_KEY, POLICY), told), 0, MemoryStore(), 2)
    assert engine.holding()[:2] == ["labels: not in any marker yet", "scans/0: no mark yet"]


def test_the_parcel_stage_passes_its_watermark_on_and_the_return_stage_does_not() -> None:
    run = parcels_run()
    run.feed(log((POLICY_KEY, POLICY), (MARKER_KEY, marker(MONDAY + HOUR))))
    passed_on = decode_marker(run.engine.marks_to_forward() or b"")
    assert passed_on == Marker(marks=(Mark(PARCELS_SOURCE, 0, MONDAY + HOUR),), roster={PARCELS_SOURCE: 1})
    returns = Partition(return_logic(1), 0, position=None, policy=None, sources=[PARCELS_SOURCE])
    returns.step(log((POLICY_KEY, POLICY), (MARKER_KEY, marker(MONDAY, PARCELS_SOURCE))), 0, MemoryStore(), 2)
    assert returns.watermark_ms
    assert returns.marks_to_forward() is None


def test_the_watermark_is_not_passed_on_before_all_that_is_due_was_said() -> None:
    run = parcels_run()
    run.feed(log((POLICY_KEY, POLICY), *labels(10)))
    engine = Partition(
        parcel_logic(1), 0, position=run.store.position, policy=POLICY, sources=["inputs"], max_facts=4
    )
    batch = engine.step(log((MARKER_KEY, marker(MONDAY + 80 * HOUR)), first=11), 0, run.store, 12)
    assert (batch.consumed, batch.next_offset, len(batch.outgoing)) == (0, 11, 4)
    assert engine.marks_to_forward() is None


# -- offsets ----------------------------------------------------------------------------------------------------


def test_records_that_are_applied_already_are_skipped() -> None:
    run = parcels_run()
    records = log((POLICY_KEY, POLICY), *labels(3))
    run.feed(records)
    said = len(run.said)
    batch = run.engine.step(records, 0, run.store, 4)
    assert (batch.consumed, batch.next_offset, batch.outgoing, batch.writes) == (4, 4, [], [])
    assert len(run.said) == said


def test_the_chunks_next_offset_counts_past_gaps_and_an_empty_chunk_moves_the_position() -> None:
    engine = partition("scans")
    assert engine.step(log(*labels(1), first=5), 0, MemoryStore(), 17).next_offset == 17
    assert engine.step([], 0, MemoryStore(), 23).next_offset == 23


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"ups:1", b"{"),
        (b"ups:1", None),
        (None, b"{}"),
        (b"", b"{}"),
        (b"\x00other", b"{}"),
        (MARKER_KEY, b"[]"),
    ],
)
def test_a_record_that_is_not_ours_is_counted_and_stops_nothing(
    key: bytes | None, value: bytes | None
) -> None:
    run = parcels_run()
    run.feed(log((POLICY_KEY, POLICY), (key, value), *labels(1)))
    assert run.counters["unreadable", "parcels"] == 1
    assert run.engine.next_offset == 3
    assert len(run.said) == 1


# -- batches ----------------------------------------------------------------------------------------------------


def test_a_batch_takes_no_more_facts_than_it_may_and_the_next_goes_on() -> None:
    run = parcels_run(max_facts=3)
    records = log((POLICY_KEY, POLICY), *labels(8))
    sizes, start = [], 0
    while start < len(records):
        batch = run.engine.step(records, start, run.store, len(records))
        run.store.apply(batch)
        sizes.append(batch.consumed)
        start += batch.consumed
    assert max(sizes) <= 4  # a record that only the engine itself reads is not a fact
    assert len(run.store.rows) == 8


@pytest.mark.parametrize("returns_of_the_last", [2, 8, 14, 20, 26])
def test_a_marker_that_brings_many_feeds_waits_for_a_batch_with_room(returns_of_the_last: int) -> None:
    feeds: dict[str, int | Arrivals] = {f"carrier{number:02}": 3 for number in range(50)}
    told = Marker((Mark("inputs", 0, MONDAY + 2 * HOUR, feeds),), {"inputs": 1})
    watching = only(feeds={"watched": True}).to_log()
    for parcels in range(145, 172, 2):
        counts = [30] * parcels + [returns_of_the_last]
        facts = [
            (
                f"ups:{number:012d}".encode(),
                encode_json(
                    label_fact(HOUR, *(f"R-{number:06d}-{one:03d}-" + "x" * 80 for one in range(count)))
                ),
            )
            for number, count in enumerate(counts)
        ]
        run = parcels_run()
        run.feed(log((POLICY_KEY, watching), *facts, (MARKER_KEY, encode_json(told))))
        assert run.largest_batch <= 900_000, parcels
        assert run.engine.watermark_ms == MONDAY + 2 * HOUR
        assert len(run.engine.feeds.by_name) == 50


def test_a_batch_grows_no_larger_than_it_may() -> None:
    whole, small = parcels_run(), parcels_run(max_bytes=4_000)
    records = log((POLICY_KEY, POLICY), *labels(200), (MARKER_KEY, marker(MONDAY + 80 * HOUR)))
    whole.feed(records)
    small.feed(records[:1])
    small.largest_batch = 0
    small.feed(records[1:])
    assert 3_000 < small.largest_batch <= 4_000
    assert [(out.key, out.value) for out in small.said] == [(out.key, out.value) for out in whole.said]


def test_the_returns_messages_count_towards_the_size_of_their_batch() -> None:
    parcels = parcels_run()
    parcels.feed(log((POLICY_KEY, POLICY), *labels(40), (MARKER_KEY, marker(MONDAY + 80 * HOUR))))
    returns = returns_run(max_bytes=9_000)
    returns.feed(log((POLICY_KEY, POLICY)))
    returns.largest_batch = 0
    said = [(out.key, out.value) for out in parcels.said]
    at = MONDAY + 80 * HOUR
    returns.feed(log(*said, (MARKER_KEY, marker(at)), (MARKER_KEY, marker(at, PARCELS_SOURCE)), first=1))
    assert 6_000 < returns.largest_batch <= 9_000
    assert returns.counters["case_opened", "missing_first_scan"] == 40


def test_a_timer_that_comes_early_is_armed_again_without_a_changelog_record() -> None:
    run = parcels_run()
    run.feed(
        log(
            (POLICY_KEY, POLICY), *labels(1), (b"ups:0", encode_json(parcel_fact(Milestone.IN_TRANSIT, HOUR)))
        )
    )
    armed = run.store.rows[b"ups:0"][0]
    batch = run.engine.step(log((MARKER_KEY, marker(MONDAY + 73 * HOUR)), first=3), 0, run.store, 4)
    (write,) = batch.writes
    assert armed == MONDAY + 72 * HOUR
    assert (write.armed_ms, write.disarm_ms, write.durable) == (MONDAY + 5 * DAY + HOUR, armed, False)
    assert batch.outgoing == []


def test_a_scan_that_only_pushes_deadlines_out_touches_no_timer() -> None:
    run = parcels_run()
    scans = [(b"ups:0", encode_json(parcel_fact(Milestone.IN_TRANSIT, hours * HOUR))) for hours in (1, 20)]
    run.feed(log((POLICY_KEY, POLICY), *labels(1), scans[0]))
    batch = run.engine.step(log(scans[1], first=3), 0, run.store, 4)
    (write,) = batch.writes
    assert (write.armed_ms, write.disarm_ms, write.durable) == (run.store.rows[b"ups:0"][0], 0, True)


def test_timers_rebuilt_from_the_states_fire_though_an_old_one_lies_behind_the_watermark() -> None:
    """The timer of the first scan fired, found the second and was armed again: of that the changelog knows nothing."""
    run = parcels_run()
    scans = [
        (b"ups:0", encode_json(parcel_fact(Milestone.IN_TRANSIT, at, place=str(at))))
        for at in (HOUR, 4 * DAY)
    ]
    run.feed(log((POLICY_KEY, POLICY), *labels(1), *scans, (MARKER_KEY, marker(MONDAY + 6 * DAY))))
    run.lose_disk()
    assert run.store.rows[b"ups:0"][0] < MONDAY + 6 * DAY
    said = len(run.said)
    run.feed(log((MARKER_KEY, marker(MONDAY + 9 * DAY)), first=run.engine.next_offset))
    assert [b'"rule":"stalled_silent"' in (out.value or b"") for out in run.said[said:]] == [True]


def test_timers_are_read_from_where_the_last_one_fired_never_from_the_front() -> None:
    run = parcels_run(max_facts=4)
    run.feed(log((POLICY_KEY, POLICY), *labels(10)))
    asked: list[tuple[int, bytes]] = []

    class Watched(MemoryStore):
        def due(self, after: tuple[int, bytes], until_ms: int, limit: int) -> list[tuple[int, bytes]]:
            asked.append(after)
            return super().due(after, until_ms, limit)

    run.store.__class__ = Watched
    for hours in (71, 80):
        run.feed(log((MARKER_KEY, marker(MONDAY + hours * HOUR)), first=run.engine.next_offset))
    deadline = MONDAY + 72 * HOUR
    assert asked == [
        (1, b""),
        (MONDAY + 71 * HOUR + 1, b""),
        (deadline, b"ups:3"),
        (deadline, b"ups:7"),
    ]


def test_a_state_is_not_deleted_in_the_batch_that_says_its_last_word() -> None:
    run = parcels_run()
    run.feed(log((POLICY_KEY, POLICY), *labels(1)))
    batch = run.engine.step(log((MARKER_KEY, marker(MONDAY + 300 * DAY)), first=2), 0, run.store, 3)
    run.store.apply(batch)
    assert [(out.value or b"").count(b"expired") for out in batch.outgoing] == [0, 1]
    assert batch.consumed == 0
    assert [(out.value or b"").count(b"expired") for out in run.engine.repeat(run.store)] == [1]


# -- policy -----------------------------------------------------------------------------------------------------


def stricter() -> bytes:
    numbers = only().model_dump(mode="json")
    numbers["rules"]["missing_first_scan"]["budget"] = "24h"
    return Policy.model_validate(numbers).to_log()


def with_parcels(count: int, **limits: int) -> StageRun:
    run = parcels_run(**limits)
    run.feed(log((POLICY_KEY, POLICY), *labels(count), (MARKER_KEY, marker(MONDAY + 30 * HOUR))))
    run.said.clear()
    return run


def test_a_new_policy_looks_at_every_key_again_and_facts_behind_it_wait() -> None:
    run = with_parcels(10, max_facts=4)
    first = run.engine.next_offset
    records = log((POLICY_KEY, stricter()), (b"ups:new", encode_json(label_fact(0, "RN"))), first=first)
    batch = run.engine.step(records, 0, run.store, first + 2)
    run.store.apply(batch)
    assert (batch.consumed, len(batch.outgoing), batch.policy) == (0, 4, stricter())
    run.feed(records)
    keys = [out.key for out in run.said]
    assert len(batch.outgoing) + len(keys) == 11
    assert keys[-1] == b"RN"


def test_a_sweep_goes_on_after_a_restart() -> None:
    run = with_parcels(10, max_facts=4)
    first = run.engine.next_offset
    records = log((POLICY_KEY, stricter()), first=first)
    batch = run.engine.step(records, 0, run.store, first + 1)
    run.store.apply(batch)
    run.start()
    run.feed(records)
    assert sorted(out.key for out in [*batch.outgoing, *run.said]) == sorted(
        f"R{i}".encode() for i in range(10)
    )
    assert run.engine.policy_hash == Policy.model_validate_json(stricter().split(b'"policy":')[1][:-1]).hash


def test_the_policy_in_force_applied_again_changes_nothing() -> None:
    run = with_parcels(3)
    batch = run.engine.step(log((POLICY_KEY, POLICY), first=run.engine.next_offset), 0, run.store, 99)
    assert (batch.consumed, batch.writes, batch.outgoing, batch.policy) == (1, [], [], None)


def test_a_policy_that_cannot_be_read_is_counted_and_the_one_in_force_stays() -> None:
    run = with_parcels(1)
    in_force = run.engine.policy_hash
    newer = (POLICY_KEY, b'{"hash":"x","policy":{"written_by":"a newer version"}}')
    run.feed(log(newer, (MARKER_KEY, marker(MONDAY + 80 * HOUR)), first=run.engine.next_offset))
    assert run.counters["unreadable", "parcels"] == 1
    assert run.engine.policy_hash == in_force
    assert b'"state":"open"' in (run.said[-1].value or b"")


def test_an_input_topic_called_parcels_is_not_taken_for_the_parcel_stage() -> None:
    run = returns_run()
    run.feed(log((POLICY_KEY, POLICY), (MARKER_KEY, marker(MONDAY)), (MARKER_KEY, marker(MONDAY, "parcels"))))
    assert run.engine.watermark_ms == 0
    assert run.engine.holding()[0] == "parcels: not in any marker yet"
    run.feed(log((MARKER_KEY, marker(MONDAY - HOUR, PARCELS_SOURCE)), first=3))
    assert run.engine.watermark_ms == MONDAY - HOUR


# -- topics that nobody reads any more ---------------------------------------------------------------------------


def retired(topic: str, *, undo: bool = False) -> tuple[bytes, bytes]:
    return RETIRE_KEY, encode_json(Retirement(topic, not undo))


BOTH = marks(("orders", 0, 5 * HOUR), ("old", 0, HOUR), orders=1, old=2)
LATE = marks(("orders", 0, 6 * HOUR), ("old", 0, 2 * HOUR), orders=1, old=2)


def test_a_retired_topic_holds_nothing_and_a_late_marker_does_not_bring_it_back() -> None:
    assert reached(BOTH, sources=("orders",)) == -1
    assert reached(BOTH, retired("old"), LATE, sources=("orders",)) == 6 * HOUR


def test_a_retirement_that_was_taken_back_holds_the_watermark_from_the_next_marker_on() -> None:
    later = marks(("orders", 0, 9 * HOUR), ("old", 0, 2 * HOUR), ("old", 1, 8 * HOUR), orders=1, old=2)
    told = (BOTH, retired("old"), LATE, retired("old", undo=True))
    assert reached(*told, later, sources=("orders",)) == 6 * HOUR
    grown = marks(("orders", 0, 9 * HOUR), ("old", 0, 8 * HOUR), orders=1, old=2)
    assert reached(*told, later, grown, sources=("orders",)) == 8 * HOUR


def test_a_retirement_is_remembered_over_a_restart_and_that_of_the_parcel_stage_is_ignored() -> None:
    run = parcels_run()
    run.feed(log((POLICY_KEY, POLICY), retired("old"), retired(PARCELS_SOURCE), (MARKER_KEY, marker(MONDAY))))
    run.start()
    run.feed(log((MARKER_KEY, marker(MONDAY - HOUR, "old")), first=4))
    run.feed(log((MARKER_KEY, marker(MONDAY + HOUR)), first=5))
    assert run.engine.watermark_ms == MONDAY + HOUR
    assert decode_position(run.store.position or b"").retired == ["old"]


def test_a_topic_that_is_an_input_by_the_settings_is_waited_for_though_it_was_retired() -> None:
    assert reached(BOTH, retired("old"), LATE, sources=("orders", "old")) == -1
