"""`returnwatch sources test|infer`. Loads what it needs when it runs, as agents/cli.py."""
# ruff: noqa: PLC0415 - the lazy imports are the point of this file

from pathlib import Path
from typing import Annotated

import typer

from agents.errors import Finding, SettingsError
from agents.flags import FlagValues, flags_of, takes_settings

TABLES_FLAGS = flags_of(fields=["carrier_codes"])

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Messages = Annotated[
    list[Path],
    typer.Argument(
        help="Messages: one in each file, or one in each line of a .jsonl file.", metavar="FILE..."
    ),
]

sources_app = typer.Typer(no_args_is_help=True, help="Messages of your own, mapped to events.")


def add_sources(app: typer.Typer) -> None:
    """Give `returnwatch` what helps to wire messages."""
    app.add_typer(sources_app, name="sources")


@sources_app.command("test")
@takes_settings(TABLES_FLAGS)
def _test(
    flags: FlagValues,
    files: Messages,
    source: Annotated[
        str | None, typer.Option(help="Your file, or a shipped source.", metavar="FILE_OR_NAME")
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(help="The same, of an adapter.", metavar="FILE_OR_NAME")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what messages become: events, what is dropped, what is not understood. Exit code 1: something was not."""
    from agents import sources_command

    if source is not None and adapter is not None:
        raise SettingsError(
            [Finding("--source", "comes together with --adapter", todo="give one of the two")]
        )
    name = source if source is not None else adapter
    raise typer.Exit(sources_command.test_messages(flags, files, name, as_json=as_json))


@sources_app.command("infer")
@takes_settings(TABLES_FLAGS)
def _infer(
    flags: FlagValues,
    files: Messages,
    kind: Annotated[
        str | None, typer.Option(help="orders, labels, warehouse or carrier-scans.", metavar="KIND")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the source; left out, the file's.", metavar="NAME")
    ] = None,
    carrier: Annotated[
        str | None, typer.Option(help="Of carrier-scans: whose they are, as labels name it.", metavar="NAME")
    ] = None,
    codes: Annotated[
        Path | None,
        typer.Option(help="Of carrier-scans: write proposed rows of codes there.", metavar="DIRECTORY"),
    ] = None,
) -> None:
    """Propose a file that reads such messages, to be edited: what says `decide` is for you to answer."""
    from agents import sources_command

    asked = sources_command.Asked(kind, name, carrier, codes)
    raise typer.Exit(sources_command.infer(flags, files, asked))
