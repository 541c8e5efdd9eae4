"""States from recorded events: played in virtual time as `returnwatch replay` plays them."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from agents.explain_states import Clock
from agents.replay_reading import Recorded
from agents.virtual_time import VirtualTime
from streams.forgetting import LABELS, NO_SALT, Hidden, decode_hidden, hidden_name
from streams.intake import IntakeMapper, Refused, Stage
from streams.keys import split_parcel_key
from streams.watermark import Forgotten

STEP_MS = 3_600_000
"""How far time moves at once; how far makes no difference to what comes of it."""
_of_one_chunk = attrgetter("at_ms", "kind", "topic", "partition")


class PlayedStates:
    """Implements agents.explain_states.States over an engine that was advanced to `at_ms`."""

    def __init__(self, engine: VirtualTime, policy: bytes, at_ms: int, where: str) -> None:
        self.where = where
        self._clock = Clock(at_ms, policy)
        self._states = {stage: engine.states(stage) for stage in _STAGES}

    async def read(self, stage: Stage, keys: Collection[bytes]) -> Mapping[bytes, bytes]:
        """See States."""
        states = self._states[stage]
        return {key: states[key] for key in keys if key in states}

    async def numbered(self, number: str) -> Mapping[bytes, bytes]:
        """See States."""
        parcels = self._states["parcels"].items()
        return {key: raw for key, raw in parcels if split_parcel_key(key.decode())[1] == number}

    async def forgotten(self, return_id: str) -> Hidden | None:
        """See States."""
        name = hidden_name(Forgotten(salt=NO_SALT), b"", LABELS, return_id.encode())
        raw = self._states["returns"].get(name)
        return decode_hidden(raw) if raw is not None else None

    async def clock(self, key: bytes) -> Clock:  # noqa: ARG002 - one partition holds everything
        """See States."""
        return self._clock


_STAGES: tuple[Stage, ...] = ("parcels", "returns")


def played(
    records: Sequence[Recorded], policy: bytes, mapper: IntakeMapper, at_ms: int, where: str
) -> tuple[PlayedStates, list[Refused]]:
    """The states at `at_ms` under a policy (a POLICY_KEY record), and what intake refused.

    Of the records, in order, those count that were appended by then.
    """
    engine = VirtualTime(policy, mapper=mapper)
    refused, advanced_ms = list[Refused](), 0
    for (appended_ms, kind, topic, partition), chunk in groupby(records, _of_one_chunk):
        if appended_ms > at_ms:
            break
        if appended_ms - advanced_ms >= STEP_MS:
            engine.advance(appended_ms)
            advanced_ms = appended_ms
        taken = mapper.map_chunk(list(chunk), kind, appended_ms, topic=topic, partition=partition)
        engine.take_in(taken.facts, appended_ms)
        engine.arrived(kind, 0, appended_ms, taken.arrivals)
        refused += taken.refused
    else:
        engine.records_end()
    engine.advance(at_ms)
    return PlayedStates(engine, policy, at_ms, where), refused
