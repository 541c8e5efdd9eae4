"""`returnwatch cases acknowledge` and the others, against a worker on a real broker: told, answered, said."""

import asyncio
import json
import time
from pathlib import Path

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_producer
from agents.settings import Settings
from schemas.command_answers import CommandAnswer, decode_command_answer
from streams.keys import partition_of
from streams.parcel_look import OWN_KEY
from tests.chaos.installation import (
    ONE_OF_EACH,
    case_state,
    cases,
    create_inputs,
    installation,
    outputs,
)
from tests.chaos.plan import Plan
from tests.chaos.processes import PATIENCE_S, until, workers
from tests.chaos.traffic import TEN_DAYS, at, label, send_events
from tests.command_line import Answer, returnwatch

OPEN = ("open", "escalated")
INPUTS = {**ONE_OF_EACH, "commands": ("commands",)}


async def told(settings: Settings, verb: str, *arguments: str) -> Answer:
    """`returnwatch cases VERB ... --by ops-1 --json`."""
    own = ["-b", settings.bootstrap_servers[0], "--topic-prefix", settings.topic_prefix]
    own += ["--commands-topic", settings.commands_topics[0], "--by", "ops-1", "--json"]
    return await asyncio.to_thread(returnwatch, "cases", verb, *arguments, *own)


async def answered(settings: Settings, verb: str, *arguments: str) -> list[CommandAnswer]:
    answer = await told(settings, verb, *arguments)
    assert answer.code == 0, answer.err
    return [decode_command_answer(line.encode()) for line in answer.out.splitlines()]


async def case_of(settings: Settings, return_id: str) -> dict[str, object]:
    (case,) = [one for one in (await cases(settings)).values() if one["return_id"] == return_id]
    return case


async def test_a_case_from_the_first_look_to_the_last_word(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, INPUTS)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(1), label(2), label(3))
        for number in (1, 2, 3):
            await case_state(settings, number, OPEN)

        (first,) = await answered(settings, "acknowledge", "R1", "--command-id", "C1")
        (again,) = await answered(settings, "acknowledge", "R1", "--command-id", "C1")
        assert again == first
        assert (first.accepted, first.reason, first.return_id) == (True, "done", "R1")
        assert (await case_of(settings, "R1"))["acknowledged_by"] == "ops-1"

        own = ["-b", settings.bootstrap_servers[0], "--topic-prefix", settings.topic_prefix]
        shown = await asyncio.to_thread(returnwatch, "cases", "show", "R1", *own)
        assert ", by ops-1" in shown.out
        listed = await asyncio.to_thread(returnwatch, "cases", "list", *own)
        assert ", acknowledged" in listed.out

        (noted,) = await answered(settings, "note", "R1", "asked the carrier")
        assert noted.note == "asked the carrier"
        await answered(settings, "snooze", "R2", "--until", "2d")
        await answered(settings, "assign", "R2", "--to", "team.north")
        put_off = await case_of(settings, "R2")
        assert (put_off["assigned_to"], put_off["snoozed_by"]) == ("team.north", "ops-1")

        rule = ("--rule", "missing_first_scan", "--reason", "written_off")
        listed = await told(settings, "resolve", *rule)
        assert (listed.code, await case_of(settings, "R2")) == (0, put_off)
        assert "--yes" in listed.err
        closed = await answered(settings, "resolve", *rule, "--yes")
        assert {one.return_id for one in closed} == {"R1", "R2", "R3"}
        assert len({one.audit_id for one in closed}) == 1
        assert (await case_of(settings, "R3"))["closure"] == "written_off"

        refused = await told(settings, "acknowledge", "R3")
        assert refused.code == 1
        assert "acknowledge was refused, case_closed" in " ".join(refused.err.split())
        (reopened,) = await answered(settings, "reopen", "R3")
        assert (await case_of(settings, "R3"))["state"] in OPEN
        assert worker.metric("returnwatch_commands_total", command="resolve", answer="done") == 3

    answers = [
        decode_command_answer(one.value) for one in await outputs(settings, settings.topics.command_answers)
    ]
    assert reopened in answers
    assert [one for one in answers if one.command_id == "C1"] == [first, first]


async def test_a_command_that_nobody_answers_yet_is_told_again_under_its_id(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, INPUTS)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(1))
        await case_state(settings, 1, OPEN)
        worker.kill()
        unheard = await told(settings, "acknowledge", "R1", "--command-id", "C1", "--wait", "2s")
        assert unheard.code == 1
        assert "with --command-id C1 is not done twice" in " ".join(unheard.err.split())
        worker.start()
        await worker.ready()
        (first,) = await answered(settings, "acknowledge", "R1", "--command-id", "C1", "--wait", "60s")
        assert (first.reason, first.revision) == ("done", (await case_of(settings, "R1"))["revision"])


async def test_an_answer_about_a_parcel_without_a_return_is_heard_in_whatever_partition_its_case_lives(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """The case lives in the partition of the parcel's own key; the answer's key, the parcel, belongs to another."""
    settings = installation(kafka.bootstrap_servers, tmp_path, INPUTS)
    await create_inputs(settings)
    parcels = [f"ups:1Z{number}" for number in range(1, 7)]
    lives = {one: partition_of((OWN_KEY + one).encode(), settings.returns_partitions) for one in parcels}
    assert len(set(lives.values())) > 1
    assert any(partition_of(one.encode(), settings.returns_partitions) != lives[one] for one in parcels)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        dock_scans = [
            {"type": "checked_in", "id": f"dock-{number}", "occurred_at": at(TEN_DAYS)}
            | {"carrier": "ups", "tracking_number": f"1Z{number}"}
            for number in range(1, 7)
        ]
        await send_events(settings, settings.warehouse_topics[0], *dock_scans)

        deadline = time.monotonic() + PATIENCE_S
        while {one["parcel"] for one in (await cases(settings)).values()} != set(parcels):
            assert time.monotonic() < deadline, "no case of each parcel"
            await asyncio.sleep(0.5)
        for parcel in parcels:
            (answer,) = await answered(settings, "acknowledge", parcel.removeprefix("ups:"), "--wait", "60s")
            assert (answer.reason, answer.parcel, answer.return_id) == ("done", parcel, "")
    heard = await outputs(settings, settings.topics.command_answers)
    assert {one.key.decode(): one.partition for one in heard} == lives


async def test_what_names_no_case_is_refused_and_what_is_no_command_is_a_dead_letter(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, INPUTS)
    await create_inputs(settings)
    said = {
        "type": "acknowledge",
        "id": "C1",
        "occurred_at": "2026-11-22T10:00:00Z",
        "return_id": "R-that-nobody-knows",
        "case_id": "6c7a0b4e-90de-5f0a-8a57-3d8d5a2c6a11",
        "by": "ops-1",
    }
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        async with open_producer(settings) as producer:
            for event in (said, {**said, "id": "C2", "by": "ada@example.org"}):
                await producer.send_and_wait(settings.commands_topics[0], json.dumps(event).encode())
        refused = {"command": "acknowledge", "answer": "unknown_case"}
        await until(
            lambda: worker.metric("returnwatch_commands_total", **refused) == 1, "the refusal is said"
        )
        await until(
            lambda: worker.metric("returnwatch_dead_letters_total", reason="bad_value") == 1, "dead letter"
        )
    (answer,) = [
        decode_command_answer(one.value) for one in await outputs(settings, settings.topics.command_answers)
    ]
    assert (answer.command_id, answer.accepted, answer.reason) == ("C1", False, "unknown_case")
    assert not await outputs(settings, settings.topics.cases)
