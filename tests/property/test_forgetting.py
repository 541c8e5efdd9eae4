"""A return forgotten anywhere among its events, and events sent again: nothing of it stays, and others hear what they would.

History that is loaded in any order, between the beginning and the end of a backfill, gives the cases that it would have given.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.facts import Backfill, encode_json
from schemas.outputs import Escalation
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from tests.erasing import Erasing, event, forget, parcel

LIVES: list[dict[str, Any]] = [
    event("return_requested", 0, return_id="RMA-7"),
    parcel("label_created", 0, "1ZOWN", return_id="RMA-7"),
    parcel("label_created", 0.2, "1ZBOTH", return_ids=["RMA-7", "RMA-8"]),
    parcel("label_created", 0.1, "1ZBOTH", return_id="RMA-7", service="slow"),
    parcel("carrier_scan", 0.5, "1ZOWN", code="OR"),
    parcel("carrier_scan", 5, "1ZBOTH", code="OR"),
    parcel("label_voided", 1, "1ZBOTH", return_id="RMA-7"),
    event("refund_approved", 6, return_id="RMA-7"),
    parcel("checked_in", 7, "1ZOWN"),
    event("return_requested", 0, return_id="RMA-8"),
    event("return_approved", 0.1, return_id="RMA-8"),
]
POLICY = default_policy()


def of_others(news: list[Escalation]) -> list[Escalation]:
    return [one for one in news if one.return_id == "RMA-8"]


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(len(LIVES))), st.integers(0, len(LIVES)), st.data())
def test_wherever_it_is_forgotten_nothing_of_it_stays_and_others_hear_the_same(
    order: list[int], place: int, data: st.DataObject
) -> None:
    def told(*, erase: bool) -> tuple[Erasing, list[Escalation]]:
        shop = Erasing(POLICY, partitions=2)
        for number, index in enumerate(order):
            if erase and number == place:
                shop.tell(forget("RMA-7", 8), at_day=8)
            shop.tell(LIVES[index], at_day=8)
            if number in pauses:
                shop.reach(8)
        shop.reach(8)
        if erase and place == len(order):
            shop.tell(forget("RMA-7", 8), at_day=8)
        shop.reach(9)
        shop.tell(*(LIVES[index] for index in again), at_day=9)
        shop.reach(40)
        return shop, shop.news()

    # What comes while a parcel is, for all we know, nobody's but the forgotten return's is not kept for others (ADR 13).
    shared = min(order.index(2), order.index(3), order.index(6))
    order.remove(2)
    order.insert(shared, 2)
    pauses = data.draw(st.sets(st.integers(0, len(LIVES) - 1), max_size=4))
    again = data.draw(st.lists(st.integers(0, len(LIVES) - 1), max_size=6))
    (shop, with_it), (_, without) = told(erase=True), told(erase=False)
    assert shop.traces_of("RMA-7") == []
    assert shop.traces_of("1ZOWN") == []
    assert of_others(with_it) == of_others(without)
    assert shop.engine.counts()["unreadable", "returns"] == 0


@settings(max_examples=15, deadline=None)
@given(st.permutations(LIVES), st.sets(st.integers(0, len(LIVES)), max_size=4))
def test_history_loaded_in_any_order_gives_the_same_cases(
    order: list[dict[str, Any]], pauses: set[int]
) -> None:
    def cases(policy: Policy, lives: list[dict[str, Any]], stops: set[int]) -> list[tuple[object, ...]]:
        shop = Erasing(policy)
        shop.engine.load_history(encode_json(Backfill("B1", True)))
        for number, one in enumerate(lives):
            shop.tell(one, at_day=30)
            if number in stops:
                shop.reach(30)
        shop.reach(30)
        assert shop.news() == []
        shop.engine.load_history(encode_json(Backfill("B1", False)))
        shop.reach(60)
        return sorted(
            (one.case_id, one.revision, one.state, one.reason, one.effective_at) for one in shop.news()
        )

    in_order = cases(POLICY, LIVES, set())
    assert in_order
    assert cases(POLICY, order, pauses) == in_order
