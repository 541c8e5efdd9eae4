"""The board as a web application: its addresses, and what stands before each."""

from time import perf_counter
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram

from agents.board.api import Api
from agents.board.pages_of_cases import CasePages
from agents.board.pages_of_numbers import NumberPages
from agents.board.pages_of_returns import ReturnPages
from agents.board.pages_of_telling import Teller, TellingPages
from agents.board.security import Handler, is_asked_by, with_headers
from agents.board.site import HERE, Refusal, Site, page_of
from agents.health import Liveness, Readiness, health_routes

MOST_BODY_BYTES: Final = 16 * 1024
STATIC: Final = {"board.css": "text/css", "icon.svg": "image/svg+xml"}


class RequestMetrics:
    """How the board is asked. Labels are its own routes, and statuses."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "returnwatch_board_requests",
            "Requests by page and status.",
            ["page", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "returnwatch_board_request_seconds", "How long an answer took.", ["page"], registry=registry
        )


def board_app(
    site: Site,
    registry: CollectorRegistry,
    liveness: Liveness,
    readiness: Readiness,
    teller: Teller | None = None,
    names: frozenset[str] = frozenset(),
) -> web.Application:
    """Build the application; `/live`, `/ready` and `/metrics` are as those of a worker. Without a teller nobody can tell.

    `names`: the hosts that it may be asked by; none: any.
    """
    app = web.Application(
        middlewares=[with_headers, _counting(RequestMetrics(registry)), site.middleware(), _named(names)],
        client_max_size=MOST_BODY_BYTES,
    )
    cases, returns, numbers, api = CasePages(site), ReturnPages(site), NumberPages(site), Api(site)
    telling = TellingPages(site, teller)
    app.add_routes(health_routes(registry, liveness, readiness))
    app.add_routes(
        [
            web.get("/", cases.list),
            web.get("/cases/{case_id}", cases.show),
            web.post("/cases/{case_id}/{verb}", telling.tell),
            web.get("/returns/{return_id}", returns.show),
            web.get("/search", returns.search),
            web.get("/feeds", numbers.feeds),
            web.get("/kpis", numbers.kpis),
            web.get("/dead-letters", numbers.letters),
            web.get("/sign-in", telling.ask),
            web.post("/sign-in", telling.sign_in),
            web.post("/sign-out", telling.sign_out),
            web.get("/api/cases", api.cases),
            web.get("/api/cases/{case_id}", api.case),
            web.get("/api/returns/{return_id}", api.one_return),
            web.get("/api/feeds", api.feeds),
            web.get("/api/kpis", api.kpis),
            web.get("/static/{name}", _static),
        ]
    )
    return app


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in STATIC:
        raise web.HTTPNotFound
    response = web.Response(
        body=(HERE / "static" / name).read_bytes(), content_type=STATIC[name], charset="utf-8"
    )
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


def _named(names: frozenset[str]) -> Any:
    @web.middleware
    async def named(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_asked_by(names, request.host):
            raise Refusal(421, "why_421")
        return await handler(request)

    return named


def _counting(metrics: RequestMetrics) -> Any:
    @web.middleware
    async def counting(request: web.Request, handler: Handler) -> web.StreamResponse:
        began, page = perf_counter(), page_of(request)
        status = 500
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as answer:  # a redirect is one
            status = answer.status
            raise
        finally:
            metrics.requests.labels(page, str(status)).inc()
            metrics.seconds.labels(page).observe(perf_counter() - began)
        return response

    return counting
