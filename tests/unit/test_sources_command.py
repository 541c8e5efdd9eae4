"""`returnwatch sources test` and `infer`: what a person sees, and what they are told when it cannot be done."""

import gzip
import json
from pathlib import Path

import pytest

from schemas.adapter_loading import load_adapter
from schemas.source_checks import load_source
from tests.command_line import Answer, returnwatch
from tests.wiring_page import ROOT

GOLDEN = ROOT / "tests/golden"


def _test(*arguments: str | Path) -> Answer:
    return returnwatch("sources", "test", *map(str, arguments))


def _infer(*arguments: str | Path) -> Answer:
    return returnwatch("sources", "infer", *map(str, arguments))


def _written(folder: Path, *messages: object, name: str = "mine.jsonl") -> Path:
    file = folder / name
    file.write_text("\n".join(map(json.dumps, messages)), encoding="utf-8")
    return file


def test_a_shipped_adapter_is_found_by_the_payload_itself() -> None:
    answer = _test(GOLDEN / "ups_track_alert/dropped_off.json")
    assert answer.code == 0
    assert "ups_track_alert: 1 message, 1 event, everything understood" in answer.out


def test_a_code_that_no_table_has_is_not_understood() -> None:
    (file,) = (GOLDEN / "auspost_track_v1").glob("*.json")
    answer = _test(file, "--adapter", "auspost_track_v1")
    assert answer.code == 1
    assert "not understood: unmapped: no row of australia_post has auspost_track_v1, text" in answer.out


def test_a_number_that_fails_its_check_digit_is_told_and_read_all_the_same(tmp_path: Path) -> None:
    payload = json.loads((GOLDEN / "ups_track_alert/dropped_off.json").read_text())
    right = _test(_written(tmp_path, payload), "--adapter", "ups_track_alert")
    payload["trackingNumber"] = "1Z999AA10123456785"
    answer = _test(_written(tmp_path, payload), "--adapter", "ups_track_alert")
    assert "doubtful" not in right.out
    assert "doubtful: ups:1Z999AA10123456785 fails its check digit" in answer.out
    assert "everything understood" in answer.out
    assert answer.code == 0


def test_what_is_dropped_is_told_by_path_never_by_value() -> None:
    for file in (GOLDEN / "sources/shopify_returns").glob("*.json"):
        answer = _test(file, "--source", "shopify_returns")
        assert "CANARY" not in answer.out + answer.err
        told = _test(file, "--source", "shopify_returns", "--json")
        assert "CANARY" not in told.out
    answer = _test(GOLDEN / "sources/shopify_returns/requested.json", "--source", "shopify_returns")
    assert "looks personal" in answer.out
    assert "return_line_items[].customer_note" in answer.out


def test_json_has_a_line_for_each_message_and_one_for_all(tmp_path: Path) -> None:
    file = _written(tmp_path, {"status": "WAT", "id": 1, "admin_graphql_api_id": "x"})
    answer = _test(file, "--source", "shopify_returns", "--json")
    message, whole = map(json.loads, answer.out.splitlines())
    assert message["where"] == f"{file}:1"
    assert message["not_understood"] == ["bad_value: type: status says 'WAT', which `values` does not have"]
    assert whole["understood"] is False
    assert answer.code == 1


def test_a_scan_of_a_source_tells_what_it_proves_and_that_it_does_not(tmp_path: Path) -> None:
    source = tmp_path / "s.yaml"
    source.write_text(
        "source: s\nformat: json\nevents:\n  type: carrier_scan\n  fields: {carrier: c, tracking_number: n,"
        " occurred_at: at, code: code, text: words}\n"
    )
    scan = {"c": "UPS", "n": "1Z1", "at": "2026-03-03T10:00:00Z", "code": "OR", "words": "by Jane Canary"}
    answer = _test(_written(tmp_path, scan, {**scan, "code": "QQ"}), "--source", source)
    assert "proves=accepted by carrier_scan" in answer.out
    assert "not understood: unmapped: code 'QQ' of UPS" in answer.out
    assert "Canary" not in answer.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.json"], "nowhere.json: cannot be read: No such file"),
        (["EMPTY"], "no message in it"),
        (["GZIP"], "is not a whole gzip file"),
        (["GOOD"], "no shipped one reads them all"),
        (["GOOD", "--source", "shopify_retruns"], "did you mean `shopify_returns`?"),
        (["GOOD", "--source", "a", "--adapter", "b"], "comes together with --adapter"),
    ],
)
def test_what_cannot_be_tested_is_told(arguments: list[str], told: str, tmp_path: Path) -> None:
    files = {
        "EMPTY": tmp_path / "empty.json",
        "GZIP": tmp_path / "a.jsonl.gz",
        "GOOD": tmp_path / "good.json",
    }
    files["EMPTY"].write_bytes(b" ")
    files["GZIP"].write_bytes(gzip.compress(b"{}")[:-3])
    files["GOOD"].write_bytes(b'{"a": 1}')
    answer = _test(*(str(files.get(one, one)) for one in arguments))
    assert answer.code == 1
    assert told in answer.err


