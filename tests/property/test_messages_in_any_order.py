"""Messages are sent again, shuffled and with repeats: what is known in the end is the same. What is hostile is refused."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.adapters import read_file, ready
from schemas.carrier_codes import load_carrier_codes
from schemas.facts import decode_parcel_fact, decode_return_record
from streams.intake import IntakeMapper
from streams.parcel import ParcelState
from streams.parcel import merge as merge_parcel
from streams.returns import ReturnState, merge_fact
from tests.golden_payloads import ARRIVED_MS, PayloadRecord

ROOT = Path(__file__).parents[2]
KINDS = {"warehouse": "warehouse", "orders": "orders"}
MESSAGES = {
    name: [
        json.loads(line) for line in (ROOT / f"docs/examples/wiring/{name}.jsonl").read_text().splitlines()
    ]
    for name in KINDS
}
INTAKE = IntakeMapper(
    load_carrier_codes(),
    adapters={name: ready(read_file(str(ROOT / f"docs/examples/wiring/{name}.yaml"))) for name in KINDS},
)


def _known(name: str, messages: list[Any]) -> dict[str, Any]:
    parcels: dict[str, ParcelState] = {}
    returns: dict[str, ReturnState] = {}
    for message in messages:
        record = PayloadRecord(json.dumps(message).encode())
        taken = INTAKE.map_chunk([record], KINDS[name], ARRIVED_MS, topic=name, partition=0)
        for stage, key, value in taken.facts:
            if stage == "parcels":
                merge_parcel(parcels.setdefault(key.decode(), ParcelState()), decode_parcel_fact(value))
            else:
                fact: Any = decode_return_record(value)
                merge_fact(returns.setdefault(key.decode(), ReturnState()), fact)
    return {"parcels": {key: state.facts for key, state in parcels.items()}, "returns": returns}


def _shuffled(draw: Any, value: Any) -> Any:
    """The same message with the items of its lists in another order, some twice."""
    if isinstance(value, dict):
        return {name: _shuffled(draw, part) for name, part in value.items()}
    if not isinstance(value, list):
        return value
    items = [_shuffled(draw, item) for item in value]
    return draw(st.permutations(items + [item for item in items if draw(st.booleans())]))


@st.composite
def _sent(draw: Any) -> tuple[str, list[Any]]:
    name = draw(st.sampled_from(sorted(KINDS)))
    messages = [_shuffled(draw, message) for message in MESSAGES[name]]
    messages += [message for message in messages if draw(st.booleans())]
    return name, draw(st.permutations(messages))


@given(_sent())
def test_shuffled_and_repeated_messages_end_in_the_same_state(case: tuple[str, list[Any]]) -> None:
    name, messages = case
    assert _known(name, messages) == _known(name, MESSAGES[name])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_any_value_in_any_place_is_read_or_refused(name: str, data: st.DataObject) -> None:
    message = json.loads(json.dumps(data.draw(st.sampled_from(MESSAGES[name]))))
    place = message
    while True:
        names = list(place) if isinstance(place, dict) else list(range(len(place)))
        chosen = data.draw(st.sampled_from(names))
        if not isinstance(place[chosen], dict | list) or not place[chosen] or data.draw(st.booleans()):
            place[chosen] = data.draw(_JSON)
            break
        place = place[chosen]
    value = json.dumps(message).encode("utf-8", "surrogatepass")
    taken = INTAKE.map_chunk([PayloadRecord(value)], KINDS[name], ARRIVED_MS, topic=name, partition=0)
    assert len(taken.refused) <= 1


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(name: str, value: bytes) -> None:
    taken = INTAKE.map_chunk([PayloadRecord(value)], KINDS[name], ARRIVED_MS, topic=name, partition=0)
    assert not taken.facts
    assert len(taken.refused) <= 1 or not value
