"""What all pages share: the index, the templates, who is reading, and what is said when something goes wrong."""

import asyncio
import hashlib
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote, urlencode

import structlog
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from agents.board.index_reading import IndexReader, TakesTooLongError
from agents.board.security import COOKIE, Handler, Keeper, Session
from agents.board.words import Words, preferred
from agents.settings import SimulatedTime
from streams.epoch import epoch_ms, moment_of

log = structlog.get_logger(__name__)
T = TypeVar("T")

HERE: Final = Path(__file__).parent
READERS: Final = 4
LANGUAGE_COOKIE: Final = "returnwatch_language"
A_YEAR_S: Final = 31_536_000


class Status(Protocol):
    """How new the index is (agents/board/following.py)."""

    silent_since: datetime | None
    read_share: float | None


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """Answered as a page, or as JSON under `/api/`. `why`: a key of the pages' words."""

    def __init__(self, status: int, why: str, **parameters: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.parameters = parameters


class Site:
    """Serves pages from an index. `keeper`: None where nobody can tell anything."""

    def __init__(
        self,
        reader: IndexReader,
        status: Status,
        keeper: Keeper | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        simulated: SimulatedTime | None = None,
    ) -> None:
        self._simulated = simulated
        self.reader = reader
        self.keeper = keeper
        self.clock = clock
        self._status = status
        self._pool = ThreadPoolExecutor(READERS, "board-reader")
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {
            "asset": asset,
            "link": link_to,
            "path": path_of,
            "language_link": language_link,
            "new_command_id": new_command_id,
        }

    async def ask(self, what: Callable[..., T], *arguments: Any) -> T:
        """Read from the index, in a thread: a slow answer holds up nobody else's."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, what, *arguments)

    async def now(self) -> datetime:
        """The time that ages are told by: the log's clock, or that of the newest change, if that is later."""
        clock = self.clock()
        if self._simulated is not None:
            clock = moment_of(self._simulated.simulated_ms(epoch_ms(clock)))
        newest_at = await self.ask(self.reader.newest_at)
        return max(clock, newest_at) if newest_at is not None else clock

    def session(self, request: web.Request) -> Session | None:
        """Who has signed in, if anybody."""
        if self.keeper is None:
            return None
        return self.keeper.session(request.cookies.get(COOKIE), self.clock())

    def words(self, request: web.Request) -> Words:
        """Of the reader's language."""
        asked = request.query.get("lang", "") or request.cookies.get(LANGUAGE_COOKIE, "")
        return Words(preferred(asked, request.headers.get("Accept-Language", "")))

    async def page(
        self, request: web.Request, template: str, *, status: int = 200, **told: Any
    ) -> web.Response:
        """A page in the reader's language."""
        words, session = self.words(request), self.session(request)
        newest_at = await self.ask(self.reader.newest_at)
        text = self._templates.get_template(template).render(
            words=words,
            session=session,
            form_word=self.keeper.form_word(session) if self.keeper and session else "",
            can_tell=self.keeper is not None,
            request=request,
            index=self._status,
            newest_at=newest_at,
            **told,
        )
        response = web.Response(text=text, status=status, content_type="text/html", charset="utf-8")
        response.headers["Cache-Control"] = "no-store"
        response.headers["Content-Language"] = words.language.value
        response.headers["Vary"] = "Accept-Language, Cookie"
        if request.query.get("lang"):
            response.set_cookie(
                LANGUAGE_COOKIE, words.language.value, max_age=A_YEAR_S, httponly=True, samesite="Lax"
            )
        return response

    async def refused(self, request: web.Request, refusal: Refusal) -> web.Response:
        """Say what is wrong, as a page or as JSON."""
        words = self.words(request)
        why = words(refusal.why, **refusal.parameters)
        title = words(f"problem_{refusal.status}")
        if request.path.startswith("/api/"):
            return web.json_response({"error": title, "why": why}, status=refusal.status)
        return await self.page(
            request, "problem.html", status=refusal.status, section="", title=title, why=why
        )

    def middleware(self) -> Any:
        """Turns refusals, aiohttp's own and whatever else fails into an answer; nothing of a request is logged."""

        @web.middleware
        async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refusal as refusal:
                return await self.refused(request, refusal)
            except TakesTooLongError:
                return await self.refused(request, Refusal(503, "why_503_slow"))
            except web.HTTPException as error:
                if error.status not in {404, 405, 413}:
                    raise
                why = "why_404" if error.status != 413 else "problem_413"
                return await self.refused(request, Refusal(error.status, why))
            except Exception as error:  # noqa: BLE001 - whatever it is
                log.error("board_failed", error=type(error).__name__, page=page_of(request))  # noqa: TRY400 - a traceback shows what was asked
                return await self.refused(request, Refusal(500, "why_500"))

        return answering


def page_of(request: web.Request) -> str:
    """Which page a request is for: one of the routes, never what somebody typed."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def asset(name: str) -> str:
    """Address of a file of ours; it changes with the content."""
    return f"/static/{name}?v={_digest(name)}"


_digests: dict[str, str] = {}


def _digest(name: str) -> str:
    if name not in _digests:
        _digests[name] = hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:12]
    return _digests[name]


def new_command_id() -> str:
    """In a form from the start: sent twice, it is one command."""
    return f"board-{uuid.uuid4()}"


def path_of(*parts: str) -> str:
    """An address of ours; what is put into it stays one part, whatever is in it."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def link_to(path: str, **parameters: object) -> str:
    given = {name: str(value) for name, value in parameters.items() if value not in {"", None}}
    return f"{path}?{urlencode(given)}" if given else path


@pass_context
def language_link(context: Context) -> str:
    """This page in the other language."""
    request: web.Request = context["request"]
    words: Words = context["words"]
    query = [(name, value) for name, value in request.query.items() if name != "lang"]
    # A page that a form was sent to has no address of its own.
    path = request.raw_path.partition("?")[0] if request.method == "GET" else ""
    # Two slashes at its start would be the name of another host.
    return f"/{path.lstrip('/' + chr(92))}?{urlencode([*query, ('lang', words.language.other.value)])}"
