"""`returnwatch demo`: a real broker, a worker, and a seeded month of a shop's returns in simulated time.

What was found is compared with what the simulated world knows to be true (simulation/oracle.py).
"""

import asyncio
import contextlib
import logging
import signal
from datetime import timedelta
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.live import Live

from agents.demo_apis import rows_of, show_apis
from agents.demo_options import DemoOptions
from agents.demo_player import Player
from agents.demo_setup import beside, demo_directory, demo_settings
from agents.demo_traffic import DemoTraffic, traffic_of
from agents.demo_view import DemoView, show_score
from agents.demo_worker import WorkerProcess
from agents.embedded_kafka import EmbeddedKafka
from agents.errors import BrokerUnreachableError, Finding
from agents.escalation_reader import EscalationReader
from agents.kafka_connection import open_admin
from agents.settings import Settings
from agents.topics import prepare_topics
from simulation.expect_feeds import expected_of_feeds
from simulation.feed_sight import Sight
from simulation.holds import holds
from simulation.oracle import expected
from simulation.outgoing import came_of_the_carrier
from simulation.scoreboard import Score, score
from simulation.terms import Terms

TOLERANCE_SECONDS = 8.0
"""A worker that is held up this long still finds the same."""
MOST_PATIENCE_SECONDS = 90.0
"""A machine that is busy with other things may hold it up longer; the comparison allows for it up to here."""
SAID_WITHIN_SECONDS = 2.0
"""So soon a worker says what is due. One that was held up may need as long again as it was, to catch up."""
DRAIN_SECONDS = 120.0
PLAIN_WIDTH = 100


def run_demo(options: DemoOptions, settings: Settings | None = None) -> int:
    """Run the demo. Returns 0 only if nothing was missed, false, early or late.

    Ctrl-C ends it in order: no process and no port stays behind.
    """
    with contextlib.ExitStack() as stack:
        console = Console()
        if not console.is_terminal:
            console = Console(width=PLAIN_WIDTH)
        traffic = traffic_of(options)
        if options.play_only:
            if settings is None or settings.simulated is None:
                raise BrokerUnreachableError(
                    [
                        Finding(
                            "--play-only", "needs the simulated clock of the worker", todo="set simulated_*"
                        )
                    ]
                )
            asyncio.run(Player(settings, traffic.sendings, settings.simulated).run())
            return 0
        directory = stack.enter_context(demo_directory(keep=options.keep))
        if options.bootstrap_servers:
            servers = options.bootstrap_servers
        else:
            # Append time on every topic: the oracle wants to know when the broker took each record.
            appended = {"log.message.timestamp.type": "LogAppendTime"}
            kafka = stack.enter_context(EmbeddedKafka(directory / "kafka", extra_properties=appended))
            servers = (kafka.bootstrap_servers,)
        run_settings = demo_settings(options, traffic, servers, directory)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return asyncio.run(_Demo(options, traffic, run_settings, directory, console).run())
        except KeyboardInterrupt:
            console.print("stopped")
            return 130


class _Demo:
    def __init__(
        self,
        options: DemoOptions,
        traffic: DemoTraffic,
        settings: Settings,
        directory: Path,
        console: Console,
    ) -> None:
        assert settings.simulated is not None
        self._options = options
        self._traffic = traffic
        self._world = world = traffic.world
        self._settings = settings
        self._clock = settings.simulated
        self._console = console
        self._worker = WorkerProcess(settings, directory / "worker.log")
        self._player = Player(settings, traffic.sendings, self._clock)
        self._reader = EscalationReader(settings, self._clock)
        self._reached_at = world.start_at
        self._held_up_seconds = 0.0

    async def run(self) -> int:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        async with open_admin(self._settings) as admin:
            await prepare_topics(admin, self._settings, inputs=True)
        try:
            return await beside(self._worker.supervise(), self._play())
        finally:
            await asyncio.to_thread(self._worker.stop)

    async def _play(self) -> int:
        self._console.print(
            f"{self._world.returns:,} returns, seed {self._world.seed}, {self._clock.speed:,.0f} x real time; "
            f"metrics: {self._worker.metrics_url}; Ctrl-C stops everything",
            soft_wrap=True,
        )
        view = DemoView(self._player, self._reader, self._worker)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            with Live(view, console=self._console, refresh_per_second=2, transient=True):
                await beside(self._reader.run(), self._to_the_end(session, view))
        with self._console.status("asking the simulated world what should have been found"):
            result = await asyncio.to_thread(
                self._score
            )  # takes a minute: the oracle reads every rule plainly
        if self._traffic.apis:
            show_apis(self._console, await asyncio.to_thread(rows_of, self._traffic))
        good = show_score(self._console, result, self._worker.starts)
        if self._held_up_seconds > TOLERANCE_SECONDS:
            held_up = (
                f"the worker was held up for {self._held_up_seconds:.0f} s, and the comparison allows for it"
            )
            self._console.print(held_up, markup=False)
        if self._options.once:
            return 0 if good else 1
        self._console.print("the worker goes on; Ctrl-C stops it")
        await asyncio.Event().wait()
        return 0

    async def _to_the_end(self, session: aiohttp.ClientSession, view: DemoView) -> None:
        await asyncio.gather(self._player.run(), self._until_watermark(session, view))
        await self._reader.to_end()

    async def _until_watermark(self, session: aiohttp.ClientSession, view: DemoView) -> None:
        """Return when every watermark has passed the end of the world."""
        give_up_at = self._world.until_at + timedelta(seconds=DRAIN_SECONDS * self._clock.speed)
        while True:
            mark = await self._worker.watermark(session)
            behind = (self._player.simulated_now() - self._reached_at).total_seconds() / self._clock.speed
            self._held_up_seconds = max(self._held_up_seconds, behind)
            self._reached_at = mark or self._reached_at
            view.watermark = mark or view.watermark
            if mark is not None and mark >= self._world.until_at:
                return
            if self._player.simulated_now() > give_up_at:
                raise BrokerUnreachableError(
                    [Finding("demo", "the worker's watermark does not move", todo=self._worker.last_lines())]
                )
            await asyncio.sleep(0.5)

    def _score(self) -> Score:
        patience_seconds = min(max(TOLERANCE_SECONDS, self._held_up_seconds + 1), MOST_PATIENCE_SECONDS)
        tolerance = timedelta(seconds=patience_seconds * self._clock.speed)
        said_within_seconds = min(max(SAID_WITHIN_SECONDS, self._held_up_seconds + 1), MOST_PATIENCE_SECONDS)
        terms, ledger, until_at = Terms(self._traffic.policy), self._player.ledger, self._world.until_at
        assert self._world.feed is not None
        sight = Sight(self._world.feed, self._reader.marks.blurred, came_of_the_carrier(ledger))
        cases = expected(ledger, terms, until_at, tolerance, holds(sight, terms))
        cases += expected_of_feeds(sight, terms, until_at)
        # The clock runs on while the end is awaited: what it brings is of no world.
        observed = [change for change in self._reader.observed if change.effective_at <= self._world.until_at]
        return score(
            cases,
            observed,
            bound=tolerance + timedelta(seconds=said_within_seconds * self._clock.speed),
        )
