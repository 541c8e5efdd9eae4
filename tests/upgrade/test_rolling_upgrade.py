"""Workers of two versions in one group, on a real Kafka: partitions move both ways, or are refused; nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from agents.embedded_kafka import EmbeddedKafka
from agents.settings import Settings
from streams.state_version import LEAST_READER, STATE_VERSION, VERSION_AT
from streams.watermark import POSITION_KEY
from tests.chaos.installation import (
    ONE_OF_EACH,
    case_state,
    cases,
    ce_ids,
    create_inputs,
    installation,
    outputs,
    read_all,
)
from tests.chaos.processes import WorkerProcess, until
from tests.chaos.traffic import label, scan, send_events
from tests.upgrade.other_version import NEXT, OTHER_VERSION

pytestmark = [pytest.mark.system, pytest.mark.slow]

OPEN, CLOSED = ("open", "escalated"), ("resolved", "retracted")
PREVIOUS, NOW = ("tests.upgrade.other_version", "previous"), ("tests.chaos.worker_main", "")
LATER = ("tests.upgrade.other_version", "next")


def begin(worker: WorkerProcess, version: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a worker, from now on of this version."""
    worker.module = version[0]
    monkeypatch.setenv(OTHER_VERSION, version[1])
    worker.start()


async def have_labels(settings: Settings, numbers: Iterable[int]) -> None:
    """Old labels without a scan: each makes a case."""
    await send_events(settings, settings.labels_topics[0], *(label(number) for number in numbers))
    for number in numbers:
        await case_state(settings, number, OPEN)


async def have_scans(settings: Settings, numbers: Iterable[int]) -> None:
    """And their scans, which end them."""
    await send_events(settings, settings.scans_topics[0], *(scan(number) for number in numbers))
    for number in numbers:
        await case_state(settings, number, CLOSED)


def owns(worker: WorkerProcess) -> int:
    """How many partitions with state it works on."""
    return len(worker.series("returnwatch_watermark_timestamp_seconds"))


async def test_partitions_move_between_the_versions_both_ways_and_nothing_is_lost(
    kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    old, new = (WorkerProcess(settings, tmp_path / name) for name in ("w0", "w1"))
    try:
        begin(old, PREVIOUS, monkeypatch)
        await old.ready()
        await have_labels(settings, range(8))
        begin(new, NOW, monkeypatch)
        await until(lambda: owns(old) and owns(new) and new.is_ready(), "both have partitions")
        await have_scans(settings, range(2))
        await have_labels(settings, range(8, 16))
        assert new.stop() == 0
        await until(lambda: owns(old) == 6, "the previous version has all partitions again")
        await have_scans(settings, (2, 3, 8, 9))
        assert old.stop() == 0
        begin(old, NOW, monkeypatch)
        await old.ready()
        await have_scans(settings, (4, 5, 6, 7, *range(10, 16)))
        assert old.exit_code is None
        assert old.metric("returnwatch_state_corruption_total") == 0
    finally:
        old.kill()
        new.kill()
    assert len(await cases(settings)) == 16
    said = await outputs(settings, settings.topics.escalations)
    by_id = {name: record.value for name, record in zip(ce_ids(said), said, strict=True)}
    assert all(by_id[name] == record.value for name, record in zip(ce_ids(said), said, strict=True))
    revisions: dict[str, list[int]] = {}
    for name in by_id:
        case_id, _, revision = name.rpartition(":")
        revisions.setdefault(case_id, []).append(int(revision))
    assert all(sorted(each) == list(range(1, len(each) + 1)) for each in revisions.values())
    assert await versions_in(settings) >= {(), (STATE_VERSION, LEAST_READER)}


async def versions_in(settings: Settings) -> set[tuple[int, ...]]:
    """The numbers in all positions of the changelogs."""
    topics = (settings.topics.parcel_changelog, settings.topics.return_changelog)
    logs = (await read_all(settings, topics)).values()
    values = [record.value for log in logs for record in log if record.key == POSITION_KEY]
    return {tuple(msgspec.msgpack.decode(value)[VERSION_AT : VERSION_AT + 2]) for value in values}


async def test_state_of_a_newer_version_is_refused_before_anything_is_written(
    kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    topics = (settings.topics.parcel_changelog, settings.topics.return_changelog)
    worker = WorkerProcess(settings, tmp_path / "w0")
    try:
        begin(worker, LATER, monkeypatch)
        await worker.ready()
        await have_labels(settings, range(3))
        assert worker.stop() == 0
        before = {tp: len(log) for tp, log in (await read_all(settings, topics)).items()}
        begin(worker, NOW, monkeypatch)
        await until(lambda: worker.exit_code is not None, "the older version ends")
        assert worker.exit_code == 1
        told = " ".join(worker.log_file.read_text().split())
        assert f"was written by a newer version (state version {NEXT}, which needs {NEXT} or later" in told
        assert "use the version of the workers, or a later one" in told
        for partition in range(3):
            assert f"{topics[1]}/{partition}" in told
        assert {tp: len(log) for tp, log in (await read_all(settings, topics)).items()} == before
        begin(worker, LATER, monkeypatch)
        await worker.ready()
        await have_scans(settings, range(3))
    finally:
        worker.kill()
