"""Reads a folder of real payloads with labels through intake, and tells where the two do not agree.

    LABELLED_PAYLOADS=/path python -m tests.labelled_payloads

The folder has a `manifest.json` that says of each file which API it is of, and of each event what it proves. It is no part
of this project, and nothing here needs it; what differs is explained in docs/mapping-doubts.md.
"""

import json
import os
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from schemas.adapter_loading import shipped_adapter, shipped_adapters
from schemas.carrier_codes import CarrierCodes, load_carrier_codes, our_tables
from schemas.facts import decode_parcel_fact
from schemas.vocabulary import PHYSICAL_CARRIER_EVIDENCE, Evidence, Milestone, TimeQuality
from streams.adapting import Adapter, ScanSeen
from streams.intake import Acceptance, IntakeMapper
from streams.refusal import RefusalError

FOLDER = "LABELLED_PAYLOADS"
_ARRIVED_AT = datetime.fromisoformat("2026-11-23T12:00:00Z")
_ARRIVED_MS = int(_ARRIVED_AT.timestamp() * 1000)
_MAX_BYTES = 1 << 20
_MINUTE = timedelta(minutes=1)
_AS_LABELLED = {"carrier_preadvised": "label_created"}
"""Ours -> theirs: the labels have one word for what a shop and what a carrier says before it has the parcel."""
_LABELLED_TIMES = (
    "%Y-%m-%d %H:%M:%S",
    "%Y%m%d %H%M%S",
    "%d-%m-%Y %H:%M:%S",
    "%B %d, %Y %I:%M %p",
    "%Y-%m-%d %H:%M: %S",
    "%Y-%m-%d %H: %M: %S",
)


class _Record(NamedTuple):
    value: bytes
    key: bytes = b"NUMBER1"
    offset: int = 0
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Compared(NamedTuple):
    """One labelled event beside what was read."""

    file: str
    api: str
    label: dict[str, Any]
    milestone: str
    evidence: str
    agrees: bool
    time_agrees: bool
    wrong_scan: bool
    """A physical scan is claimed where the label has none."""


def compared(folder: Path, *, own_rows: bool = True) -> tuple[list[Compared], list[str]]:
    """Every labelled event beside ours, and what else is wrong: files without events that have some, and the reverse.

    Without `own_rows` each payload is read without the rows of the tables that come from its own source.
    """
    payloads = json.loads((folder / "manifest.json").read_text("utf-8"))["payloads"]
    results: list[Compared] = []
    problems: list[str] = []
    for source in sorted({payload["file"].split("/")[0] for payload in payloads}):
        codes = load_carrier_codes() if own_rows else _codes_without(source)
        of_source = [payload for payload in payloads if payload["file"].startswith(f"{source}/")]
        _compare(folder, of_source, codes, results, problems)
    return results, problems


def _codes_without(source: str) -> CarrierCodes:
    tables = our_tables()
    rows = tuple(row for row in tables.rows if f"{source}/" not in row.source)
    return CarrierCodes(rows, tables.aliases, tables.defaults)


def _compare(
    folder: Path,
    payloads: list[dict[str, Any]],
    codes: CarrierCodes,
    results: list[Compared],
    problems: list[str],
) -> None:
    adapters = {name: Adapter(shipped_adapter(name)) for name in shipped_adapters()}
    mapper = IntakeMapper(codes, Acceptance(max_past=timedelta(days=20_000)), adapters=adapters)
    for payload in payloads:
        file, api = payload["file"], payload["api"]
        if api not in adapters:
            problems.append(f"{file}: no adapter for {api}")
            continue
        value = (folder / file).read_bytes()
        intake = mapper.map_chunk([_Record(value)], "carrier-scans", _ARRIVED_MS, topic=api, partition=0)
        facts = [decode_parcel_fact(fact) for _, _, fact in intake.facts]
        try:
            scans = [
                scan
                for one in adapters[api].read(value, _ARRIVED_MS, _MAX_BYTES, b"NUMBER1").histories
                for scan in one
            ]
        except RefusalError:
            scans = []
        if len(scans) != len(payload["events"]) or len(facts) != len(scans):
            why = ", ".join(f"{one.reason}: {one.detail}" for one in intake.refused)
            problems.append(
                f"{file}: {len(payload['events'])} events are labelled, {len(facts)} were read. {why}"
            )
        for label, scan, fact in zip(payload["events"], scans, facts, strict=False):
            results.append(_compared(file, api, label, scan, fact))


def _compared(file: str, api: str, label: dict[str, Any], scan: ScanSeen, fact: Any) -> Compared:
    milestone, evidence = Milestone(fact.milestone).name.lower(), Evidence(fact.evidence).name.lower()
    milestone = _AS_LABELLED.get(milestone, milestone)
    fair = {label["expected_milestone"], *label.get("also_acceptable", ())}
    same_evidence = evidence == label["expected_evidence"] or milestone != label["expected_milestone"]
    return Compared(
        file,
        api,
        label,
        milestone,
        evidence,
        milestone in fair and same_evidence,
        _time_agrees(label, scan),
        Evidence(fact.evidence) in PHYSICAL_CARRIER_EVIDENCE and not label["physical"],
    )


