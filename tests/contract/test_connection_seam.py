"""What a client does when its connection is lost under uvloop, and what agents/transport.py makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from agents import transport

pytestmark = pytest.mark.seam("chunk transport", adr="0002-engine-seams-on-faust")


@pytest.fixture
def mended() -> Iterator[None]:
    transport.install()
    yield
    transport.uninstall()


async def _lost_connection() -> AIOKafkaConnection:
    """A connection whose transport is closed, and whose reader does not say so: it ended with an error."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    connection = AIOKafkaConnection(host, port)
    connection._versions = {3: (0, 8)}
    connection._reader, connection._writer = await asyncio.open_connection(host, port)
    connection._writer.transport.abort()
    connection._read_task = asyncio.create_task(asyncio.sleep(60))  # it would notice, a moment later
    server.close()
    await asyncio.sleep(0.01)
    return connection


def _send_on_a_lost_connection() -> type[Exception] | None:
    async def attempt() -> type[Exception] | None:
        connection = await _lost_connection()
        try:
            connection.send(MetadataRequest([]))
        except (RuntimeError, KafkaConnectionError) as error:
            return type(error)
        return None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(attempt())


def test_uvloop_answers_a_write_on_a_lost_connection_with_an_error_of_its_own() -> None:
    """If this fails, uvloop has changed: the mend may be superfluous."""
    assert _send_on_a_lost_connection() is RuntimeError


def test_a_lost_connection_is_a_kafka_error_to_every_client(mended: None) -> None:
    assert _send_on_a_lost_connection() is KafkaConnectionError


def test_the_metadata_task_survives_a_lost_connection(mended: None) -> None:
    """It has no guard of its own, and a producer whose metadata task has died waits for ever."""

    async def attempt() -> bool:
        client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
        lost = await _lost_connection()
        client._conns["bootstrap", 0] = lost
        client._get_conn = lambda _node, **_named: asyncio.sleep(0, lost)
        client.cluster.brokers = lambda: [type("Broker", (), {"nodeId": 1})]
        return bool(await client._metadata_update(client.cluster, ["orders"]))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(attempt()) is False
