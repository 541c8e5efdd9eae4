"""Each rule about a return: what it waits for to the millisecond, what ends the waiting, and what does not."""

from typing import Any, NamedTuple

import pytest

from schemas.facts import ParcelReport, ReturnFact
from schemas.vocabulary import Milestone, Reason, RuleId
from streams.rules import goods, handing_over, refunds
from tests.stages import HOUR, MINUTE, return_fact
from tests.waiting import (
    ALLOWANCE,
    BUDGET,
    PARCEL,
    SETTLE,
    ReturnRule,
    Waiting,
    anchor,
    plain,
    report,
    view_of,
    waiting,
)

AT = 50 * HOUR
READ_AT = AT // MINUTE
"""The offset of the record that the start was read from."""


def fact(milestone: Milestone, at_ms: int = AT, **more: Any) -> ReturnFact:
    return return_fact(milestone, at_ms, **more)


class Life(NamedTuple):
    """A waiting that nothing has ended."""

    rule: ReturnRule
    start: ReturnFact
    others: tuple[ReturnFact | ParcelReport, ...] = ()
    parcel: str = ""
    anchor: str = ""
    wait_ms: int = BUDGET


INSPECTED, RESTOCKABLE = fact(Milestone.INSPECTED), fact(Milestone.INSPECTED, disposition="restock")
WRONG = fact(Milestone.INSPECTED, mismatches=("wrong_item",))
CHECKED_IN, CLAIMED = fact(Milestone.CHECKED_IN), fact(Milestone.DROPOFF_CLAIMED)
APPROVED, ISSUED = fact(Milestone.REFUND_APPROVED), fact(Milestone.REFUND_ISSUED)
FAILED = fact(Milestone.REFUND_FAILED)
LIVES = {
    "late_label": Life(handing_over.late_label, fact(Milestone.RETURN_APPROVED)),
    "claim of a parcel": Life(
        handing_over.dropoff_claim_unconfirmed,
        CLAIMED,
        (report(),),
        parcel=PARCEL,
        anchor="claim",
        wait_ms=BUDGET + ALLOWANCE,
    ),
    "inspection of what came by number": Life(goods.late_inspection, CHECKED_IN),
    "inspection of a parcel": Life(goods.late_inspection, CHECKED_IN, (report(),), parcel=PARCEL),
    "content_mismatch": Life(goods.content_mismatch, WRONG, anchor=anchor(WRONG), wait_ms=SETTLE),
    "late_restock": Life(goods.late_restock, RESTOCKABLE, anchor=anchor(RESTOCKABLE)),
    "refund without a parcel": Life(goods.refunded_not_returned, ISSUED),
    "refund of a parcel": Life(goods.refunded_not_returned, ISSUED, (report(),), parcel=PARCEL),
    "late_refund_decision": Life(refunds.late_refund_decision, INSPECTED),
    "late_refund": Life(refunds.late_refund, APPROVED),
    "refund_failed": Life(refunds.refund_failed, FAILED, anchor=anchor(FAILED), wait_ms=SETTLE),
    "refund_not_settled": Life(refunds.refund_not_settled, ISSUED, anchor=anchor(ISSUED)),
}
ENDINGS: dict[str, list[tuple[Milestone, Reason]]] = {
    "late_label": [
        (Milestone.LABEL_CREATED, Reason.LABEL_CREATED),
        (Milestone.RETURN_CANCELLED, Reason.RETURN_CANCELLED),
        (Milestone.CHECKED_IN, Reason.CHECKED_IN_BY_RETURN),
        (Milestone.REFUND_APPROVED, Reason.REFUND_APPROVED),
        (Milestone.REFUND_ISSUED, Reason.REFUND_ISSUED),
        (Milestone.REPLACEMENT_SENT, Reason.REPLACEMENT_SENT),
    ],
    "claim of a parcel": [
        (Milestone.RETURN_CANCELLED, Reason.RETURN_CANCELLED),
        (Milestone.CHECKED_IN, Reason.CHECKED_IN_BY_RETURN),
    ],
    "inspection of what came by number": [
        (Milestone.INSPECTED, Reason.INSPECTED),
        (Milestone.RESTOCKED, Reason.RESTOCKED),
    ],
    "inspection of a parcel": [
        (Milestone.INSPECTED, Reason.INSPECTED),
        (Milestone.RESTOCKED, Reason.RESTOCKED),
    ],
    "content_mismatch": [
        (Milestone.REFUND_APPROVED, Reason.REFUND_APPROVED),
        (Milestone.REFUND_REFUSED, Reason.REFUND_REFUSED),
        (Milestone.REFUND_ISSUED, Reason.REFUND_ISSUED),
        (Milestone.REPLACEMENT_SENT, Reason.REPLACEMENT_SENT),
        (Milestone.INSPECTED, Reason.INSPECTED),
    ],
    "late_restock": [(Milestone.RESTOCKED, Reason.RESTOCKED)],
    "refund without a parcel": [
        (Milestone.CHECKED_IN, Reason.CHECKED_IN_BY_RETURN),
        (Milestone.INSPECTED, Reason.INSPECTED),
    ],
    "refund of a parcel": [
        (Milestone.CHECKED_IN, Reason.CHECKED_IN_BY_RETURN),
        (Milestone.INSPECTED, Reason.INSPECTED),
    ],
    "late_refund_decision": [
        (Milestone.REFUND_APPROVED, Reason.REFUND_APPROVED),
        (Milestone.REFUND_REFUSED, Reason.REFUND_REFUSED),
        (Milestone.REFUND_ISSUED, Reason.REFUND_ISSUED),
        (Milestone.REPLACEMENT_SENT, Reason.REPLACEMENT_SENT),
        (Milestone.RETURN_CANCELLED, Reason.RETURN_CANCELLED),
    ],
    "late_refund": [
        (Milestone.REFUND_ISSUED, Reason.REFUND_ISSUED),
        (Milestone.REPLACEMENT_SENT, Reason.REPLACEMENT_SENT),
        (Milestone.REFUND_REFUSED, Reason.REFUND_REFUSED),
    ],
    "refund_failed": [
        (Milestone.REFUND_ISSUED, Reason.REFUND_ISSUED),
        (Milestone.REFUND_SETTLED, Reason.REFUND_SETTLED),
        (Milestone.REPLACEMENT_SENT, Reason.REPLACEMENT_SENT),
    ],
    "refund_not_settled": [
        (Milestone.REFUND_SETTLED, Reason.REFUND_SETTLED),
        (Milestone.REFUND_FAILED, Reason.REFUND_FAILED),
    ],
}
ONLY_AFTER: dict[str, list[Milestone]] = {
    "inspection of what came by number": [Milestone.RESTOCKED],
    "inspection of a parcel": [Milestone.RESTOCKED],
    "content_mismatch": [milestone for milestone, _ in ENDINGS["content_mismatch"]],
    "late_refund": [Milestone.REFUND_REFUSED],
    "refund_failed": [milestone for milestone, _ in ENDINGS["refund_failed"]],
    "refund_not_settled": [Milestone.REFUND_SETTLED, Milestone.REFUND_FAILED],
}
"""What ends a waiting only when it happened after the start; anything else may have come before."""
BEFORE = [
    pytest.param(name, milestone, id=f"{name}: {milestone.name.lower()}")
    for name, milestones in ONLY_AFTER.items()
    for milestone in milestones
]
ALL = [
    pytest.param(name, milestone, reason, id=f"{name}: {milestone.name.lower()}")
    for name, endings in ENDINGS.items()
    for milestone, reason in endings
]
RULES = {
    "claim of a parcel": RuleId.DROPOFF_CLAIM_UNCONFIRMED,
    "inspection of what came by number": RuleId.LATE_INSPECTION,
    "inspection of a parcel": RuleId.LATE_INSPECTION,
    "refund without a parcel": RuleId.REFUNDED_NOT_RETURNED,
    "refund of a parcel": RuleId.REFUNDED_NOT_RETURNED,
}


