"""`returnwatch carriers list|show|test|check|gaps`. Loads what it needs when it runs, as agents/cli.py."""
# ruff: noqa: PLC0415 - the lazy imports are the point of this file

from pathlib import Path
from typing import Annotated

import typer

from agents.flags import FlagValues, Group, flags_of, takes_settings

TABLES_FLAGS = flags_of(fields=["carrier_codes"])
GAPS_FLAGS = flags_of(
    [Group.CONNECTION], ["scans_topics", "scans_adapters", "sources", "topic_prefix", "carrier_codes"]
)

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Api = Annotated[str | None, typer.Option(help="As events name it; left out, the carrier's default.")]

carriers_app = typer.Typer(no_args_is_help=True, help="What carriers' codes mean here, and why.")


def add_carriers(app: typer.Typer) -> None:
    """Give `returnwatch` what tells of carriers' codes."""
    app.add_typer(carriers_app, name="carriers")


@carriers_app.command("list")
@takes_settings(TABLES_FLAGS)
def _list(flags: FlagValues, as_json: AsJson = False) -> None:
    """List the carriers and APIs that are known, and of how many codes."""
    from agents import carriers_command

    raise typer.Exit(carriers_command.list_carriers(flags, as_json=as_json))


@carriers_app.command("show")
@takes_settings(TABLES_FLAGS)
def _show(
    flags: FlagValues,
    name: Annotated[str, typer.Argument(help="A carrier, or the API of an aggregator.", metavar="NAME")],
    api: Annotated[str | None, typer.Option(help="Only this API.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show every row of a carrier or an API."""
    from agents import carriers_command

    raise typer.Exit(carriers_command.show_carrier(flags, name, api, as_json=as_json))


@carriers_app.command("test")
@takes_settings(TABLES_FLAGS)
def _test(
    flags: FlagValues,
    code: Annotated[
        str, typer.Argument(help="As the carrier sends it; left out where it sends only texts.")
    ] = "",
    carrier: Annotated[
        str | None, typer.Option(help="Whose code it is; left out, it is looked for everywhere.")
    ] = None,
    api: Api = None,
    code_type: Annotated[str | None, typer.Option(help="Left out, the API's default.")] = None,
    text: Annotated[str | None, typer.Option(help="The carrier's words beside it.")] = None,
    direction: Annotated[str | None, typer.Option(help="return (default) or outbound.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a code means, which row says so, and what did not fit. Exit code 1: nothing is known of it."""
    from agents import carriers_command

    question = carriers_command.Question(code, carrier, api, code_type, text, direction)
    raise typer.Exit(carriers_command.test_code(flags, question, as_json=as_json))


@carriers_app.command("check")
@takes_settings(TABLES_FLAGS)
def _check(
    flags: FlagValues,
    path: Annotated[
        Path | None,
        typer.Argument(help="Tables of your own; left out, those of the settings.", metavar="[FILE_OR_DIR]"),
    ] = None,
) -> None:
    """Check tables of your own, all findings at once."""
    from agents import carriers_command

    raise typer.Exit(carriers_command.check(flags, path))


@carriers_app.command("gaps")
@takes_settings(GAPS_FLAGS)
def _gaps(
    flags: FlagValues,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Recorded events: JSONL, JSONL.gz or Parquet; left out, the topics of scans.",
            metavar="FILE...",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Of topics: from this append time, or so long ago; left out, 1d.", metavar="TIME|DURATION"
        ),
    ] = None,
    before: Annotated[
        str | None, typer.Option("--to", help="Of topics: before this append time.", metavar="TIME")
    ] = None,
    arrival: Annotated[
        str, typer.Option(help="Of files: when events without appended_at were appended.", metavar="COLUMN")
    ] = "occurred_at",
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Rows for a table of your own.")] = False,
) -> None:
    """Tell what of the carriers' traffic was not understood: how much, which codes, in which words."""
    from datetime import UTC, datetime

    from agents import gaps_command
    from agents.errors import Finding, SettingsError
    from agents.explain_command import time_asked_for

    if files and (since or before):
        raise SettingsError([Finding("--since, --to", "are of topics", todo="leave them out, or the files")])
    form = gaps_command.form_of(as_json=as_json, as_csv=as_csv)
    since_at = None if files else gaps_command.since_asked_for(since or "1d", datetime.now(UTC))
    before_at = time_asked_for(before, "--to") if before is not None else None
    asked = gaps_command.GapsAsked(files or [], since_at, before_at, arrival, form)
    raise typer.Exit(gaps_command.tell_gaps(flags, asked))
