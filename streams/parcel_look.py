"""One look at a parcel: every expectation of its journeys at a given time, and what of it is news for its returns.

A breach is an expectation whose deadline is at or before `now`. All of them are listed at every look, also those that have
ended since, so a slow walk and one jump of the watermark find the same. Deadlines and ends are event times: nothing in a breach
depends on when it was looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from schemas.facts import ParcelReport, ReportedBreach
from schemas.vocabulary import Milestone, Reason, RuleId
from streams.clocks import DAY_MS
from streams.expectation import Expectation
from streams.feed_holds import UNWATCHED, Holding
from streams.feeds import Feeds
from streams.held import Worth
from streams.journeys import Journey, journeys
from streams.keys import HIDDEN, split_parcel_key
from streams.parcel import FACT_BYTES, MOST_RETURNS, Breach, Diversion, ParcelState, Seen, raw_facts
from streams.parcel_shortcuts import digest, note_stage
from streams.rules import (
    carrier_reports,
    checked_in_not_delivered,
    delivered_not_checked_in,
    delivery_failed,
    label_expired_unused,
    misrouted,
    missing_first_scan,
    moving_after_delivery,
    pickup_failed,
    pickup_point_expiring,
    stalled_no_progress,
    stalled_silent,
    transit_overdue,
    unexpected_parcel,
)
from streams.terms import CompiledPolicy, ParcelTerms

Rule = Callable[[Journey, ParcelTerms], Iterator[Expectation]]
RULES: tuple[Rule, ...] = (
    missing_first_scan.expectations,
    label_expired_unused.expectations,
    stalled_silent.expectations,
    stalled_no_progress.expectations,
    transit_overdue.expectations,
    moving_after_delivery.expectations,
    delivered_not_checked_in.expectations,
    checked_in_not_delivered.expectations,
    carrier_reports.delivered_elsewhere_suspected,
)
RULES_OF_NOTABLE: tuple[Rule, ...] = (
    pickup_failed.expectations,
    misrouted.expectations,
    delivery_failed.expectations,
    pickup_point_expiring.expectations,
    carrier_reports.returned_to_customer,
    carrier_reports.carrier_reported_lost,
    carrier_reports.carrier_reported_damaged,
)
"""Asked only of journeys in which the carrier said anything out of the ordinary."""
OWN_RULES: tuple[Rule, ...] = (unexpected_parcel.expectations,)
"""Whose cases are the parcel's own, and no return's."""
OWN = frozenset({RuleId.UNEXPECTED_PARCEL.value})
OWN_KEY = "\x01"
"""Before its key, names a parcel where a return would stand: no return id begins so."""

OPEN, ENDED, RETRACTED = "open", "ended", "retracted"
MOST_RETRACTED = 16
_NEVER = 1 << 62
_CHECKED_IN = int(Milestone.CHECKED_IN)

Report = tuple[str, ParcelReport]
"""(return id, report)."""


class Look(NamedTuple):
    """What a look found. The state given to it has been brought up to date."""

    keep: bool
    """False: forget the parcel."""
    reports: list[Report]
    """To every return concerned, when there is news."""
    orphan: bool = False
    """There never was a label."""


class Cause(NamedTuple):
    """Why there is a look, as far as it matters for what is said."""

    terms_changed: bool = False
    """What the labels say is not what the last report was made from."""
    policy_changed: bool = False


ORDINARY = Cause()


def look(
    key: str,
    state: ParcelState,
    now_ms: int,
    policy: CompiledPolicy,
    cause: Cause = ORDINARY,
    feeds: Feeds = UNWATCHED,
) -> Look:
    """Evaluate at `now_ms`; see the head of this file."""
    state.stage = 0
    holding = Holding(feeds, state.held, now_ms)
    state.held = ()
    if nobody_waits_for(state):
        return _look_at_orphan(state, now_ms, policy)
    found = journeys(raw_facts(state), state.labels)
    terms = [terms_for(journey, policy, key) for journey in found]
    breaches, next_ms = _breaches(key, found, terms, state, now_ms, holding)
    next_ms = min(next_ms, holding.again_ms)
    expires_ms = state.newest_ms + policy.accept_age_ms
    if now_ms < expires_ms:
        state.expired = False
        state.look_ms = min(next_ms, expires_ms)
    else:
        still_open = [breach for breach in breaches if breach.state == OPEN]
        if state.expired or not still_open:
            return Look(False, [])
        state.expired = True
        state.look_ms = now_ms + DAY_MS
        breaches = [_expired(breach, expires_ms) if breach.state == OPEN else breach for breach in breaches]
    state.held = tuple(holding.held)
    said = state.breaches
    if said or breaches:
        state.breaches = _ledger(said, breaches, policy_changed=cause.policy_changed)
    diverted = state.diversions
    if diverted or any(journey.notable or journey.delivered is not None for journey in found):
        state.diversions = tuple(_diversions(found, terms))
    changed = cause.terms_changed or state.breaches != said or state.diversions != diverted
    news = _news(key, state, found, changed=changed)
    note_stage(state, found, terms[-1] if terms else None)
    return Look(True, news)


def nobody_waits_for(state: ParcelState) -> bool:
    """Whether it has no label, nobody was told of it, and no dock has it."""
    return not state.labels and not state.told and _CHECKED_IN not in state.facts[6::FACT_BYTES]


def _look_at_orphan(state: ParcelState, now_ms: int, policy: CompiledPolicy) -> Look:
    newest_ms = max([state.newest_ms, *(raw[2] >> 16 for raw in raw_facts(state))])
    state.look_ms = newest_ms + policy.orphan_ttl_ms
    return Look(state.look_ms > now_ms, [], orphan=True)


# -- breaches --------------------------------------------------------------------------------------------------


def terms_for(journey: Journey, policy: CompiledPolicy, key: str) -> ParcelTerms | None:
    """The deadlines that hold for the journey; None: it has no label, and nobody waits."""
    label = journey.waiting_label()
    if label is None:
        unexpected = journey.checked_in is not None
        return policy.terms(split_parcel_key(key)[0], "", "", "") if unexpected else None
    terms = label[1]
    return policy.terms_of(split_parcel_key(key)[0], terms)


def _breaches(
    key: str,
    found: Sequence[Journey],
    terms: Sequence[ParcelTerms | None],
    state: ParcelState,
    now_ms: int,
    holding: Holding,
) -> tuple[list[Breach], int]:
    """Every breach at `now_ms` that is not held, and when the next one may come."""
    breaches: list[Breach] = []
    next_ms = _NEVER
    said = {(one.rule, one.anchor): one for one in state.breaches if one.state != RETRACTED}
    for journey, deadlines in zip(found, terms, strict=True):
        if deadlines is None:
            continue
        for rule in rules_for(journey):
            for expectation in rule(journey, deadlines):
                if expectation.end is not None and expectation.end.at_ms <= expectation.due_ms:
                    continue
                if expectation.due_ms > now_ms:
                    next_ms = min(next_ms, expectation.due_ms)
                elif expectation.holds:
                    before = said.get((expectation.rule.value, expectation.anchor))
                    if before is not None:
                        raised_ms = before.raised_ms
                    elif _is_held(holding, key, journey, expectation):
                        continue
                    else:
                        raised_ms = _raised_ms(holding, expectation)
                    breaches.append(_breach(expectation, journey, state.topics, raised_ms))
    return breaches, next_ms


def _is_held(holding: Holding, key: str, journey: Journey, expectation: Expectation) -> bool:
    label = journey.waiting_label()
    worth = Worth(label[1].value_minor, label[1].currency) if label is not None else Worth()
    what = (expectation.rule.value, "", expectation.anchor)
    return holding.holds(what, split_parcel_key(key)[0], expectation.due_ms, worth)


def _raised_ms(holding: Holding, expectation: Expectation) -> int:
    """When it could be told; 0: at its deadline."""
    due_ms = expectation.due_ms
    raised_ms = holding.raised_ms((expectation.rule.value, "", expectation.anchor), due_ms)
    return raised_ms if raised_ms > due_ms else 0


def rules_for(journey: Journey) -> tuple[Rule, ...]:
    """The rules that are asked of a journey."""
    if not journey.labels:
        return OWN_RULES
    rules = RULES + RULES_OF_NOTABLE if journey.notable else RULES
    checked_in = journey.checked_in
    if checked_in is not None and journey.labels[0][0].at_ms > checked_in.at_ms:
        rules += OWN_RULES
    return rules


def _breach(expectation: Expectation, journey: Journey, topics: Sequence[str], raised_ms: int) -> Breach:
    rule, anchor, start, due_ms, end, _ = expectation
    return Breach(
        rule=rule.value,
        anchor=anchor,
        since_ms=start.at_ms,
        due_ms=due_ms,
        state=OPEN if end is None else ENDED,
        reason=Reason.DUE.value if end is None else end.reason.value,
        ended_ms=0 if end is None else end.at_ms,
        evidence=(start.source(topics),) if end is None else (start.source(topics), end.fact.source(topics)),
        journey=journey.name,
        raised_ms=raised_ms,
    )


def _diversions(found: Sequence[Journey], terms: Sequence[ParcelTerms | None]) -> Iterator[Diversion]:
    for journey, deadlines in zip(found, terms, strict=True):
        if journey.labels and deadlines is not None:
            diverted = carrier_reports.diversion(journey, deadlines)
            if diverted is not None:
                yield Diversion(journey.name, diverted[0].value, diverted[1].at_ms)


def _expired(breach: Breach, at_ms: int) -> Breach:
    return _changed(breach, ENDED, Reason.EXPIRED, at_ms)


def _changed(breach: Breach, state: str, reason: Reason, ended_ms: int) -> Breach:
    return Breach(
        breach.rule,
        breach.anchor,
        breach.since_ms,
        breach.due_ms,
        state,
        reason.value,
        ended_ms,
        breach.evidence,
        breach.journey,
        breach.raised_ms,
    )


def _ledger(said: Sequence[Breach], current: list[Breach], *, policy_changed: bool) -> tuple[Breach, ...]:
    """What is to be said now: all current breaches, and that what was said before and no longer holds never was one."""
    known = {(breach.rule, breach.anchor) for breach in current}
    reason = Reason.POLICY_CHANGED if policy_changed else Reason.LATE_EVIDENCE
    gone = [
        breach if breach.state == RETRACTED else _changed(breach, RETRACTED, reason, 0)
        for breach in said
        if (breach.rule, breach.anchor) not in known
    ]
    kept = sorted(gone, key=lambda breach: breach.due_ms)[-MOST_RETRACTED:]
    return tuple(sorted([*kept, *current], key=lambda breach: (breach.due_ms, breach.rule, breach.anchor)))


# -- reports ---------------------------------------------------------------------------------------------------


def _news(key: str, state: ParcelState, found: Sequence[Journey], *, changed: bool) -> list[Report]:
    """The reports under a new revision when they say something new; `changed`: breaches or label terms did."""
    # Also those whose label was taken back before we could tell them: they have heard of the label, and wait for it.
    named = [name for one in found for name in one.returns() if not name.startswith(HIDDEN)]
    if any(breach.rule in OWN for breach in state.breaches):
        named.append(OWN_KEY + key)
    if not named and not state.told:
        return []
    new = [return_id for return_id in dict.fromkeys(named) if return_id not in state.told]
    room = max(0, MOST_RETURNS - len(state.told))
    if new[:room]:
        state.told = tuple(sorted({*state.told, *new[:room]}))
        changed = True
    state.truncated |= len(new) > room
    told = _digest(state, found)
    if told == state.digest and not changed:
        return []
    state.digest = told
    state.revision += 1
    return reports(key, state, found)


def _digest(state: ParcelState, found: Sequence[Journey]) -> int:
    """Of what a report says besides breaches and label terms."""
    told: list[int] = [state.truncated, len(found)]
    for journey in found:
        if journey.labels:
            delivered, checked_in = journey.delivered, journey.checked_in
            told += [number for fact, _ in journey.labels for number in (fact.content, fact.arrived_ms)]
            told += [fact.content for fact, _ in journey.voids]
            told += [journey.scan_times[0], journey.scan(0).arrived_ms] if journey.scans else [0, 0]
            told += [delivered.at_ms, delivered.arrived_ms] if delivered is not None else [0, 0]
            told += [checked_in.at_ms, checked_in.arrived_ms] if checked_in is not None else [0, 0]
            told.append(journey.decisive_arrived_ms(state.marked_arrived_ms))
            weighed = _weighed(state, journey)
            told += [weighed[1], weighed[0].content] if weighed is not None else []
            told += [-1] if journey.disposed else []
    return digest(tuple(told))


def report_again(key: str, state: ParcelState) -> list[Report]:
    """The last reports, from the state alone (after a crash)."""
    return reports(key, state, journeys(raw_facts(state), state.labels))


def reports(key: str, state: ParcelState, found: Sequence[Journey]) -> list[Report]:
    """The parcel's whole report to each return that it was ever linked with."""
    if not state.revision:
        return []
    told = []
    for return_id in state.told:
        if return_id.startswith(OWN_KEY):
            told.append((return_id, _own(key, state)))
            continue
        mine = [
            (journey, journey.returns()[return_id]) for journey in found if return_id in journey.returns()
        ]
        told.append((return_id, _report(key, state, return_id, mine) if mine else _unlinked(key, state)))
    return told


