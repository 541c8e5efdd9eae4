"""The envelopes that the settings name, ready to open the records of their topics."""

from collections.abc import Iterable
from importlib.util import find_spec

from agents.errors import Finding
from schemas.envelopes import CHAINS, needs_registry
from streams.topic_envelopes import TopicEnvelope


def envelopes_of(entries: Iterable[str]) -> dict[str, TopicEnvelope]:
    """Return topic -> envelope for the `topic=envelope` entries of the settings."""
    named = (entry.partition("=") for entry in entries)
    return {topic: TopicEnvelope(CHAINS[chain]) for topic, _, chain in named}


def envelope_findings(entries: Iterable[str], where: str) -> list[Finding]:
    """Return what is missing to open the envelopes of the settings."""
    if not needs_registry(entries):
        return []
    missing = [name for name, module in _PACKAGES.items() if not _is_there(module)]
    if not missing:
        return []
    what = f"`confluent` needs packages that are not installed: {', '.join(missing)}"
    why = "Avro and Protobuf are read with them"
    return [Finding(where, what, why, "pip install 'returnwatch[registry]'")]


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


_PACKAGES = {"fastavro": "fastavro", "protobuf": "google.protobuf"}
