"""The figures that Returnwatch promises, one function each: measured on a real broker of its own, as ratios where
another engine sets the bar. A function gives what it measured, the bar, and whether the bar is met.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from agents.embedded_kafka import EmbeddedKafka
from agents.store import PartitionStore, SharedMemory
from benchmarks.board import READERS, first_pages
from benchmarks.offline import replay_rate, return_bytes
from benchmarks.processes import PARTITIONS, Burst, MeasurementFailed, Stock, Worker, burst
from benchmarks.reading import reading_costs
from benchmarks.tracing import CARRIED, EXPORTED, OFF, tracing_costs
from benchmarks.workload import INPUT_TOPICS, Workload, create_topics, fill
from schemas.vocabulary import RuleId

MILLION = 1_000_000
BUDGET = timedelta(hours=72)
"""Of missing_first_scan in the built-in policy."""
ON_THE_ROAD = ("missing_first_scan", "stalled_silent", "stalled_no_progress", "delivered_not_checked_in")
"""The rules that the stock application has, and one more."""
_AS_IT_IS: Mapping[str, str] = MappingProxyType({})
POLICY = Path(__file__).parents[1] / "schemas/default_policy.yaml"


def only(*rules: str) -> str:
    """A policy with these rules alone, no refund signals and no journeys."""
    others = [rule.value for rule in RuleId if rule.value not in rules]
    return "refund_tiers: []\njourneys: false\nrules:\n" + "".join(
        f"  {rule}: {{enabled: false}}\n" for rule in others
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. `full` is what the bars are about."""

    name: str
    parcels: int
    """With a whole life: eight events each."""
    open_parcels: tuple[int, int]
    """Labels only: the smaller and the larger stock of open parcels."""


FULL = Scale("full", 125_000, (100_000, MILLION))
QUICK = Scale("quick", 5_000, (5_000, 20_000))


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    name: str
    measured: str
    bar: str
    met: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A fresh broker with the input topics, and a directory for its guests."""

    kafka: EmbeddedKafka
    directory: Path

    @property
    def servers(self) -> str:
        """Its address."""
        return self.kafka.bootstrap_servers

    def worker(self, name: str, policy: str = "") -> Worker:
        """Make a worker with topics of its own."""
        worker = Worker(self.servers, self.directory, name, policy)
        worker.create_topics()
        return worker


@asynccontextmanager
async def place(broker: Mapping[str, str] = _AS_IT_IS) -> AsyncIterator[Place]:
    """Start a broker for one figure, with these properties; nothing of it is left afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="returnwatch-bench-"))
    kafka = EmbeddedKafka(directory / "kafka", extra_properties=broker, jvm_options=("-Xmx1g",))
    try:
        await asyncio.to_thread(kafka.start)
        await create_topics(kafka.bootstrap_servers, PARTITIONS, *INPUT_TOPICS)
        yield Place(kafka, directory)
    finally:
        await asyncio.to_thread(kafka.stop)
        shutil.rmtree(directory, ignore_errors=True)


async def against_stock_faust(scale: Scale) -> list[Figure]:
    """CPU per million events, wall rate on a backlog, and recovery, with stock Faust on the same broker."""
    async with place() as here:
        count = await fill(here.servers, Workload(scale.parcels, datetime.now(UTC)), PARTITIONS)
        stock, worker = Stock(here.servers, here.directory), here.worker("bench", only(*ON_THE_ROAD))
        await stock.create_topics()
        stock_burst, stock_rate = await _backlog_then_recovery(stock, count)
        own_burst, own_rate = await _worker_backlog_then_recovery(worker, count)
    return [
        _cpu_figure(own_burst, stock_burst, count),
        _wall_figure(own_burst, count),
        _recovery_figure(own_rate, stock_rate),
    ]


async def _backlog_then_recovery(stock: Stock, count: int) -> tuple[Burst, float]:
    stock.start()
    try:
        took = await burst(stock, count)
        stock.stop()
        stock.lose_disk()
        stock.start()
        return took, count / await stock.recovery_seconds()
    finally:
        stock.stop()


