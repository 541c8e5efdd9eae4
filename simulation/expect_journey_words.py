"""What a customer has to be told of a return, what comes next and until when: read plainly from all that was told of it.

Which cases stand, and what was said of the refund's release, is judged elsewhere; here it is taken as it was told.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from math import ceil
from typing import Final, NamedTuple

from schemas.policy import ReleaseAt
from schemas.return_journeys import ExpectedStep, JourneyMilestone, PortalStatus
from schemas.vocabulary import Milestone, RuleId
from simulation.dossier import Stories
from simulation.expect_parcels_way import claims_that_hold, delivered_to_us, is_cancelled, why_astray
from simulation.expect_signals import is_held, next_tier
from simulation.expectations import expected_of_return
from simulation.ledger import ReturnNews, Route
from simulation.parcel_story import ParcelStory
from simulation.terms import Terms

_HOUR: Final = timedelta(hours=1)
_WAY: Final = (
    (ExpectedStep.IN_TRANSIT, RuleId.MISSING_FIRST_SCAN),
    (ExpectedStep.DELIVERED, RuleId.TRANSIT_OVERDUE),
    (ExpectedStep.CHECKED_IN, RuleId.DELIVERED_NOT_CHECKED_IN),
)
_COMES_NOT: Final = (RuleId.CARRIER_REPORTED_LOST, RuleId.RETURNED_TO_CUSTOMER)
_WORRIES: Final[dict[str, tuple[RuleId, ...]]] = {
    "lost": (RuleId.CARRIER_REPORTED_LOST,),
    "sent_back": (RuleId.RETURNED_TO_CUSTOMER,),
    "content_mismatch": (RuleId.CONTENT_MISMATCH,),
    "damaged": (RuleId.CARRIER_REPORTED_DAMAGED,),
    "delivered_elsewhere": (RuleId.DELIVERED_ELSEWHERE_SUSPECTED,),
    "searching": (RuleId.DELIVERED_NOT_CHECKED_IN,),
    "pickup_failed": (RuleId.PICKUP_FAILED,),
    "label_expired": (RuleId.LABEL_EXPIRED_UNUSED,),
    "no_first_scan": (RuleId.MISSING_FIRST_SCAN, RuleId.DROPOFF_CLAIM_UNCONFIRMED),
    "delayed": (
        RuleId.STALLED_SILENT,
        RuleId.STALLED_NO_PROGRESS,
        RuleId.TRANSIT_OVERDUE,
        RuleId.MISROUTED,
        RuleId.DELIVERY_FAILED,
        RuleId.PICKUP_POINT_EXPIRING,
        RuleId.MOVING_AFTER_DELIVERY,
    ),
    "late_label": (RuleId.LATE_LABEL,),
}
"""What is said of a parcel or its label with open cases of these, the worst first."""
_LATER_THAN_BUDGETS_SAY: Final = {
    *(rule for rules in _WORRIES.values() for rule in rules),
    RuleId.LATE_INSPECTION,
    RuleId.LATE_REFUND_DECISION,
    RuleId.LATE_REFUND,
    RuleId.REFUND_FAILED,
    RuleId.UNEXPECTED_PARCEL,
}
_OF_PARCELS: Final = {*_WORRIES} - {"content_mismatch", "late_label"} | {"disposed", "weight_mismatch"}
_FOR_OTHERS: Final = {
    "exchange": {
        "inspected": "inspected_for_exchange",
        "refund_approved": "exchange_approved",
        "refund_refused": "exchange_refused",
        "late_refund": "late_exchange",
    },
    "store_credit": {
        "inspected": "inspected_for_credit",
        "refund_approved": "credit_approved",
        "refund_refused": "credit_refused",
        "late_refund": "late_credit",
        "refund_failed": "credit_failed",
        "refund_issued": "credit_issued",
        "refund_issued_goods_awaited": "credit_issued_goods_awaited",
        "refund_issued_parcels_awaited": "credit_issued_parcels_awaited",
        "refund_settled": "credit_issued",
    },
}
_DATED: Final = {
    *("approved", "label_created", "in_transit", "delivered", "checked_in", "inspected"),
    *("inspected_for_credit", "credit_approved", "refund_approved"),
}


class Step(NamedTuple):
    """What is waited for. `last`: when the last of several parcels is due."""

    step: ExpectedStep
    due: datetime | None = None
    rule: RuleId | None = None
    last: datetime | None = None


class Words(NamedTuple):
    """A message's key with its parameters, and what else is told of what is to come."""

    key: str
    parameters: Mapping[str, datetime | str]
    step: Step | None
    earliest: datetime | None
    latest: datetime | None
    promised: datetime | None


