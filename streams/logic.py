"""What a stage must be able to do with one key, so that streams/partition.py can run it."""

from collections.abc import Mapping
from typing import Protocol

from streams.batch import Change
from streams.feeds import Feeds
from streams.forgetting import Forgets
from streams.watermark import Outgoing


class Logic(Forgets, Protocol):
    """What a stage does with one key. Pure: the same arguments give the same result."""

    stage: str
    """"parcels" or "returns". Begins the names of what is hidden, too."""
    says_again: bool
    """True: what was said is a function of the state (`report`). False: the messages themselves are kept."""
    marks: tuple[str, int] | None
    """Topic and partition count under which this stage passes its watermark on."""
    notes: list[tuple[str, str]]
    """Counters since they were last taken away."""
    delays: list[tuple[str, int]]

    def adopt(self, policy: bytes) -> str:
        """Decide by this policy (a POLICY_KEY record) from now on; returns its hash.

        Raises pydantic.ValidationError when it cannot be read, as when a newer version wrote it; the policy before it
        then stays in force.
        """
        ...

    def bind(self, number: int, feeds: Feeds) -> None:
        """Say which partition this is, and whom to ask about feeds."""
        ...

    def feed_key(self, feed: str) -> bytes | None:
        """Where the cases of a feed live; None: not here."""
        ...

    def apply(
        self, key: bytes, value: bytes, raw: bytes | None, armed_ms: int, watermark_ms: int
    ) -> Change | None:
        """Merge a record into the key's state, and look at it; None: nothing changed. Raises msgspec.MsgspecError."""
        ...

    def apply_forgotten(
        self, key: bytes, value: bytes, record: bytes, names: Mapping[str, str], watermark_ms: int
    ) -> Change | None:
        """The same for a key that was forgotten: pass the record over, or answer it, or know the key again.

        `record`: what is kept under its hidden name. `names`: the forgotten returns that the record names, and
        their hidden names.
        """
        ...

    def apply_without(
        self,
        key: bytes,
        value: bytes,
        stored: tuple[bytes | None, int],
        names: Mapping[str, str],
        watermark_ms: int,
    ) -> Change | None:
        """The same for a record that names returns that were forgotten. `stored`: the key's state and its timer."""
        ...

    def about(self, value: bytes) -> str:
        """The parcel that a record which was taken in tells of to a return; "" for all others."""
        ...

    def look(self, key: bytes, raw: bytes, now_ms: int, *, policy_changed: bool = False) -> Change:
        """Evaluate the key, a cell (streams/cells.py) or a feed at `now_ms`. `raw` of a feed: b"" at first.

        `armed_ms` of the result is later than `now_ms`, or 0.
        """
        ...

    def armed_ms(self, key: bytes, raw: bytes) -> int:
        """For the timer index of a restored store: a time at or before the next one that matters."""
        ...

    def report(self, key: bytes, raw: bytes) -> list[Outgoing]:
        """What the state says to the outside now (only with `says_again`)."""
        ...
