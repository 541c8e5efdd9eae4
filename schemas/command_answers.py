"""What became of a command: value and headers of `command-answers`. The same answer encodes to the same bytes."""

import msgspec

from schemas.outputs import CE_SOURCE, Time, cloud_event_fields
from schemas.vocabulary import AnswerReason, CommandType, ErasureReason


class CommandAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Value of `command-answers` (key: return id): whether a command was taken, and why not. Times are UTC.

    An answer about a return that was forgotten, or is now, names neither the return nor a case; its key is `command_id`.
    """

    answer_id: str
    """uuid5 of the command's id and content: a repeat of the command gets the same answer under the same id."""
    command_id: str
    audit_id: str
    """What commands given together share."""
    command: CommandType
    accepted: bool
    reason: AnswerReason
    explanation: str
    """One English sentence for a person."""
    case_id: str
    return_id: str
    parcel: str = ""
    """Only where the case has no return."""
    by: str
    at: Time
    """When it was told, by the sender's clock."""
    effective_at: Time
    """When it was decided, by the log's clock."""
    revision: int = 0
    """Of the change that it made, or of the case as it stood; 0: there is none."""
    note: str = ""
    """Only of a note; it is kept nowhere else."""
    why: ErasureReason | None = None
    """Only of `forget`."""


_encode = msgspec.json.Encoder(order="deterministic").encode
decode_command_answer = msgspec.json.Decoder(CommandAnswer).decode


def encode_command_answer(answer: CommandAnswer) -> bytes:
    """Return the record value for `command-answers`; equal answers give equal bytes."""
    return _encode(answer)


def command_answer_headers(answer: CommandAnswer, source: str = CE_SOURCE) -> list[tuple[str, bytes]]:
    """Return the CloudEvents 1.0 binary-mode headers of an answer."""
    ce_type = f"com.returnwatch.command.{'accepted' if answer.accepted else 'refused'}.v1"
    return cloud_event_fields(answer.answer_id, ce_type, answer.return_id, answer.effective_at, source)
