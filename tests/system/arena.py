"""An arena: an own broker, some workers, a simulated world that is played to them, and troubles on a schedule.

At the end everything is read back from the topics alone and compared with what the world knows to be true. How long the
workers stood still is measured, in the changelogs, and given to the oracle: a slow machine changes no outcome.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from agents.demo_player import Player
from agents.embedded_kafka import EmbeddedKafka
from agents.engine import EXIT_FENCED
from agents.kafka_connection import open_admin, open_producer
from agents.settings import Settings, SimulatedTime
from agents.topics import prepare_topics
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from schemas.topics import InputKind
from simulation.api_traffic import native
from simulation.feed_story import FeedStory, feeds_for_policy
from simulation.happenings import SimEvent
from simulation.ledger import LedgerEvent
from simulation.warehouse import policy_of_this_world
from simulation.world import World
from streams.epoch import moment_of
from tests.chaos.processes import ROOT, WorkerProcess
from tests.system.altered_worker import ALTERATIONS_VARIABLE, GATES_VARIABLE
from tests.system.outcome import Outcome, read_outcome

START_SECONDS = 10.0
"""The simulated clock starts this long after the workers do."""
PATIENCE_SECONDS = 180.0
"""How long the watermark may need, on the slowest of machines, to pass a moment that has come."""
KILLED = -9


def append_time_broker(directory: Path) -> EmbeddedKafka:
    """A broker, not started, that stamps every record of every topic: the oracle wants to know when each was taken."""
    return EmbeddedKafka(
        directory,
        extra_properties={"log.message.timestamp.type": "LogAppendTime"},
        jvm_options=("-Xmx512m", "-XX:TieredStopAtLevel=1"),
    )


@dataclass(frozen=True, slots=True)
class Show:
    """What is played, and how fast. Times are aware, in simulated time."""

    events: Sequence[SimEvent]
    starts_at: datetime
    until_at: datetime
    speed: float
    """Simulated seconds per second."""
    policy: Policy | None = None
    """None: the default policy, with the calendars of the simulated warehouses."""
    feed: FeedStory | None = None
    """What happens to the feed that is watched, if one is."""

    @classmethod
    def of(cls, world: World, days: float, seconds: float) -> Show:
        """The first days of a world, in so many seconds."""
        until_at = world.start_at + timedelta(days=days)
        events = [event for event in world.events if event.appears_at < until_at]
        speed = timedelta(days=days).total_seconds() / seconds
        return cls(events, world.start_at, until_at, speed, feed=world.feed)

    @property
    def terms_policy(self) -> Policy:
        """The policy that workers and oracle go by."""
        feeds = feeds_for_policy() if self.feed is not None else None
        return self.policy or policy_of_this_world(default_policy(), feeds)

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return (self.until_at - self.starts_at).total_seconds() / self.speed


class Member(WorkerProcess):
    """A worker of the arena: `returnwatch worker`, or the same with alterations (tests/system/altered_worker.py)."""

    def __init__(self, settings: Settings, directory: Path, alterations: Sequence[str] = ()) -> None:
        super().__init__(settings, directory)
        self.alterations = tuple(alterations)
        self.gates = directory / "gates"
        """See `gated` in tests/system/altered_worker.py."""
        self.gates.mkdir(exist_ok=True)
        self.wanted = False
        """Whether it is started again when it ends."""
        self.starts = 0

    def start(self, plan: object = None) -> None:
        """Start the process; from now on it is wanted."""
        del plan
        module = ("tests.system.altered_worker",) if self.alterations else ("agents", "worker")
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT,
                env={
                    **os.environ,
                    **self.settings.environment(),
                    ALTERATIONS_VARIABLE: ",".join(self.alterations),
                    GATES_VARIABLE: str(self.gates),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wanted = True
        self.starts += 1


class Arena:
    """One installation with its workers. Several may share a broker: each has topics of its own."""

    def __init__(
        self,
        broker: EmbeddedKafka,
        directory: Path,
        show: Show,
        *,
        name: str = "arena",
        workers: int = 1,
        alterations: Sequence[str] = (),
    ) -> None:
        self.broker, self.show, self.name = broker, show, name
        self._directory = directory / name
        self.settings = self._settings()
        clock = self.settings.simulated
        assert clock is not None
        self.clock: SimulatedTime = clock
        self.members = [
            Member(self.settings, self._directory / f"{name}-w{number}", alterations)
            for number in range(workers)
        ]
        self.player = Player(self.settings, native(show.events), clock)
        self.exits: list[int] = []
        self.last_words: list[str] = []
        """What workers said that ended by themselves, and not because they were fenced."""
        self.said: list[LedgerEvent] = []
        """What `say` has written."""
        self.ledger: list[LedgerEvent] = []
        """Every input record; complete when `play` has returned."""
        self.until_at = show.until_at
        """The end of the world: that of the show, or later if the troubles took longer."""

    def _settings(self) -> Settings:
        self._directory.mkdir(parents=True)
        policy_file = self._directory / "policy.json"
        policy_file.write_text(self.show.terms_policy.model_dump_json(indent=1), encoding="utf-8")
        inputs = {
            f"{kind}_topics": (f"{self.name}-{kind}",)
            for kind in ("orders", "labels", "scans", "warehouse", "commands")
        }
        arguments: dict[str, Any] = {
            "bootstrap_servers": (self.broker.bootstrap_servers,),
            "app_id": self.name,
            "topic_prefix": f"{self.name}-",
            "session_timeout": timedelta(seconds=6),
            "parcels_partitions": 4,
            "returns_partitions": 4,
            "replication_factor": 1,
            "marker_period": timedelta(milliseconds=100),
            "skew": timedelta(milliseconds=100),
            "simulated_time": True,
            "simulated_origin_at": moment_of(int((time.time() + START_SECONDS) * 1000)),
            "simulated_starts_at": self.show.starts_at,
            "simulated_speed": self.show.speed,
            "policy_file": policy_file,
            **inputs,
        }
        return Settings(**arguments)

    # -- life

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Topics are there and all workers run; whoever ends is started again. At the end all stop in order."""
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        async with open_admin(self.settings) as admin:
            await prepare_topics(admin, self.settings, inputs=True)
        supervisor: asyncio.Task[None] | None = None
        try:
            for member in self.members:
                member.start()
            supervisor = asyncio.create_task(self._supervise())
            yield
            supervisor.cancel()
            for member in self.members:
                member.wanted = False
            codes = await asyncio.gather(*(asyncio.to_thread(member.stop) for member in self.members))
            assert set(codes) == {0}, f"SIGTERM must end a worker in order: {codes}"
        except BaseException:
            for member in self.members:
                sys.stderr.write(f"\n--- {member.log_file}\n{member.tail(40)}\n")
            raise
        finally:
            if supervisor is not None:
                supervisor.cancel()
            for member in self.members:
                member.kill()

    async def _supervise(self) -> None:
        while True:
            for member in self.members:
                if member.wanted and member.exit_code is not None:
                    self._note_end(member)
                    member.start()
            await asyncio.sleep(0.1)

    def _note_end(self, member: Member) -> None:
        code = member.exit_code
        assert code is not None
        self.exits.append(code)
        if code not in {KILLED, EXIT_FENCED}:
            self.last_words.append(f"{member.settings.instance_id} ended with {code}:\n{member.tail(40)}")

    async def play(self, *troubles: Callable[[Arena], Awaitable[None]]) -> None:
        """Play the whole show, with the troubles beside it, and wait until every watermark has passed the end.

        On a slow machine troubles outlast the show: then the world ends later, and they are troubles of it, too.
        """
        await asyncio.gather(self.player.run(), *(trouble(self) for trouble in troubles))
        self.ledger = [*self.player.ledger, *self.said]
        self.until_at = max(self.show.until_at, self.simulated_now())
        await self.until(self.until_at)

    async def say(self, *events: SimEvent, producer: AIOKafkaProducer | None = None) -> None:
        """Write records now, beside those of the show; `producer`: one of the caller's own, else one is made."""
        if producer is None:
            async with open_producer(self.settings) as own:
                await self.say(*events, producer=own)
            return
        for event in events:
            topic = self.settings.topics.inputs[InputKind(event.kind)][0]
            metadata = await producer.send_and_wait(
                topic, event.value, key=event.key, headers=list(event.headers)
            )
            appended_at = moment_of(self.clock.simulated_ms(metadata.timestamp))
            self.said.append(LedgerEvent(event.kind, event.value, event.headers, appended_at))

    # -- time

    def simulated_now(self) -> datetime:
        """What the simulated clock shows."""
        return self.player.simulated_now()

    async def sleep_until(self, moment: datetime) -> None:
        """Sleep until the simulated clock shows `moment`."""
        await asyncio.sleep(max(0.0, (moment - self.simulated_now()).total_seconds() / self.show.speed))

    async def until(self, moment: datetime) -> None:
        """Wait until every watermark has passed a moment."""
        deadline = (
            time.monotonic()
            + PATIENCE_SECONDS
            + max(0.0, (moment - self.simulated_now()).total_seconds() / self.show.speed)
        )
        while (mark := await asyncio.to_thread(self.watermark)) is None or mark < moment:
            assert time.monotonic() < deadline, f"the watermark stands at {mark}, {moment} is wanted"
            await asyncio.sleep(0.5)

    async def recovered(self) -> None:
        """Wait until every watermark has passed what the clock shows now: whatever was wrong, it is over."""
        await self.until(self.simulated_now())

    def watermark(self) -> datetime | None:
        """The least watermark of all partitions, by the workers' metrics; None while some have no owner."""
        marks: dict[tuple[str, str], float] = {}
        for member in self.members:
            if member.exit_code is not None or member.is_paused:
                continue
            for labels, seconds in member.series("returnwatch_watermark_timestamp_seconds"):
                where = (labels["stage"], labels["partition"])
                marks[where] = max(seconds, marks.get(where, 0.0))
        if len(marks) < self.settings.parcels_partitions + self.settings.returns_partitions:
            return None
        return moment_of(int(min(marks.values()) * 1000)) if min(marks.values()) else None

    async def kpis_said(self) -> None:
        """Wait until every snapshot of what has happened in this world was said: at the second midnight from its end."""
        at = self.until_at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2, minutes=1)
        await self.until(at)

    # -- troubles

    def kill(self, member: Member) -> None:
        """`kill -9`, be it at work or just starting; the supervisor starts it again at once."""
        if member.exit_code is not None:
            self._note_end(member)
            member.start()
        member.kill()

    async def pause(self, member: Member, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after `seconds`."""
        if member.exit_code is not None:
            self._note_end(member)
            member.start()
        member.pause()
        await asyncio.sleep(seconds)
        member.resume()

    async def outage(self, since: datetime, until: datetime) -> None:
        """Nobody works from one simulated moment to another, while the world goes on."""
        await self.sleep_until(since)
        for member in self.members:
            member.wanted = False
            member.kill()
        await self.sleep_until(until)
        for member in self.members:
            member.start()

    async def restart_broker(self, down_seconds: float) -> None:
        """`kill -9` of the broker, and a start after `down_seconds`."""
        await asyncio.to_thread(self.broker.kill)
        await asyncio.sleep(down_seconds)
        await asyncio.to_thread(self.broker.start)

    # -- what came of it

    async def outcome(self) -> Outcome:
        """Read everything back; for use when the workers have ended."""
        return await read_outcome(
            self.settings,
            self.ledger,
            self.show.terms_policy,
            starts_at=self.show.starts_at,
            until_at=self.until_at,
            feed=self.show.feed,
        )

    def unexpected_exits(self, killed: int) -> Mapping[int, int]:
        """Exit codes, and how often, that neither `killed` kills nor take-overs explain; prints what was said last."""
        exits = Counter(self.exits)
        exits.subtract({KILLED: killed})
        print(*self.last_words, sep="\n")  # noqa: T201 - shown with a failure
        return {code: count for code, count in exits.items() if code != EXIT_FENCED and count > 0}
