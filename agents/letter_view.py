"""What dead letters look like on a terminal, and as JSON. All that came from outside goes through agents/safe_text.py."""

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from agents.case_view import age_text, time_text
from agents.safe_text import safe, safe_bytes, safe_lines, text_of
from agents.terminal import out, say
from schemas.dead_letter_outcomes import LetterOutcome
from schemas.topics import KIB
from streams.letters import OBSTACLES, Letter, Obstacle, not_opened, times_redriven

SHOWN_BYTES = 16 * KIB
SHOWN_HOURS = 48
GUTTER = "  │ "
"""Before every line of a record's own bytes, so that none of them looks like one of ours."""


class Listed(NamedTuple):
    """A letter, what was decided about it last, and what is in the way of redriving it."""

    letter: Letter
    outcome: LetterOutcome | None = None
    obstacle: Obstacle | None = None


def show_letters(listed: Sequence[Listed], now: datetime) -> None:
    """A table of letters, one each."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("record", style="cyan", overflow="fold")
    table.add_column("refused", no_wrap=True, justify="right")
    table.add_column("reason", no_wrap=True)
    table.add_column("bytes", no_wrap=True, justify="right")
    table.add_column("detail", overflow="fold")
    for one in listed:
        header = one.letter.header
        table.add_row(
            Text(safe(one.letter.record)),
            age_text(now - written_at(one.letter)),
            header.reason.value,
            f"{header.size:,}" if header.size >= 0 else "null",
            Text(f"{safe(header.detail)}{' (sealed)' if header.sealed else ''}{_standing(one)}"),
        )
    out.print(table)


def _standing(one: Listed) -> str:
    if one.outcome is not None:
        return f" ({one.outcome.outcome.value} by {safe(one.outcome.by)})"
    if one.obstacle is not None:
        return f" (stays: {OBSTACLES[one.obstacle][0]})"
    times = one.letter.header.redrives
    return f" (redriven {times} time{'s' if times > 1 else ''} before)" if times else ""


def show_letter(one: Listed, now: datetime, repeats: int) -> None:
    """All about one letter, then the bytes that were refused."""
    letter = one.letter
    out.print(Text.assemble("\n", (safe(letter.record), "bold"), f"  {letter.header.reason.value}"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in _facts(one, now, repeats):
        if text:
            grid.add_row(f"  {label}", Text(text))
    out.print(grid)
    if (hindrance := not_opened(letter)) is not None:
        what, todo = OBSTACLES[hindrance]
        say(f"its key, value and headers are not shown: {what}; {todo}")
        return
    if letter.value is None:
        say("the record had no value")
        return
    for line in _block(letter.value[:SHOWN_BYTES]):
        out.print(line, soft_wrap=True)
    if len(letter.value) > SHOWN_BYTES:
        left = len(letter.value) - SHOWN_BYTES
        say(f"{left:,} bytes more; --save FILE writes them all, as they came")


def _facts(one: Listed, now: datetime, repeats: int) -> Iterator[tuple[str, str]]:
    letter, outcome = one.letter, one.outcome
    header = letter.header
    yield (
        "refused",
        f"{time_text(written_at(letter))} ({age_text(now - written_at(letter))}), by {safe(header.stage)}",
    )
    yield "detail", safe(header.detail)
    yield "what to do", safe(header.action)
    yield "letter", letter.lies_at + (f", and {repeats} more of the same record" if repeats else "")
    yield "size", "" if header.size < 0 else f"{header.size:,} bytes" + _kept(letter)
    yield "sha256", safe(header.sha256)
    if header.redrives:
        yield "redriven", f"{header.redrives} times, last from {safe(header.redriven_from)}"
        yield "first refused", safe(header.first_refused_at)
    if header.sealed:
        yield "sealed for", safe(header.sealed_for.replace(",", ", "))
    if outcome is not None:
        why = f": {safe(outcome.why)}" if outcome.why else ""
        yield outcome.outcome.value, f"{time_text(outcome.at)}, by {safe(outcome.by)}{why}"
        yield "lies now at", safe(outcome.sent_to)
    if one.obstacle is not None and outcome is None:
        what, todo = OBSTACLES[one.obstacle]
        yield "not redriven", f"{what}; {todo}"
    if not_opened(letter) is not None:
        return
    yield "key", "none" if letter.key is None else safe_bytes(letter.key)
    for name, content in letter.headers:
        yield "header", f"{safe(name)}: {'null' if content is None else safe_bytes(content)}"


def _kept(letter: Letter) -> str:
    header = letter.header
    cut = f", of which the first {header.first_bytes:,} were kept" if header.truncated else ""
    return cut + (f"; without its {header.left_out.replace('+', ' and ')}" if header.left_out else "")


def _block(value: bytes) -> Iterator[Text]:
    width = max(20, out.width - len(GUTTER))
    if text_of(value) is None and (whole := value[: _whole_characters(value)]) and text_of(whole) is not None:
        value = whole
    lines = chain.from_iterable(Text(line).wrap(out, width) or [Text("")] for line in safe_lines(value))
    return (Text.assemble((GUTTER, "dim"), line) for line in lines)


def _whole_characters(value: bytes) -> int:
    """Where the last character begins that was cut off by showing only the first bytes, else the length."""
    for back in range(1, min(4, len(value)) + 1):
        if value[-back] & 0xC0 == 0xC0:
            return len(value) - back
    return len(value)


def show_stats(stats: "Stats") -> None:
    """Counts by reason, by topic and by hour, the largest and the newest first."""
    for heading, counts in (("reason", stats.reasons), ("topic", stats.topics)):
        _show_counts(heading, counts.most_common())
    hours = sorted(stats.hours.items(), reverse=True)
    _show_counts("hour (UTC)", hours[:SHOWN_HOURS])
    if len(hours) > SHOWN_HOURS:
        say(f"{len(hours) - SHOWN_HOURS} earlier hours are left out; --json has them")


def _show_counts(heading: str, counts: Sequence[tuple[str, int]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(heading, overflow="fold")
    table.add_column("letters", justify="right")
    for name, count in counts:
        table.add_row(Text(safe(name)), f"{count:,}")
    out.print(table)


class Stats:
    """Letters counted. What was dealt with is counted apart, and not under reason, topic and hour."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.topics: Counter[str] = Counter()
        self.hours: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()

    def add(self, letter: Letter, outcome: LetterOutcome | None, *, everything: bool) -> None:
        """Count a letter."""
        if outcome is not None:
            self.outcomes[outcome.outcome.value] += 1
            if not everything:
                return
        self.reasons[letter.header.reason.value] += 1
        self.topics[letter.header.topic] += 1
        self.hours[f"{written_at(letter):%Y-%m-%dT%H:00Z}"] += 1

    def as_object(self) -> dict[str, Any]:
        """For programs."""
        return {
            "letters": self.reasons.total(),
            "redriven": self.outcomes["redriven"],
            "discarded": self.outcomes["discarded"],
            "reasons": dict(self.reasons.most_common()),
            "topics": dict(self.topics.most_common()),
            "hours": dict(sorted(self.hours.items(), reverse=True)),
        }


