"""The policy: what is worth a case, when, how loud, and by which calendar. Read from YAML by schemas/policy_loading.py.

A policy decides only from its place in the log on (`to_log`), so every worker and every replay decides by the same one.
"""

import json
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from hashlib import sha256
from importlib.metadata import version
from itertools import combinations, pairwise
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from schemas.carrier_codes import our_tables
from schemas.durations import (
    Budget,
)
from schemas.facilities import Facility
from schemas.feed_policy import FeedPolicy
from schemas.outputs import Severity
from schemas.policy_fields import Amounts, Duration, PolicyModel
from schemas.policy_overrides import Carrier, Override, RuleBudget, WeightOverride, one_fits
from schemas.vocabulary import Risk, RuleId

_HOLIDAYS_VERSION = version("holidays")
RULE_VERSION = 4
"""Part of the hash: goes up when a rule decides differently with the same numbers."""

AT_ONCE = frozenset(
    {
        RuleId.RETURNED_TO_CUSTOMER,
        RuleId.CARRIER_REPORTED_LOST,
        RuleId.CARRIER_REPORTED_DAMAGED,
        RuleId.DELIVERED_ELSEWHERE_SUSPECTED,
        RuleId.CONTENT_MISMATCH,
        RuleId.REFUND_FAILED,
    }
)
"""Rules that wait for nothing but what is read to settle, unless the policy gives them a budget."""
FEED_RULES = frozenset({RuleId.FEED_SILENT, RuleId.FEED_LAGGING, RuleId.MAPPING_GAP, RuleId.CLOCK_SKEW})
"""Rules about a feed, and not about a return; what is usual is learned."""
WITHOUT_BUDGET = FEED_RULES | {RuleId.REFUND_PROMISE_AT_RISK, RuleId.STATUTORY_REFUND_DEADLINE}
"""Rules whose deadlines come from `promise_warning_percent`, `statutes` and `feeds`."""


class LateBreach(StrEnum):
    """What happens with a breach that had ended before it could be told."""

    PUBLISH = "publish"
    COUNT = "count"


class RulePolicy(PolicyModel):
    """Numbers of one rule."""

    enabled: bool = True
    budget: RuleBudget | None = None
    """None: due at once, or by other numbers of the policy (`WITHOUT_BUDGET`)."""
    international: RuleBudget | None = None
    """Instead of `budget` where origin and destination are known and differ."""
    severity: Severity = Severity.WARNING
    action: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    loyal_action: Annotated[str, StringConstraints(max_length=200)] = ""
    """In place of `action` for customers whom the shop marks as loyal; "": the same."""
    overrides: Annotated[tuple[Override, ...], AfterValidator(one_fits)] = ()


class WeightTolerance(PolicyModel):
    """How far the weight of a parcel may be from what its label says: the larger of the two."""

    percent: Annotated[int, Field(ge=0, le=1_000)] = 20
    grams: Annotated[int, Field(ge=0, le=1_000_000)] = 250
    overrides: Annotated[tuple[WeightOverride, ...], AfterValidator(one_fits)] = ()


class Level(PolicyModel):
    """A case that is still open `after` its deadline goes up to `level`."""

    after: Duration
    level: Annotated[int, Field(ge=2, le=9)]
    severity: Severity | None = None
    """None: as before."""
    route: Annotated[str, StringConstraints(max_length=100)] = ""
    """Free text for whoever routes the escalation; it takes the place of the rule's action when given."""


