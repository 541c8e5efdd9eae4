"""Each rule about a parcel: what it waits for to the millisecond, what ends the waiting, and what does not."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from schemas.facts import ParcelFact
from schemas.vocabulary import Evidence, Milestone, Reason, RuleId
from streams.rules import (
    carrier_reports,
    checked_in_not_delivered,
    delivered_not_checked_in,
    delivery_failed,
    label_expired_unused,
    misrouted,
    missing_first_scan,
    moving_after_delivery,
    pickup_failed,
    pickup_point_expiring,
    stalled_no_progress,
    stalled_silent,
    transit_overdue,
    unexpected_parcel,
)
from tests.stages import DAY, HOUR, MINUTE, label, label_fact, parcel_fact
from tests.waiting import (
    ALLOWANCE,
    BUDGET,
    SETTLE,
    ParcelRule,
    Wait,
    anchor,
    breaches,
    expected,
    plain,
    waits,
)

LABEL = label_fact(0, "R1")
AT = 5 * HOUR
"""When the waiting starts, but for a label's."""

Ending = Callable[[int], ParcelFact]


def seen(
    milestone: Milestone, at_ms: int = AT, *, arrived_ms: int | None = None, place: str = ""
) -> ParcelFact:
    return parcel_fact(milestone, at_ms, arrived_ms=arrived_ms, place=place)


def by_agent(at_ms: int) -> ParcelFact:
    return parcel_fact(Milestone.DROPPED_OFF, at_ms, evidence=Evidence.AGENT_SCAN)


def checked_in(at_ms: int = AT, *, arrived_ms: int | None = None) -> ParcelFact:
    evidence = Evidence.WAREHOUSE_SCAN
    return parcel_fact(Milestone.CHECKED_IN, at_ms, evidence=evidence, arrived_ms=arrived_ms)


def voided(at_ms: int) -> ParcelFact:
    return parcel_fact(Milestone.LABEL_VOIDED, at_ms, evidence=Evidence.SYSTEM, label=label())


def scan(milestone: Milestone) -> Ending:
    return lambda at_ms: parcel_fact(milestone, at_ms)


def word(milestone: Milestone) -> Ending:
    """The carrier knows, and nobody has scanned it."""
    return lambda at_ms: parcel_fact(milestone, at_ms, evidence=Evidence.CARRIER_INFERRED)


class Life(NamedTuple):
    """A waiting that nothing has ended."""

    rule: ParcelRule
    facts: tuple[ParcelFact, ...]
    start: ParcelFact
    anchor: str
    wait_ms: int
    """From the start to the deadline."""


CARRIER = BUDGET + ALLOWANCE
MOVING, DELIVERED = seen(Milestone.IN_TRANSIT), seen(Milestone.DELIVERED)
CHECKED_IN = checked_in()
STUCK = seen(Milestone.IN_TRANSIT, AT + 4 * HOUR)


def of(rule: ParcelRule, *facts: ParcelFact, start: ParcelFact, wait_ms: int) -> Life:
    return Life(rule, (LABEL, *facts), start, anchor(start), wait_ms)


def said(rule: ParcelRule, milestone: Milestone, wait_ms: int) -> Life:
    fact = seen(milestone)
    return of(rule, fact, start=fact, wait_ms=wait_ms)