def rule_id(name: str) -> RuleId:
    return RULES.get(name) or RuleId(name)


def case_of(name: str) -> tuple[RuleId, str, str]:
    return rule_id(name), LIVES[name].parcel, LIVES[name].anchor


def unended(life: Life) -> Waiting:
    return Waiting(life.parcel, life.anchor, AT, AT + life.wait_ms, read_at=(READ_AT,))


@pytest.mark.parametrize(("name", "milestone", "reason"), ALL)
def test_what_ends_a_waiting_in_time_is_not_spoken_of_and_a_millisecond_later_it_is(
    name: str, milestone: Milestone, reason: Reason
) -> None:
    life = LIVES[name]
    if life.wait_ms != SETTLE:
        assert waiting(life.rule, *life.others, life.start, fact(milestone, AT + life.wait_ms)) == []
    late = fact(milestone, AT + life.wait_ms + 1)
    expected = unended(life)._replace(
        reason=reason, stopped_ms=AT + life.wait_ms + 1, read_at=(READ_AT, late.source.offset)
    )
    assert waiting(life.rule, *life.others, life.start, late) == [expected]


@pytest.mark.parametrize(("name", "milestone", "reason"), ALL)
def test_what_ended_in_time_is_spoken_of_when_there_is_a_case_of_it_that_has_to_be_taken_back(
    name: str, milestone: Milestone, reason: Reason
) -> None:
    life, at_ms = LIVES[name], AT + 1
    (found,) = waiting(life.rule, *life.others, life.start, fact(milestone, at_ms), cases=[case_of(name)])
    assert (found.parcel, found.anchor, found.reason, found.stopped_ms) == (
        life.parcel,
        life.anchor,
        reason,
        at_ms,
    )


