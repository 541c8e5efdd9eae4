"""`returnwatch sources test|infer`: what messages become, and a file to begin with."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from agents import sources_view as view
from agents.adapter_proposal import AdapterProposal
from agents.adapters import Reader, found_file, ready
from agents.carrier_tables import read_carrier_codes
from agents.errors import Finding, SourcesError, did_you_mean
from agents.message_fields import fields_of
from agents.message_files import MessageFile, read_messages
from agents.settings_loading import load_settings
from agents.source_proposal import SourceProposal
from agents.source_trial import source_reads, tried
from agents.terminal import say, write_line
from schemas.adapter_loading import load_adapter, shipped_adapters
from schemas.source_checks import load_source, shipped_sources
from schemas.topics import InputKind

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


class Asked(NamedTuple):
    """What `infer` was asked for."""

    kind: str | None
    name: str | None
    carrier: str | None
    codes: Path | None


def infer(flags: Mapping[str, object], files: Sequence[Path], asked: Asked) -> int:
    """Print a file that could read the messages: a source, or an adapter of a carrier's scans. Raises SourcesError."""
    kind = _kind(asked.kind)
    tables = read_carrier_codes(load_settings(flags).carrier_codes)
    fields, is_json = fields_of(read_messages(files))
    name = asked.name or _name_of(files[0])
    source = SourceProposal(name, fields, kind, tables, is_json=is_json)
    if kind is InputKind.CARRIER_SCANS or (kind is None and not source.is_sure):
        adapter = AdapterProposal(name, fields, asked.carrier, is_json=is_json)
        text = adapter.text()
        load_adapter(text, f"{name}.yaml")
        if asked.codes is not None:
            _write_tables(asked.codes, adapter)
    else:
        text = source.text()
        load_source(text, f"{name}.yaml")
    write_line(text.rstrip("\n"))
    return 0


def _kind(given: str | None) -> InputKind | None:
    kinds = [kind.value for kind in InputKind if kind is not InputKind.COMMANDS]
    if given is None or given in kinds:
        return InputKind(given) if given else None
    todo = did_you_mean(given, kinds) or f"one of {', '.join(kinds)}"
    raise SourcesError([Finding("--kind", f"{given!r} is no kind of topic", todo=todo)])


def _name_of(file: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "_", file.name.partition(".")[0].lower()).strip("_")[:64] or "mine"


def _write_tables(folder: Path, adapter: AdapterProposal) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "codes.csv").write_text(adapter.codes(), encoding="utf-8")
        (folder / "aliases.csv").write_text(adapter.aliases(), encoding="utf-8")
    except OSError as error:
        what = f"cannot be written: {error.strerror}"
        raise SourcesError(
            [Finding(str(folder), what, todo="correct --codes, or the permissions")]
        ) from error
    say(f"written: {folder / 'codes.csv'}, {folder / 'aliases.csv'}")
