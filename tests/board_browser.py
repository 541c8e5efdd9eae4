"""A board on a port of its own, and the browser that looks at it: for tests and screenshots."""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from aiohttp import web
from playwright.sync_api import Browser, sync_playwright
from prometheus_client import CollectorRegistry

from agents.board.app import board_app
from agents.board.index_reading import IndexReader
from agents.board.pages_of_telling import Teller
from agents.board.security import Keeper
from agents.board.site import Site
from agents.health import Liveness, Readiness
from tests.board_shop import ENDED_AT

TOKEN = "a token of more than sixteen characters"  # noqa: S105 - of tests
CHROMIUM = shutil.which("chromium")
WITHOUT_CHROMIUM = "chromium is not here: apt-get install chromium"


class Following:
    """What a follower tells of itself that has read everything."""

    silent_since: datetime | None = None
    read_share: float | None = None


@contextmanager
def serving(file: Path, teller: Teller | None = None) -> Iterator[str]:
    """A board that serves this index at the address it gives, until the block ends."""
    address, stop, ready = "", asyncio.Event(), threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        nonlocal address
        keeper = Keeper(TOKEN) if teller else None
        site = Site(IndexReader(file), Following(), keeper, clock=lambda: ENDED_AT)
        app = board_app(site, CollectorRegistry(), Liveness(lambda: 0.0), Readiness(), teller)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(60), "it does not serve"
        yield address
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's browser, without a window."""
    # Its sandbox wants a user that is not root; it sees nothing but pages of ours.
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*arguments, "--disable-gpu"])
        yield browser
        browser.close()
