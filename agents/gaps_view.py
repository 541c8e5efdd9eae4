"""How gaps in the understanding of carriers' codes are printed: as tables, as JSON, as rows for a table of one's own."""

import csv
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from agents.safe_text import safe
from agents.terminal import out, say, write_line
from schemas.carrier_codes import CarrierCodes
from schemas.carrier_tables import CODE_COLUMNS, CodeRow
from streams.gaps import LEAST_PARCELS, MOST_PARCELS, NOT_SHOWN, CarrierTraffic, Gap, GapCount

_MOST_SHOWN = 50
_TEXTS_SHOWN = 3


class Told(NamedTuple):
    """What was counted."""

    counted: GapCount
    codes: CarrierCodes
    records: int
    refused: int


def show(told: Told) -> None:
    """What share of each carrier's scans was understood, and what was not."""
    traffic, gaps = told.counted.traffic(), told.counted.gaps()
    table = _table(carrier="", scans="right", **{"not understood": "right"}, share="right")
    for one in traffic:
        cells = (one.carrier, f"{one.scans:,}", f"{one.not_understood:,}", _share(one))
        table.add_row(*(Text(safe(cell)) for cell in cells))
    out.print(table)
    if gaps:
        out.print(_gap_table(gaps[:_MOST_SHOWN]))
    _say_the_rest(told, gaps)


def write_json(told: Told) -> None:
    """A line for each carrier, then one for each gap."""
    for one in told.counted.traffic():
        share = one.not_understood / one.scans if one.scans else 0.0
        line = {"scans": one.scans, "not_understood": one.not_understood, "share": round(share, 4)}
        write_line(json.dumps({"carrier": one.carrier, **line}))
    for gap in told.counted.gaps():
        write_line(json.dumps({"gap": _as_json(gap)}))


def write_csv(told: Told) -> None:
    """Rows for a table of one's own, with `milestone` and `evidence` left to be filled in."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(CODE_COLUMNS)
    without_words = 0
    for gap in told.counted.gaps():
        rows = list(_rows(gap, told.counted))
        without_words += not rows
        writer.writerows(rows)
    unknown = sorted({gap.asked.carrier for gap in told.counted.gaps()} - told.codes.carriers)
    if unknown:
        names = ", ".join(map(safe, unknown))
        say(
            f"no table knows {names}: give each a line `alias,carrier` in an aliases.csv beside (docs/carriers.md)"
        )
    if without_words:
        say(f"{without_words} without a row: their words decide, and are not shown (docs/carriers.md)")
    say(
        "fill in milestone and evidence, delete what you do not know, and run `returnwatch carriers check FILE`"
    )


def _rows(gap: Gap, count: GapCount) -> Iterator[list[str]]:
    """The missing row, or one for each of its texts; with ours that it would take the place of."""
    asked = gap.asked
    if asked.code == NOT_SHOWN:
        return
    if not asked.by_text:
        yield _row(gap, "")
        return
    texts = gap.told()
    if texts:
        yield from map(_row_of_ours, count.ours_beside(asked))
    for text in texts:
        yield _row(gap, text.pattern)


def _row(gap: Gap, pattern: str) -> list[str]:
    asked = gap.asked
    reported = "scan was" if gap.scans == 1 else "scans were"
    source = (
        f"our traffic, {_day(gap.first_ms)} to {_day(gap.last_ms)}, {gap.scans} {reported} not understood"
    )
    named = [asked.carrier, asked.api, asked.code_type, asked.code, pattern, asked.direction]
    return [*named, "", "", "", "observed", source]


def _row_of_ours(row: CodeRow) -> list[str]:
    says = [row.milestone.name.lower(), row.evidence.name.lower(), row.reason, row.confidence, row.source]
    return [row.carrier, row.api, row.code_type, row.code, row.text_pattern, row.direction, *says]


def _as_json(gap: Gap) -> dict[str, Any]:
    asked = gap.asked
    return {
        **asked._asdict(),
        "scans": gap.scans,
        "parcels": len(gap.parcels),
        "parcels_more": len(gap.parcels) >= MOST_PARCELS,
        "first_seen_at": _time(gap.first_ms),
        "last_seen_at": _time(gap.last_ms),
        "example": gap.example,
        "texts": [
            {"text": text.shown, "more": text.cut, "scans": text.scans, "text_pattern": text.pattern}
            for text in gap.told()
        ],
    }


def _gap_table(gaps: list[Gap]) -> Table:
    table = _table(
        carrier="", **{"api and type": ""}, code="", text="", scans="right", parcels="right", example=""
    )
    for gap in gaps:
        asked = gap.asked
        parcels = f"{MOST_PARCELS}+" if len(gap.parcels) >= MOST_PARCELS else str(len(gap.parcels))
        texts = [f"{text.shown}…" if text.cut else text.shown for text in gap.told()[:_TEXTS_SHOWN]]
        named = [asked.carrier], [asked.api, asked.code_type], [asked.code], texts
        counted = [f"{gap.scans:,}"], [parcels], [gap.example]
        table.add_row(*(Text("\n".join(map(safe, lines))) for lines in (*named, *counted)))
    return table


def _say_the_rest(told: Told, gaps: list[Gap]) -> None:
    count = told.counted
    if not gaps and not count.without_code:
        say("everything was understood")
    if len(gaps) > _MOST_SHOWN:
        say(f"{len(gaps) - _MOST_SHOWN} more codes: --json or --csv has all")
    if any(not gap.told() and gap.asked.by_text for gap in gaps):
        say(
            f"a text is shown when {LEAST_PARCELS} parcels came with it and it is worded like a status; "
            "read others at their example"
        )
    if count.without_code:
        say(f"{count.without_code} scans had neither a code nor a text")
    if count.left_out:
        say(f"{count.left_out} scans with still other codes are not listed")
    if told.refused:
        say(
            f"{told.refused} of {told.records} records would be refused, in whole or in part: `returnwatch dlq stats`"
        )


def _share(one: CarrierTraffic) -> str:
    return f"{one.not_understood / one.scans:.1%}" if one.scans else "-"


def _day(ms: int) -> str:
    return _time(ms)[:10]


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _table(**columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading, justify in columns.items():
        table.add_column(heading, overflow="fold", justify="right" if justify else "left")
    return table
