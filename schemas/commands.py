"""Input contract, version 1: what people tell about cases and returns, on topics of the kind `commands`.

A command has an `id` of its sender's: a repeat with the same id changes nothing and gets the same answer. People and
teams are named by opaque ids, which have no room for an e-mail address or a full name. docs/commands.md, docs/privacy.md.
"""

from typing import Annotated, Literal

import msgspec
from pydantic import Field, StringConstraints

from schemas.durations import DURATION_PATTERN
from schemas.event_fields import MAX_ID_CHARS, AboutParcelOrReturn, InputEvent, KeyPart, Name, Time

MAX_NOTE_CHARS = 1_000

CaseId = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
    msgspec.Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"),
]
NoteText = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=MAX_NOTE_CHARS),
    msgspec.Meta(min_length=1, max_length=MAX_NOTE_CHARS),
]


CommandId = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=MAX_ID_CHARS, pattern=r"^[^@\s]+$"),
    msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS, pattern=r"^[^@\s]+\Z"),
]
"""It is told again in the answer, so it has no room for an e-mail address or a full name."""
DurationText = Annotated[
    str, StringConstraints(strict=True, pattern=DURATION_PATTERN), msgspec.Meta(pattern=DURATION_PATTERN)
]


class Command(AboutParcelOrReturn):
    """What every command has."""

    id: Annotated[
        CommandId | None,
        Field(
            description="Needed, here or in a CloudEvents envelope; a repeat carries the same. No e-mail address."
        ),
    ] = None
    case_id: Annotated[CaseId, Field(description="As in `cases`.")]
    by: Annotated[Name, Field(description="Opaque id of who tells it; no e-mail address, no full name.")]
    audit_id: Annotated[
        Name | None, Field(description="What commands given together share; left out, the command's id.")
    ] = None


class Acknowledge(Command):
    """Somebody looks at it: the case goes up no further."""

    type: Literal["acknowledge"]


class Snooze(Command):
    """Not before a time: the case goes up no further until then, and then catches up."""

    type: Literal["snooze"]
    until: Annotated[Time | None, Field(description="Needed, unless there is a duration.")] = None
    duration: Annotated[
        DurationText | None,
        Field(
            description="In place of `until`: so long from when it is decided, by the log's clock. `2d`, `36h`."
        ),
    ] = None


class Assign(Command):
    """Somebody's, or a team's, from now on."""

    type: Literal["assign"]
    to: Annotated[Name, Field(description="Opaque id of a person or team.")]


class Note(Command):
    """Something to remember about a case. It is passed on in the answer and kept nowhere else."""

    type: Literal["note"]
    text: Annotated[NoteText, Field(description="No personal data.")]


class Resolve(Command):
    """The case is done with, whatever is still missing."""

    type: Literal["resolve"]
    reason: Annotated[
        Literal[
            "found",
            "customer_helped",
            "claimed",
            "written_off",
            "tracked_elsewhere",
            "false_alarm",
            "other",
        ],
        Field(description="schemas.vocabulary.Closure"),
    ]


class Reopen(Command):
    """Resolved by hand, and too early."""

    type: Literal["reopen"]


class Forget(InputEvent):
    """Erase all that is kept of a return, and take nothing in of it any more (docs/privacy.md)."""

    type: Literal["forget"]
    id: Annotated[
        CommandId | None,
        Field(description="Needed, here or in a CloudEvents envelope; no return id in it: it is kept."),
    ] = None
    return_id: Annotated[KeyPart, Field(description="The return (RMA).")]
    by: Annotated[Name, Field(description="Opaque id of who tells it; no e-mail address, no full name.")]
    audit_id: Annotated[
        Name | None, Field(description="What commands given together share; left out, the command's id.")
    ] = None
    reason: Annotated[
        Literal["data_subject_request", "retention_ended", "recorded_by_mistake", "other"],
        Field(description="schemas.vocabulary.ErasureReason"),
    ]
