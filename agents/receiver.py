"""Webhooks in, records out: each request that is believed is written to its topic as it is, and answered when Kafka has it.

202 is a promise: the record is on every in-sync replica. Everything else says that it may be sent again; what was written and not
answered, because Kafka took too long, comes twice then, and facts do not mind.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import time

import structlog
from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiolimiter import AsyncLimiter
from prometheus_client import CollectorRegistry, Counter, Histogram

from schemas.webhooks import Webhook
from streams.webhook_proofs import Request, doubt

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 256
"""Requests whose bodies are in memory at a time; more are answered 503."""
READ_SECONDS = 10.0
"""Who takes longer to send a body is a broken connection, or an attack."""
WRITE_SECONDS = 20.0
RETRY_SECONDS = {429: "1", 503: "5"}
WEBHOOK_HEADER = "rw_webhook"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One sender as it is served."""

    webhook: Webhook
    secrets: tuple[bytes, ...]
    limiter: AsyncLimiter


class ReceiverMetrics:
    """What a receiver tells of itself. Labels are the names of the file, and outcomes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "returnwatch_webhook_requests",
            "Requests by webhook and outcome: accepted, refused_<why>, too_large, too_many, busy, slow, no_kafka.",
            ["webhook", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "returnwatch_webhook_write_seconds",
            "How long Kafka took to take a request.",
            registry=registry,
        )


class Receiver:
    """Answers `POST /in/NAME`."""

    def __init__(
        self, endpoints: Mapping[str, Endpoint], producer: AIOKafkaProducer, metrics: ReceiverMetrics
    ) -> None:
        self._endpoints = endpoints
        self._producer = producer
        self._metrics = metrics
        self._at_once = 0

    def app(self) -> web.Application:
        """The application: one route. Bodies are read in parts, so its own limit is the largest of all."""
        most_bytes = max(endpoint.webhook.max_bytes for endpoint in self._endpoints.values())
        app = web.Application(client_max_size=most_bytes)
        app.add_routes([web.post("/in/{name}", self._receive)])
        return app

    async def _receive(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            return _answer(404, "no webhook has this name")
        if self._at_once >= MOST_AT_ONCE:
            return self._refused(name, 503, "busy", "too much at once: send it again")
        self._at_once += 1
        try:
            return await self._taken(name, endpoint, request)
        finally:
            self._at_once -= 1

    async def _taken(self, name: str, endpoint: Endpoint, request: web.Request) -> web.Response:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return self._refused(name, 415, "encoded", "send it without Content-Encoding")
        try:
            async with asyncio.timeout(READ_SECONDS):
                body = await _read(request, endpoint.webhook.max_bytes)
        except TimeoutError:
            return self._refused(name, 408, "slow", "the body took too long")
        if body is None:
            most = endpoint.webhook.max_bytes
            return self._refused(name, 413, "too_large", f"at most {most} bytes")
        headers = {key.lower(): value for key, value in request.headers.items()}
        asked = Request(request.method, request.raw_path, headers, body)
        why = doubt(endpoint.webhook, endpoint.secrets, asked, time())
        if why is not None:
            return self._refused(name, 401, f"refused_{why}", "not signed as it should be")
        if not body:
            return self._refused(name, 400, "empty", "there is nothing in it")
        # Behind the proof: nobody else may use up what a sender has.
        if not endpoint.limiter.has_capacity():
            return self._refused(name, 429, "too_many", "too many requests: send it again")
        await endpoint.limiter.acquire()
        return await self._written(name, endpoint.webhook.topic, body, headers.get("content-type", ""))

    async def _written(self, name: str, topic: str, body: bytes, content_type: str) -> web.Response:
        headers = [(WEBHOOK_HEADER, name.encode()), ("content-type", content_type.encode())]
        try:
            with self._metrics.seconds.time():
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._producer.send_and_wait(topic, body, headers=headers)
        except (KafkaError, TimeoutError) as error:
            log.warning("webhook_not_written", webhook=name, topic=topic, error=type(error).__name__)
            return self._refused(name, 503, "no_kafka", "it could not be stored: send it again")
        self._metrics.requests.labels(name, "accepted").inc()
        return _answer(202, "stored")

    def _refused(self, name: str, status: int, outcome: str, why: str) -> web.Response:
        self._metrics.requests.labels(name, outcome).inc()
        if status == 401:
            log.warning("webhook_refused", webhook=name, why=outcome)
        return _answer(status, why)


async def _read(request: web.Request, most: int) -> bytes | None:
    """The body; None: it is larger."""
    if request.content_length is not None and request.content_length > most:
        return None
    body = bytearray()
    async for part in request.content.iter_chunked(65_536):
        body += part
        if len(body) > most:
            return None
    return bytes(body)


def _answer(status: int, text: str) -> web.Response:
    headers = {"Retry-After": RETRY_SECONDS[status]} if status in RETRY_SECONDS else None
    return web.Response(status=status, text=text + "\n", headers=headers)
