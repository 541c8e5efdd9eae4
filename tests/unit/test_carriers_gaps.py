"""`returnwatch carriers gaps`: what was not understood, ready for a table of one's own, and nobody's data."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.virtual_time import ONE_TOPIC_OF_EACH_KIND, InputRecord, VirtualTime
from schemas.adapter_loading import shipped_adapter
from schemas.carrier_codes import load_carrier_codes
from schemas.topics import InputKind
from schemas.vocabulary import CaseState, RuleId
from streams.adapting import Adapter
from streams.gaps import LEAST_PARCELS, GapCount, NotUnderstood
from streams.intake import IntakeMapper
from tests.command_line import Answer, returnwatch
from tests.stages import only

CANARIES = ("Smith", "SMITH", "Rosenweg", "jane@", "0171", "Müller", "D'ARC")
SHIPPO = ("--scans-topic", "scans", "--scans-topic", "shippo", "--scans-adapter", "shippo=shippo_tracks")
FOUND = {"milestone": "in_transit", "evidence": "carrier_scan"}


def scan(number: int, code: str = "", text: str = "", **more: str) -> dict[str, Any]:
    event = {"type": "carrier_scan", "occurred_at": "2026-03-01T08:00:00Z", "code": code, "text": text}
    return event | {"tracking_number": f"1Z{number}", "carrier": "ups"} | more


def track(number: int, words: str, status: str = "TRANSIT") -> dict[str, Any]:
    event = {"status": status, "status_details": words, "status_date": "2026-03-01T08:00:00Z"}
    return {"tracking_number": f"92{number}", "carrier": "usps", "tracking_history": [event]}


def recorded(folder: Path, topic: str, values: Iterable[dict[str, Any]]) -> Path:
    lines = [
        {"kind": "carrier-scans", "topic": topic, "appended_at": "2026-03-02T08:00:00Z", "offset": number, "value": value}
        for number, value in enumerate(values)
    ]  # fmt: skip
    file = folder / f"{topic}.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def gaps(*arguments: object) -> Answer:
    return returnwatch("carriers", "gaps", *map(str, arguments), *SHIPPO)


def found(answer: Answer) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in answer.out.splitlines()]
    return [line["gap"] for line in lines if "gap" in line]


def filled(answer: Answer, **cells: str) -> str:
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **(cells if not row["milestone"] else {})} for row in rows)
    return out.getvalue()


def test_a_code_is_told_with_its_count_its_share_and_where_it_lies(tmp_path: Path) -> None:
    file = recorded(tmp_path, "scans", [scan(n, "NEW1") for n in range(3)] + [scan(9, "OR")])
    told = gaps(file)
    assert told.code == 0
    assert [line.split() for line in told.out.splitlines() if "75.0%" in line] == [["ups", "4", "3", "75.0%"]]
    (gap,) = found(gaps(file, "--json"))
    assert (gap["carrier"], gap["api"], gap["code_type"], gap["code"]) == (
        "ups",
        "ups_rest_track_v1",
        "activity_code",
        "NEW1",
    )
    assert (gap["scans"], gap["parcels"], gap["example"]) == (3, 3, "scans/0@2")
    assert gap["first_seen_at"] == gap["last_seen_at"] == "2026-03-02T08:00:00Z"


def test_what_is_pasted_with_its_milestone_is_understood(tmp_path: Path) -> None:
    native = recorded(tmp_path, "scans", [scan(n, "NEW1", "Loaded on a barge") for n in range(6)])
    aggregated = recorded(tmp_path, "shippo", [track(n, "Your parcel was put on a barge") for n in range(6)])
    answer = gaps(native, aggregated, "--csv")
    assert answer.out.count("\n") == 3
    table = tmp_path / "mine.csv"
    table.write_text(filled(answer, **FOUND), encoding="utf-8")
    checked = returnwatch("carriers", "check", str(table))
    assert checked.code == 0, checked.err
    again = gaps(native, aggregated, "--carrier-codes", table, "--json")
    assert found(again) == []
    assert '"not_understood": 0' in again.out


def test_rows_of_ours_that_a_row_of_the_users_would_replace_are_written_beside_it(tmp_path: Path) -> None:
    """A user's row for a code takes the place of all of ours for it, so ours have to be in the user's table too."""
    words = [scan(n, "01B", "Zending ligt op de boot", carrier="postnl") for n in range(6)]
    answer = gaps(recorded(tmp_path, "scans", words), "--csv")
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert len(rows) > 1
    table = tmp_path / "mine.csv"
    table.write_text(filled(answer, **FOUND), encoding="utf-8")
    assert returnwatch("carriers", "check", str(table)).code == 0
    asked = ("carriers", "test", "01B", "--carrier", "postnl", "--text")
    for row in load_carrier_codes().rows:
        if (row.carrier, row.code) == ("postnl", "01B") and row.text_pattern:
            wording = row.text_pattern.strip("^$\\b")
            ours = returnwatch(*asked, wording).out.splitlines()[1]
            assert "unmapped" not in ours
            assert returnwatch(*asked, wording, "--carrier-codes", str(table)).out.splitlines()[1] == ours


@pytest.mark.parametrize(
    "words",
    [
        "Smith",
        "JANE SMITH",
        "Delivered to Smith, Rosenweg 5",
        "Package collected by jane@example.com",
        "Signed for by: SMITH",
        "Sendung übergeben an Müller",
        "Delivered - JEANNE D'ARC",
        "Delivered, call 0171 555 before",
        "Smith is delivered",
        "Parcel handed over: Smith, 0171 555",
    ],
)
def test_a_text_that_may_be_about_somebody_is_not_shown(tmp_path: Path, words: str) -> None:
    """Also where the same person signs for many parcels."""
    many = range(4 * LEAST_PARCELS)
    native = recorded(tmp_path, "scans", [scan(n, "", words) for n in many])
    aggregated = recorded(tmp_path, "shippo", [track(n, words) for n in many])
    for form in ("--json", "--csv", None):
        answer = gaps(native, aggregated, *([form] if form else []))
        assert answer.code == 0
        leaked = [canary for canary in CANARIES if canary in answer.out + answer.err]
        assert not leaked, answer.out


def test_a_text_of_a_few_parcels_is_not_shown(tmp_path: Path) -> None:
    few = [track(n, "Your parcel was put on a barge") for n in range(LEAST_PARCELS - 1)]
    file = recorded(tmp_path, "shippo", few * 5)
    assert [gap["texts"] for gap in found(gaps(file, "--json"))] == [[]]
    answer = gaps(file, "--csv")
    assert answer.out.count("\n") == 1
    assert "their words decide, and are not shown" in answer.err


def test_a_text_in_the_place_of_a_code_is_not_shown(tmp_path: Path) -> None:
    answer = gaps(recorded(tmp_path, "scans", [scan(n, "left with Jane Smith") for n in range(9)]))
    assert answer.code == 0
    assert "Smith" not in answer.out


def test_a_carrier_of_nobodys_tables_needs_a_name_first(tmp_path: Path) -> None:
    answer = gaps(recorded(tmp_path, "scans", [scan(1, "10", carrier="Velo Express")]), "--csv")
    assert "no table knows velo_express" in answer.err


def test_what_is_kept_is_bounded() -> None:
    count = GapCount(load_carrier_codes())
    for number in range(5_000):
        count.add_scans(f"c{number}", 1)
        asked = (("ups_rest_track_v1", "activity_code", f"N{number}"),)
        count.add(NotUnderstood(f"c{number}:1Z{number}", "ups", asked, f"{'x' * number}", ""), 0, "a/0@0")
    assert len(count.gaps()) + count.left_out == 5_000
    assert count.left_out > 1_000
    assert sum(one.scans for one in count.traffic()) == 5_000
    assert len(count.traffic()) < 1_000


def test_without_records_it_says_so(tmp_path: Path) -> None:
    answer = gaps(recorded(tmp_path, "scans", []))
    assert answer.code == 1
    assert "no scans" in answer.err


@pytest.mark.parametrize(
    "options", [("--json", "--csv"), ("--since", "1d"), ("--to", "2026-03-01T00:00:00Z")]
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert gaps(recorded(tmp_path, "scans", [scan(1)]), *options).code == 1


def test_an_adapters_carrier_that_is_not_understood_any_more_is_a_case() -> None:
    start = datetime(2026, 3, 2, tzinfo=UTC)
    mapper = IntakeMapper(load_carrier_codes(), adapters={"ups": Adapter(shipped_adapter("ups_track_alert"))})
    policy = only(RuleId.MAPPING_GAP)
    engine = VirtualTime(policy.to_log(), inputs={**ONE_TOPIC_OF_EACH_KIND, "ups": 1}, mapper=mapper)
    for minute in range(0, 14 * 60, 2):
        at = start + timedelta(minutes=minute)
        status = {"type": "I", "code": "OR" if minute < 12 * 60 else "NEW", "description": "Origin Scan"}
        value = {
            "trackingNumber": f"1Z{minute}",
            "localActivityDate": at.strftime("%Y%m%d"),
            "localActivityTime": at.strftime("%H%M%S"),
            "gmtActivityDate": at.strftime("%Y%m%d"),
            "gmtActivityTime": at.strftime("%H%M%S"),
            "activityStatus": status,
        }
        at_ms = int(at.timestamp() * 1000)
        record = InputRecord(minute, json.dumps(value).encode())
        taken = engine.append([record], InputKind.CARRIER_SCANS, at_ms, topic="ups")
        assert not taken.refused
        engine.advance(at_ms)
    said = [(one.rule, one.state, one.feed and one.feed.name) for one in engine.news()]
    assert said == [(RuleId.MAPPING_GAP, CaseState.OPEN, "ups")]
