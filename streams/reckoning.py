"""How a deadline came about, in parts that add up to it: the budget and who chose it, the days counted, what came on top.

The deadlines are those by which the rules decide; nothing is counted a second way. Where a part is left over that nothing
accounts for, `Later.UNACCOUNTED` says so: tests want it never seen.
"""

from enum import StrEnum
from typing import NamedTuple

from schemas.durations import budget_text, duration_text
from schemas.policy_overrides import Override
from schemas.vocabulary import Milestone, RuleId
from streams.clocks import CountedDays, from_ms
from streams.closures import closed_before
from streams.expectation import Expectation
from streams.journeys import Journey
from streams.return_view import Awaited, ReturnView
from streams.rules.promises import lawful, promised_ms, warned_ms
from streams.rules.stop_clocks import holds_before
from streams.terms import About, CompiledPolicy, Deadline, ParcelTerms

_NEVER_MS = 1 << 62


class Later(StrEnum):
    """Why a deadline is later than the budget alone makes it."""

    ALLOWANCE = "allowance"
    """The carrier's feed is usually so late."""
    CARRIER_CLOSED = "carrier_closed"
    """The carrier did not work."""
    SETTLE = "settle"
    """What was read has to settle first."""
    CUSTOMS_HOLD = "customs_hold"
    AVAILABLE_FOR_PICKUP = "available_for_pickup"
    SCANNED_AGAIN = "scanned_again"
    """It was silent at the deadline, and found to be stuck when it was scanned again."""
    PROOF = "proof"
    """The law lets the trader wait for the goods, or for proof that they were sent."""
    UNACCOUNTED = "unaccounted"


class Part(NamedTuple):
    """What makes a deadline later, from when on it counts (0: the budget's end), and by how much."""

    why: Later
    more_ms: int
    from_ms: int = 0
    details: str = ""


class Reckoning(NamedTuple):
    """`used_up_ms` and all `more_ms` of `later` add up to the deadline."""

    since_ms: int
    budget: str
    """As a policy writes it; "" for what is due at once."""
    chosen_by: str
    """Which part of the policy gives the budget."""
    facility: str
    """Whose calendar counts; "" for every hour, or for Monday to Friday in UTC."""
    counted: CountedDays | None
    """Of business days only."""
    used_up_ms: int
    later: tuple[Part, ...] = ()

    @property
    def due_ms(self) -> int:
        """The deadline."""
        return self.used_up_ms + sum(part.more_ms for part in self.later)

    def put_off(self, why: Later, until_ms: int) -> "Reckoning":
        """Not before `until_ms`."""
        more_ms = until_ms - self.due_ms
        return self._replace(later=(*self.later, Part(why, more_ms))) if more_ms > 0 else self

    def accounted(self, due_ms: int) -> "Reckoning":
        """With whatever is missing, or too much, as a part of its own."""
        more_ms = due_ms - self.due_ms
        return self._replace(later=(*self.later, Part(Later.UNACCOUNTED, more_ms))) if more_ms else self


class ToldDeadline(Deadline):
    """A deadline that knows where its budget comes from, and spares nothing: what came in time is worked out, too."""

    __slots__ = ("budget", "chosen_by", "facility")

    def __init__(self, deadline: Deadline, budget: str, chosen_by: str, facility: str) -> None:
        super().__init__(
            deadline.clock,
            deadline.allowance_ms,
            deadline.settle_ms,
            enabled=deadline.enabled,
            closed=deadline.closed,
        )
        self.least_ms = -_NEVER_MS
        self.budget, self.chosen_by, self.facility = budget, chosen_by, facility


class TellingPolicy(CompiledPolicy):
    """Gives the same deadlines as any policy, as `ToldDeadline`: rules that ask it tell all that they wait or waited for."""

    def _deadline(self, rule: RuleId, about: About) -> Deadline:
        deadline = super()._deadline(rule, about)
        budget, override = self._budget(rule, about)
        facility = about.facility if about.facility in self.policy.facilities else ""
        chosen_by = f"rules.{rule.value}.budget"
        if override is not None:
            chosen_by = f"rules.{rule.value}.overrides, {_conditions(override)}"
        elif budget is not None and budget == self._numbers(rule).international != self._numbers(rule).budget:
            chosen_by = f"rules.{rule.value}.international"
        return ToldDeadline(
            deadline,
            budget_text(budget) if budget is not None else "",
            chosen_by if budget is not None else "",
            facility or self.policy.default_facility or "",
        )


