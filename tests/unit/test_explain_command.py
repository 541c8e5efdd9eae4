"""`returnwatch explain`: what a person sees of recorded events, and what is not there for a name."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agents import terminal
from schemas.contracts_generation import contract_files
from tests.command_line import Answer, returnwatch

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/examples/explain"
PAGE = ROOT / "docs/explain.md"
SHOWN = re.compile(r"<!-- explain: ([^\n]+) -->\n```\n(.*?)```\n<!-- /explain -->", re.DOTALL)
OF_THE_EXAMPLE = ("--events", "events.jsonl", "--policy", "policy.yaml", "--arrival", "received_at")
DUE = "2026-04-07T13:00:00Z"


@pytest.fixture(autouse=True)
def at_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE)
    # Not `width`: undone, that would hold every later test to the width that there was.
    monkeypatch.setattr(terminal.out, "_width", 100)


def explain(*arguments: str) -> Answer:
    return returnwatch("explain", *arguments)


def document(*arguments: str) -> dict[str, Any]:
    answer = explain(*arguments, "--json", *OF_THE_EXAMPLE)
    assert answer.code == 0, answer.err
    (line,) = answer.out.splitlines()
    told: dict[str, Any] = json.loads(line)
    return told


def waits(told: dict[str, Any], rule: str) -> list[dict[str, Any]]:
    return [wait for wait in told["waits"] if wait["rule"] == rule]


def bare(text: str) -> str:
    """Without the spaces at the ends of lines, and whatever the policy's hash is."""
    text = re.sub(r"(?m)^  policy .*$", "  policy", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def test_the_page_shows_what_the_command_prints() -> None:
    shown = SHOWN.findall(PAGE.read_text(encoding="utf-8"))
    assert shown
    for arguments, expected in shown:
        answer = explain(*arguments.split())
        assert answer.code == 0, answer.err
        assert bare(answer.out) == bare(expected)


def test_the_document_keeps_its_contract() -> None:
    told = document("R-4711", "--at", "2026-04-07T14:00:00Z")
    schema = json.loads(contract_files()["explanation.v1.schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(told, schema)


def test_the_clock_of_a_warehouse_names_the_days_that_it_skips() -> None:
    (wait,) = waits(document("R-4711", "--at", DUE), "delivered_not_checked_in")
    assert (wait["verdict"], wait["due_at"]) == ("open", DUE)
    clock = wait["clock"]
    assert (clock["facility"], clock["time_zone"], clock["budget"]) == (
        "LIL1",
        "Europe/Paris",
        "1 business day",
    )
    assert [(day["day"], day["why"]) for day in clock["not_counted"]] == [
        ("2026-04-04", "weekend"),
        ("2026-04-05", "weekend"),
        ("2026-04-06", "Easter Monday"),
    ]
    assert clock["counted"] == ["2026-04-07"]


def test_a_millisecond_before_it_is_due_it_still_waits() -> None:
    (wait,) = waits(document("R-4711", "--at", "2026-04-07T12:59:59.999Z"), "delivered_not_checked_in")
    assert wait["verdict"] == "waiting"
    assert "case" not in wait
    assert "checked_in" in wait["closed_by"]


@pytest.mark.parametrize("name", ["R-4711", "1Z999AA1", " 1z 999-aa1", "ups:1z-999.aa1", "UPS:1Z999AA1"])
def test_a_return_is_found_by_its_number_and_by_that_of_its_parcel(name: str) -> None:
    assert document(name, "--at", DUE)["return_id"] == "R-4711"


def test_one_rule_is_shown_alone() -> None:
    told = document("R-4711", "--rule", "stalled_silent", "--at", DUE)
    assert {wait["rule"] for wait in told["waits"]} == {"stalled_silent"}
    assert told["not_started"] == []
    answer = explain("R-4711", "--rule", "stalled_silently", *OF_THE_EXAMPLE)
    assert answer.code == 1
    assert "did you mean stalled_silent?" in answer.err


def test_rules_that_wait_for_nothing_are_one_line_or_told_one_by_one() -> None:
    short = explain("R-4711", *OF_THE_EXAMPLE)
    assert "never started (" in short.out
    assert "would start with" not in short.out
    assert "switched off by the policy: refund_not_settled" in short.out
    long = explain("R-4711", "--all", *OF_THE_EXAMPLE)
    assert "late_refund  never started; would start with: refund_approved" in long.out


def test_what_was_taken_back_is_in_the_timeline_and_counts_for_nothing(tmp_path: Path) -> None:
    scan = {
        "type": "carrier_scan",
        "id": "s-1",
        "occurred_at": "2026-03-31T16:00:00Z",
        "carrier": "ups",
        "tracking_number": "1Z1",
        "api": "ups_track_alert",
        "code_type": "type I",
        "code": "AR",
        "text": "Arrived at Facility",
    }
    label = {"type": "label_created", "occurred_at": "2026-03-30T08:00:00Z", "return_id": "R1"}
    label |= {"carrier": "ups", "tracking_number": "1Z1"}
    back = {"type": "scan_retracted", "occurred_at": "2026-03-31T17:00:00Z", "retracts": "s-1"}
    back |= {"carrier": "ups", "tracking_number": "1Z1"}
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, (label, scan, back))), encoding="utf-8")
    answer = explain("R1", "--events", str(file), "--json", "--at", "2026-04-03T00:00:00Z")
    told = json.loads(answer.out)
    assert [(fact["milestone"], fact.get("retracted", False)) for fact in told["timeline"]] == [
        ("label_created", False),
        ("in_transit", True),
    ]
    (wait,) = waits(told, "missing_first_scan")
    assert wait["verdict"] == "open"
    assert "taken back" in explain("R1", "--events", str(file)).out


