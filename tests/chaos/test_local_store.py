"""Local stores that are damaged, old, or of another life: the worker rebuilds them, and nobody outside can tell."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic

from agents.embedded_kafka import EmbeddedKafka
from agents.settings import Settings
from agents.state_files import STAGES
from agents.store import PartitionStore, SharedMemory
from streams.cells import is_cell
from streams.traces import is_stored
from tests.chaos.installation import (
    ONE_OF_EACH,
    admin_of,
    cases,
    create_inputs,
    installation,
    read_all,
)
from tests.chaos.plan import Plan
from tests.chaos.processes import PATIENCE_S, WorkerProcess, workers
from tests.chaos.traffic import label, scan, send_events
from tests.chaos.watermark_check import check_installation
from tests.command_line import Answer, returnwatch

pytestmark = [pytest.mark.system, pytest.mark.slow]

SETTLE_S = 1.0
"""The policy's: no deadline is earlier than this after an event's arrival."""
State = dict[tuple[str, int, bytes], bytes]
"""(stage, partition, key) -> raw state."""


def _changelogs(settings: Settings) -> dict[str, str]:
    return {"parcels": settings.topics.parcel_changelog, "returns": settings.topics.return_changelog}


async def _by_changelog(settings: Settings) -> State:
    found: State = {}
    for stage, topic in _changelogs(settings).items():
        for tp, records in (await read_all(settings, [topic])).items():
            kept = (record for record in records if is_stored(record.key))
            newest = {record.key: record.value for record in kept}
            found.update({(stage, tp.partition, key): raw for key, raw in newest.items() if raw is not None})
    return found


def _by_stores(worker: WorkerProcess) -> State:
    """What lies on disk; the worker has stopped."""
    found: State = {}
    memory = SharedMemory()
    for stage in ("parcels", "returns"):
        for number in range(3):
            store = PartitionStore(_data(worker) / f"{stage}-{number}", memory, pytest.fail)
            keys = store.keys_after(b"", 100_000)
            for key, stored in zip(keys, store.get_many(keys), strict=True):
                assert stored is not None
                found[stage, number, key] = stored[1]
            store.close()
    return found


def _data(worker: WorkerProcess) -> Path:
    return worker.settings.data_dir


async def _work(worker: WorkerProcess, settings: Settings, numbers: range) -> None:
    """Labels and some scans come and are worked through, deadlines included; the worker is restarted if it ends."""
    await send_events(settings, settings.labels_topics[0], *(label(number) for number in numbers))
    await send_events(settings, settings.scans_topics[0], *(scan(number) for number in numbers if number % 3))
    await _passed(worker, time.time())
    # Everything has arrived by now; deadlines count from the arrival.
    await _passed(worker, time.time() + SETTLE_S)


async def _passed(worker: WorkerProcess, moment_s: float) -> None:
    name, deadline = "returnwatch_watermark_timestamp_seconds", time.monotonic() + PATIENCE_S
    while min((at for _, at in worker.series(name)), default=0.0) <= moment_s:
        if worker.exit_code is not None:
            worker.start()
        assert time.monotonic() < deadline, "W does not get there"
        await asyncio.sleep(0.3)


def _damage(worker: WorkerProcess) -> None:
    """Flip bytes in tables of two stores, cut the MANIFEST of one, garble the CURRENT of another; two stay whole."""
    data = _data(worker)
    for name in ("parcels-0", "returns-0"):
        table = max((data / name).glob("*.sst"), key=lambda file: file.stat().st_size)
        content = bytearray(table.read_bytes())
        rnd = random.Random(1)
        for _ in range(20):
            content[rnd.randrange(len(content) // 2)] ^= 0xFF
        table.write_bytes(content)
    manifest = next((data / "parcels-1").glob("MANIFEST-*"))
    manifest.write_bytes(manifest.read_bytes()[: manifest.stat().st_size // 2])
    (data / "returns-1" / "CURRENT").write_bytes(b"\xff" * 16)


async def test_damaged_stores_are_counted_wiped_and_rebuilt(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await _work(worker, settings, range(300))
        assert worker.stop() == 0
        _compact(worker)
        _damage(worker)
        verified = await _verify(worker)
        assert verified.code == 1
        told = {
            f"{stage}-{number}"
            for stage in STAGES
            for number in range(3)
            if f"{stage}-{number}: " in verified.err
        }
        assert told == {"parcels-0", "parcels-1", "returns-0", "returns-1"}
        worker.start()
        await _work(worker, settings, range(200, 400))
        wiped = {line["partition"] for line in worker.logged("local_store_wiped")}
        assert wiped == {"parcels-0", "parcels-1", "returns-0", "returns-1"}
        assert worker.metric("returnwatch_state_corruption_total") >= 1
        assert worker.stop() == 0
        await _assert_sound(worker, settings, 400)


async def _verify(worker: WorkerProcess) -> Answer:
    """`returnwatch state verify` of what a stopped worker has left."""
    settings = worker.settings
    where = [
        "--data-dir",
        str(_data(worker)),
        "-b",
        settings.bootstrap_servers[0],
        "--app-id",
        settings.app_id,
    ]
    more = ["--topic-prefix", settings.topic_prefix, "--against-changelog"]
    return await asyncio.to_thread(returnwatch, "state", "verify", *where, *more)


def _compact(worker: WorkerProcess) -> None:
    """Bring everything into table files, as hours of work would."""
    memory = SharedMemory()
    for path in _data(worker).glob("*-[0-9]"):
        store = PartitionStore(path, memory, pytest.fail)
        store.compact()
        store.close()


async def _assert_sound(worker: WorkerProcess, settings: Settings, parcels: int) -> None:
    """The stores hold what the changelogs say, and the cases are those that the events make."""
    assert _by_stores(worker) == await _by_changelog(settings)
    verified = await _verify(worker)
    assert verified.code == 0, verified.err
    opened = {case["return_id"]: case["state"] for case in (await cases(settings)).values()}
    overdue = {f"R{number}" for number in range(parcels) if number % 3 == 0}
    assert {name for name, state in opened.items() if state == "open"} == overdue
    verdict = await check_installation(settings)
    assert not verdict.violations + verdict.wrong_positions + verdict.missing, str(verdict)


async def test_an_old_copy_of_the_stores_catches_up(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Somebody put yesterday's volume back: it is behind, and everything that it lacks is in the changelog."""
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await _work(worker, settings, range(200))
        assert worker.stop() == 0
        shutil.copytree(_data(worker), tmp_path / "yesterday")
        worker.start()
        await _work(worker, settings, range(100, 300))
        assert worker.stop() == 0
        shutil.rmtree(_data(worker))
        shutil.copytree(tmp_path / "yesterday", _data(worker))
        worker.start()
        await _work(worker, settings, range(250, 350))
        assert worker.stop() == 0
        await _assert_sound(worker, settings, 350)


