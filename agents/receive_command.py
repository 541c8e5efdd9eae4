"""`returnwatch receive`: reads the webhooks' file, and serves until it is told to stop."""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import structlog
from aiohttp import web
from aiolimiter import AsyncLimiter
from prometheus_client import CollectorRegistry
from rich.table import Table

from agents.errors import Finding, SettingsError, TopicsError, did_you_mean
from agents.health import HealthServer, Liveness, Readiness, health_app, listening_at
from agents.kafka_connection import open_admin, open_producer, partition_counts, reachable, run
from agents.logging_setup import configure_logging
from agents.receiver import IDLE_SECONDS, Endpoint, Receiver, ReceiverMetrics
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import out, say
from schemas.topics import InputKind
from schemas.webhooks import Signing, Webhook, Webhooks
from schemas.yaml_models import ModelError, model_from_yaml
from streams.notify_bodies import secret_bytes

log = structlog.get_logger(__name__)

WAIT_FOR_BROKER = timedelta(seconds=30)
STOP_SECONDS = 35.0
"""Longer than reading and writing may take: whoever waits for an answer gets it."""
LARGEST_REQUEST_BYTES = 4 * 1024 * 1024
"""A record is its body and some bytes around it."""


class ReceiveOptions(NamedTuple):
    """What was asked for."""

    file: Path
    host: str
    port: int
    check: bool


def receive(flags: Mapping[str, object], options: ReceiveOptions) -> int:
    """Serve, or only check the file. Raises UserError for what the user can mend."""
    settings = load_settings(flags)
    webhooks = webhooks_of(options.file, settings)
    if options.check:
        _show(webhooks, os.environ)
        return 0
    endpoints = endpoints_of(webhooks, os.environ, str(options.file))
    configure_logging(settings.log_format, settings.log_level)
    # It writes what it could not read, whole headers and with them secrets.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    return run(_serve(settings, endpoints, options))


def webhooks_of(file: Path, settings: Settings) -> dict[str, Webhook]:
    """The webhooks of a file. Raises SettingsError with everything that is wrong."""
    try:
        told = model_from_yaml(Webhooks, file.read_text(encoding="utf-8"), str(file))
    except ModelError as error:
        raise SettingsError(
            [Finding(one.where, one.what, todo=one.todo) for one in error.findings]
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
        raise SettingsError([Finding(str(file), what, todo="correct the path, or the file")]) from error
    findings = [
        Finding(
            f"{file}: {name}",
            f"topic {webhook.topic} is one of Returnwatch's own, or of people's commands",
            "nobody outside may write there",
            "name an input topic of orders, labels, scans or warehouse events",
        )
        for name, webhook in told.webhooks.items()
        if webhook.topic in _closed_topics(settings)
    ]
    if findings:
        raise SettingsError(findings)
    return dict(told.webhooks)


def _closed_topics(settings: Settings) -> set[str]:
    names = settings.topics
    own = {getattr(names, field.name) for field in fields(names) if field.name != "inputs"}
    return own | set(names.inputs[InputKind.COMMANDS])


def endpoints_of(
    webhooks: Mapping[str, Webhook], environ: Mapping[str, str], filename: str
) -> dict[str, Endpoint]:
    """The webhooks with their secrets. Raises SettingsError with all that are missing."""
    findings = [
        Finding(
            f"{filename}: {name}",
            f"there is no environment variable {variable}, or it is empty",
            "without its secret nothing of this sender could be believed",
            f"set {variable} to the secret that the sender signs with",
        )
        for name, webhook in webhooks.items()
        for variable in webhook.secrets
        if not environ.get(variable, "").strip()
    ]
    if findings:
        raise SettingsError(findings)
    return {name: _endpoint(webhook, environ) for name, webhook in webhooks.items()}


def _endpoint(webhook: Webhook, environ: Mapping[str, str]) -> Endpoint:
    secrets = tuple(key for variable in webhook.secrets for key in _keys(environ[variable], webhook.signing))
    # What comes at once after a pause is a second's worth.
    return Endpoint(
        webhook, secrets, AsyncLimiter(max(1.0, webhook.per_second), max(1.0, 1 / webhook.per_second))
    )


def _keys(secret: str, signing: Signing | None) -> tuple[bytes, ...]:
    """Standard Webhooks writes keys in base64 behind `whsec_`; a secret that only begins so is a text."""
    if signing is None or signing.id_header is None:
        return (secret.encode(),)
    try:
        return (secret_bytes(secret),)
    except ValueError:
        return (secret.encode(),)


def _show(webhooks: Mapping[str, Webhook], environ: Mapping[str, str]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("address", "topic", "proof", "not older than", "secrets"):
        table.add_column(column)
    for name, webhook in webhooks.items():
        there = sum(bool(environ.get(variable, "").strip()) for variable in webhook.secrets)
        signing = webhook.signing
        proof = _proof(signing) if signing else f"the secret in {webhook.token_header}"
        age = f"{signing.max_age.total_seconds():.0f} s" if signing and signing.is_timed else "any"
        table.add_row(f"/in/{name}", webhook.topic, proof, age, f"{there} of {len(webhook.secrets)} set")
    out.print(table)


def _proof(signing: Signing) -> str:
    return f"HMAC-{signing.algorithm.upper()} in {signing.header}"


async def _serve(settings: Settings, endpoints: Mapping[str, Endpoint], options: ReceiveOptions) -> int:
    await reachable(settings, WAIT_FOR_BROKER)
    await _have_topics(settings, endpoints)
    registry, readiness = CollectorRegistry(), Readiness()
    health = HealthServer(
        health_app(registry, Liveness(monotonic), readiness), settings.metrics_host, settings.metrics_port
    )
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    # Not idempotent: twice does no harm, and no batch that failed can hold up those behind it.
    async with open_producer(
        settings, enable_idempotence=False, max_request_size=LARGEST_REQUEST_BYTES
    ) as producer:
        traces = settings.traces == "on"
        app = Receiver(endpoints, producer, ReceiverMetrics(registry), traces=traces).app()
        # Signatures are of the bytes that were sent.
        runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            shutdown_timeout=STOP_SECONDS,
            keepalive_timeout=IDLE_SECONDS,
        )
        await runner.setup()
        try:
            metrics_url = await health.start()
            with listening_at(options.host, options.port, "--port and --host"):
                await web.TCPSite(runner, options.host, options.port).start()
            readiness.has("start")
            host, port = runner.addresses[0][:2]
            log.info(
                "receiving", url=f"http://{host}:{port}", metrics=metrics_url, webhooks=sorted(endpoints)
            )
            say(f"receiving at http://{host}:{port}/in/NAME")
            await stop.wait()
            readiness.waits_for("stop", "the receiver is stopping")
        finally:
            await runner.cleanup()
            await health.stop()
    return 0


async def _have_topics(settings: Settings, endpoints: Mapping[str, Endpoint]) -> None:
    """Return when every topic is there. Raises TopicsError with all that are not."""
    async with open_admin(settings) as admin:
        known = await partition_counts(admin)
    missing = [
        Finding(
            f"/in/{name}",
            f"topic {endpoint.webhook.topic} is missing",
            "what is received must have a place before it is answered",
            did_you_mean(endpoint.webhook.topic, known)
            or "create it, and name it in the settings as an input",
        )
        for name, endpoint in endpoints.items()
        if endpoint.webhook.topic not in known
    ]
    if missing:
        raise TopicsError(missing)
