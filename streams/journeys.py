"""Journeys (epochs) of a parcel: the same tracking number may be used again after its first journey has ended.

The facts, in order of event time, are cut into journeys:

- a label opens a new journey when the current one has a label already and has ended, or has been silent for 60 days;
- a label without a label before it belongs to the scans before it (pre-advice is often late) when the first of them is
  at most 14 days older; else it opens a new journey;
- any other fact opens a new journey when the current one has ended and nothing was heard for 60 days.

A second label in a journey that goes on is one more set of returns in the same parcel, or a correction. A journey has
ended once it was delivered, checked in, turned back, lost or disposed of. It is named by the identity of its earliest
label, else of its first fact.
"""

from collections.abc import Iterable, Sequence

from schemas.vocabulary import Evidence, Milestone, Reason
from streams.clocks import DAY_MS
from streams.parcel import Label, Seen

SILENT_MS = 60 * DAY_MS
LATE_LABEL_MS = 14 * DAY_MS

GIVEN_UP = {
    Milestone.RETURNED_TO_SENDER: Reason.TURNED_BACK,
    Milestone.LOST: Reason.LOST,
    Milestone.DISPOSED: Reason.LOST,
}
"""The carrier says that the parcel will not come; whoever of it says so."""

_PHYSICAL = (Evidence.AGENT_SCAN, Evidence.CARRIER_SCAN)
_LABEL, _VOID = Milestone.LABEL_CREATED, Milestone.LABEL_VOIDED
_DELIVERED, _CHECKED_IN = Milestone.DELIVERED, Milestone.CHECKED_IN
_GIVEN_UP = frozenset(GIVEN_UP)


class End:
    """Something that ends waiting: when it happened, what it is called, and the fact that shows it."""

    __slots__ = ("at_ms", "fact", "reason")

    def __init__(self, fact: Seen, reason: Reason) -> None:
        self.at_ms, self.reason, self.fact = fact.at_ms, reason, fact


class Journey:
    """The facts of one journey, sorted into what the rules ask about. Facts of each list are in order of event time."""

    __slots__ = (
        "_returns",
        "checked_in",
        "delivered",
        "first",
        "given_up",
        "labels",
        "last_ms",
        "scans",
        "voids",
    )

    def __init__(self, first: Seen) -> None:
        self.first = first
        self.labels: list[tuple[Seen, Label]] = []
        self.voids: list[tuple[Seen, Label | None]] = []
        self.scans: list[Seen] = []
        """Physical scans of the carrier, the delivery included."""
        self.delivered: Seen | None = None
        """The first delivery that somebody saw."""
        self.checked_in: Seen | None = None
        self.given_up: Seen | None = None
        self.last_ms = first.at_ms
        self._returns: dict[str, Seen | None] | None = None

    def add(self, fact: Seen, labels: dict[int, Label]) -> None:
        """Take in the next fact."""
        milestone = fact.milestone
        self.last_ms = fact.at_ms
        if fact.evidence in _PHYSICAL:
            self.scans.append(fact)
            if milestone == _DELIVERED and self.delivered is None:
                self.delivered = fact
        if milestone == _LABEL:
            label = labels.get(fact.identity)
            if label is not None:
                self.labels.append((fact, label))
        elif milestone == _VOID:
            self.voids.append((fact, labels.get(fact.identity)))
        elif milestone == _CHECKED_IN:
            if self.checked_in is None:
                self.checked_in = fact
        elif milestone in _GIVEN_UP and self.given_up is None:
            self.given_up = fact

    @property
    def ended(self) -> bool:
        """Nothing more is expected of the carrier."""
        return self.delivered is not None or self.checked_in is not None or self.given_up is not None

    @property
    def name(self) -> str:
        """Subject of cases about the journey as a whole."""
        return name_of(self.labels[0][0] if self.labels else self.first)

    def returns(self) -> dict[str, Seen | None]:
        """The returns that its labels name -> the void that took the label back, None while it holds."""
        if self._returns is not None:
            return self._returns
        linked: dict[str, Seen | None] = {}
        for fact, label in self.labels:
            for return_id in label.returns:
                void = self._void_of(return_id, fact.at_ms) if self.voids else None
                if void is None or return_id not in linked:
                    linked[return_id] = void
        self._returns = linked
        return linked

    def voided(self) -> Seen | None:
        """The void that left no return on the parcel."""
        if not self.voids or not self.labels:
            return None
        voids = [void for void in self.returns().values() if void is not None]
        return (
            max(voids, key=lambda void: void.at_ms) if voids and len(voids) == len(self.returns()) else None
        )

    def _void_of(self, return_id: str, since_ms: int) -> Seen | None:
        for fact, label in self.voids:
            names = label.returns if label is not None else ()
            if fact.at_ms >= since_ms and (not names or return_id in names):
                return fact
        return None

    def waiting_label(self) -> tuple[Seen, Label] | None:
        """The earliest label that still holds for one of its returns; the earliest of all when none does."""
        if not self.labels:
            return None
        if self.voids:
            for fact, label in self.labels:
                if any(self._void_of(return_id, fact.at_ms) is None for return_id in label.returns):
                    return fact, label
        return self.labels[0]

    def ends(self, *, delivery: bool) -> list[End]:
        """What ends all waiting for the parcel: check-in, void, that the carrier gave up; the delivery on request."""
        ends = []
        if delivery and self.delivered is not None:
            ends.append(End(self.delivered, Reason.DELIVERED))
        if self.checked_in is not None:
            ends.append(End(self.checked_in, Reason.CHECKED_IN))
        if self.given_up is not None:
            ends.append(End(self.given_up, GIVEN_UP[Milestone(self.given_up.milestone)]))
        if self.voids and (void := self.voided()) is not None:
            ends.append(End(void, Reason.LABEL_VOIDED))
        return ends


def first_of(ends: Sequence[End]) -> End | None:
    """The earliest; of two at the same time the one named first."""
    if len(ends) < 2:
        return ends[0] if ends else None
    return min(ends, key=lambda end: end.at_ms)


def name_of(fact: Seen) -> str:
    """A fact's identity as text: anchor of cases."""
    return f"{fact.identity:012x}"


def journeys(facts: Iterable[Seen], labels: Sequence[Label]) -> list[Journey]:
    """Cut the facts, given in order of event time, into journeys."""
    terms = {label.identity: label for label in labels}
    found: list[Journey] = []
    current: Journey | None = None
    for fact in facts:
        if current is None or _opens(fact, current):
            current = Journey(fact)
            found.append(current)
        current.add(fact, terms)
    return found


def _opens(fact: Seen, current: Journey) -> bool:
    silent = fact.at_ms - current.last_ms > SILENT_MS
    if fact.milestone != _LABEL:
        return silent and current.ended
    if current.labels:
        return silent or current.ended
    return bool(current.scans) and fact.at_ms - current.scans[0].at_ms > LATE_LABEL_MS
