"""What is counted of a return is what is true of it now: amended requests, refunds that failed, voided labels, own keys."""

from collections import Counter
from datetime import date
from itertools import permutations
from typing import Any

from msgspec.structs import replace

from schemas.facts import ReturnFact
from schemas.kpis import Count, Dimension, Leg
from schemas.vocabulary import Evidence, Milestone, RuleId
from streams import kpis
from streams.cells import CellName, cell_key, with_added
from streams.keys import feed_subject
from streams.kpi_snapshots import look_at_cell
from streams.returns import CaseRecord, ReturnState
from tests.stages import DAY, HOUR, MONDAY, Shop, label_fact, only, parcel_fact, return_fact
from tests.unit.test_kpis import MONDAY_DATE, TUESDAY_DATE, on, quiet, request


def refund(milestone: Milestone, at_ms: int, minor: int = 0) -> ReturnFact:
    return return_fact(milestone, at_ms, value_minor=minor, currency="EUR" if minor else "")


def counted(*facts: ReturnFact, day: date = MONDAY_DATE) -> tuple[dict[Count, int], dict[str, Any]]:
    """The same in every order."""
    found = []
    for order in permutations(facts):
        shop = Shop(quiet())
        for fact in order:
            shop.return_fact("R1", fact)
        shop.reach(5 * DAY)
        here = on(shop, day)
        found.append((dict(here.counts), dict(here.amounts)))
    assert all(one == found[0] for one in found)
    return found[0]


def test_an_amended_request_counts_once_by_what_it_says_now() -> None:
    shop = Shop(quiet())
    first = request(HOUR, resolution="refund", reason="too_small", category="shoes")
    amended = request(26 * HOUR, resolution="exchange", reason="wrong_item", category="shirts")
    for fact in (amended, first):
        shop.return_fact("R1", fact)
    shop.reach(5 * DAY)
    assert on(shop).counts == {"requested": 1, "for_exchange": 1}
    assert on(shop, TUESDAY_DATE).counts == {}
    assert on(shop, by=Dimension.REASON, value="wrong_item").counts[Count.REQUESTED] == 1
    assert not on(shop, by=Dimension.REASON, value="too_small").counts
    assert on(shop, by=Dimension.CATEGORY, value="shirts").counts[Count.REQUESTED] == 1


def test_every_refund_counts_and_one_that_failed_does_not() -> None:
    issued, failed = Milestone.REFUND_ISSUED, Milestone.REFUND_FAILED
    counts, amounts = counted(refund(issued, 3 * HOUR, 5_000), refund(failed, 5 * HOUR))
    assert (counts.get(Count.REFUNDED, 0), amounts) == (0, {})
    counts, amounts = counted(refund(issued, 3 * HOUR, 2_000), refund(issued, 5 * HOUR, 3_000))
    assert (counts[Count.REFUNDED], amounts["EUR"]["refunded_minor"]) == (1, 5_000)
    again = (refund(issued, 3 * HOUR, 5_000), refund(failed, 5 * HOUR), refund(issued, 30 * HOUR, 5_000))
    assert counted(*again)[1] == {}
    counts, amounts = counted(*again, day=TUESDAY_DATE)
    assert (counts[Count.REFUNDED], amounts["EUR"]["refunded_minor"]) == (1, 5_000)


def test_a_failure_takes_the_refund_back_that_it_names_by_its_amount_else_the_newest() -> None:
    issued, failed = Milestone.REFUND_ISSUED, Milestone.REFUND_FAILED
    both = (refund(issued, 3 * HOUR, 2_000), refund(issued, 5 * HOUR, 3_000))
    assert counted(*both, refund(failed, 8 * HOUR, 2_000))[1]["EUR"]["refunded_minor"] == 3_000
    assert counted(*both, refund(failed, 8 * HOUR))[1]["EUR"]["refunded_minor"] == 2_000
    assert counted(*both, refund(failed, 2 * HOUR))[1]["EUR"]["refunded_minor"] == 5_000


