"""The policy made ready for use: which budgets, allowances and calendar hold for one parcel."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from schemas.durations import Budget
from schemas.facilities import FacilityPlace
from schemas.facts import LabelTerms, ReturnTerms
from schemas.money import minor_units
from schemas.outputs import Severity
from schemas.policy import FEED_RULES, LateBreach, Level, Policy, RefundTier, RulePolicy, policy_from_log
from schemas.policy_overrides import Conditions, Override
from schemas.vocabulary import Milestone, RuleId
from streams.clocks import ALWAYS_WEEKDAYS, BusinessCalendar, Clock, clock_of, to_ms
from streams.closures import Closed, closed_before, without_overlaps
from streams.feed_terms import FeedTerms
from streams.parcel import Label, place_number
from streams.places import place_token

WAITS_FOR_CARRIER = frozenset(
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
"""Rules whose deadline grows by the allowance of the carrier's feed."""

MOST_TERMS = 10_000
"""Kinds of parcels whose deadlines are kept at hand: labels are free to name any country."""


_NOTHING = timedelta(0)
_OFF = RulePolicy(enabled=False, action="none: the policy in force does not know the rule")
"""Of a rule that is newer than the policy in force."""


class Deadline:
    """Deadline of one rule for one parcel."""

    __slots__ = ("allowance_ms", "clock", "closed", "enabled", "least_ms", "settle_ms")

    def __init__(
        self,
        clock: Clock,
        allowance_ms: int,
        settle_ms: int,
        *,
        enabled: bool,
        closed: tuple[Closed, ...] = (),
    ) -> None:
        self.clock, self.allowance_ms, self.settle_ms, self.enabled = clock, allowance_ms, settle_ms, enabled
        self.closed = closed
        """When the carrier that is waited for does not work."""
        self.least_ms = clock.least_ms + allowance_ms
        """What happens within this after the start cannot be late: spares working the deadline out."""

    def due_ms(self, since_ms: int, arrived_ms: int) -> int:
        """Clock plus allowance, hours that do not count on top, but never before what we read has settled."""
        due_ms = self.clock.due_ms(since_ms) + self.allowance_ms
        if self.closed:
            due_ms += sum(
                part.until_ms - part.from_ms for part in closed_before(self.closed, since_ms, due_ms)
            )
        return max(due_ms, arrived_ms + self.settle_ms)


class Places(NamedTuple):
    """Of a facility, as packed facts keep places."""

    possible: frozenset[int]
    certain: frozenset[int]


_ANYWHERE = Places(frozenset(), frozenset())


class ParcelTerms:
    """The deadlines of all rules for parcels of one carrier, lane and facility."""

    __slots__ = (
        "certain_places",
        "closed",
        "deadlines",
        "dock",
        "first_scan",
        "hold_ms",
        "our_places",
        "progress",
        "quiet_ms",
        "silence",
        "tolerance",
        "transit",
        "unused",
    )

    def __init__(
        self,
        deadlines: dict[RuleId, Deadline],
        hold_ms: dict[int, int],
        places: "Places",
        closed: tuple[Closed, ...],
        tolerance: "Tolerance",
    ) -> None:
        self.tolerance = tolerance
        self.deadlines = deadlines
        self.hold_ms = hold_ms
        """Milestone of a hold -> how long clocks stand still for it at most."""
        self.closed = closed
        """When the carrier does not work."""
        self.our_places = places.possible
        """Where carriers deliver to the facility, as packed facts keep places; none: anywhere."""
        self.certain_places = places.certain
        """Those of them that tell the facility from the rest of its country."""
        self.unused = deadlines[RuleId.LABEL_EXPIRED_UNUSED]
        self.transit = deadlines[RuleId.TRANSIT_OVERDUE]
        self.first_scan = deadlines[RuleId.MISSING_FIRST_SCAN]
        self.silence = deadlines[RuleId.STALLED_SILENT]
        self.progress = deadlines[RuleId.STALLED_NO_PROGRESS]
        self.dock = deadlines[RuleId.DELIVERED_NOT_CHECKED_IN]
        self.quiet_ms = min(self.silence.least_ms, self.progress.least_ms)
        """A new scan makes nothing due any sooner than this after it, nor before it has settled."""


