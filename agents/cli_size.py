"""`returnwatch size`."""
# ruff: noqa: PLC0415 - as in agents/cli.py: `--help` answers at once

from typing import Annotated

import typer


def add_size(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(size)


def size(
    open_returns: Annotated[
        str, typer.Option(help="Returns under way at a time, as 250k or 10M.", metavar="NUMBER")
    ],
    events_per_day: Annotated[
        str, typer.Option(help="Of all input topics together, as 30M.", metavar="NUMBER")
    ],
    peak: Annotated[
        float, typer.Option(min=1, help="How many times the day's average the busiest hour has.")
    ] = 3.0,
    recovery: Annotated[
        str, typer.Option(help="How long a worker that lost its disk may take.", metavar="DURATION")
    ] = "2m",
    replication_factor: Annotated[int, typer.Option(min=1, max=9, help="Copies of each topic.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell what an installation needs: workers, partitions, disk, memory, time to recover; and from what that follows."""
    from agents import size_command
    from agents.cli_durations import duration_of

    raise typer.Exit(
        size_command.tell_size(
            size_command.SizeOptions(
                open_returns,
                events_per_day,
                peak,
                duration_of("--recovery", recovery),
                replication_factor,
                as_json,
            )
        )
    )
