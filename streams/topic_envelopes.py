"""Opens what the settings say of a topic, layer by layer, down to what every other topic carries."""

from collections.abc import Iterable, Sequence

from schemas.envelopes import Envelope, NoEvent
from schemas.vocabulary import DeadLetterReason
from streams.change_events import open_change
from streams.envelope import Headers, Wrapped
from streams.outbox_events import open_outbox
from streams.refusal import RefusalError
from streams.wire_format import Schemas, open_frame, schema_ids

_STRUCTURED = b"application/cloudevents+json"


class TopicEnvelope:
    """The layers around the messages of one topic."""

    def __init__(self, layers: Sequence[Envelope]) -> None:
        self._layers = frozenset(layers)

    def needs(self, values: Iterable[bytes | None]) -> set[int]:
        """Return the ids of the schemas that have to be known before these records are opened."""
        return schema_ids(values) if Envelope.CONFLUENT in self._layers else set()

    def open(self, value: bytes | None, headers: Headers, schemas: Schemas) -> Wrapped | NoEvent:
        """Return what is inside, or why there is nothing. Raises RefusalError."""
        if value is not None and Envelope.CONFLUENT in self._layers:
            value = open_frame(value, schemas)
            headers = [(name, content) for name, content in headers if not _of_the_frame(name, content)]
        if Envelope.DEBEZIUM in self._layers:
            row = open_change(value)
            return row if isinstance(row, NoEvent) else Wrapped(row, (), {})
        if Envelope.OUTBOX in self._layers:
            return open_outbox(value, headers)
        if value is None:
            raise RefusalError(DeadLetterReason.NULL_VALUE, "the record has no value")
        return Wrapped(value, headers, {})


def _of_the_frame(name: str, content: bytes | None) -> bool:
    """Whether a header says what the bytes are, which they no longer are."""
    return name.lower() == "content-type" and not (content or b"").lower().startswith(_STRUCTURED)
