"""People at work beside the troubles: they read the escalations and tell what they do about cases, each thing twice.

Whatever is killed, each command must be answered, every time with the same record, and what was accepted must be seen in the
case's history at the revision that the answer names, said of that person.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.case_log import follow_escalations
from agents.errors import BrokerRefusedError, BrokerUnreachableError
from agents.kafka_connection import open_producer
from schemas.command_answers import CommandAnswer, decode_command_answer
from schemas.outputs import Escalation
from schemas.vocabulary import AnswerReason, CaseState, CommandType, Reason
from tests.chaos.installation import read_all

if TYPE_CHECKING:
    from tests.system.arena import Arena

MOST_COMMANDS = 600
PUT_OFF = timedelta(days=2)
"""How long a case is snoozed, in simulated time."""
SHARE = 8
"""One case in so many is treated by each verb; the others are left alone."""
VERBS = (
    CommandType.ACKNOWLEDGE,
    CommandType.SNOOZE,
    CommandType.ASSIGN,
    CommandType.NOTE,
    CommandType.RESOLVE,
)
SHOWS = {
    CommandType.ACKNOWLEDGE: Reason.ACKNOWLEDGED,
    CommandType.SNOOZE: Reason.SNOOZED,
    CommandType.ASSIGN: Reason.ASSIGNED,
    CommandType.RESOLVE: Reason.BY_HAND,
    CommandType.REOPEN: Reason.REOPENED,
}
"""What an escalation gives as its reason when the command was done; a note is in the answer alone."""
PLAUSIBLE = {
    AnswerReason.DONE,
    AnswerReason.CASE_CLOSED,
    AnswerReason.UNTIL_PASSED,
    AnswerReason.NOT_CLOSED_BY_HAND,
    AnswerReason.BREACH_OVER,
}


class Told(NamedTuple):
    """A command as it was sent."""

    verb: CommandType
    case_id: str
    by: str


class Desk:
    """Give `at_work` to `Arena.play` beside the troubles."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        """By command id."""

    async def at_work(self, arena: Arena) -> None:
        """Read and tell until the show is over, through every outage of the broker."""
        left = (arena.show.until_at - arena.simulated_now()).total_seconds() / arena.show.speed
        try:
            async with asyncio.timeout(left):
                await arena.sleep_until(arena.show.starts_at)
                while True:
                    try:
                        await self._work(arena)
                    except (KafkaError, BrokerUnreachableError, BrokerRefusedError, TimeoutError):
                        await asyncio.sleep(0.5)
        except TimeoutError:
            return

    async def _work(self, arena: Arena) -> None:
        async with open_producer(arena.settings) as producer:
            async for change in follow_escalations(arena.settings, from_start=True):
                for verb in _verbs_for(change):
                    await self._tell(verb, change, arena, producer)

    async def _tell(
        self, verb: CommandType, change: Escalation, arena: Arena, producer: AIOKafkaProducer
    ) -> None:
        command_id = f"{verb}-{change.case_id}"
        if command_id in self.told or len(self.told) >= MOST_COMMANDS:
            return
        now_at = arena.simulated_now()
        by = f"desk-{crc32(command_id.encode()) % 7}"
        command: dict[str, Any] = {
            "type": verb.value,
            "id": command_id,
            "occurred_at": now_at.isoformat(),
            "case_id": change.case_id,
            "by": by,
            **_about(change),
            **_details(verb, (now_at + PUT_OFF).isoformat()),
        }
        value = json.dumps(command).encode()
        topic = arena.settings.commands_topics[0]
        # Known before it is sent: a send that failed may have arrived all the same.
        self.told[command_id] = Told(verb, change.case_id, by)
        for _ in range(2):
            await _sent(producer, topic, value)

    async def problems(self, arena: Arena, changes: Iterable[Escalation]) -> list[str]:
        """What is wrong with the answers, in sentences. `changes`: all that `escalations` has told."""
        read = await read_all(arena.settings, [arena.settings.topics.command_answers])
        answers: dict[str, set[bytes]] = {}
        for records in read.values():
            for record in records:
                command_id = decode_command_answer(record.value).command_id
                answers.setdefault(command_id, set()).add(record.value)
        history = {(change.case_id, change.revision): change for change in changes}
        found = []
        for command_id, told in self.told.items():
            said = answers.get(command_id, set())
            if len(said) != 1:
                found.append(f"{command_id}: {len(said)} different answers")
            else:
                (answer,) = said
                found += _problems_of(told, decode_command_answer(answer), history)
        return found

    def story(self) -> str:
        """How often each verb was told."""
        counted = Counter(told.verb.value for told in self.told.values())
        return ", ".join(f"{verb} {count}" for verb, count in sorted(counted.items()))


async def _sent(producer: AIOKafkaProducer, topic: str, value: bytes) -> None:
    """Send until it is acknowledged: people try again, with the same id."""
    while True:
        try:
            await producer.send_and_wait(topic, value)
        except KafkaError:
            await asyncio.sleep(0.5)
        else:
            return


def _verbs_for(change: Escalation) -> list[CommandType]:
    lot = crc32(change.case_id.encode()) % SHARE
    if change.revision == 1 and lot < len(VERBS):
        return [VERBS[lot]]
    if change.reason is Reason.BY_HAND and crc32(change.case_id.encode()) % (2 * SHARE) >= SHARE:
        return [CommandType.REOPEN]
    return []


def _about(change: Escalation) -> dict[str, str]:
    if change.feed is not None:
        return {"carrier": "feed", "tracking_number": change.feed.name}
    if change.return_id:
        return {"return_id": change.return_id}
    return {"carrier": change.carrier, "tracking_number": change.tracking_number}


def _details(verb: CommandType, until: str) -> dict[str, str]:
    match verb:
        case CommandType.SNOOZE:
            return {"until": until}
        case CommandType.ASSIGN:
            return {"to": "team.north"}
        case CommandType.NOTE:
            return {"text": "asked the carrier"}
        case CommandType.RESOLVE:
            return {"reason": "claimed"}
        case _:
            return {}


def _problems_of(told: Told, answer: CommandAnswer, history: dict[tuple[str, int], Escalation]) -> list[str]:
    name = f"{told.verb} of {told.case_id}"
    if (answer.command, answer.case_id, answer.by) != told:
        return [f"{name}: the answer is to {answer.command} of {answer.case_id} by {answer.by}"]
    if answer.reason not in PLAUSIBLE:
        return [f"{name}: {answer.reason}"]
    change = history.get((told.case_id, answer.revision))
    if change is None:
        return [f"{name}: the answer names revision {answer.revision}, which was never told"]
    if answer.reason is AnswerReason.CASE_CLOSED and change.state in {CaseState.OPEN, CaseState.ESCALATED}:
        return [f"{name}: refused as closed, and it was {change.state}"]
    if answer.accepted and told.verb in SHOWS:
        person = (change.acknowledged_by, change.snoozed_by, change.resolved_by)
        named = told.by in person or told.verb in {CommandType.ASSIGN, CommandType.REOPEN}
        if change.reason is not SHOWS[told.verb] or not named:
            return [f"{name}: accepted, and revision {answer.revision} says {change.reason} of {person}"]
    return []
