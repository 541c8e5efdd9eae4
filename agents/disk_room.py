"""Whether there is room on the disk of the local state. While there is none no stage goes on; nothing is lost or said wrongly.

RocksDB writes nothing more after its first failed write until it is opened anew, and opening needs room, too. So work stops
before the disk is full, at a reserve; a store that was caught out all the same waits, is opened again, and gets the same batch.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from agents.health import Readiness
from agents.metrics import Metrics

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
AMPLE = 1.25
"""Work goes on with so much more than the reserve, or each batch would stop it again."""
_WORDS = ("No space left on device", "Disk quota exceeded")


class DiskRoom:
    """Stops who asks while there is no room, and says so once in the log, in a metric and in /ready."""

    def __init__(
        self,
        directory: Path,
        reserve_bytes: int,
        metrics: Metrics,
        readiness: Readiness,
        *,
        free: Callable[[Path], int] | None = None,
    ) -> None:
        self.is_full = False
        self._directory = directory
        self._reserve_bytes = reserve_bytes
        self._metrics = metrics
        self._readiness = readiness
        self._free = free or free_bytes

    async def wait(self) -> None:
        """Return when there is room."""
        while (free := self._free(self._directory)) < self._least():
            self._stop(free, "")
            await asyncio.sleep(LOOK_SECONDS)
        self._metrics.disk_free.set(free)
        if self.is_full:
            self.is_full = False
            self._metrics.disk_full.set(0)
            self._readiness.has("disk")
            log.info("disk_has_room", free_bytes=free)

    async def refused(self, error: Exception) -> None:
        """Return when it makes sense to try again what the disk has just refused, reserve or not."""
        self._stop(self._free(self._directory), str(error)[:200])
        await asyncio.sleep(LOOK_SECONDS)
        await self.wait()

    def _least(self) -> int:
        return int(self._reserve_bytes * AMPLE) if self.is_full else self._reserve_bytes

    def _stop(self, free: int, error: str) -> None:
        self._metrics.disk_free.set(free)
        if self.is_full:
            return
        self.is_full = True
        self._metrics.disk_full.set(1)
        why = (
            f"{free:,} bytes are free in {self._directory}, and {self._reserve_bytes:,} are needed: make room"
        )
        self._readiness.waits_for("disk", why)
        log.error("disk_full", free_bytes=free, reserve_bytes=self._reserve_bytes, error=error)


def free_bytes(directory: Path) -> int:
    """What an ordinary user may still write there."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def says_full(error: BaseException) -> bool:
    """Whether an error is that of a full disk, also in RocksDB's words."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return True
    return any(words in str(error) for words in _WORDS)
