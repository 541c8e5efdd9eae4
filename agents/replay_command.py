"""`returnwatch replay`: what a policy says about recorded events, and how another one differs from it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from agents import replay_view as view
from agents.adapters import Reader
from agents.carrier_tables import read_carrier_codes
from agents.envelopes import envelopes_of
from agents.errors import Finding, PolicyRefusedError, ReplayError
from agents.garbage import tame_garbage_collection
from agents.kafka_connection import run
from agents.payload_files import Wiring
from agents.policy_reading import policy_findings
from agents.replay_comparison import compare
from agents.replay_playing import Replayed, Span, play
from agents.replay_reading import Recorded
from agents.replay_report import report
from agents.replay_topics import read_topics, schemas_of_records
from agents.settings import Settings
from agents.terminal import err, say
from schemas.carrier_codes import CarrierCodes
from schemas.policy import Policy
from streams.epoch import YEAR_9999_MS
from streams.intake import IntakeMapper

_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What was asked for. `until`: how long after the last record time goes on."""

    policy: Path | None
    against: Path | None
    arrival: str
    step: timedelta
    until: timedelta
    html: Path | None
    as_json: bool
    carrier_codes: Path | None = None
    """The user's own tables."""
    wiring: Wiring = field(default_factory=Wiring)


class TopicRange(NamedTuple):
    """Input topics of a cluster, in place of files. None: from the start, to the end."""

    settings: Settings
    since_at: datetime | None
    before_at: datetime | None


def replay(source: Sequence[Path] | TopicRange, options: ReplayOptions) -> int:
    """Replay files or topics and show what came of it.

    Raises:
        CarrierCodesError, PolicyRefusedError, ReplayError, TopicsError: with every finding; then nothing is played.
    """
    policies = _policies(options)
    codes = read_carrier_codes(options.carrier_codes)
    readers = options.wiring.readers()
    with _progress() as progress:
        records = _read(source, options, progress)
        span = _span(records, options)
        tame_garbage_collection()
        started = perf_counter()
        mapper = _mapper(source, records, codes, readers)
        results, refused = _play(records, policies, span, mapper, progress)
        seconds = perf_counter() - started
    _show(view.Played(span, len(records), refused), results, options)
    say(f"{len(records) / seconds:,.0f} events/s: {len(records):,} played in {seconds:.1f} s")
    return 0


def _mapper(
    source: Sequence[Path] | TopicRange,
    records: Sequence[Recorded],
    codes: CarrierCodes,
    readers: Mapping[str, Reader],
) -> IntakeMapper:
    """Intake as the workers of these topics have it; what files hold is in no envelope."""
    if not isinstance(source, TopicRange):
        return IntakeMapper(codes, adapters=readers)
    settings = source.settings
    return IntakeMapper(
        codes,
        adapters=readers,
        envelopes=envelopes_of(settings.envelopes),
        schemas=run(schemas_of_records(settings, records)),
    )


def _show(played: view.Played, results: Sequence[Replayed], options: ReplayOptions) -> None:
    result, *others = results
    if not others:
        (view.write_json if options.as_json else view.show)(played, result)
        return
    (before,) = others
    cases = compare(before, result)
    (view.write_json_comparison if options.as_json else view.show_comparison)(played, before, result, cases)
    if options.html is not None:
        _write(options.html, report(played, before, result, cases))


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        what = f"cannot be written: {error.strerror}"
        raise ReplayError([Finding(str(file), what, todo="correct --html, or the permissions")]) from error
    say(f"written: {file}")


def _policies(options: ReplayOptions) -> list[tuple[str, Policy]]:
    asked = [options.policy] + ([options.against] if options.against else [])
    read, findings = [], list[Finding]()
    for file in asked:
        policy, wrong = policy_findings(file)
        findings += wrong
        if policy is not None:
            read.append((str(file) if file else "the default policy", policy))
    if findings:
        raise PolicyRefusedError(findings)
    return read


def _read(source: Sequence[Path] | TopicRange, options: ReplayOptions, progress: Progress) -> list[Recorded]:
    if isinstance(source, TopicRange):
        reading = progress.add_task("reading", total=None)
        records = run(read_topics(*source, told=lambda done: progress.update(reading, completed=done)))
        progress.update(reading, total=len(records), completed=len(records))
        return records
    size = sum(file.stat().st_size for file in set(source) if file.is_file())
    reading = progress.add_task("reading", total=size)
    records = options.wiring.records(
        source, options.arrival, lambda done: progress.update(reading, completed=done)
    )
    progress.update(reading, completed=size)
    return records


def _play(
    records: Sequence[Recorded],
    policies: Sequence[tuple[str, Policy]],
    span: Span,
    mapper: IntakeMapper,
    progress: Progress,
) -> tuple[list[Replayed], Counter[str]]:
    playing = progress.add_task("playing", total=span.steps)
    return play(records, policies, span, mapper, lambda: progress.advance(playing))


def _span(records: Sequence[Recorded], options: ReplayOptions) -> Span:
    first_ms, last_ms = records[0].at_ms, records[-1].at_ms
    until_ms = last_ms + options.until // _MS
    if first_ms < 0 or until_ms > YEAR_9999_MS:
        what = "records were appended before 1970, or time would go on into the year 9999"
        raise ReplayError([Finding("appended_at", what, todo="correct their times")])
    return Span(first_ms, until_ms, options.step // _MS)


def _progress() -> Progress:
    """Shown to a person only, and gone when it is done."""
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
