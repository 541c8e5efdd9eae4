"""Reads `escalations` as any consumer would: dedupe by `ce_id`, count the repeats. And what its marks tell of feeds."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.kafka_security import client_arguments
from agents.settings import Settings, SimulatedTime
from schemas.facts import MARKER_KEY, decode_marker
from schemas.outputs import decode_escalation
from schemas.topics import InputKind
from schemas.vocabulary import CaseState, RuleId
from simulation.feed_story import CARRIER
from simulation.marks_seen import MarksSeen
from simulation.scoreboard import Observed
from streams.epoch import moment_of


class EscalationReader:
    """Collects every escalation from the start of the topic, repeats too."""

    def __init__(self, settings: Settings, clock: SimulatedTime) -> None:
        self._settings = settings
        self._clock = clock
        self._ends_wanted = asyncio.Event()
        self._reached = asyncio.Event()
        self._known: set[tuple[str, int]] = set()
        self.observed: list[Observed] = []
        self.by_rule: Counter[tuple[RuleId, CaseState]] = Counter()
        """Changes, without repeats."""
        self.marks = MarksSeen(settings.topics.inputs[InputKind.CARRIER_SCANS], CARRIER.name)

    async def run(self) -> None:
        """Read until cancelled."""
        topic = self._settings.topics.escalations
        partitions = [TopicPartition(topic, number) for number in range(self._settings.returns_partitions)]
        partitions.append(TopicPartition(self._settings.topics.returns, 0))
        consumer = AIOKafkaConsumer(
            **client_arguments(self._settings), enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            while True:
                ends = await consumer.end_offsets(partitions) if self._ends_wanted.is_set() else None
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        self._take(record)
                if ends and all([await consumer.position(tp) >= ends[tp] for tp in partitions]):
                    self._reached.set()
        finally:
            with suppress(asyncio.CancelledError):
                await consumer.stop()

    def _take(self, record: Any) -> None:
        if record.topic == self._settings.topics.returns:
            self._note_marks(record)
            return
        observed_at = moment_of(self._clock.simulated_ms(record.timestamp))
        change = Observed.of(decode_escalation(record.value), observed_at)
        self.observed.append(change)
        if (change.case_id, change.revision) not in self._known:
            self._known.add((change.case_id, change.revision))
            self.by_rule[change.rule, change.state] += 1

    def _note_marks(self, record: Any) -> None:
        if record.key == MARKER_KEY:
            self.marks.add(decode_marker(record.value).marks)

    async def to_end(self) -> None:
        """Return when everything that is in the topic now has been read."""
        self._reached.clear()
        self._ends_wanted.set()
        await self._reached.wait()
