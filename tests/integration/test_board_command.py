"""`returnwatch board` beside a worker on a real broker: what is said is on its pages, what is told there is decided."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest

from agents.embedded_kafka import EmbeddedKafka
from agents.settings import Settings
from tests.chaos.installation import ONE_OF_EACH, case_state, create_inputs, installation
from tests.chaos.plan import Plan
from tests.chaos.processes import PATIENCE_S, until, workers
from tests.chaos.traffic import label, send_events
from tests.command_line import returnwatch

pytestmark = pytest.mark.kafka

OPEN = ("open", "escalated")
INPUTS = {**ONE_OF_EACH, "commands": ("commands",)}
TOKEN = "a token of more than sixteen characters"  # noqa: S105 - of this test


class BoardProcess:
    """A board of its own process; started again it has the same index."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        directory.mkdir()
        self.settings = settings.model_copy(
            update={"data_dir": directory, "board_listen": "127.0.0.1:0", "log_format": "json"}
        )
        (directory / "token").write_text(TOKEN + "\n")
        self.directory = directory
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, *more: str) -> None:
        log = self.directory / "board.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it is started at once
                [
                    sys.executable,
                    "-m",
                    "agents",
                    "board",
                    "--token-file",
                    str(self.directory / "token"),
                    *more,
                ],
                env={**os.environ, **self.settings.environment()},
                stdout=output,
                stderr=output,
            )
        process = self._process

        def serves() -> bool:
            assert process.poll() is None, log.read_text()
            found = re.search(r"the board is at (\S+)", log.read_text())
            self.url = found[1] if found else ""
            return bool(found)

        await until(serves, "the board does not serve")

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(PATIENCE_S)

    def log(self) -> str:
        return (self.directory / "board.log").read_text()


@asynccontextmanager
async def browsing(board: BoardProcess) -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)  # the address is a number
    async with aiohttp.ClientSession(board.url, cookie_jar=jar) as client:
        yield client


async def shown(client: aiohttp.ClientSession, address: str) -> dict[str, Any]:
    async with client.get(address) as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def seen(look: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Wait until the board shows what is wanted."""
    until_s = monotonic() + PATIENCE_S
    while (found := await look()) != wanted:
        assert monotonic() < until_s, f"wanted {wanted}, and it shows {found}"
        await asyncio.sleep(0.1)


async def whole(client: aiohttp.ClientSession) -> None:
    await seen(lambda: shown(client, "/ready"), {"ok": True, "waiting_for": {}})


async def ids_of(client: aiohttp.ClientSession) -> dict[str, str]:
    """Return -> case id, of the open cases."""
    return {case["return_id"]: case["case_id"] for case in (await shown(client, "/api/cases"))["cases"]}


async def until_returns(client: aiohttp.ClientSession, *wanted: str) -> dict[str, str]:
    async def names() -> object:
        return sorted(await ids_of(client))

    await seen(names, list(wanted))
    return await ids_of(client)


async def test_a_case_is_seen_and_acknowledged_and_a_killed_board_goes_on(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, INPUTS)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(1), label(2))
        for number in (1, 2):
            await case_state(settings, number, OPEN)
        board = BoardProcess(settings, tmp_path / "board")
        try:
            await board.start()
            async with browsing(board) as client:
                await whole(client)
                ids = await until_returns(client, "R1", "R2")
                page = await (await client.get("/")).text()
                assert f'href="/cases/{ids["R1"]}"' in page
                await client.post("/sign-in", data={"by": "ops-7", "token": TOKEN})
                page = await (await client.get(f"/cases/{ids['R1']}")).text()
                fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
                answer = await client.post(f"/cases/{ids['R1']}/acknowledge", data=fields)
                page = await answer.text()
                assert answer.status == 200
                assert "Acknowledge: Done." in page
                assert "acknowledged by ops-7" in page
                assert worker.metric("returnwatch_commands_total", command="acknowledge", answer="done") == 1
            board.kill()
            await send_events(settings, settings.labels_topics[0], label(3))
            await case_state(settings, 3, OPEN)
            await board.start()
            async with browsing(board) as client:
                await whole(client)
                await until_returns(client, "R1", "R2", "R3")
                told = await shown(client, f"/api/cases/{ids['R1']}")
                assert told["case"]["acknowledged_by"] == "ops-7"
                assert "board_index_read_anew" not in board.log()
                own = ["-b", settings.bootstrap_servers[0], "--topic-prefix", settings.topic_prefix]
                own += [
                    "--app-id",
                    settings.app_id,
                    "--commands-topic",
                    settings.commands_topics[0],
                    "--by",
                    "dpo-1",
                    "--yes",
                ]
                forgot = await asyncio.to_thread(returnwatch, "forget", "R3", "--reason", "other", *own)
                assert forgot.code == 0, forgot.err
                await until_returns(client, "R1", "R2")
                assert (await client.get("/api/returns/R3")).status == 404
            assert board.stop() == 0
            await board.start("--rebuild")
            async with browsing(board) as client:
                await whole(client)
                assert await until_returns(client, "R1", "R2") == {key: ids[key] for key in ("R1", "R2")}
            assert '"why": "asked"' in board.log()
            assert TOKEN not in board.log()
        finally:
            board.kill()


async def test_a_board_says_what_is_missing(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    own = ["-b", kafka.bootstrap_servers, "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data")]
    command = [sys.executable, "-m", "agents", "board", "--topic-prefix", "none-", *own]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert (ended.returncode, "topic none-cases: is missing" in ended.stderr) == (1, True)
    weak = tmp_path / "token"
    weak.write_text("short")
    answer = await asyncio.to_thread(returnwatch, "board", "--token-file", str(weak), *own)
    assert answer.code == 1
    assert "holds a token of 5 characters" in answer.err
    assert "openssl rand" in answer.err