def test_a_narrow_terminal_loses_no_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.out, "_width", 80)
    timeline = explain("R-4711", "--rule", "late_refund", *OF_THE_EXAMPLE).out
    for place in ("orders/0@0", "labels/0@0", "/0@0", "/0@1"):
        assert place in timeline


def test_square_brackets_in_names_are_shown_as_they_are(tmp_path: Path) -> None:
    label = {"type": "label_created", "occurred_at": "2026-03-30T08:00:00Z", "return_id": "R[bold]1"}
    label |= {"carrier": "ups", "tracking_number": "1Z1"}
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(label), encoding="utf-8")
    assert "R[bold]1" in explain("1Z1", "--events", str(file)).out


def test_a_number_of_two_carriers_is_listed_and_not_guessed(tmp_path: Path) -> None:
    lines = [
        {
            "type": "label_created",
            "occurred_at": "2026-03-30T08:00:00Z",
            "return_id": f"R-{carrier}",
            "carrier": carrier,
            "tracking_number": "4711",
        }
        for carrier in ("ups", "dhl")
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    answer = explain("4711", "--events", str(file))
    assert answer.code == 1
    assert "dhl:4711, ups:4711" in answer.err
    assert "return R-dhl" in explain("dhl:4711", "--events", str(file)).out


def test_a_parcel_of_two_returns_is_explained_for_both(tmp_path: Path) -> None:
    label = {"type": "label_created", "occurred_at": "2026-03-30T08:00:00Z", "return_ids": ["R1", "R2"]}
    label |= {"carrier": "ups", "tracking_number": "1Z1"}
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(label), encoding="utf-8")
    answer = explain("1Z1", "--events", str(file), "--json")
    assert [json.loads(line)["return_id"] for line in answer.out.splitlines()] == ["R1", "R2"]


def test_a_label_that_is_taken_back_for_one_return_ends_the_waiting_of_that_one_only(tmp_path: Path) -> None:
    label = {"type": "label_created", "occurred_at": "2026-03-30T08:00:00Z", "return_ids": ["R1", "R2"]}
    void = {"type": "label_voided", "occurred_at": "2026-03-31T08:00:00Z", "return_id": "R1"}
    parcel = {"carrier": "ups", "tracking_number": "1Z1"}
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(one | parcel) for one in (label, void)), encoding="utf-8")
    answer = explain("1Z1", "--events", str(file), "--json", "--at", "2026-04-03T00:00:00Z")
    (one,), (other,) = (waits(json.loads(line), "missing_first_scan") for line in answer.out.splitlines())
    assert (one["verdict"], one["stop"]["reason"]) == ("in_time", "label_voided")
    assert (other["verdict"], other.get("stop")) == ("open", None)


