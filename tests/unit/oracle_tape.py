"""A tape to write short timelines on, and the oracle's word on them.

Hours count from Monday 2026-03-16, 06:00 UTC.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ruamel.yaml import YAML

from schemas import policy as policies
from schemas.policy_loading import default_policy
from schemas.vocabulary import CaseState, RuleId
from simulation.ledger import LedgerEvent
from simulation.oracle import ExpectedCase, expected
from simulation.terms import Terms

MONDAY = datetime(2026, 3, 16, 6, tzinfo=UTC)
POLICY = """
rules:
  missing_first_scan: {budget: 72h, action: ask}
  stalled_silent: {budget: 5d, international: 7d, action: trace}
  stalled_no_progress: {budget: 7d, international: 10d, action: trace}
  delivered_not_checked_in: {budget: 1 business day, action: search}
levels: [{after: 48h, level: 2}]
settle: 30m
facilities:
  LIL1: {time_zone: Europe/Paris, country: FR, opens: "08:00", closes: "17:00"}
  SDF1: {time_zone: America/Kentucky/Louisville, country: US, opens: "08:00", closes: "17:00"}
"""
ANNOUNCED = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "OC"}
PICKED_UP = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "PU"}
HUB = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "AR"}
DELIVERED = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "DL"}
TURNED_BACK = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "RS"}
EXCEPTION = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "SE"}
NOBODY_KNOWS = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "ZZ9"}


_DHL = {"api": "dhl_xmlpi_track", "code_type": "checkpoint"}
DHL_PICKED_UP, DHL_HUB = {**_DHL, "code": "PU"}, {**_DHL, "code": "AF"}
DHL_OUT, DHL_DELIVERED = {**_DHL, "code": "WC"}, {**_DHL, "code": "OK"}
DHL_CUSTOMS, DHL_MISROUTED = {**_DHL, "code": "CD"}, {**_DHL, "code": "MS"}
DHL_NOT_HOME, DHL_PICKUP_POINT = {**_DHL, "code": "NH"}, {**_DHL, "code": "CC"}
DHL_TURNED_BACK, DHL_DISPOSED = {**_DHL, "code": "RT"}, {**_DHL, "code": "DS"}
DHL_DAMAGED = {**_DHL, "code": "DM"}
PICKUP_FAILED = {"api": "fedex_rest_track_v1", "code_type": "status_code", "code": "PD"}
NEIGHBOUR = {"api": "colissimo_tracking_soap", "code_type": "event_code", "code": "LIVVOI"}
LIL1 = {"country": "FR", "city": "Lille", "site": "LIL1"}


def default_terms(*rules: RuleId, **changes: Any) -> Terms:
    """The default policy with nothing switched on but these rules, for the warehouses above."""
    numbers = default_policy().model_dump(mode="json")
    numbers["rules"] = {rule: {**numbers["rules"][rule], "enabled": True} for rule in rules}
    numbers["facilities"] = YAML(typ="safe").load(POLICY)["facilities"]
    numbers["facilities"]["LIL1"]["places"] = [LIL1]
    return Terms(policies.Policy.model_validate(numbers | changes))


def policy(**changes: Any) -> policies.Policy:
    return policies.Policy.model_validate({**YAML(typ="safe").load(POLICY), **changes})


@dataclass
class Tape:
    """Writes records: what happened `at` so many hours, appended `posted` (default: one minute later)."""

    carrier: str = "fedex"
    records: list[LedgerEvent] = field(default_factory=list)
    ids: int = 0

    def write(self, kind: str, at: float, posted: float | None, **body: Any) -> str:
        self.ids += 1
        happened = MONDAY + timedelta(hours=at)
        appended = happened + timedelta(minutes=1) if posted is None else MONDAY + timedelta(hours=posted)
        body = {"id": f"e{self.ids}", "occurred_at": happened.isoformat(), **body}
        self.records.append(LedgerEvent(kind, json.dumps(body).encode(), (), appended))
        return f"e{self.ids}"

    def label(self, at: float, number: str = "1", posted: float | None = None, **more: Any) -> None:
        fields = {
            "return_id": "R1",
            "origin_country": "FR",
            "destination_country": "FR",
            "facility": "LIL1",
            **more,
        }
        if "return_ids" in more:
            del fields["return_id"]
        self.write(
            "labels", at, posted, type="label_created", carrier=self.carrier, tracking_number=number, **fields
        )

    def scan(
        self,
        at: float,
        code: dict[str, str],
        place: str | dict[str, str] = "",
        number: str = "1",
        posted: float | None = None,
    ) -> str:
        where = place if isinstance(place, dict) else {"country": "FR", "city": place or f"city {at}"}
        body = {"carrier": self.carrier, "tracking_number": number, "place": where, **code}
        return self.write("carrier-scans", at, posted, type="carrier_scan", **body)

    def take_back(self, scan: str, at: float, number: str = "1") -> None:
        body = {"carrier": self.carrier, "tracking_number": number, "retracts": scan}
        self.write("carrier-scans", at, None, type="scan_retracted", **body)

    def check_in(self, at: float, number: str = "1", posted: float | None = None) -> None:
        self.write("warehouse", at, posted, type="checked_in", carrier=self.carrier, tracking_number=number)

    def check_in_by_return(self, at: float, posted: float | None = None, **more: Any) -> None:
        self.write("warehouse", at, posted, type="checked_in", return_id="R1", **more)

    def order(self, at: float, kind: str, posted: float | None = None, **more: Any) -> None:
        self.write("orders", at, posted, type=kind, return_id="R1", **more)

    def inspect(self, at: float, posted: float | None = None, **more: Any) -> None:
        self.write("warehouse", at, posted, type="inspected", return_id="R1", **more)

    def restock(self, at: float, posted: float | None = None) -> None:
        self.write("warehouse", at, posted, type="restocked", return_id="R1")

    def cancel(self, at: float, posted: float | None = None) -> None:
        self.write("orders", at, posted, type="return_cancelled", return_id="R1")

    def void(self, at: float, number: str = "1") -> None:
        self.write("labels", at, None, type="label_voided", carrier=self.carrier, tracking_number=number)

    def cases(
        self, until: float = 1_000, tolerance: float = 0, terms: Terms | None = None
    ) -> list[ExpectedCase]:
        until_at = MONDAY + timedelta(hours=until)
        return expected(self.records, terms or Terms(policy()), until_at, timedelta(hours=tolerance))

    def one(self, rule: RuleId, until: float = 1_000) -> tuple[float, str, str]:
        """The only case that the rule finds: (due, the state it ends in, why)."""
        ((_, due, state, why),) = self.of(rule, until=until)
        return due, state, why

    def told(self, until: float = 1_000) -> list[tuple[str, float, str]]:
        """Each case as (rule, hours at which it is due, the one state it ends in)."""
        return [(case.rule.value, hours(case.due_at), _only(case.final_states)) for case in self.cases(until)]

    def of(self, *rules: RuleId, until: float = 1_000, **changes: Any) -> list[tuple[str, float, str, str]]:
        """Each case of these rules of the default policy, by due time: (rule, due, the state it ends in, why)."""
        cases = self.cases(until, terms=default_terms(*rules, **changes))
        return [
            (case.rule.value, hours(case.due_at), _only(case.final_states), "/".join(sorted(case.reasons)))
            for case in sorted(cases, key=lambda case: (case.due_at, case.parcel))
        ]


def _only(states: frozenset[CaseState]) -> str:
    (state,) = states
    return state.value


def hours(at: datetime) -> float:
    return round((at - MONDAY) / timedelta(hours=1), 2)
