"""What the warehouse does with the goods, and goods that were paid for and never came.

The goods of a return are the parcels that its labels link, and those that the dock has although their label was voided.

- `late_inspection`: starts when the warehouse received a parcel (by dock scan, or by the return's number); fulfilled by an
  inspection that names the parcel, or that names none and came after it; of a return's only parcel any inspection will do.
  Anchor: the parcel.
- `content_mismatch`: an inspection found other goods than announced. Ends with: a decision about the refund, a replacement, a
  later inspection of the same parcels (or of all) that finds nothing wrong and rejects nothing; of two at the same time the one
  that was appended last. Anchor: the inspection.
- `late_restock`: starts with an inspection after which the goods can be sold again; the n-th of them waits for the n-th
  restocking. Anchor: the inspection.
- `refunded_not_returned`: starts with a refund; each parcel is waited for, whether it came before or after. Not for returns
  that are brought to a shop. Anchor: the return.
"""

from collections.abc import Iterator

from schemas.vocabulary import Disposition, Method, Milestone, Reason, RuleId
from streams.return_view import Awaited, ReturnView, Stop, anchor_of, awaited, first_stop, stop_of
from streams.returns import Carried, Told


def late_inspection(view: ReturnView) -> Iterator[Awaited]:
    """One for each parcel that was received; without any label, one for the first check-in by number."""
    if not view.goods:
        check_in = view.first(Milestone.CHECKED_IN)
        if check_in is not None:
            stop = first_stop(
                view.stop(Milestone.INSPECTED), view.stop(Milestone.RESTOCKED, since_ms=check_in.at_ms)
            )
            yield from awaited(view, RuleId.LATE_INSPECTION, check_in, stop)
        return
    for parcel in view.goods:
        received_ms, arrived_ms = view.receipt(parcel)
        deadline = view.deadline(RuleId.LATE_INSPECTION, parcel) if received_ms else None
        if deadline is None:
            continue
        inspected = first_inspection(view, parcel, received_ms, only=len(view.goods) == 1)
        stop = first_stop(
            stop_of(inspected) if inspected is not None else None,
            view.stop(Milestone.RESTOCKED, since_ms=received_ms),
        )
        if view.was_in_time(deadline, received_ms, stop, (RuleId.LATE_INSPECTION, parcel.parcel, "")):
            continue
        by_number = view.received.get(parcel.parcel)  # never later than the dock scan
        due_ms = deadline.due_ms(received_ms, arrived_ms)
        evidence = (by_number.source,) if by_number is not None else ()
        told = (RuleId.LATE_INSPECTION, parcel.parcel, "", received_ms, due_ms, stop, evidence)
        yield Awaited(*told, deadline, arrived_ms)


def first_inspection(view: ReturnView, parcel: Carried, received_ms: int, *, only: bool) -> Told | None:
    """The first inspection of a parcel that was received then (0: it was not): by its name, or, without names, of what had come.

    `only`: the return has no other parcel, so any without names is of it.
    """
    for fact in view.all(Milestone.INSPECTED):
        if fact.parcels:
            if parcel.parcel in fact.parcels:
                return fact
        elif only or 0 < received_ms <= fact.at_ms:
            return fact
    return None


def content_mismatch(view: ReturnView) -> Iterator[Awaited]:
    """One for each inspection that found something wrong."""
    inspections = view.all(Milestone.INSPECTED)
    for inspection in inspections:
        if not inspection.mismatches:
            continue
        decided = view.stop(
            Milestone.REFUND_APPROVED,
            Milestone.REFUND_REFUSED,
            Milestone.REFUND_ISSUED,
            Milestone.REPLACEMENT_SENT,
            since_ms=inspection.at_ms,
        )
        answer = put_right(view, inspection)
        stop = first_stop(decided, stop_of(answer) if answer is not None else None)
        yield from awaited(view, RuleId.CONTENT_MISMATCH, inspection, stop, anchor=anchor_of(inspection))


def put_right(view: ReturnView, inspection: Told) -> Told | None:
    """The later inspection by which all goods that one found wrong have been found right; None: not yet.

    Without parcels an inspection is of all that the return has.
    """
    left = set(inspection.parcels or (one.parcel for one in view.goods))
    for later in view.all(Milestone.INSPECTED):
        if _told(later) > _told(inspection) and not later.mismatches and not is_rejected(later):
            left -= set(later.parcels)
            if not later.parcels or not left:
                return later
    return None


def _told(inspection: Told) -> tuple[int, int, str, int, int]:
    """When, and for those of the same time in which order they were appended."""
    source = inspection.source
    return inspection.at_ms, inspection.arrived_ms, source.topic, source.partition, source.offset


def is_rejected(inspection: Told) -> bool:
    """Whether goods were not taken back, for whatever reason."""
    return inspection.disposition == Disposition.REJECT


def late_restock(view: ReturnView) -> Iterator[Awaited]:
    """One for each inspection of goods that can be sold again."""
    restocked = view.all(Milestone.RESTOCKED)
    sellable = [fact for fact in view.all(Milestone.INSPECTED) if fact.disposition == Disposition.RESTOCK]
    for index, inspection in enumerate(sellable):
        stop = stop_of(restocked[index]) if index < len(restocked) else None
        yield from awaited(view, RuleId.LATE_RESTOCK, inspection, stop, anchor=anchor_of(inspection))


def refunded_not_returned(view: ReturnView) -> Iterator[Awaited]:
    """One for each parcel; without any label, one for the return."""
    issued = view.first(Milestone.REFUND_ISSUED)
    if issued is None or view.terms.method == Method.IN_STORE:
        return
    if not view.goods:
        stop = view.stop(Milestone.CHECKED_IN, Milestone.INSPECTED)
        yield from awaited(view, RuleId.REFUNDED_NOT_RETURNED, issued, stop)
        return
    for parcel in view.goods:
        by_number = view.received.get(parcel.parcel)
        inspected = (
            stop_of(fact)
            for fact in view.all(Milestone.INSPECTED)
            if not fact.parcels or parcel.parcel in fact.parcels
        )
        stop = first_stop(
            Stop(parcel.checked_in_ms, Reason.CHECKED_IN) if parcel.checked_in_ms else None,
            stop_of(by_number) if by_number is not None else None,
            *inspected,
        )
        yield from awaited(view, RuleId.REFUNDED_NOT_RETURNED, issued, stop, parcel=parcel)