def test_what_only_late_news_can_end_is_told_as_such(tmp_path: Path) -> None:
    parcel = {"carrier": "ups", "tracking_number": "1Z1"}
    label = {"type": "label_created", "occurred_at": "2026-03-30T08:00:00Z", "return_id": "R1"}
    dock = {"type": "checked_in", "occurred_at": "2026-04-01T08:00:00Z"}
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(one | parcel) for one in (label, dock)), encoding="utf-8")
    closed_by = []
    for at in ("2026-04-10T00:00:00Z", "2026-07-01T00:00:00Z"):
        told = json.loads(explain("R1", "--events", str(file), "--json", "--at", at).out)
        (wait,) = waits(told, "checked_in_not_delivered")
        closed_by.append(sorted(wait["closed_by"]))
    # After 60 days of silence a scan is of another journey of the same number.
    assert closed_by == [["delivered", "label_voided"], ["delivered, told late", "label_voided"]]


def test_what_came_in_time_again_and_again_is_told_once_unless_all_is_asked_for(tmp_path: Path) -> None:
    parcel = {"carrier": "ups", "tracking_number": "1Z1"}
    scan = {"type": "carrier_scan", "api": "ups_track_alert", "code_type": "type I", "code": "AR"}
    scan |= {"text": "Arrived at Facility"}
    events = [{"type": "label_created", "occurred_at": "2026-03-30T08:00:00Z", "return_id": "R1"}]
    events += [scan | {"occurred_at": f"2026-03-31T0{hour}:00:00Z"} for hour in range(1, 6)]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(one | parcel) for one in events), encoding="utf-8")
    short = explain("R1", "--events", str(file), "--rule", "stalled_silent")
    assert short.out.count("stalled_silent  ups:1Z1  in time") == 1
    assert "in time 3 times before; --all shows them" in short.out
    long = explain("R1", "--events", str(file), "--rule", "stalled_silent", "--all")
    assert long.out.count("stalled_silent  ups:1Z1  in time") == 4


def test_a_parcel_that_no_label_speaks_of_is_explained_by_itself(tmp_path: Path) -> None:
    scan = {"type": "checked_in", "occurred_at": "2026-03-30T08:00:00Z", "carrier": "ups"}
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(scan | {"tracking_number": "1Z1"}), encoding="utf-8")
    answer = explain("1Z1", "--events", str(file), "--json", "--at", "2026-04-03T00:00:00Z")
    told = json.loads(answer.out)
    assert told["return_id"] == ""
    (wait,) = told["waits"]
    assert (wait["rule"], wait["verdict"]) == ("unexpected_parcel", "open")
    assert "label_created" in wait["closed_by"]
    assert "parcel ups:1Z1" in explain("1Z1", "--events", str(file)).out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("R-4712", *OF_THE_EXAMPLE), "R-4712: no return and no parcel of that name in events.jsonl"),
        (("R-4711", *OF_THE_EXAMPLE, "--at", "2026-03-01T00:00:00Z"), "up to 2026-03-01"),
        (("R-4711", *OF_THE_EXAMPLE, "--at", "2026-04-07"), "'2026-04-07' has no offset"),
        (("R-4711", *OF_THE_EXAMPLE, "--at", "soon"), "'soon' is no time"),
        (("R-4711", "--at", DUE), "add --events FILE"),
        (("R-4711", "--policy", "policy.yaml"), "add --events FILE"),
        (("R-4711", "--events", "nothing.jsonl"), "nothing.jsonl: cannot be read"),
    ],
)
def test_what_cannot_be_explained_is_told_with_what_to_do(arguments: tuple[str, ...], told: str) -> None:
    answer = explain(*arguments)
    assert answer.code == 1
    assert told in " ".join(answer.err.split())
    assert "do:" in answer.err
    assert answer.out == ""
