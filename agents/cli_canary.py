"""`returnwatch canary`. Loads what it needs when it runs, as agents/cli.py."""
# ruff: noqa: PLC0415 - the lazy imports are the point of this file

from typing import Annotated

import typer

from agents.cli_durations import duration_of
from agents.errors import Finding, SettingsError
from agents.flags import FlagValues, Group, flags_of, takes_settings

CANARY_FLAGS = flags_of(
    [Group.CONNECTION],
    ["topic_prefix", "orders_topics", "metrics_host", "metrics_port", "log_format", "log_level"],
)


def add_canary(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(canary)


@takes_settings(CANARY_FLAGS)
def canary(
    flags: FlagValues,
    every: Annotated[str, typer.Option(help="How often one is told.", metavar="DURATION")] = "5m",
) -> None:
    """Tell canary returns through your topics, and measure how late exceptions are told."""
    from agents import canary_command

    interval = duration_of("--every", every)
    if interval.total_seconds() < 1:
        raise SettingsError([Finding("--every", f"{every!r} is too often", todo="give 1s or more")])
    raise typer.Exit(canary_command.canary(flags, interval))
