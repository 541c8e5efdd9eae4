"""`returnwatch sources test|infer`: what messages become, and a file to begin with."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from agents import sources_view as view
from agents.adapters import Reader, found_file, ready
from agents.carrier_tables import read_carrier_codes
from agents.errors import Finding, SourcesError
from agents.message_files import MessageFile, read_messages
from agents.settings_loading import load_settings
from agents.source_trial import source_reads, tried
from schemas.adapter_loading import shipped_adapters
from schemas.source_checks import shipped_sources

_MOST_NAMED = 8


def test_messages(
    flags: Mapping[str, object], files: Sequence[Path], name: str | None, *, as_json: bool
) -> int:
    """Show what messages become by a source or adapter; without a name, by the shipped one that reads them all.

    Exit code 1 if anything was not understood. Raises SourcesError, CarrierCodesError.
    """
    codes = read_carrier_codes(load_settings(flags).carrier_codes)
    messages = read_messages(files)
    reader = _named(name) if name is not None else _fitting(messages)
    found = tried(messages, reader, codes)
    if as_json:
        view.write_trials(found)
    else:
        view.show_trials(reader.name, found)
    return 0 if found.understood else 1


def _named(name: str) -> Reader:
    file, findings = found_file(name, "--source")
    if file is None:
        raise SourcesError(findings)
    return ready(file)


def _fitting(messages: Sequence[MessageFile]) -> Reader:
    """The one adapter or source that comes with the package and reads every message."""
    fitting = []
    for name in (*shipped_sources(), *shipped_adapters()):
        reader = _named(name)
        if all(source_reads(reader, message) for message in messages):
            fitting.append(reader)
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(reader.name for reader in fitting[:_MOST_NAMED])
    what = (
        f"several shipped ones read these messages: {names}" if fitting else "no shipped one reads them all"
    )
    todo = "name one with --source or --adapter, or begin one with `returnwatch sources infer`"
    raise SourcesError([Finding("--source", what, todo=todo)])
