"""`returnwatch state inspect|verify|rebuild`. Loads what it needs when it runs, as agents/cli.py."""
# ruff: noqa: PLC0415 - the lazy imports are the point of this file

from typing import Annotated

import typer

from agents.flags import FlagValues, Group, flags_of, takes_settings

DIRECTORY_FLAGS = flags_of(fields=["data_dir"])
VERIFY_FLAGS = flags_of([Group.CONNECTION], ["topic_prefix", "data_dir"])

Partitions = Annotated[
    list[str] | None, typer.Argument(help="As parcels/3; left out, all.", metavar="PARTITION...")
]

state_app = typer.Typer(no_args_is_help=True, help="The local state of a stopped worker.")


def add_state(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(state_app, name="state")


@state_app.command("inspect")
@takes_settings(DIRECTORY_FLAGS)
def _inspect(
    flags: FlagValues,
    partitions: Partitions = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what a data directory holds: records, timers, positions, sizes."""
    from agents import state_command

    raise typer.Exit(state_command.inspect(flags, partitions or (), as_json=as_json))


@state_app.command("verify")
@takes_settings(VERIFY_FLAGS)
def _verify(
    flags: FlagValues,
    partitions: Partitions = None,
    against_changelog: Annotated[
        bool,
        typer.Option("--against-changelog", help="Also compare it with the changelog; asks the cluster."),
    ] = False,
) -> None:
    """Read everything that a data directory holds, and tell what is wrong with it."""
    from agents import state_command

    raise typer.Exit(state_command.verify(flags, partitions or (), against_changelog=against_changelog))


@state_app.command("rebuild")
@takes_settings(DIRECTORY_FLAGS)
def _rebuild(
    flags: FlagValues,
    partitions: Partitions = None,
    everything: Annotated[bool, typer.Option("--all", help="Every partition.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only tell what would go.")] = False,
) -> None:
    """Remove local state, so that the worker recovers it from the changelog."""
    from agents import state_command

    raise typer.Exit(state_command.rebuild(flags, partitions or (), everything=everything, yes=yes))
