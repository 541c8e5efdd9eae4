"""Every log call of the project: one constant event name in snake_case, and fields that are not what is never logged."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agents.logging_setup import NEVER_LOGGED

ROOT = Path(__file__).parent.parent.parent
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
EVENT_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


class LogCall(NamedTuple):
    """`log.info(...)` somewhere in the code."""

    where: str
    call: ast.Call


def calls_in(source: str, where: str) -> Iterator[LogCall]:
    """The calls of a logger that is called `log`."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LEVELS
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in {"log", "logger"}
        ):
            yield LogCall(f"{where}:{node.lineno}", node)


def wrong(found: LogCall) -> str:
    """What is wrong with a call; "": nothing."""
    where, call = found
    if len(call.args) != 1 or not isinstance(call.args[0], ast.Constant):
        return f"{where}: the event is one constant name; what it tells goes into fields"
    name = call.args[0].value
    if not isinstance(name, str) or not EVENT_NAME.fullmatch(name):
        return f"{where}: {name!r} is no name like partition_ready"
    names = [keyword.arg for keyword in call.keywords]
    if None in names:
        return f"{where}: fields are written out, so that it can be seen what is logged"
    if kept_out := sorted({*filter(None, names)} & NEVER_LOGGED):
        return f"{where}: {kept_out[0]} is never logged"
    return ""


def test_every_log_call_has_a_constant_name_and_fields_that_may_be_logged() -> None:
    calls = [
        call
        for room in ("agents", "simulation", "streams", "schemas")
        for file in sorted((ROOT / room).rglob("*.py"))
        for call in calls_in(file.read_text(encoding="utf-8"), str(file.relative_to(ROOT)))
    ]
    assert len(calls) > 40, "the calls are found"
    assert [text for call in calls if (text := wrong(call))] == []


def test_what_is_no_event_name_is_seen() -> None:
    seen = [
        wrong(call)
        for line in (
            'log.info("a sentence about something")',
            'log.info(f"partition_{number}")',
            'log.info("CamelCase")',
            'log.info("two", "texts")',
            'log.warning("refused", value=record)',
            'log.warning("refused", **fields)',
        )
        for call in calls_in(line, "x")
    ]
    assert len(seen) == 6
    assert all(seen)
    assert [wrong(call) for call in calls_in('log.error("lost_to_retention", topic=1)', "x")] == [""]


def test_the_page_lists_every_event_with_its_level_and_fields() -> None:
    found: dict[str, tuple[str, set[str]]] = {}
    for file in sorted((ROOT / "agents").rglob("*.py")):
        for _, call in calls_in(file.read_text(encoding="utf-8"), file.name):
            name, told = call.args[0], call.func
            assert isinstance(name, ast.Constant)
            assert isinstance(told, ast.Attribute)
            fields = {keyword.arg for keyword in call.keywords if keyword.arg not in {None, "exc_info"}}
            found.setdefault(str(name.value), (told.attr, set()))[1].update(map(str, fields))
    page = (ROOT / "docs" / "logs-and-traces.md").read_text(encoding="utf-8").partition("## Events")[2]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| .+ \|$", page, re.MULTILINE)
    listed = {name: (level, set(re.findall(r"`(\w+)`", fields))) for name, level, fields in rows}
    assert listed == found
