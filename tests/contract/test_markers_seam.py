"""What agents/markers.py and agents/probe.py touch in aiokafka beyond its documented interface."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.structs import RecordMetadata

from tests.contract.internals import names_used, parameters

pytestmark = pytest.mark.seam("markers", adr="0003-watermark-and-markers")


@pytest.fixture
async def probe() -> AsyncIterator[AIOKafkaConsumer]:
    made = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:9", isolation_level="read_uncommitted")
    yield made
    made._closed = True  # never started: nothing to close, and nothing to warn about


async def test_a_consumer_without_a_group_can_be_told_which_topics_to_know(probe: AIOKafkaConsumer) -> None:
    assert isinstance(probe._client, AIOKafkaClient)
    assert parameters(AIOKafkaClient.set_topics) == ["self", "topics"]
    assert probe.partitions_for_topic("never seen") is None


def test_end_offsets_follow_the_isolation_level_of_their_consumer() -> None:
    """With a last stable offset for the end, the watermark would pass the events of open transactions."""
    assert "_isolation_level" in names_used(Fetcher._proc_offset_request)


def test_an_acknowledgement_says_when_and_by_whose_clock_a_record_was_appended() -> None:
    assert {"offset", "timestamp", "timestamp_type"} <= set(RecordMetadata._fields)
