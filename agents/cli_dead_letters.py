"""`returnwatch dlq list|show|stats|redrive|discard|keygen`. Loads what it needs when it runs, as agents/cli.py."""
# ruff: noqa: PLC0415 - the lazy imports are the point of this file

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.flags import FLAG_OF_FIELD, FlagValues, Group, flags_of, takes_settings

if TYPE_CHECKING:
    from agents.letter_filter import Asked

INPUTS = [field for field in FLAG_OF_FIELD if field.endswith("_topics")]
LETTER_FLAGS = flags_of([Group.CONNECTION, Group.LETTERS], ["topic_prefix", *INPUTS])

Place = Annotated[
    str,
    typer.Argument(help="TOPIC/PARTITION@OFFSET of the refused record, or of its letter.", metavar="PLACE"),
]
Places = Annotated[
    list[str] | None,
    typer.Argument(
        help="Records; left out, all that the options choose.", metavar="PLACE", show_default=False
    ),
]
ByReason = Annotated[str | None, typer.Option("--reason", help="Refused for this reason.", metavar="REASON")]
ByTopic = Annotated[str | None, typer.Option("--topic", help="From this input topic.", metavar="TOPIC")]
Since = Annotated[str | None, typer.Option("--from", help="Refused at this time or later.", metavar="TIME")]
Before = Annotated[str | None, typer.Option("--to", help="Refused before this time.", metavar="TIME")]
OlderThan = Annotated[str | None, typer.Option(help="Refused longer ago.", metavar="DURATION")]
NewerThan = Annotated[str | None, typer.Option(help="Refused more recently.", metavar="DURATION")]
Everything = Annotated[bool, typer.Option("--all", help="Also what was redriven or discarded.")]
AllOfThem = Annotated[bool, typer.Option("--everything", help="All letters that nobody has dealt with.")]
By = Annotated[str, typer.Option(help="Who decides it: an opaque id, no e-mail address.", metavar="ID")]
Limit = Annotated[int, typer.Option(min=0, metavar="COUNT", help="At most so many; 0: all.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

dlq_app = typer.Typer(no_args_is_help=True, help="Dead letters: what was refused, and what becomes of it.")


def add_dead_letters(app: typer.Typer) -> None:
    """Give `returnwatch` what people do with dead letters."""
    app.add_typer(dlq_app, name="dlq")


@dlq_app.command("list")
@takes_settings(LETTER_FLAGS)
def _list(  # noqa: PLR0913, PLR0917 - one parameter for each option
    flags: FlagValues,
    reason: ByReason = None,
    topic: ByTopic = None,
    since: Since = None,
    before: Before = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    everything: Everything = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the letters that nobody has dealt with, the newest first."""
    from agents import dlq_command

    asked = _asked(reason, topic, since, before, older_than, newer_than)
    options = dlq_command.ListOptions(limit, everything, as_json)
    raise typer.Exit(dlq_command.list_letters(flags, asked, options))


@dlq_app.command("show")
@takes_settings(LETTER_FLAGS)
def _show(
    flags: FlagValues,
    place: Place,
    save: Annotated[
        Path | None, typer.Option(help="Write the record's bytes to this file, as they came.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one letter whole: why, what to do, headers, and the bytes that were refused."""
    from agents import dlq_command

    raise typer.Exit(dlq_command.show_letters_at(flags, place, save, as_json=as_json))


@dlq_app.command("stats")
@takes_settings(LETTER_FLAGS)
def _stats(  # noqa: PLR0913, PLR0917 - one parameter for each option
    flags: FlagValues,
    reason: ByReason = None,
    topic: ByTopic = None,
    since: Since = None,
    before: Before = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    everything: Everything = False,
    as_json: AsJson = False,
) -> None:
    """Count the letters by reason, topic and hour."""
    from agents import dlq_command

    asked = _asked(reason, topic, since, before, older_than, newer_than)
    raise typer.Exit(dlq_command.count_letters(flags, asked, everything=everything, as_json=as_json))


@dlq_app.command("redrive")
@takes_settings(LETTER_FLAGS)
def _redrive(  # noqa: PLR0913, PLR0917 - one parameter for each option
    flags: FlagValues,
    by: By,
    places: Places = None,
    reason: ByReason = None,
    topic: ByTopic = None,
    since: Since = None,
    before: Before = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    all_of_them: AllOfThem = False,
    limit: Limit = 0,
    rate: Annotated[int, typer.Option(min=1, metavar="COUNT", help="At most so many a second.")] = 100,
    max_redrives: Annotated[
        int, typer.Option(min=1, metavar="COUNT", help="Leave what was redriven so often already.")
    ] = 3,
    again: Annotated[bool, typer.Option("--again", help="Also what was redriven or discarded.")] = False,
    why: Annotated[str, typer.Option(help="One line for the record; no personal data.", metavar="TEXT")] = "",
    audit_id: Annotated[
        str | None,
        typer.Option(help="Of a run with --again that was cut off: to go on with it.", metavar="ID"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Send them; without, they are only listed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send refused records back to their topics, as they came, once what was wrong is mended."""
    from agents import dlq_deciding
    from schemas.dead_letter_outcomes import Outcome

    asked = _asked(reason, topic, since, before, older_than, newer_than, places)
    decision = dlq_deciding.Decision(
        outcome=Outcome.REDRIVEN,
        by=by,
        why=why,
        yes=yes,
        limit=limit,
        as_json=as_json,
        everything=all_of_them,
        rate=rate,
        most_redrives=max_redrives,
        again=again,
        audit_id=audit_id,
    )
    raise typer.Exit(dlq_deciding.decide(flags, asked, decision))


@dlq_app.command("discard")
@takes_settings(LETTER_FLAGS)
def _discard(  # noqa: PLR0913, PLR0917 - one parameter for each option
    flags: FlagValues,
    by: By,
    why: Annotated[str, typer.Option(help="One line for the record; no personal data.", metavar="TEXT")],
    places: Places = None,
    reason: ByReason = None,
    topic: ByTopic = None,
    since: Since = None,
    before: Before = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    all_of_them: AllOfThem = False,
    limit: Limit = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, they are only listed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Note that nobody needs these letters; they stay in their topic as long as it keeps them."""
    from agents import dlq_deciding
    from schemas.dead_letter_outcomes import Outcome

    asked = _asked(reason, topic, since, before, older_than, newer_than, places)
    decision = dlq_deciding.Decision(
        outcome=Outcome.DISCARDED,
        by=by,
        why=why,
        yes=yes,
        limit=limit,
        as_json=as_json,
        everything=all_of_them,
    )
    raise typer.Exit(dlq_deciding.decide(flags, asked, decision))


@dlq_app.command("keygen")
def _keygen(
    file: Annotated[
        Path, typer.Argument(help="Where the private key goes; the public one into FILE.pub.", metavar="FILE")
    ],
) -> None:
    """Make a key that dead letters can be sealed for. No file is ever overwritten."""
    from agents import dlq_command

    raise typer.Exit(dlq_command.make_key_files(file))


def _asked(
    reason: str | None,
    topic: str | None,
    since: str | None,
    before: str | None,
    older_than: str | None,
    newer_than: str | None,
    places: list[str] | None = None,
) -> "Asked":
    from agents.letter_filter import Asked

    return Asked(reason, topic, since, before, older_than, newer_than, tuple(places or ()))