def letter_object(one: Listed, *, with_record: bool) -> Mapping[str, Any]:
    """A letter for programs; `with_record`: with the refused record's key, headers and value."""
    letter = one.letter
    told: dict[str, Any] = {
        "record": letter.record,
        "letter": letter.lies_at,
        "refused_at": f"{written_at(letter):%Y-%m-%dT%H:%M:%SZ}",
        **{name.removeprefix("returnwatch-").replace("-", "_"): value for name, value in _builtins(letter)},
        "times_redriven": times_redriven(letter, one.outcome),
        "outcome": msgspec.to_builtins(one.outcome) if one.outcome is not None else None,
        "obstacle": one.obstacle.value if one.obstacle is not None else None,
    }
    if with_record:
        told["opened"] = not_opened(letter) is None
        told["key"] = _bytes_object(letter.key)
        told["headers"] = [{"name": name, "content": _bytes_object(value)} for name, value in letter.headers]
        told["value"] = _bytes_object(letter.value)
    return told


def _builtins(letter: Letter) -> Sequence[tuple[str, Any]]:
    fields: dict[str, Any] = msgspec.to_builtins(letter.header)
    return list(fields.items())


def _bytes_object(value: bytes | None) -> dict[str, str] | None:
    if value is None:
        return None
    text = text_of(value)
    return {"text": text} if text is not None else {"base64": base64.b64encode(value).decode()}


def written_at(letter: Letter) -> datetime:
    """When the letter was written."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=max(0, letter.written_ms))