def test_a_wrong_file_is_told_by_its_line(tmp_path: Path) -> None:
    source = tmp_path / "s.yaml"
    source.write_text(
        "source: s\nformat: json\nevents: {type: restock, fields: {return_id: r, occurred_at: t}}\n"
    )
    answer = _test(_written(tmp_path, {"r": 1}), "--source", source)
    assert answer.code == 1
    assert f"{source}:3:10: `restock` is no event that a source can tell" in answer.err


def test_events_in_gzip_lines_are_read(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl.gz"
    file.write_bytes(gzip.compress((GOLDEN / "sources/aftership_returns/approved.json").read_bytes()))
    answer = _test(file)
    assert "aftership_returns: 1 message, 1 event, everything understood" in answer.out


# -- infer ------------------------------------------------------------------------------------------------------------


def _source(tmp_path: Path, *messages: object, kind: str | None = None) -> str:
    options = ["--kind", kind] if kind else []
    answer = _infer(_written(tmp_path, *messages), *options)
    assert answer.code == 0, answer.err
    load_source(answer.out, "mine.yaml")
    return answer.out


def test_epoch_times_money_in_cents_and_an_id_are_found(tmp_path: Path) -> None:
    rows = [
        {"eventId": f"e{n}", "eventType": "REFUNDED", "rmaNumber": f"R{n}", "createdAt": 1772532000000 + n,
         "refund": {"amountCents": 1990, "currency": "EUR"}}
        for n in range(3)
    ]  # fmt: skip
    text = _source(tmp_path, *rows)
    assert "  id: eventId" in text
    assert "formats: epoch_ms" in text
    assert "REFUNDED: refund_issued" in text


def test_a_date_and_a_time_of_day_beside_it_are_one_time(tmp_path: Path) -> None:
    text = _source(
        tmp_path, {"status": "received", "return_no": "R1", "scan_date": "03/04/2026", "scan_hour": "10:15"}
    )
    assert "from: [scan_date, scan_hour]" in text
    assert "formats: '%d/%m/%Y %H:%M'" in text
    assert "# decide: or '%m/%d/%Y'" in text


def test_parcels_inside_an_item_are_found(tmp_path: Path) -> None:
    message = {"event": "Checked in", "rma": "R1", "at": "2026-03-03T10:00:00Z",
               "boxes": [{"trackingNo": "1Z999AA10123456784", "courier": "UPS"}]}  # fmt: skip
    text = _source(tmp_path, message, {**message, "boxes": message["boxes"] * 2})  # type: ignore[operator]  # a list
    assert "parcels:\n    each: boxes\n    tracking_number: trackingNo\n    carrier: courier" in text


def test_carriers_that_are_not_known_by_name_and_a_missing_one_are_to_be_decided(tmp_path: Path) -> None:
    label = {
        "state": "label created",
        "parcel_no": "00340434161094012345",
        "created_at": "2026-03-03T10:00:00Z",
    }
    assert "carrier: {is: name_the_carrier}  # decide" in _source(tmp_path, label)
    text = _source(tmp_path, {**label, "carrier": "DPDX"})
    assert "carrier: {from: carrier, unknown: keep, values: {}}  # decide: whose 'DPDX' is" in text


def test_nothing_that_looks_like_an_event_is_proposed_all_the_same(tmp_path: Path) -> None:
    text = _source(tmp_path, {"a": 1, "b": "x"}, kind="warehouse")
    assert "- type: checked_in  # decide: no word was found" in text
    assert "return_id: decide_return_id  # decide: nothing looks like it" in text
    assert "without_time: arrival" in text


def test_a_carriers_json_without_known_words_is_proposed_as_an_adapter(tmp_path: Path) -> None:
    payload = {"parcel": "X1", "trackingNumber": "1Z999AA10123456784",
               "history": [{"code": "A1", "when": "2026-03-03T10:00:00Z", "description": "In transit"},
                           {"code": "A2", "when": "2026-03-03T12:00:00Z", "description": "Zorbed"}]}  # fmt: skip
    answer = _infer(_written(tmp_path, payload), "--codes", tmp_path / "codes")
    adapter = load_adapter(answer.out, "mine.yaml")
    assert (adapter.events, adapter.package.number) == (("history",), ("trackingNumber",))
    assert "carrier: {is: name_the_carrier}  # decide" in answer.out
    assert "# decide: what 'A2' prove" in answer.out
    assert "A1,,,in_transit,carrier_scan" in (tmp_path / "codes/codes.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--kind", "warehous"], "did you mean `warehouse`?"),
        (["XML"], "some messages are JSON and some are XML"),
    ],
)
def test_what_cannot_be_inferred_is_told(options: list[str], told: str, tmp_path: Path) -> None:
    xml = tmp_path / "a.xml"
    xml.write_text("<a/>")
    answer = _infer(_written(tmp_path, {"a": 1}), *(str(xml) if one == "XML" else one for one in options))
    assert answer.code == 1
    assert told in answer.err


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"hello", "is neither JSON nor XML"),
        (b"\x00\x9f\x92", "is neither JSON nor XML"),
        (b'{"a":', "give the whole message"),
        (b"[{}]", "no field with a value"),
    ],
)
def test_nothing_is_proposed_from_what_tells_nothing(value: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "messages.json"
    file.write_bytes(value)
    answer = _infer(file)
    assert (answer.code, answer.out) == (1, "")
    assert told in answer.err
    assert "do: give" in answer.err
