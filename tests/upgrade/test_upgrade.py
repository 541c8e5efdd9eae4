"""State that an older version has written is gone on from: nothing lost, nothing said anew, nothing false."""

from __future__ import annotations

import gzip
from datetime import datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from agents import virtual_time
from agents.errors import UnreadableStateError
from agents.fencing import FencedProducer
from agents.stage import Owned, Stage, StageHost, StageTopics
from agents.store import PartitionStore, SharedMemory
from agents.virtual_time import Store
from schemas.policy import Policy
from simulation.happenings import SimEvent
from simulation.oracle import expected
from simulation.player import undisturbed_ledger
from simulation.scoreboard import Observed, score
from simulation.terms import Terms
from streams.keys import partition_of
from streams.parcel_stage import parcel_logic
from streams.partition import PARCELS_SOURCE, Partition
from streams.return_stage import return_logic
from streams.state_version import LEAST_READER, STATE_VERSION, STEPS, VERSION_AT, NewerStateError
from streams.watermark import Outgoing, Position, decode_position, encode_position
from tests.scenarios.one_process import PARTITIONS, OneProcess
from tests.upgrade.record import PERIOD

HERE = Path(__file__).parent
RECORDED = sorted(HERE.glob("version-*.msgpack.gz"))


class Stored(msgspec.Struct):
    """What a partition's changelog has, and the records of its log behind its position."""

    position: bytes
    policy: bytes
    states: dict[bytes, bytes]
    waiting: list[tuple[int, bytes, bytes]]
    rhythms: bytes | None = None


class Recorded(msgspec.Struct):
    """What tests/upgrade/record.py writes."""

    policy: str
    events: list[SimEvent]
    read: int
    """So many events have been read; what became of them is in the states, or waits in the logs."""
    read_at: datetime
    until_at: datetime
    observed: list[Observed]
    stages: dict[str, list[Stored]]


@cache
def recorded(file: Path) -> Recorded:
    return msgspec.msgpack.decode(gzip.decompress(file.read_bytes()), type=Recorded)


def gone_on(told: Recorded) -> OneProcess:
    """Recover as a worker does, say again what the last batches had to say, and play the rest of the world."""
    run = OneProcess(Policy.model_validate_json(told.policy))
    engine: Any = run.engine
    engine._marked_ms = round(told.read_at.timestamp() * 1000)
    engine._parcels = [recovered("parcels", number, one) for number, one in enumerate(told.stages["parcels"])]
    engine._returns = [recovered("returns", number, one) for number, one in enumerate(told.stages["returns"])]
    for log in engine._parcels:
        for report in log.partition.repeat(log.store):
            engine._returns[partition_of(report.key, PARTITIONS)].append(report.key, report.value)
    for log in engine._returns:
        engine._said += log.partition.repeat(log.store)
    for event in told.events[: told.read]:
        run.offsets[event.kind] += 1
    run.play(told.events[told.read :], told.until_at, PERIOD)
    return run


def recovered(stage: str, number: int, stored: Stored) -> Any:
    """A partition from the records of its changelog, with its log behind it."""
    new_logic = parcel_logic if stage == "parcels" else return_logic
    roads = tuple(virtual_time.ONE_TOPIC_OF_EACH_KIND)
    partition = Partition(
        new_logic(PARTITIONS),
        number,
        position=stored.position,
        policy=stored.policy,
        rhythms=stored.rhythms,
        sources=roads if stage == "parcels" else (*roads, PARCELS_SOURCE),
    )
    arming = new_logic(PARTITIONS)
    arming.adopt(stored.policy)
    log = virtual_time.StageLog(partition)
    log.store = Store()
    for key, raw in stored.states.items():
        log.store.put(key, arming.armed_ms(key, raw), raw)
    log._end = partition.next_offset
    for offset, key, value in stored.waiting:
        assert offset == log._end
        log.append(key, value)
    return log


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.name.partition(".")[0])
def test_the_rest_of_a_world_comes_out_as_the_oracle_says(file: Path) -> None:
    told = recorded(file)
    run = gone_on(told)
    policy = Policy.model_validate_json(told.policy)
    cases = expected(list(undisturbed_ledger(told.events)), Terms(policy), told.until_at, 2 * PERIOD)
    before = {(seen.case_id, seen.revision) for seen in told.observed}
    fresh = [seen for seen in run.observed if (seen.case_id, seen.revision) not in before]
    result = score(cases, [*told.observed, *fresh], bound=2 * PERIOD)
    assert result.problems == []
    assert result.ok
    assert len(told.observed) > 20 < len(fresh), "both halves have something to say"
    lasting = {seen.case_id for seen in told.observed} & {seen.case_id for seen in fresh}
    assert lasting, "cases live across the upgrade"


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.name.partition(".")[0])
def test_what_is_written_next_is_of_this_version(file: Path) -> None:
    for number, stored in enumerate(recorded(file).stages["parcels"]):
        log = recovered("parcels", number, stored)
        batches: list[Any] = []
        log.store.apply = batches.append
        log.work()
        fields = msgspec.msgpack.decode(batches[-1].position)
        assert fields[VERSION_AT:] == [STATE_VERSION, LEAST_READER, 0]
        assert fields[0] == stored.waiting[-1][0] + 1


