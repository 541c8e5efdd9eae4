"""`returnwatch carriers`, and a user's own tables wherever the codes of scans are read."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.carrier_tables import digest_of, read_carrier_codes
from agents.case_filter import case_filter
from agents.errors import CarrierCodesError
from tests.command_line import Answer, returnwatch

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/carriers.md"
EXAMPLE = "docs/examples/carrier_codes"
HEADER = "carrier,api,code_type,code,text_pattern,direction,milestone,evidence,reason,confidence,source"
ACCEPTED = "ups,,,QQ,,,accepted,carrier_scan,,observed,our parcels"
WRONG = "ups,,,QQ,,,accepted,announced,,observed,"
SHOWN = re.compile(r"```console\n(\$ returnwatch carriers .*?)```", re.DOTALL)


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def carriers(*arguments: str) -> Answer:
    return returnwatch("carriers", *arguments)


def documents(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in carriers(*arguments, "--json").out.splitlines()]


def written(folder: Path, *rows: str, name: str = "mine.csv") -> Path:
    file = folder / name
    file.write_text("\n".join((HEADER, *rows)) + "\n", encoding="utf-8")
    return file


def bare(text: str) -> list[str]:
    """Its lines, whatever the numbers of rows and what they add up to are."""
    text = re.sub(r"\.csv:\d+", ".csv:N", text)
    text = re.sub(r"[\d,]+ rows of \d+ carriers|(?<=digest )\w+|(?<=with ours )\w+", "N", text)
    lines = (line.rstrip() for line in text.splitlines())
    return [re.sub("─+", "─", line) for line in lines if line]


# -- what the commands print ------------------------------------------------------------------------------------------


def test_the_page_shows_what_the_commands_print() -> None:
    shown = SHOWN.findall(PAGE.read_text(encoding="utf-8"))
    commands = [block.partition("\n") for part in shown for block in re.split(r"(?m)^\$ ", part)[1:]]
    assert len(commands) >= 8
    for command, _, expected in commands:
        answer = returnwatch(*shlex.split(command)[1:])
        assert bare(answer.out) == bare(expected), command


def test_a_code_is_told_with_its_row_its_reason_and_its_source() -> None:
    answer = carriers("test", "DEPGUI", "--carrier", "La Poste Colissimo")
    assert answer.code == 0
    assert "dropped_off by agent_scan: counts as a scan" in answer.out
    assert "why: the sender's drop-off at a counter, no delivery" in answer.out
    assert re.search(r"row: schemas/carriers/colissimo\.csv:\d+, documented", answer.out)
    assert "source: " in answer.out


def test_a_code_that_nobody_knows_ends_with_1_and_what_was_looked_for() -> None:
    answer = carriers("test", "QQ", "--carrier", "ups")
    assert answer.code == 1
    assert "unmapped: no row fits" in answer.out
    assert "no row of it: ups, ups_rest_track_v1, activity_code" in answer.out
    assert "no row of it: any carrier" in answer.out


def test_an_aggregators_code_is_looked_for_once() -> None:
    answer = carriers("test", "QQ", "--api", "aftership_v4")
    assert answer.out.count("no row of it: any carrier, aftership_v4, subtag") == 1


def test_a_known_code_that_proves_nothing_ends_with_0() -> None:
    answer = carriers("test", "U", "--api", "ups_track_alert")
    assert answer.code == 0
    assert "unmapped by system: known, and proves nothing" in answer.out


def test_a_code_that_can_mean_several_things_is_told_to_be_counted() -> None:
    answer = carriers("test", "D", "--api", "ups_track_alert")
    assert answer.code == 0
    assert "it can mean several things, so it proves nothing, and it is counted" in answer.out
    assert "covers loading, being out and the delivery" in answer.out


def test_an_announcement_is_told_to_be_no_scan() -> None:
    assert "carrier_preadvised by announced: is no scan" in carriers("test", "MP", "--carrier", "ups").out


def test_a_text_that_would_decide_is_asked_for() -> None:
    answer = carriers("test", "01B", "--carrier", "postnl")
    assert "`is bezorgd` needs a text" in answer.out
    answer = carriers("test", "01B", "--carrier", "postnl", "--text", "Zending is bezorgd")
    assert "delivered by carrier_scan" in answer.out
    assert "`is bij PostNL` does not fit the text" in answer.out


def test_a_code_of_another_list_of_the_carrier_is_pointed_at() -> None:
    answer = carriers("test", "FS", "--carrier", "ups", "--api", "ups_xml_track", "--code-type", "type I")
    assert answer.code == 1
    assert "the same code elsewhere: ups, ups_xml_track, type D: delivered by carrier_scan" in answer.out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--carrier", "upss"), "did you mean `ups`?"),
        (("--carrier", "zzz"), "`returnwatch carriers list` names those that are known"),
        (("--carrier", "ups", "--api", "ups_rest_track"), "did you mean `ups_rest_track_v1`?"),
        (("--carrier", "ups", "--code-type", "activity_kode"), "did you mean `activity_code`?"),
        (("--api", "aftership"), "did you mean `aftership_v4`?"),
    ],
)
def test_what_was_misspelled_is_told(arguments: tuple[str, ...], hint: str) -> None:
    answer = carriers("test", "QQ", *arguments)
    assert answer.code == 1
    assert hint in answer.out


def test_a_program_gets_the_answer_and_the_row() -> None:
    (told,) = documents("test", "XD", "--carrier", "ups", "--text", "Drop-Off")
    assert (told["known"], told["milestone"], told["evidence"], told["scan"]) == (
        True,
        "dropped_off",
        "agent_scan",
        True,
    )
    assert (told["carrier"], told["api"], told["code_type"]) == ("ups", "ups_rest_track_v1", "activity_code")
    assert told["row"]["confidence"] == "inferred"
    assert told["row"]["own"] is False
    (told,) = documents("test", "XD", "--carrier", "ups", "--direction", "outbound")
    assert (told["known"], told["row"], told["direction"]) == (False, None, "outbound")
    assert "needs a text" in told["passed_over"][0]["why"]


def test_without_a_carrier_a_code_is_looked_for_everywhere() -> None:
    found = documents("test", "oc")
    assert {row["carrier"] for row in found} == {"fedex"}
    answer = carriers("test", "no-such-code")
    assert answer.code == 1
    assert "no carrier and no aggregator has a code 'no-such-code'" in answer.err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "CODE: is missing, and so is --text"),
        (("DL", "--text", "Delivered"), "--text: has no carrier beside it"),
        (("DL", "--carrier", "fedex", "--direction", "back"), "there is no direction 'back'"),
        (("DI1", "--api", "laposte_suivi_v2"), "add --carrier with one of chronopost, colissimo, la_poste"),
    ],
)
def test_half_a_question_is_refused(arguments: tuple[str, ...], what: str) -> None:
    answer = carriers("test", *arguments)
    assert answer.code == 1
    assert what in answer.err


def test_the_list_counts_codes_by_carrier_and_api() -> None:
    listed = {(one["carrier"], one["api"]): one for one in documents("list")}
    usps = listed["usps", "usps_webtools_track"]
    assert (usps["default"], usps["own"]) == (True, 0)
    assert usps["codes"] == sum(usps["code_types"].values()) > 50
    assert listed["evri", "globaleco_web"]["codes"] == 20, "a carrier that sends only texts"
    assert not listed["*", "aftership_v4"]["default"]
    shown = carriers("list").out
    assert "usps_webtools_track (default)" in shown
    assert f"of {len(listed)} APIs and 25 carriers" in shown


def test_the_rows_of_a_carrier_of_one_api_and_of_an_aggregator() -> None:
    assert {row["api"] for row in documents("show", "UPS")} == {
        "ups_quantum_view",
        "ups_rest_track_v1",
        "ups_track_alert",
        "ups_xml_track",
    }
    assert {row["api"] for row in documents("show", "ups", "--api", "UPS_xml_track")} == {"ups_xml_track"}
    assert {row["carrier"] for row in documents("show", "aftership_v4")} == {"*"}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("upss",), "did you mean `ups`?"),
        (("aftership",), "did you mean `aftership_v4`?"),
        (("ups", "--api", "ups_xml"), "did you mean `ups_xml_track`?"),
    ],
)
def test_a_carrier_or_api_that_is_not_there_is_told(arguments: tuple[str, ...], what: str) -> None:
    answer = carriers("show", *arguments)
    assert answer.code == 1
    assert what in answer.err


# -- tables of one's own ----------------------------------------------------------------------------------------------


def test_good_tables_are_counted_and_told_from_others_by_a_digest(tmp_path: Path) -> None:
    file = written(tmp_path, ACCEPTED, "ups,,,FS,,,delivered,carrier_scan,,observed,x")
    answer = carriers("check", str(file))
    assert answer.code == 0
    assert f"{file}: 2 rows, 1 in place of ours, ok, digest with ours " in answer.out
    other = written(tmp_path, ACCEPTED.replace("QQ", "QP"), name="other.csv")
    (tmp_path / "copy").mkdir()
    copy = written(tmp_path / "copy", ACCEPTED, "ups,,,FS,,,delivered,carrier_scan,,observed,x")
    digests = [digest_of(read_carrier_codes(path)) for path in (file, copy, other, None)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_brackets_of_patterns_and_paths_are_shown_as_they_are(tmp_path: Path) -> None:
    row = "ups,[api],[/kind],QQ,at [a-z]+ shop,,accepted,carrier_scan,,observed,x"
    (tmp_path / "[bold]").mkdir()
    tables = written(tmp_path / "[bold]", row)
    asked = ("QQ", "--carrier", "ups", "--api", "[api]")
    for command in (("show", "ups"), ("list",), ("test", *asked, "--code-type", "[/kind]")):
        answer = carriers(*command, "--carrier-codes", str(tables))
        assert "[api]" in answer.out
        assert "[/kind]" in answer.out
        assert ("[a-z]+" in answer.out) is (command[0] != "list")
    without = carriers("test", *asked, "--carrier-codes", str(tables))
    assert "`[api]` has no default code type; there is [/kind]" in without.out
    assert "[bold]" in carriers("check", str(tables)).out


def test_wrong_tables_end_with_every_finding_by_line_and_column(tmp_path: Path) -> None:
    file = written(tmp_path, ACCEPTED, WRONG)
    for command in (("check", str(file)), ("list", "--carrier-codes", str(file))):
        answer = carriers(*command)
        assert answer.code == 1
        assert f"{file}:3:21: `announced` cannot show `accepted`" in answer.err
        assert f"{file}:3:41: has no source" in answer.err
        assert f"{file}:3:7: contradicts {file}:2" in answer.err


def test_the_example_to_copy_is_good() -> None:
    answer = carriers("check", EXAMPLE)
    assert answer.code == 0, answer.err
    assert "5 rows, 1 in place of ours" in answer.out


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda folder: folder / "no.csv", "cannot be read: No such file or directory"),
        (lambda folder: folder, "no .csv file is in this directory"),
        (lambda folder: _bytes(folder / "mine.csv", b"carrier,\xe9"), "is not UTF-8 text: byte 8 is 0xe9"),
        (
            lambda folder: _bytes(folder / "aliases.csv", b"alias,carrier\n"),
            "is one file that holds no codes",
        ),
    ],
)
def test_files_that_cannot_be_read_are_told(tmp_path: Path, make: Any, what: str) -> None:
    with pytest.raises(CarrierCodesError) as refused:
        read_carrier_codes(make(tmp_path))
    assert any(what in finding.what for finding in refused.value.findings)


def _bytes(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def test_the_setting_can_be_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETURNWATCH_CARRIER_CODES", str(written(tmp_path, ACCEPTED)))
    answer = carriers("test", "QQ", "--carrier", "ups")
    assert answer.code == 0
    assert "mine.csv:2 (yours)" in answer.out
    assert "1 row, 0 in place of ours" in carriers("check").out


def test_a_worker_does_not_start_with_wrong_tables(tmp_path: Path) -> None:
    file = written(tmp_path, WRONG)
    command = ("-m", "agents", "worker", "--carrier-codes", str(file), "--data-dir", str(tmp_path / "data"))
    ended = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert f"{file}:2:21: `announced` cannot show `accepted`" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()


STORY = """\
- scenario: a code that only the shop knows
  log:
    - {at: 0h, label_created: {return_id: R1, carrier: ups, tracking_number: "1Z1"}}
    - {at: 1h, carrier_scan: {carrier: ups, tracking_number: "1Z1", code: QQ}}
    - {by: 73h, expect: EXPECTED}
