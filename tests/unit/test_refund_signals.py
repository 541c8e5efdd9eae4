"""When a refund may be released, and when that is taken back."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.outputs import RefundSignal, decode_refund_signal
from schemas.policy import Policy
from schemas.vocabulary import Evidence, Milestone, RuleId
from tests.stages import DAY, HOUR, MONDAY, Shop, label, label_fact, only, parcel_fact, return_fact

PARCEL = "ups:1"
FIRST_SCAN, DELIVERED, CHECKED_IN, INSPECTED = 10 * HOUR, 40 * HOUR, 50 * HOUR, 70 * HOUR


class Till(Shop):
    """A shop, and what it is told about refunds."""

    seen = 0

    def signals(self) -> list[RefundSignal]:
        """Refund signals since the last call."""
        said = [out for out in self.returns.said if out.topic == "refund-signals"]
        new, self.seen = said[self.seen :], len(said)
        return [decode_refund_signal(out.value or b"") for out in new]

    def told(self) -> list[str]:
        return [f"{signal.action} {signal.tier} {signal.reason}" for signal in self.signals()]

    def requested(
        self,
        euros: int | None = 50,
        risk: str = "low",
        resolution: str = "refund",
        category: str = "",
        arrived_ms: int = 0,
    ) -> None:
        value: dict[str, Any] = {} if euros is None else {"value_minor": euros * 100, "currency": "EUR"}
        terms = ["parcel", resolution, False, "", "", category, "", risk]
        self.return_fact("R1", return_fact(Milestone.RETURN_REQUESTED, 0, arrived_ms, terms=terms, **value))

    def says(self, milestone: Milestone, at_ms: int, **more: Any) -> None:
        self.return_fact("R1", return_fact(milestone, at_ms, **more))

    def sees(self, milestone: Milestone, at_ms: int, parcel: str = PARCEL, **more: Any) -> None:
        self.parcel_fact(parcel, parcel_fact(milestone, at_ms, **more))

    def life_until(self, at_ms: int) -> None:
        """An ordinary life of the return's parcel, and an hour to settle."""
        self.parcel_fact(PARCEL, label_fact(HOUR, "R1"))
        for milestone, when in (
            (Milestone.ACCEPTED, FIRST_SCAN),
            (Milestone.DELIVERED, DELIVERED),
            (Milestone.CHECKED_IN, CHECKED_IN),
        ):
            if when <= at_ms:
                evidence = (
                    Evidence.WAREHOUSE_SCAN if milestone is Milestone.CHECKED_IN else Evidence.CARRIER_SCAN
                )
                self.sees(milestone, when, evidence=evidence)
        if at_ms >= INSPECTED:
            self.says(Milestone.INSPECTED, INSPECTED)
        self.reach(at_ms + HOUR)


def till(**changes: Any) -> Till:
    return Till(only(**changes))


@pytest.mark.parametrize(
    ("euros", "risk", "stage", "tier", "reason"),
    [
        (50, "low", FIRST_SCAN, "instant", "first_scan"),
        (100, "low", FIRST_SCAN, "instant", "first_scan"),
        (101, "low", DELIVERED, "standard", "delivered"),
        (50, "normal", DELIVERED, "standard", "delivered"),
        (301, "low", INSPECTED, "inspected", "inspected"),
        (50, "high", INSPECTED, "inspected", "inspected"),
        (None, "low", INSPECTED, "inspected", "inspected"),
    ],
)
def test_value_and_risk_say_how_far_the_goods_must_have_come(
    euros: int | None, risk: str, stage: int, tier: str, reason: str
) -> None:
    shop = till()
    shop.requested(euros, risk)
    shop.life_until(stage - HOUR * 2)
    assert shop.told() == []
    shop.life_until(stage)
    (signal,) = shop.signals()
    assert (signal.action, signal.tier, signal.reason, signal.revision) == ("release", tier, reason, 1)
    assert (signal.value.amount_minor if signal.value else None) == (euros * 100 if euros else None)
    shop.life_until(INSPECTED)
    assert shop.told() == [], "a return is released once"


