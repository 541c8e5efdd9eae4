"""Rules about returns with several parcels, inspections, refunds or claims: which one counts for which."""

from collections.abc import Sequence
from typing import Any

import pytest

from schemas.facts import ParcelReport, ReturnFact
from schemas.policy import Policy
from schemas.vocabulary import Milestone, Reason, RuleId
from streams.rules import goods, handing_over, refunds
from tests.stages import HOUR, MINUTE, MONDAY, return_fact
from tests.waiting import ALLOWANCE, BUDGET, PARCEL, ReturnRule, anchor, plain, report, waiting

ONE, TWO = report("ups:1"), report("ups:2")
DUE = Reason.DUE

Told = ReturnFact | ParcelReport


def fact(milestone: Milestone, hour: float, **more: Any) -> ReturnFact:
    return return_fact(milestone, int(hour * HOUR), **more)


def inspected(hour: float, *parcels: str, wrong: bool = False, restock: bool = False) -> ReturnFact:
    more: dict[str, Any] = {"parcels": parcels} if parcels else {}
    more |= {"mismatches": ("wrong_item",)} if wrong else {}
    more |= {"disposition": "restock"} if restock else {}
    return fact(Milestone.INSPECTED, hour, **more)


def came(parcel: str, hour: float) -> ParcelReport:
    return report(parcel, checked_in_ms=int(hour * HOUR))


def told(
    rule: ReturnRule, *facts: Told, policy: Policy | None = None
) -> list[tuple[str, float, Reason, float]]:
    """Parcel, hour of the deadline, what stopped it, and the hour of that (0: nothing)."""
    found = waiting(rule, *facts, policy=policy) if policy is not None else waiting(rule, *facts)
    return [(one.parcel, one.due_ms / HOUR, one.reason, one.stopped_ms / HOUR) for one in found]


# -- inspections ------------------------------------------------------------------------------------------------

BOTH_CAME = [came("ups:1", 5), came("ups:2", 6)]
STILL = [("ups:1", 15, DUE, 0.0), ("ups:2", 16, DUE, 0.0)]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([], STILL, id="not inspected"),
        pytest.param([inspected(30)], [("ups:1", 15, Reason.INSPECTED, 30), ("ups:2", 16, Reason.INSPECTED, 30)], id="all"),
        pytest.param([inspected(30, "ups:2")], [STILL[0], ("ups:2", 16, Reason.INSPECTED, 30)], id="one of them"),
        pytest.param([inspected(5)], STILL[1:], id="when one had come, at that very time"),
        pytest.param([inspected(4)], STILL, id="before any had come"),
        pytest.param([inspected(4, "ups:2")], STILL[:1], id="named, whenever it was"),
        pytest.param([fact(Milestone.RESTOCKED, 5.5)], STILL[1:], id="restocked before the second came"),
        pytest.param([fact(Milestone.RESTOCKED, 6)], [], id="restocked when both had come"),
        pytest.param(
            [inspected(40), fact(Milestone.RESTOCKED, 30)],
            [("ups:1", 15, Reason.RESTOCKED, 30), ("ups:2", 16, Reason.RESTOCKED, 30)], id="restocked first",
        ),
    ],
)  # fmt: skip
def test_an_inspection_is_of_what_it_names_or_of_what_had_come(
    facts: Sequence[Told], expected: list[tuple[str, float, Reason, float]]
) -> None:
    assert told(goods.late_inspection, *BOTH_CAME, *facts) == expected


def test_an_only_parcel_is_meant_by_any_inspection_that_names_none() -> None:
    assert told(goods.late_inspection, came(PARCEL, 5), inspected(4)) == []
    assert told(goods.late_inspection, came(PARCEL, 5), inspected(4, "ups:9")) == [(PARCEL, 15, DUE, 0)]


def test_a_parcel_that_has_not_come_is_not_waited_for_and_the_next_one_is() -> None:
    assert told(goods.late_inspection, ONE, came("ups:2", 6)) == STILL[1:]


