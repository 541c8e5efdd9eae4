"""`returnwatch backfill begin|end|status`: hold all timers while history is loaded, and let them go.

What decides is the record in the log of each partition. The control record, written last, is what the next command compares
itself with: cut off half-way, a command is simply given again.
"""

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from agents.control import Control, LoadingHistory, apply_policy, read_control, write_backfill
from agents.errors import BackfillError, Finding, SettingsError
from agents.kafka_connection import open_producer, reachable, run
from agents.policy_command import refuse_other_topics
from agents.policy_reading import policy_in_force
from agents.positions import Stand, read_stands
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import out, say, write_line
from schemas.outputs import utc
from streams.watermark import PARCELS_SOURCE, Position

POLL_SECONDS = 1.0


class Told(NamedTuple):
    """What was typed."""

    by: str
    go_live_at: datetime | None


def time_of(option: str, text: str | None) -> datetime | None:
    """The time of an option. Raises SettingsError when it is none, or could be any of 26 hours."""
    if text is None:
        return None
    form = "write it like 2026-03-01T12:00:00Z"
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError([Finding(option, f"{text!r} is no time", todo=form)]) from error
    if at.tzinfo is None:
        raise SettingsError(
            [Finding(option, f"{text!r} has no time zone", "it could be any of 26 hours", form)]
        )
    return at.astimezone(UTC)


def begin(flags: Mapping[str, object], told: Told) -> int:
    """Hold all timers from here on."""
    return run(_begin(load_settings(flags), told))


def end(flags: Mapping[str, object], told: Told, wait: timedelta) -> int:
    """Let them go, and tell what that has opened once it has."""
    return run(_end(load_settings(flags), told, wait))


def status(flags: Mapping[str, object], *, as_json: bool) -> int:
    """Show whether timers are held, and where every partition stands."""
    return run(_status(load_settings(flags), as_json=as_json))


async def _begin(settings: Settings, told: Told) -> int:
    control = await _control(settings)
    await _go_live(settings, control, told.go_live_at)
    loading = control.loading
    if loading is not None and loading.held:
        say(f"timers are held already, since {loading.at} by {loading.by}; nothing has changed")
        return 0
    begun = LoadingHistory(str(uuid.uuid4()), True, told.by, _now())
    async with open_producer(settings) as producer:
        await write_backfill(settings, producer, begun)
    say(f"written to every partition of {settings.topics.parcels} and {settings.topics.returns}")
    say("timers are held from there on: load the history, then `returnwatch backfill end`")
    if told.go_live_at is None and _in_force_go_live(control) is None:
        say("no time of going live is set: every case that is due by then calls somebody; see --go-live")
    return 0


async def _end(settings: Settings, told: Told, wait: timedelta) -> int:
    control = await _control(settings)
    loading = control.loading
    if loading is None or not loading.held:
        ended = f"; the last one was ended at {loading.at} by {loading.by}" if loading is not None else ""
        todo = (
            "`returnwatch backfill status` shows how things stand; `returnwatch backfill begin` holds timers"
        )
        raise BackfillError([Finding("backfill end", f"no backfill is under way{ended}", todo=todo)])
    await _go_live(settings, control, told.go_live_at)
    target_ms = max((_proved_ms(stand.position) for stand in await read_stands(settings)), default=0)
    async with open_producer(settings) as producer:
        await write_backfill(settings, producer, LoadingHistory(loading.backfill_id, False, told.by, _now()))
    say(f"written to every partition of {settings.topics.parcels} and {settings.topics.returns}")
    stands = await _await_release(settings, target_ms, wait)
    if stands is None:
        say("not all partitions have come so far yet; `returnwatch backfill status` shows when they have")
        return 0
    _summary(stands)
    return 0


async def _control(settings: Settings) -> Control:
    await reachable(settings)
    await refuse_other_topics(settings)
    return await read_control(settings)


