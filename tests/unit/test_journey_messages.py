"""What customers read."""

import string
from datetime import UTC, datetime

import pytest

from schemas.journey_messages import LANGUAGES, MESSAGES, UNDATED, date_text, rendered
from schemas.return_journeys import JourneyMilestone
from streams.journey_message import OF_OTHER_KINDS, TROUBLES

SAMPLE = {"by": "2026-02-01T09:30:00.000Z", "at": "2026-08-12T00:00:00.000Z", "hours": "24-72"}


def parameters_of(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("key", MESSAGES)
def test_every_message_is_whole_in_both_languages(key: str) -> None:
    names = {language: parameters_of(text) for language, text in zip(LANGUAGES, MESSAGES[key], strict=True)}
    assert names["en"] == names["fr"] <= SAMPLE.keys()
    texts = rendered(key, {name: SAMPLE[name] for name in names["en"]})
    assert set(texts) == {"en", "fr"}
    for language, text in texts.items():
        assert text.endswith(".")
        assert "{" not in text
        if "by" in names["en"]:
            assert date_text(datetime(2026, 2, 1, tzinfo=UTC), language) in text
    assert texts["en"] != texts["fr"]


def test_dates_are_written_as_people_of_the_language_write_them() -> None:
    texts = rendered("refund_issued", {"at": SAMPLE["at"]})
    assert texts == {
        "en": "Your refund was paid on 12 August 2026.",
        "fr": "Votre remboursement a été versé le 12 août 2026.",
    }
    assert "1er février 2026" in rendered("in_transit", {"by": SAMPLE["by"]})["fr"]


def test_a_range_of_hours_is_said_as_it_is() -> None:
    texts = rendered("dropped_off", {"hours": "24-72"})
    assert texts["en"] == "Dropped off. The first scan is expected within 24-72 hours."
    assert texts["fr"] == "Colis déposé. Le premier scan est attendu dans un délai de 24 à 72 heures."


def test_one_hour_is_no_plural() -> None:
    texts = rendered("dropped_off", {"hours": "1"})
    assert texts["en"] == "Dropped off. The first scan is expected within 1 hour."
    assert texts["fr"] == "Colis déposé. Le premier scan est attendu dans un délai d'une heure."
    assert "1-2 hours." in rendered("dropped_off", {"hours": "1-2"})["en"]


def test_whatever_is_said_with_a_deadline_can_be_said_without() -> None:
    for key, templates in MESSAGES.items():
        if "by" in parameters_of(templates[0]):
            assert key + UNDATED in MESSAGES
        if key.endswith(UNDATED):
            assert not parameters_of(templates[0])


def test_no_message_is_missing() -> None:
    stages = {stage.value for stage in JourneyMilestone} - {"return_requested", "return_approved", "refunded"}
    assert stages <= MESSAGES.keys()
    assert {key for _, key in TROUBLES} <= MESSAGES.keys()
    assert {key for key, _ in OF_OTHER_KINDS} | set(OF_OTHER_KINDS.values()) <= MESSAGES.keys()
    assert [key for key in MESSAGES if any(mark in text for mark in '"\\' for text in MESSAGES[key])] == []
