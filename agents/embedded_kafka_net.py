"""Ports of the embedded Kafka on the loopback address, and the question whether it is ready."""

from __future__ import annotations

import secrets
import socket
import struct

from agents.embedded_kafka_jars import EmbeddedKafkaUnavailable

HOST = "127.0.0.1"
# Below the range the kernel gives to outgoing connections, so that none of those takes our port in a restart.
_PORT_RANGE = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka does: TIME_WAIT counts as free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port(preferred: int, *, other_than: int = 0) -> int:
    """Return the preferred port if it is free and not 0, else any free one.

    Raises:
        EmbeddedKafkaUnavailable: every one that was tried is taken.
    """
    if preferred and preferred != other_than and is_free(preferred):
        return preferred
    for _ in _PORT_RANGE:
        port = secrets.choice(_PORT_RANGE)
        if port != other_than and is_free(port):
            return port
    raise EmbeddedKafkaUnavailable("there is no free port.", f"all tried between {_PORT_RANGE} are taken.")


def port_taken(port: int) -> EmbeddedKafkaUnavailable:
    """Return the error that tells of a port that was asked for and is in use."""
    return EmbeddedKafkaUnavailable(
        f"port {port} is taken.",
        f"another process listens on {HOST}:{port}: perhaps a broker that was started earlier.",
        f"stop it (`ss -ltnp 'sport = :{port}'` names it), or give another port, or 0 for any free one.",
    )


def is_ready(port: int) -> bool:
    """Ask the broker for its metadata (version 1, no topics): it is ready when it names a broker, itself."""
    request = struct.pack(">hhihi", 3, 1, 1, -1, 0)
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as answer:
                _size, _correlation, brokers = struct.unpack(">iii", answer.read(12))
    except (OSError, struct.error):
        return False
    return bool(brokers > 0)
