"""Access control on a real broker: each program may do what agents/access_list.py says, which is enough, and no more."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import aiohttp
import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError

from agents.access_list import Access, Operation, Program, Resource, access_of
from agents.embedded_kafka import EmbeddedKafkaUnavailable, prepare_quick_start
from agents.errors import UserError
from agents.health import Readiness
from agents.kafka_connection import AUTHORIZATION_ERRORS, open_admin, open_consumer
from agents.log_reading import partitions_of
from agents.settings import Settings
from agents.topics import inspect_topics, prepare_topics
from agents.worker import prepare
from schemas.topics import InputKind, TopicRole
from tests.chaos.installation import ONE_OF_EACH, case_state, installation, outputs
from tests.chaos.plan import Plan
from tests.chaos.processes import PATIENCE_S, ROOT, free_port, workers
from tests.chaos.traffic import at, label, scan, send_events
from tests.command_line import Answer, returnwatch
from tests.secured_kafka import Asked, Authority, SecuredKafka, secured_kafka

pytestmark = pytest.mark.kafka

INPUTS = {**ONE_OF_EACH, "commands": ("commands",)}
OPEN = ("open", "escalated")
SPEED = 600.0
"""KPIs are said when an hour of the log is full."""
SECRET = "a-secret-of-a-sender"  # noqa: S105 - of this test


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[SecuredKafka]:
    try:
        prepare_quick_start()
        with secured_kafka(tmp_path / "secured") as kafka:
            yield kafka
    except EmbeddedKafkaUnavailable as error:
        pytest.skip(str(error))


async def new_installation(secured: SecuredKafka, directory: Path) -> Settings:
    """With all topics. These settings are of the test itself, who may do everything."""
    clock = {"simulated_time": True, "simulated_origin_at": datetime.now(UTC), "simulated_speed": SPEED}
    settings = installation(secured.broker.bootstrap_servers, directory, INPUTS, **clock)
    async with open_admin(settings) as admin:
        await prepare_topics(admin, settings, inputs=True)
    return settings


async def user(secured: SecuredKafka, settings: Settings, program: Program) -> Settings:
    """The settings of a program with a user of its own, who may do what the program needs."""
    await secured.users(program)
    await secured.allow(program, access_of(program, settings))
    return secured.with_password(settings, program)


async def command(settings: Settings, *arguments: str) -> Answer:
    """Run `returnwatch` in this process, as the user of these settings."""
    with mock.patch.dict(os.environ, settings.environment()):
        return await asyncio.to_thread(returnwatch, *arguments)


async def life_of_a_return(settings: Settings) -> None:
    """Something for every topic to be told of: a case, a refund that may be released, a day's KPIs, a dead letter."""
    request = {"type": "return_requested", "id": "request-2", "occurred_at": at(), "return_id": "R2"}
    terms = {"value": {"amount": "10.00", "currency": "EUR"}, "customer_risk": "low", "resolution": "refund"}
    await send_events(settings, settings.orders_topics[0], {**request, **terms})
    await send_events(settings, settings.labels_topics[0], label(1), label(2), {"type": "nonsense"})
    await send_events(settings, settings.scans_topics[0], scan(2))
    await send_events(
        settings,
        settings.warehouse_topics[0],
        {
            "type": "checked_in",
            "id": "dock-2",
            "occurred_at": at(),
            "carrier": "ups",
            "tracking_number": "1Z2",
        },
    )


def covers(access: Access, asked: Asked) -> bool:
    """Whether a right allows what was asked for. Who may read or write may describe."""
    if access.resource != asked.resource:
        return False
    if not (asked.name.startswith(access.name) if access.prefixed else asked.name == access.name):
        return False
    implied = {Operation.READ, Operation.WRITE} if asked.operation == Operation.DESCRIBE else set()
    return access.operation == asked.operation or access.operation in implied


def not_needed(accesses: Iterable[Access], asked: Iterable[Asked]) -> list[Access]:
    """The rights without which nothing that was asked for would have been refused.

    A list of all topics asks to describe each that may be read: that shows no need to read it.
    """
    accesses, alone = list(accesses), set()
    for one in asked:
        by = [access for access in accesses if covers(access, one)]
        if len(by) == 1 and by[0].operation == one.operation:
            alone.add(by[0])
    return [access for access in accesses if access not in alone]


