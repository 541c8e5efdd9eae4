"""Webhooks in, records out: each request that is believed is written to its topic as it is, and answered when Kafka has it.

202 is a promise: the record is on every in-sync replica. Everything else says that it may be sent again; what was written and not
answered, because Kafka took too long, comes twice then, and facts do not mind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic, time

import structlog
from aiohttp import ClientPayloadError, web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiolimiter import AsyncLimiter
from prometheus_client import CollectorRegistry, Counter, Histogram

from schemas.webhooks import Webhook
from streams.traces import TRACEPARENT, read_traceparent
from streams.webhook_proofs import Claim, Request, claim_of, doubt

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 64
"""Requests of one webhook whose bodies are in memory at a time; more are answered 503."""
READ_SECONDS = 10.0
"""Who takes longer to send a body is a broken connection, or an attack."""
IDLE_SECONDS = 30
"""A connection on which nothing is asked is closed."""
QUIET_SECONDS = 60.0
"""Of requests that are not believed one is logged in so many seconds, by webhook and reason; the metrics count them all."""
WRITE_SECONDS = 20.0
RETRY_SECONDS = {429: "1", 503: "5"}
WEBHOOK_HEADER = "rw_webhook"


@dataclass(slots=True)
class Endpoint:
    """One sender as it is served."""

    webhook: Webhook
    secrets: tuple[bytes, ...]
    limiter: AsyncLimiter
    at_once: int = 0


class ReceiverMetrics:
    """What a receiver tells of itself. Labels are the names of the file, and outcomes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "returnwatch_webhook_requests",
            "Requests by webhook (`none`: there is no such) and outcome: accepted, refused_<why>, unknown, encoded, empty,"
            " too_large, too_many, busy, slow, broken_off, no_kafka.",
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
        self,
        endpoints: Mapping[str, Endpoint],
        producer: AIOKafkaProducer,
        metrics: ReceiverMetrics,
        *,
        traces: bool = False,
    ) -> None:
        """`traces`: a request's W3C context goes with its record."""
        self._endpoints = endpoints
        self._producer = producer
        self._metrics = metrics
        self._traces = traces
        self._logged: dict[tuple[str, str], float] = {}

    def app(self) -> web.Application:
        """The application: one route."""
        app = web.Application(middlewares=[_without_content])
        app.add_routes([web.post("/in/{name}", self._receive)])
        return app

    async def _receive(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            return self._refused("none", 404, "unknown", "no webhook has this name")
        headers = {key.lower(): value for key, value in request.headers.items()}
        claim = claim_of(endpoint.webhook, endpoint.secrets, headers, time())
        if isinstance(claim, str):
            return self._not_believed(name, claim)
        if endpoint.at_once >= MOST_AT_ONCE:
            return self._refused(name, 503, "busy", "too much at once: send it again")
        endpoint.at_once += 1
        try:
            return await self._taken(name, endpoint, request, claim)
        finally:
            endpoint.at_once -= 1

    async def _taken(self, name: str, endpoint: Endpoint, request: web.Request, claim: Claim) -> web.Response:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return self._refused(name, 415, "encoded", "send it without Content-Encoding")
        try:
            async with asyncio.timeout(READ_SECONDS):
                body = await _read(request, endpoint.webhook.max_bytes)
        except TimeoutError:
            return self._refused(name, 408, "slow", "the body took too long")
        except (ConnectionError, ClientPayloadError):
            return self._refused(name, 400, "broken_off", "the body ended too soon")
        if body is None:
            most = endpoint.webhook.max_bytes
            return self._refused(name, 413, "too_large", f"at most {most} bytes")
        asked = Request(request.method, request.raw_path, body)
        why = doubt(endpoint.webhook, endpoint.secrets, claim, asked)
        if why is not None:
            return self._not_believed(name, why)
        if not body:
            return self._refused(name, 400, "empty", "there is nothing in it")
        # Behind the proof: nobody else may use up what a sender has.
        if not endpoint.limiter.has_capacity():
            return self._refused(name, 429, "too_many", "too many requests: send it again")
        await endpoint.limiter.acquire()
        context = _context_of(request) if self._traces else []
        return await self._written(name, endpoint.webhook, body, context)

    async def _written(
        self, name: str, webhook: Webhook, body: bytes, context: list[tuple[str, bytes]]
    ) -> web.Response:
        topic, headers = webhook.topic, [(WEBHOOK_HEADER, name.encode()), *context]
        if webhook.content_type is not None:
            headers.append(("content-type", webhook.content_type.encode()))
        try:
            with self._metrics.seconds.time():
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._producer.send_and_wait(topic, body, headers=headers)
        except MessageSizeTooLargeError:
            log.warning("webhook_too_large_for_topic", webhook=name, topic=topic, bytes=len(body))
            return self._refused(name, 413, "too_large", "the topic takes no record of this size")
        except (KafkaError, TimeoutError) as error:
            log.warning("webhook_not_written", webhook=name, topic=topic, error=type(error).__name__)
            return self._refused(name, 503, "no_kafka", "it could not be stored: send it again")
        self._metrics.requests.labels(name, "accepted").inc()
        return _answer(202, "stored")

    def _refused(self, name: str, status: int, outcome: str, why: str) -> web.Response:
        self._metrics.requests.labels(name, outcome).inc()
        return _answer(status, why)

    def _not_believed(self, name: str, why: str) -> web.Response:
        now = monotonic()
        if now - self._logged.get((name, why), -QUIET_SECONDS) >= QUIET_SECONDS:
            self._logged[name, why] = now
            log.warning("webhook_refused", webhook=name, why=why)
        return self._refused(name, 401, f"refused_{why}", "not signed as it should be")


@web.middleware
async def _without_content(request: web.Request, handler: Handler) -> web.StreamResponse:
    """An error of ours is answered, and logged by its kind alone: its text may hold what was sent."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is
        log.error("webhook_failed", error=type(error).__name__)  # noqa: TRY400 - a traceback shows what was sent
        return _answer(500, "it could not be handled: send it again")


def _context_of(request: web.Request) -> list[tuple[str, bytes]]:
    """The trace that a request says it is in, as its record says it."""
    told = request.headers.getall(TRACEPARENT, [])
    context = read_traceparent(told[0].encode(errors="surrogateescape")) if len(told) == 1 else None
    return [(TRACEPARENT, context.header)] if context is not None else []


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
