"""What `kpis` has to say in the end: counted plainly, return by return, from everything that was appended.

Milestones, legs and refunds come from the ledger alone. Cases are counted by what was said of them: whether that was right is
the oracle's affair (simulation/oracle.py), here it has to add up.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from schemas.kpis import BOUNDS_SECONDS, Dimension, KpiSnapshot
from schemas.outputs import Escalation
from schemas.vocabulary import CaseState, Closure, Milestone
from simulation.dossier import ReturnDossier, Stories
from simulation.ledger import NOWHERE, Ledger, LedgerEvent, ReturnNews, Route, read_ledger
from simulation.parcel_story import ParcelStory
from simulation.return_story import ReturnStory
from simulation.terms import Terms

Place = tuple[date, str, str]
"""(day, dimension, value)."""
_STANDING: Final = {CaseState.OPEN, CaseState.ESCALATED}
_MILESTONES: Final = {
    Milestone.RETURN_CANCELLED: "cancelled",
    Milestone.INSPECTED: "inspected",
    Milestone.RESTOCKED: "restocked",
    Milestone.REFUND_ISSUED: "refunded",
    Milestone.REFUND_REFUSED: "refused",
    Milestone.REPLACEMENT_SENT: "replaced",
}
_LEGS: Final = {
    "inspected_to_restocked": (Milestone.INSPECTED, Milestone.RESTOCKED),
    "inspected_to_refund": (Milestone.INSPECTED, Milestone.REFUND_ISSUED),
    "approved_to_refund": (Milestone.REFUND_APPROVED, Milestone.REFUND_ISSUED),
    "request_to_refund": (Milestone.RETURN_REQUESTED, Milestone.REFUND_ISSUED),
    "request_to_replacement": (Milestone.RETURN_REQUESTED, Milestone.REPLACEMENT_SENT),
}


@dataclass(slots=True)
class ExpectedKpis:
    """(day, dimension, value) -> name -> how much.

    Names: `requested`, ... as in schemas/kpis.py; `LEG<=SECONDS` of a bucket and `LEG seconds`; `RULE STATE`; `EUR KIND`.
    """

    told: dict[Place, Counter[str]] = field(default_factory=dict)

    def add(self, at: datetime, values: Sequence[str], name: str, amount: int = 1) -> None:
        """Something that happened on the UTC day of `at`; `values`: of the dimensions, in their order."""
        for dimension, value in zip(Dimension, values, strict=True):
            place = at.date(), dimension.value, value
            self.told.setdefault(place, Counter())[name] += amount

    def add_leg(self, values: Sequence[str], leg: str, start: datetime | None, end: datetime | None) -> None:
        """A leg, if both of its ends are known and in order."""
        if start is None or end is None or end < start:
            return
        seconds = int((end - start).total_seconds())
        bound = next(bound for bound in BOUNDS_SECONDS if seconds <= bound)
        self.add(end, values, f"{leg}<={bound}")
        self.add(end, values, f"{leg} seconds", seconds)


def expected_kpis(events: Iterable[LedgerEvent], terms: Terms, until_at: datetime) -> ExpectedKpis:
    """All that is counted without cases."""
    ledger, kpis = read_ledger(events), ExpectedKpis()
    for story in _stories(ledger, terms, until_at).values():
        _count(kpis, story)
    return kpis


def add_cases(
    kpis: ExpectedKpis,
    events: Iterable[LedgerEvent],
    terms: Terms,
    until_at: datetime,
    changes: Iterable[Escalation],
) -> None:
    """Count the cases as they stand after all changes, and what is at risk. Those about feeds are of no return."""
    stories = _stories(read_ledger(events), terms, until_at)
    newest: dict[str, Escalation] = {}
    for change in changes:
        if change.feed is not None:
            continue
        known = newest.get(change.case_id)
        if known is None or known.revision < change.revision:
            newest[change.case_id] = change
    oldest: dict[str, datetime] = {}
    for case in newest.values():
        story = stories.get(case.return_id)
        false_alarm = case.closure is Closure.FALSE_ALARM
        kpis.add(
            case.due_at, _of_case(case, story), f"{case.rule} {'false_alarm' if false_alarm else case.state}"
        )
        if case.state in _STANDING and case.return_id:
            oldest[case.return_id] = min(case.due_at, oldest.get(case.return_id, case.due_at))
    for name, due_at in oldest.items():
        _add_risk(kpis, due_at, stories[name])


def wrong_kpis(snapshots: Iterable[KpiSnapshot], wanted: ExpectedKpis, *, cases: bool = True) -> list[str]:
    """Where the newest snapshots, with all partitions added up, are not what they have to be."""
    found = _found(snapshots, cases=cases)
    wrong = []
    for place in sorted(found.keys() | wanted.told.keys()):
        one, other = found.get(place, Counter()), wanted.told.get(place, Counter())
        wrong += [
            f"{' '.join(map(str, place))}: {name} is {one[name]}, not {other[name]}"
            for name in sorted(one.keys() | other.keys())
            if one[name] != other[name]
        ]
    return wrong


def _found(snapshots: Iterable[KpiSnapshot], *, cases: bool) -> dict[Place, Counter[str]]:
    found: dict[Place, Counter[str]] = {}
    for snapshot in snapshots:
        told = found.setdefault((snapshot.day, snapshot.dimension.value, snapshot.value), Counter())
        told.update(
            {name.value: count for name, count in snapshot.counts.items() if cases or name != "at_risk"}
        )
        for leg, durations in snapshot.legs.items():
            told.update({f"{leg}<={bound}": count for bound, count in durations.buckets})
            told[f"{leg} seconds"] += durations.sum_seconds
        for currency, amounts in snapshot.amounts.items():
            told[f"{currency} refunded"] += amounts.refunded_minor
            told[f"{currency} at_risk"] += amounts.at_risk_minor if cases else 0
        if cases:
            for rule, counts in snapshot.cases.items():
                for state in ("open", "escalated", "resolved", "retracted", "false_alarm"):
                    told[f"{rule} {state}"] += getattr(counts, state)
    return found


# -- one return ---------------------------------------------------------------------------------------------------


def _stories(ledger: Ledger, terms: Terms, until_at: datetime) -> Mapping[str, Stories]:
    names = sorted({*ledger.parcels_of, *ledger.returns})
    return {name: ReturnDossier(ledger, terms, name).stories(until_at, until_at) for name in names}


def _values(route: Route, request: ReturnNews | None) -> tuple[str, ...]:
    """Of the dimensions: all, carrier, lane, facility, reason, category."""
    lane = f"{route.origin}-{route.destination}" if route.origin or route.destination else ""
    asked = (request.reason, request.category) if request is not None else ("", "")
    return "", route.carrier, lane, route.facility, *asked


def _in_order(story: Stories) -> list[ParcelStory]:
    """The parcels whose label holds, or that the dock has all the same, the first label first."""
    return sorted(story.whole.goods.values(), key=lambda parcel: (parcel.label.at, parcel.parcel))  # type: ignore[union-attr]


def _values_of(story: Stories) -> tuple[str, ...]:
    parcels = _in_order(story)
    return _values(parcels[0].route if parcels else NOWHERE, story.whole.request)


def _count(kpis: ExpectedKpis, story: Stories) -> None:
    whole, values = story.whole, _values_of(story)
    firsts = {milestone: whole.first(milestone) for milestone in Milestone}
    refunds = _refunds(whole)
    firsts[Milestone.REFUND_ISSUED] = refunds[0] if refunds else None
    at = {milestone: news.at for milestone, news in firsts.items() if news is not None}
    received = list(_count_parcels(kpis, story))
    if Milestone.CHECKED_IN in at:
        received.append(at[Milestone.CHECKED_IN])
    requested = whole.request
    if requested is not None:
        kpis.add(requested.at, values, "requested")
        kpis.add(requested.at, values, f"for_{requested.resolution}")
        labels = [parcel.label.at for parcel in _in_order(story) if parcel.label is not None]
        kpis.add_leg(values, "request_to_label", requested.at, min(labels, default=None))
    if received:
        kpis.add(min(received), values, "received")
        kpis.add_leg(values, "received_to_inspected", min(received), at.get(Milestone.INSPECTED))
    for milestone, name in _MILESTONES.items():
        if milestone in at:
            kpis.add(at[milestone], values, name)
    for leg, (start, end) in _LEGS.items():
        kpis.add_leg(values, leg, at.get(start), at.get(end))
    for refund in (one for one in refunds if one.worth is not None):
        assert refund.worth is not None
        kpis.add(refund.at, values, f"{refund.worth[1]} refunded", _minor(refund.worth[0]))


def _refunds(whole: ReturnStory) -> list[ReturnNews]:
    """Those that reached somebody. One that failed is the last before the failure, of the sum that the failure names."""
    left = list(whole.news(Milestone.REFUND_ISSUED))
    for failure in whole.news(Milestone.REFUND_FAILED):
        before = [one for one in left if one.at <= failure.at]
        of_that_sum = [one for one in before if failure.worth is not None and one.worth == failure.worth]
        for failed in (of_that_sum or before)[-1:]:
            left.remove(failed)
    return left


def _count_parcels(kpis: ExpectedKpis, story: Stories) -> Iterator[datetime]:
    """Yields when the warehouse got each."""
    for parcel in _in_order(story):
        values = _values(parcel.route, story.whole.request)
        assert parcel.label is not None
        kpis.add(parcel.label.at, values, "labelled")
        first = parcel.scans[0].at if parcel.scans else None
        if first is not None:
            kpis.add(parcel.label.at, values, "scanned")
        by_number = story.whole.received.get(parcel.parcel)
        ends = [news.at for news in (parcel.checked_in, by_number) if news is not None]
        delivered = parcel.delivered.at if parcel.delivered is not None else None
        kpis.add_leg(values, "label_to_first_scan", parcel.label.at, first)
        kpis.add_leg(values, "first_scan_to_delivered", first, delivered)
        kpis.add_leg(values, "delivered_to_received", delivered, min(ends, default=None))
        yield from ends


def _of_case(case: Escalation, story: Stories | None) -> tuple[str, ...]:
    if story is None:
        return _values(NOWHERE._replace(carrier=case.carrier), None)
    if not case.parcel:
        return _values_of(story)
    route = next((one.route for one in story.parcels if one.parcel == case.parcel), NOWHERE)
    return _values(route._replace(carrier=case.carrier), story.whole.request)


def _add_risk(kpis: ExpectedKpis, due_at: datetime, story: Stories) -> None:
    values = _values_of(story)
    kpis.add(due_at, values, "at_risk")
    request = story.whole.request
    worths = [request.worth] if request is not None and request.worth is not None else []
    worths += [parcel.route.worth for parcel in _in_order(story) if parcel.route.worth is not None]
    if worths:
        kpis.add(due_at, values, f"{worths[0][1]} at_risk", _minor(worths[0][0]))


def _minor(amount: Decimal) -> int:
    """Every currency of the simulated world has hundredths."""
    return int(amount * 100)
