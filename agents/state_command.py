"""`returnwatch state inspect|verify|rebuild`: what a stopped worker's directory holds, whether it is whole, and starting anew."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import msgspec
from aiokafka import TopicPartition
from rich.table import Table

from agents.case_log import FETCH
from agents.errors import Finding, StateError, did_you_mean
from agents.kafka_connection import open_consumer, reachable, run
from agents.log_reading import partitions_of, read_to_end
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.state_files import (
    Kept,
    StoreFacts,
    doubts_of,
    facts_of,
    kept_in,
    opened,
    refuse_in_use,
    remove,
)
from agents.terminal import out, say, write_line
from schemas.outputs import utc
from streams.traces import is_stored


def inspect(flags: Mapping[str, object], names: Sequence[str], *, as_json: bool) -> int:
    """Show what each store holds. Raises StateError with those that cannot be read."""
    kept = _wanted(load_settings(flags), names)
    refuse_in_use(kept)
    found, findings = list[StoreFacts](), list[Finding]()
    for one in kept:
        try:
            found.append(facts_of(one))
        except StateError as error:
            findings += error.findings
    if as_json:
        for facts in found:
            write_line(msgspec.json.encode(facts._asdict()).decode())
    else:
        _show(found)
    if findings:
        raise StateError(findings)
    return 0


def _show(found: Sequence[StoreFacts]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("partition", "records", "waiting", "timers", "watermark", "next", "changelog", "size", ""):
        table.add_column(column, no_wrap=True, justify="left" if column in {"partition", ""} else "right")
    for one in found:
        watermark = f"{utc(one.watermark_ms):%Y-%m-%d %H:%M}" if one.watermark_ms else "none yet"
        counts = (one.states + one.cells + one.hidden + one.traces, one.armed, one.timers)
        table.add_row(
            f"{one.stage}/{one.partition}",
            *(f"{number:,}" for number in counts),
            watermark,
            f"{one.next_offset:,}",
            f"{one.changelog_offset:,}",
            f"{one.size_bytes / 1_000_000:.1f} MB",
            ", ".join(one.marks),
        )
    out.print(table)


def verify(flags: Mapping[str, object], names: Sequence[str], *, against_changelog: bool) -> int:
    """Read everything; with `against_changelog` hold it against the log, too. Raises StateError with all that is wrong."""
    settings = load_settings(flags)
    kept = _wanted(settings, names)
    refuse_in_use(kept)
    findings = [finding for one in kept for finding in doubts_of(one)]
    if against_changelog:
        broken = {finding.where for finding in findings}
        whole = [one for one in kept if str(one.path) not in broken]
        findings += run(_differences(settings, whole))
    if findings:
        raise StateError(findings)
    say(f"{len(kept)} stores are whole" + (" and as their changelogs have them" if against_changelog else ""))
    return 0


async def _differences(settings: Settings, kept: Sequence[Kept]) -> list[Finding]:
    await reachable(settings)
    topics = {"parcels": settings.topics.parcel_changelog, "returns": settings.topics.return_changelog}
    findings = list[Finding]()
    for one in kept:
        partitions = {each.partition: each for each in await partitions_of(settings, topics[one.stage])}
        what = (
            await _difference(settings, one, partitions[one.number])
            if one.number in partitions
            else f"topic {topics[one.stage]} has no partition {one.number}"
        )
        if what:
            todo = f"`returnwatch state rebuild {one.name} --yes`; the worker then reads the changelog from its start"
            findings.append(Finding(str(one.path), what, "the changelog is the truth", todo))
    return findings


async def _difference(settings: Settings, one: Kept, partition: TopicPartition) -> str:
    """What the store and the changelog, as far as the store has read it, do not agree about; "": nothing."""
    with opened(one) as store:
        here = {key: _digest(raw) for key, _, raw in store.states()}
        upto = store.changelog_offset
    logged, later, end = dict[bytes, bytes | None](), set[bytes](), -1
    async with open_consumer(settings, **FETCH) as consumer:
        async for records in read_to_end(consumer, [partition]):
            for record in records:
                end = record.offset
                if record.key is None or not is_stored(record.key):
                    continue
                if record.offset <= upto:
                    logged[record.key] = _digest(record.value) if record.value is not None else None
                else:
                    later.add(record.key)
    if upto > end:
        return f"has read the changelog up to {upto}, and that ends at {end}: it is another topic of the same name"
    known = {key: digest for key, digest in logged.items() if digest is not None}
    # Of what was written again later, compaction may have taken the record that the store has.
    compared = (here.keys() | known.keys()) - later
    wrong = sum(here.get(key) != known.get(key) for key in compared)
    return f"{wrong} of {len(compared)} records are not as the changelog has them" if wrong else ""


def _digest(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=16).digest()


def rebuild(flags: Mapping[str, object], names: Sequence[str], *, everything: bool, yes: bool) -> int:
    """Remove local state, so that the worker recovers it from the changelog; without `yes` only tell what would go."""
    if bool(names) == everything:
        todo = "name partitions as `parcels/3`, or give --all"
        raise StateError(
            [Finding("PARTITION", "is missing" if not names else "does not go with --all", todo=todo)]
        )
    kept = _wanted(load_settings(flags), names)
    refuse_in_use(kept)
    for one in kept:
        size = sum(file.stat().st_size for file in one.path.iterdir() if file.is_file())
        out.print(f"{one.name}: {size / 1_000_000:.1f} MB in {one.path}", soft_wrap=True)
        if yes:
            remove(one)
    say("removed; the worker recovers them at its start" if yes else "nothing was removed: add --yes")
    return 0


def _wanted(settings: Settings, names: Sequence[str]) -> list[Kept]:
    kept = kept_in(settings.data_dir)
    if not names:
        return kept
    known = {one.name: one for one in kept}
    findings = [
        Finding(
            name,
            f"is not in {settings.data_dir}",
            todo=did_you_mean(name, known) or f"there are {', '.join(known)}",
        )
        for name in names
        if name not in known
    ]
    if findings:
        raise StateError(findings)
    return [known[name] for name in dict.fromkeys(names)]
