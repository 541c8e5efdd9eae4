"""Before the carrier has the parcel: the shop makes a label, the customer says that it was handed over.

- `late_label`: starts with the approval; fulfilled by a label. Not for returns that are brought to a shop. Ends with:
  cancellation, check-in by the return's number, an inspection, a decision about the refund, a refund or replacement that did
  not wait. The default calendar holds: which facility it goes to, the label will say. Anchor: the return.
- `dropoff_claim_unconfirmed`: starts with the customer's claim; fulfilled by a scan of an agent or carrier of the parcel that
  the claim names, else of the only parcel that the return had a label for at the time of the claim (or has at all, where the
  labels are younger), else of any of its parcels. Ends with: check-in, cancellation. A claim
  about a parcel without a label is not waited for. Anchor: the parcel, or the return.
"""

from collections.abc import Iterable, Iterator

from schemas.vocabulary import Method, Milestone, Reason, RuleId
from streams.return_view import Awaited, ReturnView, Stop, awaited, first_stop
from streams.returns import Carried, Told

_CLAIM = "claim"
"""Anchor of cases about claims."""


def late_label(view: ReturnView) -> Iterable[Awaited]:
    """At most one."""
    approved = view.first(Milestone.RETURN_APPROVED)
    if approved is None or view.terms.method == Method.IN_STORE:
        return ()
    stop = view.stop(
        Milestone.LABEL_CREATED,
        Milestone.RETURN_CANCELLED,
        Milestone.CHECKED_IN,
        Milestone.INSPECTED,
        Milestone.REFUND_APPROVED,
        Milestone.REFUND_REFUSED,
        Milestone.REFUND_ISSUED,
        Milestone.REPLACEMENT_SENT,
    )
    return awaited(view, RuleId.LATE_LABEL, approved, stop, of_no_parcel=True)


def dropoff_claim_unconfirmed(view: ReturnView) -> Iterator[Awaited]:
    """One for each parcel that claims are about, and one for claims about no parcel of several."""
    earliest: dict[str, Told] = {}
    for claim in view.all(Milestone.DROPOFF_CLAIMED):
        for parcel in claim.parcels or (_only(view, claim.at_ms),):
            earliest.setdefault(parcel, claim)
    for parcel in sorted(earliest):
        about = [one for one in view.parcels if parcel in {"", one.parcel}]
        if about:
            yield from _unconfirmed(view, parcel, earliest[parcel], about)


def _only(view: ReturnView, at_ms: int) -> str:
    """The parcel that a claim of that time must mean, since there was no other; a second label later does not change that."""
    parcels = [one for one in view.parcels if one.label_ms <= at_ms] or view.parcels
    return parcels[0].parcel if len(parcels) == 1 else ""


def _unconfirmed(view: ReturnView, parcel: str, claim: Told, about: list[Carried]) -> Iterator[Awaited]:
    deadline = view.deadline(RuleId.DROPOFF_CLAIM_UNCONFIRMED, about[0])
    if deadline is None:
        return
    stops = [view.stop(Milestone.RETURN_CANCELLED)]
    if not parcel:  # whichever of them came under the return's number
        stops.append(view.stop(Milestone.CHECKED_IN))
    for one in about:
        by_number = view.received.get(one.parcel)
        stops += [
            Stop(one.first_scan_ms, Reason.FIRST_SCAN) if one.first_scan_ms else None,
            Stop(one.checked_in_ms, Reason.CHECKED_IN) if one.checked_in_ms else None,
            Stop(by_number.at_ms, Reason.CHECKED_IN_BY_RETURN, by_number.source) if by_number else None,
        ]
    rule, stop = RuleId.DROPOFF_CLAIM_UNCONFIRMED, first_stop(*stops)
    if not view.was_in_time(deadline, claim.at_ms, stop, (rule, parcel, _CLAIM)):
        due_ms = deadline.due_ms(claim.at_ms, claim.arrived_ms)
        told = (rule, parcel, _CLAIM, claim.at_ms, due_ms, stop, (claim.source,))
        yield Awaited(*told, deadline, claim.arrived_ms)
