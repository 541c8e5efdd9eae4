"""The log's clock as this worker knows it: the append time of its last heartbeat, and what followed from it.

No deadline is ever compared with a local clock. The local monotonic clock only measures how long ago the last
heartbeat was, and may veto a broker clock that runs away; the wall clock may veto at the start.
"""

import asyncio
from collections.abc import Callable
from time import monotonic, time

from agents.settings import SimulatedTime

VETO_MS = 30_000
"""A heartbeat this far ahead of the time elapsed here freezes the watermark."""
WALL_VETO_MS = 300_000
"""So does one this far ahead of the local wall clock: one of the two clocks is wrong."""
SLOW_SECONDS = 2.0
"""An answer that took longer (the broker was away) tells the time worse than what is known from before."""


class LogClock:
    """Maps broker append time to log time, and estimates the log time of "now" from the last heartbeat."""

    def __init__(
        self,
        simulated: SimulatedTime | None,
        skew_ms: int,
        *,
        now: Callable[[], float] = monotonic,
        wall: Callable[[], float] = time,
    ) -> None:
        self._simulated = simulated
        self._skew_ms = skew_ms
        self._now = now
        self._wall = wall
        self._append_ms = 0
        self._sent_at = 0.0
        self._offset_ms: float | None = None
        self.ahead_ms = 0.0
        self.frozen = False
        self.known = asyncio.Event()

    def heartbeat(self, append_ms: int, sent_at: float) -> bool:
        """Take note of a heartbeat sent at monotonic time `sent_at`. False: its clock is vetoed, make no marker."""
        # The append lies between the sending and the answer, which a pause of either side may hold back for minutes:
        # so the earliest offset that this heartbeat can mean is compared with the latest that earlier ones could.
        earliest_ms, latest_ms = append_ms - self._now() * 1000, append_ms - sent_at * 1000
        if self._offset_ms is None:
            self._offset_ms = latest_ms
        self.ahead_ms = max(
            earliest_ms - self._offset_ms,
            append_ms - self._wall() * 1000 - (WALL_VETO_MS - VETO_MS),
        )
        self.frozen = self.ahead_ms > VETO_MS
        if self.frozen:
            return False
        # Slow drift between the clocks is followed; a jump ahead is not.
        self._offset_ms = min(self._offset_ms + 1.0, latest_ms)
        if self._now() - sent_at < SLOW_SECONDS or not self.known.is_set():
            self._append_ms, self._sent_at = append_ms, sent_at
        self.known.set()
        return True

    def log_ms(self, append_ms: int) -> int:
        """Log time of an append time: the same, or its simulated image."""
        return append_ms if self._simulated is None else self._simulated.simulated_ms(append_ms)

    def through_ms(self, append_ms: int) -> int:
        """What a marker made from a heartbeat may claim: its time less the skew."""
        return self.log_ms(append_ms - self._skew_ms)

    def now_ms(self) -> int:
        """Log time now, never before the true one: the last quick heartbeat plus the time since it was sent."""
        return self.log_ms(self._append_ms + int((self._now() - self._sent_at) * 1000) + 1)

    def seconds(self) -> float:
        """Log time now in epoch seconds; the wall clock's until the first heartbeat."""
        return self.now_ms() / 1000 if self.known.is_set() else self.log_ms(int(self._wall() * 1000)) / 1000
