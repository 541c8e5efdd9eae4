"""Which payloads tell something new: shops ask for a history again and again, and while the carrier is silent it says the same.

A feed would be believed alive by it. So what came of a feed is counted only when a history's latest scan was not told before.
"""

from typing import Final
from zlib import crc32

MOST_KEPT: Final = 65_536
"""The latest scans that are surely remembered; up to twice as many are."""
_OFFSET_BITS: Final = 56


class PayloadNews:
    """The latest scans that payloads told, as far as one process remembers.

    Facts do not depend on it, only what marks tell of a feed. What is forgotten, by a restart or by many parcels, counts as new
    once more: too much life is believed, never a silence that is none. So a record that is mapped again is as new as it was.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._latest: dict[int, int] = {}
        """Identity of a scan -> the record that told it first."""
        self._older: dict[int, int] = {}

    def is_new(self, identity: int, topic: str, partition: int, offset: int) -> bool:
        """Whether this record is the first that tells the scan as the latest of its parcel."""
        record = crc32(f"{topic}/{partition}".encode()) << _OFFSET_BITS | offset
        first = self._latest.get(identity)
        if first is None:
            first = self._older.get(identity, record)
            if len(self._latest) >= self._most:
                self._older, self._latest = self._latest, {}
            self._latest[identity] = first
        return first == record
