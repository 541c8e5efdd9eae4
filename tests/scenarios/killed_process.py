"""Both stages in one process, killed again and again: what was not durable is lost, what may not have been said is said again.

A kill meets a partition after a step: before its batch is durable, or after that and before its messages are out, or right after.
It goes on from what is durable: states, position, policy and rhythms; timers are armed anew. Intake forwards things twice.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any

from agents.virtual_time import StageLog, Store
from schemas.policy import Policy
from streams.intake import Stage
from streams.logic import Logic
from streams.parcel_stage import parcel_logic
from streams.partition import PARCELS_SOURCE, Partition
from streams.return_stage import return_logic
from streams.watermark import Outgoing
from tests.scenarios.one_process import PARTITIONS, OneProcess, SlowRoad

KILLED = 0.01
"""Share of the steps after which a partition is killed."""
TWICE = 0.05
"""Share of the records that intake forwards a second time."""


class KilledLog(StageLog):
    """One partition that is killed now and then."""

    def __init__(
        self,
        log: StageLog,
        new_logic: Callable[[], Logic],
        number: int,
        sources: Sequence[str],
        draw: Random,
    ) -> None:
        self.__dict__.update(log.__dict__)
        self._new_logic, self._number, self._sources, self._draw = new_logic, number, sources, draw
        self._position: bytes | None = None
        self._policy: bytes | None = None
        self._rhythms: bytes | None = None
        self._durable: dict[bytes, bytes] = {}
        self.kills = 0

    def work(self) -> list[Outgoing]:
        """Work through what waits in the log, however often it takes."""
        said: list[Outgoing] = []
        while self.partition.next_offset < self._end:
            offset = self.partition.next_offset
            start = next(at for at, record in enumerate(self._waiting) if record.offset >= offset)
            batch = self.partition.step(self._waiting, start, self.store, self._end)
            fate = self._draw.choice(("lost", "unsaid", "said")) if self._draw.random() < KILLED else ""
            if fate != "lost":
                self._keep(batch)
                said += batch.outgoing if fate != "unsaid" else []
            if fate:
                said += self._restart()
        self._waiting.clear()
        return said

    def _keep(self, batch: Any) -> None:
        self.store.apply(batch)
        self.counts.update(batch.counters)
        self._position = batch.position
        self._policy = batch.policy or self._policy
        self._rhythms = batch.rhythms or self._rhythms
        for write in batch.writes:
            if write.durable and write.raw is None:
                self._durable.pop(write.key, None)
            elif write.durable:
                self._durable[write.key] = write.raw

    def _restart(self) -> list[Outgoing]:
        self.kills += 1
        logic = self._new_logic()
        if self._policy is not None:
            logic.adopt(self._policy)
        self.store = Store()
        for key, raw in self._durable.items():
            self.store.put(key, logic.armed_ms(key, raw), raw)
        self.partition = Partition(
            self._new_logic(),
            self._number,
            position=self._position,
            policy=self._policy,
            rhythms=self._rhythms,
            sources=self._sources,
        )
        return self.partition.repeat(self.store)


class KilledRoad(SlowRoad):
    """Says each message once, as whoever reads the topics sees it; a repeat must be the same to the byte."""

    def __init__(self, policy: bytes, seed: int) -> None:
        super().__init__(policy, timedelta(0))
        draw = self._draw = Random(seed)
        roads = tuple(self._inputs)
        self._parcels = [
            KilledLog(log, lambda: parcel_logic(PARTITIONS), number, roads, draw)
            for number, log in enumerate(self._parcels)
        ]
        self._returns = [
            KilledLog(log, lambda: return_logic(PARTITIONS), number, (*roads, PARCELS_SOURCE), draw)
            for number, log in enumerate(self._returns)
        ]
        self._known: dict[str, Outgoing] = {}
        self.repeats = 0

    @property
    def kills(self) -> int:
        """How often any partition was killed."""
        return sum(log.kills for log in (*self._parcels, *self._returns) if isinstance(log, KilledLog))

    def take_in(self, facts: Sequence[tuple[Stage, bytes, bytes]], at_ms: int) -> None:  # type: ignore[override]
        super().take_in(facts, at_ms)
        if self._draw.random() < TWICE:
            super().take_in(facts, at_ms)

    def said(self) -> list[Outgoing]:
        first = []
        for message in super().said():
            name = dict(message.headers).get("ce_id", b"").decode()
            known = self._known.setdefault(f"{message.topic} {name}", message) if name else message
            if known is message:
                first.append(message)
            else:
                assert known == message
                self.repeats += 1
        return first


class KilledProcess(OneProcess):
    """`OneProcess`, killed anywhere."""

    def __init__(self, policy: Policy, seed: int) -> None:
        super().__init__(policy)
        self.killed = KilledRoad(policy.to_log(), seed)
        self.engine = self.killed