async def _worker_backlog_then_recovery(worker: Worker, count: int) -> tuple[Burst, float]:
    worker.start()
    try:
        took = await burst(worker, count)
        worker.stop()
        worker.lose_disk()
        worker.start()
        await worker.ready()
        records = worker.total("recovery_records_total")
        return took, records / worker.total("recovery_seconds")
    finally:
        worker.stop()


def _cpu_figure(own: Burst, stock: Burst, count: int) -> Figure:
    own_cpu, stock_cpu = (took.cpu_seconds * MILLION / count for took in (own, stock))
    return Figure(
        "worker CPU per million input events",
        f"{own_cpu:.1f} s; stock Faust {stock_cpu:.0f} s; 1/{stock_cpu / own_cpu:.1f}",
        "1/12 of stock Faust",
        own_cpu * 12 <= stock_cpu,
    )


def _wall_figure(own: Burst, count: int) -> Figure:
    rate, ideal = count / own.wall_seconds, count / own.cpu_seconds
    return Figure(
        "wall rate on a backlog, one worker",
        f"{rate:,.0f} events/s; {rate / ideal:.0%} of what one core's CPU allows",
        "70 %",
        rate >= 0.7 * ideal,
    )


def _recovery_figure(own_rate: float, stock_rate: float) -> Figure:
    return Figure(
        "recovery after losing the disk",
        f"{own_rate:,.0f} records/s; stock Faust {stock_rate:,.0f}; {own_rate / stock_rate:.1f} times",
        "20 times stock Faust",
        own_rate >= 20 * stock_rate,
    )


