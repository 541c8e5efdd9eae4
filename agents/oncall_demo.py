"""`make oncall-demo`: a carrier's feed falls silent for a day, and whoever is on call gets one page.

A real broker, a worker, Prometheus and Alertmanager with the shipped rules and routes, and a receiver. The simulated shop is
played until the carrier's backlog has come in. What would have been many alerts is held back, by the worker (what waits for the
carrier's scans) and by Alertmanager (what is only a consequence), and that is told, too.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp
from rich.console import Console
from rich.live import Live

from agents.alert_chain import AlertChain, Pace, alert_chain, find_programs
from agents.alert_receiver import AlertReceiver
from agents.browser_picture import find_chromium, take_picture
from agents.demo_options import DemoOptions
from agents.demo_player import Player
from agents.demo_setup import beside, demo_directory, demo_settings
from agents.demo_traffic import DemoTraffic, traffic_of
from agents.demo_worker import WorkerProcess
from agents.embedded_kafka import EmbeddedKafka
from agents.errors import Finding, UserError
from agents.kafka_connection import open_admin
from agents.oncall_night import Night
from agents.oncall_view import OncallView, night_as_html, show_night
from agents.settings import Settings
from agents.terminal import show_findings
from agents.topics import prepare_topics
from simulation.feed_story import FeedStory

RETURNS: Final = 920
"""Few enough that no rule opens a hundred cases within the quarter of an hour that the real Prometheus sees: no flood."""
DAYS: Final = 23.0
"""The carrier's week is learned in two weeks; the outage comes on the last day."""
SPEED: Final = 4_800.0
"""Simulated seconds per second: the outage, 26 hours, takes twenty seconds, and Prometheus sees most of them."""
SILENT_FOR: Final = timedelta(hours=4)
"""In the demo's policy, in place of half an hour: at this speed a machine that is busy for half a second makes the whole shop
silent for that long.
"""
AFTER_OUTAGE: Final = timedelta(hours=10)
"""The backlog comes in, and drains for at most six hours."""
PACE: Final = Pace(
    interval=timedelta(seconds=1),
    faster=300,
    group_wait=timedelta(seconds=1),
    # Feeds live by simulated time, workers by real time.
    only="returnwatch-feeds",
    # Shares of a real day's refunds: here a month's refunds pass in one evening.
    without=("returnwatch-slo-refund-promise-broken", "returnwatch-slo-statutory-deadline-missed"),
)
GIVE_UP_SECONDS: Final = 120.0
NO_PAGE_SECONDS: Final = 10.0
"""So long after the end a page may still be on its way."""
LOOK_SECONDS: Final = 0.5
PICTURE_SIZE: Final = "950,370"


class OncallDemoError(UserError):
    """The demo cannot go on."""


def run_oncall_demo(seed: int, picture: Path | None) -> int:
    """Play the outage. Returns 0 only if exactly the one page arrived, and was taken back. Ctrl-C ends everything in order."""
    find_programs()
    if picture is not None:
        find_chromium()
    console = Console()
    options = DemoOptions(once=True, returns=RETURNS, seed=seed, speed=SPEED, days=DAYS)
    traffic = traffic_of(options)
    policy = traffic.policy
    feeds = policy.feeds.model_copy(update={"silent_for": SILENT_FOR})
    traffic = traffic._replace(policy=policy.model_copy(update={"feeds": feeds}))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(demo_directory(keep=False))
        appended = {"log.message.timestamp.type": "LogAppendTime"}
        kafka = stack.enter_context(EmbeddedKafka(directory / "kafka", extra_properties=appended))
        settings = demo_settings(options, traffic, (kafka.bootstrap_servers,), directory)
        try:
            return asyncio.run(_OncallDemo(traffic, settings, directory, console, picture).run())
        except KeyboardInterrupt:
            console.print("stopped")
            return 130


