"""`returnwatch notify run|check|test|log|retry`. Loads what it needs when it runs, as agents/cli.py."""
# ruff: noqa: PLC0415 - the lazy imports are the point of this file

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agents.flags import FlagValues, Group, flags_of, takes_settings

RUN_FLAGS = flags_of(
    [Group.CONNECTION],
    ["topic_prefix", "notify_record", "metrics_host", "metrics_port", "log_format", "log_level"],
)
CHECK_FLAGS = flags_of([Group.CONNECTION], ["topic_prefix"])
RECORD_FLAGS = flags_of(fields=["notify_record"])

RoutesFile = Annotated[Path, typer.Argument(help="Who is told of what, and how.", metavar="FILE")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

notify_app = typer.Typer(
    no_args_is_help=True, help="Tell people and programs of cases: webhooks, PagerDuty, Slack."
)


class State(StrEnum):
    """What became of a message."""

    PENDING = "pending"
    SENT = "sent"
    GIVEN_UP = "given_up"
    SUPERSEDED = "superseded"


def add_notify(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(notify_app, name="notify")


@notify_app.command("run")
@takes_settings(RUN_FLAGS)
def _run(
    flags: FlagValues,
    file: RoutesFile,
    from_start: Annotated[
        bool,
        typer.Option("--from-start", help="The first run tells what the topic has, not only what comes."),
    ] = False,
) -> None:
    """Read `escalations`, and tell each change to whom its routes name, until stopped."""
    from agents import notify_command

    raise typer.Exit(notify_command.run_notify(flags, notify_command.RunOptions(file, from_start)))


@notify_app.command("check")
@takes_settings(CHECK_FLAGS)
def _check(
    flags: FlagValues,
    file: RoutesFile,
    cases: Annotated[
        bool, typer.Option("--cases", help="Also of how many cases of now; asks the cluster.")
    ] = False,
) -> None:
    """Check the file and its secrets, and show who is told of what. Sends nothing."""
    from agents import notify_command

    raise typer.Exit(notify_command.check(flags, file, with_cases=cases))


@notify_app.command("test")
def _test(
    file: RoutesFile,
    route: Annotated[str, typer.Argument(help="Whose receivers get an example.", metavar="ROUTE")],
) -> None:
    """Send one example to each receiver of a route, and tell what it answered."""
    from agents import notify_command

    raise typer.Exit(notify_command.test_route(file, route))


@notify_app.command("log")
@takes_settings(RECORD_FLAGS)
def _log(
    flags: FlagValues,
    state: Annotated[State | None, typer.Option(help="Only those.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, metavar="COUNT", help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what was sent, what waits and what was given up, the newest first."""
    from agents import notify_command

    raise typer.Exit(
        notify_command.show_log(flags, state.value if state else None, limit=limit, as_json=as_json)
    )


@notify_app.command("retry")
@takes_settings(RECORD_FLAGS)
def _retry(
    flags: FlagValues,
    receiver: Annotated[str | None, typer.Option(help="Only of this one.", metavar="NAME")] = None,
) -> None:
    """Send again what was given up. The process that runs does it."""
    from agents import notify_command

    raise typer.Exit(notify_command.retry(flags, receiver))
