"""Journeys (epochs) of a parcel: the same tracking number may be used again after its first journey has ended.

The facts, in order of event time, are cut into journeys:

- a label opens a new journey when the current one has a label already and has ended, or has been silent for 60 days;
- a label without a label before it belongs to the scans before it (pre-advice is often late) when the first of them is
  at most 14 days older, or when the dock has checked the parcel in and it was heard of in the last 60 days: somebody has
  found out whose it is; else it opens a new journey;
- any other fact opens a new journey when the current one has ended and nothing was heard for 60 days.

A second label in a journey that goes on is one more set of returns in the same parcel, or a correction. A journey has
ended once it was delivered, checked in, turned back, lost or disposed of. It is named by the identity of its earliest
label, else of its first fact.

That it was lost or disposed of is refuted by a later scan of another kind: it was found, and is on its way again. That it was
turned back is not, for the carrier goes on scanning it on its way to the customer.
"""

from collections.abc import Iterable, Sequence

from schemas.vocabulary import Evidence, Milestone, Reason
from streams.clocks import DAY_MS
from streams.parcel import Label, Raw, Seen

SILENT_MS = 60 * DAY_MS
LATE_LABEL_MS = 14 * DAY_MS

NOTABLE = frozenset(
    {
        Milestone.PICKUP_FAILED,
        Milestone.CUSTOMS_HOLD,
        Milestone.AVAILABLE_FOR_PICKUP,
        Milestone.DELIVERY_ATTEMPTED,
        Milestone.MISROUTED,
        Milestone.DELIVERED_ELSEWHERE,
        Milestone.RETURNED_TO_SENDER,
        Milestone.LOST,
        Milestone.DAMAGED,
        Milestone.DISPOSED,
    }
)
"""What more than the rules of an ordinary life ask about, when anybody but the customer and an announcement says so."""
NO_SCANS = frozenset({Milestone.PICKUP_SCHEDULED, Milestone.PICKUP_FAILED})
"""Nobody had the parcel in hand, whatever a table of codes says about who saw it."""

GIVEN_UP = {
    Milestone.RETURNED_TO_SENDER: Reason.TURNED_BACK,
    Milestone.LOST: Reason.LOST,
    Milestone.DISPOSED: Reason.LOST,
}
"""The carrier says that the parcel will not come, whoever of the carrier says so."""

# Plain ints: comparing enum members costs a look at every fact three times as much.
_AGENT, _CARRIER = int(Evidence.AGENT_SCAN), int(Evidence.CARRIER_SCAN)
_LABEL, _VOID = int(Milestone.LABEL_CREATED), int(Milestone.LABEL_VOIDED)
_DELIVERED, _CHECKED_IN = int(Milestone.DELIVERED), int(Milestone.CHECKED_IN)
_GIVEN_UP = frozenset(map(int, GIVEN_UP))
_TURNED_BACK = int(Milestone.RETURNED_TO_SENDER)
_NOTABLE = frozenset(map(int, NOTABLE))
_SORTED_APART = _NOTABLE | {_LABEL, _VOID, _CHECKED_IN}
_NO_SCANS = frozenset(map(int, NO_SCANS))
_HEARSAY = frozenset({int(Evidence.ANNOUNCED), int(Evidence.CLAIMED)})
_DECISIVE = _GIVEN_UP | {int(Milestone.DELIVERED_ELSEWHERE)}
_FOR_EVER = 1 << 62
_ELSEWHERE = int(Milestone.DELIVERED_ELSEWHERE)
_seen = Seen._make


class End:
    """Something that ends waiting: when it happened, what it is called, and the fact that shows it."""

    __slots__ = ("at_ms", "fact", "reason")

    def __init__(self, fact: Seen, reason: Reason) -> None:
        self.at_ms, self.reason, self.fact = fact.at_ms, reason, fact