def _time_agrees(label: dict[str, Any], scan: ScanSeen) -> bool:
    text = label["occurred_at"].removesuffix(f" {label.get('zone_name')}")
    time = scan.time
    if not text:
        return time.quality in {TimeQuality.ASSUMED, TimeQuality.DATE_ONLY}
    assert time.at is not None
    if text.isdecimal() and len(text) == 10:
        return time.start_ms == int(text) * 1000
    said = _labelled_time(text)
    if said.tzinfo is not None:
        return abs(time.start_ms - said.timestamp() * 1000) < _MINUTE / timedelta(milliseconds=1)
    return abs(time.at.replace(tzinfo=None) - said) < _MINUTE


def _labelled_time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for form in _LABELLED_TIMES:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - local, as labelled
        except ValueError:
            continue
    raise ValueError(f"a label's time in a form that is not known: {text}")


def told(results: list[Compared], problems: list[str]) -> list[str]:
    """The report: agreement by source, what differs, and what could not be compared."""
    labelled, agreed, timely = Counter[str](), Counter[str](), Counter[str]()
    for one in results:
        labelled[one.api] += 1
        agreed[one.api] += one.agrees
        timely[one.api] += one.time_agrees
    lines = [f"{'source':30} {'events':>6} {'meaning':>8} {'time':>6}"]
    lines += [f"{api:30} {labelled[api]:6} {agreed[api]:8} {timely[api]:6}" for api in sorted(labelled)]
    total = labelled.total()
    lines.append(f"{'all':30} {total:6} {agreed.total():8} {timely.total():6}")
    if total:
        lines.append(f"meaning {agreed.total() / total:.1%}, time {timely.total() / total:.1%}")
    for one in results:
        if one.agrees and one.time_agrees and not one.wrong_scan:
            continue
        label = one.label
        kind = "A SCAN OF NOTHING" if one.wrong_scan else "differs" if not one.agrees else "time"
        said = f"{label['code']!s} {label['description']!s:.60} {label['occurred_at']}"
        expected = f"{label['expected_milestone']} {label['expected_evidence']}"
        lines.append(f"{kind}: {one.file}: {said}: expected {expected}, read {one.milestone} {one.evidence}")
    return [*lines, *problems]


def otherwise(results: list[Compared]) -> list[Compared]:
    """What is neither as labelled nor unmapped: read wrong."""
    return [one for one in results if not one.agrees and one.milestone != "unmapped"]


def told_without_own_rows(results: list[Compared]) -> list[str]:
    """How much is understood without what was learned from the very source; nothing may be wrong then, only unmapped."""
    lines = ["", "each source without the rows that come from it:"]
    lines.append(f"{'source':48} {'events':>6} {'agree':>6} {'unmapped':>9} {'wrong':>6}")
    by_source: dict[str, list[Compared]] = {}
    for one in results:
        by_source.setdefault(f"{one.file.split('/')[0]}, {one.api}", []).append(one)
    by_source = dict(sorted(by_source.items())) | {"all": results}
    for source, some in by_source.items():
        agreed, wrong = sum(one.agrees for one in some), len(otherwise(some))
        lines.append(f"{source:48} {len(some):6} {agreed:6} {len(some) - agreed - wrong:9} {wrong:6}")
    for one in otherwise(results):
        said = f"{one.label['code']!s} {one.label['description']!s:.60}"
        expected = f"{one.label['expected_milestone']} {one.label['expected_evidence']}"
        scan = "A SCAN OF NOTHING: " if one.wrong_scan else ""
        lines.append(f"{scan}{one.file}: {said}: expected {expected}, read {one.milestone} {one.evidence}")
    return lines


def as_promised(results: list[Compared], without_own_rows: list[Compared]) -> bool:
    """Whether at least 98 % agree, no scan is claimed for anything else, and what nobody has seen is only unmapped."""
    enough = sum(one.agrees and one.time_agrees for one in results) >= 0.98 * len(results)
    claimed = any(one.wrong_scan for one in (*results, *without_own_rows))
    return bool(results) and enough and not claimed and not otherwise(without_own_rows)


def main() -> int:
    folder = os.environ.get(FOLDER)
    if not folder:
        print(f"set {FOLDER} to the folder with the labelled payloads")
        return 1
    results, problems = compared(Path(folder))
    print("\n".join(told(results, problems)))
    without, _ = compared(Path(folder), own_rows=False)
    print("\n".join(told_without_own_rows(without)))
    return 0 if as_promised(results, without) else 1


if __name__ == "__main__":
    sys.exit(main())
