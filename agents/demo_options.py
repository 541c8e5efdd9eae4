"""What `returnwatch demo` was asked for."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """A seeded month of a shop's returns, played in simulated time."""

    once: bool = False
    """End by itself; exit code 0 only if nothing was missed, false, early or late."""
    returns: int = 5000
    seed: int = 1
    speed: float | None = None
    """Simulated seconds per second. None: chosen so that the month takes `minutes`."""
    minutes: float | None = None
    """Real minutes that the month takes. None, and no speed: the demo's own choice."""
    bootstrap_servers: tuple[str, ...] = field(default=())
    """A broker that runs already; empty: start one."""
    days: float = 30.0
    """Days within which the requests come; the world goes on for 20 more."""
    play_only: bool = False
    """Play the shop's events into running topics, by the clock of the settings; start nothing else."""
    keep: bool = False
    """Leave the data of broker and worker behind."""
    carriers: bool = False
    """Play what the carriers tell as their APIs and aggregators write it."""
