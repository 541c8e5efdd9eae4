"""What comes next for a return and until when: read plainly from all that was told of it, and from the cases that stand."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final, NamedTuple

from schemas.return_journeys import ExpectedStep, JourneyMilestone, PortalStatus
from schemas.vocabulary import Milestone, RuleId, SignalReason
from simulation.dossier import Stories
from simulation.expect_parcels_way import claims_that_hold, delivered_to_us, is_refused, why_astray
from simulation.expectations import expected_of_return
from simulation.ledger import ReturnNews, Route
from simulation.parcel_story import ParcelStory
from simulation.terms import Terms

WAY: Final = (
    (ExpectedStep.IN_TRANSIT, RuleId.MISSING_FIRST_SCAN),
    (ExpectedStep.DELIVERED, RuleId.TRANSIT_OVERDUE),
    (ExpectedStep.CHECKED_IN, RuleId.DELIVERED_NOT_CHECKED_IN),
)
_COMES_NOT: Final = (RuleId.CARRIER_REPORTED_LOST, RuleId.RETURNED_TO_CUSTOMER)


class Step(NamedTuple):
    """What is waited for. `last`: when the last of several parcels is due."""

    step: ExpectedStep
    due: datetime | None = None
    rule: RuleId | None = None
    last: datetime | None = None


class Leg(NamedTuple):
    """Where a parcel is that the warehouse does not have, and what is waited for."""

    parcel: ParcelStory
    done: int
    """How many of the legs of its way lie behind it."""
    ahead: Step


@dataclass
class Ahead:
    """One return at `now`.

    `open_cases`: (rule, parcel); `used`: tiers that released it, and why that was revoked (None: it stands).
    """

    stories: Stories
    terms: Terms
    reached: Mapping[JourneyMilestone, datetime]
    status: PortalStatus
    parcels: Sequence[ParcelStory]
    open_cases: Collection[tuple[str, str]]
    used: Mapping[str, SignalReason | None]
    released: bool
    now: datetime
    worries: dict[RuleId, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for rule, parcel in self.open_cases:
            self.worries.setdefault(RuleId(rule), set()).add(parcel)
        for leg in self.legs:
            astray = why_astray(leg.parcel, self.terms)
            if astray is not None:
                self.worries.setdefault(astray, set()).add(leg.parcel.parcel)

    # ---- what is known ------------------------------------------------------------------------------------------

    @cached_property
    def resolution(self) -> str:
        request = self.stories.whole.request
        return "refund" if request is None else request.resolution

    def has(self, milestone: JourneyMilestone) -> bool:
        return milestone in self.reached

    @cached_property
    def furthest(self) -> JourneyMilestone | None:
        return next((one for one in reversed(JourneyMilestone) if self.has(one)), None)

    @cached_property
    def failed(self) -> bool:
        return bool(self.stories.whole.news(Milestone.REFUND_FAILED)) and not self.has(
            JourneyMilestone.REFUNDED
        )

    def money(self, milestone: Milestone) -> datetime | None:
        """When it was paid, of what came after the last failure."""
        whole = self.stories.whole
        failures = [news.at for news in whole.news(Milestone.REFUND_FAILED)]
        times = [news.at for news in whole.news(milestone) if not failures or news.at > failures[-1]]
        return min(times, default=None)

    @cached_property
    def refused(self) -> bool:
        return is_refused(self.stories.whole)

    @cached_property
    def approved(self) -> bool:
        return bool(self.stories.whole.news(Milestone.REFUND_APPROVED)) and not self.refused

    # ---- what is waited for -------------------------------------------------------------------------------------

    @cached_property
    def _waits(self) -> dict[tuple[RuleId, str], datetime]:
        found: dict[tuple[RuleId, str], datetime] = {}
        for one in expected_of_return(self.stories.whole, self.terms):
            if not one.ends:
                found[one.rule, one.parcel] = min(one.due_at, found.get((one.rule, one.parcel), one.due_at))
        return found

    def deadlines(self, rule: RuleId) -> tuple[datetime | None, datetime | None]:
        """The first and the last."""
        due = [at for (of_rule, _), at in self._waits.items() if of_rule is rule]
        return min(due, default=None), max(due, default=None)

    def used_up(self, rule: RuleId, since: datetime | None, parcel: ParcelStory | None) -> datetime | None:
        whole = self.stories.whole
        if since is None or rule not in self.terms.applied:
            return None
        route: Route = whole.route if parcel is None else whole.route_of(parcel)
        return self.terms.counted(rule, since, route)

    @cached_property
    def legs(self) -> list[Leg]:
        """Where the parcels are that the warehouse does not have."""
        claims = claims_that_hold(self.stories.whole, self.parcels)
        found = []
        for one in self.parcels:
            if self.stories.whole.came_at(one) is None:
                assert one.label is not None
                came = delivered_to_us(one, self.terms)
                first = one.scans[0].at if one.scans else None
                since = came.at if came is not None else first or one.label.at
                done = 2 if came is not None else 1 if first is not None else 0
                step, rule = WAY[done]
                due = self.used_up(rule, since, one)
                if why_astray(one, self.terms) is not None:
                    due = None
                ahead = Step(step, due, rule if due else None)
                if not done:
                    ahead = self._handing_over(ahead, one, claims)
                found.append(Leg(one, done, ahead))
        return found

    def _handing_over(self, ahead: Step, parcel: ParcelStory, claims: Iterable[ReturnNews]) -> Step:
        if not any(not claim.parcels or parcel.parcel in claim.parcels for claim in claims):
            return ahead._replace(step=ExpectedStep.DROPPED_OFF)
        rule = RuleId.DROPOFF_CLAIM_UNCONFIRMED
        due = self._waits.get((rule, parcel.parcel)) or self._waits.get((rule, ""))
        earlier = due is not None and (ahead.due is None or due < ahead.due)
        return Step(ahead.step, due, rule) if earlier else ahead

    def _coming(self) -> list[Leg]:
        gone = {name for rule in _COMES_NOT for name in self.worries.get(rule, ())}
        return [leg for leg in self.legs if leg.parcel.parcel not in gone]

    @cached_property
    def step(self) -> Step | None:
        """What comes next; None: nothing."""
        if self.status is PortalStatus.CLOSED:
            return None
        if self.has(JourneyMilestone.REFUNDED):
            issued, settled = self.money(Milestone.REFUND_ISSUED), self.money(Milestone.REFUND_SETTLED)
            if issued and not settled and RuleId.REFUND_NOT_SETTLED in self.terms.applied:
                return self._wait(ExpectedStep.REFUND_SETTLED, RuleId.REFUND_NOT_SETTLED)
            return _first_due(self._coming())
        exchange = self.resolution == "exchange"
        paying = ExpectedStep.REPLACEMENT_SENT if exchange else ExpectedStep.REFUND_ISSUED
        if self.failed:
            return Step(paying)
        if self.approved:
            return self._wait(paying, RuleId.LATE_REFUND)
        if self.furthest is JourneyMilestone.INSPECTED:
            decision = ExpectedStep.REPLACEMENT_SENT if exchange else ExpectedStep.REFUND_APPROVED
            return self._wait(decision, RuleId.LATE_REFUND_DECISION)
        if self.furthest is JourneyMilestone.CHECKED_IN:
            return self._wait(ExpectedStep.INSPECTED, RuleId.LATE_INSPECTION)
        return self._before_the_dock()

    def _before_the_dock(self) -> Step | None:
        coming = self._coming()
        if self.legs and not coming:
            lost = RuleId.CARRIER_REPORTED_LOST in self.worries
            return Step(ExpectedStep.REFUND_APPROVED) if lost else None
        if coming:
            return _first_due(coming)
        if self.furthest is JourneyMilestone.RETURN_REQUESTED:
            return Step(ExpectedStep.RETURN_APPROVED)
        if self.furthest is JourneyMilestone.DROPPED_OFF:
            return Step(ExpectedStep.IN_TRANSIT)
        if self.stories.whole.in_store:
            return Step(ExpectedStep.CHECKED_IN)
        return self._wait(ExpectedStep.LABEL_CREATED, RuleId.LATE_LABEL)

    def _wait(self, step: ExpectedStep, rule: RuleId) -> Step:
        first, last = self.deadlines(rule)
        return Step(step, first, rule if first else None, last)


def _first_due(legs: Sequence[Leg]) -> Step | None:
    """Of several parcels, what is due first; what has no deadline last."""
    dated = [leg for leg in legs if leg.ahead.due is not None]
    if dated:
        return min(dated, key=lambda leg: (leg.ahead.due, leg.done)).ahead
    return min(legs, key=lambda leg: leg.done).ahead if legs else None
