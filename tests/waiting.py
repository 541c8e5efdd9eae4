"""One rule asked directly: the facts of one parcel or return in, what it waits for out. Times: ms after MONDAY."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from schemas.facts import ParcelFact, ParcelReport, ReturnFact
from schemas.policy import AT_ONCE, WITHOUT_BUDGET, Policy
from schemas.policy_loading import default_policy
from schemas.vocabulary import Reason, RuleId
from streams.expectation import Expectation
from streams.journeys import Journey, journeys
from streams.parcel import ParcelState, merge, raw_facts
from streams.parcel_look import terms_for
from streams.return_view import Awaited, ReturnView
from streams.returns import CaseRecord, ReturnState, merge_fact, merge_report
from streams.terms import CompiledPolicy, ParcelTerms
from tests.stages import HOUR, MINUTE, MONDAY

BUDGET, ALLOWANCE, SETTLE = 10 * HOUR, HOUR, 30 * MINUTE
PARCEL = "ups:1"


def plain(
    rules: Mapping[RuleId, Mapping[str, Any]] | None = None,
    *,
    off: Iterable[RuleId] = (),
    **changes: Any,
) -> Policy:
    """All rules switched on; 10 hours for each that takes a budget, and one hour more for what ups says."""
    numbers = default_policy().model_dump(mode="json")
    for rule, each in numbers["rules"].items():
        budget = None if RuleId(rule) in AT_ONCE | WITHOUT_BUDGET else "10h"
        usual: dict[str, Any] = {
            "enabled": rule not in set(off),
            "budget": budget,
            "international": None,
            "overrides": [],
        }
        each.update({**usual, **(rules or {}).get(RuleId(rule), {})})
    return Policy.model_validate({**numbers, "allowances": {"ups": "1h"}, **changes})


PLAIN = plain()

# -- parcels ----------------------------------------------------------------------------------------------------

ParcelRule = Callable[[Journey, ParcelTerms], Iterator[Expectation]]


class Wait(NamedTuple):
    """An expectation, with facts by identity."""

    anchor: str
    start: int
    due_ms: int
    reason: Reason = Reason.DUE
    """What ended it; DUE: nothing."""
    end: int = 0
    ended_ms: int = 0


def journey_of(*facts: ParcelFact) -> Journey:
    """The only journey of these facts."""
    state = ParcelState()
    for fact in facts:
        merge(state, fact)
    (journey,) = journeys(raw_facts(state), state.labels)
    return journey


def terms_of(journey: Journey, policy: Policy = PLAIN) -> ParcelTerms:
    """What holds for it."""
    terms = terms_for(journey, CompiledPolicy(policy.to_log()), PARCEL)
    assert terms is not None
    return terms


def expected(rule: ParcelRule, *facts: ParcelFact, policy: Policy = PLAIN) -> list[Expectation]:
    """All that the rule says."""
    journey = journey_of(*facts)
    return list(rule(journey, terms_of(journey, policy)))


def waits(rule: ParcelRule, *facts: ParcelFact, policy: Policy = PLAIN) -> list[Wait]:
    """All that the rule says, easy to compare."""
    return [_wait(one) for one in expected(rule, *facts, policy=policy)]


def breaches(rule: ParcelRule, now_ms: int, *facts: ParcelFact, policy: Policy = PLAIN) -> list[Wait]:
    """What of it is a breach at a time."""
    return [
        _wait(one)
        for one in expected(rule, *facts, policy=policy)
        if one.holds and one.due_ms <= MONDAY + now_ms and (one.end is None or one.end.at_ms > one.due_ms)
    ]


def _wait(one: Expectation) -> Wait:
    due_ms = one.due_ms - MONDAY
    if one.end is None:
        return Wait(one.anchor, one.start.identity, due_ms)
    end = one.end
    assert end.fact.at_ms == end.at_ms
    return Wait(one.anchor, one.start.identity, due_ms, end.reason, end.fact.identity, end.at_ms - MONDAY)


def anchor(fact: ParcelFact | ReturnFact) -> str:
    """The name of a case that a fact begins."""
    return f"{fact.identity:012x}"


# -- returns ----------------------------------------------------------------------------------------------------

ReturnRule = Callable[[ReturnView], Iterable[Awaited]]

BY_PROMISE_OR_LAW = WITHOUT_BUDGET | {RuleId.REFUND_PROMISE_BROKEN}


class Waiting(NamedTuple):
    """What a return waits for; its evidence and its end by the offsets of the records."""

    parcel: str
    anchor: str
    since_ms: int
    due_ms: int
    reason: Reason = Reason.DUE
    """What stopped it; DUE: nothing."""
    stopped_ms: int = 0
    read_at: tuple[int, ...] = ()
    """Offsets of the records that the start, and the end, were read from."""


def view_of(
    *told: ReturnFact | ParcelReport, policy: Policy = PLAIN, cases: Iterable[tuple[RuleId, str, str]] = ()
) -> ReturnView:
    """A return of which this was told, and of which there are these cases: (rule, parcel, anchor)."""
    state = ReturnState()
    for one in told:
        if isinstance(one, ParcelReport):
            merge_report(state, one)
        else:
            merge_fact(state, one)
    state.cases = tuple(CaseRecord(*key, 1, "open", "due", 1, 0, 0, 0, False) for key in cases)
    return ReturnView(state, CompiledPolicy(policy.to_log()))


def waiting(
    rule: ReturnRule,
    *told: ReturnFact | ParcelReport,
    policy: Policy = PLAIN,
    cases: Iterable[tuple[RuleId, str, str]] = (),
) -> list[Waiting]:
    """All that the rule says of a return."""
    found = list(rule(view_of(*told, policy=policy, cases=cases)))
    for one in found:
        # What explains a deadline to people has to give it (docs/explain.md).
        if one.rule not in BY_PROMISE_OR_LAW:
            assert one.deadline is not None
            assert one.deadline.due_ms(one.since_ms, one.arrived_ms) == one.due_ms
    return [_waiting(one) for one in found]


def _waiting(one: Awaited) -> Waiting:
    stop = one.stop
    read_at = tuple(source.offset for source in one.evidence)
    begun = (one.parcel, one.anchor, one.since_ms - MONDAY, one.due_ms - MONDAY)
    if stop is None:
        return Waiting(*begun, read_at=read_at)
    read_at += (stop.source.offset,) if stop.source is not None else ()
    return Waiting(*begun, stop.reason, stop.at_ms - MONDAY, read_at)


def report(
    parcel: str = PARCEL,
    *,
    label_ms: int = 0,
    first_scan_ms: int = 0,
    delivered_ms: int = 0,
    checked_in_ms: int = 0,
    **more: Any,
) -> ParcelReport:
    """A parcel's report; what happened was read a minute later. Times in ms after MONDAY; 0 is never (label: at once)."""
    times = {"first_scan": first_scan_ms, "delivered": delivered_ms, "checked_in": checked_in_ms}
    known = {f"{name}_ms": MONDAY + at_ms for name, at_ms in times.items() if at_ms}
    known |= {f"{name}_arrived_ms": MONDAY + at_ms + MINUTE for name, at_ms in times.items() if at_ms}
    carrier = parcel.partition(":")[0]
    return ParcelReport(
        parcel=parcel, revision=1, carrier=carrier, label_ms=MONDAY + label_ms, **{**known, **more}
    )