LIVES = {
    RuleId.MISSING_FIRST_SCAN: of(missing_first_scan.expectations, start=LABEL, wait_ms=CARRIER),
    RuleId.LABEL_EXPIRED_UNUSED: of(label_expired_unused.expectations, start=LABEL, wait_ms=CARRIER),
    RuleId.PICKUP_FAILED: said(pickup_failed.expectations, Milestone.PICKUP_FAILED, CARRIER),
    RuleId.STALLED_SILENT: of(stalled_silent.expectations, MOVING, start=MOVING, wait_ms=CARRIER),
    RuleId.STALLED_NO_PROGRESS: of(
        stalled_no_progress.expectations, MOVING, STUCK, start=MOVING, wait_ms=CARRIER
    ),
    RuleId.TRANSIT_OVERDUE: Life(
        transit_overdue.expectations, (LABEL, MOVING), MOVING, anchor(LABEL), CARRIER
    ),
    RuleId.MISROUTED: said(misrouted.expectations, Milestone.MISROUTED, CARRIER),
    RuleId.DELIVERY_FAILED: said(delivery_failed.expectations, Milestone.DELIVERY_ATTEMPTED, CARRIER),
    RuleId.PICKUP_POINT_EXPIRING: said(
        pickup_point_expiring.expectations, Milestone.AVAILABLE_FOR_PICKUP, CARRIER
    ),
    RuleId.RETURNED_TO_CUSTOMER: said(
        carrier_reports.returned_to_customer, Milestone.RETURNED_TO_SENDER, SETTLE
    ),
    RuleId.CARRIER_REPORTED_LOST: said(carrier_reports.carrier_reported_lost, Milestone.LOST, SETTLE),
    RuleId.CARRIER_REPORTED_DAMAGED: said(
        carrier_reports.carrier_reported_damaged, Milestone.DAMAGED, SETTLE
    ),
    RuleId.DELIVERED_ELSEWHERE_SUSPECTED: said(
        carrier_reports.delivered_elsewhere_suspected, Milestone.DELIVERED_ELSEWHERE, SETTLE
    ),
    RuleId.MOVING_AFTER_DELIVERY: of(
        moving_after_delivery.expectations,
        seen(Milestone.DELIVERED, AT - HOUR),
        MOVING,
        start=MOVING,
        wait_ms=CARRIER,
    ),
    RuleId.DELIVERED_NOT_CHECKED_IN: of(
        delivered_not_checked_in.expectations, DELIVERED, start=DELIVERED, wait_ms=BUDGET
    ),
    RuleId.CHECKED_IN_NOT_DELIVERED: of(
        checked_in_not_delivered.expectations, CHECKED_IN, start=CHECKED_IN, wait_ms=CARRIER
    ),
    RuleId.UNEXPECTED_PARCEL: Life(
        unexpected_parcel.expectations, (CHECKED_IN,), CHECKED_IN, anchor(CHECKED_IN), BUDGET
    ),
}

AT_THE_DOCK_OR_VOID: list[tuple[Ending, Reason]] = [
    (checked_in, Reason.CHECKED_IN),
    (voided, Reason.LABEL_VOIDED),
]
GIVEN_UP = [
    (word(Milestone.RETURNED_TO_SENDER), Reason.TURNED_BACK),
    (word(Milestone.LOST), Reason.LOST),
    (word(Milestone.DISPOSED), Reason.LOST),
]
BY_SCAN = [
    (scan(Milestone.RETURNED_TO_SENDER), Reason.TURNED_BACK),
    (scan(Milestone.LOST), Reason.LOST),
    (scan(Milestone.DISPOSED), Reason.LOST),
    (scan(Milestone.DELIVERED), Reason.DELIVERED),
    (scan(Milestone.DELIVERED_ELSEWHERE), Reason.DELIVERED_ELSEWHERE),
]
FIRST_SCAN = [
    (one, Reason.FIRST_SCAN) for one in (by_agent, scan(Milestone.ACCEPTED), scan(Milestone.DELIVERED))
]
TO_US = [(scan(Milestone.DELIVERED), Reason.DELIVERED)]


def progress(*milestones: Milestone) -> list[tuple[Ending, Reason]]:
    return [(scan(milestone), Reason.PROGRESS) for milestone in milestones]


