"""What happens twice: lost and found and lost, elsewhere once more, refused and approved, several parcels and inspections."""

from typing import Any

import pytest

from schemas.facts import ParcelFact, ParcelReport, ReturnFact
from schemas.vocabulary import Milestone, Reason, RuleId
from streams.rules import carrier_reports, handing_over, refunds
from tests.stages import HOUR, MONDAY, parcel_fact, return_fact
from tests.unit.test_rules_of_parcels import at
from tests.unit.test_rules_of_places_and_labels import LABEL, LILLE, OURS, TO_LILLE, YOURS, suspected
from tests.waiting import (
    ALLOWANCE,
    BUDGET,
    PARCEL,
    anchor,
    journey_of,
    report,
    terms_of,
    waiting,
    waits,
)

SECOND = "ups:2"


# -- lost ---------------------------------------------------------------------------------------------------------


LOST, DISPOSED, SCANNED = Milestone.LOST, Milestone.DISPOSED, Milestone.IN_TRANSIT


@pytest.mark.parametrize("again", [LOST, DISPOSED])
@pytest.mark.parametrize("hour", [20, 21])
def test_lost_again_when_it_was_found_or_later_is_another_case(again: Milestone, hour: int) -> None:
    lost, found, second = at(10, LOST), at(20, SCANNED), at(hour, again)
    expected = [suspected(lost, Reason.PROGRESS, found), suspected(second)]
    assert waits(carrier_reports.carrier_reported_lost, LABEL, lost, found, second) == expected


def test_lost_again_and_again_without_a_scan_between_is_one_case() -> None:
    facts = [at(10, LOST), at(12, DISPOSED), at(14, LOST)]
    assert waits(carrier_reports.carrier_reported_lost, LABEL, *facts) == [suspected(facts[0])]


def test_a_report_that_it_is_lost_is_no_scan_that_finds_it() -> None:
    facts = [at(10, LOST), at(12, Milestone.RETURNED_TO_SENDER), at(14, SCANNED)]
    (found,) = waits(carrier_reports.carrier_reported_lost, LABEL, *facts)
    assert (found.start, found.end) == (facts[0].identity, facts[2].identity)


def test_at_the_very_time_of_the_loss_no_scan_finds_it() -> None:
    lost = at(10, LOST)
    assert waits(carrier_reports.carrier_reported_lost, LABEL, lost, at(10, SCANNED)) == [suspected(lost)]


# -- turned back, elsewhere ---------------------------------------------------------------------------------------


BACK, DELIVERED, ELSEWHERE = Milestone.RETURNED_TO_SENDER, Milestone.DELIVERED, Milestone.DELIVERED_ELSEWHERE


def test_what_was_turned_back_and_then_brought_to_one_of_our_places_is_no_longer_on_its_way_back() -> None:
    back, ours = at(10, BACK), at(20, DELIVERED, OURS)
    rule = carrier_reports.returned_to_customer
    expected = [suspected(back, Reason.DELIVERED, ours)]
    assert waits(rule, TO_LILLE, back, ours, policy=LILLE) == expected
    for not_to_us in (at(20, DELIVERED, YOURS), at(20, DELIVERED), at(20, DELIVERED, "FR")):
        assert waits(rule, TO_LILLE, back, not_to_us, policy=LILLE) == [suspected(back)]
    assert waits(rule, TO_LILLE, back, at(20, SCANNED, OURS), policy=LILLE) == [suspected(back)]


def test_only_after_the_last_time_that_it_was_turned_back() -> None:
    first, ours, again = at(10, BACK), at(20, DELIVERED, OURS), at(30, BACK)
    rule = carrier_reports.returned_to_customer
    assert waits(rule, TO_LILLE, first, ours, again, policy=LILLE) == [suspected(first)]


def test_elsewhere_once_more_after_a_delivery_to_us_is_suspected_anew() -> None:
    first, ours, again, and_again = (
        at(10, ELSEWHERE),
        at(20, DELIVERED, OURS),
        at(30, DELIVERED, YOURS),
        at(40, ELSEWHERE),
    )
    rule = carrier_reports.delivered_elsewhere_suspected
    expected = [suspected(first, Reason.DELIVERED, ours), suspected(again)]
    assert waits(rule, TO_LILLE, first, ours, again, and_again, policy=LILLE) == expected


def diverted(*facts: ParcelFact) -> tuple[RuleId, int] | None:
    journey = journey_of(TO_LILLE, *facts)
    found = carrier_reports.diversion(journey, terms_of(journey, LILLE))
    return None if found is None else (found[0], found[1].at_ms - MONDAY)


