"""`returnwatch journeys show`."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from agents.case_view import SEVERITY_STYLES, age_text, time_text
from agents.errors import Finding, JourneyNotFoundError
from agents.kafka_connection import open_consumer, reachable, run
from agents.log_reading import partitions_of, read_to_end
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import out, write_line
from schemas.return_journeys import ReturnJourney, decode_journey
from streams.keys import partition_of


def show_journey(flags: Mapping[str, object], return_id: str, *, as_json: bool) -> int:
    """Print where a return is, and what its customer is told.

    Raises:
        JourneyNotFoundError: nothing was told of it, or it was forgotten.
    """
    settings = load_settings(flags)
    wanted = return_id.strip()
    journey = run(_read(settings, wanted))
    if journey is None:
        what = f"no journey of this return in {settings.topics.journeys}"
        todo = (
            "give the id as your events have it; see `returnwatch policy show`: `journeys: false` tells none"
        )
        raise JourneyNotFoundError([Finding(wanted or "RETURN_ID", what, todo=todo)])
    if as_json:
        write_line(msgspec.json.encode(journey).decode())
    else:
        _show(journey, max(datetime.now(UTC), journey.effective_at))
    return 0


async def _read(settings: Settings, return_id: str) -> ReturnJourney | None:
    """The newest record of the return; what is no journey is passed over."""
    await reachable(settings)
    partitions = await partitions_of(settings, settings.topics.journeys)
    key = return_id.encode()
    newest: ReturnJourney | None = None
    async with open_consumer(settings, max_partition_fetch_bytes=4 * 1024 * 1024) as consumer:
        async for records in read_to_end(consumer, [partitions[partition_of(key, len(partitions))]]):
            for record in records:
                if record.key == key:
                    newest = None if record.value is None else _decoded(record.value) or newest
    return newest


def _decoded(value: bytes) -> ReturnJourney | None:
    try:
        return decode_journey(value)
    except msgspec.DecodeError:
        return None  # somebody else writes to this topic


# -- on a terminal of 100 columns ---------------------------------------------------------------------------------


def _show(journey: ReturnJourney, now: datetime) -> None:
    out.print(Text.assemble("\n", (journey.return_id, "bold"), "  ", (journey.status.value, "cyan")))
    for text in journey.message.text.values():
        out.print(Text(text))
    out.print(_facts(journey, now))
    out.print(_milestones(journey))
    if journey.parcels:
        out.print(_parcels(journey))
    if journey.open_cases:
        out.print(_cases(journey, now))


def _facts(journey: ReturnJourney, now: datetime) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    refund, step = journey.refund, journey.next_step
    estimate = f"{_time(refund.earliest_at)} to {_time(refund.latest_at)}" if refund.latest_at else ""
    ahead = ""
    if step is not None:
        by = f" by {time_text(step.due_at)} ({age_text(now - step.due_at)})" if step.due_at else ""
        ahead = f"{step.step.value}{by}"
    facts = [
        ("revision", str(journey.revision)),
        ("next", ahead),
        ("refund promised", _time(refund.promised_at)),
        ("refund expected", estimate),
        ("released", "yes" if refund.released else ""),
        ("refused", _time(refund.refused_at)),
        ("approved", _time(refund.approved_at)),
        ("issued", _time(refund.issued_at)),
        ("settled", _time(refund.settled_at)),
        ("failed", _time(refund.failed_at)),
    ]
    for label, text in facts:
        if text:
            grid.add_row(f"  {label}", text)
    return grid


def _milestones(journey: ReturnJourney) -> Table:
    table = _table("milestone", "at", "seen by")
    for one in journey.milestones:
        seen_by = one.evidence.value if one.evidence is not None else ""
        table.add_row(one.milestone.value, _time(one.at), seen_by, style="" if one.at else "dim")
    return table


def _parcels(journey: ReturnJourney) -> Table:
    table = _table("parcel", "first scan", "last scan", "delivered", "checked in")
    for one in journey.parcels:
        times = (one.first_scan_at, one.last_scan_at, one.delivered_at, one.checked_in_at)
        table.add_row(f"{one.carrier}:{one.tracking_number}", *(_time(at) for at in times))
    return table


def _cases(journey: ReturnJourney, now: datetime) -> Table:
    table = _table("case", "rule", "severity", "overdue", "parcel")
    for case in journey.open_cases:
        severity = Text(case.severity.value, style=SEVERITY_STYLES[case.severity])
        overdue = age_text(now - case.due_at).removesuffix(" ago")
        table.add_row(case.case_id[:8], case.rule.value, severity, overdue, case.parcel)
    return table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _time(at: datetime | None) -> str:
    return time_text(at) if at is not None else ""
