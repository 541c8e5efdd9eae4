"""One queue and one task per partition, so that partitions never wait for each other's acknowledgements."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from faust.types.tuples import TP

from agents.transport import Chunk

QUEUE_HIGH, QUEUE_LOW = 3, 1

Done = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Flow:
    """How a lane speaks to the consumer and to the process."""

    pause: Callable[[TP], None]
    resume: Callable[[TP], None]
    seek: Callable[[TP, int], Awaitable[None]]
    fatal: Callable[[BaseException, str], None]
    """Ends the process: an error in a partition's task means that state and log may disagree."""


class Lane:
    """Chunks of one partition, handled one after the other; reading is paused while the queue is long."""

    def __init__(self, tp: TP, handle: Callable[[Chunk], Awaitable[None]], flow: Flow) -> None:
        self.tp = tp
        self.paused = False
        self._handle = handle
        self._flow = flow
        self._queue: asyncio.Queue[tuple[Chunk, Done]] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(), name=f"lane-{tp.topic}-{tp.partition}")

    def put(self, chunk: Chunk, done: Done) -> None:
        """Queue a chunk; `done` is awaited when it has been handled."""
        self._queue.put_nowait((chunk, done))
        if self._queue.qsize() >= QUEUE_HIGH and not self.paused:
            self.paused = True
            self._flow.pause(self.tp)

    async def _run(self) -> None:
        try:
            while True:
                chunk, done = await self._queue.get()
                await self._handle(chunk)
                await done()
                if self.paused and self._queue.qsize() <= QUEUE_LOW:
                    self.paused = False
                    self._flow.resume(self.tp)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the process must end
            self._flow.fatal(error, f"{self.tp.topic}/{self.tp.partition}")

    async def close(self) -> None:
        """Stop after the chunk in hand is cut off; what is queued is dropped (its offsets are not done)."""
        self._task.cancel()
        await asyncio.wait([self._task])
        while not self._queue.empty():
            _, done = self._queue.get_nowait()
            await done()
