"""A return with all its parcels and cases, and the search that finds it."""

from aiohttp import web

from agents.board.case_query import MOST_FILTER_CHARS
from agents.board.case_rows import ACTIVE
from agents.board.site import Refusal, Site, path_of


class ReturnPages:
    """See the head of this file."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def show(self, request: web.Request) -> web.Response:
        """`GET /returns/{return_id}`."""
        return_id, reader = request.match_info["return_id"], self._site.reader
        journey, cases = await self._site.ask(
            lambda: (reader.journey(return_id), reader.cases_of_return(return_id))
        )
        if journey is None and not cases:
            raise Refusal(404, "why_404_return")
        return await self._site.page(
            request,
            "return.html",
            section="",
            return_id=return_id,
            journey=journey,
            cases=cases,
            now=await self._site.now(),
            active=ACTIVE,
        )

    async def search(self, request: web.Request) -> web.Response:
        """`GET /search?q=...`. What is found alone is shown at once."""
        text = request.query.get("q", "")[:MOST_FILTER_CHARS]
        found = await self._site.ask(self._site.reader.search, text)
        of_one = {case.return_id for case in found.cases} | set(found.returns)
        if len(found.returns) == 1 and len(of_one) == 1:
            raise web.HTTPSeeOther(path_of("returns", found.returns[0]))
        if len(found.cases) == 1 and not found.returns:
            raise web.HTTPSeeOther(path_of("cases", found.cases[0].case_id))
        return await self._site.page(
            request,
            "search.html",
            section="search",
            text=text,
            returns=found.returns,
            cases=found.cases,
            now=await self._site.now(),
            active=ACTIVE,
        )
