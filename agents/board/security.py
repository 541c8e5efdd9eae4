"""Who may tell something by the board, and what a browser is allowed to do with its pages.

Everybody who reaches the board may read. Who knows the token signs in under an id of their own; the cookie says who, until when,
and is signed with a key that follows from the token, so a restart signs nobody out and another token everybody. Every form has a
second word that only a page of the board can know.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final, NamedTuple

import structlog
from aiohttp import web

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE: Final = "returnwatch_board"
SIGNED_IN_FOR: Final = timedelta(hours=12)
MOST_COOKIE_CHARS: Final = 1_000
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer. There is no script on any page, and none would run."""


class Session(NamedTuple):
    """Somebody who signed in. `cookie` is what their browser sends."""

    by: str
    until_at: datetime
    cookie: str


class Keeper:
    """Knows the token, and so who has signed in."""

    def __init__(self, token: str) -> None:
        self._token = hashlib.sha256(token.encode()).digest()
        self._key = hmac.digest(token.encode(), b"returnwatch board session", "sha256")

    def knows(self, token: str) -> bool:
        """Whether it is the token; takes as long whatever is wrong with it."""
        return hmac.compare_digest(self._token, hashlib.sha256(token.encode("utf-8", "replace")).digest())

    def sign_in(self, by: str, now: datetime) -> Session:
        """Begin a session."""
        until_at = (now + SIGNED_IN_FOR).replace(microsecond=0)
        said = json.dumps([by, int(until_at.timestamp()), secrets.token_hex(8)]).encode()
        text = base64.urlsafe_b64encode(said).decode()
        return Session(by, until_at, f"{text}.{self._signature(b'session', text)}")

    def session(self, cookie: str | None, now: datetime) -> Session | None:
        """The session of a cookie; None: there is none, it is over, or it is not ours."""
        if not cookie or len(cookie) > MOST_COOKIE_CHARS:
            return None
        text, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(
            self._signature(b"session", text).encode(), signature.encode("utf-8", "replace")
        ):
            return None
        try:
            by, until, _ = json.loads(base64.urlsafe_b64decode(text))
        except (binascii.Error, ValueError):
            return None
        until_at = datetime.fromtimestamp(until, now.tzinfo)
        return Session(by, until_at, cookie) if now < until_at else None

    def form_word(self, session: Session) -> str:
        """What each form of this session carries."""
        return self._signature(b"form", session.cookie)

    def is_form_word(self, session: Session, word: str) -> bool:
        """Whether a form comes from a page of this session."""
        return hmac.compare_digest(self.form_word(session).encode(), word.encode("utf-8", "replace"))

    def _signature(self, kind: bytes, text: str) -> str:
        return hmac.new(self._key, kind + b":" + text.encode("utf-8", "replace"), "sha256").hexdigest()


def comes_from_elsewhere(request: web.Request) -> bool:
    """Whether a browser says that a form was sent by a page of somebody else. Old browsers say nothing.

    `Sec-Fetch-Site` is the browser's own comparison, and right behind a proxy that rewrites Host. Where it is not sent, the
    names are compared here.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.host


def own_names(listens_at: str) -> frozenset[str]:
    """Names by which a browser reaches what listens on this host; none: by any.

    What listens on the loopback address alone is reached by no other name, unless a page elsewhere has its own name
    resolved to it, so as to read the answers.
    """
    host = listens_at.strip("[]")
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    return frozenset({host, "localhost", "127.0.0.1", "::1"}) if is_loopback else frozenset()


def is_asked_by(names: frozenset[str], host: str) -> bool:
    """Whether the Host of a request is one of these names, with or without a port."""
    name = host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]
    return not names or name.lower() in names


def set_cookie(request: web.Request, response: web.StreamResponse, session: Session) -> None:
    """Give the browser its session."""
    secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
    response.set_cookie(
        COOKIE,
        session.cookie,
        max_age=int(SIGNED_IN_FOR.total_seconds()),
        httponly=True,
        samesite="Strict",
        secure=secure,
        path="/",
    )


@web.middleware
async def with_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put the headers on whatever is answered, errors too."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(HEADERS)
        raise
    except Exception as error:  # noqa: BLE001 - what says that something failed has failed
        log.error("board_failed", error=type(error).__name__)  # noqa: TRY400 - a traceback shows what was asked
        response = web.Response(
            status=500, text="500: something went wrong here; the log of the board names it\n"
        )
    response.headers.update(HEADERS)
    return response
