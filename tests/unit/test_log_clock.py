"""The log's clock: it follows the broker, it never leads it, and a clock that runs away is not believed."""

from collections.abc import Callable

import pytest

from agents.log_clock import LogClock
from agents.settings import SimulatedTime

BROKER_MS = 1_760_000_000_000
"""Append time at the start of every story here."""
HOUR = 3_600.0


class World:
    """A broker's clock, this machine's wall clock and its monotonic clock, moved by hand."""

    def __init__(self) -> None:
        self.monotonic = 1_000.0
        self.wall = BROKER_MS / 1000
        self.broker_ms = float(BROKER_MS)

    def pass_time(self, seconds: float, *, broker_rate: float = 1.0) -> None:
        self.monotonic += seconds
        self.wall += seconds
        self.broker_ms += seconds * 1000 * broker_rate

    def clock(self, simulated: SimulatedTime | None = None, skew_ms: int = 60_000) -> LogClock:
        return LogClock(simulated, skew_ms, now=lambda: self.monotonic, wall=lambda: self.wall)

    def heartbeat(self, clock: LogClock, *, way_there: float = 0.0, way_back: float = 0.0) -> bool:
        """Send a heartbeat that takes `way_there` seconds to the log, and its answer `way_back` to us."""
        sent_at = self.monotonic
        self.pass_time(way_there)
        appended_ms = int(self.broker_ms)
        self.pass_time(way_back)
        return clock.heartbeat(appended_ms, sent_at)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def clock(world: World) -> LogClock:
    clock = world.clock()
    assert world.heartbeat(clock)
    return clock


def test_before_its_first_heartbeat_it_knows_nothing(world: World) -> None:
    clock = world.clock()
    assert not clock.known.is_set()
    assert clock.seconds() == world.wall


def test_a_heartbeat_that_waited_for_the_broker_does_not_put_the_clock_forward(
    clock: LogClock, world: World
) -> None:
    assert world.heartbeat(clock, way_there=65.0)
    assert 0 <= clock.now_ms() - world.broker_ms < 1_000


def test_now_is_never_before_the_true_log_time(world: World) -> None:
    clock = world.clock()
    world.heartbeat(clock, way_there=0.3, way_back=0.2)
    for _ in range(5):
        assert world.broker_ms < clock.now_ms() <= world.broker_ms + 301 + 1
        world.pass_time(0.7)


def test_a_marker_claims_the_heartbeat_less_the_skew(clock: LogClock) -> None:
    assert clock.through_ms(BROKER_MS) == BROKER_MS - 60_000


def test_simulated_time_runs_by_the_broker_and_the_skew_stays_in_broker_time(world: World) -> None:
    starts_ms = 1_700_000_000_000
    clock = world.clock(SimulatedTime(BROKER_MS, starts_ms, 1000.0), skew_ms=500)
    world.heartbeat(clock)
    world.pass_time(2)
    assert clock.through_ms(BROKER_MS + 2_000) == starts_ms + 1_500_000
    assert abs(clock.now_ms() - (starts_ms + 2_000_000)) <= 1_000
    assert clock.seconds() == clock.now_ms() / 1000


def test_a_broker_an_hour_ahead_at_the_start_is_not_believed(world: World) -> None:
    world.broker_ms += HOUR * 1000
    clock = world.clock()
    assert not world.heartbeat(clock)
    assert clock.frozen
    assert clock.ahead_ms > 3_000_000
    assert not clock.known.is_set(), "intake must not stamp arrivals by such a clock"


def test_it_believes_the_broker_again_once_its_clock_is_put_right(world: World) -> None:
    world.broker_ms += HOUR * 1000
    clock = world.clock()
    world.heartbeat(clock)
    world.broker_ms -= HOUR * 1000
    world.pass_time(1)
    assert world.heartbeat(clock)
    assert not clock.frozen
    assert abs(clock.now_ms() - world.broker_ms) <= 1


def test_a_broker_clock_that_jumps_an_hour_ahead_freezes_it_until_it_jumps_back(
    world: World, clock: LogClock
) -> None:
    world.pass_time(1)
    world.broker_ms += HOUR * 1000
    before = clock.now_ms()
    for _ in range(5):
        world.pass_time(1)
        assert not world.heartbeat(clock)
    assert clock.ahead_ms == pytest.approx(HOUR * 1000, abs=10)
    assert clock.now_ms() == before + 5_000, "between heartbeats it goes by the local elapsed time"
    world.broker_ms -= HOUR * 1000
    assert world.heartbeat(clock)
    assert not clock.frozen


def test_a_small_step_of_the_broker_clock_is_followed(world: World, clock: LogClock) -> None:
    world.broker_ms += 20_000
    assert world.heartbeat(clock)


@pytest.mark.parametrize("rate", [1.0005, 0.9995])
def test_slow_drift_between_the_clocks_is_followed_for_ever(world: World, rate: float) -> None:
    clock = world.clock()
    for _ in range(100_000):  # a day at the default period: drifted by 43 s
        assert world.heartbeat(clock)
        world.pass_time(1, broker_rate=rate)
        world.wall = world.broker_ms / 1000


@pytest.mark.parametrize(
    "held_back",
    [
        pytest.param(
            lambda world, clock: world.heartbeat(clock, way_back=600), id="the answer, by a paused worker"
        ),
        pytest.param(
            lambda world, clock: world.heartbeat(clock, way_there=600), id="the append, by a broker outage"
        ),
        pytest.param(lambda world, _clock: world.pass_time(600), id="everything"),
    ],
)
def test_a_pause_of_ten_minutes_is_no_clock_skew(
    world: World, clock: LogClock, held_back: Callable[[World, LogClock], object]
) -> None:
    held_back(world, clock)
    for _ in range(3):
        world.pass_time(1)
        assert world.heartbeat(clock), f"{clock.ahead_ms} ms ahead"


def test_a_first_heartbeat_held_back_does_not_hide_a_later_jump(world: World) -> None:
    clock = world.clock()
    world.heartbeat(clock, way_there=600)
    world.pass_time(1)
    world.heartbeat(clock)
    world.broker_ms += HOUR * 1000
    assert not world.heartbeat(clock)


def test_a_broker_clock_that_is_put_back_is_followed_at_once(world: World, clock: LogClock) -> None:
    world.broker_ms -= HOUR * 1000
    assert world.heartbeat(clock)
    assert abs(clock.now_ms() - world.broker_ms) <= 1