class Tier:
    """A refund tier, with its limits in minor units."""

    __slots__ = ("_categories", "_limits", "_risks", "name", "release_at")

    def __init__(self, tier: RefundTier) -> None:
        self.name, self.release_at = tier.tier, tier.release_at
        self._risks, self._categories = frozenset(tier.customer_risk), frozenset(tier.categories)
        self._limits: dict[str, int] | None = None
        if tier.max_value is not None:
            self._limits = {name: minor_units(limit, name) for name, limit in tier.max_value.items()}

    def fits(self, terms: ReturnTerms, value_minor: int, currency: str) -> bool:
        """Whether a return of such terms and value may be refunded by it."""
        if terms.risk not in self._risks or (self._categories and terms.category not in self._categories):
            return False
        limit = None if self._limits is None else self._limits.get(currency)
        return self._limits is None or (limit is not None and value_minor <= limit)


class CompiledPolicy:
    """A policy, its hash, and the terms it gives, worked out once for each kind of parcel."""

    def __init__(self, record: bytes) -> None:
        self.policy: Policy
        self.policy, self.hash = policy_from_log(record)
        policy = self.policy
        self.accept_age_ms = to_ms(policy.accept_age)
        self.feeds = FeedTerms(policy)
        self.settle_ms = to_ms(policy.settle)
        self.orphan_ttl_ms = to_ms(policy.orphan_ttl)
        self.go_live_ms = _epoch_ms(policy.go_live_at) if policy.go_live_at else 0
        self.counts_late_breaches = policy.late_breach is LateBreach.COUNT
        self.levels: tuple[tuple[int, Level], ...] = tuple(
            (to_ms(level.after), level) for level in policy.levels
        )
        self._calendars = {name: BusinessCalendar(facility) for name, facility in policy.facilities.items()}
        self._anywhere = BusinessCalendar(ALWAYS_WEEKDAYS)
        if policy.default_facility is not None:
            self._anywhere = self._calendars[policy.default_facility]
        overrides: list[Conditions] = [one for rule in policy.rules.values() for one in rule.overrides]
        overrides += policy.weight_tolerance.overrides
        closed = policy.closures
        self._carriers = {one.carrier for one in overrides} | {one.carrier for one in closed}
        self._carriers |= set(policy.allowances)
        self._facilities = {one.facility for one in overrides} | {one.facility for one in closed}
        self._facilities |= set(policy.facilities)
        self.enabled_feed_rules = frozenset(rule.value for rule in FEED_RULES if self._numbers(rule).enabled)
        self.promise_warning_percent = policy.promise_warning_percent
        self.statutes = {country: statute for statute in policy.statutes for country in statute.countries}
        self.tells_journeys = policy.journeys
        self.refund_tiers = tuple(Tier(tier) for tier in policy.refund_tiers)
        self._hold_ms = {
            int(Milestone.CUSTOMS_HOLD): to_ms(policy.stop_clocks.customs),
            int(Milestone.AVAILABLE_FOR_PICKUP): to_ms(policy.stop_clocks.pickup_point),
        }
        self._places = {name: _places_of(facility.places) for name, facility in policy.facilities.items()}
        self._services = {one.service for one in overrides}
        self._shops = {one.shop for one in overrides}
        self._bands = [one for one in overrides if one.conditions[-1]]
        self._terms: dict[tuple[str, str, str, str, str, str, tuple[bool, ...]], ParcelTerms] = {}
        self.least_quiet_ms = min(self._least(RuleId.STALLED_SILENT), self._least(RuleId.STALLED_NO_PROGRESS))
        """`ParcelTerms.quiet_ms` of no parcel is smaller."""

    def severity(self, rule: RuleId, level: int, *, disputed: bool = False) -> Severity:
        """How loud a case of this rule is at a level; one step more while the customer disputes."""
        severity = self._numbers(rule).severity
        for _, step in self.levels:
            if step.level <= level and step.severity is not None:
                severity = step.severity
        return severity.raised if disputed else severity

    def action(self, rule: RuleId, level: int, *, loyal: bool = False) -> str:
        """What to do about a case of this rule at a level."""
        numbers = self._numbers(rule)
        action = numbers.loyal_action if loyal and numbers.loyal_action else numbers.action
        for _, step in self.levels:
            if step.level <= level and step.route:
                action = step.route
        return action

    def terms_of(self, carrier: str, label: LabelTerms | Label) -> ParcelTerms:
        """Deadlines for a parcel by its label."""
        return self.terms(
            carrier,
            label.origin,
            label.destination,
            label.facility,
            label.service,
            label.shop,
            label.value_minor,
            label.currency,
        )

    def terms(
        self,
        carrier: str,
        origin: str,
        destination: str,
        facility: str,
        service: str = "",
        shop: str = "",
        value_minor: int = 0,
        currency: str = "",
    ) -> ParcelTerms:
        """Deadlines for a parcel; everything but the carrier may be ""."""
        kind = (
            carrier if carrier in self._carriers else "",
            origin,
            destination,
            facility if facility in self._facilities else "",
            service if service in self._services else "",
            shop if shop in self._shops else "",
            tuple(one.fits_value(value_minor, currency) for one in self._bands) if self._bands else (),
        )
        found = self._terms.get(kind)
        if found is None:
            if len(self._terms) >= MOST_TERMS:
                self._terms.clear()
            about = About(*kind[:6], value_minor, currency)
            deadlines = {rule: self._deadline(rule, about) for rule in RuleId}
            places = self._places.get(facility, _ANYWHERE)
            found = self._terms[kind] = ParcelTerms(
                deadlines, self._hold_ms, places, self._closed(about), self._tolerance(about)
            )
        return found

    def _budget(self, rule: RuleId, about: "About") -> tuple[Budget | None, Override | None]:
        """The rule's budget, and the override that gives it."""
        numbers = self._numbers(rule)
        override = _most_specific(numbers.overrides, about)
        if override is not None:
            return override.budget, override
        abroad = about.origin and about.destination and about.origin != about.destination
        return numbers.international if numbers.international is not None and abroad else numbers.budget, None

    def _deadline(self, rule: RuleId, about: "About") -> Deadline:
        policy = self.policy
        budget, _ = self._budget(rule, about)
        allowance = policy.allowances.get(about.carrier) if rule in WAITS_FOR_CARRIER else None
        return Deadline(
            clock_of(budget or _NOTHING, self._calendars.get(about.facility, self._anywhere)),
            to_ms(allowance) if allowance is not None else 0,
            self.settle_ms,
            enabled=self._numbers(rule).enabled,
            closed=self._closed(about) if rule in WAITS_FOR_CARRIER else (),
        )

    def _closed(self, about: "About") -> tuple[Closed, ...]:
        return without_overlaps(
            Closed(_epoch_ms(one.from_at), _epoch_ms(one.until_at), f"{one.reason} ({one.source})")
            for one in self.policy.closures
            if one.carrier == about.carrier
            and one.country in {None, about.origin, about.destination}
            and one.facility in {None, about.facility}
        )

    def _tolerance(self, about: "About") -> "Tolerance":
        usual = self.policy.weight_tolerance
        override = _most_specific(usual.overrides, about) or usual
        return Tolerance(override.percent, override.grams)

    def _numbers(self, rule: RuleId) -> RulePolicy:
        return self.policy.rules.get(rule, _OFF)

    def _least(self, rule: RuleId) -> int:
        numbers = self._numbers(rule)
        budgets = [numbers.budget or _NOTHING, *(override.budget for override in numbers.overrides)]
        if numbers.international is not None:
            budgets.append(numbers.international)
        return min(clock_of(budget, self._anywhere).least_ms for budget in budgets)


