"""`returnwatch cases list|show|tail`; what is told about cases goes through agents/commanding.py."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from agents.case_filter import CaseFilter
from agents.case_log import CaseTable, follow_escalations, read_cases, read_history
from agents.case_view import change_line, show_case, show_list
from agents.errors import CaseNotFoundError, Finding
from agents.kafka_connection import reachable, run
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import out, say, write_line
from schemas.outputs import Case, Escalation
from streams.keys import parcel_key, split_parcel_key

LEAST_PREFIX = 6
"""A case id may be shortened to so many characters."""


@dataclass(frozen=True, slots=True)
class TailOptions:
    """How to follow; `count` 0 goes on until it is stopped."""

    from_start: bool
    count: int
    as_json: bool


def list_cases(flags: Mapping[str, object], wanted: CaseFilter, *, limit: int, as_json: bool) -> int:
    """Print the wanted cases, the most urgent first: highest level, then longest due."""
    table = run(_read(load_settings(flags)))
    now = table.now(datetime.now(UTC))
    found = [case for case in table.cases.values() if wanted.takes(case, now)]
    found.sort(key=lambda case: (-case.level, case.due_at, case.case_id))
    shown = found[:limit] if limit else found
    if as_json:
        for case in shown:
            write_line(_json(case))
    else:
        show_list(shown, now, left_out=len(found) - len(shown))
    _tell_unreadable(table)
    return 0


def show_cases(flags: Mapping[str, object], name: str, *, as_json: bool) -> int:
    """Print all about the cases of that name, with their history.

    Raises:
        CaseNotFoundError: there is none.
    """
    settings = load_settings(flags)
    table, found, history = run(_read_with_history(settings, name))
    if not found:
        what = f"no case, return or parcel of that name among {len(table.cases)} cases"
        todo = (
            "`returnwatch cases list --state all --limit 0` shows them all; a healthy return has no case, nor has one "
            "that was forgotten, as `returnwatch explain` tells"
        )
        raise CaseNotFoundError([Finding(name, what, todo=todo)])
    now = table.now(datetime.now(UTC))
    for case in found:
        if as_json:
            said: Sequence[Case] = history[case.case_id] or [case]
            for change in said:
                write_line(_json(change))
        else:
            show_case(case, history[case.case_id], now)
    _tell_unreadable(table)
    return 0


def tail(flags: Mapping[str, object], wanted: CaseFilter, options: TailOptions) -> int:
    """Print changes as they are published."""
    settings = load_settings(flags)
    try:
        run(_follow(settings, wanted, options))
    except KeyboardInterrupt:
        return 0  # the ordinary way to end it
    return 0


def matches(case: Case, name: str) -> bool:
    """Whether a person who typed `name` means this case: its id or the start of it, its return or its parcel."""
    number = split_parcel_key(case.parcel)[1]
    typed = split_parcel_key(parcel_key("", name))[1]
    return (
        name in {case.case_id, case.return_id, case.parcel}
        or (len(name) >= LEAST_PREFIX and case.case_id.startswith(name.lower()))
        or (bool(number) and typed == number)
    )


async def _read(settings: Settings) -> CaseTable:
    await reachable(settings)
    return await read_cases(settings)


async def _read_with_history(
    settings: Settings, name: str
) -> tuple[CaseTable, Sequence[Case], dict[str, list[Escalation]]]:
    table = await _read(settings)
    found = sorted(
        (case for case in table.cases.values() if matches(case, name)),
        key=lambda case: (case.due_at, case.case_id),
    )
    return table, found, await read_history(settings, found) if found else {}


async def _follow(settings: Settings, wanted: CaseFilter, options: TailOptions) -> None:
    await reachable(settings)
    if not options.as_json:
        say(f"following {settings.topics.escalations}; Ctrl-C ends it")
    told = 0
    async with aclosing(follow_escalations(settings, from_start=options.from_start)) as changes:
        async for change in changes:
            if not wanted.takes(change, change.effective_at):
                continue
            if options.as_json:
                write_line(_json(change))
            else:
                out.print(change_line(change))
            told += 1
            if told == options.count:
                return


def _json(value: Case) -> str:
    return msgspec.json.encode(value).decode()


def _tell_unreadable(table: CaseTable) -> None:
    if table.unreadable:
        places = ", ".join(table.unreadable[:3])
        more = f" and {len(table.unreadable) - 3} more" if len(table.unreadable) > 3 else ""
        say(f"not cases, left out: {places}{more}. Somebody else writes to this topic?")