def _own(key: str, state: ParcelState) -> ParcelReport:
    """What the parcel says of itself, whoever sends it."""
    return ParcelReport(
        parcel=key,
        revision=state.revision,
        carrier=split_parcel_key(key)[0],
        breaches=tuple(breach.reported() for breach in state.breaches if breach.rule in OWN),
    )


def _unlinked(key: str, state: ParcelState) -> ParcelReport:
    return ParcelReport(
        parcel=key,
        revision=state.revision,
        carrier=split_parcel_key(key)[0],
        linked=False,
        unlinked_reason=Reason.UNLINKED.value,
        decisive_arrived_ms=state.marked_arrived_ms,
    )


def _report(
    key: str, state: ParcelState, return_id: str, mine: list[tuple[Journey, Seen | None]]
) -> ParcelReport:
    journey, void = mine[-1]
    fact, label = next((fact, label) for fact, label in journey.labels if return_id in label.returns)
    times, delivered, checked_in = journey.scan_times, journey.delivered, journey.checked_in
    diverted = next((one for one in state.diversions if one.journey == journey.name), None)
    weighed = _weighed(state, journey)
    return ParcelReport(
        parcel=key,
        revision=state.revision,
        carrier=split_parcel_key(key)[0],
        origin=label.origin,
        destination=label.destination,
        facility=label.facility,
        linked=void is None,
        unlinked_reason="" if void is None else Reason.LABEL_VOIDED.value,
        value_minor=label.value_minor,
        currency=label.currency,
        service=label.service,
        shop=label.shop,
        label_ms=fact.at_ms,
        first_scan_ms=times[0] if times else 0,
        last_scan_ms=times[-1] if times else 0,
        delivered_ms=delivered.at_ms if delivered is not None else 0,
        delivered_arrived_ms=delivered.arrived_ms if delivered is not None else 0,
        checked_in_ms=checked_in.at_ms if checked_in is not None else 0,
        first_scan_arrived_ms=journey.scan(0).arrived_ms if times else 0,
        checked_in_arrived_ms=checked_in.arrived_ms if checked_in is not None else 0,
        label_arrived_ms=fact.arrived_ms,
        decisive_arrived_ms=journey.decisive_arrived_ms(state.marked_arrived_ms),
        diverted=diverted.rule if diverted is not None else "",
        diverted_ms=diverted.at_ms if diverted is not None else 0,
        weight_grams=weighed[1] if weighed is not None else 0,
        expected_grams=label.weight_grams,
        weighed_ms=weighed[0].at_ms if weighed is not None else 0,
        weighed_arrived_ms=weighed[0].arrived_ms if weighed is not None else 0,
        weighed_evidence=(weighed[0].source(state.topics),) if weighed is not None else (),
        disposed=journey.disposed,
        truncated=state.truncated,
        breaches=_breaches_for(state, mine) if state.breaches else (),
    )


