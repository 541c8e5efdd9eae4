"""From a command of the contract to the record that is decided in `returns` (streams/case_commands.py, streams/forgetting.py)."""

from typing import Any, Protocol

from schemas.commands import Command, Forget
from schemas.facts import CaseCommand, Source
from schemas.vocabulary import Closure, CommandType, DeadLetterReason, ErasureReason
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
    _refuse_without_id(stamp)
    said: Any = event  # what only some of the commands have
    to, text, closure = getattr(said, "to", ""), getattr(said, "text", ""), getattr(said, "reason", None)
    audit_id = event.audit_id or ""
    content = (key, event.case_id, event.by, audit_id, str(until_ms), to, text, closure or "")
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
        to=to,
        text=text,
        closure=Closure(closure) if closure else None,
    )


def forget_command(event: Forget, key: str, stamp: Stamp, salt: str) -> CaseCommand:
    """Return the record that makes the return stage forget `key`. Raises RefusalError for a command without an id."""
    _refuse_without_id(stamp)
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


def _refuse_without_id(stamp: Stamp) -> None:
    if not stamp.event_id:
        detail = "id: a command needs one, so that a repeat of it is known and its answer found"
        raise RefusalError(DeadLetterReason.MISSING_FIELD, detail)