class _OncallDemo:
    def __init__(
        self,
        traffic: DemoTraffic,
        settings: Settings,
        directory: Path,
        console: Console,
        picture: Path | None,
    ) -> None:
        assert settings.simulated is not None
        assert traffic.world.feed is not None
        self._settings = settings
        self._directory = directory
        self._console = console
        self._picture = picture
        self._story: FeedStory = traffic.world.feed
        self._until_at = self._story.backlog_until_at + AFTER_OUTAGE
        played = [one for one in traffic.sendings if one.appears_at <= self._until_at]
        self._worker = WorkerProcess(settings, directory / "worker.log")
        self._player = Player(settings, played, settings.simulated)
        self._night = Night(self._player.simulated_now())

    async def run(self) -> int:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        async with open_admin(self._settings) as admin:
            await prepare_topics(admin, self._settings, inputs=True)
        try:
            return await beside(self._worker.supervise(), self._beside_player())
        finally:
            await asyncio.to_thread(self._worker.stop)

    async def _beside_player(self) -> int:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            playing = asyncio.ensure_future(self._player.run())
            try:
                await self._until_worker_is_up(session)
                return await self._watch(session)
            finally:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)

    async def _until_worker_is_up(self, session: aiohttp.ClientSession) -> None:
        """Return when it knows the time: a Prometheus that came before it would call for a worker that only starts."""
        for _ in range(int(GIVE_UP_SECONDS / LOOK_SECONDS)):
            if await self._worker.watermark(session) is not None:
                return
            await asyncio.sleep(LOOK_SECONDS)
        raise OncallDemoError([Finding("worker", "does not start", todo=self._worker.last_lines())])

    async def _watch(self, session: aiohttp.ClientSession) -> int:
        target = f"{self._settings.metrics_host}:{self._settings.metrics_port}"
        with AlertReceiver() as receiver, contextlib.ExitStack() as stack:
            self._night.notices = receiver.notices
            chain = await asyncio.to_thread(
                stack.enter_context, alert_chain(self._directory / "alerts", [target], receiver.url, PACE)
            )
            self._console.print(
                f"a shop's three weeks, {SPEED:,.0f} x real time, in about "
                f"{(self._until_at - self._night.now).total_seconds() / SPEED / 60:.0f} minutes; look at\n"
                f"  {chain.prometheus_url}/alerts   {chain.alertmanager_url}   {self._worker.metrics_url}",
                soft_wrap=True,
                highlight=False,
            )
            view = OncallView(self._night, self._story)
            with Live(view, console=self._console, refresh_per_second=2, transient=True):
                await self._until_over(session, chain)
            show_night(self._console, self._night, self._story)
            if self._picture is not None:
                page = self._directory / "night.html"
                page.write_text(night_as_html(self._night, self._story), encoding="utf-8")
                await asyncio.to_thread(take_picture, page.as_uri(), self._picture, PICTURE_SIZE)
            return 0 if self._night.is_good(self._story.feed) and self._night.is_over() else 1

    async def _until_over(self, session: aiohttp.ClientSession, chain: AlertChain) -> None:
        give_up_at = self._until_at + timedelta(seconds=GIVE_UP_SECONDS * SPEED)
        night = self._night
        while night.now < give_up_at:
            night.now = self._player.simulated_now()
            night.watermark = await self._worker.watermark(session) or night.watermark
            night.note()
            await asyncio.to_thread(self._look, chain)
            if night.watermark is not None and night.watermark >= self._until_at:
                none_at = self._until_at + timedelta(seconds=NO_PAGE_SECONDS * SPEED)
                if night.is_over() or (not night.pages() and night.now > none_at):
                    return
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self, chain: AlertChain) -> None:
        held = chain.value("sum(returnwatch_held_waits)")
        self._night.held_waits = max(self._night.held_waits, int(held or 0))
        for alert in chain.held_back():
            labels = alert["labels"]
            self._night.held_back.add((labels["alertname"], labels.get("feed") or labels.get("rule", "")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it as `python -m agents.oncall_demo`."""
    parser = argparse.ArgumentParser(prog="make oncall-demo", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--picture", type=Path, help="keep a picture of what arrived (PNG; needs Chromium)")
    options = parser.parse_args(arguments)
    try:
        return run_oncall_demo(options.seed, options.picture)
    except UserError as error:
        show_findings(error.findings)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
