"""Plays a world: says what is to be sent when, in real seconds after the start. The sending itself is agents' work."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from simulation.happenings import Headers, SimEvent
from simulation.ledger import LedgerEvent


class Cue(NamedTuple):
    """One record to send: the simulated time at which it appears, and the record."""

    appears_at: datetime
    kind: str
    key: bytes
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Pace:
    """A straight line between real and simulated time: simulated = origin_at + speed * real seconds since the start."""

    origin_at: datetime
    speed: float

    def real_seconds(self, simulated_at: datetime) -> float:
        """Real seconds after the start at which it is `simulated_at`; negative before the origin."""
        return (simulated_at - self.origin_at).total_seconds() / self.speed

    def simulated_at(self, real_seconds: float) -> datetime:
        """Simulated time after so many real seconds."""
        return self.origin_at + timedelta(seconds=real_seconds * self.speed)


def cues(events: Iterable[SimEvent]) -> Iterator[Cue]:
    """What to send, in the order of appearance; `events` may come in any order."""
    for event in sorted(events, key=lambda event: event.appears_at):
        yield Cue(event.appears_at, event.kind, event.key, event.value, event.headers)


def slices(
    events: Iterable[SimEvent], pace: Pace, every_seconds: float = 0.05
) -> Iterator[tuple[float, list[Cue]]]:
    """The cues in handfuls: (real seconds after the start at which they are due, what to send then).

    A handful holds what appears within `every_seconds` and is due at the end of that span, so nothing is ever sent
    before its time.
    """
    handful: list[Cue] = []
    end = 0.0
    for cue in cues(events):
        due = pace.real_seconds(cue.appears_at)
        if handful and due > end:
            yield end, handful
            handful = []
        if not handful:
            end = (due // every_seconds + 1) * every_seconds
        handful.append(cue)
    if handful:
        yield end, handful


def undisturbed_ledger(events: Iterable[SimEvent]) -> list[LedgerEvent]:
    """The ledger of a world in which every record is appended at the very moment at which it appears."""
    return [LedgerEvent(cue.kind, cue.value, cue.headers, cue.appears_at) for cue in cues(events)]
