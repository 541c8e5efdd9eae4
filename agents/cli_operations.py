"""`returnwatch forget` and `returnwatch backfill begin|end|status`. Loads what it needs when it runs, as agents/cli.py."""
# ruff: noqa: PLC0415 - the lazy imports are the point of this file

from typing import Annotated

import typer

from agents.cli_durations import duration_of
from agents.flags import FlagValues, Group, flags_of, takes_settings

FORGET_FLAGS = flags_of([Group.CONNECTION], ["topic_prefix", "commands_topics"])
BACKFILL_FLAGS = flags_of(
    [Group.CONNECTION],
    ["topic_prefix", "parcels_partitions", "returns_partitions", "replication_factor"],
)

By = Annotated[str, typer.Option(help="Who tells it: an opaque id, no e-mail address.", metavar="ID")]
GoLive = Annotated[
    str | None,
    typer.Option("--go-live", help="What was due before this time calls nobody.", metavar="TIME"),
]
Wait = Annotated[str, typer.Option(help="How long to wait until it has happened.", metavar="DURATION")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

backfill_app = typer.Typer(no_args_is_help=True, help="Load history: no timer fires meanwhile.")


def add_operations(app: typer.Typer) -> None:
    """Give `returnwatch` what is done to a whole installation or a whole return."""
    app.command("forget")(_forget)
    app.add_typer(backfill_app, name="backfill")


@takes_settings(FORGET_FLAGS)
def _forget(  # noqa: PLR0913, PLR0917 - one parameter for each option
    flags: FlagValues,
    return_id: Annotated[str, typer.Argument(help="The return (RMA).", metavar="RETURN_ID")],
    by: By,
    reason: Annotated[
        str,
        typer.Option(help="data_subject_request, retention_ended, recorded_by_mistake or other."),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what there is of it.")] = False,
    even_if_unknown: Annotated[
        bool, typer.Option("--even-if-unknown", help="Also when nothing is known of it: it may come later.")
    ] = False,
    command_id: Annotated[
        str | None, typer.Option(help="Its id; the same once more changes nothing.", metavar="ID")
    ] = None,
    wait: Wait = "30s",
    as_json: AsJson = False,
) -> None:
    """Erase a return: its state, its parcels and its cases. What comes of it later is ignored."""
    from agents import forget_command

    told = forget_command.Erasing(
        return_id, by, reason, yes, dry_run, even_if_unknown, command_id, duration_of("--wait", wait), as_json
    )
    raise typer.Exit(forget_command.forget(flags, told))


@backfill_app.command("begin")
@takes_settings(BACKFILL_FLAGS)
def _begin(flags: FlagValues, by: By, go_live: GoLive = None) -> None:
    """Hold all timers from here on, so that history can be loaded in any order."""
    from agents import backfill_command

    told = backfill_command.Told(by, backfill_command.time_of("--go-live", go_live))
    raise typer.Exit(backfill_command.begin(flags, told))


@backfill_app.command("end")
@takes_settings(BACKFILL_FLAGS)
def _end(flags: FlagValues, by: By, go_live: GoLive = None, wait: Wait = "60s") -> None:
    """Let timers go on, and tell how many historical cases that has opened."""
    from agents import backfill_command

    told = backfill_command.Told(by, backfill_command.time_of("--go-live", go_live))
    raise typer.Exit(backfill_command.end(flags, told, duration_of("--wait", wait)))


@backfill_app.command("status")
@takes_settings(BACKFILL_FLAGS)
def _status(flags: FlagValues, as_json: AsJson = False) -> None:
    """Show whether timers are held, and where every partition stands."""
    from agents import backfill_command

    raise typer.Exit(backfill_command.status(flags, as_json=as_json))
