"""One worker's moving parts, wired together: intake, both stages, markers, and what Faust asks of them."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import monotonic
from typing import Any, NoReturn, TypeVar

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalStateError, KafkaError, ProducerFenced
from faust.types.tuples import TP

from agents.dead_letters import DeadLetterWriter
from agents.disk_room import DiskRoom
from agents.fencing import new_producer, start_producer
from agents.health import Liveness, Readiness
from agents.intake import IntakeStage
from agents.kafka_security import client_arguments
from agents.lanes import Done, Flow
from agents.log_clock import LogClock
from agents.markers import MarkerPlan, Markers, Progress
from agents.metrics import Metrics
from agents.probe import Probe
from agents.said import Said
from agents.sealing_settings import sealer_of
from agents.settings import Settings
from agents.stage import Stage, StageHost
from agents.stage_topics import parcels_topics, returns_topics
from agents.store import SharedMemory
from agents.tracing_settings import tracer_of
from agents.transport import Chunk
from schemas.carrier_codes import CarrierCodes
from schemas.vocabulary import RuleId
from streams.parcel_stage import parcel_logic
from streams.return_stage import return_logic
from streams.terms import CompiledPolicy

log = structlog.get_logger(__name__)

T = TypeVar("T")

KPIS_SECONDS = 60.0
EXIT_FENCED, EXIT_FAILED, EXIT_STUCK = 76, 70, 75


def leave(code: int) -> NoReturn:
    """End the process at once, without waiting for threads or connections."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class OtherLogError(RuntimeError):
    """State and log do not belong together; going on would skip records in silence."""


async def no_checkpoint(_step: str, _partition: int) -> None:
    """Production stops nowhere between the steps."""


