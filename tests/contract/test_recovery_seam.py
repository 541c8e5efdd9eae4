"""What agents/recovery.py overrides or touches in Faust's recovery, table manager, table and store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import faust
import pytest
from faust.app.base import App
from faust.stores.base import Store
from faust.tables.manager import TableManager
from faust.tables.objects import ChangeloggedObjectManager
from faust.tables.recovery import Recovery
from faust.tables.table import Table
from faust.types.tuples import TP
from mode.utils.queues import FlowControlEvent, FlowControlQueue

from agents.recovery import BulkRecovery, BulkTableManager, ChangelogShell, StateTable
from agents.transport import Chunk
from tests.contract.internals import comes_before, names_used, parameters

pytestmark = pytest.mark.seam("bulk recovery", adr="0002-engine-seams-on-faust")

CHANGELOG = TP("contract-parcel-state-changelog", 0)


class FakeHost:
    """A worker with one changelog partition whose take-over record is at offset 4."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.restored_to: int | None = None
        self.taken: set[TP] = set()

    def assignment_changed(self) -> None:
        self.calls.append("assignment_changed")

    async def take_over(self, changelogs: set[TP]) -> None:
        self.calls.append("take_over")
        self.taken = changelogs

    def restored_offset(self, changelog: TP) -> int | None:
        return self.restored_to if changelog == CHANGELOG else None

    def restore(self, changelog: TP, chunk: Chunk) -> None:
        assert changelog == CHANGELOG
        self.restored_to = chunk.next - 1

    def is_restored(self, changelog: TP) -> bool:
        return (self.restored_offset(changelog) or 0) >= 4


