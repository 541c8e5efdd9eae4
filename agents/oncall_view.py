"""What the demo of a night shows: where the story is, what came to whoever is on call, and what did not."""

from io import StringIO

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from agents.oncall_night import Night
from simulation.feed_story import FeedStory


class OncallView:
    """A rich renderable that is drawn anew twice a second."""

    def __init__(self, night: "Night", story: FeedStory) -> None:
        self._night = night
        self._story = story

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        night = self._night
        mark = f"{night.watermark:%d %b %H:%M}" if night.watermark else "not known yet"
        yield Group(
            Text(f"{night.now:%a %d %b %H:%M}  watermark {mark}  {self._where()}", style="bold"),
            Text(f"pages: {len(night.pages())}   held by the worker: {night.held_waits} waitings"),
            *(_page(alert) for page in night.pages() for alert in page.alerts),
        )

    def _where(self) -> str:
        now, outage, feed = self._night.now, self._story.outage, self._story.feed
        if now < outage.from_at:
            return f"the week of {feed} is learned; its feed falls silent on {outage.from_at:%d %b at %H:%M}"
        if now < outage.until_at:
            return f"nothing comes of {feed}"
        return f"the backlog of {feed} comes in"


def show_night(console: Console, night: "Night", story: FeedStory) -> None:
    """What came, what was held back, and whether it is as it should be."""
    for page in night.pages():
        for alert in page.alerts:
            console.print(_page(alert))
    table = Table("held back by", "what", box=None, title="nobody was told of", title_justify="left")
    table.add_row("worker", f"{night.held_waits} waitings for {story.feed} beyond their deadline")
    for name, about in sorted(night.held_back):
        table.add_row("Alertmanager", f"{name} {about}".strip())
    console.print(table)
    told = Table("simulated time", "receiver", "what", box=None, title="who was told", title_justify="left")
    for at, notice in night.timeline():
        told.add_row(
            f"{at:%d %b %H:%M}", notice.receiver, f"{', '.join(sorted(notice.names()))} {notice.status}"
        )
    console.print(told)
    if not night.is_good(story.feed):
        console.print(Text(f"{len(night.pages())} pages came; one was to come, of {story.feed}", style="red"))
    elif not night.is_over():
        console.print(Text("the page was not taken back", style="red"))
    else:
        console.print(
            Text("one page, and it was taken back when the feed had come back and drained", style="green")
        )


def night_as_html(night: "Night", story: FeedStory) -> str:
    """What `show_night` prints, as a page by itself: for a picture of it."""
    console = Console(record=True, width=96, file=StringIO(), force_terminal=True)
    show_night(console, night, story)
    return console.export_html(theme=DIMMED_MONOKAI, inline_styles=True)


def _page(alert: dict[str, dict[str, str]]) -> Panel:
    labels, notes = alert["labels"], alert["annotations"]
    text = f"{notes['summary']}\n{notes['description']}\n{notes['runbook_url']}"
    return Panel(Text(text), title=f"page: {labels['alertname']}", border_style="red", expand=False)