def _weighed(state: ParcelState, journey: Journey) -> tuple[Seen, int] | None:
    """The newest dock scan with a weight, and the weight."""
    if not state.weights:
        return None
    grams = {one.identity: one.grams for one in state.weights}
    return next(
        ((scan, grams[scan.identity]) for scan in reversed(journey.dock_scans) if scan.identity in grams),
        None,
    )


def _breaches_for(state: ParcelState, mine: list[tuple[Journey, Seen | None]]) -> tuple[ReportedBreach, ...]:
    voids = {journey.name: void for journey, void in mine}
    return tuple(
        _as_of_void(breach, voids.get(breach.journey)).reported()
        for breach in state.breaches
        if breach.rule not in OWN and (breach.journey in voids or breach.state == RETRACTED)
    )


def _as_of_void(breach: Breach, void: Seen | None) -> Breach:
    """The breach as it is for a return whose label was taken back while others stay on the parcel."""
    if void is None or breach.state == RETRACTED:
        return breach
    if void.at_ms <= breach.due_ms:
        return _changed(breach, RETRACTED, Reason.LATE_EVIDENCE, 0)
    if breach.state == OPEN or void.at_ms < breach.ended_ms:
        return _changed(breach, ENDED, Reason.LABEL_VOIDED, void.at_ms)
    return breach
