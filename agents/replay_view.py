"""What a replay shows: tables for a person, one JSON document for a program. No figure in either depends on the machine."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from agents.case_view import time_text
from agents.replay_comparison import DIFFERENCES, OTHER_END, Compared, Difference, by_carrier, by_rule
from agents.replay_playing import Replayed, ReplayedCase, Span
from agents.terminal import out, write_line
from schemas.durations import duration_text
from schemas.outputs import case_after, utc
from schemas.vocabulary import CaseState, RuleId

RULE_COLUMNS = ("opened", "escalated", "resolved", "retracted", "still open")
SUPPRESSED = "suppressed"
DIFFERENCE_COLUMNS = (*(difference.value for difference in Difference), OTHER_END)
STYLES = {"gained": "green", "lost": "red", "earlier": "cyan", "later": "yellow", "same": "dim"}

_encode = msgspec.json.Encoder(order="deterministic").encode


class Played(NamedTuple):
    """The records that were played."""

    span: Span
    records: int
    refused: Counter[str]


def show(played: Played, result: Replayed) -> None:
    """One policy: what it says, by rule."""
    _show_head(played)
    out.print(Text(f"by {result.name}:"))
    _show_counts("rule", RULE_COLUMNS, rule_counts(result))
    if number := result.suppressed.total():
        what = f"{number:,} more suppressed: another case tells of the same cause"
        out.print(Text(what, "dim"), soft_wrap=True)


def show_comparison(played: Played, before: Replayed, after: Replayed, cases: Sequence[Compared]) -> None:
    """Two policies: how the cases differ, by rule and by carrier."""
    _show_head(played)
    out.print(Text(f"{after.name}, against {before.name}:"))
    for noun, counts in (("rule", by_rule(cases)), ("carrier", by_carrier(cases))):
        _show_counts(noun, DIFFERENCE_COLUMNS, counts)


def rule_counts(result: Replayed) -> Mapping[str, Counter[str]]:
    """Rule -> counts by RULE_COLUMNS and SUPPRESSED, for the rules that have any."""
    counts = {rule: Counter[str]() for rule in RuleId}
    for rule, number in result.suppressed.items():
        counts[rule][SUPPRESSED] += number
    for case in result.cases.values():
        count = counts[case.last.rule]
        count["opened"] += 1
        count["escalated"] += case.escalated
        count["resolved"] += case.last.state is CaseState.RESOLVED
        count["retracted"] += case.last.state is CaseState.RETRACTED
        count["still open"] += case.is_standing
    return {rule.value: count for rule, count in counts.items() if count}


def write_json(played: Played, result: Replayed) -> None:
    """One policy, with every case as it stands at the end."""
    write_line(_encode({**_json_head(played), **_json_result(result)}).decode())


def write_json_comparison(
    played: Played, before: Replayed, after: Replayed, cases: Sequence[Compared]
) -> None:
    """Two policies, with the cases of both and every difference."""
    document = {
        **_json_head(played),
        **_json_result(after),
        "against": _json_result(before),
        "differences": {
            "rules": _json_counts(DIFFERENCE_COLUMNS, by_rule(cases)),
            "carriers": _json_counts(DIFFERENCE_COLUMNS, by_carrier(cases)),
            "cases": [_json_difference(case) for case in cases if case.difference in DIFFERENCES],
        },
    }
    write_line(_encode(document).decode())


def head_lines(played: Played) -> list[str]:
    """How many records of what time were played, and what intake refused of them."""
    span = played.span
    lines = [
        f"{played.records:,} record{'' if played.records == 1 else 's'}, "
        f"{time_text(utc(span.start_ms))} to {time_text(utc(span.until_ms))} "
        f"in steps of {duration_text(timedelta(milliseconds=span.step_ms))}"
    ]
    if played.refused:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(played.refused.items()))
        lines.append(f"{played.refused.total():,} of them refused by intake: {reasons}")
    return lines


def totals(columns: Iterable[str], counts: Mapping[str, Counter[str]]) -> list[str]:
    """The cells of the last line."""
    return [_number(sum(count[column] for count in counts.values())) for column in columns]


def _show_head(played: Played) -> None:
    for line in head_lines(played):
        out.print(Text(line), soft_wrap=True)


def _show_counts(noun: str, columns: Sequence[str], counts: Mapping[str, Counter[str]]) -> None:
    if not counts:
        out.print(Text("no cases", "dim"))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_footer=True)
    table.add_column(noun, "all", no_wrap=True)
    for column, total in zip(columns, totals(columns, counts), strict=True):
        table.add_column(column, total, justify="right", style=STYLES.get(column, ""))
    for name, count in counts.items():
        if not any(count[column] for column in columns):
            continue
        table.add_row(name, *(_number(count[column]) for column in columns))
    out.print(table)


def _number(count: int) -> str:
    return f"{count:,}" if count else "-"


# -- JSON ---------------------------------------------------------------------------------------------------------


def _json_head(played: Played) -> dict[str, Any]:
    return {
        "records": played.records,
        "refused": dict(sorted(played.refused.items())),
        "from": utc(played.span.start_ms),
        "until": utc(played.span.until_ms),
        "step_seconds": played.span.step_ms / 1000,
    }


def _json_result(result: Replayed) -> dict[str, Any]:
    cases = sorted(result.cases.values(), key=lambda case: (case.opened.effective_at, case.opened.case_id))
    return {
        "policy": {"name": result.name, "hash": result.policy.hash},
        "rules": _json_counts((*RULE_COLUMNS, SUPPRESSED), rule_counts(result)),
        "cases": [_json_case(case) for case in cases],
    }


def _json_case(case: ReplayedCase) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(case_after(case.last), builtin_types=())
    return {**fields, "opened_at": case.opened.effective_at, "escalated": case.escalated}


def _json_difference(compared: Compared) -> dict[str, Any]:
    case = compared.case
    return {
        "case_id": case.case_id,
        "difference": compared.difference.value,
        "rule": case.rule.value,
        "carrier": case.carrier,
        "return_id": case.return_id,
        "parcel": case.parcel,
        "opened_at": compared.after and compared.after.opened.effective_at,
        "opened_at_against": compared.before and compared.before.opened.effective_at,
        "moved_seconds": compared.moved.total_seconds(),
        "ends_otherwise": compared.ends_otherwise,
    }


def _json_counts(columns: Iterable[str], counts: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    names = [(column, column.replace(" ", "_")) for column in columns]
    return {key: {name: count[column] for column, name in names} for key, count in counts.items()}
