"""Histories are sent again, shuffled, with repeats and with gaps: what is known in the end is the same."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.facts import ParcelFact, decode_parcel_fact
from streams.parcel import ParcelState, merge
from tests.golden_payloads import ARRIVED_MS, Golden, PayloadRecord, goldens, mapper, taken

JSON_GOLDENS = [golden for golden in goldens() if golden.file.suffix == ".json"]
INTAKE = mapper(*{golden.adapter for golden in JSON_GOLDENS})


def _mutated(draw: Any, value: Any, *, drop: bool) -> Any:
    """The same payload with the items of its lists shuffled and repeated, and some left out.

    Of a list of one nothing is: it may be a part of an event (a place), which without it is another event.
    """
    if isinstance(value, dict):
        return {name: _mutated(draw, part, drop=drop) for name, part in value.items()}
    if not isinstance(value, list):
        return value
    items = [_mutated(draw, item, drop=drop) for item in value]
    if drop and len(items) > 1:
        items = [item for item in items if draw(st.booleans())]
    repeated = [item for item in items if draw(st.booleans())]
    return draw(st.permutations(items + repeated))


@st.composite
def _sent_again(draw: Any) -> tuple[Golden, list[tuple[bytes, int]]]:
    golden = draw(st.sampled_from(JSON_GOLDENS))
    payload = json.loads(golden.file.read_text(encoding="utf-8"))
    sent = [(_mutated(draw, payload, drop=True), ARRIVED_MS) for _ in range(draw(st.integers(0, 2)))]
    sent.append((_mutated(draw, payload, drop=False), ARRIVED_MS))
    return golden, [(json.dumps(one).encode(), at_ms) for one, at_ms in draw(st.permutations(sent))]


def _known(golden: Golden, sent: list[tuple[bytes, int]]) -> dict[str, tuple[bytes, bytes]]:
    states: dict[str, ParcelState] = {}
    for value, at_ms in sent:
        record = PayloadRecord(value, golden.record().key)
        for _, key, encoded in taken(INTAKE, golden.adapter, record, arrived_ms=at_ms).facts:
            fact: ParcelFact = decode_parcel_fact(encoded)
            merge(states.setdefault(key.decode(), ParcelState()), fact)
    return {key: (state.facts, state.marks) for key, state in states.items()}


@settings(deadline=None)
@given(_sent_again())
def test_shuffled_repeated_and_incomplete_histories_end_in_the_same_state(
    case: tuple[Golden, list[tuple[bytes, int]]],
) -> None:
    golden, sent = case
    assert _known(golden, sent) == _known(golden, [(golden.file.read_bytes(), ARRIVED_MS)])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.sampled_from(JSON_GOLDENS), st.data())
def test_any_value_in_any_place_is_read_or_refused(golden: Golden, data: st.DataObject) -> None:
    payload = json.loads(golden.file.read_text(encoding="utf-8"))
    _put(data, payload, data.draw(_JSON))
    value = json.dumps(payload).encode("utf-8", "surrogatepass")
    result = taken(INTAKE, golden.adapter, PayloadRecord(value))
    assert len(result.refused) <= 1


@settings(deadline=None)
@given(st.sampled_from(sorted({golden.adapter for golden in goldens()})), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(adapter: str, value: bytes) -> None:
    intake = mapper(adapter)
    result = taken(intake, adapter, PayloadRecord(value))
    assert not result.facts
    assert len(result.refused) <= 1


def _put(data: st.DataObject, value: Any, what: Any) -> None:
    """Put something into a place of the tree."""
    while True:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not places:
            return
        place = data.draw(st.sampled_from(places))
        if not isinstance(value[place], dict | list) or data.draw(st.booleans()):
            value[place] = what
            return
        value = value[place]
