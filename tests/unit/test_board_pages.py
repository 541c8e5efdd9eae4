"""The board's pages and its API, as a browser gets them from an index of a simulated shop."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from agents.board.app import board_app
from agents.board.case_query import CaseQuery, State
from agents.board.index_reading import CasePage, IndexReader, TakesTooLongError
from agents.board.security import HEADERS, Keeper, own_names
from agents.board.site import Site
from agents.health import Liveness, Readiness
from agents.settings import SimulatedTime
from schemas.outputs import Case, decode_case
from schemas.vocabulary import CaseState, RuleId
from tests.board_shop import ENDED_AT, NAMES, index_of, shop_records

TOKEN = "a token of more than sixteen characters"  # noqa: S105 - of this test
HOSTILE = "\"><script>alert(1)</script>&'{{7*7}}</title><img src=x onerror=alert(1)>"


class Following:
    """What the follower tells of itself."""

    silent_since: datetime | None = None
    read_share: float | None = None


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("board") / "index.sqlite"
    writer = index_of(file, shop_records(150))
    yield file
    writer.close()


@asynccontextmanager
async def browsing(
    file: Path,
    *,
    token: str = "",
    following: Any = Following,
    listens_at: str = "0.0.0.0",  # noqa: S104 - not listened on
) -> AsyncIterator[TestClient[Any, Any]]:
    site = Site(IndexReader(file), following(), Keeper(token) if token else None, clock=lambda: ENDED_AT)
    names = own_names(listens_at)
    app = board_app(site, CollectorRegistry(), Liveness(lambda: 0.0), Readiness(), names=names)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def browser(file: Path) -> AsyncIterator[TestClient[Any, Any]]:
    async with browsing(file) as client:
        yield client


@pytest.fixture(scope="module")
def cases(file: Path) -> list[Case]:
    found: list[Case] = []
    for state in State:
        found += IndexReader(file).cases(CaseQuery(state=state, limit=200), ENDED_AT).cases
    return found


async def page(client: TestClient[Any, Any], address: str, status: int = 200, languages: str = "") -> str:
    answer = await client.get(address, headers={"Accept-Language": languages}, allow_redirects=False)
    text = await answer.text()
    assert answer.status == status, text
    return text


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def seen(text: str) -> str:
    return " ".join(Tags(text).text.split())


async def test_the_first_page_shows_open_cases_and_how_many(
    browser: TestClient[Any, Any], cases: list[Case]
) -> None:
    is_open = [case for case in cases if case.state in {CaseState.OPEN, CaseState.ESCALATED}]
    text = await page(browser, "/")
    assert f"Open cases {len(is_open)}" in seen(text)
    links = [link["href"] for link in Tags(text).of("a") if (link["href"] or "").startswith("/cases/")]
    assert links
    assert {f"/cases/{case.case_id}" for case in is_open} >= set(links)


async def test_a_filter_leaves_what_it_says(browser: TestClient[Any, Any], cases: list[Case]) -> None:
    rule = RuleId.MISSING_FIRST_SCAN
    wanted = {
        f"/cases/{case.case_id}"
        for case in cases
        if case.rule is rule and case.state in {CaseState.OPEN, CaseState.ESCALATED}
    }
    text = await page(browser, f"/?rule={rule}")
    links = {link["href"] for link in Tags(text).of("a") if (link["href"] or "").startswith("/cases/")}
    assert links == wanted
    assert "Rule: Label never scanned" in seen(text)
    assert "Nothing" not in seen(text)
    assert "No case is like that." in seen(await page(browser, f"/?rule={rule}&value=1000000"))


async def test_pages_follow_each_other_to_the_last_case(browser: TestClient[Any, Any]) -> None:
    found, address = list[str](), "/?limit=3"
    while address:
        tags = Tags(await page(browser, address))
        found += [link["href"] or "" for link in tags.of("a") if (link["href"] or "").startswith("/cases/")]
        address = next((link["href"] or "" for link in tags.of("a") if link.get("rel") == "next"), "")
    assert len(found) == len(set(found))
    whole = Tags(await page(browser, "/?limit=200")).of("a")
    assert found == [link["href"] for link in whole if (link["href"] or "").startswith("/cases/")]


async def test_every_case_can_be_opened_in_both_languages(
    browser: TestClient[Any, Any], cases: list[Case]
) -> None:
    for language in ("en", "fr"):
        for case in cases:
            text = await page(browser, f"/cases/{case.case_id}?lang={language}")
            assert case.explanation in seen(text)
            assert f'<html lang="{language}">' in text
            for place in case.evidence:
                assert f"{place.topic}/{place.partition}@{place.offset}" in text


async def test_the_drawing_of_a_case_has_its_clock_and_its_changes(
    browser: TestClient[Any, Any], cases: list[Case]
) -> None:
    case = next(one for one in cases if one.state is CaseState.ESCALATED and one.due_at < ENDED_AT)
    tags = Tags(await page(browser, f"/cases/{case.case_id}"))
    boxes = {box["class"]: box for box in tags.of("rect")}
    due_x = float(boxes["overdue"]["x"] or 0)
    assert float(boxes["spent"]["x"] or 0) + float(boxes["spent"]["width"] or 0) == pytest.approx(
        due_x, abs=0.2
    )
    assert due_x + float(boxes["overdue"]["width"] or 0) < 1_000
    drawn = [mark for mark in tags.of("circle") if "kind-escalated" in (mark["class"] or "")]
    assert len(drawn) == case.level - 1
    (drawing,) = [svg for svg in tags.of("svg") if svg.get("class") == "drawing"]
    assert "was due" in (drawing["aria-label"] or "")


async def test_nothing_is_told_of_what_is_not_there(browser: TestClient[Any, Any]) -> None:
    assert "No case has this id" in await page(browser, "/cases/nothing", 404)
    assert "There is no such page" in await page(browser, "/no/such/page", 404)
    assert "asks for what there is not" in await page(browser, "/?rule=none", 400)


async def test_the_api_tells_cases_as_the_topics_do(browser: TestClient[Any, Any], cases: list[Case]) -> None:
    answer = await (await browser.get("/api/cases?limit=2")).json()
    first = decode_case(msgspec.json.encode(answer["cases"][0]))
    assert first in cases
    following = await (await browser.get(f"/api/cases?limit=2&after={answer['next']}")).json()
    assert not {one["case_id"] for one in answer["cases"]} & {one["case_id"] for one in following["cases"]}
    one = await (await browser.get(f"/api/cases/{first.case_id}")).json()
    assert decode_case(msgspec.json.encode(one["case"])) == first
    assert [change["revision"] for change in one["changes"]] == list(range(1, first.revision + 1))


async def test_the_api_tells_a_return_with_its_cases(
    browser: TestClient[Any, Any], cases: list[Case]
) -> None:
    case = next(one for one in cases if one.return_id)
    told = await (await browser.get(f"/api/returns/{case.return_id}")).json()
    assert told["journey"]["return_id"] == case.return_id
    assert case.case_id in {one["case_id"] for one in told["cases"]}
    refused = await browser.get("/api/returns/none")
    assert (refused.status, (await refused.json())["error"]) == (404, "Not here")
    refused = await browser.get("/api/cases?state=x")
    assert refused.status == 400
    assert "open, resolved, retracted" in (await refused.json())["why"]


async def test_it_says_how_it_does(browser: TestClient[Any, Any]) -> None:
    await page(browser, "/")
    await page(browser, "/cases/what-somebody-typed", 404)
    metrics = await page(browser, "/metrics")
    assert 'returnwatch_board_requests_total{page="/",status="200"} 1.0' in metrics
    assert 'page="/cases/{case_id}",status="404"' in metrics
    assert "typed" not in metrics
    assert (await browser.get("/live")).status == 200
    assert (await browser.get("/ready")).status == 503, "nobody has said that the index is whole"


async def test_a_page_says_that_the_index_is_not_whole_or_not_new(file: Path) -> None:
    class Late(Following):
        silent_since = ENDED_AT
        read_share = 0.412

    async with browsing(file, following=Late) as client:
        text = seen(await page(client, "/"))
    assert "41.2% so far" in text
    assert "Kafka has not answered since 20 Nov 2026, 09:40" in text


# -- what must not be on any page -----------------------------------------------------------------------------------------


PAGES = ["/", "/feeds", "/kpis", "/dead-letters", "/search?q=x"]
OTHERS = ["/?state=resolved", "/no/such/page", "/static/board.css", "/api/cases", "/metrics"]
TYPED = [
    "/?carrier={}",
    "/?facility={}",
    "/?rule={}",
    "/?after={}",
    "/cases/{}",
    "/returns/{}",
    "/kpis?by={}",
    "/?lang={}",
]


@pytest.mark.parametrize("address", [*PAGES, *OTHERS])
async def test_every_answer_forbids_what_no_page_needs(browser: TestClient[Any, Any], address: str) -> None:
    answer = await browser.get(address)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_no_page_has_a_script_or_a_style_of_its_own(
    browser: TestClient[Any, Any], cases: list[Case]
) -> None:
    for address in (*PAGES, f"/cases/{cases[0].case_id}", f"/returns/{cases[0].return_id}"):
        tags = Tags(await page(browser, address))
        assert not tags.of("script")
        assert not tags.of("style")
        for _, attributes in tags.tags:
            assert not [name for name in attributes if name == "style" or name.startswith("on")]
            link = attributes.get("href") or attributes.get("src") or attributes.get("action") or "/"
            assert re.match(r"[/?#](?!/)", link), "it leads elsewhere"


@pytest.mark.parametrize(
    "address",
    [
        "/?carrier={}",
        "/?facility={}",
        "/?rule={}",
        "/?after={}",
        "/cases/{}",
        "/returns/{}",
        "/kpis?by={}",
        "/?lang={}",
    ],
)
async def test_what_somebody_typed_is_only_ever_text(browser: TestClient[Any, Any], address: str) -> None:
    text = await (await browser.get(address.format(quote(HOSTILE, safe="")))).text()
    tags = Tags(text)
    assert not tags.of("script")
    assert [image for image in tags.of("img") if image["src"] == "x"] == []
    assert "49" not in re.findall(r"\{\{.*?\}\}|\b49\b", seen(text))
    assert "<script" not in text


async def test_the_language_is_the_readers_or_what_they_chose(browser: TestClient[Any, Any]) -> None:
    french = await page(browser, "/", languages="de, fr-CA;q=0.8, en;q=0.5")
    assert "Dossiers ouverts" in seen(french)
    assert "Open cases" in seen(await page(browser, "/", languages="de;q=x, ,;q=, it"))
    assert "Dossiers ouverts" in seen(await page(browser, "/?lang=fr"))
    assert "Dossiers ouverts" in seen(await page(browser, "/", languages="en")), "as was chosen before"
    tags = Tags(await page(browser, "/?rule=late_refund&lang=fr"))
    (other,) = [link for link in tags.of("a") if link.get("hreflang") == "en"]
    assert other["href"] == "/?rule=late_refund&lang=en"


# -- returns, search, feeds, numbers, dead letters ------------------------------------------------------------------------


async def test_a_return_is_shown_with_its_way_its_parcels_and_its_cases(
    browser: TestClient[Any, Any], cases: list[Case]
) -> None:
    case = next(one for one in cases if one.return_id and one.tracking_number)
    text = await page(browser, f"/returns/{case.return_id}")
    assert case.tracking_number in seen(text)
    assert f'href="/cases/{case.case_id}"' in text
    journey = (await (await browser.get(f"/api/returns/{case.return_id}")).json())["journey"]
    assert journey["message"]["text"]["en"] in seen(text)
    reached = [one for one in journey["milestones"] if one["at"]]
    assert text.count('class="reached') == len(reached)
    french = await page(browser, f"/returns/{case.return_id}?lang=fr")
    assert journey["message"]["text"]["fr"] in seen(french)
    assert "Nothing is known of a return" in await page(browser, "/returns/none?lang=en", 404)


async def test_a_search_leads_to_what_alone_has_the_name(
    browser: TestClient[Any, Any], cases: list[Case]
) -> None:
    case = next(one for one in cases if one.return_id and one.tracking_number)
    for text in (case.return_id, case.tracking_number, f" {case.carrier}:{case.tracking_number.lower()} "):
        answer = await browser.get("/search", params={"q": text}, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, f"/returns/{case.return_id}")
    answer = await browser.get("/search", params={"q": case.case_id[:13]}, allow_redirects=False)
    assert answer.headers["Location"] == f"/cases/{case.case_id}"
    assert "Nothing has this name" in await page(browser, "/search?q=nothing")
    assert "Nothing has this name" in await page(browser, "/search")


async def test_a_hostile_tracking_number_is_text_in_the_box_and_on_the_page(
    browser: TestClient[Any, Any],
) -> None:
    text = await page(browser, f"/search?q={quote(HOSTILE, safe='')}")
    tags = Tags(text)
    assert [box["value"] for box in tags.of("input") if box.get("name") == "q"] == [HOSTILE]
    assert HOSTILE in tags.text
    assert not tags.of("script")
    assert [image["src"] for image in tags.of("img") if image["src"] == "x"] == []


async def test_feeds_show_what_the_marks_in_the_log_told(browser: TestClient[Any, Any]) -> None:
    told = {one["feed"]: one for one in (await (await browser.get("/api/feeds")).json())["feeds"]}
    text = seen(await page(browser, "/feeds?lang=en"))
    assert {"orders", "labels", "warehouse"} <= set(told)
    for name in ("Orders", "Labels", "Warehouse"):
        count = sum(hour["events"] for hour in told[name.lower()]["hours"])
        assert f"{name} as usual" in text
        assert f"Events, 14 days {count:,}" in text
    assert text.count("UTC: ") >= 14 * 24


async def test_numbers_are_those_of_the_kpis_command(browser: TestClient[Any, Any]) -> None:
    told = await (await browser.get("/api/kpis?days=30")).json()
    (total,) = told["values"]
    text = seen(await page(browser, "/kpis?lang=en"))
    assert f"Requested {total['counts']['requested']:,}" in text
    assert f"{100 * total['first_scan_rate']:.1f}%" in text
    by_carrier = await (await browser.get("/api/kpis?by=carrier&days=30")).json()
    text = seen(await page(browser, "/kpis?by=carrier"))
    for value in by_carrier["values"]:
        assert f"{value['value'] or 'not known'} {value['counts'].get('requested', 0):,}" in text
    assert (await browser.get("/kpis?days=31")).status == 400
    assert (await browser.get("/api/kpis?by=colour")).status == 400


async def test_plots_have_their_numbers_beside_them_in_a_table(browser: TestClient[Any, Any]) -> None:
    tags = Tags(await page(browser, "/kpis?days=7&lang=en"))
    assert len([row for row in tags.of("th") if row.get("scope") == "row"]) >= 7
    for drawing in tags.of("svg"):
        assert drawing.get("aria-label") or drawing.get("aria-hidden") == "true"


async def test_dead_letters_are_counted_and_shown_without_their_bytes(
    browser: TestClient[Any, Any], file: Path
) -> None:
    counts = IndexReader(file).letter_counts()
    text = seen(await page(browser, "/dead-letters?lang=en"))
    assert f"Dead letters {sum(count for *_, count in counts)}" in text
    letters = IndexReader(file).newest_letters()
    assert letters
    for letter in letters:
        assert letter.record in text
        assert " ".join(letter.detail.split()) in text
    refused = [record.value for record in shop_records(150) if record.topic == NAMES.dead_letters]
    for value in refused:
        whole = (value or b"").decode("utf-8", "replace")
        assert len(whole) < 20 or whole not in text


async def test_an_empty_installation_has_every_page(tmp_path: Path) -> None:
    index_of(tmp_path / "index.sqlite", []).close()
    async with browsing(tmp_path / "index.sqlite") as client:
        assert "Nothing is open" in await page(client, "/")
        assert "Nothing was counted" in await page(client, "/kpis")
        assert "No mark has told" in await page(client, "/feeds")
        assert "Nothing was refused" in await page(client, "/dead-letters")
        for address in ("/api/feeds", "/api/kpis", "/api/cases"):
            assert (await client.get(address)).status == 200


# -- what no page of ours asks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [("order=oldest", [1, 2, "x"]), ("", [1, "x"]), ("order=value", [1, "x"]), ("", [1, 2, "\ud800"])],
)
async def test_a_place_of_another_order_or_none_is_refused(
    browser: TestClient[Any, Any], asked: tuple[str, list[Any]]
) -> None:
    after = base64.urlsafe_b64encode(json.dumps(asked[1]).encode()).decode().rstrip("=")
    assert "Not known: after: known are" in seen(await page(browser, f"/?{asked[0]}&after={after}", 400))


async def raw(client: TestClient[Any, Any], request: bytes) -> str:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(request + b"\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.decode("utf-8", "replace")


async def test_the_language_link_leads_nowhere_else_and_a_cookie_of_bytes_is_nobodys(file: Path) -> None:
    async with browsing(file, token=TOKEN) as client:
        answer = await raw(client, b"GET //evil.example/x HTTP/1.1\r\nHost: b")
        assert 'href="/evil.example/x?lang=' in answer
        answer = await raw(client, b"GET / HTTP/1.1\r\nHost: b\r\nCookie: returnwatch_board=a.\xff\xfe")
        assert answer.startswith("HTTP/1.1 200"), answer[:500]


async def test_where_not_even_the_page_that_says_so_can_be_made_the_answer_has_its_headers(
    tmp_path: Path,
) -> None:
    async with browsing(tmp_path / "no-index") as client:
        answer = await client.get("/")
        assert (answer.status, (await answer.text())[:3]) == (500, "500")
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert answer.headers["Content-Type"].startswith("text/plain")


async def test_redirects_are_counted(browser: TestClient[Any, Any], cases: list[Case]) -> None:
    case = next(one for one in cases if one.return_id and one.tracking_number)
    await page(browser, f"/search?q={case.return_id}", 303)
    metrics = await page(browser, "/metrics")
    assert 'returnwatch_board_requests_total{page="/search",status="303"} 1.0' in metrics


@pytest.mark.parametrize(
    ("known", "usually"),
    [
        (24, None),
        (25, "240 , over 1h"),
        (48, "240 , over 1d"),
        (71, "240 , over 1d 23h"),
        (336, "240 , over 13d"),
    ],
)
async def test_what_is_usual_of_a_feed_is_told_by_the_hours_that_are_known(
    tmp_path: Path, known: int, usually: str | None
) -> None:
    writer = index_of(tmp_path / "i", [])
    hours = [("ups", 480_000 - hour, 10) for hour in range(known)]
    writer._base.executemany("INSERT INTO arrivals VALUES (?, ?, ?)", hours)
    async with browsing(tmp_path / "i") as client:
        text = seen(await page(client, "/feeds?lang=en"))
    expected = "" if usually is None else f"(usually {usually.replace(' ,', ',')})"
    assert re.search(r"24 hours 240 (\(.*?\))?", text)[1] == (expected or None), text  # type: ignore[index]
    writer.close()


@pytest.mark.parametrize(
    ("listens_at", "host", "status"),
    [
        *[("127.0.0.1", "127.0.0.1:9480", 200), ("127.0.0.1", "localhost", 200), ("::1", "[::1]:9480", 200)],
        *[("localhost", "LOCALHOST:1", 200), ("0.0.0.0", "evil.example", 200)],  # noqa: S104 - not listened on
        *[("127.0.0.1", "evil.example:9480", 421), ("[::1]", "127.0.0.1.evil.example", 421)],
    ],
)
async def test_what_listens_on_the_loopback_address_is_asked_by_no_other_name(
    file: Path, listens_at: str, host: str, status: int
) -> None:
    """A page elsewhere may have its own name resolved to 127.0.0.1, and would read what is answered."""
    async with browsing(file, listens_at=listens_at) as client:
        for address in ("/", "/api/cases"):
            assert (await client.get(address, headers={"Host": host})).status == status


async def test_no_page_is_said_to_be_the_list_of_cases_that_is_not(
    browser: TestClient[Any, Any], cases: list[Case]
) -> None:
    return_id = next(one.return_id for one in cases if one.return_id)
    for address, status in (("/no/such/page", 404), (f"/returns/{return_id}", 200)):
        links = Tags(await page(browser, address, status)).of("a")
        assert [link for link in links if link.get("aria-current") == "page"] == []


async def test_a_link_in_a_table_is_still_a_link_and_borders_can_be_seen(
    browser: TestClient[Any, Any],
) -> None:
    tags = Tags(await page(browser, "/kpis"))
    assert [link for link in tags.of("a") if "role" in link] == []
    style = await page(browser, "/static/board.css")
    grounds = re.findall(r"--card: (#\w+)", style)
    lines = re.findall(r"--strong-line: (#\w+)", style)
    assert len(grounds) == len(lines) == 2
    for ground, line in zip(grounds, lines, strict=True):
        light, dark = sorted((luminance(ground), luminance(line)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, "WCAG 1.4.11"


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


async def test_ages_are_told_by_the_clock_of_the_log_also_where_it_is_simulated(file: Path) -> None:
    newest_at = IndexReader(file).newest_at()
    assert newest_at is not None
    wall_at, day_ms = ENDED_AT + timedelta(days=400), 86_400_000
    origin_ms = round(wall_at.timestamp() * 1_000) - 1_000
    simulated = SimulatedTime(origin_ms, round(ENDED_AT.timestamp() * 1_000), day_ms / 1_000)
    site = Site(IndexReader(file), Following(), None, clock=lambda: wall_at, simulated=simulated)
    assert await site.now() == ENDED_AT + timedelta(days=1)
    assert site.clock() == wall_at, "a session lasts twelve hours of its browser"


async def test_a_question_that_takes_too_long_is_told_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_long(_reader: IndexReader, _query: CaseQuery, _now: datetime) -> CasePage:
        raise TakesTooLongError

    monkeypatch.setattr(IndexReader, "cases", too_long)
    async with browsing(file) as client:
        text = await page(client, "/?value=1000000000", 503, "fr")
    assert "trop de dossiers" in text