async def test_a_worker_tells_of_a_return_by_its_rights_and_uses_every_one_of_them(
    secured: SecuredKafka, tmp_path: Path
) -> None:
    own = await new_installation(secured, tmp_path / "installation")
    theirs = await user(secured, own, Program.WORKER)
    on_call = await user(secured, own, Program.ON_CALL)
    accesses = access_of(Program.WORKER, own)
    began = secured.log_size
    with workers(theirs, tmp_path, Plan()) as (worker,):
        await worker.ready()
        at_work = secured.log_size
        await life_of_a_return(own)
        await case_state(own, 1, OPEN)
        answer = await command(on_call, "cases", "acknowledge", "R1", "--by", "ops-1", "--wait", "60s")
        assert answer.code == 0, answer.err
        deadline = time.monotonic() + PATIENCE_S
        while left := not_needed(of_work(accesses, own), secured.asked(Program.WORKER, "Allowed", at_work)):
            assert time.monotonic() < deadline, f"not done: {left}"
            await asyncio.sleep(0.5)
        assert worker.exit_code is None
    assert not not_needed(accesses, secured.asked(Program.WORKER, "Allowed", began))
    settings_of_others = {
        Asked(Resource.TOPIC, spec.name, Operation.DESCRIBE_CONFIGS)
        for spec in own.topic_specs()
        if spec.role in {TopicRole.INPUT, TopicRole.JOURNAL}
    }
    refused = secured.asked(Program.WORKER, "Denied", began)
    assert refused <= settings_of_others, "asked for to be told, and done without"
    assert await outputs(own, own.topics.refund_signals)


def of_work(accesses: Iterable[Access], settings: Settings) -> list[Access]:
    """Rights are tried at a start: of these it must be seen at work that what they are about is read and written.

    Control records and changelogs are read at a start alone.
    """
    names = settings.topics
    at_start = {names.heartbeats, names.parcel_changelog, names.return_changelog}
    return [
        access
        for access in accesses
        if access.operation is Operation.WRITE
        or (access.operation is Operation.READ and access.name not in at_start)
        if access.resource is Resource.TOPIC
    ]


async def test_a_worker_without_any_one_of_its_rights_says_so_at_its_start(
    secured: SecuredKafka, tmp_path: Path
) -> None:
    own = await new_installation(secured, tmp_path / "installation")
    theirs = await user(secured, own, Program.WORKER)
    await prepare(theirs, Readiness())
    for access in access_of(Program.WORKER, own):
        await secured.forbid(Program.WORKER, [access])
        if access.operation is Operation.DESCRIBE_CONFIGS:
            assert not await sees_settings_of(theirs, access.name), "a wrong setting would not be found"
        else:
            with pytest.raises(UserError) as refused:
                await prepare(theirs, Readiness())
            told = str(refused.value)
            assert access.name in told, access
            assert "may not" in told, access
        await secured.allow(Program.WORKER, [access])
    assert await sees_settings_of(theirs, own.topics.cases)
    await prepare(theirs, Readiness())


async def sees_settings_of(settings: Settings, topic: str) -> bool:
    """Whether a topic with another clean-up policy than it must have is found out."""
    (spec,) = [spec for spec in settings.topic_specs() if spec.name == topic]
    wrong = [one for one in spec.requirements if one.setting == "cleanup.policy"]
    assert wrong
    asked = replace(spec, requirements=tuple(replace(one, value="another") for one in wrong))
    async with open_admin(settings) as admin:
        (check,) = await inspect_topics(admin, [asked])
    return bool(check.differences)


ON_CALL_COMMANDS: list[tuple[str, ...]] = [
    ("cases", "list", "--state", "all"),
    ("cases", "show", "R1"),
    ("cases", "note", "R1", "asked the carrier", "--by", "ops-1", "--wait", "60s"),
    ("journeys", "show", "R2"),
    ("kpis",),
    ("dlq", "list"),
    ("explain", "R1"),
]


