"""By when the customer was promised a refund, and by when the law wants it.

All start with the first request, are fulfilled by the refund or a replacement, and end when the refund is refused or the
return cancelled: for what is approved on appeal `late_refund` waits. What was asked for and promised, the newest request
says. Anchor: the return.

- `refund_promise_broken`: due when the request says (promised_refund_at), else when the rule's budget is used up. Not for
  exchanges.
- `refund_promise_at_risk`: due when so much of that wait has passed as the policy says (promise_warning_percent).
- `statutory_refund_deadline`: where the request is a notice of withdrawal and the customer's country has a statute (policy
  `statutes`). The trader may wait for the goods, or for a scan that proves that they were sent: without either nothing is
  due.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from schemas.policy import Statute, StatuteStart
from schemas.vocabulary import Milestone, Resolution, RuleId
from streams.clocks import DAY_MS
from streams.return_view import Awaited, ReturnView, Stop
from streams.returns import Told
from streams.terms import Deadline


def refund_promises(view: ReturnView) -> Iterator[Awaited]:
    """The warning and the promise itself."""
    request = view.request
    if request is None or view.terms.resolution == Resolution.EXCHANGE:
        return
    promise = view.deadline(RuleId.REFUND_PROMISE_BROKEN)
    warning = view.deadline(RuleId.REFUND_PROMISE_AT_RISK)
    if promise is None and (warning is None or not request.promised_ms):
        return  # switched off, or nobody has promised anything
    promised = promised_ms(request, promise)
    stop, settled_ms = _stop(view), request.arrived_ms + view.policy.settle_ms
    if promise is not None:
        yield _awaited(RuleId.REFUND_PROMISE_BROKEN, request, max(promised, settled_ms), stop)
    if warning is not None:
        warned = warned_ms(request, promised, view.policy.promise_warning_percent)
        yield _awaited(RuleId.REFUND_PROMISE_AT_RISK, request, max(warned, settled_ms), stop)


def promised_ms(request: Told, promise: Deadline | None) -> int:
    """By when the refund was promised: in the request, else by the rule's budget; 0: not at all."""
    if request.promised_ms or promise is None:
        return request.promised_ms
    return promise.clock.due_ms(request.at_ms)


def warned_ms(request: Told, promised: int, percent: int) -> int:
    """When so much of the wait for the promised refund has passed."""
    return max(request.at_ms, request.at_ms + (promised - request.at_ms) * percent // 100)


class Lawful(NamedTuple):
    """A statutory deadline and what makes it: the days are used up at `days_ms`, and nothing is due before the other two."""

    statute: Statute
    from_ms: int
    days_ms: int
    proof_ms: int
    """The goods, or proof that they were sent, were there."""
    settled_ms: int

    @property
    def due_ms(self) -> int:
        """When all three have come."""
        return max(self.days_ms, self.proof_ms, self.settled_ms)


def lawful(view: ReturnView, request: Told) -> Lawful | None:
    """The deadline that the law sets; None: it sets none, or not yet."""
    if not view.terms.withdrawal:
        return None
    statute, proof = view.policy.statutes.get(view.terms.country), _proof(view)
    if statute is None or proof is None:
        return None
    proof_ms, read_ms = proof
    from_ms = request.at_ms if statute.counts_from is StatuteStart.NOTICE else proof_ms
    settled_ms = max(request.arrived_ms, read_ms) + view.policy.settle_ms
    return Lawful(statute, from_ms, from_ms + statute.days * DAY_MS, proof_ms, settled_ms)


def statutory_refund_deadline(view: ReturnView) -> Iterable[Awaited]:
    """At most one."""
    request = view.request
    if request is None or view.deadline(RuleId.STATUTORY_REFUND_DEADLINE) is None:
        return ()
    law = lawful(view, request)
    if law is None:
        return ()
    return (_awaited(RuleId.STATUTORY_REFUND_DEADLINE, request, law.due_ms, _stop(view)),)


def _proof(view: ReturnView) -> tuple[int, int] | None:
    """When the goods, or proof that they were sent, were there, and when that was read; None: not yet."""
    times = [(one.first_scan_ms, one.first_scan_arrived_ms) for one in view.goods]
    times += [(one.checked_in_ms, one.checked_in_arrived_ms) for one in view.goods]
    times += [(fact.at_ms, fact.arrived_ms) for fact in view.all(Milestone.CHECKED_IN)]
    return min((time for time in times if time[0]), default=None)


def _stop(view: ReturnView) -> Stop | None:
    return view.stop(
        Milestone.REFUND_ISSUED,
        Milestone.REFUND_REFUSED,
        Milestone.REPLACEMENT_SENT,
        Milestone.RETURN_CANCELLED,
    )


def _awaited(rule: RuleId, request: Told, due_ms: int, stop: Stop | None) -> Awaited:
    return Awaited(rule, "", "", request.at_ms, due_ms, stop, (request.source,))
