"""`returnwatch replay`: what a person sees, and what does not depend on files, lines or the machine."""

import gzip
import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Answer, returnwatch

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/examples/replay"
PAGE = ROOT / "docs/replay.md"
SHOWN = re.compile(r"<!-- replay: ([^\n]+) -->\n```\n(.*?)```\n<!-- /replay -->", re.DOTALL)
AS_SHOWN = ("--arrival", "received_at", "--until", "10d")
LABEL = {
    "type": "label_created",
    "occurred_at": "2026-03-02T09:00:00Z",
    "return_id": "R1",
    "carrier": "ups",
    "tracking_number": "1Z1",
}


def record(**differing: Any) -> str:
    whole = {"kind": "labels", "appended_at": "2026-03-02T09:00:05Z", "value": LABEL, **differing}
    return json.dumps({name: value for name, value in whole.items() if value is not ...})


def written(folder: Path, *lines: str, name: str = "events.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def replayed(*arguments: str | Path) -> dict[str, Any]:
    answer = returnwatch("replay", "--json", *map(str, arguments))
    assert answer.code == 0, answer.err
    document: dict[str, Any] = json.loads(answer.out)
    return document


def refused(*arguments: str | Path) -> Answer:
    answer = returnwatch("replay", *map(str, arguments))
    assert answer.code == 1
    assert not answer.out
    return answer


def of_example(name: str) -> str:
    return str(EXAMPLE / name)


# -- results --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", SHOWN.findall(PAGE.read_text(encoding="utf-8")), ids=lambda shown: shown[0])
def test_the_page_shows_what_the_example_prints(
    shown: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLE)
    arguments, text = shown
    printed = returnwatch("replay", *arguments.split())
    assert printed.code == 0
    assert [line.rstrip() for line in printed.out.splitlines()] == text.splitlines()


def test_the_page_has_both_examples() -> None:
    assert len(SHOWN.findall(PAGE.read_text(encoding="utf-8"))) == 2


def test_cases_gained_lost_and_earlier_are_told_one_by_one() -> None:
    document = replayed(
        *("--policy", of_example("tried.yaml"), "--against", of_example("current.yaml")),
        *(*AS_SHOWN, of_example("events.jsonl")),
    )
    told = {
        (case["difference"], case["rule"], case["return_id"]): case["moved_seconds"]
        for case in document["differences"]["cases"]
    }
    assert told == {
        ("gained", "missing_first_scan", "R1"): 0,
        ("earlier", "missing_first_scan", "R2"): -24 * 60 * 60,
        ("lost", "stalled_silent", "R3"): 0,
    }


def test_the_other_way_round_what_was_gained_is_lost_and_what_was_earlier_is_later() -> None:
    document = replayed(
        *("--policy", of_example("current.yaml"), "--against", of_example("tried.yaml")),
        *(*AS_SHOWN, of_example("events.jsonl")),
    )
    told = {(case["difference"], case["return_id"]) for case in document["differences"]["cases"]}
    assert told == {("lost", "R1"), ("later", "R2"), ("gained", "R3")}


def test_neither_files_nor_lines_nor_their_order_make_a_difference(tmp_path: Path) -> None:
    lines = (EXAMPLE / "events.jsonl").read_text(encoding="utf-8").splitlines()
    lines += [record(value={**LABEL, "tracking_number": f"1Z{number}"}) for number in range(10, 30)]
    whole = written(tmp_path, *lines)
    random.Random(1).shuffle(lines)
    first = written(tmp_path, *lines[:15], name="first.jsonl")
    second = tmp_path / "second.jsonl.gz"
    second.write_bytes(gzip.compress("\n\n".join(lines[15:]).encode()))
    options = ("--policy", of_example("tried.yaml"), "--against", of_example("current.yaml"), *AS_SHOWN)
    for more in ((), ("--json",)):
        answers = {
            returnwatch("replay", *options, *more, *map(str, files)).out
            for files in ((whole,), (whole, whole), (first, second), (second, first))
        }
        assert len(answers) == 1
    reports = []
    for number, files in enumerate(((first, second), (whole,))):
        html = tmp_path / f"{number}.html"
        assert returnwatch("replay", *options, "--html", str(html), *map(str, files)).code == 0
        reports.append(html.read_bytes())
    assert reports[0] == reports[1]


def test_until_says_how_long_deadlines_play_out(tmp_path: Path) -> None:
    file = written(tmp_path, record())
    assert replayed("--until", "0", file)["cases"] == []
    (case,) = replayed("--until", "73h", file)["cases"]
    assert (case["rule"], case["state"], case["opened_at"]) == (
        "missing_first_scan",
        "open",
        "2026-03-05T09:00:00Z",
    )


def test_that_a_recording_ends_is_no_silence_of_a_feed(tmp_path: Path) -> None:
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    scan = {"type": "carrier_scan", "carrier": "ups", "tracking_number": "1Z0", "code": "OR"}
    scans = []
    for number in range(20 * 48):
        at = (begin + number * timedelta(minutes=30)).isoformat()
        value = {**scan, "id": f"s{number}", "occurred_at": at}
        scans.append(record(kind="carrier-scans", appended_at=at, value=value))
    at = (begin + timedelta(days=18)).isoformat()
    label = record(appended_at=at, value={**LABEL, "occurred_at": at})
    policy = tmp_path / "policy.yaml"
    policy.write_text("feeds: {watched: true}\n", encoding="utf-8")
    file = written(tmp_path, *scans, label)
    cases = replayed("--policy", policy, "--until", "20d", file)["cases"]
    assert [(case["rule"], case["opened_at"]) for case in cases] == [
        ("missing_first_scan", (begin + timedelta(days=21)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    ]


def test_evidence_names_the_place_of_the_record_or_one_behind_all_that_are_known(tmp_path: Path) -> None:
    place = {"topic": "ups-labels", "partition": 3}
    other = record(value={**LABEL, "tracking_number": "1Z2"}, appended_at="2026-03-02T08:00:00Z", **place)
    file = written(tmp_path, record(offset=4711, **place), other)
    cases = replayed("--until", "73h", file)["cases"]
    evidence = {case["tracking_number"]: case["evidence"][0] for case in cases}
    assert evidence == {"1Z1": {**place, "offset": 4711}, "1Z2": {**place, "offset": 4712}}


def test_what_intake_refuses_is_counted(tmp_path: Path) -> None:
    lines = (
        record(value=None),
        record(value={"type": "label_created"}),
        record(value=..., value_base64="Zm9v"),
    )
    document = replayed(written(tmp_path, record(), *lines))
    assert document["records"] == 4
    assert document["refused"] == {"missing_field": 1, "not_json": 1, "null_value": 1}


def test_an_event_alone_is_of_the_kind_of_its_type(tmp_path: Path) -> None:
    late = {**LABEL, "value": {"amount": "10.00", "currency": "EUR"}, "seen_at": "2026-03-02T12:00:00+02:00"}
    file = written(tmp_path, json.dumps(late))
    assert replayed(file)["from"] == "2026-03-02T09:00:00Z"
    assert replayed("--arrival", "seen_at", file)["from"] == "2026-03-02T10:00:00Z"


# -- the report -----------------------------------------------------------------------------------------------------


def test_the_report_stands_alone_and_escapes_what_it_shows(tmp_path: Path) -> None:
    policies = [tmp_path / "<b>&.yaml", tmp_path / "none.yaml"]
    policies[0].write_text("rules: {missing_first_scan: {budget: 48h}}", encoding="utf-8")
    policies[1].write_text("rules: {missing_first_scan: {enabled: false}}", encoding="utf-8")
    html = tmp_path / "report.html"
    file = written(tmp_path, record(value={**LABEL, "return_id": "<script>R1"}))
    files = "--policy", str(policies[0]), "--against", str(policies[1]), "--html", str(html), str(file)
    assert returnwatch("replay", *files).code == 0
    text = html.read_text(encoding="utf-8")
    assert "&lt;script&gt;R1" in text
    assert "&lt;b&gt;&amp;.yaml" in text
    assert "rules.missing_first_scan.budget" in text
    assert "<svg" in text
    assert not re.search(r"<script|<b>|<link|<img|src=|href=|url\(|https?:", text)
    assert 'name="viewport"' in text


# -- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("not JSON", "is not a record"),
        ("[1]", "is not a record"),
        ("{}", "has neither kind nor type"),
        (record(kind="order"), "Invalid enum value 'order'"),
        (record(appended_at=...), "missing required field `appended_at`"),
        (record(appended_at="2026-03-02T09:00:05"), "timezone"),
        (record(value=...), "has neither value nor value_base64"),
        (record(value_base64="e30="), "has both value and value_base64"),
        (record(value=..., value_base64="?"), "is not base64"),
        (record(offset=-1), "`int` >= 0"),
        (json.dumps({**LABEL, "type": "label_craeted"}), "did you mean `label_created`?"),
        (json.dumps({**LABEL, "occurred_at": "yesterday"}), "'occurred_at' is no time"),
        (json.dumps({"type": "label_created"}), "has no 'occurred_at'"),
        (json.dumps({"type": ["label_created"]}), "type is not a text"),
        ('{"type": ' + "[" * 100_000, "is nested too deep"),
        (record(topic="\ud800"), "is not a record"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, what: str) -> None:
    file = written(tmp_path, record(), "", line)
    answer = refused(file)
    assert f"{file}:3: " in answer.err
    assert what in answer.err
    assert "do: " in answer.err


def test_the_first_wrong_lines_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    first = written(tmp_path, *["{}"] * 12, name="first.jsonl")
    second = written(tmp_path, *["{}"] * 12, name="second.jsonl")
    answer = refused(first, second)
    assert answer.err.count("has neither kind nor type") == 20
    assert f"{second}:8:" in answer.err
    assert f"{second}:9:" not in answer.err


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(gzip.compress(record().encode())[:-9])
    plain = tmp_path / "plain.jsonl.gz"
    plain.write_text(record(), encoding="utf-8")
    answer = refused(tmp_path / "absent.jsonl", tmp_path, broken, plain)
    assert "absent.jsonl: cannot be read: No such file" in answer.err
    assert f"{tmp_path}: cannot be read: Is a directory" in answer.err
    assert answer.err.count("is not a whole gzip file") == 2


def test_a_replay_of_nothing_is_an_error(tmp_path: Path) -> None:
    assert "no records" in refused(written(tmp_path, "")).err


def test_wrong_policies_are_told_together(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("rules: {missing_first_scam: {budget: 48h}}", encoding="utf-8")
    file = written(tmp_path, record())
    answer = refused("--policy", wrong, "--against", tmp_path / "absent.yaml", file)
    assert "missing_first_scam" in answer.err
    assert "absent.yaml: cannot be read" in answer.err


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--step", "0"), "--step: '0' is too short"),
        (("--until", "soon"), "--until: 'soon' is not a duration"),
        (("--until", "99999999999999d"), "--until: '99999999999999d' is too long"),
        (("--html", "report.html"), "--html: is a report of two policies"),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, options: tuple[str, ...], what: str) -> None:
    assert what in refused(*options, written(tmp_path, record())).err


def test_times_that_no_calendar_knows_are_told(tmp_path: Path) -> None:
    for at in ("1969-12-31T23:00:00Z", "9999-12-31T23:59:59-12:00"):
        assert "appended_at: " in refused(written(tmp_path, record(appended_at=at))).err
