"""What is known about one return, and how a fact or a parcel's report is folded in: in any order, any number of times.

Facts are a set by identity, kept in order of event time; of the same identity told twice the smaller content, the earlier
arrival and the smaller source are kept, each by itself. Reports merge by the highest revision. Retractions mark
identities, as with parcels. At most 64 facts are kept (the earliest 16, the latest 48), 16 marks, and the reports of the
100 parcels that were first to report. All of it, encoded, is at most 256 kB.
"""

from collections.abc import Sequence

import msgspec

from schemas.facts import ParcelReport, ReportedBreach, ReturnFact, ReturnTerms, Source
from schemas.vocabulary import Milestone
from streams.held import HeldWait
from streams.parcel import EARLIEST, LATEST, MOST_FACTS, MOST_MARKS

MOST_PARCELS = 100
"""Parcels of one return; the reports of others are not taken in."""
MOST_EVIDENCE_BYTES = 256_000
"""Facts and reports of one return, encoded; what would make them larger is not taken in."""


_DISPUTES = frozenset({int(Milestone.DISPUTE_OPENED), int(Milestone.DISPUTE_CLOSED)})


class Told(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A fact of orders or warehouse. Field order is the sort order."""

    at_ms: int
    identity: int
    milestone: int
    parcels: tuple[str, ...]
    complete: bool
    count: int
    facility: str
    value_minor: int
    currency: str
    promised_ms: int
    arrived_ms: int
    source: Source
    terms: ReturnTerms | None = None
    disposition: str = ""
    mismatches: tuple[str, ...] = ()


class Carried(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The latest report of one parcel; the fields of schemas.facts.ParcelReport that decisions or messages use."""

    parcel: str
    revision: int
    origin: str
    destination: str
    facility: str
    linked: bool
    unlinked_reason: str
    value_minor: int
    currency: str
    label_ms: int
    delivered_ms: int
    checked_in_ms: int
    newest_ms: int
    """The newest event time in the report."""
    breaches: tuple["CarriedBreach", ...]
    first_scan_ms: int = 0
    service: str = ""
    shop: str = ""
    first_scan_arrived_ms: int = 0
    delivered_arrived_ms: int = 0
    checked_in_arrived_ms: int = 0
    label_arrived_ms: int = 0
    decisive_arrived_ms: int = 0
    diverted: str = ""
    diverted_ms: int = 0
    weight_grams: int = 0
    expected_grams: int = 0
    weighed_ms: int = 0
    weighed_arrived_ms: int = 0
    weighed_evidence: tuple[Source, ...] = ()
    last_scan_ms: int = 0
    disposed: bool = False


class CarriedBreach(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The fields of schemas.facts.ReportedBreach."""

    rule: str
    anchor: str
    since_ms: int
    due_ms: int
    state: str
    reason: str
    ended_ms: int
    evidence: tuple[Source, ...]
    raised_ms: int = 0


class Handling(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What people have told about a case (streams/case_commands.py); "" and 0: nothing. Ids are opaque."""

    acknowledged_by: str = ""
    acknowledged_ms: int = 0
    snoozed_by: str = ""
    snoozed_until_ms: int = 0
    assigned_to: str = ""
    closed_by: str = ""
    """Only of a case that was resolved by hand, and while that holds."""
    closure: str = ""


class CaseRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A case as it was last said. `revision` 0: counted only, never said."""

    rule: str
    parcel: str
    anchor: str
    revision: int
    state: str
    reason: str
    level: int
    since_ms: int
    due_ms: int
    effective_ms: int
    historical: bool
    disputed: bool = False
    handling: Handling | None = None
    raised_ms: int = 0
    """When it could be told, if that was later than its deadline: it had been held (streams/feed_holds.py); else 0."""


class Decided(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A command that was decided, so that a repeat of it changes nothing and is answered in the same way."""

    identity: int
    content: int
    answer: str
    at_ms: int
    decided_ms: int
    revision: int
    """Of the case after it; 0: there was none."""


class ReleasedTerms(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a refund was released for."""

    value_minor: int
    currency: str
    resolution: str
    risk: str
    category: str


class SignalRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A refund signal as it was last said; there is one for each tier."""

    tier: str
    revoked: bool
    release_at: str = ""
    """How far the goods had to come when it was released, whatever the policy says since."""
    revision: int = 1
    """Of its newest message; one that an older version wrote, and that was revoked, is released no more."""
    amended: bool = False
    """It was revoked only because the request was amended, so it may be released again."""
    parcels: tuple[str, ...] = ()
    """Those that had come when it was released."""
    terms: ReleasedTerms | None = None
    """None: an older version released it."""


class ReturnState(msgspec.Struct, array_like=True, gc=False):
    """Value of a return's changelog record."""

    facts: tuple[Told, ...] = ()
    marks: tuple[int, ...] = ()
    marked_ms: int = 0
    carried: tuple[Carried, ...] = ()
    """Sorted by parcel."""
    truncated: bool = False
    # -- ledger
    cases: tuple[CaseRecord, ...] = ()
    """In the order in which they opened."""
    look_ms: int = 0
    """When the last full look asked for the next one; 0 is never."""
    signals: tuple[SignalRecord, ...] = ()
    """In the order in which they were last released."""
    commands: tuple[Decided, ...] = ()
    """In the order in which they were decided."""
    journey_revision: int = 0
    """How often its journey was told (streams/return_journey.py)."""
    journey_digest: int = 0
    """Of what was last told; 0: nothing, or that it is told no more."""
    counted: int = 0
    """By which reckoning it has added to the KPIs what it adds now (streams/kpis.py); 0: it has added nothing."""
    # -- folded
    marked_arrived_ms: int = 0
    """When the last retraction was read; one that its producer repeats is read again."""
    # -- ledger
    held: tuple[HeldWait, ...] = ()
    """Over, and not told yet."""

    @property
    def last_heard_ms(self) -> int:
        """The newest time of all that is known or was told by people: what the return is remembered by."""
        return max([self.newest_ms, *(command.at_ms for command in self.commands)])

    @property
    def newest_ms(self) -> int:
        """The newest event time of all that is known."""
        newest = max(self.facts[-1].at_ms if self.facts else 0, self.marked_ms)
        return max([newest, *(carried.newest_ms for carried in self.carried)])

    def request(self) -> Told | None:
        """What the customer asks for by the newest request, since the earliest; value and promise by the newest with one."""
        requests = [f for f in self.true_facts() if f.milestone == Milestone.RETURN_REQUESTED]
        if len(requests) < 2:
            return requests[0] if requests else None
        first, newest = requests[0], requests[-1]
        valued = next((f for f in reversed(requests) if f.currency), newest)
        promised_ms = next((f.promised_ms for f in reversed(requests) if f.promised_ms), 0)
        return msgspec.structs.replace(
            newest,
            at_ms=first.at_ms,
            identity=first.identity,
            value_minor=valued.value_minor,
            currency=valued.currency,
            promised_ms=promised_ms,
        )

    def disputed(self) -> bool:
        """Whether the customer disputes, by the newest word on it."""
        words = [f for f in self.facts if f.milestone in _DISPUTES and f.identity not in self.marks]
        return bool(words) and words[-1].milestone == Milestone.DISPUTE_OPENED

    def true_facts(self) -> Sequence[Told]:
        """The facts that were not taken back, by event time."""
        if not self.marks:
            return self.facts
        return [fact for fact in self.facts if fact.identity not in self.marks]


encode_return = msgspec.msgpack.Encoder().encode
decode_return = msgspec.msgpack.Decoder(ReturnState).decode


def has_outgrown(state: ReturnState, before: bytes | None) -> bool:
    """Whether facts and reports have become larger than they may be since the state was `before`."""
    larger_than = max(
        MOST_EVIDENCE_BYTES, _evidence_bytes(decode_return(before)) if before is not None else 0
    )
    return _evidence_bytes(state) > larger_than


def _evidence_bytes(state: ReturnState) -> int:
    said = {"signals": (), "journey_revision": 0, "journey_digest": 0}
    bare = msgspec.structs.replace(state, cases=(), commands=(), **said)
    return len(encode_return(bare))


def merge_fact(state: ReturnState, fact: ReturnFact) -> bool:
    """Fold a fact or a retraction in; False: it was known."""
    if fact.retracts:
        return _mark(state, fact)
    told = Told(
        max(fact.occurred_ms, 0),
        fact.identity,
        fact.milestone,
        fact.parcels,
        fact.complete,
        fact.count,
        fact.facility,
        fact.value_minor,
        fact.currency,
        fact.promised_ms,
        max(fact.arrived_ms, 0),
        fact.source,
        fact.terms,
        fact.disposition,
        fact.mismatches,
    )
    known = next((one for one in state.facts if one.identity == told.identity), None)
    if known is not None:
        told = _smaller(known, told)
        if told == known:
            return False
    others = [one for one in state.facts if one is not known]
    facts = sorted([*others, told], key=_order)
    if len(facts) > MOST_FACTS:
        facts = facts[:EARLIEST] + facts[-LATEST:]
        state.truncated = True
    state.facts = tuple(facts)
    return True


def _order(fact: Told) -> tuple[int, int]:
    return fact.at_ms, fact.identity


def _smaller(one: Told, other: Told) -> Told:
    smaller = min(one, other, key=_content)
    source = min(one.source, other.source, key=lambda source: (source.topic, source.partition, source.offset))
    return msgspec.structs.replace(smaller, arrived_ms=min(one.arrived_ms, other.arrived_ms), source=source)


def _content(fact: Told) -> tuple[object, ...]:
    """All that is told but arrival and source, so that it can be compared."""
    *told, _, _, terms, disposition, mismatches = msgspec.structs.astuple(fact)
    return (*told, encode_return(terms), disposition, mismatches)


def _mark(state: ReturnState, fact: ReturnFact) -> bool:
    before = (state.marks, state.marked_ms, state.marked_arrived_ms)
    marks = tuple(sorted({*state.marks, fact.retracts}))
    if len(marks) > MOST_MARKS:
        state.truncated, marks = True, marks[:MOST_MARKS]
    state.marks = marks
    state.marked_ms = max(state.marked_ms, fact.occurred_ms)
    state.marked_arrived_ms = max(state.marked_arrived_ms, fact.arrived_ms)
    return before != (state.marks, state.marked_ms, state.marked_arrived_ms)


def merge_report(state: ReturnState, report: ParcelReport) -> bool:
    """Take a parcel's report in, unless one at least as new is known; False: nothing has changed."""
    known = next((one for one in state.carried if one.parcel == report.parcel), None)
    if known is not None and known.revision >= report.revision:
        return False
    if known is None and len(state.carried) >= MOST_PARCELS:
        first, state.truncated = not state.truncated, True
        return first
    carried = _carried(report, known)
    if len(state.carried) == (0 if known is None else 1):
        state.carried = (carried,)
    else:
        others = [one for one in state.carried if one is not known]
        state.carried = tuple(sorted([*others, carried], key=lambda one: one.parcel))
    return True


def _carried(report: ParcelReport, known: Carried | None) -> Carried:
    breaches = tuple(_breach(breach) for breach in report.breaches)
    times = [report.label_ms, report.last_scan_ms, report.delivered_ms, report.checked_in_ms]
    times += [max(breach.due_ms, breach.ended_ms) for breach in breaches]
    if known is not None:
        times.append(known.newest_ms)
    bare = (
        not report.label_ms and known is not None
    )  # an unlinked report without a label says nothing of the parcel
    return Carried(
        report.parcel,
        report.revision,
        known.origin if bare and known else report.origin,
        known.destination if bare and known else report.destination,
        known.facility if bare and known else report.facility,
        report.linked,
        report.unlinked_reason,
        known.value_minor if bare and known else report.value_minor,
        known.currency if bare and known else report.currency,
        report.label_ms,
        report.delivered_ms,
        report.checked_in_ms,
        max(times),
        breaches,
        report.first_scan_ms,
        known.service if bare and known else report.service,
        known.shop if bare and known else report.shop,
        report.first_scan_arrived_ms,
        report.delivered_arrived_ms,
        report.checked_in_arrived_ms,
        report.label_arrived_ms,
        report.decisive_arrived_ms,
        report.diverted,
        report.diverted_ms,
        report.weight_grams,
        known.expected_grams if bare and known else report.expected_grams,
        report.weighed_ms,
        report.weighed_arrived_ms,
        report.weighed_evidence,
        report.last_scan_ms,
        report.disposed,
    )


def _breach(breach: ReportedBreach) -> CarriedBreach:
    return CarriedBreach(
        breach.rule,
        breach.anchor,
        breach.since_ms,
        breach.due_ms,
        breach.state,
        breach.reason,
        breach.ended_ms,
        breach.evidence,
        breach.raised_ms,
    )


# -- check-ins by the number of the return ------------------------------------------------------------------------


def received_by_number(state: ReturnState) -> dict[str, Told]:
    """Parcel -> the check-in by the return's number that accounts for it.

    Each check-in in order of event time takes parcels that were labelled before it, were not scanned at the dock before it,
    and that no earlier one took: those that it names; all, if it says complete; the only one there is; else as many
    delivered ones as it counts, the oldest delivery first. The others keep their clocks.
    """
    check_ins = [fact for fact in state.true_facts() if fact.milestone == Milestone.CHECKED_IN]
    if not check_ins:
        return {}
    open_parcels = {one.parcel: one for one in state.carried if one.linked}
    received: dict[str, Told] = {}
    for check_in in check_ins:
        waiting = {
            parcel: one
            for parcel, one in open_parcels.items()
            if parcel not in received
            and one.label_ms <= check_in.at_ms
            and not 0 < one.checked_in_ms <= check_in.at_ms
        }
        for parcel in _meant(check_in, waiting, _announced(state, check_in, open_parcels)):
            received[parcel] = check_in
    return received


def _announced(state: ReturnState, check_in: Told, reported: dict[str, Carried]) -> int:
    """Parcels labelled for the return before the check-in that have not reported yet: they may have been meant, too."""
    named: set[str] = set()
    voided: set[str] = set()
    for fact in state.true_facts():
        if fact.milestone == Milestone.LABEL_CREATED and fact.at_ms <= check_in.at_ms:
            named.update(fact.parcels)
        elif fact.milestone == Milestone.LABEL_VOIDED:
            voided.update(fact.parcels)
    known = {one.parcel for one in state.carried}
    return len(named - voided - known - set(reported))


def _meant(check_in: Told, waiting: dict[str, Carried], announced: int) -> list[str]:
    if check_in.parcels:
        return [parcel for parcel in check_in.parcels if parcel in waiting]
    if check_in.complete or len(waiting) + announced == 1:
        return list(waiting)
    delivered = sorted((one.delivered_ms, parcel) for parcel, one in waiting.items() if one.delivered_ms)
    return [parcel for _, parcel in delivered[: check_in.count]]
