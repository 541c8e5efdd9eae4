"""A worker on a small disk that somebody else fills: it stops, says why, loses nothing, and goes on when there is room."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agents.embedded_kafka import EmbeddedKafka
from tests.chaos.installation import ONE_OF_EACH, cases, create_inputs, installation
from tests.chaos.plan import Plan
from tests.chaos.processes import until, workers
from tests.chaos.traffic import label, send_events

pytestmark = [pytest.mark.system, pytest.mark.slow]

RESERVE = 8 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """64 MB for the data of the worker, and of nothing else."""
    mounted = tmp_path / "w0" / "data"
    mounted.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", mounted], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(
            "a disk of its own needs the right to mount: run this as root, in a container with CAP_SYS_ADMIN"
        )
    yield mounted
    subprocess.run(["umount", "--lazy", mounted], check=True)


def _fill(file: Path, leave: int) -> None:
    """Write until only so much is left."""
    found = os.statvfs(file.parent)
    with file.open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, found.f_bavail * found.f_frsize - leave)


async def test_on_a_full_disk_a_worker_waits_and_nothing_is_lost(
    kafka: EmbeddedKafka, tmp_path: Path, small_disk: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH, disk_reserve_bytes=RESERVE)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        _fill(small_disk / "ballast", RESERVE // 2)
        await send_events(settings, settings.labels_topics[0], *(label(number) for number in range(100)))
        await until(lambda: worker.logged("disk_full"), "it says that the disk is full")
        assert worker.metric("returnwatch_disk_full") == 1
        await until(lambda: "make room" in worker.get("/ready")[1], "/ready says what it waits for")
        # It waits just so when it is started on a full disk: nothing is wiped.
        assert worker.stop() == 0
        _fill_up(small_disk)
        worker.start()
        await until(lambda: len(worker.logged("disk_full")) == 2, "it says so again")
        assert worker.exit_code is None
        (small_disk / "ballast").unlink()
        (small_disk / "more").unlink()
        await until(lambda: worker.logged("disk_has_room"), "it goes on")
        await worker.ready()
        deadline = time.monotonic() + 120
        while len(await cases(settings)) < 100:
            assert time.monotonic() < deadline, "cases are missing"
        assert not worker.logged("local_store_wiped")
        assert worker.metric("returnwatch_disk_full") == 0
        assert worker.stop() == 0


def _fill_up(directory: Path) -> None:
    with suppress(OSError), (directory / "more").open("wb", buffering=0) as more:
        while more.write(b"x" * 4_096):
            pass
