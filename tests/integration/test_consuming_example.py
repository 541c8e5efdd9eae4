"""docs/examples/consume_cases.py does what docs/consuming.md says: each change once, in order, across restarts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agents.embedded_kafka import EmbeddedKafka
from schemas.outputs import Escalation, Severity, cloud_event_headers, encode_case, utc
from schemas.vocabulary import CaseState, Reason, RuleId

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "consume_cases.py"
DUE = utc(1_772_600_000_000)
Record = tuple[int, str, bytes | None, list[tuple[str, bytes]]]


def change(case_id: str, revision: int, state: CaseState, reason: Reason, *, partition: int = 0) -> Record:
    """One record of `cases`, as the worker writes it."""
    escalation = Escalation(
        case_id=case_id,
        revision=revision,
        rule=RuleId.STALLED_SILENT,
        state=state,
        reason=reason,
        level=2 if state is CaseState.ESCALATED else 1,
        severity=Severity.WARNING,
        action="open a carrier trace",
        return_id=f"R-{case_id}",
        since_at=DUE - timedelta(days=5),
        due_at=DUE,
        effective_at=DUE + timedelta(days=revision - 1),
    )
    return partition, case_id, encode_case(escalation), cloud_event_headers(escalation)


def opened(case_id: str, *, partition: int = 0) -> Record:
    return change(case_id, 1, CaseState.OPEN, Reason.DUE, partition=partition)


def escalated(case_id: str) -> Record:
    return change(case_id, 2, CaseState.ESCALATED, Reason.LEVEL)


def resolved(case_id: str) -> Record:
    return change(case_id, 3, CaseState.RESOLVED, Reason.PROGRESS)


def forgotten(case_id: str) -> Record:
    return 0, case_id, None, []


@dataclass
class Cases:
    """A `cases` topic of two partitions, and a consumer with a memory of its own."""

    servers: str
    topic: str
    memory: Path

    async def publish(self, records: Sequence[Record]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.servers)
        await producer.start()
        try:
            for partition, key, value, headers in records:
                await producer.send_and_wait(
                    self.topic, value, key=key.encode(), partition=partition, headers=headers
                )
        finally:
            await producer.stop()

    def consume(self) -> list[str]:
        """Run the example to the end of the topic and return its lines."""
        where = ("--bootstrap-servers", self.servers, "--topic", self.topic, "--state", str(self.memory))
        command = [sys.executable, str(EXAMPLE), *where, "--once"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
async def cases(kafka: EmbeddedKafka, tmp_path: Path) -> Cases:
    topic = f"cases-{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"cleanup.policy": "compact"})])
    finally:
        await admin.close()
    return Cases(kafka.bootstrap_servers, topic, tmp_path / "cases.sqlite")


async def test_repeats_and_late_revisions_are_told_once_and_never_backwards(cases: Cases) -> None:
    await cases.publish(
        [
            opened("a"),
            opened("a"),
            opened("b", partition=1),
            escalated("a"),
            opened("a"),
            resolved("a"),
            escalated("a"),
            resolved("a"),
        ]
    )
    lines = cases.consume()
    assert [line for line in lines if line.startswith("a ")] == [
        "a 1 stalled_silent open due R-a",
        "a 2 stalled_silent escalated level R-a",
        "a 3 stalled_silent resolved progress R-a",
    ]
    assert [line for line in lines if line.startswith("b ")] == ["b 1 stalled_silent open due R-b"]
    assert len(lines) == 4


async def test_a_restart_tells_only_what_came_meanwhile(cases: Cases) -> None:
    await cases.publish([opened("a"), escalated("a")])
    assert len(cases.consume()) == 2
    assert cases.consume() == []
    await cases.publish([escalated("a"), resolved("a")])
    assert cases.consume() == ["a 3 stalled_silent resolved progress R-a"]


async def test_a_compacted_topic_tells_the_newest_revision_alone(cases: Cases) -> None:
    await cases.publish([resolved("a")])
    assert cases.consume() == ["a 3 stalled_silent resolved progress R-a"]


async def test_a_forgotten_case_is_told_once_and_a_repeat_does_not_bring_it_back(cases: Cases) -> None:
    await cases.publish([resolved("a"), forgotten("a"), resolved("a"), forgotten("a")])
    assert cases.consume() == ["a 3 stalled_silent resolved progress R-a", "a forgotten"]
    assert cases.consume() == []


async def test_escalations_are_followed_in_the_same_way_though_their_key_is_the_return(cases: Cases) -> None:
    changes = [opened("a"), opened("a"), resolved("a")]
    await cases.publish([(number, "R-a", value, headers) for number, _, value, headers in changes])
    assert cases.consume() == [
        "a 1 stalled_silent open due R-a",
        "a 3 stalled_silent resolved progress R-a",
    ]


async def test_a_later_version_of_the_contract_is_left_alone(cases: Cases) -> None:
    partition, key, value, headers = opened("a")
    later = [
        (name, b"com.returnwatch.case.opened.v2" if name == "ce_type" else text) for name, text in headers
    ]
    await cases.publish([(partition, key, value, later), opened("b")])
    assert cases.consume() == ["b 1 stalled_silent open due R-b"]