def test_a_parcel_received_by_number_names_the_record_that_says_so_and_a_scanned_one_none() -> None:
    by_number = fact(Milestone.CHECKED_IN, 5)
    (found,) = waiting(goods.late_inspection, ONE, by_number)
    assert (found.parcel, found.anchor, found.since_ms, found.read_at) == (PARCEL, "", 5 * HOUR, (5 * 60,))
    (scanned,) = waiting(goods.late_inspection, came(PARCEL, 5))
    assert scanned.read_at == ()
    assert scanned.due_ms == 5 * HOUR + BUDGET
    (before,) = waiting(goods.late_inspection, came(PARCEL, 6), by_number)
    assert (before.since_ms, before.read_at) == (5 * HOUR, (5 * 60,))
    later = fact(Milestone.CHECKED_IN, 7)
    (after,) = waiting(goods.late_inspection, came(PARCEL, 6), later)
    assert (after.since_ms, after.read_at) == (6 * HOUR, ())


def test_a_receipt_that_is_told_late_has_to_settle() -> None:
    late = report(PARCEL, checked_in_ms=5 * HOUR, checked_in_arrived_ms=MONDAY + 30 * HOUR)
    assert told(goods.late_inspection, late) == [(PARCEL, 30.5, DUE, 0)]


BY_FACILITY = {"overrides": [{"facility": "LIL1", "budget": "4h"}, {"carrier": "dhl", "budget": "6h"}]}
FACILITIES = {"LIL1": {"time_zone": "UTC"}}


@pytest.mark.parametrize(
    ("rule", "rule_id", "start"),
    [
        (goods.late_inspection, RuleId.LATE_INSPECTION, fact(Milestone.CHECKED_IN, 5, complete=True)),
        (goods.refunded_not_returned, RuleId.REFUNDED_NOT_RETURNED, fact(Milestone.REFUND_ISSUED, 5)),
        (
            handing_over.dropoff_claim_unconfirmed,
            RuleId.DROPOFF_CLAIM_UNCONFIRMED,
            fact(Milestone.DROPOFF_CLAIMED, 5, parcels=("dhl:3", "ups:1", "ups:2")),
        ),
    ],
)
def test_each_parcel_has_the_deadline_of_its_own_carrier_and_facility(
    rule: ReturnRule, rule_id: RuleId, start: ReturnFact
) -> None:
    policy = plain({rule_id: BY_FACILITY}, facilities=FACILITIES)
    parcels = (ONE, report("ups:2", facility="LIL1"), report("dhl:3"))
    more = ALLOWANCE if rule_id is RuleId.DROPOFF_CLAIM_UNCONFIRMED else 0
    dues = {parcel: due_hour for parcel, due_hour, _, _ in told(rule, *parcels, start, policy=policy)}
    assert dues == {"ups:1": 15 + more / HOUR, "ups:2": 9 + more / HOUR, "dhl:3": 11}


def test_a_label_is_waited_for_by_the_calendar_of_no_facility_whatever_the_late_label_says() -> None:
    policy = plain({RuleId.LATE_LABEL: BY_FACILITY}, facilities=FACILITIES)
    approved = fact(Milestone.RETURN_APPROVED, 5)
    late = report(PARCEL, facility="LIL1")
    assert told(handing_over.late_label, approved, late, policy=policy) == [("", 15, DUE, 0)]


# -- goods that are not what was announced ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "later", "ended"),
    [
        pytest.param(inspected(5, wrong=True), [inspected(6)], True, id="all, by all"),
        pytest.param(inspected(5, wrong=True), [inspected(6, "ups:1")], False, id="all, by one of them"),
        pytest.param(
            inspected(5, wrong=True), [inspected(6, "ups:1"), inspected(7, "ups:2")], True, id="all, by both"
        ),
        pytest.param(inspected(5, "ups:1", wrong=True), [inspected(6, "ups:1")], True, id="one, by itself"),
        pytest.param(inspected(5, "ups:1", wrong=True), [inspected(6, "ups:2")], False, id="one, by the other"),
        pytest.param(inspected(5, "ups:1", wrong=True), [inspected(6)], True, id="one, by all"),
        pytest.param(inspected(5, wrong=True), [inspected(5)], False, id="not by one of the same time"),
        pytest.param(inspected(5, wrong=True), [inspected(4)], False, id="not by one before"),
        pytest.param(inspected(5, wrong=True), [inspected(6, "ups:1", "ups:2", wrong=True)], False, id="not by another bad one"),
    ],
)  # fmt: skip
def test_goods_found_wrong_are_put_right_by_later_inspections_of_all_of_them(
    wrong: ReturnFact, later: list[ReturnFact], *, ended: bool
) -> None:
    found = waiting(goods.content_mismatch, ONE, TWO, wrong, *later)
    mine = [one for one in found if one.anchor == anchor(wrong)]
    last = later[-1].occurred_ms - MONDAY
    assert [(one.reason, one.stopped_ms) for one in mine] == [(Reason.INSPECTED, last) if ended else (DUE, 0)]


