"""Empties the queue of one receiver: in order for each case, several cases side by side, in digests when there is too much."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from time import time
from typing import NamedTuple

import aiohttp
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agents.notify_delivery import Endpoint, NotTakenError, pause_s
from agents.notify_record import NotifyRecord, Pending
from agents.notify_tracing import STOPPED, DeliveryTraces
from schemas.notify_routes import Digest
from streams.notify_bodies import Told, told_singly, told_together
from streams.notify_routing import Action

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 4
"""Requests to one receiver that wait for its answer."""
MOST_IN_A_DIGEST = 500
MOST_BYTES_IN_A_DIGEST = 256 * 1_024
LONE_SECONDS = 10.0
"""How long one change above the rate waits for others before it is a digest by itself."""
LOOK_SECONDS = 1.0
"""How often the queue is looked at when nobody says that there is something new, as `notify retry` does not."""


class NotifyMetrics:
    """What `notify` tells of itself. Labels are the names of the file, and outcomes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.changes = Counter(
            "returnwatch_notify_changes",
            "Changes read from `escalations`, by outcome: queued, no_route, repeated, unreadable.",
            ["outcome"],
            registry=registry,
        )
        self.messages = Counter(
            "returnwatch_notify_messages",
            "Messages by receiver and outcome: sent, failed (a try; it is tried again), given_up.",
            ["receiver", "outcome"],
            registry=registry,
        )
        self.digests = Counter(
            "returnwatch_notify_digests",
            "Messages that stood for several changes.",
            ["receiver"],
            registry=registry,
        )
        self.seconds = Histogram(
            "returnwatch_notify_delay_seconds",
            "From reading a change to its receiver's answer.",
            ["receiver"],
            buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 7_200, 86_400),
            registry=registry,
        )
        self.pending = Gauge(
            "returnwatch_notify_pending", "Changes still to be sent.", ["receiver"], registry=registry
        )
        self.oldest = Gauge(
            "returnwatch_notify_oldest_pending_seconds",
            "How long the oldest of them has waited.",
            ["receiver"],
            registry=registry,
        )


class _Parcelled(NamedTuple):
    """What goes into one message."""

    told: Told
    rows: tuple[Pending, ...]


class _Rest(NamedTuple):
    """A case whose message was not taken: it is left alone until then, and others have its place."""

    tries: int
    until: float