@pytest.mark.parametrize(("name", "milestone"), BEFORE)
def test_what_happened_before_the_start_does_not_end_the_waiting(name: str, milestone: Milestone) -> None:
    life = LIVES[name]
    before = fact(milestone, AT - 1)
    assert waiting(life.rule, *life.others, life.start, before) == [unended(life)]


@pytest.mark.parametrize(
    ("name", "milestone"),
    [
        pytest.param(name, milestone, id=f"{name}: {milestone.name.lower()}")
        for name, endings in ENDINGS.items()
        for milestone, _ in endings
        if milestone not in ONLY_AFTER.get(name, [])
    ],
)
def test_what_may_have_come_before_ends_the_waiting_too(name: str, milestone: Milestone) -> None:
    life = LIVES[name]
    assert waiting(life.rule, *life.others, life.start, fact(milestone, AT - 1)) == []


@pytest.mark.parametrize("milestone", [Milestone.REFUND_ISSUED, Milestone.REFUND_SETTLED])
def test_what_came_with_the_failure_does_not_mend_it_and_a_millisecond_later_it_does(
    milestone: Milestone,
) -> None:
    life = LIVES["refund_failed"]
    assert waiting(life.rule, FAILED, fact(milestone, AT)) == [unended(life)]
    (found,) = waiting(life.rule, FAILED, fact(milestone, AT + 1))
    assert found.stopped_ms == AT + 1


@pytest.mark.parametrize("name", LIVES)
def test_a_waiting_that_nothing_ends(name: str) -> None:
    life = LIVES[name]
    assert waiting(life.rule, *life.others, life.start) == [unended(life)]
    assert [one.rule for one in life.rule(view_of(*life.others, life.start))] == [rule_id(name)]


@pytest.mark.parametrize("name", LIVES)
def test_what_is_told_late_has_to_settle(name: str) -> None:
    life, told_ms = LIVES[name], AT + 30 * HOUR
    more = {"disposition": life.start.disposition, "mismatches": life.start.mismatches}
    late = return_fact(
        Milestone(life.start.milestone), AT, told_ms, **{key: value for key, value in more.items() if value}
    )
    (found,) = waiting(life.rule, *life.others, late)
    assert (found.anchor, found.due_ms) == (life.anchor, told_ms + SETTLE)


@pytest.mark.parametrize("name", LIVES)
def test_a_rule_that_is_switched_off_or_whose_start_did_not_happen_waits_for_nothing(name: str) -> None:
    life = LIVES[name]
    assert waiting(life.rule, *life.others, life.start, policy=plain(off=[rule_id(name)])) == []
    assert waiting(life.rule, *life.others) == []