BY_SCAN = parcel_fact(Milestone.CHECKED_IN, 50 * HOUR)
TURNED, ASTRAY = RuleId.RETURNED_TO_CUSTOMER, RuleId.DELIVERED_ELSEWHERE_SUSPECTED


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([at(5, SCANNED)], None, id="on its way"),
        pytest.param([at(5, DELIVERED, OURS)], None, id="to us"),
        pytest.param([at(5, BACK)], (TURNED, 5), id="turned back"),
        pytest.param([at(5, BACK), at(8, BACK)], (TURNED, 5), id="turned back twice"),
        pytest.param([at(5, BACK), at(8, DELIVERED, OURS)], None, id="turned back, and brought to us"),
        pytest.param([at(5, BACK), at(8, DELIVERED, OURS), at(9, BACK)], (TURNED, 5), id="and turned back again"),
        pytest.param([at(5, BACK), at(8, DELIVERED, YOURS)], (TURNED, 5), id="to the customer"),
        pytest.param([at(5, BACK), at(6, ELSEWHERE), at(8, DELIVERED, OURS)], None, id="after all to us"),
        pytest.param([at(5, BACK), at(8, DELIVERED, OURS), at(9, ELSEWHERE)], (ASTRAY, 9), id="to us, then elsewhere"),
        pytest.param([at(5, ELSEWHERE)], (ASTRAY, 5), id="elsewhere"),
        pytest.param([at(5, DELIVERED, YOURS)], (ASTRAY, 5), id="at another place"),
        pytest.param([at(5, ELSEWHERE), at(6, DELIVERED, OURS)], None, id="elsewhere, then to us"),
        pytest.param(
            [at(5, ELSEWHERE), at(6, DELIVERED, OURS), at(7, ELSEWHERE), at(8, DELIVERED, YOURS)],
            (ASTRAY, 7),
            id="elsewhere, to us, and elsewhere",
        ),
        pytest.param([at(5, BACK), at(6, ELSEWHERE), BY_SCAN], None, id="the dock has it"),
        pytest.param([at(5, LOST), at(6, BACK)], (TURNED, 6), id="lost, then turned back"),
    ],
)  # fmt: skip
def test_where_else_the_carrier_took_it(facts: list[ParcelFact], expected: tuple[RuleId, int] | None) -> None:
    assert diverted(*facts) == (expected and (expected[0], expected[1] * HOUR))


# -- a claim, a label ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("milestone", [Milestone.INSPECTED, Milestone.REFUND_REFUSED])
def test_nobody_waits_for_a_label_of_goods_that_were_inspected_or_of_a_refund_that_was_refused(
    milestone: Milestone,
) -> None:
    approved, ended = return_fact(Milestone.RETURN_APPROVED, 0), return_fact(milestone, HOUR)
    assert waiting(handing_over.late_label, approved, ended) == []
    assert len(waiting(handing_over.late_label, approved)) == 1


@pytest.mark.parametrize(
    ("first_ms", "second_ms", "about"),
    [
        pytest.param(4 * HOUR, 6 * HOUR, PARCEL, id="there was only one label"),
        pytest.param(5 * HOUR, 6 * HOUR, PARCEL, id="made at the time of the claim"),
        pytest.param(4 * HOUR, 5 * HOUR, "", id="there were two"),
        pytest.param(6 * HOUR, 7 * HOUR, "", id="both are younger"),
    ],
)
def test_a_claim_that_names_no_parcel_is_about_the_only_one_there_was(
    first_ms: int, second_ms: int, about: str
) -> None:
    claim = return_fact(Milestone.DROPOFF_CLAIMED, 5 * HOUR)
    told = waiting(
        handing_over.dropoff_claim_unconfirmed,
        claim,
        report(label_ms=first_ms),
        report(SECOND, label_ms=second_ms),
    )
    assert [(one.parcel, one.due_ms) for one in told] == [(about, 5 * HOUR + BUDGET + ALLOWANCE)]


def test_a_claim_is_about_the_only_label_however_late_it_was_made() -> None:
    claim = return_fact(Milestone.DROPOFF_CLAIMED, 5 * HOUR)
    (told,) = waiting(handing_over.dropoff_claim_unconfirmed, claim, report(label_ms=9 * HOUR))
    assert told.parcel == PARCEL


def test_a_claim_about_no_parcel_ends_with_any_check_in_by_number_and_one_about_a_parcel_with_its_own() -> (
    None
):
    labels = report(SECOND, label_ms=HOUR), report(label_ms=2 * HOUR)
    typed = return_fact(Milestone.CHECKED_IN, 50 * HOUR)
    rule, claimed_ms = handing_over.dropoff_claim_unconfirmed, 5 * HOUR
    (of_any,) = waiting(rule, return_fact(Milestone.DROPOFF_CLAIMED, claimed_ms), *labels, typed)
    assert (of_any.parcel, of_any.reason) == ("", Reason.CHECKED_IN_BY_RETURN)
    named = return_fact(Milestone.DROPOFF_CLAIMED, claimed_ms, parcels=(PARCEL,))
    (of_one,) = waiting(rule, named, *labels, typed)
    assert (of_one.parcel, of_one.reason) == (PARCEL, Reason.DUE), (
        "the number stands for the first label's parcel"
    )


# -- decisions ----------------------------------------------------------------------------------------------------


