"""The policy's numbers as the oracle reads them: which budget holds for a parcel, and when it is used up."""

from collections.abc import Sequence
from copy import copy
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Final

from schemas.durations import Budget, BusinessDays
from schemas.facilities import DAYS, Facility, FacilityPlace
from schemas.policy import Policy, Statute
from schemas.policy_overrides import Conditions
from schemas.vocabulary import Milestone, RuleId
from simulation.business_days import Calendar, add_business_days
from simulation.ledger import ParcelNews, ReturnNews, Route

_NO_TIME: Final = timedelta(0)
_ANYWHERE: Final = Calendar(time_zone="UTC", country="", opens=time(0), closes=time.max)
WAIT_FOR_A_CARRIER: Final = frozenset(
    {
        RuleId.MISSING_FIRST_SCAN,
        RuleId.DROPOFF_CLAIM_UNCONFIRMED,
        RuleId.PICKUP_FAILED,
        RuleId.LABEL_EXPIRED_UNUSED,
        RuleId.STALLED_SILENT,
        RuleId.STALLED_NO_PROGRESS,
        RuleId.TRANSIT_OVERDUE,
        RuleId.MISROUTED,
        RuleId.DELIVERY_FAILED,
        RuleId.PICKUP_POINT_EXPIRING,
        RuleId.MOVING_AFTER_DELIVERY,
        RuleId.CHECKED_IN_NOT_DELIVERED,
    }
)


class Terms:
    """A policy, read rule by rule and parcel by parcel, without any of the code that the worker reads it with."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.settle = policy.settle
        self.applied = frozenset(rule for rule, numbers in policy.rules.items() if numbers.enabled)
        """The rules that are switched on."""
        self.first_level_after = policy.levels[0].after if policy.levels else None
        """How long after its deadline a case stays at level 1; None: for ever."""
        self.hold_caps = {
            Milestone.CUSTOMS_HOLD: policy.stop_clocks.customs,
            Milestone.AVAILABLE_FOR_PICKUP: policy.stop_clocks.pickup_point,
        }
        """How long a clock stands still at most, by what holds the parcel."""
        self._budgets: dict[tuple[RuleId, Route], Budget] = {}
        self._used_up: dict[tuple[int, datetime, str], datetime] = {}
        self._calendars = {name: _calendar(facility) for name, facility in policy.facilities.items()}

    def settling(self, settle: timedelta) -> "Terms":
        """The same terms with another time to settle."""
        other = copy(self)
        other.settle = settle
        return other

    def due(self, rule: RuleId, start: ParcelNews | ReturnNews, route: Route) -> datetime:
        """When what began with `start` must have ended."""
        return max(self.counted(rule, start.at, route), start.appended_at + self.settle)

    def counted(self, rule: RuleId, start: datetime, route: Route) -> datetime:
        """The same without waiting for things to settle."""
        used_up = self.used_up(rule, start, route) + self.allowance(rule, route.carrier)
        if rule in WAIT_FOR_A_CARRIER:
            for closed_at, open_at in self.closed(route):
                if start < open_at and closed_at < used_up:
                    used_up += open_at - max(closed_at, start)
        return used_up

    def closed(self, route: Route) -> list[tuple[datetime, datetime]]:
        """When the carrier of the route does not work, by time, each hour once."""
        spans = sorted(
            (one.from_at, one.until_at)
            for one in self.policy.closures
            if one.carrier == route.carrier
            and (one.country is None or one.country in {route.origin, route.destination})
            and (one.facility is None or one.facility == route.facility)
        )
        apart: list[tuple[datetime, datetime]] = []
        for begin, end in spans:
            if apart and begin <= apart[-1][1]:
                apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
            else:
                apart.append((begin, end))
        return apart

    def allowance(self, rule: RuleId, carrier: str) -> timedelta:
        """How late the news that the rule waits for usually come."""
        return self.policy.allowances.get(carrier, _NO_TIME) if rule in WAIT_FOR_A_CARRIER else _NO_TIME

    def used_up(self, rule: RuleId, start: datetime, route: Route) -> datetime:
        """When the budget that began at `start` is used up; allowance and settle not counted."""
        budget = self._budget(rule, route)
        if not isinstance(budget, BusinessDays):
            return start + budget
        question = (budget.count, start, route.facility)
        if question not in self._used_up:
            self._used_up[question] = add_business_days(
                start, budget.count, self._calendar_of(route.facility)
            )
        return self._used_up[question]

    def _budget(self, rule: RuleId, route: Route) -> Budget:
        question = (rule, route)
        if question not in self._budgets:
            self._budgets[question] = self.budget(rule, route) or _NO_TIME
        return self._budgets[question]

    def budget(self, rule: RuleId, route: Route) -> Budget | None:
        """The budget of the override that fits best, else the rule's own; None: at once."""
        numbers = self.policy.rules[rule]
        fitting = [override for override in numbers.overrides if _fits(override, route)]
        if fitting:
            return max(fitting, key=_weight).budget
        abroad = route.origin != route.destination and "" not in {route.origin, route.destination}
        return numbers.international if abroad and numbers.international is not None else numbers.budget

    def places(self, facility: str) -> Sequence[FacilityPlace]:
        """Where carriers say that they deliver to the facility; none when the policy does not know."""
        known = self.policy.facilities.get(facility)
        return () if known is None else known.places

    def is_dear(self, worth: tuple[Decimal, str] | None) -> bool:
        """Whether something is worth so much that nothing about it is ever held."""
        return worth is not None and worth[0] >= self.policy.feeds.high_value.get(
            worth[1], Decimal("Infinity")
        )

    def weighs_wrong(self, announced: int, weighed: int, route: Route) -> bool:
        """Whether two weights that are known lie further apart than the policy puts up with."""
        fitting = [one for one in self.policy.weight_tolerance.overrides if _fits(one, route)]
        limits = max(fitting, key=_weight) if fitting else self.policy.weight_tolerance
        apart = abs(weighed - announced)
        return (
            min(announced, weighed) > 0 and apart > limits.grams and apart > announced * limits.percent // 100
        )

    def statute(self, country: str) -> Statute | None:
        """The law of the country about refunds."""
        return next((law for law in self.policy.statutes if country in law.countries), None)

    def _calendar_of(self, facility: str) -> Calendar:
        if facility in self._calendars:
            return self._calendars[facility]
        default = self.policy.default_facility
        return _ANYWHERE if default is None else self._calendars[default]