async def test_people_on_call_and_the_receiver_need_their_rights_and_no_others(
    secured: SecuredKafka, tmp_path: Path
) -> None:
    own = await new_installation(secured, tmp_path / "installation")
    theirs = await user(secured, own, Program.WORKER)
    on_call = await user(secured, own, Program.ON_CALL)
    receiving = await user(secured, own, Program.RECEIVE)
    began = secured.log_size
    with workers(theirs, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await life_of_a_return(own)
        await case_state(own, 1, OPEN)
        await everything_received(receiving, tmp_path)
        for arguments in ON_CALL_COMMANDS:
            answer = await command(on_call, *arguments)
            assert answer.code == 0, (arguments, answer.err)
        for program in (Program.ON_CALL, Program.RECEIVE):
            assert not not_needed(access_of(program, own), secured.asked(program, "Allowed", began)), program
            assert not secured.asked(program, "Denied", began), program
        dealt_with = ("--everything", "--by", "ops-1", "--why", "of a test", "--yes")
        assert (await command(own, "dlq", "discard", *dealt_with)).code == 0
        listed = await command(on_call, "dlq", "list")
        for access in access_of(Program.ON_CALL, own):
            await secured.forbid(Program.ON_CALL, [access])
            answer = await command(on_call, *asking(own, access))
            if access.name == own.topics.dead_letter_outcomes:
                # As before the first decision, when the topic need not be there.
                assert (answer.code, listed.code) == (0, 0)
                assert answer.out != listed.out, "what was dealt with is shown as if it were not"
            else:
                assert answer.code == 1, access
                assert access.name in answer.err, access
            await secured.allow(Program.ON_CALL, [access])


@pytest.mark.parametrize("name", [Program.NOTIFY, Program.CANARY, Program.BOARD])
async def test_programs_beside_the_workers_need_their_rights_and_no_others(
    secured: SecuredKafka, tmp_path: Path, name: Program
) -> None:
    own = without_a_clock(await new_installation(secured, tmp_path / "installation"))
    theirs = await user(secured, own, name)
    # What a board tells it writes as `returnwatch cases acknowledge` does, which was tried.
    wanted = [access for access in access_of(name, own) if access.name not in own.commands_topics]
    began = secured.log_size
    with program(theirs, *started(name, tmp_path, "whole")) as process:
        while not_needed(wanted, secured.asked(name, "Allowed", began)):
            assert process.poll() is None, output_of(tmp_path)
            await asyncio.sleep(0.2)
    assert not secured.asked(name, "Denied", began)
    for access in wanted:
        if access.name == own.topics.dead_letter_outcomes:  # before the first decision it need not be there
            continue
        await secured.forbid(name, [access])
        with program(theirs, *started(name, tmp_path, access.name)) as process:
            assert await asyncio.to_thread(process.wait, PATIENCE_S) == 1
        told = access.name if access.resource is Resource.TOPIC else "GroupAuthorizationFailed"
        assert told in output_of(tmp_path), access
        await secured.allow(name, [access])


def started(name: Program, directory: Path, record: str) -> list[str]:
    """The arguments of `returnwatch`. `record`: each run of notify has one of its own."""
    if name is Program.CANARY:
        return ["canary"]
    if name is Program.BOARD:
        return ["board", "--listen", "127.0.0.1:0", "--data-dir", str(directory / f"board-{record}")]
    file = directory / "notify.yaml"
    hook = f"{{kind: webhook, url: 'http://127.0.0.1:{free_port()}/', secret: SENDER_SECRET}}"
    file.write_text(f"receivers:\n  erp: {hook}\nroutes:\n  - {{name: everything, to: [erp]}}\n")
    return ["notify", "run", str(file), "--record", str(directory / f"record-{record}")]


def without_a_clock(settings: Settings) -> Settings:
    """The same by the wall's clock, which a canary measures by."""
    real = {"simulated_time": False, "simulated_origin_at": None, "simulated_speed": 1.0}
    return Settings(**{**settings.model_dump(), **real})


async def test_what_scales_workers_needs_its_rights_and_no_others(
    secured: SecuredKafka, tmp_path: Path
) -> None:
    own = await new_installation(secured, tmp_path / "installation")
    scaler = await user(secured, own, Program.AUTOSCALER)
    await how_much_waits(scaler)
    for access in access_of(Program.AUTOSCALER, own):
        await secured.forbid(Program.AUTOSCALER, [access])
        with pytest.raises((*AUTHORIZATION_ERRORS, UserError)):
            await how_much_waits(scaler)
        await secured.allow(Program.AUTOSCALER, [access])


async def how_much_waits(settings: Settings) -> None:
    """Ask for what a scaler asks for: where the group stands, and where the topics end."""
    async with open_admin(settings) as admin:
        while True:
            try:
                await admin.list_consumer_group_offsets(settings.app_id)
            except GroupCoordinatorNotAvailableError:  # for the first moment of a new cluster
                await asyncio.sleep(0.2)
            else:
                break
    for topic in (settings.topics.parcels, settings.topics.returns):
        partitions = await partitions_of(settings, topic)
        async with open_consumer(settings) as consumer:
            assert len(await consumer.end_offsets(partitions)) == len(partitions)


async def test_a_client_certificate_is_as_good_as_a_password_and_a_wrong_one_is_told(
    secured: SecuredKafka, tmp_path: Path
) -> None:
    own = await new_installation(secured, tmp_path / "installation")
    named = secured.with_certificate(own, secured.authority.identity("worker"))
    await secured.allow("CN=worker", access_of(Program.WORKER, own))
    with workers(named, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await send_events(own, own.labels_topics[0], label(1))
        await case_state(own, 1, OPEN)
    await secured.allow("CN=on-call", access_of(Program.ON_CALL, own))
    on_call = secured.with_certificate(own, secured.authority.identity("on-call"))
    listed = await command(on_call, "cases", "list", "--state", "all", "--json")
    assert listed.code == 0, listed.err
    assert "missing_first_scan" in listed.out
    stranger = secured.with_certificate(own, Authority(tmp_path, "elsewhere").identity("worker"))
    nobody = Settings(**{**named.model_dump(), "ssl_certificate_file": None, "ssl_key_file": None})
    for settings in (stranger, nobody):
        refused = await command(settings, "cases", "list")
        assert refused.code == 1
        assert "certificate" in refused.err, refused.err
        assert "--ssl-certificate-file" in refused.err, refused.err
    impostor = secured.with_certificate(own, secured.authority.identity("impostor"))
    refused = await command(impostor, "cases", "list")
    assert refused.code == 1
    assert own.topics.cases in refused.err


def asking(settings: Settings, access: Access) -> tuple[str, ...]:
    """The command that needs a right."""
    names = settings.topics
    verb = {
        names.cases: 0, names.escalations: 1, names.command_answers: 2, settings.commands_topics[0]: 2,
        names.journeys: 3, names.kpis: 4, names.dead_letters: 5, names.dead_letter_outcomes: 5,
        names.parcel_changelog: 6, names.return_changelog: 6,
    }[access.name]  # fmt: skip
    return ON_CALL_COMMANDS[verb]


@contextmanager
def program(settings: Settings, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`returnwatch ARGUMENTS`, as the user of these settings. What it says is in `output_of` the installation's directory."""
    assert settings.policy_file is not None
    with (settings.policy_file.parent.parent / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "agents", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                **settings.environment(),
                "SENDER_SECRET": SECRET,
                "RETURNWATCH_METRICS_PORT": "0",
            },
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def output_of(directory: Path) -> str:
    return (directory / "output").read_text()


async def everything_received(settings: Settings, directory: Path) -> None:
    """Run one with a webhook for each kind of input, and push something to each."""
    told = {topic: kind for topic, kind in settings.topics.kinds().items() if kind is not InputKind.COMMANDS}
    file, port = directory / "webhooks.yaml", free_port()
    hooks = (
        f"  {kind}: {{topic: {topic}, secrets: [SENDER_SECRET], token_header: X-Token}}\n"
        for topic, kind in told.items()
    )
    file.write_text(f"webhooks:\n{''.join(hooks)}")
    with program(settings, "receive", str(file), "--port", str(port)) as process:
        async with aiohttp.ClientSession() as session:
            for kind in told.values():
                assert await pushed(session, f"http://127.0.0.1:{port}/in/{kind}", process) == 202


async def pushed(session: aiohttp.ClientSession, url: str, process: subprocess.Popen[bytes]) -> int:
    while True:
        assert process.poll() is None, "it ended"
        try:
            async with session.post(url, data=b"{}", headers={"X-Token": SECRET}) as answer:
                return answer.status
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.2)