class Sender:
    """The work on one receiver's queue."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        record: NotifyRecord,
        session: aiohttp.ClientSession,
        metrics: NotifyMetrics,
        traces: DeliveryTraces | None = None,
    ) -> None:
        self._name = name
        self._traces = traces
        self._endpoint = endpoint
        self._record = record
        self._session = session
        self._metrics = metrics
        self._under_way: set[str] = set()
        """Ids of cases of which a message is under way."""
        self._rests = dict[str, _Rest]()
        self._messages = 0
        self._failures = 0
        """Tries that failed since the receiver last took something."""
        self._rests_until = 0.0
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that there is something new."""
        self._woken.set()

    async def run(self) -> None:
        """Send until cancelled. What was under way then is sent again by the next run."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                for one in self._next():
                    cases = {row.case_id for row in one.rows}
                    self._under_way |= cases
                    self._messages += 1
                    tasks.create_task(self._deliver(one, cases))
                # Not `wait_for`: in Python 3.11 it loses a cancellation that comes together with what it waits for.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._look_s()):
                        await self._woken.wait()

    def _look_s(self) -> float:
        """How long to wait for something new: no longer than a rest lasts."""
        now = time()
        ends = (self._rests_until, *(rest.until for rest in self._rests.values()))
        return min([LOOK_SECONDS, *(end - now for end in ends if end > now)])

    def _next(self) -> list[_Parcelled]:
        """The messages to begin now: of each case the oldest change, and nothing of one that is under way or rests."""
        now = time()
        free = MOST_AT_ONCE - self._messages
        if free <= 0 or now < max(self._endpoint.left_alone_until, self._rests_until):
            return []
        bound = self._record.bound(self._name)
        held = {row.case_id for row in bound} | self._under_way
        begun = self._begun(bound, now)[:free]
        # Who was never tried comes first: however many are refused again and again, the others are told.
        waiting = self._record.pending(self._name, MOST_IN_A_DIGEST, without=held | self._rests.keys())
        first = {row.case_id: row for row in reversed(waiting)}
        rested = [case for case, rest in self._rests.items() if rest.until <= now and case not in held]
        rested.sort(key=lambda case: self._rests[case].tries)
        again = self._record.pending_of(self._name, rested[:MOST_IN_A_DIGEST])
        ready = [*sorted(first.values()), *sorted(again, key=lambda row: self._rests[row.case_id].tries)]
        digest = self._endpoint.receiver.digest
        if digest is None:
            return [*begun, *map(_single, ready)][:free]
        singles = self._within_rate(digest, ready, waiting, held | self._rests.keys(), len(begun))
        return [*begun, *map(_single, singles)][:free]

    def _begun(self, bound: Sequence[Pending], now: float) -> list[_Parcelled]:
        """The digests to begin now: not beside, and not before, one with an earlier change of the same case."""
        held = self._under_way | {case for case, rest in self._rests.items() if rest.until > now}
        begun = []
        for one in _digests(bound):
            cases = {row.case_id for row in one.rows}
            if not cases & held:
                begun.append(one)
            held |= cases
        return begun

    def _within_rate(
        self,
        digest: Digest,
        ready: Sequence[Pending],
        waiting: Sequence[Pending],
        held: Iterable[str],
        begun: int,
    ) -> list[Pending]:
        """What to tell singly: all as long as it is little. Then what waits becomes one digest, and there is a pause."""
        is_pager = self._endpoint.receiver.kind == "pagerduty"
        # Folded into a digest, an end would leave open the incident that its case has.
        alone = [row for row in ready if is_pager and row.action != Action.TRIGGER]
        foldable = [row for row in ready if row not in alone]
        now = time()
        taken, digest_at = self._record.messages_since(self._name, now - digest.per.total_seconds())
        room = max(0, digest.above - taken - self._messages - begun)
        if room >= len(foldable):
            return list(ready)
        if room > 0:
            return [*alone, *foldable[:room]]
        if is_pager and (ends := self._record.ends(self._name, MOST_IN_A_DIGEST, now, without=held)):
            # Nobody has to hear of what has ended meanwhile; what is open is folded when these are told.
            return ends
        if digest_at is None and not self._messages and not begun:
            folded = _folded(foldable, waiting, only=Action.TRIGGER if is_pager else None)
            if len(folded) > 1 or now - folded[0].queued_at >= LONE_SECONDS:
                self._bind(folded)
                return []
        return alone

    def _bind(self, *digests: Sequence[Pending]) -> None:
        self._record.bind({_digest_id(self._name, rows): [row.seq for row in rows] for rows in digests})
        self.wake()

    async def _deliver(self, one: _Parcelled, cases: set[str]) -> None:
        seqs = [row.seq for row in one.rows]
        give_up_at = one.rows[0].queued_at + self._endpoint.receiver.give_up_after.total_seconds()
        try:
            answer = await self._tried(one)
        except NotTakenError as error:
            if error.is_too_large and len(one.rows) > 1:
                middle = len(one.rows) // 2
                self._bind(one.rows[:middle], one.rows[middle:])
            else:
                self._not_taken(one, cases, error, is_last=error.is_final or time() >= give_up_at)
        else:
            self._failures, self._rests_until = 0, 0.0
            self._rested(cases)
            self._record.sent(seqs, answer, time())
            self._metrics.messages.labels(self._name, "sent").inc()
            if one.told.is_digest:
                self._metrics.digests.labels(self._name).inc()
            self._metrics.seconds.labels(self._name).observe(max(0.0, time() - one.rows[0].queued_at))
        self._under_way -= cases
        self._messages -= 1
        self._woken.set()

    async def _tried(self, one: _Parcelled) -> str:
        if self._traces is None:
            return await self._asked(one, {})
        delivery = self._traces.begin(self._name, one.told)
        try:
            answer = await self._asked(one, delivery.headers)
        except NotTakenError as error:
            delivery.end(error.answer, failed=True)
            raise
        except asyncio.CancelledError:
            delivery.end(STOPPED, failed=True)
            raise
        delivery.end(answer, failed=False)
        return answer

    async def _asked(self, one: _Parcelled, headers: Mapping[str, str]) -> str:
        try:
            return await self._endpoint.send(self._session, one.told, headers)
        except NotTakenError:
            raise
        except Exception as error:
            # Whatever one message or one answer does, the other receivers have to be told.
            identity, name = one.told.identity, type(error).__name__
            log.error("notify_unexpected", receiver=self._name, message=identity, error=name)  # noqa: TRY400 - a traceback may show a secret address
            raise NotTakenError(f"failed here: {name}") from error

    def _not_taken(self, one: _Parcelled, cases: set[str], error: NotTakenError, *, is_last: bool) -> None:
        seqs = [row.seq for row in one.rows]
        identity = one.told.identity
        self._record.tried(seqs, error.answer)
        self._metrics.messages.labels(self._name, "failed").inc()
        log.warning("notify_not_taken", receiver=self._name, message=identity, answer=error.answer)
        if is_last:
            self._rested(cases)
            self._record.given_up(seqs, error.answer, time())
            self._metrics.messages.labels(self._name, "given_up").inc()
            log.error("notify_given_up", receiver=self._name, message=identity, answer=error.answer)
        if error.is_final:
            return
        tries = 1 + max((self._rests[case].tries for case in cases & self._rests.keys()), default=0)
        if not is_last:
            self._rests |= dict.fromkeys(cases, _Rest(tries, time() + pause_s(tries)))
        # It may be the message, or the receiver: with each that fails in a row the latter is likelier.
        self._failures += 1
        self._rests_until = time() + pause_s(max(1, self._failures - MOST_AT_ONCE)) / 10

    def _rested(self, cases: set[str]) -> None:
        for case in cases:
            self._rests.pop(case, None)


def _single(row: Pending) -> _Parcelled:
    return _Parcelled(told_singly(row.change), (row,))


def _digests(rows: Sequence[Pending]) -> list[_Parcelled]:
    names = dict.fromkeys(row.digest for row in rows if row.digest is not None)
    parts = [(name, tuple(row for row in rows if row.digest == name)) for name in names]
    return [_Parcelled(told_together(name, [row.change for row in part]), part) for name, part in parts]


def _folded(heads: Sequence[Pending], waiting: Sequence[Pending], *, only: Action | None) -> list[Pending]:
    """What goes into one digest: of each case its changes from the oldest on, in order, those of one kind if `only`."""
    rows = {head.case_id: [head] for head in heads}
    stopped = set[str]()
    for row in sorted(waiting):
        if row.case_id not in rows or row.seq <= rows[row.case_id][0].seq or row.case_id in stopped:
            continue
        if only is None or row.action == only:
            rows[row.case_id].append(row)
        else:
            stopped.add(row.case_id)
    found = sorted(row for part in rows.values() for row in part)[:MOST_IN_A_DIGEST]
    sizes = accumulate(len(row.change) for row in found)
    return [row for row, size in zip(found, sizes, strict=True) if size <= MOST_BYTES_IN_A_DIGEST] or found[
        :1
    ]


def _digest_id(receiver: str, rows: Sequence[Pending]) -> str:
    named = "\n".join([receiver, *(str(row.seq) for row in rows)])
    return f"digest:{hashlib.sha256(named.encode()).hexdigest()[:32]}"
