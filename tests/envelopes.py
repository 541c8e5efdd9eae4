"""Records of wrapped topics, for the tests of envelopes."""

from collections.abc import Mapping
from typing import Any

from schemas.carrier_codes import load_carrier_codes
from schemas.envelopes import CHAINS
from schemas.topics import InputKind
from streams.intake import Intake, IntakeMapper
from streams.topic_envelopes import TopicEnvelope
from tests.input_events import NOON_MS, records

TOPIC = "wrapped"


def wrapped_mapper(chain: str, **more: Any) -> IntakeMapper:
    """An intake whose one topic is written in a chain of envelopes."""
    return IntakeMapper(load_carrier_codes(), envelopes={TOPIC: TopicEnvelope(CHAINS[chain])}, **more)


def framed(number: int, body: bytes) -> bytes:
    """A record as a schema registry's serializer writes it."""
    return b"\x00" + number.to_bytes(4, "big") + body


def take_wrapped(chain: str, *values: Any, kind: InputKind = InputKind.CARRIER_SCANS, **more: Any) -> Intake:
    """What intake makes of the records of such a topic."""
    mapper = wrapped_mapper(chain, **more)
    return mapper.map_chunk(records(*values), kind, NOON_MS, topic=TOPIC, partition=0)


def refusal(intake: Intake) -> tuple[str, str]:
    """Reason and detail of the one record that was refused."""
    ((_, reason, detail, action),) = intake.refused
    assert action
    return reason.value, detail


def no_events(intake: Intake) -> Mapping[str, int]:
    """How many records of each kind told of nothing; they are neither facts nor refused."""
    assert not intake.facts
    assert not intake.refused
    return {label: count for (name, label), count in intake.counters.items() if name == "no_event"}
