"""What a test wants done to a worker from the inside: delays, stops, a broker's clock that lies, a planted mistake."""

from typing import Literal

import msgspec

PLAN_VARIABLE = "RETURNWATCH_TEST_PLAN"

Mistake = Literal[
    "",
    "cached_high_watermark",
    "fetch_position",
    "last_stable_offset",
    "ends_before_heartbeat",
    "frozen_roster",
]


class Stop(msgspec.Struct, frozen=True):
    """Stop the process at a step of a batch that says something (docs/adr/0004: the order of effects)."""

    stage: str
    """"parcels" or "returns"."""
    step: str
    """A checkpoint: before_changelog, before_outbox, before_store."""
    action: Literal["exit", "pause"]
    says: str
    """Only at a batch with a message for this output: "returns", "cases"."""


class Plan(msgspec.Struct, frozen=True):
    """Handed to tests/chaos/worker_main.py in an environment variable, as JSON."""

    seed: int = 0
    longest_delay_s: float = 0.0
    """Random delays up to this at every await that matters in intake and stages; 0: none."""
    longest_marker_delay_s: float = 0.0
    """The same in the making of markers."""
    stop: Stop | None = None
    mistake: Mistake = ""
    broker_ahead_file: str = ""
    """While this file exists, heartbeats are stamped an hour ahead, as by a broker whose clock is wrong."""
    resumes_late: bool = False
    """Input is read for a while between Faust's seek and its resuming of the flow, which empties the queues."""
    loses_chunks: int = 0
    """So many chunks of labels are lost on their way to intake."""
    begins_before: int = 0
    """Intake begins so many records before what the group has committed, as when a commit comes right after the question."""
