"""How long the board takes for its first page: with few and with many open cases, for one reader and for 200 at once."""

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import quantiles

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from agents.board.app import board_app
from agents.board.index_reading import IndexReader
from agents.board.index_writing import IndexWriter
from agents.board.site import Site
from agents.health import Liveness, Readiness
from agents.settings import Settings
from benchmarks.processes import MeasurementFailed
from schemas.outputs import Escalation, Money, Severity, encode_case
from schemas.vocabulary import CaseState, Reason, RuleId

READERS = 200
ROUNDS = 5
REQUESTS = 300
BATCH = 2_000
PAGES = (
    "/",
    "/?carrier=ups&order=value",
    "/?rule=late_refund&facility=LEJ1&severity=critical",
    "/?age=14&order=oldest",
)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds of each answer."""

    milliseconds: list[float]

    @property
    def median(self) -> float:
        return quantiles(self.milliseconds, n=100)[49]

    @property
    def p99(self) -> float:
        return quantiles(self.milliseconds, n=100)[98]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one size of index gave."""

    first_page: Took
    """The first page, one request after the other."""
    slowest_page: Took
    """Of PAGES, the one with the greatest p99."""
    crowd: Took
    """The first page, for READERS at once, each ROUNDS times."""
    cases_per_s: float
    """Taken into the index."""


@dataclass
class _Record:
    topic: str
    key: bytes | None
    value: bytes | None
    offset: int
    partition: int = 0
    timestamp: int = 0
    headers: tuple[()] = ()


async def first_pages(open_cases: int) -> Measured:
    """Fill an index, serve it from a process of its own, and ask for pages over the loopback address."""
    with tempfile.TemporaryDirectory(prefix="returnwatch-bench-") as directory:
        file = Path(directory) / "index.sqlite"
        began = time.monotonic()
        _fill(file, open_cases)
        rate = open_cases / (time.monotonic() - began)
        # Without a limit of its own: who waits is to wait for the board.
        connections = aiohttp.TCPConnector(limit=0)
        async with _serving(file) as address, aiohttp.ClientSession(address, connector=connections) as client:
            await _asked(client, PAGES[0], 20)
            first = Took(await _asked(client, PAGES[0], REQUESTS))
            others = [Took(await _asked(client, page, REQUESTS // 3)) for page in PAGES[1:]]
            crowd = await asyncio.gather(*(_asked(client, PAGES[0], ROUNDS) for _ in range(READERS)))
    slowest = max(others, key=lambda took: took.p99)
    return Measured(first, slowest, Took([one for each in crowd for one in each]), rate)


async def _asked(client: aiohttp.ClientSession, page: str, times: int) -> list[float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        async with client.get(page) as answer:
            await answer.read()
            if answer.status != 200:
                raise MeasurementFailed(f"{page} answered {answer.status}")
        took.append(1_000 * (time.perf_counter() - began))
    return took


def _fill(file: Path, open_cases: int) -> None:
    topic = Settings().topics.cases
    writer = IndexWriter(file, Settings().topics)
    records = _records(topic, open_cases)
    while batch := list(islice(records, BATCH)):
        writer.apply(batch, {(topic, 0): batch[-1].offset + 1})
    writer.close()


def _records(topic: str, count: int) -> Iterator[_Record]:
    draw = random.Random(1)
    for number in range(count):
        due_at = NOW - timedelta(minutes=draw.randrange(60 * 24 * 40))
        case = Escalation(
            case_id=f"{draw.getrandbits(32):08x}-0000-4000-8000-{number:012x}",
            revision=1,
            rule=draw.choice(tuple(RuleId)),
            state=CaseState.OPEN,
            reason=Reason.DUE,
            level=draw.randint(1, 3),
            severity=draw.choice(tuple(Severity)),
            action="open a carrier trace",
            return_id=f"R{number}",
            parcel=f"ups:1Z{number}",
            carrier=draw.choice(("ups", "dhl_express", "colissimo", "fedex", "gls", "")),
            tracking_number=f"1Z{number}",
            facility=draw.choice(("LIL1", "LEJ1", "SDF1", "")),
            value=Money(draw.randrange(500, 50_000), "EUR"),
            since_at=due_at - timedelta(days=3),
            due_at=due_at,
            effective_at=due_at,
            explanation="The carrier delivered the parcel, and the dock had not checked it in; it is still so.",
        )
        yield _Record(topic, case.case_id.encode(), encode_case(case), number)


@asynccontextmanager
async def _serving(file: Path) -> AsyncIterator[str]:
    command = [sys.executable, "-m", "benchmarks.board", str(file)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        address = (await process.stdout.readline()).decode().strip()
        if not address:
            raise MeasurementFailed("the board does not serve")
        yield address
    finally:
        process.terminate()
        await process.wait()


class _Following:
    silent_since: datetime | None = None
    read_share: float | None = None


async def _serve(file: Path) -> None:
    site = Site(IndexReader(file), _Following(), None, clock=lambda: NOW)
    app = board_app(site, CollectorRegistry(), Liveness(time.monotonic), Readiness())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2 * READERS).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
