"""An HTTP receiver on this machine that does as it is told: takes, refuses, is slow, talks garbage, hangs up, points away."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Received(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    answer: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class LocalReceiver:
    """Answers by `answers`, one for each request in turn; when there are none left, it takes everything.

    `200` and the like are statuses; `429 2` asks for a pause in seconds; `301 URL` points elsewhere; `never`, `garbage`,
    `close` and `endless` (headers without end) are what they say.
    """

    def __init__(self) -> None:
        self.answers: deque[str] = deque()
        self.else_answer = "200"
        self.refused: dict[str, str] = {}
        """Identity of a message -> the answer that it always gets."""
        self.received: list[Received] = []
        self.port = 0
        self.changed = asyncio.Event()
        self.open_ones: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in"

    @property
    def taken(self) -> list[Received]:
        return [one for one in self.received if one.answer == "200"]

    async def until(self, count: int) -> list[Received]:
        """Wait until so many were taken."""
        async with asyncio.timeout(120):
            while len(self.taken) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.taken

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open_ones.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer_one(reader, writer):
                    pass
        finally:
            self.open_ones.discard(task)
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        cased = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in head[1:] if line}
        body = await reader.readexactly(int(headers["content-length"]))
        answer = self.refused.get(cased.get("webhook-id", "")) or (
            self.answers.popleft() if self.answers else self.else_answer
        )
        self.received.append(Received(head[0].split()[1], cased, body, answer))
        self.changed.set()
        status, _, more = answer.partition(" ")
        if status == "never":
            await asyncio.sleep(3_600)
        if status == "close":
            return False
        if status == "garbage":
            writer.write(b"\x00\xff what is it\r\n\r\n")
        elif status == "endless":
            writer.write(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000)
        elif status == "200":
            writer.write(TAKEN)
        else:
            header = (
                f"Location: {more}\r\n"
                if status.startswith("3")
                else f"Retry-After: {more}\r\n"
                if more
                else ""
            )
            writer.write(f"HTTP/1.1 {status} No\r\n{header}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()
        return status not in {"garbage", "endless"}


async def eventually(is_so: Callable[[], bool]) -> None:
    """Return when it is so."""
    async with asyncio.timeout(120):
        while not is_so():  # noqa: ASYNC110 - of another process, or of many things
            await asyncio.sleep(0.02)


@asynccontextmanager
async def local_receiver() -> AsyncIterator[LocalReceiver]:
    """A receiver that listens."""
    receiver = LocalReceiver()
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(receiver.open_ones):
            task.cancel()
        await asyncio.gather(*receiver.open_ones, return_exceptions=True)