def test_a_release_waits_until_what_it_stands_on_has_settled() -> None:
    shop = till()
    shop.requested()
    shop.parcel_fact(PARCEL, label_fact(HOUR, "R1"))
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN)
    shop.reach(FIRST_SCAN + 29 * 60_000)
    assert shop.told() == []
    shop.says(Milestone.RETURN_CANCELLED, FIRST_SCAN - HOUR)
    shop.reach(FIRST_SCAN + DAY)
    assert shop.told() == []


def test_what_is_told_late_has_to_settle_too() -> None:
    shop = till()
    shop.requested()
    shop.parcel_fact(PARCEL, label_fact(HOUR, "R1"))
    shop.reach(DELIVERED)
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN, arrived_ms=DELIVERED)
    shop.reach(DELIVERED + HOUR // 3)
    assert shop.told() == []
    shop.reach(DELIVERED + HOUR)
    assert shop.told() == ["release instant first_scan"]


def test_a_request_that_is_told_last_has_to_settle_too() -> None:
    shop = till()
    shop.life_until(FIRST_SCAN)
    shop.requested(arrived_ms=FIRST_SCAN + HOUR)
    shop.says(Milestone.RETURN_CANCELLED, HOUR)
    shop.reach(INSPECTED)
    assert shop.told() == []


def test_a_delivery_that_is_told_late_is_not_paid_before_it_is_suspected() -> None:
    places = {"LIL1": {"time_zone": "Europe/Paris", "places": [{"country": "FR", "city": "Lille"}]}}
    shop = Till(only(RuleId.DELIVERED_ELSEWHERE_SUSPECTED, facilities=places))
    shop.requested(risk="normal")
    shop.parcel_fact(PARCEL, label_fact(HOUR, "R1", facility="LIL1"))
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN)
    shop.reach(DELIVERED + HOUR)
    shop.sees(Milestone.DELIVERED, DELIVERED, place="FR/nice", arrived_ms=DELIVERED + HOUR)
    shop.reach(DELIVERED + DAY)
    assert shop.told() == []


def test_what_had_come_so_far_before_going_live_is_not_released_and_a_later_tier_is() -> None:
    live = datetime.fromtimestamp((MONDAY + DELIVERED - HOUR) / 1_000, UTC)
    shop = till(go_live_at=live)
    shop.requested()
    shop.life_until(FIRST_SCAN)
    assert shop.told() == []
    shop.life_until(DELIVERED)
    assert shop.told() == ["release standard delivered"]


def test_later_news_do_not_release_what_had_come_so_far_before_going_live() -> None:
    live = datetime.fromtimestamp((MONDAY + INSPECTED + DAY) / 1_000, UTC)
    shop = till(go_live_at=live)
    shop.requested(500)
    shop.life_until(INSPECTED)
    shop.says(Milestone.LABEL_CREATED, INSPECTED + 2 * DAY, parcels=("ups:1Z2",))
    shop.reach(INSPECTED + 4 * DAY)
    assert shop.told() == []


def test_a_refund_that_only_the_bank_told_of_is_paid() -> None:
    shop = till()
    shop.requested()
    shop.says(Milestone.REFUND_SETTLED, 2 * HOUR)
    shop.life_until(INSPECTED)
    assert shop.told() == []


@pytest.mark.parametrize("tiers", [[{"tier": "instant", "release_at": "inspected"}], []])
def test_a_stricter_policy_takes_nothing_back_and_evidence_does(tiers: list[dict[str, str]]) -> None:
    shop = till()
    shop.requested()
    shop.parcel_fact(PARCEL, label_fact(HOUR, "R1"))
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN, identity=77)
    shop.reach(FIRST_SCAN + HOUR)
    shop.apply_policy(only(refund_tiers=tiers))
    shop.reach(20 * HOUR)
    assert shop.told() == ["release instant first_scan"]
    shop.sees(Milestone.UNMAPPED, 21 * HOUR, retracts=77)
    assert shop.told() == ["revoke instant late_evidence"]