def test_the_legs_to_the_refund_end_with_the_first_that_did_not_fail() -> None:
    shop = Shop(quiet())
    shop.return_fact("R1", request(0))
    for milestone, hour in (
        (Milestone.REFUND_ISSUED, 3),
        (Milestone.REFUND_FAILED, 4),
        (Milestone.REFUND_ISSUED, 9),
    ):
        shop.return_fact("R1", refund(milestone, hour * HOUR, 100))
    shop.reach(DAY)
    assert on(shop).legs[Leg.REQUEST_TO_REFUND].sum_seconds == 9 * 3_600


def test_what_the_dock_has_stays_received_when_its_label_is_voided() -> None:
    shop = Shop(quiet())
    shop.parcel_fact("ups:1", label_fact(2 * HOUR, "R1", facility="LIL1"))
    shop.parcel_fact("ups:1", parcel_fact(Milestone.ACCEPTED, 4 * HOUR))
    shop.parcel_fact("ups:1", parcel_fact(Milestone.DELIVERED, 9 * HOUR))
    shop.parcel_fact("ups:1", parcel_fact(Milestone.CHECKED_IN, 10 * HOUR, evidence=Evidence.WAREHOUSE_SCAN))
    shop.reach(DAY)
    before = on(shop)
    assert before.counts == {"labelled": 1, "scanned": 1, "received": 1}
    shop.parcel_fact("ups:1", parcel_fact(Milestone.LABEL_VOIDED, 11 * HOUR, evidence=Evidence.SYSTEM))
    shop.return_fact("R1", return_fact(Milestone.INSPECTED, 12 * HOUR))
    shop.reach(3 * DAY)
    after = on(shop)
    assert after.counts == before.counts + Counter({Count.INSPECTED: 1})
    assert after.legs.keys() == before.legs.keys() | {Leg.RECEIVED_TO_INSPECTED}
    assert on(shop, by=Dimension.FACILITY, value="LIL1") == after


def test_a_label_that_was_voided_unused_is_not_counted() -> None:
    shop = Shop(quiet())
    shop.parcel_fact("ups:1", label_fact(2 * HOUR, "R1"))
    shop.parcel_fact("ups:1", parcel_fact(Milestone.LABEL_VOIDED, 3 * HOUR, evidence=Evidence.SYSTEM))
    shop.reach(3 * DAY)
    assert on(shop).counts == {}


def test_at_risk_are_returns_and_no_parcel_or_feed_of_nobody() -> None:
    shop = Shop(only(RuleId.UNEXPECTED_PARCEL))
    shop.parcel_fact("ups:9", parcel_fact(Milestone.CHECKED_IN, HOUR, evidence=Evidence.WAREHOUSE_SCAN))
    shop.reach(5 * DAY)
    assert on(shop, TUESDAY_DATE).cases_of("unexpected_parcel").told == 1
    assert on(shop, TUESDAY_DATE).counts == {}
    feed = CaseRecord(
        "feed_silent",
        feed_subject("carrier-scans/ups"),
        "a",
        1,
        "open",
        "due",
        1,
        MONDAY,
        MONDAY + HOUR,
        MONDAY + HOUR,
        historical=False,
    )
    added = kpis.adds(ReturnState(), ReturnState(cases=(feed,)), MONDAY + DAY)
    assert added is not None
    at_risk = kpis.FIRST_COUNT + list(Count).index(Count.AT_RISK)
    assert not [name for name, sums in added.sums.items() if at_risk in sums]
    late = replace(feed, rule="late_label", parcel="")
    risky = kpis.adds(ReturnState(), ReturnState(cases=(late,)), MONDAY + DAY)
    assert risky is not None
    assert all(sums[at_risk] == 1 for sums in risky.sums.values())


def test_a_cell_of_an_earlier_reckoning_says_nothing_more() -> None:
    day = MONDAY // DAY
    requested = {kpis.FIRST_COUNT: 1}
    for family, said in (("all", 0), (kpis.family_of(Dimension.ALL), 1)):
        key = cell_key(CellName(family, day, ""))
        change = look_at_cell(key, with_added(None, requested, MONDAY), MONDAY + DAY, 0)
        assert (len(change.outgoing), change.raw is not None) == (said, bool(said))
