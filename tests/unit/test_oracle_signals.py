"""The oracle on refund signals: what it expects, and what it notices. Hours count from a Monday, 06:00 UTC."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.outputs import EvidenceSource, Money, RefundAction, RefundSignal
from schemas.vocabulary import Resolution, Risk, RuleId, SignalReason
from simulation.expect_signals import ExpectedSignals, expected_signals
from simulation.judge_signals import wrong_signals
from simulation.payable import Asked
from tests.unit.oracle_tape import DELIVERED, LIL1, MONDAY, PICKED_UP, TURNED_BACK, Tape, default_terms, hours

ROUBAIX = {"country": "FR", "city": "Roubaix"}
LEEWAY = timedelta(minutes=20)
RELEASE, REVOKE = RefundAction.RELEASE, RefundAction.REVOKE


@pytest.fixture
def tape() -> Tape:
    """A parcel of a return worth 50 EUR that was labelled at 0 and picked up at 10."""
    tape = Tape()
    requested(tape, 0)
    label(tape)
    tape.scan(10, PICKED_UP)
    return tape


def requested(tape: Tape, at: float, amount: str = "50", risk: str = "normal", **more: Any) -> None:
    value = {"amount": amount, "currency": "EUR"}
    tape.order(at, "return_requested", value=value, customer_risk=risk, **more)


def label(tape: Tape, at: float = 0, number: str = "1") -> None:
    tape.label(at, number, weight_grams=1_000)


def weighed(tape: Tape, at: float, grams: int, number: str = "1") -> None:
    body = {"type": "checked_in", "carrier": "fedex", "tracking_number": number, "weight_grams": grams}
    tape.write("warehouse", at, None, **body)


def expected_of(tape: Tape, until: float = 200, tolerance: timedelta = timedelta(0)) -> ExpectedSignals:
    until_at = MONDAY + timedelta(hours=until)
    (one,) = expected_signals(
        tape.records, default_terms(RuleId.DELIVERED_ELSEWHERE_SUSPECTED), until_at, tolerance
    )
    return one


def told(tape: Tape, until: float = 200) -> list[str]:
    (way,) = expected_of(tape, until).possible
    return [
        f"{one.tier}:{one.revision} at {hours(one.earliest)} {'/'.join(sorted(why for why, _ in one.why))}"
        for one in way
    ]


# ---- what it expects ----------------------------------------------------------------------------------------------


def test_an_empty_box_stays_one_when_its_label_is_voided(tape: Tape) -> None:
    weighed(tape, 50, 20)
    tape.void(60)
    assert told(tape) == []
    tape.inspect(70)
    assert told(tape) == ["standard:1 at 70.52 delivered"]


def test_elsewhere_to_us_and_elsewhere_again_is_elsewhere(tape: Tape) -> None:
    for at, place in ((30, ROUBAIX), (32, LIL1), (32.2, ROUBAIX)):
        tape.scan(at, DELIVERED, place)
    assert told(tape) == []
    tape.scan(40, DELIVERED, LIL1)
    assert told(tape) == ["standard:1 at 40.52 delivered"]


def test_an_amended_amount_is_told_anew(tape: Tape) -> None:
    tape.scan(30, DELIVERED, LIL1)
    requested(tape, 40, "30")
    assert told(tape) == [
        "standard:1 at 30.52 delivered",
        "standard:2 at 40.02 request_amended",
        "standard:3 at 40.52 delivered",
    ]
    (way,) = expected_of(tape).possible
    amounts = [one.value.amount_minor for said in way for one in said.asked if one.value is not None]
    assert amounts == [5_000, 5_000, 3_000]


@pytest.mark.parametrize(("risk", "later"), [("low", []), ("high", ["inspected:1 at 70.52 inspected"])])
def test_a_release_that_fits_no_more_waits_for_a_later_tier(tape: Tape, risk: str, later: list[str]) -> None:
    tape.scan(30, DELIVERED, LIL1)
    requested(tape, 40, risk=risk)
    tape.check_in(50)
    tape.inspect(70)
    amended = ["standard:2 at 40.02 request_amended"] if risk == "high" else []
    assert told(tape) == ["standard:1 at 30.52 delivered", *amended, *later]


def test_no_laxer_tier_follows_trouble(tape: Tape) -> None:
    tape.scan(30, DELIVERED, LIL1)
    tape.inspect(50, mismatch=["empty_box"])
    requested(tape, 55, risk="low")
    tape.inspect(60)
    assert told(tape) == ["standard:1 at 30.52 delivered", "standard:2 at 50.02 content_mismatch"]


@pytest.mark.parametrize(
    ("used", "paid", "revoked"),
    [(False, False, []), (True, False, ["standard:2 at 45.02 late_evidence"]), (True, True, [])],
)
def test_only_a_parcel_on_its_way_takes_a_release_back(
    tape: Tape, used: bool, paid: bool, revoked: list[str]
) -> None:
    tape.scan(30, DELIVERED, LIL1)
    if paid:
        tape.order(35, "refund_issued")
    tape.label(40, "2")
    if used:
        tape.scan(45, PICKED_UP, number="2")
    assert told(tape) == ["standard:1 at 30.52 delivered", *revoked]


@pytest.mark.parametrize(("first", "held"), [([], True), (["quantity"], False)])
def test_of_two_inspections_at_the_same_time_the_later_appended_counts(
    tape: Tape, first: list[str], held: bool
) -> None:
    tape.scan(30, DELIVERED, LIL1, posted=40)
    tape.inspect(35, posted=36, mismatch=first)
    tape.inspect(35, posted=37, mismatch=[] if first else ["quantity"])
    assert told(tape) == ([] if held else ["standard:1 at 40.5 delivered"])


def test_people_overrule_a_scale_before_and_after(tape: Tape) -> None:
    weighed(tape, 50, 20)
    tape.inspect(60)
    weighed(tape, 70, 20)
    assert told(tape) == ["standard:1 at 60.52 delivered"]
    label(tape, 75, "2")
    weighed(tape, 80, 20, "2")
    assert told(tape) == ["standard:1 at 60.52 delivered", "standard:2 at 80.02 content_mismatch"]


# ---- what it notices ----------------------------------------------------------------------------------------------


def said(revision: int, at: float, reason: str, since: float, amount: int = 5_000) -> RefundSignal:
    return RefundSignal(
        signal_id="standard of R1",
        revision=revision,
        action=RELEASE if revision % 2 else REVOKE,
        reason=SignalReason(reason),
        return_id="R1",
        tier="standard",
        value=Money(amount, "EUR"),
        since_at=MONDAY + timedelta(hours=since),
        effective_at=MONDAY + timedelta(hours=at),
        evidence=(EvidenceSource("orders", 0, 0),),
    )


RIGHT = [said(1, 30.6, "delivered", 30), said(2, 40.1, "return_cancelled", 40)]
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("amount", {"value": Money(4_999, "EUR")}),
    ("currency", {"value": Money(5_000, "USD")}),
    ("no value", {"value": None}),
    ("means", {"resolution": Resolution.STORE_CREDIT}),
    ("risk", {"customer_risk": Risk.LOW}),
    ("category", {"category": "shoes"}),
    ("reason", {"reason": SignalReason.FIRST_SCAN}),
    ("since", {"since_at": MONDAY + timedelta(hours=29)}),
    ("evidence", {"evidence": ()}),
    ("tier", {"tier": "instant"}),
    ("revision", {"revision": 3}),
]


@pytest.fixture
def cancelled(tape: Tape) -> Tape:
    tape.scan(30, DELIVERED, LIL1)
    tape.cancel(40)
    return tape


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("changes", [changes for _, changes in WRONG], ids=[name for name, _ in WRONG])
def test_anything_wrong_in_a_signal_is_noticed(
    cancelled: Tape, changes: dict[str, Any], index: int, close: bool
) -> None:
    if close:
        cancelled.check_in(30.05)
        cancelled.inspect(30.2)
    expected = expected_of(cancelled, tolerance=LEEWAY)
    assert (expected.loose is not None) is close
    assert wrong_signals([expected], RIGHT, LEEWAY) == []
    changed = list(RIGHT)
    changed[index] = replace(changed[index], **changes)
    assert len(wrong_signals([expected], changed, LEEWAY)) == 1


def test_what_comes_together_may_be_told_or_not_but_not_stand_in_the_end(tape: Tape) -> None:
    tape.scan(30, DELIVERED, LIL1)
    tape.scan(30.6, TURNED_BACK)
    expected = [expected_of(tape, tolerance=LEEWAY)]
    assert expected[0].loose is not None
    released, revoked = said(1, 30.55, "delivered", 30), said(2, 30.6, "returned_to_customer", 30.6)
    for fine in (
        [],
        [released, revoked],
        [replace(released, effective_at=MONDAY + timedelta(hours=30.75)), revoked],
    ):
        assert wrong_signals(expected, fine, LEEWAY) == []
    (problem,) = wrong_signals(expected, [released], LEEWAY)
    assert "stands at" in problem
    assert "against all that is known" in problem


def test_what_comes_together_and_may_be_paid_is_told_in_the_end(tape: Tape) -> None:
    tape.scan(30, DELIVERED, LIL1)
    requested(tape, 30.2, "60")
    expected = [expected_of(tape, tolerance=LEEWAY)]
    assert expected[0].loose is not None
    again = [said(2, 30.7, "request_amended", 30.2), said(3, 31.1, "delivered", 30, 6_000)]
    for fine in ([said(1, 30.9, "delivered", 30, 6_000)], [said(1, 30.6, "delivered", 30), *again]):
        assert wrong_signals(expected, fine, LEEWAY) == []
    for wrong, why in (
        ([], "could be released"),
        ([said(1, 30.6, "delivered", 30)], "is asked for"),
        ([said(1, 30.6, "delivered", 30), again[0]], "could be released"),
        ([said(1, 30.6, "delivered", 30), again[1]], "out of turn"),
        ([said(1, 30.6, "delivered", 30, 7_000)], "nobody asked for"),
        ([said(1, 30.6, "content_mismatch", 30, 6_000)], "was never true"),
    ):
        (problem,) = wrong_signals(expected, wrong, LEEWAY)
        assert why in problem


def test_no_laxer_tier_passes_where_things_come_together(tape: Tape) -> None:
    requested(tape, 20, risk="low")
    tape.scan(30, DELIVERED, LIL1)
    tape.inspect(30.2, mismatch=["empty_box"])
    tape.inspect(30.4)
    expected = [expected_of(tape, tolerance=LEEWAY)]
    assert expected[0].loose is not None
    low = {"customer_risk": Risk.LOW}
    instant = replace(said(1, 20.6, "first_scan", 10), tier="instant", **low)
    taken_back = replace(said(2, 30.3, "content_mismatch", 30.2), tier="instant", **low)
    standard = replace(said(1, 30.95, "delivered", 30), **low)
    assert wrong_signals(expected, [instant, taken_back, standard], LEEWAY) == []
    assert wrong_signals(expected, [instant], LEEWAY) == []
    for wrong, why in (
        ([standard], "could be released"),
        ([standard, replace(taken_back, tier="standard"), instant], "not a later tier"),
        ([instant, taken_back, replace(instant, revision=3)], "not a later tier"),
        ([instant, standard], "while instant stands"),
    ):
        (problem,) = wrong_signals(expected, wrong, LEEWAY)
        assert why in problem


def test_money_is_the_same_by_amount_and_means() -> None:
    one = Asked(Money(1, "EUR"), "refund", "low", "shoes")
    assert one.is_same_money(one._replace(risk="high", category=""))
    assert not one.is_same_money(one._replace(value=Money(2, "EUR")))
    assert not one.is_same_money(one._replace(resolution="store_credit"))
