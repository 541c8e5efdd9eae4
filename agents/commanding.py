"""What a person tells about cases, from the command line: one command for each case, and the answers to them."""

import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.text import Text

from agents.case_filter import CaseFilter, case_filter
from agents.case_log import CaseTable, read_cases
from agents.case_subject import naming, state_key
from agents.case_view import show_list
from agents.cases_command import matches
from agents.durations import duration_text, parse_duration
from agents.errors import CaseNotFoundError, CommandsError, Finding, SettingsError
from agents.kafka_connection import open_consumer, open_producer, reachable, run
from agents.log_reading import partitions_of
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import out, say, show_findings, write_line
from schemas.command_answers import CommandAnswer, decode_command_answer
from schemas.durations import duration_text as canonical_text
from schemas.outputs import Case
from schemas.topics import InputKind
from schemas.vocabulary import CommandType
from streams.keys import partition_of
from streams.reading import EventReader
from streams.refusal import RefusalError

POLL_MS = 500
SHOWN_CHOICES = 5
SOME_CASE = {"case_id": str(uuid.UUID(int=0)), "return_id": "any"}
"""To find what is wrong with a command before it is known about which case it is."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was typed, of whatever cases."""

    command: str
    by: str
    said: Mapping[str, str]
    """What only this command says: `until`, `to`, `text`, `reason`."""
    audit_id: str | None
    command_id: str | None
    wait: timedelta
    as_json: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which cases it is told of: the one of that name, or all that a filter takes."""

    name: str
    wanted: CaseFilter | None
    yes: bool
    audit_id: str = field(default_factory=lambda: f"audit-{uuid.uuid4()}")
    """What commands to all of them share, unless another was typed."""


class Written(NamedTuple):
    """A command on its way to the topic."""

    command_id: str
    key: bytes
    value: bytes


def chosen(
    case: str | None,
    rule: str | None = None,
    carrier: str | None = None,
    older_than: str | None = None,
    newer_than: str | None = None,
    *,
    yes: bool = False,
) -> Chosen:
    """Return what was chosen. Raises SettingsError unless it is either one case or a filter."""
    filtered = [rule, carrier, older_than, newer_than] != [None] * 4
    if (case is None) != filtered:
        what = "comes together with options that choose others" if case else "is missing"
        raise SettingsError(
            [
                Finding(
                    "CASE",
                    what,
                    todo="name one case, or choose by --rule, --carrier, --older-than or --newer-than",
                )
            ]
        )
    if case is not None:
        return Chosen(case, None, yes)
    return Chosen("", case_filter(rule, carrier, "active", older_than, newer_than), yes)


def tell(flags: Mapping[str, object], told: Told, whom: Chosen) -> int:
    """Send a command for each chosen case and print the answers; 1 unless all of them were accepted."""
    check(told)
    settings = load_settings(flags)
    if not settings.commands_topics:
        todo = "name the topic that the workers read commands from"
        raise SettingsError([Finding("--commands-topic", "there is none", todo=todo)])
    return run(_tell(settings, told, whom))


def check(told: Told) -> None:
    """Raise SettingsError for what the contract does not take, whatever case it is about."""
    _value(told, SOME_CASE, told.command_id or "any", told.audit_id, datetime.now(UTC))


async def _tell(settings: Settings, told: Told, whom: Chosen) -> int:
    await reachable(settings)
    table = await read_cases(settings)
    now = table.now(datetime.now(UTC))
    cases = _chosen_cases(table, whom, now, told.command)
    if not cases:
        say(f"there are no such cases to {told.command}")
        return 0
    if whom.wanted is not None and not whom.yes:
        show_list(cases, now, left_out=0)
        say(f"nothing was told yet: the same with --yes would {told.command} these")
        return 0
    sent = [_written(told, case, whom, now) for case in cases]
    again = f"--audit-id {told.audit_id or whom.audit_id}" if whom.wanted is not None else ""
    return _show(settings, told, sent, await send(settings, sent, told.wait), again)


def _chosen_cases(table: CaseTable, whom: Chosen, now: datetime, command: str) -> list[Case]:
    if whom.wanted is not None:
        found = [case for case in table.cases.values() if whom.wanted.takes(case, now)]
        if command == CommandType.ACKNOWLEDGE:  # nobody is to lose a case to somebody who only saw a list
            found = [case for case in found if not _is_seen_to(case, now)]
        return sorted(found, key=lambda case: (-case.level, case.due_at, case.case_id))
    found = [case for case in table.cases.values() if matches(case, whom.name)]
    if len(found) == 1:
        return found
    if not found:
        what = f"no case, return or parcel of that name among {len(table.cases)} cases"
        todo = "`returnwatch cases list --state all --limit 0` shows them all"
        raise CaseNotFoundError([Finding(whom.name, what, todo=todo)])
    named = ", ".join(f"{case.case_id[:8]} ({case.rule}, {case.state})" for case in found[:SHOWN_CHOICES])
    todo = "give the id of the one that is meant"
    raise CaseNotFoundError([Finding(whom.name, f"names {len(found)} cases: {named}", todo=todo)])


def _is_seen_to(case: Case, now: datetime) -> bool:
    """Whether somebody looks at it, or has put it off."""
    return bool(case.acknowledged_by) or (case.snoozed_until is not None and case.snoozed_until > now)


def _written(told: Told, case: Case, whom: Chosen, now: datetime) -> Written:
    """The command about one case."""
    audit_id, command_id = told.audit_id, told.command_id
    if whom.wanted is not None:
        audit_id = audit_id or whom.audit_id
        command_id = f"{command_id or audit_id}:{case.case_id}"
    return written_about(case, replace(told, command_id=command_id, audit_id=audit_id), now)


def written_about(case: Case, told: Told, now: datetime) -> Written:
    """The command about one case, as the topic takes it. Raises SettingsError for what the contract does not take."""
    command_id = told.command_id or str(uuid.uuid4())
    about = {"case_id": case.case_id, **naming(case)}
    return Written(command_id, state_key(case), _value(told, about, command_id, told.audit_id, now))


def _value(
    told: Told, about: Mapping[str, str], command_id: str, audit_id: str | None, now: datetime
) -> bytes:
    """The command as it is written to the topic. Raises SettingsError for what the contract does not take."""
    event = {
        "type": told.command,
        "id": command_id,
        "occurred_at": now.isoformat(),
        "by": told.by,
        **told.said,
    }
    event |= about
    if audit_id is not None:
        event["audit_id"] = audit_id
    if told.command == CommandType.SNOOZE:
        event |= _until(event.pop("until"))
    return checked(json.dumps(event).encode())


def checked(value: bytes) -> bytes:
    """The command, if intake will take it. Raises SettingsError for what the contract does not take."""
    reader = EventReader(InputKind.COMMANDS, len(value))
    try:
        reader.read(reader.check(value))
    except RefusalError as refusal:
        found = [one.partition(": ") for one in refusal.detail.split("; ")]
        raise SettingsError(
            [Finding(f"`{name}`", what, todo=refusal.action) for name, _, what in found]
        ) from refusal
    return value


def _until(text: str) -> dict[str, str]:
    """A duration travels as one: the same once more says the same, and the log's clock, which may be behind, measures it."""
    if "T" in text:
        return {"until": text}
    try:
        return {"duration": canonical_text(parse_duration(text))}
    except (ValueError, OverflowError) as error:
        todo = "write 2026-03-01T08:00:00Z, or 2d for two days from now on"
        raise SettingsError(
            [Finding("--until", f"{text!r} is no time and no duration", todo=todo)]
        ) from error