def test_each_inspection_that_found_something_wrong_is_a_case_of_its_own() -> None:
    fine, first, second = (
        inspected(4, "ups:1"),
        inspected(5, "ups:1", wrong=True),
        inspected(6, "ups:2", wrong=True),
    )
    found = waiting(goods.content_mismatch, ONE, TWO, fine, first, second)
    assert [one.anchor for one in found] == [anchor(first), anchor(second)]
    decided = fact(Milestone.REFUND_APPROVED, 5.5)
    found = waiting(goods.content_mismatch, ONE, TWO, first, second, decided)
    assert [one.reason for one in found] == [Reason.REFUND_APPROVED, DUE]


# -- one after the other ----------------------------------------------------------------------------------------


def test_the_nth_restocking_is_of_the_nth_inspection_of_goods_that_can_be_sold() -> None:
    first, rejected, second, third = (
        inspected(5, restock=True),
        inspected(6),
        inspected(7, restock=True),
        inspected(8, restock=True),
    )
    restocked = [fact(Milestone.RESTOCKED, 20), fact(Milestone.RESTOCKED, 21)]
    found = waiting(goods.late_restock, first, rejected, second, third, *restocked)
    assert [(one.anchor, one.reason, one.stopped_ms) for one in found] == [
        (anchor(first), Reason.RESTOCKED, 20 * HOUR),
        (anchor(second), Reason.RESTOCKED, 21 * HOUR),
        (anchor(third), DUE, 0),
    ]


def test_the_nth_word_of_the_bank_since_the_first_refund_is_of_the_nth_refund() -> None:
    first, second, third = (fact(Milestone.REFUND_ISSUED, hour) for hour in (5, 6, 7))
    words = [
        fact(Milestone.REFUND_FAILED, 4),
        fact(Milestone.REFUND_SETTLED, 20),
        fact(Milestone.REFUND_FAILED, 21),
    ]
    found = waiting(refunds.refund_not_settled, first, second, third, *words)
    assert [(one.anchor, one.reason, one.stopped_ms) for one in found] == [
        (anchor(first), Reason.REFUND_SETTLED, 20 * HOUR),
        (anchor(second), Reason.REFUND_FAILED, 21 * HOUR),
        (anchor(third), DUE, 0),
    ]


def test_the_bank_may_answer_at_the_very_time_of_the_refund() -> None:
    issued = fact(Milestone.REFUND_ISSUED, 5)
    assert waiting(refunds.refund_not_settled, issued, fact(Milestone.REFUND_SETTLED, 5)) == []


def test_each_failed_refund_is_a_case_of_its_own() -> None:
    failures = [fact(Milestone.REFUND_FAILED, hour) for hour in (5, 6)]
    found = waiting(refunds.refund_failed, *failures, fact(Milestone.REFUND_ISSUED, 5.5))
    assert [(one.anchor, one.reason) for one in found] == [
        (anchor(failures[0]), Reason.REFUND_ISSUED),
        (anchor(failures[1]), DUE),
    ]


# -- refunded, and not come -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([ONE, TWO], [STILL[0], ("ups:2", 15, DUE, 0)], id="neither"),
        pytest.param([came("ups:1", 30), TWO], [("ups:1", 15, Reason.CHECKED_IN, 30), ("ups:2", 15, DUE, 0)], id="late"),
        pytest.param([came("ups:1", 4), TWO], [("ups:2", 15, DUE, 0)], id="one before the refund"),
        pytest.param([ONE, TWO, inspected(30)], [(f"ups:{n}", 15, Reason.INSPECTED, 30) for n in (1, 2)], id="inspected"),
        pytest.param([ONE, TWO, inspected(9, "ups:1")], [("ups:2", 15, DUE, 0)], id="one inspected"),
        pytest.param(
            [ONE, TWO, fact(Milestone.CHECKED_IN, 30, parcels=("ups:2",))],
            [STILL[0], ("ups:2", 15, Reason.CHECKED_IN_BY_RETURN, 30)], id="one by number",
        ),
        pytest.param(
            [came("ups:1", 30), TWO, inspected(20)],
            [("ups:1", 15, Reason.INSPECTED, 20), ("ups:2", 15, Reason.INSPECTED, 20)], id="the earliest counts",
        ),
    ],
)  # fmt: skip
def test_each_parcel_of_a_refunded_return_is_waited_for(
    facts: list[Told], expected: list[tuple[str, float, Reason, float]]
) -> None:
    assert told(goods.refunded_not_returned, fact(Milestone.REFUND_ISSUED, 5), *facts) == expected


