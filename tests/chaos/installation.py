"""An installation of its own on a test's broker: topics with append times, a policy that does not wait, readers."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agents.settings import Settings
from tests.chaos.processes import PATIENCE_S

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}

DEFAULT_POLICY = files("schemas").joinpath("default_policy.yaml").read_text(encoding="utf-8")
IMPATIENT_POLICY = DEFAULT_POLICY.replace("settle: 30m", "settle: 1s")
"""A label that is ten days old when it arrives is a case one second later."""


def installation(
    bootstrap_servers: str, directory: Path, inputs: Mapping[str, tuple[str, ...]], **changes: Any
) -> Settings:
    """Settings of a new installation. `inputs`: kind of input (orders, labels, scans, warehouse) -> topic names.

    Topic names get the installation's name in front. No commands are read unless `inputs` has topics of them.
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
        "commands_topics": (),
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


ONE_OF_EACH: Mapping[str, tuple[str, ...]] = {
    "orders": ("orders",),
    "labels": ("labels",),
    "scans": ("scans",),
    "warehouse": ("dock",),
}


async def create_inputs(settings: Settings, partitions: Mapping[str, int] = MappingProxyType({})) -> None:
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


async def outputs(settings: Settings, topic: str) -> list[Any]:
    """Every record of an output topic, in order within each partition."""
    return [record for records in (await read_all(settings, [topic])).values() for record in records]


def ce_ids(records: Iterable[Any]) -> list[str]:
    """The CloudEvents ids of output records."""
    return [dict(record.headers)["ce_id"].decode() for record in records]


async def cases(settings: Settings) -> dict[bytes, dict[str, Any]]:
    """The newest record of every case, as a reader of the compacted topic sees it."""
    records = await outputs(settings, settings.topics.cases)
    return {record.key: json.loads(record.value) for record in records if record.value is not None}


async def states_of(settings: Settings, return_id: str) -> dict[str, str]:
    """Rule -> state of the newest record of the cases of one return."""
    return {
        case["rule"]: case["state"]
        for case in (await cases(settings)).values()
        if case["return_id"] == return_id
    }


async def case_state(settings: Settings, number: object, wanted: tuple[str, ...]) -> None:
    """Wait until the first-scan case of parcel `number` is in one of these states."""
    deadline = time.monotonic() + PATIENCE_S
    state = None
    while state not in wanted:
        assert time.monotonic() < deadline, f"case of R{number}: {state}, not {wanted}"
        await asyncio.sleep(0.5)
        state = (await states_of(settings, f"R{number}")).get("missing_first_scan")
