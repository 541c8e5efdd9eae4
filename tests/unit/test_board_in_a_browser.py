"""The board in a real browser: by keyboard, on a phone, light and dark, and with nothing that its policy forbids."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from agents.board.case_query import CaseQuery
from agents.board.index_reading import IndexReader
from agents.board.index_writing import IndexWriter
from agents.commanding import Written
from schemas.command_answers import CommandAnswer, encode_command_answer
from schemas.vocabulary import AnswerReason, CommandType
from tests.board_browser import CHROMIUM, TOKEN, WITHOUT_CHROMIUM, chromium, serving
from tests.board_shop import ENDED_AT, NAMES, Record, index_of, shop_records, take_in

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT_CHROMIUM)

PHONE, DESK = 360, 1_280
HOSTILE = "\"><script>document.title='gone'</script><img src=x onerror=alert(1)>"
PATIENCE_MS = 120_000

CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = (colour) => { const [r, g, b] = colour.map((one) => { const part = one / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = (element) => { for (let one = element; one; one = one.parentElement) {
    const found = rgb(getComputedStyle(one).backgroundColor); if (found[3] > 250) return found; } return [255, 255, 255, 255]; };
  const weak = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, style = getComputedStyle(element);
    if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest('.hidden, option, title')) continue;
    const ink = element.closest('svg') ? style.fill : style.color;
    const [a, b] = [light(rgb(ink)), light(ground(element))].sort((one, other) => other - one);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) weak.push(`${texts.currentNode.data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return weak;
}"""


class Answering:
    """A worker that says yes."""

    def __init__(self, writer: IndexWriter) -> None:
        self.writer = writer
        self.heard: list[dict[str, Any]] = []

    async def __call__(self, written: Written) -> CommandAnswer:
        command = json.loads(written.value)
        self.heard.append(command)
        when = datetime(2026, 11, 20, 9, 41, tzinfo=UTC)
        answer = CommandAnswer(
            answer_id="a",
            command_id=written.command_id,
            audit_id=written.command_id,
            command=CommandType(command["type"]),
            accepted=True,
            reason=AnswerReason.DONE,
            explanation="",
            case_id=command["case_id"],
            return_id="",
            by=command["by"],
            at=when,
            effective_at=when,
        )
        take_in(self.writer, [Record(NAMES.command_answers, b"k", encode_command_answer(answer))])
        return answer


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("board") / "index.sqlite"


@pytest.fixture(scope="module")
def worker(file: Path) -> Iterator[Answering]:
    writer = index_of(file, shop_records(150))
    yield Answering(writer)
    writer.close()


@pytest.fixture(scope="module")
def address(file: Path, worker: Answering) -> Iterator[str]:
    with serving(file, worker) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(file: Path, worker: Answering) -> list[str]:
    reader = IndexReader(file)
    case = next(one for one in reader.cases(CaseQuery(), ENDED_AT).cases if one.return_id)
    return [
        *("/", "/?carrier=-&age=3&order=value", "/?state=resolved", f"/cases/{case.case_id}"),
        *(
            f"/returns/{case.return_id}",
            "/feeds",
            "/kpis?by=carrier",
            "/dead-letters",
            "/search?q=x",
            "/sign-in",
        ),
    ]


@contextmanager
def looking(
    browser: Browser,
    address: str,
    *,
    width: int = DESK,
    scheme: Literal["light", "dark"] = "light",
    language: str = "en-GB",
) -> Iterator[Page]:
    """A new visitor. Whatever their browser complains about fails the test."""
    context = browser.new_context(
        base_url=address, viewport={"width": width, "height": 800}, color_scheme=scheme, locale=language
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    yield page
    assert complaints == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en-GB", "fr-FR"])
def test_every_page_fits_a_phone_and_can_be_read(
    browser: Browser, address: str, pages: list[str], scheme: Literal["light", "dark"], language: str
) -> None:
    with looking(browser, address, width=PHONE, scheme=scheme, language=language) as page:
        for path in pages:
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 200
            assert page.evaluate("document.documentElement.lang") == language[:2]
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE, (
                f"{path} is wider than a phone"
            )
            assert page.evaluate(CONTRAST) == [], path


def test_dark_is_dark_and_light_is_light(browser: Browser, address: str) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        with looking(browser, address, scheme=scheme) as page:
            page.goto("/")
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            grounds[scheme] = sum(int(part) for part in colour.strip("rgb()").split(","))
    assert grounds["dark"] < 150
    assert grounds["light"] > 600


def test_all_can_be_done_by_keyboard(browser: Browser, address: str) -> None:
    with looking(browser, address) as page:
        page.goto("/")
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Go to the content")
        expect(page.locator(":focus")).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        for _ in range(60):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            if (focused.get_attribute("href") or "").startswith("/cases/"):
                break
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Its clock")).to_be_visible()


def test_a_filter_is_chosen_and_taken_away(browser: Browser, address: str) -> None:
    with looking(browser, address) as page:
        page.goto("/")
        rule = page.get_by_label("Rule", exact=True)
        option = rule.locator("option").nth(1)
        count = (option.text_content() or "").rpartition("(")[2].rstrip(")")
        rule.select_option(index=1)
        page.get_by_role("button", name="Show").click()
        expect(page.locator(".total")).to_have_text(count)
        page.locator(".chosen a").click()
        expect(page.locator(".chosen")).to_have_count(0)


def test_who_signs_in_can_acknowledge_and_close(
    browser: Browser, address: str, pages: list[str], worker: Answering
) -> None:
    case = next(path for path in pages if path.startswith("/cases/"))
    with looking(browser, address) as page:
        page.goto(case)
        page.get_by_role("link", name="Sign in to acknowledge").click()
        page.get_by_label("Your id").fill("ops-7")
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Acknowledge").click()
        expect(page.get_by_role("status")).to_have_text("Acknowledge: Done.")
        page.get_by_label("Because").select_option("false_alarm")
        page.get_by_role("button", name="Close").click()
        expect(page.get_by_role("status")).to_have_text("Close: Done.")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    assert [(one["type"], one["by"]) for one in worker.heard] == [
        ("acknowledge", "ops-7"),
        ("resolve", "ops-7"),
    ]
    assert worker.heard[1]["reason"] == "false_alarm"


def test_a_hostile_number_in_the_search_box_stays_a_text(browser: Browser, address: str) -> None:
    with looking(browser, address) as page:
        page.goto("/")
        page.get_by_role("searchbox").fill(HOSTILE)
        page.keyboard.press("Enter")
        expect(page.get_by_role("searchbox")).to_have_value(HOSTILE)
        expect(page.locator("h1")).to_have_text(f"Search for {HOSTILE}")
        expect(page).to_have_title("Search · Returnwatch")