ENDINGS: dict[RuleId, list[tuple[Ending, Reason]]] = {
    RuleId.MISSING_FIRST_SCAN: [*FIRST_SCAN, *AT_THE_DOCK_OR_VOID, *GIVEN_UP],
    RuleId.LABEL_EXPIRED_UNUSED: [*FIRST_SCAN, *AT_THE_DOCK_OR_VOID, *GIVEN_UP],
    RuleId.PICKUP_FAILED: [*FIRST_SCAN, *AT_THE_DOCK_OR_VOID, *GIVEN_UP],
    RuleId.STALLED_SILENT: [
        *progress(Milestone.IN_TRANSIT, Milestone.DELAYED, Milestone.DAMAGED),
        *BY_SCAN,
        *AT_THE_DOCK_OR_VOID,
        *GIVEN_UP,
    ],
    RuleId.STALLED_NO_PROGRESS: [
        *progress(
            Milestone.ACCEPTED,
            Milestone.CUSTOMS_HOLD,
            Milestone.OUT_FOR_DELIVERY,
            Milestone.AVAILABLE_FOR_PICKUP,
            Milestone.DELIVERY_ATTEMPTED,
        ),
        (by_agent, Reason.PROGRESS),
        (lambda at_ms: seen(Milestone.DELAYED, at_ms, place="FR/lyon"), Reason.PROGRESS),
        *BY_SCAN,
        *AT_THE_DOCK_OR_VOID,
        *GIVEN_UP,
    ],
    RuleId.TRANSIT_OVERDUE: [*BY_SCAN, *AT_THE_DOCK_OR_VOID, *GIVEN_UP],
    RuleId.MISROUTED: [*progress(Milestone.IN_TRANSIT), *BY_SCAN, *AT_THE_DOCK_OR_VOID, *GIVEN_UP],
    RuleId.DELIVERY_FAILED: [
        *progress(Milestone.OUT_FOR_DELIVERY, Milestone.AVAILABLE_FOR_PICKUP),
        *BY_SCAN,
        *AT_THE_DOCK_OR_VOID,
        *GIVEN_UP,
    ],
    RuleId.PICKUP_POINT_EXPIRING: [
        *progress(Milestone.IN_TRANSIT, Milestone.MISROUTED, Milestone.DELAYED),
        *BY_SCAN,
        *AT_THE_DOCK_OR_VOID,
        *GIVEN_UP,
    ],
    RuleId.RETURNED_TO_CUSTOMER: AT_THE_DOCK_OR_VOID,
    RuleId.CARRIER_REPORTED_LOST: [
        *progress(Milestone.IN_TRANSIT, Milestone.DAMAGED),
        *TO_US,
        *AT_THE_DOCK_OR_VOID,
    ],
    RuleId.CARRIER_REPORTED_DAMAGED: [*AT_THE_DOCK_OR_VOID, *GIVEN_UP],
    RuleId.DELIVERED_ELSEWHERE_SUSPECTED: [*TO_US, *AT_THE_DOCK_OR_VOID],
    RuleId.MOVING_AFTER_DELIVERY: [*TO_US, *AT_THE_DOCK_OR_VOID, *GIVEN_UP],
    RuleId.DELIVERED_NOT_CHECKED_IN: AT_THE_DOCK_OR_VOID,
    RuleId.CHECKED_IN_NOT_DELIVERED: TO_US,
    RuleId.UNEXPECTED_PARCEL: [(lambda at_ms: label_fact(at_ms, "R1"), Reason.LABEL_CREATED)],
}

