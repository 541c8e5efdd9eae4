"""Source files that cannot be used are told as findings, by line; what the contract has can be mapped."""

from pathlib import Path

import pytest

from agents.adapters import readers_of
from agents.adapters_reference import SOURCES_FILE, sources_page
from agents.errors import SettingsError
from agents.settings_loading import load_settings
from schemas.source_checks import load_source, shipped_source, shipped_sources
from schemas.source_files import MODEL_OF_TYPE, Fields, mapped_fields
from schemas.yaml_models import ModelError
from streams.adapting import Adapter
from streams.message_reading import MessageSource

GOOD = """\
source: wms
format: json
items: [docks, lines]
fields:
  return_id: rma
  occurred_at: {from: at, zone: Europe/Paris}
events:
  - type: {from: status, values: {RECEIVED: checked_in, GRADED: inspected}}
    fields:
      facility: site
      disposition: {from: grade, values: {A: restock, B: reject}}
"""


def _findings(text: str) -> list[str]:
    with pytest.raises(ModelError) as refused:
        load_source(text, "wms.yaml")
    return [": ".join(part for part in finding if part) for finding in refused.value.findings]


def test_every_field_of_every_event_can_be_mapped() -> None:
    wanted = {field for model in MODEL_OF_TYPE.values() for field in mapped_fields(model)}
    assert set(Fields.model_fields) == wanted


@pytest.mark.parametrize("name", shipped_sources())
def test_shipped_sources_can_be_used(name: str) -> None:
    assert MessageSource(shipped_source(name)).name == name


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("format: json", "format: jsn", "wms.yaml:2:9: format: Input should be 'json' or 'xml'"),
        ("return_id: rma", "return_ids: rmas", "a `checked_in` needs `return_id`, or `carrier` and"),
        (
            "return_id: rma",
            "retrun_id: rma",
            "wms.yaml:5:3: `retrun_id` is not known here: did you mean `return_id`?",
        ),
        (
            "GRADED: inspected",
            "GRADED: inspect",
            "wms.yaml:8:5: `inspect` is no event that a source can tell: did you mean `inspected`?",
        ),
        (
            "B: reject",
            "B: resell",
            "wms.yaml:11:55: disposition: 'resell': Input should be 'restock', 'refurbish'",
        ),
        (
            "facility: site",
            "promised_refund_at: due",
            "wms.yaml:10:7: `promised_refund_at` is no field of this event",
        ),
        ("  occurred_at: {from: at, zone: Europe/Paris}\n", "", "`checked_in` needs `occurred_at`"),
        ("zone: Europe/Paris", "zone: Europe/Pris", "'Europe/Pris' is no time zone"),
        ("zone: Europe/Paris", "zone: place", "`zone: place` is of carriers' scans"),
        ("zone: Europe/Paris", "zone_of: {from: s, values: {A: Mars/North}}", "'Mars/North' is no time zone"),
        ("B: reject", "a: reject", "`a` and `A` are one word here"),
        ("return_id: rma", "return_id: {is: R1, from: rma}", "not both and not neither"),
        ("return_id: rma", "return_id: a && !b.c", "write `!(a.b)`"),
        ("return_id: rma", 'return_id: {is: ""}', "return_id: '': String should have at least 1 character"),
        ("GRADED: inspected", "GRADED: snooze", "people's commands are written as docs/commands.md says"),
        (
            "{from: status, values: {RECEIVED: checked_in, GRADED: inspected}}",
            "{from: status}",
            "`from` needs `values`",
        ),
    ],
)
def test_what_can_never_be_an_event_is_told_with_its_place(right: str, wrong: str, told: str) -> None:
    assert right in GOOD
    findings = _findings(GOOD.replace(right, wrong))
    assert any(told in finding for finding in findings), findings


def test_everything_wrong_is_told_at_once() -> None:
    text = GOOD.replace("B: reject", "B: resell").replace("inspected", "inspect").replace("facility", "shop")
    assert [finding.split(":")[1] for finding in _findings(text)] == ["8", "10", "11"]


def test_one_event_needs_no_list() -> None:
    text = "source: a\nformat: json\nevents:\n  type: restocked\n  fields: {return_id: r, occurred_at: t, shop: s}\n"
    (finding,) = _findings(text)
    assert finding.startswith("wms.yaml:5:42: `shop` is no field of this event")
    assert load_source(text.replace(", shop: s", ""), "a.yaml").types() == ("restocked",)


def test_settings_name_a_source_for_topics_of_any_kind(tmp_path: Path) -> None:
    file = tmp_path / "wms.yaml"
    file.write_text(GOOD)
    settings = load_settings({
        "warehouse_topics": ["wms"],
        "orders_topics": ["shop"],
        "scans_topics": ["ups", "dpd"],
        "scans_adapters": ["ups=ups_track_alert"],
        "sources": [f"wms={file}", "shop=shopify_returns", "dpd=dpd_geo_events"],
    })  # fmt: skip
    readers = readers_of(settings)
    assert {topic: reader.name for topic, reader in readers.items()} == {
        "ups": "ups_track_alert",
        "wms": "wms",
        "shop": "shopify_returns",
        "dpd": "dpd_geo_events",
    }
    assert isinstance(readers["dpd"], Adapter)
    assert isinstance(readers["wms"], MessageSource)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("wms", "'wms' names no topic and source"),
        ("other=shopify_returns", "'other' is no input topic of events"),
        ("wms=shopify_returns", "'wms' is a topic of warehouse, and shopify_returns tells events of orders"),
        (
            "wms=ups_track_alert",
            "'wms' is a topic of warehouse, and ups_track_alert tells events of carrier-scans",
        ),
        (
            "wms=shopify_retruns",
            "there is no adapter or source 'shopify_retruns'; did you mean `shopify_returns`?",
        ),
        ("wms=/nowhere.yaml", "cannot read '/nowhere.yaml'"),
        ("ups=ups_rest_track_v1", "'ups' has two adapters"),
    ],
)
def test_settings_that_cannot_be_used_are_told(entry: str, told: str) -> None:
    given = {"scans_topics": ["ups"], "scans_adapters": ["ups=ups_track_alert"], "warehouse_topics": ["wms"]}
    with pytest.raises(SettingsError) as refused:
        load_settings({**given, "sources": [entry]})
    assert told in str(refused.value)


def test_a_users_wrong_file_is_told_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "wms.yaml"
    file.write_text(GOOD.replace("B: reject", "B: resell"))
    with pytest.raises(SettingsError, match=f"{file}:11:55: disposition"):
        load_settings({"warehouse_topics": ["wms"], "sources": [f"wms={file}"]})


def test_the_page_has_the_list_as_it_is_now() -> None:
    text = SOURCES_FILE.read_text(encoding="utf-8")
    assert sources_page(text) == text, "make docs"