async def every_rule(scale: Scale) -> list[Figure]:
    """What all rules cost more than those on the road, on returns with everything that a shop says of them."""
    policies = {
        "road": only(*ON_THE_ROAD),
        "rules": only(*(rule.value for rule in RuleId if rule is not RuleId.REFUND_NOT_SETTLED)),
        "all": "journeys: false\n",
        "told": "",
    }
    cpu: dict[str, float] = {}
    async with place() as here:
        workload = Workload(scale.parcels // 2, datetime.now(UTC), with_shop=True)
        count = await fill(here.servers, workload, PARTITIONS)
        for name, policy in policies.items():
            worker = here.worker(name, policy)
            worker.start()
            try:
                cpu[name] = (await burst(worker, count)).cpu_seconds * MILLION / count
            finally:
                worker.stop()
    ratio, signals = cpu["all"] / cpu["road"], (cpu["all"] - cpu["rules"]) / cpu["road"]
    journeys = (cpu["told"] - cpu["all"]) / cpu["road"]
    measured = (
        f"{cpu['all']:.1f} s per million events; {cpu['road']:.1f} s with four rules; {ratio:.2f} times, "
        f"of it refund signals {signals:.2f}; journeys add {journeys:.2f}"
    )
    return [Figure("CPU of every rule and refund signal", measured, "1.6 times", ratio <= 1.6)]


async def restart_after_kill(scale: Scale) -> list[Figure]:
    """`kill -9`, restart at once: when is the first event processed again."""
    async with place() as here:
        worker = here.worker("restart", only(*ON_THE_ROAD))
        now = datetime.now(UTC)
        count = await fill(here.servers, Workload(scale.parcels // 5, now), PARTITIONS)
        worker.start()
        try:
            await worker.until(lambda: worker.events() >= count, "the backlog is read")
            worker.kill()
            await fill(
                here.servers, Workload(PARTITIONS * 8, now, label_only=True, first=MILLION), PARTITIONS
            )
            worker.start()
            seconds = await worker.until(lambda: worker.events() > 0, "an event is read again", 60)
        finally:
            worker.stop()
    return [Figure("kill -9, restart: first event again", f"{seconds:.1f} s", "5 s", seconds < 5)]


async def detection_delay(scale: Scale) -> list[Figure]:
    """How long behind due + skew a breach is said, with many open parcels."""
    figures = []
    for open_parcels in (max(scale.open_parcels) // 5, max(scale.open_parcels)):
        async with place() as here:
            p99 = await _p99_delay(here, open_parcels)
        name = f"detection delay behind due + skew, {open_parcels:,} open parcels"
        figures.append(Figure(name, f"p99 {p99:.2f} s", "p99 5 s", p99 < 5))
    return figures


async def _p99_delay(here: Place, open_parcels: int, breaches: int = 1_000) -> float:
    """Labels that come due during one minute while many others do not."""
    worker = here.worker("delay", POLICY.read_text().replace("settle: 30m", "settle: 0s"))
    worker.start()
    try:
        waiting = Workload(open_parcels, datetime.now(UTC), label_only=True, span=BUDGET / 2)
        await fill(here.servers, waiting, PARTITIONS)
        await worker.until(lambda: worker.events() >= open_parcels, "all labels are read")
        last_due_at = datetime.now(UTC) + timedelta(seconds=90)
        soon = Workload(
            breaches, last_due_at - BUDGET, label_only=True, first=10 * MILLION, span=timedelta(minutes=1)
        )
        await fill(here.servers, soon, PARTITIONS)
        opened = {"rule": "missing_first_scan", "transition": "opened"}
        await worker.until(
            lambda: worker.total("escalations_total", **opened) >= breaches, "every breach is said", 300
        )
        return _quantile(worker, 0.99, rule="missing_first_scan")
    finally:
        worker.stop()


def _quantile(worker: Worker, share: float, **labels: str) -> float:
    """Quantile of the detection delay, interpolated in its bucket as Prometheus does."""
    name, wanted = "returnwatch_detection_delay_seconds_bucket", set(labels.items())
    samples = [(dict(has), value) for (sample, has), value in worker.metrics().items() if sample == name]
    buckets = sorted((float(has["le"]), value) for has, value in samples if wanted <= set(has.items()))
    rank, lower, below = share * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            return bound if count == below else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    raise MeasurementFailed("no breach was said, so there is no delay")


async def open_parcel(scale: Scale) -> list[Figure]:
    """What an open parcel needs on disk and in memory."""
    few, many = scale.open_parcels
    now = datetime.now(UTC)
    async with place() as here:
        worker = here.worker("size")
        worker.start()
        try:
            memory = []
            for first, upto in ((0, few), (few, many)):
                await fill(
                    here.servers, Workload(upto - first, now, label_only=True, first=first), PARTITIONS
                )
                await burst(worker, upto)
                memory.append(worker.process.memory_info().rss)
        finally:
            worker.stop()
        on_disk = settled_bytes(worker.data_dir, "parcel") / many
    in_memory = (memory[1] - memory[0]) / (many - few)
    return [
        Figure("open parcel on disk, key and timer included", f"{on_disk:.0f} B", "350 B", on_disk < 350),
        Figure(
            f"open parcel in memory, (RSS at {many:,} - RSS at {few:,}) / {many - few:,}",
            f"{in_memory:.0f} B",
            "100 B",
            in_memory < 100,
        ),
    ]


def settled_bytes(data_dir: Path, stage: str = "") -> int:
    """Size of a stage's local stores after compaction; of all of them without its name. Compacts them."""
    total = 0
    for current in data_dir.rglob("CURRENT"):
        if stage in str(current.relative_to(data_dir)):
            store = PartitionStore(current.parent, SharedMemory(), lambda _reason: None)
            store.compact()
            total += store.size_bytes()
            store.close()
    if total == 0:
        raise MeasurementFailed(f"no store{stage and f' of {stage}'} lies under {data_dir}")
    return total


async def offline(scale: Scale) -> list[Figure]:
    """A replay in memory, and what it keeps of a return."""
    count, rate = replay_rate(scale.parcels // 12)
    size = return_bytes(scale.parcels // 12)
    return [
        Figure(
            f"replay of {count:,} events, every rule",
            f"{rate:,.0f} events/s of CPU",
            "50,000",
            rate >= 50_000,
        ),
        Figure("return on disk, key and timer included", f"{size:.0f} B", "800 B", size < 800),
    ]


async def reading(scale: Scale) -> list[Figure]:  # noqa: ARG001 - the same in every scale
    """What an event costs until its facts are written, in the contract's own form and in those of others."""
    cost = reading_costs()
    decoded, encoded = cost.decoded / cost.contract, cost.encoded / cost.contract
    shares = f"checked and decoded {decoded:.0%}, mapped {1 - decoded - encoded:.0%}, written {encoded:.0%}"
    rate = MILLION / cost.contract
    bars = {
        "the same in a shop's own JSON": (cost.own, 4),
        "the same in a shop's own JSON, in local time": (cost.own_local, 4),
        "event in an AfterShip history of ten": (cost.aggregator, 4),
        "UPS Track Alert, one event a record": (cost.carrier, None),
    }
    native = Figure(
        "scan of the contract, to its fact", f"{rate:,.0f} a CPU second; {shares}", "110,000", rate >= 110_000
    )
    return [native, *(_times_native(name, cost.contract, *told) for name, told in bars.items())]


async def traces(scale: Scale) -> list[Figure]:
    """What traces cost where every record is in one."""
    costs = tracing_costs(scale.parcels // 60)
    off = Figure(
        "intake and stages in one process, traces off", f"{costs[OFF]:.1f} s per million events", "", met=True
    )
    told = (("every record's context carried", CARRIED), ("and every span exported", EXPORTED))
    return [off, *(_times_native(name, costs[OFF], costs[which], None) for name, which in told)]


def _times_native(name: str, native: float, cost: float, bar: float | None) -> Figure:
    ratio = cost / native
    wanted = "reported" if bar is None else f"{bar} times"
    return Figure(name, f"{ratio:.1f} times that", wanted, bar is None or ratio <= bar)


async def board(scale: Scale) -> list[Figure]:
    """The board's first page with many open cases, against a tenth of them, and for many readers at once."""
    many = scale.open_parcels[0]
    few = await first_pages(many // 10)
    found = await first_pages(many)
    one, ratio = found.first_page, found.first_page.median / few.first_page.median
    return [
        Figure(
            f"board, first page with {many:,} open cases",
            f"median {one.median:.1f} ms, p99 {one.p99:.1f} ms; {ratio:.2f} times that with {many // 10:,}; "
            f"slowest filtered page p99 {found.slowest_page.p99:.1f} ms",
            "p99 1 s; 2 times",
            one.p99 < 1_000 and found.slowest_page.p99 < 1_000 and ratio < 2,
        ),
        Figure(
            f"board, first page for {READERS} readers at once",
            f"median {found.crowd.median:,.0f} ms, p99 {found.crowd.p99:,.0f} ms; none refused",
            "p99 5 s",
            found.crowd.p99 < 5_000,
        ),
    ]


Measure = Callable[[Scale], Awaitable[list[Figure]]]
MEASURES: dict[str, Measure] = {
    "stock-faust": against_stock_faust,
    "rules": every_rule,
    "restart": restart_after_kill,
    "delay": detection_delay,
    "size": open_parcel,
    "replay": offline,
    "reading": reading,
    "traces": traces,
    "board": board,
}


async def measure(names: list[str], scale: Scale, report: Callable[[Figure], None]) -> list[Figure]:
    """Measure one after the other; a measurement that fails is a figure that is not met."""
    figures = []
    for name in names:
        began = time.monotonic()
        try:
            found = await MEASURES[name](scale)
        except MeasurementFailed as failed:
            found = [
                Figure(name, f"not measured after {time.monotonic() - began:.0f} s: {failed}", "", met=False)
            ]
        for figure in found:
            report(figure)
        figures += found
    return figures