HEARSAY: list[Ending] = [
    lambda at_ms: parcel_fact(Milestone.IN_TRANSIT, at_ms, evidence=Evidence.ANNOUNCED),
    lambda at_ms: parcel_fact(Milestone.DROPPED_OFF, at_ms, evidence=Evidence.CLAIMED),
    scan(Milestone.PICKUP_SCHEDULED),
    scan(Milestone.PICKUP_FAILED),
]
TROUBLE = [scan(Milestone.MISROUTED), scan(Milestone.DELAYED), scan(Milestone.DELIVERY_EXCEPTION)]
USUAL: dict[RuleId, Ending] = {
    RuleId.MISSING_FIRST_SCAN: by_agent,
    RuleId.LABEL_EXPIRED_UNUSED: by_agent,
    RuleId.STALLED_SILENT: scan(Milestone.IN_TRANSIT),
    RuleId.STALLED_NO_PROGRESS: scan(Milestone.OUT_FOR_DELIVERY),
    RuleId.TRANSIT_OVERDUE: scan(Milestone.DELIVERED),
    RuleId.DELIVERED_NOT_CHECKED_IN: checked_in,
    RuleId.CHECKED_IN_NOT_DELIVERED: scan(Milestone.DELIVERED),
    RuleId.UNEXPECTED_PARCEL: lambda at_ms: label_fact(at_ms, "R1"),
}
"""What every healthy parcel does: no deadline is worked out for it."""

NO_ENDINGS: dict[RuleId, list[Ending]] = {
    RuleId.STALLED_NO_PROGRESS: TROUBLE,
    RuleId.TRANSIT_OVERDUE: [*TROUBLE, scan(Milestone.OUT_FOR_DELIVERY)],
    RuleId.MISROUTED: [*TROUBLE, scan(Milestone.DAMAGED)],
    RuleId.DELIVERY_FAILED: [*TROUBLE, scan(Milestone.DELIVERY_ATTEMPTED), scan(Milestone.IN_TRANSIT)],
    RuleId.PICKUP_POINT_EXPIRING: [scan(Milestone.AVAILABLE_FOR_PICKUP)],
    RuleId.RETURNED_TO_CUSTOMER: [
        scan(Milestone.IN_TRANSIT),
        scan(Milestone.DELIVERED),  # where, it does not say: to the customer
        *(ending for ending, _ in GIVEN_UP),
    ],
    RuleId.CARRIER_REPORTED_LOST: [
        *(ending for ending, _ in GIVEN_UP),
        scan(Milestone.LOST),
        scan(Milestone.DISPOSED),
        scan(Milestone.RETURNED_TO_SENDER),
    ],
    RuleId.CARRIER_REPORTED_DAMAGED: [scan(Milestone.IN_TRANSIT), scan(Milestone.DELIVERED)],
    RuleId.DELIVERED_ELSEWHERE_SUSPECTED: [
        scan(Milestone.IN_TRANSIT),
        scan(Milestone.DELIVERED_ELSEWHERE),
        *(ending for ending, _ in GIVEN_UP),
    ],
    RuleId.MOVING_AFTER_DELIVERY: [scan(Milestone.OUT_FOR_DELIVERY), scan(Milestone.DELIVERED_ELSEWHERE)],
    RuleId.DELIVERED_NOT_CHECKED_IN: [scan(Milestone.IN_TRANSIT), *(ending for ending, _ in GIVEN_UP)],
    RuleId.CHECKED_IN_NOT_DELIVERED: [voided, scan(Milestone.IN_TRANSIT)],
}


def named(rule: RuleId, ending: Ending, what: str) -> str:
    fact = ending(0)
    return f"{rule}: {Milestone(fact.milestone).name.lower()} by {Evidence(fact.evidence).name.lower()}{what}"


@pytest.mark.parametrize(
    ("rule", "ending", "reason"),
    [
        pytest.param(rule, ending, reason, id=named(rule, ending, f" is {reason}"))
        for rule, endings in ENDINGS.items()
        for ending, reason in endings
    ],
)
def test_what_ends_a_waiting_at_its_deadline_is_in_time_and_a_millisecond_later_it_is_not(
    rule: RuleId, ending: Ending, reason: Reason
) -> None:
    life = LIVES[rule]
    due_ms = life.start.occurred_ms - LABEL.occurred_ms + life.wait_ms
    assert breaches(life.rule, due_ms, *life.facts, ending(due_ms)) == []
    late = ending(due_ms + 1)
    found = breaches(life.rule, due_ms + 1, *life.facts, late)
    assert found == [Wait(life.anchor, life.start.identity, due_ms, reason, late.identity, due_ms + 1)]