class _Leg(NamedTuple):
    parcel: ParcelStory
    done: int
    """How many of the legs of its way lie behind it."""
    ahead: Step


@dataclass
class Customer:
    """One return, as whoever asked for it should see it at `now`. `open_cases`: (rule, parcel); `used`: tiers released before."""

    stories: Stories
    terms: Terms
    reached: Mapping[JourneyMilestone, datetime]
    status: PortalStatus
    parcels: Sequence[ParcelStory]
    open_cases: Collection[tuple[str, str]]
    used: Collection[str]
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

    def words(self) -> Words:
        """All of it."""
        earliest, latest = self._estimate()
        key, parameters = self._message()
        return Words(key, parameters, self.step, earliest, latest, self._promised())

    # ---- what is known ------------------------------------------------------------------------------------------

    @cached_property
    def _resolution(self) -> str:
        request = self.stories.whole.request
        return "refund" if request is None else request.resolution

    def _has(self, milestone: JourneyMilestone) -> bool:
        return milestone in self.reached

    @cached_property
    def _furthest(self) -> JourneyMilestone | None:
        return next((one for one in reversed(JourneyMilestone) if self._has(one)), None)

    @cached_property
    def _failed(self) -> bool:
        return bool(self.stories.whole.news(Milestone.REFUND_FAILED)) and not self._has(
            JourneyMilestone.REFUNDED
        )

    def _money(self, milestone: Milestone) -> datetime | None:
        """When it was paid, of what came after the last failure."""
        whole = self.stories.whole
        failures = [news.at for news in whole.news(Milestone.REFUND_FAILED)]
        times = [news.at for news in whole.news(milestone) if not failures or news.at > failures[-1]]
        return min(times, default=None)

    @cached_property
    def _decisions(self) -> list[ReturnNews]:
        return self.stories.whole.news(Milestone.REFUND_APPROVED, Milestone.REFUND_REFUSED)

    @cached_property
    def _refused(self) -> bool:
        last = max((news.at for news in self._decisions), default=None)
        return any(n.milestone is Milestone.REFUND_REFUSED for n in self._decisions if n.at == last)

    @cached_property
    def _approved(self) -> bool:
        return bool(self._decisions) and not self._refused

    # ---- what is waited for -------------------------------------------------------------------------------------

    @cached_property
    def _waits(self) -> dict[tuple[RuleId, str], datetime]:
        found: dict[tuple[RuleId, str], datetime] = {}
        for one in expected_of_return(self.stories.whole, self.terms):
            if not one.ends:
                found[one.rule, one.parcel] = min(one.due_at, found.get((one.rule, one.parcel), one.due_at))
        return found

    def _deadlines(self, rule: RuleId) -> tuple[datetime | None, datetime | None]:
        """The first and the last."""
        due = [at for (of_rule, _), at in self._waits.items() if of_rule is rule]
        return min(due, default=None), max(due, default=None)

    def _used_up(self, rule: RuleId, since: datetime | None, parcel: ParcelStory | None) -> datetime | None:
        whole = self.stories.whole
        if since is None or rule not in self.terms.applied:
            return None
        route: Route = whole.route if parcel is None else whole.route_of(parcel)
        return self.terms.counted(rule, since, route)

    @cached_property
    def legs(self) -> list[_Leg]:
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
                step, rule = _WAY[done]
                due = self._used_up(rule, since, one)
                if why_astray(one, self.terms) is not None:
                    due = None
                ahead = Step(step, due, rule if due else None)
                if not done:
                    ahead = self._handing_over(ahead, one, claims)
                found.append(_Leg(one, done, ahead))
        return found

    def _handing_over(self, ahead: Step, parcel: ParcelStory, claims: Iterable[ReturnNews]) -> Step:
        if not any(not claim.parcels or parcel.parcel in claim.parcels for claim in claims):
            return ahead._replace(step=ExpectedStep.DROPPED_OFF)
        rule = RuleId.DROPOFF_CLAIM_UNCONFIRMED
        due = self._waits.get((rule, parcel.parcel)) or self._waits.get((rule, ""))
        earlier = due is not None and (ahead.due is None or due < ahead.due)
        return Step(ahead.step, due, rule) if earlier else ahead

    def _coming(self) -> list[_Leg]:
        gone = {name for rule in _COMES_NOT for name in self.worries.get(rule, ())}
        return [leg for leg in self.legs if leg.parcel.parcel not in gone]

    @cached_property
    def step(self) -> Step | None:
        """What comes next; None: nothing."""
        if self.status is PortalStatus.CLOSED:
            return None
        if self._has(JourneyMilestone.REFUNDED):
            issued, settled = self._money(Milestone.REFUND_ISSUED), self._money(Milestone.REFUND_SETTLED)
            if issued and not settled and RuleId.REFUND_NOT_SETTLED in self.terms.applied:
                return self._wait(ExpectedStep.REFUND_SETTLED, RuleId.REFUND_NOT_SETTLED)
            return _first_due(self._coming())
        exchange = self._resolution == "exchange"
        paying = ExpectedStep.REPLACEMENT_SENT if exchange else ExpectedStep.REFUND_ISSUED
        if self._failed:
            return Step(paying)
        if self._approved:
            return self._wait(paying, RuleId.LATE_REFUND)
        if self._furthest is JourneyMilestone.INSPECTED:
            decision = ExpectedStep.REPLACEMENT_SENT if exchange else ExpectedStep.REFUND_APPROVED
            return self._wait(decision, RuleId.LATE_REFUND_DECISION)
        if self._furthest is JourneyMilestone.CHECKED_IN:
            return self._wait(ExpectedStep.INSPECTED, RuleId.LATE_INSPECTION)
        return self._before_the_dock()

    def _before_the_dock(self) -> Step | None:
        coming = self._coming()
        if self.legs and not coming:
            lost = RuleId.CARRIER_REPORTED_LOST in self.worries
            return Step(ExpectedStep.REFUND_APPROVED) if lost else None
        if coming:
            return _first_due(coming)
        if self._furthest is JourneyMilestone.RETURN_REQUESTED:
            return Step(ExpectedStep.RETURN_APPROVED)
        if self._furthest is JourneyMilestone.DROPPED_OFF:
            return Step(ExpectedStep.IN_TRANSIT)
        if self.stories.whole.in_store:
            return Step(ExpectedStep.CHECKED_IN)
        return self._wait(ExpectedStep.LABEL_CREATED, RuleId.LATE_LABEL)

    def _wait(self, step: ExpectedStep, rule: RuleId) -> Step:
        first, last = self._deadlines(rule)
        return Step(step, first, rule if first else None, last)

    # ---- the message --------------------------------------------------------------------------------------------

    def _message(self) -> tuple[str, Mapping[str, datetime | str]]:
        if self.status is PortalStatus.REFUNDED:
            return self._paid()
        if self.status is PortalStatus.CLOSED:
            return self._closed(), {}
        if self._failed:
            return self._for_them("refund_failed"), {}
        worry = next(self._worst(), None)
        if worry is not None:
            return self._for_them(worry), {}
        if self._approved:
            return self._by("refund_approved")
        at_most_dropped = self._furthest not in {
            *list(JourneyMilestone)[list(JourneyMilestone).index(JourneyMilestone.IN_TRANSIT) :]
        }
        if self._all_voided() and at_most_dropped:
            return self._voided(), {}
        if self._furthest is JourneyMilestone.DROPPED_OFF:
            return self._dropped_off()
        if len(self.parcels) > 1 and self.legs and self._furthest is not JourneyMilestone.INSPECTED:
            return self._several()
        return self._ordinary()

    def _for_them(self, key: str) -> str:
        return _FOR_OTHERS.get(self._resolution, {}).get(key, key)

    def _by(self, key: str) -> tuple[str, Mapping[str, datetime | str]]:
        key, step = self._for_them(key), self.step
        if key not in _DATED:
            return key, {}
        if step is None or step.due is None or step.due <= self.now:
            return f"{key}_undated", {}
        return key, {"by": step.last or step.due}

    def _ordinary(self) -> tuple[str, Mapping[str, datetime | str]]:
        if self._furthest is None or self._furthest is JourneyMilestone.RETURN_REQUESTED:
            return "pending_approval", {}
        if self._furthest is JourneyMilestone.RETURN_APPROVED:
            return ("approved_in_store", {}) if self.stories.whole.in_store else self._by("approved")
        return self._by(self._furthest.value)

    def _paid(self) -> tuple[str, Mapping[str, datetime | str]]:
        settled, issued = self._money(Milestone.REFUND_SETTLED), self._money(Milestone.REFUND_ISSUED)
        claimed = bool(claims_that_hold(self.stories.whole, self.parcels)) and self._claim_was_first()
        if settled is not None:
            return self._for_them("refund_settled"), {"at": settled}
        sent = self.stories.whole.first(Milestone.REPLACEMENT_SENT)
        at = issued if issued is not None or sent is None else sent.at
        assert at is not None
        key = "refund_issued" if issued is not None else "replacement_sent"
        if any(not leg.done for leg in self.legs) and not claimed:
            key += "_parcels_awaited" if len(self.parcels) > 1 else "_goods_awaited"
        return self._for_them(key), {"at": at}

    def _claim_was_first(self) -> bool:
        return self.reached.get(JourneyMilestone.DROPPED_OFF) != self.reached.get(JourneyMilestone.IN_TRANSIT)

    def _closed(self) -> str:
        if is_cancelled(self.stories.whole):
            return "return_cancelled"
        return self._for_them("refund_refused") if self._refused else self._voided()

    def _all_voided(self) -> bool:
        return not self.parcels and any(p.label is not None for p in self.stories.whole.parcels.values())

    def _voided(self) -> str:
        seen = any(p.label is not None and p.scans for p in self.stories.whole.parcels.values())
        used = seen or self._furthest is JourneyMilestone.DROPPED_OFF
        return "label_voided_after_use" if used else "label_voided"

    def _worst(self) -> Iterator[str]:
        inspected = self._furthest is JourneyMilestone.INSPECTED
        for key, rules in _WORRIES.items():
            of = {parcel for rule in rules for parcel in self.worries.get(rule, ())}
            if any(rule in self.worries for rule in rules):
                yield self._of_which(key, of)
        if RuleId.LATE_REFUND in self.worries:
            yield "late_refund"
        if RuleId.LATE_INSPECTION in self.worries and not self._approved:
            yield "late_inspection"
        if RuleId.LATE_REFUND_DECISION in self.worries and not self._approved:
            yield "late_refund"
        promise = {RuleId.REFUND_PROMISE_BROKEN, RuleId.STATUTORY_REFUND_DEADLINE}
        if promise & self.worries.keys() and (inspected or self._approved):
            yield "late_refund"

    def _of_which(self, key: str, names: set[str]) -> str:
        if key == "content_mismatch" and "" not in names:
            key = "weight_mismatch"
        whole = self.stories.whole
        if key == "lost" and all(whole.parcels[name].is_destroyed for name in names):
            key = "disposed"
        return f"{key}_of_one" if key in _OF_PARCELS and len(self.parcels) > 1 else key

    def _dropped_off(self) -> tuple[str, Mapping[str, datetime | str]]:
        steps = {leg.ahead.step for leg in self.legs}
        if len(steps) > 1:
            return "partly_dropped_off", {}
        if steps != {ExpectedStep.IN_TRANSIT}:
            return "dropped_off_undated", {}
        if len(self.parcels) > 1:
            return "parcels_dropped_off", {}
        claimed = self.reached[JourneyMilestone.DROPPED_OFF]
        rules = (RuleId.DROPOFF_CLAIM_UNCONFIRMED, RuleId.MISSING_FIRST_SCAN)
        due = sorted({at for rule in rules if (at := self._used_up(rule, claimed, self.parcels[0]))})
        if not due or due[0] <= self.now:
            return "dropped_off_undated", {}
        return "dropped_off", {"hours": "-".join(str(ceil((at - claimed) / _HOUR)) for at in due)}

    def _several(self) -> tuple[str, Mapping[str, datetime | str]]:
        done = {leg.done for leg in self.legs}
        some_there = len(self.legs) < len(self.parcels)
        if 0 in done and (some_there or done != {0}):
            return "partly_in_transit", {}
        if 1 in done and (some_there or done != {1}):
            return "partly_delivered", {}
        key = ("labels_created", "parcels_in_transit", "parcels_delivered")[min(done)]
        due = [leg.ahead.due for leg in self.legs]
        known = [at for at in due if at is not None]
        if len(known) < len(due) or min(known) <= self.now:
            return f"{key}_undated", {}
        return key, {"by": min(known) if key == "labels_created" else max(known)}

    # ---- the refund ---------------------------------------------------------------------------------------------

    def _promised(self) -> datetime | None:
        request = self.stories.whole.request
        if request is None or self._resolution == "exchange":
            return None
        rule = RuleId.REFUND_PROMISE_BROKEN
        if request.promised_at is not None or rule not in self.terms.applied:
            return request.promised_at
        return self.terms.used_up(rule, request.at, self.stories.whole.route)

    def _estimate(self) -> tuple[datetime | None, datetime | None]:
        """From when to when the refund may be expected."""
        nobody_knows = None, None
        request = self.stories.whole.request
        if request is None or self._resolution == "exchange" or self._failed:
            return nobody_knows
        if self.status in {PortalStatus.CLOSED, PortalStatus.REFUNDED, PortalStatus.PENDING_APPROVAL}:
            return nobody_knows
        if _LATER_THAN_BUDGETS_SAY & self.worries.keys() or RuleId.CONTENT_MISMATCH in self.worries:
            return nobody_knows
        if self._furthest in {None, JourneyMilestone.RETURN_REQUESTED}:
            return nobody_knows
        if self._approved:
            first, last = self._deadlines(RuleId.LATE_REFUND)
            return (None, last) if first is not None and first > self.now else nobody_knows
        if is_held(self.stories, self.terms):
            return nobody_knows
        return self._by_budgets(request)

    def _by_budgets(self, request: ReturnNews) -> tuple[datetime | None, datetime | None]:
        if self._furthest is JourneyMilestone.INSPECTED:
            due, decided = self._deadlines(RuleId.LATE_REFUND_DECISION)
            earliest = None
        else:
            due, earliest, inspected = self._until_inspected(self._release_at(request))
            decided = self._used_up(RuleId.LATE_REFUND_DECISION, inspected, None)
        if RuleId.LATE_REFUND_DECISION not in self.terms.applied or due is None or due <= self.now:
            return None, None
        latest = self._used_up(RuleId.LATE_REFUND, decided, None)
        return (earliest, latest) if latest is not None else (None, None)

    def _release_at(self, request: ReturnNews) -> ReleaseAt | None:
        """With which stage it may be released; None: it was, and may be paid at any time."""
        if self.released:
            return None
        tier = next_tier(request, self.terms, self.used)
        return ReleaseAt.INSPECTED if tier is None else tier.release_at

    def _until_inspected(
        self, release_at: ReleaseAt | None
    ) -> tuple[datetime | None, datetime | None, datetime | None]:
        """The first deadline, when it may be released, and when all is inspected, every leg taking all of its budget."""
        nobody_knows = None, None, None
        first, inspected = self._deadlines(RuleId.LATE_INSPECTION)
        if self._furthest is JourneyMilestone.CHECKED_IN:
            return first, inspected if release_at is ReleaseAt.INSPECTED else None, inspected
        if self.stories.whole.in_store:
            return nobody_knows
        if self.parcels:
            ways = [self._way(leg.done, leg.ahead.due, leg.parcel) for leg in self.legs]
        elif self._furthest is JourneyMilestone.RETURN_APPROVED:
            ways = [self._way(-1, self._deadlines(RuleId.LATE_LABEL)[0], None)]
        else:
            return nobody_knows
        if any(None in way for way in ways):
            return nobody_knows
        known = [[at for at in way if at is not None] for way in ways]
        due = [way[0] for way in known] + ([first] if first else [])
        ends = [way[-1] for way in known] + ([inspected] if inspected else [])
        stage = {ReleaseAt.FIRST_SCAN: -4, ReleaseAt.DELIVERED: -3, ReleaseAt.INSPECTED: -1}
        if release_at is None:
            return min(due), None, max(ends)
        if release_at is ReleaseAt.INSPECTED:
            return min(due), max(ends), max(ends)
        released = [way[stage[release_at]] for way in known if len(way) >= -stage[release_at]]
        return min(due), max(released, default=None), max(ends)

    def _way(self, done: int, due: datetime | None, parcel: ParcelStory | None) -> list[datetime | None]:
        """When each leg after those that are done ends, the inspection last; None: nobody knows."""
        ends = [due]
        for rule in [*(rule for _, rule in _WAY[done + 1 :]), RuleId.LATE_INSPECTION]:
            ends.append(self._used_up(rule, ends[-1], parcel))
        return ends


def _first_due(legs: Sequence[_Leg]) -> Step | None:
    """Of several parcels, what is due first; what has no deadline last."""
    dated = [leg for leg in legs if leg.ahead.due is not None]
    if dated:
        return min(dated, key=lambda leg: (leg.ahead.due, leg.done)).ahead
    return min(legs, key=lambda leg: leg.done).ahead if legs else None
