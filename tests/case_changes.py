"""Changes of cases for tests of what is said about them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.outputs import Escalation, Severity
from schemas.vocabulary import CaseState, Reason, RuleId

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def case_change(case_id: str = "c1", revision: int = 1, **fields: Any) -> Escalation:
    """A change; what is not given is that of a case that has just opened."""
    return Escalation(
        **{
            "case_id": case_id,
            "revision": revision,
            "rule": RuleId.LATE_REFUND,
            "state": CaseState.OPEN,
            "reason": Reason.DUE,
            "level": 1,
            "severity": Severity.ERROR,
            "action": "finance",
            "return_id": "RMA-1",
            "since_at": AT - timedelta(days=2),
            "due_at": AT,
            "effective_at": AT,
            "explanation": "Refund approved on 18 November is not issued.",
            **fields,
        }
    )


def ended(case_id: str = "c1", revision: int = 2, **fields: Any) -> Escalation:
    """The change that resolves a case."""
    told = {"state": CaseState.RESOLVED, "reason": Reason.REFUND_ISSUED, "previous_state": CaseState.OPEN}
    return case_change(case_id, revision, **{**told, **fields})
