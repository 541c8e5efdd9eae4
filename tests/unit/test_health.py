"""When a supervisor should restart a worker, when it should not send it work, and what it is told."""

import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from agents.errors import SettingsError
from agents.health import HealthServer, Liveness, Readiness, health_app
from agents.metrics import Metrics


class Stopwatch:
    """Monotonic time, set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def liveness(stopwatch: Stopwatch) -> Liveness:
    return Liveness(stopwatch)


def test_a_position_that_does_not_move_for_a_minute_though_there_is_more_is_stuck(
    liveness: Liveness, stopwatch: Stopwatch
) -> None:
    liveness.probed("parcels", 2, position=10, stable_end=11, expected=True)
    stopwatch.seconds = 59.9
    assert liveness.stuck() == {}
    stopwatch.seconds = 60.0
    assert liveness.stuck() == {"parcels/2": 60.0}


def test_a_partition_that_stands_is_helped_once_before_it_counts_as_stuck(
    liveness: Liveness, stopwatch: Stopwatch
) -> None:
    liveness.probed("orders", 2, position=10, stable_end=11, expected=True)
    stopwatch.seconds += 14.9
    assert liveness.to_help() == []
    stopwatch.seconds += 0.1
    assert liveness.to_help() == [("orders", 2)]
    stopwatch.seconds += 15
    assert liveness.to_help() == []
    liveness.probed("orders", 2, position=11, stable_end=12, expected=True)
    liveness.probed("orders", 2, position=11, stable_end=12, expected=True)
    stopwatch.seconds += 15
    assert liveness.to_help() == [("orders", 2)]


def test_a_partition_that_still_stands_when_the_broker_is_back_is_helped_again(
    liveness: Liveness, stopwatch: Stopwatch
) -> None:
    """What was sought while the broker was away may have been lost with it."""
    liveness.probed("orders", 2, position=10, stable_end=11, expected=True)
    stopwatch.seconds += 15
    assert liveness.to_help() == [("orders", 2)]
    liveness.probe_failed()
    liveness.probed("orders", 2, position=10, stable_end=11, expected=True)
    stopwatch.seconds += 15
    assert liveness.to_help() == [("orders", 2)]


def test_a_long_backlog_that_moves_is_not_stuck(liveness: Liveness, stopwatch: Stopwatch) -> None:
    for second in range(0, 600, 30):
        stopwatch.seconds = second
        liveness.probed("parcels", 0, position=second, stable_end=1_000_000, expected=True)
    assert liveness.stuck() == {}


def test_an_idle_partition_is_not_stuck(liveness: Liveness, stopwatch: Stopwatch) -> None:
    for second in range(0, 600, 30):
        stopwatch.seconds = second
        liveness.probed("parcels", 0, position=7, stable_end=7, expected=True)
    assert liveness.stuck() == {}


def test_an_idle_hour_does_not_count_against_the_first_record_after_it(
    liveness: Liveness, stopwatch: Stopwatch
) -> None:
    liveness.probed("parcels", 0, position=7, stable_end=7, expected=True)
    stopwatch.seconds = 3_600
    liveness.probed("parcels", 0, position=7, stable_end=8, expected=True)
    assert liveness.stuck() == {}


def test_a_partition_that_waits_for_what_is_not_there_is_not_stuck(
    liveness: Liveness, stopwatch: Stopwatch
) -> None:
    liveness.probed("parcels", 0, position=7, stable_end=9, expected=True)
    stopwatch.seconds = 50
    liveness.probed("parcels", 0, position=7, stable_end=9, expected=False)
    stopwatch.seconds = 100
    liveness.probed("parcels", 0, position=7, stable_end=9, expected=True)
    stopwatch.seconds = 159
    assert liveness.stuck() == {}


def test_a_broker_that_is_away_kills_nobody(liveness: Liveness, stopwatch: Stopwatch) -> None:
    liveness.probed("parcels", 0, position=7, stable_end=9, expected=True)
    for second in range(10, 700, 10):
        stopwatch.seconds = second
        liveness.probe_failed()
    assert liveness.stuck() == {}
    liveness.probed("parcels", 0, position=7, stable_end=9, expected=True)
    assert liveness.stuck() == {}, "after an outage the minute starts anew"


def test_a_partition_that_left_is_not_stuck(liveness: Liveness, stopwatch: Stopwatch) -> None:
    liveness.probed("parcels", 0, position=7, stable_end=9, expected=True)
    liveness.forget("parcels", 0)
    stopwatch.seconds = 100
    assert liveness.stuck() == {}


def test_one_partition_that_moves_does_not_hide_one_that_does_not(
    liveness: Liveness, stopwatch: Stopwatch
) -> None:
    for second in range(0, 90, 10):
        stopwatch.seconds = second
        liveness.probed("parcels", 0, position=second, stable_end=10_000, expected=True)
        liveness.probed("returns", 1, position=3, stable_end=4, expected=True)
    assert list(liveness.stuck()) == ["returns/1"]


def test_a_worker_is_ready_only_when_nothing_is_missing(readiness: Readiness) -> None:
    readiness.waits_for("returns/3", "recovering, 12000 records to go")
    readiness.has("start")
    assert readiness.missing() == {"returns/3": "recovering, 12000 records to go"}
    readiness.has("returns/3")
    assert readiness.missing() == {}


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
async def address(liveness: Liveness, readiness: Readiness) -> AsyncIterator[str]:
    registry = CollectorRegistry()
    Metrics(registry)
    server = HealthServer(health_app(registry, liveness, readiness), "127.0.0.1", 0)
    yield await server.start()
    await server.stop()


async def ask(url: str, accept: str = "*/*") -> tuple[int, str, str]:
    async with ClientSession() as client, client.get(url, headers={"Accept": accept}) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


@pytest.mark.asyncio
async def test_live_names_the_stuck_partition(address: str, liveness: Liveness, stopwatch: Stopwatch) -> None:
    assert (await ask(f"{address}/live"))[0] == 200
    liveness.probed("parcels", 2, position=10, stable_end=11, expected=True)
    stopwatch.seconds = 61.0
    status, _type, text = await ask(f"{address}/live")
    assert (status, text) == (503, '{"ok": false, "stuck_seconds": {"parcels/2": 61.0}}')


@pytest.mark.asyncio
async def test_ready_says_what_it_waits_for(address: str, readiness: Readiness) -> None:
    status, _type, text = await ask(f"{address}/ready")
    assert (status, text) == (503, '{"ok": false, "waiting_for": {"start": "the worker is starting"}}')
    assert "\nreturnwatch_ready 0.0\n" in (await ask(f"{address}/metrics"))[2]
    readiness.has("start")
    assert (await ask(f"{address}/ready"))[0] == 200
    assert "\nreturnwatch_ready 1.0\n" in (await ask(f"{address}/metrics"))[2]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("accept", "content_type", "end"),
    [
        ("*/*", "text/plain", "\n"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text", "# EOF\n"),
    ],
)
async def test_metrics_come_in_the_format_that_was_asked_for(
    address: str, accept: str, content_type: str, end: str
) -> None:
    status, given, text = await ask(f"{address}/metrics", accept)
    assert status == 200
    assert given.startswith(content_type)
    assert "returnwatch_rebalances_total" in text
    assert text.endswith(end)


@pytest.mark.asyncio
async def test_a_taken_port_is_an_error_at_once_and_a_free_one_is_given_back(
    liveness: Liveness, readiness: Readiness
) -> None:
    first = HealthServer(health_app(CollectorRegistry(), liveness, readiness), "127.0.0.1", 0)
    port = int((await first.start()).rsplit(":", 1)[1])
    second = HealthServer(health_app(CollectorRegistry(), liveness, readiness), "127.0.0.1", port)
    with pytest.raises(
        SettingsError, match=f"127.0.0.1:{port}: is taken by another process; choose with --metrics-port"
    ):
        await second.start()
    await first.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_long_piece_of_work_at_one_position_is_progress(liveness: Liveness, stopwatch: Stopwatch) -> None:
    for batches in range(5):
        stopwatch.seconds = 45.0 * batches
        liveness.probed("parcels", 0, position=7, stable_end=9, expected=True, work=batches)
    assert liveness.stuck() == {}


def test_a_busy_partition_that_hangs_is_stuck_although_its_reading_is_paused(
    liveness: Liveness, stopwatch: Stopwatch
) -> None:
    for look in range(3):
        stopwatch.seconds = 45.0 * look
        liveness.probed("parcels", 0, position=7, stable_end=9_000, expected=True, work=4)
    assert liveness.stuck() == {"parcels/0": 90.0}
