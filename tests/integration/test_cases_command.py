"""`returnwatch cases` against a real broker: the current truth, its history, and how it goes on."""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_admin, run
from agents.settings import Settings
from agents.topics import await_topics
from schemas.outputs import (
    Escalation,
    EvidenceSource,
    Money,
    Severity,
    cloud_event_headers,
    encode_case,
    encode_escalation,
)
from schemas.vocabulary import CaseState, Reason, RuleId
from streams.keys import partition_of
from tests.command_line import Answer, returnwatch

PARTITIONS = 2
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Shop:
    """A topic prefix of its own on the shared broker, with both output topics."""

    settings: Settings

    def cases(self, *arguments: str) -> Answer:
        own = ["-b", self.settings.bootstrap_servers[0], "--topic-prefix", self.settings.topic_prefix]
        return returnwatch("cases", *arguments, *own)

    def listed(self, *arguments: str) -> list[str]:
        answer = self.cases("list", "--json", *arguments)
        assert answer.code == 0, answer.err
        return [json.loads(line)["return_id"] for line in answer.out.splitlines()]

    def publish(self, *changes: Escalation, transactional: bool = False) -> None:
        run(_publish(self.settings, changes, transactional=transactional))

    def erase(self, change: Escalation) -> None:
        run(_erase(self.settings, change))


@pytest.fixture
def shop(kafka: EmbeddedKafka) -> Shop:
    prefix = f"c{uuid.uuid4().hex[:8]}-"
    settings = Settings(
        bootstrap_servers=(kafka.bootstrap_servers,), topic_prefix=prefix, replication_factor=1
    )
    names = (settings.topics.cases, settings.topics.escalations)
    run(_make(settings, [NewTopic(name, PARTITIONS, 1) for name in names]))
    return Shop(settings)


async def _make(settings: Settings, new: list[NewTopic]) -> None:
    async with open_admin(settings) as admin:
        await admin.create_topics(new)
        await await_topics(admin, [topic.name for topic in new])


async def _publish(settings: Settings, changes: Sequence[Escalation], *, transactional: bool) -> None:
    transactional_id = f"test-{uuid.uuid4()}" if transactional else None
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers[0], transactional_id=transactional_id
    )
    await producer.start()
    try:
        if transactional:
            await producer.begin_transaction()
        for change in changes:
            await _say(producer, settings, change)
        if transactional:
            await producer.commit_transaction()
    finally:
        await producer.stop()


async def _say(producer: AIOKafkaProducer, settings: Settings, change: Escalation) -> None:
    where = partition_of(change.return_id.encode(), PARTITIONS)
    headers = cloud_event_headers(change)
    for topic, key, value in (
        (settings.topics.escalations, change.return_id, encode_escalation(change)),
        (settings.topics.cases, change.case_id, encode_case(change)),
    ):
        await producer.send_and_wait(topic, value, key=key.encode(), partition=where, headers=headers)


async def _erase(settings: Settings, change: Escalation) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers[0])
    await producer.start()
    try:
        where = partition_of(change.return_id.encode(), PARTITIONS)
        key = change.case_id.encode()
        await producer.send_and_wait(settings.topics.cases, None, key=key, partition=where)
    finally:
        await producer.stop()


def opened(
    return_id: str,
    *,
    due_ago: timedelta = timedelta(hours=5),
    carrier: str = "ups",
    rule: str = "missing_first_scan",
) -> Escalation:
    due = NOW - due_ago
    number = f"1Z{return_id.replace('-', '')}"
    return Escalation(
        case_id=str(uuid.uuid5(uuid.NAMESPACE_URL, return_id)),
        revision=1,
        rule=RuleId(rule),
        state=CaseState.OPEN,
        reason=Reason.DUE,
        level=1,
        severity=Severity.WARNING,
        action="ask for proof of drop-off",
        return_id=return_id,
        parcel=f"{carrier}:{number}",
        carrier=carrier,
        tracking_number=number,
        value=Money(1990, "EUR"),
        since_at=due - timedelta(hours=72),
        due_at=due,
        effective_at=due,
        evidence=(EvidenceSource("labels", 0, 7),),
        explanation="No scan within 72 h of the label.",
    )


def then(before: Escalation, state: CaseState, reason: Reason, level: int = 1) -> Escalation:
    values = {name: getattr(before, name) for name in before.__struct_fields__}
    values |= {"revision": before.revision + 1, "state": state, "reason": reason, "level": level}
    values |= {"previous_state": before.state, "effective_at": before.effective_at + timedelta(hours=1)}
    return Escalation(**values)


def test_an_empty_topic_has_no_cases_and_the_command_ends(shop: Shop) -> None:
    answer = shop.cases("list")
    assert answer.code == 0
    assert "no such cases" in answer.err


