"""What the last record of `journeys` has to say of each return, read plainly from everything that was ever told of it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from schemas.outputs import RefundAction, RefundSignal
from schemas.return_journeys import JourneyMilestone, PortalStatus, ReturnJourney
from schemas.vocabulary import CaseState, Milestone, SignalReason
from simulation.dossier import ReturnDossier, Stories, dossiers
from simulation.expect_journey_words import Customer, Words
from simulation.expect_parcels_way import claims_that_hold, delivered_to_us, is_cancelled, is_refused
from simulation.ledger import LedgerEvent, ReturnNews, read_ledger
from simulation.oracle import ExpectedCase
from simulation.parcel_story import ParcelStory
from simulation.return_story import ReturnStory
from simulation.terms import Terms

_STANDING: Final = frozenset({CaseState.OPEN, CaseState.ESCALATED})
_SHIPPED: Final = {JourneyMilestone.DROPPED_OFF, JourneyMilestone.IN_TRANSIT, JourneyMilestone.DELIVERED}
_RECEIVED: Final = {JourneyMilestone.CHECKED_IN, JourneyMilestone.INSPECTED}

_OF_MONEY: Final = (
    Milestone.REFUND_APPROVED,
    Milestone.REFUND_REFUSED,
    Milestone.REFUND_ISSUED,
    Milestone.REFUND_SETTLED,
    Milestone.REFUND_FAILED,
    Milestone.REPLACEMENT_SENT,
)

Open = tuple[str, str]
"""(rule, parcel) of a case that stands."""


@dataclass(frozen=True)
class ExpectedJourney:
    """One return at the end."""

    return_id: str
    status: PortalStatus
    reached: Mapping[JourneyMilestone, datetime]
    issued_at: datetime | None
    parcels: frozenset[str]
    surely: bool
    """False: all that was told of it were labels, taken back since, perhaps before the return had heard of them."""
    heard: int
    """How much was said of it and of its parcels."""
    stories: Stories = field(compare=False)
    terms: Terms = field(compare=False)


def expected_journeys(
    events: Iterable[LedgerEvent], terms: Terms, until_at: datetime
) -> dict[str, ExpectedJourney]:
    """Return id -> what there is to tell, for every return of which anything is."""
    found = {}
    for dossier in dossiers(read_ledger(events), terms):
        if isinstance(dossier, ReturnDossier):
            stories = dossier.stories(until_at, until_at)
            story, heard = stories.whole, dossier.heard(until_at)
            journey = _expected(dossier.return_id, stories, terms, heard)
            if journey.surely or story.parcels or story.news(*_OF_MONEY):
                found[dossier.return_id] = journey
    return found


def wrong_journeys(
    expected: Mapping[str, ExpectedJourney],
    cases: Sequence[ExpectedCase],
    told: Mapping[str, ReturnJourney],
    until_at: datetime,
    closed: Collection[tuple[str, str, str]] = (),
    signals: Iterable[RefundSignal] | None = None,
    slack: timedelta | None = timedelta(0),
) -> list[str]:
    """Where the last records differ from what is true, in sentences. What was due after `until_at` is of no world.

    `closed`: (rule, return, parcel) of cases that are closed rightly, by people or after the end. `signals`: what was said of
    refunds; None: it is not known, and nothing that depends on it is judged. `slack`: how far from the end the log's time may be,
    and arrivals from what the ledger says; None: so far that no date can be judged, and no words that depend on one.
    """
    untold = sorted(expected.keys() - told.keys())
    wrong = [f"journey of {return_id} was never told" for return_id in untold if expected[return_id].surely]
    wrong += [
        f"journey of {return_id}: no such return" for return_id in sorted(told.keys() - expected.keys())
    ]
    surely, perhaps = _open_cases(cases)
    revoked = _revoked(signals) if signals is not None else None
    for return_id in sorted(expected.keys() & told.keys()):
        journey = told[return_id]
        open_cases = {
            (case.rule.value, case.parcel) for case in journey.open_cases if case.due_at <= until_at
        }
        over = {(rule, parcel) for rule, of, parcel in closed if of == return_id}
        missing = surely.get(return_id, set()) - open_cases - over
        false = open_cases - perhaps.get(return_id, set())
        differences = [*_differences(expected[return_id], journey, until_at)]
        tiers = revoked.get(return_id, {}) if revoked is not None else None
        if slack is not None:
            differences += _wrong_words(expected[return_id], journey, tiers, until_at, slack)
        differences += [f"{rule} {parcel} is open, and not told" for rule, parcel in sorted(missing)]
        differences += [f"{rule} {parcel} is told, and not open" for rule, parcel in sorted(false)]
        wrong += [f"journey of {return_id}: {difference}" for difference in differences]
    return wrong


def _differences(expected: ExpectedJourney, journey: ReturnJourney, until_at: datetime) -> Iterator[str]:
    if journey.status is not expected.status:
        yield f"is {expected.status}, told {journey.status}"
    reached = {one.milestone: one.at for one in journey.milestones if one.at is not None}
    for milestone in JourneyMilestone:
        if reached.get(milestone) != expected.reached.get(milestone):
            yield f"{milestone} at {expected.reached.get(milestone)}, told {reached.get(milestone)}"
    furthest = next((one for one in reversed(JourneyMilestone) if one in expected.reached), None)
    if journey.stage is not furthest:
        yield f"has come to {furthest}, told {journey.stage}"
    if journey.refund.issued_at != expected.issued_at:
        yield f"refund issued at {expected.issued_at}, told {journey.refund.issued_at}"
    parcels = {f"{one.carrier}:{one.tracking_number}" for one in journey.parcels}
    if parcels != expected.parcels:
        yield f"has the parcels {sorted(expected.parcels)}, told {sorted(parcels)}"
    if journey.refund.latest_at is not None and journey.refund.latest_at <= until_at:
        yield f"promises a refund by {journey.refund.latest_at}, which has passed"
    by = journey.message.parameters.get("by")
    if by is not None and datetime.fromisoformat(by) <= until_at:
        yield f"tells the customer of {by}, which has passed"
    if journey.open_case_count != len(journey.open_cases):
        yield f"counts {journey.open_case_count} open cases and shows {len(journey.open_cases)}"


def _revoked(signals: Iterable[RefundSignal]) -> dict[str, dict[str, SignalReason | None]]:
    """Return id -> tier that released it -> why that was revoked at last; None: it stands."""
    found: defaultdict[str, dict[str, SignalReason | None]] = defaultdict(dict)
    for signal in sorted(signals, key=lambda signal: signal.revision):
        revoked = signal.action is RefundAction.REVOKE
        found[signal.return_id][signal.tier] = signal.reason if revoked else None
    return found


def _wrong_words(
    expected: ExpectedJourney,
    journey: ReturnJourney,
    tiers: Mapping[str, SignalReason | None] | None,
    until_at: datetime,
    slack: timedelta,
) -> list[str]:
    """What is wrong in what the customer is told and in what comes next, the open cases taken as they are told."""
    found: list[list[str]] = []
    for now in dict.fromkeys((until_at, until_at - slack, until_at + slack)):
        words = Customer(
            expected.stories,
            expected.terms,
            expected.reached,
            expected.status,
            _parcels(expected.stories.whole),
            [(case.rule.value, case.parcel) for case in journey.open_cases],
            tiers or {},
            not all((tiers or {}).values()),
            now,
        ).words()
        found.append([*_words_apart(words, journey, slack, refund=tiers is not None)])
    wrong = min(found, key=len)
    if tiers is not None and journey.refund.released is all(tiers.values()):
        wrong.append(f"released is told {journey.refund.released}, by the signals {dict(tiers)}")
    return wrong


def _words_apart(words: Words, journey: ReturnJourney, slack: timedelta, *, refund: bool) -> Iterator[str]:
    message, step, ahead = journey.message, journey.next_step, words.step
    if message.key != words.key or message.parameters.keys() != words.parameters.keys():
        yield f"the customer is to be told {words.key} {dict(words.parameters)}, told {message.key} {message.parameters}"
    for name in words.parameters.keys() & message.parameters.keys():
        wanted, given = words.parameters[name], message.parameters[name]
        if not (given == wanted if isinstance(wanted, str) else _near(_at(given), wanted, slack)):
            yield f"{message.key} has {name} {wanted}, told {given}"
    told_ahead = None if step is None else (step.step, step.rule)
    wanted_ahead = None if ahead is None else (ahead.step, ahead.rule)
    due = None if ahead is None else ahead.due
    if told_ahead != wanted_ahead or not _near(None if step is None else step.due_at, due, slack):
        yield f"comes next: {ahead}, told {step}"
    if not _near(journey.refund.promised_at, words.promised, slack):
        yield f"a refund was promised by {words.promised}, told {journey.refund.promised_at}"
    told, wanted_ones = (journey.refund.earliest_at, journey.refund.latest_at), (words.earliest, words.latest)
    if refund and not all(_near(one, other, slack) for one, other in zip(told, wanted_ones, strict=True)):
        yield f"a refund may be expected {wanted_ones}, told {told}"


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _near(one: datetime | None, other: datetime | None, slack: timedelta) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= max(slack, timedelta(milliseconds=1))


def _open_cases(cases: Sequence[ExpectedCase]) -> tuple[dict[str, set[Open]], dict[str, set[Open]]]:
    """Return id -> the cases that must be open at the end, and those that may be."""
    surely: dict[str, set[Open]] = {}
    perhaps: dict[str, set[Open]] = {}
    for case in cases:
        if case.final_states & _STANDING:
            perhaps.setdefault(case.return_id, set()).add((case.rule.value, case.parcel))
            if case.opens is True and case.final_states <= _STANDING:
                surely.setdefault(case.return_id, set()).add((case.rule.value, case.parcel))
    return surely, perhaps


# -- one return ---------------------------------------------------------------------------------------------------


def _expected(return_id: str, stories: Stories, terms: Terms, heard: int) -> ExpectedJourney:
    story = stories.whole
    times = zip(JourneyMilestone, _milestones(story, terms), strict=True)
    reached = {milestone: at for milestone, at in times if at is not None}
    issued = [news.at for news in _since_it_failed(story, Milestone.REFUND_ISSUED)]
    parcels = frozenset(parcel.parcel for parcel in _parcels(story))
    surely = bool(reached) or story.first(Milestone.RETURN_CANCELLED) is not None
    status = _status(story, reached)
    issued_at = min(issued, default=None)
    return ExpectedJourney(return_id, status, reached, issued_at, parcels, surely, heard, stories, terms)


def _status(story: ReturnStory, reached: Mapping[JourneyMilestone, datetime]) -> PortalStatus:
    if JourneyMilestone.REFUNDED in reached:
        return PortalStatus.REFUNDED
    decisions = story.news(Milestone.REFUND_APPROVED, Milestone.REFUND_REFUSED)
    if is_refused(story) or is_cancelled(story):
        return PortalStatus.CLOSED
    if _RECEIVED & reached.keys():
        return PortalStatus.RECEIVED
    if _SHIPPED & reached.keys():
        return PortalStatus.SHIPPED
    if (
        reached.keys() - {JourneyMilestone.RETURN_REQUESTED}
        or decisions
        or story.news(Milestone.REFUND_FAILED)
    ):
        return PortalStatus.APPROVED
    return PortalStatus.PENDING_APPROVAL if reached else PortalStatus.CLOSED


def _parcels(story: ReturnStory) -> list[ParcelStory]:
    """The return's parcels; if their labels were all taken back, those that the dock has all the same."""
    at_the_dock = [
        one for one in story.parcels.values() if one.label is not None and one.checked_in is not None
    ]
    return list(story.linked.values()) or at_the_dock