def test_a_label_voided_after_the_check_in_takes_nothing_back() -> None:
    shop = till()
    shop.requested()
    shop.life_until(CHECKED_IN)
    shop.sees(Milestone.LABEL_VOIDED, 60 * HOUR, evidence=Evidence.SYSTEM, label=label("R1"))
    shop.reach(61 * HOUR)
    assert shop.told() == ["release instant first_scan"]


def test_a_label_voided_after_a_scan_takes_its_release_back() -> None:
    shop = till()
    shop.requested()
    shop.life_until(FIRST_SCAN)
    shop.sees(Milestone.LABEL_VOIDED, 20 * HOUR, evidence=Evidence.SYSTEM, label=label("R1"))
    shop.reach(21 * HOUR)
    assert shop.told() == ["release instant first_scan", "revoke instant late_evidence"]


def test_all_parcels_must_have_come_so_far() -> None:
    shop = till()
    shop.requested()
    shop.parcel_fact("ups:2", label_fact(HOUR, "R1"))
    shop.life_until(FIRST_SCAN)
    assert shop.told() == []
    shop.sees(Milestone.ACCEPTED, 20 * HOUR, "ups:2")
    shop.reach(21 * HOUR)
    assert shop.told() == ["release instant first_scan"]


@pytest.mark.parametrize(
    ("milestone", "reason"),
    [
        (Milestone.RETURN_CANCELLED, "return_cancelled"),
        (Milestone.REFUND_REFUSED, "refund_refused"),
        (Milestone.REPLACEMENT_SENT, "replacement_sent"),
    ],
)
def test_what_ends_the_refund_revokes_its_release(milestone: Milestone, reason: str) -> None:
    shop = till()
    shop.requested()
    shop.life_until(FIRST_SCAN)
    shop.says(milestone, 20 * HOUR)
    released, revoked = shop.signals()
    assert (revoked.action, revoked.reason, revoked.revision) == ("revoke", reason, 2)
    assert revoked.signal_id == released.signal_id
    shop.life_until(INSPECTED)
    assert shop.told() == []


def test_an_empty_box_revokes_and_a_clean_inspection_releases_by_a_later_tier() -> None:
    shop = till()
    shop.requested()
    shop.life_until(CHECKED_IN)
    shop.says(Milestone.INSPECTED, 60 * HOUR, mismatches=("empty_box",))
    assert shop.told() == ["release instant first_scan", "revoke instant content_mismatch"]
    shop.reach(65 * HOUR)
    assert shop.told() == []
    shop.says(Milestone.INSPECTED, 66 * HOUR)
    shop.reach(67 * HOUR)
    assert shop.told() == ["release standard delivered"]


def test_goods_that_are_rejected_are_not_paid_for_until_they_are_taken_back_after_all() -> None:
    shop = till()
    shop.requested(500)
    shop.life_until(CHECKED_IN)
    shop.says(Milestone.INSPECTED, 60 * HOUR, disposition="reject")
    shop.reach(65 * HOUR)
    assert shop.told() == []
    shop.says(Milestone.INSPECTED, 66 * HOUR, disposition="refurbish")
    shop.reach(67 * HOUR)
    assert shop.told() == ["release inspected inspected"]


def test_one_rejected_parcel_of_two_revokes_the_whole_release() -> None:
    shop = till()
    shop.requested()
    shop.parcel_fact("ups:2", label_fact(HOUR, "R1"))
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN, "ups:2")
    shop.sees(Milestone.CHECKED_IN, CHECKED_IN, "ups:2", evidence=Evidence.WAREHOUSE_SCAN)
    shop.life_until(CHECKED_IN)
    shop.says(Milestone.INSPECTED, 60 * HOUR, parcels=(PARCEL,), disposition="restock")
    shop.says(Milestone.INSPECTED, 61 * HOUR, parcels=("ups:2",), disposition="reject")
    shop.says(Milestone.INSPECTED, 62 * HOUR, parcels=(PARCEL,))
    shop.reach(90 * HOUR)
    assert shop.told() == ["release instant first_scan", "revoke instant goods_rejected"]


