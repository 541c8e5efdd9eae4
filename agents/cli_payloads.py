"""The options that name single payloads of an API, as `explain` and `replay` have them."""
# ruff: noqa: PLC0415 - the lazy imports are the point of agents/cli.py

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.errors import Finding, SettingsError

if TYPE_CHECKING:
    from agents.payload_files import PayloadFiles

_PANEL = "Payloads of an API"
Payloads = Annotated[
    list[Path] | None,
    typer.Option("--payload", help="One payload; may be repeated.", metavar="FILE", rich_help_panel=_PANEL),
]
AdapterName = Annotated[
    str | None,
    typer.Option("--adapter", help="What reads it.", metavar="NAME_OR_FILE", rich_help_panel=_PANEL),
]
Arrived = Annotated[
    str | None, typer.Option("--arrived", help="When it came.", metavar="TIME", rich_help_panel=_PANEL)
]
PayloadKey = Annotated[
    str | None,
    typer.Option(
        "--key", help="Its record's key, if that names the parcel.", metavar="TEXT", rich_help_panel=_PANEL
    ),
]


def payloads_of(
    files: Sequence[Path] | None, adapter: str | None, arrived: str | None, key: str | None
) -> "PayloadFiles | None":
    """Return the payloads that were asked for. Raises SettingsError for what is missing or has nothing to go with."""
    about = {"--adapter": adapter, "--arrived": arrived, "--key": key}
    if not files:
        given = [option for option, value in about.items() if value is not None]
        if given:
            todo = "add --payload FILE, or leave it out"
            raise SettingsError(
                [Finding(option, "is of a payload, and none is named", todo=todo) for option in given]
            )
        return None
    from agents.explain_command import time_asked_for
    from agents.payload_files import PayloadFiles

    if adapter is None or arrived is None:
        missing = {
            "--adapter": (
                adapter,
                "a payload is read by the adapter of its API",
                "name one, like ups_track_alert",
            ),
            "--arrived": (arrived, "nothing in it says when it came", "say it like 2026-03-01T12:00:00Z"),
        }
        raise SettingsError(
            [
                Finding(option, "is missing", why, todo)
                for option, (value, why, todo) in missing.items()
                if value is None
            ]
        )
    return PayloadFiles(tuple(files), adapter, time_asked_for(arrived, "--arrived"), key)