class FakeConsumer:
    """Answers end offsets, and notes when it was asked."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        self._host.calls.append("highwaters")
        return dict.fromkeys(partitions, 5)

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        return dict.fromkeys(partitions, 0)


def chunk(start: int, after: int) -> Chunk:
    made = Chunk()
    made.start, made.next = start, after
    return made


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
async def app(host: FakeHost) -> Any:
    made = faust.App(
        "contract",
        broker="kafka://127.0.0.1:9",
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        table_standby_replicas=0,
        version=1,
        id_format="{id}",
        TableManager=BulkTableManager,
    )
    made.recovery_host = host
    return made


@pytest.fixture
async def recovery(app: Any) -> BulkRecovery:
    made = app.tables.recovery
    assert isinstance(made, BulkRecovery)
    made.active_tps.add(CHANGELOG)
    return made


async def test_partitions_are_taken_over_before_the_ends_of_their_changelogs_are_asked(
    recovery: BulkRecovery, host: FakeHost
) -> None:
    await recovery._build_highwaters(FakeConsumer(host), {CHANGELOG}, recovery.active_highwaters, "active")
    assert host.calls == ["take_over", "highwaters"]
    assert host.taken == {CHANGELOG}


async def test_recovery_ends_when_the_take_over_record_has_come_back_and_not_before(
    recovery: BulkRecovery, host: FakeHost
) -> None:
    recovery._set_recovery_started()
    recovery.bulk(CHANGELOG, chunk(0, 4))
    assert recovery.in_recovery
    assert recovery.need_recovery()
    assert not recovery.signal_recovery_end.is_set()
    recovery.bulk(CHANGELOG, chunk(4, 5))
    assert not recovery.in_recovery
    assert not recovery.app.in_recovery
    assert recovery.signal_recovery_end.is_set()


async def test_reading_goes_on_where_the_local_store_ends(recovery: BulkRecovery, host: FakeHost) -> None:
    host.restored_to = 2
    consumer = FakeConsumer(host)
    await recovery._build_highwaters(consumer, {CHANGELOG}, recovery.active_highwaters, "active")
    await recovery._build_offsets(consumer, {CHANGELOG}, recovery.active_offsets, "active")
    assert recovery.active_offsets[CHANGELOG] == 2


async def test_reading_starts_at_the_front_when_there_is_no_local_store(
    recovery: BulkRecovery, host: FakeHost
) -> None:
    consumer = FakeConsumer(host)
    await recovery._build_highwaters(consumer, {CHANGELOG}, recovery.active_highwaters, "active")
    await recovery._build_offsets(consumer, {CHANGELOG}, recovery.active_offsets, "active")
    assert recovery.active_offsets[CHANGELOG] == -1


async def test_a_slow_step_of_recovery_is_never_cut_off(recovery: BulkRecovery) -> None:
    done = False

    async def slow() -> None:
        nonlocal done
        await asyncio.sleep(0.05)
        done = True

    await recovery._wait(slow(), timeout=0.001)
    assert done


def test_recovery_still_has_what_we_override() -> None:
    assert parameters(Recovery.on_rebalance) == [
        "self", "assigned", "revoked", "newly_assigned", "generation_id",
    ]  # fmt: skip
    assert parameters(Recovery._wait) == ["self", "coro", "timeout"]
    assert parameters(Recovery._build_highwaters) == ["self", "consumer", "tps", "destination", "title"]
    assert parameters(Recovery.on_recovery_completed) == ["self", "generation_id"]
    assert parameters(Recovery.need_recovery) == ["self"]
    assert parameters(Recovery._set_recovery_ended) == ["self"]
    assert isinstance(Recovery.signal_recovery_end, property)


async def test_recovery_still_has_what_we_touch(recovery: BulkRecovery) -> None:
    assert isinstance(recovery.active_tps, set)
    assert isinstance(recovery.active_offsets, Counter)
    assert isinstance(recovery.active_highwaters, Counter)
    assert recovery.in_recovery is False


def test_a_recovery_asks_ends_then_offsets_then_seeks_and_then_whether_there_is_a_need() -> None:
    steps = ("self._build_highwaters", "self._build_offsets", "self._seek_offsets", "self.need_recovery()")
    for first, second in pairwise(steps):
        assert comes_before(Recovery._restart_recovery.fun, first, second), f"{first} before {second}"


def test_an_assignment_reaches_recovery_before_its_signal_is_sent() -> None:
    """The reason why readiness is reset in `on_rebalance`: a reset at the signal comes too late."""
    first, second = "self.tables.on_rebalance", "self.on_partitions_assigned.send"
    assert comes_before(App._on_partitions_assigned, first, second)
    assert "on_rebalance" in names_used(TableManager.on_rebalance)


def test_tables_hear_of_a_recovery_before_their_streams_are_resumed() -> None:
    first, second = "table.on_recovery_completed", "consumer.resume_partitions"
    assert comes_before(Recovery.on_recovery_completed, first, second)


def test_what_is_read_between_the_seek_and_the_resuming_of_the_flow_is_still_lost() -> None:
    """The reason why we seek once more afterwards."""
    done = Recovery.on_recovery_completed
    assert comes_before(done, "consumer.resume_partitions", "consumer.perform_seek()")
    assert comes_before(done, "consumer.perform_seek()", "flow_control.resume()")
    flow = FlowControlEvent()
    queue = FlowControlQueue[int](flow_control=flow, clear_on_resume=True)
    queue.put_nowait(1)
    flow.resume()
    assert queue.empty()


def test_faust_keeps_the_end_signal_set_until_its_own_loop_clears_it_within_five_seconds() -> None:
    """A recovery that begins within those seconds must clear it, or it ends at once by the old signal."""
    assert "signal_recovery_end" not in names_used(Recovery.on_rebalance)
    assert comes_before(Recovery._slurp_changelogs.fun, "self.signal_recovery_end.clear()", "timeout=5.0")


def test_the_table_manager_still_keeps_its_recovery_where_we_put_ours() -> None:
    assert isinstance(TableManager.recovery, property)
    assert TableManager._recovery is None
    assert TableManager.recovery.fget is not None
    assert "_recovery" in names_used(TableManager.recovery.fget)


async def test_a_table_takes_our_store_and_asks_it_how_far_a_changelog_is_restored(
    app: Any, host: FakeHost
) -> None:
    table = StateTable(app, name="parcel-state", key_type=bytes, value_type=bytes, partitions=4)
    app.tables.add(table)
    host.restored_to = 17
    assert isinstance(table.data, ChangelogShell)
    assert table.persisted_offset(CHANGELOG) == 17


async def test_the_changelog_of_a_table_has_the_name_that_we_create(app: Any) -> None:
    table = StateTable(app, name="parcel-state", key_type=bytes, value_type=bytes, partitions=4)
    app.tables.add(table)
    assert table.changelog_topic.get_topic_name() == CHANGELOG.topic
    assert app.tables.changelog_topics == {CHANGELOG.topic}


async def test_a_table_calls_back_when_it_is_recovered(app: Any) -> None:
    table = StateTable(app, name="parcel-state", key_type=bytes, value_type=bytes, partitions=4)
    called = asyncio.Event()

    async def recovered() -> None:
        called.set()

    table.on_recover(recovered)
    await table.on_recovery_completed({CHANGELOG}, set())
    assert called.is_set()


def test_a_store_still_has_what_we_override() -> None:
    assert parameters(Table._new_store) == ["self"]
    assert parameters(Store.persisted_offset) == ["self", "tp"]
    assert parameters(Store.set_persisted_offset) == ["self", "tp", "offset"]
    assert parameters(Store.apply_changelog_batch) == ["self", "batch", "to_key", "to_value"]
    assert parameters(Store.reset_state) == ["self"]
    abstract = ChangelogShell.__abstractmethods__
    assert not abstract, f"a store must also have {sorted(abstract)}"
    assert {"backup_partition", "restore_backup"} <= set(dir(ChangeloggedObjectManager))
