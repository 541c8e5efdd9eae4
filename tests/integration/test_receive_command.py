"""`returnwatch receive` against a real broker: what was answered 202 is in the topic, and nobody else gets anything in."""

import asyncio
import hashlib
import hmac
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest
from aiokafka.admin import NewTopic
from multidict import CIMultiDict

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_admin
from agents.receiver import MOST_AT_ONCE
from agents.settings import Settings
from agents.topics import await_topics
from tests.chaos.installation import read_all
from tests.command_line import returnwatch

pytestmark = pytest.mark.kafka

SECRET = "whsec-1"  # noqa: S105 - of a test
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FILE = """\
webhooks:
  shop:
    topic: {topic}
    secrets: [WEBHOOK_SECRET]
    signing: {{header: X-Signature, prefix: sha256=}}
    max_bytes: 1000
    per_second: {per_second}
"""


class Receiving:
    """A receiver of its own process."""

    def __init__(self, bootstrap_servers: str, directory: Path, *, per_second: float = 1000) -> None:
        self.topic = f"w{uuid.uuid4().hex[:8]}"
        self.settings = Settings(bootstrap_servers=(bootstrap_servers,))
        self.file = directory / "webhooks.yaml"
        self.file.write_text(FILE.format(topic=self.topic, per_second=per_second), encoding="utf-8")
        self.log = directory / "receiver.log"
        self.topic_settings: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    async def create_topic(self) -> None:
        async with open_admin(self.settings) as admin:
            await admin.create_topics([NewTopic(self.topic, 2, 1, topic_configs=self.topic_settings)])
            await await_topics(admin, {self.topic: 2})

    async def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "agents",
            "receive",
            str(self.file),
            "--port",
            "0",
            "--metrics-port",
            "0",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it is started at once
                [*command, "--bootstrap-servers", self.settings.bootstrap_servers[0], "--log-format", "json"],
                env={**os.environ, "WEBHOOK_SECRET": SECRET, **self.variables},
                stdout=log,
                stderr=log,
            )
        end = monotonic() + 60
        while not self.url:
            assert monotonic() < end, self.said()
            assert self.process.poll() is None, self.said()
            await asyncio.sleep(0.1)
            for line in self.said().splitlines():
                if line.startswith("receiving at "):
                    self.url = line.split()[2].removesuffix("/in/NAME")

    def said(self) -> str:
        return self.log.read_text()

    async def records(self) -> list[Any]:
        return [one for log in (await read_all(self.settings, [self.topic])).values() for one in log]

    async def bodies(self) -> list[bytes]:
        return sorted(record.value for record in await self.records())

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@pytest.fixture
def started(kafka: EmbeddedKafka, tmp_path: Path) -> Iterator[Receiving]:
    receiving = Receiving(kafka.bootstrap_servers, tmp_path)
    yield receiving
    if receiving.process is not None and receiving.process.poll() is None:
        receiving.process.kill()
        receiving.process.wait()


@asynccontextmanager
async def running(receiving: Receiving) -> AsyncIterator[aiohttp.ClientSession]:
    await receiving.create_topic()
    await receiving.start()
    async with aiohttp.ClientSession(receiving.url, timeout=aiohttp.ClientTimeout(60)) as session:
        yield session


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


async def post(session: aiohttp.ClientSession, body: bytes, **asked: Any) -> int:
    headers = asked.pop("headers", None) or signed(body)
    async with session.post(asked.pop("path", "/in/shop"), data=body, headers=headers, **asked) as answer:
        return answer.status


async def test_what_was_answered_is_in_the_topic_though_the_receiver_was_killed_at_once(
    started: Receiving,
) -> None:
    async with running(started) as session:
        sent = [b'{"n":%d}' % number for number in range(4 * MOST_AT_ONCE)]
        answers = await asyncio.gather(*(post(session, body) for body in sent))
        assert {202} <= set(answers) <= {202, 503}, "more at once than it takes are put off"
        wanted = [body for body, answer in zip(sent, answers, strict=True) if answer == 202]
        assert started.process is not None
        started.process.kill()
        assert await started.bodies() == sorted(wanted)
        headers = [dict(record.headers) for record in await started.records()]
        assert {one["rw_webhook"] for one in headers} == {b"shop"}


async def test_nobody_else_gets_anything_in(started: Receiving) -> None:
    async with running(started) as session:
        body = b'{"a": 1}'
        told = {
            "unsigned": await post(session, body, headers={"X-Other": "1"}),
            "forged": await post(session, body, headers=signed(body, "guess")),
            "changed": await post(session, b'{"a": 2}', headers=signed(body)),
            "too large": await post(session, b"x" * 1001),
            "too large, in parts": await post(session, _parts(1001), headers=signed(b"x" * 1001)),
            "compressed": await post(session, body, headers={**signed(body), "Content-Encoding": "gzip"}),
            "nothing": await post(session, b""),
            "elsewhere": await post(session, body, path="/in/nobody"),
        }
        async with session.get("/in/shop") as answer:
            told["asked"] = answer.status
        assert told == {
            "unsigned": 401,
            "forged": 401,
            "changed": 401,
            "too large": 413,
            "too large, in parts": 413,
            "compressed": 415,
            "nothing": 400,
            "elsewhere": 404,
            "asked": 405,
        }
        assert await post(session, b"x" * 1000) == 202
        assert await started.bodies() == [b"x" * 1000]
        assert SECRET not in started.said()


