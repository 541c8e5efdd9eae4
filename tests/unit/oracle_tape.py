"""A tape to write short timelines on, and the oracle's word on them.

Hours count from Monday 2026-03-16, 06:00 UTC.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ruamel.yaml import YAML

from schemas import policy as policies
from schemas.vocabulary import CaseState
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


def policy(**changes: Any) -> policies.Policy:
    return policies.Policy.model_validate({**YAML(typ="safe").load(POLICY), **changes})


@dataclass
class Tape:
    """Writes records: what happened `at` so many hours, appended `posted` (default: one minute later)."""

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
            "labels", at, posted, type="label_created", carrier="fedex", tracking_number=number, **fields
        )

    def scan(
        self, at: float, code: dict[str, str], place: str = "", number: str = "1", posted: float | None = None
    ) -> str:
        where = {"country": "FR", "city": place or f"city {at}"}
        body = {"carrier": "fedex", "tracking_number": number, "place": where, **code}
        return self.write("carrier-scans", at, posted, type="carrier_scan", **body)

    def take_back(self, scan: str, at: float, number: str = "1") -> None:
        body = {"carrier": "fedex", "tracking_number": number, "retracts": scan}
        self.write("carrier-scans", at, None, type="scan_retracted", **body)

    def check_in(self, at: float, number: str = "1", posted: float | None = None) -> None:
        self.write("warehouse", at, posted, type="checked_in", carrier="fedex", tracking_number=number)

    def check_in_by_return(self, at: float, posted: float | None = None, **more: Any) -> None:
        self.write("warehouse", at, posted, type="checked_in", return_id="R1", **more)

    def cancel(self, at: float, posted: float | None = None) -> None:
        self.write("orders", at, posted, type="return_cancelled", return_id="R1")

    def void(self, at: float, number: str = "1") -> None:
        self.write("labels", at, None, type="label_voided", carrier="fedex", tracking_number=number)

    def cases(
        self, until: float = 1_000, tolerance: float = 0, terms: Terms | None = None
    ) -> list[ExpectedCase]:
        until_at = MONDAY + timedelta(hours=until)
        return expected(self.records, terms or Terms(policy()), until_at, timedelta(hours=tolerance))

    def told(self, until: float = 1_000) -> list[tuple[str, float, str]]:
        """Each case as (rule, hours at which it is due, the one state it ends in)."""
        return [(case.rule.value, hours(case.due_at), _only(case.final_states)) for case in self.cases(until)]


def _only(states: frozenset[CaseState]) -> str:
    (state,) = states
    return state.value


def hours(at: datetime) -> float:
    return round((at - MONDAY) / timedelta(hours=1), 2)
