"""Something that is waited for, as the oracle sees it."""

from collections.abc import Hashable
from datetime import datetime
from typing import NamedTuple

from schemas.vocabulary import Reason, RuleId

End = tuple[datetime, Reason]
"""Something that ends waiting: when it happened, and what it is called."""

CaseKey = tuple[RuleId, str, Hashable]
"""(rule, parcel, anchor): which case of a return it is."""


class Expectation(NamedTuple):
    """`parcel`: its key, "" for the return as a whole. `ends`: whatever would end the waiting, in any order."""

    rule: RuleId
    parcel: str
    anchor: Hashable
    since_at: datetime
    due_at: datetime
    ends: tuple[End, ...]

    @property
    def key(self) -> CaseKey:
        """Which case tells of it."""
        return self.rule, self.parcel, self.anchor

    @property
    def ended_at(self) -> datetime | None:
        """When the first of the ends came."""
        return min(self.ends)[0] if self.ends else None

    @property
    def reasons(self) -> frozenset[Reason]:
        """What the first end may be called: more than one when several came at the same time."""
        ended_at = self.ended_at
        return frozenset(reason for at, reason in self.ends if at == ended_at)

    @property
    def breached(self) -> bool:
        """Whether the deadline passes, or has passed, before what was waited for happened."""
        ended_at = self.ended_at
        return ended_at is None or ended_at > self.due_at
