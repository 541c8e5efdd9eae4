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
        ("2026-03-10 05:30", (), When(utc="2026-03-10 00:00"), -12, -12, Q.OFFSET),  # India, half an hour
        ("2026-03-10 01:00", (), When(utc="2026-03-10 15:00"), -21, -21, Q.OFFSET),  # 15:00 of the day before
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


def test_an_hour_of_which_clocks_are_changed_is_assumed_in_part_and_another_is_not() -> None:
    """02:30 does not exist when clocks go forward, and comes twice when they go back: an hour either way, the later counts."""
    reader = _reader(zones=("place",))
    for text, start_ms in (
        ("2026-03-29 02:30", 1_774_744_200_000),  # 00:30 UTC, or 01:30
        ("2026-10-25 02:30", 1_792_888_200_000),
    ):
        time = reader.read(text, When(country="FR"))
        assert time is not None
        assert (time.start_ms, time.end_ms, time.quality) == (start_ms, start_ms + HOUR_MS, Q.ASSUMED)
    sure = reader.read("2026-03-29 03:30", When(country="FR"))
    assert sure is not None
    assert (sure.start_ms, sure.end_ms, sure.quality) == (
        1_774_747_800_000,
        1_774_747_800_000,
        Q.DERIVED_FROM_PLACE,
    )


@pytest.mark.parametrize(
    ("text", "when", "end_hours", "quality"),
    [
        ("2026-03-10T13:00:00+01:00", When(country="FR"), 0, Q.OFFSET),
        ("2026-03-10T13:00:00+01:00", When(country="DE"), 0, Q.OFFSET),  # the same clock
        (
            "2026-03-10T13:00:00+01:00",
            When(country="GP"),
            5,
            Q.ASSUMED,
        ),  # the moment, or the clock in Guadeloupe
        ("2026-03-10T13:00:00+01:00", When(country="JP"), 0, Q.ASSUMED),  # then it would be earlier
        ("2026-03-10T13:00:00+01:00", When(), 0, Q.ASSUMED),  # nobody knows where
        ("2026-03-10T08:00:00-04:00", When(country="GP"), 0, Q.OFFSET),  # not that of the home
        ("2026-03-10T12:00:00Z", When(country="GP"), 0, Q.OFFSET),
    ],
)
def test_the_offset_of_an_accounts_home_on_a_scan_elsewhere_is_not_believed(
    text: str, when: When, end_hours: int, quality: TimeQuality
) -> None:
    reader = TimeReader(("iso",), ("place",), midnight_is_a_day=False, assumed=False, home="Europe/Paris")
    assert reader.read_moment(text) is None
    time = reader.read(text, when)
    assert time is not None
    assert (time.end_ms - NOON) / HOUR_MS == end_hours
    assert time.start_ms <= NOON <= time.end_ms
    assert time.quality is quality


def test_a_home_has_a_summer_and_a_winter() -> None:
    """+01:00 in July is not the offset of Paris: it was meant."""
    reader = TimeReader(("iso",), ("place",), midnight_is_a_day=False, assumed=False, home="Europe/Paris")
    for text, quality in (("2026-07-10T13:00:00+01:00", Q.OFFSET), ("2026-07-10T13:00:00+02:00", Q.ASSUMED)):
        time = reader.read(text, When(country="GP"))
        assert time is not None
        assert time.quality is quality


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
