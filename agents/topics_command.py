"""`returnwatch topics plan|create|retire`."""

import json
from datetime import timedelta

from rich import box
from rich.table import Table
from rich.text import Text

from agents.errors import Finding, SettingsError
from agents.fencing import NO_HEADERS, send_grouped
from agents.kafka_connection import open_admin, open_producer, reachable, run
from agents.settings import Settings
from agents.terminal import out, say, show_findings, write_line
from agents.topics import (
    TopicCheck,
    TopicState,
    create_missing,
    inspect_topics,
    refuse_missing,
    refuse_wrong,
)
from schemas.facts import RETIRE_KEY, Retirement, encode_json
from schemas.topics import TopicRole

WIDE = 100
"""Columns of a terminal that has room for what each topic is for."""
STYLES = {
    TopicState.OK: "green",
    TopicState.MISSING: "yellow",
    TopicState.WRONG: "bold red",
    TopicState.DOUBTFUL: "yellow",
}


def plan(settings: Settings, *, wait: timedelta, as_json: bool) -> int:
    """Show every topic and what it is like. Exit code 1 if a topic of ours is wrong."""
    checks = run(_inspected(settings, wait))
    if as_json:
        write_line(json.dumps([_as_object(check) for check in checks], indent=2))
    else:
        show_topics(checks)
    return 1 if any(check.state is TopicState.WRONG for check in checks) else 0


def create(settings: Settings, *, wait: timedelta, inputs: bool) -> int:
    """Create what is missing and show the result. Creates nothing if a topic of ours is wrong."""
    created, checks = run(_created(settings, wait, inputs=inputs))
    show_topics(checks)
    if created:
        say(f"created {created} topic{'s' if created > 1 else ''}")
    return 0


def retire(settings: Settings, topic: str, *, undo: bool, wait: timedelta) -> int:
    """Tell every partition of both stages that an input topic is waited for no longer, or that it is again.

    Raises:
        SettingsError: the topic is still an input by the settings.
        TopicsError: our own topics are not there, or not as the settings have them.
    """
    if topic in settings.topics.kinds() and not undo:
        raise SettingsError(
            [
                Finding(
                    topic,
                    "is still an input by these settings",
                    "a worker would wait for the topic for ever, and find nothing late",
                    "take it out of the settings of all workers, restart them, and retire it then",
                )
            ]
        )
    run(_retired(settings, Retirement(topic, not undo), wait))
    names = settings.topics
    state = "waited for again once a worker reads it" if undo else "waited for no longer"
    say(f"written to every partition of {names.parcels} and {names.returns}: {topic} is {state}")
    return 0


async def _retired(settings: Settings, told: Retirement, wait: timedelta) -> None:
    await reachable(settings, wait)
    async with open_admin(settings) as admin:
        specs = [spec for spec in settings.topic_specs() if spec.role is TopicRole.INTERNAL]
        checks = await inspect_topics(admin, specs)
    refuse_wrong(checks)
    refuse_missing(checks)
    names = settings.topics
    everywhere = {(names.parcels, number) for number in range(settings.parcels_partitions)}
    everywhere |= {(names.returns, number) for number in range(settings.returns_partitions)}
    async with open_producer(settings) as producer:
        record = (RETIRE_KEY, encode_json(told), NO_HEADERS)
        await send_grouped(producer, {where: [record] for where in everywhere})


def show_topics(checks: list[TopicCheck]) -> None:
    """The table on standard output, what is not right below it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    wide = out.width >= WIDE
    table.add_column("topic", overflow="fold")
    table.add_column("role", no_wrap=True)
    table.add_column("partitions", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    if wide:
        table.add_column("what it is for", style="dim", no_wrap=True, overflow="ellipsis", max_width=30)
    for check in checks:
        spec = check.spec
        count = _partitions(check)
        state = Text(check.state.value, style=STYLES[check.state])
        purpose = [spec.purpose.removeprefix("input: ")] if wide else []
        table.add_row(spec.name, spec.role.value, count, state, *purpose)
    out.print(table)
    _show_missing(checks)
    for check in checks:
        if check.state is TopicState.WRONG:
            show_findings(check.findings())
        elif check.state is TopicState.DOUBTFUL:
            show_findings(check.findings(), title="doubtful")


def _partitions(check: TopicCheck) -> str:
    needed = check.spec.partitions or check.partitions or check.spec.creation_partitions()
    return str(needed) if check.partitions in {0, needed} else f"{check.partitions}, not {needed}"


def _show_missing(checks: list[TopicCheck]) -> None:
    missing = [check.spec for check in checks if check.state is TopicState.MISSING]
    ours = [spec for spec in missing if spec.role is not TopicRole.INPUT]
    if ours:
        say(f"{len(ours)} of ours missing: `returnwatch topics create` creates them")
    if len(missing) > len(ours):
        names = ", ".join(spec.name for spec in missing if spec.role is TopicRole.INPUT)
        say(f"input missing: {names}. Their producers create them, or `returnwatch topics create --inputs`")


async def _inspected(settings: Settings, wait: timedelta) -> list[TopicCheck]:
    await reachable(settings, wait)
    async with open_admin(settings) as admin:
        return await inspect_topics(admin, settings.topic_specs())


async def _created(settings: Settings, wait: timedelta, *, inputs: bool) -> tuple[int, list[TopicCheck]]:
    await reachable(settings, wait)
    async with open_admin(settings) as admin:
        checks = await inspect_topics(admin, settings.topic_specs())
        created = await create_missing(admin, checks, settings, inputs=inputs)
        return len(created), await inspect_topics(admin, settings.topic_specs())


def _as_object(check: TopicCheck) -> dict[str, object]:
    return {
        "topic": check.spec.name,
        "role": check.spec.role.value,
        "state": check.state.value,
        "partitions": check.partitions,
        "partitions_needed": check.spec.partitions,
        "config": check.spec.creation_config(),
        "differences": [item._asdict() for item in check.differences],
    }
