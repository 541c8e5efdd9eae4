"""What a case looks like on a terminal of 100 columns."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rich import box
from rich.table import Table
from rich.text import Text

from agents.case_subject import parcel_or_feed
from agents.terminal import out, say
from schemas.money import minor_units
from schemas.outputs import Case, Escalation, Money, Severity
from schemas.vocabulary import CaseState

STATE_STYLES = {
    CaseState.OPEN: "yellow",
    CaseState.ESCALATED: "bold red",
    CaseState.RESOLVED: "green",
    CaseState.RETRACTED: "dim",
}
SEVERITY_STYLES = {
    Severity.INFO: "dim",
    Severity.WARNING: "",
    Severity.ERROR: "yellow",
    Severity.CRITICAL: "bold red",
}


def show_list(cases: Sequence[Case], now: datetime, *, left_out: int) -> None:
    """A table of cases, one line each."""
    if not cases:
        say("no such cases")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("case", no_wrap=True, style="cyan")
    table.add_column("rule", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("level", justify="right")
    table.add_column("overdue", justify="right", no_wrap=True)
    table.add_column("return", overflow="fold")
    table.add_column("parcel", overflow="fold")
    for case in cases:
        table.add_row(
            case.case_id[:8],
            case.rule.value,
            _standing(case),
            Text(str(case.level), style=SEVERITY_STYLES[case.severity]),
            age_text(now - case.due_at).removesuffix(" ago"),
            case.return_id,
            parcel_or_feed(case),
        )
    out.print(table)
    more = f", {left_out} more with --limit 0" if left_out else ""
    say(
        f"{len(cases)} case{'s' if len(cases) > 1 else ''}{more}. `returnwatch cases show CASE` tells all about one"
    )


def show_case(case: Case, history: Sequence[Escalation], now: datetime) -> None:
    """Everything about one case, then what was said about it."""
    out.print(
        Text.assemble("\n", (case.rule.value, "bold"), "  ", _state(case.state), f"  level {case.level}")
    )
    if case.explanation:
        out.print(Text(case.explanation))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in _facts(case, now):
        if text:
            grid.add_row(f"  {label}", text)
    out.print(grid)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("revision", "at", "state", "reason", "level", "what was said"):
        table.add_column(heading, overflow="fold")
    for change in history:
        level = str(change.level)
        at, state = time_text(change.effective_at), _state(change.state)
        table.add_row(str(change.revision), at, state, change.reason.value, level, change.explanation)
    if history:
        out.print(table)


def change_line(change: Escalation) -> Text:
    """One change, on one line where it fits."""
    before = f"{change.previous_state.value} > " if change.previous_state else ""
    return Text.assemble(
        (f"{time_text(change.effective_at)} ", "dim"),
        before,
        _state(change.state),
        f" {change.rule.value} ",
        (f"{change.return_id} ", "bold"),
        f"{parcel_or_feed(change)} ",
        (f"({change.reason.value}, level {change.level})", "dim"),
    )


def age_text(age: timedelta) -> str:
    """The two largest units: `3d 4h ago`, `12m ago`; what is still to come is `in 3d 4h`."""
    minutes = abs(age) // timedelta(minutes=1)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        text = f"{days}d {hours}h" if hours else f"{days}d"
    elif hours:
        text = f"{hours}h {rest}m" if rest else f"{hours}h"
    else:
        text = f"{rest}m"
    return f"in {text}" if age < timedelta(0) else f"{text} ago"


def time_text(at: datetime) -> str:
    """UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def amount_text(value: Money) -> str:
    """`19.90 EUR`, `1990 JPY`."""
    units = minor_units(Decimal(1), value.currency)
    digits = len(str(units)) - 1
    return f"{Decimal(value.amount_minor) / units:.{digits}f} {value.currency}"


def lane(case: Case) -> str:
    """`FR-DE`, as far as it is known."""
    return f"{case.origin or '?'}-{case.destination or '?'}" if case.origin or case.destination else ""


def _facts(case: Case, now: datetime) -> list[tuple[str, str]]:
    evidence = ", ".join(f"{item.topic}/{item.partition}@{item.offset}" for item in case.evidence)
    return [
        ("case", f"{case.case_id} revision {case.revision}"),
        ("return", case.return_id),
        ("parcel", case.parcel),
        ("feed", case.feed.name if case.feed is not None else ""),
        ("lane", lane(case)),
        ("facility", case.facility),
        ("value", amount_text(case.value) if case.value else ""),
        ("waiting since", f"{time_text(case.since_at)} ({age_text(now - case.since_at)})"),
        ("was due", f"{time_text(case.due_at)} ({age_text(now - case.due_at)})"),
        ("reason", case.reason.value),
        ("severity", case.severity.value),
        ("what to do", case.action),
        ("historical", "yes: due before go-live, nobody was called" if case.historical else ""),
        ("acknowledged", _by(case.acknowledged_by, case.acknowledged_at)),
        ("put off until", _by(case.snoozed_by, case.snoozed_until)),
        ("assigned to", case.assigned_to),
        ("resolved by", f"{case.resolved_by}: {case.closure}" if case.closure else ""),
        ("policy", case.policy_hash[:12]),
        ("evidence", evidence),
    ]


def _standing(case: Case) -> Text:
    """The state, and that it is nobody's turn now."""
    quiet = "acknowledged" if case.acknowledged_by else "put off" if case.snoozed_until else ""
    return Text.assemble(_state(case.state), (f", {quiet}" if quiet else "", "dim"))


def _by(who: str, at: datetime | None) -> str:
    return f"{time_text(at)}, by {who}" if at is not None else ""


def _state(state: CaseState) -> Text:
    return Text(state.value, style=STATE_STYLES[state])
