"""How messages, and what they become, look on a terminal."""

import json

from rich import box
from rich.table import Table
from rich.text import Text

from agents.source_trial import Trial, Trials
from agents.terminal import out, write_line

_COLUMNS = ("event", "about", "time", "quality", "fields")


def show_trials(name: str, found: Trials) -> None:
    """A table for each message, then what is dropped and what was not understood."""
    for one in found.trials:
        _show(one)
    _list("not read, and goes no further", found.dropped)
    _list("not read, looks personal", found.personal)
    for doubt in found.doubtful:
        _say(Text.assemble(("doubtful: ", "yellow"), doubt))
    events = sum(len(one.rows) for one in found.trials)
    wrong = sum(len(one.not_understood) for one in found.trials)
    told = f"{name}: {_counted(len(found.trials), 'message')}, {_counted(events, 'event')}"
    if wrong:
        _say(Text.assemble(told, ", ", (f"{wrong} not understood", "bold red")))
    else:
        _say(Text.assemble(told, ", ", ("everything understood", "bold green")))


def write_trials(found: Trials) -> None:
    """A line of JSON for each message, and one for all of them."""
    for one in found.trials:
        told = {**one._asdict(), "rows": [row._asdict() for row in one.rows]}
        write_line(json.dumps(told))
    write_line(
        json.dumps(
            {
                "dropped": found.dropped,
                "personal": found.personal,
                "doubtful": found.doubtful,
                "understood": found.understood,
            }
        )
    )


def _show(one: Trial) -> None:
    skipped = f"  ({one.skipped} skipped)" if one.skipped else ""
    _say(Text.assemble((one.where, "bold"), (skipped, "dim")))
    if one.rows:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for name in _COLUMNS:
            table.add_column(name, overflow="fold", no_wrap=name in {"event", "time", "quality"})
        for row in one.rows:
            fields = "  ".join(f"{field}={value}" for field, value in row.fields.items())
            style = "" if row.quality in {"offset", "derived_from_place"} else "yellow"
            cells = (row.type, row.subject, row.time)
            table.add_row(*map(Text, cells), Text(row.quality, style), Text(fields))
        out.print(table)
    elif not one.not_understood:
        _say(Text("  tells nothing", "dim"))
    for doubt in one.not_understood:
        _say(Text.assemble(("  not understood: ", "red"), doubt))


def _list(title: str, paths: tuple[str, ...]) -> None:
    if paths:
        _say(Text.assemble((f"{title}: ", "cyan"), ", ".join(paths)))


def _say(text: Text) -> None:
    out.print(text, soft_wrap=True)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
