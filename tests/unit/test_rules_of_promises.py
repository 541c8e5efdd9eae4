"""By when a refund was promised, when to warn, and by when the law wants it."""

from typing import Any

import pytest

from schemas.facts import ReturnFact
from schemas.policy import StatuteStart
from schemas.vocabulary import Milestone, Reason, RuleId
from streams.rules import promises
from tests.stages import DAY, HOUR, MINUTE, MONDAY, return_fact
from tests.waiting import BUDGET, SETTLE, Waiting, plain, report, view_of, waiting

AT = 50 * HOUR
READ_AT = AT // MINUTE
"""The offset of the record that the request was read from."""
BROKEN, AT_RISK = RuleId.REFUND_PROMISE_BROKEN, RuleId.REFUND_PROMISE_AT_RISK


def fact(milestone: Milestone, at_ms: int, **more: Any) -> ReturnFact:
    return return_fact(milestone, at_ms, **more)


def requested(promised_ms: int = 0, arrived_ms: int = AT, **more: Any) -> ReturnFact:
    promised = {"promised_ms": MONDAY + promised_ms} if promised_ms else {}
    return return_fact(Milestone.RETURN_REQUESTED, AT, arrived_ms, **promised, **more)


def withdrawn(country: str = "FR", *, withdrawal: bool = True, arrived_ms: int = AT) -> ReturnFact:
    return requested(terms=("parcel", "refund", withdrawal, country), arrived_ms=arrived_ms)


REQUESTED, WITHDRAWN = requested(), withdrawn()
SHIPPED = report(first_scan_ms=AT + HOUR)
KEPT = [
    (Milestone.REFUND_ISSUED, Reason.REFUND_ISSUED),
    (Milestone.REFUND_REFUSED, Reason.REFUND_REFUSED),
    (Milestone.REPLACEMENT_SENT, Reason.REPLACEMENT_SENT),
    (Milestone.RETURN_CANCELLED, Reason.RETURN_CANCELLED),
]


