"""By when the customer was promised a refund, and by when the law wants it.

All start with the request, are fulfilled by the refund or a replacement, and end when the refund is refused or the return
cancelled. Anchor: the return.

- `refund_promise_broken`: due when the request says (promised_refund_at), else when the rule's budget is used up. Not for
  exchanges.
- `refund_promise_at_risk`: due when so much of that wait has passed as the policy says (promise_warning_percent).
- `statutory_refund_deadline`: where the request is a notice of withdrawal and the customer's country has a statute (policy
  `statutes`). The trader may wait for the goods, or for a scan that proves that they were sent: without either nothing is
  due.
"""

from collections.abc import Iterable, Iterator

from schemas.policy import StatuteStart
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
    if promise is None and warning is None:
        return
    promised_ms = promised(request, promise)
    if not promised_ms:
        return
    stop, settled_ms = _stop(view), request.arrived_ms + view.policy.settle_ms
    if promise is not None:
        yield _awaited(RuleId.REFUND_PROMISE_BROKEN, request, max(promised_ms, settled_ms), stop)
    if warning is not None:
        wait_ms = max(0, promised_ms - request.at_ms)
        warned_ms = request.at_ms + wait_ms * view.policy.promise_warning_percent // 100
        yield _awaited(RuleId.REFUND_PROMISE_AT_RISK, request, max(warned_ms, settled_ms), stop)


def promised(request: Told, promise: Deadline | None) -> int:
    """When the customer was promised the refund, by the request or else by the policy; 0: nobody has promised anything."""
    if request.promised_ms or promise is None:
        return request.promised_ms
    return promise.clock.due_ms(request.at_ms)


def statutory_refund_deadline(view: ReturnView) -> Iterable[Awaited]:
    """At most one."""
    request = view.request
    if (
        request is None
        or not view.terms.withdrawal
        or view.deadline(RuleId.STATUTORY_REFUND_DEADLINE) is None
    ):
        return ()
    statute, (proof_ms, read_ms) = view.policy.statutes.get(view.terms.country), _proof(view)
    if statute is None or not proof_ms:
        return ()
    days_ms = statute.days * DAY_MS
    by_notice = statute.counts_from is StatuteStart.NOTICE
    due_ms = max(request.at_ms + days_ms, proof_ms) if by_notice else proof_ms + days_ms
    due_ms = max(due_ms, max(request.arrived_ms, read_ms) + view.policy.settle_ms)
    return (_awaited(RuleId.STATUTORY_REFUND_DEADLINE, request, due_ms, _stop(view)),)


def _proof(view: ReturnView) -> tuple[int, int]:
    """When the goods, or proof that they were sent, were there, and when that was read; zeros: not yet."""
    times = [(one.first_scan_ms, one.first_scan_arrived_ms) for one in view.parcels]
    times += [(one.checked_in_ms, one.checked_in_arrived_ms) for one in view.parcels]
    times += [(fact.at_ms, fact.arrived_ms) for fact in view.all(Milestone.CHECKED_IN)[:1]]
    return min((time for time in times if time[0]), default=(0, 0))


def _stop(view: ReturnView) -> Stop | None:
    return view.stop(
        Milestone.REFUND_ISSUED,
        Milestone.REFUND_REFUSED,
        Milestone.REPLACEMENT_SENT,
        Milestone.RETURN_CANCELLED,
    )


def _awaited(rule: RuleId, request: Told, due_ms: int, stop: Stop | None) -> Awaited:
    return Awaited(rule, "", "", request.at_ms, due_ms, stop, (request.source,))
