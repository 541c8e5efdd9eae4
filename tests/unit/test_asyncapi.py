"""The AsyncAPI document: valid by the standard's own schema, and about the topics and contracts that are there."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas.asyncapi import asyncapi
from schemas.contracts_generation import contract_files
from schemas.topics import InputKind, TopicNames, TopicRole, topic_specs

STANDARD = Path(__file__).parent / "asyncapi-3.0.0.schema.json"
"""Of the AsyncAPI Initiative (Apache License 2.0), without its descriptions and examples."""


@pytest.fixture(scope="module")
def standard() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(STANDARD.read_text(encoding="utf-8")))


def test_it_is_valid(standard: jsonschema.Draft7Validator) -> None:
    assert not list(standard.iter_errors(asyncapi()))


def test_the_standard_finds_what_is_wrong(standard: jsonschema.Draft7Validator) -> None:
    document = asyncapi()
    document["channels"]["orders"]["adress"] = "orders"
    document["operations"]["read-orders"]["action"] = "eat"
    wrong = {error.json_path for error in standard.iter_errors(document)}
    assert wrong == {"$.channels.orders", "$.operations['read-orders']"}


def test_every_topic_of_the_outside_is_a_channel_with_its_contract() -> None:
    document = asyncapi()
    names = TopicNames({kind: (kind.value,) for kind in InputKind})
    specs = topic_specs(names, parcels_partitions=1, returns_partitions=1)
    outside = {spec.name for spec in specs if spec.role in {TopicRole.INPUT, TopicRole.OUTPUT}}
    assert {channel["address"] for channel in document["channels"].values()} == outside
    assert set(references(document)) <= {f"./{name}" for name in contract_files()}


def references(value: Any) -> list[str]:
    """The files that the document refers to."""
    if isinstance(value, list):
        return [found for item in value for found in references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if str(value.get("$ref", "#")).startswith("./") else []
    return own + [found for item in value.values() for found in references(item)]
