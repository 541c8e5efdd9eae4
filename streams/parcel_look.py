"""One look at a parcel: every expectation of its journeys at a given time, and what of it is news for its returns.

A breach is an expectation whose deadline is at or before `now`. All of them are listed at every look, also those that have
ended since, so a slow walk and one jump of the watermark find the same. Deadlines and ends are event times: nothing in a breach
depends on when it was looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from schemas.facts import ParcelReport, Source, encode_json
from schemas.vocabulary import Reason
from streams.clocks import DAY_MS
from streams.expectation import Expectation
from streams.journeys import Journey, journeys
from streams.keys import split_parcel_key
from streams.parcel import Breach, ParcelState, Seen, open_facts
from streams.rules import delivered_not_checked_in, missing_first_scan, stalled_no_progress, stalled_silent
from streams.terms import CompiledPolicy, ParcelTerms

RULES: tuple[Callable[[Journey, ParcelTerms], Iterator[Expectation]], ...] = (
    missing_first_scan.expectations,
    stalled_silent.expectations,
    stalled_no_progress.expectations,
    delivered_not_checked_in.expectations,
)

OPEN, ENDED, RETRACTED = "open", "ended", "retracted"
MOST_RETRACTED = 16
_NEVER = 1 << 62


class Look(NamedTuple):
    """What a look found. The state given to it has been brought up to date."""

    keep: bool
    """False: forget the parcel."""
    reports: list[tuple[str, ParcelReport]]
    """(return id, report), when there is news."""
    orphan: bool = False
    """Forgotten without ever having had a label."""


def look(
    key: str, state: ParcelState, now_ms: int, policy: CompiledPolicy, *, policy_changed: bool = False
) -> Look:
    """Evaluate at `now_ms`; see the head of this file."""
    state.quiet_ms = 0
    if not state.labels and not state.told:
        return _look_at_orphan(state, now_ms, policy)
    found = journeys(open_facts(state), state.labels)
    carrier = split_parcel_key(key)[0]
    breaches, next_ms = _breaches(found, state, now_ms, policy, carrier)
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
    state.breaches = _ledger(state.breaches, breaches, policy_changed=policy_changed)
    _note_quiet(state, found, policy, carrier)
    return Look(True, _news(key, state, found))


def _look_at_orphan(state: ParcelState, now_ms: int, policy: CompiledPolicy) -> Look:
    newest_ms = max([state.newest_ms, *(fact.arrived_ms for fact in open_facts(state))])
    state.look_ms = newest_ms + policy.orphan_ttl_ms
    return Look(state.look_ms > now_ms, [], orphan=True)


# -- breaches --------------------------------------------------------------------------------------------------


def _terms(journey: Journey, policy: CompiledPolicy, carrier: str) -> ParcelTerms | None:
    label = journey.waiting_label()
    if label is None:
        return None
    return policy.terms(carrier, label[1].origin, label[1].destination, label[1].facility)


def _breaches(
    found: Sequence[Journey], state: ParcelState, now_ms: int, policy: CompiledPolicy, carrier: str
) -> tuple[list[Breach], int]:
    """Every breach at `now_ms`, and when the next one may come."""
    breaches: list[Breach] = []
    next_ms = _NEVER
    for journey in found:
        terms = _terms(journey, policy, carrier)
        if terms is None:
            continue
        for rule in RULES:
            for expectation in rule(journey, terms):
                if expectation.due_ms > now_ms:
                    next_ms = min(next_ms, expectation.due_ms)
                elif expectation.holds:
                    breaches.append(_breach(expectation, journey, state.topics))
    return breaches, next_ms


def _breach(expectation: Expectation, journey: Journey, topics: Sequence[str]) -> Breach:
    rule, anchor, start, due_ms, end, _ = expectation
    return Breach(
        rule=rule.value,
        anchor=anchor,
        since_ms=start.at_ms,
        due_ms=due_ms,
        state=OPEN if end is None else ENDED,
        reason=Reason.DUE.value if end is None else end.reason.value,
        ended_ms=0 if end is None else end.at_ms,
        evidence=(_source(start, topics),)
        if end is None
        else (_source(start, topics), _source(end.fact, topics)),
        journey=journey.name,
    )


def _source(fact: Seen, topics: Sequence[str]) -> Source:
    return Source(topics[fact.topic], fact.partition, fact.offset)


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
    )


def _ledger(said: Sequence[Breach], current: list[Breach], *, policy_changed: bool) -> tuple[Breach, ...]:
    """What is to be said now: all current breaches, and that what was said before and no longer holds never was one."""
    if not said and not current:
        return ()
    known = {(breach.rule, breach.anchor) for breach in current}
    reason = Reason.POLICY_CHANGED if policy_changed else Reason.LATE_EVIDENCE
    gone = [
        breach if breach.state == RETRACTED else _changed(breach, RETRACTED, reason, 0)
        for breach in said
        if (breach.rule, breach.anchor) not in known
    ]
    kept = sorted(gone, key=lambda breach: breach.due_ms)[-MOST_RETRACTED:]
    return tuple(sorted([*kept, *current], key=lambda breach: (breach.due_ms, breach.rule, breach.anchor)))


def _note_quiet(state: ParcelState, found: Sequence[Journey], policy: CompiledPolicy, carrier: str) -> None:
    """Note whether a further scan on the way could change anything that is reported; see ParcelState.quiet_ms."""
    last = found[-1] if found else None
    if last is None or not last.scans or last.ended or last.voids:
        return
    terms = _terms(last, policy, carrier)
    if terms is not None and all(breach.state != OPEN for breach in state.breaches):
        state.quiet_ms = terms.quiet_ms


# -- reports ---------------------------------------------------------------------------------------------------


def _news(key: str, state: ParcelState, found: Sequence[Journey]) -> list[tuple[str, ParcelReport]]:
    linked = {return_id for journey in found for return_id, void in journey.returns().items() if void is None}
    told = set(state.told)
    if not linked and not told:
        return []
    if not linked <= told:
        state.told = tuple(sorted(told | linked))
    unnumbered = reports(key, state, found, revision=0)
    digest = blake2b(b"".join(encode_json(report) for _, report in unnumbered), digest_size=8).digest()
    if digest == state.digest:
        return []
    state.digest = digest
    state.revision += 1
    return reports(key, state, found, revision=state.revision)


def report_again(key: str, state: ParcelState) -> list[tuple[str, ParcelReport]]:
    """The last reports, from the state alone (after a crash)."""
    return reports(key, state, journeys(open_facts(state), state.labels), revision=state.revision)


def reports(
    key: str, state: ParcelState, found: Sequence[Journey], *, revision: int
) -> list[tuple[str, ParcelReport]]:
    """The parcel's report to each return that it was ever linked with. `last_scan_ms` is left out of revision 0."""
    told = []
    for return_id in state.told:
        mine = [
            (journey, journey.returns()[return_id]) for journey in found if return_id in journey.returns()
        ]
        if mine:
            told.append((return_id, _report(key, state, return_id, mine, revision)))
        else:
            report = ParcelReport(
                parcel=key,
                revision=revision,
                carrier=split_parcel_key(key)[0],
                linked=False,
                unlinked_reason=Reason.UNLINKED.value,
            )
            told.append((return_id, report))
    return told


