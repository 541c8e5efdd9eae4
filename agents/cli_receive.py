"""`returnwatch receive`. Loads what it needs when it runs, as agents/cli.py."""
# ruff: noqa: PLC0415 - the lazy imports are the point of this file

from pathlib import Path
from typing import Annotated

import typer

from agents.flags import FlagValues, Group, flags_of, takes_settings

RECEIVE_FLAGS = flags_of(
    [Group.CONNECTION],
    ["topic_prefix", "commands_topics", "metrics_host", "metrics_port", "log_format", "log_level"],
)


def add_receive(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(receive)


@takes_settings(RECEIVE_FLAGS)
def receive(
    flags: FlagValues,
    file: Annotated[Path, typer.Argument(help="Who may send what, and where to.", metavar="FILE")],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8080,
    check: Annotated[bool, typer.Option("--check", help="Only check the file, and show it.")] = False,
) -> None:
    """Receive webhooks: check each signature, write the body to its topic, then answer."""
    from agents import receive_command

    options = receive_command.ReceiveOptions(file, host, port, check)
    raise typer.Exit(receive_command.receive(flags, options))
