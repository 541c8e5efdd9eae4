"""The pages about cases: the list, and all about one."""

from datetime import timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from aiohttp import web

from agents.board.case_drawing import drawing, moments
from agents.board.case_query import CaseQuery, Order, RefusedQueryError, State
from agents.board.case_rows import ACTIVE
from agents.board.index_reading import MOST_COUNTED
from agents.board.site import Refusal, Site
from schemas.outputs import Severity
from schemas.vocabulary import Closure

AGES: Final = (1, 3, 7, 14, 30)
VALUES: Final = (50, 100, 250, 500, 1_000)
SHOWN_CHOICES: Final = 8
SEVERITIES: Final = tuple(severity.value for severity in reversed(Severity))


class Choice(NamedTuple):
    """One value of a filter, and where it leads."""

    value: str
    cases: int
    link: str
    is_chosen: bool


def query_of(request: web.Request) -> CaseQuery:
    """What the address asks for. Raises Refusal."""
    try:
        return CaseQuery.of(request.query)
    except RefusedQueryError as error:
        raise Refusal(400, "why_400_address", what=str(error)) from error


class CasePages:
    """See the head of this file."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def list(self, request: web.Request) -> web.Response:
        """`GET /`."""
        query, now = query_of(request), await self._site.now()
        reader = self._site.reader
        page, facets, total, states = await self._site.ask(
            lambda: (
                reader.cases(query, now),
                reader.facets(query),
                reader.count(query, now),
                reader.states(),
            )
        )
        return await self._site.page(
            request,
            "cases.html",
            query=query,
            now=now,
            cases=page.cases,
            next_page=query.asked() | {"after": page.next_page} if page.next_page else None,
            total=total,
            is_more=not query.is_counted and total > MOST_COUNTED,
            most=MOST_COUNTED,
            states=states,
            severities=_severities(query, facets["severity"]),
            choices={name: facets[name] for name in ("rule", "carrier", "facility")},
            shortcuts={name: _choices(query, name, facets[name]) for name in ("rule", "carrier", "facility")},
            seen=dict(facets["seen"]),
            orders=list(Order),
            all_states=list(State),
            ages=AGES,
            values=VALUES,
            chosen=_chosen(query),
            active=ACTIVE,
        )

    async def show(self, request: web.Request) -> web.Response:
        """`GET /cases/{case_id}`."""
        site, reader = self._site, self._site.reader
        case_id = request.match_info["case_id"]
        case = await site.ask(reader.case, case_id)
        if case is None:
            raise Refusal(404, "why_404_case")
        history, answers, journey = await site.ask(
            lambda: (
                reader.history(case_id),
                reader.answers(case_id),
                reader.journey(case.return_id) if case.return_id else None,
            )
        )
        now, words = await site.now(), site.words(request)
        told = moments(case, history, journey, now, words)
        command_id = request.query.get("command", "")
        return await site.page(
            request,
            "case.html",
            case=case,
            now=now,
            history=history,
            told=told,
            drawing=drawing(case, told, now, words),
            journey=journey,
            answers=answers,
            answer=next((one for one in answers if one.command_id == command_id), None),
            is_waited_for=bool(command_id),
            verb=request.query.get("told", ""),
            is_active=case.state in ACTIVE,
            closures=[closure.value for closure in Closure],
            over=now - case.due_at,
            zero=timedelta(0),
        )


def _severities(query: CaseQuery, counted: list[tuple[str, int]]) -> list[tuple[Choice, float, float]]:
    """Each severity with where its part of the bar begins and how long it is, in percent."""
    counts = dict(counted)
    total = sum(counts.values()) or 1
    found, begins = [], 0.0
    for severity in SEVERITIES:
        count = counts.get(severity, 0)
        chosen = query.severity == severity
        link = "?" + _address(query, severity="" if chosen else severity)
        found.append((Choice(severity, count, link, chosen), round(begins, 2), round(100 * count / total, 2)))
        begins += 100 * count / total
    return found


def _choices(query: CaseQuery, name: str, counted: list[tuple[str, int]]) -> list[Choice]:
    """The most frequent values of a filter as links."""
    asked = getattr(query, name)
    return [
        Choice(value or "-", count, "?" + _address(query, **{name: value or "-"}), asked == (value or "-"))
        for value, count in counted[:SHOWN_CHOICES]
    ]


def _chosen(query: CaseQuery) -> list[tuple[str, str, str]]:
    """(filter, value, address without it) of every filter that is set."""
    asked = query.asked()
    return [
        (name, asked[name], "?" + _address(query, **{_FIELDS.get(name, name): _EMPTY.get(name, "")}))
        for name in ("severity", "rule", "carrier", "facility", "seen", "age", "value")
        if name in asked
    ]


_FIELDS: Final = {"age": "age_days"}
_EMPTY: Final[dict[str, int]] = {"age": 0, "value": 0}


def _address(query: CaseQuery, **changes: Any) -> str:
    return urlencode(query.asked(**changes))