IN_STORE = fact(Milestone.RETURN_REQUESTED, 0, terms=("in_store",))


def test_nothing_is_sent_of_a_return_that_is_brought_to_a_shop() -> None:
    assert told(goods.refunded_not_returned, IN_STORE, fact(Milestone.REFUND_ISSUED, 5)) == []
    assert told(handing_over.late_label, IN_STORE, fact(Milestone.RETURN_APPROVED, 5)) == []


# -- claims -----------------------------------------------------------------------------------------------------


def claim(hour: float, *parcels: str) -> ReturnFact:
    return fact(Milestone.DROPOFF_CLAIMED, hour, **({"parcels": parcels} if parcels else {}))


def seen(parcel: str, hour: float) -> ParcelReport:
    return report(parcel, first_scan_ms=int(hour * HOUR))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([claim(5)], [], id="no parcel to look for"),
        pytest.param([claim(5, "ups:9"), ONE], [], id="a parcel without a label"),
        pytest.param([claim(5), ONE], [("ups:1", 16, DUE, 0)], id="the only parcel"),
        pytest.param([claim(5), ONE, TWO], [("", 16, DUE, 0)], id="any of two"),
        pytest.param([claim(5), ONE, seen("ups:2", 30)], [("", 16, Reason.FIRST_SCAN, 30)], id="any of two, seen late"),
        pytest.param([claim(5), seen("ups:1", 30), came("ups:2", 20)], [("", 16, Reason.CHECKED_IN, 20)], id="the earliest"),
        pytest.param([claim(5, "ups:1"), ONE, seen("ups:2", 6)], [("ups:1", 16, DUE, 0)], id="one that is named"),
        pytest.param([claim(5, "ups:1"), seen("ups:1", 30), TWO], [("ups:1", 16, Reason.FIRST_SCAN, 30)], id="seen late"),
        pytest.param([claim(5, "ups:1"), seen("ups:1", 4), TWO], [], id="seen before it was claimed"),
        pytest.param([claim(5, "ups:1"), came("ups:1", 30)], [("ups:1", 16, Reason.CHECKED_IN, 30)], id="checked in, never seen"),
        pytest.param([claim(5, "ups:2", "ups:1"), ONE, TWO], [("ups:1", 16, DUE, 0), ("ups:2", 16, DUE, 0)], id="both named"),
        pytest.param([claim(5, "ups:1"), claim(6, "ups:1"), ONE, TWO], [("ups:1", 16, DUE, 0)], id="the first claim counts"),
        pytest.param([claim(5, "ups:1"), claim(6), ONE, TWO], [("", 17, DUE, 0), ("ups:1", 16, DUE, 0)], id="one named, one not"),
        pytest.param(
            [claim(5, "ups:2"), ONE, TWO, fact(Milestone.CHECKED_IN, 30, parcels=("ups:2",))],
            [("ups:2", 16, Reason.CHECKED_IN_BY_RETURN, 30)], id="received by number",
        ),
    ],
)  # fmt: skip
def test_a_claim_is_of_the_parcel_that_it_names_else_of_the_only_one_else_of_any(
    facts: list[Told], expected: list[tuple[str, float, Reason, float]]
) -> None:
    found = waiting(handing_over.dropoff_claim_unconfirmed, *facts)
    assert {one.anchor for one in found} <= {"claim"}
    assert told(handing_over.dropoff_claim_unconfirmed, *facts) == expected


def test_a_claim_ended_by_number_names_the_record_that_says_so_and_one_ended_by_a_parcel_only_the_claim() -> (
    None
):
    rule, by_number = handing_over.dropoff_claim_unconfirmed, fact(Milestone.CHECKED_IN, 30)
    (found,) = waiting(rule, claim(5), ONE, by_number)
    assert (found.since_ms, found.read_at) == (5 * HOUR, (5 * 60, 30 * 60))
    (found,) = waiting(rule, claim(5), seen(PARCEL, 30))
    assert found.read_at == (5 * HOUR // MINUTE,)