@pytest.mark.parametrize(
    ("grams", "told"),
    [
        (300, ["release instant first_scan", "revoke instant content_mismatch"]),
        (1_900, ["release instant first_scan"]),
        (0, ["release instant first_scan"]),
    ],
)
def test_a_parcel_that_is_too_light_at_the_dock_revokes(grams: int, told: list[str]) -> None:
    shop = till()
    shop.requested()
    terms = replace(label("R1"), weight_grams=1_800)
    shop.parcel_fact(PARCEL, replace(label_fact(HOUR, "R1"), label=terms))
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN)
    shop.sees(Milestone.DELIVERED, DELIVERED)
    shop.reach(CHECKED_IN)
    dock_scan = parcel_fact(Milestone.CHECKED_IN, CHECKED_IN, evidence=Evidence.WAREHOUSE_SCAN)
    shop.parcel_fact(PARCEL, replace(dock_scan, weight_grams=grams))
    shop.reach(60 * HOUR)
    assert shop.told() == told
    shop.says(Milestone.INSPECTED, INSPECTED)
    shop.reach(INSPECTED + HOUR)
    assert shop.told() == ["release standard delivered"] * (len(told) - 1)


def test_an_empty_box_stays_one_when_the_other_parcel_is_found_right() -> None:
    shop = Till(only(RuleId.CONTENT_MISMATCH))
    shop.requested()
    for parcel in (PARCEL, "ups:2"):
        shop.parcel_fact(parcel, label_fact(HOUR, "R1"))
        shop.sees(Milestone.ACCEPTED, FIRST_SCAN, parcel)
        shop.sees(Milestone.CHECKED_IN, CHECKED_IN, parcel, evidence=Evidence.WAREHOUSE_SCAN)
    shop.says(Milestone.INSPECTED, 60 * HOUR, parcels=(PARCEL,), mismatches=("empty_box",))
    shop.says(Milestone.INSPECTED, 61 * HOUR, parcels=("ups:2",))
    shop.reach(65 * HOUR)
    assert (shop.told(), [case.state for case in shop.news()]) == ([], ["open"])
    shop.says(Milestone.INSPECTED, 66 * HOUR, parcels=(PARCEL,))
    shop.reach(67 * HOUR)
    assert (shop.told(), [case.state for case in shop.news()]) == (
        ["release instant first_scan"],
        ["resolved"],
    )


def test_a_first_scan_that_is_taken_back_revokes_its_release() -> None:
    shop = till()
    shop.requested()
    shop.parcel_fact(PARCEL, label_fact(HOUR, "R1"))
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN, identity=77)
    shop.reach(FIRST_SCAN + HOUR)
    shop.sees(Milestone.UNMAPPED, 12 * HOUR, retracts=77)
    assert shop.told() == ["release instant first_scan", "revoke instant late_evidence"]


def test_a_parcel_that_goes_back_to_the_customer_revokes() -> None:
    shop = Till(only(RuleId.RETURNED_TO_CUSTOMER))
    shop.requested()
    shop.life_until(FIRST_SCAN)
    shop.sees(Milestone.RETURNED_TO_SENDER, 30 * HOUR)
    shop.reach(32 * HOUR)
    assert shop.told() == ["release instant first_scan", "revoke instant returned_to_customer"]