async def test_stores_of_a_changelog_that_was_made_anew_are_stale_and_filled_from_the_facts(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await _work(worker, settings, range(200))
        assert worker.stop() == 0
        before = await _by_changelog(settings)
        await _make_anew(settings, settings.topics.parcel_changelog)
        worker.start()
        await worker.ready()
        await _work(worker, settings, range(200, 210))
        assert worker.logged("local_store_stale")
        assert worker.metric("returnwatch_state_corruption_total") >= 1
        assert worker.stop() == 0
        after = await _by_changelog(settings)
        states = {where: raw for where, raw in before.items() if not is_cell(where[2])}
        assert {where: after.get(where) for where in states} == states, "the same facts make the same states"
        assert _by_stores(worker) == after


async def _make_anew(settings: Settings, topic: str) -> None:
    """Delete and create a topic."""
    spec = next(spec for spec in settings.topic_specs() if spec.name == topic)
    made = NewTopic(topic, spec.creation_partitions(), 1, topic_configs=spec.creation_config())
    async with admin_of(settings) as admin:
        await admin.delete_topics([topic])
        deadline = time.monotonic() + 20
        while topic in await admin.list_topics():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.5)
        response = await admin.create_topics([made])
        assert not any(code for _, code, *_ in response.topic_errors)
