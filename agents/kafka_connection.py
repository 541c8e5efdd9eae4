"""Connections of the commands to Kafka: short-lived; an error says which address failed and why."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)

from agents.durations import duration_text
from agents.errors import BrokerRefusedError, BrokerUnreachableError, Finding
from agents.kafka_security import client_arguments
from agents.settings import Settings
from agents.terminal import say

T = TypeVar("T")
CONNECT_TIMEOUT = timedelta(seconds=5)
RETRY_PAUSE_S = 1.0
AUTHENTICATION_ERRORS = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
AUTHORIZATION_ERRORS = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; Kafka's own chatter is left out, its errors come back as ours."""
    chatty = [logging.getLogger(name) for name in ("aiokafka", "asyncio")]
    before = [logger.level for logger in chatty]
    try:
        for logger in chatty:
            logger.setLevel(logging.CRITICAL)
        return asyncio.run(_translated(work))
    finally:
        for logger, level in zip(chatty, before, strict=True):
            logger.setLevel(level)


async def reachable(settings: Settings, wait: timedelta = timedelta(0)) -> None:
    """Return when a broker answers at one of the addresses.

    Args:
        settings: Where and how.
        wait: How long to go on asking; each failed round is told on standard error.

    Raises:
        BrokerUnreachableError: none answered in time; one finding for each address.
        BrokerRefusedError: one answered and refused the user.
    """
    arguments = client_arguments(settings)
    started = time.monotonic()
    told = False
    while True:
        findings = await _failures(settings, arguments)
        if not findings:
            return
        if time.monotonic() - started + RETRY_PAUSE_S > wait.total_seconds():
            raise BrokerUnreachableError(findings)
        if not told:
            say(f"waiting up to {duration_text(wait)} for Kafka: {findings[0].where}: {findings[0].what}")
            told = True
        await asyncio.sleep(RETRY_PAUSE_S)


@contextlib.asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client that is connected."""
    admin = AIOKafkaAdminClient(**client_arguments(settings), request_timeout_ms=20_000)
    try:
        await admin.start()
        yield admin
    finally:
        await _stop(admin.close)


async def partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Every topic that this user may see -> its partitions."""
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


@contextlib.asynccontextmanager
async def open_consumer(settings: Settings, **arguments: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group: it reads, and leaves no trace on the broker."""
    consumer = AIOKafkaConsumer(
        **client_arguments(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        **arguments,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await _stop(consumer.stop)


@contextlib.asynccontextmanager
async def open_producer(settings: Settings, **arguments: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that waits for every in-sync replica; idempotent, if nothing else is said."""
    producer = AIOKafkaProducer(
        **client_arguments(settings), **{"enable_idempotence": True, "acks": "all", **arguments}
    )
    try:
        await producer.start()
        yield producer
    finally:
        await _stop(producer.stop)


async def _stop(stop: Callable[[], Awaitable[None]]) -> None:
    """Stop a client. One without a group may raise the CancelledError of its own inner task: not ours."""
    task = asyncio.current_task()
    try:
        await stop()
    except asyncio.CancelledError:
        if task is not None and task.cancelling():
            raise


async def _failures(settings: Settings, arguments: dict[str, Any]) -> list[Finding]:
    findings = []
    for address in settings.bootstrap_servers:
        finding = await _failure(address, settings, arguments)
        if finding is None:
            return []
        findings.append(finding)
    return findings


async def _failure(address: str, settings: Settings, arguments: dict[str, Any]) -> Finding | None:
    """What is wrong with one address, or None. aiokafka's clients tell it to their log only."""
    host, _, port = address.rpartition(":")
    own = {name: value for name, value in arguments.items() if name != "bootstrap_servers"}
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT.total_seconds()):
            connection = await create_conn(host, int(port), request_timeout_ms=5_000, **own)
    except AUTHENTICATION_ERRORS as error:
        todo = "check user name, password and mechanism; `returnwatch settings` shows what is used"
        what = (
            f"the broker refused user {settings.sasl_username!r} ({settings.sasl_mechanism}): {_words(error)}"
        )
        raise BrokerRefusedError([Finding(address, what, todo=todo)]) from error
    except (OSError, KafkaError, TimeoutError) as error:
        return _unreachable(address, error, settings)
    connection.close()
    return None


def _unreachable(address: str, error: Exception, settings: Settings) -> Finding:
    protocol = settings.security_protocol
    words = _words(error)
    if isinstance(error.__cause__ or error, asyncio.IncompleteReadError):
        what = f"something answered, but not in the Kafka protocol ({protocol})"
        todo = "is this a Kafka listener, and does it speak this security protocol?"
    elif isinstance(error, TimeoutError):
        what = f"no answer within {duration_text(CONNECT_TIMEOUT)} ({protocol})"
        todo = "check the address, the firewall, and that the listener speaks this security protocol"
    elif "ALERT" in words:  # how the other side ends a handshake
        what = f"the broker refused our certificate, or that there is none: {words}"
        todo = (
            "give --ssl-certificate-file and --ssl-key-file: a certificate that the brokers' authority signed, and its key; "
            "or the address of a listener that asks for none"
        )
    elif "CERTIFICATE" in words or "SSL" in words:
        what = f"TLS failed: {words}"
        todo = "give --ssl-ca-file of the authority that signed it, and check that the listener speaks TLS"
    elif isinstance(error, KafkaError) and not isinstance(error, KafkaConnectionError):
        what = f"the connection was closed by the other side ({protocol}): {words}"
        todo = "is this a Kafka listener, and does it speak this security protocol?"
    else:
        what = f"cannot connect: {words}"
        todo = "start Kafka there, or give its address with --bootstrap-servers HOST:PORT"
    return Finding(address, what, todo=todo)


def _words(error: BaseException) -> str:
    inner = error.__cause__ or error
    if isinstance(inner, ConnectionRefusedError):
        return "connection refused"
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return text.splitlines()[0]


async def _translated(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    except (*AUTHORIZATION_ERRORS, *AUTHENTICATION_ERRORS) as error:
        todo = (
            "give this user the right: docs/kafka-security.md says what each program needs, and "
            "`returnwatch check --connect` which of a worker's rights are missing"
        )
        raise BrokerRefusedError([Finding("Kafka", f"not allowed: {_words(error)}", todo=todo)]) from error
    except KafkaConnectionError as error:
        todo = "check the brokers and the network, then run the command again"
        finding = Finding("Kafka", f"the connection was lost: {_words(error)}", todo=todo)
        raise BrokerUnreachableError([finding]) from error
    except BrokerResponseError as error:
        raise BrokerRefusedError([Finding("Kafka", f"the broker answered: {_words(error)}")]) from error
    except KafkaError as error:
        todo = "is the cluster healthy? Then run the command again"
        raise BrokerUnreachableError([Finding("Kafka", _words(error), todo=todo)]) from error
