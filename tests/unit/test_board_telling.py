"""What can be told by the board, by whom, and what a forged form or token gets."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiokafka.errors import KafkaConnectionError
from prometheus_client import CollectorRegistry

from agents.board.app import MOST_BODY_BYTES, board_app
from agents.board.index_reading import IndexReader
from agents.board.index_writing import IndexWriter
from agents.board.pages_of_telling import MOST_TRIES
from agents.board.security import COOKIE, SIGNED_IN_FOR, Keeper
from agents.board.site import Site
from agents.commanding import Written
from agents.health import Liveness, Readiness
from schemas.command_answers import CommandAnswer, encode_command_answer
from schemas.outputs import Escalation, Severity, encode_case, encode_escalation
from schemas.vocabulary import AnswerReason, CaseState, CommandType, Reason, RuleId
from tests.board_shop import ENDED_AT, NAMES, Record, numbered, take_in

TOKEN = "a token of more than sixteen characters"  # noqa: S105 - of this test
CASE = Escalation(
    case_id="0f8fad5b-d9cb-469f-a165-70867728950e",
    revision=1,
    rule=RuleId.STALLED_SILENT,
    state=CaseState.OPEN,
    reason=Reason.DUE,
    level=1,
    severity=Severity.ERROR,
    action="ask the carrier",
    return_id="R1",
    parcel="ups:1Z1",
    carrier="ups",
    tracking_number="1Z1",
    since_at=ENDED_AT - timedelta(days=9),
    due_at=ENDED_AT - timedelta(days=2),
    effective_at=ENDED_AT - timedelta(days=2),
)
HERE = f"/cases/{CASE.case_id}"
WHEN = datetime(2026, 11, 20, 9, 41, tzinfo=UTC)


class Following:
    silent_since: datetime | None = None
    read_share: float | None = None


class Worker:
    """Takes commands, and answers by the index's topics as a worker would."""

    def __init__(self, writer: IndexWriter) -> None:
        self.writer = writer
        self.heard: list[dict[str, Any]] = []
        self.answers = True
        self.fails: Exception | None = None
        self.reason = AnswerReason.DONE

    async def __call__(self, written: Written) -> CommandAnswer | None:
        if self.fails is not None:
            raise self.fails
        assert written.key == b"R1"
        self.heard.append(json.loads(written.value))
        if not self.answers:
            return None
        answer = CommandAnswer(
            answer_id="a",
            command_id=written.command_id,
            audit_id=written.command_id,
            command=CommandType(self.heard[-1]["type"]),
            accepted=self.reason.accepted,
            reason=self.reason,
            explanation="",
            case_id=CASE.case_id,
            return_id="R1",
            by=self.heard[-1]["by"],
            at=WHEN,
            effective_at=WHEN,
        )
        take_in(self.writer, [Record(NAMES.command_answers, b"R1", encode_command_answer(answer))])
        return answer


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    writer = IndexWriter(tmp_path / "index.sqlite", NAMES)
    case_key = CASE.case_id.encode()
    records = [
        Record(NAMES.escalations, b"R1", encode_escalation(CASE)),
        Record(NAMES.cases, case_key, encode_case(CASE)),
    ]
    take_in(writer, numbered(records))
    yield Worker(writer)
    writer.close()


@asynccontextmanager
async def browsing(tmp_path: Path, worker: Worker, token: str = TOKEN) -> AsyncIterator[TestClient[Any, Any]]:
    keeper = Keeper(token) if token else None
    site = Site(IndexReader(tmp_path / "index.sqlite"), Following(), keeper, clock=lambda: ENDED_AT)
    app = board_app(site, CollectorRegistry(), Liveness(lambda: 0.0), Readiness(), worker if token else None)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def browser(tmp_path: Path, worker: Worker) -> AsyncIterator[TestClient[Any, Any]]:
    async with browsing(tmp_path, worker) as client:
        yield client


async def sign_in(client: TestClient[Any, Any], by: str = "ops-7", token: str = TOKEN) -> SimpleCookie:
    answer = await client.post(
        "/sign-in", data={"by": by, "token": token, "next": HERE}, allow_redirects=False
    )
    assert (answer.status, answer.headers["Location"]) == (303, HERE)
    return answer.cookies


async def form(client: TestClient[Any, Any], verb: str) -> dict[str, str]:
    """The hidden fields of a form, as the page gives them."""
    text = await (await client.get(HERE)).text()
    found = re.search(rf'<form action="{HERE}/{verb}".*?</form>', text, re.DOTALL)
    assert found, text
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', found[0]))


async def told(client: TestClient[Any, Any], verb: str, **said: str) -> tuple[int, str]:
    answer = await client.post(f"{HERE}/{verb}", data=await form(client, verb) | said)
    return answer.status, " ".join(re.sub(r"<[^>]+>", " ", await answer.text()).split())


