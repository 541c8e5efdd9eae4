"""Plays recorded events in virtual time, by one policy or by two side by side: what intake makes of them is the same."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from agents.replay_reading import Recorded
from agents.virtual_time import VirtualTime
from schemas.outputs import Escalation
from schemas.policy import Policy
from schemas.vocabulary import CaseState, RuleId
from streams.intake import IntakeMapper

_of_one_chunk = attrgetter("at_ms", "kind", "topic", "partition")


class Span(NamedTuple):
    """From the first append to the end, in epoch milliseconds, and how far the watermark moves at once."""

    start_ms: int
    until_ms: int
    step_ms: int

    @property
    def steps(self) -> int:
        """How often the watermark moves."""
        return max(1, -(-(self.until_ms - self.start_ms) // self.step_ms))

    def ends(self) -> Iterator[int]:
        """Where the watermark stands after each step."""
        for number in range(1, self.steps + 1):
            yield min(self.start_ms + number * self.step_ms, self.until_ms)


@dataclass(slots=True)
class ReplayedCase:
    """A case as its changes tell it."""

    opened: Escalation
    last: Escalation
    escalated: bool = False
    """At any time, whatever became of it."""

    @property
    def is_standing(self) -> bool:
        """Neither resolved nor retracted at the end."""
        return self.last.state in {CaseState.OPEN, CaseState.ESCALATED}


@dataclass(slots=True)
class Replayed:
    """What one policy made of the records. `name`: the policy's, for a person."""

    name: str
    policy: Policy
    cases: dict[str, ReplayedCase] = field(default_factory=dict)
    suppressed: Counter[RuleId] = field(default_factory=Counter)
    """Cases that were not opened because a higher rule's case stood in their place."""

    def take(self, news: Sequence[Escalation]) -> None:
        """Take in changes, in the order in which they were said."""
        for change in news:
            case = self.cases.get(change.case_id)
            if case is None:
                case = self.cases[change.case_id] = ReplayedCase(change, change)
            case.last = change
            case.escalated = case.escalated or change.state is CaseState.ESCALATED


def play(
    records: Sequence[Recorded],
    policies: Sequence[tuple[str, Policy]],
    span: Span,
    mapper: IntakeMapper,
    stepped: Callable[[], None] = lambda: None,
) -> tuple[list[Replayed], Counter[str]]:
    """Play records, in order, by each policy; returns that, and why how many were refused.

    `stepped` is called after each of the span's steps.
    """
    results = [Replayed(name, policy) for name, policy in policies]
    engines = [VirtualTime(_without_journeys(result.policy), mapper=mapper) for result in results]
    refused: Counter[str] = Counter()
    chunks = _chunks(records)
    waiting = next(chunks, None)
    for end_ms in span.ends():
        while waiting is not None and waiting[0].at_ms <= end_ms:
            first = waiting[0]
            taken = mapper.map_chunk(
                waiting, first.kind, first.at_ms, topic=first.topic, partition=first.partition
            )
            refused.update(one.reason.value for one in taken.refused)
            for engine in engines:
                engine.take_in(taken.facts, first.at_ms)
                engine.arrived(first.kind, 0, first.at_ms, taken.arrivals)
            waiting = next(chunks, None)
        for engine, result in zip(engines, results, strict=True):
            if waiting is None:
                engine.records_end()
            engine.advance(end_ms)
            result.take(engine.news())
        stepped()
    for engine, result in zip(engines, results, strict=True):
        for (name, label), count in engine.counts().items():
            if name == "case_suppressed":
                result.suppressed[RuleId(label)] += count
    return results, refused


def _without_journeys(policy: Policy) -> bytes:
    """The policy's record, under its own hash, but that journeys are not told: a replay shows none, and they take time."""
    silent = policy.model_copy(update={"journeys": False})
    return b'{"hash":"%s","policy":%s}' % (policy.hash.encode(), silent.canonical().encode())


def _chunks(records: Sequence[Recorded]) -> Iterator[list[Recorded]]:
    """Records that were appended to the same partition in the same millisecond, together."""
    for _, chunk in groupby(records, _of_one_chunk):
        yield list(chunk)
