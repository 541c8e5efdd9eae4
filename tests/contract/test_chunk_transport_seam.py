"""What agents/transport.py overrides or touches in aiokafka's fetcher and in Faust's consumer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.errors import CommitFailedError
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.transport.consumer import Consumer as FaustConsumerBase
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as FaustConsumer
from faust.transport.drivers.aiokafka import Transport as FaustTransport
from faust.types.tuples import TP, ConsumerMessage
from yarl import URL

from agents import transport
from agents.transport import Chunk, ChunkConsumer, ChunkTransport
from tests.contract.internals import names_used, parameters

pytestmark = pytest.mark.seam("chunk transport", adr="0002-engine-seams-on-faust")

PARTITION = TopicPartition("inputs", 0)
ABORTED_PRODUCER = 7


@pytest.fixture
def chunks() -> Iterator[None]:
    transport.install()
    yield
    transport.uninstall()


def record_batch(base: int, values: list[bytes], *, transactional: bool = False) -> bytes:
    producer = (ABORTED_PRODUCER, 0, 0) if transactional else (-1, -1, -1)
    builder = DefaultRecordBatchBuilder(2, 0, int(transactional), *producer, 1 << 20)
    for index, value in enumerate(values):
        builder.append(index, 1_000 + index, b"key", value, [("header", b"content")])
    whole = bytearray(builder.build())
    whole[:8] = base.to_bytes(8, "big")
    return bytes(whole)


async def fetched(raw: bytes, position: int, aborted: list[tuple[int, int]] | None = None) -> Any:
    assignment = Assignment({PARTITION})
    assignment.state_value(PARTITION).seek(position)
    records = PartitionRecords(
        PARTITION, MemoryRecords(raw), aborted or [], position, None, None, True, READ_COMMITTED
    )
    return FetchResult(PARTITION, assignment=assignment, partition_records=records, backoff=0)


async def test_a_chunk_covers_the_offsets_from_its_start_to_the_position_after_it(chunks: None) -> None:
    result = await fetched(record_batch(5, [b"a", b"b", b"c"]), 5)
    first = result.getall(2)
    rest = result.getall()
    assert isinstance(first, Chunk)
    assert (first.start, first.next, [record.value for record in first]) == (5, 7, [b"a", b"b"])
    assert (rest.start, rest.next, [record.value for record in rest]) == (7, 8, [b"c"])
    assert not result.has_more()


async def test_chunks_of_any_size_follow_each_other_without_hole_or_repeat(chunks: None) -> None:
    sizes = (1, 3, 2, 5, 1)
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    raw = b"".join(record_batch(5 + start, [b"x"] * size) for start, size in zip(starts, sizes, strict=True))
    for most in (1, 2, 3, 4, 12, 13):
        result, at = await fetched(raw, 5), 5
        offsets: list[int] = []
        while result.has_more():
            chunk = result.getall(most)
            assert (chunk.start, len(chunk) <= most) == (at, True)
            offsets, at = [*offsets, *(record.offset for record in chunk)], chunk.next
        assert (offsets, at) == (list(range(5, 17)), 17)


async def test_a_chunk_begins_at_the_position_also_in_the_middle_of_a_batch(chunks: None) -> None:
    result = await fetched(record_batch(5, [b"a", b"b", b"c"]), 7)
    chunk = result.getall()
    assert (chunk.start, chunk.next, [record.value for record in chunk]) == (7, 8, [b"c"])


async def test_records_of_a_chunk_are_light_and_have_the_fields_that_the_stages_read(chunks: None) -> None:
    result = await fetched(record_batch(5, [b"a"]), 5)
    (record,) = result.getall()
    assert not isinstance(record, fetcher.ConsumerRecord)
    seen = (record.offset, record.timestamp, record.key, record.value, list(record.headers))
    assert seen == (5, 1_000, b"key", b"a", [("header", b"content")])


async def test_a_chunk_of_an_aborted_transaction_is_empty_and_still_moves_the_position(chunks: None) -> None:
    raw = record_batch(8, [b"never happened", b"nor this"], transactional=True)
    result = await fetched(raw, 8, aborted=[(ABORTED_PRODUCER, 8)])
    chunk = result.getall()
    assert (list(chunk), chunk.start, chunk.next) == ([], 8, 10)
    assert chunk, "an empty chunk that moved the position must not be dropped as empty"


async def test_a_fetch_whose_position_was_moved_by_a_seek_claims_nothing(chunks: None) -> None:
    result = await fetched(record_batch(5, [b"a", b"b"]), 5)
    result._assignment.state_value(PARTITION).seek(3)
    chunk = result.getall()
    assert list(chunk) == []
    assert not chunk, "nothing was read, so no offset may be claimed"


async def test_a_fetch_of_an_assignment_that_is_gone_claims_nothing(chunks: None) -> None:
    result = await fetched(record_batch(5, [b"a", b"b"]), 5)
    result._assignment._unassign()
    assert not result.getall()


def test_the_fetcher_hands_on_what_getall_returns_by_its_truth_and_its_length() -> None:
    assert parameters(FetchResult.getall) == ["self", "max_records"]
    assert {"getall", "has_more"} <= names_used(Fetcher.fetched_records)
    assert {"_partition_records", "check_assignment", "has_more", "_update_position"} <= names_used(
        FetchResult.getall
    )
    assert {"_assignment", "_topic_partition", "consumed_to"} <= names_used(FetchResult._update_position)


def test_the_fetcher_makes_each_record_in_one_place() -> None:
    assert parameters(PartitionRecords._consumer_record) == ["self", "tp", "record"]
    assert "_consumer_record" in names_used(PartitionRecords._unpack_records)
    assert "next_fetch_offset" in names_used(PartitionRecords._unpack_records)


def test_the_fetcher_asks_batches_for_no_more_than_our_runs_give() -> None:
    unpack = names_used(PartitionRecords._unpack_records)
    assert {"has_next", "next_batch", "offset", "_records"} <= unpack
    assert parameters(PartitionRecords._unpack_records) == ["self"]


def test_installing_twice_and_undoing_leaves_aiokafka_as_it_was() -> None:
    def patched() -> tuple[object, ...]:
        return FetchResult.getall, PartitionRecords._consumer_record, PartitionRecords._unpack_records

    before = patched()
    transport.install()
    transport.install()
    transport.uninstall()
    assert patched() == before


def new_app() -> Any:
    app = faust.App("contract", broker="kafka://127.0.0.1:9", store="memory://", web_enabled=False)
    app.transport = ChunkTransport([URL("kafka://127.0.0.1:9")], app)
    return app


async def test_faust_takes_our_consumer_and_it_reads_committed_transactions_only() -> None:
    app = new_app()
    assert isinstance(app.consumer, ChunkConsumer)
    made = app.consumer._thread._create_worker_consumer(app.transport)
    assert made._isolation_level == "read_committed"
    assert made._fetch_max_wait_ms == 200


def test_aiokafka_reads_isolation_and_waiting_time_at_its_start_not_before() -> None:
    assert {"_isolation_level", "_fetch_max_wait_ms"} <= names_used(AIOKafkaConsumer.start)


def test_the_consumer_thread_still_has_what_we_override_and_call() -> None:
    assert parameters(AIOKafkaConsumerThread._create_worker_consumer) == ["self", "transport"]
    assert parameters(AIOKafkaConsumerThread._commit) == ["self", "offsets"]
    assert "_commit" in names_used(AIOKafkaConsumerThread.commit)
    assert callable(AIOKafkaConsumerThread._ensure_consumer)
    assert callable(AIOKafkaConsumerThread.assignment)
    assert issubclass(CommitFailedError, Exception)


def test_the_consumer_still_has_what_we_override() -> None:
    assert parameters(FaustConsumer._drain_messages) == ["self", "fetcher"]
    assert parameters(FaustConsumer._filter_tps_with_pending_acks) == ["self", "topics"]
    assert parameters(FaustConsumer._filter_committable_offsets) == ["self", "tps"]
    assert parameters(FaustConsumer._new_consumer_thread) == ["self"]
    assert FaustTransport.Consumer is FaustConsumer


def test_commits_go_through_the_two_filters_that_we_override() -> None:
    commit = names_used(FaustConsumerBase._commit_tps) | names_used(FaustConsumerBase.force_commit)
    assert {"_filter_tps_with_pending_acks", "_filter_committable_offsets"} <= commit


async def test_the_consumer_still_has_what_our_drain_loop_calls() -> None:
    consumer = new_app().consumer
    assert parameters(FaustConsumer._getmany) == ["self", "active_partitions", "timeout"]
    assert parameters(FaustConsumer._should_commit) == ["self", "tp", "offset"]
    assert parameters(FaustConsumer._is_changelog_tp) == ["self", "tp"]
    assert {"_get_active_partitions", "can_resume_flow", "flow_active", "wait", "callback"} <= set(
        dir(consumer)
    )
    assert hasattr(consumer._acked, "values")
    assert hasattr(consumer._acked_index, "values")
    consumer._read_offset[TP("inputs", 0)] = 4
    assert not consumer._stopped.is_set()
    assert consumer.transport.app.consumer_generation_id == 0


async def test_a_partition_without_a_commit_may_be_committed_and_a_lower_offset_may_not() -> None:
    consumer = new_app().consumer
    tp = TP("inputs", 0)
    assert consumer._should_commit(tp, 5)
    consumer._committed_offset[tp] = 5
    assert not consumer._should_commit(tp, 5)
    assert consumer._should_commit(tp, 6)


def test_a_message_carries_a_chunk_as_its_value_and_its_generation() -> None:
    expected = [
        "topic", "partition", "offset", "timestamp", "timestamp_type", "headers", "key", "value", "checksum",
        "serialized_key_size", "serialized_value_size", "tp",
    ]  # fmt: skip
    assert parameters(ConsumerMessage.__init__)[1:13] == expected
    assert "generation_id" in parameters(ConsumerMessage.__init__)


def test_fetched_records_say_whether_the_broker_stamped_them() -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 9_999)
    builder.append(0, timestamp=1_000, key=b"k", value=b"v", headers=[])
    by_client = bytearray(builder.build())
    by_broker = bytearray(by_client)
    by_broker[22] |= 0x08  # attributes: timestampType
    by_broker[35:43] = (999_999).to_bytes(8, "big")  # maxTimestamp
    told = [
        [(record.timestamp, record.timestamp_type) for record in DefaultRecordBatch(bytes(batch))]
        for batch in (by_client, by_broker)
    ]
    assert told == [[(1_000, 0)], [(999_999, 1)]]
