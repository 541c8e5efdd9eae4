"""Writes redriven records and what was decided about letters: both or neither, in one transaction, and one command at a time.

Whoever starts shuts out whoever was before it, and ends what that one had begun (the broker does, by the transactional id).
Only then are the outcomes read, so they are all there, and no letter is sent twice: not after a kill, not by two people at once.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from msgspec.structs import replace

from agents.errors import BrokerRefusedError, BrokerUnreachableError, DeadLettersError, Finding
from agents.kafka_security import client_arguments
from agents.letter_log import Outcomes, read_outcomes
from agents.settings import Settings
from schemas.dead_letter_outcomes import LetterOutcome, encode_outcome
from schemas.dead_letters import Headers
from schemas.topics import MIB
from streams.letters import place_of

TRANSACTION_TIMEOUT_MS = 30_000
"""So long, and some seconds, a killed command may hold the readers of an input topic, unless it is given again."""
BATCH_SECONDS = 60.0
STOP_SECONDS = 5.0
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class Way(NamedTuple):
    """A record on its way back to its topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class Decided:
    """What is decided about one letter; `way`: with a record to send, None when it is discarded."""

    outcome: LetterOutcome
    way: Way | None = None


class LetterSender:
    """An async context manager; within it, no other command redrives or discards, or this one ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transactional_id = f"{settings.app_id}-dead-letters"
        self._producer: AIOKafkaProducer | None = None
        self.outcomes: Outcomes = {}
        """All that was decided so far, by this command and by every other."""

    async def __aenter__(self) -> Self:
        await self._start()
        try:
            self.outcomes = await read_outcomes(self._settings, required=True)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def write(self, batch: Sequence[Decided]) -> tuple[list[LetterOutcome], list[Decided]]:
        """Write it whole. Returns the outcomes, and what was left because its topic does not take so much.

        Raises:
            DeadLettersError: another command has taken over.
            BrokerRefusedError, BrokerUnreachableError: nothing of it was written, or (then it is known to the next
                command) all of it.
        """
        try:
            async with asyncio.timeout(BATCH_SECONDS):
                return await self._write(batch)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise DeadLettersError([_taken_over()]) from error
        except TopicAuthorizationFailedError as error:
            raise BrokerRefusedError([self._may_not_write(batch)]) from error
        except (TimeoutError, KafkaTimeoutError, IllegalOperation) as error:
            raise BrokerUnreachableError([_lost(error)]) from error

    async def _write(self, batch: Sequence[Decided]) -> tuple[list[LetterOutcome], list[Decided]]:
        left: list[Decided] = []
        while True:
            wanted = [one for one in batch if one not in left]
            assert self._producer is not None
            await self._producer.begin_transaction()
            outcomes, too_large = await self._send(self._producer, wanted)
            if not too_large:
                await self._producer.commit_transaction()
                self.outcomes |= {(one.record, one.sha256): one for one in outcomes}
                return outcomes, left
            left += too_large
            await self._go_on()

    async def _go_on(self) -> None:
        """With another producer: what a broker refuses leaves a gap in the numbers of the one that sent it.

        To begin anew shuts out everybody else. Who had begun meanwhile may have sent what we have not read: then we end.
        """
        await self._stop()
        await self._start()
        now = await read_outcomes(self._settings, required=True)
        if any(self.outcomes.get(identity) != outcome for identity, outcome in now.items()):
            raise DeadLettersError([_taken_over()])

    async def _send(
        self, producer: AIOKafkaProducer, batch: Sequence[Decided]
    ) -> tuple[list[LetterOutcome], list[Decided]]:
        sending: list[Any] = []
        for one in batch:
            if one.way is not None:
                way = one.way
                sent = producer.send(
                    way.topic, way.value, key=way.key, partition=way.partition, headers=way.headers
                )
                sending.append((one, await sent))
        answers = await asyncio.gather(*(future for _, future in sending), return_exceptions=True)
        # First: whatever else is wrong then may only follow from it.
        too_large = [
            one for (one, _), answer in zip(sending, answers, strict=True) if isinstance(answer, TOO_LARGE)
        ]
        if too_large:
            return [], too_large
        outcomes = {id(one): one.outcome for one in batch}
        for (one, _), answer in zip(sending, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            lies_at = place_of(answer.topic, answer.partition, answer.offset)
            outcomes[id(one)] = replace(one.outcome, sent_to=lies_at)
        topic = self._settings.topics.dead_letter_outcomes
        told = list(outcomes.values())
        noted = [
            await producer.send(topic, encode_outcome(outcome), key=outcome.record.encode())
            for outcome in told
        ]
        await asyncio.gather(*noted)
        return told, []

    async def _start(self) -> None:
        producer = AIOKafkaProducer(
            **client_arguments(self._settings),
            transactional_id=self._transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_request_size=128 * MIB,
            request_timeout_ms=15_000,
        )
        try:
            await producer.start()
        except TransactionalIdAuthorizationFailed as error:
            await producer.stop()
            raise BrokerRefusedError([self._may_not_begin()]) from error
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def _stop(self) -> None:
        """Nothing that is not committed will be: what is left open is ended by whoever starts next, or by time."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        with suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(STOP_SECONDS):
                if producer._txn_manager.is_in_transaction():
                    await producer.abort_transaction()
        with suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(STOP_SECONDS):
                await producer.stop()

    def _may_not_begin(self) -> Finding:
        user = f"User:{self._settings.sasl_username or 'ANONYMOUS'}"
        todo = (
            f"kafka-acls.sh --bootstrap-server ... --add --allow-principal {user} --operation Write --operation Describe "
            f"--transactional-id {self._transactional_id}"
        )
        return Finding(
            f"transactional-id {self._transactional_id}", f"{user} may not write with it", todo=todo
        )

    def _may_not_write(self, batch: Sequence[Decided]) -> Finding:
        user = f"User:{self._settings.sasl_username or 'ANONYMOUS'}"
        topics = sorted({one.way.topic for one in batch if one.way is not None})
        topics.append(self._settings.topics.dead_letter_outcomes)
        todo = f"kafka-acls.sh --bootstrap-server ... --add --allow-principal {user} --operation Write --topic ..."
        return Finding(f"topic {', '.join(topics)}", f"{user} may not write to one of them", todo=todo)


def _taken_over() -> Finding:
    what = "another `returnwatch dlq redrive` or `discard` has begun, and this one was shut out"
    why = "one at a time: else both would send the same letters"
    todo = "what is told above has been done; give the command again when the other one has ended"
    return Finding("dead letters", what, why, todo)


def _lost(error: Exception) -> Finding:
    what = f"the broker did not answer in time ({type(error).__name__})"
    todo = "give the same command again: it goes on where this one was"
    return Finding("Kafka", what, todo=todo)
