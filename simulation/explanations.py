"""One root case per cause: while a case of a higher rule stands, what follows from the same cause is not told."""

from collections.abc import Sequence, Set
from datetime import datetime
from typing import Final, NamedTuple

from schemas.vocabulary import Reason, RuleId
from simulation.expectation import CaseKey, Expectation

_WILL_NOT_COME: Final = {RuleId.CARRIER_REPORTED_LOST, RuleId.RETURNED_TO_CUSTOMER}
_KEPT_UP: Final = {
    *_WILL_NOT_COME,
    RuleId.MISROUTED,
    RuleId.DELIVERY_FAILED,
    RuleId.PICKUP_POINT_EXPIRING,
}
EXPLAINED_BY: Final[dict[RuleId, set[RuleId]]] = {
    RuleId.MISSING_FIRST_SCAN: {
        RuleId.LABEL_EXPIRED_UNUSED,
        RuleId.DROPOFF_CLAIM_UNCONFIRMED,
        RuleId.PICKUP_FAILED,
        *_WILL_NOT_COME,
    },
    RuleId.DROPOFF_CLAIM_UNCONFIRMED: {RuleId.LABEL_EXPIRED_UNUSED, *_WILL_NOT_COME},
    RuleId.PICKUP_FAILED: {RuleId.LABEL_EXPIRED_UNUSED, *_WILL_NOT_COME},
    RuleId.STALLED_SILENT: _KEPT_UP,
    RuleId.STALLED_NO_PROGRESS: _KEPT_UP,
    RuleId.TRANSIT_OVERDUE: {*_KEPT_UP, RuleId.STALLED_SILENT, RuleId.STALLED_NO_PROGRESS},
    RuleId.MISROUTED: _WILL_NOT_COME,
    RuleId.DELIVERY_FAILED: _WILL_NOT_COME,
    RuleId.PICKUP_POINT_EXPIRING: _WILL_NOT_COME,
    RuleId.DELIVERED_ELSEWHERE_SUSPECTED: {RuleId.RETURNED_TO_CUSTOMER},
    RuleId.DELIVERED_NOT_CHECKED_IN: {
        RuleId.DELIVERED_ELSEWHERE_SUSPECTED,
        RuleId.MOVING_AFTER_DELIVERY,
        *_WILL_NOT_COME,
    },
    RuleId.CARRIER_REPORTED_DAMAGED: _WILL_NOT_COME,
    RuleId.MOVING_AFTER_DELIVERY: _WILL_NOT_COME,
    RuleId.REFUND_PROMISE_AT_RISK: {RuleId.REFUND_PROMISE_BROKEN},
    RuleId.LATE_REFUND: {RuleId.REFUND_FAILED},
    RuleId.LATE_REFUND_DECISION: {RuleId.CONTENT_MISMATCH},
}
"""Rule -> the rules whose cases, of the same return and parcel, stand in the place of its own."""


class Piece(NamedTuple):
    """A time in which a case stands. `until`: None while nothing has ended it."""

    since: datetime
    until: datetime | None
    why: frozenset[Reason]
    """What the end may be called."""


def standing(
    breaches: Sequence[Expectation], now: datetime, untold: Set[CaseKey] = frozenset()
) -> dict[CaseKey, list[Piece]]:
    """When the case of each breach stands, as seen at `now`: what is due later is not there yet, and covers nothing.

    `untold`: cases that are not told, and so cover nothing either.
    """
    return _Standing([breach for breach in breaches if breach.due_at <= now], now, untold).pieces()


class _Standing:
    def __init__(self, breaches: Sequence[Expectation], now: datetime, untold: Set[CaseKey]) -> None:
        self._breaches = breaches
        self._now = now
        self._untold = untold
        self._found: dict[CaseKey, list[Piece]] = {}

    def pieces(self) -> dict[CaseKey, list[Piece]]:
        for breach in self._breaches:
            self._of(breach)
        return self._found

    def _of(self, breach: Expectation) -> list[Piece]:
        if breach.key not in self._found:
            higher = EXPLAINED_BY.get(breach.rule, set())
            covers = [
                piece
                for other in self._breaches
                if other.rule in higher and other.parcel == breach.parcel and other.key not in self._untold
                for piece in self._of(other)
            ]
            pieces = _uncovered(breach, sorted(covers, key=lambda cover: cover.since))
            self._found[breach.key] = [piece for piece in pieces if piece.since <= self._now]
        return self._found[breach.key]


def _uncovered(breach: Expectation, covers: Sequence[Piece]) -> list[Piece]:
    """What the covers, in order of their beginnings, leave of the time from the deadline to the end."""
    pieces: list[Piece] = []
    since, until = breach.due_at, breach.ended_at
    for cover in covers:
        if until is not None and cover.since >= until:
            break
        if cover.until is not None and cover.until <= since:
            continue
        if cover.since > since:
            pieces.append(Piece(since, cover.since, frozenset({Reason.EXPLAINED})))
        if cover.until is None or (until is not None and cover.until >= until):
            return pieces
        since = cover.until
    return [*pieces, Piece(since, until, breach.reasons)]