REPORT = Outgoing("returns", b"RMA-1", b"{}", [], None)
POSITION = Position(
    next_offset=7,
    roster={"labels": 2},
    seen={"labels": [5, 6]},
    outbox_keys=[b"ups:1"],
    outbox=[REPORT],
    standing={"late_refund|1": 3},
    retired=["old"],
    counted={"labels": [0, 0]},
)


def fields_of(position: Position) -> list[Any]:
    fields: list[Any] = msgspec.msgpack.decode(encode_position(position))
    return fields


def position_in(fields: Any) -> Position:
    return decode_position(msgspec.msgpack.encode(fields))


def test_a_position_without_a_number_is_read_by_what_stands_in_it() -> None:
    now = fields_of(POSITION)
    unnumbered, uncounted = now[:VERSION_AT], now[: VERSION_AT - 1]
    with_arrivals = [*uncounted[:8], {"ups": 4}, *uncounted[8:]]
    assert position_in(unnumbered) == POSITION
    assert position_in(uncounted) == POSITION
    assert position_in(with_arrivals) == POSITION
    assert position_in(with_arrivals[:13]) == POSITION, "one that ended with the retired topics"


def test_a_newer_version_that_this_one_may_go_on_from_is_read_and_written_again_as_this_one() -> None:
    newer = [*fields_of(POSITION)[:VERSION_AT], STATE_VERSION + 1, STATE_VERSION, 0, "a field of its own"]
    assert position_in(newer) == POSITION
    assert fields_of(position_in(newer))[VERSION_AT:] == [STATE_VERSION, LEAST_READER, 0]


def test_a_newer_version_is_refused_whatever_else_has_become_of_its_position() -> None:
    newer: list[Any] = ["nothing", "as", "it", "was", *[None] * (VERSION_AT - 4), 9, 8]
    with pytest.raises(NewerStateError, match="state version 9, which needs 8 or later to go on; this is "):
        position_in(newer)


@pytest.mark.parametrize(
    "fields", [[], [1, 2], {"a": 1}, [*[None] * VERSION_AT, "1", 1], [*[None] * VERSION_AT, 2]]
)
def test_what_is_no_position_is_told_as_that(fields: Any) -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        position_in(fields)
    assert not isinstance(caught.value, NewerStateError)


def test_every_version_has_a_step_to_the_next() -> None:
    assert sorted(STEPS) == list(range(STATE_VERSION))
    assert LEAST_READER <= STATE_VERSION
    assert Position.__struct_fields__[VERSION_AT : VERSION_AT + 2] == ("version", "least_reader")


async def test_a_worker_at_work_that_is_given_a_partition_of_a_newer_version_ends_and_names_it(
    tmp_path: Path,
) -> None:
    newer = msgspec.msgpack.encode([*fields_of(POSITION)[:VERSION_AT], 9, 9])
    store = PartitionStore(tmp_path / "parcels-3", SharedMemory(), pytest.fail)
    store.apply([], position=newer, policy=None, offset=7)
    topics = StageTopics("parcels", "parcels", "parcels-changelog", {}, None, ())
    stage = Stage(topics, lambda: parcel_logic(1), cast(StageHost, SimpleNamespace(secret=b"", tracer=None)))
    given = Owned(3, cast(FencedProducer, None), store, taken_offset=7)
    stage._owned[3] = given
    with pytest.raises(UnreadableStateError) as caught:
        await stage.restored()
    assert [finding.where for finding in caught.value.findings] == ["parcels-changelog/3"]
    assert "needs 9 or later to go on" in caught.value.findings[0].what
    assert not given.ready, "nothing is worked on or said"
    store.close()
