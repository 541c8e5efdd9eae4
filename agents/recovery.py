"""Faust's recovery, fed with whole chunks and gated by take-over records.

Faust keeps what it is good at: which changelog partitions belong to this worker, where to read them, when to pause
and resume. Ours are three things: every assignment takes its partitions over before it reads them (`take_over`),
chunks are applied in bulk, and a partition is ready when its own take-over record has come back out of the
changelog. Faust's own signals come in an order that makes any other gate racy (docs/adr/0002).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import faust
from faust.stores.base import Store as FaustStore
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types.tuples import TP

from agents.transport import Chunk


class RecoveryHost(Protocol):
    """What recovery asks of the worker."""

    def assignment_changed(self) -> None:
        """Nothing is ready any more: a new assignment has begun."""

    async def take_over(self, changelogs: set[TP]) -> None:
        """Fence the former owner of each changelog partition and let go of those not in the set."""

    def restored_offset(self, changelog: TP) -> int | None:
        """Last changelog offset in the local store; None when it is empty."""

    def restore(self, changelog: TP, chunk: Chunk) -> None:
        """Apply a chunk of a changelog partition."""

    def is_restored(self, changelog: TP) -> bool:
        """The take-over record of this assignment has come back."""

    async def restored(self) -> None:
        """Every partition of the assignment is restored: open for work."""


class BulkRecovery(Recovery):
    """Recovery by chunks; see the module's docstring."""

    @property
    def host(self) -> RecoveryHost:
        """The worker behind the app."""
        host: RecoveryHost = self.app.recovery_host
        return host

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        # Here, and not in the on_partitions_assigned signal: that one is sent after recovery was started.
        self.host.assignment_changed()
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ARG002, ASYNC109 - Faust's signature
        # Without Faust's time limits: a take-over waits for the broker, and a step cut off half-way is never made
        # up for. A newer rebalance and a stop still interrupt.
        await super()._wait(coro, timeout=None)

    async def _build_highwaters(
        self, consumer: Any, tps: set[TP], destination: Counter[TP], title: str
    ) -> None:
        if title == "active":
            await self.host.take_over(set(tps))
            # Left over from a recovery just before, it would end this one unread.
            self.signal_recovery_end.clear()
            for tp in tps:
                self.active_offsets[tp] = self.host.restored_offset(tp)
        await super()._build_highwaters(consumer, tps, destination, title)

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Open the assignment, and then go on reading where its parts stand.

        Not where Faust seeks: the group's commits can be ahead of us (one that was on its way while the broker was asked where
        to begin), and chunks that come between Faust's seek and its resuming of the flow are lost, for that empties every
        queue. Of a partition without new records nothing would come any more, and its mark would never be made.
        """
        await super().on_recovery_completed(generation_id)
        await self._wait(self.app.consumer.seek_to_positions())

    def bulk(self, changelog: TP, chunk: Chunk) -> None:
        """Apply a chunk of an active changelog partition; ends the recovery when all are restored."""
        if changelog not in self.active_tps:
            return
        self.host.restore(changelog, chunk)
        # Over transaction markers and compacted gaps too, else recovery never ends behind one.
        self.active_offsets[changelog] = max(chunk.next - 1, self.active_offsets.get(changelog) or -1)
        if self.in_recovery and not self.need_recovery() and self._all_restored():
            self._set_recovery_ended()
            self.signal_recovery_end.set()

    def need_recovery(self) -> bool:
        return not self._all_restored()

    def _all_restored(self) -> bool:
        return all(self.host.is_restored(tp) for tp in self.active_tps)


class BulkTableManager(TableManager):
    """Faust's table manager with `BulkRecovery`."""

    _recovery: BulkRecovery | None

    @property
    def recovery(self) -> BulkRecovery:
        if self._recovery is None:
            self._recovery = BulkRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class ChangelogShell(FaustStore):
    """Stands where Faust expects a store; the real one belongs to the stage and is not a mapping.

    It tells Faust how far each changelog partition is restored, nothing else.
    """

    def __init__(self, *args: Any, offset_of: Callable[[TP], int | None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offset_of = offset_of

    def persisted_offset(self, tp: TP) -> int | None:
        return self._offset_of(tp)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """The stage keeps it, in the same write batch as the states."""

    def apply_changelog_batch(self, batch: Iterable[Any], to_key: Any, to_value: Any) -> None:  # noqa: ARG002 - Faust's signature
        """Faust flushes its buffers here at each rebalance; with chunk transport they are always empty.

        Raises:
            RuntimeError: they were not: records would be lost.
        """
        if any(True for _ in batch):
            raise RuntimeError("changelog records reached Faust's own buffers instead of bulk recovery")

    def reset_state(self) -> None:
        """Nothing: stores are wiped one partition at a time, by their stage."""

    async def backup_partition(self, *_args: Any, **_kwargs: Any) -> None:
        """Backups are the changelog."""

    def restore_backup(self, *_args: Any, **_kwargs: Any) -> None:
        """Backups are the changelog."""

    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Any:
        return iter(())


class StateTable(faust.Table):
    """Registers a stage's changelog with Faust: co-partitioning, assignment, recovery."""

    def _new_store(self) -> ChangelogShell:
        return ChangelogShell(
            f"{self.name}://",
            self.app,
            self,
            table_name=self.name,
            key_type=bytes,
            value_type=bytes,
            offset_of=self.app.recovery_host.restored_offset,
        )