class GivenUp:
    """The carrier gave the parcel up, and a scan may have found it again."""

    __slots__ = ("fact", "found_ms")

    def __init__(self, fact: Seen) -> None:
        self.fact, self.found_ms = fact, _FOR_EVER

    @property
    def stands(self) -> bool:
        """Whether nobody has found it since."""
        return self.found_ms == _FOR_EVER

    @property
    def end(self) -> End:
        """As what ends waiting."""
        return End(self.fact, GIVEN_UP[Milestone(self.fact.milestone)])


class Journey:
    """The facts of one journey, sorted into what the rules ask about, in order of event time."""

    __slots__ = (
        "_first",
        "_returns",
        "checked_in",
        "delivered",
        "dock_scans",
        "elsewhere",
        "given_up",
        "given_ups",
        "labels",
        "notable",
        "scan_times",
        "scans",
        "voids",
    )

    def __init__(self, first: Raw) -> None:
        self._first = first
        self._returns: dict[str, Seen | None] | None = None
        self.labels: list[tuple[Seen, Label]] = []
        self.voids: list[tuple[Seen, Label | None]] = []
        self.scans: list[Raw] = []
        """Physical scans of the carrier, the delivery included."""
        self.scan_times: list[int] = []
        """Their event times."""
        self.delivered: Seen | None = None
        """The first delivery that somebody saw."""
        self.elsewhere: Seen | None = None
        """The first scan by which the carrier says that it delivered to somebody else."""
        self.checked_in: Seen | None = None
        """The first of the dock scans."""
        self.dock_scans: list[Seen] = []
        self.given_ups: list[GivenUp] = []
        """Each time that the carrier said so, by time."""
        self.given_up = False
        """Whether one of these stands."""
        self.notable: list[Seen] = []
        """Facts of the milestones in NOTABLE."""

    def scan(self, index: int) -> Seen:
        """One of the scans."""
        return _seen(self.scans[index])

    def add_milestone(self, raw: Raw, milestone: int, labels: Sequence[Label]) -> None:
        """Take in a fact that may be more than a scan on the way."""
        if milestone in {_LABEL, _VOID}:
            identity = raw[1] >> 16
            label = next((one for one in labels if one.identity == identity), None)
            if milestone == _VOID:
                self.voids.append((_seen(raw), label))
            elif label is not None:
                self.labels.append((_seen(raw), label))
        elif milestone == _CHECKED_IN:
            self.dock_scans.append(_seen(raw))
            if self.checked_in is None:
                self.checked_in = _seen(raw)
        else:
            seen = _seen(raw)
            evidence = (raw[0] >> 4) & 15
            if milestone in _GIVEN_UP:
                self.given_ups.append(GivenUp(seen))
                self.given_up = True
            if milestone == _ELSEWHERE and self.elsewhere is None and evidence in {_AGENT, _CARRIER}:
                self.elsewhere = seen
            if evidence not in _HEARSAY:
                self.notable.append(seen)

    @property
    def disposed(self) -> bool:
        """Whether the carrier has destroyed it."""
        return self.given_up and any(
            one.stands and one.fact.milestone == Milestone.DISPOSED for one in self.given_ups
        )

    def find(self, at_ms: int) -> None:
        """A scan that tells of something else than that it is given up: what was called lost before has been found."""
        for one in self.given_ups:
            if one.stands and one.fact.milestone != _TURNED_BACK and one.fact.at_ms < at_ms:
                one.found_ms = at_ms
        self.given_up = any(one.stands for one in self.given_ups)

    def was_found_at(self, at_ms: int) -> bool:
        """Whether the scan of that time is the one by which it was found."""
        return any(one.found_ms == at_ms for one in self.given_ups)

    def is_given_up_at(self, at_ms: int) -> bool:
        """Whether the carrier had given it up then, and had not found it."""
        return any(one.fact.at_ms <= at_ms < one.found_ms for one in self.given_ups)

    def found_ms(self, since_ms: int) -> int:
        """When it was found after it was first given up since then; for ever, if it was not."""
        return next((one.found_ms for one in self.given_ups if since_ms < one.found_ms), _FOR_EVER)

    @property
    def ended(self) -> bool:
        """Nothing more is expected of the carrier."""
        return (
            self.delivered is not None
            or self.checked_in is not None
            or self.given_up
            or self.elsewhere is not None
        )

    def decisive_arrived_ms(self, marked_arrived_ms: int) -> int:
        """When the last was read of what says whether it has come to us, retractions included."""
        times = [marked_arrived_ms]
        times += [fact.arrived_ms for fact, _ in (*self.labels, *self.voids)]
        times += [fact.arrived_ms for fact in self.notable if fact.milestone in _DECISIVE]
        if self.checked_in is not None:
            times.append(self.checked_in.arrived_ms)
        if self.delivered is not None:
            until_ms = self.checked_in.at_ms if self.checked_in is not None else self.scan_times[-1]
            times += [
                raw[2] >> 16
                for raw in self.scans
                if (raw[0] >> 8) & 255 == _DELIVERED and raw[0] >> 16 <= until_ms
            ]
        return max(times)

    @property
    def name(self) -> str:
        """Subject of cases about the journey as a whole."""
        return name_of(self.labels[0][0] if self.labels else _seen(self._first))

    def returns(self) -> dict[str, Seen | None]:
        """The returns that its labels name -> the void that took the label back, None while it holds."""
        if self._returns is not None:
            return self._returns
        if not self.voids:
            self._returns = {return_id: None for _, label in self.labels for return_id in label.returns}
            return self._returns
        linked: dict[str, Seen | None] = {}
        for fact, label in self.labels:
            for return_id in label.returns:
                void = self._void_of(return_id, fact.at_ms)
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

    def ends(self, *, delivery: bool = False, since_ms: int | None = None) -> list[End]:
        """What ends all waiting for the parcel: check-in, void, that the carrier gave up; the delivery on request.

        `since_ms`: what was waited for since then is waited for no more though the parcel was found later. Without it only
        that counts which nobody has refuted.
        """
        ends = []
        if delivery and self.delivered is not None:
            ends.append(End(self.delivered, Reason.DELIVERED))
        if delivery and self.elsewhere is not None:
            ends.append(End(self.elsewhere, Reason.DELIVERED_ELSEWHERE))
        if self.checked_in is not None:
            ends.append(End(self.checked_in, Reason.CHECKED_IN))
        for one in self.given_ups:
            if one.stands or (since_ms is not None and since_ms < one.found_ms):
                ends.append(one.end)
                break
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


