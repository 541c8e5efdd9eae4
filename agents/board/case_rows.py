"""A change or a case as a row of the board's index."""

from typing import Final

from schemas.money import minor_units_of
from schemas.outputs import Case, Escalation, Severity
from schemas.vocabulary import CaseState, Reason
from streams.epoch import epoch_ms
from streams.keys import parcel_key, split_parcel_key

ACTIVE: Final = frozenset({CaseState.OPEN, CaseState.ESCALATED})
_MOST_LEVEL: Final = 99

PUT_CASE: Final = """
INSERT INTO cases VALUES (
    :case_id, :revision, :state, :active, :rule, :carrier, :facility, :severity, :seen, :feed, :return_id,
    :tracking_number, :urgency, :cheapness, :due_ms, :staleness, :value
) ON CONFLICT DO UPDATE SET
    revision = excluded.revision, state = excluded.state, active = excluded.active, rule = excluded.rule,
    carrier = excluded.carrier, facility = excluded.facility, severity = excluded.severity, seen = excluded.seen,
    feed = excluded.feed, return_id = excluded.return_id, tracking_number = excluded.tracking_number,
    urgency = excluded.urgency, cheapness = excluded.cheapness, due_ms = excluded.due_ms,
    staleness = excluded.staleness, value = excluded.value
WHERE excluded.revision >= revision
"""


def columns(case: Case) -> dict[str, object]:
    severity = tuple(Severity).index(case.severity)
    units = 0
    if case.value is not None:
        units = case.value.amount_minor * 1_000 // minor_units_of(case.value.currency)
    return {
        "case_id": case.case_id,
        "revision": case.revision,
        "state": case.state.value,
        "active": int(case.state in ACTIVE),
        "rule": case.rule.value,
        "carrier": case.carrier,
        "facility": case.facility,
        "severity": case.severity.value,
        "seen": int(bool(case.acknowledged_by) or case.snoozed_until is not None),
        "feed": case.feed.name if case.feed is not None else "",
        "return_id": case.return_id,
        "tracking_number": number_of(case.tracking_number),
        "urgency": -(severity * (_MOST_LEVEL + 1) + min(case.level, _MOST_LEVEL)),
        "cheapness": -units,
        "due_ms": epoch_ms(case.due_at),
        "staleness": -epoch_ms(case.effective_at),
    }


def number_of(tracking_number: str) -> str:
    """As it is looked for: without spaces and dashes, in upper case."""
    return split_parcel_key(parcel_key("", tracking_number))[1]


def told_by(change: Escalation) -> str:
    """Who has told what this change says; "": nobody did."""
    return {
        Reason.ACKNOWLEDGED: change.acknowledged_by,
        Reason.SNOOZED: change.snoozed_by,
        Reason.ASSIGNED: change.assigned_to,
        Reason.BY_HAND: change.resolved_by,
    }.get(change.reason, "")