def _in_force_go_live(control: Control) -> datetime | None:
    return policy_in_force(control).policy.go_live_at if control.policy is not None else None


async def _go_live(settings: Settings, control: Control, at: datetime | None) -> None:
    """What was due before calls nobody: part of the policy, so that every worker and every replay knows it."""
    if at is None or at == _in_force_go_live(control):
        return
    if control.policy is None:
        todo = f"start a worker with --go-live {at:%Y-%m-%dT%H:%M:%SZ}; it applies its first policy"
        raise BackfillError(
            [Finding("--go-live", "is part of the policy, and none is in the log yet", todo=todo)]
        )
    policy = policy_in_force(control).policy.model_copy(update={"go_live_at": at})
    await apply_policy(settings, policy.to_log())
    say(f"the policy has a new time of going live, {at:%Y-%m-%dT%H:%M:%SZ}: what was due before calls nobody")


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


# -- where partitions stand ---------------------------------------------------------------------------------------


def _proved_ms(position: Position | None) -> int:
    """How far the inputs' own markers let a partition go once it is released."""
    if position is None:
        return 0
    marks = [through for topic, seen in position.seen.items() if topic != PARCELS_SOURCE for through in seen]
    return min(marks, default=0)


async def _await_release(settings: Settings, target_ms: int, wait: timedelta) -> list[Stand] | None:
    until = time.monotonic() + wait.total_seconds()
    while True:
        stands = await read_stands(settings)
        positions = [stand.position for stand in stands]
        if all(
            one is not None and not one.loading.held and one.watermark_ms >= target_ms for one in positions
        ):
            return stands
        if time.monotonic() >= until:
            return None
        await asyncio.sleep(POLL_SECONDS)


def _historical(stands: Sequence[Stand]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for stand in stands:
        if stand.position is not None:
            counts.update(stand.position.loading.historical)
    return counts


def _summary(stands: Sequence[Stand]) -> None:
    counts = _historical(stands)
    say(f"timers go on; {sum(counts.values())} historical cases have opened, of which nobody was called")
    for rule, count in counts.most_common():
        out.print(Text(f"  {rule}: {count}"))


async def _status(settings: Settings, *, as_json: bool) -> int:
    await reachable(settings)
    loading, stands = (await read_control(settings)).loading, await read_stands(settings)
    held = [stand for stand in stands if stand.position is not None and stand.position.loading.held]
    counts = _historical(stands)
    if as_json:
        told = None if loading is None else msgspec.to_builtins(loading)
        partitions = [_as_object(stand) for stand in stands]
        write_line(json.dumps({"told": told, "historical": dict(counts), "partitions": partitions}))
        return 0
    if loading is None:
        say("there has been no backfill")
    elif loading.held:
        say(
            f"begun at {loading.at} by {loading.by}; {len(held)} of {len(stands)} partitions hold their timers"
        )
    else:
        say(
            f"ended at {loading.at} by {loading.by}; {len(held)} of {len(stands)} partitions still hold their timers"
        )
    if loading is not None:
        _show(stands)
        if not held:
            _summary(stands)
    return 0


def _show(stands: Sequence[Stand]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("partition", "timers", "watermark", "historical cases"):
        table.add_column(column)
    for stand in stands:
        told = _as_object(stand)
        table.add_row(
            f"{stand.stage}/{stand.number}",
            "held" if told["held"] else "go on",
            str(told["watermark_at"] or "not known yet"),
            str(told["historical"]),
        )
    out.print(table)


def _as_object(stand: Stand) -> dict[str, object]:
    position = stand.position or Position()
    at_ms = position.watermark_ms
    return {
        "stage": stand.stage,
        "partition": stand.number,
        "held": position.loading.held,
        "watermark_at": f"{utc(at_ms):%Y-%m-%dT%H:%M:%SZ}" if at_ms else None,
        "historical": sum(position.loading.historical.values()),
    }
