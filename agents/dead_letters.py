"""Writes refused records to `dead-letters`: original bytes, coordinates, a typed reason, what to do."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from faust.types.tuples import TP

from agents.fencing import start_producer
from agents.metrics import Metrics
from schemas.dead_letters import DeadLetterRecord, kept_letter
from schemas.topics import DEAD_LETTER_ROOM
from streams.intake import Refused
from streams.traces import context_of

if TYPE_CHECKING:  # its package is an extra
    from agents.letter_sealing import Sealer

SURELY_TAKEN_BYTES = 256 * 1024

log = structlog.get_logger(__name__)


class DeadLetterWriter:
    """Has its own producer, not idempotent: a record that the broker refuses must not poison anything else."""

    def __init__(
        self,
        connection: Mapping[str, Any],
        topic: str,
        max_record_bytes: int,
        metrics: Metrics,
        sealer: "Sealer | None" = None,
    ) -> None:
        """`sealer`: seals the original key, value and headers; None leaves them as they came."""
        self._topic = topic
        self._max_message_bytes = max_record_bytes + DEAD_LETTER_ROOM
        self._metrics = metrics
        self._sealer = sealer
        self._producer = AIOKafkaProducer(
            **connection,
            client_id="returnwatch-dead-letters",
            acks="all",
            max_request_size=128 * 1024 * 1024,
            request_timeout_ms=15_000,
        )

    async def start(self) -> None:
        """Connect; waits for the broker."""
        await start_producer(self._producer)

    async def write(self, tp: TP, refused: Sequence[Refused]) -> None:
        """Write the refused records of a chunk and wait for all replicas."""
        await asyncio.gather(*(self._write(tp, each) for each in refused))
        reasons = Counter(each.reason for each in refused)
        for reason, count in reasons.items():
            self._metrics.dead_letters.labels(reason).inc(count)
        log.info(
            "dead_letters",
            topic=tp.topic,
            partition=tp.partition,
            first_offset=refused[0].record.offset,
            reasons=dict(sorted(reasons.items())),
            first_trace_id=_trace_id(refused[0]),
        )

    async def _write(self, tp: TP, refused: Refused) -> None:
        try:
            await self._send(tp, refused, self._max_message_bytes)
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            # The topic takes less than it should: keep what fits, and say so.
            log.warning("dead_letter_cut", topic=self._topic, error=repr(error)[:200])
            await self._send(tp, refused, SURELY_TAKEN_BYTES)

    async def _send(self, tp: TP, refused: Refused, max_message_bytes: int) -> None:
        letter = await self._letter(tp, refused, max_message_bytes)
        # A Kafka client refuses a record without key and value; its headers say that the original had none.
        value = b"" if letter.key is None and letter.value is None else letter.value
        while True:
            try:
                await self._producer.send_and_wait(self._topic, value, key=letter.key, headers=letter.headers)
            except KafkaError as error:
                # Not idempotent, its batches expire with whatever was wrong last while the broker was away.
                if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                    raise
                await asyncio.sleep(0.5)
            else:
                return

    async def _letter(self, tp: TP, refused: Refused, max_message_bytes: int) -> DeadLetterRecord:
        record: Any = refused.record
        sealer = self._sealer
        kept = kept_letter(
            topic=tp.topic,
            partition=tp.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            original_headers=record.headers,
            reason=refused.reason,
            detail=refused.detail,
            action=refused.action,
            max_message_bytes=max_message_bytes - (sealer.bytes_around if sealer is not None else 0),
            sealed_for=sealer.fingerprints if sealer is not None else (),
        )
        if sealer is None:
            return kept.record()
        # In a thread: a whole chunk that is refused would hold up the heartbeats of the group for seconds.
        return await asyncio.to_thread(sealer.seal, kept)

    async def stop(self) -> None:
        """Disconnect."""
        await self._producer.stop()


def _trace_id(refused: Refused) -> str:
    context = context_of(refused.record.headers)
    return context.trace.hex() if context is not None else ""