# -- what can be told ------------------------------------------------------------------------------------------------------


async def test_a_case_is_acknowledged_by_who_signed_in(browser: TestClient[Any, Any], worker: Worker) -> None:
    await sign_in(browser)
    status, text = await told(browser, "acknowledge")
    assert (status, "Acknowledge: Done." in text) == (200, True)
    (command,) = worker.heard
    assert (command["type"], command["by"], command["case_id"], command["return_id"]) == (
        *("acknowledge", "ops-7", CASE.case_id, "R1"),
    )
    assert "Signed in as ops-7" in text


async def test_a_case_is_put_off_and_closed_with_a_reason(
    browser: TestClient[Any, Any], worker: Worker
) -> None:
    await sign_in(browser)
    await told(browser, "snooze", until="3d")
    await told(browser, "resolve", reason="written_off")
    put_off, closed = worker.heard
    assert (put_off["type"], put_off["duration"]) == ("snooze", "3d")
    assert (closed["type"], closed["reason"]) == ("resolve", "written_off")


async def test_what_the_log_would_not_take_is_refused_before_it_is_told(
    browser: TestClient[Any, Any], worker: Worker
) -> None:
    await sign_in(browser)
    assert (await told(browser, "resolve", reason="because"))[0] == 400
    assert (await told(browser, "snooze", until="for ever"))[0] == 400
    assert (await told(browser, "acknowledge", command_id="me@example.com"))[0] == 400
    assert worker.heard == []


async def test_a_refusal_is_shown_in_the_readers_language(
    browser: TestClient[Any, Any], worker: Worker
) -> None:
    await sign_in(browser)
    await browser.get("/?lang=fr")
    worker.reason = AnswerReason.BREACH_OVER
    _, text = await told(browser, "acknowledge")
    assert "Prendre en charge : Refusé : ce qui manquait est arrivé." in text


async def test_a_command_that_nobody_answers_is_said_to_be_so(
    browser: TestClient[Any, Any], worker: Worker
) -> None:
    await sign_in(browser)
    worker.answers = False
    _, text = await told(browser, "acknowledge")
    assert "Acknowledge was sent, and no worker has answered yet" in text


async def test_without_kafka_nothing_was_told_and_the_page_says_so(
    browser: TestClient[Any, Any], worker: Worker
) -> None:
    await sign_in(browser)
    worker.fails = KafkaConnectionError()
    status, text = await told(browser, "acknowledge")
    assert (status, "The command was not told" in text) == (503, True)


async def test_a_form_that_is_sent_twice_is_one_command(
    browser: TestClient[Any, Any], worker: Worker
) -> None:
    await sign_in(browser)
    fields = await form(browser, "acknowledge")
    for _ in range(2):
        await browser.post(f"{HERE}/acknowledge", data=fields)
    first, second = worker.heard
    assert first["id"] == second["id"]


# -- who may not ------------------------------------------------------------------------------------------------------------


async def test_without_a_token_the_board_is_read_only(tmp_path: Path, worker: Worker) -> None:
    async with browsing(tmp_path, worker, token="") as client:
        text = await (await client.get(HERE)).text()
        assert '<form action="/cases' not in text
        assert "This board is read-only" in text
        for address in ("/sign-in", f"{HERE}/acknowledge", "/sign-out"):
            assert (await client.post(address, data={"token": "", "by": "x"})).status == 403
    assert worker.heard == []


@pytest.mark.parametrize("token", ["", "a token", TOKEN + " ", TOKEN[:-1], "\udcff", "é" * 40])
async def test_a_forged_token_signs_nobody_in(browser: TestClient[Any, Any], token: str) -> None:
    data = {"by": "ops-7", "token": token.encode("utf-8", "surrogateescape").decode("latin-1")}
    answer = await browser.post("/sign-in", data=data, allow_redirects=False)
    assert answer.status == 403
    assert COOKIE not in answer.cookies


async def test_after_some_wrong_tokens_not_even_the_right_one_is_looked_at(
    browser: TestClient[Any, Any],
) -> None:
    for _ in range(MOST_TRIES):
        assert (await browser.post("/sign-in", data={"by": "a", "token": "wrong"})).status == 403
    assert (await browser.post("/sign-in", data={"by": "a", "token": TOKEN})).status == 429


@pytest.mark.parametrize("by", ["", "me@example.com", "A Full Name", "x" * 1_000, "<b>"])
async def test_who_signs_in_gives_an_id_that_the_log_may_keep(browser: TestClient[Any, Any], by: str) -> None:
    answer = await browser.post("/sign-in", data={"by": by, "token": TOKEN}, allow_redirects=False)
    assert (answer.status, COOKIE in answer.cookies) == (400, False)


