"""What would end a waiting, or start a rule's, found out by trying: one more fact is told to the very rules that decide.

So there is no list of what closes a case that could differ from what does.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from schemas.facts import Source
from schemas.vocabulary import Disposition, Evidence, Milestone, Mismatch, RuleId
from streams.expectation import Expectation
from streams.findings import explanations_of, waits_of_return
from streams.journeys import NO_SCANS, Journey, journeys
from streams.parcel import Label, ParcelState, Raw, Seen, raw_facts
from streams.parcel_look import rules_for, terms_for
from streams.return_view import CaseKey, ReturnView
from streams.returns import ReturnState, Told
from streams.terms import CompiledPolicy, ParcelTerms

_IDENTITY = (1 << 48) - 1
_OF_A_PARCEL = (Milestone.LABEL_CREATED, Milestone.LABEL_VOIDED, Milestone.CHECKED_IN)
SCANS = tuple(
    milestone
    for milestone in Milestone
    if Milestone.PICKUP_SCHEDULED < milestone < Milestone.CHECKED_IN and milestone not in NO_SCANS
)
"""What a carrier's scan may prove."""
_OF_A_RETURN = tuple(
    milestone
    for milestone in Milestone
    if (
        milestone not in {Milestone.UNMAPPED, Milestone.LABEL_VOIDED}
        and (milestone < Milestone.CARRIER_PREADVISED or milestone >= Milestone.CHECKED_IN)
    )
    or milestone is Milestone.DROPOFF_CLAIMED
)
BY_NUMBER = "checked_in by the return's number"
FIRST_SCAN = "any scan"


class Tried(NamedTuple):
    """What one more fact would do."""

    ends: dict[CaseKey, list[str]]
    """Of each waiting that goes on: what would end it."""
    starts: dict[RuleId, list[str]]
    """Of each rule that waits for nothing: what would make it wait."""

    def note(self, word: str, before: Mapping[CaseKey, bool], after: Mapping[CaseKey, bool]) -> None:
        """Waitings (True: ended) before and after `word` was told."""
        for key, ended in before.items():
            # Of what is no longer there nothing is waited for.
            if not ended and after.get(key, True) and word not in self.ends.setdefault(key, []):
                self.ends[key].append(word)
        waiting = {rule for rule, _, _ in before}
        for key, ended in after.items():
            rule = RuleId(key[0])
            if rule not in waiting and not ended and word not in self.starts.setdefault(rule, []):
                self.starts[rule].append(word)


def expectations_of(
    key: str, facts: Iterable[Raw], labels: tuple[Label, ...], policy: CompiledPolicy
) -> Iterator[tuple[Journey, ParcelTerms, Expectation]]:
    """All that the rules wait for in the journeys of a parcel."""
    for journey in journeys(facts, labels):
        terms = terms_for(journey, policy, key)
        if terms is not None:
            for rule in rules_for(journey):
                for expectation in rule(journey, terms):
                    yield journey, terms, expectation


def try_on_parcel(tried: Tried, key: str, state: ParcelState, policy: CompiledPolicy, at_ms: int) -> None:
    """Try every scan, label, void and dock check-in at `at_ms`."""
    facts = list(raw_facts(state))
    before = _ended(key, facts, state.labels, policy)
    for milestone in (Milestone.PICKUP_FAILED, *SCANS, *_OF_A_PARCEL):
        if milestone is Milestone.LABEL_CREATED and state.labels:
            continue  # a second one is about another return
        labels = (*state.labels, Label(_IDENTITY, (), "", "", "", 0, "", ""))
        fact = _fact(milestone, at_ms)
        after = _ended(key, [*facts, fact], labels, policy)
        tried.note(milestone.name.lower(), before, after)


def _ended(
    key: str, facts: list[Raw], labels: tuple[Label, ...], policy: CompiledPolicy
) -> dict[CaseKey, bool]:
    return {
        (one.rule, key, one.anchor): one.end is not None
        for _, _, one in expectations_of(key, facts, labels, policy)
    }


def _fact(milestone: Milestone, at_ms: int) -> Seen:
    evidence = Evidence.CARRIER_SCAN if milestone not in _OF_A_PARCEL else Evidence.WAREHOUSE_SCAN
    return Seen(at_ms << 16 | milestone << 8 | evidence << 4, _IDENTITY << 16, at_ms << 16, 0, 0)


def try_on_return(tried: Tried, view: ReturnView, state: ReturnState, at_ms: int) -> None:
    """Try every fact of orders and warehouse at `at_ms`, and what the parcels may report: a scan, a check-in, a void."""
    before = _stopped(view)
    for milestone in _OF_A_RETURN:
        for told in _told(milestone, at_ms):
            after = msgspec.structs.replace(state, facts=(*state.facts, told))
            tried.note(_word(milestone), before, _stopped(ReturnView(after, view.policy)))
    for word, change in (
        (FIRST_SCAN, {"first_scan_ms": at_ms}),
        (Milestone.CHECKED_IN.name.lower(), {"checked_in_ms": at_ms}),
    ):
        moved = tuple(
            msgspec.structs.replace(one, **change) if not getattr(one, next(iter(change))) else one
            for one in state.carried
        )
        after = msgspec.structs.replace(state, carried=moved)
        tried.note(word, before, _stopped(ReturnView(after, view.policy)))
    unlinked = tuple(msgspec.structs.replace(one, linked=False) for one in state.carried)
    after = msgspec.structs.replace(state, carried=unlinked)
    tried.note(Milestone.LABEL_VOIDED.name.lower(), before, _stopped(ReturnView(after, view.policy)))


def _word(milestone: Milestone) -> str:
    return BY_NUMBER if milestone is Milestone.CHECKED_IN else milestone.name.lower()


def _stopped(view: ReturnView) -> dict[CaseKey, bool]:
    return {one[:3]: one.stop is not None for one in waits_of_return(view)}


def _told(milestone: Milestone, at_ms: int) -> Iterator[Told]:
    """The fact, in the ways that make a difference."""
    told = Told(at_ms, _IDENTITY, milestone, (), True, 1, "", 0, "", 0, at_ms, Source("", 0, 0))
    if milestone is Milestone.INSPECTED:
        yield msgspec.structs.replace(told, disposition=Disposition.RESTOCK.value)
        yield msgspec.structs.replace(told, mismatches=(Mismatch.DAMAGED.value,))
    else:
        yield told


def explaining(
    view: ReturnView, state: ReturnState, parcel: str, rules: Iterable[RuleId], at_ms: int
) -> dict[RuleId, list[str]]:
    """What orders and the warehouse could tell to end what these rules wait for of a parcel."""
    found: dict[RuleId, list[str]] = {}
    views = {}
    for milestone in (Milestone.CHECKED_IN, Milestone.RETURN_CANCELLED):
        (told,) = _told(milestone, at_ms)
        after = msgspec.structs.replace(state, facts=(*state.facts, told))
        views[_word(milestone)] = ReturnView(after, view.policy)
    for rule in rules:
        known = len(explanations_of(view, parcel, rule))
        found[rule] = [
            word for word, after in views.items() if len(explanations_of(after, parcel, rule)) > known
        ]
    return found
