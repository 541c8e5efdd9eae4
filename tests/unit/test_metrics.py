"""The metrics that alerts stand on: there from the start, bounded, and gone with their partition."""

import re
import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agents.metrics import Metrics
from schemas.vocabulary import DeadLetterReason, RuleId

HOW_TO_PROMTOOL = "promtool is not here: apt-get install prometheus"


class Clock:
    """The log's clock, set by hand."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> Metrics:
    return Metrics(CollectorRegistry(), log_clock=clock)


def exposed(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_every_series_that_can_be_known_is_there_with_zero_before_anything_happened(metrics: Metrics) -> None:
    metrics.expect_topics(["orders"])
    assert value(metrics, "returnwatch_events_consumed_total", topic="orders", result="refused") == 0
    assert value(metrics, "returnwatch_unmapped_codes_total", carrier="other") == 0
    for reason in DeadLetterReason:
        assert value(metrics, "returnwatch_dead_letters_total", reason=reason) == 0
    for rule in RuleId:
        assert value(metrics, "returnwatch_escalations_total", rule=rule, transition="opened") == 0
        assert value(metrics, "returnwatch_open_cases", rule=rule, severity="error") == 0


def test_a_carrier_nobody_knows_is_counted_as_other(metrics: Metrics) -> None:
    assert [metrics.carrier(name) for name in ("ups", "pigeon_post")] == ["ups", "other"]


def test_the_lag_of_a_watermark_grows_while_nobody_sets_it(metrics: Metrics, clock: Clock) -> None:
    metrics.progress("parcels", 3, watermark_ms=999_940_000)
    clock.now += 600
    assert value(metrics, "returnwatch_lag_seconds", stage="parcels", partition="3") == 660
    assert (
        value(metrics, "returnwatch_watermark_timestamp_seconds", stage="parcels", partition="3") == 999_940
    )


def test_a_watermark_that_is_not_known_lags_since_the_partition_came_to_us(
    metrics: Metrics, clock: Clock
) -> None:
    metrics.progress("parcels", 3, watermark_ms=0)
    clock.now += 90
    metrics.progress("parcels", 3, watermark_ms=0)
    assert value(metrics, "returnwatch_lag_seconds", stage="parcels", partition="3") == 90


def test_in_simulated_time_a_lag_is_still_in_real_seconds() -> None:
    clock = Clock()
    metrics = Metrics(CollectorRegistry(), log_clock=clock, time_speed=10_000.0)
    metrics.progress("returns", 0, watermark_ms=int(clock.now * 1000))
    clock.now += 20_000
    assert value(metrics, "returnwatch_lag_seconds", stage="returns", partition="0") == 2


def test_a_partition_that_went_to_another_worker_leaves_no_series_behind(metrics: Metrics) -> None:
    metrics.progress("returns", 5, watermark_ms=1)
    metrics.held_by("returns", 5, "orders/2", 7.0)
    metrics.state_keys.labels("returns", "5").set(11)
    metrics.cases_of(5, {("stalled_silent", "error"): 4})
    metrics.lag_records.labels("returnwatch-returns", "5").set(9)
    metrics.forget_partition("returns", 5)
    metrics.forget_lag("returnwatch-returns", 5)
    assert 'partition="5"' not in exposed(metrics)
    assert value(metrics, "returnwatch_open_cases", rule="stalled_silent", severity="error") == 0


def test_forgetting_a_partition_that_was_never_seen_is_harmless(metrics: Metrics) -> None:
    before = exposed(metrics).split("returnwatch_", 1)[1]
    metrics.forget_partition("parcels", 77)
    assert exposed(metrics).split("returnwatch_", 1)[1] == before


def test_only_the_source_that_holds_a_watermark_most_is_shown(metrics: Metrics) -> None:
    metrics.held_by("parcels", 0, "orders/1", 30.0)
    metrics.held_by("parcels", 0, "carrier-scans/4", 90.0)
    named = re.findall(r'watermark_held_by_seconds\{.*source="([^"]+)".*\} (\S+)', exposed(metrics))
    assert named == [("carrier-scans/4", "90.0")]


def test_open_cases_are_added_up_over_the_partitions_owned_here(metrics: Metrics) -> None:
    for partition in (0, 1):
        metrics.cases_of(partition, {("missing_first_scan", "warning"): 2})
    assert value(metrics, "returnwatch_open_cases", rule="missing_first_scan", severity="warning") == 4


def test_a_chunk_of_late_events_lands_in_the_buckets_of_a_histogram(metrics: Metrics) -> None:
    metrics.event_lateness.observe_many([0.5, 1.0, 90.0, 1e9])
    name = "returnwatch_event_lateness_seconds"
    assert [value(metrics, f"{name}_bucket", le=le) for le in ("1.0", "60.0", "300.0", "+Inf")] == [
        2,
        2,
        3,
        4,
    ]
    assert value(metrics, f"{name}_sum") == 1e9 + 91.5


@pytest.mark.skipif(shutil.which("promtool") is None, reason=HOW_TO_PROMTOOL)
def test_promtool_has_nothing_to_say_about_names_and_help(metrics: Metrics) -> None:
    metrics.expect_topics(["orders"])
    metrics.progress("parcels", 0, 1)
    metrics.held_by("parcels", 0, "orders/0", 1.0)
    metrics.lag_records.labels("orders", "0").set(1)
    metrics.policy("c0ffee")
    found = subprocess.run(
        ["promtool", "check", "metrics"], input=exposed(metrics), capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, "")