class Engine:
    """Everything of one worker except Faust's app. Implements `ChunkHost` and `RecoveryHost`."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        clock: LogClock,
        liveness: Liveness,
        readiness: Readiness,
        codes: CarrierCodes,
        *,
        checkpoint: Callable[[str, int], Awaitable[None]] = no_checkpoint,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.clock = clock
        self._liveness = liveness
        self._readiness = readiness
        self._codes = codes
        self.app: Any = None
        self._names = settings.topics
        self._connection: Mapping[str, Any] = client_arguments(settings)
        self.progress = Progress()
        self._assignment = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._intake_ready: set[TP] = set()
        self._kinds = self._names.kinds()
        self._checkpoint = checkpoint
        self._policy: CompiledPolicy | None = None
        self._policy_record = b""
        self._recovery_began = monotonic()
        self._kpis_due: dict[int, float] = {}
        self.tracer = tracer_of(settings, "worker", metrics.registry)
        self._room = DiskRoom(settings.data_dir, settings.disk_reserve_bytes, metrics, readiness)

    # -- life ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect producers and probes, make the stages, start the background tasks."""
        settings, names = self.settings, self._names
        self.producer: AIOKafkaProducer = new_producer(self._connection, "returnwatch-intake")
        await start_producer(self.producer)
        self.dead_letters = DeadLetterWriter(
            self._connection,
            names.dead_letters,
            settings.max_record_bytes,
            self.metrics,
            sealer_of(settings),
        )
        await self.dead_letters.start()
        skew_ms = int(settings.skew.total_seconds() * 1000)
        said = Said(self.metrics, self.clock, skew_ms, settings.simulated_speed)
        flow = Flow(self._pause, self._resume, self._seek, self.fatal)
        host = StageHost(
            self._connection,
            settings.app_id,
            settings.data_dir,
            SharedMemory(),
            self.metrics,
            lambda: self.producer,
            flow,
            said.batch,
            self._first_offset,
            self._checkpoint,
            self._room,
            settings.forget_key.get_secret_value().encode(),
            self.tracer,
        )
        self.parcels = Stage(
            parcels_topics(settings), partial(parcel_logic, settings.parcels_partitions), host
        )
        self.returns = Stage(
            returns_topics(settings), partial(return_logic, settings.returns_partitions), host
        )
        self.stages = {names.parcels: self.parcels, names.returns: self.returns}
        self.changelogs = {names.parcel_changelog: self.parcels, names.return_changelog: self.returns}
        targets = (
            (names.parcels, settings.parcels_partitions),
            (names.returns, settings.returns_partitions),
        )
        plan = MarkerPlan(
            names.heartbeats,
            settings.instance_id,
            tuple(self._kinds),
            targets,
            settings.marker_period.total_seconds(),
            skew_ms,
        )
        self.markers = Markers(self._connection, plan, self)
        await self.markers.start()
        self.intake = IntakeStage(settings, self, flow, self._codes)
        self.probe = Probe(self._connection, self, self._liveness, self._readiness)
        await self.probe.start()
        self.background(self.markers.run(), "markers")
        self.background(self.probe.run(), "probe")

    def background(self, work: Any, name: str) -> None:
        """Run a task whose failure ends the process."""

        async def guarded() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - a background task that died must not die in silence
                self.fatal(error, name)

        self._tasks.append(asyncio.create_task(guarded(), name=name))

    async def stop(self) -> None:
        """Orderly stop: finish what is in hand, close stores and connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.intake.close()
        for stage in (self.parcels, self.returns):
            await stage.close()
        await self.probe.stop()
        await self.markers.stop()
        await self.dead_letters.stop()
        await self.producer.stop()
        if self.tracer is not None:
            await self.tracer.close()

    @property
    def waits_for_room(self) -> bool:
        """Whether work stands because the disk is full."""
        return self._room.is_full

    def fatal(self, error: BaseException, where: str) -> None:
        """End the process now: what is durable is in the log, and the next owner goes on from there."""
        fenced = isinstance(error, ProducerFenced)
        if fenced:
            self.metrics.fenced.inc()
        log.critical(
            "worker_ends",
            where=where,
            error=repr(error)[:500],
            reason="another worker has taken this partition over" if fenced else "see error",
            exc_info=None if fenced else error,
        )
        leave(EXIT_FENCED if fenced else EXIT_FAILED)

    # -- what Faust's recovery asks ---------------------------------------------------------------------------

    def assignment_changed(self) -> None:
        """Nothing is ready any more."""
        self._assignment += 1
        self._recovery_began = monotonic()
        self._intake_ready.clear()
        self.markers.reset()
        self.metrics.rebalances.inc()
        for stage in self.stages.values():
            stage.assignment_changed()
        self.probe.forget_all()

    async def take_over(self, changelogs: set[TP]) -> None:
        """Fence the former owners of these changelog partitions; let go of all others."""
        for topic, stage in self.changelogs.items():
            await stage.take_over({tp.partition for tp in changelogs if tp.topic == topic})

    def restored_offset(self, changelog: TP) -> int | None:
        """Last changelog offset in the local store; None when it is empty."""
        stage = self.changelogs.get(changelog.topic) if self.app.engine_started else None
        return None if stage is None else stage.restored_offset(changelog.partition)

    def restore(self, changelog: TP, chunk: Chunk) -> None:
        """Apply a chunk of a changelog partition."""
        self.changelogs[changelog.topic].restore(changelog.partition, chunk)

    def is_restored(self, changelog: TP) -> bool:
        """The take-over record of this assignment has come back."""
        return self.changelogs[changelog.topic].is_restored(changelog.partition)

    async def restored(self) -> None:
        """Open the assignment for work: stages from their stores, intake from the group's commits."""
        try:
            await self._open_assignment()
        except Exception as error:  # noqa: BLE001 - Faust would drop it, and nothing would ever be ready
            self.fatal(error, "recovery")

    async def _open_assignment(self) -> None:
        assignment = self._assignment
        for stage in self.stages.values():
            await stage.restored()
        owned = [TP(*tp) for tp in self.app.consumer.assignment() if tp.topic in self._kinds]
        base = await self._patiently(lambda: self._begin_at(owned))
        ends = await self._patiently(lambda: self._ends(owned))
        if assignment != self._assignment:
            return
        self.progress.reset(base, ends)
        self.intake.begin()
        self._intake_ready.update(owned)
        seconds = monotonic() - self._recovery_began
        self.metrics.recovery_seconds.set(seconds)
        log.info("assignment_ready", inputs=len(owned), seconds=round(seconds, 2))

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the broker until it answers."""
        while True:
            try:
                return await ask()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("broker_did_not_answer", error=repr(error)[:200])
                await asyncio.sleep(1.0)

    async def _begin_at(self, owned: list[TP]) -> dict[TP, int]:
        """Where intake goes on: what the group has committed, else where the log begins.

        The broker is asked: Faust's memory of commits is stale for partitions that were elsewhere meanwhile.
        """
        if not owned:
            return {}
        admin = AIOKafkaAdminClient(**self._connection, request_timeout_ms=10_000)
        try:
            await admin.start()
            answer = await admin.list_consumer_group_offsets(
                self.settings.app_id, partitions=[TopicPartition(*tp) for tp in owned]
            )
        finally:
            await admin.close()
        committed = {TP(*tp): offset.offset for tp, offset in answer.items()}
        if committed.keys() != set(owned):
            # A coordinator that is loading answers without an error, and without the partitions.
            raise KafkaError("the group's coordinator did not tell what is committed")
        starts = await self.markers.first_offsets([tp for tp in owned if committed[tp] < 0])
        return {tp: starts.get(tp, committed[tp]) for tp in owned}

    async def _ends(self, inputs: list[TP]) -> dict[TP, int]:
        """Where the inputs end.

        Raises:
            OtherLogError: a stage's topic ends before the position in its state: it is another topic of the same name.
        """
        positions = {
            TP(topic, number): partition.next_offset
            for topic, stage in self.stages.items()
            for number, partition in stage.ready_partitions().items()
        }
        ends = await self.markers.end_offsets([*inputs, *positions])
        for tp, position in positions.items():
            if ends[tp] < position:
                raise OtherLogError(
                    f"{tp.topic}/{tp.partition} ends at {ends[tp]}, but its state has read up to {position}: the topic "
                    f"was made again. Delete {', '.join(self.changelogs)} too, or restore the topic"
                )
        return {tp: ends[tp] for tp in inputs}

    # -- what the transport asks -------------------------------------------------------------------------------

    def done_offsets(self) -> Mapping[TP, int]:
        """What may be committed."""
        done = dict(self.progress.done)
        for topic, stage in self.stages.items():
            for number, partition in stage.ready_partitions().items():
                if partition.next_offset:
                    done[TP(topic, number)] = partition.next_offset
        return done

    def next_offsets(self) -> Mapping[TP, int]:
        """Where each partition that is open for work goes on."""
        return {tp: position for tp, (position, *_) in self.positions().items()}

    async def accept(self, tp: TP, chunk: Chunk, done: Done) -> None:
        """Route a chunk to its lane."""
        stage = self.stages.get(tp.topic)
        if stage is not None:
            await stage.accept(tp.partition, chunk, done)
        elif tp in self._intake_ready:
            self.intake.accept(tp, chunk, done)
        else:
            self.metrics.stale_chunks.inc()
            await done()

    def is_open(self, tp: TP) -> bool:
        """Whether an input partition is open for work in this assignment."""
        return tp in self._intake_ready

    def open_inputs(self) -> list[TP]:
        """Input partitions that are owned and open for work."""
        return sorted(self._intake_ready)

    def positions(self) -> dict[TP, tuple[int, int, bool]]:
        """Every partition open for work -> (position, work done at it, expected to move)."""
        heard = self.clock.known.is_set()  # before that intake rightly forwards nothing
        known = {tp: (self.progress.at(tp), 0, heard) for tp in self._intake_ready}
        for topic, stage in self.stages.items():
            for number, partition in stage.ready_partitions().items():
                # On a full disk it stands rightly: to start it again would make no room.
                moving = not self._room.is_full
                known[TP(topic, number)] = (partition.next_offset, stage.batches(number), moving)
        return known

    async def read_again(self, tp: TP) -> None:
        """Go on reading at the position of a partition, from which nothing came although there is something."""
        position = self.next_offsets().get(tp)
        if position is not None:
            self.metrics.read_again.inc()
            log.warning("read_again", topic=tp.topic, partition=tp.partition, position=position)
            await self._seek(tp, position)

    def observe_stages(self) -> None:
        """Export sizes, and what holds each watermark most."""
        now_ms = self.clock.seconds() * 1000
        waiting = {}
        loading = 0
        for stage in self.stages.values():
            name = stage.topics.name
            held = sum(partition.is_loading for partition in stage.ready_partitions().values())
            self.metrics.backfill.labels(name).set(held)
            loading += held
            self.metrics.state_bytes.labels(name).set(stage.size_bytes())
            for number, partition in stage.ready_partitions().items():
                self.metrics.state_keys.labels(name, str(number)).set(stage.key_count(number))
                holding = partition.holding()
                source = holding[0].split(":", 1)[0] if holding else None
                if not partition.watermark_ms and not partition.is_loading:
                    waiting[f"{name}/{number}"] = holding[0] if holding else "no marker yet"
                behind = max(0.0, now_ms - partition.watermark_ms) / 1000 if partition.watermark_ms else 0.0
                self.metrics.held_by(name, number, source, behind)
        held_text = f"{loading} partitions hold their timers while history is loaded"
        self._readiness.note("backfill", held_text if loading else None)
        self._observe_policy()
        for number, partition in self.returns.ready_partitions().items():
            self.metrics.cases_of(number, self._by_severity(partition.standing_cases()))
            self._observe_kpis(number, partition.watermark_ms)
        self.metrics.feeds.observe(
            partition for stage in self.stages.values() for partition in stage.ready_partitions().values()
        )
        if waiting:
            where, why = min(waiting.items())
            self._readiness.waits_for("watermark", f"{len(waiting)} partitions know none yet; {where}: {why}")
        else:
            self._readiness.has("watermark")

    def _observe_kpis(self, number: int, watermark_ms: int) -> None:
        """Export the KPIs of a partition, now and then: its cells have to be read for it."""
        if watermark_ms and monotonic() >= self._kpis_due.get(number, 0.0):
            self._kpis_due[number] = monotonic() + KPIS_SECONDS
            self.metrics.kpis.observe(number, watermark_ms, partial(self.returns.cells, number))

    def _observe_policy(self) -> None:
        """Export the newest policy in force; during a sweep partitions may still differ."""
        for stage in self.stages.values():
            for number in stage.ready_partitions():
                policy = stage.policy(number)
                if policy is not None and (self._policy is None or policy != self._policy_record):
                    self._policy_record, self._policy = policy, CompiledPolicy(policy)
                    self.metrics.policy(self._policy.hash)

    def _by_severity(self, standing: Mapping[tuple[str, int], int]) -> dict[tuple[str, str], int]:
        counts: Counter[tuple[str, str]] = Counter()
        for (rule, level), count in standing.items():
            if self._policy is not None:
                counts[rule, self._policy.severity(RuleId(rule), level)] += count
        return counts

    def _pause(self, tp: TP) -> None:
        self.app.consumer.pause_partitions({tp})

    def _resume(self, tp: TP) -> None:
        if tp in self.app.consumer.assignment():
            self.app.consumer.resume_partitions({tp})

    async def _first_offset(self, tp: TP) -> int:
        return (await self.markers.first_offsets([tp]))[tp]

    async def _seek(self, tp: TP, offset: int) -> None:
        # `consumer.seek` would move the position from this thread while the consumer's own thread reads it.
        try:
            await self.app.consumer.seek_wait({tp: offset})
        except IllegalStateError:
            log.info("seek_of_a_partition_that_left", topic=tp.topic, partition=tp.partition)