def test_only_what_is_still_active_is_listed_the_most_urgent_first(shop: Shop) -> None:
    fresh, old, loud, done = (
        opened("R-1"),
        opened("R-2", due_ago=timedelta(days=3)),
        opened("R-3"),
        opened("R-4"),
    )
    shop.publish(fresh, old, loud, done)
    shop.publish(
        then(loud, CaseState.ESCALATED, Reason.LEVEL, 2), then(done, CaseState.RESOLVED, Reason.FIRST_SCAN)
    )

    assert shop.listed() == ["R-3", "R-2", "R-1"]
    assert set(shop.listed("--state", "all")) == {"R-1", "R-2", "R-3", "R-4"}
    assert shop.listed("--state", "resolved") == ["R-4"]


def test_cases_are_filtered_by_rule_carrier_and_age(shop: Shop) -> None:
    shop.publish(
        opened("R-1"),
        opened("R-2", carrier="la_poste"),
        opened("R-3", rule="stalled_silent"),
        opened("R-4", due_ago=timedelta(days=9)),
    )
    assert shop.listed("--carrier", "La Poste") == ["R-2"]
    assert shop.listed("--rule", "stalled_silent") == ["R-3"]
    assert shop.listed("--older-than", "8d") == ["R-4"]
    assert "R-4" not in shop.listed("--newer-than", "8d")
    assert shop.listed("--limit", "1") == ["R-4"]


def test_an_erased_case_is_gone_and_comes_back_if_it_is_said_again(shop: Shop) -> None:
    case, other = opened("R-1"), opened("R-2")
    shop.publish(case, other)
    shop.erase(case)
    assert shop.listed() == ["R-2"]
    shop.publish(case)
    assert set(shop.listed()) == {"R-1", "R-2"}


def test_a_repeat_of_an_older_change_after_a_crash_does_not_reopen_a_case(shop: Shop) -> None:
    case = opened("R-1")
    shop.publish(case, then(case, CaseState.RESOLVED, Reason.FIRST_SCAN), case)
    assert shop.listed() == []


def test_a_topic_that_ends_in_a_transaction_marker_is_read_to_its_end(shop: Shop) -> None:
    shop.publish(opened("R-1"), transactional=True)
    assert shop.listed() == ["R-1"]


def test_a_record_that_is_no_case_is_left_out_and_told(shop: Shop) -> None:
    async def scribble() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=shop.settings.bootstrap_servers[0])
        await producer.start()
        await producer.send_and_wait(shop.settings.topics.cases, b"hello", key=b"x", partition=0)
        await producer.stop()

    run(scribble())
    shop.publish(opened("R-1"))
    answer = shop.cases("list", "--json")
    assert len(answer.out.splitlines()) == 1
    assert f"{shop.settings.topics.cases}/0@0" in " ".join(answer.err.split())


@pytest.mark.parametrize("name", ["R-1", "1zr1", "ups:1ZR1", "case"])
def test_a_case_is_shown_with_every_change_by_any_of_its_names(name: str, shop: Shop) -> None:
    case = opened("R-1")
    level_two = then(case, CaseState.ESCALATED, Reason.LEVEL, 2)
    shop.publish(opened("R-2"), case, case, level_two)
    typed = case.case_id[:8] if name == "case" else name

    answer, as_json = shop.cases("show", typed), shop.cases("show", typed, "--json")

    assert answer.code == 0
    assert "19.90 EUR" in answer.out
    assert "ask for proof of drop-off" in answer.out
    assert "labels/0@7" in answer.out
    changes = [json.loads(line) for line in as_json.out.splitlines()]
    assert [(change["revision"], change["state"]) for change in changes] == [(1, "open"), (2, "escalated")]


def test_a_name_without_a_case_is_told_with_what_to_do(shop: Shop) -> None:
    shop.publish(opened("R-1"))
    answer = shop.cases("show", "R-9")
    assert answer.code == 1
    assert "R-9: no case, return or parcel of that name among 1 cases" in answer.err


def test_following_tells_each_change_once_even_if_it_was_said_twice(shop: Shop) -> None:
    case = opened("R-1")
    resolved = then(case, CaseState.RESOLVED, Reason.FIRST_SCAN)
    shop.publish(case, case, resolved)
    answer = shop.cases("tail", "--from-start", "--count", "2", "--json")
    assert [json.loads(line)["state"] for line in answer.out.splitlines()] == ["open", "resolved"]


def test_following_shows_only_what_was_asked_for(shop: Shop) -> None:
    first, second = opened("R-1"), opened("R-2", carrier="fedex")
    shop.publish(first, second)
    answer = shop.cases("tail", "--from-start", "--count", "1", "--carrier", "fedex")
    assert "R-2" in answer.out
    assert "R-1" not in answer.out


def test_a_cluster_without_our_topics_is_told_apart_from_one_without_cases(
    kafka: EmbeddedKafka, shop: Callable[..., object]
) -> None:
    answer = returnwatch("cases", "list", "-b", kafka.bootstrap_servers, "--topic-prefix", "nobody-")
    assert answer.code == 1
    assert "topic nobody-cases: is missing" in answer.err
