"""What needs no broker: how fast a replay is, and what a return takes on disk after its whole life."""

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import msgspec

from agents.garbage import tame_garbage_collection
from agents.replay_playing import Span, play
from agents.replay_reading import Recorded, in_order
from agents.store import PartitionStore, SharedMemory
from agents.virtual_time import InputRecord, VirtualTime
from benchmarks.workload import Workload
from schemas.carrier_codes import load_carrier_codes
from schemas.policy_loading import default_policy
from schemas.topics import InputKind
from streams.batch import Write
from streams.intake import IntakeMapper

ENDS_AT = datetime(2026, 6, 1, tzinfo=UTC)
STEP_MS = 3_600_000
TURNS = 3


class _Timed(msgspec.Struct):
    occurred_at: datetime


_timed = msgspec.json.Decoder(_Timed).decode


def replay_rate(returns: int) -> tuple[int, float]:
    """Events, and events per second of CPU, of returns with everything that a shop says of them; the best of TURNS."""
    records = _records(returns)
    span = Span(records[0].at_ms, records[-1].at_ms, STEP_MS)
    policy, mapper = default_policy(), IntakeMapper(load_carrier_codes())
    tame_garbage_collection()
    took = []
    for _ in range(TURNS):
        began = time.process_time()
        play(records, [("the default policy", policy)], span, mapper)
        took.append(time.process_time() - began)
    return len(records), len(records) / min(took)


def return_bytes(returns: int) -> float:
    """Of one return in the local store after compaction: state, key and timer."""
    engine = VirtualTime(default_policy().to_log())
    for _, step in groupby(_records(returns), lambda one: one.at_ms // STEP_MS):
        for one in step:
            engine.append([InputRecord(one.offset, one.value)], one.kind, one.at_ms)
        engine.advance(one.at_ms)
    writes = [Write(key, raw, armed_ms, 0, True) for key, armed_ms, raw in engine.kept("returns")]
    with tempfile.TemporaryDirectory(prefix="returnwatch-bench-") as directory:
        store = PartitionStore(Path(directory) / "store", SharedMemory(), lambda _reason: None)
        store.apply(writes, position=b"", policy=None, offset=0)
        store.compact()
        size = store.size_bytes()
        store.close()
    return size / len(writes)


def _records(returns: int) -> list[Recorded]:
    return in_order(list(recorded(Workload(returns, ENDS_AT, with_shop=True))))


def recorded(workload: Workload) -> Iterator[Recorded]:
    """The workload's events as a replay has them, each when it happened."""
    for event in workload.events:
        at_ms = int(_timed(event.value).occurred_at.timestamp() * 1000)
        kind = InputKind(event.topic)
        yield Recorded(at_ms, kind, event.topic, 0, -1, event.value, ())
