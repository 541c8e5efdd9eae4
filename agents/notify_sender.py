"""Empties the queue of one receiver: in order for each case, several cases side by side, in digests when there is too much."""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from time import time
from typing import NamedTuple

import aiohttp
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agents.notify_delivery import Endpoint, NotTakenError, delivered
from agents.notify_record import NotifyRecord, Pending
from schemas.notify_routes import Digest
from streams.notify_bodies import Told, told_singly, told_together
from streams.notify_routing import Action

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 4
"""Messages to one receiver that are under way."""
MOST_IN_A_DIGEST = 500
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


class Sender:
    """The work on one receiver's queue."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        record: NotifyRecord,
        session: aiohttp.ClientSession,
        metrics: NotifyMetrics,
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._record = record
        self._session = session
        self._metrics = metrics
        self._under_way: set[str] = set()
        """Ids of cases of which a message is under way."""
        self._messages = 0
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
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._woken.wait()

    def _next(self) -> list[_Parcelled]:
        """The messages to begin now: of each case the oldest change, and nothing beside one that is under way."""
        free = MOST_AT_ONCE - self._messages
        if free <= 0 or time() < self._endpoint.left_alone_until:
            return []
        waiting = self._record.pending(self._name, MOST_IN_A_DIGEST)
        bound = next((row.digest for row in waiting if row.digest is not None), None)
        if bound is not None:
            same = tuple(self._record.of_digest(bound))
            return [] if any(row.case_id in self._under_way for row in same) else [_digest(same)]
        first = {row.case_id: row for row in reversed(waiting) if row.case_id not in self._under_way}
        ready = sorted(first.values())
        digest = self._endpoint.receiver.digest
        if digest is None:
            return [_single(row) for row in ready[:free]]
        return self._within_rate(digest, ready, free)

    def _within_rate(self, digest: Digest, ready: Sequence[Pending], free: int) -> list[_Parcelled]:
        """One message for each change as long as there are few, then one for all that wait, then a pause."""
        is_pager = self._endpoint.receiver.kind == "pagerduty"
        # Folded into a digest, an end would leave open the incident that its case has.
        alone = [row for row in ready if is_pager and row.action != Action.TRIGGER]
        foldable = [row for row in ready if row not in alone]
        taken, digest_at = self._record.messages_since(self._name, time() - digest.per.total_seconds())
        room = max(0, digest.above - taken - self._messages)
        if room >= len(foldable) or not foldable:
            return [_single(row) for row in sorted([*alone, *foldable])[:free]]
        if room > 0:
            return [_single(row) for row in sorted([*alone, *foldable[:room]])[:free]]
        if digest_at is None and not self._messages and len(foldable) > 1:
            self._record.bind(_digest_id(self._name, foldable), [row.seq for row in foldable])
            self.wake()
            return []
        return [_single(row) for row in alone[:free]]

    async def _deliver(self, one: _Parcelled, cases: set[str]) -> None:
        seqs = [row.seq for row in one.rows]
        give_up_at = one.rows[0].queued_at + self._endpoint.receiver.give_up_after.total_seconds()

        def failed(error: NotTakenError) -> None:
            self._record.tried(seqs, error.answer)
            self._metrics.messages.labels(self._name, "failed").inc()
            log.warning(
                "notify_not_taken", receiver=self._name, message=one.told.identity, answer=error.answer
            )

        async def try_once() -> str:
            await self._endpoint.left_alone()
            try:
                return await self._endpoint.send(self._session, one.told)
            except NotTakenError:
                raise
            except Exception as error:
                # Whatever one message or one answer does, the other receivers have to be told.
                log.error(  # noqa: TRY400 - a traceback may show a secret address
                    "notify_unexpected",
                    receiver=self._name,
                    message=one.told.identity,
                    error=type(error).__name__,
                )
                raise NotTakenError(f"failed here: {type(error).__name__}") from error

        try:
            answer = await delivered(try_once, give_up_at=give_up_at, failed=failed)
        except NotTakenError as error:
            self._record.given_up(seqs, error.answer, time())
            self._metrics.messages.labels(self._name, "given_up").inc()
            log.error("notify_given_up", receiver=self._name, message=one.told.identity, answer=error.answer)  # noqa: TRY400 - a traceback may show a secret address
        else:
            self._record.sent(seqs, answer, time())
            self._metrics.messages.labels(self._name, "sent").inc()
            if one.told.is_digest:
                self._metrics.digests.labels(self._name).inc()
            self._metrics.seconds.labels(self._name).observe(max(0.0, time() - one.rows[0].queued_at))
        self._under_way -= cases
        self._messages -= 1
        self._woken.set()


def _single(row: Pending) -> _Parcelled:
    return _Parcelled(told_singly(row.change), (row,))


def _digest(rows: tuple[Pending, ...]) -> _Parcelled:
    assert rows[0].digest is not None
    return _Parcelled(told_together(rows[0].digest, [row.change for row in rows]), rows)


def _digest_id(receiver: str, rows: Sequence[Pending]) -> str:
    named = "\n".join([receiver, *(str(row.seq) for row in rows)])
    return f"digest:{hashlib.sha256(named.encode()).hexdigest()[:32]}"
