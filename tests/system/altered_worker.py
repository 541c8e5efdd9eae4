"""`returnwatch worker` with alterations: hardships that it must bear, and mistakes that the tests must find.

RETURNWATCH_TEST_ALTERATIONS names them, with commas between. The rest is the product's code, unchanged.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition
from faust.types.tuples import TP

from agents import engine as engine_module
from agents import worker as worker_module
from agents.intake import IntakeStage
from agents.logging_setup import configure_logging
from agents.markers import Markers, Progress
from agents.settings import Settings
from agents.stage import Owned, Stage
from agents.transport import Chunk
from schemas.carrier_codes import CarrierCodes
from schemas.vocabulary import Evidence, Milestone
from streams import return_stage
from streams.partition import Outgoing, Partition, StateReader
from streams.returns import ReturnState
from streams.watermark import Position

ALTERATIONS_VARIABLE = "RETURNWATCH_TEST_ALTERATIONS"
GATES_VARIABLE = "RETURNWATCH_TEST_GATES"
"""A directory: while it holds a file `TOPIC-PARTITION`, that partition is not worked on."""
HELD_SECONDS = 2.0
SILENT_DEATHS = {"parcels": ("returns", 1), "returns": ("cases", 1)}
"""Stage -> what a batch must say to be fatal, and how many times the process dies there, over all its starts."""

Alteration = Callable[[Settings], None]
engine: Any = engine_module


# -- hardships --------------------------------------------------------------------------------------------------------


def slow_warehouse(settings: Settings) -> None:
    """Each chunk of a warehouse topic is forwarded seconds after it was read."""
    slow = set(settings.warehouse_topics)

    class SlowIntake(IntakeStage):
        async def _forward(self, tp: TP, chunk: Chunk) -> None:
            if tp.topic in slow:
                await asyncio.sleep(HELD_SECONDS)
            await super()._forward(tp, chunk)

    engine.IntakeStage = SlowIntake


def gated(settings: Settings) -> None:
    """A partition of `parcels` or of an input stands still while its gate is shut."""
    del settings
    gates = Path(os.environ[GATES_VARIABLE])

    async def pass_gate(topic: str, number: int) -> None:
        while (gates / f"{topic}-{number}").exists():  # noqa: ASYNC110 - another process opens it
            await asyncio.sleep(0.05)

    class GatedStage(Stage):
        async def _handle_chunk(self, owned: Owned, chunk: Chunk) -> None:
            await pass_gate(self.topics.input, owned.number)
            await super()._handle_chunk(owned, chunk)

    class GatedIntake(IntakeStage):
        async def _forward(self, tp: TP, chunk: Chunk) -> None:
            await pass_gate(tp.topic, tp.partition)
            await super()._forward(tp, chunk)

    engine.Stage, engine.IntakeStage = GatedStage, GatedIntake


def dies_before_it_speaks(settings: Settings) -> None:
    """The process dies some times between a batch's changelog record and what the batch has to say."""
    deaths = settings.data_dir.parent

    class DyingStage(Stage):
        async def _say(self, owned: Owned, outgoing: Sequence[Outgoing]) -> None:
            said, times = SILENT_DEATHS[self.topics.name]
            fatal = not owned.repeat_due and any(out.topic == said for out in outgoing)
            died = list(deaths.glob(f"died-{self.topics.name}-*")) if fatal else []
            if fatal and len(died) < times:
                (deaths / f"died-{self.topics.name}-{len(died)}").touch()
                os._exit(9)
            await super()._say(owned, outgoing)

    engine.Stage = DyingStage


# -- mistakes ---------------------------------------------------------------------------------------------------------


class _NothingToWaitFor:
    """Takes as the end of each input what has been forwarded of it: so the heartbeat's time has always been reached."""

    def __init__(self, probe: Any, progress: Progress, inputs: Sequence[str]) -> None:
        self._probe, self._progress, self._inputs = probe, progress, inputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._probe, name)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        ends: dict[TopicPartition, int] = await self._probe.end_offsets(partitions)
        return {tp: self._progress.at(TP(*tp)) if tp.topic in self._inputs else ends[tp] for tp in partitions}


