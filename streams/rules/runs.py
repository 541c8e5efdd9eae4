"""Runs: a carrier says the same trouble again and again; one thing is waited for from the first time on.

A run of a milestone goes on until a later scan that ends it; of scans of the same time, only a delivery does: carriers write
several things with one time, and often with nothing but the day. It also ends when the carrier gives the parcel up: what is said
after it was found is another run. Each run is one expectation, named by its first fact.
"""

from collections.abc import Callable, Iterable, Iterator

from schemas.vocabulary import Milestone, Reason, RuleId
from streams.expectation import Expectation
from streams.journeys import GIVEN_UP, End, Journey, first_of, name_of
from streams.parcel import Seen
from streams.terms import ParcelTerms

_MOVED = {
    int(Milestone.DELIVERED): Reason.DELIVERED,
    int(Milestone.DELIVERED_ELSEWHERE): Reason.DELIVERED_ELSEWHERE,
    **{int(milestone): reason for milestone, reason in GIVEN_UP.items()},
}
_DELIVERED = int(Milestone.DELIVERED)
_FOR_EVER = 1 << 62


def of_milestone(journey: Journey, milestone: Milestone) -> list[Seen]:
    """The notable facts of a milestone, by time."""
    return [fact for fact in journey.notable if fact.milestone == milestone]


def moved_on(scan: Seen) -> Reason:
    """What to call a scan that ends a wait on the way."""
    return _MOVED.get(scan.milestone, Reason.PROGRESS)


def next_scan(journey: Journey, since: Seen, is_end: Callable[[Seen], bool]) -> Seen | None:
    """The first scan later than `since` that is one."""
    for index, at_ms in enumerate(journey.scan_times):
        if at_ms > since.at_ms and is_end(scan := journey.scan(index)):
            return scan
    return None


def _scan_of_that_time(journey: Journey, since: Seen, is_end: Callable[[Seen], bool]) -> Seen | None:
    for index, at_ms in enumerate(journey.scan_times):
        if at_ms == since.at_ms:
            scan = journey.scan(index)
            if scan.identity != since.identity and is_end(scan):
                return scan
    return None


def runs(
    rule: RuleId,
    journey: Journey,
    terms: ParcelTerms,
    facts: Iterable[Seen],
    is_end: Callable[[Seen], bool],
    reason_of: Callable[[Seen], Reason] = moved_on,
    *,
    by_any_at_once: bool = False,
) -> Iterator[Expectation]:
    """One expectation for each run of `facts` (by time) that was not ended in time.

    `by_any_at_once`: any scan of the same time ends it, not only a delivery.
    """
    deadline = terms.deadlines[rule]
    if not deadline.enabled:
        return
    over = journey.ends()
    until_ms = 0
    for fact in facts:
        if fact.at_ms < until_ms:
            continue
        scan = _scan_of_that_time(
            journey, fact, lambda one: is_end(one) and (by_any_at_once or one.milestone == _DELIVERED)
        ) or next_scan(journey, fact, is_end)
        until_ms = scan.at_ms if scan is not None else _FOR_EVER
        if journey.given_ups:
            over, until_ms = journey.ends(since_ms=fact.at_ms), min(until_ms, journey.found_ms(fact.at_ms))
        end = first_of([*([End(scan, reason_of(scan))] if scan is not None else []), *over])
        due_ms = deadline.due_ms(fact.at_ms, fact.arrived_ms)
        yield Expectation(rule, name_of(fact), fact, due_ms, end)
