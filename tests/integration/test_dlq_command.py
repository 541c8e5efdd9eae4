"""`returnwatch dlq` on a real broker: told, sent back once and only once, set aside; and the whole way with a worker."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_admin, run
from agents.letter_sender import LetterSender
from agents.settings import Settings
from agents.topics import prepare_topics
from schemas.dead_letters import DeadLetter, Headers, without_history
from schemas.topics import KIB, MIB
from schemas.vocabulary import DeadLetterReason
from tests.chaos.installation import (
    ONE_OF_EACH,
    case_state,
    create_inputs,
    installation,
    outputs,
    states_of,
)
from tests.chaos.plan import Plan
from tests.chaos.processes import until, workers
from tests.chaos.traffic import label, send_events
from tests.command_line import Answer, returnwatch
from tests.dead_letters import Refusal, event
from tests.letter_office import KINDS, Office


@pytest.fixture
def office(kafka: EmbeddedKafka) -> Office:
    name = f"d{uuid.uuid4().hex[:8]}"
    settings = Settings(
        bootstrap_servers=(kafka.bootstrap_servers,),
        app_id=name,
        topic_prefix=f"{name}-",
        replication_factor=1,
        parcels_partitions=2,
        returns_partitions=2,
        **{f"{kind}_topics": (f"{name}-{kind}",) for kind in KINDS},  # type: ignore[arg-type]  # names of topics
    )

    async def make() -> None:
        async with open_admin(settings) as admin:
            await prepare_topics(admin, settings, inputs=True)

    run(make())
    return Office(settings)


def test_what_was_refused_is_told_newest_first_and_each_record_once(office: Office, tmp_path: Path) -> None:
    assert "no such dead letters" in office.done("list", "--from", "2026-01-01T00:00:00Z")
    bad = b'{"text": "\x1b[2J\xe2\x80\xae"'
    office.refuse(*(Refusal(number, value=b"{%d" % number) for number in range(3)))
    office.refuse(Refusal(1, value=b"{1"))  # again, after a worker was killed before it committed
    office.refuse(Refusal(9, bad, b"\xff", [("h\x1b", b"\x00")], DeadLetterReason.TOO_DEEP))

    assert [one["offset"] for one in office.listed()] == [9, 2, 1, 0]
    assert [one["offset"] for one in office.listed("--limit", "2")] == [9, 2]
    assert [one["offset"] for one in office.listed("--reason", "too_deep", "--newer-than", "1h")] == [9]
    assert not office.listed("--older-than", "1h")
    assert not office.listed("--topic", office.settings.labels_topics[0])
    table = office.dlq("list", "--limit", "1")
    assert f"{office.orders}/0@9" in "".join(table.out.split())
    assert "1 dead letter, 3 more with --limit 0" in table.err

    stats = json.loads(office.dlq("stats", "--json").out)
    assert (stats["letters"], stats["repeats"]) == (4, 1)
    assert stats["reasons"] == {"not_json": 3, "too_deep": 1}
    assert stats["topics"] == {office.orders: 4}
    assert "too_deep" in office.dlq("stats").out

    saved = tmp_path / "record"
    shown = office.dlq("show", f"{office.orders}/0@9", "--save", str(saved))
    assert saved.read_bytes() == bad
    assert all(one.isprintable() for line in shown.out.split("\n") for one in line)
    assert "\\x1b[2J\\u202e" in shown.out
    told = json.loads(office.dlq("show", f"{office.orders}/0@9", "--json").out)
    assert told["value"]["text"].encode() == bad
    assert told["key"] == {"base64": "/w=="}
    by_letter = office.dlq("show", told["letter"])
    assert by_letter.out.splitlines()[1] == shown.out.splitlines()[1]

    unknown = office.dlq("list", "--topic", office.orders[:-1])
    assert (unknown.code, f"did you mean `{office.orders}`?" in " ".join(unknown.err.split())) == (1, True)
    nowhere = office.dlq("show", f"{office.orders}/0@77")
    assert (nowhere.code, "there is no dead letter of that place" in nowhere.err) == (1, True)


def test_a_redriven_record_is_what_was_refused_where_it_was_refused_and_only_once(office: Office) -> None:
    own: Headers = [("ce_id", b"\xff\x00"), ("null", None), ("ce_id", b"2")]
    records = [
        Refusal(5, b"{\xff\x00", b"\x00k", own, partition=6),
        Refusal(6, None, b"k", partition=1),
        Refusal(7, b"", None),
    ]
    office.refuse(*records, records[0])
    choice = ("--everything", "--by", "ops-1")
    assert "the same with --yes would redrive these 3" in office.done("redrive", *choice)
    assert office.sent() == []

    assert "3 redriven" in office.done("redrive", *choice, "--yes", "--why", "the reader was mended")
    sent = office.read(office.orders)
    for refusal in records:
        (record,) = sent[TopicPartition(office.orders, refusal.partition)]
        headers, history = without_history(record.headers)
        assert (record.key, record.value, headers) == (refusal.key, refusal.value, refusal.headers or [])
        assert history is not None
        assert history.times == 1
        assert history.letter.startswith(office.settings.topics.dead_letters)
    assert "0 redriven" in office.done("redrive", *choice, "--yes")
    assert len(office.sent()) == 3

    assert office.listed() == []
    done = office.listed("--all")
    assert {one["outcome"]["sent_to"] for one in done} == {
        f"{tp.topic}/{tp.partition}@{record.offset}" for tp, found in sent.items() for record in found
    }
    assert {(one["outcome"]["by"], one["outcome"]["why"]) for one in done} == {
        ("ops-1", "the reader was mended")
    }
    named = office.dlq("redrive", f"{office.orders}/6@5", "--by", "ops-1", "--yes")
    assert (named.code, "was redriven before" in named.err) == (1, True)
    assert "1 redriven" in office.done("redrive", f"{office.orders}/6@5", "--by", "ops-1", "--yes", "--again")
    assert len(office.sent()) == 4


def lose_the_broker_at(commit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kill does: what was sent since the last commit is neither committed nor taken back."""
    commits = 0
    original = AIOKafkaProducer.commit_transaction

    async def failing(self: AIOKafkaProducer) -> None:
        nonlocal commits
        commits += 1
        if commits == commit:
            raise KafkaConnectionError("gone")
        await original(self)

    async def gone(self: AIOKafkaProducer) -> None:
        raise KafkaConnectionError("gone")

    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", failing)
    monkeypatch.setattr(AIOKafkaProducer, "abort_transaction", gone)


