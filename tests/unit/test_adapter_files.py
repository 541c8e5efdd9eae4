"""Adapter files that cannot be used are told as findings; those that come with the package can."""

from pathlib import Path

import pytest

from agents.adapters import readers_of
from agents.adapters_reference import FILE, page
from agents.errors import SettingsError
from agents.settings_loading import load_settings
from schemas.adapter_loading import load_adapter, shipped_adapter, shipped_adapters
from schemas.carrier_codes import code_rows
from schemas.carrier_tables import ANY_CARRIER
from schemas.yaml_models import ModelError

GOOD = """\
adapter: mine
about: Our warehouse's carrier.
documents: [https://example.org/api]
format: json
tells: event
expects: parcel
carrier: {is: ups}
package: {number: parcel.number}
events: "@"
event:
  codes: [{type: event_code, code: parcel.code}]
  times: {from: parcel.at, zone: Europe/Paris}
"""


def _findings(text: str) -> list[str]:
    with pytest.raises(ModelError) as refused:
        load_adapter(text, "mine.yaml")
    return [": ".join(part for part in finding if part) for finding in refused.value.findings]


@pytest.mark.parametrize("name", shipped_adapters())
def test_shipped_adapters_can_be_used_and_say_where_their_format_is_written(name: str) -> None:
    adapter = shipped_adapter(name)
    assert all(document.startswith("https://") for document in adapter.documents)


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ("format: jsn", "format: json", "mine.yaml:4:9: format: Input should be 'json' or 'xml'"),
        (
            "adaptr: mine",
            "adapter: mine",
            "mine.yaml:1:1: `adaptr` is not known here: did you mean `adapter`?",
        ),
        ("adaptr: mine", "adapter: mine", "`adapter` is missing"),
        ("zone: Europe/Pris", "zone: Europe/Paris", "'Europe/Pris' is no time zone"),
        ("events: '['", 'events: "@"', "is no JMESPath"),
        (f"events: '{'[' * 101}'", 'events: "@"', "a path of more than 100 of"),
        ("expects: a && !b.c", "expects: parcel", "write `!(a.b)`"),
        ("carrier: {is: ups, from: a}", "carrier: {is: ups}", "not both and not neither"),
        ("carrier: {from: a}", "carrier: {is: ups}", "`from` needs `otherwise`"),
        ("  times: []", "  times: {from: parcel.at, zone: Europe/Paris}", "say `without_time: arrival`"),
        ("event:\n  retracted: gone", "event:", "`retracted` needs `id`"),
        ("documents: []", "documents: [https://example.org/api]", "at least 1 item"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(wrong: str, right: str, told: str) -> None:
    assert right in GOOD
    findings = _findings(GOOD.replace(right, wrong))
    assert any(told in finding for finding in findings), findings


def test_everything_wrong_is_told_at_once() -> None:
    text = GOOD.replace("format: json", "format: jsn").replace("tells: event", "tells: all")
    assert [finding.split(": ")[1] for finding in _findings(text)] == ["format", "tells"]


@pytest.mark.parametrize("text", ["", "- a", "a: [", "7"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    (finding,) = _findings(text)
    assert finding.startswith("mine.yaml:")


def test_folded_texts_are_one_line() -> None:
    adapter = load_adapter(
        GOOD.replace("expects: parcel", "expects: >-\n  parcel ||\n  parcels"), "mine.yaml"
    )
    assert adapter.expects == ("parcel || parcels",)


def test_codes_ask_tables_that_there_are() -> None:
    """A code type that no row has would be unmapped for ever; those here wait for rows of users."""
    known = {(row.api, row.code_type) for row in code_rows()}
    waiting = {
        ("auspost_track_v1", "text"),
        ("gls_group_v1", "event_code"),
        ("mondialrelay_wsi2", "text"),
        ("postnord_trackandtrace_v5", "event_code"),
        ("shippo_tracks", "substatus"),
    }
    asked = set()
    for name in shipped_adapters():
        for code in shipped_adapter(name).event.codes:
            if code.type_from is None:
                asked.add((code.api or name, code.type))
    assert asked - known == waiting
    assert ANY_CARRIER == "*"


def test_settings_name_an_adapter_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD)
    entries = ["ups=ups_track_alert", f"other={file}"]
    settings = load_settings({"scans_topics": ["ups", "other"], "scans_adapters": entries})
    assert {topic: adapter.name for topic, adapter in readers_of(settings).items()} == {
        "ups": "ups_track_alert",
        "other": "mine",
    }


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("ups", "'ups' names no topic and adapter"),
        ("ups=", "names no topic and adapter"),
        ("fedex=ups_track_alert", "'fedex' is no input topic of scans"),
        (
            "ups=ups_trak_alert",
            "there is no adapter or source 'ups_trak_alert'; did you mean `ups_track_alert`?",
        ),
        ("ups=/nowhere.yaml", "cannot read '/nowhere.yaml'"),
    ],
)
def test_settings_that_cannot_be_used_are_told(entry: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({"scans_topics": ["ups"], "scans_adapters": [entry]})
    assert told in str(refused.value)


def test_a_topic_has_one_adapter() -> None:
    entries = ["ups=ups_track_alert", "ups=ups_rest_track_v1"]
    with pytest.raises(SettingsError, match="'ups' has two adapters"):
        load_settings({"scans_topics": ["ups"], "scans_adapters": entries})


def test_what_is_wrong_in_a_users_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    given = {"scans_topics": ["t"], "scans_adapters": [f"t={file}"]}
    file.write_text(GOOD.replace("format: json", "format: jsn"))
    with pytest.raises(SettingsError, match=f"{file}:4:9: format:"):
        load_settings(given)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        load_settings(given)


def test_the_page_has_the_list_as_it_is_now() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert page(text) == text, "make docs"
