"""The board says everything in both languages, and nothing that it cannot say."""

import re
import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

import pytest

from agents.board import words_of_cases
from agents.board.words import Language, Words, preferred
from agents.board.words_of_pages import PAGES
from schemas.kpis import Dimension, Leg
from schemas.outputs import Money, Severity
from schemas.return_journeys import ExpectedStep, JourneyMilestone, PortalStatus, Witness
from schemas.vocabulary import (
    CASE_COMMANDS,
    AnswerReason,
    CaseState,
    Closure,
    DeadLetterReason,
    Reason,
    RuleId,
)

BOARD = Path(words_of_cases.__file__).parent
SAID = {
    "rule": RuleId,
    "reason": Reason,
    "state": CaseState,
    "severity": Severity,
    "closure": Closure,
    "answer": AnswerReason,
    "command": CASE_COMMANDS,
    "milestone": JourneyMilestone,
    "step": ExpectedStep,
    "status": PortalStatus,
    "witness": Witness,
    "leg": Leg,
    "letter": DeadLetterReason,
    "dimension": Dimension,
}
EN, FR = Words(Language.EN), Words(Language.FR)
COMPOSED = re.compile(r"words\('(\w+_)' \+ |words\(f?\"(\w+_)\{")
KEY = re.compile(r"words\([\s\n]*[\"'](\w+)[\"'](?! \+)")


@pytest.mark.parametrize("table", SAID)
def test_every_word_of_the_trade_has_a_name_in_both_languages(table: str) -> None:
    words: Mapping[str, tuple[str, str]] = words_of_cases.TABLES[table]
    values = {str(one.value if isinstance(one, Enum) else one) for one in SAID[table]}
    assert set(words) == values
    for both in words.values():
        assert all(text.strip() for text in both)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_tell_the_same() -> None:
    for key, (english, french) in PAGES.items():
        assert english.strip(), key
        assert french.strip(), key
        assert fields(english) == fields(french), key


def test_the_pages_say_nothing_that_has_no_words_and_there_are_no_words_that_no_page_says() -> None:
    sources = [*BOARD.rglob("*.html"), *BOARD.glob("*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in sources if file.name != "words_of_pages.py")
    used = set(KEY.findall(text)) | set(re.findall(r"[\"'](why_\w+)[\"']", text))
    assert used <= set(PAGES)
    quoted = set(re.findall(r"[\"'](\w+)[\"']", text))
    composed = ("problem_", "seen_", "order_", "snooze_", "open_cases", "resolved_cases", "retracted_cases")
    unused = {key for key in set(PAGES) - used - quoted if not key.startswith(composed)}
    assert unused == set()


def test_times_ages_and_amounts_are_written_as_the_language_does() -> None:
    at = datetime(2026, 3, 1, 14, 5, tzinfo=UTC)
    assert (EN.time(at), FR.time(at)) == ("1 Mar 2026, 14:05", "1 mars 2026 14:05")
    age = timedelta(days=3, hours=4, minutes=59)
    assert (EN.age(age), FR.age(-age)) == ("3d 4h", "3\u202fj 4\u202fh")
    assert (EN.age(timedelta(seconds=59)), EN.age(timedelta(days=2))) == ("0m", "2d")
    value = Money(123_456_789, "EUR")
    assert (EN.amount(value), FR.amount(value)) == (
        "1,234,567.89\u00a0EUR",
        "1\u202f234\u202f567,89\u00a0EUR",
    )
    assert (EN.amount(Money(1990, "JPY")), FR.percent(0.974)) == ("1,990\u00a0JPY", "97,4\u202f%")
    assert (EN.number(12_345), FR.number(12_345)) == ("12,345", "12\u202f345")


def test_a_word_of_a_newer_worker_stands_for_itself() -> None:
    assert FR.of("rule", "a_rule_of_tomorrow") == "a rule of tomorrow"


@pytest.mark.parametrize(
    ("asked", "header", "language"),
    [
        *[("", "", "en"), ("", "fr", "fr"), ("", "en;q=0.4, fr;q=0.6", "fr"), ("", "fr;q=0", "en")],
        *[("fr", "en", "fr"), ("xx", "fr-BE", "fr"), ("", "*;q=0.1, xx", "en"), ("", ";q=;;,q", "en")],
    ],
)
def test_the_language_of_a_reader(asked: str, header: str, language: str) -> None:
    assert preferred(asked, header) == language
