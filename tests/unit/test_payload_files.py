"""`explain` and `replay` of carriers' payloads: in records of wired topics, and in files of their own."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Answer, returnwatch
from tests.golden_payloads import FOLDER

ALERT = FOLDER / "ups_track_alert/dropped_off.json"
NUMBER = "1Z999AA10123456784"
ARRIVED = ("--adapter", "ups_track_alert", "--arrived", "2026-03-05T10:00:00Z")
LABEL = {
    "type": "label_created",
    "occurred_at": "2026-03-01T09:00:00Z",
    "return_id": "R1",
    "carrier": "ups",
    "tracking_number": NUMBER,
}


def written(folder: Path, *records: dict[str, Any]) -> str:
    label = {"kind": "labels", "appended_at": "2026-03-01T09:00:00Z", "value": LABEL}
    file = folder / "events.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in (label, *records)), encoding="utf-8")
    return str(file)


def wired(**more: Any) -> dict[str, Any]:
    """The alert as a record of a topic of its own."""
    value = b64encode(ALERT.read_bytes()).decode()
    at = "2026-03-05T10:00:00Z"
    return {"kind": "carrier-scans", "topic": "alerts", "appended_at": at, "value_base64": value, **more}


WIRING = ("--scans-topic", "alerts", "--scans-adapter", "alerts=ups_track_alert")


def document(*arguments: str) -> dict[str, Any]:
    answer = returnwatch(*arguments, "--json")
    assert answer.code == 0, answer.err
    told: dict[str, Any] = json.loads(answer.out)
    return told


def facts(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (fact["at"], fact["milestone"], fact["source"]["topic"])
        for fact in told["timeline"]
        if fact["source"]["topic"] not in {"labels", "returns"}
    ]


def refused(*arguments: str) -> Answer:
    answer = returnwatch(*arguments)
    assert answer.code == 1
    assert not answer.out
    return answer


def test_a_payload_alone_is_explained_and_its_file_is_the_evidence() -> None:
    told = document("explain", NUMBER, "--payload", str(ALERT), *ARRIVED)
    assert facts(told) == [("2026-03-03T04:30:05Z", "delivered", "dropped_off.json")]


def test_a_record_of_a_wired_topic_is_read_by_its_adapter(tmp_path: Path) -> None:
    told = document("explain", NUMBER, "--events", written(tmp_path, wired()), *WIRING)
    assert facts(told) == [("2026-03-03T04:30:05Z", "delivered", "alerts")]


def test_without_its_adapter_it_is_told_why_it_is_refused(tmp_path: Path) -> None:
    answer = returnwatch("explain", NUMBER, "--events", written(tmp_path, wired()))
    assert answer.code == 0
    assert "1 of 2 records were refused by intake; missing_field: " in answer.err


def test_a_file_and_a_record_and_an_event_of_its_own_make_the_same_case(tmp_path: Path) -> None:
    until = ("--until", "10d")
    by_record = document("replay", written(tmp_path, wired()), *WIRING, *until)
    by_file = document("replay", written(tmp_path), "--payload", str(ALERT), *ARRIVED, *until)
    cases = {case["rule"]: case["case_id"] for case in by_record["cases"]}
    assert "delivered_not_checked_in" in cases
    assert {case["rule"]: case["case_id"] for case in by_file["cases"]} == cases


def test_xml_whose_key_names_the_parcel_is_read_with_it(tmp_path: Path) -> None:
    line = "<ret_WSI2_sub_TracingColisDetaille><Libelle>Prise en charge</Libelle><Date>12/03/2026</Date>"
    line += "<Heure>11:30</Heure><Relais_Pays>FR</Relais_Pays></ret_WSI2_sub_TracingColisDetaille>"
    whole = FOLDER.joinpath("mondialrelay_wsi2/at_the_relay.xml").read_text(encoding="utf-8")
    file = tmp_path / "answer.xml"
    file.write_text(whole.replace("<Tracing>", f"<Tracing>{line}"), encoding="utf-8")
    options = ("--adapter", "mondialrelay_wsi2", "--arrived", "2026-03-13T10:00:00Z", "--key", "12345678")
    told = document("explain", "mondial_relay:12345678", "--payload", str(file), *options)
    assert ("2026-03-12T10:30:00Z", "accepted", "answer.xml") in facts(told)


def test_two_payloads_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    for folder, second in (("a", b"3005"), ("b", b"3006")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "alert.json").write_bytes(ALERT.read_bytes().replace(b"3005", second))
    files = [str(tmp_path / folder / "alert.json") for folder in ("a", "b")]
    told = document("explain", NUMBER, "--payload", files[0], "--payload", files[1], *ARRIVED)
    assert [topic for _, _, topic in facts(told)] == files


@pytest.mark.parametrize("command", [("explain", "X"), ("replay",)], ids=["explain", "replay"])
@pytest.mark.parametrize(
    ("options", "findings"),
    [
        (("--payload", str(ALERT)), ["--adapter: is missing", "--arrived: is missing"]),
        (("--payload", str(ALERT), *ARRIVED[:2]), ["--arrived: is missing"]),
        (
            ("--payload", str(ALERT), *ARRIVED[2:], "--adapter", "ups_track_alerts"),
            ["did you mean `ups_track_alert`?"],
        ),
        (("--payload", str(ALERT), *ARRIVED[2:], "--adapter", "no.yaml"), ["cannot read 'no.yaml'"]),
        (
            ("--payload", "gone.json", "--payload", "lost.json", *ARRIVED),
            ["gone.json: cannot be read", "lost.json: cannot be read"],
        ),
        (("--payload", str(ALERT), *ARRIVED[:2], "--arrived", "2026-03-05T10:00:00"), ["has no offset"]),
    ],
    ids=["neither", "no time", "a typing error", "no such file", "no such payloads", "no offset"],
)
def test_what_is_missing_or_wrong_is_told_at_once(
    command: tuple[str, ...], options: tuple[str, ...], findings: list[str]
) -> None:
    words = " ".join(refused(*command, *options).err.split())
    assert not [finding for finding in findings if finding not in words], words


def test_options_without_a_payload_are_refused(tmp_path: Path) -> None:
    answer = refused("replay", written(tmp_path), "--adapter", "ups_track_alert", "--key", "7")
    assert answer.err.count("is of a payload, and none is named") == 2


def test_a_message_of_a_shop_is_read_by_its_source() -> None:
    message = FOLDER / "sources/shopify_returns/requested.json"
    options = ("--adapter", "shopify_returns", "--arrived", "2026-03-05T10:00:00Z")
    played = document("replay", "--payload", str(message), *options, "--until", "60d")
    assert played["refused"] == {}
    assert "refund_promise_broken" in {case["rule"] for case in played["cases"]}