def test_a_redrive_that_was_cut_off_goes_on_where_it_was_and_sends_nothing_twice(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.refuse(*(Refusal(number, b"{%d" % number) for number in range(50)))
    command = ("--reason", "not_json", "--by", "ops-1", "--yes", "--rate", "20")
    with monkeypatch.context() as trouble:
        lose_the_broker_at(2, trouble)
        cut_off = office.dlq("redrive", *command)
        assert cut_off.code == 1
        assert "20 redriven" in cut_off.err
        assert "the connection was lost" in cut_off.err
    assert "30 redriven" in office.done("redrive", *command)
    assert sorted(record.value for record in office.sent()) == sorted(b"{%d" % number for number in range(50))
    everything = office.listed("--all", "--limit", "0")
    assert len(everything) == 50
    assert {one["outcome"]["redrives"] for one in everything} == {1}


def test_a_redrive_that_is_killed_somewhere_is_finished_by_the_next(office: Office) -> None:
    office.refuse(*(Refusal(number, b"{%d" % number) for number in range(300)))
    command = ("redrive", "--everything", "--by", "ops-1", "--yes", "--rate", "60")
    with subprocess.Popen(
        [sys.executable, "-m", "agents", "dlq", *command, *office.flags], stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not office.sent():
            pass  # each look takes as long as reading a topic does
        process.kill()
    assert len(office.sent()) < 300, "it was killed before it was done"
    office.done(*command[:-2])
    assert sorted(record.value for record in office.sent()) == sorted(
        b"{%d" % number for number in range(300)
    )


def test_of_two_people_at_once_the_first_is_shut_out_and_nothing_is_sent_twice(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.refuse(*(Refusal(number, b"{%d" % number) for number in range(20)))
    command = ("--everything", "--by", "ops-1", "--yes")
    first_answer: list[Answer] = []
    with monkeypatch.context() as trouble:
        meet(trouble, lambda: first_answer.append(office.dlq("redrive", *command)))
        second = office.dlq("redrive", *command)
    assert len(first_answer) == 1
    assert first_answer[0].code == 0, first_answer[0].err
    assert second.code == 1
    assert "another `returnwatch dlq redrive` or `discard` has begun" in " ".join(second.err.split())
    assert sorted(record.value for record in office.sent()) == sorted(b"{%d" % number for number in range(20))


def test_who_has_to_begin_anew_does_not_overtake_somebody_who_came_meanwhile(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that is too large costs the first its producer; the second has sent all others by then."""
    too_large = Refusal(0, b"{" + b"x" * (MIB + 20 * KIB))
    office.refuse(too_large, *(Refusal(number, b"{%d" % number) for number in range(1, 20)))
    command = ("--reason", "not_json", "--by", "ops-1", "--yes")
    with monkeypatch.context() as trouble:
        original = LetterSender._go_on
        waiting = [lambda: office.dlq("redrive", *command)]

        async def go_on(self: LetterSender) -> None:
            if waiting:
                await asyncio.to_thread(waiting.pop())
            await original(self)

        trouble.setattr(LetterSender, "_go_on", go_on)
        first = office.dlq("redrive", *command)
    assert first.code == 1
    assert "another `returnwatch dlq redrive` or `discard` has begun" in " ".join(first.err.split())
    assert sorted(one.value for one in office.sent()) == sorted(b"{%d" % number for number in range(1, 20))


def meet(trouble: pytest.MonkeyPatch, other: Callable[[], None]) -> None:
    """Let another command run from its beginning to its end just before the first commit of this one."""
    original = AIOKafkaProducer.commit_transaction
    waiting = [other]

    async def commit(self: AIOKafkaProducer) -> None:
        if waiting:
            await asyncio.to_thread(waiting.pop())
        await original(self)

    trouble.setattr(AIOKafkaProducer, "commit_transaction", commit)


def test_what_came_back_too_often_stays_until_somebody_wants_it(office: Office) -> None:
    history: Headers = [
        ("returnwatch-redrives", b"3"),
        ("returnwatch-redriven-from", b"dead-letters/0@1"),
        ("returnwatch-first-refused-at", b"2026-03-01T12:00:00Z"),
    ]
    office.refuse(Refusal(1, headers=history), Refusal(2))
    told = office.done("redrive", "--everything", "--by", "ops-1", "--yes")
    assert "1 stay: was redriven and refused too often" in told
    assert "1 redriven" in told
    assert [one["offset"] for one in office.listed()] == [1]
    office.done("redrive", "--everything", "--by", "ops-1", "--yes", "--max-redrives", "4")
    newest = without_history(office.sent()[-1].headers)[1]
    assert newest is not None
    assert (newest.times, newest.first_refused_at) == (4, "2026-03-01T12:00:00Z")


def test_what_was_discarded_is_out_of_the_way_with_who_and_why(office: Office) -> None:
    office.refuse(*(Refusal(number) for number in range(3)), Refusal(3, reason=DeadLetterReason.TOO_DEEP))
    command = ("--reason", "not_json", "--by", "ops-1", "--why", "a test of the producer")
    assert "would discard these 3" in office.done("discard", *command)
    assert len(office.listed()) == 4
    assert "3 discarded" in office.done("discard", *command, "--yes")
    assert "0 discarded" in office.done("discard", *command, "--yes")
    assert [one["offset"] for one in office.listed()] == [3]
    assert "3 that were redriven or discarded are not shown (--all)" in office.done("list")
    assert "a test of the producer" in office.dlq("show", f"{office.orders}/0@1").out
    assert office.sent() == []
    assert "1 redriven" in office.done("redrive", "--everything", "--by", "ops-1", "--yes")
    assert "3 redriven" in office.done("redrive", "--reason", "not_json", "--by", "ops-1", "--yes", "--again")


def test_what_cannot_go_back_says_why_and_holds_nothing_up(office: Office) -> None:
    office.refuse(Refusal(1, b"x" * 3 * MIB), Refusal(2, key=b"k" * 20 * KIB), Refusal(3, None, None))
    office.refuse(Refusal(4, topic="not-read-any-more"), Refusal(5, partition=99))
    # It fits into the dead letters, and is more than its own topic takes.
    office.refuse(Refusal(6, b"{" + b"x" * (MIB + 20 * KIB)), Refusal(7))
    office.refuse(Refusal(8, b"{" + b"x" * (MIB + 20 * KIB)), Refusal(9))
    answer = office.dlq("redrive", "--everything", "--by", "ops-1", "--yes")
    told = " ".join(answer.err.split())
    assert answer.code == 1
    assert "1 stay: only its first bytes were kept" in told
    assert "1 stay: its key or headers were too large to be kept" in told
    assert "1 stay: has neither key nor value" in told
    assert "1 stay: its topic is no input of these settings" in told
    assert "1 stay: its partition is not there" in told
    assert told.count("its topic does not take a record of this size") == 2
    assert "2 redriven" in told
    assert len(office.sent()) == 2
    named = office.dlq("redrive", f"{office.orders}/0@1", f"{office.orders}/0@99", "--by", "ops-1")
    assert named.code == 1
    assert "only its first bytes were kept" in named.err
    assert "there is no dead letter of that place" in named.err


async def letters_of(settings: Settings) -> list[DeadLetter]:
    return [
        DeadLetter.from_headers(one.headers) for one in await outputs(settings, settings.topics.dead_letters)
    ]


async def test_a_record_whose_cause_is_mended_comes_in_by_its_letter(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH, max_past=timedelta(days=1))
    await create_inputs(settings)
    office = Office(settings)
    redrive: Sequence[str] = ("--reason", "time_out_of_range", "--by", "ops-1", "--yes")
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(1))  # of ten days ago
        await until(lambda: refused(worker) == 1, "the label is refused")
        assert "1 redriven" in await asyncio.to_thread(office.done, "redrive", *redrive)
        await until(lambda: refused(worker) == 2, "nothing was mended: it is refused again")
        first, second = sorted(await letters_of(settings), key=lambda one: one.redrives)
        assert (first.redrives, second.redrives) == (0, 1)
        assert second.redriven_from.startswith(settings.topics.dead_letters)
        (waiting,) = await asyncio.to_thread(office.listed)
        assert waiting["first_refused_at"]
        assert not await states_of(settings, "R1")
        worker.stop()
        worker.settings = worker.settings.model_copy(update={"max_past": timedelta(days=730)})
        worker.start()
        await worker.ready()
        assert "1 redriven" in await asyncio.to_thread(office.done, "redrive", *redrive)
        await case_state(settings, 1, ("open", "escalated"))
    assert len(await letters_of(settings)) == 2
    assert await asyncio.to_thread(office.listed) == []


def refused(worker: Any) -> object:
    return worker.metric("returnwatch_dead_letters_total", reason="time_out_of_range")


def test_an_event_of_the_contract_needs_no_letter_of_its_own(office: Office) -> None:
    """What is sent back is an ordinary record: `check --connect` reads it as the worker will."""
    request = event(type="return_requested", return_id="R1")
    office.refuse(Refusal(1, request, reason=DeadLetterReason.WRONG_TOPIC))
    office.done("redrive", "--everything", "--by", "ops-1", "--yes")
    own = ["--replication-factor", "1", "--parcels-partitions", "2", "--returns-partitions", "2"]
    answer = returnwatch("check", "--connect", *office.flags, *own)
    assert "returns R1: return_requested" in answer.out