def _parts(size: int) -> Any:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(size):
            yield b"x"

    return parts()


async def test_who_knows_no_secret_keeps_nobody_from_sending(started: Receiving) -> None:
    async with running(started) as session:
        address = started.url.removeprefix("http://").split(":")
        idle = [await asyncio.open_connection(address[0], int(address[1])) for _ in range(MOST_AT_ONCE + 10)]
        for _, writer in idle:
            writer.write(b"POST /in/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
            await writer.drain()
        answers = [await asyncio.wait_for(reader.readline(), 20) for reader, _ in idle]
        assert {answer.split()[1] for answer in answers} == {b"401"}, "before the body is read"
        assert await post(session, b"{}") == 202
        for _, writer in idle:
            writer.close()


async def test_headers_that_are_no_text_are_refused_and_what_a_request_says_of_itself_is_not_kept(
    started: Receiving,
) -> None:
    async with running(started) as session:
        address = started.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(address[0], int(address[1]))
        writer.write(
            b"POST /in/shop HTTP/1.1\r\nHost: a\r\nX-Signature: s3cret\xff\r\nContent-Length: 0\r\n\r\n"
        )
        assert (await asyncio.wait_for(reader.readline(), 20)).split()[1] == b"401"
        writer.close()
        told = {**signed(b"{}"), "Content-Type": "application/cloudevents+json", "traceparent": TRACEPARENT}
        assert await post(session, b"{}", headers=told) == 202
        (record,) = await started.records()
        assert dict(record.headers) == {"rw_webhook": b"shop"}
        assert "s3cret" not in started.said()


async def test_with_traces_on_the_trace_of_a_request_goes_with_its_record(started: Receiving) -> None:
    started.variables["RETURNWATCH_TRACES"] = "on"
    async with running(started) as session:
        told = [[TRACEPARENT], ["\u00e9"], [TRACEPARENT, TRACEPARENT.replace("01", "00")], []]
        for number, contexts in enumerate(told):
            body = b'{"n":%d}' % number
            headers = CIMultiDict(signed(body))
            for context in contexts:
                headers.add("Traceparent", context)
            assert await post(session, body, headers=headers) == 202
        found = {record.value: dict(record.headers) for record in await started.records()}
        own = {"rw_webhook": b"shop"}
        assert found.pop(b'{"n":0}') == {**own, "traceparent": TRACEPARENT.encode()}
        assert list(found.values()) == [own, own, own]


async def test_what_the_topic_does_not_take_is_too_large_and_holds_nothing_up(started: Receiving) -> None:
    started.topic_settings = {"max.message.bytes": "500"}
    async with running(started) as session:
        assert [await post(session, b"x" * 900), await post(session, b"{}")] == [413, 202]
        assert await started.bodies() == [b"{}"]


async def test_more_than_a_sender_may_is_put_off_and_what_is_signed_by_nobody_costs_it_nothing(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    receiving = Receiving(kafka.bootstrap_servers, tmp_path, per_second=0.01)
    async with running(receiving) as session:
        assert await post(session, b"{}", headers=signed(b"{}", "guess")) == 401
        assert [await post(session, b"{}"), await post(session, b"{}")] == [202, 429]
        metrics = receiving.said()
        assert "webhook_refused" in metrics
    assert receiving.stop() == 0


async def test_a_broker_that_is_away_is_no_promise(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        receiving = Receiving(kafka.bootstrap_servers, tmp_path)
        async with running(receiving) as session:
            assert await post(session, b"before") == 202
            kafka.kill()
            async with session.post("/in/shop", data=b"away", headers=signed(b"away")) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            kafka.start()
            end = monotonic() + 60
            while (status := await post(session, b"after")) != 202:
                assert (status, monotonic() < end) == (503, True)
            bodies = await receiving.bodies()
            assert {b"before", b"after"} <= set(bodies) <= {b"before", b"away", b"after"}
        assert receiving.stop() == 0


def test_a_topic_that_is_missing_is_told_before_anything_is_received(
    kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    receiving = Receiving(kafka.bootstrap_servers, tmp_path)
    answer = returnwatch("receive", str(receiving.file), "--bootstrap-servers", kafka.bootstrap_servers)
    assert answer.code == 1
    assert f"topic {receiving.topic} is missing" in answer.err
