"""What every demo sets up around the simulated shop: a directory, the settings of worker and player, tasks that end together."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Any, TypeVar

from agents.demo_options import DemoOptions
from agents.demo_traffic import DemoTraffic
from agents.settings import Settings
from streams.epoch import moment_of

T = TypeVar("T")
DEFAULT_MINUTES = 6.0
START_SECONDS = 12.0
"""The simulated clock starts this long after the demo does, when the worker is up."""


@contextlib.contextmanager
def demo_directory(*, keep: bool) -> Iterator[Path]:
    """A directory for the data of broker and worker, removed afterwards unless `keep`."""
    directory = Path(tempfile.mkdtemp(prefix="returnwatch-demo-"))
    try:
        yield directory
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def demo_settings(
    options: DemoOptions, traffic: DemoTraffic, servers: tuple[str, ...], directory: Path
) -> Settings:
    """Of the worker: the traffic's policy and topics, and a clock that lets the world pass in the time that was asked for."""
    world = traffic.world
    span_seconds = (world.until_at - world.start_at).total_seconds()
    speed = options.speed or span_seconds / ((options.minutes or DEFAULT_MINUTES) * 60)
    policy_file = directory / "policy.json"
    policy_file.write_text(traffic.policy.model_dump_json(indent=1), encoding="utf-8")
    return Settings(
        bootstrap_servers=servers,
        app_id="returnwatch-demo",
        topic_prefix="returnwatch-demo-",
        instance_id="demo-worker",
        session_timeout=timedelta(seconds=6),
        parcels_partitions=4,
        returns_partitions=4,
        replication_factor=1,
        marker_period=timedelta(milliseconds=100),
        skew=timedelta(milliseconds=100),
        simulated_time=True,
        simulated_origin_at=moment_of(int((time() + START_SECONDS) * 1000)),
        simulated_starts_at=world.start_at,
        simulated_speed=speed,
        policy_file=policy_file,
        data_dir=directory / "worker",
        scans_topics=traffic.scans_topics,
        scans_adapters=traffic.scans_adapters,
        metrics_port=_free_port(),
        log_format="json",
    )


async def beside(endless: Coroutine[Any, Any, None], work: Coroutine[Any, Any, T]) -> T:
    """Do `work` while `endless` runs; if that fails, its error ends the work."""
    watch, task = asyncio.ensure_future(endless), asyncio.ensure_future(work)
    try:
        await asyncio.wait([watch, task], return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            watch.result()
        return await task
    finally:
        for each in (watch, task):
            each.cancel()
        await asyncio.gather(watch, task, return_exceptions=True)
