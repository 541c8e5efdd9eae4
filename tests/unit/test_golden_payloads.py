"""Each payload of the golden corpus is read as a person has read it, and nothing personal passes."""

import pytest

from schemas.adapter_loading import shipped_adapters
from tests.golden_payloads import Golden, answers, goldens, mapper, taken, timelines

ALL = list(goldens())


@pytest.mark.parametrize("golden", ALL, ids=lambda golden: f"{golden.adapter}/{golden.file.stem}")
def test_payload_tells_what_a_person_reads_in_it(golden: Golden) -> None:
    result = taken(mapper(golden.adapter), golden.adapter, golden.record())
    told = golden.timeline
    expected = {key: sorted(lines) for key, lines in told["parcels"].items()}
    assert timelines(result) == expected
    assert answers(result) == (told.get("errors", 0), told.get("empty", 0))
    assert not result.refused


def test_every_adapter_has_a_payload() -> None:
    assert {golden.adapter for golden in ALL} == set(shipped_adapters())


@pytest.mark.parametrize("golden", ALL, ids=lambda golden: f"{golden.adapter}/{golden.file.stem}")
def test_names_addresses_and_texts_do_not_pass(golden: Golden) -> None:
    result = taken(mapper(golden.adapter), golden.adapter, golden.record())
    passed = b"".join(key + value for _, key, value in result.facts).lower()
    assert b"canary" not in passed


@pytest.mark.parametrize("golden", ALL, ids=lambda golden: f"{golden.adapter}/{golden.file.stem}")
def test_a_payload_sent_again_later_is_the_same_facts(golden: Golden) -> None:
    intake = mapper(golden.adapter)
    first = taken(intake, golden.adapter, golden.record())
    again = taken(intake, golden.adapter, golden.record(), golden.record())
    assert timelines(again) == timelines(first)
