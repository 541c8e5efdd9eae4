"""The comparison of two policies as one HTML file: no script, nothing that is loaded from elsewhere."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from html import escape

from agents.case_view import age_text, time_text
from agents.policy_reading import differences
from agents.replay_comparison import DIFFERENCES, Compared, Difference, by_carrier, by_rule
from agents.replay_playing import Replayed, ReplayedCase
from agents.replay_view import DIFFERENCE_COLUMNS, Played, head_lines, totals

MOST_CASES = 500
"""Listed one by one; all of them are in the JSON."""

COLORS = {
    Difference.GAINED: "#1a7f4b",
    Difference.LOST: "#b3372f",
    Difference.EARLIER: "#1f6fb2",
    Difference.LATER: "#a86a00",
}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; color: #1b1f24;
  background: #fff; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; } svg { width: 100%; max-width: 40rem; height: auto; }
table { border-collapse: collapse; font-size: .875rem; } caption { text-align: left; color: #57606a; }
th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #d8dee4; text-align: left; vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; } tfoot { font-weight: 600; }
.swatch { display: inline-block; width: .75em; height: .75em; margin: 0 .3em 0 .8em; }
svg text { font: 13px system-ui, sans-serif; fill: #1b1f24; }
"""

_BAR, _GAP, _LABEL, _WIDTH = 12, 14, 20, 400


def report(played: Played, before: Replayed, after: Replayed, cases: Sequence[Compared]) -> str:
    """The whole page. The same replay gives the same text."""
    title = f"{after.name}, against {before.name}"
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(line)}</p>" for line in head_lines(played)),
        *_policies(before, after),
        *_counts("rule", by_rule(cases)),
        *_counts("carrier", by_carrier(cases)),
        *_cases([case for case in cases if case.difference in DIFFERENCES]),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _policies(before: Replayed, after: Replayed) -> Iterator[str]:
    changes = differences(before.policy, after.policy)
    yield "<h2>What the policies differ in</h2>"
    rows = [tuple(change) for change in changes]
    yield from _table(("setting", before.name, after.name), rows, caption="" if rows else "nothing")


def _counts(noun: str, counts: Mapping[str, Counter[str]]) -> Iterator[str]:
    yield f"<h2>Cases by {noun}</h2>"
    yield _plot(noun, counts)
    rows = [(name, *(str(count[column]) for column in DIFFERENCE_COLUMNS)) for name, count in counts.items()]
    foot = ("all", *totals(DIFFERENCE_COLUMNS, counts))
    yield from _table((noun, *DIFFERENCE_COLUMNS), rows, foot=foot, numbers=True)


def _plot(noun: str, counts: Mapping[str, Counter[str]]) -> str:
    """Bars one below the other, for what has any difference; their lengths are on one scale."""
    shown = {name: count for name, count in counts.items() if any(count[one] for one in DIFFERENCES)}
    if not shown:
        return "<p>No differences.</p>"
    largest = max(count[one] for count in shown.values() for one in DIFFERENCES)
    shapes, y = list[str](), 0
    for name, count in shown.items():
        shapes.append(f'<text x="0" y="{y + 14}">{escape(name)}</text>')
        y += _LABEL
        for one in DIFFERENCES:
            if not (number := count[one]):
                continue
            width = max(1, round(_WIDTH * number / largest))
            shapes.append(f'<rect x="0" y="{y}" width="{width}" height="{_BAR}" fill="{COLORS[one]}"/>')
            shapes.append(f'<text x="{width + 6}" y="{y + _BAR - 1}">{number:,}</text>')
            y += _BAR + 4
        y += _GAP
    legend = "".join(
        f'<span class="swatch" style="background:{COLORS[one]}"></span>{one.value}' for one in DIFFERENCES
    )
    label = f"Cases gained, lost, earlier and later by {noun}; the table below has the numbers"
    drawn = "".join(shapes)
    return (
        f'<p>{legend}</p><svg role="img" aria-label="{label}" viewBox="0 0 {_WIDTH + 80} {y}">{drawn}</svg>'
    )


def _cases(cases: Sequence[Compared]) -> Iterator[str]:
    yield "<h2>Cases that differ</h2>"
    left_out = len(cases) - MOST_CASES
    caption = f"The first {MOST_CASES} of {len(cases):,}; --json has all" if left_out > 0 else ""
    headings = ("difference", "rule", "return", "parcel", "opened before", "opened now", "moved by", "case")
    rows = [
        (
            one.difference.value,
            one.case.rule.value,
            one.case.return_id,
            one.case.parcel,
            _opened(one.before),
            _opened(one.after),
            age_text(one.moved).removesuffix(" ago").removeprefix("in ") if one.moved != timedelta(0) else "",
            one.case.case_id[:8],
        )
        for one in cases[:MOST_CASES]
    ]
    yield from _table(headings, rows, caption=caption)


def _opened(case: ReplayedCase | None) -> str:
    return time_text(case.opened.effective_at) if case else ""


def _table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    foot: Sequence[str] = (),
    caption: str = "",
    numbers: bool = False,
) -> Iterator[str]:
    """`numbers`: all columns but the first."""
    yield '<div class="wide"><table>'
    if caption:
        yield f"<caption>{escape(caption)}</caption>"
    yield f"<thead>{_row(headings, 'th', numbers=numbers)}</thead><tbody>"
    yield from (_row(row, "td", numbers=numbers) for row in rows)
    yield "</tbody>"
    if foot:
        yield f"<tfoot>{_row(foot, 'td', numbers=numbers)}</tfoot>"
    yield "</table></div>"


def _row(cells: Sequence[str], tag: str, *, numbers: bool) -> str:
    first, *rest = (escape(cell) for cell in cells)
    kind = f'{tag} class="number"' if numbers else tag
    return f"<tr><{tag}>{first}</{tag}>{''.join(f'<{kind}>{cell}</{tag}>' for cell in rest)}</tr>"
