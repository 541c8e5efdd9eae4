"""The board's JSON API: what the index holds, in the shapes of our output topics. Reading alone."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from agents.board.pages_of_cases import query_of
from agents.board.pages_of_numbers import dimension_of, feeds_as_json, kpis_of, range_of
from agents.board.site import Refusal, Site
from agents.kpis_command import as_json


class Api:
    """See the head of this file."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def cases(self, request: web.Request) -> web.Response:
        """`GET /api/cases`: a page of cases. `next` is what to give as `after` for the following one; null: there is none."""
        query, now = query_of(request), await self._site.now()
        page = await self._site.ask(self._site.reader.cases, query, now)
        return _json({"cases": page.cases, "next": page.next_page or None})

    async def case(self, request: web.Request) -> web.Response:
        """`GET /api/cases/{case_id}`: a case and its changes."""
        case_id = request.match_info["case_id"]
        case = await self._site.ask(self._site.reader.case, case_id)
        if case is None:
            raise Refusal(404, "why_404_case")
        history = await self._site.ask(self._site.reader.history, case_id)
        return _json({"case": case, "changes": [change._asdict() for change in history]})

    async def one_return(self, request: web.Request) -> web.Response:
        """`GET /api/returns/{return_id}`: where it is, and its cases."""
        return_id = request.match_info["return_id"]
        journey = await self._site.ask(self._site.reader.journey, return_id)
        cases = await self._site.ask(self._site.reader.cases_of_return, return_id)
        if journey is None and not cases:
            raise Refusal(404, "why_404_return")
        return _json({"return_id": return_id, "journey": journey, "cases": cases})

    async def feeds(self, _request: web.Request) -> web.Response:
        """`GET /api/feeds`: how much came of each feed in each hour, and its open case."""
        return _json({"feeds": await self._site.ask(feeds_as_json, self._site.reader)})

    async def kpis(self, request: web.Request) -> web.Response:
        """`GET /api/kpis?days=30&by=carrier`: what `returnwatch kpis --json` tells."""
        days, dimension = range_of(request), dimension_of(request)
        found = await self._site.ask(kpis_of, self._site.reader, days, dimension)
        if found is None:
            return _json({"dimension": dimension.value, "values": []})
        since, until, sums = found
        values = [{"value": value, **as_json(total)} for value, total in sorted(sums.items())]
        return _json({"dimension": dimension.value, "since": since, "until": until, "values": values})


def _json(value: Mapping[str, Any]) -> web.Response:
    body = msgspec.json.encode(value, enc_hook=_plain)
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise NotImplementedError(f"{type(value).__name__} has no form in JSON")