def test_what_was_delivered_elsewhere_is_not_paid_for_when_it_is_no_longer_watched() -> None:
    places = {"LIL1": {"time_zone": "Europe/Paris", "places": [{"country": "FR", "city": "Lille"}]}}
    shop = Till(only(RuleId.DELIVERED_ELSEWHERE_SUSPECTED, facilities=places))
    shop.requested(risk="normal")
    shop.parcel_fact(PARCEL, label_fact(HOUR, "R1", facility="LIL1"))
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN)
    shop.sees(Milestone.DELIVERED, DELIVERED, place="FR/nice")
    for day in range(2, 130):
        shop.reach(day * DAY)
    assert [case.reason for case in shop.news()] == ["due", "level", "level", "expired"]
    assert shop.told() == []


def test_what_was_turned_back_and_delivered_is_paid_when_the_dock_has_it() -> None:
    shop = Till(only(RuleId.RETURNED_TO_CUSTOMER))
    shop.requested(risk="normal")
    shop.life_until(FIRST_SCAN)
    shop.sees(Milestone.RETURNED_TO_SENDER, 20 * HOUR)
    shop.sees(Milestone.DELIVERED, DELIVERED)
    shop.reach(DELIVERED + HOUR)
    assert shop.told() == []
    shop.sees(Milestone.CHECKED_IN, CHECKED_IN, evidence=Evidence.WAREHOUSE_SCAN)
    shop.reach(CHECKED_IN + HOUR)
    assert shop.told() == ["release standard delivered"]


def test_what_is_approved_on_appeal_is_released_by_a_later_tier() -> None:
    shop = till()
    shop.requested()
    shop.life_until(FIRST_SCAN)
    shop.says(Milestone.REFUND_REFUSED, 20 * HOUR)
    shop.life_until(DELIVERED)
    assert shop.told() == ["release instant first_scan", "revoke instant refund_refused"]
    shop.says(Milestone.REFUND_APPROVED, DELIVERED + 2 * HOUR)
    shop.reach(DELIVERED + 3 * HOUR)
    assert shop.told() == ["release standard delivered"]
    shop.says(Milestone.REFUND_REFUSED, DELIVERED + 4 * HOUR)
    assert shop.told() == ["revoke standard refund_refused"]


@pytest.mark.parametrize(("amended", "later"), [(50, "release instant first_scan"), (500, "")])
def test_an_amended_request_says_what_may_be_paid(amended: int, later: str) -> None:
    shop = till()
    shop.requested(20)
    money = {"value_minor": amended * 100, "currency": "EUR"}
    shop.says(
        Milestone.RETURN_REQUESTED, HOUR, terms=["parcel", "refund", False, "", "", "", "", "low"], **money
    )
    shop.life_until(FIRST_SCAN)
    signals = shop.signals()
    assert [f"{one.action} {one.tier} {one.reason}" for one in signals] == [later] * bool(later)
    assert all(one.value is not None and one.value.amount_minor == 5_000 for one in signals)
    shop.says(Milestone.RETURN_REQUESTED, 15 * HOUR, terms=["parcel", "exchange"])
    shop.life_until(INSPECTED)
    assert shop.told() == ["revoke instant exchange_requested"] * bool(later)


LILLE = {"LIL1": {"time_zone": "Europe/Paris", "places": [{"country": "FR", "city": "Lille"}]}}