@pytest.mark.parametrize(("milestone", "reason"), KEPT)
def test_what_keeps_a_promise_and_the_law(milestone: Milestone, reason: Reason) -> None:
    ending = fact(milestone, AT + 900 * HOUR)
    read_at = (READ_AT, ending.source.offset)
    broken, at_risk = waiting(promises.refund_promises, REQUESTED, ending)
    assert broken == Waiting("", "", AT, AT + BUDGET, reason, AT + 900 * HOUR, read_at)
    assert at_risk == broken._replace(due_ms=AT + BUDGET * 80 // 100)
    (law,) = waiting(promises.statutory_refund_deadline, WITHDRAWN, SHIPPED, ending)
    assert law == broken._replace(due_ms=AT + 14 * DAY)


def promised(request: ReturnFact, off: tuple[RuleId, ...] = (), **policy: Any) -> list[int]:
    """When the promise is broken, and when it is at risk, after the request."""
    found = promises.refund_promises(view_of(request, policy=plain(off=off, **policy)))
    return [one.due_ms - MONDAY - AT for one in found]


@pytest.mark.parametrize(
    ("request_", "off", "dues"),
    [
        pytest.param(requested(), (), [BUDGET, 8 * HOUR], id="the budget, and 80 % of it"),
        pytest.param(requested(AT + 20 * HOUR), (), [20 * HOUR, 16 * HOUR], id="what the request says"),
        pytest.param(requested(AT + 99), (), [SETTLE, SETTLE], id="not before the request has settled"),
        pytest.param(requested(AT - HOUR), (), [SETTLE, SETTLE], id="promised for before the request"),
        pytest.param(requested(AT + DAY, AT + 2 * DAY), (), [2 * DAY + SETTLE] * 2, id="told late"),
        pytest.param(requested(), (AT_RISK,), [BUDGET], id="without a warning"),
        pytest.param(requested(AT + 20 * HOUR), (BROKEN,), [16 * HOUR], id="the warning alone"),
        pytest.param(requested(), (BROKEN,), [], id="nothing promised, and no budget to warn of"),
        pytest.param(requested(AT + 20 * HOUR), (BROKEN, AT_RISK), [], id="both off"),
        pytest.param(requested(terms=("parcel", "exchange")), (), [], id="an exchange"),
        pytest.param(requested(terms=("parcel", "store_credit")), (), [BUDGET, 8 * HOUR], id="store credit"),
    ],
)
def test_when_a_promise_is_broken_and_when_it_is_at_risk(
    request_: ReturnFact, off: tuple[RuleId, ...], dues: list[int]
) -> None:
    assert promised(request_, off) == dues


def test_the_warning_comes_when_so_much_of_the_wait_has_passed_to_the_whole_millisecond() -> None:
    wait_ms = 20 * HOUR + 1
    (due, warned) = promised(requested(AT + wait_ms), promise_warning_percent=33)
    assert (due, str(warned)) == (wait_ms, str(20 * HOUR * 33 // 100))
    (request,) = view_of(requested()).all(Milestone.RETURN_REQUESTED)
    assert promises.warned_ms(request, request.at_ms - HOUR, 99) == request.at_ms


@pytest.mark.parametrize(
    ("told", "due_ms"),
    [
        pytest.param([report(first_scan_ms=AT + HOUR)], AT + 14 * DAY, id="14 days after the notice"),
        pytest.param([report(checked_in_ms=AT + HOUR)], AT + 14 * DAY, id="the goods prove it as well"),
        pytest.param([fact(Milestone.CHECKED_IN, AT + HOUR)], AT + 14 * DAY, id="or a check-in by number"),
        pytest.param([report(first_scan_ms=AT + 20 * DAY)], AT + 20 * DAY + MINUTE + SETTLE, id="proof came later"),
        pytest.param(
            [report(first_scan_ms=AT + 20 * DAY, first_scan_arrived_ms=0)], AT + 20 * DAY,
            id="proof of which nobody knows when it was read",
        ),
        pytest.param(
            [report("ups:1", first_scan_ms=AT + 30 * DAY), report("ups:2", checked_in_ms=AT + 20 * DAY)],
            AT + 20 * DAY + MINUTE + SETTLE, id="the first proof of all parcels",
        ),
        pytest.param(
            [
                fact(Milestone.CHECKED_IN, AT + 20 * DAY, arrived_ms=AT + 25 * DAY),
                fact(Milestone.CHECKED_IN, AT + 21 * DAY, arrived_ms=AT + 22 * DAY),
            ],
            AT + 25 * DAY + SETTLE, id="the first check-in, though it was read last",
        ),
        pytest.param(
            [
                fact(Milestone.CHECKED_IN, AT + 20 * DAY, arrived_ms=AT + 25 * DAY),
                fact(Milestone.CHECKED_IN, AT + 20 * DAY, arrived_ms=AT + 22 * DAY, parcels=("ups:7",)),
            ],
            AT + 22 * DAY + SETTLE, id="of two of one time the one that was read first",
        ),
    ],
)  # fmt: skip
def test_the_law_counts_from_the_notice_but_waits_for_the_goods_or_proof_of_their_dispatch(
    told: list[ReturnFact], due_ms: int
) -> None:
    found = waiting(promises.statutory_refund_deadline, WITHDRAWN, *told)
    assert found == [Waiting("", "", AT, due_ms, read_at=(READ_AT,))]


def test_in_the_united_kingdom_it_counts_from_the_goods() -> None:
    (found,) = waiting(promises.statutory_refund_deadline, withdrawn("GB"), report(first_scan_ms=AT + DAY))
    assert found.due_ms == AT + 15 * DAY


def test_a_notice_that_is_told_late_has_to_settle() -> None:
    late = withdrawn(arrived_ms=AT + 30 * DAY)
    (found,) = waiting(promises.statutory_refund_deadline, late, SHIPPED)
    assert found.due_ms == AT + 30 * DAY + SETTLE


@pytest.mark.parametrize(
    "told",
    [
        pytest.param([withdrawn()], id="no proof"),
        pytest.param([withdrawn(withdrawal=False), SHIPPED], id="no withdrawal"),
        pytest.param([withdrawn("US"), SHIPPED], id="no statute"),
        pytest.param([requested(), SHIPPED], id="an ordinary request"),
        pytest.param([SHIPPED, fact(Milestone.CHECKED_IN, AT)], id="no request"),
    ],
)
def test_where_the_law_sets_no_deadline(told: list[ReturnFact]) -> None:
    assert waiting(promises.statutory_refund_deadline, *told) == []


def test_rules_of_promises_that_are_switched_off_or_have_no_request() -> None:
    off = plain(off=[RuleId.STATUTORY_REFUND_DEADLINE])
    assert waiting(promises.statutory_refund_deadline, WITHDRAWN, SHIPPED, policy=off) == []
    assert waiting(promises.refund_promises, SHIPPED) == []


def test_a_statutory_deadline_tells_what_it_was_made_from() -> None:
    view = view_of(WITHDRAWN, SHIPPED)
    assert view.request is not None
    law = promises.lawful(view, view.request)
    assert law is not None
    assert (law.statute.jurisdiction, law.statute.counts_from) == ("EU", StatuteStart.NOTICE)
    times = (law.from_ms, law.days_ms, law.proof_ms, law.settled_ms, law.due_ms)
    read = AT + HOUR + MINUTE + SETTLE
    assert [time - MONDAY for time in times] == [AT, AT + 14 * DAY, AT + HOUR, read, AT + 14 * DAY]