def _conditions(override: Override) -> str:
    named = [
        f"{name} {value}"
        for name in ("facility", "shop", "service", "lane", "carrier")
        if (value := getattr(override, name)) is not None
    ]
    for words, band in (("value from", override.value_from), ("value below", override.value_below)):
        named += [f"{words} {amount} {currency}" for currency, amount in sorted((band or {}).items())]
    return ", ".join(named)


def reckon(deadline: Deadline, since_ms: int, arrived_ms: int) -> Reckoning:
    """How `deadline.due_ms(since_ms, arrived_ms)` comes about."""
    counted = deadline.clock.counted(since_ms)
    used_up_ms = counted.due_ms if counted is not None else deadline.clock.due_ms(since_ms)
    budget, chosen_by, facility = "", "", ""
    if isinstance(deadline, ToldDeadline):
        budget, chosen_by = deadline.budget, deadline.chosen_by
        facility = deadline.facility if counted is not None else ""
    told = Reckoning(since_ms, budget, chosen_by, facility, counted, used_up_ms)
    told = told.put_off(Later.ALLOWANCE, used_up_ms + deadline.allowance_ms)
    closed = tuple(
        Part(Later.CARRIER_CLOSED, one.until_ms - one.from_ms, one.from_ms, one.why)
        for one in closed_before(deadline.closed, since_ms, told.due_ms)
    )
    told = told._replace(later=(*told.later, *closed))
    return told.put_off(Later.SETTLE, arrived_ms + deadline.settle_ms)


def reckoning_of_parcel(expectation: Expectation, journey: Journey, terms: ParcelTerms) -> Reckoning:
    """How the deadline of a parcel's expectation came about."""
    start = expectation.start
    told = reckon(terms.deadlines[expectation.rule], start.at_ms, start.arrived_ms)
    if expectation.due_ms > told.due_ms:
        holds = holds_before(journey, terms, start.at_ms, told.due_ms)
        parts = [
            Part(Later(Milestone(hold.milestone).name.lower()), hold.more_ms, hold.from_ms) for hold in holds
        ]
        told = told._replace(later=(*told.later, *parts))
    if expectation.rule is RuleId.STALLED_NO_PROGRESS:
        told = told.put_off(Later.SCANNED_AGAIN, expectation.due_ms)
    return told.accounted(expectation.due_ms)


def reckoning_of_return(awaited: Awaited, view: ReturnView) -> Reckoning:
    """How the deadline of what a return waits for came about."""
    if awaited.deadline is not None:
        told = reckon(awaited.deadline, awaited.since_ms, awaited.arrived_ms)
    elif awaited.rule is RuleId.STATUTORY_REFUND_DEADLINE:
        told = _by_law(view)
    else:
        told = _by_promise(awaited, view)
    return told.accounted(awaited.due_ms)


def _by_promise(awaited: Awaited, view: ReturnView) -> Reckoning:
    request = view.request
    assert request is not None, "a promise is waited for only where there is a request"
    promise = view.deadline(RuleId.REFUND_PROMISE_BROKEN)
    promised = promised_ms(request, promise)
    if request.promised_ms or promise is None:
        budget = duration_text(from_ms(promised - request.at_ms)) if promised > request.at_ms else ""
        told = Reckoning(request.at_ms, budget, "promised_refund_at of the request", "", None, promised)
    else:
        told = reckon(promise, request.at_ms, 0)._replace(used_up_ms=promised, later=())
    if awaited.rule is RuleId.REFUND_PROMISE_AT_RISK:
        percent = view.policy.promise_warning_percent
        budget = f"{percent} % of {told.budget}"
        warned = warned_ms(request, promised, percent)
        told = told._replace(budget=budget, counted=None, facility="", used_up_ms=warned)
    return told.put_off(Later.SETTLE, request.arrived_ms + view.policy.settle_ms)


def _by_law(view: ReturnView) -> Reckoning:
    request = view.request
    law = lawful(view, request) if request is not None else None
    assert law is not None, "what the law wants is waited for only where there is such a law"
    chosen_by = f"statutes, {law.statute.jurisdiction}: {law.statute.source}"
    told = Reckoning(law.from_ms, f"{law.statute.days}d", chosen_by, "", None, law.days_ms)
    return told.put_off(Later.PROOF, law.proof_ms).put_off(Later.SETTLE, law.settled_ms)
