"""One root case per cause: while a case of a higher rule stands, a lower one about the same cause is not told.

A breach is an interval, from its deadline until what ended it. Of a lower rule's interval, the times at which cases of the higher
rules stand are cut out. What is left of it at the time of the look is the case:

- nothing yet: no case, counted as suppressed;
- its last piece goes on: the case is open since that piece began;
- the cause has been told by a higher rule since: resolved, `explained`, when that case opened.

What a person called a false alarm explains nothing from then on.

`now` is the log's: a higher breach whose deadline has not come explains nothing yet, and one that ends later than now (facts are
ahead of the watermark) still explains. So a slow walk of the watermark and a jump find the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from schemas.vocabulary import Reason, RuleId
from streams.cases import Finding, Verdict
from streams.return_view import CaseKey

_GONE = (RuleId.CARRIER_REPORTED_LOST, RuleId.RETURNED_TO_CUSTOMER)
_HELD_SOMEWHERE = (RuleId.MISROUTED, RuleId.DELIVERY_FAILED, RuleId.PICKUP_POINT_EXPIRING)

EXPLAINED_BY: dict[RuleId, tuple[RuleId, ...]] = {
    RuleId.PICKUP_FAILED: (RuleId.LABEL_EXPIRED_UNUSED, *_GONE),
    RuleId.DROPOFF_CLAIM_UNCONFIRMED: (RuleId.LABEL_EXPIRED_UNUSED, *_GONE),
    RuleId.MISSING_FIRST_SCAN: (
        RuleId.LABEL_EXPIRED_UNUSED,
        *_GONE,
        RuleId.DROPOFF_CLAIM_UNCONFIRMED,
        RuleId.PICKUP_FAILED,
    ),
    RuleId.MISROUTED: _GONE,
    RuleId.DELIVERY_FAILED: _GONE,
    RuleId.PICKUP_POINT_EXPIRING: _GONE,
    RuleId.STALLED_SILENT: (*_GONE, *_HELD_SOMEWHERE),
    RuleId.STALLED_NO_PROGRESS: (*_GONE, *_HELD_SOMEWHERE),
    RuleId.TRANSIT_OVERDUE: (
        *_GONE,
        *_HELD_SOMEWHERE,
        RuleId.STALLED_SILENT,
        RuleId.STALLED_NO_PROGRESS,
    ),
    RuleId.CARRIER_REPORTED_DAMAGED: _GONE,
    RuleId.MOVING_AFTER_DELIVERY: _GONE,
    RuleId.DELIVERED_ELSEWHERE_SUSPECTED: (RuleId.RETURNED_TO_CUSTOMER,),
    RuleId.DELIVERED_NOT_CHECKED_IN: (
        RuleId.DELIVERED_ELSEWHERE_SUSPECTED,
        RuleId.MOVING_AFTER_DELIVERY,
        *_GONE,
    ),
    RuleId.REFUND_PROMISE_AT_RISK: (RuleId.REFUND_PROMISE_BROKEN,),
    RuleId.LATE_REFUND: (RuleId.REFUND_FAILED,),
    RuleId.LATE_REFUND_DECISION: (RuleId.CONTENT_MISMATCH,),
}
"""Rule -> the rules whose cases about the same parcel (or return) stand in its place. Each comes after those that explain it."""

_ORDER = {rule: number for number, rule in enumerate(EXPLAINED_BY, 1)}
_FOR_EVER = 1 << 62
NO_FALSE_ALARMS: Final[Mapping[CaseKey, int]] = MappingProxyType({})


class _Stands(NamedTuple):
    from_ms: int
    until_ms: int


def told_apart(
    found: Sequence[Finding], now_ms: int, false_alarms: Mapping[CaseKey, int] = NO_FALSE_ALARMS
) -> list[Finding]:
    """The findings at `now_ms`, higher rules first, those that others explain changed to what is left of them.

    `false_alarms`: cases that somebody closed as such, and when.
    """
    if sum(finding.verdict is not Verdict.NONE and finding.due_ms <= now_ms for finding in found) < 2:
        return list(found)
    standing: dict[tuple[str, str], list[_Stands]] = {}
    told = sorted(found, key=lambda finding: _ORDER.get(RuleId(finding.rule), 0))
    for index, finding in enumerate(told):
        if finding.verdict is Verdict.NONE or finding.due_ms > now_ms:
            continue
        covers = [
            stands
            for rule in EXPLAINED_BY.get(RuleId(finding.rule), ())
            for stands in standing.get((rule, finding.parcel), ())
        ]
        pieces = _pieces(finding, covers)
        begun = [piece for piece in pieces if piece.from_ms <= now_ms]
        told[index] = _left(finding, begun)
        if len(begun) < len(pieces):
            told[index] = told[index]._replace(again_ms=pieces[len(begun)].from_ms)
        until_ms = false_alarms.get(finding[:3], _FOR_EVER)
        covering = (_Stands(one.from_ms, min(one.until_ms, until_ms)) for one in begun)
        standing.setdefault((finding.rule, finding.parcel), []).extend(
            one for one in covering if one.from_ms < one.until_ms
        )
    return told


def told_instead(finding: Finding, told: Iterable[Finding]) -> list[Finding]:
    """The findings among those that were told apart whose cases stand, or stood, in the place of this one."""
    rules = EXPLAINED_BY.get(RuleId(finding.rule), ())
    until_ms = finding.ended_ms or _FOR_EVER
    return [
        other
        for other in told
        if other.rule in rules
        and other.parcel == finding.parcel
        and other.verdict in {Verdict.OPEN, Verdict.ENDED}
        and other.due_ms <= until_ms
        and (other.ended_ms or _FOR_EVER) >= finding.due_ms
    ]


def _pieces(finding: Finding, covers: Iterable[_Stands]) -> list[_Stands]:
    """What is left of the finding's interval, in order of time."""
    until_ms = finding.ended_ms if finding.verdict is Verdict.ENDED else _FOR_EVER
    pieces, from_ms = [], finding.due_ms
    for cover in sorted(covers):
        if cover.from_ms >= until_ms:
            break
        if from_ms < cover.from_ms:
            pieces.append(_Stands(from_ms, cover.from_ms))
        from_ms = max(from_ms, cover.until_ms)
    if from_ms < until_ms:
        pieces.append(_Stands(from_ms, until_ms))
    return pieces


def _left(finding: Finding, pieces: list[_Stands]) -> Finding:
    if not pieces:
        return finding._replace(verdict=Verdict.SUPPRESSED, reason=Reason.EXPLAINED)
    last = pieces[-1]
    if last.until_ms == _FOR_EVER:
        return finding._replace(due_ms=last.from_ms)
    if finding.verdict is Verdict.ENDED and last.until_ms == finding.ended_ms:
        return finding._replace(due_ms=last.from_ms)
    return finding._replace(
        verdict=Verdict.ENDED, reason=Reason.EXPLAINED, due_ms=last.from_ms, ended_ms=last.until_ms
    )
