"""`returnwatch size`: what an installation needs follows from what was measured, and from nothing else."""

import json
from pathlib import Path

import pytest

from agents.sizing import Asked, Measured, Stand, estimate_stand, measured, size
from tests.command_line import returnwatch

PAGE = Path(__file__).parents[2] / "docs/sizing.md"
SMALL = Stand(
    open_returns=1_000,
    events=10_000,
    cpu_seconds=10,
    disk_bytes=2_000_000,
    loose_disk_bytes=3_000_000,
    memory_bytes=100_000_000,
    peak_memory_bytes=150_000_000,
    changelog_bytes=3_000_000,
    recovery_records=2_000,
    recovery_cpu_seconds=3,
    recovery_wall_seconds=1,
)
LARGE = Stand(
    open_returns=11_000,
    events=110_000,
    cpu_seconds=55,
    disk_bytes=12_000_000,
    loose_disk_bytes=18_000_000,
    memory_bytes=101_000_000,
    peak_memory_bytes=201_000_000,
    changelog_bytes=23_000_000,
    recovery_records=22_000,
    recovery_cpu_seconds=4,
    recovery_wall_seconds=2,
)
KNOWN = Measured("2026-03-01", "somewhere", (SMALL, LARGE), ())


def test_a_line_goes_through_both_measurements() -> None:
    assert estimate_stand((SMALL, LARGE), 1_000).disk_bytes == SMALL.disk_bytes
    assert estimate_stand((SMALL, LARGE), 11_000).recovery_cpu_seconds == LARGE.recovery_cpu_seconds
    far = estimate_stand((SMALL, LARGE), 101_000)
    assert far.disk_bytes == 102_000_000
    assert far.memory_bytes == 110_000_000
    assert far.peak_memory_bytes == 210_000_000, "what it reads with is the same however many are open"


def test_workers_follow_from_the_busiest_hour() -> None:
    quiet = size(Asked(1_000, 86_400 * 100, peak=1), KNOWN)
    assert (quiet.workers, quiet.partitions, quiet.because) == (1, 8, "events at the peak")
    busy = size(Asked(1_000, 86_400 * 1_000, peak=9), KNOWN)
    assert busy.events_per_core_second == 2_000
    assert busy.peak_events_per_second == 9_000
    assert (busy.workers, busy.partitions) == (9, 64)


def test_workers_follow_from_how_long_a_recovery_may_take() -> None:
    slow = size(Asked(1_000_000, 86_400, recovery_target_seconds=1_000), KNOWN)
    assert (slow.workers, slow.because) == (1, "events at the peak")
    assert slow.recovery_seconds == pytest.approx(102.9)
    fast = size(Asked(1_000_000, 86_400, recovery_target_seconds=10), KNOWN)
    assert fast.because == "recovery of a lost disk"
    assert fast.recovery_seconds <= 10
    assert size(Asked(1_000_000, 86_400, recovery_target_seconds=1_000), KNOWN).disk_bytes > fast.disk_bytes


def test_a_target_that_a_start_alone_misses_does_not_ask_for_endless_workers() -> None:
    never = size(Asked(1_000_000, 86_400, recovery_target_seconds=1), KNOWN)
    assert never.recovery_seconds > 1
    assert never.workers <= 1_000_000


def test_more_returns_or_events_never_need_less() -> None:
    known = measured()
    last = size(Asked(1_000, 1_000), known)
    for factor in (10, 100, 1_000, 10_000):
        more = size(Asked(1_000 * factor, 1_000 * factor), known)
        assert more.workers >= last.workers
        assert more.changelog_bytes_per_day > last.changelog_bytes_per_day
        assert more.workers * more.disk_bytes > last.workers * last.disk_bytes
        last = more


def test_it_tells_what_it_reckons_with() -> None:
    answer = returnwatch("size", "--open-returns", "250k", "--events-per-day", "1.5M", "--json")
    assert answer.code == 0
    told = json.loads(answer.out)
    assert (told["asked"]["open_returns"], told["asked"]["events_per_day"]) == (250_000, 1_500_000)
    assert [stand["open_returns"] for stand in told["measured"]["fitted"]] == [10_000, 100_000]
    assert told["needed"]["workers"] >= 1


def test_all_that_is_wrong_is_told_at_once() -> None:
    answer = returnwatch("size", "--open-returns", "many", "--events-per-day", "0", "--recovery", "0s")
    assert answer.code == 1
    for flag in ("--open-returns: 'many'", "--events-per-day: '0'", "--recovery: no time"):
        assert flag in answer.err
    assert "250k and 10M are understood" in answer.err


def test_the_page_shows_what_the_command_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text.split("$ returnwatch size --open-returns 10M --events-per-day 30M\n")[1].split("```")[0]
    answer = returnwatch("size", "--open-returns", "10M", "--events-per-day", "30M")
    assert answer.code == 0
    assert [line.rstrip() for line in shown.splitlines()] == [
        line.rstrip() for line in answer.out.splitlines()
    ]
