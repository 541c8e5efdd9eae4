"""A waiting that is over and not told yet, because the feed that it waits for is not believed (streams/feed_holds.py)."""

from typing import NamedTuple

import msgspec


class HeldWait(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A waiting that is held, as states keep it."""

    rule: str
    parcel: str
    """"" in the state of a parcel, and for what is about a whole return."""
    anchor: str
    feed: str
    currency: str
    value_minor: int
    """0 where something else of the same key that waits for the feed says it."""
    due_ms: int

    @property
    def label(self) -> str:
        """How it is counted."""
        return f"{self.feed}|{self.currency}|{self.value_minor}"


class Worth(NamedTuple):
    """What something is worth, in minor units of its currency."""

    value_minor: int = 0
    currency: str = ""
