"""`returnwatch board`: follows the output topics into an index, and serves it until it is told to stop."""

import asyncio
import logging
import signal
import sqlite3
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from agents.board.app import board_app
from agents.board.following import Follower, FollowerMetrics
from agents.board.index_reading import IndexReader
from agents.board.pages_of_telling import Teller
from agents.board.security import Keeper, own_names
from agents.board.site import Site
from agents.commanding import Written, send
from agents.errors import Finding, SettingsError
from agents.health import Liveness, Readiness, listening_at
from agents.kafka_connection import run
from agents.kafka_security import secret_text
from agents.logging_setup import configure_logging
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import say
from schemas.command_answers import CommandAnswer

log = structlog.get_logger(__name__)

WAIT_FOR_ANSWER: Final = timedelta(seconds=10)
STOP_SECONDS: Final = 15.0
IDLE_SECONDS: Final = 30
LEAST_TOKEN_CHARS: Final = 16


def board(flags: Mapping[str, object], *, rebuild: bool) -> int:
    """Serve. Raises UserError for what the user can mend."""
    settings = load_settings(flags)
    token = token_of(settings)
    configure_logging(settings.log_format, settings.log_level)
    # It writes what it could not read, whole headers and with them cookies.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    file = settings.data_dir / "board" / "index.sqlite"
    try:
        return run(_serve(settings, file, token, rebuild=rebuild))
    except (sqlite3.Error, OSError) as error:
        raise SettingsError([_of_the_file(file, error)]) from error


def token_of(settings: Settings) -> str:
    """The token; "": the board is read-only. Raises SettingsError for one that could be guessed."""
    token = secret_text(settings.board_token, settings.board_token_file, "board_token_file")
    if 0 < len(token) < LEAST_TOKEN_CHARS or (settings.board_token_file is not None and not token):
        what = f"holds a token of {len(token)} characters"
        why = "whoever guesses it can close cases"
        todo = f"give {LEAST_TOKEN_CHARS} or more; `openssl rand -hex 32` makes one"
        raise SettingsError([Finding("board_token_file", what, why, todo)])
    return token


async def _serve(settings: Settings, file: Path, token: str, *, rebuild: bool) -> int:
    registry, readiness = CollectorRegistry(), Readiness()
    reader = IndexReader(file)
    follower = Follower(settings, file, reader, readiness, FollowerMetrics(registry))
    site = Site(reader, follower, Keeper(token) if token else None)
    host, _, port = settings.board_listen.rpartition(":")
    teller = _teller(settings) if token else None
    runner = web.AppRunner(
        board_app(site, registry, Liveness(monotonic), readiness, teller, own_names(host)),
        access_log=None,
        shutdown_timeout=STOP_SECONDS,
        keepalive_timeout=IDLE_SECONDS,
    )
    await runner.setup()
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    try:
        with listening_at(host, int(port), "--listen"):
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        host, number = runner.addresses[0][:2]
        log.info("board_serves", url=f"http://{host}:{number}", can_tell=bool(token))
        say(f"the board is at http://{host}:{number}")
        readiness.has("start")
        await _follow(follower.run(rebuild=rebuild), stop)
    finally:
        await runner.cleanup()
    return 0


def _teller(settings: Settings) -> Teller:
    """Tells a worker, and waits for its answer. Raises SettingsError: there is nowhere to tell it."""
    if not settings.commands_topics:
        todo = "name the topic that the workers read commands from, or give no token"
        raise SettingsError([Finding("--commands-topic", "there is none", todo=todo)])

    async def tell(written: Written) -> CommandAnswer | None:
        return (await send(settings, [written], WAIT_FOR_ANSWER)).get(written.command_id)

    return tell


async def _follow(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Follow until `stop`; what ends the following before that is raised."""
    following = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if following.done():
        following.result()
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


def _of_the_file(file: Path, error: Exception) -> Finding:
    todo = (
        "see that there is room and that it may be written; `--rebuild` begins a new one, and loses nothing"
    )
    return Finding(
        str(file), f"the index cannot be used: {error}", "the board keeps what it shows in it", todo
    )