async def test_the_cookie_is_for_this_site_and_no_script(browser: TestClient[Any, Any]) -> None:
    cookie = (await sign_in(browser))[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (
        True,
        "Strict",
        "/",
        "",
    )
    behind_tls = await browser.post(
        "/sign-in",
        data={"by": "a", "token": TOKEN},
        headers={"X-Forwarded-Proto": "https"},
        allow_redirects=False,
    )
    assert behind_tls.cookies[COOKIE]["secure"] is True


@pytest.mark.parametrize(
    "change",
    [
        *[{"word": ""}, {"word": "0" * 64}, {"word": "é"}],
    ],
)
async def test_a_form_without_the_word_of_its_session_is_refused(
    browser: TestClient[Any, Any], worker: Worker, change: dict[str, str]
) -> None:
    await sign_in(browser)
    for verb in ("acknowledge", "snooze", "resolve"):
        fields = await form(browser, verb) | {"until": "1d", "reason": "found"} | change
        assert (await browser.post(f"{HERE}/{verb}", data=fields)).status == 403
    assert (await browser.post("/sign-out", data=change)).status == 403
    assert worker.heard == []


async def test_the_word_of_one_session_is_not_that_of_another(
    browser: TestClient[Any, Any], worker: Worker
) -> None:
    await sign_in(browser, by="ops-1")
    of_another = await form(browser, "acknowledge")
    await sign_in(browser, by="ops-2")
    assert (await browser.post(f"{HERE}/acknowledge", data=of_another)).status == 403
    assert worker.heard == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
async def test_a_form_of_another_site_is_refused_whatever_it_knows(
    browser: TestClient[Any, Any], worker: Worker, headers: dict[str, str]
) -> None:
    await sign_in(browser)
    fields = await form(browser, "acknowledge")
    assert (await browser.post(f"{HERE}/acknowledge", data=fields, headers=headers)).status == 403
    assert worker.heard == []


def test_a_cookie_that_was_altered_or_is_over_is_nobodys() -> None:
    keeper = Keeper(TOKEN)
    session = keeper.sign_in("ops-7", ENDED_AT)
    assert keeper.session(session.cookie, ENDED_AT) == session
    assert Keeper(TOKEN).session(session.cookie, ENDED_AT) == session, "after a restart, too"
    assert keeper.session(session.cookie, ENDED_AT + SIGNED_IN_FOR) is None
    assert Keeper(TOKEN + "x").session(session.cookie, ENDED_AT) is None
    said, _, signature = session.cookie.rpartition(".")
    other = keeper.sign_in("ops-8", ENDED_AT).cookie.rpartition(".")[0]
    for cookie in (
        None,
        "",
        ".",
        said,
        f"{other}.{signature}",
        f"{said}.{'0' * 64}",
        f"é.{signature}",
        "x" * 5_000,
    ):
        assert keeper.session(cookie, ENDED_AT) is None


async def test_signed_out_is_signed_out(browser: TestClient[Any, Any]) -> None:
    await sign_in(browser)
    word = (await form(browser, "acknowledge"))["word"]
    await browser.post("/sign-out", data={"word": word})
    assert "Sign in to acknowledge" in await (await browser.get(HERE)).text()


async def test_a_body_that_no_form_has_is_refused_unread(browser: TestClient[Any, Any]) -> None:
    answer = await browser.post("/sign-in", data={"by": "a", "token": "x" * MOST_BODY_BYTES})
    assert (answer.status, "Too much at once" in await answer.text()) == (413, True)


@pytest.mark.parametrize(
    "back", ["https://elsewhere.example", "//elsewhere.example", "/\\elsewhere", "x", "/a\nb"]
)
async def test_who_signed_in_is_led_nowhere_else(browser: TestClient[Any, Any], back: str) -> None:
    data = {"by": "ops-7", "token": TOKEN, "next": back}
    answer = await browser.post("/sign-in", data=data, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/")


async def test_what_there_is_no_form_for_is_not_told(browser: TestClient[Any, Any], worker: Worker) -> None:
    await sign_in(browser)
    fields = await form(browser, "acknowledge")
    for address in (f"{HERE}/forget", f"{HERE}/assign", "/cases/none/acknowledge"):
        assert (await browser.post(address, data=fields)).status == 404
    assert (await browser.get(f"{HERE}/acknowledge")).status == 405
    assert worker.heard == []


async def test_behind_a_proxy_that_rewrites_the_host_the_browsers_word_is_taken(
    browser: TestClient[Any, Any], worker: Worker
) -> None:
    proxied = {"Origin": "https://board.example", "Sec-Fetch-Site": "same-origin"}
    data = {"by": "ops-7", "token": TOKEN, "next": HERE}
    answer = await browser.post("/sign-in", data=data, headers=proxied, allow_redirects=False)
    assert answer.status == 303
    fields = await form(browser, "acknowledge")
    assert (await browser.post(f"{HERE}/acknowledge", data=fields, headers=proxied)).status == 200
    assert len(worker.heard) == 1
