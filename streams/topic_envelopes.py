"""Opens what the settings say of a topic, layer by layer, down to what every other topic carries."""

from collections.abc import Sequence

from schemas.envelopes import Envelope, NoEvent
from streams.change_events import open_change
from streams.envelope import Headers, Wrapped
from streams.outbox_events import open_outbox


class TopicEnvelope:
    """The layers around the messages of one topic."""

    def __init__(self, layers: Sequence[Envelope]) -> None:
        self._layers = frozenset(layers)

    def open(self, value: bytes | None, headers: Headers) -> Wrapped | NoEvent:
        """Return what is inside, or why there is nothing. Raises RefusalError."""
        if Envelope.DEBEZIUM in self._layers:
            row = open_change(value)
            return row if isinstance(row, NoEvent) else Wrapped(row, (), {})
        return open_outbox(value, headers)
