"""`returnwatch cases acknowledge|snooze|assign|note|resolve|reopen`. Loads what it needs when it runs, as agents/cli.py."""
# ruff: noqa: PLC0415 - the lazy imports are the point of this file

from collections.abc import Callable
from typing import Annotated

import typer

from agents.cli_durations import duration_of
from agents.flags import FlagValues, Group, flags_of, takes_settings

FLAGS_OF_VERBS = flags_of([Group.CONNECTION], ["topic_prefix", "commands_topics"])

Case = Annotated[
    str, typer.Argument(help="Case id (or its start), return id or tracking number.", metavar="CASE")
]
MaybeCase = Annotated[
    str | None,
    typer.Argument(help="Case; left out, all that the options choose.", metavar="CASE", show_default=False),
]
By = Annotated[str, typer.Option(help="Who tells it: an opaque id, no e-mail address.", metavar="ID")]
Rule = Annotated[str | None, typer.Option(help="All of this rule.")]
Carrier = Annotated[str | None, typer.Option(help="All of this carrier.")]
OlderThan = Annotated[str | None, typer.Option(help="All due longer ago.", metavar="DURATION")]
NewerThan = Annotated[str | None, typer.Option(help="All due more recently.", metavar="DURATION")]
Yes = Annotated[bool, typer.Option("--yes", help="Tell it of all; without, they are only listed.")]
AuditId = Annotated[str | None, typer.Option(help="What commands given together share.", metavar="ID")]
CommandId = Annotated[
    str | None, typer.Option(help="Its id; the same once more changes nothing.", metavar="ID")
]
Wait = Annotated[str, typer.Option(help="How long to wait for the answer.", metavar="DURATION")]
AsJson = Annotated[bool, typer.Option("--json", help="The answers, for programs.")]


def add_verbs(cases: typer.Typer) -> None:
    """Give `returnwatch cases` what people can tell about cases."""
    for name, verb in _VERBS.items():
        cases.command(name)(verb)


@takes_settings(FLAGS_OF_VERBS)
def _acknowledge(  # noqa: PLR0913, PLR0917 - one parameter for each option
    flags: FlagValues,
    by: By,
    case: MaybeCase = None,
    rule: Rule = None,
    carrier: Carrier = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    yes: Yes = False,
    audit_id: AuditId = None,
    command_id: CommandId = None,
    wait: Wait = "30s",
    as_json: AsJson = False,
) -> None:
    """Say that somebody looks at a case: it goes up no further."""
    from agents import commanding

    told = commanding.Told("acknowledge", by, {}, audit_id, command_id, duration_of("--wait", wait), as_json)
    chosen = commanding.chosen(case, rule, carrier, older_than, newer_than, yes=yes)
    raise typer.Exit(commanding.tell(flags, told, chosen))


@takes_settings(FLAGS_OF_VERBS)
def _snooze(
    flags: FlagValues,
    case: Case,
    until: Annotated[
        str, typer.Option(help="2026-03-01T08:00:00Z, or from now on.", metavar="TIME|DURATION")
    ],
    by: By,
    audit_id: AuditId = None,
    command_id: CommandId = None,
    wait: Wait = "30s",
    as_json: AsJson = False,
) -> None:
    """Put a case off: until then it goes up no further."""
    from agents import commanding

    told = commanding.Told(
        "snooze", by, {"until": until}, audit_id, command_id, duration_of("--wait", wait), as_json
    )
    raise typer.Exit(commanding.tell(flags, told, commanding.chosen(case)))


@takes_settings(FLAGS_OF_VERBS)
def _assign(
    flags: FlagValues,
    case: Case,
    to: Annotated[str, typer.Option(help="Opaque id of a person or team.", metavar="ID")],
    by: By,
    audit_id: AuditId = None,
    command_id: CommandId = None,
    wait: Wait = "30s",
    as_json: AsJson = False,
) -> None:
    """Give a case to somebody."""
    from agents import commanding

    told = commanding.Told(
        "assign", by, {"to": to}, audit_id, command_id, duration_of("--wait", wait), as_json
    )
    raise typer.Exit(commanding.tell(flags, told, commanding.chosen(case)))


@takes_settings(FLAGS_OF_VERBS)
def _note(
    flags: FlagValues,
    case: Case,
    text: Annotated[str, typer.Argument(help="At most 1,000 characters; no personal data.", metavar="TEXT")],
    by: By,
    audit_id: AuditId = None,
    command_id: CommandId = None,
    wait: Wait = "30s",
    as_json: AsJson = False,
) -> None:
    """Note something about a case. It is passed on, and kept nowhere else."""
    from agents import commanding

    told = commanding.Told(
        "note", by, {"text": text}, audit_id, command_id, duration_of("--wait", wait), as_json
    )
    raise typer.Exit(commanding.tell(flags, told, commanding.chosen(case)))


@takes_settings(FLAGS_OF_VERBS)
def _resolve(  # noqa: PLR0913, PLR0917 - one parameter for each option
    flags: FlagValues,
    reason: Annotated[
        str,
        typer.Option(
            help="found, customer_helped, claimed, written_off, tracked_elsewhere, false_alarm or other."
        ),
    ],
    by: By,
    case: MaybeCase = None,
    rule: Rule = None,
    carrier: Carrier = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    yes: Yes = False,
    audit_id: AuditId = None,
    command_id: CommandId = None,
    wait: Wait = "30s",
    as_json: AsJson = False,
) -> None:
    """Close a case by hand: it does not open again by itself."""
    from agents import commanding

    waited = duration_of("--wait", wait)
    told = commanding.Told("resolve", by, {"reason": reason}, audit_id, command_id, waited, as_json)
    chosen = commanding.chosen(case, rule, carrier, older_than, newer_than, yes=yes)
    raise typer.Exit(commanding.tell(flags, told, chosen))


@takes_settings(FLAGS_OF_VERBS)
def _reopen(
    flags: FlagValues,
    case: Case,
    by: By,
    audit_id: AuditId = None,
    command_id: CommandId = None,
    wait: Wait = "30s",
    as_json: AsJson = False,
) -> None:
    """Open a case again that was resolved by hand, as long as what it tells of is so."""
    from agents import commanding

    told = commanding.Told("reopen", by, {}, audit_id, command_id, duration_of("--wait", wait), as_json)
    raise typer.Exit(commanding.tell(flags, told, commanding.chosen(case)))


_VERBS: dict[str, Callable[..., None]] = {
    "acknowledge": _acknowledge,
    "snooze": _snooze,
    "assign": _assign,
    "note": _note,
    "resolve": _resolve,
    "reopen": _reopen,
}