@pytest.mark.parametrize("rule", USUAL)
@pytest.mark.parametrize("early_ms", [0, 1, HOUR])
def test_of_an_ordinary_life_nothing_is_said(rule: RuleId, early_ms: int) -> None:
    life = LIVES[rule]
    due_ms = life.start.occurred_ms - LABEL.occurred_ms + life.wait_ms
    said = waits(life.rule, *life.facts, USUAL[rule](due_ms - early_ms))
    assert [wait for wait in said if wait.anchor == life.anchor] == []


@pytest.mark.parametrize(
    ("rule", "fact"),
    [
        pytest.param(rule, fact, id=named(rule, fact, ""))
        for rule in LIVES
        for fact in [
            *(HEARSAY if rule is not RuleId.PICKUP_FAILED else HEARSAY[:-1]),
            *NO_ENDINGS.get(rule, []),
        ]
    ],
)
def test_what_does_not_end_a_waiting(rule: RuleId, fact: Ending) -> None:
    life = LIVES[rule]
    due_ms = life.start.occurred_ms - LABEL.occurred_ms + life.wait_ms
    between = (life.start.occurred_ms - LABEL.occurred_ms + due_ms) // 2
    found = breaches(life.rule, due_ms, *life.facts, fact(between))
    assert found == [Wait(life.anchor, life.start.identity, due_ms)]


@pytest.mark.parametrize("rule", LIVES)
def test_a_waiting_that_nothing_ends_is_over_at_its_deadline_and_not_before(rule: RuleId) -> None:
    life = LIVES[rule]
    due_ms = life.start.occurred_ms - LABEL.occurred_ms + life.wait_ms
    assert breaches(life.rule, due_ms - 1, *life.facts) == []
    assert breaches(life.rule, due_ms, *life.facts) == [Wait(life.anchor, life.start.identity, due_ms)]
    assert {one.rule for one in expected(life.rule, *life.facts)} == {rule}


@pytest.mark.parametrize("rule", LIVES)
def test_what_is_told_late_has_to_settle_before_it_is_late(rule: RuleId) -> None:
    life, told_ms = LIVES[rule], 3 * DAY + 1
    facts = [fact for fact in life.facts if fact is not life.start]
    late = parcel_fact(
        Milestone(life.start.milestone),
        life.start.occurred_ms - LABEL.occurred_ms,
        evidence=Evidence(life.start.evidence),
        arrived_ms=told_ms,
        label=life.start.label,
    )
    (found,) = [one for one in waits(life.rule, *facts, late) if one.start == late.identity]
    assert found.due_ms == told_ms + SETTLE


@pytest.mark.parametrize("rule", LIVES)
def test_a_rule_that_is_switched_off_waits_for_nothing(rule: RuleId) -> None:
    life = LIVES[rule]
    assert waits(life.rule, *life.facts, policy=plain(off=[rule])) == []


@pytest.mark.parametrize("rule", LIVES)
def test_a_life_in_which_its_start_did_not_happen_is_none_of_the_rules_business(rule: RuleId) -> None:
    life = LIVES[rule]
    other = seen(Milestone.DELAYED, HOUR)
    facts = (other, checked_in(2 * HOUR)) if life.start is LABEL else (LABEL,)
    assert waits(life.rule, *facts) == []


@pytest.mark.parametrize(
    "rule", sorted(set(LIVES) & {RuleId.RETURNED_TO_CUSTOMER, RuleId.CARRIER_REPORTED_LOST})
)
def test_the_first_word_of_the_carrier_counts(rule: RuleId) -> None:
    life = LIVES[rule]
    again = parcel_fact(Milestone(life.start.milestone), AT + MINUTE)
    assert waits(life.rule, *life.facts, again) == [Wait(life.anchor, life.start.identity, AT + SETTLE)]
