"""From the inspected goods to the money in the customer's account.

- `late_refund_decision`: starts when the goods of the last parcel have been inspected, of all whose label holds; fulfilled by the
  refund's approval or refusal, a refund, a replacement. Anchor: the return.
- `late_refund`: starts with the approval; fulfilled by the refund, or a replacement; ends when it is refused after all.
  Anchor: the return; of an approval after a refusal (on appeal), the approval.
- `refund_failed`: the payment provider could not pay. Ends with a later refund, settlement or replacement. Anchor: the
  failure.
- `refund_not_settled`: the n-th refund waits for the n-th word of the bank since the first, good or bad. Anchor: the refund.
"""

from collections.abc import Iterable, Iterator
from operator import attrgetter

from schemas.vocabulary import Milestone, RuleId
from streams.return_view import Awaited, ReturnView, anchor_of, awaited, first_stop, stop_of
from streams.returns import Told
from streams.rules.goods import first_inspection

_at_ms = attrgetter("at_ms")


def late_refund_decision(view: ReturnView) -> Iterable[Awaited]:
    """At most one."""
    inspected = last_inspection(view)
    if inspected is None:
        return ()
    stop = view.stop(
        Milestone.REFUND_APPROVED,
        Milestone.REFUND_REFUSED,
        Milestone.REFUND_ISSUED,
        Milestone.REPLACEMENT_SENT,
        Milestone.RETURN_CANCELLED,
    )
    return awaited(view, RuleId.LATE_REFUND_DECISION, inspected, stop)


def last_inspection(view: ReturnView) -> Told | None:
    """The inspection with which the goods of every parcel have been inspected once; None: not yet.

    One that names no parcel is of those that had come. Of a return's only parcel any will do, unless the dock has another whose
    label was voided.
    """
    inspections = view.all(Milestone.INSPECTED)
    if not inspections or not view.parcels:
        return inspections[0] if inspections else None
    only = len(view.parcels) == 1 and not view.at_the_dock
    last = inspections[0]
    for parcel in view.parcels:
        first = first_inspection(view, parcel, view.received_ms(parcel), only=only)
        if first is None:
            return None
        last = max(last, first, key=_at_ms)
    return last


def late_refund(view: ReturnView) -> Iterator[Awaited]:
    """One for the first approval, and one for each that follows a refusal."""
    before: Told | None = None
    for approved in view.all(Milestone.REFUND_APPROVED):
        if before is not None and not _refused_between(view, before, approved):
            continue
        stop = first_stop(
            view.stop(Milestone.REFUND_ISSUED, Milestone.REPLACEMENT_SENT),
            view.stop(Milestone.REFUND_REFUSED, since_ms=approved.at_ms),
        )
        anchor = "" if before is None else anchor_of(approved)
        yield from awaited(view, RuleId.LATE_REFUND, approved, stop, anchor=anchor)
        before = approved


def _refused_between(view: ReturnView, one: Told, other: Told) -> bool:
    return any(one.at_ms <= fact.at_ms < other.at_ms for fact in view.all(Milestone.REFUND_REFUSED))


def refund_failed(view: ReturnView) -> Iterator[Awaited]:
    """One for each failure."""
    for failure in view.all(Milestone.REFUND_FAILED):
        stop = view.stop(
            Milestone.REFUND_ISSUED,
            Milestone.REFUND_SETTLED,
            Milestone.REPLACEMENT_SENT,
            since_ms=failure.at_ms,
            after=True,
        )
        yield from awaited(view, RuleId.REFUND_FAILED, failure, stop, anchor=anchor_of(failure))


def refund_not_settled(view: ReturnView) -> Iterator[Awaited]:
    """One for each refund."""
    refunds = view.all(Milestone.REFUND_ISSUED)
    answers = [
        answer
        for answer in view.all(Milestone.REFUND_SETTLED, Milestone.REFUND_FAILED)
        if answer.at_ms >= refunds[0].at_ms
    ]
    for index, issued in enumerate(refunds):
        stop = stop_of(answers[index]) if index < len(answers) else None
        yield from awaited(view, RuleId.REFUND_NOT_SETTLED, issued, stop, anchor=anchor_of(issued))
