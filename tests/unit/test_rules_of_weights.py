"""The rule about weights: what is too light or too heavy to the gram, what ends the waiting, and what does not."""

from typing import Any

import pytest

from schemas.facts import ParcelReport, ReturnFact, Source
from schemas.policy import Policy
from schemas.vocabulary import Milestone, Reason, RuleId
from streams.rules.weights import content_mismatch_by_weight, is_off, looked_into
from tests.stages import HOUR, MINUTE, MONDAY, return_fact
from tests.waiting import PARCEL, SETTLE, Waiting, plain, report, view_of, waiting

AT = 50 * HOUR
READ_AT = 7
SECOND = "ups:2"


def weighed(grams: int, expected: int = 2_000, parcel: str = PARCEL, **more: Any) -> ParcelReport:
    """What the dock's scale says of a parcel that it scanned then; read a minute later."""
    known: dict[str, Any] = {
        "checked_in_ms": AT,
        "weight_grams": grams,
        "expected_grams": expected,
        "weighed_ms": MONDAY + AT,
        "weighed_arrived_ms": MONDAY + AT + MINUTE,
        "weighed_evidence": (Source("docks", 0, READ_AT),),
    }
    return report(parcel, **{**known, **more})


def inspected(at_ms: int, *parcels: str) -> ReturnFact:
    return return_fact(Milestone.INSPECTED, at_ms, parcels=parcels)


def tolerance(percent: int, grams: int) -> Policy:
    return plain(weight_tolerance={"percent": percent, "grams": grams})


EMPTY = weighed(100)
UNENDED = Waiting(PARCEL, "weight", AT, AT + MINUTE + SETTLE, read_at=(READ_AT,))


def test_an_empty_box_is_told_when_its_weight_has_settled() -> None:
    assert waiting(content_mismatch_by_weight, EMPTY) == [UNENDED]
    assert [one.rule for one in content_mismatch_by_weight(view_of(EMPTY))] == [RuleId.CONTENT_MISMATCH]
    assert waiting(content_mismatch_by_weight, EMPTY, policy=plain(off=[RuleId.CONTENT_MISMATCH])) == []


@pytest.mark.parametrize("grams", [1_600, 2_000, 2_400])
def test_what_is_within_the_percent_is_right_and_a_gram_further_is_not(grams: int) -> None:
    policy = tolerance(20, 250)
    assert waiting(content_mismatch_by_weight, weighed(grams), policy=policy) == []
    further = grams - 1 if grams < 2_000 else 2_401
    assert waiting(content_mismatch_by_weight, weighed(further), policy=policy) == [UNENDED]


def test_of_percent_and_grams_the_larger_holds_and_both_are_rounded_down() -> None:
    light = weighed(300, expected=501)
    assert is_off(view_of(light, policy=tolerance(20, 200)), view_of(light).parcels[0])
    assert not is_off(view_of(light, policy=tolerance(20, 201)), view_of(light).parcels[0])
    # 40 % of 501 g are 200.4 g: 201 g off is too much.
    assert is_off(view_of(light, policy=tolerance(40, 0)), view_of(light).parcels[0])
    assert not is_off(view_of(light, policy=tolerance(41, 0)), view_of(light).parcels[0])


@pytest.mark.parametrize(("grams", "expected"), [(0, 2_000), (100, 0)])
def test_without_both_weights_nothing_is_off(grams: int, expected: int) -> None:
    view = view_of(weighed(grams, expected))
    assert not is_off(view, view.parcels[0])
    assert waiting(content_mismatch_by_weight, weighed(grams, expected)) == []


@pytest.mark.parametrize(
    ("milestone", "reason"),
    [
        (Milestone.REFUND_APPROVED, Reason.REFUND_APPROVED),
        (Milestone.REFUND_REFUSED, Reason.REFUND_REFUSED),
        (Milestone.REFUND_ISSUED, Reason.REFUND_ISSUED),
        (Milestone.REPLACEMENT_SENT, Reason.REPLACEMENT_SENT),
        (Milestone.INSPECTED, Reason.INSPECTED),
    ],
)
def test_a_decision_and_an_inspection_end_it_and_no_earlier_decision_does(
    milestone: Milestone, reason: Reason
) -> None:
    fact = return_fact(milestone, AT + 1)
    expected = UNENDED._replace(reason=reason, stopped_ms=AT + 1, read_at=(READ_AT, (AT + 1) // MINUTE))
    assert waiting(content_mismatch_by_weight, EMPTY, fact) == [expected]
    earlier = waiting(content_mismatch_by_weight, EMPTY, return_fact(milestone, AT - 1))
    assert earlier == ([] if milestone is Milestone.INSPECTED else [UNENDED])


def test_the_first_of_what_ends_it_is_told() -> None:
    facts = [return_fact(Milestone.REFUND_REFUSED, AT + 2), inspected(AT + 1)]
    (found,) = waiting(content_mismatch_by_weight, EMPTY, *facts)
    assert (found.reason, found.stopped_ms) == (Reason.INSPECTED, AT + 1)


def test_an_inspection_at_the_time_of_the_weighing_ends_it_too() -> None:
    (found,) = waiting(content_mismatch_by_weight, EMPTY, inspected(AT))
    assert (found.reason, found.stopped_ms) == (Reason.INSPECTED, AT)


def test_of_several_parcels_each_is_weighed_and_inspected_by_itself() -> None:
    light, right, heavy = weighed(1), weighed(2_000, parcel=SECOND), weighed(9_000, parcel="ups:3")
    about = [one.parcel for one in waiting(content_mismatch_by_weight, light, right, heavy)]
    assert about == [PARCEL, "ups:3"]
    (found,) = waiting(content_mismatch_by_weight, light, right, inspected(AT + HOUR, SECOND))
    assert (found.parcel, found.reason) == (PARCEL, Reason.DUE)
    unnamed = inspected(AT - HOUR)
    assert looked_into(view_of(light, right, unnamed), view_of(light).parcels[0]) is None
    alone = view_of(light, unnamed)
    assert looked_into(alone, alone.parcels[0]) is not None, "of a return's only parcel any will do"


def test_people_who_looked_into_one_parcel_hide_no_other() -> None:
    first, second = weighed(1), weighed(1, parcel=SECOND)
    told = waiting(content_mismatch_by_weight, first, second, inspected(AT - HOUR, PARCEL))
    assert [one.parcel for one in told] == [SECOND]


def test_each_parcel_has_the_tolerance_and_the_budget_of_its_own_carrier() -> None:
    rules = {RuleId.CONTENT_MISMATCH: {"overrides": [{"carrier": "ups", "budget": "2h"}]}}
    narrow = {"percent": 0, "grams": 10, "overrides": [{"carrier": "ups", "percent": 0, "grams": 500}]}
    policy = plain(rules, weight_tolerance=narrow)
    other = weighed(2_000, parcel="dhl_express:9", label_ms=-HOUR)
    assert waiting(content_mismatch_by_weight, other, weighed(1_500), policy=policy) == []
    (told,) = waiting(content_mismatch_by_weight, other, weighed(1_499), policy=policy)
    assert (told.parcel, told.due_ms) == (PARCEL, AT + 2 * HOUR)


def test_what_the_dock_has_is_weighed_though_its_label_was_voided() -> None:
    voided = weighed(1, linked=False, unlinked_reason=Reason.LABEL_VOIDED.value)
    assert waiting(content_mismatch_by_weight, voided) == [UNENDED]