def _milestones(story: ReturnStory, terms: Terms) -> list[datetime | None]:
    """When each of the nine was reached, in their order."""
    parcels = _parcels(story)
    scans = [scan.at for parcel in parcels for scan in parcel.scans]
    claims = [news.at for news in claims_that_hold(story, parcels)]
    paid = [
        *_since_it_failed(story, Milestone.REFUND_ISSUED, Milestone.REFUND_SETTLED),
        *story.news(Milestone.REPLACEMENT_SENT),
    ]
    return [
        *(_first(story, milestone) for milestone in (Milestone.RETURN_REQUESTED, Milestone.RETURN_APPROVED)),
        min((parcel.label.at for parcel in parcels if parcel.label is not None), default=None),
        min([*scans, *claims], default=None),
        min(scans, default=None),
        _delivered(story, parcels, terms),
        _checked_in(story, parcels),
        None if story.wholly_inspected is None else story.wholly_inspected.at,
        min((news.at for news in paid), default=None),
    ]


def _first(story: ReturnStory, milestone: Milestone) -> datetime | None:
    news = story.first(milestone)
    return None if news is None else news.at


def _since_it_failed(story: ReturnStory, *milestones: Milestone) -> list[ReturnNews]:
    failed_at = max((news.at for news in story.news(Milestone.REFUND_FAILED)), default=None)
    return [news for news in story.news(*milestones) if failed_at is None or news.at > failed_at]


def _delivered(story: ReturnStory, parcels: Sequence[ParcelStory], terms: Terms) -> datetime | None:
    """When the last had come, if the carrier told of any delivery."""
    told = [(one, delivered_to_us(one, terms)) for one in parcels]
    there = [news.at if news is not None else story.came_at(one) for one, news in told]
    known = [at for at in there if at is not None]
    return max(known) if any(news for _, news in told) and len(known) == len(parcels) else None


def _checked_in(story: ReturnStory, parcels: Sequence[ParcelStory]) -> datetime | None:
    """When the warehouse had the last."""
    if not parcels:
        return _first(story, Milestone.CHECKED_IN)
    known = [at for at in (story.came_at(one) for one in parcels) if at is not None]
    return max(known) if len(known) == len(parcels) else None