def _epoch_ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


class Tolerance(NamedTuple):
    """How far off a weight may be: the larger of the two."""

    percent: int
    grams: int


_Override = TypeVar("_Override", bound=Conditions)


class About(NamedTuple):
    """What overrides ask about."""

    carrier: str
    origin: str
    destination: str
    facility: str
    service: str
    shop: str
    value_minor: int
    currency: str


def _most_specific(overrides: Sequence[_Override], about: About) -> _Override | None:
    fitting = [
        override
        for override in overrides
        if override.carrier in {None, about.carrier}
        and override.lane in {None, f"{about.origin}-{about.destination}"}
        and override.facility in {None, about.facility}
        and override.service in {None, about.service}
        and override.shop in {None, about.shop}
        and override.fits_value(about.value_minor, about.currency)
    ]
    return max(fitting, key=lambda one: (sum(one.conditions), one.conditions), default=None)


def _places_of(places: Sequence[FacilityPlace]) -> Places:
    """What packed facts have for them, whichever part of one the carrier names.

    Nothing but the country may be ours, too, and so may a part of ours without a country, as some APIs write it.
    """
    countries = {place_number(place_token(place.country, None, None, None)) for place in places}
    named = _numbers_of((place.country, place) for place in places)
    without_country = _numbers_of((None, place) for place in places)
    return Places(frozenset(countries | named | without_country), frozenset(named - countries))


def _numbers_of(places: Iterable[tuple[str | None, FacilityPlace]]) -> set[int]:
    tokens = {
        token
        for country, place in places
        for token in (
            place_token(country, None, None, place.site),
            place_token(country, place.city, None, None),
            place_token(country, None, place.postal_code, None),
        )
    }
    return {place_number(token) for token in tokens - {""}}
