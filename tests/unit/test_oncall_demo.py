"""What the demo of a night takes for good: exactly one page, about the feed, taken back."""

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from agents.alert_receiver import Notice
from agents.oncall_demo import main
from agents.oncall_night import Night
from agents.oncall_view import show_night
from simulation.feed_story import FeedStory

START = datetime(2026, 3, 16, tzinfo=UTC)
STORY = FeedStory(40, START, START)


def notice(name: str, *feeds: str, receiver: str = "operations-pages", status: str = "firing") -> Notice:
    notes = {"summary": "s", "description": "d", "runbook_url": "u"}
    alerts = [{"labels": {"alertname": name, "feed": feed}, "annotations": notes} for feed in feeds]
    return Notice(receiver, status, tuple(alerts))


PAGE = notice("ReturnwatchFeedSilent", "colissimo")
TAKEN_BACK = notice("ReturnwatchFeedSilent", "colissimo", status="resolved")


def night(*notices: Notice) -> Night:
    return Night(
        START, held_waits=28, held_back={("ReturnwatchFeedLate", "colissimo")}, notices=list(notices)
    )


def told(one: Night) -> str:
    one.note()
    screen = StringIO()
    show_night(Console(width=100, file=screen), one, STORY)
    return screen.getvalue()


def test_one_page_that_is_taken_back_is_good() -> None:
    good = night(notice("ReturnwatchWatchdog", "", receiver="dead-mans-switch"), PAGE, TAKEN_BACK)
    assert good.is_good("colissimo")
    assert good.is_over()
    said = told(good)
    assert "page: ReturnwatchFeedSilent" in said
    assert "28 waitings" in said
    assert "ReturnwatchFeedLate colissimo" in said
    assert "16 Mar 00:00    operations-pages  ReturnwatchFeedSilent resolved" in said
    assert "dead-mans-switch" not in said
    assert "one page, and it was taken back" in said


@pytest.mark.parametrize(
    "notices",
    [
        [],
        [PAGE, PAGE],
        [PAGE, notice("ReturnwatchWatermarkBehind", "")],
        [PAGE, notice("ReturnwatchStatutoryDeadlineBurn", "", receiver="business-pages")],
        [notice("ReturnwatchFeedSilent", "ups")],
        [notice("ReturnwatchFeedSilent", "colissimo", "ups")],
    ],
    ids=["none", "twice", "a dependant, too", "one of the business", "another feed", "two feeds"],
)
def test_anything_else_is_not(notices: list[Notice]) -> None:
    assert not night(*notices, TAKEN_BACK).is_good("colissimo")
    assert "one was to come" in told(night(*notices, TAKEN_BACK))


def test_a_page_that_stays_is_told() -> None:
    assert not night(PAGE).is_over()
    assert "was not taken back" in told(night(PAGE))


def test_a_ticket_is_no_page() -> None:
    ticket = notice("ReturnwatchFeedLate", "colissimo", receiver="operations-tickets")
    assert night(ticket, PAGE, TAKEN_BACK).is_good("colissimo")


def test_without_the_programs_it_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "prometheus: is not here" in said
    assert "apt-get install prometheus prometheus-alertmanager" in said
