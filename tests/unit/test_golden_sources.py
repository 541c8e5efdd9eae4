"""Each message of the golden corpus is read as a person has read it, and nothing personal passes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from schemas.carrier_codes import load_carrier_codes
from schemas.facts import decode_parcel_fact, decode_return_record
from schemas.source_checks import kinds_of, shipped_source, shipped_sources
from schemas.vocabulary import Milestone
from streams.intake import Intake, IntakeMapper
from streams.message_reading import MessageSource
from tests.golden_payloads import ARRIVED_MS, TIMELINE, PayloadRecord

FOLDER = Path(__file__).parents[1] / "golden" / "sources"


class Golden(NamedTuple):
    source: str
    name: str
    value: bytes
    timeline: dict[str, Any]


def _goldens() -> list[Golden]:
    yaml = YAML(typ="safe")
    found = []
    for timeline in sorted(FOLDER.glob(f"*/*{TIMELINE}")):
        name = timeline.name.removesuffix(TIMELINE)
        value = timeline.with_name(f"{name}.json").read_bytes()
        found.append(
            Golden(timeline.parent.name, name, value, yaml.load(timeline.read_text(encoding="utf-8")))
        )
    return found


ALL = _goldens()


def _taken(source: str, *values: bytes) -> Intake:
    file = shipped_source(source)
    intake = IntakeMapper(load_carrier_codes(), adapters={source: MessageSource(file)})
    records = [PayloadRecord(value) for value in values]
    kind = min(kinds_of(file))
    return intake.map_chunk(records, kind, ARRIVED_MS, topic=source, partition=0)


def _timelines(result: Intake) -> dict[str, dict[str, list[str]]]:
    """Stage -> key -> its facts, one line each; the same fact once."""
    told: dict[str, dict[str, dict[int, str]]] = {"returns": {}, "parcels": {}}
    for stage, key, value in result.facts:
        fact: Any = decode_parcel_fact(value) if stage == "parcels" else decode_return_record(value)
        at = datetime.fromtimestamp(fact.occurred_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        money = f" {fact.value_minor} {fact.currency}" if getattr(fact, "value_minor", 0) else ""
        line = f"{at} {Milestone(fact.milestone).name.lower()}{money}"
        told[stage].setdefault(key.decode(), {})[fact.identity] = line
    return {
        stage: {key: sorted(lines.values()) for key, lines in keys.items()} for stage, keys in told.items()
    }


@pytest.mark.parametrize("golden", ALL, ids=lambda golden: f"{golden.source}/{golden.name}")
def test_message_tells_what_a_person_reads_in_it(golden: Golden) -> None:
    result = _taken(golden.source, golden.value)
    expected = {stage: golden.timeline.get(stage, {}) for stage in ("returns", "parcels")}
    assert not result.refused
    assert _timelines(result) == expected
    assert b"canary" not in b"".join(key + value for _, key, value in result.facts).lower()


@pytest.mark.parametrize("golden", ALL, ids=lambda golden: f"{golden.source}/{golden.name}")
def test_a_message_sent_again_is_the_same_facts(golden: Golden) -> None:
    assert _timelines(_taken(golden.source, golden.value, golden.value)) == _timelines(
        _taken(golden.source, golden.value)
    )


def test_every_source_has_messages_and_cites_its_documents() -> None:
    assert {golden.source for golden in ALL} == set(shipped_sources())
    for name in shipped_sources():
        assert all(document.startswith("https://") for document in shipped_source(name).documents)
        assert shipped_source(name).documents


def test_an_approval_that_comes_before_its_request_is_the_same_request() -> None:
    """Shopify sends returns/request and returns/approve apart, in any order."""
    by_name = {golden.name: golden.value for golden in ALL if golden.source == "shopify_returns"}
    first = _timelines(_taken("shopify_returns", by_name["requested"], by_name["approved"]))
    assert first == _timelines(_taken("shopify_returns", by_name["approved"], by_name["requested"]))
    assert [line.split()[1] for line in first["returns"]["3547267221"]] == [
        "return_approved",
        "return_requested",
    ]
