"""`returnwatch kpis`."""
# ruff: noqa: PLC0415 - as in agents/cli.py: `--help` answers at once

from typing import Annotated

import typer

from agents.flags import FlagValues, Group, flags_of, takes_settings

READING_FLAGS = flags_of([Group.CONNECTION], ["topic_prefix"])


def add_kpis(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(kpis)


@takes_settings(READING_FLAGS)
def kpis(
    flags: FlagValues,
    by: Annotated[
        str, typer.Option(metavar="DIMENSION", help="all, carrier, lane, facility, reason or category.")
    ] = "all",
    day: Annotated[
        str | None, typer.Option(metavar="DAY", help="This day only (UTC), as 2026-03-01.")
    ] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="DAY", help="From this day on.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Up to this day.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell what is counted: cycle times, first scans, refunds, cases and how many of them were right."""
    from agents import kpis_command

    options = kpis_command.KpiOptions(
        since=kpis_command.day_of("--day", day) or kpis_command.day_of("--from", since),
        until=kpis_command.day_of("--day", day) or kpis_command.day_of("--to", until),
        by=kpis_command.dimension_of(by),
        as_json=as_json,
    )
    raise typer.Exit(kpis_command.tell_kpis(flags, options))
