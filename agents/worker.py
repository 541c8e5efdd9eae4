"""`returnwatch worker`: checks, then Faust's app around the engine, until a signal or an error ends it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import faust
import structlog
import uvloop
from aiokafka.errors import KafkaError
from faust.types.events import EventT
from faust.types.streams import StreamT
from prometheus_client import CollectorRegistry
from yarl import URL

from agents import transport
from agents.carrier_tables import digest_of, read_carrier_codes
from agents.control import agree, read_control
from agents.engine import Engine, leave, no_checkpoint
from agents.errors import BrokerUnreachableError, Finding, PolicyRefusedError
from agents.garbage import tame_garbage_collection
from agents.health import HealthServer, Liveness, Readiness, health_app
from agents.kafka_connection import open_admin, reachable
from agents.kafka_security import faust_broker_urls, faust_credentials
from agents.log_clock import LogClock
from agents.metrics import Metrics
from agents.policy_reading import policy_in_force, read_policy
from agents.positions import read_stands
from agents.recovery import BulkTableManager, StateTable
from agents.rights import refuse_without_rights
from agents.settings import Settings
from agents.topics import prepare_topics
from agents.transport import ChunkTransport
from schemas.policy import Policy
from schemas.policy_loading import default_policy

log = structlog.get_logger(__name__)

BROKER_WAIT = timedelta(days=365)
MAX_POLL_RECORDS = 8_000
FETCH_BYTES = 2 << 20
AGAIN_SECONDS = 1.0
STOP_SECONDS = 15.0
"""An orderly stop that takes longer is cut off."""

Checkpoint = Callable[[str, int], Awaitable[None]]


class RawSchema(faust.Schema):
    """Hands a chunk over as it is."""

    def loads_key(self, app: Any, message: Any, **_kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        return message.key

    def loads_value(self, app: Any, message: Any, **_kwargs: Any) -> Any:  # noqa: ARG002 - Faust's signature
        return message.value


class WorkerApp(faust.App):
    """Faust's app with an engine that starts before the consumer and stops after it."""

    engine: Engine
    engine_started = False

    @property
    def chunk_host(self) -> Engine:
        """What the transport asks."""
        return self.engine

    @property
    def recovery_host(self) -> Engine:
        """What recovery asks."""
        return self.engine

    async def on_start(self) -> None:
        await self.engine.start()
        self.engine_started = True
        await super().on_start()

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        await self.engine.stop()


def build_app(settings: Settings, engine: Engine, loop: asyncio.AbstractEventLoop) -> WorkerApp:
    """Make the Faust app: three agents, two tables that register the changelogs, our transport and recovery."""
    names = settings.topics
    session_seconds = settings.session_timeout.total_seconds()
    app = WorkerApp(
        settings.app_id,
        loop=loop,
        broker=[URL(url) for url in faust_broker_urls(settings)],
        broker_credentials=faust_credentials(settings),
        store="memory://",
        version=1,
        id_format="{id}",
        datadir=str(settings.data_dir / "faust"),
        web_enabled=False,
        TableManager=BulkTableManager,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_buffer_maxsize=64,
        stream_wait_empty=True,
        broker_max_poll_records=MAX_POLL_RECORDS,
        consumer_max_fetch_size=FETCH_BYTES,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=f"{settings.app_id}-{settings.instance_id}",
        consumer_metadata_max_age_ms=10_000,
        broker_session_timeout=session_seconds,
        broker_heartbeat_interval=max(0.5, session_seconds / 10),
        broker_request_timeout=session_seconds + 15.0,
        broker_commit_interval=1.0,
    )
    app.engine = engine
    engine.app = app
    app.transport = ChunkTransport([URL(url) for url in faust_broker_urls(settings)], app)
    _add_tables(app, settings, engine)
    _add_agent(app, engine, "intake", tuple(names.kinds()))
    _add_agent(app, engine, "parcels", (names.parcels,))
    _add_agent(app, engine, "returns", (names.returns,))
    return app


def _add_tables(app: WorkerApp, settings: Settings, engine: Engine) -> None:
    tables = {
        "parcel-state": settings.parcels_partitions,
        "return-state": settings.returns_partitions,
    }
    for name, partitions in tables.items():
        table = StateTable(app, name=name, key_type=bytes, value_type=bytes, partitions=partitions)
        app.tables.add(table)
        # Faust calls every table's callbacks when all changelogs are read; the first opens both stages.
        if name == "return-state":
            table.on_recover(engine.restored)


def _add_agent(app: WorkerApp, engine: Engine, name: str, topics: tuple[str, ...]) -> None:
    async def feed(stream: StreamT[Any]) -> AsyncIterator[None]:
        stream.enable_acks = False
        async for event in stream.events():
            await engine.accept(event.message.tp, event.value, _acknowledge(stream, event))
            yield

    app.agent(app.topic(*topics, schema=RawSchema()), name=name)(feed)


