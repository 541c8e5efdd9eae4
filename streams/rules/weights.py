"""What the dock weighed, against what the label says that the parcel should weigh: an empty box is the extreme.

`content_mismatch` by weight: starts with the newest dock scan that carries a weight, where the label carries one, too, and the
two are further apart than the policy allows (`weight_tolerance`). Ends with: an inspection of the parcel, before or after it was
weighed (people overrule a scale, and say themselves what they found), a decision about the refund, a replacement. Weighed again
and right, there never was anything wrong. Anchor: the parcel.
"""

from collections.abc import Iterator

from schemas.vocabulary import Milestone, RuleId
from streams.return_view import Awaited, ReturnView, first_stop, stop_of
from streams.returns import Carried, Told
from streams.rules.goods import first_inspection

_WEIGHT = "weight"
"""Anchor of cases about weights."""


def content_mismatch_by_weight(view: ReturnView) -> Iterator[Awaited]:
    """One for each parcel that is too light or too heavy."""
    rule = RuleId.CONTENT_MISMATCH
    for parcel in view.goods:
        deadline = view.deadline(rule, parcel) if is_off(view, parcel) else None
        if deadline is None:
            continue
        inspected = looked_into(view, parcel)
        if inspected is not None and inspected.at_ms < parcel.weighed_ms:
            continue  # nothing new, and a case of an earlier weight has ended
        stop = first_stop(
            stop_of(inspected) if inspected is not None else None,
            view.stop(
                Milestone.REFUND_APPROVED,
                Milestone.REFUND_REFUSED,
                Milestone.REFUND_ISSUED,
                Milestone.REPLACEMENT_SENT,
                since_ms=parcel.weighed_ms,
            ),
        )
        due_ms = deadline.due_ms(parcel.weighed_ms, parcel.weighed_arrived_ms)
        told = (rule, parcel.parcel, _WEIGHT, parcel.weighed_ms, due_ms, stop, parcel.weighed_evidence)
        yield Awaited(*told, deadline, parcel.weighed_arrived_ms)


def is_off(view: ReturnView, parcel: Carried) -> bool:
    """Whether it weighs something else than it should; what was not weighed does not."""
    if not parcel.weight_grams or not parcel.expected_grams:
        return False
    tolerance = view.tolerance(parcel)
    allowed = max(tolerance.grams, parcel.expected_grams * tolerance.percent // 100)
    return abs(parcel.weight_grams - parcel.expected_grams) > allowed


def looked_into(view: ReturnView, parcel: Carried) -> Told | None:
    """The first inspection of the parcel, whenever it was weighed."""
    return first_inspection(view, parcel, view.received_ms(parcel), only=len(view.goods) == 1)