def _fits(override: Conditions, route: Route) -> bool:
    asked = (
        (override.carrier, route.carrier),
        (override.lane, f"{route.origin}-{route.destination}"),
        (override.facility, route.facility),
        (override.service, route.service),
        (override.shop, route.shop),
    )
    return all(wanted in {None, found} for wanted, found in asked) and _worth_it(override, route)


def _worth_it(override: Conditions, route: Route) -> bool:
    bands = (override.value_from, override.value_below)
    if bands == (None, None):
        return True
    if route.worth is None or not any(route.worth[1] in (band or {}) for band in bands):
        return False
    amount, currency = route.worth
    least, below = ((band or {}).get(currency) for band in bands)
    return (least is None or amount >= least) and (below is None or amount < below)


def _weight(override: Conditions) -> tuple[int, list[bool]]:
    """More conditions before fewer; among as many, in this order."""
    asks = [
        override.facility is not None,
        override.shop is not None,
        override.service is not None,
        override.lane is not None,
        override.carrier is not None,
        override.value_from is not None or override.value_below is not None,
    ]
    return sum(asks), asks


def _calendar(facility: Facility) -> Calendar:
    return Calendar(
        time_zone=facility.time_zone,
        country=facility.country,
        subdivision=facility.subdivision,
        opens=facility.opens,
        closes=facility.closes if facility.cut_off is None else facility.cut_off,
        working_days=frozenset(DAYS.index(day) for day in facility.working_days),
    )