def wall_clock(settings: Settings) -> None:
    """The watermark is what the clock shows, however far the inputs are behind."""
    del settings

    class ClockMarkers(Markers):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._probe: Any = _NothingToWaitFor(self._probe, self._progress, self._plan.inputs)

    engine.Markers = ClockMarkers


def source_ignored(settings: Settings) -> None:
    """The watermark does not wait for the warehouse."""
    ignored = set(settings.warehouse_topics)
    prove = Position.proved_ms

    def proved_ms(self: Position, sources: Sequence[str]) -> int:
        seen = self.seen
        self.seen = {topic: marks for topic, marks in seen.items() if topic not in ignored}
        try:
            return prove(self, [source for source in sources if source not in ignored])
        finally:
            self.seen = seen

    Position.proved_ms = proved_ms  # type: ignore[method-assign, assignment]


def markers_dropped(settings: Settings) -> None:
    """The markers for one partition of `returns` are never written."""

    class ForgetfulMarkers(Markers):
        def __init__(self, connection: Any, plan: Any, host: Any) -> None:
            super().__init__(connection, plan, host)
            send = engine_markers.send_grouped

            async def send_some(producer: Any, messages: dict[tuple[str, int], Any]) -> None:
                await send(producer, {to: what for to, what in messages.items() if to != lost})

            engine_markers.send_grouped = send_some

    lost = (settings.topics.returns, 1)
    engine_markers: Any = sys.modules["agents.markers"]
    engine.Markers = ForgetfulMarkers


class _CredulousCodes:
    """Carrier codes by which an announcement is as good as a scan."""

    def __init__(self, codes: CarrierCodes) -> None:
        self._codes = codes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codes, name)

    def lookup(self, *said: Any) -> Any:
        meaning = self._codes.lookup(*said)
        if meaning.evidence is Evidence.ANNOUNCED:
            return meaning._replace(milestone=Milestone.ACCEPTED, evidence=Evidence.CARRIER_SCAN)
        return meaning


def announced_is_a_scan(settings: Settings) -> None:
    """The carrier has the data, and that is taken for the parcel."""
    del settings
    worker: Any = worker_module
    read = worker.read_carrier_codes
    worker.read_carrier_codes = lambda path: _CredulousCodes(read(path))


def breach_does_not_wait(settings: Settings) -> None:
    """A case opens when the parcel's breach is heard of, wherever the return's own watermark stands."""
    del settings
    stage: Any = return_stage
    look = stage.look

    def hasty(return_id: str, state: ReturnState, now_ms: int, *rest: Any, **more: Any) -> Any:
        due_ms = [breach.due_ms for carried in state.carried for breach in carried.breaches]
        return look(return_id, state, max([now_ms, *due_ms]), *rest, **more)

    stage.look = hasty


def outbox_not_repeated(settings: Settings) -> None:
    """What a dead worker had still to say is forgotten."""
    del settings

    def repeat(self: Partition, reader: StateReader) -> list[Outgoing]:
        del self, reader
        return []

    Partition.repeat = repeat  # type: ignore[method-assign]


ALTERATIONS: dict[str, Alteration] = {
    alteration.__name__: alteration
    for alteration in (
        slow_warehouse,
        gated,
        dies_before_it_speaks,
        wall_clock,
        source_ignored,
        markers_dropped,
        announced_is_a_scan,
        breach_does_not_wait,
        outbox_not_repeated,
    )
}


def main() -> None:
    """Run the altered worker; its settings come from the environment as in production."""
    settings = Settings()
    configure_logging("json", "info")
    for name in os.environ[ALTERATIONS_VARIABLE].split(","):
        ALTERATIONS[name](settings)
    sys.exit(worker_module.run(settings))


if __name__ == "__main__":
    main()
