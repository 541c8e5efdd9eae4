"""Whatever the messages are, what is proposed can be loaded at once."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.adapter_proposal import AdapterProposal
from agents.errors import SourcesError
from agents.message_fields import as_text, fields_of
from agents.message_files import MessageFile
from agents.source_proposal import SourceProposal
from schemas.adapter_loading import load_adapter
from schemas.carrier_codes import load_carrier_codes
from schemas.field_words import words
from schemas.source_checks import load_source
from schemas.topics import InputKind

CODES = load_carrier_codes()
_NAMES = st.sampled_from(
    [*words("field"), *words("status"), *words("time"), *words("money"), "requested_at", "refunded on"]
)
_TEXTS = st.sampled_from([
    "RECEIVED", "refunded", "label created", "UPS", "1Z999AA10123456784", "2026-03-03T10:00:00", "03.03.2026", "10:15",
    "19,90", "EUR", "a", "no", "x: y", "# x", "'", '"', "\n", "ü", "2026-03-03", "20260303",
])  # fmt: skip
_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | _TEXTS
)
_MESSAGES = st.dictionaries(
    _NAMES | st.text(min_size=1),
    st.recursive(
        _VALUES,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.text(min_size=1), inner, max_size=5)
        ),
        max_leaves=20,
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(_MESSAGES, min_size=1, max_size=3),
    st.sampled_from([None, *(kind for kind in InputKind if kind != "commands")]),
)
def test_a_proposal_can_be_loaded(messages: list[Any], kind: InputKind | None) -> None:
    files = [MessageFile("m.json", json.dumps(message).encode()) for message in messages]
    if not any(_has_a_value(message) for message in messages):
        with pytest.raises(SourcesError, match="no field with a value"):
            fields_of(files)
        return
    fields, is_json = fields_of(files)
    load_source(SourceProposal("mine", fields, kind, CODES, is_json=is_json).text(), "mine.yaml")
    adapter = AdapterProposal("mine", fields, None, is_json=is_json)
    load_adapter(adapter.text(), "mine.yaml")
    assert adapter.codes()


def _has_a_value(tree: Any) -> bool:
    """Whether anything in it can be shown as a text."""
    if isinstance(tree, dict | list):
        return any(map(_has_a_value, tree.values() if isinstance(tree, dict) else tree))
    return as_text(tree) != ""
