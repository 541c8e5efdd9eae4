"""From a command of the contract to the record that is decided in `returns` (streams/case_commands.py, streams/forgetting.py)."""

from typing import Any, Protocol

from schemas.commands import Command, Forget
from schemas.durations import parse_duration
from schemas.facts import CaseCommand, Source
from schemas.vocabulary import Closure, CommandType, DeadLetterReason, ErasureReason
from streams.clocks import to_ms
from streams.identity import identity_of_content
from streams.refusal import RefusalError


class Stamp(Protocol):
    """What intake knows of an event besides what it says."""

    @property
    def event_id(self) -> str: ...
    @property
    def occurred_ms(self) -> int: ...
    @property
    def source(self) -> Source: ...

    def identity(self, name: str, *content: str) -> int:
        """The event's identity, by its id."""
        ...


def case_command(command: CommandType, event: Command, key: str, stamp: Stamp, until_ms: int) -> CaseCommand:
    """Return the record of a command about a case that lives under `key`. Raises RefusalError for one without an id."""
    _refuse_a_bad_id(stamp)
    said: Any = event  # what only some of the commands have
    duration_ms = _duration_ms(said, until_ms) if command is CommandType.SNOOZE else 0
    to, text, closure = getattr(said, "to", ""), getattr(said, "text", ""), getattr(said, "reason", None)
    audit_id = event.audit_id or ""
    until = str(until_ms) if until_ms else f"for {duration_ms}"
    content = (key, event.case_id, event.by, audit_id, until, to, text, closure or "")
    return CaseCommand(
        identity=stamp.identity(command.value),
        content=identity_of_content(command.value, *content),
        command=command,
        command_id=stamp.event_id,
        audit_id=audit_id or stamp.event_id,
        case_id=event.case_id,
        by=event.by,
        occurred_ms=stamp.occurred_ms,
        source=stamp.source,
        until_ms=until_ms,
        duration_ms=duration_ms,
        to=to,
        text=text,
        closure=Closure(closure) if closure else None,
    )


def _duration_ms(event: Any, until_ms: int) -> int:
    """For how long a case is put off, where no time is given. Raises RefusalError unless there is just one of them."""
    if (event.duration is None) == (until_ms == 0):
        reason = DeadLetterReason.BAD_VALUE if until_ms else DeadLetterReason.MISSING_FIELD
        raise RefusalError(reason, "until: a snooze needs either a time `until`, or a `duration`")
    if event.duration is None:
        return 0
    try:
        return to_ms(parse_duration(event.duration))
    except (ValueError, OverflowError) as error:
        raise RefusalError(DeadLetterReason.BAD_VALUE, f"duration: {error}") from error


def forget_command(event: Forget, key: str, stamp: Stamp, salt: str) -> CaseCommand:
    """Return the record that makes the return stage forget `key`. Raises RefusalError for a command without an id."""
    _refuse_a_bad_id(stamp)
    command, audit_id = CommandType.FORGET, event.audit_id or ""
    return CaseCommand(
        identity=stamp.identity(command.value),
        content=identity_of_content(command.value, key, event.by, audit_id, event.reason),
        command=command,
        command_id=stamp.event_id,
        audit_id=audit_id or stamp.event_id,
        case_id="",
        by=event.by,
        occurred_ms=stamp.occurred_ms,
        source=stamp.source,
        why=ErasureReason(event.reason),
        salt=salt,
    )


def _refuse_a_bad_id(stamp: Stamp) -> None:
    if not stamp.event_id:
        detail = "id: a command needs one, so that a repeat of it is known and its answer found"
        raise RefusalError(DeadLetterReason.MISSING_FIELD, detail)
    if "@" in stamp.event_id or any(map(str.isspace, stamp.event_id)):
        detail = "id: it is told again in the answer, so it must be no e-mail address and no name: letters, digits, -_.:/"
        raise RefusalError(DeadLetterReason.BAD_VALUE, detail)