def _ascending(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    for earlier, later in pairwise(levels):
        if later.after <= earlier.after or later.level <= earlier.level:
            raise ValueError(
                f"level {later.level} must come after level {earlier.level}, in time and in number"
            )
    return levels


def _at_most(budget: Budget) -> timedelta:
    """How long a budget may be, weekends and holidays included."""
    return budget if isinstance(budget, timedelta) else timedelta(days=2 * budget.count + 10)


class StopClocks(PolicyModel):
    """How long a clock on a parcel's way stands still at most."""

    customs: Duration = timedelta(days=7)
    pickup_point: Duration = timedelta(days=14)


class Closure(PolicyModel):
    """A time in which a carrier has announced that it does not work: a strike, the weather, a depot that is closed."""

    carrier: Carrier
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None
    """Only parcels whose label names it as origin or destination; None: all."""
    facility: str | None = None
    """Only parcels to it; None: all."""
    from_at: AwareDatetime
    until_at: AwareDatetime
    reason: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    source: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Where the carrier announced it."""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.until_at <= self.from_at:
            raise ValueError(
                f"the closure ends at {self.until_at.isoformat()}, and begins at {self.from_at.isoformat()}: "
                "swap from_at and until_at"
            )
        return self


def _announced_once(closures: tuple[Closure, ...]) -> tuple[Closure, ...]:
    for one, other in combinations(closures, 2):
        about = [(each.carrier, each.country, each.facility) for each in (one, other)]
        if about[0] == about[1] and one.from_at < other.until_at and other.from_at < one.until_at:
            raise ValueError(
                f"two closures of {one.carrier} overlap, {one.reason!r} and {other.reason!r}, for the same parcels: "
                "write them as one, or let the second begin where the first ends"
            )
    return closures


class StatuteStart(StrEnum):
    """What a statutory deadline counts from."""

    NOTICE = "notice"
    """The notice of withdrawal; the trader may wait for the goods, or for proof that they were sent."""
    GOODS = "goods"
    """The goods, or proof that they were sent."""


class Statute(PolicyModel):
    """By when the law of some countries wants a refund."""

    jurisdiction: Annotated[str, StringConstraints(min_length=1, max_length=20)]
    countries: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")], ...]
    counts_from: StatuteStart
    days: Annotated[int, Field(ge=1, le=60)]
    source: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ReleaseAt(StrEnum):
    """How far the goods must have come before a refund may be released."""

    FIRST_SCAN = "first_scan"
    DELIVERED = "delivered"
    INSPECTED = "inspected"


class RefundTier(PolicyModel):
    """Which returns may be refunded how early."""

    tier: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,40}$")]
    release_at: ReleaseAt
    max_value: Amounts | None = None
    """Up to so much in each currency; what has another currency, or no value, does not fit. None: any value."""
    customer_risk: tuple[Risk, ...] = tuple(Risk)
    categories: tuple[str, ...] = ()
    """(): any."""


class Policy(PolicyModel):
    """All of it. Immutable; equal policies have equal hashes."""

    version: Literal[1] = 1
    rules: dict[RuleId, RulePolicy]
    """A rule that is not named is off: an older version wrote the policy. Files name all (schemas/policy_loading.py)."""
    levels: Annotated[tuple[Level, ...], AfterValidator(_ascending)] = ()
    allowances: dict[Carrier, Duration] = Field(default={})
    """How late a carrier's feed usually is; added to the deadlines that wait for that carrier."""
    settle: Duration = timedelta(minutes=30)
    """No deadline falls earlier than this after the event that started it arrived here."""
    facilities: dict[str, Facility] = Field(default={})
    default_facility: str | None = None
    """Calendar for a parcel whose label names no known facility; None: Monday to Friday in UTC, no holidays."""
    accept_age: Duration = timedelta(days=120)
    """Older events are refused; a case of which nothing was heard for as long expires, and what is closed is forgotten."""
    orphan_ttl: Duration = timedelta(days=30)
    """How long a parcel without a label is remembered."""
    go_live_at: AwareDatetime | None = None
    """What was due before opens historical cases, which page nobody, and releases no refund."""
    late_breach: LateBreach = LateBreach.PUBLISH
    promise_warning_percent: Annotated[int, Field(ge=1, le=99)] = 80
    """refund_promise_at_risk is due when so much of the wait for the promised refund has passed."""
    weight_tolerance: WeightTolerance = WeightTolerance()
    """Further off it is a content_mismatch, and holds the refund."""
    stop_clocks: StopClocks = StopClocks()
    closures: Annotated[tuple[Closure, ...], AfterValidator(_announced_once)] = ()
    """Hours inside do not count for rules that wait for the carrier."""
    statutes: tuple[Statute, ...] = ()
    refund_tiers: tuple[RefundTier, ...] = ()
    """A return is released by the first tier that fits it; by a later one only after that release was revoked."""
    feeds: FeedPolicy = FeedPolicy()
    journeys: bool = False
    """Whether `journeys` tells where every return is. Not named: an older version wrote the policy. Files say true."""

    @field_validator("rules")
    @classmethod
    def _budgets_where_needed(cls, rules: dict[RuleId, RulePolicy]) -> dict[RuleId, RulePolicy]:
        for rule, numbers in rules.items():
            if rule in WITHOUT_BUDGET and (numbers.budget or numbers.international or numbers.overrides):
                raise ValueError(
                    f"{rule.value} takes no budget: it is due by promise_warning_percent, statutes or feeds"
                )
            if rule not in WITHOUT_BUDGET | AT_ONCE and numbers.budget is None:
                raise ValueError(f"{rule.value} needs a budget: how long is it allowed to take?")
        return {rule: rules[rule] for rule in RuleId if rule in rules}

    @field_validator("refund_tiers")
    @classmethod
    def _stricter_and_stricter(cls, tiers: tuple[RefundTier, ...]) -> tuple[RefundTier, ...]:
        names = [tier.tier for tier in tiers]
        if len(set(names)) < len(names):
            raise ValueError("two tiers have the same name; a release could not be told from the other's")
        stages = tuple(ReleaseAt)
        for earlier, later in pairwise(tiers):
            if stages.index(later.release_at) < stages.index(earlier.release_at):
                raise ValueError(
                    f"{later.tier} releases before {earlier.tier}: write the tier that releases first, first"
                )
        return tiers

    @field_validator("statutes")
    @classmethod
    def _one_law_a_country(cls, statutes: tuple[Statute, ...]) -> tuple[Statute, ...]:
        countries = [country for statute in statutes for country in statute.countries]
        twice = sorted({country for country in countries if countries.count(country) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: two statutes cannot both hold; name a country once")
        return statutes

    @field_validator("accept_age", "orphan_ttl")
    @classmethod
    def _remembers(cls, duration: timedelta) -> timedelta:
        if duration < timedelta(days=1):
            raise ValueError("less than 1d would forget parcels that are on their way")
        return duration

    @model_validator(mode="after")
    def _facilities_exist(self) -> Self:
        if self.default_facility is not None and self.default_facility not in self.facilities:
            raise ValueError(f"default_facility {self.default_facility!r} is not in facilities")
        return self

    @model_validator(mode="after")
    def _closed_carriers_exist(self) -> Self:
        named = {one.carrier for rule in self.rules.values() for one in rule.overrides if one.carrier}
        known = our_tables().carriers | named | set(self.allowances)
        for closure in self.closures:
            if closure.carrier not in known:
                close = get_close_matches(closure.carrier, sorted(known), n=1)
                hint = f"did you mean {close[0]}?" if close else "`returnwatch carriers list` names them"
                raise ValueError(
                    f"nobody knows the carrier {closure.carrier!r} that {closure.reason!r} closes: {hint}"
                )
        return self

    @model_validator(mode="after")
    def _remembers_until_it_is_due(self) -> Self:
        late = max(self.allowances.values(), default=timedelta(0)) + self._longest_closed()
        for rule, numbers in self.rules.items():
            budgets = [numbers.budget, numbers.international, *(one.budget for one in numbers.overrides)]
            longest = max((_at_most(one) for one in budgets if one is not None), default=timedelta(0)) + late
            if numbers.enabled and self.accept_age <= longest:
                raise ValueError(
                    f"accept_age must be longer than the {longest.days + 1} days that {rule.value} may wait: "
                    "what is forgotten before its deadline is never found"
                )
        return self

    def _longest_closed(self) -> timedelta:
        closed: dict[str, timedelta] = {}
        for one in self.closures:
            closed[one.carrier] = closed.get(one.carrier, timedelta(0)) + (one.until_at - one.from_at)
        return max(closed.values(), default=timedelta(0))

    def canonical(self) -> str:
        """JSON in one form: the same numbers give the same text, however they were written."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """sha256 (hex) over the numbers, the version of the rules and the version of the holiday calendars."""
        decides = f"{self.canonical()}|rules {RULE_VERSION}|holidays {_HOLIDAYS_VERSION}"
        return sha256(decides.encode()).hexdigest()

    def to_log(self) -> bytes:
        """Value of the POLICY_KEY record that puts this policy in force."""
        return b'{"hash":"%s","policy":%s}' % (self.hash.encode(), self.canonical().encode())


class _LogEntry(BaseModel):
    hash: str
    policy: Policy


def policy_from_log(value: bytes) -> tuple[Policy, str]:
    """The policy of a POLICY_KEY record, and the hash that its writer gave it. Raises pydantic.ValidationError.

    The hash is taken as written: it names the decision to apply this policy, also for a worker with newer calendars.
    """
    entry = _LogEntry.model_validate_json(value)
    return entry.policy, entry.hash
