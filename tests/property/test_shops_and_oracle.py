"""Two readings of what a customer is told, and of what is counted, must agree on shops that nobody would run."""

import random
from datetime import timedelta
from typing import Any

import pytest

from schemas.policy_loading import default_policy
from simulation.expect_journeys import expected_journeys, wrong_journeys
from simulation.expect_kpis import add_cases, expected_kpis, wrong_kpis
from simulation.happenings import LABELS, ORDERS, WAREHOUSE, SimEvent
from simulation.player import undisturbed_ledger
from simulation.terms import Terms
from simulation.warehouse import policy_of_this_world
from tests.property.random_timelines import BEGIN, Timeline
from tests.scenarios.one_process import OneProcess

PERIOD = timedelta(hours=1)
EUR = ("19.90", "250.00", "900.00")
SAID: tuple[tuple[str, str, float], ...] = (
    (ORDERS, "return_requested", 0.9),
    (ORDERS, "return_requested", 0.2),
    (ORDERS, "return_approved", 0.7),
    (ORDERS, "return_cancelled", 0.1),
    (ORDERS, "dropoff_claimed", 0.4),
    (ORDERS, "dropoff_claimed", 0.2),
    (WAREHOUSE, "inspected", 0.4),
    (WAREHOUSE, "inspected", 0.2),
    (ORDERS, "refund_approved", 0.2),
    (ORDERS, "refund_refused", 0.1),
    (ORDERS, "refund_issued", 0.15),
    (ORDERS, "refund_issued", 0.1),
    (ORDERS, "refund_failed", 0.1),
    (ORDERS, "refund_settled", 0.05),
    (ORDERS, "replacement_sent", 0.05),
)


class Shop(Timeline):
    """A timeline with a customer, a shop and a warehouse, who say what they like when they like."""

    def play(self) -> list[SimEvent]:
        super().play()
        for kind, what, share in SAID:
            if self.chance(share):
                self.sometime(kind, type=what, return_id=self.returns[0], **self._more(what))
        if self.chance(0.3):
            self._another_label()
        return self.events

    def _more(self, what: str) -> dict[str, Any]:
        named = [{"carrier": self.carrier, "tracking_number": self.rng.choice(self.numbers)}]
        if what == "return_requested":
            return {
                "value": {"amount": self.rng.choice(EUR), "currency": "EUR"},
                "resolution": self.rng.choice(("refund", "refund", "exchange", "store_credit")),
                "customer_risk": self.rng.choice(("low", "normal", "high")),
                "return_reason": self.rng.choice(("size", "quality")),
                "category": self.rng.choice(("shoes", "home")),
            }
        if what == "dropoff_claimed" and self.chance(0.6):
            return named[0]
        if what == "inspected":
            more: dict[str, Any] = {"parcels": named} if self.chance(0.5) else {}
            return more | self.rng.choice(({}, {}, {"disposition": "reject"}, {"mismatch": ["quantity"]}))
        if what in {"refund_issued", "refund_failed"} and self.chance(0.7):
            return {"value": {"amount": self.rng.choice(EUR), "currency": "EUR"}}
        return {}

    def _another_label(self) -> None:
        fields = {"carrier": self.carrier, "origin_country": "US", "destination_country": "US"}
        self.sometime(
            LABELS,
            type="label_created",
            return_id=self.returns[0],
            tracking_number=f"{self.serial}003",
            facility="SDF1",
            **fields,
        )


def shops(seed: int, count: int) -> list[SimEvent]:
    rng = random.Random(seed)
    return [event for serial in range(count) for event in Shop(rng, serial).play()]


@pytest.mark.parametrize("seed", range(6))
def test_what_is_told_and_counted_is_what_is_true(seed: int) -> None:
    policy = policy_of_this_world(default_policy())
    events, until_at = shops(seed, 40), BEGIN + timedelta(days=(4, 7, 10, 15, 25, 45)[seed])
    events = [event for event in events if event.appears_at <= until_at]
    engine = OneProcess(policy)
    engine.play(events, until_at, PERIOD)
    ledger, terms = undisturbed_ledger(events), Terms(policy)
    assert engine.refused == []
    journeys = expected_journeys(ledger, terms, until_at)
    wrong = wrong_journeys(journeys, [], engine.journeys, until_at, signals=engine.signals)
    assert [one for one in wrong if not one.endswith("is told, and not open")] == [], (
        "cases are judged elsewhere"
    )
    end_at = engine.finish_kpis(until_at)
    wanted = expected_kpis(ledger, terms, end_at)
    add_cases(wanted, ledger, terms, end_at, engine.changes)
    assert wrong_kpis(engine.kpis.snapshots.values(), wanted) == []
