"""`returnwatch carriers gaps`: what of the carriers' traffic was not understood, to be put into a table of one's own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from agents import gaps_view as view
from agents.adapters import readers_of
from agents.carrier_tables import read_carrier_codes
from agents.envelopes import envelopes_of
from agents.errors import Finding, ReplayError, SettingsError
from agents.explain_log import FETCH
from agents.flags import FlagValues
from agents.kafka_connection import open_consumer, reachable, run
from agents.log_reading import partitions_of, read_to_end
from agents.replay_reading import MOST_FINDINGS, each_record
from agents.replay_topics import schemas_of_records
from agents.settings import Settings
from agents.settings_loading import load_settings
from schemas.topics import InputKind
from streams.epoch import epoch_ms
from streams.gaps import GapCount
from streams.intake import Acceptance, Intake, IntakeMapper
from streams.keys import split_parcel_key
from streams.wire_format import Schemas


class GapsAsked(NamedTuple):
    """What was asked for. Without files the topics of a cluster are read, in the range."""

    files: Sequence[Path]
    since_at: datetime | None
    before_at: datetime | None
    arrival: str
    form: str
    """table, json or csv."""


class _Reader:
    """Takes records through intake, a chunk at a time, and counts what was not understood."""

    def __init__(self, settings: Settings) -> None:
        codes = read_carrier_codes(settings.carrier_codes)
        acceptance = Acceptance(settings.max_future, settings.max_past, settings.max_record_bytes)
        self._mapper = IntakeMapper(
            codes,
            acceptance,
            adapters=readers_of(settings),
            tells_gaps=True,
            envelopes=envelopes_of(settings.envelopes),
        )
        self.schemas: Schemas = {}
        """Those of a registry that the records so far are written with."""
        self.codes = codes
        self.count = GapCount(codes)
        self.records = self.refused = 0

    def take(self, record: Any, at_ms: int) -> None:
        """Count one record of a topic of scans."""
        intake = self._mapper.map_chunk(
            [record],
            InputKind.CARRIER_SCANS,
            at_ms,
            topic=record.topic,
            partition=record.partition,
            schemas=self.schemas,
        )
        self.records += 1
        self.refused += bool(intake.refused)
        for carrier, scans in _scans(intake).items():
            self.count.add_scans(carrier, scans)
        known = record.offset >= 0
        place = f"{record.topic}/{record.partition}@{record.offset}" if known else f"record {self.records}"
        for gap in intake.gaps:
            self.count.add(gap, at_ms, place)


def tell_gaps(flags: FlagValues, asked: GapsAsked) -> int:
    """Read, count and print. Raises UserError when there is nothing to read."""
    settings = load_settings(flags)
    reader = _Reader(settings)
    if asked.files:
        _read_files(reader, asked)
    else:
        run(_read_topics(reader, settings, asked))
    if not reader.records:
        what = "no scans were recorded there" if asked.files else "no scans were appended in that time"
        where = ", ".join(map(str, asked.files)) or ", ".join(_topics(settings))
        raise ReplayError([Finding(where, what, todo="give other files, or an earlier --since")])
    told = view.Told(reader.count, reader.codes, reader.records, reader.refused)
    {"json": view.write_json, "csv": view.write_csv, "table": view.show}[asked.form](told)
    return 0


def form_of(*, as_json: bool, as_csv: bool) -> str:
    """How it is to be printed. Raises SettingsError when both were asked for."""
    if as_json and as_csv:
        raise SettingsError([Finding("--json, --csv", "are two forms", todo="give one of them")])
    return "json" if as_json else "csv" if as_csv else "table"


def since_asked_for(text: str | None, now: datetime) -> datetime | None:
    """A time, or how long ago. Raises SettingsError when it is neither."""
    if text is None:
        return None
    from agents.cli_durations import duration_of  # noqa: PLC0415 - as there: only what was typed needs it
    from agents.durations import WRITTEN  # noqa: PLC0415
    from agents.explain_command import time_asked_for  # noqa: PLC0415

    return (
        now - duration_of("--since", text)
        if WRITTEN.fullmatch(text.strip())
        else time_asked_for(text, "--since")
    )


def _scans(intake: Intake) -> Mapping[str, int]:
    """Carrier -> facts of its parcels."""
    counts: dict[str, int] = {}
    for stage, key, _ in intake.facts:
        if stage == "parcels" and key:
            carrier = split_parcel_key(key.decode("utf-8", "replace"))[0]
            counts[carrier] = counts.get(carrier, 0) + 1
    return counts


def _topics(settings: Settings) -> list[str]:
    return [topic for topic, kind in settings.topics.kinds().items() if kind is InputKind.CARRIER_SCANS]


async def _read_topics(reader: _Reader, settings: Settings, asked: GapsAsked) -> None:
    since_ms = epoch_ms(asked.since_at) if asked.since_at is not None else 0
    before_ms = epoch_ms(asked.before_at) if asked.before_at is not None else 1 << 62
    await reachable(settings)
    async for chunk in _chunks_of(settings, since_ms):
        records = [record for record in chunk if since_ms <= record.timestamp < before_ms]
        reader.schemas = {**reader.schemas, **await schemas_of_records(settings, records)}
        for record in records:
            reader.take(record, record.timestamp)


async def _chunks_of(settings: Settings, since_ms: int) -> AsyncIterator[Sequence[Any]]:
    async with open_consumer(settings, **FETCH) as consumer:
        for topic in _topics(settings):
            partitions = await partitions_of(settings, topic)
            async for chunk in read_to_end(consumer, partitions, since_ms=since_ms):
                yield chunk


def _read_files(reader: _Reader, asked: GapsAsked) -> None:
    findings: list[Finding] = []
    for found in each_record(asked.files, asked.arrival):
        if isinstance(found, Finding):
            findings.append(found)
            if len(findings) >= MOST_FINDINGS:
                break
        elif found.kind is InputKind.CARRIER_SCANS and not findings:
            reader.take(found, found.at_ms)
    if findings:
        raise ReplayError(findings)
