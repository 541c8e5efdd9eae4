"""An installation of its own on a test's broker: topics with append times, a policy that does not wait, readers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agents.settings import Settings

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}

DEFAULT_POLICY = files("schemas").joinpath("default_policy.yaml").read_text(encoding="utf-8")
IMPATIENT_POLICY = DEFAULT_POLICY.replace("settle: 30m", "settle: 1s")
"""A label that is ten days old when it arrives is a case one second later."""


def installation(
    bootstrap_servers: str, directory: Path, inputs: Mapping[str, tuple[str, ...]], **changes: Any
) -> Settings:
    """Settings of a new installation. `inputs`: kind of input (orders, labels, scans, warehouse) -> topic names.

    Topic names get the installation's name in front.
    """
    name = f"rw{uuid.uuid4().hex[:8]}"
    directory.mkdir(parents=True, exist_ok=True)
    policy = directory / "policy.yaml"
    policy.write_text(changes.pop("policy", IMPATIENT_POLICY))
    topics = {f"{kind}_topics": tuple(f"{name}-{topic}" for topic in names) for kind, names in inputs.items()}
    arguments: dict[str, Any] = {
        "bootstrap_servers": (bootstrap_servers,),
        "app_id": name,
        "topic_prefix": f"{name}-",
        "parcels_partitions": 3,
        "returns_partitions": 3,
        "replication_factor": 1,
        "marker_period": timedelta(milliseconds=300),
        "skew": timedelta(0),
        "session_timeout": timedelta(seconds=6),
        "policy_file": policy,
        **topics,
        **changes,
    }
    return Settings(**arguments)


@asynccontextmanager
async def admin_of(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client that is connected."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def create_inputs(settings: Settings, partitions: Mapping[str, int]) -> None:
    """Create the input topics. `partitions`: topic without the installation's name -> count, 2 by default."""
    names = settings.topics.kinds()
    counts = {name: partitions.get(name.removeprefix(settings.topic_prefix), 2) for name in names}
    async with admin_of(settings) as admin:
        await admin.create_topics(
            [NewTopic(name, count, 1, topic_configs=APPEND_TIME) for name, count in counts.items()]
        )


async def read_all(
    settings: Settings, topics: Iterable[str], *, committed: bool = True
) -> dict[TopicPartition, list[Any]]:
    """Every record of the topics, in order per partition (aiokafka ConsumerRecord); partitions without one too."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(settings.bootstrap_servers),
        enable_auto_commit=False,
        isolation_level="read_committed" if committed else "read_uncommitted",
        fetch_max_bytes=8 << 20,
        max_partition_fetch_bytes=4 << 20,
    )
    await consumer.start()
    try:
        await consumer._client.set_topics(list(topics))
        partitions = [
            TopicPartition(topic, number)
            for topic in topics
            for number in consumer.partitions_for_topic(topic) or ()
        ]
        found: dict[TopicPartition, list[Any]] = {tp: [] for tp in partitions}
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        waiting = set(partitions)
        while waiting:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found[tp] += [record for record in records if record.offset < ends[tp]]
            waiting = {tp for tp in waiting if await consumer.position(tp) < ends[tp]}
        return found
    finally:
        with suppress(asyncio.CancelledError):  # a groupless consumer's own
            await consumer.stop()