def _acknowledge(stream: StreamT[Any], event: EventT[Any]) -> Callable[[], Awaitable[None]]:
    async def done() -> None:
        await stream.ack(event)

    return done


async def prepare(settings: Settings, readiness: Readiness) -> None:
    """Wait for a broker, check the topics, and agree on policy and clock. Raises UserError with what to do."""
    readiness.waits_for("broker", f"none answers at {', '.join(settings.bootstrap_servers)}")
    await reachable(settings, BROKER_WAIT)
    readiness.has("broker")
    async with open_admin(settings) as admin:
        checks = await prepare_topics(admin, settings)
    await refuse_without_rights(settings, checks)
    await read_stands(settings)  # raises where a newer version has written: before anything is taken over
    control = await read_control(settings)
    in_force = policy_in_force(control).policy if control.policy is not None else None
    given = read_policy(settings.policy_file) if settings.policy_file is not None else None
    await agree(
        settings,
        control,
        None if given is None else with_go_live(given, settings, in_force).to_log(),
        with_go_live(default_policy(), settings, in_force).to_log(),
    )


async def prepared(settings: Settings, readiness: Readiness) -> None:
    """`prepare`, begun anew when the broker is lost in the middle of it: nothing of it is done twice."""
    while True:
        try:
            await prepare(settings, readiness)
        except (KafkaError, BrokerUnreachableError) as error:
            if isinstance(error, KafkaError) and not error.retriable:
                raise
            log.warning("broker_lost_while_starting", error=repr(error)[:200])
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return


def with_go_live(policy: Policy, settings: Settings, in_force: Policy | None) -> Policy:
    """The policy with the time of going live: of the settings, else its own, else the one in force.

    Raises:
        PolicyRefusedError: the settings name another time than the policy in force; it counts at the first start.
    """
    asked, known = settings.go_live_at, in_force.go_live_at if in_force is not None else None
    if in_force is not None and asked is not None and asked != known:
        raise PolicyRefusedError(
            [
                Finding(
                    "--go-live",
                    f"{asked:%Y-%m-%dT%H:%M:%SZ} is not what the policy in the log says "
                    f"({f'{known:%Y-%m-%dT%H:%M:%SZ}' if known else 'no such time'})",
                    "it counts at the first start; later it is part of the policy",
                    "leave it out, or write `go_live_at:` into a policy file and `returnwatch policy apply` it",
                )
            ]
        )
    return policy.model_copy(update={"go_live_at": asked or policy.go_live_at or known})


async def serve(settings: Settings, checkpoint: Checkpoint = no_checkpoint) -> int:
    """Run a worker until SIGTERM, SIGINT or a crash. Returns the exit code."""
    codes = read_carrier_codes(settings.carrier_codes)
    own = sum(row.own for row in codes.rows)
    log.info("carrier_codes", rows=len(codes.rows), own=own, digest=digest_of(codes))
    (settings.data_dir / "faust").mkdir(parents=True, exist_ok=True)
    transport.install()
    clock = LogClock(settings.simulated, int(settings.skew.total_seconds() * 1000))
    metrics = Metrics(CollectorRegistry(), log_clock=clock.seconds, time_speed=settings.simulated_speed)
    metrics.expect_topics(settings.topics.kinds())
    liveness = Liveness(asyncio.get_running_loop().time)
    readiness = Readiness()
    health = HealthServer(
        health_app(metrics.registry, liveness, readiness), settings.metrics_host, settings.metrics_port
    )
    log.info("listening", url=await health.start())
    await prepared(settings, readiness)
    engine = Engine(settings, metrics, clock, liveness, readiness, codes, checkpoint=checkpoint)
    app = build_app(settings, engine, asyncio.get_running_loop())
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ends = [asyncio.ensure_future(waiting) for waiting in (stop.wait(), app._crashed.wait())]
    starting = asyncio.ensure_future(app.start())
    await asyncio.wait([starting, *ends], return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        readiness.has("start")
        tame_garbage_collection()
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        engine.fatal(app.crash_reason or RuntimeError("Faust stopped without a reason"), "faust")
    log.info("stopping")
    if engine.waits_for_room:
        # What is in hand cannot be finished, and Faust would wait for it. What is durable is in the log.
        log.warning("stopped_unfinished", seconds=0)
        leave(0)
    await _stop(app, health)
    return 0


async def _stop(app: WorkerApp, health: HealthServer) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await app.stop()
            await health.stop()
    except TimeoutError:
        # Without a broker a flush waits for ever. What is durable is in the log; the rest is said again.
        log.warning("stopped_unfinished", seconds=STOP_SECONDS)
        leave(0)


def run(settings: Settings, checkpoint: Checkpoint = no_checkpoint) -> int:
    """Run a worker in this process. Returns its exit code; raises UserError for what the user can mend."""
    # The policy, and not a loop factory: Faust's consumer thread makes a loop of its own.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    return asyncio.run(serve(settings, checkpoint))