def journeys(facts: Iterable[Raw], labels: Sequence[Label]) -> list[Journey]:
    """Cut the facts, given in order of event time, into journeys."""
    found: list[Journey] = []
    current: Journey | None = None
    last_ms = 0
    for raw in facts:
        content = raw[0]
        at_ms, milestone = content >> 16, (content >> 8) & 255
        may_open = milestone == _LABEL or at_ms - last_ms > SILENT_MS
        if current is None or (may_open and _opens(milestone, at_ms, last_ms, current)):
            current = Journey(raw)
            found.append(current)
        last_ms = at_ms
        if (content >> 4) & 15 in {_AGENT, _CARRIER} and milestone not in _NO_SCANS:
            current.scans.append(raw)
            current.scan_times.append(at_ms)
            if milestone == _DELIVERED and current.delivered is None:
                current.delivered = _seen(raw)
            if current.given_up and milestone not in _GIVEN_UP:
                current.find(at_ms)
        if milestone in _SORTED_APART:
            current.add_milestone(raw, milestone, labels)
    return found


def _opens(milestone: int, at_ms: int, last_ms: int, current: Journey) -> bool:
    silent = at_ms - last_ms > SILENT_MS
    if milestone != _LABEL:
        return silent and current.ended
    if current.labels:
        return silent or current.ended
    if current.checked_in is not None:
        return silent
    return bool(current.scans) and at_ms - current.scan_times[0] > LATE_LABEL_MS
