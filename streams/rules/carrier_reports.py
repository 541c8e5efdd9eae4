"""What the carrier itself says has gone wrong for good: turned back, lost, damaged, delivered to somebody else.

Nothing is waited for but what is read to settle (or a budget, where the policy gives one). Anchor: the fact that says so
first.

- `returned_to_customer`: ends with a delivery to us after all, dock check-in, void. After it was turned back the carrier delivers
  it, too, and that is the delivery to the customer; so only one counts that it writes one of the facility's own places for
  (its country is not enough), after the last time that it was turned back.
- `carrier_reported_lost` (also disposed of): ends with any later scan, dock check-in, void. Lost again after it was found, it is
  another case.
- `carrier_reported_damaged`: ends with dock check-in (the inspection judges then), void, the carrier giving it up.
- `delivered_elsewhere_suspected`: a delivery that the carrier itself calls elsewhere, or at a place that is none of the
  facility's (policy `facilities.*.places`). Ends with a delivery to us, dock check-in, void; elsewhere once more after a delivery
  to us, it is suspected anew. Of two deliveries at the same time the one elsewhere is believed.
"""

from collections.abc import Iterator

from schemas.vocabulary import Milestone, RuleId
from streams.expectation import Expectation
from streams.journeys import GIVEN_UP, End, Journey, first_of, name_of
from streams.parcel import Seen
from streams.rules.runs import moved_on, next_scan, of_milestone
from streams.terms import ParcelTerms

_DELIVERED = int(Milestone.DELIVERED)
_FOR_EVER = 1 << 62


def returned_to_customer(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """At most one."""
    facts = of_milestone(journey, Milestone.RETURNED_TO_SENDER)
    if facts:
        delivered = _brought_to_us(journey, terms, facts[-1])
        yield from _at_once(RuleId.RETURNED_TO_CUSTOMER, journey, terms, facts[0], delivered)


def _brought_to_us(journey: Journey, terms: ParcelTerms, turned_back: Seen) -> Seen | None:
    return next_scan(
        journey,
        turned_back,
        lambda scan: scan.milestone == _DELIVERED and scan.place in terms.certain_places,
    )


def carrier_reported_lost(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """One for each time that it was lost."""
    until_ms = 0
    for fact in journey.notable:
        if fact.milestone in {Milestone.LOST, Milestone.DISPOSED} and fact.at_ms >= until_ms:
            found = next_scan(journey, fact, lambda scan: GIVEN_UP.get(Milestone(scan.milestone)) is None)
            until_ms = found.at_ms if found is not None else _FOR_EVER
            yield from _at_once(RuleId.CARRIER_REPORTED_LOST, journey, terms, fact, found)


def carrier_reported_damaged(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """At most one."""
    facts = of_milestone(journey, Milestone.DAMAGED)
    if facts:
        yield from _at_once(RuleId.CARRIER_REPORTED_DAMAGED, journey, terms, facts[0], None, given_up=True)


def delivered_elsewhere_suspected(journey: Journey, terms: ParcelTerms) -> Iterator[Expectation]:
    """One for each run of such reports."""
    for start, delivered in _elsewhere(journey, terms):
        yield from _at_once(RuleId.DELIVERED_ELSEWHERE_SUSPECTED, journey, terms, start, delivered)


def diversion(journey: Journey, terms: ParcelTerms) -> tuple[RuleId, Seen] | None:
    """Where else the carrier took it, whatever rules are switched on; None: nowhere, or it has come to us since."""
    if journey.checked_in is not None:
        return None
    turned_back = of_milestone(journey, Milestone.RETURNED_TO_SENDER) if journey.notable else []
    if turned_back and _brought_to_us(journey, terms, turned_back[-1]) is None:
        return RuleId.RETURNED_TO_CUSTOMER, turned_back[0]
    elsewhere = _elsewhere(journey, terms)
    if elsewhere and elsewhere[-1][1] is None:
        return RuleId.DELIVERED_ELSEWHERE_SUSPECTED, elsewhere[-1][0]
    return None


def _elsewhere(journey: Journey, terms: ParcelTerms) -> list[tuple[Seen, Seen | None]]:
    """The runs of deliveries that were not to us: the first of each, and the delivery to us that ended it."""
    if journey.elsewhere is None and (not terms.our_places or journey.delivered is None):
        return []
    scans = [journey.scan(index) for index in range(len(journey.scans))]
    astray = [scan for scan in scans if _is_astray(scan, terms)]
    doubtful = {scan.at_ms for scan in astray}
    rightly = [scan for scan in scans if scan.milestone == _DELIVERED and scan.at_ms not in doubtful]
    runs: list[tuple[Seen, Seen | None]] = []
    for scan in astray:
        ended = runs[-1][1] if runs else None
        if not runs or (ended is not None and ended.at_ms < scan.at_ms):
            runs.append((scan, next((one for one in rightly if one.at_ms > scan.at_ms), None)))
    return runs


def _is_astray(scan: Seen, terms: ParcelTerms) -> bool:
    if scan.milestone == Milestone.DELIVERED_ELSEWHERE:
        return True
    return scan.milestone == _DELIVERED and not _is_ours(scan, terms)


def _is_ours(scan: Seen, terms: ParcelTerms) -> bool:
    return not terms.our_places or not scan.place or scan.place in terms.our_places


def _at_once(
    rule: RuleId,
    journey: Journey,
    terms: ParcelTerms,
    start: Seen,
    scan: Seen | None,
    *,
    given_up: bool = False,
) -> Iterator[Expectation]:
    deadline = terms.deadlines[rule]
    if not deadline.enabled:
        return
    ends = [End(scan, moved_on(scan))] if scan is not None else []
    gives_up = set(GIVEN_UP.values())
    ends += [end for end in journey.ends() if given_up or end.reason not in gives_up]
    end = first_of(ends)
    due_ms = deadline.due_ms(start.at_ms, start.arrived_ms)
    yield Expectation(rule, name_of(start), start, due_ms, end)
