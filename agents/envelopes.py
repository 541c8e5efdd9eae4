"""The envelopes that the settings name, ready to open the records of their topics."""

from collections.abc import Iterable

from schemas.envelopes import CHAINS
from streams.topic_envelopes import TopicEnvelope


def envelopes_of(entries: Iterable[str]) -> dict[str, TopicEnvelope]:
    """Return topic -> envelope for the `topic=envelope` entries of the settings."""
    named = (entry.partition("=") for entry in entries)
    return {topic: TopicEnvelope(CHAINS[chain]) for topic, _, chain in named}
