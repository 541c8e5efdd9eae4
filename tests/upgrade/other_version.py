"""`returnwatch worker` as the version before or after this one, as far as state is concerned: OTHER_VERSION=previous|next.

`previous` is what positions were before they had a number: it writes none, and does not look for one. `next` writes what this
version cannot go on from. The rest is the product's code.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import msgspec

from agents import worker
from agents.logging_setup import configure_logging
from agents.settings import Settings
from streams import partition
from streams.state_version import STATE_VERSION, VERSION_AT
from streams.watermark import Position, encode_position

OTHER_VERSION = "RETURNWATCH_TEST_VERSION"
NEXT = STATE_VERSION + 1
NUMBERS = {"previous": [], "next": [NEXT, NEXT]}


def main() -> None:
    """Run the worker; its settings come from the environment as in production."""
    numbers = NUMBERS[os.environ[OTHER_VERSION]]

    def encode(position: Position) -> bytes:
        fields: list[Any] = msgspec.msgpack.decode(encode_position(position))
        return msgspec.msgpack.encode([*fields[:VERSION_AT], *numbers])

    async def read_nothing(_settings: Settings) -> None:
        """Versions before this one do not look before they start; the next may go on from all that there is."""

    here: Any = partition
    here.encode_position, here.decode_position = encode, msgspec.msgpack.Decoder(Position).decode
    start: Any = worker
    start.read_stands = read_nothing
    configure_logging("json", "info")
    sys.exit(worker.run(Settings()))


if __name__ == "__main__":
    main()
