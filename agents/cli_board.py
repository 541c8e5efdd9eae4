"""`returnwatch board`. Loads what it needs when it runs, as agents/cli.py."""
# ruff: noqa: PLC0415 - the lazy imports are the point of this file

from typing import Annotated

import typer

from agents.flags import FlagValues, Group, flags_of, takes_settings

BOARD_FLAGS = flags_of(
    [Group.CONNECTION, Group.BOARD],
    ["topic_prefix", "commands_topics", "data_dir", "log_format", "log_level"],
)


def add_board(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(board)


@takes_settings(BOARD_FLAGS)
def board(
    flags: FlagValues,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Forget the index, and read the topics from their start.")
    ] = False,
) -> None:
    """Serve the board: cases, returns, feeds, numbers and dead letters in a browser."""
    from agents import board_command

    raise typer.Exit(board_command.board(flags, rebuild=rebuild))
