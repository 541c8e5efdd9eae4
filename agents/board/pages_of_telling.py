"""Signing in, and what is told about a case: the same commands as `returnwatch cases` writes, and their answers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from time import monotonic
from typing import Final

import structlog
from aiohttp import web
from aiokafka.errors import KafkaError
from aiolimiter import AsyncLimiter

from agents.board.security import COOKIE, Keeper, Session, comes_from_elsewhere, set_cookie
from agents.board.site import Refusal, Site, link_to, path_of
from agents.commanding import Told, Written, check, written_about
from agents.errors import SettingsError, UserError
from schemas.command_answers import CommandAnswer
from schemas.outputs import Case

log = structlog.get_logger(__name__)

Teller = Callable[[Written], Awaitable[CommandAnswer | None]]
"""Sends a command and waits for its answer; None: none came in time."""

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "acknowledge": (),
    "snooze": ("until",),
    "resolve": ("reason",),
    "reopen": (),
}
"""What a form can tell, and what it says besides."""
MOST_TRIES, TRIES_IN_S = 5, 60.0
"""Wrong tokens; of everybody together, for who is behind a proxy cannot be told."""
AT_ONCE: Final = 4
SHOWN_WITHIN_S: Final = 3.0
"""How long an answer may take from the topic to the index before the page is shown without it."""


class TellingPages:
    """See the head of this file. `teller`: None where nobody can tell anything."""

    def __init__(self, site: Site, teller: Teller | None) -> None:
        self._site = site
        self._teller = teller
        self._wrong = AsyncLimiter(MOST_TRIES, TRIES_IN_S)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def ask(self, request: web.Request) -> web.Response:
        """`GET /sign-in`."""
        self._keeper()
        back = request.query.get("next", "")
        return await self._site.page(request, "sign_in.html", section="", back=_own(back))

    async def sign_in(self, request: web.Request) -> web.Response:
        """`POST /sign-in`: the token, and the id under which the log is to have what is told."""
        keeper, form = self._keeper(), await self._form(request)
        if not self._wrong.has_capacity():
            raise Refusal(429, "why_429")
        if not keeper.knows(form.get("token", "")):
            await self._wrong.acquire()
            log.warning("board_wrong_token")
            raise Refusal(403, "why_403_token")
        by = form.get("by", "").strip()
        try:
            check(Told("acknowledge", by, {}, None, None, timedelta(0), as_json=False))
        except SettingsError as error:
            raise Refusal(400, "why_400_id") from error
        response = web.HTTPSeeOther(_own(form.get("next", "")))
        set_cookie(request, response, keeper.sign_in(by, self._site.clock()))
        log.info("board_signed_in", by=by)
        raise response

    async def sign_out(self, request: web.Request) -> web.Response:
        """`POST /sign-out`."""
        await self._session(request)
        response = web.HTTPSeeOther("/")
        response.del_cookie(COOKIE, path="/")
        raise response

    async def tell(self, request: web.Request) -> web.Response:
        """`POST /cases/{case_id}/{verb}`: tell it, wait for the answer, and show the case with it."""
        session, form = await self._session(request)
        verb, case_id = request.match_info["verb"], request.match_info["case_id"]
        if verb not in FIELDS or self._teller is None:
            raise Refusal(404, "why_404")
        case = await self._site.ask(self._site.reader.case, case_id)
        if case is None:
            raise Refusal(404, "why_404_case")
        written = self._written(case, verb, session, form)
        answer = await self._told(written)
        log.info(
            "board_told", command=verb, case_id=case_id, by=session.by,
            answer=answer.reason.value if answer is not None else "none",
        )  # fmt: skip
        if answer is not None:
            await self._shown(answer)
        raise web.HTTPSeeOther(link_to(path_of("cases", case_id), told=verb, command=written.command_id))

    def _written(self, case: Case, verb: str, session: Session, form: Mapping[str, str]) -> Written:
        said = {name: form.get(name, "") for name in FIELDS[verb]}
        told = Told(verb, session.by, said, None, form.get("command_id") or None, timedelta(0), as_json=False)
        try:
            return written_about(case, told, self._site.clock())
        except SettingsError as error:
            what = "; ".join(str(finding) for finding in error.findings)
            raise Refusal(400, "why_400_command", what=what) from error

    async def _told(self, written: Written) -> CommandAnswer | None:
        assert self._teller is not None
        try:
            async with self._turns:
                return await self._teller(written)
        except (KafkaError, UserError, OSError) as error:
            log.warning("board_not_told", error=type(error).__name__)
            raise Refusal(503, "why_503") from error

    async def _shown(self, answer: CommandAnswer) -> None:
        """Return when the index has the answer and what came of it, or when that takes too long."""
        reader, until = self._site.reader, monotonic() + SHOWN_WITHIN_S
        while monotonic() < until:
            case = await self._site.ask(reader.case, answer.case_id)
            answers = await self._site.ask(reader.answers, answer.case_id)
            known = answer.command_id in {one.command_id for one in answers}
            if known and (case is None or case.revision >= answer.revision):
                return
            await asyncio.sleep(0.05)

    def _keeper(self) -> Keeper:
        if self._site.keeper is None:
            raise Refusal(403, "why_403_read_only")
        return self._site.keeper

    async def _session(self, request: web.Request) -> tuple[Session, Mapping[str, str]]:
        """Who sends a form, and the form. Raises Refusal unless it comes from a page of their own session."""
        keeper, form = self._keeper(), await self._form(request)
        session = self._site.session(request)
        if session is None or not keeper.is_form_word(session, form.get("word", "")):
            log.warning("board_form_refused", signed_in=session is not None)
            raise Refusal(403, "why_403_form")
        return session, form

    async def _form(self, request: web.Request) -> Mapping[str, str]:
        if comes_from_elsewhere(request):
            raise Refusal(403, "why_403_form")
        return {name: text for name, text in (await request.post()).items() if isinstance(text, str)}


def _own(address: str) -> str:
    """Where to go on: an address of ours, or the first page."""
    is_own = address.startswith("/") and not address.startswith("//") and address.isprintable()
    return address if is_own and "\\" not in address else "/"