@pytest.mark.parametrize("rules", [(RuleId.RETURNED_TO_CUSTOMER,), (RuleId.STALLED_SILENT,)])
@pytest.mark.parametrize("place", ["", "FR", "FR/nice"])
def test_a_delivery_right_after_a_turn_back_is_the_one_to_the_customer(
    rules: tuple[RuleId, ...], place: str
) -> None:
    shop = Till(only(*rules, facilities=LILLE))
    shop.requested(risk="normal")
    shop.parcel_fact(PARCEL, label_fact(HOUR, "R1", facility="LIL1"))
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN)
    shop.reach(DELIVERED)
    shop.sees(Milestone.RETURNED_TO_SENDER, DELIVERED)
    shop.sees(Milestone.DELIVERED, DELIVERED + HOUR // 12, place=place)
    shop.reach(DELIVERED + 9 * DAY)
    assert shop.told() == []
    assert {case.state for case in shop.news() if case.rule is RuleId.RETURNED_TO_CUSTOMER} == (
        {"open", "escalated"} if RuleId.RETURNED_TO_CUSTOMER in rules else set()
    )


def test_what_was_turned_back_and_then_delivered_at_our_place_is_paid() -> None:
    shop = Till(only(RuleId.RETURNED_TO_CUSTOMER, facilities=LILLE))
    shop.requested(risk="normal")
    shop.parcel_fact(PARCEL, label_fact(HOUR, "R1", facility="LIL1"))
    shop.sees(Milestone.ACCEPTED, FIRST_SCAN)
    shop.sees(Milestone.RETURNED_TO_SENDER, 20 * HOUR)
    shop.reach(30 * HOUR)
    shop.sees(Milestone.DELIVERED, DELIVERED, place="FR/lille")
    shop.reach(DELIVERED + HOUR)
    assert shop.told() == ["release standard delivered"]
    assert [case.reason for case in shop.news()] == ["due", "delivered"]
    shop.sees(Milestone.RETURNED_TO_SENDER, DELIVERED + 2 * HOUR)
    assert shop.told() == ["revoke standard returned_to_customer"], "the warehouse sent it back"


def test_a_turn_back_that_is_read_while_a_delivery_settles_holds_the_money_at_once() -> None:
    shop = Till(only(RuleId.RETURNED_TO_CUSTOMER))
    shop.requested(risk="normal")
    shop.life_until(FIRST_SCAN)
    shop.reach(DELIVERED)
    shop.sees(Milestone.DELIVERED, DELIVERED)
    late = DELIVERED + 20 * 60_000
    shop.reach(late)
    shop.sees(Milestone.RETURNED_TO_SENDER, DELIVERED - HOUR, arrived_ms=late)
    shop.reach(DELIVERED + DAY)
    assert shop.told() == []


def test_a_turn_back_revokes_at_once_and_only_once_when_it_is_taken_back_and_said_again() -> None:
    shop = till()
    shop.requested()
    shop.life_until(FIRST_SCAN)
    for turn in range(3):
        shop.sees(Milestone.RETURNED_TO_SENDER, (20 + turn) * HOUR, identity=70 + turn)
        shop.sees(Milestone.UNMAPPED, (20 + turn) * HOUR + 1_000, retracts=70 + turn)
    assert shop.told() == ["release instant first_scan", "revoke instant returned_to_customer"]
    shop.reach(30 * HOUR)
    assert shop.told() == [], "a tier releases once"


def test_when_an_obstacle_goes_away_what_was_appended_beside_it_is_read_first() -> None:
    shop = till()
    shop.requested()
    shop.life_until(CHECKED_IN - HOUR)
    shop.says(Milestone.INSPECTED, 60 * HOUR, mismatches=("empty_box",))
    assert shop.told() == ["release instant first_scan", "revoke instant content_mismatch"]
    shop.reach(66 * HOUR)
    shop.says(Milestone.INSPECTED, 60 * HOUR + 1, arrived_ms=66 * HOUR)
    assert shop.told() == []
    shop.says(Milestone.RETURN_CANCELLED, 65 * HOUR, arrived_ms=66 * HOUR + 60_000)
    shop.reach(80 * HOUR)
    assert shop.told() == []


def test_the_void_of_the_label_that_was_waited_for_settles() -> None:
    shop = till()
    shop.requested()
    shop.parcel_fact("ups:2", label_fact(HOUR, "R1"))
    shop.life_until(FIRST_SCAN)
    shop.reach(20 * HOUR)
    void = parcel_fact(
        Milestone.LABEL_VOIDED, 12 * HOUR, evidence=Evidence.SYSTEM, label=label(), arrived_ms=20 * HOUR
    )
    shop.parcel_fact("ups:2", void)
    shop.reach(20 * HOUR + 29 * 60_000)
    assert shop.told() == []
    shop.reach(20 * HOUR + 30 * 60_000)
    assert shop.told() == ["release instant first_scan"]


def test_a_retraction_that_takes_an_obstacle_away_settles() -> None:
    shop = till()
    shop.requested()
    shop.sees(Milestone.RETURNED_TO_SENDER, 9 * HOUR, identity=77)
    shop.says(Milestone.RETURN_CANCELLED, 9 * HOUR, identity=78)
    shop.life_until(FIRST_SCAN)
    shop.reach(20 * HOUR)
    shop.sees(Milestone.UNMAPPED, 12 * HOUR, retracts=77, arrived_ms=20 * HOUR)
    shop.says(Milestone.UNMAPPED, 12 * HOUR, retracts=78, arrived_ms=20 * HOUR)
    shop.reach(20 * HOUR + 29 * 60_000)
    assert shop.told() == []
    shop.reach(20 * HOUR + 30 * 60_000)
    assert shop.told() == ["release instant first_scan"]


def test_a_second_inspection_after_going_live_releases_nothing_that_came_before() -> None:
    live = datetime.fromtimestamp((MONDAY + INSPECTED + DAY) / 1_000, UTC)
    shop = till(go_live_at=live)
    shop.requested(500)
    shop.life_until(INSPECTED)
    shop.says(Milestone.INSPECTED, INSPECTED + 2 * DAY, disposition="restock")
    shop.reach(INSPECTED + 4 * DAY)
    assert shop.told() == []


@pytest.mark.parametrize("resolution", ["exchange"])
def test_who_wants_other_goods_gets_no_money(resolution: str) -> None:
    shop = till()
    shop.requested(resolution=resolution)
    shop.life_until(INSPECTED)
    assert shop.told() == []


def test_what_was_paid_already_is_not_released() -> None:
    shop = till()
    shop.requested(risk="high")
    shop.life_until(CHECKED_IN)
    shop.says(Milestone.REFUND_ISSUED, 52 * HOUR)
    shop.life_until(INSPECTED)
    assert shop.told() == []


def test_a_category_and_another_currency_fit_no_tier_that_does_not_name_them() -> None:
    tiers = [
        {"tier": "shoes", "release_at": "first_scan", "categories": ["shoes"]},
        {"tier": "dollars", "release_at": "first_scan", "max_value": {"USD": 1_000}},
        {"tier": "rest", "release_at": "delivered"},
    ]
    shoes, books = till(refund_tiers=tiers), till(refund_tiers=tiers)
    for shop, category in ((shoes, "shoes"), (books, "books")):
        shop.requested(category=category)
        shop.life_until(FIRST_SCAN)
    assert (shoes.told(), books.told()) == (["release shoes first_scan"], [])


def test_nobody_requested_it_nobody_is_told() -> None:
    shop = till()
    shop.life_until(INSPECTED)
    assert shop.told() == []


def test_a_signal_has_the_same_id_and_bytes_in_every_run() -> None:
    said = []
    for _ in range(2):
        shop = till()
        shop.requested()
        shop.life_until(FIRST_SCAN)
        said.append([(out.value, out.headers) for out in shop.returns.said if out.topic == "refund-signals"])
    assert said[0] == said[1]
    headers = dict(said[0][0][1])
    assert headers["ce_type"] == b"com.returnwatch.refund.released.v1"
    assert headers["ce_id"] == decode_refund_signal(said[0][0][0] or b"").signal_id.encode() + b":1"


def test_tiers_are_written_in_the_order_in_which_they_release() -> None:
    numbers = only().model_dump(mode="json")
    late, early = {"tier": "a", "release_at": "inspected"}, {"tier": "b", "release_at": "delivered"}
    with pytest.raises(ValueError, match="write the tier that releases first, first"):
        Policy.model_validate({**numbers, "refund_tiers": [late, early]})
    with pytest.raises(ValueError, match="the same name"):
        Policy.model_validate({**numbers, "refund_tiers": [early, early]})