# -- sending, and waiting for answers ----------------------------------------------------------------------------


async def send(settings: Settings, sent: Sequence[Written], wait: timedelta) -> dict[str, CommandAnswer]:
    """Command id -> answer, of those that were answered in time."""
    topic = settings.commands_topics[0]
    await partitions_of(settings, topic)
    everywhere = await partitions_of(settings, settings.topics.command_answers)
    numbers = {partition_of(one.key, len(everywhere)) for one in sent}
    places = [place for place in everywhere if place.partition in numbers]
    async with open_consumer(settings) as consumer:
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        for place in places:
            await consumer.position(place)  # where it is to read from is fixed before anything is sent
        async with open_producer(settings) as producer:
            for one in sent:
                await producer.send_and_wait(topic, one.value, key=one.key)
        waiting = {one.command_id for one in sent}
        return {answer.command_id: answer async for answer in _answers(consumer, waiting, wait)}


async def _answers(
    consumer: AIOKafkaConsumer, waiting: set[str], wait: timedelta
) -> AsyncIterator[CommandAnswer]:
    until = time.monotonic() + wait.total_seconds()
    while waiting and time.monotonic() < until:
        chunks: Mapping[TopicPartition, Sequence[object]] = await consumer.getmany(timeout_ms=POLL_MS)
        for record in (record for records in chunks.values() for record in records):
            answer = _answer(getattr(record, "value", None))
            if answer is not None and answer.command_id in waiting:
                waiting.discard(answer.command_id)
                yield answer


def _answer(value: bytes | None) -> CommandAnswer | None:
    try:
        return decode_command_answer(value or b"")
    except msgspec.DecodeError:
        return None


def _show(
    settings: Settings,
    told: Told,
    sent: Sequence[Written],
    answers: Mapping[str, CommandAnswer],
    again: str,
) -> int:
    findings = []
    for one in sent:
        answer = answers.get(one.command_id)
        if answer is None:
            what = f"was sent to {settings.commands_topics[0]}, and not answered within {duration_text(told.wait)}"
            same = again or f"--command-id {one.command_id}"
            todo = f"is a worker running that reads it? The same with {same} is not done twice"
            findings.append(Finding(f"command {one.command_id}", what, todo=todo))
            continue
        if told.as_json:
            write_line(msgspec.json.encode(answer).decode())
        elif answer.accepted:
            out.print(_line(answer))
        if not answer.accepted:
            where = f"case {answer.case_id}"
            findings.append(
                Finding(where, f"{told.command} was refused, {answer.reason}", answer.explanation)
            )
    show_findings(findings)
    return CommandsError.exit_code if findings else 0


def _line(answer: CommandAnswer) -> Text:
    subject = answer.return_id or answer.parcel
    what = "done" if answer.reason == "done" else "it was so already"
    revision = f"revision {answer.revision}"
    return Text.assemble((f"{answer.command} ", "bold"), f"{answer.case_id} {subject}: {what}, {revision}")
