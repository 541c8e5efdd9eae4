"""From what a user's own message tells to facts: the same facts as of the contract's own events.

An event with an id, or with a time whose offset is known, is the same event whichever way it came. Of another time the text as
it is written is part of the identity: a zone that is put right later does not make a second fact.
"""

from streams.adapting import Payload, Trouble
from streams.facts_of_events import Chunk, FactMaker
from streams.facts_of_payloads import ANSWERS, EMPTY
from streams.message_reading import Message
from streams.refusal import RefusalError


class MessageFacts:
    """Makes the facts of messages. Keeps no state."""

    def __init__(self, maker: FactMaker) -> None:
        self._maker = maker

    def add(self, chunk: Chunk, message: Message, offset: int) -> Trouble | None:
        """Add a message's facts to the chunk; returns what of it could not be read."""
        for one in message.told:
            try:
                self._maker.add(chunk, one.event, offset, "", "", one.time)
            except RefusalError as refusal:
                where = f"{one.where} {one.type}".strip()
                message.troubles.append(Trouble(refusal.reason, f"{where}: {refusal.detail}"))
        if not message.told and not message.troubles:
            chunk.count(ANSWERS, EMPTY)
        return Payload([], 0, 0, message.troubles).trouble() if message.troubles else None
