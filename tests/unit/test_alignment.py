"""A backlog is read about in the order in which it was written, and nobody is held for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from types import SimpleNamespace

import pytest
from faust.types.tuples import TP
from hypothesis import given
from hypothesis import strategies as st

from agents import alignment as alignment_module
from agents.alignment import Alignment, Part
from agents.transport import Chunk
from streams.alignment import Waiting, never_falling, next_slice

SCANS, DOCK = TP("carrier-scans", 0), TP("warehouse", 0)

times = st.lists(st.integers(0, 500), min_size=1, max_size=60).map(never_falling)


def test_a_time_ahead_of_its_partition_holds_those_behind_it() -> None:
    assert never_falling([5, 9, 7, 12]) == [5, 9, 9, 12]


def test_all_go_on_to_the_same_time() -> None:
    scans, dock = list(range(0, 3_200, 2)), list(range(0, 320_000, 200))
    counts = next_slice([Waiting(scans, 0, True), Waiting(dock, 0, True)], 800)
    assert 700 < sum(counts) < 900
    assert abs(scans[counts[0] - 1] - dock[counts[1] - 1]) <= 200


def test_nobody_passes_the_end_of_a_partition_that_has_more() -> None:
    assert next_slice([Waiting([1, 2], 0, True), Waiting([2, 3, 4], 0, False)], 100) == [2, 1]


def test_the_end_of_a_partition_that_has_no_more_holds_nobody() -> None:
    assert next_slice([Waiting([1, 2], 0, False), Waiting([2, 3, 4], 0, False)], 100) == [2, 3]


@given(st.lists(st.tuples(times, st.booleans()), min_size=1, max_size=5), st.integers(1, 80))
def test_slices_come_to_an_end_and_are_in_order(partitions: list[tuple[list[int], bool]], about: int) -> None:
    at = [0] * len(partitions)
    reached = -1
    while any(index < len(one) for index, (one, _) in zip(at, partitions, strict=True)):
        left = [number for number, (one, _) in enumerate(partitions) if at[number] < len(one)]
        counts = next_slice([Waiting(partitions[n][0], at[n], partitions[n][1]) for n in left], about)
        assert sum(counts) > 0
        taken = [
            partitions[number][0][at[number] + index]
            for number, count in zip(left, counts, strict=True)
            for index in range(count)
        ]
        if all(count < about for count in counts):
            assert min(taken) >= reached
            reached = max(taken)
        for number, count in zip(left, counts, strict=True):
            at[number] += count


class Host:
    """Everything that is known, and everything that was forwarded."""

    def __init__(self) -> None:
        self.ends: dict[TP, int] = {}
        self.done: dict[TP, int] = {}
        self.forwarded: list[tuple[TP, int]] = []
        self.error: Exception | None = None

    def place(self, tp: TP) -> int:
        return 1 if tp == DOCK else 0

    def unread(self, tp: TP, offset: int) -> bool:
        return self.ends.get(tp, 0) > offset

    def behind(self) -> Collection[TP]:
        return [tp for tp, end in self.ends.items() if end > self.done.get(tp, 0)]

    async def forward(self, parts: list[Part]) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        for tp, records, next_offset in parts:
            self.forwarded += [(tp, record.timestamp) for record in records]
            self.done[tp] = next_offset

    def order(self) -> list[int]:
        return [time for _, time in self.forwarded]


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
async def alignment(host: Host) -> AsyncIterator[Alignment]:
    aligned = Alignment(host)
    yield aligned
    await aligned.close()


def chunk(times_ms: Sequence[int], start: int = 0, following: int = 0) -> Chunk:
    records = Chunk(
        SimpleNamespace(offset=start + index, timestamp=time) for index, time in enumerate(times_ms)
    )
    records.start, records.next = start, start + len(records) + following
    return records


async def test_a_partition_that_is_known_to_be_behind_is_waited_for(alignment: Alignment, host: Host) -> None:
    host.ends = {SCANS: 3, DOCK: 2}
    alignment.begin()
    ahead = asyncio.create_task(alignment.pass_on(DOCK, chunk([30, 40])))
    await asyncio.sleep(0.05)
    assert not host.forwarded
    await alignment.pass_on(SCANS, chunk([10, 20, 35]))
    await ahead
    assert [time for tp, time in host.forwarded if tp == DOCK] == [30, 40]
    assert host.order()[:2] == [10, 20]


async def test_one_that_gives_nothing_is_left_behind(
    alignment: Alignment, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alignment_module, "GRACE_SECONDS", 0.05)
    host.ends = {SCANS: 3, DOCK: 2}
    await asyncio.wait_for(alignment.pass_on(DOCK, chunk([30, 40])), 60)
    assert host.order() == [30, 40]


async def test_many_that_give_nothing_do_not_add_up(alignment: Alignment, host: Host) -> None:
    inputs = [TP("carrier-scans", number) for number in range(200)]
    host.ends = dict.fromkeys(inputs, 1 << 40)
    waiting = [alignment.pass_on(tp, chunk([tp.partition])) for tp in inputs]
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*waiting)
    waits = (asyncio.get_running_loop().time() - began) / alignment_module.GRACE_SECONDS
    assert waits < len(inputs) / 2
    assert host.order() == list(range(200))


async def test_times_far_in_the_future_hold_a_partition_for_a_while_only(
    alignment: Alignment, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alignment_module, "PATIENCE_SECONDS", 0.05)
    host.ends = {SCANS: 1 << 40}
    wrong = asyncio.create_task(alignment.pass_on(DOCK, chunk([1 << 41] * 200)))
    start = 0
    while not wrong.done():
        await alignment.pass_on(SCANS, chunk([start, start + 1], start))
        start += 2
    assert len([1 for tp, _ in host.forwarded if tp == DOCK]) == 200


async def test_what_is_done_is_told_up_to_the_offset_behind_it(alignment: Alignment, host: Host) -> None:
    await alignment.pass_on(SCANS, chunk([10, 20], start=7, following=3))
    assert host.done == {SCANS: 12}


async def test_an_error_in_forwarding_ends_those_who_wait_for_it(alignment: Alignment, host: Host) -> None:
    host.error = RuntimeError("fenced")
    waiting = [alignment.pass_on(SCANS, chunk([1])), alignment.pass_on(DOCK, chunk([1]))]
    assert {str(error) for error in await asyncio.gather(*waiting, return_exceptions=True)} == {"fenced"}