def decided(hour: float, milestone: Milestone = Milestone.REFUND_APPROVED, **more: Any) -> ReturnFact:
    return return_fact(milestone, int(hour * HOUR), **more)


REFUSED, ISSUED = Milestone.REFUND_REFUSED, Milestone.REFUND_ISSUED


def test_an_approval_after_a_refusal_is_waited_for_by_itself_and_one_after_an_approval_is_not() -> None:
    first, again, refused, anew = decided(10), decided(11), decided(12, REFUSED), decided(13)
    told = waiting(refunds.late_refund, first, again, refused, anew, cases=[(RuleId.LATE_REFUND, "", "")])
    assert [(one.anchor, one.since_ms, one.reason) for one in told] == [
        ("", 10 * HOUR, Reason.REFUND_REFUSED),
        (anchor(anew), 13 * HOUR, Reason.DUE),
    ]
    second = [one for one in told if one.anchor]
    assert second == waiting(refunds.late_refund, decided(10), decided(12, REFUSED), anew)[-1:]


@pytest.mark.parametrize(("hour", "times"), [(9.5, 1), (10, 2), (11.5, 2), (12, 1), (12.5, 1)])
def test_a_refusal_counts_from_the_one_approval_until_before_the_other(hour: float, times: int) -> None:
    told = waiting(
        refunds.late_refund,
        decided(10),
        decided(hour, REFUSED),
        decided(12),
        cases=[(RuleId.LATE_REFUND, "", ""), (RuleId.LATE_REFUND, "", anchor(decided(12)))],
    )
    assert len(told) == times


def test_what_was_approved_again_is_paid_by_any_payment() -> None:
    facts = (decided(10), decided(11, REFUSED), decided(12), decided(40, ISSUED))
    told = waiting(refunds.late_refund, *facts)
    assert [(one.since_ms, one.reason) for one in told] == [(12 * HOUR, Reason.REFUND_ISSUED)]


# -- inspections of several parcels -------------------------------------------------------------------------------


FIRST_BOX, SECOND_BOX = report(checked_in_ms=10 * HOUR), report(SECOND, checked_in_ms=20 * HOUR)
VOIDED_BOX = report(SECOND, checked_in_ms=20 * HOUR, linked=False, unlinked_reason=Reason.LABEL_VOIDED.value)
ON_ITS_WAY = report(SECOND)


def inspected(hour: float, *parcels: str) -> ReturnFact:
    return decided(hour, Milestone.INSPECTED, parcels=parcels)


@pytest.mark.parametrize(
    ("told", "hour"),
    [
        pytest.param([FIRST_BOX], None, id="not inspected"),
        pytest.param([FIRST_BOX, inspected(12)], 12, id="the only parcel"),
        pytest.param([FIRST_BOX, inspected(9)], 9, id="of the only parcel any will do"),
        pytest.param([report(), inspected(9)], 9, id="though nobody saw it come"),
        pytest.param([report(), inspected(9, SECOND)], None, id="but none of another parcel"),
        pytest.param([inspected(9), inspected(12)], 9, id="without a parcel the first"),
        pytest.param([FIRST_BOX, SECOND_BOX, inspected(12)], None, id="the second came later"),
        pytest.param([FIRST_BOX, SECOND_BOX, inspected(12), inspected(22)], 22, id="and was inspected then"),
        pytest.param([FIRST_BOX, SECOND_BOX, inspected(20)], 20, id="both at once"),
        pytest.param([FIRST_BOX, SECOND_BOX, inspected(12, PARCEL), inspected(14, SECOND)], 14, id="each by name"),
        pytest.param([FIRST_BOX, SECOND_BOX, inspected(14, PARCEL), inspected(12, SECOND)], 14, id="in any order"),
        pytest.param([FIRST_BOX, SECOND_BOX, inspected(12, PARCEL)], None, id="only one by name"),
        pytest.param(
            [FIRST_BOX, SECOND_BOX, inspected(12, PARCEL), inspected(14, SECOND), inspected(30)], 14, id="once is enough"
        ),
        pytest.param([FIRST_BOX, ON_ITS_WAY, inspected(12)], None, id="the second has not come"),
        pytest.param([FIRST_BOX, ON_ITS_WAY, inspected(12), inspected(13, SECOND)], 13, id="unless it is named"),
        pytest.param([FIRST_BOX, VOIDED_BOX, inspected(9)], None, id="the dock has another, whose label was voided"),
        pytest.param([FIRST_BOX, VOIDED_BOX, inspected(12)], 12, id="which need not be inspected"),
    ],
)  # fmt: skip
def test_the_decision_is_waited_for_from_the_inspection_of_the_last_parcel_on(
    told: list[ParcelReport | ReturnFact], hour: float | None
) -> None:
    found = waiting(refunds.late_refund_decision, *told)
    expected = [] if hour is None else [(int(hour * HOUR), int(hour * HOUR) + BUDGET, (int(hour * 60),))]
    assert [(one.since_ms, one.due_ms, one.read_at) for one in found] == expected
