"""What a customer has to be told of a return, and when the refund may be expected: read plainly from all that was told of it.

Which cases stand, and what was said of the refund's release, is judged elsewhere; here it is taken as it was told.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from math import ceil
from typing import Final, NamedTuple

from schemas.policy import ReleaseAt
from schemas.return_journeys import ExpectedStep, JourneyMilestone, PortalStatus
from schemas.vocabulary import Milestone, RuleId
from simulation.expect_next_step import WAY, Ahead, Step
from simulation.expect_parcels_way import claims_that_hold, is_cancelled
from simulation.expect_signals import is_held, next_tier
from simulation.ledger import ReturnNews
from simulation.parcel_story import ParcelStory

_HOUR: Final = timedelta(hours=1)
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


class Words(NamedTuple):
    """A message's key with its parameters, and what else is told of what is to come."""

    key: str
    parameters: Mapping[str, datetime | str]
    step: Step | None
    earliest: datetime | None
    latest: datetime | None
    promised: datetime | None


class Customer(Ahead):
    """One return, as whoever asked for it should see it."""

    def words(self) -> Words:
        """All of it."""
        earliest, latest = self._estimate()
        key, parameters = self._message()
        return Words(key, parameters, self.step, earliest, latest, self._promised())

    # ---- the message --------------------------------------------------------------------------------------------

    def _message(self) -> tuple[str, Mapping[str, datetime | str]]:
        if self.status is PortalStatus.REFUNDED:
            return self._paid()
        if self.status is PortalStatus.CLOSED:
            return self._closed(), {}
        if self.failed:
            return self._for_them("refund_failed"), {}
        worry = next(self._worst(), None)
        if worry is not None:
            return self._for_them(worry), {}
        if self.approved:
            return self._by("refund_approved")
        at_most_dropped = self.furthest not in {
            *list(JourneyMilestone)[list(JourneyMilestone).index(JourneyMilestone.IN_TRANSIT) :]
        }
        if self._all_voided() and at_most_dropped:
            return self._voided(), {}
        if self.furthest is JourneyMilestone.DROPPED_OFF:
            return self._dropped_off()
        if len(self.parcels) > 1 and self.legs and self.furthest is not JourneyMilestone.INSPECTED:
            return self._several()
        return self._ordinary()

    def _for_them(self, key: str) -> str:
        return _FOR_OTHERS.get(self.resolution, {}).get(key, key)

    def _by(self, key: str) -> tuple[str, Mapping[str, datetime | str]]:
        key, step = self._for_them(key), self.step
        if key not in _DATED:
            return key, {}
        if step is None or step.due is None or step.due <= self.now:
            return f"{key}_undated", {}
        return key, {"by": step.last or step.due}

    def _ordinary(self) -> tuple[str, Mapping[str, datetime | str]]:
        if self.furthest is None or self.furthest is JourneyMilestone.RETURN_REQUESTED:
            return "pending_approval", {}
        if self.furthest is JourneyMilestone.RETURN_APPROVED:
            return ("approved_in_store", {}) if self.stories.whole.in_store else self._by("approved")
        return self._by(self.furthest.value)

    def _paid(self) -> tuple[str, Mapping[str, datetime | str]]:
        settled, issued = self.money(Milestone.REFUND_SETTLED), self.money(Milestone.REFUND_ISSUED)
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
        return self._for_them("refund_refused") if self.refused else self._voided()

    def _all_voided(self) -> bool:
        return not self.parcels and any(p.label is not None for p in self.stories.whole.parcels.values())

    def _voided(self) -> str:
        seen = any(p.label is not None and p.scans for p in self.stories.whole.parcels.values())
        used = seen or self.furthest is JourneyMilestone.DROPPED_OFF
        return "label_voided_after_use" if used else "label_voided"

    def _worst(self) -> Iterator[str]:
        inspected = self.furthest is JourneyMilestone.INSPECTED
        for key, rules in _WORRIES.items():
            of = {parcel for rule in rules for parcel in self.worries.get(rule, ())}
            if any(rule in self.worries for rule in rules):
                yield self._of_which(key, of)
        if RuleId.LATE_REFUND in self.worries:
            yield "late_refund"
        if RuleId.LATE_INSPECTION in self.worries and not self.approved:
            yield "late_inspection"
        if RuleId.LATE_REFUND_DECISION in self.worries and not self.approved:
            yield "late_refund"
        promise = {RuleId.REFUND_PROMISE_BROKEN, RuleId.STATUTORY_REFUND_DEADLINE}
        if promise & self.worries.keys() and (inspected or self.approved):
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
        due = sorted({at for rule in rules if (at := self.used_up(rule, claimed, self.parcels[0]))})
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
        if request is None or self.resolution == "exchange":
            return None
        rule = RuleId.REFUND_PROMISE_BROKEN
        if request.promised_at is not None or rule not in self.terms.applied:
            return request.promised_at
        return self.terms.used_up(rule, request.at, self.stories.whole.route)

    def _estimate(self) -> tuple[datetime | None, datetime | None]:
        """From when to when the refund may be expected."""
        nobody_knows = None, None
        request = self.stories.whole.request
        if request is None or self.resolution == "exchange" or self.failed:
            return nobody_knows
        if self.status in {PortalStatus.CLOSED, PortalStatus.REFUNDED, PortalStatus.PENDING_APPROVAL}:
            return nobody_knows
        if _LATER_THAN_BUDGETS_SAY & self.worries.keys() or RuleId.CONTENT_MISMATCH in self.worries:
            return nobody_knows
        if self.furthest in {None, JourneyMilestone.RETURN_REQUESTED}:
            return nobody_knows
        if self.approved:
            first, last = self.deadlines(RuleId.LATE_REFUND)
            return (None, last) if first is not None and first > self.now else nobody_knows
        if is_held(self.stories, self.terms):
            return nobody_knows
        return self._by_budgets(request)

    def _by_budgets(self, request: ReturnNews) -> tuple[datetime | None, datetime | None]:
        if self.furthest is JourneyMilestone.INSPECTED:
            due, decided = self.deadlines(RuleId.LATE_REFUND_DECISION)
            earliest = None
        else:
            due, earliest, inspected = self._until_inspected(self._release_at(request))
            decided = self.used_up(RuleId.LATE_REFUND_DECISION, inspected, None)
        if RuleId.LATE_REFUND_DECISION not in self.terms.applied or due is None or due <= self.now:
            return None, None
        latest = self.used_up(RuleId.LATE_REFUND, decided, None)
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
        first, inspected = self.deadlines(RuleId.LATE_INSPECTION)
        if self.furthest is JourneyMilestone.CHECKED_IN:
            return first, inspected if release_at is ReleaseAt.INSPECTED else None, inspected
        if self.stories.whole.in_store:
            return nobody_knows
        if self.parcels:
            ways = [self._way(leg.done, leg.ahead.due, leg.parcel) for leg in self.legs]
        elif self.furthest is JourneyMilestone.RETURN_APPROVED:
            ways = [self._way(-1, self.deadlines(RuleId.LATE_LABEL)[0], None)]
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
        for rule in [*(rule for _, rule in WAY[done + 1 :]), RuleId.LATE_INSPECTION]:
            ends.append(self.used_up(rule, ends[-1], parcel))
        return ends
