"""What is known of a time, and which end of it is used."""

import pytest

from schemas.vocabulary import TimeQuality
from streams.payload_times import TimeReader, When

Q = TimeQuality
HOUR_MS = 60 * 60 * 1000
NOON = 1_773_144_000_000  # 2026-03-10T12:00:00Z


def _reader(
    *formats: str, zones: tuple[str, ...] = (), day: bool = False, assumed: bool = False
) -> TimeReader:
    return TimeReader(formats or ("iso",), zones, midnight_is_a_day=day, assumed=assumed)


@pytest.mark.parametrize(
    ("text", "zones", "when", "start_hours", "end_hours", "quality"),
    [
        ("2026-03-10T12:00:00Z", (), When(), 0, 0, Q.OFFSET),
        ("2026-03-10T14:00:00.000+0200", (), When(), 0, 0, Q.OFFSET),
        ("2026-03-10 12:00", ("UTC",), When(), 0, 0, Q.OFFSET),
        ("2026-03-10 13:00", ("Europe/Paris",), When(), 0, 0, Q.DERIVED_FROM_PLACE),
        ("2026-03-10 13:00", ("place", "Europe/Paris"), When(), 0, 0, Q.ASSUMED),
        ("2026-03-10 13:00", ("place", "Europe/Paris"), When(country="FR"), 0, 0, Q.DERIVED_FROM_PLACE),
        ("2026-03-10 08:00", ("place",), When("US", "NY"), 0, 0, Q.DERIVED_FROM_PLACE),
        ("2026-03-10 08:00", ("place",), When("US", "TN"), 0, 1, Q.ASSUMED),
        ("2026-03-10 08:00", ("place",), When("US"), 0, 6, Q.ASSUMED),
        ("2026-03-10 07:00", ("abbreviation", "place"), When(abbreviation="EST"), 0, 0, Q.OFFSET),
        ("2026-03-10 07:00", ("abbreviation",), When(abbreviation="XYZ"), -19, 7, Q.ASSUMED),
        ("2026-03-10 12:00", (), When(), -14, 12, Q.ASSUMED),
        ("2026-03-10 08:00", (), When(offset="-04:00"), 0, 0, Q.OFFSET),
        ("2026-03-10 08:00", (), When(offset="-04.00"), 0, 0, Q.OFFSET),
        ("2026-03-10 08:00", (), When(offset="?"), -18, 8, Q.ASSUMED),
        ("2026-03-10 08:00", (), When(utc="2026-03-10 12:00:45"), 0, 0, Q.OFFSET),
        (
            "2026-03-10 23:00",
            (),
            When(utc="2026-03-10 03:00"),
            15,
            15,
            Q.OFFSET,
        ),  # the UTC date not rolled over
        ("2026-03-10 12:00", (), When(utc="2019-01-01 12:00"), -14, 12, Q.ASSUMED),  # not of the same moment
    ],
)
def test_zone_is_the_surest_that_is_known(
    text: str, zones: tuple[str, ...], when: When, start_hours: int, end_hours: int, quality: TimeQuality
) -> None:
    time = _reader(zones=zones).read(text, when)
    assert time is not None
    assert (time.start_ms - NOON) / HOUR_MS == start_hours
    assert (time.end_ms - NOON) / HOUR_MS == end_hours
    assert time.quality is quality


def test_a_date_is_a_day_and_so_is_midnight_where_it_stands_for_one() -> None:
    for reader, text in (
        (_reader(zones=("UTC",)), "2026-03-10"),
        (_reader("%B %d, %Y", zones=("UTC",)), "March 10, 2026"),
        (_reader(day=True), "2026-03-10T00:00:00Z"),
    ):
        time = reader.read(text, When())
        assert time is not None
        assert (time.start_ms, time.end_ms) == (NOON - 12 * HOUR_MS, NOON + 12 * HOUR_MS - 1)
        assert time.quality is Q.DATE_ONLY
    midnight = _reader().read("2026-03-10T00:00:00Z", When())
    assert midnight is not None
    assert midnight.quality is Q.OFFSET


def test_a_day_on_which_clocks_change_is_as_long_as_it_is() -> None:
    time = _reader(zones=("Europe/Paris",)).read("2026-03-29", When())
    assert time is not None
    assert time.end_ms + 1 - time.start_ms == 23 * HOUR_MS


def test_an_hour_that_comes_twice_is_both() -> None:
    time = _reader(zones=("Europe/Paris",)).read("2026-10-25 02:30", When())
    assert time is not None
    assert time.end_ms - time.start_ms == HOUR_MS


def test_an_offset_that_cannot_be_trusted_is_assumed() -> None:
    time = _reader(assumed=True).read("2026-03-10T12:00:00Z", When())
    assert time is not None
    assert time.quality is Q.ASSUMED


@pytest.mark.parametrize("form", ["epoch_s", "epoch_ms"])
def test_epochs_are_read(form: str) -> None:
    text = str(NOON if form == "epoch_ms" else NOON // 1000)
    time = _reader(form).read(text, When())
    assert time is not None
    assert time.start_ms == NOON


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-13-40",
        "9" * 40,
        "-1",
        "\u0662\u0660\u0662\u0666-\u0660\u0663-\u0661\u0660",
        "0001-01-01",
        "9999-12-31",
    ],
)
def test_what_is_no_time_is_none_or_at_the_ends_of_the_calendar(text: str) -> None:
    for form in ("iso", "epoch_s", "epoch_ms", "%Y-%m-%d"):
        time = _reader(form).read(text, When())
        assert time is None or time.start_ms <= time.end_ms