"""


@pytest.mark.parametrize(
    ("own", "expected"), [(False, '["missing_first_scan R1 ups:1Z1: opened"]'), (True, "[]")]
)
def test_scenarios_are_played_by_the_users_tables(tmp_path: Path, own: bool, expected: str) -> None:
    story = tmp_path / "story.yaml"
    story.write_text(STORY.replace("EXPECTED", expected), encoding="utf-8")
    tables = ("--carrier-codes", str(written(tmp_path, ACCEPTED))) if own else ()
    answer = returnwatch("check", "--scenarios", str(story), *tables)
    assert answer.code == 0, answer.out


def _recorded(folder: Path) -> Path:
    scan = {"type": "carrier_scan", "occurred_at": "2026-03-02T10:00:00Z", "code": "QQ"}
    label = {"type": "label_created", "occurred_at": "2026-03-02T09:00:00Z", "return_id": "R1"}
    parcel = {"carrier": "ups", "tracking_number": "1Z1"}
    lines = [
        {"kind": kind, "appended_at": value["occurred_at"], "value": {**value, **parcel}}
        for kind, value in (("labels", label), ("carrier-scans", scan))
    ]
    file = folder / "events.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return file


def test_a_replay_and_an_explanation_read_scans_by_the_users_tables(tmp_path: Path) -> None:
    events, tables = _recorded(tmp_path), ("--carrier-codes", str(written(tmp_path, ACCEPTED)))
    without = returnwatch("replay", str(events), "--until", "4d", "--json")
    with_own = returnwatch("replay", str(events), "--until", "4d", "--json", *tables)
    assert "missing_first_scan" in without.out
    assert "missing_first_scan" not in with_own.out
    assert with_own.code == 0
    explained = [returnwatch("explain", "R1", "--events", str(events), *more).out for more in ((), tables)]
    assert "accepted" not in explained[0]
    assert "accepted" in explained[1]


def test_a_replay_of_files_does_not_begin_with_wrong_tables(tmp_path: Path) -> None:
    answer = returnwatch("replay", str(_recorded(tmp_path)), "--carrier-codes", str(written(tmp_path, WRONG)))
    assert answer.code == 1
    assert "cannot show `accepted`" in answer.err
    assert not answer.out


def test_cases_are_chosen_by_the_users_names_of_carriers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aliases.csv").write_text("alias,carrier\nbrown vans,ups\n", encoding="utf-8")
    written(tmp_path, ACCEPTED)
    assert case_filter(None, "Brown Vans", "all", None, None).carrier == "brown_vans"
    monkeypatch.setenv("RETURNWATCH_CARRIER_CODES", str(tmp_path))
    assert case_filter(None, "Brown Vans", "all", None, None).carrier == "ups"


def test_check_tells_of_the_users_tables(tmp_path: Path) -> None:
    answer = returnwatch("check", "--carrier-codes", str(written(tmp_path, ACCEPTED)))
    assert answer.code == 0
    assert re.search(r"carriers ok .*1 row of yours beside [\d,]+ of ours", " ".join(answer.out.split()))
    answer = returnwatch("check", "--carrier-codes", str(written(tmp_path, WRONG)))
    assert answer.code == 1
    assert "carriers failed" in answer.out
    assert "has no source" in answer.err
