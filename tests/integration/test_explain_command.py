"""`returnwatch explain` against a real broker: the states as the stages wrote them into their changelogs."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_admin, run
from agents.settings import Settings
from agents.topics import await_topics
from agents.virtual_time import InputRecord, VirtualTime
from schemas.outputs import Escalation
from schemas.policy_loading import default_policy
from schemas.topics import InputKind
from streams.batch import Batch
from streams.partition import POLICY_STATE_KEY, POSITION_KEY
from tests.command_line import Answer, returnwatch

PARTITIONS = 3
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
UNTIL = MONDAY + timedelta(days=6)
Records = list[tuple[bytes, bytes | None]]

EVENTS: tuple[tuple[InputKind, float, dict[str, Any]], ...] = (
    (InputKind.LABELS, 0, {"type": "label_created", "return_id": "R-1", "tracking_number": "1Z 1"}),
    (InputKind.LABELS, 0, {"type": "label_created", "return_id": "R-2", "tracking_number": "1Z2"}),
    (InputKind.LABELS, 1, {"type": "label_created", "return_ids": ["R-3", "R-4"], "tracking_number": "1Z3"}),
    (InputKind.WAREHOUSE, 5, {"type": "checked_in", "tracking_number": "1Z9"}),
    (InputKind.WAREHOUSE, 30, {"type": "checked_in", "return_id": "R-2"}),
)
"""Kind, hours after Monday, event; all by the same carrier."""


@dataclass(frozen=True)
class Shop:
    """An installation of its own on the shared broker."""

    settings: Settings

    def explain(self, *arguments: str) -> Answer:
        own = ["-b", self.settings.bootstrap_servers[0], "--app-id", self.settings.app_id]
        return returnwatch("explain", *arguments, *own)

    def documents(self, name: str) -> list[dict[str, Any]]:
        answer = self.explain(name, "--json")
        assert answer.code == 0, answer.err
        return [json.loads(line) for line in answer.out.splitlines()]

    def write(self, changelogs: dict[tuple[str, int], Records]) -> None:
        run(_write(self.settings, changelogs))


@pytest.fixture
def shop(kafka: EmbeddedKafka) -> Shop:
    settings = Settings(
        bootstrap_servers=(kafka.bootstrap_servers,),
        app_id=f"e{uuid.uuid4().hex[:8]}",
        replication_factor=1,
    )
    names = (settings.topics.parcel_changelog, settings.topics.return_changelog)
    run(_make(settings, [NewTopic(name, PARTITIONS, 1) for name in names]))
    return Shop(settings)


async def _make(settings: Settings, new: list[NewTopic]) -> None:
    async with open_admin(settings) as admin:
        await admin.create_topics(new)
        await await_topics(admin, [topic.name for topic in new])


async def _write(settings: Settings, changelogs: dict[tuple[str, int], Records]) -> None:
    topics = {"parcels": settings.topics.parcel_changelog, "returns": settings.topics.return_changelog}
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers[0])
    await producer.start()
    try:
        for (stage, number), records in changelogs.items():
            for key, value in records:
                await producer.send(topics[stage], value, key=key, partition=number)
        await producer.flush()
    finally:
        await producer.stop()


def event(kind: InputKind, hours: float, body: dict[str, Any]) -> tuple[InputKind, datetime, bytes]:
    at = MONDAY + timedelta(hours=hours)
    carrier = {} if "return_id" in body and kind is InputKind.WAREHOUSE else {"carrier": "ups"}
    return kind, at, json.dumps({**body, **carrier, "occurred_at": at.isoformat()}).encode()


def played(
    events: Sequence[tuple[InputKind, datetime, bytes]], until: datetime = UNTIL
) -> tuple[dict[tuple[str, int], Records], dict[str, Escalation]]:
    """What the stages write into their changelogs (agents/stage.py::Stage._commit), and the newest change of each case."""
    engine = VirtualTime(default_policy().to_log(), partitions=PARTITIONS)
    written: dict[tuple[str, int], Records] = {}
    for stage, logs in (("parcels", engine._parcels), ("returns", engine._returns)):
        for number, log in enumerate(logs):
            records = written[stage, number] = []
            log.store.apply = _recording(records, log.store.apply)  # type: ignore[method-assign]
    offsets = dict.fromkeys(InputKind, 0)
    for kind, at, value in events:
        engine.advance(ms(at))
        engine.append([InputRecord(offsets[kind], value)], kind, ms(at))
        offsets[kind] += 1
    engine.advance(ms(until))
    return written, {change.case_id: change for change in engine.news()}


def _recording(records: Records, apply: Any) -> Any:
    def recording(batch: Batch) -> None:
        records.append((POSITION_KEY, batch.position))
        if batch.policy is not None:
            records.append((POLICY_STATE_KEY, batch.policy))
        records.extend((write.key, write.raw) for write in batch.writes if write.durable)
        apply(batch)

    return recording


def ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


def lines(events: Sequence[tuple[InputKind, datetime, bytes]]) -> str:
    return "\n".join(
        json.dumps({"kind": kind.value, "appended_at": at.isoformat(), "value": json.loads(value)})
        for kind, at, value in events
    )


def test_what_the_changelogs_hold_is_explained_as_the_cases_say_it(shop: Shop) -> None:
    written, said = played([event(*one) for one in EVENTS])
    shop.write(written)
    opened = [case for case in said.values() if case.return_id == "R-1"]
    assert opened
    (told,) = shop.documents("R-1")
    by_case = {wait["case"]["case_id"]: wait for wait in told["waits"] if "case" in wait}
    for case in opened:
        wait = by_case[case.case_id]
        assert datetime.fromisoformat(wait["due_at"]) == case.due_at
        assert wait["case"]["revision"] == case.revision
        assert [(one["topic"], one["offset"]) for one in wait["evidence"]] == [
            (one.topic, one.offset) for one in case.evidence
        ]
    assert datetime.fromisoformat(told["watermark_at"]) == UNTIL
    assert told["policy_hash"] == default_policy().hash


@pytest.mark.parametrize(
    ("name", "returns"),
    [
        ("1Z1", ["R-1"]),
        (" 1z-1", ["R-1"]),
        ("UPS:1z 1", ["R-1"]),
        ("1Z3", ["R-3", "R-4"]),
        ("1Z9", [""]),
        ("R-2", ["R-2"]),
    ],
)
def test_returns_are_found_by_every_name_that_people_write(name: str, returns: list[str], shop: Shop) -> None:
    shop.write(played([event(*one) for one in EVENTS])[0])
    assert [told["return_id"] for told in shop.documents(name)] == returns


def test_the_cluster_and_the_recorded_events_tell_the_same(shop: Shop, tmp_path: Path) -> None:
    events = [event(*one) for one in EVENTS]
    shop.write(played(events)[0])
    file = tmp_path / "events.jsonl"
    file.write_text(lines(events), encoding="utf-8")
    for name in ("R-1", "R-2", "1Z9"):
        recorded = returnwatch("explain", name, "--json", "--events", str(file), "--at", UNTIL.isoformat())
        assert recorded.code == 0, recorded.err
        assert shop.documents(name) == [json.loads(line) for line in recorded.out.splitlines()]


def test_what_was_forgotten_is_not_there(shop: Shop) -> None:
    written, _ = played([event(*one) for one in EVENTS])
    deleted: dict[tuple[str, int], Records] = {
        place: [(key, None) for key, _ in records if key in {b"R-1", b"ups:1Z1"}]
        for place, records in written.items()
    }
    shop.write(written)
    shop.write(deleted)
    for name in ("R-1", "1Z1"):
        answer = shop.explain(name)
        assert answer.code == 1
        assert f"{name}: no return and no parcel of that name" in " ".join(answer.err.split())


def test_the_newest_record_counts(shop: Shop) -> None:
    events = [event(*one) for one in EVENTS]
    early, _ = played(events, MONDAY + timedelta(hours=40))
    late, _ = played(events)
    shop.write(early)
    (before,) = shop.documents("R-1")
    shop.write(late)
    (after,) = shop.documents("R-1")
    verdicts = [
        next(wait["verdict"] for wait in told["waits"] if wait["rule"] == "missing_first_scan")
        for told in (before, after)
    ]
    assert verdicts == ["waiting", "open"]


def test_a_partition_without_a_policy_is_told_apart_from_one_without_the_return(shop: Shop) -> None:
    written, _ = played([event(*one) for one in EVENTS])
    shop.write(
        {
            place: [(key, raw) for key, raw in records if key != POLICY_STATE_KEY]
            for place, records in written.items()
        }
    )
    answer = shop.explain("R-1")
    assert answer.code == 1
    assert "the policy in the log: is not there yet" in answer.err


def test_a_state_of_another_version_is_told_as_such(shop: Shop) -> None:
    written, _ = played([event(*one) for one in EVENTS])
    shop.write(written)
    names = {b"R-1", b"ups:1Z2"}
    shop.write({at: [(key, b"\xc1") for key, _ in found if key in names] for at, found in written.items()})
    for name in ("R-1", "1Z2"):
        answer = shop.explain(name)
        assert answer.code == 1
        assert "its state cannot be read by this version" in " ".join(answer.err.split())


def test_an_installation_that_never_ran_is_told_as_such(kafka: EmbeddedKafka) -> None:
    answer = returnwatch("explain", "R-1", "-b", kafka.bootstrap_servers, "--app-id", "nobody")
    assert answer.code == 1
    assert "topic nobody-return-state-changelog: is missing" in " ".join(answer.err.split())