def _report(
    key: str, state: ParcelState, return_id: str, mine: list[tuple[Journey, Seen | None]], revision: int
) -> ParcelReport:
    journey, void = mine[-1]
    fact, label = next((fact, label) for fact, label in journey.labels if return_id in label.returns)
    names = {journey.name: void for journey, void in mine}
    scans, delivered, checked_in = journey.scans, journey.delivered, journey.checked_in
    return ParcelReport(
        parcel=key,
        revision=revision,
        carrier=split_parcel_key(key)[0],
        origin=label.origin,
        destination=label.destination,
        facility=label.facility,
        linked=void is None,
        unlinked_reason="" if void is None else Reason.LABEL_VOIDED.value,
        value_minor=label.value_minor,
        currency=label.currency,
        label_ms=fact.at_ms,
        first_scan_ms=scans[0].at_ms if scans else 0,
        last_scan_ms=scans[-1].at_ms if scans and revision else 0,
        delivered_ms=delivered.at_ms if delivered is not None else 0,
        delivered_arrived_ms=delivered.arrived_ms if delivered is not None else 0,
        checked_in_ms=checked_in.at_ms if checked_in is not None else 0,
        truncated=state.truncated,
        breaches=tuple(
            _as_of_void(breach, names.get(breach.journey)).reported()
            for breach in state.breaches
            if breach.journey in names or breach.state == RETRACTED
        ),
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
